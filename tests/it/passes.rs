//! `init`, `check` and `run --once`: the passes at full speed, against what the walker does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    PROGRAM, Scratch, copy_program, is_root, overwrite, put, put_back_mtime,
    sink::{Mode, Sink},
    unwrapped, wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\n";

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn words(output: &Output) -> String {
    unwrapped(&format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// What `check --json` finds: action by path beneath the tree.
fn found(scratch: &Scratch, output: &Output) -> BTreeMap<String, String> {
    let tree = format!("{}/", scratch.tree().display());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            let path = value["file"]["path"].as_str().unwrap().trim_start_matches(&tree).to_owned();
            (path, value["event"]["action"][0].as_str().unwrap().to_owned())
        })
        .collect()
}

/// A tree with a few directories, a link, an empty file and one that is read in several pieces.
fn fill(tree: &Path) {
    for directory in ["a/b/c", "d", "gone/deep"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
        for number in 0..20 {
            fs::write(tree.join(directory).join(format!("f{number}")), format!("content {number}")).unwrap();
        }
    }
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("large"), vec![7; 3_000_000]).unwrap();
    std::os::unix::fs::symlink("a/b", tree.join("link")).unwrap();
}

#[test]
fn check_finds_each_change_and_nothing_else_and_keeps_the_baseline() {
    let scratch = Scratch::new();
    scratch.configure(&format!("{FAST}mail = stdout:"));
    let tree = scratch.tree();
    fill(&tree);
    let init = scratch.ask(&["init"]);
    assert_eq!(code(&init), 0, "{}", words(&init));
    assert!(words(&init).contains("baseline of 70 entries"), "{}", words(&init));
    let check = scratch.ask(&["check"]);
    assert_eq!(code(&check), 0, "{}", words(&check));
    assert!(words(&check).contains("70 entries compared") && words(&check).contains("no difference"));

    let time = fs::metadata(tree.join("a/b/c/f1")).unwrap().modified().unwrap();
    overwrite(&tree.join("a/b/c/f1"), "CONTENT 1");
    put_back_mtime(&tree.join("a/b/c/f1"), time);
    fs::set_permissions(tree.join("a/b/c/f2"), fs::Permissions::from_mode(0o4755)).unwrap();
    put_back_mtime(&tree.join("d/f3"), time + Duration::from_secs(7));
    put(&tree.join("d/new"), "new");
    fs::remove_file(tree.join("d/f4")).unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    overwrite(&tree.join("large"), "x");
    let mut wanted = BTreeMap::from(
        [
            ("a/b/c/f1", "changed"),
            ("a/b/c/f2", "changed"),
            ("d/f3", "touched"),
            ("d/new", "added"),
            ("d/f4", "removed"),
            ("gone", "removed"),
            ("large", "changed"),
        ]
        .map(|(path, action)| (path.to_owned(), action.to_owned())),
    );
    if is_root() {
        std::os::unix::fs::chown(tree.join("d/f5"), Some(33), None).unwrap();
        wanted.insert("d/f5".to_owned(), "changed".to_owned());
    }
    let check = scratch.ask(&["check", "--json"]);
    assert_eq!(code(&check), 1 + 2 + 4, "{}", words(&check));
    assert_eq!(found(&scratch, &check), wanted, "{}", words(&check));
    // The times were put back, but the content was read.
    let forged = String::from_utf8(check.stdout.clone()).unwrap();
    let forged: Value = serde_json::from_str(forged.lines().find(|line| line.contains("a/b/c/f1\"")).unwrap()).unwrap();
    assert!(forged["integrityd"]["changed"].as_array().unwrap().contains(&"content".into()), "{forged}");
    // Nothing was learned by looking.
    let again = scratch.ask(&["check", "--json"]);
    assert_eq!(found(&scratch, &again), wanted);
    let shown = words(&scratch.ask(&["check"]));
    let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(lines[0].contains("HIGH") && lines[0].contains("/f2"), "the severest is not first: {shown}");
    assert!(shown.contains("directory, 22 entries in all"), "{shown}");
    assert!(shown.trim_end().ends_with("1 added, 23 removed, 5 changed") || !is_root(), "{shown}");

    let update = scratch.ask(&["check", "--update"]);
    assert_eq!(code(&update), 7, "{}", words(&update));
    let check = scratch.ask(&["check"]);
    assert_eq!(code(&check), 0, "{}", words(&check));
    let told = scratch.history().iter().filter(|event| event["event"]["dataset"] == "integrityd.file").count();
    assert_eq!(told, wanted.len(), "every accepted difference is an event");
}

