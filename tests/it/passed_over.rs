//! "No difference" is said only of what was compared: a path that is named by a way through links, what is passed over, and files that the
//! kernel makes.

use std::{fs, os::unix::fs::symlink, process::Output};

use crate::support::{Scratch, overwrite};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_path_that_is_named_through_a_link_is_compared_where_it_really_is() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    symlink("usr/bin", tree.join("bin")).unwrap();
    fs::write(tree.join("usr/bin/su"), "good").unwrap();
    symlink(&tree, scratch.path("outside")).unwrap();
    symlink(tree.join("usr/bin/su"), scratch.path("su")).unwrap();
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    overwrite(&tree.join("usr/bin/su"), "trojan horse");
    let check = |path: &std::path::Path| scratch.ask(&["check", path.to_str().unwrap()]);
    for path in [
        tree.join("bin/su"),
        tree.join("bin/"),
        tree.join("bin/../bin/./su"),
        scratch.path("outside/bin/su"),
        scratch.path("outside"),
        scratch.path("su"),
    ] {
        let found = check(&path);
        assert_eq!(code(&found), 4, "{}: {}", path.display(), words(&found));
        assert!(words(&found).contains("/usr/bin/su"), "{}", words(&found));
    }
    // A link that is an entry is compared itself, and that is said.
    let link = check(&tree.join("bin"));
    assert_eq!(code(&link), 0, "{}", words(&link));
    assert!(words(&link).contains("bin is a symbolic link to usr/bin: the link is compared"), "{}", words(&link));
    let nowhere = check(&scratch.path("outside/nowhere"));
    assert!(code(&nowhere) == 64 && words(&nowhere).contains("does not exist"), "{}", words(&nowhere));
    let explained = scratch.ask(&["explain", tree.join("bin/su").to_str().unwrap()]);
    assert!(words(&explained).contains("/bin/su leads to "), "{}", words(&explained));
    let updated = scratch.ask(&["check", "--update", tree.join("bin/su").to_str().unwrap()]);
    assert_eq!(code(&updated), 4, "{}", words(&updated));
    assert_eq!(code(&scratch.ask(&["check"])), 0);
    // An area may be named by another way as well.
    let accepted = scratch.ask(&["init", "--accept", scratch.path("outside").to_str().unwrap()]);
    assert_eq!(code(&accepted), 0, "{}", words(&accepted));
}

#[test]
fn what_is_passed_over_is_counted_and_is_no_success_where_the_baseline_has_it() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let exclude = |name: &str| format!("mail = stdout:\nexclude = {}", tree.join(name).display());
    scratch.configure(&exclude("cache"));
    for name in ["cache", "cold"] {
        fs::create_dir(tree.join(name)).unwrap();
        fs::write(tree.join(name).join("f"), "x").unwrap();
    }
    assert_eq!(code(&scratch.ask(&["init", "-q"])), 0);
    let found = scratch.ask(&["check"]);
    assert_eq!(code(&found), 0, "{}", words(&found));
    assert!(words(&found).contains(": no difference; not compared: 1 excluded\n"), "{}", words(&found));
    scratch.configure(&exclude("cold"));
    let found = scratch.ask(&["check"]);
    assert_eq!(code(&found), 9, "{}", words(&found));
    assert!(words(&found).contains("2 added; not compared: 1 excluded\n"), "{}", words(&found));
    scratch.configure(&format!("{}\nexclude = {}", exclude("cold"), tree.join("cache").display()));
    let found = scratch.ask(&["check"]);
    assert_eq!(code(&found), 8, "{}", words(&found));
    let wanted = "no difference in what was compared; not compared: 2 excluded\n";
    assert!(words(&found).contains(wanted), "{}", words(&found));
    let named = scratch.ask(&["check", tree.join("cold/f").to_str().unwrap()]);
    assert_eq!(code(&named), 64, "{}", words(&named));
    // An area without a baseline that was asked for is no success.
    let other = scratch.path("other");
    fs::create_dir(&other).unwrap();
    scratch.configure(&format!("mail = stdout:\narea = {}", other.display()));
    let both = scratch.ask(&["check", tree.join("cold").to_str().unwrap(), other.to_str().unwrap()]);
    assert_eq!(code(&both), 8, "{}", words(&both));
    assert!(!words(&both).contains("no difference\n"), "{}", words(&both));
}

#[test]
fn files_that_the_kernel_makes_are_compared_by_their_content() {
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let file = format!("/proc/{}/oom_score_adj", child.id());
    let scratch = Scratch::new();
    scratch.configure(&format!("mail = stdout:\narea = {file}"));
    let begun = scratch.ask(&["init", "-q"]);
    let check = |wanted: i32| {
        let found = scratch.ask(&["check"]);
        assert_eq!(code(&found), wanted, "{}", words(&found));
        words(&found)
    };
    assert_eq!(code(&begun), 0, "{}", words(&begun));
    check(0);
    // Its size is 0 before and after.
    fs::write(&file, "777").unwrap();
    let found = check(4);
    assert!(found.contains("oom_score_adj") && !found.contains("mtime") && !found.contains("inode"), "{found}");
    assert_eq!(code(&scratch.ask(&["check", "--update", "-q"])), 4);
    check(0);
    child.kill().unwrap();
    child.wait().unwrap();
}
