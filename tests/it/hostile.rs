//! What a hostile or merely busy tree does to the walk, and settings that change under a baseline.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    time::Duration,
};

use crate::support::{Running, Scratch, overwrite, put, sink::Sink, wait_for};

const FAST: &str = "filerate = 3000\nbyterate = 1G\nreporttime = 1\nreportholdoff = 1\nmail = stdout:\n";

/// Actions and paths of all file events, in order.
fn told(scratch: &Scratch) -> Vec<(String, String)> {
    scratch
        .history()
        .iter()
        .filter(|event| event["event"]["dataset"] == "integrityd.file")
        .map(|event| {
            let path = event["file"]["path"].as_str().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (event["event"]["action"][0].as_str().unwrap().to_owned(), name)
        })
        .collect()
}

fn count(scratch: &Scratch, action: &str, name: &str) -> usize {
    told(scratch).iter().filter(|(told, path)| told == action && path == name).count()
}

fn started(scratch: &Scratch, more: &str) -> Running {
    scratch.configure(&format!("{FAST}{more}"));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    daemon
}

fn pause() {
    std::thread::sleep(Duration::from_millis(2500));
}

#[test]
fn the_baseline_holds_what_walkdir_sees() {
    let scratch = Scratch::new();
    for number in 0..200 {
        let directory = scratch.tree().join(format!("a{}/b{}", number % 5, number % 3));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("f{number}")), "x").unwrap();
    }
    std::os::unix::fs::symlink("nowhere", scratch.tree().join("link")).unwrap();
    let daemon = started(&scratch, "");
    let seen = walkdir::WalkDir::new(scratch.tree()).into_iter().count();
    let status = String::from_utf8(scratch.ask(&["status", "--json"]).stdout).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["areas"][0]["entries"], seen);
    assert!(daemon.stop().success());
}

#[test]
fn a_file_that_is_always_being_written_does_not_hide_a_chmod() {
    let scratch = Scratch::new();
    let path = scratch.tree().join("log");
    fs::write(&path, vec![b'x'; 600_000]).unwrap();
    scratch.configure("filerate = 50\nbyterate = 2M\nspeedup = 1\nreporttime = 1\nreportholdoff = 1\nmail = stdout:\n");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (flag, written) = (std::sync::Arc::clone(&stop), path.clone());
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let mut file = fs::File::options().append(true).open(written).unwrap();
        while !flag.load(std::sync::atomic::Ordering::Relaxed) {
            file.write_all(b"line\n").unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    wait_for("busy", || count(&scratch, "busy", "log") == 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    wait_for("the chmod", || count(&scratch, "changed", "log") >= 1);
    pause();
    assert_eq!(count(&scratch, "busy", "log"), 1, "one event a streak");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(daemon.stop().success());
}

#[test]
fn another_type_is_told_even_when_only_content_counts() {
    let scratch = Scratch::new();
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let daemon = started(&scratch, "areaattributes = content\n");
    std::os::unix::fs::symlink("/etc/shadow", scratch.path("link")).unwrap();
    fs::rename(scratch.path("link"), scratch.tree().join("f")).unwrap();
    wait_for("the new type", || count(&scratch, "retyped", "f") == 1);
    assert!(daemon.stop().success());
}

#[test]
fn kept_differences_are_told_once_and_not_got_round() {
    let scratch = Scratch::new();
    let (file, gone) = (scratch.tree().join("f"), scratch.tree().join("g"));
    fs::write(&file, "as it was").unwrap();
    fs::write(&gone, "as it was").unwrap();
    // A legacy line of an area follows its area line.
    let daemon = started(&scratch, "areaonchange = keep\n");
    overwrite(&file, "changed then");
    fs::remove_file(&gone).unwrap();
    wait_for("both", || count(&scratch, "changed", "f") == 1 && count(&scratch, "removed", "g") == 1);
    pause();
    assert_eq!((count(&scratch, "changed", "f"), count(&scratch, "removed", "g")), (1, 1));
    put(&gone, "something else");
    wait_for("the return", || count(&scratch, "changed", "g") == 1);
    overwrite(&file, "changed again");
    wait_for("another difference", || count(&scratch, "changed", "f") == 2);
    assert_eq!(count(&scratch, "added", "g"), 0);
    assert!(daemon.stop().success());
}

#[test]
fn own_files_are_left_out_however_the_area_is_reached() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(scratch.path(""), scratch.path("link")).unwrap();
    let link = scratch.path("link");
    let text = format!(
        "email = root@example.org\ndatabase = {0}/state/integrityd.sqlite\narea = {0}\nexclude = {0}/log\nmail = file:{0}/out\n\
         filerate = 2000\nbyterate = 1G\nreporttime = 0\nreportholdoff = 0\n",
        link.display()
    );
    fs::write(scratch.path("integrityd.conf"), text).unwrap();
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    pause();
    put(&scratch.tree().join("new"), "x");
    wait_for("the change", || count(&scratch, "added", "new") == 1);
    pause();
    assert_eq!(told(&scratch), [("added".to_owned(), "new".to_owned())]);
    assert!(daemon.stop().success());
}

#[test]
fn a_new_area_within_a_known_one_hides_nothing() {
    let scratch = Scratch::new();
    let inner = scratch.tree().join("ssh");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("conf"), "as it was").unwrap();
    let daemon = started(&scratch, "");
    assert!(daemon.stop().success());
    overwrite(&inner.join("conf"), "altered it is");
    scratch.configure(&format!("{FAST}area = {}\n", inner.display()));
    let daemon = scratch.start();
    wait_for("the alteration", || count(&scratch, "changed", "conf") == 1);
    pause();
    let actions: BTreeSet<String> = told(&scratch).into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, BTreeSet::from(["changed".to_owned()]));
    assert!(daemon.stop().success());
}

