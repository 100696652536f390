//! What faults of our own code cost: the item they happen at, or the whole daemon, and nothing between.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets the unexpected shall fail")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::net::UnixDatagram,
    process::ExitStatus,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    Running, Scratch, put,
    sink::{Mail, Sink},
    wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 0\nreportholdoff = 0\nurgentholdoff = 0\n\
                    retrybase = 200ms\nlogchecktime = 1\n";
const MOST: Duration = Duration::from_secs(15);

fn configured(more: &str) -> (Scratch, Sink) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{more}\n{}", sink.setting()));
    (scratch, sink)
}

fn started(scratch: &Scratch, faults: &str) -> Running {
    scratch.start_with(&[("INTEGRITYD_FAULT", faults)])
}

/// Paths or names of the items of all internal errors, and what is said of them.
fn errors(scratch: &Scratch) -> Vec<String> {
    let is_error = |event: &Value| event["event"]["action"][0] == "internal-error";
    scratch
        .history()
        .iter()
        .filter(|event| is_error(event))
        .map(|event| event["event"]["reason"].as_str().unwrap().to_owned())
        .collect()
}

fn is_added(scratch: &Scratch, name: &str) -> bool {
    let is_it = |event: &Value| {
        event["event"]["action"][0] == "added"
            && event["file"]["path"].as_str().is_some_and(|path| path.ends_with(name))
    };
    scratch.history().iter().any(is_it)
}

fn told(mails: &[Mail], words: &str) -> bool {
    mails.iter().any(|mail| mail.text().contains(words))
}

#[test]
fn h6_a_panic_at_one_path_costs_that_path_and_is_told_once() {
    let (scratch, sink) = configured("");
    let daemon = started(&scratch, "look:bo\u{1b}om list:dir");
    scratch.wait_for_baseline();
    for name in ["bo\u{1b}om", "other", "after"] {
        put(&scratch.tree().join(name), "x");
    }
    fs::create_dir(scratch.tree().join("dir")).unwrap();
    wait_for("the others", || ["other", "after", "dir"].iter().all(|name| is_added(&scratch, name)));
    wait_for("both errors", || errors(&scratch).len() == 2);
    // Rounds of a few milliseconds go on, and nobody comes to it again.
    let rounds = scratch.rounds();
    wait_for("rounds", || scratch.rounds() >= rounds + 3);
    assert_eq!(errors(&scratch).len(), 2);
    wait_for("the mail", || told(&sink.mails(), "internal error") && told(&sink.mails(), r"bo\x1bom"));
    assert!(daemon.stop().success());
    let log = scratch.log();
    let said = log.lines().filter(|line| line.contains("a fault in integrityd place=")).count();
    assert_eq!(said, 2, "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains("stack backtrace"), "{log}");
}

#[test]
fn h6_a_panic_at_a_log_or_a_line_leaves_the_others() {
    let (scratch, _sink) = configured("");
    let (good, bad) = (scratch.path("good.log"), scratch.path("bad.log"));
    for log in [&good, &bad] {
        File::create(log).unwrap();
    }
    let rules = scratch.path("rules");
    fs::create_dir(&rules).unwrap();
    scratch.configure(&format!(
        "{FAST}logrules = {}\nlog = {}\nlog = {}\nmail = stdout:\n",
        rules.display(),
        good.display(),
        bad.display()
    ));
    let daemon = started(&scratch, "log:bad.log line:poison");
    wait_for("the fault at a log", || errors(&scratch).len() == 1);
    wait_for("the other log", || {
        let status = scratch.status();
        status["logs"].as_array().is_some_and(|logs| logs.iter().any(|log| log.to_string().contains("good.log")))
    });
    let mut log = File::options().append(true).open(&good).unwrap();
    for line in ["one", "two poison", "three poison", "four"] {
        writeln!(log, "Nov 21 14:02:11 web3 app: {line}").unwrap();
    }
    let lines = || {
        let history = scratch.history();
        let text = |event: &Value| event["event"]["original"].as_str().map(str::to_owned);
        history.iter().filter_map(text).collect::<Vec<_>>()
    };
    wait_for("all lines", || lines().len() == 4);
    wait_for("the fault at a line", || errors(&scratch).len() == 2);
    assert!(daemon.stop().success());
    assert_eq!(errors(&scratch).len(), 2, "two lines are one fault");
}

#[test]
fn h6_a_panic_in_a_report_leaves_its_counts() {
    let (scratch, sink) = configured("");
    let daemon = started(&scratch, "render:files");
    wait_for("counts", || sink.mails().iter().any(|mail| mail.subject().contains("in counts only")));
    wait_for("the error", || errors(&scratch).len() == 1);
    put(&scratch.tree().join("new"), "x");
    wait_for("the next counts", || told(&sink.mails(), "  1 added\n"));
    assert!(daemon.stop().success());
    assert_eq!(errors(&scratch).len(), 1);
}

#[test]
fn a_report_over_which_the_program_falls_is_made_in_counts_only() {
    // One that a mail could list is tried again, for most often somebody has ended the program; a larger one is not.
    for (setting, falls) in [("reportlines = 1", 1), ("", 6)] {
        let (scratch, sink) = configured(setting);
        for number in 0..3 {
            put(&scratch.tree().join(format!("f{number}")), "x");
        }
        assert!(scratch.ask(&["init", "-q"]).status.success());
        put(&scratch.tree().join("more"), "x");
        assert_eq!(scratch.ask(&["check", "--update", "-q"]).status.code(), Some(1));
        for fall in 0..falls {
            assert!(!ended(started(&scratch, "fall:files")).success(), "{setting}: fall {fall}");
            assert_eq!(sink.mails().len(), 0);
        }
        let daemon = started(&scratch, "fall:files");
        wait_for("counts", || sink.mails().iter().any(|mail| mail.subject().contains("in counts only")));
        assert!(told(&sink.mails(), "integrityd ended while it wrote this report in full"));
        // Nothing is wrong with the next one.
        daemon.kill();
        let daemon = scratch.start();
        put(&scratch.tree().join("new"), "x");
        wait_for("the next report", || told(&sink.mails(), "/new"));
        assert!(daemon.stop().success());
    }
}

#[test]
fn h6_a_panic_in_a_delivery_leaves_the_other_recipients_theirs() {
    let (scratch, sink) = configured("email = poison@example.org");
    let daemon = started(&scratch, "send:poison@example.org");
    wait_for("the other's", || sink.mails().iter().any(|mail| mail.recipient == "root@example.org"));
    wait_for("the error", || errors(&scratch).len() == 1);
    let queue = String::from_utf8(scratch.ask(&["queue", "list"]).stdout).unwrap();
    assert!(queue.contains("poison@example.org") && queue.contains("a fault in integrityd"), "{queue}");
    assert!(daemon.stop().success());
    // Nothing is lost.
    let daemon = scratch.start();
    assert!(scratch.ask(&["queue", "retry", "--all"]).status.success());
    wait_for("his", || sink.mails().iter().any(|mail| mail.recipient == "poison@example.org"));
    assert!(daemon.stop().success());
}

fn ended(mut daemon: Running) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = daemon.child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < MOST, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn h6_a_scheduler_that_ends_or_panics_ends_all_and_is_told_at_the_next_start() {
    for (fault, words) in [
        ("end:the-file-walker", "the file walker ended unasked"),
        ("panic:the-courier", "the courier (a fault was wanted: panic the-courier) ended unasked"),
    ] {
        let (scratch, sink) = configured("");
        put(&scratch.tree().join("f"), "x");
        assert_eq!(ended(started(&scratch, fault)).code(), Some(70), "{}", scratch.log());
        assert!(!told(&sink.mails(), "ended unasked"));
        let daemon = scratch.start();
        wait_for("the notice", || told(&sink.mails(), words));
        assert!(daemon.stop().success());
    }
}

/// What a service manager is told.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(scratch: &Scratch) -> Self {
        let path = scratch.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned() }
    }

    /// Everything that comes within `time`.
    fn hear(&self, time: Duration) -> Vec<String> {
        let (begun, mut heard) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let mut buffer = [0; 4096];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
        heard
    }
}

