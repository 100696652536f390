//! `explain`, as an administrator meets it: before there is a database, beside the daemon, and after it.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, copy_program, overwrite, shown, wait_for};

const MORE: &str = "filerate = 500\nmail = stdout:\nareaemail = web@example.org\nareaonchange = keep\n\
                    exclude = TREE/*/cache\nnotime = TREE/a\nurgent = TREE/*.pem\narea = TREE/flat\narearecurse = no";

fn prepared() -> Scratch {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    for directory in ["d/cache/x", "flat/sub", "elsewhere"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for file in ["a", "d/b", "d/cache/x/y", "flat/f", "flat/sub/g", "key.pem", "elsewhere/z"] {
        fs::write(tree.join(file), "a\n").unwrap();
    }
    symlink("elsewhere", tree.join("link")).unwrap();
    scratch.configure(&MORE.replace("TREE", tree.to_str().unwrap()));
    scratch
}

fn explain(scratch: &Scratch, path: impl AsRef<OsStr>, more: &[&str]) -> Output {
    Command::new(PROGRAM)
        .current_dir(scratch.tree())
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .args(["explain"])
        .args(more)
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn json(scratch: &Scratch, path: &str) -> serde_json::Value {
    serde_json::from_slice(&explain(scratch, path, &["--json"]).stdout).unwrap()
}

#[test]
fn without_a_database_the_settings_are_told() {
    let scratch = prepared();
    let mut all = String::new();
    for path in ["a", "d/cache/x/y", "./flat/../flat//sub/g", "link/z", "/nowhere/x", "key.pem"] {
        all += &format!("$ integrityd explain {path}\n{}", shown(&scratch, &explain(&scratch, path, &[])));
    }
    insta::assert_snapshot!("explain_settings", all);
    assert!(!scratch.path("state").exists(), "something was made");
}

#[test]
fn beside_the_daemon_what_is_stored_and_due_and_found_is_told() {
    let scratch = prepared();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    overwrite(&scratch.tree().join("a"), "b\n");
    wait_for("the change", || json(&scratch, "a")["stored"]["pending"] == true);
    let found = json(&scratch, "a");
    assert_eq!(found["stored"]["due"]["running"], true, "{found}");
    assert_eq!(found["stored"]["size"], 2);
    assert_eq!(found["events"].as_array().unwrap().len(), 1, "{found}");
    assert!(!found["area"]["compared"].as_array().unwrap().iter().any(|word| word == "mtime"), "{found}");
    assert!(daemon.stop().success());

    let text = String::from_utf8(explain(&scratch, "a", &[]).stdout).unwrap();
    assert!(found["stored"]["digests"]["blake3"].is_string(), "{found}");
    let digest = found["stored"]["digests"]["blake3"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    for words in [
        digest,
        "a change was reported and is not accepted: this is the old state",
        "within about ",
        "once the daemon runs: it does not now",
        "changed  content",
        "not mtime and ctime: notime",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    // Whether others wait longer depends on where the walk was when it ended.
    let places = ["entries wait longer\n", "1 entry waits longer\n", "next in the queue\n"];
    assert!(places.iter().any(|place| text.contains(place)), "{text}");
    let root = json(&scratch, ".");
    // a, d, d/b, key.pem, elsewhere, elsewhere/z and link; flat is an area of its own, with flat/f and flat/sub.
    assert_eq!((&root["stored"]["below"], &root["stored"]["type"]), (&7.into(), &"directory".into()));
    assert_eq!(json(&scratch, "flat")["stored"]["below"], 2);
    assert_eq!(json(&scratch, "flat")["area"]["outer"][0].as_str(), scratch.tree().to_str());
    assert_eq!(json(&scratch, "d/cache/x/y")["stored"], serde_json::Value::Null);
    assert_eq!(json(&scratch, "d/cache/x/y")["left_out"]["why"], "excluded");
}

#[test]
fn what_is_said_to_be_watched_is_what_the_walker_has_looked_at() {
    let scratch = prepared();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    assert!(daemon.stop().success());
    for path in [
        ".",
        "a",
        "d",
        "d/b",
        "d/cache",
        "d/cache/x",
        "d/cache/x/y",
        "flat",
        "flat/f",
        "flat/sub",
        "flat/sub/g",
        "link",
        "link/z",
        "key.pem",
        "elsewhere/z",
    ] {
        let found = json(&scratch, path);
        assert_eq!(found["watched"] == true, !found["stored"].is_null(), "{path}: {found}");
    }
    let stored = [".", "a", "d", "d/b", "flat", "flat/f", "flat/sub", "link", "key.pem", "elsewhere", "elsewhere/z"];
    let mut places: Vec<u64> =
        stored.iter().map(|path| json(&scratch, path)["stored"]["due"]["ahead"].as_u64().unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, (0..11).collect::<Vec<u64>>(), "each has its place in the queue");
}

#[test]
fn members_of_a_summary_lead_to_its_event() {
    let scratch = prepared();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    fs::remove_dir_all(scratch.tree().join("elsewhere")).unwrap();
    wait_for("the removal", || !json(&scratch, "elsewhere/z")["events"].as_array().unwrap().is_empty());
    assert!(daemon.stop().success());
    let of_member = json(&scratch, "elsewhere/z")["events"].clone();
    assert_eq!(of_member, json(&scratch, "elsewhere")["events"]);
}

#[test]
fn a_path_in_no_area_is_1_and_hostile_names_are_harmless() {
    let scratch = prepared();
    let foreign = explain(&scratch, "/nowhere/x", &[]);
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&foreign.stdout).contains("no area line"));
    let hostile = OsStr::from_bytes(b"x\xff\x1b[2J\nwatched   yes\xe2\x80\xae");
    for more in [&[][..], &["--json"]] {
        let output = explain(&scratch, hostile, more);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("x\\"), "{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']) && !text.contains("\nwatched   yes\u{202e}"), "{text:?}");
        assert_eq!(text.lines().filter(|line| line.starts_with("watched")).count(), usize::from(more.is_empty()));
    }
}

#[test]
fn a_wrong_configuration_or_database_is_told() {
    let scratch = prepared();
    fs::write(scratch.path("integrityd.conf"), "aera = /etc\n").unwrap();
    let output = explain(&scratch, "a", &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    let scratch = prepared();
    fs::write(scratch.path("db"), "this is no database at all, whatever its name may say").unwrap();
    let output = explain(&scratch, "a", &["--database", scratch.path("db").to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(74), 0));
    assert!(!output.stderr.is_empty());
}

#[test]
fn no_permission_is_a_clear_error() {
    // Root may read everything: another user asks.
    let is_root = fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    if !is_root || !Path::new("/usr/bin/setpriv").exists() {
        return;
    }
    let scratch = prepared();
    fs::set_permissions(scratch.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let program = scratch.path("integrityd");
    copy_program(&program);
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for command in [&["explain", "/etc"][..], &["config", "show"]] {
        let output = Command::new("/usr/bin/setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .arg("--config")
            .arg(scratch.path("integrityd.conf"))
            .args(command)
            .output()
            .unwrap();
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(77), "{talk}");
        assert!(talk.contains("should be readable by root only"), "{talk}");
    }
}

#[test]
fn our_own_lines_keep_to_60_columns() {
    let scratch = prepared();
    let text = String::from_utf8(explain(&scratch, "a", &[]).stdout).unwrap();
    let root = scratch.path("").display().to_string();
    for line in text.lines().filter(|line| !line.contains(&root)) {
        assert!(line.chars().count() <= 60, "{line}");
    }
}
