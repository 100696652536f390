//! `status` as monitoring sees it: exit codes and forms, over stores in every condition.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use integrityd::{
    model::{
        clock::{Boottime, Clock, Moment},
        event::{Category, Channel, Event, Severity},
        file::{
            attribute::AttributeSet,
            entry::{Entry, EntryId},
        },
    },
    store::{
        baseline::areas::{AreaRow, AreaState},
        events::{
            append::Range,
            outcome::{Outcome, StateChange},
        },
        outbox::reports::NewReport,
        sqlite::connection::Store,
    },
};

use crate::support::{
    PROGRAM, Scratch, seen_file,
    sink::{Mode, Sink},
    wait_for,
};

const HOUR: Duration = Duration::from_hours(1);

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nretrybase = 100ms\n";

fn now() -> Moment {
    Clock::System(integrityd::sys::host::boot_id(Path::new("/"))).now()
}

fn ago(span: Duration) -> Moment {
    let now = now();
    Moment { wall: now.wall.before(span), boottime: Boottime::from_nanos(0), ..now }
}

/// A store whose one area holds 100 entries in the state `state`, looked at from `oldest` ago until now. As long as it
/// is held it looks like a running daemon.
fn kept(scratch: &Scratch, state: AreaState, oldest: Duration) -> Store {
    let mut store = Store::open(&scratch.database(), now()).unwrap();
    let area = store.area_at(scratch.tree().as_os_str().as_encoded_bytes()).unwrap();
    let mut outcome = Outcome::default();
    let mut root: Option<EntryId> = None;
    for number in (0..100_u32).rev() {
        let id = store.new_entry_id().unwrap();
        let name = root.map_or(area.path.clone(), |_| format!("f{number}").into_bytes());
        outcome = outcome.with_change(StateChange::Put(Box::new(Entry {
            id,
            parent: root,
            name,
            area: area.id,
            known: seen_file(),
            recorded: AttributeSet::NONE,
            visit: store.next_visit(),
            checked: now().wall.before(oldest * number / 99),
            reported: None,
        })));
        root = root.or(Some(id));
    }
    let was_learning = state == AreaState::Learning;
    let row = AreaRow { state, was_learning, rounds: u64::from(!was_learning), ..area };
    store.commit(&outcome.with_change(StateChange::Area(Box::new(row)))).unwrap();
    store
}

/// Puts a report into the queue that was made `age` ago.
fn queue(store: &mut Store, age: Duration) {
    let made = ago(age);
    let event = Event::new(Category::Notice, Severity::Normal, made, Vec::new()).with_note("hello");
    let last = store.commit(&Outcome::tell(event)).unwrap();
    let report = NewReport {
        id: store.next_report().unwrap(),
        message_id: format!("<{last}@example.org>"),
        severity: Severity::Normal,
        subject: "hello".to_owned(),
        bytes: b"hello".to_vec(),
        recipients: vec!["root@example.org".to_owned()],
        range: Range { channel: Channel::Files, first: last, last, areas: None },
    };
    store.batch(Channel::Files, last, made, &[report]).unwrap();
}

/// Exit code and line of `status --nagios`.
fn nagios(scratch: &Scratch) -> (i32, String) {
    let output = scratch.ask(&["status", "--nagios"]);
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code().unwrap(), line)
}

#[test]
fn a_machine_that_is_fine_is_0_and_ages_are_right() {
    let scratch = Scratch::new();
    scratch.configure("areamaxage = 12h\nmail = stdout:");
    let store = kept(&scratch, AreaState::Watched, HOUR * 10);
    let (code, line) = nagios(&scratch);
    assert!(
        code == 0 && line.starts_with("INTEGRITYD OK - 1 area, 100 entries, oldest check 10.0 h | queue=0;;1;0 "),
        "{line}"
    );
    let status = scratch.status();
    assert_eq!((&status["verdict"], &status["running"]), (&"OK".into(), &true.into()), "{status}");
    let area = &status["areas"][0];
    let hours = |key: &str| area[key].as_f64().unwrap() / 3600.0;
    assert!((hours("oldest_check_seconds") - 10.0).abs() < 0.1, "{area}");
    assert!((hours("p95_check_seconds") - 9.5).abs() < 0.2, "{area}");
    assert!((hours("p50_check_seconds") - 5.0).abs() < 0.2, "{area}");
    assert_eq!((&area["in_time"], &area["max_age_seconds"]), (&100.into(), &(12 * 3600).into()), "{area}");
    drop(store);
}

#[test]
fn coverage_that_is_late_is_1_and_says_how_late() {
    let scratch = Scratch::new();
    scratch.configure("areamaxage = 12h\nmail = stdout:");
    let store = kept(&scratch, AreaState::Watched, HOUR * 16);
    let (code, line) = nagios(&scratch);
    let late = format!("INTEGRITYD WARNING - coverage late: {} 16.0 h of 12h | ", scratch.tree().display());
    assert!(code == 1 && line.starts_with(&late), "{line}");
    let status = scratch.status();
    // 12 of 16 hours, give or take the one at the border.
    let in_time = status["areas"][0]["in_time"].as_u64().unwrap();
    assert!((74..=76).contains(&in_time), "{in_time}");
    drop(store);
}