#[test]
fn init_learns_what_the_walker_would_and_reports_what_differs() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "--quiet"])), 0);
    // The walker finds nothing to tell in a baseline that init has made.
    let daemon = scratch.start();
    wait_for("a round", || scratch.rounds() >= 2);
    assert!(daemon.stop().success());
    let files = |scratch: &Scratch| {
        scratch.history().iter().filter(|event| event["event"]["dataset"] == "integrityd.file").count()
    };
    assert_eq!(files(&scratch), 0);
    put(&tree.join("new"), "new");
    let again = scratch.ask(&["init", "--quiet"]);
    assert_eq!(code(&again), 1);
    let shown = String::from_utf8(again.stdout).unwrap();
    assert!(shown.contains("/new") && shown.contains("added") && again.stderr.is_empty(), "{shown}");
    assert_eq!(code(&scratch.ask(&["init"])), 0, "told once");
    let daemon = scratch.start();
    wait_for("the mail", || sink.mails().iter().any(|mail| mail.text().contains("/new ")));
    assert!(daemon.stop().success());
    assert_eq!(files(&scratch), 1);
}

#[test]
fn check_looks_at_what_it_is_asked_for() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    for path in ["a/b/c/f1", "d/f1", "gone/f1"] {
        fs::write(tree.join(path), "other").unwrap_or_default();
    }
    put(&tree.join("d/new"), "new");
    fs::remove_file(tree.join("gone/deep/f1")).unwrap();
    let ask = |path: &str| {
        let path = tree.join(path);
        scratch.ask(&["check", "--json", path.to_str().unwrap()])
    };
    let one = |output: &Output| found(&scratch, output).into_keys().collect::<Vec<_>>();
    assert_eq!(one(&ask("a/b")), ["a/b/c/f1"]);
    assert_eq!(one(&ask("d/new")), ["d/new"]);
    assert_eq!(one(&ask("d/")), ["d/f1", "d/new"]);
    assert_eq!(one(&ask("gone/deep/f1")), ["gone/deep/f1"]);
    assert_eq!(code(&ask("d/f2")), 0);
    let area = scratch.ask(&["check", "--area", tree.to_str().unwrap(), "--json"]);
    assert_eq!(code(&area), 7);
    let elsewhere = scratch.ask(&["check", "/nonexistent"]);
    assert_eq!(code(&elsewhere), 64);
    assert!(words(&elsewhere).contains("lies in no area"), "{}", words(&elsewhere));
}