#[test]
fn what_is_excluded_later_leaves_with_one_notice() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.tree().join("lvm/archive")).unwrap();
    fs::create_dir(scratch.tree().join("lvm2")).unwrap();
    (0..20).for_each(|number| fs::write(scratch.tree().join(format!("lvm/archive/f{number}")), "x").unwrap());
    fs::write(scratch.tree().join("lvm2/f"), "x").unwrap();
    let daemon = started(&scratch, "");
    assert!(daemon.stop().success());
    scratch.configure(&format!("{FAST}exclude = {}/lvm\n", scratch.tree().display()));
    let daemon = scratch.start();
    wait_for("the notice", || count(&scratch, "excluded", "lvm") == 1);
    overwrite(&scratch.tree().join("lvm/archive/f3"), "changed");
    overwrite(&scratch.tree().join("lvm2/f"), "changed");
    wait_for("what is not excluded", || count(&scratch, "changed", "f") == 1);
    pause();
    assert_eq!(told(&scratch).len(), 2, "{:?}", told(&scratch));
    assert!(daemon.stop().success());
}

#[test]
fn a_recipient_who_is_refused_for_ever_does_not_end_the_reports_of_others() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!(
        "email = second@example.org\nfilerate = 3000\nbyterate = 1G\nreporttime = 0\nreportholdoff = 0\n{}",
        sink.setting()
    ));
    sink.behave(crate::support::sink::Mode::Refuse("root@example.org".to_owned()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    for number in 0..55 {
        put(&scratch.tree().join(format!("f{number}")), "x");
        let name = format!("/f{number} ");
        wait_for("the mail", || sink.mails().iter().rev().any(|mail| mail.text().contains(&name)));
    }
    assert!(daemon.stop().success());
}

#[test]
fn a_reload_takes_new_settings_and_survives_bad_ones() {
    let scratch = Scratch::new();
    let config = scratch.configure(FAST);
    fs::create_dir(scratch.path("second")).unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let good = fs::read(&config).unwrap();
    for bad in ["filerat = 2\nreporttime = soon\n", "mail = sendmail:\n", "mailfrom = a@[192.0.2.1\n"] {
        let known = scratch.history().len();
        fs::write(&config, [good.as_slice(), bad.as_bytes()].concat()).unwrap();
        daemon.signal("HUP");
        wait_for(bad, || scratch.history().len() == known + 1);
    }
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(&config, &good).unwrap();
    let known = scratch.history().len();
    daemon.signal("HUP");
    wait_for("the refusal of a file that others may write", || scratch.history().len() == known + 1);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let area = format!("area = {}\n", scratch.path("second").display());
    fs::write(&config, [good.as_slice(), area.as_bytes()].concat()).unwrap();
    daemon.signal("HUP");
    wait_for("the new area", || {
        let status = scratch.ask(&["status"]).stdout;
        status.windows(b"/second".len()).any(|window| window == b"/second")
    });
    assert!(daemon.stop().success());
    assert!(scratch.path("second").as_os_str().as_bytes().len() > 1);
}

#[test]
fn verify_notices_every_kind_of_tampering() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.tree().join("d")).unwrap();
    (0..5).for_each(|number| fs::write(scratch.tree().join(format!("d/f{number}")), "x").unwrap());
    let daemon = started(&scratch, "");
    fs::remove_dir_all(scratch.tree().join("d")).unwrap();
    put(&scratch.tree().join("new"), "x");
    wait_for("both", || count(&scratch, "removed", "d") == 1 && count(&scratch, "added", "new") == 1);
    assert!(daemon.stop().success());
    assert!(scratch.ask(&["verify"]).status.success());
    let whole = fs::read(scratch.database()).unwrap();
    for tampering in [
        "UPDATE event SET severity = 5 WHERE seq = 3",
        "UPDATE event SET wall = 0 WHERE seq = 2",
        "UPDATE event SET canonical = substr(canonical, 1, 30) WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
        "DELETE FROM event_member WHERE n = 2",
        "UPDATE event_member SET source = x'2f' WHERE n = 2",
        "UPDATE event SET seq = 99 WHERE seq = 2",
    ] {
        let db = rusqlite::Connection::open(scratch.database()).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert!(db.execute(tampering, []).unwrap() > 0, "{tampering} changed nothing");
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(db);
        let verified = scratch.ask(&["verify"]);
        assert_eq!(verified.status.code(), Some(1), "{tampering}: {}", String::from_utf8_lossy(&verified.stderr));
        fs::write(scratch.database(), &whole).unwrap();
        let _gone = fs::remove_file(scratch.path("state/integrityd.sqlite-wal"));
        let _gone = fs::remove_file(scratch.path("state/integrityd.sqlite-shm"));
    }
    assert!(scratch.ask(&["verify"]).status.success());
}

