//! Big files in virtual time: read beside the walk, in slices, without stopping it and without a lie about what was read.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, OnChange},
    model::{
        event::{Category, Event, Severity},
        file::{
            attribute::Attribute,
            entry::{Entry, HashState},
        },
    },
    store::events::append::Filter,
};
use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    support::{Scratch, is_root, shown, wait_for},
};

const RATE: f64 = 1_000_000.0;

/// Small files, looked at twice a second, beside what is big from 1 MiB on; a megabyte a second.
fn settled(journey: &Journey, files: usize) -> Config {
    (0..files).for_each(|number| fs::write(journey.tree().join(format!("f{number}")), "content").unwrap());
    let mut config = journey.config();
    config.rates.files = 2.0;
    config.rates.bytes = RATE;
    config.rates.speedup = 1.0;
    config.rates.big_file = 1 << 20;
    config.report.files.hold_off = Duration::ZERO;
    config
}

/// A file of so many megabytes.
fn big(journey: &Journey, megabytes: usize) -> PathBuf {
    let path = journey.tree().join("big");
    fs::write(&path, vec![7; megabytes * 1_000_000]).unwrap();
    path
}

async fn entry(daemon: &Daemonic, journey: &Journey, path: &Path) -> Entry {
    known(daemon, journey, path).await.unwrap()
}

async fn known(daemon: &Daemonic, journey: &Journey, path: &Path) -> Option<Entry> {
    let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
    let (root, path) = (bytes(&journey.tree()), bytes(path));
    daemon.db.call(move |store| store.entry_at(&root, &path).unwrap()).await
}