#[test]
fn a_directory_too_large_to_be_held_is_compared_as_well() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    (0..5000).for_each(|number| fs::write(tree.join(format!("f{number:04}")), "").unwrap());
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    assert_eq!(code(&scratch.ask(&["check"])), 0);
    fs::remove_file(tree.join("f0007")).unwrap();
    fs::remove_file(tree.join("f4999")).unwrap();
    put(&tree.join("more"), "more");
    overwrite(&tree.join("f2500"), "x");
    let check = scratch.ask(&["check", "--json"]);
    let wanted = [("f0007", "removed"), ("f2500", "changed"), ("f4999", "removed"), ("more", "added")];
    let wanted = wanted.map(|(path, action)| (path.to_owned(), action.to_owned()));
    assert_eq!(found(&scratch, &check).into_iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn what_check_accepts_beside_a_daemon_is_told_once() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    // So slow that the daemon itself meets nothing during the test.
    scratch.configure(&format!("filerate = 0.01\nspeedup = 1\nreporttime = 1\nreportholdoff = 1\n{}", sink.setting()));
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    let daemon = scratch.start();
    wait_for("the first mail", || !sink.mails().is_empty());
    overwrite(&tree.join("d/f1"), "CONTENT 1");
    put(&tree.join("d/new"), "new");
    let full = scratch.ask(&["init"]);
    assert_eq!(code(&full), 75, "a full init beside a daemon: {}", words(&full));
    assert_eq!(code(&scratch.ask(&["check", "--update"])), 5);
    wait_for("the mail", || {
        let text: String = sink.mails().iter().map(crate::support::sink::Mail::text).collect();
        text.contains("/d/f1 ") && text.contains("/d/new ")
    });
    assert!(daemon.stop().success());
    // Quick now: the walker meets both and knows them.
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let daemon = scratch.start();
    wait_for("a round", || scratch.rounds() >= 2);
    assert!(daemon.stop().success());
    let told: Vec<String> = scratch
        .history()
        .iter()
        .filter(|event| event["event"]["dataset"] == "integrityd.file")
        .map(|event| event["file"]["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(scratch.ask(&["verify"]).status.success());
}

#[test]
fn an_area_is_accepted_as_it_is_with_one_event() {
    let scratch = Scratch::new();
    scratch.configure("areaonchange = keep\nmail = stdout:");
    let tree = scratch.tree();
    fill(&tree);
    let area = tree.to_str().unwrap();
    let unknown = scratch.ask(&["init", "--accept", area]);
    assert_ne!(code(&unknown), 0);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    overwrite(&tree.join("d/f1"), "CONTENT 1");
    put(&tree.join("d/new"), "new");
    fs::remove_dir_all(tree.join("gone")).unwrap();
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 1, "told");
    // What was added is known from then on; what was changed or removed is compared with the old state.
    assert_eq!(code(&scratch.ask(&["check", "-q"])), 6, "but not accepted");
    let accepted = scratch.ask(&["init", "--accept", area]);
    assert_eq!(code(&accepted), 0, "{}", words(&accepted));
    assert_eq!(code(&scratch.ask(&["check"])), 0);
    let last = scratch.history().pop().unwrap();
    let reason = last["event"]["reason"].as_str().unwrap();
    assert!(reason.contains("0 added, 22 removed, 1 changed"), "{reason}");
    let shown = words(&scratch.ask(&["show", &last["integrityd"]["seq"].to_string()]));
    assert!(shown.contains("/gone/deep/f7") && shown.contains("/d/f1"), "the old states stay with it: {shown}");
    fs::rename(&tree, scratch.path("away")).unwrap();
    let missing = scratch.ask(&["init", "--accept", area]);
    assert_eq!(code(&missing), 64);
    assert!(words(&missing).contains("mount or make it first"), "{}", words(&missing));
    assert_eq!(code(&scratch.ask(&["check"])), 8, "a missing area could not be compared");
}

#[test]
fn check_without_a_baseline_says_what_to_do() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let none = scratch.ask(&["check"]);
    assert_eq!(code(&none), 74, "{}", words(&none));
    assert!(words(&none).contains("integrityd init"), "{}", words(&none));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    scratch.configure(&format!("area = {}\nmail = stdout:", other.display()));
    let half = scratch.ask(&["check"]);
    assert_eq!(code(&half), 0, "{}", words(&half));
    assert!(words(&half).contains("no baseline yet"), "{}", words(&half));
}

#[test]
fn a_reader_of_check_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    (0..3000).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "").unwrap());
    let script = format!(
        "{PROGRAM} --config {} check | head -1; echo ${{PIPESTATUS[0]}}",
        scratch.path("integrityd.conf").display()
    );
    let output = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"));
}

