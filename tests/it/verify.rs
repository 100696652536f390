//! `verify`: the chain against itself, and against the mails that were sent of it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        event::{Category, Channel, Event, Member, Severity},
    },
    report::task::composer::{Audience, MailForm, ReportComposer},
    store::{
        events::outcome::{Outcome, StoredFinding},
        outbox::reports::ReportId,
        sqlite::{connection::Store, error::StoreError},
    },
};
use jiff::tz::TimeZone;

use crate::support::{Scratch, seen_file, shown, wait_for};

/// 2026-11-21T12:00:00Z.
pub(crate) const BEGIN: i64 = 1_795_262_400_000_000_000;

pub(crate) fn at(seconds: u64) -> Moment {
    let start = Moment {
        wall: Timestamp::from_nanos(BEGIN),
        boottime: Boottime::from_nanos(1_000_000_000),
        boot: BootId([3; 16]),
    };
    start.after(Duration::from_secs(seconds))
}

pub(crate) fn open(scratch: &Scratch) -> Store {
    scratch.configure("mail = stdout:");
    // A child that another test starts has the lock open as well until it becomes its program.
    let mut store = None;
    wait_for("the database", || {
        store = match Store::open(&scratch.database(), at(0)) {
            Err(StoreError::Running { .. }) => None,
            opened => Some(opened.unwrap()),
        };
        store.is_some()
    });
    store.unwrap()
}

fn changed(name: &str, seconds: u64) -> Event {
    Event::new(Category::Changed, Severity::Normal, at(seconds), format!("/etc/{name}").into_bytes())
}

/// Commits `events` events found at `seconds`, makes them into the next report and has it accepted by `to`.
pub(crate) fn report(store: &mut Store, events: u64, seconds: u64, to: &str) -> ReportId {
    let outcome =
        (0..events).fold(Outcome::default(), |outcome, n| outcome.with_event(changed(&format!("f{n}"), seconds)));
    store.commit(&outcome).unwrap();
    batch(store, seconds, to);
    let (due, _) = store.due_deliveries(at(seconds)).unwrap();
    for delivery in &due {
        store.mark_sent(delivery, "250 ok", at(seconds)).unwrap();
    }
    due[0].report
}

pub(crate) fn batch(store: &mut Store, seconds: u64, to: &str) {
    let composer = ReportComposer {
        host: "web3".to_owned(),
        from: "integrityd@web3".to_owned(),
        readerships: vec![Audience { recipients: vec![to.to_owned()], areas: None }],
        lines: 10,
        zone: TimeZone::UTC,
        clock: Clock::starting_at(at(seconds)),
        program: "integrityd".to_owned(),
        form: MailForm::default(),
    };
    assert!(composer.batch(store, Channel::Files).unwrap());
}

/// Three reports of 3, 1 and 4 events, written as mails into a directory.
fn mailed(scratch: &Scratch) -> PathBuf {
    let mut store = open(scratch);
    for (number, events) in (0..).zip([3, 1, 4]) {
        report(&mut store, events, number, "root@example.org");
    }
    save(scratch, &store, 1..=3)
}

fn save(scratch: &Scratch, store: &Store, reports: impl IntoIterator<Item = i64>) -> PathBuf {
    let directory = scratch.path("mails");
    fs::create_dir_all(&directory).unwrap();
    for id in reports {
        fs::write(directory.join(format!("{id}.eml")), store.message(ReportId(id)).unwrap().1).unwrap();
    }
    directory
}

/// What `verify --mails` prints, a line each, and its exit code.
fn verify(scratch: &Scratch, mails: &Path) -> (Option<i32>, Vec<String>) {
    let output = scratch.ask(&["verify", "--mails", mails.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text.lines().map(str::to_owned).collect())
}

fn tamper(scratch: &Scratch, sql: &str) {
    let db = rusqlite::Connection::open(scratch.database()).unwrap();
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}; PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
}

