//! What nothing may be lost under: a load of files and log lines whose every token must be mailed, under one Message-ID each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::{
    Scratch, overwrite, put,
    sink::{Mode, Sink},
    wait_for,
};

/// Fast enough that every stage is met by a blow that comes at any moment.
const FAST: &str = "filerate = 2000\nbyterate = 100M\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 1\nurgentholdoff = 1\n\
    retrybase = 100ms\nreportlines = 100000\n";

/// How a server behaves in turns, each for two seconds.
pub(crate) fn moods() -> Vec<Mode> {
    vec![
        Mode::Accept,
        Mode::Hold(Duration::from_millis(400)),
        Mode::Forget,
        Mode::Refuse("root@example.org".to_owned()),
        Mode::AcceptAndClose,
        Mode::Busy,
        Mode::NotNow,
    ]
}

/// A machine whose files change and whose log grows, once it has begun.
pub(crate) struct Load {
    must_stop: Arc<AtomicBool>,
    worker: JoinHandle<BTreeSet<String>>,
}

/// A token of a file is its class and its path.
fn file_token(class: &str, path: &Path) -> String {
    format!("{class} {}", path.display())
}

fn log_token(number: usize) -> String {
    format!("token-{number:06}.")
}

/// What is done to the files: each is added, changed or removed once.
struct Work {
    tree: PathBuf,
    chance: StdRng,
    next: usize,
    stable: Vec<usize>,
    tokens: BTreeSet<String>,
}

impl Work {
    fn path(&self, number: usize) -> PathBuf {
        self.tree.join(format!("d{}/t{number:05}", number % 5))
    }

    fn step(&mut self) {
        let choice = self.chance.random_range(0..3);
        let known = if choice == 0 { None } else { self.stable.pop() };
        let (class, path) = match (choice, known) {
            (1, Some(number)) => ("changed", self.path(number)),
            (2, Some(number)) => ("removed", self.path(number)),
            _ => {
                self.next += 1;
                ("added", self.path(self.next))
            }
        };
        match class {
            "added" => put(&path, &format!("added {}", self.next)),
            "changed" => overwrite(&path, "changed it is, and longer"),
            _ => fs::remove_file(&path).unwrap(),
        }
        self.tokens.insert(file_token(class, &path));
    }
}

/// Renames the log, and those that were renamed before. So many are kept that none goes unread on a machine that has much else to do.
fn rotate(log: &Path) {
    let name = |number: u32| log.with_extension(format!("log.{number}"));
    for number in (1..40).rev() {
        let _not_there_yet = fs::rename(name(number), name(number + 1));
    }
    fs::rename(log, name(1)).unwrap();
}

impl Load {
    /// Prepares tree, rules and log in `scratch`, and its configuration with `more`.
    pub(crate) fn prepare(scratch: &Scratch, more: &str) {
        let tree = scratch.tree();
        for number in 0..5 {
            fs::create_dir(tree.join(format!("d{number}"))).unwrap();
        }
        for number in 0..1000 {
            fs::write(tree.join(format!("d{}/t{number:05}", number % 5)), format!("as it was {number}")).unwrap();
        }
        let rules = scratch.path("rules");
        for layer in ["violations.d", "cracking.d"] {
            fs::create_dir_all(rules.join(layer)).unwrap();
        }
        let log = scratch.path("app.log");
        File::create(&log).unwrap();
        scratch.configure(&format!("logrules = {}\nlog = {}\n{FAST}{more}", rules.display(), log.display()));
    }

    /// Waits until a daemon has a baseline and has begun with the log.
    pub(crate) fn wait_until_known(scratch: &Scratch) {
        scratch.wait_for_baseline();
        wait_for("the log is begun", || {
            String::from_utf8_lossy(&scratch.ask(&["history", "--kind", "log"]).stdout).contains("beginning on")
        });
    }

