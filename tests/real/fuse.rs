//! A tiny FUSE file system, spoken over `/dev/fuse` by hand, that can fall silent on command and answer again: what a dead server or
//! `sshfs` looks like to whoever touches it.
//!
//! Its connection ends with this process, so that nothing stays hung however a test ends.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::support::PATIENCE;

const ROOT: u64 = 1;
const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// It ends after this, so that a test which waits for a process that hangs in it goes red instead of waiting for ever;
/// and later than any test waits for what must not hang.
const LONGEST: Duration = PATIENCE.saturating_mul(2);

/// One level of files.
#[derive(Default)]
struct Tree {
    /// Content and modification time (seconds); `None` for a file that cannot be read.
    files: BTreeMap<String, (Option<Vec<u8>>, u64)>,
    numbers: Vec<String>,
}

impl Tree {
    fn number(&mut self, name: &str) -> u64 {
        let at = self.numbers.iter().position(|known| known == name).unwrap_or_else(|| {
            self.numbers.push(name.to_owned());
            self.numbers.len() - 1
        });
        ROOT + 1 + u64::try_from(at).unwrap()
    }

    fn name(&self, number: u64) -> Option<String> {
        let at = usize::try_from(number.checked_sub(ROOT + 1)?).unwrap();
        self.numbers.get(at).cloned()
    }
}

#[derive(Default)]
struct Shared {
    tree: Mutex<Tree>,
    is_silent: AtomicBool,
    is_over: AtomicBool,
}

/// A mounted file system.
pub(crate) struct Fuse {
    point: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Fuse {
    /// Mounts one as type `fuse.test` at `point`.
    pub(crate) fn mount(point: &Path) -> Self {
        let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        // Without close-on-exec, for mount(8) only.
        let given = rustix::io::dup(&device).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", given.as_raw_fd());
        let done =
            Command::new("mount").args(["-i", "-t", "fuse.test", "-o", &options, "far"]).arg(point).status().unwrap();
        assert!(done.success());
        drop(given);
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        let server = std::thread::spawn(move || serve(device, &serving));
        Self { point: point.to_path_buf(), shared, server: Some(server) }
    }

    /// Puts a file there; `None` is one that cannot be read.
    pub(crate) fn put(&self, name: &str, content: Option<&str>) {
        let mut tree = self.shared.tree.lock().unwrap();
        let time = tree.files.get(name).map_or(1_700_000_000, |(_, time)| time + 1);
        tree.files.insert(name.to_owned(), (content.map(|content| content.as_bytes().to_vec()), time));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.shared.tree.lock().unwrap().files.remove(name);
    }

    /// From now on nothing is answered, or everything that has waited.
    pub(crate) fn be_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Closing the device ends the connection: whoever hangs in it gets an error.
        if let Some(server) = self.server.take() {
            let _ended = server.join();
        }
        let _done = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}

fn serve(mut device: File, shared: &Shared) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut buffer = vec![0; 1 << 20];
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let begun = Instant::now();
    while !shared.is_over.load(Ordering::SeqCst) && begun.elapsed() < LONGEST {
        if !shared.is_silent.load(Ordering::SeqCst) {
            for request in std::mem::take(&mut waiting) {
                answer(&mut device, shared, &request);
            }
        }
        let soon = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        if poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&soon)).unwrap() == 0 {
            continue;
        }
        let length = match device.read(&mut buffer) {
            Ok(length) => length,
            // Interrupted before it was read, or taken back.
            Err(error) if matches!(error.raw_os_error(), Some(ENOENT | 4)) => continue,
            Err(_gone) => return,
        };
        if shared.is_silent.load(Ordering::SeqCst) {
            waiting.push(buffer[..length].to_vec());
        } else {
            answer(&mut device, shared, &buffer[..length]);
        }
    }
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Answers one request of `fuse(4)`, protocol 7.31.
fn answer(device: &mut File, shared: &Shared, request: &[u8]) {
    let (opcode, unique, node) = (number32(request, 4), number64(request, 8), number64(request, 16));
    let body = &request[40..];
    let mut tree = shared.tree.lock().unwrap();
    let result: Result<Vec<u8>, i32> = match opcode {
        // FORGET, INTERRUPT, BATCH_FORGET have no answer.
        2 | 36 | 42 => return,
        26 => {
            let mut out = Vec::new();
            for number in [7_u32, 31, 65_536, 0] {
                out.extend(number.to_ne_bytes());
            }
            out.extend([0; 4]);
            out.extend(65_536_u32.to_ne_bytes());
            out.extend(1_u32.to_ne_bytes());
            out.extend([0; 36]);
            Ok(out)
        }
        // LOOKUP
        1 => {
            let name = String::from_utf8(body[..body.len() - 1].to_vec()).unwrap();
            if node == ROOT && tree.files.contains_key(&name) {
                let number = tree.number(&name);
                Ok([number.to_ne_bytes().as_slice(), &[0; 32], &attributes(&tree, number)].concat())
            } else {
                Err(ENOENT)
            }
        }
        // GETATTR
        3 if node == ROOT || tree.name(node).is_some_and(|name| tree.files.contains_key(&name)) => {
            Ok([[0; 16].as_slice(), &attributes(&tree, node)].concat())
        }
        3 => Err(ENOENT),
        // OPEN, OPENDIR
        14 if tree.name(node).is_some_and(|name| tree.files.get(&name).is_some_and(|file| file.0.is_none())) => {
            Err(EIO)
        }
        14 | 27 => Ok(vec![0; 16]),
        // READ
        15 => {
            let (offset, size) = (usize::try_from(number64(body, 8)).unwrap(), number32(body, 16));
            let name = tree.name(node).unwrap();
            let content = tree.files.get(&name).and_then(|file| file.0.clone()).unwrap_or_default();
            let end = content.len().min(offset + usize::try_from(size).unwrap());
            Ok(content.get(offset..end).unwrap_or_default().to_vec())
        }
        // READDIR
        28 => Ok(names(&mut tree, number64(body, 8))),
        // RELEASE, RELEASEDIR, FLUSH
        18 | 29 | 25 => Ok(Vec::new()),
        _ => Err(ENOSYS),
    };
    let (error, out) = result.map_or_else(|errno| (-errno, Vec::new()), |out| (0, out));
    let length = u32::try_from(16 + out.len()).unwrap();
    let whole = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes(), &out].concat();
    // Who asked may have been killed meanwhile.
    let _written = device.write(&whole);
}

