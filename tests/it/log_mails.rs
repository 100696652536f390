//! Log lines from the store to the mail, to `history` and to `show`: every section has its room, and nothing others wrote is
//! repeated in our own log.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use integrityd::{
    config::settings::config::Pooling,
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        event::{Category, Channel, Event, LogLine, Severity},
        keepalive::Keepalive,
    },
    report::{
        Reporter,
        mail::mime::plain_text,
        task::{
            composer::{Audience, MailForm, ReportComposer},
            pool::Pool,
        },
    },
    store::{
        db::Db,
        events::outcome::{Outcome, StoredFinding},
        outbox::reports::ReportId,
        sqlite::connection::Store,
    },
};
use jiff::tz::TimeZone;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::{Scratch, unwrapped};

/// 2026-11-21T12:00:00Z.
const BEGIN: i64 = 1_795_262_400_000_000_000;

fn at() -> Moment {
    Moment { wall: Timestamp::from_nanos(BEGIN), boottime: Boottime::from_nanos(0), boot: BootId::default() }
}

fn line(category: Category, log: &[u8], text: &[u8]) -> Event {
    let (severity, rule): (_, &[u8]) = match category {
        Category::Cracking => (Severity::Critical, b"/etc/logcheck/cracking.d/sshd:7"),
        Category::Violation => (Severity::High, b"/etc/logcheck/violations.d/sudo:3"),
        _ => (Severity::Normal, b""),
    };
    let length = u64::try_from(text.len()).unwrap();
    let line = Some(LogLine { rule: rule.to_vec(), length, digest: None });
    Event { line, ..Event::new(category, severity, at(), log.to_vec()).with_note(text) }
}

fn store(scratch: &Scratch, events: impl IntoIterator<Item = Event>) -> Store {
    scratch.configure("mail = stdout:");
    let mut store = Store::open(&scratch.database(), at()).unwrap();
    let events = events.into_iter().map(StoredFinding::from).collect();
    store.commit(&Outcome { events, ..Outcome::default() }).unwrap();
    store
}

fn composer(lines: usize, clock: Clock) -> ReportComposer {
    ReportComposer {
        host: "web3".to_owned(),
        from: "integrityd@web3".to_owned(),
        readerships: vec![Audience { recipients: vec!["root@localhost".to_owned()], areas: None }],
        lines,
        zone: TimeZone::UTC,
        clock,
        program: "integrityd".to_owned(),
        form: MailForm::default(),
    }
}

/// The subject and the text of report `number`.
fn letter(store: &Store, number: i64) -> (String, String) {
    let (_, bytes) = store.message(ReportId(number)).unwrap();
    let (headers, text) = plain_text(&bytes);
    let subject = headers.into_iter().find(|(name, _)| name == "Subject").unwrap().1;
    (subject, unwrapped(&text))
}

/// Makes what waits in `channel` into report `number` with at most `lines` items a section; gives its subject and text.
fn mail(store: &mut Store, channel: Channel, lines: usize, number: i64) -> (String, String) {
    assert!(composer(lines, Clock::System(BootId::default())).batch(store, channel).unwrap());
    letter(store, number)
}

#[test]
fn a_thousand_alerts_leave_room_for_every_other_section() {
    let scratch = Scratch::new();
    let alerts = (0..1500).map(|n| line(Category::Cracking, b"/var/log/auth.log", format!("attack {n}").as_bytes()));
    let rest = [
        line(Category::Violation, b"/var/log/auth.log", b"one violation"),
        line(Category::SystemEvent, b"/var/log/syslog", b"one system event"),
        Event::new(Category::LogTrouble, Severity::Low, at(), b"/var/log/mail.log".to_vec()).with_note("shrunk"),
        Event::new(Category::Notice, Severity::Low, at(), Vec::new()).with_note("one notice"),
    ];
    let files = (0..1500).map(|n| Event::new(Category::Added, Severity::High, at(), format!("/etc/f{n}").into_bytes()));
    let mut store = store(&scratch, alerts.chain(files).chain(rest));
    let (subject, text) = mail(&mut store, Channel::Logs, 20, 1);
    assert!(
        subject.ends_with(
            "security alerts: 1,500 (cracking), security events: 1 (violations), 1 log in trouble, 1 other log line"
        ),
        "{subject}"
    );
    for wanted in [
        "attack 0\n",
        "attack 9\n",
        "attack 1499\n",
        "…and 1,480 more: ",
        "--kind log --limit 1503\n        1,480 in /var/log/auth.log\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    for wanted in ["      one violation\n", "      one system event\n", "        shrunk\n"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("COVERAGE"), "coverage where nothing is watched: {text}");
    let (_, text) = mail(&mut store, Channel::Files, 20, 2);
    assert!(text.contains("/etc/f0 ") && text.contains("\n        one notice\n"), "{text}");
}

#[test]
fn a_flood_of_long_lines_makes_a_bounded_mail() {
    let scratch = Scratch::new();
    let text = |n: u32| [format!("{n} ").into_bytes(), vec![0xff; 65_000]].concat();
    let mut store = store(&scratch, (0..600).map(|n| line(Category::SystemEvent, b"/var/log/syslog", &text(n))));
    let (subject, text) = mail(&mut store, Channel::Logs, 1000, 1);
    assert!(text.len() < 600_000, "{} bytes", text.len());
    assert!(subject.ends_with("600 log lines"), "{subject}");
    let shown = text.matches("a line of 65,00").count();
    let left = format!("…and {} more: integrityd history", 600 - shown);
    assert!(shown >= 20 && text.contains(&left), "{shown} shown");
    assert!(text.contains("\n      0 \\xff") && text.contains("\n      599 \\xff"));
}

/// 40 minutes of the reporter, with a violation every 600 ms for ten of them, and system events before.
#[tokio::test(start_paused = true)]
async fn a_thousand_violations_are_four_mails_and_the_first_carries_all_that_waits() {
    let scratch = Scratch::new();
    let system = |text: &str| line(Category::SystemEvent, b"/var/log/syslog", text.as_bytes());
    let store = store(&scratch, [system("waits already")]);
    let clock = Clock::starting_at(at());
    let (bell, db, stop) = (Arc::clone(store.bells().of(Channel::Logs)), Db::new(store), CancellationToken::new());
    let ordinary = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(15) };
    let reporter = Reporter {
        channel: Channel::Logs,
        pool: Pool { ordinary, urgent_hold_off: Duration::from_mins(1) },
        db: db.clone(),
        clock: clock.clone(),
        composer: Arc::new(composer(1000, clock.clone())),
        bell,
        delivery: Arc::new(Notify::new()),
        pulse: Keepalive::default(),
        stop: stop.clone(),
    };
    let running = tokio::spawn(reporter.run());
    for number in 0..1000 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let found =
            Event { found: clock.now(), ..line(Category::Violation, b"journal", format!("no {number}").as_bytes()) };
        db.call(move |store| store.commit(&Outcome::tell(found))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_mins(30)).await;
    stop.cancel();
    running.await.unwrap();
    let store = db.lock();
    let mails = store.next_report().unwrap().0 - 1;
    assert_eq!(mails, 4, "after 5 s, 1 min, 6 min and 21 min");
    let (subject, text) = letter(&store, 1);
    assert!(text.contains("      waits already\n") && text.contains("      no 0\n"), "{text}");
    assert!(subject.contains("(violations), 1 other log line"), "{subject}");
    assert!(store.waiting(Channel::Logs).unwrap().is_none(), "something was left behind");
}

