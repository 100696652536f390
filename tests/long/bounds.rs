//! Bounds under load: memory, processor, and a blow at each single write.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use integrityd::{
    model::{
        clock::{BootId, Clock},
        event::{Category, Event, Severity},
        file::entry::{Attributes, FileKind, Observation},
    },
    store::{events::outcome::Outcome, sqlite::connection::Store},
};

use crate::{
    packages::need,
    support::{PROGRAM, Running, Scratch, is_root, seen_file, sink::Sink, wait_for},
    torment,
};

/// A memory group of our own; gone with its last process.
struct Group(PathBuf);

impl Group {
    /// A group whose processes have `most` bytes together; `None`, said aloud, where there is no memory controller to be had.
    fn new(most: u64) -> Option<Self> {
        let name = format!("integrityd-test-{}", std::process::id());
        let old = Path::new("/sys/fs/cgroup/memory");
        let (place, limit) = if old.is_dir() {
            (old.join(name), "memory.limit_in_bytes")
        } else {
            // It may be on already.
            drop(fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory"));
            (Path::new("/sys/fs/cgroup").join(name), "memory.max")
        };
        let made = fs::create_dir(&place).and_then(|()| fs::write(place.join(limit), most.to_string()));
        if let Err(error) = made {
            println!("skipped: no memory group can be made ({error})");
            drop(fs::remove_dir(&place));
            return None;
        }
        Some(Self(place))
    }

    /// How often the kernel killed a process of it for want of memory.
    fn kills(&self) -> u64 {
        ["memory.events", "memory.oom_control"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.0.join(name)).ok())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _gone = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

#[test]
fn h2_twenty_thousand_files_and_fifty_megabytes_of_log_need_no_96_mib() {
    if !is_root() {
        println!("skipped: only root can make a memory group");
        return;
    }
    let Some(group) = Group::new(96 << 20) else { return };
    let (scratch, sink) = (Scratch::new(), Sink::start());
    for number in 0..20_000 {
        let directory = scratch.tree().join(format!("d{}", number % 50));
        if number < 50 {
            fs::create_dir(&directory).unwrap();
        }
        fs::write(directory.join(format!("f{number}")), format!("content {number}")).unwrap();
    }
    let (rules, log) = (scratch.path("rules"), scratch.path("app.log"));
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    fs::write(rules.join("ignore.d.server/app"), " app: tick [0-9]+ [a-z]+$\n").unwrap();
    File::create(&log).unwrap();
    scratch.configure(&format!(
        "logrules = {}\nlog = {}\nfilerate = 5000\nbyterate = 1G\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 1\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    let said = File::create(scratch.path("log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", "echo $$ > \"$1/cgroup.procs\" && exec \"$0\" --config \"$2\" run", PROGRAM])
        .arg(&group.0)
        .arg(scratch.path("integrityd.conf"))
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let mut daemon = Running { child };
    wait_for("the log is begun", || {
        String::from_utf8_lossy(&scratch.ask(&["history", "--kind", "log"]).stdout).contains("beginning on")
    });
    let mut file = BufWriter::new(File::options().append(true).open(&log).unwrap());
    let word = "x".repeat(60);
    for number in 0..500_000 {
        writeln!(file, "Nov 21 14:02:11 web3 app: tick {number} {word}").unwrap();
    }
    writeln!(file, "Nov 21 14:02:11 web3 app: something else").unwrap();
    file.flush().unwrap();
    let text = || -> String { sink.mails().iter().map(crate::support::sink::Mail::text).collect() };
    wait_for("the last line", || text().contains("something else"));
    wait_for("the baseline", || text().contains("baseline established"));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    println!("{} kills for want of memory", group.kills());
    assert_eq!(group.kills(), 0);
    assert!(daemon.stop().success());
}

/// Processor time of our ended children, in seconds.
fn children_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 16 and 17 of proc_pid_stat(5), in clock ticks of 1/100 s.
    let ticks: f64 = [13, 14].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

#[test]
fn h3_hostile_rules_decide_a_thousand_long_lines_within_twenty_seconds_of_processor() {
    let scratch = Scratch::new();
    let (rules, log) = (scratch.path("rules"), scratch.path("app.log"));
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    fs::write(rules.join("ignore.d.server/app"), "(a+)+$\n(.*a){12}b\n").unwrap();
    File::create(&log).unwrap();
    scratch.configure(&format!(
        "logrules = {}\nlog = {}\nmail = file:{}",
        rules.display(),
        log.display(),
        scratch.path("mail").display()
    ));
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let mut file = BufWriter::new(File::options().append(true).open(&log).unwrap());
    let line = "a".repeat(64 * 1024 - 40);
    for number in 0..1000 {
        writeln!(file, "Nov 21 14:02:11 h app {number:04}: {line}!").unwrap();
    }
    file.flush().unwrap();
    let before = children_seconds();
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let took = children_seconds() - before;
    println!("{took:.1} s of processor for 1,000 lines of 64 KiB (an unoptimised build)");
    let told = scratch.history().iter().filter(|event| event["event"]["original"].is_string()).count();
    assert_eq!(told, 1000, "none of them is ignored");
    assert!(took < 20.0, "{took} s");
}

#[test]
fn a3_a_blow_at_any_single_write_of_the_state_loses_nothing() {
    if !need("strace", "strace") {
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    torment::Load::prepare(&scratch, &sink.setting());
    let daemon = scratch.start();
    torment::Load::wait_until_known(&scratch);
    daemon.kill();
    let load = torment::Load::begin(&scratch);
    for number in 1..=30 {
        // SQLite syncs by either, as it was built.
        let call = if number % 2 == 0 { "fsync,fdatasync" } else { "pwrite64" };
        let said = File::options().create(true).append(true).open(scratch.path("log")).unwrap();
        let mut child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"])
            .arg(format!("inject={call}:signal=SIGKILL:when={number}"))
            .arg(PROGRAM)
            .arg("--config")
            .arg(scratch.path("integrityd.conf"))
            .arg("run")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        // It meets its end by itself, at its n-th write; where it does not within twenty seconds the load has too little to write.
        while child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_some_and(|status| !status.success()), "{call} {number} was never reached: {ended:?}");
    }
    let wanted = load.end();
    let daemon = scratch.start();
    torment::demand(&scratch, &sink, &wanted);
    assert!(daemon.stop().success());
}

/// The most memory that a process had, in KiB.
fn most_memory(daemon: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A daemon whose heap and stacks have so many KiB together (`RLIMIT_DATA`, since Linux 4.7 all private memory that is written).
fn limited(scratch: &Scratch, kibibytes: u64) -> Running {
    let said = File::create(scratch.path("log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", &format!("ulimit -d {kibibytes}; exec \"$0\" --config \"$1\" run"), PROGRAM])
        .arg(scratch.path("integrityd.conf"))
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    Running { child }
}

#[test]
fn a_backlog_of_a_hundred_thousand_long_paths_is_mailed_within_128_mib() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("reporttime = 0\nreportholdoff = 0\nattach = always\n{}", sink.setting()));
    assert!(scratch.ask(&["init", "-q"]).status.success());
    let mut store = Store::open(&scratch.database(), Clock::System(BootId([1; 16])).now()).unwrap();
    let now = Clock::System(BootId([1; 16])).now();
    let (tree, tail) = (scratch.tree().display().to_string(), "/long".repeat(760));
    for block in 0..200 {
        let mut outcome = Outcome::default();
        for number in 0..500 {
            let path = format!("{tree}/{block:03}{number:03}{tail}").into_bytes();
            let category = if number % 2 == 0 { Category::Added } else { Category::Changed };
            let event = Event::new(category, Severity::Normal, now, path);
            let new = (category == Category::Added).then(seen_directory);
            let area = tree.clone().into_bytes();
            outcome.events.push(Event { area, new, ..event }.into());
        }
        store.commit(&outcome).unwrap();
    }
    drop(store);
    let mut daemon = limited(&scratch, 128 << 10);
    wait_for("the mail", || {
        assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
        sink.mails().iter().any(|mail| mail.subject().contains("100,000 changes"))
    });
    let most = most_memory(&daemon);
    println!("{most} KiB at most");
    assert!(most < 128 << 10, "{most} KiB");
    let text = sink.mails().iter().map(crate::support::sink::Mail::text).collect::<String>();
    assert!(text.contains("/long/long/") && text.contains("more (") && !text.contains("counts only"));
    assert!(daemon.stop().success());
}

fn seen_directory() -> Observation {
    let seen = seen_file();
    Observation { attributes: Attributes { kind: FileKind::Directory, ..seen.attributes.clone() }, ..seen }
}

#[test]
fn a_tree_of_300_000_files_is_moved_and_removed_within_96_mib() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.tree().join("a"), "x").unwrap();
    for directory in 0..30 {
        let directory = scratch.tree().join(format!("u/big/{directory}"));
        fs::create_dir_all(&directory).unwrap();
        (0..10_000).for_each(|number| drop(File::create(directory.join(number.to_string())).unwrap()));
    }
    // What is left is more than half of the area, so that the removal is told as one.
    for directory in 0..31 {
        let directory = scratch.tree().join(format!("rest/{directory}"));
        fs::create_dir_all(&directory).unwrap();
        (0..10_000).for_each(|number| drop(File::create(directory.join(number.to_string())).unwrap()));
    }
    scratch.configure(&format!("filerate = 2000\nreporttime = 1\nreportholdoff = 1\n{}", sink.setting()));
    assert!(scratch.ask(&["init", "-q"]).status.success());
    let daemon = scratch.start();
    let text = || -> String { sink.mails().iter().map(crate::support::sink::Mail::text).collect() };
    fs::rename(scratch.tree().join("u/big"), scratch.tree().join("u/big2")).unwrap();
    wait_for("the move", || text().contains("directory, 300,031 entries in all"));
    println!("{} KiB after the move", most_memory(&daemon));
    let away = scratch.path("away");
    fs::rename(scratch.tree().join("u"), &away).unwrap();
    wait_for("the removal", || text().contains("directory, 300,032 entries in all"));
    let most = most_memory(&daemon);
    println!("{most} KiB at most");
    assert!(most < 96 << 10, "{most} KiB");
    assert!(daemon.stop().success());
    assert!(scratch.ask(&["verify"]).status.success());
}
