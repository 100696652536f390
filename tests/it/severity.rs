//! How severe a change is does not depend on who finds it, nor how: each row of the table in docs/mail.md is made on a real tree and found by
//! the paced walk, by `run --once`, by `check --update` and by `check`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use integrityd::{
    config::settings::config::{Config, SystemDirectories, UrgentList},
    files::scan::{pass::FullScan, scope::Scope},
    model::event::{Severity, StoredEvent},
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
};
use rustix::fs::{XattrFlags, setxattr};
use tokio::time::sleep;

use crate::{
    journeys::Journey,
    matrix::quick,
    support::{is_root, keeps_ctime, overwrite, put_back_mtime},
};

/// What it takes to try a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Giving files away, and capabilities.
    Root,
    /// A file system whose ctime proves something.
    Ctime,
}

/// How a row comes about, in a directory of its own that has `urgent` (whose content is on the urgent list, as are the files `key` two levels
/// down), `system` (a system directory) and `plain`.
struct Case {
    name: &'static str,
    before: fn(&Path),
    after: fn(&Path),
    /// The path whose event is weighed.
    path: &'static str,
    needs: Needs,
}

/// A row of the table.
struct Row {
    change: &'static str,
    place: &'static str,
    severity: Severity,
    cases: &'static [Case],
}

const fn case(name: &'static str, before: fn(&Path), after: fn(&Path), path: &'static str) -> Case {
    Case { name, before, after, path, needs: Needs::Nothing }
}

const fn of_root(name: &'static str, before: fn(&Path), after: fn(&Path), path: &'static str) -> Case {
    Case { name, before, after, path, needs: Needs::Root }
}

/// `cap_net_raw+ep`, in the form of the kernel (`struct vfs_cap_data`, version 2).
const NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn nothing(_: &Path) {}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A file with a mode; its content is its own, so that nothing else poses as its origin.
fn file(path: &Path, bits: u32) {
    fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
    mode(path, bits);
}

fn directory(path: &Path, bits: u32) {
    fs::create_dir(path).unwrap();
    mode(path, bits);
}

fn rename(base: &Path, from: &str, to: &str) {
    fs::rename(base.join(from), base.join(to)).unwrap();
}

/// Writes into a file and puts back what that changes beside the content: the kernel takes the set-ID bits off.
fn rewrite(path: &Path) {
    let bits = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    overwrite(path, "something else");
    mode(path, bits);
}

fn give_away(path: &Path) {
    let bits = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    chown(path, Some(4711), Some(4711)).unwrap();
    mode(path, bits);
}

fn allow(path: &Path) {
    setxattr(path, "security.capability", NET_RAW, XattrFlags::empty()).unwrap();
}