#[test]
fn a_promise_above_the_ceiling_is_1() {
    let scratch = Scratch::new();
    scratch.configure("areamaxage = 1m\nfilerate = 0.5\nmaxfilerate = 2\nmail = stdout:");
    let store = kept(&scratch, AreaState::Learning, Duration::from_secs(10));
    let (code, line) = nagios(&scratch);
    assert!(code == 1 && line.contains("cannot be kept: it needs 2.5 checks/s, maxfilerate allows 2 |"), "{line}");
    drop(store);
}

#[test]
fn a_first_round_is_never_late() {
    let scratch = Scratch::new();
    scratch.configure("areamaxage = 12h\nmail = stdout:");
    let store = kept(&scratch, AreaState::Learning, HOUR * 16);
    assert_eq!(nagios(&scratch).0, 0);
    drop(store);
}

#[test]
fn a_report_that_waits_is_2_after_an_hour() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let mut store = kept(&scratch, AreaState::Watched, HOUR);
    queue(&mut store, HOUR / 2);
    let (code, line) = nagios(&scratch);
    assert!(code == 0 && line.contains("queue=1;;1;0"), "{line}");
    drop(store);
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let mut store = kept(&scratch, AreaState::Watched, HOUR);
    queue(&mut store, HOUR * 2);
    let (code, line) = nagios(&scratch);
    assert!(code == 2 && line.starts_with("INTEGRITYD CRITICAL - a report has been queued for 2 h |"), "{line}");
    drop(store);
}