/// What is written into our own log.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_word_of_a_log_reaches_our_own_log() {
    let scratch = Scratch::new();
    let mut store = store(
        &scratch,
        [
            line(Category::Cracking, b"/var/log/hush", b"Nov 21 14:02:11 web3 hush"),
            line(Category::Violation, b"/var/log/hush", b"hush"),
            line(Category::SystemEvent, b"/var/log/hush", b"hush"),
            Event::new(Category::LogTrouble, Severity::High, at(), b"/var/log/hush".to_vec()).with_note("hush"),
        ],
    );
    // Alone, a line is named in the subject.
    let alone = Outcome::tell(line(Category::SystemEvent, b"/var/log/hush", b"hush"));
    let journal = Journal::default();
    let writer = journal.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While tracing knows of one dispatcher only, a thread of another test, which has none, decides for all that nobody wants to hear a
    // place in the code that it is the first to reach.
    let _another = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    tracing::subscriber::with_default(subscriber, || {
        mail(&mut store, Channel::Logs, 20, 1);
        store.commit(&alone).unwrap();
        let (subject, _) = mail(&mut store, Channel::Logs, 20, 2);
        assert!(subject.ends_with("system event: hush"), "{subject}");
    });
    let written = String::from_utf8(journal.0.lock().unwrap().clone()).unwrap();
    let wanted = "report 1: 1 security alert (Security Alerts), 1 security event (Security Events), \
                  1 log line (System Events), 1 log trouble\n";
    assert!(written.contains(wanted) && !written.contains("hush"), "{written}");
    assert!(written.ends_with("report 2: 1 log line (System Events)\n"), "{written}");
}

#[test]
fn history_and_show_know_log_lines() {
    let scratch = Scratch::new();
    let long = [&b"Nov 21 14:02:11 web3 httpd: "[..], &vec![b'A'; 60_000], b"end"].concat();
    drop(store(
        &scratch,
        [
            line(Category::Cracking, b"/var/log/auth.log", b"Nov 21 14:02:11 web3 sshd: \x1b[2J attack"),
            line(Category::SystemEvent, b"/var/log/httpd/error.log", &long),
            Event::new(Category::Rules, Severity::High, at(), b"/etc/logcheck".to_vec()).with_note("x:3: fault"),
            Event::new(Category::Added, Severity::High, at(), b"/etc/f".to_vec()),
        ],
    ));
    let ask = |arguments: &[&str]| {
        let output = scratch.ask(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        unwrapped(&String::from_utf8(output.stdout).unwrap())
    };
    let text = ask(&["history", "--kind", "log"]);
    for wanted in [
        "  CRITICAL  security alert  /var/log/auth.log\n      rule /etc/logcheck/cracking.d/sshd:7\n        Nov 21 14:02:11 web3 sshd: \\x1b[2J attack\n",
        "… +55935 bytes, blake3=",
        "      a line of 60,031 bytes: ",
        "  HIGH  rules · ",
        "        x:3: fault\n",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("/etc/f"), "{text}");
    let whole = ask(&["show", "2"]);
    assert!(whole.contains("AAAend\n") && !whole.contains("blake3="), "not all of the line is shown");
    assert!(ask(&["history", "--path", "/var/log/*"]).contains("auth.log"));
    assert!(!ask(&["history", "--path", "/var/log/*"]).contains("error.log"));
    let shown: serde_json::Value = serde_json::from_str(&ask(&["show", "1", "--json"])).unwrap();
    assert_eq!(shown["event"]["original"], r"Nov 21 14:02:11 web3 sshd: \x1b[2J attack");
    assert_eq!(shown["log"]["file"]["path"], "/var/log/auth.log");
    assert_eq!(shown["rule"]["name"], "/etc/logcheck/cracking.d/sshd:7");
    assert_eq!(ask(&["history", "--json", "--kind", "log"]).lines().count(), 3);
}