const ROWS: &[Row] = &[
    Row {
        change: "only ctime moved: the modification time was put back",
        place: "on the urgent list",
        severity: Severity::Normal,
        cases: &[
            case(
                "a file",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| {
                    let path = base.join("urgent/f");
                    let (before, content) =
                        (fs::metadata(&path).unwrap().modified().unwrap(), fs::read(&path).unwrap());
                    overwrite(&path, "for a while");
                    overwrite(&path, std::str::from_utf8(&content).unwrap());
                    put_back_mtime(&path, before);
                },
                "urgent/f",
            ),
            case(
                "a link",
                |base| symlink("x", base.join("urgent/link")).unwrap(),
                |base| {
                    fs::hard_link(base.join("urgent/link"), base.join("second")).unwrap();
                    fs::remove_file(base.join("second")).unwrap();
                },
                "urgent/link",
            ),
        ],
    },
    Row {
        change: "only times moved, or rewritten with the same content",
        place: "anywhere",
        severity: Severity::Count,
        cases: &[
            case(
                "times",
                |base| file(&base.join("plain/f"), 0o644),
                |base| put_back_mtime(&base.join("plain/f"), UNIX_EPOCH),
                "plain/f",
            ),
            case(
                "ctime",
                |base| file(&base.join("plain/f"), 0o644),
                |base| {
                    mode(&base.join("plain/f"), 0o600);
                    mode(&base.join("plain/f"), 0o644);
                },
                "plain/f",
            ),
            case(
                "rewritten",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| {
                    fs::copy(base.join("urgent/f"), base.join("aside")).unwrap();
                    rename(base, "aside", "urgent/f");
                },
                "urgent/f",
            ),
        ],
    },
    Row {
        change: "added, removed, changed or another type",
        place: "on the urgent list",
        severity: Severity::High,
        cases: &[
            case("added", nothing, |base| file(&base.join("urgent/f"), 0o644), "urgent/f"),
            case("a link", nothing, |base| symlink("x", base.join("urgent/link")).unwrap(), "urgent/link"),
            case(
                "removed",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| fs::remove_file(base.join("urgent/f")).unwrap(),
                "urgent/f",
            ),
            case(
                "content",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| rewrite(&base.join("urgent/f")),
                "urgent/f",
            ),
            case(
                "target",
                |base| symlink("x", base.join("urgent/link")).unwrap(),
                |base| {
                    symlink("y", base.join("aside")).unwrap();
                    rename(base, "aside", "urgent/link");
                },
                "urgent/link",
            ),
            case(
                "type",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| {
                    symlink("y", base.join("aside")).unwrap();
                    rename(base, "aside", "urgent/f");
                },
                "urgent/f",
            ),
        ],
    },
    Row {
        change: "moved",
        place: "to or from the urgent list",
        severity: Severity::High,
        cases: &[
            case(
                "to",
                |base| file(&base.join("plain/f"), 0o644),
                |base| rename(base, "plain/f", "urgent/f"),
                "urgent/f",
            ),
            case(
                "from",
                |base| file(&base.join("urgent/f"), 0o644),
                |base| rename(base, "urgent/f", "plain/f"),
                "plain/f",
            ),
            case(
                "a link",
                |base| symlink("x", base.join("plain/link")).unwrap(),
                |base| rename(base, "plain/link", "urgent/link"),
                "urgent/link",
            ),
        ],
    },
    Row {
        change: "a tree moved or removed, or a directory that is something else now",
        place: "with such a path in it",
        severity: Severity::High,
        cases: &[
            case("moved", |base| with_key(base, "a"), |base| rename(base, "a", "b"), "b"),
            case("moved there", |base| with_key(base, "plain/a"), |base| rename(base, "plain/a", "a"), "a"),
            case("moved away", |base| with_key(base, "a"), |base| rename(base, "a", "plain/a"), "plain/a"),
            case("removed", |base| with_key(base, "a"), |base| fs::remove_dir_all(base.join("a")).unwrap(), "a"),
            case(
                "a file now",
                |base| with_key(base, "a"),
                |base| {
                    fs::remove_dir_all(base.join("a")).unwrap();
                    file(&base.join("a"), 0o644);
                },
                "a",
            ),
        ],
    },
    Row {
        change: "a set-ID bit or a capability added or gained",
        place: "anywhere",
        severity: Severity::High,
        cases: &[
            case("added", nothing, |base| file(&base.join("plain/f"), 0o4755), "plain/f"),
            case(
                "set-user-ID",
                |base| file(&base.join("plain/f"), 0o755),
                |base| mode(&base.join("plain/f"), 0o4755),
                "plain/f",
            ),
            case(
                "set-group-ID",
                |base| file(&base.join("plain/f"), 0o755),
                |base| mode(&base.join("plain/f"), 0o2755),
                "plain/f",
            ),
            of_root(
                "capability",
                |base| file(&base.join("plain/f"), 0o755),
                |base| allow(&base.join("plain/f")),
                "plain/f",
            ),
        ],
    },
    Row {
        change: "other content, owner or group of a set-ID program or one with capabilities",
        place: "anywhere",
        severity: Severity::High,
        cases: &[
            case(
                "content",
                |base| file(&base.join("plain/f"), 0o4755),
                |base| rewrite(&base.join("plain/f")),
                "plain/f",
            ),
            of_root(
                "owner",
                |base| file(&base.join("plain/f"), 0o4755),
                |base| give_away(&base.join("plain/f")),
                "plain/f",
            ),
            of_root(
                "content and capability",
                |base| {
                    file(&base.join("plain/f"), 0o755);
                    allow(&base.join("plain/f"));
                },
                |base| {
                    rewrite(&base.join("plain/f"));
                    allow(&base.join("plain/f"));
                },
                "plain/f",
            ),
        ],
    },
    Row {
        change: "a set-ID program or one with capabilities moved, alone or in a tree",
        place: "anywhere",
        severity: Severity::High,
        cases: &[
            case(
                "alone",
                |base| file(&base.join("plain/f"), 0o4755),
                |base| rename(base, "plain/f", "plain/g"),
                "plain/g",
            ),
            case(
                "in a tree",
                |base| {
                    directory(&base.join("plain/d"), 0o755);
                    file(&base.join("plain/d/f"), 0o2755);
                },
                |base| rename(base, "plain/d", "plain/e"),
                "plain/e",
            ),
            of_root(
                "capability",
                |base| {
                    file(&base.join("plain/f"), 0o755);
                    allow(&base.join("plain/f"));
                },
                |base| rename(base, "plain/f", "plain/g"),
                "plain/g",
            ),
        ],
    },
    Row {
        change: "a file that everybody may write, or such a directory without the sticky bit: added, become so, or moved there",
        place: "in a system directory",
        severity: Severity::High,
        cases: &[
            case("a file added", nothing, |base| file(&base.join("system/f"), 0o666), "system/f"),
            case("a directory added", nothing, |base| directory(&base.join("system/d"), 0o777), "system/d"),
            case(
                "a file become so",
                |base| file(&base.join("system/f"), 0o644),
                |base| mode(&base.join("system/f"), 0o646),
                "system/f",
            ),
            case(
                "the sticky bit lost",
                |base| directory(&base.join("system/d"), 0o1777),
                |base| mode(&base.join("system/d"), 0o777),
                "system/d",
            ),
            case(
                "moved there",
                |base| file(&base.join("plain/f"), 0o666),
                |base| rename(base, "plain/f", "system/f"),
                "system/f",
            ),
            case(
                "in a tree",
                |base| {
                    directory(&base.join("plain/d"), 0o755);
                    file(&base.join("plain/d/f"), 0o666);
                },
                |base| rename(base, "plain/d", "system/d"),
                "system/d",
            ),
        ],
    },
    Row {
        change: "content changed though ctime did not: forged, through a mapping, or failing storage",
        place: "on a file system with a ctime of its own",
        severity: Severity::High,
        // What was known is made to differ.
        cases: &[Case {
            name: "forged",
            before: |base| file(&base.join("plain/forged"), 0o644),
            after: nothing,
            path: "plain/forged",
            needs: Needs::Ctime,
        }],
    },
    Row {
        change: "moved, all else as it was",
        place: "anywhere else",
        severity: Severity::Low,
        cases: &[
            case(
                "a file",
                |base| file(&base.join("plain/f"), 0o644),
                |base| rename(base, "plain/f", "plain/g"),
                "plain/g",
            ),
            case(
                "a tree",
                |base| {
                    directory(&base.join("plain/d"), 0o755);
                    file(&base.join("plain/d/f"), 0o644);
                },
                |base| rename(base, "plain/d", "plain/e"),
                "plain/e",
            ),
            case(
                "what everybody may write already",
                |base| file(&base.join("system/f"), 0o666),
                |base| rename(base, "system/f", "system/g"),
                "system/g",
            ),
        ],
    },
    Row {
        change: "added, removed, or other content, mode or owner",
        place: "anywhere else",
        severity: Severity::Normal,
        cases: &[
            case("added", nothing, |base| file(&base.join("plain/f"), 0o666), "plain/f"),
            case("a sticky directory", nothing, |base| directory(&base.join("system/d"), 0o1777), "system/d"),
            case(
                "removed",
                |base| file(&base.join("plain/f"), 0o4755),
                |base| fs::remove_file(base.join("plain/f")).unwrap(),
                "plain/f",
            ),
            case(
                "content",
                |base| file(&base.join("plain/f"), 0o644),
                |base| rewrite(&base.join("plain/f")),
                "plain/f",
            ),
            case(
                "set-ID taken off",
                |base| file(&base.join("plain/f"), 0o4755),
                |base| mode(&base.join("plain/f"), 0o755),
                "plain/f",
            ),
            of_root(
                "owner",
                |base| file(&base.join("plain/f"), 0o644),
                |base| give_away(&base.join("plain/f")),
                "plain/f",
            ),
        ],
    },
];