    /// Begins: a file and a line every 5 to 20 ms; the log is rotated by renaming every 97 lines.
    pub(crate) fn begin(scratch: &Scratch) -> Self {
        let must_stop = Arc::new(AtomicBool::new(false));
        let mut work = Work {
            tree: scratch.tree(),
            chance: StdRng::seed_from_u64(20),
            next: 1000,
            stable: (0..1000).collect(),
            tokens: BTreeSet::new(),
        };
        let (log, is_over) = (scratch.path("app.log"), Arc::clone(&must_stop));
        let worker = std::thread::spawn(move || {
            let mut file = OpenOptions::new().append(true).open(&log).unwrap();
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) {
                work.step();
                // Half a line first: it waits.
                write!(file, "Nov 21 14:02:11 h app: ").unwrap();
                std::thread::sleep(Duration::from_millis(1));
                writeln!(file, "{}", log_token(number)).unwrap();
                work.tokens.insert(log_token(number));
                number += 1;
                if number % 97 == 0 {
                    rotate(&log);
                    file = OpenOptions::new().append(true).create_new(true).open(&log).unwrap();
                }
                std::thread::sleep(Duration::from_millis(work.chance.random_range(5..20)));
            }
            work.tokens
        });
        Self { must_stop, worker }
    }

    /// Ends, and gives every token that must be mailed.
    pub(crate) fn end(self) -> BTreeSet<String> {
        self.must_stop.store(true, Ordering::SeqCst);
        self.worker.join().unwrap()
    }
}

/// The tokens of one mail: items of the FILES block, and words of the lines.
fn tokens(text: &str) -> Vec<String> {
    let marks = ["  ---", "  HIGH", "  low"];
    let files = text.lines().filter(|line| marks.iter().any(|mark| line.starts_with(mark))).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let path = words.next()?.trim_end_matches('/');
        let class = words.find(|word| ["added", "removed", "changed"].contains(word))?;
        Some(file_token(class, Path::new(path)))
    });
    let lines = text.split("token-").skip(1).map(|piece| format!("token-{}.", piece.split('.').next().unwrap_or("")));
    files.chain(lines).collect()
}

/// Every token that was mailed, and under which Message-IDs.
pub(crate) fn told(sink: &Sink) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mail in sink.mails() {
        for token in tokens(&mail.text()) {
            told.entry(token).or_default().insert(mail.message_id());
        }
    }
    told
}

/// Waits at most two minutes for all of `wanted`, then looks that each was told under one Message-ID only, and that the chain is whole.
/// Whatever waits is made due meanwhile, as an administrator would.
pub(crate) fn demand(scratch: &Scratch, sink: &Sink, wanted: &BTreeSet<String>) {
    let begun = Instant::now();
    let missing = |told: &BTreeMap<String, BTreeSet<String>>| -> Vec<String> {
        wanted.iter().filter(|token| !told.contains_key(*token)).cloned().collect()
    };
    while begun.elapsed() < Duration::from_mins(2) && !missing(&told(sink)).is_empty() {
        let retried = scratch.ask(&["queue", "retry", "--all"]);
        assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
        std::thread::sleep(Duration::from_secs(1));
    }
    let told = told(sink);
    let lost = missing(&told);
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}\n{}\n{}",
        lost.len(),
        wanted.len(),
        deliveries(scratch, sink),
        scratch.log()
    );
    let twice: Vec<_> = told.iter().filter(|(token, ids)| wanted.contains(*token) && ids.len() > 1).collect();
    assert!(twice.is_empty(), "under two names: {twice:?}");
    let verified = scratch.ask(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let again = sink.mails().len()
        - sink.mails().iter().map(crate::support::sink::Mail::message_id).collect::<BTreeSet<_>>().len();
    println!(
        "{} tokens in {} mails, {again} of them accepted again under the same Message-ID",
        wanted.len(),
        sink.mails().len()
    );
}

