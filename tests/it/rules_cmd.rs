//! `rules test`, `lint`, `unused` and `suggest` over a small tree of rules.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use integrityd::{
    logs::suggest::suggestion::suggest,
    model::clock::{BootId, Boottime, Clock, Moment, Timestamp},
    store::{
        events::outcome::{Outcome, StateChange},
        sources::rule_hits::RuleHit,
        sqlite::connection::Store,
    },
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::support::{
    PROGRAM, Scratch,
    grep::{LOCALES, grep},
    put, shown, syslog,
};

const STAMP: &str = "2026-11-21T14:02:11.123456+01:00 srv1";

/// A tree with a broken rule in each layer.
fn rules(scratch: &Scratch) {
    for (path, text) in [
        ("cracking.d/attack", "^.* crack\n^(\n"),
        ("cracking.ignore.d/attack", "^.* harmless$\n^[\n"),
        ("violations.d/sudo", "^.* sudo: \n^a{2,1}\n"),
        ("violations.ignore.d/logcheck-sudo", "^.* sudo: fine$\n^\\\n"),
        ("ignore.d.paranoid/cron", "# comment\n^.* cron\\[[0-9]+\\]: done$\n^[[:alhpa:]]\n"),
        ("ignore.d.server/app", "^.* app: .* ok$\n.*\n"),
        ("ignore.d.workstation/app", "^.* app: .* desktop$\n"),
        ("ignore.d.server/app.dpkg-old", "^x\n"),
    ] {
        let path = scratch.path("rules").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn configure(scratch: &Scratch) {
    let path = |name| scratch.path(name).display().to_string();
    scratch.configure(&format!("logrules = server:{}\nlog = {}", path("rules"), path("app.log")));
}

fn feed(scratch: &Scratch, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("rules")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    let _is_fed = feeder.join().unwrap();
    output
}

fn lines() -> String {
    let texts = [
        "cron[12]: done",
        "app: a ok",
        "app: a desktop",
        "sudo: bad",
        "sudo: fine",
        "kernel: crack",
        "app: \u{1b}[31m\u{202e}evil\\ ok  ",
        "app: unknown \u{e9}",
    ];
    texts.map(|text| format!("{STAMP} {text}\n")).concat()
}

#[test]
fn test_tells_of_each_line_which_rule_decides() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    let mut all = shown(&scratch, &feed(&scratch, &["test"], lines().as_bytes()));
    all += &shown(&scratch, &feed(&scratch, &["test", "--unmatched", "--level", "workstation"], lines().as_bytes()));
    all += &shown(&scratch, &feed(&scratch, &["test", "--json", "-"], lines().as_bytes()));
    insta::assert_snapshot!(all);
}

#[test]
fn lint_tells_each_broken_rule_once_with_its_place() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    let output = scratch.ask(&["rules", "lint"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    for place in [
        "cracking.d/attack:2:",
        "cracking.ignore.d/attack:2:",
        "violations.d/sudo:2:",
        "violations.ignore.d/logcheck-sudo:2:",
        "ignore.d.paranoid/cron:3:",
        "ignore.d.server/app:2:",
    ] {
        assert_eq!(text.matches(place).count(), 1, "{place} in {text}");
        let line = text.lines().find(|line| line.contains(place)).unwrap();
        assert!(line.contains("this rule is off"), "{line}");
    }
    assert_eq!(text.matches("rule is off").count(), 6, "{text}");
    insta::assert_snapshot!(shown(&scratch, &output));
}

#[test]
fn what_a_file_has_often_is_folded_and_what_is_only_odd_is_no_failure() {
    let scratch = Scratch::new();
    for name in ["cracking.d", "violations.d", "ignore.d.server"] {
        fs::create_dir_all(scratch.path("rules").join(name)).unwrap();
    }
    let old: String =
        (0..200).map(|number| format!("^\\w{{3}} [ :0-9]{{11}} [._[:alnum:]-]+ d{number}: x$\n")).collect();
    fs::write(scratch.path("rules/ignore.d.server/old"), old + "panic\n").unwrap();
    let directory = scratch.path("rules").display().to_string();
    let lint = |more: &[&str]| scratch.ask(&[&["rules", "lint", "--rules", &directory], more].concat());
    let folded = lint(&[]);
    assert_eq!(folded.status.code(), Some(0));
    insta::assert_snapshot!(shown(&scratch, &folded));
    for more in ["--all", "--json"] {
        let whole = lint(&[more]);
        assert_eq!(String::from_utf8(whole.stdout).unwrap().lines().count(), 201, "{more}");
    }
}

#[test]
fn the_group_that_reads_a_log_gives_its_rules() {
    let scratch = Scratch::new();
    rules(&scratch);
    for (path, text) in [("cracking.d/x", ""), ("violations.d/x", ""), ("ignore.d.server/web", "^.* web: ok$\n")] {
        let path = scratch.path("other").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let path = |name| scratch.path(name).display().to_string();
    scratch.configure(&format!(
        "logrules = {}\nlog = {}\nlogrules = {}\nlog = {}",
        path("rules"),
        path("app.log"),
        path("other"),
        path("web*.log")
    ));
    for name in ["app.log", "web1.log"] {
        put(&scratch.path(name), &format!("{STAMP} app: x ok\n{STAMP} web: ok\n"));
    }
    let output = scratch.ask(&["rules", "test", &path("app.log"), &path("web1.log")]);
    let text = String::from_utf8(output.stdout).unwrap();
    let verdicts: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(verdicts, ["ignored", "system", "system", "ignored"], "{text}");
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(talk.contains("group 1 of 2") && talk.contains("group 2 of 2"), "{talk}");
}

#[test]
fn memory_is_bounded_whatever_comes_in() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    let mut input = b"x".repeat(5 << 20);
    input.push(b'\n');
    input.resize(input.len() + (3 << 20), 0);
    input.extend(b"after\n");
    for line in syslog::lines(100_000, 7) {
        input.extend(line);
        input.push(b'\n');
    }
    fs::write(scratch.path("big"), &input).unwrap();
    let script = "ulimit -d 40960; exec \"$@\"";
    let output = Command::new("bash")
        .args(["-c", script, "bash", PROGRAM, "--config"])
        .arg(scratch.path("integrityd.conf"))
        .args(["rules", "test"])
        .arg(scratch.path("big"))
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("100,002 lines") && talk.contains("3,145,728 zero bytes"), "{talk}");
    let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    assert!(first.len() < 5000 && String::from_utf8_lossy(first).contains("5,242,880 bytes in all"));
}

#[test]
fn a_reader_that_goes_away_ends_test_cleanly() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    fs::write(scratch.path("app.log"), lines().repeat(20_000)).unwrap();
    let script = format!(
        "{PROGRAM} --config {} rules test {} | head -1; echo ${{PIPESTATUS[0]}}",
        scratch.path("integrityd.conf").display(),
        scratch.path("app.log").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"));
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!talk.contains("roken pipe") && !talk.contains("panicked"), "{talk}");
}