#[test]
fn i1_verify_names_the_event_that_was_changed_removed_or_exchanged() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let sources = [&b"/srv/old"[..], b"/srv/old/a", b"/srv/old/b"];
    let members = sources.map(|path| Member { source: path.to_vec(), old: seen_file() }).to_vec();
    let summary = Event { count: 3, ..Event::new(Category::Removed, Severity::Normal, at(1), b"/srv/old".to_vec()) };
    let found = StoredFinding::from;
    let events = vec![
        found(changed("one", 1)),
        found(changed("two", 1)),
        StoredFinding { event: summary, members: members.into() },
        found(changed("four", 1)),
        found(changed("five", 1)),
    ];
    store.commit(&Outcome { events, ..Outcome::default() }).unwrap();
    drop(store);
    let whole = fs::read(scratch.database()).unwrap();
    let flip = "UPDATE event SET canonical = CAST(substr(canonical, 1, 80) || x'00' || substr(canonical, 82) AS BLOB)";
    let swap = "UPDATE event SET seq = 1002 WHERE seq = 2; UPDATE event SET seq = 2 WHERE seq = 4; UPDATE event SET seq = 4 \
                WHERE seq = 1002";
    for (sql, seq) in [
        (format!("{flip} WHERE seq = 4").as_str(), 4),
        ("DELETE FROM event WHERE seq = 2", 2),
        ("DELETE FROM event WHERE seq = 5", 5),
        (swap, 2),
        ("UPDATE event_member SET source = x'2f' WHERE n = 2", 3),
        ("DELETE FROM event_member WHERE n = 3", 3),
        (
            "UPDATE event_member SET n = 9 WHERE n = 1; UPDATE event_member SET n = 1 WHERE n = 2; UPDATE event_member SET n = 2 \
             WHERE n = 9",
            3,
        ),
        ("INSERT INTO checkpoint SELECT 1, seq, hash FROM event WHERE seq = 2; DELETE FROM event WHERE seq <= 2", 2),
    ] {
        tamper(&scratch, sql);
        let output = scratch.ask(&["verify"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("the chain of events is broken at {seq}: ")), "{sql}: {text}");
        assert_eq!(output.status.code(), Some(1));
        let json = String::from_utf8(scratch.ask(&["verify", "--json"]).stdout).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["finding"].as_str(), json["seq"].as_u64()), (Some("chain"), Some(seq)));
        fs::write(scratch.database(), &whole).unwrap();
        let _gone = fs::remove_file(scratch.path("state/integrityd.sqlite-wal"));
        let _gone = fs::remove_file(scratch.path("state/integrityd.sqlite-shm"));
    }
    assert!(scratch.ask(&["verify"]).status.success());
}

#[test]
fn mails_that_agree_with_the_store_are_no_finding_in_whatever_box_they_lie() {
    let scratch = Scratch::new();
    let directory = mailed(&scratch);
    let mail = |id: i64| fs::read_to_string(directory.join(format!("{id}.eml"))).unwrap();
    // A Maildir, with a copy for another recipient and a mail of somebody else.
    let maildir = scratch.path("Maildir");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    for (name, text) in [
        ("cur/1:2,S", mail(1)),
        ("cur/2:2,S", mail(2)),
        ("new/3", mail(3)),
        ("new/4", mail(3)),
        ("new/5", "From: a@b\nMessage-ID: <1@b>\n\nhello\n".to_owned()),
    ] {
        fs::write(maildir.join(name), text).unwrap();
    }
    // An mbox as mboxrd and mboxo write it, with line ends of this system.
    let mut mbox = "From me Sat Nov 21\nSubject: hello\n\n>From here\n>>From there\n\n".to_owned();
    for id in 1..=3 {
        write!(mbox, "From MAILER-DAEMON Sat Nov 21 14:10:02 2026\n{}\n", mail(id).replace("\r\n", "\n")).unwrap();
    }
    fs::write(scratch.path("mbox"), mbox).unwrap();
    for (place, foreign) in [(directory.as_path(), 0), (&maildir, 1), (&scratch.path("mbox"), 1)] {
        let (code, lines) = verify(&scratch, place);
        assert_eq!(code, Some(0), "{lines:?}");
        assert_eq!(lines[1..], [format!("3 mails compared, {foreign} of others passed over: 0 findings")]);
    }
    // A pipe in the place of a mail keeps nobody waiting.
    rustix::fs::mkfifoat(rustix::fs::CWD, directory.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    assert_eq!(verify(&scratch, &directory).0, Some(0));
    assert_eq!(scratch.ask(&["verify", "--mails", "/nowhere"]).status.code(), Some(74));
}

#[test]
fn the_head_in_a_mail_is_that_of_the_last_event_it_tells_of() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    store.commit(&Outcome::tell(changed("one", 0))).unwrap();
    // The chain goes on in the other channel before the report is made.
    let line = Event::new(Category::LogTrouble, Severity::Normal, at(0), b"/var/log/syslog".to_vec());
    store.commit(&Outcome::tell(line)).unwrap();
    batch(&mut store, 1, "root@example.org");
    let hash = store.event(1).unwrap().unwrap().hash;
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = integrityd::report::mail::mime::plain_text(&store.message(ReportId(1)).unwrap().1).1;
    assert!(text.contains(&format!("\nSEQ  1  head {hash}\n")), "{text}");
    save(&scratch, &store, [1]);
    drop(store);
    assert_eq!(verify(&scratch, &scratch.path("mails")).0, Some(0));
}