async fn told(daemon: &Daemonic) -> Vec<Event> {
    let filter = Filter { limit: 10_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    let own = [Category::BaselineStarted, Category::BaselineEstablished];
    events.into_iter().map(|stored| stored.event).filter(|event| !own.contains(&event.category)).collect()
}

async fn until_whole(daemon: &Daemonic, journey: &Journey, path: &Path, most: Duration) {
    let mut waited = Duration::ZERO;
    while known(daemon, journey, path).await.is_none_or(|entry| entry.known.hash_state != HashState::Full) {
        sleep(Duration::from_secs(1)).await;
        waited += Duration::from_secs(1);
        assert!(waited < most, "it was not read in {waited:?}");
    }
}

fn digest(path: &Path) -> [u8; 32] {
    *blake3::hash(&fs::read(path).unwrap()).as_bytes()
}

fn append(path: &Path) {
    File::options().append(true).open(path).unwrap().write_all(b"one more line\n").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_big_file_stops_neither_the_first_round_nor_the_finding_of_a_change() {
    let journey = Journey::new();
    let config = settled(&journey, 40);
    let path = big(&journey, 200);
    let daemon = journey.start(config);
    // 42 entries at two a second.
    sleep(Duration::from_secs(45)).await;
    daemon.until_established().await;
    let row = entry(&daemon, &journey, &path).await;
    assert_eq!(
        (row.known.hash_state, row.known.digests.blake3),
        (HashState::Partial(0), None),
        "it is learned at once"
    );
    fs::write(journey.tree().join("f7"), "other content").unwrap();
    sleep(Duration::from_secs(45)).await;
    let mails = journey.mails().join("\n");
    assert!(mails.contains(": 42, of which 1 big and still being read"), "{mails}");
    assert!(mails.contains("not hashed: 1 (not read yet 1)"), "{mails}");
    let events = told(&daemon).await;
    assert!(events.len() == 1 && events[0].source.ends_with(b"/f7"), "{events:?}");
    // 200 MB at not quite 1 MB/s.
    until_whole(&daemon, &journey, &path, Duration::from_secs(150)).await;
    assert_eq!(entry(&daemon, &journey, &path).await.known.digests.blake3, Some(digest(&path)));
    assert_eq!(told(&daemon).await.len(), 1, "its first digest is learned, not told");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn walk_and_lane_together_keep_the_rate_and_each_gets_its_part() {
    let journey = Journey::new();
    let mut config = settled(&journey, 0);
    // Each pass over them takes 20 s of bytes, so that the walk alone would want all there are.
    (0..200).for_each(|number| fs::write(journey.tree().join(format!("m{number}")), vec![1; 100_000]).unwrap());
    config.rates.files = 1000.0;
    let path = big(&journey, 100);
    let daemon = journey.start(config);
    let before = daemon.bytes().await;
    until_whole(&daemon, &journey, &path, Duration::from_secs(230)).await;
    sleep(Duration::from_secs(100)).await;
    let read = daemon.bytes().await - before;
    assert!(daemon.looks().await > 800, "the walk was starved: {} looks", daemon.looks().await);
    let begun = daemon.bytes().await;
    sleep(Duration::from_secs(100)).await;
    let read_later = daemon.bytes().await - begun;
    assert!((95_000_000..=101_000_000).contains(&read_later), "{read_later} bytes in 100 s, {read} before");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_big_file_is_told_at_once_and_its_content_when_it_was_read() {
    let journey = Journey::new();
    let config = settled(&journey, 10);
    let path = big(&journey, 100);
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_whole(&daemon, &journey, &path, Duration::from_secs(150)).await;
    let mut content = vec![7; 100_000_000];
    content[50_000_000] = 8;
    fs::write(&path, content).unwrap();
    // It may be in the middle of the next reading, and is looked at again after a minute at the latest.
    sleep(Duration::from_secs(70)).await;
    let first = told(&daemon).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].category == Category::Changed && first[0].changed.has(Attribute::Ctime), "{first:?}");
    assert!(!first[0].changed.has(Attribute::Content), "nobody has read it yet");
    assert_eq!(entry(&daemon, &journey, &path).await.known.hash_state, HashState::Partial(0));
    until_whole(&daemon, &journey, &path, Duration::from_secs(200)).await;
    let events = told(&daemon).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let event = events.iter().find(|event| event.changed.has(Attribute::Content)).unwrap();
    assert!(event.changed.has(Attribute::Mtime), "it is compared with what stood at the last whole reading: {event:?}");
    assert_eq!((event.severity, event.note.as_slice()), (Severity::Normal, &b""[..]), "it is no forgery");
    assert_eq!(event.new.as_ref().unwrap().digests.blake3, Some(digest(&path)));
    sleep(Duration::from_mins(20)).await;
    assert_eq!(told(&daemon).await.len(), 2);
    assert!(journey.mails().iter().any(|mail| mail.contains("content not read yet")), "{:?}", journey.mails());
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_big_file_that_was_renamed_is_one_move_and_what_changes_with_it_is_found() {
    let journey = Journey::new();
    let config = settled(&journey, 10);
    let path = big(&journey, 20);
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_whole(&daemon, &journey, &path, Duration::from_secs(150)).await;
    let other = journey.tree().join("other");
    let rename = |from: &Path, to: &Path| fs::rename(from, to).unwrap();
    rename(&path, &other);
    sleep(Duration::from_mins(2)).await;
    let events = told(&daemon).await;
    assert!(events.len() == 1 && events[0].category == Category::Moved, "{events:?}");
    until_whole(&daemon, &journey, &other, Duration::from_secs(150)).await;
    let before = digest(&other);
    assert_eq!(entry(&daemon, &journey, &other).await.known.digests.blake3, Some(before));
    sleep(Duration::from_mins(20)).await;
    assert_eq!(told(&daemon).await.len(), 1, "its content is what it was");
    // Other content of the same length under the same time.
    let time = fs::metadata(&other).unwrap().modified().unwrap();
    rename(&other, &path);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"8", 10_000_000).unwrap();
    file.set_modified(time).unwrap();
    sleep(Duration::from_mins(20)).await;
    let events = told(&daemon).await;
    assert!(events.iter().any(|event| event.changed.has(Attribute::Content)), "{events:?}");
    assert_eq!(entry(&daemon, &journey, &path).await.known.digests.blake3, Some(digest(&path)));
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_difference_of_a_big_file_is_told_twice_at_most() {
    let journey = Journey::new();
    let mut config = settled(&journey, 10);
    config.areas[0].on_change = OnChange::Keep;
    let path = big(&journey, 10);
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_whole(&daemon, &journey, &path, Duration::from_mins(1)).await;
    fs::write(&path, vec![9; 11_000_000]).unwrap();
    sleep(Duration::from_mins(30)).await;
    let events = told(&daemon).await;
    assert!((1..=2).contains(&events.len()), "{events:?}");
    assert!(events.iter().any(|event| event.changed.has(Attribute::Content)), "{events:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_big_file_that_never_holds_still_is_busy_once_and_read_when_it_does() {
    let journey = Journey::new();
    let config = settled(&journey, 10);
    let path = big(&journey, 20);
    let daemon = journey.start(config);
    for _ in 0..600 {
        append(&path);
        sleep(Duration::from_secs(1)).await;
    }
    let row = entry(&daemon, &journey, &path).await;
    assert_eq!((row.known.hash_state, row.known.digests.blake3), (HashState::Busy, None), "no torn digest is kept");
    let busy = |events: &[Event]| events.iter().filter(|event| event.category == Category::Busy).count();
    assert_eq!(busy(&told(&daemon).await), 1);
    until_whole(&daemon, &journey, &path, Duration::from_secs(200)).await;
    assert_eq!(entry(&daemon, &journey, &path).await.known.digests.blake3, Some(digest(&path)));
    for _ in 0..600 {
        append(&path);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(busy(&told(&daemon).await), 2, "each streak is told once");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sparse_file_of_120_gigabytes_does_not_delay_what_changes_beside_it() {
    let journey = Journey::new();
    let mut config = settled(&journey, 15);
    config.rates.bytes = 262_144.0;
    let path = journey.tree().join("sparse");
    if let Err(error) = File::create(&path).unwrap().set_len(120 << 30) {
        println!("skipped: a file cannot be that large here: {error}");
        return;
    }
    let daemon = journey.start(config);
    daemon.until_established().await;
    assert_eq!(entry(&daemon, &journey, &path).await.known.hash_state, HashState::Partial(0));
    fs::write(journey.tree().join("f7"), "other content").unwrap();
    sleep(Duration::from_secs(20)).await;
    let events = told(&daemon).await;
    assert!(events.len() == 1 && events[0].source.ends_with(b"/f7"), "{events:?}");
    // 64 MiB of zeros a second: a gigabyte is hashed in 16 s or so, and nothing of it is read.
    let before = daemon.bytes().await;
    File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    until_whole(&daemon, &journey, &path, Duration::from_secs(90)).await;
    assert!(daemon.bytes().await - before < 1 << 20);
    assert_eq!(entry(&daemon, &journey, &path).await.known.digests.blake3, Some(digest(&path)));
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_read_does_not_count_as_checked() {
    let journey = Journey::new();
    let mut config = settled(&journey, 10);
    config.rates.bytes = 10_000.0;
    let path = big(&journey, 100);
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_mins(30)).await;
    let row = entry(&daemon, &journey, &path).await;
    let now = journey.clock.now().wall;
    assert!(now.since(row.checked) > Duration::from_mins(29), "it was met half an hour ago and never read");
    let last = daemon.db.call(|store| store.last_visit()).await;
    assert!(last - row.visit < 100, "its metadata are looked at all the time: {} of {last}", row.visit);
    let oldest = daemon
        .db
        .call(|store| {
            store.flush().unwrap();
            let area = store.areas().unwrap()[0].id;
            store.oldest_check(area).unwrap().unwrap()
        })
        .await;
    assert_eq!(oldest, row.checked);
    daemon.stop().await;
}

/// A sparse file of so many bytes; `false` where a file cannot be that large.
#[expect(clippy::print_stdout, reason = "a test says what it has skipped")]
fn sparse(path: &Path, size: u64) -> bool {
    let made = File::create(path).unwrap().set_len(size);
    if let Err(error) = &made {
        println!("skipped: a file cannot be that large here: {error}");
        fs::remove_file(path).unwrap();
    }
    made.is_ok()
}

#[test]
fn an_endless_hole_at_a_high_rate_does_not_stop_the_walk() {
    let scratch = Scratch::new();
    (0..20).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "content").unwrap());
    scratch.configure("mail = file:/nonexistent\nfilerate = 2000\nbyterate = 100M");
    let running = scratch.start();
    scratch.wait_for_baseline();
    if !sparse(&scratch.tree().join("evil"), 120 << 30) {
        return;
    }
    let is_told = |name: &str| {
        let events = scratch.history();
        events.iter().any(|event| event.to_string().contains(&format!("/{name}\"")))
    };
    wait_for("the sparse file", || is_told("evil"));
    // The lane is at it now.
    std::thread::sleep(Duration::from_millis(500));
    fs::write(scratch.tree().join("new"), "x").unwrap();
    wait_for("what is new beside it", || is_told("new"));
    running.stop();
}

#[tokio::test(start_paused = true)]
async fn a_short_big_file_does_not_wait_for_the_end_of_a_long_one() {
    let journey = Journey::new();
    let config = settled(&journey, 10);
    let long = big(&journey, 300);
    let daemon = journey.start(config);
    daemon.until_established().await;
    let short = journey.tree().join("short");
    fs::write(&short, vec![5; 3_000_000]).unwrap();
    until_whole(&daemon, &journey, &short, Duration::from_secs(150)).await;
    assert_eq!(entry(&daemon, &journey, &long).await.known.hash_state, HashState::Partial(0));
    until_whole(&daemon, &journey, &long, Duration::from_mins(5)).await;
    let row = entry(&daemon, &journey, &long).await;
    assert_eq!(row.known.digests.blake3, Some(digest(&long)), "it was read in pieces, not anew");
    assert!(daemon.bytes().await < 330_000_000, "it was begun anew");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_big_files_of_one_owner_keep_nobody_elses_waiting() {
    if !is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let journey = Journey::new();
    let config = settled(&journey, 5);
    let daemon = journey.start(config);
    daemon.until_established().await;
    for number in 0..12 {
        let path = journey.tree().join(format!("theirs{number}"));
        fs::write(&path, vec![7; 30_000_000]).unwrap();
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    // The lane is at them.
    sleep(Duration::from_secs(30)).await;
    let short = journey.tree().join("short");
    fs::write(&short, vec![5; 3_000_000]).unwrap();
    until_whole(&daemon, &journey, &short, Duration::from_secs(40)).await;
    // In which order his own are read is chance.
    let mut waiting = 0;
    for number in 0..12 {
        let theirs = entry(&daemon, &journey, &journey.tree().join(format!("theirs{number}"))).await;
        waiting += usize::from(theirs.known.hash_state == HashState::Partial(0));
    }
    assert!(waiting > 0, "they had all been read before");
    daemon.stop().await;
}

#[test]
fn init_and_check_end_over_endless_holes_and_call_nothing_different() {
    let scratch = Scratch::new();
    fs::write(scratch.tree().join("small"), "content").unwrap();
    scratch.configure("mail = file:/nonexistent");
    let (long, endless) = (scratch.tree().join("long"), scratch.tree().join("endless"));
    if !sparse(&long, 120 << 30) || !sparse(&endless, 200 << 30) {
        return;
    }
    let begun = std::time::Instant::now();
    // What was not read is not called equal either.
    for (arguments, code) in [(&["init"][..], 0), (&["check"], 8), (&["init"], 0), (&["check", "--update"], 8)] {
        let output = scratch.ask(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", shown(&scratch, &output));
        let words = "no difference in what was compared; not compared: 2 too large to be read now";
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains(words), code == 8, "{}", shown(&scratch, &output));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let explained = |path: &Path| String::from_utf8(scratch.ask(&["explain", path.to_str().unwrap()]).stdout).unwrap();
    assert!(explained(&long).contains("not read yet"), "{}", explained(&long));
    assert!(explained(&endless).contains("too large"), "{}", explained(&endless));
    // Their metadata are compared all the same.
    File::options().write(true).open(&endless).unwrap().set_len(201 << 30).unwrap();
    let output = scratch.ask(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("endless") && text.contains("size"), "{}", shown(&scratch, &output));
}

#[tokio::test(start_paused = true)]
async fn a_file_with_too_many_holes_is_said_once_and_counted() {
    let journey = Journey::new();
    let config = settled(&journey, 10);
    let other = big(&journey, 3);
    let daemon = journey.start(config);
    daemon.until_established().await;
    let path = journey.tree().join("endless");
    if !sparse(&path, (128 << 30) + 4096) {
        return;
    }
    sleep(Duration::from_mins(20)).await;
    assert_eq!(entry(&daemon, &journey, &path).await.known.hash_state, HashState::TooBig);
    let events = told(&daemon).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events.iter().any(|event| event.category == Category::Unreadable), "{events:?}");
    fs::write(journey.tree().join("f7"), "other content").unwrap();
    sleep(Duration::from_mins(20)).await;
    let mails = journey.mails().join("\n");
    assert!(mails.contains("too big 1"), "{mails}");
    assert_eq!(told(&daemon).await.len(), 3);
    assert_eq!(entry(&daemon, &journey, &other).await.known.hash_state, HashState::Full);
    // Its metadata are compared, and it is read when it has become smaller.
    File::options().write(true).open(&path).unwrap().set_len(2 << 20).unwrap();
    until_whole(&daemon, &journey, &path, Duration::from_mins(30)).await;
    let events = told(&daemon).await;
    assert!(events.iter().any(|event| event.changed.has(Attribute::Size)), "{events:?}");
    assert!(events.iter().any(|event| event.category == Category::Readable), "{events:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_big_file_that_is_being_written_is_told_once_until_it_was_read() {
    let journey = Journey::new();
    let mut config = settled(&journey, 3);
    config.rates.files = 20.0;
    let path = big(&journey, 20);
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_whole(&daemon, &journey, &path, Duration::from_mins(2)).await;
    let before = fs::metadata(&path).unwrap().len();
    for _ in 0..30 {
        append(&path);
        sleep(Duration::from_secs(1)).await;
    }
    let events = told(&daemon).await;
    assert!((1..=2).contains(&events.len()), "{events:?}");
    until_whole(&daemon, &journey, &path, Duration::from_mins(10)).await;
    let events = told(&daemon).await;
    let whole = events.iter().find(|event| event.changed.has(Attribute::Content)).unwrap();
    let size = |seen: &Option<integrityd::model::file::entry::Observation>| seen.as_ref().unwrap().attributes.size;
    assert_eq!((size(&whole.old), size(&whole.new)), (before, fs::metadata(&path).unwrap().len()), "{whole:?}");
    // Where nothing but the times has moved, that is told once.
    let count = events.len();
    File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&daemon).await.len(), count + 1);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_big_file_that_was_kept_as_gone_is_told_when_it_is_back() {
    let journey = Journey::new();
    let mut config = settled(&journey, 10);
    config.areas[0].on_change = OnChange::Keep;
    let path = big(&journey, 3);
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_whole(&daemon, &journey, &path, Duration::from_mins(1)).await;
    let other = journey.directory.path().join("elsewhere");
    // Within a minute of its last reading, so that the lane has no reason to come to it.
    let is_fresh = |checked| journey.clock.now().wall.since(checked) < Duration::from_secs(3);
    while !is_fresh(entry(&daemon, &journey, &path).await.checked) {
        sleep(Duration::from_secs(1)).await;
    }
    fs::rename(&path, &other).unwrap();
    sleep(Duration::from_secs(20)).await;
    let is_removed = told(&daemon).await.iter().any(|event| event.category == Category::Removed);
    assert!(is_removed, "{:?}", told(&daemon).await);
    fs::rename(&other, &path).unwrap();
    // It is looked at within seconds, and its content was read a moment ago.
    sleep(Duration::from_secs(25)).await;
    let events = told(&daemon).await;
    let back: Vec<_> = events.iter().filter(|event| event.new.is_some()).collect();
    assert!(back.len() == 1 && back[0].source.ends_with(b"/big"), "{events:?}");
    sleep(Duration::from_mins(20)).await;
    assert_eq!(told(&daemon).await.len(), events.len(), "once");
    daemon.stop().await;
}

#[test]
fn few_descriptors_make_no_directory_unreadable() {
    let scratch = Scratch::new();
    for number in 0..300 {
        let directory = scratch.tree().join(format!("d{}/e{number}", number % 30));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("f"), "content").unwrap();
    }
    let config = scratch.configure("mail = file:/nonexistent\nfilerate = 2000\nbyterate = 100M");
    let log = File::create(scratch.path("log")).unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --config \"$1\" run", crate::support::PROGRAM])
        .arg(config)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    let told = || String::from_utf8(scratch.ask(&["history"]).stdout).unwrap();
    while !told().contains("baseline established") && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let events = told();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(events.contains("baseline established"), "{}", scratch.log());
    assert!(!events.contains("unreadable"), "{events}");
    assert!(!scratch.log().contains("for want of descriptors"), "{}", scratch.log());
}