#[test]
fn run_once_does_everything_once_and_keeps_what_nobody_takes() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let settings = format!("retrybase = 1h\nreporttime = 1h\nreportholdoff = 1d\n{}", sink.setting());
    scratch.configure(&settings);
    let tree = scratch.tree();
    fill(&tree);
    let first = scratch.ask(&["run", "--once"]);
    assert_eq!(code(&first), 0, "{}", words(&first));
    assert!(sink.mails()[0].text().contains("baseline established"), "{}", sink.mails()[0].text());
    overwrite(&tree.join("d/f1"), "CONTENT 1");
    sink.behave(Mode::NotNow);
    let second = scratch.ask(&["run", "--once"]);
    assert_eq!(code(&second), 75, "{}", words(&second));
    assert!(words(&second).contains("451"), "{}", words(&second));
    sink.behave(Mode::Accept);
    wait_for("the mail", || {
        scratch.ask(&["run", "--once"]);
        sink.mails().len() == 2
    });
    assert!(sink.mails()[1].text().contains("/d/f1 "), "{}", sink.mails()[1].text());
    assert_eq!(code(&scratch.ask(&["run", "--once"])), 0);
    assert_eq!(sink.mails().len(), 2, "nothing to tell is no mail");
}

#[test]
fn a_file_that_never_holds_still_costs_only_itself() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    let path = tree.join("large");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut byte = 0_u8;
        while matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
            byte = byte.wrapping_add(1);
            overwrite(&path, &char::from(byte % 64 + 32).to_string());
        }
    });
    let check = scratch.ask(&["check", "--json"]);
    drop(stop);
    writer.join().unwrap();
    let found = found(&scratch, &check);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["large"]);
    assert!([4, 8, 12].contains(&code(&check)), "{}", words(&check));
}

#[test]
fn what_lies_above_an_asked_path_is_told_too_and_nothing_is_asked_in_vain() {
    let scratch = Scratch::new();
    scratch.configure(&format!("exclude = {}/**/*.log\nmail = stdout:", scratch.tree().display()));
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    fs::remove_dir_all(tree.join("d")).unwrap();
    fs::remove_dir_all(tree.join("gone")).unwrap();
    put(&tree.join("gone"), "a file");
    fs::create_dir_all(tree.join("n/deep")).unwrap();
    put(&tree.join("n/deep/evil"), "evil");
    overwrite(&tree.join("empty"), "x");
    let ask = |path: &str| scratch.ask(&["check", "--json", &format!("{}/{path}", tree.display())]);
    let one = |path: &str| found(&scratch, &ask(path)).into_iter().collect::<Vec<_>>();
    let pair = |path: &str, action: &str| (path.to_owned(), action.to_owned());
    assert_eq!(one("d/f3"), [pair("d", "removed")]);
    assert_eq!(one("gone/deep/f3"), [pair("gone", "retyped")]);
    assert_eq!(one("n/deep/evil"), ["n", "n/deep", "n/deep/evil"].map(|path| pair(path, "added")));
    assert_eq!(one("a/../empty"), [pair("empty", "changed")]);
    for (path, words) in [("a/typo", "does not exist"), ("a/x.log", "is left out"), ("../../etc/x", "lies in no area")]
    {
        let output = ask(path);
        assert_eq!(code(&output), 64, "{path}: {}", self::words(&output));
        assert!(self::words(&output).contains(words), "{path}: {}", self::words(&output));
    }
}

#[test]
fn passes_that_run_at_once_beside_a_daemon_tell_each_change_once() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let tree = scratch.tree();
    (0..1500).for_each(|number| fs::write(tree.join(format!("f{number:04}")), "x").unwrap());
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    let daemon = scratch.start();
    for round in 0..4 {
        (0..400).for_each(|number| put(&tree.join(format!("n{round}-{number:03}")), "new"));
        (0..200).for_each(|number| overwrite(&tree.join(format!("f{:04}", round * 200 + number)), "y"));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let update = scratch.ask(&["check", "--update"]);
                    assert!(code(&update) < 8, "{}", words(&update));
                });
            }
        });
    }
    wait_for("two rounds", || scratch.rounds() >= 3);
    assert!(daemon.stop().success());
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for event in scratch.history().iter().filter(|event| event["event"]["dataset"] == "integrityd.file") {
        *told.entry(event["file"]["path"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = told.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(told.len(), 4 * 600);
    assert!(scratch.ask(&["verify"]).status.success());
    assert_eq!(code(&scratch.ask(&["check"])), 0);
}

#[test]
fn a_missing_area_is_told_once_however_often_it_is_checked_and_watched_again_when_it_is_back() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&tree);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    fs::rename(&tree, scratch.path("away")).unwrap();
    for _ in 0..3 {
        scratch.ask(&["check", "--update"]);
        assert_eq!(code(&scratch.ask(&["check", "-q"])), 8);
    }
    let told = || scratch.history().iter().filter(|event| event["event"]["action"][0] == "area-missing").count();
    assert_eq!(told(), 1);
    fs::rename(scratch.path("away"), &tree).unwrap();
    assert_eq!(code(&scratch.ask(&["check", "--update"])), 0);
    let status = scratch.status();
    assert_eq!(status["areas"][0]["state"], "watched");
    // One that never was there is nothing to be silent about either.
    let never = scratch.path("never");
    scratch.configure(&format!("area = {}\nmail = stdout:", never.display()));
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 1);
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 1, "not only the first time");
    assert_eq!(code(&scratch.ask(&["check", "-q"])), 8);
}

