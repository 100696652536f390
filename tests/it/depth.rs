//! Paths beyond `PATH_MAX`: not entered, said once for the directory they lie in, and no burden to anybody.

use std::{
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    model::{
        event::{Category, Event},
        file::entry::{AreaId, LONGEST_PATH},
    },
    store::{events::append::Filter, sqlite::connection::Store},
};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    matrix::quick,
    support::{Scratch, shown},
};

/// So many directories within one another, with names of 250 bytes, beneath `top`; as a user makes them, step by step.
fn chain(top: &Path, levels: usize) {
    let mut at: OwnedFd = openat(rustix::fs::CWD, top, OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(250);
    for _ in 0..levels {
        mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
        at = openat(&at, name.as_str(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

/// Removes a chain beneath `top`.
fn unchain(top: &Path) {
    let name = "d".repeat(250);
    let mut way: Vec<OwnedFd> = vec![openat(rustix::fs::CWD, top, OFlags::DIRECTORY, Mode::empty()).unwrap()];
    while let Ok(next) = openat(way.last().unwrap(), name.as_str(), OFlags::DIRECTORY, Mode::empty()) {
        way.push(next);
    }
    way.pop();
    way.iter().rev().for_each(|at| unlinkat(at, name.as_str(), AtFlags::REMOVEDIR).unwrap());
}

/// The deepest directory of a chain of `top` whose path is looked at.
fn last_within(top: &Path) -> PathBuf {
    let name = "d".repeat(250);
    let mut at = top.to_owned();
    while at.as_os_str().len() + 251 <= LONGEST_PATH {
        at.push(&name);
    }
    at
}

async fn events(daemon: &Daemonic) -> Vec<Event> {
    let filter = Filter { limit: 100_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    events.into_iter().map(|stored| stored.event).filter(|event| event.category.kind().word() == "file").collect()
}

fn counts(store: &mut Store) -> (u64, u64) {
    store.flush().unwrap();
    let area = store.areas().unwrap().first().map_or(AreaId(0), |row| row.id);
    (store.entries_of(area).unwrap(), store.beyond_path_max(area).unwrap())
}

#[tokio::test(start_paused = true)]
async fn what_lies_beyond_path_max_is_not_entered_and_that_is_told_once() {
    let journey = Journey::new();
    fs::write(journey.tree().join("file"), "x").unwrap();
    chain(&journey.tree(), 40);
    let last = last_within(&journey.tree());
    let levels = last.strip_prefix(journey.tree()).unwrap().components().count();
    let known = u64::try_from(levels).unwrap() + 2;
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    sleep(Duration::from_mins(5)).await;
    assert_eq!(daemon.db.call(counts).await, (known, 1));
    let told = events(&daemon).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].category, told[0].source.as_slice()), (Category::Skipped, last.as_os_str().as_bytes()));
    let mails = journey.mails().join("\n");
    assert!(mails.contains("not all of it is entered: paths in it are longer than 4095 bytes (PATH_MAX)"), "{mails}");
    daemon.stop().await;
    // Neither a new start nor more beyond it is news.
    fs::create_dir(last.join("short")).unwrap();
    let daemon = journey.start(quick(&journey));
    sleep(Duration::from_mins(5)).await;
    let told = events(&daemon).await;
    let words: Vec<&str> = told.iter().map(|event| event.category.word()).collect();
    let is_short_seen = last.as_os_str().len() + 6 <= LONGEST_PATH;
    assert_eq!(words, if is_short_seen { vec!["skipped", "added"] } else { vec!["skipped"] });
    // It ends with what was too long.
    unchain(&last);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(daemon.db.call(counts).await.1, 0);
    assert_eq!(events(&daemon).await.iter().filter(|event| event.category == Category::Readable).count(), 1);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_moved_beyond_leaves_the_baseline_with_one_notice() {
    let journey = Journey::new();
    let tree = journey.tree();
    let last = last_within(&tree);
    fs::create_dir_all(last.parent().unwrap()).unwrap();
    let deep = tree.join("a").join("e".repeat(200));
    fs::create_dir_all(deep.join("f".repeat(200))).unwrap();
    (0..30).for_each(|number| fs::write(deep.join(format!("{number:0200}")), "x").unwrap());
    let daemon = journey.start(quick(&journey));
    daemon.until_established().await;
    let (before, _) = daemon.db.call(counts).await;
    let to = last.parent().unwrap().join("a");
    fs::rename(tree.join("a"), &to).unwrap();
    sleep(Duration::from_mins(20)).await;
    let told = events(&daemon).await;
    let words: Vec<&str> = told.iter().map(|event| event.category.word()).collect();
    assert_eq!(words, ["moved", "skipped"], "{told:?}");
    let note = String::from_utf8_lossy(&told[1].note).into_owned();
    // Whether the directory itself still fits depends on where temporary files lie.
    let gone = if told[1].source == to.as_os_str().as_bytes() { 32 } else { 31 };
    assert!(note.contains(&format!("; {gone} entries beneath leave the baseline: longer than 4095 bytes")), "{note}");
    assert_eq!(daemon.db.call(counts).await, (before - gone, 1));
    daemon.stop().await;
    let db = Store::open(&journey.config().database, journey.clock.now()).unwrap();
    db.verify().unwrap();
}

#[test]
fn init_and_check_know_the_same_bound() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let tree = scratch.tree();
    chain(&tree, 30);
    let last = last_within(&tree);
    let levels = last.strip_prefix(&tree).unwrap().components().count();
    let skipped = || {
        let history = scratch.history();
        history.iter().filter(|event| event["event"]["action"][0] == "skipped").count()
    };
    for (arguments, code) in
        [(&["init", "-q"][..], 1), (&["init", "-q"], 1), (&["check", "--update"], 8), (&["check"], 8)]
    {
        let output = scratch.ask(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", shown(&scratch, &output));
        assert_eq!(skipped(), 1, "{arguments:?}");
    }
    let status = String::from_utf8(scratch.ask(&["status", "--json"]).stdout).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["areas"][0]["entries"], levels + 1);
    // A look that stores nothing says it each time.
    let text = String::from_utf8(scratch.ask(&["check"]).stdout).unwrap();
    assert!(text.contains("not all of it is entered"), "{text}");
    // What an outer directory makes too long goes, too.
    let outer = tree.join("o".repeat(255));
    fs::create_dir(&outer).unwrap();
    fs::rename(tree.join("d".repeat(250)), outer.join("d".repeat(250))).unwrap();
    for _ in 0..2 {
        assert_eq!(scratch.ask(&["init", "-q"]).status.code(), Some(1));
    }
    let history = scratch.history();
    let actions: Vec<&str> = history
        .iter()
        .filter_map(|event| event["event"]["action"][0].as_str())
        .filter(|it| !it.contains("baseline"))
        .collect();
    assert_eq!(actions.iter().filter(|it| **it == "skipped").count(), 2, "{actions:?}");
    assert!(history.iter().all(|event| event["file"]["path"].as_str().is_none_or(|path| path.len() <= LONGEST_PATH)));
    assert!(scratch.ask(&["verify"]).status.success());
    let explained = scratch.ask(&["explain", outer.join("x/".repeat(3000)).to_str().unwrap()]);
    assert!(!explained.status.success() || explained.stdout.len() < 20_000, "{}", shown(&scratch, &explained));
}
