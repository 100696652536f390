//! What only root can set on a file: owners, capabilities, inode flags, device numbers, and attributes of symbolic links.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, process::Command};

use rustix::fs::{XattrFlags, lsetxattr, setxattr};
use serde_json::Value;

use crate::support::Scratch;

/// `cap_net_raw=ep`, as the kernel stores it.
const RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn ran(program: &str, arguments: &[&str], path: &Path) -> bool {
    Command::new(program).args(arguments).arg(path).status().is_ok_and(|status| status.success())
}

fn node(path: &Path, minor: &str) {
    assert!(Command::new("mknod").arg(path).args(["c", "1", minor]).status().unwrap().success());
}

/// Gives up its flags when the test ends, however it does.
struct Flagged<'a>(&'a Path);

impl Drop for Flagged<'_> {
    fn drop(&mut self) {
        ran("chattr", &["-i", "-a"], self.0);
    }
}

#[test]
fn what_only_root_can_change_is_one_event_that_names_it() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can do this");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    for name in ["owner", "group", "caps", "caps-lost", "immutable", "append"] {
        fs::write(tree.join(name), "x").unwrap();
    }
    setxattr(tree.join("caps-lost"), "security.capability", RAW, XattrFlags::empty()).unwrap();
    symlink("caps", tree.join("link")).unwrap();
    node(&tree.join("node"), "3");
    assert!(scratch.ask(&["init", "--quiet"]).status.success());

    let mut wanted: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("owner", &["owner", "ctime"][..]),
        ("group", &["group", "ctime"]),
        ("caps", &["ctime", "caps"]),
        ("caps-lost", &["ctime", "caps"]),
        ("node", &["rdev", "inode", "mtime", "ctime"]),
    ]);
    std::os::unix::fs::chown(tree.join("owner"), Some(33), None).unwrap();
    std::os::unix::fs::chown(tree.join("group"), None, Some(33)).unwrap();
    setxattr(tree.join("caps"), "security.capability", RAW, XattrFlags::empty()).unwrap();
    rustix::fs::removexattr(tree.join("caps-lost"), "security.capability").unwrap();
    node(&scratch.path("node"), "5");
    fs::rename(scratch.path("node"), tree.join("node")).unwrap();
    let paths = [tree.join("immutable"), tree.join("append")];
    let flagged = paths.each_ref().map(|path| Flagged(path));
    if ran("chattr", &["+i"], &paths[0]) && ran("chattr", &["+a"], &paths[1]) {
        wanted.extend([("immutable", &["ctime", "flags"][..]), ("append", &["ctime", "flags"])]);
    } else {
        println!("skipped in part: chattr sets no flags here");
    }
    if lsetxattr(tree.join("link"), "security.integrityd_test", b"v", XattrFlags::empty()).is_ok() {
        wanted.insert("link", &["ctime", "xattrs"]);
    } else {
        println!("skipped in part: links take no security.* here");
    }
    let text = String::from_utf8(scratch.ask(&["check", "--json"]).stdout).unwrap();
    let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    drop(flagged);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), wanted.len(), "{text}");
    for event in &events {
        let name = event["file"]["path"].as_str().unwrap().rsplit('/').next().unwrap();
        let changed: Vec<&str> =
            event["integrityd"]["changed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(Some(&changed.as_slice()), wanted.get(name), "{name}: {event}");
        assert_eq!(event["event"]["severity"] == 70, name == "caps", "{name}: {event}");
    }
    assert!(shown.contains("caps none → cap_net_raw=ep"), "{shown}");
    assert!(shown.contains("file capabilities: whoever runs it gets cap_net_raw=ep"), "{shown}");
    if wanted.contains_key("immutable") {
        assert!(shown.contains("flags none → immutable") && shown.contains("flags none → append-only"), "{shown}");
    }
}