fn at(days_ago: u64) -> Moment {
    let now = Clock::System(BootId::default()).now();
    let wall = now.wall.before(Duration::from_hours(24 * days_ago));
    Moment { wall, boottime: Boottime::from_nanos(0), boot: BootId::default() }
}

#[test]
fn unused_tells_what_nothing_has_matched_for_long() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    let mut store = Store::open(&scratch.database(), at(200)).unwrap();
    let empty = scratch.ask(&["rules", "unused"]);
    assert!(empty.status.success() && empty.stdout.is_empty());
    assert!(String::from_utf8(empty.stderr).unwrap().contains("no rule has been counted yet"));
    let path = |name: &str| scratch.path("rules").join(name).display().to_string().into_bytes();
    let (cron, sudo, app) = (path("ignore.d.paranoid/cron"), path("violations.d/sudo"), path("ignore.d.server/app"));
    let known: [(&[u8], &[u8]); 3] =
        [(&cron, br"^.* cron\[[0-9]+\]: done$"), (&sudo, b"^.* sudo: "), (&app, b"^.* app: .* ok$")];
    store.know_rules(known, at(200).wall).unwrap();
    let hit = |file: &[u8], text: &[u8], last: Timestamp| RuleHit {
        file: file.to_vec(),
        text: text.to_vec(),
        hits: 1234,
        last,
    };
    let hits = vec![hit(&sudo, known[1].1, at(100).wall), hit(&app, known[2].1, at(3).wall)];
    store.commit(&Outcome::default().with_change(StateChange::RuleHits(hits))).unwrap();
    drop(store);
    let unused = |more: &[&str]| {
        let output = scratch.ask(&[&["rules", "unused"], more].concat());
        assert!(output.status.success());
        let talk = String::from_utf8(output.stderr).unwrap();
        (String::from_utf8(output.stdout).unwrap(), talk)
    };
    let (text, talk) = unused(&[]);
    let places: Vec<&str> =
        text.lines().map(|line| line.split("  ").next().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(places, ["sudo:1", "cron:2"], "{text}");
    assert!(text.contains("1,234 hits, the last on ") && text.contains("never matched"), "{text}");
    assert!(talk.contains("2 of 3 counted rules unused for 90 days; counting has gone on for 200 d"), "{talk}");
    assert!(talk.contains("3 rules are not counted"), "{talk}");
    assert_eq!(unused(&["--days", "150"]).0.lines().count(), 1);
    assert_eq!(unused(&["--days", "1"]).0.lines().count(), 3);
    let (nothing, talk) = unused(&["--days", "300"]);
    assert!(nothing.is_empty() && talk.contains("nothing has been counted for 300 days yet"), "{talk}");
    let (json, _) = unused(&["--json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["line"], &first["hits"]), (&1.into(), &1234.into()), "{first}");
}

/// The lines `rules suggest` is for, and others in the log beside them.
fn log() -> String {
    let texts = [
        "web[11]: user bob from 203.0.113.7 failed",
        "web[12]: user eve from 2001:db8::1 failed",
        "web[13]: user mallory from 203.0.113.8 failed",
        "app: x ok",
        "sudo: bad",
    ];
    texts.map(|text| format!("{STAMP} {text}\n")).concat()
}

#[test]
fn suggest_prints_rules_that_can_be_appended_and_say_what_they_hide() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    put(&scratch.path("app.log"), &log());
    let input: String = log().lines().take(2).chain(log().lines().skip(3)).map(|line| format!("{line}\n")).collect();
    let output = feed(&scratch, &["suggest"], input.as_bytes());
    insta::assert_snapshot!(shown(&scratch, &output));
    // Appended, it hides them.
    let target = scratch.path("rules/ignore.d.server/local");
    fs::write(&target, &output.stdout).unwrap();
    let judged = feed(&scratch, &["test"], log().as_bytes());
    let text = String::from_utf8(judged.stdout).unwrap();
    assert_eq!(text.matches("ignored ").count(), 4, "{text}");
    let lint = String::from_utf8(scratch.ask(&["rules", "lint"]).stdout).unwrap();
    assert!(!lint.contains("local"), "{lint}");
    // What stands in the file already is not suggested again, even by a program that cannot read its directory.
    fs::create_dir_all(scratch.path("none/violations.d")).unwrap();
    fs::create_dir_all(scratch.path("none/cracking.d")).unwrap();
    let (none, target) = (scratch.path("none").display().to_string(), target.display().to_string());
    let again = feed(&scratch, &["suggest", "--rules", &none, "--file", &target], log().as_bytes());
    let text = String::from_utf8(again.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(String::from_utf8(again.stderr).unwrap().contains("stands in"));
}

#[test]
fn suggestions_mean_to_grep_what_they_mean_here() {
    if Command::new("grep").arg("--version").output().is_err() {
        println!("skipped: there is no grep");
        return;
    }
    let mut rng = StdRng::seed_from_u64(11);
    let pieces: [&[u8]; 24] = [
        b"Nov 21 14:02:11 h p[1]: ",
        b"2026-11-21T14:02:11Z h p: ",
        b"'a b'",
        b"\"",
        b"`",
        b"\\",
        b"[",
        b"]",
        b"{1}",
        b"(",
        b")",
        b"^",
        b"$",
        b"*",
        b"+?",
        b"|",
        b".",
        b" word",
        "é".as_bytes(),
        b"\xff",
        b"\x1b[0m",
        b"\0",
        b"203.0.113.7",
        b"/etc/x@y.example ",
    ];
    let mut checked = 0;
    for _ in 0..60 {
        let mut line: Vec<u8> =
            (0..rng.random_range(1..9)).flat_map(|_| pieces[rng.random_range(0..pieces.len())].to_vec()).collect();
        line.extend((0..rng.random_range(0..4)).map(|_| rng.random_range(0..=255_u8)).filter(|byte| *byte != b'\n'));
        let done = suggest(std::slice::from_ref(&line));
        let rule = &done.rules.first().unwrap_or_else(|| panic!("{:?}: {}", done.refused, line.escape_ascii())).rule;
        for (_, locale) in LOCALES {
            let others = [line.clone(), b"qzxj 7 vkwq".to_vec(), b"".to_vec(), [b"x", line.as_slice()].concat()];
            let found = grep(rule, &others, locale).unwrap().unwrap();
            assert_eq!(
                found[..3],
                [true, false, false],
                "{locale} {} for {}",
                rule.escape_ascii(),
                line.escape_ascii()
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 120);
}

#[test]
fn help_of_the_rule_commands() {
    let mut all = String::new();
    for name in ["test", "lint", "unused", "suggest"] {
        let output = Command::new(PROGRAM).args(["rules", name, "--help"]).env("COLUMNS", "100").output().unwrap();
        all += &format!("$ integrityd rules {name} --help\n{}\n", String::from_utf8(output.stdout).unwrap());
        let narrow = Command::new(PROGRAM).args(["rules", name, "--help"]).env("COLUMNS", "60").output().unwrap();
        let narrow = String::from_utf8(narrow.stdout).unwrap();
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn wrong_words_and_missing_files_say_what_is_wrong() {
    let scratch = Scratch::new();
    configure(&scratch);
    let mut all = String::new();
    let nowhere = scratch.path("nowhere").display().to_string();
    for arguments in [
        &["rules"][..],
        &["rules", "test", "--rules", &nowhere],
        &["rules", "test", "--level", "high"],
        &["rules", "test", &nowhere],
        &["rules", "test", scratch.tree().to_str().unwrap()],
        &["rules", "lint"],
        &["rules", "suggest", "--against", &nowhere, "x"],
        &["rules", "suggest", ""],
        &["rules", "suggest", "qzxj 7 vkwq"],
    ] {
        let output = scratch.ask(arguments);
        let text = shown(&scratch, &output);
        assert!(!text.contains("panicked"), "{text}");
        all += &format!("$ integrityd {}\n{text}", arguments.join(" ").replace(&nowhere, "/nowhere"));
    }
    let all = all.replace(scratch.path("").to_str().unwrap(), "/scratch/");
    insta::assert_snapshot!(all);
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn test_knows_the_rules_that_are_built_into_the_daemon_and_lint_does_not() {
    let scratch = Scratch::new();
    rules(&scratch);
    configure(&scratch);
    let own = format!("{STAMP} integrityd[7]: 2026-11-21T13:02:11.123456Z  INFO told to stop\n");
    let output = feed(&scratch, &["test"], own.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("ignored   (built in)/integrityd:"), "{text}");
    assert!(!shown(&scratch, &scratch.ask(&["rules", "lint"])).contains("built in"));
}