/// How the deliveries stand whose reports never came.
fn deliveries(scratch: &Scratch, sink: &Sink) -> String {
    let came: BTreeSet<String> = sink.mails().iter().map(crate::support::sink::Mail::message_id).collect();
    let db = rusqlite::Connection::open(scratch.database()).unwrap();
    let mut statement = db
        .prepare(
            "SELECT report.id, message_id, state, attempts, refusals, last_reply FROM report LEFT JOIN delivery ON report = id",
        )
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            let id: String = row.get(1)?;
            let line = format!(
                "report {} state {:?} attempts {:?} refusals {:?}: {:?}",
                row.get::<_, i64>(0)?,
                row.get::<_, Option<i64>>(2)?,
                row.get::<_, Option<i64>>(3)?,
                row.get::<_, Option<i64>>(4)?,
                row.get::<_, Option<String>>(5)?
            );
            Ok((id, line))
        })
        .unwrap();
    let missing = rows.map(Result::unwrap).filter(|(id, _)| !came.contains(id.trim_matches(['<', '>'])));
    missing.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// Kills the daemon `times` times, at any moment of its work, under load, while the server changes its mind every two seconds.
pub(crate) fn kills(times: u32) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    Load::prepare(&scratch, &sink.setting());
    let daemon = scratch.start();
    Load::wait_until_known(&scratch);
    daemon.kill();
    let load = Load::begin(&scratch);
    let (moods, begun) = (moods(), Instant::now());
    let mut chance = StdRng::seed_from_u64(u64::from(times));
    for _ in 0..times {
        let mood = usize::try_from(begun.elapsed().as_secs() / 2).unwrap() % moods.len();
        sink.behave(moods[mood].clone());
        let daemon = scratch.start();
        std::thread::sleep(Duration::from_millis(chance.random_range(150..700)));
        daemon.kill();
    }
    let wanted = load.end();
    sink.behave(Mode::Accept);
    let daemon = scratch.start();
    demand(&scratch, &sink, &wanted);
    assert!(daemon.stop().success());
}

/// Cuts the power of the file system that holds the state `times` times, by its shutdown ioctl, under load and while sending.
pub(crate) fn power_cuts(times: u32) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let disk = Disk::make(&scratch);
    Load::prepare(&scratch, &sink.setting());
    let daemon = scratch.start();
    Load::wait_until_known(&scratch);
    daemon.kill();
    let load = Load::begin(&scratch);
    let moods = moods();
    let mut chance = StdRng::seed_from_u64(u64::from(times));
    for round in 0..times {
        sink.behave(moods[usize::try_from(round).unwrap() % moods.len()].clone());
        let daemon = scratch.start();
        std::thread::sleep(Duration::from_millis(chance.random_range(1200..2600)));
        disk.cut();
        std::thread::sleep(Duration::from_millis(chance.random_range(0..300)));
        daemon.kill();
        disk.mend();
    }
    let wanted = load.end();
    sink.behave(Mode::Accept);
    let daemon = scratch.start();
    demand(&scratch, &sink, &wanted);
    assert!(daemon.stop().success());
}

/// An ext4 of its own for the state, in a file.
struct Disk {
    image: PathBuf,
    place: PathBuf,
}

fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

impl Disk {
    fn make(scratch: &Scratch) -> Self {
        let disk = Self { image: scratch.path("disk"), place: scratch.path("state") };
        File::create(&disk.image).unwrap().set_len(128 << 20).unwrap();
        run("mkfs.ext4", &["-q", disk.image.to_str().unwrap()]);
        fs::create_dir(&disk.place).unwrap();
        disk.mount();
        run("chmod", &["700", disk.place.to_str().unwrap()]);
        disk
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", self.image.to_str().unwrap(), self.place.to_str().unwrap()]);
    }

    /// What is not on the disk by now is lost (`xfs_io -c shutdown`: nothing is flushed).
    fn cut(&self) {
        run("xfs_io", &["-x", "-c", "shutdown", self.place.to_str().unwrap()]);
    }

    /// As after the power is back: the journal is replayed. On a copy, since a mount namespace of another test may keep the old one alive,
    /// and the same image would be given the file system that has no power.
    fn mend(&self) {
        run("umount", &[self.place.to_str().unwrap()]);
        let next = self.image.with_extension("next");
        run("cp", &["--sparse=always", self.image.to_str().unwrap(), next.to_str().unwrap()]);
        fs::rename(&next, &self.image).unwrap();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _done = std::process::Command::new("umount").arg("-l").arg(&self.place).output();
    }
}
