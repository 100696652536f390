//! What only root can make: owners, device nodes, files that root's own daemon must survive.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::mounted::Mounted;
use crate::support::{
    Running, Scratch, put,
    sink::{Mail, Sink},
    wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\n";

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

#[test]
fn owners_set_id_bits_and_device_nodes_are_told_precisely() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can change owners and make device nodes");
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let tree = scratch.tree();
    for name in ["owner", "group", "setuid", "node"] {
        fs::write(tree.join(name), "x").unwrap();
    }
    fs::remove_file(tree.join("node")).unwrap();
    run("mknod", &[tree.join("node").as_ref(), "c".as_ref(), "1".as_ref(), "3".as_ref()]);
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    std::os::unix::fs::chown(tree.join("owner"), Some(33), None).unwrap();
    std::os::unix::fs::chown(tree.join("group"), None, Some(33)).unwrap();
    run("chmod", &["4755".as_ref(), tree.join("setuid").as_ref()]);
    // Aside and renamed, so that the path is never empty.
    run("mknod", &[scratch.path("node").as_ref(), "c".as_ref(), "1".as_ref(), "5".as_ref()]);
    fs::rename(scratch.path("node"), tree.join("node")).unwrap();
    let text = || -> String { sink.mails().iter().map(Mail::text).collect() };
    let wanted = ["owner root → www-data", "group root → www-data", "set-user-ID", "rdev 1:3 → 1:5"];
    wait_for("all four", || wanted.iter().all(|words| text().contains(words)));
    let text = text();
    for name in ["owner", "group", "setuid", "node"] {
        let path = format!("{}/{name} ", tree.display());
        assert_eq!(text.matches(&path).count(), 1, "{name}: {text}");
    }
    assert!(text.contains("HIGH"), "{text}");
    assert!(daemon.stop().success());
}