fn attributes(tree: &Tree, number: u64) -> Vec<u8> {
    let file = tree.name(number).and_then(|name| tree.files.get(&name).cloned());
    let size = file.as_ref().map_or(0, |(content, _)| content.as_ref().map_or(1, Vec::len));
    let time = file.as_ref().map_or(1_700_000_000, |(_, time)| *time);
    let mode: u32 = if number == ROOT { 0o40_755 } else { 0o100_644 };
    let mut out = Vec::new();
    for long in [number, u64::try_from(size).unwrap(), 1, time, time, time] {
        out.extend(long.to_ne_bytes());
    }
    for short in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32] {
        out.extend(short.to_ne_bytes());
    }
    out
}

fn names(tree: &mut Tree, offset: u64) -> Vec<u8> {
    let names: Vec<String> = tree.files.keys().cloned().collect();
    let mut out = Vec::new();
    for (at, name) in names.iter().enumerate().skip(usize::try_from(offset).unwrap()) {
        let number = tree.number(name);
        out.extend(number.to_ne_bytes());
        out.extend(u64::try_from(at + 1).unwrap().to_ne_bytes());
        out.extend(u32::try_from(name.len()).unwrap().to_ne_bytes());
        out.extend(8_u32.to_ne_bytes());
        out.extend(name.as_bytes());
        out.resize(out.len().next_multiple_of(8), 0);
    }
    out
}

/// Whether a FUSE file system can be mounted here.
pub(crate) fn can_mount() -> bool {
    let can = crate::support::is_root() && File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !can {
        println!("skipped: only root with /dev/fuse can mount a file system of its own");
    }
    can
}

/// A moment in which nothing may happen.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
