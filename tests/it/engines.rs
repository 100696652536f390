//! One decision for all who look at files: the paced walk of the daemon, `run --once`, `check --update` and `check` come to the same in
//! every situation. And none of them believes at once what may be half of a write.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    hash::RandomState,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Area, Config},
    files::{
        area::watched_areas::WatchedAreas,
        baseline::learning::settle_in,
        compare::inode_index::InodeIndex,
        scan::pass::FullScan,
        walk::{
            entry_check::{CheckStep, EntryChecker},
            target::CheckTarget,
        },
    },
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        file::entry::HashState,
    },
    store::{db::Db, sqlite::connection::Store},
};
use serde_json::Value;

use crate::{
    journeys::Journey,
    support::{Scratch, keeps_ctime, overwrite, put_back_mtime, wait_for},
};

/// What one who looks has told of a path beneath the tree: action, path, names of what has changed.
type Told = BTreeSet<(String, String, Vec<String>)>;

/// What is done to the tree, and what is to be told of it, as `action path changed,…`.
struct Situation {
    name: &'static str,
    prepare: fn(&Path),
    act: fn(&Path),
    told: &'static [&'static str],
}

const SITUATIONS: &[Situation] = &[
    Situation { name: "nothing", prepare: |_| {}, act: |_| {}, told: &[] },
    Situation {
        name: "found",
        prepare: |_| {},
        act: |tree| fs::write(tree.join("d/new"), "x").unwrap(),
        told: &["added d/new"],
    },
    Situation {
        name: "found with what lies in it",
        prepare: |_| {},
        act: |tree| {
            fs::create_dir(tree.join("new")).unwrap();
            fs::write(tree.join("new/in"), "x").unwrap();
        },
        told: &["added new", "added new/in"],
    },
    Situation {
        name: "content",
        prepare: |_| {},
        act: |tree| overwrite(&tree.join("d/f"), "other words"),
        told: &["changed d/f size,content,mtime,ctime"],
    },
    Situation {
        name: "content behind the old times",
        prepare: |_| {},
        act: |tree| {
            let before = fs::metadata(tree.join("d/f")).unwrap().modified().unwrap();
            overwrite(&tree.join("d/f"), "CONTENT");
            put_back_mtime(&tree.join("d/f"), before);
        },
        told: &["changed d/f content,ctime"],
    },
    Situation {
        name: "times only",
        prepare: |_| {},
        act: |tree| put_back_mtime(&tree.join("d/f"), std::time::UNIX_EPOCH),
        told: &["touched d/f mtime,ctime"],
    },
    Situation {
        name: "mode",
        prepare: |_| {},
        act: |tree| fs::set_permissions(tree.join("d"), fs::Permissions::from_mode(0o700)).unwrap(),
        told: &["changed d perms"],
    },
    Situation {
        name: "target",
        prepare: |tree| symlink("f", tree.join("d/link")).unwrap(),
        act: |tree| {
            // Beside the old one, so that the inode is another for certain.
            symlink("elsewhere", tree.join("d/.link")).unwrap();
            fs::rename(tree.join("d/.link"), tree.join("d/link")).unwrap();
        },
        told: &["changed d/link target,inode,mtime,ctime"],
    },
    Situation {
        name: "moved",
        prepare: |_| {},
        act: |tree| fs::rename(tree.join("d/f"), tree.join("d/g")).unwrap(),
        told: &["moved d/g"],
    },
    Situation {
        name: "moved with what lies in it",
        prepare: |_| {},
        act: |tree| fs::rename(tree.join("d"), tree.join("e")).unwrap(),
        told: &["moved e"],
    },
    Situation {
        name: "gone",
        prepare: |_| {},
        act: |tree| fs::remove_file(tree.join("d/f")).unwrap(),
        told: &["removed d/f"],
    },
    Situation {
        name: "gone with what lay in it",
        prepare: |_| {},
        act: |tree| fs::remove_dir_all(tree.join("d")).unwrap(),
        told: &["removed d"],
    },
    Situation {
        name: "a directory is a file now",
        prepare: |_| {},
        act: |tree| {
            fs::write(tree.join("other"), "x").unwrap();
            fs::rename(tree.join("d"), tree.join("kept")).unwrap();
            fs::rename(tree.join("other"), tree.join("d")).unwrap();
            fs::remove_dir_all(tree.join("kept")).unwrap();
        },
        told: &["retyped d type,perms,inode"],
    },
    Situation {
        name: "a file is a directory now",
        prepare: |_| {},
        act: |tree| {
            fs::create_dir(tree.join("other")).unwrap();
            fs::write(tree.join("other/in"), "x").unwrap();
            fs::remove_file(tree.join("d/f")).unwrap();
            fs::rename(tree.join("other"), tree.join("d/f")).unwrap();
        },
        told: &["added d/f/in", "retyped d/f type,perms,inode"],
    },
];

