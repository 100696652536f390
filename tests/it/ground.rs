//! When the ground shakes: the database cannot be written, is damaged, missing, another one, or removed while it is in use. Nothing is lost
//! and nothing is silent.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, LogGroup, RuleDirectory, RuleLevel},
    logs::group::{context::Surroundings, log_group::Group, sources},
    model::{
        clock::{BootId, Clock},
        event::Category,
    },
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
    tail::poll::{Poll, TailEvent},
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    support::{
        PROGRAM, Running, Scratch, put,
        sink::{Mail, Mode, Sink},
        wait_for,
    },
    tail::Bench,
};

const FAST: &str =
    "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nurgentholdoff = 1\nretrybase = 100ms\n";

/// A daemon over a tree with a file, whose baseline is there.
fn started(more: &str) -> (Scratch, Sink, Running) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}\n{more}", sink.setting()));
    put(&scratch.tree().join("file"), "x");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    (scratch, sink, daemon)
}

fn text(sink: &Sink) -> String {
    sink.mails().iter().map(Mail::text).collect()
}

/// Waits until a mail has this in its subject.
fn wait_for_subject(sink: &Sink, words: &str) -> Mail {
    let find = || sink.mails().into_iter().find(|mail| mail.subject().contains(words));
    wait_for(words, || find().is_some());
    find().unwrap()
}

fn wait_for_text(sink: &Sink, words: &str) {
    wait_for(words, || text(sink).contains(words));
}

/// What lies beside the database and begins with its name and `.`+`why`.
fn aside(scratch: &Scratch, why: &str) -> Vec<PathBuf> {
    let start = format!("integrityd.sqlite.{why}-");
    let found = fs::read_dir(scratch.path("state")).unwrap().map(|found| found.unwrap().path());
    let mut found: Vec<PathBuf> =
        found.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&start)).collect();
    found.sort();
    found
}

fn garbage(path: &Path, at: u64, length: usize) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&vec![0xa5; length]).unwrap();
}