/// A directory with an urgent file: urgent as long as the directory lies directly in that of its case.
fn with_key(base: &Path, name: &str) {
    directory(&base.join(name), 0o755);
    file(&base.join(name).join("key"), 0o644);
}

/// The cases that can be tried on `tree`, each with its row and its directory.
#[expect(clippy::print_stdout, reason = "a test says what it has skipped")]
fn cases(tree: &Path) -> Vec<(&'static Row, &'static Case, PathBuf)> {
    let can = |needs| match needs {
        Needs::Nothing => true,
        Needs::Root => is_root(),
        Needs::Ctime => keeps_ctime(tree),
    };
    let all = ROWS.iter().flat_map(|row| row.cases.iter().map(move |case| (row, case)));
    let (tried, skipped): (Vec<_>, Vec<_>) = all.enumerate().partition(|(_, (_, case))| can(case.needs));
    for (_, (row, case)) in skipped {
        println!("skipped in part: {}, {} needs {:?}", row.change, case.name, case.needs);
    }
    tried.into_iter().map(|(number, (row, case))| (row, case, tree.join(format!("{number:02}")))).collect()
}

/// A tree with all that is there before, and the settings to check it with.
fn prepared() -> (Journey, Config) {
    let journey = Journey::new();
    let tree = journey.tree();
    let mut system = Vec::new();
    for (_, case, base) in cases(&tree) {
        for name in ["", "urgent", "plain", "system"] {
            directory(&base.join(name), 0o755);
        }
        (case.before)(&base);
        system.push(base.join("system"));
    }
    let mut config = quick(&journey);
    config.rates.files = 20.0;
    config.urgent = UrgentList::new(&[tree.join("*/urgent/*"), tree.join("*/*/key")]).unwrap();
    config.system_directories = SystemDirectories::of(system);
    (journey, config)
}