#[test]
fn mail_that_is_refused_or_an_area_that_went_away_is_2_and_so_is_a_daemon_that_stopped() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    (0..5).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "x").unwrap());
    sink.behave(Mode::Refuse("root@example.org".to_owned()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    wait_for("the refusal", || nagios(&scratch).1.contains("refused by the mail server"));
    assert_eq!(nagios(&scratch).0, 2);
    sink.behave(Mode::Accept);
    wait_for("the mail", || nagios(&scratch).0 == 0);
    fs::rename(scratch.tree(), scratch.path("moved")).unwrap();
    let missing = format!("{} is missing", scratch.tree().display());
    wait_for("the missing area", || nagios(&scratch).1.contains(&missing));
    assert_eq!(nagios(&scratch).0, 2);
    assert!(daemon.stop().success());
    assert!(nagios(&scratch).1.contains("the daemon is not running (stopped"), "{}", nagios(&scratch).1);
}

#[test]
fn what_cannot_be_told_is_3_in_every_form() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let (code, line) = nagios(&scratch);
    assert!(code == 3 && line.starts_with("INTEGRITYD UNKNOWN - there is no database at "), "{line}");
    for form in ["--json", "--prometheus"] {
        let output = scratch.ask(&["status", form]);
        assert_eq!(output.status.code(), Some(3), "{form}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("there is no database"), "{form}");
    }
    assert_eq!(samples(&scratch)["integrityd_status"], "3");
    let both = scratch.ask(&["status", "--json", "--nagios"]);
    assert_eq!(both.status.code(), Some(64));
}

#[test]
fn a_faulty_configuration_does_not_hide_the_database() {
    let scratch = Scratch::new();
    scratch.configure("filerat = 2");
    let store = kept(&scratch, AreaState::Watched, HOUR);
    let database = scratch.database();
    let output = scratch.ask(&["status", "--database", database.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(0) && text.contains("NOTE      the configuration has 1 fault"), "{text}");
    drop(store);
}

#[test]
fn nothing_but_words_goes_into_a_pipe_and_a_closed_one_is_no_failure() {
    let scratch = Scratch::new();
    scratch.configure("areamaxage = 12h\nmail = stdout:");
    let store = kept(&scratch, AreaState::Watched, HOUR * 16);
    for (columns, most) in [("60", 60), ("80", 80), ("120", 120), ("1", 60), ("x", 80)] {
        let output = status(&scratch, columns).env("CLICOLOR_FORCE", "1").env("TERM", "xterm").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\x1b') && text.contains("WARNING   coverage late"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= most), "{columns}:\n{text}");
    }
    let script = format!(
        "{PROGRAM} --config {} status | true; echo ${{PIPESTATUS[0]}}",
        scratch.path("integrityd.conf").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let code = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty() && ["0\n", "1\n"].contains(&code.as_str()), "{code}");
    drop(store);
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let store = kept(&scratch, AreaState::Watched, HOUR);
    // script(1) runs a command on a terminal of its own.
    let on_terminal = |set: &str| -> Option<Output> {
        let command =
            format!("env TERM=xterm {set} {PROGRAM} --config {} status", scratch.path("integrityd.conf").display());
        Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().ok()
    };
    let Some(coloured) = on_terminal("COLUMNS=80") else {
        println!("script(1) is not there");
        return;
    };
    assert!(coloured.stdout.contains(&b'\x1b'), "{}", String::from_utf8_lossy(&coloured.stdout));
    let plain = on_terminal("NO_COLOR=1").unwrap().stdout;
    assert!(!plain.contains(&b'\x1b') && !plain.is_empty(), "{}", String::from_utf8_lossy(&plain));
    drop(store);
}

fn status(scratch: &Scratch, columns: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(scratch.path("integrityd.conf")).arg("status").env("COLUMNS", columns);
    command
}

/// Reads `status --prometheus` by the letter of the format: every family announced before its samples and only once,
/// names and labels well formed, values numbers, no sample twice.
fn samples(scratch: &Scratch) -> BTreeMap<String, String> {
    let text = String::from_utf8(scratch.ask(&["status", "--prometheus"]).stdout).unwrap();
    assert!(text.ends_with('\n'));
    let is_name = |name: &str| {
        name.starts_with("integrityd_")
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let (mut families, mut found, mut current) = (Vec::new(), BTreeMap::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty() && !families.contains(&name.to_owned()), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(["gauge", "counter"].contains(&kind) && (kind == "counter") == name.ends_with("_total"), "{line}");
            name.clone_into(&mut current);
            families.push(current.clone());
            continue;
        }
        let rest = line.strip_prefix(current.as_str()).unwrap();
        let value = match rest.strip_prefix('{') {
            Some(rest) => after_labels(rest),
            None => rest,
        };
        let value = value.strip_prefix(' ').unwrap();
        assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        let key = line.strip_suffix(&format!(" {value}")).unwrap();
        assert!(found.insert(key.to_owned(), value.to_owned()).is_none(), "twice: {line}");
    }
    found
}

/// What follows `name="value",…}`.
fn after_labels(mut rest: &str) -> &str {
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        let mut letters = value.char_indices();
        let end = loop {
            match letters.next().unwrap() {
                (_, '\\') => assert!(matches!(letters.next().unwrap().1, '\\' | '"' | 'n'), "{value}"),
                (place, '"') => break place,
                _ => {}
            }
        };
        rest = &value[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}

#[test]
fn metrics_follow_the_format_whatever_an_area_is_called() {
    let scratch = Scratch::new();
    let path = scratch.path("a\"b\\c\nd}e,f=\"g");
    fs::create_dir(&path).unwrap();
    scratch.configure("areamaxage = 12h\nmail = stdout:");
    let mut store = kept(&scratch, AreaState::Watched, HOUR);
    store.area_at(path.as_os_str().as_encoded_bytes()).unwrap();
    let found = samples(&scratch);
    let tree = format!("{{area=\"{}\"}}", scratch.tree().display());
    assert_eq!(found[&format!("integrityd_area_entries{tree}")], "100");
    assert_eq!(found[&format!("integrityd_area_max_age_seconds{tree}")], "43200");
    assert_eq!((found["integrityd_status"].as_str(), found["integrityd_daemon_running"].as_str()), ("0", "1"));
    let odd = found.keys().find(|key| key.starts_with("integrityd_area_entries") && key.contains("}e,f=")).unwrap();
    assert!(odd.contains(r#"a\"b\\\\c\\nd}e,f=\"g"#), "{odd}");
    drop(store);
}

#[test]
fn a_database_of_an_older_program_is_named_with_what_brings_it_up_to_date() {
    let scratch = Scratch::new();
    scratch.configure("");
    drop(Store::open(&scratch.database(), now()).unwrap());
    fs::remove_file(scratch.database()).unwrap();
    let old = rusqlite::Connection::open(scratch.database()).unwrap();
    old.execute_batch(include_str!("../../sql/0001_baseline.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO instance VALUES (1, zeroblob(16), 1, zeroblob(32), 0, 0, 1, 0, 0, 1, 1, zeroblob(16), 1)",
    )
    .unwrap();
    drop(old);
    let scripts = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap().count();
    let remedy = format!(
        "has schema 1, this program needs {scripts}: start the daemon (integrityd run, or run --once), which brings it up to date"
    );
    for (arguments, code) in [
        (&["status"][..], 3),
        (&["status", "--nagios"], 3),
        (&["rules", "unused"], 78),
        (&["history"], 78),
        (&["queue", "list"], 78),
    ] {
        let output = scratch.ask(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(words.contains(&remedy) && !words.contains("no such table"), "{arguments:?}: {words}");
    }
    drop(Store::open(&scratch.database(), now()).unwrap());
    assert_ne!(scratch.ask(&["status"]).status.code(), Some(3));
}