#[test]
fn a_chain_made_anew_that_is_whole_in_itself_is_not_the_one_that_was_mailed() {
    let scratch = Scratch::new();
    let directory = mailed(&scratch);
    let uuid = Store::open_read_only(&scratch.database()).unwrap().uuid();
    // Root writes the same history without one finding, under the same name.
    fs::remove_dir_all(scratch.path("state")).unwrap();
    let mut store = open(&scratch);
    for (number, events) in (0..).zip([3, 1, 4]) {
        let outcome =
            (0..events).fold(Outcome::default(), |outcome, n| outcome.with_event(changed(&format!("g{n}"), number)));
        store.commit(&outcome).unwrap();
        batch(&mut store, number, "root@example.org");
    }
    drop(store);
    let bytes: String = uuid.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let new = Store::open_read_only(&scratch.database()).unwrap().uuid().to_string();
    tamper(
        &scratch,
        &format!(
            "UPDATE instance SET uuid = x'{bytes}'; UPDATE report SET message_id = replace(message_id, '{new}', '{uuid}')"
        ),
    );
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1));
    assert!(lines[0].starts_with("the chain is whole"), "{lines:?}");
    let rewritten = lines.iter().filter(|line| line.contains(": REWRITTEN: ")).count();
    assert_eq!(rewritten, 3, "{lines:?}");
    assert!(lines[1].starts_with("report 1 of events 1-3: REWRITTEN: event 3 was mailed with head "), "{lines:?}");
}

#[test]
fn a_whole_state_directory_that_was_put_back_is_found_by_the_mails() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    report(&mut store, 3, 0, "root@example.org");
    drop(store);
    let copy = fs::read(scratch.database()).unwrap();
    let mut store = open(&scratch);
    for number in 1..=3 {
        report(&mut store, 2, number, "root@example.org");
    }
    let mails = save(&scratch, &store, 1..=4);
    drop(store);
    assert_eq!(verify(&scratch, &mails).0, Some(0));
    fs::write(scratch.database(), copy).unwrap();
    let _gone = fs::remove_file(scratch.path("state/integrityd.sqlite-wal"));
    let (code, lines) = verify(&scratch, &mails);
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains(": ROLLED BACK: ")).count(), 3, "{lines:?}");
    assert!(lines[1].contains("event 5 was mailed, the database ends at 3"), "{lines:?}");
    // It goes on from there: the numbers come again, for other events.
    let mut store = open(&scratch);
    report(&mut store, 9, 9, "root@example.org");
    drop(store);
    let (code, lines) = verify(&scratch, &mails);
    assert_eq!((code, lines.iter().filter(|line| line.contains(": REWRITTEN: ")).count()), (Some(1), 3), "{lines:?}");
}

