//! `queue`, `show report` and `mail test` as an administrator meets them, beside a running daemon and without one.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::support::{
    PROGRAM, Scratch, put_program,
    sink::{Mode, Sink},
    wait_for,
};

/// The first attempt at once, the next after hours, and so long no second report.
const SLOW: &str = "filerate = 2000\nreporttime = 1\nreportholdoff = 1h\nretrybase = 1h\n";

/// How a command ends and what it prints, with what changes from run to run taken out.
fn shown(scratch: &Scratch, sink: &Sink, output: &Output) -> String {
    let text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = text.replace(&scratch.path("").display().to_string(), "/scratch/");
    text.replace(&format!(":{}", sink.port), ":PORT")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A daemon's state after its first report was refused; the daemon has been stopped.
fn refused() -> (Scratch, Sink) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.tree().join("file"), "x").unwrap();
    scratch.configure(&format!("{SLOW}{}", sink.setting()));
    sink.behave(Mode::Refuse("root@example.org".to_owned()));
    let daemon = scratch.start();
    wait_for("the refusal", || text(&scratch.ask(&["queue", "list"])).contains("last answer"));
    assert!(daemon.stop().success());
    (scratch, sink)
}

#[test]
fn what_waits_is_listed_shown_and_retried_beside_the_daemon() {
    let (scratch, sink) = refused();
    let daemon = scratch.start();
    let list = scratch.ask(&["queue", "list"]);
    assert_eq!(list.status.code(), Some(1));
    let words = text(&list);
    let row: Vec<&str> = words.lines().nth(1).unwrap().split_whitespace().take(4).collect();
    assert_eq!(row, ["1", "root@example.org", "queued", "1"], "{words}");
    let line = text(&scratch.ask(&["queue", "list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(
        (&json["report"], &json["to"], &json["state"]),
        (&1.into(), &"root@example.org".into(), &"queued".into())
    );
    assert!(json["next_seconds"].as_u64().unwrap() > 2000, "{line}");
    assert!(json["last_answer"].as_str().unwrap().contains("no such user"), "{line}");
    let mail = text(&scratch.ask(&["queue", "show", "1"]));
    assert!(mail.contains("\nSubject: [integrityd] web3.example: ") && mail.contains("baseline established"), "{mail}");
    assert_eq!(mail, text(&scratch.ask(&["show", "report", "1"])));
    let retry = scratch.ask(&["queue", "retry", "1"]);
    assert_eq!(retry.status.code(), Some(0), "{}", shown(&scratch, &sink, &retry));
    assert!(daemon.stop().success());
}

#[test]
fn a_retry_reaches_a_server_that_accepts_now_and_the_bytes_are_those_shown() {
    let (scratch, sink) = refused();
    sink.behave(Mode::Accept);
    let raw = scratch.ask(&["queue", "show", "1", "--raw"]).stdout;
    insta::assert_snapshot!(shown(&scratch, &sink, &scratch.ask(&["queue", "retry", "--all"])), @r"
    exit 0
    --- stdout
    1 delivery is due now
    --- stderr
    the daemon is not running; what is due is sent when it is started
    ");
    let daemon = scratch.start();
    let mails = sink.wait_for(1);
    assert!(mails[0].bytes == raw, "{}", String::from_utf8_lossy(&mails[0].bytes));
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    assert!(daemon.stop().success());
    insta::assert_snapshot!(shown(&scratch, &sink, &scratch.ask(&["queue", "list"])), @r"
    exit 0
    --- stdout
    --- stderr
    no report waits; events that are in no report yet: 1 (the daemon, or run --once, makes one of them)
    ");
}

#[test]
fn a_retry_beside_a_running_daemon_is_tried_within_seconds() {
    let (scratch, sink) = refused();
    let daemon = scratch.start();
    sink.behave(Mode::Accept);
    // The daemon itself would try again in hours.
    std::thread::sleep(Duration::from_secs(2));
    assert!(sink.mails().is_empty());
    assert_eq!(scratch.ask(&["queue", "retry", "1"]).status.code(), Some(0));
    sink.wait_for(1);
    assert!(daemon.stop().success());
}

#[test]
fn a_drop_needs_a_yes_and_is_told() {
    let (scratch, sink) = refused();
    let mut all = String::new();
    for arguments in [
        &["queue", "drop", "1"][..],
        &["queue", "drop", "1", "7", "--yes"],
        &["queue", "retry", "7"],
        &["queue", "show", "7"],
        &["queue", "retry"],
        &["queue", "drop", "1", "--yes"],
        &["queue", "list"],
        &["queue", "drop", "1", "--yes"],
        &["queue", "retry", "--all"],
    ] {
        all += &format!("$ integrityd {}\n{}", arguments.join(" "), shown(&scratch, &sink, &scratch.ask(arguments)));
    }
    insta::assert_snapshot!("queue_words", all);
    let last = scratch.history().pop().unwrap();
    let words = last.to_string();
    assert!(words.contains("report 1 was dropped by uid") && words.contains("root@example.org"), "{words}");
    assert!(text(&scratch.ask(&["show", "report", "1"])).contains("baseline established"));
    assert_eq!(scratch.ask(&["verify"]).status.code(), Some(0));
}

#[test]
fn on_a_terminal_a_drop_asks_first() {
    let (scratch, _sink) = refused();
    let answered = |answer: &str| {
        let command = format!("{PROGRAM} --config {} queue drop 1", scratch.path("integrityd.conf").display());
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        text(&child.wait_with_output().unwrap())
    };
    let no = answered("n\n");
    assert!(no.contains("report 1 to root@example.org") && no.contains("nothing was dropped"), "{no}");
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(1));
    let yes = answered("y\n");
    assert!(yes.contains("dropped report 1, undelivered to root@example.org"), "{yes}");
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(0));
}

#[test]
fn a_test_mail_says_what_became_of_it() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let mut all = String::new();
    let mut test = |more: &[&str]| {
        let arguments = [&["mail", "test"], more].concat();
        let output = scratch.ask(&arguments);
        all += &format!("$ integrityd {}\n{}", arguments.join(" "), shown(&scratch, &sink, &output));
    };
    test(&[]);
    scratch.configure(&format!("email = second@example.org\n{}", sink.setting()));
    test(&[]);
    sink.behave(Mode::Refuse("second@example.org".to_owned()));
    test(&[]);
    sink.behave(Mode::Busy);
    test(&["--to", "other@example.org"]);
    test(&["--to", "a b"]);
    put_program(&scratch.path("sendmail"), "cat > $0.mail; echo queued as 4711");
    scratch.configure(&format!("mail = sendmail:{}", scratch.path("sendmail").display()));
    test(&[]);
    insta::assert_snapshot!("mail_test_words", all);
    let mails = sink.mails();
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].subject(), "[integrityd] web3.example: test mail");
    assert!(
        fs::read_to_string(scratch.path("sendmail.mail")).unwrap().contains("\nSubject: [integrityd] web3.example: ")
    );
    assert!(!scratch.path("state").exists(), "it needs no database");
}

#[test]
fn a_sendmail_program_that_hangs_does_not_hold_up_the_end_of_the_daemon() {
    let scratch = Scratch::new();
    put_program(&scratch.path("sendmail"), "sleep 30 & echo $! > $0.child; wait");
    scratch.configure(&format!("{SLOW}mail = sendmail:{}", scratch.path("sendmail").display()));
    let daemon = scratch.start();
    wait_for("the program", || scratch.path("sendmail.child").exists());
    assert!(daemon.stop().success());
    let child = fs::read_to_string(scratch.path("sendmail.child")).unwrap();
    let is_alive = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    wait_for("the end of the program", || !is_alive());
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(1), "the report is kept");
}