fn told<'a>(scratch: &Scratch, events: impl IntoIterator<Item = &'a Value>) -> Told {
    let tree = format!("{}/", scratch.tree().display());
    let words = |value: &Value| {
        let names = value.as_array().into_iter().flatten();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let found = events.into_iter().filter_map(|event| {
        let path = event["file"]["path"].as_str()?.strip_prefix(&tree)?.to_owned();
        Some((event["event"]["action"][0].as_str()?.to_owned(), path, words(&event["integrityd"]["changed"])))
    });
    found.collect()
}

/// One who looks at what is there; gives the events.
type Look = fn(&Scratch) -> Vec<Value>;

/// The paced walk: as long as two whole rounds take.
fn walk(scratch: &Scratch) -> Vec<Value> {
    let daemon = scratch.start();
    wait_for("two rounds of the walk", || scratch.rounds() >= 3);
    assert!(daemon.stop().success(), "{}", scratch.log());
    scratch.history()
}

fn run_once(scratch: &Scratch) -> Vec<Value> {
    scratch.ask(&["run", "--once"]);
    scratch.history()
}

fn update(scratch: &Scratch) -> Vec<Value> {
    scratch.ask(&["check", "--update", "--quiet"]);
    scratch.history()
}

fn check(scratch: &Scratch) -> Vec<Value> {
    let output = scratch.ask(&["check", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const LOOKS: [(&str, Look); 4] =
    [("walk", walk), ("run --once", run_once), ("check --update", update), ("check", check)];

fn prepared(more: &str, prepare: impl FnOnce(&Path)) -> Scratch {
    let scratch = Scratch::new();
    scratch.configure(&format!("mail = stdout:\nfilerate = 2000\n{more}"));
    fs::create_dir(scratch.tree().join("d")).unwrap();
    fs::write(scratch.tree().join("d/f"), "content").unwrap();
    fs::write(scratch.tree().join("d/other"), "something else").unwrap();
    prepare(&scratch.tree());
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    scratch
}

#[test]
fn all_who_look_come_to_the_same_in_every_situation() {
    let mut wrong = Vec::new();
    for situation in SITUATIONS {
        let wanted: BTreeSet<&str> = situation.told.iter().copied().collect();
        for (who, look) in LOOKS {
            let scratch = prepared("", situation.prepare);
            (situation.act)(&scratch.tree());
            let events = look(&scratch);
            let found: Vec<String> = told(&scratch, &events)
                .into_iter()
                .map(|(action, path, changed)| format!("{action} {path} {}", changed.join(",")).trim().to_owned())
                .collect();
            if found.iter().map(String::as_str).collect::<BTreeSet<_>>() != wanted {
                wrong.push(format!("{}: {who} told {found:?}, not {wanted:?}", situation.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A file that does not hold still, and one that cannot be read, keep their digests; what they become is told when it can be read.
#[test]
fn all_who_look_say_of_a_file_that_is_written_all_the_time_that_it_is_busy() {
    for (who, look) in LOOKS {
        // Large enough to be written several times while it is read once.
        let scratch = prepared("bigfiles = 1g\nbyterate = 1g", |tree| {
            File::create(tree.join("busy")).unwrap().set_len(256 << 20).unwrap();
        });
        let is_over = AtomicBool::new(false);
        let file = File::options().write(true).open(scratch.tree().join("busy")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut number = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    file.write_all_at(&number.to_le_bytes(), (number % 4096) * 4096).unwrap();
                    number += 1;
                }
            });
            let events = look(&scratch);
            is_over.store(true, Ordering::Relaxed);
            let found: Vec<String> =
                told(&scratch, &events).into_iter().map(|(action, path, _)| action + " " + &path).collect();
            assert_eq!(found, ["busy busy"], "{who}");
        });
    }
}

/// Other content behind the old ctime: of the same file it is forged, mapped or a failing disk; else it is a change like others.
#[test]
fn all_who_look_call_times_forged_only_where_that_is_proved() {
    for (name, known, is_forged) in [
        ("the same file", "checked = ctime + 5000000000", true),
        ("seen within the tick of the clock", "checked = ctime + 1000000000", false),
        ("another inode", "checked = ctime + 5000000000, inode = inode + 1", false),
        ("another device", "checked = ctime + 5000000000, dev = dev + 1", false),
        ("born at another time", "checked = ctime + 5000000000, btime = btime - 1", false),
    ] {
        for (who, look) in LOOKS {
            let scratch = prepared("", |_| {});
            let db = rusqlite::Connection::open(scratch.database()).unwrap();
            let other = format!("UPDATE entry SET blake3 = zeroblob(32), {known} WHERE name = CAST('f' AS BLOB)");
            assert_eq!(db.execute(&other, []).unwrap(), 1);
            drop(db);
            let path = scratch.tree().join("d/f");
            let events = look(&scratch);
            let found: Vec<&Value> =
                events.iter().filter(|event| event["file"]["path"] == *path.to_str().unwrap()).collect();
            let [event] = found[..] else { panic!("{name}: {who} told {found:?}") };
            let is_told = event["event"]["reason"].as_str().unwrap_or_default().contains("times forged");
            let is_forged = is_forged && keeps_ctime(&path);
            assert_eq!(
                (is_told, event["event"]["severity"].as_u64()),
                (is_forged, Some(if is_forged { 70 } else { 40 })),
                "{name}: {who}: {event}"
            );
        }
    }
}

/// The moment so long after the last change of a file.
fn after_change(file: &Path, span: Duration) -> Moment {
    let seen = fs::metadata(file).unwrap();
    let wall = Timestamp::from_nanos(seen.ctime() * 1_000_000_000 + seen.ctime_nsec()).after(span);
    Moment { wall, boottime: Boottime::from_nanos(1), boot: BootId([9; 16]) }
}

/// A write may go on for a while after it has set the times: before Linux 6.13 the times do not tell.
#[test]
fn nobody_believes_at_once_what_was_written_a_moment_before_it_was_read() {
    for (span, is_young) in [(Duration::from_millis(5), true), (Duration::from_secs(1), false)] {
        let journey = Journey::new();
        let file = journey.tree().join("f");
        fs::write(&file, [b'x'; 1000]).unwrap();
        let mut config = journey.config();
        let now = after_change(&file, span);
        let clock = Clock::Still(now);
        let round = |config: &Config| {
            let db = Db::new(Store::open(&config.database, now).unwrap());
            let summary = FullScan { config, db: &db, clock: &clock }.go_round(&mut |_| {}).unwrap();
            (db, summary)
        };

        let (_db, summary) = round(&config);
        assert_eq!(summary.bytes, if is_young { 3000 } else { 1000 }, "{span:?}");

        config.database = journey.directory.path().join("other.sqlite");
        config.areas = vec![Area::new(file.clone())];
        let (db, _summary) = round(&config);
        let rows = settle_in(&mut db.lock(), &config, now).unwrap();
        let checker = EntryChecker {
            areas: Arc::new(WatchedAreas::new(&config, &[rows[0].id])),
            db: db.clone(),
            clock: clock.clone(),
            small_file: u64::MAX,
            big_file: u64::MAX,
            keys: RandomState::new(),
            inodes: InodeIndex::default(),
        };
        let step = checker.begin(CheckTarget::root(0, &checker.areas.all[0])).unwrap();
        match step {
            CheckStep::Torn(looked) => {
                assert!(is_young, "{span:?}");
                // It never holds still, but was never seen to change while it was read.
                assert!(!checker.give_up(&looked).unwrap().is_changed);
            }
            step => assert!(!is_young, "{span:?} {step:?}"),
        }
        let known = db.lock().entry_named(None, file.as_os_str().as_encoded_bytes()).unwrap().unwrap().known;
        assert_eq!(known.hash_state, HashState::Full, "{span:?}");
        db.lock().flush().unwrap();
    }
}
