//! Rows of the matrix (`tests/it/matrix.rs`) that only root can make: devices and mounts.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::mounted::Mounted;
use crate::support::Scratch;

fn check(scratch: &Scratch) -> Vec<Value> {
    let text = String::from_utf8(scratch.ask(&["check", "--json"]).stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| event["file"]["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let mut all: Vec<String> = events
        .iter()
        .map(|event| format!("{} {}", event["event"]["action"][0].as_str().unwrap(), name(event)))
        .collect();
    all.sort();
    all
}

fn write_all(directory: &Path, files: usize) {
    (0..files).for_each(|number| fs::write(directory.join(format!("f{number}")), "x").unwrap());
}

#[test]
fn row_03_what_becomes_a_device_is_told_so_and_never_opened() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    write_all(&tree, 3);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    fs::remove_file(tree.join("f1")).unwrap();
    // The device of the kernel's log: whoever opens and reads it waits for ever.
    let made = Command::new("mknod").arg(tree.join("f1")).args(["c", "1", "11"]).status().unwrap();
    assert!(made.success());
    let found = check(&scratch);
    assert_eq!(names(&found), ["retyped f1"]);
    assert_eq!(found[0]["file"]["type"], "char_device", "{}", found[0]);
    assert_eq!(found[0]["integrityd"]["rdev"], "1:11");
}

#[test]
fn row_11_a_tree_bound_into_itself_ends_and_tells_no_more_than_it_holds() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    write_all(&tree, 50);
    fs::create_dir(tree.join("loop")).unwrap();
    let Some(_mounted) = Mounted::attempt(&["--rbind", tree.to_str().unwrap()], &tree.join("loop")) else { return };
    let init = scratch.ask(&["init"]);
    let words = String::from_utf8_lossy(&init.stderr).into_owned() + &String::from_utf8_lossy(&init.stdout);
    // Once here and once bound; the binding is not in itself.
    assert!(init.status.success() && words.contains("baseline of 103 entries"), "{words}");
    assert!(check(&scratch).is_empty());
    fs::write(tree.join("f7"), "other").unwrap();
    assert_eq!(names(&check(&scratch)), ["changed f7", "changed f7"]);
}

#[test]
fn row_11_a_copy_up_on_an_overlay_is_one_event() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    // An overlay on an overlay is refused: on a file system of its own.
    fs::create_dir(scratch.path("ground")).unwrap();
    let Some(_ground) = Mounted::attempt(&["-t", "tmpfs", "none"], &scratch.path("ground")) else { return };
    let part = |name: &str| scratch.path("ground").join(name);
    for name in ["lower", "upper", "work"] {
        fs::create_dir(part(name)).unwrap();
    }
    write_all(&part("lower"), 50);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        part("lower").display(),
        part("upper").display(),
        part("work").display()
    );
    let Some(_mounted) = Mounted::attempt(&["-t", "overlay", "-o", &options, "none"], &scratch.tree()) else { return };
    assert!(scratch.ask(&["init", "-q"]).status.success());
    assert!(check(&scratch).is_empty());
    fs::write(scratch.tree().join("f7"), "other").unwrap();
    fs::remove_file(scratch.tree().join("f8")).unwrap();
    fs::rename(scratch.tree().join("f9"), scratch.tree().join("moved")).unwrap();
    let found = names(&check(&scratch));
    // A rename copies up as well, to another object: whether it is the same shows by its inode.
    let is_moved = found == ["changed f7", "moved moved", "removed f8"];
    let is_copied = found == ["added moved", "changed f7", "removed f8", "removed f9"];
    assert!(is_moved || is_copied, "{found:?}");
}

#[test]
fn row_12_a_file_system_that_is_not_mounted_within_an_area_is_one_event() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    write_all(&tree, 20);
    let inner = tree.join("data");
    fs::create_dir(&inner).unwrap();
    let Some(mounted) = Mounted::attempt(&["-t", "tmpfs", "none"], &inner) else { return };
    write_all(&inner, 300);
    assert!(scratch.ask(&["init", "-q"]).status.success());
    assert!(check(&scratch).is_empty());
    drop(mounted);
    let found = check(&scratch);
    assert_eq!(names(&found), ["covered data"]);
    assert_eq!(found[0]["integrityd"]["count"], 300, "{}", found[0]);
}