fn verify(scratch: &Scratch) {
    let verified = scratch.ask(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// How large a file may become that this process writes, in bytes; `None` without limit.
fn limit_files(daemon: &Running, most: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

#[test]
fn e1_a_database_that_cannot_be_written_ends_nothing_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    fs::create_dir_all(directory.path().join("rules/ignore.d.server")).unwrap();
    let more =
        format!("log = {}\nlogrules = {}\nlogchecktime = 1\n", log.display(), directory.path().join("rules").display());
    let (scratch, sink, mut daemon) = started(&more);
    wait_for_subject(&sink, "baseline");
    wait_for("the log", || {
        let status = scratch.status();
        status["logs"].as_array().is_some_and(|logs| !logs.is_empty())
    });
    limit_files(&daemon, Some(4096));
    put(&scratch.tree().join("while-full"), "x");
    let mut log = fs::File::options().append(true).open(&log).unwrap();
    writeln!(log, "Nov 21 14:02:11 web3 app[1]: token while it was full").unwrap();
    let mail = wait_for_subject(&sink, "EMERGENCY");
    assert!(mail.text().contains("Nothing is lost") && mail.message_id().contains(".0.1@"), "{}", mail.text());
    std::thread::sleep(Duration::from_millis(1500));
    assert!(daemon.child.try_wait().unwrap().is_none(), "{}", scratch.log());
    assert!(!text(&sink).contains("/while-full "));
    limit_files(&daemon, None);
    wait_for_text(&sink, "/while-full ");
    wait_for_text(&sink, "token while it was full");
    wait_for_text(&sink, "could not be written for");
    assert_eq!(sink.mails().iter().filter(|mail| mail.subject().contains("EMERGENCY")).count(), 1);
    assert_eq!(text(&sink).matches("token while it was full").count(), 1);
    assert!(daemon.stop().success());
    verify(&scratch);
}

#[test]
fn e4_a_garbage_header_is_set_aside_and_told() {
    let (scratch, sink, daemon) = started("");
    wait_for_subject(&sink, "baseline");
    assert!(daemon.stop().success());
    garbage(&scratch.database(), 0, 100);
    let before = fs::read(scratch.database()).unwrap();
    let daemon = scratch.start();
    let lost = wait_for_subject(&sink, "TRUST LOST: database restarted at seq 1 (was ");
    assert!(lost.text().contains("BASELINE LOST, relearning"), "{}", lost.text());
    let aside = aside(&scratch, "corrupt");
    assert_eq!(fs::read(&aside[0]).unwrap(), before, "it is kept as it was");
    scratch.wait_for_baseline();
    assert!(daemon.stop().success());
    verify(&scratch);
}

#[test]
fn e4_what_a_damaged_database_had_not_delivered_is_delivered_under_its_own_name() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    sink.behave(Mode::Busy);
    put(&scratch.tree().join("file"), "x");
    let daemon = scratch.start();
    wait_for("a report in the queue", || {
        String::from_utf8_lossy(&scratch.ask(&["queue", "list"]).stdout).contains("root@example.org")
    });
    let raw = scratch.ask(&["queue", "show", "1", "--raw"]).stdout;
    assert!(daemon.stop().success());
    let page = |name: &str| -> u64 {
        let db = rusqlite::Connection::open(scratch.database()).unwrap();
        let root: i64 =
            db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap();
        u64::try_from(root).unwrap()
    };
    let at = (page("entry") - 1) * 4096;
    garbage(&scratch.database(), at, 4096);
    let daemon = scratch.start();
    wait_for("the damage", || !aside(&scratch, "corrupt").is_empty());
    sink.behave(Mode::Accept);
    let lost = wait_for_subject(&sink, "TRUST LOST: database restarted at seq 1 (was ");
    assert!(lost.text().contains("saved from it: 1"), "{}", lost.text());
    let is_saved = |mail: &Mail| mail.bytes.strip_suffix(b"\r\n") == Some(&raw) || mail.bytes == raw;
    wait_for("the saved report, with the same bytes", || sink.mails().iter().any(is_saved));
    assert!(daemon.stop().success());
    verify(&scratch);
}

#[test]
fn e4_a_damaged_page_is_answered_by_one_new_database_and_a_second_one_within_the_hour_by_an_end() {
    let (scratch, sink, daemon) = started("");
    wait_for_subject(&sink, "baseline");
    for number in 0..300 {
        put(&scratch.tree().join(format!("f{number}")), "x");
    }
    wait_for_text(&sink, "/f299 ");
    assert!(daemon.stop().success());
    let ruin = || {
        let length = fs::metadata(scratch.database()).unwrap().len();
        assert!(length > 16 * 4096, "{length}");
        // All but the first page: whatever is read next is damaged.
        garbage(&scratch.database(), 4096, usize::try_from(length).unwrap() - 4096);
    };
    ruin();
    let daemon = scratch.start();
    wait_for_subject(&sink, "TRUST LOST");
    scratch.wait_for_baseline();
    assert!(daemon.stop().success());
    verify(&scratch);
    let before = aside(&scratch, "corrupt");
    ruin();
    let mut daemon = scratch.start();
    let mut code = None;
    wait_for("the end", || {
        code = daemon.child.try_wait().unwrap().and_then(|status| status.code());
        code.is_some()
    });
    assert_eq!(code, Some(74), "{}", scratch.log());
    assert!(scratch.log().contains("for the second time within an hour"), "{}", scratch.log());
    assert_eq!(aside(&scratch, "corrupt"), before, "nothing more is set aside");
}

#[test]
fn e4_damage_while_the_daemon_runs_begins_a_new_generation_and_not_a_new_process() {
    let (scratch, sink, mut daemon) = started("");
    wait_for_subject(&sink, "baseline");
    // What is in the daemon's cache would hide the damage: another writer makes it read anew.
    let beside = rusqlite::Connection::open(scratch.database()).unwrap();
    beside.busy_timeout(Duration::from_secs(5)).unwrap();
    beside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())).unwrap();
    beside.execute("UPDATE instance SET looks = looks + 1", []).unwrap();
    let length = usize::try_from(fs::metadata(scratch.database()).unwrap().len()).unwrap();
    garbage(&scratch.database(), 4096, length - 4096);
    beside.execute("UPDATE instance SET looks = looks + 1", []).unwrap();
    drop(beside);
    put(&scratch.tree().join("new"), "x");
    wait_for_subject(&sink, "TRUST LOST");
    assert!(daemon.child.try_wait().unwrap().is_none());
    put(&scratch.tree().join("later"), "x");
    wait_for_text(&sink, "/later ");
    assert!(daemon.stop().success());
    verify(&scratch);
}