#[test]
fn i4_the_watchdog_is_fed_until_a_scheduler_stands_still() {
    let (scratch, _sink) = configured("");
    put(&scratch.tree().join("f"), "x");
    let manager = Manager::new(&scratch);
    let environment = [
        ("NOTIFY_SOCKET", manager.path.as_str()),
        ("WATCHDOG_USEC", "400000"),
        ("INTEGRITYD_FAULT", "stall:the-file-walker patience:1"),
    ];
    let daemon = scratch.start_with(&environment);
    let fed = |heard: &[String]| heard.iter().filter(|words| words.contains("WATCHDOG=1")).count();
    let heard = manager.hear(Duration::from_secs(2));
    assert!(fed(&heard) >= 3 && heard.iter().any(|words| words.contains("READY=1")), "{heard:?}");
    assert!(heard.iter().any(|words| words.contains("STATUS=watching")), "{heard:?}");
    wait_for("the standstill", || {
        scratch.log().contains("a task stands still; the watchdog is not fed task=the file walker")
    });
    // What was sent before that.
    manager.hear(Duration::from_millis(300));
    assert_eq!(fed(&manager.hear(Duration::from_secs(1))), 0);
    let status = scratch.ask(&["status"]);
    let words = String::from_utf8(status.stdout).unwrap();
    assert!(words.contains("the file walker stopped working"), "{words}");
    assert_eq!(status.status.code(), Some(2));
    daemon.kill();
    // Without that fault it is fed on and on.
    let daemon = scratch.start_with(&environment[..2]);
    manager.hear(Duration::from_secs(1));
    assert!(fed(&manager.hear(Duration::from_secs(1))) >= 3);
    assert!(!String::from_utf8(scratch.ask(&["status"]).stdout).unwrap().contains("stopped working"));
    assert!(daemon.stop().success());
}