#[test]
fn a_second_daemon_and_a_foreign_configuration_are_refused() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let mut second = scratch.start();
    let mut code = None;
    wait_for("the refusal", || {
        code = second.child.try_wait().unwrap().and_then(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(75), "{}", scratch.log());
    assert!(daemon.stop().success());
    run("chmod", &["666".as_ref(), scratch.path("integrityd.conf").as_ref()]);
    let refused = scratch.ask(&["run"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(77), "{words}");
    assert!(words.contains("chmod go-w"), "{words}");
}

/// A state directory with a file system of 8 MiB to itself.
struct Small {
    state: PathBuf,
    _mounted: Mounted,
}

impl Small {
    /// Writes a file until nothing more goes in, and gives its path.
    fn fill(&self) -> PathBuf {
        let filler = self.state.join("filler");
        let _full = Command::new("dd").args(["if=/dev/zero", "bs=1k"]).arg(format!("of={}", filler.display())).output();
        filler
    }
}

fn on_a_small_disk(sink: &Sink) -> (Scratch, PathBuf, Small) {
    let (scratch, log) = with_log(sink);
    let state = scratch.path("state");
    fs::create_dir(&state).unwrap();
    let mounted = Mounted::new(&["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"], &state);
    (scratch, log, Small { state, _mounted: mounted })
}

/// What comes while nothing can be written at the start is told later.
fn change_before_the_start(scratch: &Scratch, log: &Path) {
    put(&scratch.tree().join("before-the-start"), "x");
    append(log, "token before the start");
}

fn is_all_told_from_before(scratch: &Scratch, sink: &Sink, daemon: Running) {
    let tokens = ["/before-the-start ", "token before the start", "could not be written for"];
    is_all_told(scratch, sink, daemon, &tokens);
}

fn text(sink: &Sink) -> String {
    sink.mails().iter().map(Mail::text).collect()
}

fn emergencies(sink: &Sink) -> usize {
    sink.mails().iter().filter(|mail| mail.subject().contains("EMERGENCY")).count()
}

/// A scratch with a log, and the configuration that reads it.
fn with_log(sink: &Sink) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let log = scratch.path("app.log");
    fs::write(&log, "").unwrap();
    scratch.configure(&format!(
        "{FAST}urgentholdoff = 1\nretrybase = 200ms\nlogchecktime = 1\nlog = {}\n{}",
        log.display(),
        sink.setting()
    ));
    fs::write(scratch.tree().join("file"), "x").unwrap();
    (scratch, log)
}

/// A daemon that has its baseline, has told it and has begun to read its log: what is written from now on is new.
fn settled(scratch: &Scratch, sink: &Sink) -> Running {
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    sink.wait_for(1);
    wait_for("the log", || {
        let status = scratch.status();
        status["logs"].as_array().is_some_and(|logs| !logs.is_empty())
    });
    daemon
}

fn append(log: &Path, line: &str) {
    use std::io::Write as _;
    writeln!(fs::File::options().append(true).open(log).unwrap(), "Nov 21 14:02:11 web3 app[1]: {line}").unwrap();
}

/// All of what was found and written while the ground shook is told once, and the chain is whole.
fn is_all_told(scratch: &Scratch, sink: &Sink, daemon: Running, tokens: &[&str]) {
    for token in tokens {
        wait_for(token, || text(sink).contains(token));
    }
    for token in tokens {
        assert_eq!(text(sink).matches(token).count(), 1, "{token}");
    }
    assert!(daemon.stop().success());
    assert!(scratch.ask(&["verify"]).status.success());
    let database = rusqlite::Connection::open(scratch.database()).unwrap();
    let found: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[test]
fn e1_a_full_file_system_is_told_from_memory_and_everything_is_caught_up() {
    let sink = Sink::start();
    let (scratch, log, small) = on_a_small_disk(&sink);
    let mut daemon = settled(&scratch, &sink);
    let filler = small.fill();
    for number in 0..40 {
        put(&scratch.tree().join(format!("full{number:02}")), "x");
    }
    for number in 0..100 {
        append(&log, &format!("token{number:03} {}", "x".repeat(200)));
    }
    wait_for("the emergency mail", || emergencies(&sink) == 1);
    let status = scratch.ask(&["status"]);
    assert_eq!(status.status.code(), Some(2), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(String::from_utf8_lossy(&status.stdout).contains("is full"), "{}", String::from_utf8_lossy(&status.stdout));
    sleep(Duration::from_secs(6));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    fs::remove_file(filler).unwrap();
    is_all_told(&scratch, &sink, daemon, &["/full00 ", "/full39 ", "could not be written for"]);
    assert_eq!(emergencies(&sink), 1);
    let lines = scratch.history().iter().filter(|event| event["event"]["action"][0] == "system-event").count();
    assert_eq!(lines, 100);
}

#[test]
fn e1_a_start_on_a_full_file_system_is_told_from_memory_and_waits_for_room() {
    let sink = Sink::start();
    let (scratch, log, small) = on_a_small_disk(&sink);
    assert!(settled(&scratch, &sink).stop().success());
    let filler = small.fill();
    change_before_the_start(&scratch, &log);
    let mut daemon = scratch.start();
    wait_for("the emergency mail", || emergencies(&sink) == 1);
    sleep(Duration::from_secs(6));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    fs::remove_file(filler).unwrap();
    is_all_told_from_before(&scratch, &sink, daemon);
    assert_eq!(emergencies(&sink), 1);
}

#[test]
fn e2_a_start_on_a_read_only_file_system_waits_and_ends_when_told() {
    let sink = Sink::start();
    let (scratch, log, small) = on_a_small_disk(&sink);
    assert!(settled(&scratch, &sink).stop().success());
    let remount =
        |how: &str| run("mount", &["-o".as_ref(), format!("remount,{how}").as_ref(), small.state.as_os_str()]);
    remount("ro");
    let lock = fs::File::open(small.state.join("integrityd.sqlite.lock")).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(scratch.ask(&["run"]).status.code(), Some(75), "another daemon is found by its lock");
    drop(lock);
    assert_eq!(scratch.ask(&["run", "--once"]).status.code(), Some(74), "what runs once waits for nothing");
    assert_eq!(emergencies(&sink), 0);
    let daemon = scratch.start();
    wait_for("the emergency mail", || emergencies(&sink) == 1);
    assert!(daemon.stop().success(), "{}", scratch.log());
    change_before_the_start(&scratch, &log);
    let daemon = scratch.start();
    wait_for("the emergency mail", || emergencies(&sink) == 2);
    remount("rw");
    is_all_told_from_before(&scratch, &sink, daemon);
    assert_eq!(emergencies(&sink), 2);
}

/// Has some calls of a process fail, until it is dropped; `None` where nobody may trace.
fn failing(daemon: &Running, injection: &str) -> Option<Child> {
    let mut tracer = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", injection, "-p"])
        .arg(daemon.pid().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    sleep(Duration::from_millis(500));
    if tracer.try_wait().unwrap().is_some() {
        println!("skipped: strace may not trace here");
        return None;
    }
    Some(tracer)
}

fn end_tracing(mut tracer: Child) {
    let _done = Command::new("kill").arg("-INT").arg(tracer.id().to_string()).status();
    tracer.wait().unwrap();
}

#[test]
fn e2_a_file_system_that_becomes_read_only_ends_nothing_and_loses_nothing() {
    let sink = Sink::start();
    let (scratch, log) = with_log(&sink);
    let mut daemon = settled(&scratch, &sink);
    // A file system that is in use is made read-only by its own faults only; what the program then sees is this.
    let Some(tracer) = failing(&daemon, "inject=pwrite64:error=EROFS") else { return };
    put(&scratch.tree().join("read-only"), "x");
    append(&log, "token while read-only");
    wait_for("the emergency mail", || emergencies(&sink) == 1);
    sleep(Duration::from_secs(4));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    end_tracing(tracer);
    is_all_told(&scratch, &sink, daemon, &["/read-only ", "token while read-only"]);
    assert_eq!(emergencies(&sink), 1);
}

#[test]
fn a_commit_that_the_disk_does_not_confirm_is_answered_by_a_new_generation() {
    let sink = Sink::start();
    let (scratch, log) = with_log(&sink);
    let daemon = settled(&scratch, &sink);
    let Some(tracer) = failing(&daemon, "inject=fsync,fdatasync:error=EIO:when=1") else { return };
    put(&scratch.tree().join("unknown"), "x");
    append(&log, "token of an unknown commit");
    wait_for("the renewal", || scratch.log().contains("the database is opened anew"));
    end_tracing(tracer);
    // Each thread of the daemon that writes has had a failure of its own.
    let words = "the disk did not confirm what was written";
    wait_for(words, || text(&sink).contains(words));
    is_all_told(&scratch, &sink, daemon, &["/unknown ", "token of an unknown commit"]);
}

#[test]
fn e5_another_process_that_holds_the_write_lock_costs_nothing_but_time() {
    let sink = Sink::start();
    let (scratch, log) = with_log(&sink);
    let mut daemon = settled(&scratch, &sink);
    let other = rusqlite::Connection::open(scratch.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    put(&scratch.tree().join("busy"), "x");
    append(&log, "token while busy");
    sleep(Duration::from_secs(10));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    is_all_told(&scratch, &sink, daemon, &["/busy ", "token while busy"]);
    assert_eq!(emergencies(&sink), 0);
}

#[test]
fn e10_a_reader_that_stays_keeps_the_journal_bounded() {
    let sink = Sink::start();
    let (scratch, _log) = with_log(&sink);
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let reader = rusqlite::Connection::open(scratch.database()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _events: i64 = reader.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).unwrap();
    let journal = scratch.path("state/integrityd.sqlite-wal");
    let mut longest = 0;
    for round in 0..20 {
        for number in 0..30 {
            put(&scratch.tree().join(format!("r{round}n{number}")), "x");
        }
        sleep(Duration::from_secs(1));
        longest = fs::metadata(&journal).unwrap().len();
        assert!(longest <= 64 << 20, "{longest} bytes after {round} s");
    }
    assert!(longest > 8 << 20, "{longest} bytes: too little for the test to tell anything");
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    let mut number = 0;
    wait_for("a short journal", || {
        // It is cut when it is begun anew.
        number += 1;
        put(&scratch.tree().join(format!("after{number}")), "x");
        fs::metadata(&journal).unwrap().len() <= 8 << 20
    });
    is_all_told(&scratch, &sink, daemon, &["/r19n29 ", "/after1 "]);
}

#[test]
fn e9_nobody_can_keep_the_daemon_from_its_lock() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    fs::set_permissions(scratch.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let lock = scratch.path("state/integrityd.sqlite.lock");
    let tried = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "flock", "-n"])
        .args([lock.as_os_str(), "true".as_ref()])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(!tried.status.success() && words.contains("Permission denied"), "{words}");
    assert!(daemon.stop().success());
}

#[test]
fn e11_a_state_directory_of_somebody_else_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    fs::create_dir(scratch.path("state")).unwrap();
    fs::set_permissions(scratch.path("state"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(scratch.path("state"), Some(12345), None).unwrap();
    let refused = scratch.ask(&["run"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(77), "{words}");
    assert!(words.contains("belongs to uid 12345") && words.contains("chown"), "{words}");
}