/// Makes all changes, and other content of what is to be forged.
fn change(journey: &Journey, config: &Config) {
    for (_, case, base) in cases(&journey.tree()) {
        (case.after)(&base);
    }
    let db = rusqlite::Connection::open(&config.database).unwrap();
    db.execute("UPDATE entry SET blake3 = zeroblob(32) WHERE name = CAST('forged' AS BLOB)", []).unwrap();
}

/// Holds what was told against the rows.
fn assert_rows(who: &str, journey: &Journey, events: &[StoredEvent]) {
    let mut told: BTreeMap<&[u8], Vec<String>> = BTreeMap::new();
    for StoredEvent { event, .. } in events {
        told.entry(&event.source).or_default().push(format!("{} {:?}", event.category.word(), event.severity));
    }
    let mut wrong = Vec::new();
    for (row, case, base) in cases(&journey.tree()) {
        let found = told.get(base.join(case.path).as_os_str().as_encoded_bytes()).cloned().unwrap_or_default();
        let is_right = found.len() == 1 && found[0].ends_with(&format!(" {:?}", row.severity));
        if !is_right {
            wrong.push(format!(
                "{who}: {}, {}, {}: {found:?}, not {:?}",
                row.change, row.place, case.name, row.severity
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn history(store: &Store, after: u64) -> Vec<StoredEvent> {
    let all = store.history(&Filter { limit: 100_000, ..Filter::default() }).unwrap();
    all.into_iter().filter(|stored| stored.seq > after).collect()
}

#[tokio::test(start_paused = true)]
async fn the_walk_weighs_each_change_by_the_table() {
    let (journey, config) = prepared();
    let daemon = journey.start(config.clone());
    daemon.until_established().await;
    let before = daemon.db.call(|store| store.head().unwrap().seq).await;
    daemon.stop().await;
    change(&journey, &config);
    let daemon = journey.start(config);
    sleep(Duration::from_mins(3)).await;
    let events = daemon.db.call(move |store| history(store, before)).await;
    assert_rows("walk", &journey, &events);
    let mails = journey.mails().join("\n");
    for (_, case, base) in cases(&journey.tree()).iter().filter(|(row, ..)| row.severity >= Severity::Normal) {
        let path = base.join(case.path);
        assert!(mails.contains(path.to_str().unwrap()), "{} is not named:\n{mails}", path.display());
    }
    daemon.stop().await;
}

#[test]
fn full_scans_weigh_each_change_by_the_table() {
    for who in ["run --once", "check --update", "check"] {
        let (journey, config) = prepared();
        let db = Db::new(Store::open(&config.database, journey.clock.now()).unwrap());
        let scan = FullScan { config: &config, db: &db, clock: &journey.clock };
        scan.go_round(&mut |_| {}).unwrap();
        let before = db.lock().head().unwrap().seq;
        change(&journey, &config);
        let found = match who {
            "run --once" => scan.go_round(&mut |_| {}).unwrap().findings,
            who => scan.compare(Scope::default(), who == "check --update", &mut |_| {}).unwrap().findings,
        };
        let events = if who == "check" { found } else { history(&db.lock(), before) };
        assert_rows(who, &journey, &events);
    }
}

#[test]
fn the_table_in_the_documents_is_this_one() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mail.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("How severe a change is")).unwrap();
    let written: BTreeSet<String> =
        section.lines().filter(|line| line.starts_with("| ")).skip(1).map(str::to_owned).collect();
    let word = |severity| match severity {
        Severity::Count => "count",
        Severity::Low => "low",
        Severity::Normal => "normal",
        Severity::High | Severity::Critical => "HIGH",
    };
    let made = ROWS.iter().map(|row| format!("| {} | {} | {} |", row.change, row.place, word(row.severity)));
    assert_eq!(written, made.collect());
    let listed: BTreeSet<&str> = section.split("```").nth(1).unwrap().split_whitespace().collect();
    assert_eq!(listed, integrityd::config::settings::urgent::URGENT.iter().copied().collect(), "the urgent list");
    for directory in integrityd::config::settings::system_directories::SYSTEM_DIRECTORIES {
        assert!(section.contains(directory), "{directory}");
    }
}
