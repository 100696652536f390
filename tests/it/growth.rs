//! Files that only grow: silent while they do, and told as soon as their old part is not what it was.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    config::settings::{attribute_groups::Growth, config::Config},
    model::{
        event::{Category, Event},
        file::{
            attribute::Attribute,
            entry::{Entry, HashState},
        },
    },
    store::events::append::Filter,
};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    support::{Scratch, overwrite, put},
};

/// A log, looked at all the time, in an area whose files may grow; what is larger than 1 MiB is read by the lane.
fn settled(journey: &Journey, lines: usize) -> (Config, PathBuf) {
    let path = journey.tree().join("log");
    fs::write(&path, "a line of the log\n".repeat(lines)).unwrap();
    let mut config = journey.config();
    config.areas[0].growth = Growth::Nothing;
    config.rates.files = 1.0;
    config.rates.bytes = 1_000_000.0;
    config.rates.speedup = 1.0;
    config.rates.big_file = 1 << 20;
    config.report.files.hold_off = Duration::ZERO;
    (config, path)
}

fn append(path: &Path, text: &str) {
    File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

async fn known(daemon: &Daemonic, journey: &Journey, path: &Path) -> Entry {
    let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
    let (root, path) = (bytes(&journey.tree()), bytes(path));
    daemon.db.call(move |store| store.entry_at(&root, &path).unwrap()).await.unwrap()
}

async fn told(daemon: &Daemonic) -> Vec<Event> {
    let filter = Filter { limit: 1000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    let own = [Category::BaselineStarted, Category::BaselineEstablished];
    events.into_iter().map(|stored| stored.event).filter(|event| !own.contains(&event.category)).collect()
}

/// Waits until the baseline has the whole content that the file has now.
async fn until_known(daemon: &Daemonic, journey: &Journey, path: &Path) {
    let digest = Some(*blake3::hash(&fs::read(path).unwrap()).as_bytes());
    let mut waited = 0;
    loop {
        let known = known(daemon, journey, path).await.known;
        if known.hash_state == HashState::Full && known.digests.blake3 == digest {
            assert_eq!(known.attributes.size, fs::metadata(path).unwrap().len());
            return;
        }
        sleep(Duration::from_secs(1)).await;
        waited += 1;
        assert!(waited < 1000, "what it has grown to was not learned: {known:?}");
    }
}

fn is_told(events: &[Event], note: &str) -> bool {
    let is_content = |event: &Event| event.category == Category::Changed && event.changed.has(Attribute::Content);
    events.iter().any(|event| is_content(event) && event.note == note.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_is_no_finding_and_each_part_of_it_stays_watched() {
    let journey = Journey::new();
    let (config, path) = settled(&journey, 10);
    let daemon = journey.start(config);
    daemon.until_established().await;
    for _ in 0..3 {
        append(&path, &"another line\n".repeat(20_000));
        until_known(&daemon, &journey, &path).await;
    }
    assert_eq!(told(&daemon).await, []);
    // What was learned in silence is part of what may not change any more.
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"A", 300_000).unwrap();
    append(&path, "and it grows at the same time\n");
    until_known(&daemon, &journey, &path).await;
    let events = told(&daemon).await;
    assert!(events.len() == 1 && is_told(&events, "its old part changed"), "{events:?}");
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&daemon).await.len(), 1);
    assert!(journey.mails().iter().any(|mail| mail.contains("its old part changed")), "{:?}", journey.mails());
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_cut_written_anew_or_exchanged_is_one_change_each() {
    let journey = Journey::new();
    let (config, path) = settled(&journey, 10);
    let daemon = journey.start(config);
    daemon.until_established().await;
    fs::write(&path, "a line\n").unwrap();
    until_known(&daemon, &journey, &path).await;
    let events = told(&daemon).await;
    assert!(events.len() == 1 && is_told(&events, "it is shorter than before"), "{events:?}");
    fs::write(&path, "longer than before, but something else\n").unwrap();
    until_known(&daemon, &journey, &path).await;
    let events = told(&daemon).await;
    assert!(events.len() == 2 && is_told(&events, "its old part changed"), "{events:?}");
    put(&path, "a new log after a rotation, which is longer than what was there\n");
    until_known(&daemon, &journey, &path).await;
    let events = told(&daemon).await;
    let rotated: Vec<&Event> = events.iter().filter(|event| event.changed.has(Attribute::Inode)).collect();
    assert!(events.len() == 3 && rotated.len() == 1 && rotated[0].note.is_empty(), "{events:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_big_log_that_grows_is_told_neither_by_its_metadata_nor_by_its_content() {
    let journey = Journey::new();
    let (config, path) = settled(&journey, 300_000);
    let daemon = journey.start(config);
    daemon.until_established().await;
    // Before it was ever read, and after.
    for _ in 0..3 {
        append(&path, "another line\n");
        until_known(&daemon, &journey, &path).await;
    }
    assert_eq!(told(&daemon).await, []);
    let size = fs::metadata(&path).unwrap().len();
    append(&path, "another line\n");
    sleep(Duration::from_secs(3)).await;
    let row = known(&daemon, &journey, &path).await.known;
    assert_eq!((row.hash_state, row.attributes.size), (HashState::Partial(0), size), "it waits to be read");
    File::options().write(true).open(&path).unwrap().write_all_at(b"A", 3_000_000).unwrap();
    until_known(&daemon, &journey, &path).await;
    let events = told(&daemon).await;
    assert!(events.len() == 1 && is_told(&events, "its old part changed"), "{events:?}");
    daemon.stop().await;
}

/// What a pass finds: attributes and note by path beneath the tree.
fn found(scratch: &Scratch, arguments: &[&str]) -> BTreeMap<String, (Vec<String>, String)> {
    let tree = format!("{}/", scratch.tree().display());
    let text = String::from_utf8(scratch.ask(arguments).stdout).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let change = |event: Value| {
        let path = event["file"]["path"].as_str().unwrap().trim_start_matches(&tree).to_owned();
        let changed = event["integrityd"]["changed"].as_array().unwrap();
        let changed = changed.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
        (path, (changed, event["event"]["reason"].as_str().unwrap_or_default().to_owned()))
    };
    events.map(change).collect()
}

#[test]
fn check_finds_of_logs_what_the_walker_does() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:\nareaattributes = log\nareahash = blake3+sha256");
    let tree = scratch.tree();
    let names = ["grows", "touched", "cut", "longer", "within", "rotated", "mode"];
    for name in names {
        fs::write(tree.join(name), "a line\n".repeat(50_000)).unwrap();
    }
    assert_eq!(scratch.ask(&["init"]).status.code(), Some(0));
    let stamp = fs::metadata(tree.join("grows")).unwrap().modified().unwrap();
    File::options()
        .write(true)
        .open(tree.join("touched"))
        .unwrap()
        .set_modified(stamp - Duration::from_secs(9))
        .unwrap();
    for name in ["grows", "mode"] {
        append(&tree.join(name), "another line\n");
    }
    assert_eq!(found(&scratch, &["check", "--json"]), BTreeMap::new());
    fs::set_permissions(tree.join("mode"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    fs::write(tree.join("cut"), "a line\n").unwrap();
    fs::write(tree.join("longer"), "another\n".repeat(50_000)).unwrap();
    overwrite(&tree.join("within"), "A");
    append(&tree.join("within"), "another line\n");
    put(&tree.join("rotated"), "a new log\n");
    let change = |words: &str, note: &str| (words.split(' ').map(str::to_owned).collect::<Vec<_>>(), note.to_owned());
    let wanted = BTreeMap::from(
        [
            ("cut", change("size content", "it is shorter than before")),
            ("longer", change("size content", "its old part changed")),
            ("within", change("size content", "its old part changed")),
            ("rotated", change("size content inode", "")),
            ("mode", change("perms", "")),
        ]
        .map(|(name, change)| (name.to_owned(), change)),
    );
    assert_eq!(found(&scratch, &["check", "--json"]), wanted);
    assert_eq!(scratch.ask(&["check", "--update"]).status.code(), Some(4));
    // What has grown is learned by the rounds, with all that it has grown by.
    assert_eq!(scratch.ask(&["init"]).status.code(), Some(0));
    overwrite(&tree.join("grows"), &"a line\n".repeat(50_000));
    assert_eq!(found(&scratch, &["check", "--json"]), BTreeMap::new());
    let last = fs::metadata(tree.join("grows")).unwrap().len() - 2;
    File::options().write(true).open(tree.join("grows")).unwrap().write_all_at(b"E", last).unwrap();
    append(&tree.join("grows"), "yet another line\n");
    let wanted = BTreeMap::from([("grows".to_owned(), change("size content", "its old part changed"))]);
    assert_eq!(found(&scratch, &["check", "--json"]), wanted);
    assert_eq!(scratch.ask(&["verify"]).status.code(), Some(0));
    let explained = String::from_utf8(scratch.ask(&["explain", tree.join("grows").to_str().unwrap()]).stdout).unwrap();
    assert!(explained.contains("files may grow while their old part stays"), "{explained}");
    let shown = String::from_utf8(scratch.ask(&["config", "show"]).stdout).unwrap();
    let line = shown.lines().find(|line| line.contains("attributes")).unwrap();
    assert!(line.contains("content") && line.contains("growth") && !line.contains("mtime"), "{line}");
}