#[test]
fn reports_taken_out_of_the_store_or_the_box_and_mails_of_another_store_are_told_apart() {
    let scratch = Scratch::new();
    let directory = mailed(&scratch);
    let kept = fs::read(directory.join("2.eml")).unwrap();
    fs::remove_file(directory.join("2.eml")).unwrap();
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(
        lines[1],
        "NOT HERE: report 2 of events 4-4 was accepted and is not among these mails: somebody has deleted it, or it never left this machine"
    );
    // The last may still be on its way.
    fs::rename(directory.join("3.eml"), scratch.path("3.eml")).unwrap();
    fs::write(directory.join("2.eml"), &kept).unwrap();
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines[1], "note: report 3 of events 5-8 was accepted and is not among these mails");
    let strict = scratch.ask(&["verify", "--strict", "--mails", directory.to_str().unwrap()]);
    assert_eq!(strict.status.code(), Some(1));
    // What the next one names is missed though nothing in the database knows of it any more.
    fs::rename(scratch.path("3.eml"), directory.join("3.eml")).unwrap();
    fs::remove_file(directory.join("2.eml")).unwrap();
    tamper(
        &scratch,
        "DELETE FROM report_event WHERE report = 2; DELETE FROM delivery WHERE report = 2; DELETE FROM report WHERE id = 2",
    );
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(lines[1].starts_with("report 2: MISSING: report 3 names it as the one before it"), "{lines:?}");
    tamper(
        &scratch,
        "DELETE FROM report_event WHERE report = 3; DELETE FROM delivery WHERE report = 3; DELETE FROM report WHERE id = 3",
    );
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1));
    assert_eq!(
        lines[1],
        "report 3 of events 5-8: MISSING: the report was mailed and is not in the database: it was taken out"
    );
    // A database begun anew.
    let old = Store::open_read_only(&scratch.database()).unwrap().uuid();
    fs::remove_dir_all(scratch.path("state")).unwrap();
    drop(open(&scratch));
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1));
    assert!(lines[1].starts_with(&format!("TRUST LOST: 2 mails of database {old}, this one is ")), "{lines:?}");
    let json = scratch.ask(&["verify", "--json", "--mails", directory.to_str().unwrap()]).stdout;
    let json: Vec<serde_json::Value> =
        String::from_utf8(json).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((json[1]["finding"].as_str(), json[1]["mails"].as_u64()), (Some("another-database"), Some(2)));
    assert_eq!((json[2]["mails"].as_u64(), json[2]["findings"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn mails_of_a_database_whose_loss_was_told_are_a_note() {
    let scratch = Scratch::new();
    let directory = mailed(&scratch);
    let old = Store::open_read_only(&scratch.database()).unwrap().uuid();
    fs::remove_file(scratch.database()).unwrap();
    drop(open(&scratch));
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines[1], format!("note: 3 mails of database {old}, which was lost: told in event 1"));
    // Who takes the event out takes the chain apart.
    tamper(&scratch, "DELETE FROM event WHERE seq = 1");
    let (code, lines) = verify(&scratch, &directory);
    assert_eq!(code, Some(1));
    assert!(lines.iter().any(|line| line.starts_with("TRUST LOST: 3 mails")), "{lines:?}");
}

#[test]
fn ten_thousand_mails_are_compared_and_hostile_ones_show_no_control_byte() {
    let scratch = Scratch::new();
    mailed(&scratch);
    let store = Store::open_read_only(&scratch.database()).unwrap();
    let mail = String::from_utf8(store.message(ReportId(2)).unwrap().1).unwrap().replace("\r\n", "\n");
    let mut mbox = String::new();
    for number in 0..10_000 {
        // Each from a report that this store has never made.
        let id = format!("{}.{}.1@", store.uuid(), 1_000 + number);
        write!(mbox, "From x\n{}\n", mail.replace(&format!("{}.2.1@", store.uuid()), &id)).unwrap();
    }
    let mut mbox = mbox.into_bytes();
    for hostile in [
        &b"\x1b[2J\xff\0"[..],
        b"Message-ID: <\x1b]0;x\x07.1.1@h>\nX-Integrityd-Seq: \x1b-\x1b\n\nSEQ  \x1b head \x1b\n",
    ] {
        mbox.extend_from_slice(b"\n\nFrom x\n");
        mbox.extend_from_slice(hostile);
    }
    fs::write(scratch.path("mbox"), mbox).unwrap();
    let output = scratch.ask(&["verify", "--mails", scratch.path("mbox").to_str().unwrap()]);
    let text = shown(&scratch, &output);
    assert!(
        text.contains("10,000 mails compared, 2 of others passed over: 10,000 findings"),
        "{}",
        &text[text.len() - 600..]
    );
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}