#[test]
fn e7_a_database_that_was_removed_is_never_silently_learned_anew() {
    let (scratch, sink, daemon) = started("");
    wait_for_subject(&sink, "baseline");
    assert!(daemon.stop().success());
    for end in ["", "-wal", "-shm"] {
        drop(fs::remove_file(scratch.path(&format!("state/integrityd.sqlite{end}"))));
    }
    let daemon = scratch.start();
    let mail = wait_for_subject(&sink, "TRUST LOST: database restarted at seq 1 (was ");
    assert!(mail.text().contains("there was no database"), "{}", mail.text());
    assert!(daemon.stop().success());
    let daemon = scratch.start();
    wait_for("the third start", || scratch.log().matches(" watching ").count() == 3);
    assert!(daemon.stop().success());
    let lost = scratch.history().iter().filter(|event| event["event"]["action"][0] == "trust-lost").count();
    assert_eq!(lost, 1, "told once");
}

/// The events of one class, as their words.
async fn told(daemon: &Daemonic, category: Category) -> Vec<String> {
    let filter = Filter { limit: 1000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    let events = events.into_iter().filter(|stored| stored.event.category == category);
    events.map(|stored| String::from_utf8(stored.event.note).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_removed_while_it_is_in_use_is_back_within_half_a_minute() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let config = journey.config();
    let database = config.database.clone();
    let daemon = journey.start(config);
    daemon.until_established().await;
    fs::remove_file(&database).unwrap();
    sleep(Duration::from_secs(40)).await;
    let found = told(&daemon, Category::DatabaseTrouble).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("removed or replaced while it was in use"), "{found:?}");
    fs::write(journey.file(3), "other").unwrap();
    sleep(Duration::from_mins(20)).await;
    let mails = journey.mails().join("\n");
    assert!(mails.contains("removed or replaced") && mails.contains("f0003"), "{mails}");
    daemon.stop().await;
    // It is this file that has gone on.
    let store = Store::open_read_only(&database).unwrap();
    store.verify().unwrap();
    assert_eq!(store.estrangement().unwrap(), None);
}

#[test]
fn e13_an_older_copy_alarms_and_an_adopted_one_does_not() {
    let (scratch, sink, daemon) = started("");
    wait_for_subject(&sink, "baseline");
    assert!(daemon.stop().success());
    let copy = scratch.path("copy");
    fs::copy(scratch.database(), &copy).unwrap();
    let daemon = scratch.start();
    put(&scratch.tree().join("new"), "x");
    wait_for_text(&sink, "/new ");
    assert!(daemon.stop().success());
    fs::copy(&copy, scratch.database()).unwrap();
    assert_eq!(scratch.ask(&["database", "adopt"]).status.code(), Some(64), "nobody can answer");
    let adopted = scratch.ask(&["database", "adopt", "--yes"]);
    let words = String::from_utf8_lossy(&adopted.stdout).into_owned();
    assert!(words.starts_with("adopted: an older copy of the database, at seq "), "{words}");
    let daemon = scratch.start();
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.stop().success());
    let classes = || -> Vec<String> {
        scratch.history().iter().map(|event| event["event"]["action"][0].as_str().unwrap().to_owned()).collect()
    };
    assert!(classes().contains(&"database-adopted".to_owned()), "{:?}", scratch.history());
    assert!(!classes().contains(&"trust-lost".to_owned()));
    let again = scratch.ask(&["database", "adopt", "--yes"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to adopt"));
    // And now unasked.
    fs::copy(&copy, scratch.database()).unwrap();
    let daemon = scratch.start();
    wait_for_subject(&sink, "TRUST LOST: an older copy of the database, at seq ");
    assert!(daemon.stop().success());
    verify(&scratch);
}

#[test]
fn h5_outputs_that_cannot_be_written_are_no_panic() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(scratch.path("integrityd.conf")).arg("run").stdin(Stdio::null());
    let daemon = Running { child: command.stdout(full()).stderr(full()).spawn().unwrap() };
    sink.wait_for(1);
    assert!(daemon.stop().success(), "it goes on though its log is full");
    // Closed outputs, by a shell.
    let script = r#"exec "$0" --config "$1" status >&- 2>&-"#;
    let status =
        Command::new("sh").args(["-c", script, PROGRAM]).arg(scratch.path("integrityd.conf")).status().unwrap();
    assert_ne!(status.code(), None, "killed by a signal");
    assert_ne!(status.code(), Some(101), "a panic");
    let full_status = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("status")
        .stdout(full())
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(full_status.code(), Some(74));
}

#[test]
fn e12_faults_are_told_with_their_line_and_a_reload_keeps_the_old_settings() {
    let (scratch, sink, mut daemon) = started("");
    wait_for_subject(&sink, "baseline");
    let good = fs::read_to_string(scratch.path("integrityd.conf")).unwrap();
    let lines = good.lines().count();
    put(&scratch.path("integrityd.conf"), &format!("{good}reportime = 1\nfilerate = fast\n"));
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    daemon.signal("HUP");
    wait_for_text(&sink, "the new configuration is not used");
    let told = text(&sink);
    for line in [lines + 1, lines + 2] {
        assert!(told.contains(&format!("integrityd.conf:{line}:")), "{told}");
    }
    put(&scratch.tree().join("new"), "x");
    wait_for_text(&sink, "/new ");
    assert!(daemon.child.try_wait().unwrap().is_none());
    assert!(daemon.stop().success());
    let refused = scratch.ask(&["run"]);
    assert_eq!(refused.status.code(), Some(78));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains(&format!("integrityd.conf:{}:", lines + 1)), "{words}");
}

