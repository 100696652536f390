//! Every attribute of an object: changed alone, it is exactly one event that names exactly what has changed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{XattrFlags, removexattr, setxattr},
    io::Errno,
};
use serde_json::Value;

use crate::support::{Scratch, keeps_ctime, overwrite, put_back_mtime, wait_for};

/// `u::rw-,u:33:r--,g::r--,m::r--,o::r--`: of a file with mode 0644 only the list changes.
const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x21\0\0\0\x04\0\x04\0\xff\xff\xff\xff\
    \x10\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";

/// Name of the file, what is done to it, what is then named.
type Row = (&'static str, fn(&Path), &'static [&'static str]);

fn set(path: &Path, name: &[u8], value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

const ROWS: &[Row] = &[
    ("mode", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap(), &["perms", "ctime"]),
    ("setuid", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o4644)).unwrap(), &["perms", "ctime"]),
    ("hard-link", |path| fs::hard_link(path, path.with_file_name("../second")).unwrap(), &["nlink", "ctime"]),
    ("mtime", |path| put_back_mtime(path, UNIX_EPOCH), &["mtime", "ctime"]),
    (
        "content",
        |path| {
            let time = fs::metadata(path).unwrap().modified().unwrap();
            overwrite(path, "y");
            put_back_mtime(path, time);
        },
        &["content", "ctime"],
    ),
    (
        "target",
        |path| {
            let aside = path.with_file_name("../aside");
            symlink("elsewhere", &aside).unwrap();
            fs::rename(aside, path).unwrap();
        },
        &["target", "inode", "mtime", "ctime"],
    ),
];

/// The same, where the file system takes extended attributes.
const XATTR_ROWS: &[Row] = &[
    ("acl", |path| set(path, b"system.posix_acl_access", ACL), &["ctime", "acl"]),
    ("directory-acl", |path| set(path, b"system.posix_acl_default", ACL), &["acl"]),
    ("xattr-empty", |path| set(path, b"user.empty", b""), &["ctime", "xattrs"]),
    ("xattr-odd", |path| set(path, b"user.\xff\x1b[2J\n", b"v"), &["ctime", "xattrs"]),
    ("xattr-other", |path| set(path, b"user.kept", b"2"), &["ctime", "xattrs"]),
    ("xattr-long", |path| set(path, b"user.long", &[7; 3000]), &["ctime", "xattrs"]),
    ("xattr-gone", |path| removexattr(path, "user.kept").unwrap(), &["ctime", "xattrs"]),
    (
        "xattr-and-mode",
        |path| {
            set(path, b"user.empty", b"");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        },
        &["perms", "ctime", "xattrs"],
    ),
];

#[expect(clippy::print_stdout, reason = "a test says what it has skipped")]
fn takes_xattrs(tree: &Path) -> bool {
    let path = tree.join("probe");
    fs::write(&path, "x").unwrap();
    let taken = setxattr(&path, "user.probe", b"v", XattrFlags::empty());
    let has_acl = setxattr(&path, "system.posix_acl_access", ACL, XattrFlags::empty());
    fs::remove_file(&path).unwrap();
    if taken.is_err() || has_acl.is_err() {
        println!("skipped in part: {} takes no extended attributes or lists", tree.display());
    }
    taken.is_ok() && has_acl.is_ok()
}

/// What `check --json` finds, by name.
fn found(scratch: &Scratch) -> BTreeMap<String, Vec<Value>> {
    let output = scratch.ask(&["check", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let path = event["file"]["path"].as_str().unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        found.entry(name).or_default().push(event);
    }
    found
}

fn changed(event: &Value) -> Vec<&str> {
    event["integrityd"]["changed"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// Another process that maps the file and stores through it, without any call that would move a time.
#[expect(clippy::print_stdout, reason = "a test says what it has skipped")]
fn map(path: &Path) -> Option<(Child, impl FnMut() + use<>)> {
    let script = "import mmap, sys\nf = open(sys.argv[1], 'r+b')\nm = mmap.mmap(f.fileno(), 1)\nfor c in b'ab':\n    \
                  m[0] = c\n    print('stored', flush=True)\n    sys.stdin.readline()\n";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .inspect_err(|_| println!("skipped in part: no python3 that stores through a mapping"))
        .ok()?;
    let mut said = BufReader::new(child.stdout.take()?);
    let mut line = move || {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    };
    // A python3 may itself be a shell script, which finds nothing to run where faccessat2(2) is refused with EPERM.
    if line().is_empty() {
        println!("skipped in part: python3 does not start here");
        child.wait().unwrap();
        return None;
    }
    Some((child, move || assert_eq!(line(), "stored\n")))
}

#[test]
fn each_attribute_changed_alone_is_one_event_that_names_it() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    let mut rows: Vec<Row> = ROWS.to_vec();
    if takes_xattrs(&tree) {
        rows.extend(XATTR_ROWS);
    }
    for (name, _, _) in &rows {
        match *name {
            "target" => symlink("here", tree.join(name)).unwrap(),
            "directory-acl" => fs::create_dir(tree.join(name)).unwrap(),
            name => {
                fs::write(tree.join(name), "x").unwrap();
                fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
        if ["xattr-other", "xattr-gone"].contains(name) {
            set(&tree.join(name), b"user.kept", b"1");
        }
    }
    fs::write(tree.join("mapped"), "x").unwrap();
    // The first store moves ctime, later ones to the same page do not.
    let mapped = map(&tree.join("mapped"));
    // Before that another write could have the same time.
    wait_for("the tick of the clock of the mapped file", || {
        let changed = fs::metadata(tree.join("mapped")).unwrap().ctime();
        SystemTime::now() > UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap() + 3)
    });
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    assert!(found(&scratch).is_empty());

    let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, act, names) in &rows {
        act(&tree.join(name));
        wanted.insert((*name).to_owned(), names.to_vec());
    }
    let mapped = mapped.map(|(mut child, mut wait)| {
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        wait();
        wanted.insert("mapped".to_owned(), vec!["content"]);
        child
    });
    let found = found(&scratch);
    for (name, events) in &found {
        assert_eq!(events.len(), 1, "{name}: {events:?}");
        assert_eq!(Some(&changed(&events[0])), wanted.get(name), "{name}: {}", events[0]);
    }
    assert_eq!(found.len(), wanted.len(), "{:?}", found.keys());
    let severity = |name: &str| found[name][0]["event"]["severity"].as_u64().unwrap();
    assert_eq!((severity("setuid"), severity("mode")), (70, 40));
    if let Some(mut child) = mapped {
        assert_eq!(severity("mapped"), if keeps_ctime(&tree) { 70 } else { 40 });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    if found.contains_key("acl") {
        assert_eq!(found["acl"][0]["integrityd"]["acl"], "u::rw-,u:33:r--,g::r--,m::r--,o::r--");
        assert_eq!(found["xattr-odd"][0]["integrityd"]["xattrs"][0]["name"], "user.\\xff\\x1b[2J\\n");
        assert_eq!(found["xattr-long"][0]["integrityd"]["xattrs"][0]["length"], 3000);
        assert_eq!(found["xattr-gone"][0]["integrityd"]["previous"]["xattrs"][0]["name"], "user.kept");
        let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
        assert!(shown.contains("acl none → u::rw-,u:"), "{shown}");
        assert!(shown.contains("xattr \"user.empty\" none → empty"), "{shown}");
        assert!(!shown.contains('\x1b'), "{shown}");
    }
}

#[test]
fn values_of_64_kib_and_more_than_256_kib_of_them_are_compared_to_the_last_byte() {
    let Ok(tree) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: no /dev/shm");
        return;
    };
    let scratch = Scratch::new();
    scratch.configure(&format!("mail = stdout:\narea = {}", tree.path().display()));
    let (one, many) = (tree.path().join("one"), tree.path().join("many"));
    let mut value = vec![7; 65_536];
    for path in [&one, &many] {
        fs::write(path, "x").unwrap();
        match setxattr(path, "user.long0", &value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::TOOBIG) => {
                println!("skipped: /dev/shm takes no values of 64 KiB");
                return;
            }
            set => set.unwrap(),
        }
    }
    // As much as one inode may have; tmpfs of some kernels bounds it.
    let is_many = (1..5).all(|n| setxattr(&many, format!("user.long{n}"), &value, XattrFlags::empty()).is_ok());
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    assert!(found(&scratch).is_empty());
    value[65_535] = 8;
    set(&one, b"user.long0", &value);
    set(&many, b"user.long0", &value);
    let found = found(&scratch);
    for name in ["one", "many"] {
        assert_eq!(found[name].len(), 1);
        assert_eq!(changed(&found[name][0]), ["ctime", "xattrs"]);
    }
    assert_eq!(found["one"][0]["integrityd"]["xattrs"][0]["length"], 65_536);
    if is_many {
        assert_eq!(found["many"][0]["integrityd"]["xattrs"][0]["count"], 5, "{}", found["many"][0]);
        let shown = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
        assert!(shown.contains("xattrs 5 of 327,730 B, only their digest "), "{shown}");
    }
}

/// A database as the version before has left it: lists, capabilities and flags were configured but not recorded.
fn make_older(database: &Path) {
    let db = rusqlite::Connection::open(database).unwrap();
    db.execute_batch(
        "UPDATE entry SET recorded = recorded & ~126976, xattrs = NULL; ALTER TABLE entry DROP COLUMN flags; \
         DROP TABLE missing; DROP TABLE mount; DROP TABLE process_watch; DROP TABLE checkpoint; DROP TABLE self_watch; \
         DROP TABLE recurring; DROP TABLE recurring_mark; DROP TABLE lines_read; DROP TABLE standstill; \
         DROP TABLE trouble; DROP TABLE own_queue_id; DROP TABLE own_mail; DROP INDEX report_created; \
         ALTER TABLE delivery DROP COLUMN spooled; ALTER TABLE delivery DROP COLUMN troubled; \
         ALTER TABLE instance DROP COLUMN last_report; ALTER TABLE area DROP COLUMN expected;
         DROP TABLE urgent_told; DROP INDEX event_urgent; DROP INDEX event_channel; CREATE INDEX event_channel ON event (channel, seq); ALTER TABLE event DROP COLUMN originator; ALTER TABLE event DROP COLUMN part; ALTER TABLE instance DROP COLUMN machine; PRAGMA user_version = 4;",
    )
    .unwrap();
}

#[test]
fn matrix_21_what_an_upgrade_records_in_addition_is_learned_with_one_notice_an_area() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    if !takes_xattrs(&tree) {
        return;
    }
    for number in 0..50 {
        fs::write(tree.join(format!("f{number}")), "x").unwrap();
        set(&tree.join(format!("f{number}")), b"user.a", b"1");
    }
    fs::write(tree.join("other"), "x").unwrap();
    assert!(scratch.ask(&["run", "--once"]).status.success());
    let before = scratch.history().len();
    make_older(&scratch.database());
    let explained = || String::from_utf8(scratch.ask(&["explain", tree.join("f7").to_str().unwrap()]).stdout).unwrap();
    overwrite(&tree.join("other"), "y");
    scratch.ask(&["run", "--once"]);
    let news: Vec<(String, String)> = scratch.history().split_off(before).iter().map(told).collect();
    let learned: Vec<&(String, String)> = news.iter().filter(|(action, _)| action == "learning").collect();
    assert_eq!(learned.len(), 1, "{news:?}");
    assert!(learned[0].1.contains("acl, caps, xattrs, flags are learned"), "{news:?}");
    assert_eq!(news.iter().filter(|(action, _)| action == "changed").count(), 1, "{news:?}");
    let words = explained();
    assert!(words.contains("xattrs \"user.a\" 1 B ") && !words.contains("not recorded: acl"), "{words}");
    // From then on they are compared.
    set(&tree.join("f7"), b"user.a", b"2");
    let found = found(&scratch);
    assert_eq!((found.len(), changed(&found["f7"][0])), (1, vec!["ctime", "xattrs"]));
}

fn told(event: &Value) -> (String, String) {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (word(&event["event"]["action"][0]), word(&event["event"]["reason"]))
}
