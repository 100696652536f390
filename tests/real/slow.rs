//! Slow file systems: a mount that hangs must hold up nothing but itself.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    fuse::{Fuse, can_mount, pass},
    support::{Scratch, sink::Sink, wait_for},
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 1\n\
                    urgentholdoff = 1\n";

struct Ground {
    fuse: Fuse,
    scratch: Scratch,
    sink: Sink,
}

/// A tree with files here and files far away, beneath `tree/far`.
fn ground(settings: &str) -> Ground {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let rules = scratch.path("rules");
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    fs::write(scratch.path("app.log"), "").unwrap();
    fs::write(scratch.tree().join("near"), "x").unwrap();
    let far = scratch.tree().join("far");
    fs::create_dir(&far).unwrap();
    let fuse = Fuse::mount(&far);
    fuse.put("one", Some("one"));
    fuse.put("two", Some(&"two".repeat(100_000)));
    let log = scratch.path("app.log");
    scratch.configure(&format!(
        "{settings}\n{FAST}logrules = {}\nlog = {}\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    Ground { fuse, scratch, sink }
}

impl Ground {
    fn events(&self, action: &str) -> Vec<serde_json::Value> {
        let events = self.scratch.history();
        events.into_iter().filter(|event| event["event"]["action"][0] == action).collect()
    }

    fn wait_for(&self, action: &str, path: &Path) {
        wait_for(&format!("{action} {}", path.display()), || {
            self.events(action).iter().any(|event| event["file"]["path"] == *path.to_str().unwrap())
        });
    }

    fn far(&self, name: &str) -> std::path::PathBuf {
        self.scratch.tree().join("far").join(name)
    }

    fn mail(&self) -> String {
        self.sink.mails().iter().map(crate::support::sink::Mail::text).collect()
    }
}

fn say(path: &Path, line: &str) {
    writeln!(fs::File::options().append(true).open(path).unwrap(), "{line}").unwrap();
}

#[test]
fn what_changes_on_an_admitted_slow_file_system_is_found() {
    if !can_mount() {
        return;
    }
    let ground = ground("areafstypes = fuse.test");
    let daemon = ground.scratch.start();
    ground.scratch.wait_for_baseline();
    ground.fuse.put("one", Some("changed"));
    ground.fuse.put("new", Some("new"));
    ground.fuse.remove("two");
    ground.wait_for("changed", &ground.far("one"));
    ground.wait_for("added", &ground.far("new"));
    ground.wait_for("removed", &ground.far("two"));
    assert!(daemon.stop().success());
    // A pass at full speed looks through the helper as well.
    ground.fuse.put("new", Some("newer"));
    let checked = ground.scratch.ask(&["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(4), "{text}");
    assert!(text.contains(ground.far("new").to_str().unwrap()), "{text}");
}

#[test]
fn a_log_on_a_slow_file_system_may_grow() {
    if !can_mount() {
        return;
    }
    let ground = ground("areafstypes = fuse.test\nareaattributes = +log -inode");
    let check = || {
        let checked = ground.scratch.ask(&["check"]);
        (checked.status.code(), String::from_utf8(checked.stdout).unwrap())
    };
    assert_eq!(ground.scratch.ask(&["init"]).status.code(), Some(0));
    ground.fuse.put("two", Some(&"two".repeat(100_001)));
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    ground.fuse.put("two", Some(&"twO".repeat(100_001)));
    let (code, text) = check();
    assert!(code == Some(4) && text.contains("its old part changed"), "{text}");
}

#[test]
fn a_hung_mount_holds_up_nothing_but_itself() {
    if !can_mount() {
        return;
    }
    let ground = ground("areafstypes = fuse.test");
    let other = ground.scratch.tree().join("other");
    fs::create_dir(&other).unwrap();
    let healthy = Fuse::mount(&other);
    healthy.put("three", Some("three"));
    let daemon = ground.scratch.start();
    ground.scratch.wait_for_baseline();
    ground.fuse.be_silent(true);
    // While it hangs, before it is known to: files, logs and mails go on.
    for round in 0..6 {
        let near = ground.scratch.tree().join(format!("near-{round}"));
        fs::write(&near, "x").unwrap();
        let word = format!("a line of round {round}");
        say(&ground.scratch.path("app.log"), &word);
        wait_for("both mails", || {
            let mail = ground.mail();
            mail.contains(&word) && mail.contains(near.to_str().unwrap())
        });
    }
    let point = ground.scratch.tree().join("far");
    ground.wait_for("stalled", &point);
    // Another slow mount has a helper of its own.
    healthy.put("three", Some("changed"));
    ground.wait_for("changed", &other.join("three"));
    pass(Duration::from_secs(3));
    assert_eq!(ground.events("stalled").len(), 1);
    assert!(ground.events("removed").is_empty());
    let stopped = Instant::now();
    assert!(daemon.stop().success());
    println!("stopped within {:?}", stopped.elapsed());
    // It hangs still: a pass says so and goes on.
    let near = ground.scratch.tree().join("late");
    fs::write(&near, "x").unwrap();
    let checked = ground.scratch.ask(&["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1 + 8), "{text}");
    assert!(text.contains("stalled") && text.contains(near.to_str().unwrap()), "{text}");
    let accepted = ground.scratch.ask(&["init", "--accept", ground.scratch.tree().to_str().unwrap()]);
    assert_eq!(accepted.status.code(), Some(1), "{}", String::from_utf8_lossy(&accepted.stdout));
    let status = String::from_utf8(ground.scratch.ask(&["status"]).stdout).unwrap();
    assert!(status.contains(&format!("{} does not answer", point.display())), "{status}");
    // After a restart nothing is told twice; what has changed meanwhile is.
    ground.fuse.be_silent(false);
    ground.fuse.put("one", Some("changed"));
    let daemon = ground.scratch.start();
    ground.wait_for("answers-again", &point);
    ground.wait_for("changed", &ground.far("one"));
    assert_eq!(ground.events("stalled").len(), 1);
    assert!(ground.events("removed").is_empty());
    assert!(daemon.stop().success());
}

#[test]
fn an_area_on_a_hung_mount_keeps_its_baseline() {
    if !can_mount() {
        return;
    }
    // No type is admitted: whoever names an area there wants it.
    let ground = ground("");
    let far = ground.scratch.tree().join("far");
    let text = fs::read_to_string(ground.scratch.path("integrityd.conf")).unwrap();
    fs::write(ground.scratch.path("integrityd.conf"), format!("{text}area = {}\n", far.display())).unwrap();
    let daemon = ground.scratch.start();
    ground.scratch.wait_for_baseline();
    ground.fuse.put("one", Some("changed"));
    ground.wait_for("changed", &ground.far("one"));
    ground.fuse.be_silent(true);
    ground.wait_for("stalled", &far);
    assert!(daemon.stop().success());
    let daemon = ground.scratch.start();
    pass(Duration::from_secs(12));
    let near = ground.scratch.tree().join("late");
    fs::write(&near, "x").unwrap();
    ground.wait_for("added", &near);
    let events = ground.scratch.history();
    let told = |action: &str| events.iter().filter(|event| event["event"]["action"][0] == action).count();
    assert_eq!((told("stalled"), told("removed"), told("area missing")), (1, 0, 0));
    assert!(daemon.stop().success());
}

#[test]
fn a_file_that_a_slow_file_system_refuses_is_unreadable_and_the_others_are_checked() {
    if !can_mount() {
        return;
    }
    let ground = ground("areafstypes = fuse.test");
    let daemon = ground.scratch.start();
    ground.scratch.wait_for_baseline();
    ground.fuse.put("one", None);
    ground.wait_for("unreadable", &ground.far("one"));
    ground.fuse.put("two", Some("other"));
    ground.wait_for("changed", &ground.far("two"));
    let told = ground.events("unreadable");
    assert_eq!(told.len(), 1);
    assert!(told[0]["event"]["reason"].to_string().contains("Input/output error"), "{}", told[0]);
    assert!(daemon.stop().success());
}

#[test]
fn a_type_that_is_not_admitted_is_never_touched_and_told_once() {
    if !can_mount() {
        return;
    }
    let ground = ground("");
    ground.fuse.be_silent(true);
    let daemon = ground.scratch.start();
    ground.scratch.wait_for_baseline();
    fs::write(ground.scratch.tree().join("near"), "other").unwrap();
    ground.wait_for("changed", &ground.scratch.tree().join("near"));
    assert_eq!(ground.events("skipped").len(), 1);
    assert!(ground.events("stalled").is_empty());
    assert!(daemon.stop().success());
}

#[test]
fn doctor_counts_past_a_hung_mount() {
    if !can_mount() {
        return;
    }
    for settings in ["", "areafstypes = fuse.test"] {
        let ground = ground(settings);
        ground.fuse.be_silent(true);
        let config = ground.scratch.path("integrityd.conf");
        let mut doctor = std::process::Command::new(crate::support::PROGRAM)
            .arg("--config")
            .arg(config)
            .arg("doctor")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while doctor.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(30) {
            pass(Duration::from_millis(50));
        }
        // One that hangs is released by the end of the file system.
        let is_over = doctor.try_wait().unwrap().is_some();
        drop(ground.fuse);
        let said = String::from_utf8(doctor.wait_with_output().unwrap().stdout).unwrap();
        assert!(is_over, "doctor hangs");
        assert!(said.contains(&format!("{}: 2 entries", ground.scratch.tree().display())), "{said}");
    }
}
