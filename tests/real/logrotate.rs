//! logrotate(8) and savelog(8) as Debian ships them, while a writer writes: nothing is lost, nothing is read twice.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use integrityd::{
    model::{clock::Timestamp, log::position::LogState},
    tail::{
        file_tail::Tail,
        glob::Start,
        poll::{TailEvent, TailSettings},
        splitter::LogRecord,
    },
};

use crate::packages::need;

/// What the writer and the rotator share.
#[derive(Default)]
struct Shared {
    must_stop: AtomicBool,
    must_reopen: AtomicBool,
    /// Held while lines may not be written: copytruncate loses what is written between copy and truncation, whoever reads.
    pause: Mutex<()>,
}

fn write_lines(path: &Path, shared: &Shared) -> u64 {
    let open = || OpenOptions::new().create(true).append(true).open(path).unwrap();
    let asked = path.with_file_name("reopen");
    let (mut file, mut number) = (open(), 0);
    while !shared.must_stop.load(Ordering::SeqCst) {
        if shared.must_reopen.swap(false, Ordering::SeqCst) {
            file = open();
        }
        if asked.exists() {
            file = open();
            fs::remove_file(&asked).unwrap();
        }
        let paused = shared.pause.lock().unwrap();
        for _ in 0..20 {
            number += 1;
            // In two pieces, so that half lines are seen.
            file.write_all(format!("line {number} ").as_bytes()).unwrap();
            file.write_all(b"and its end\n").unwrap();
        }
        drop(paused);
        thread::sleep(Duration::from_micros(300));
    }
    number
}

struct Reader {
    tail: Tail,
    started: Instant,
    state: Option<LogState>,
    seen: Vec<u64>,
    strange: Vec<TailEvent>,
}

impl Reader {
    fn poll(&mut self) {
        let now = Timestamp::default().after(self.started.elapsed());
        let poll = self.tail.poll(self.state.as_ref(), Start::Beginning, now);
        for record in &poll.records {
            let LogRecord::Line { bytes, .. } = record else { continue };
            let line = std::str::from_utf8(bytes).unwrap();
            let number = line.strip_prefix("line ").and_then(|rest| rest.strip_suffix(" and its end"));
            self.seen.push(number.unwrap_or_else(|| unreachable!("torn: {line:?}")).parse().unwrap());
        }
        self.strange.extend(poll.happenings.into_iter().filter(|happening| {
            !matches!(
                happening,
                TailEvent::Began { .. }
                    | TailEvent::Rotated(_)
                    | TailEvent::Replaced
                    | TailEvent::Trouble(..)
                    | TailEvent::Back(..)
            )
        }));
        self.state = Some(poll.state);
    }
}

/// Rotates `times` times by `rotate` while a writer writes and the log is polled.
fn race(directory: &Path, pauses: bool, times: u32, rotate: &dyn Fn(u32) -> Command) {
    let path = directory.join("app.log");
    File::create(&path).unwrap();
    let settings = TailSettings { path: path.clone(), olddirs: vec![directory.join("old")], ..TailSettings::default() };
    let mut reader = Reader {
        tail: Tail::new(settings.clone()),
        started: Instant::now(),
        state: None,
        seen: Vec::new(),
        strange: Vec::new(),
    };
    reader.poll();
    let shared = Arc::new(Shared::default());
    let writer = thread::spawn({
        let (shared, path) = (Arc::clone(&shared), path.clone());
        move || write_lines(&path, &shared)
    });
    for number in 0..times {
        thread::sleep(Duration::from_millis(20));
        let hold = pauses.then(|| shared.pause.lock().unwrap());
        let mut child = rotate(number).spawn().unwrap();
        // Every third rotation nobody looks; every fourth the daemon is started anew.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if number % 3 != 2 {
                reader.poll();
            }
        };
        assert!(status.success(), "{status}");
        drop(hold);
        shared.must_reopen.store(true, Ordering::SeqCst);
        if number % 4 == 3 {
            reader.tail = Tail::new(settings.clone());
        }
        reader.poll();
    }
    shared.must_stop.store(true, Ordering::SeqCst);
    let written = writer.join().unwrap();
    // Half a line at the end of a rotated file waits for a second.
    for _ in 0..100 {
        reader.poll();
    }
    thread::sleep(Duration::from_millis(1100));
    for _ in 0..100 {
        reader.poll();
    }
    reader.seen.sort_unstable();
    let wanted: Vec<u64> = (1..=written).collect();
    let lost = wanted.iter().filter(|number| reader.seen.binary_search(number).is_err()).count();
    let repeated = reader.seen.windows(2).filter(|pair| pair[0] == pair[1]).count();
    println!("{written} lines over {times} rotations: {lost} lost, {repeated} repeated");
    assert_eq!((lost, repeated), (0, 0), "{:?}", reader.strange);
    assert_eq!(reader.strange, []);
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(directory.path().join("old")).unwrap();
    let path = directory.path().to_path_buf();
    (directory, path)
}

#[test]
fn logrotate_loses_and_repeats_nothing() {
    if !need("logrotate", "logrotate") {
        return;
    }
    for options in [
        "create",
        "create compress",
        "create compress delaycompress",
        "create dateext dateformat -%Y%m%d-%s",
        "create compress olddir OLD",
        "copytruncate",
        "copytruncate compress",
        "copytruncate compress delaycompress",
    ] {
        let (_scratch, directory) = scratch();
        let options = options.replace("OLD", directory.join("old").to_str().unwrap());
        let words =
            options.replace(" compress", "\n compress").replace(" delay", "\n delay").replace(" date", "\n date");
        let words = words.replace(" olddir", "\n olddir");
        let settings = directory.join("logrotate.conf");
        // What is packed at once must not be written any more: the writer is told before, as services are.
        let is_told = options.contains("create compress") && !options.contains("delaycompress");
        let reopen = directory.join("reopen").display().to_string();
        let tell = format!("postrotate\n touch {reopen}\n while test -e {reopen}; do sleep 0.01; done\n endscript");
        let told = if is_told { tell } else { String::new() };
        let text = format!("{}/app.log {{\n rotate 50\n {words}\n {told}\n}}\n", directory.display());
        fs::write(&settings, text).unwrap();
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o644)).unwrap();
        println!("{}", options.replace('\n', " "));
        // A date ends in a second.
        let times = if options.contains("dateext") { 4 } else { 12 };
        race(&directory, options.contains("copytruncate"), times, &|_| {
            if options.contains("dateext") {
                thread::sleep(Duration::from_millis(1100));
            }
            let mut command = Command::new("/usr/sbin/logrotate");
            command.arg("-f").arg("-s").arg(directory.join("state")).arg(&settings);
            command
        });
    }
}

#[test]
fn savelog_loses_and_repeats_nothing() {
    if !need("savelog", "debianutils") {
        return;
    }
    for options in [&["-t", "-c", "50"][..], &["-t", "-l", "-c", "50"]] {
        let (_scratch, directory) = scratch();
        println!("savelog {options:?}");
        race(&directory, false, 12, &|_| {
            let mut command = Command::new("savelog");
            command.args(options).arg(directory.join("app.log")).stdout(std::process::Stdio::null());
            command
        });
    }
}