#[test]
fn a_tree_deeper_and_broader_than_there_are_descriptors_is_seen_whole() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let mut at = scratch.tree();
    for _ in 0..150 {
        for name in ["a", "b", "c"] {
            fs::create_dir(at.join(name)).unwrap();
        }
        fs::write(at.join("file"), "x").unwrap();
        at.push("c");
    }
    let script = "ulimit -n 40; exec \"$@\"";
    let run = |words: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", PROGRAM, "--config"]).arg(scratch.path("integrityd.conf")).args(words);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let init = run(&["init"]);
    assert_eq!(code(&init), 0, "{}", words(&init));
    assert!(words(&init).contains("baseline of 601 entries"), "{}", words(&init));
    assert_eq!(code(&run(&["check"])), 0);
    // Short of descriptors at any moment: an error, never a finding.
    let mut starved = 0;
    for limit in 6..30 {
        let check = Command::new("bash")
            .args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "bash", PROGRAM, "--config"])
            .arg(scratch.path("integrityd.conf"))
            .args(["check", "--json"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let is_error = check.status.code().is_none_or(|code| code >= 64);
        starved += u32::from(is_error);
        assert!(check.stdout.is_empty() && (is_error || code(&check) == 0), "{limit}: {}", words(&check));
    }
    assert!((1..24).contains(&starved), "{starved} of the limits were too low");
}

#[test]
fn what_cannot_be_read_is_said_by_init_and_check() {
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: only root can become somebody else, by setpriv(1)");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fill(&tree);
    let program = scratch.path("integrityd");
    copy_program(&program);
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&program, 0o755);
    allow(&scratch.path(""), 0o755);
    fs::create_dir(scratch.path("state")).unwrap();
    for path in [scratch.path("state"), scratch.path("integrityd.conf")] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    allow(&scratch.path("state"), 0o700);
    let nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).arg("--config");
        command.arg(scratch.path("integrityd.conf")).args(words).stdin(Stdio::null()).output().unwrap()
    };
    // A file and a directory that are not for everybody, from the beginning.
    allow(&tree.join("large"), 0o600);
    allow(&tree.join("d"), 0o700);
    let init = nobody(&["init"]);
    assert_eq!(code(&init), 1, "{}", words(&init));
    assert!(words(&init).contains("2 entries cannot be read"), "{}", words(&init));
    let check = nobody(&["check", "--json"]);
    assert_eq!(code(&check), 8, "{}", words(&check));
    let unreadable = ["d", "large"].map(|path| (path.to_owned(), "unreadable".to_owned()));
    assert_eq!(found(&scratch, &check).into_iter().collect::<Vec<_>>(), unreadable);
    // A directory that changes and cannot be listed any more: both are told, also by --update.
    allow(&tree.join("a"), 0o700);
    assert_eq!(code(&nobody(&["check", "--update"])), 4 + 8);
    // The root of the area itself.
    allow(&tree, 0o700);
    assert_eq!(code(&nobody(&["check", "-q"])) & 8, 8);
}