#[test]
fn an_area_behind_a_link_is_noticed_when_the_link_turns() {
    let scratch = Scratch::new();
    for release in ["r1", "r2"] {
        fs::create_dir(scratch.path(release)).unwrap();
        fs::write(scratch.path(&format!("{release}/f")), release).unwrap();
    }
    let current = scratch.path("current");
    std::os::unix::fs::symlink("r1", &current).unwrap();
    let daemon = started(&scratch, &format!("area = {}\n", current.display()));
    std::os::unix::fs::symlink("r2", scratch.path("next")).unwrap();
    fs::rename(scratch.path("next"), &current).unwrap();
    wait_for("the turn", || count(&scratch, "area-replaced", "current") == 1);
    assert!(daemon.stop().success());
}

#[test]
fn another_digest_is_learned_only_after_the_old_one_was_verified() {
    let scratch = Scratch::new();
    (0..20).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "as it was").unwrap());
    let daemon = started(&scratch, "");
    assert!(daemon.stop().success());
    overwrite(&scratch.tree().join("f7"), "AS IT WAS");
    scratch.configure(&format!("{FAST}hash = sha256+sha512\n"));
    let daemon = scratch.start();
    wait_for("the change", || count(&scratch, "changed", "f7") == 1);
    pause();
    assert_eq!(told(&scratch).len(), 1, "{:?}", told(&scratch));
    overwrite(&scratch.tree().join("f8"), "AS IT WAS");
    wait_for("a change by the new digest", || count(&scratch, "changed", "f8") == 1);
    let event = scratch
        .history()
        .into_iter()
        .find(|event| event["file"]["path"].as_str().is_some_and(|path| path.ends_with("f8")));
    let event = event.unwrap();
    assert!(event["file"]["hash"]["sha256"].is_string(), "{event}");
    assert!(event["integrityd"]["hash"]["blake3"].is_null(), "{event}");
    assert!(daemon.stop().success());
}