#[test]
fn e11_what_others_can_change_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    for (name, mode) in [("integrityd.conf", 0o660), ("state", 0o707)] {
        let path = scratch.path(name);
        drop(fs::create_dir(scratch.path("state")));
        let usual = if name == "state" { 0o700 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = scratch.ask(&["run"]);
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(77), "{words}");
        assert!(words.contains("chmod go-w"), "{words}");
        fs::set_permissions(&path, fs::Permissions::from_mode(usual)).unwrap();
    }
}

#[test]
fn e9_a_second_daemon_is_refused_and_the_lock_is_private() {
    let (scratch, _sink, daemon) = started("");
    let second = scratch.ask(&["run"]);
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    let mode = |name: &str| fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("state"), mode("state/integrityd.sqlite.lock")), (0o700, 0o600));
    assert_eq!(mode("state/integrityd.sqlite.mark"), 0o600);
    assert!(daemon.stop().success());
}

#[test]
fn what_a_log_poll_tells_once_is_told_again_when_it_could_not_be_stored() {
    let mut bench = Bench::new();
    bench.append("line\n");
    bench.poll_once();
    for number in 0..1100 {
        fs::write(bench.file(&format!("log.{number}")), "").unwrap();
    }
    let tells = |poll: &Poll| poll.happenings.contains(&TailEvent::TooManySiblings);
    assert!(tells(&bench.poll_in_vain()));
    bench.tail.take_back();
    assert!(tells(&bench.poll_in_vain()), "nobody has heard of it");
    assert!(!tells(&bench.poll_in_vain()), "and once it is stored it is told");
}

#[test]
fn rules_that_have_changed_are_told_when_the_database_can_be_written_again() {
    let (directory, now) = (tempfile::tempdir().unwrap(), Clock::System(BootId([1; 16])).now());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let rules = directory.path().join("rules");
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    fs::write(rules.join("ignore.d.server/one"), "^one$\n").unwrap();
    let settings = LogGroup {
        rules: vec![RuleDirectory { level: RuleLevel::Server, path: rules.clone() }],
        files: Vec::new(),
        transient: Vec::new(),
        journal: false,
        old_directories: Vec::new(),
    };
    let config = Config::embedded(Vec::new(), directory.path().join("db"));
    let db = Db::new(Store::open(&config.database, now).unwrap());
    let surroundings = Surroundings::new(db.clone(), &config, Arc::default(), now);
    let mut group = Group::new(&settings, &config, &surroundings, now).unwrap();
    let told = || db.lock().last_event(Category::Rules, &sources::name(&settings)).unwrap();
    assert!(told().is_none());
    fs::write(rules.join("ignore.d.server/two"), "^two$\n").unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END";
    let beside = rusqlite::Connection::open(&config.database).unwrap();
    beside.execute_batch(full).unwrap();
    assert!(group.refresh(now).is_err());
    beside.execute_batch("DROP TRIGGER full").unwrap();
    assert!(group.refresh(now).unwrap());
    assert!(String::from_utf8(told().unwrap().event.note).unwrap().contains("two"));
    assert!(!group.refresh(now).unwrap());
}

#[test]
fn e4_a_row_that_cannot_be_read_is_told_from_memory_once() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("filerate = 2000\nreporttime = 1\nreportholdoff = 1\n{}", sink.setting()));
    (0..20).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "x").unwrap());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    assert!(daemon.stop().success());
    let db = rusqlite::Connection::open(scratch.database()).unwrap();
    db.execute_batch("UPDATE entry SET kind = 99 WHERE parent <> 0").unwrap();
    drop(db);
    let daemon = scratch.start();
    let alarms = || {
        let mails = sink.mails();
        mails.iter().filter(|mail| mail.subject().contains("EMERGENCY: the database holds")).count()
    };
    wait_for("the emergency mail", || alarms() > 0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(alarms(), 1, "{}", scratch.log());
    assert!(daemon.stop().success());
}
