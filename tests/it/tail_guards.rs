//! Tailing against those who mean harm: what others plant, what goes for good, what comes and goes.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    model::{clock::Timestamp, log::position::LogState},
    tail::{
        file_tail::Tail,
        glob::Start,
        poll::{Poll, TailEvent, TailSettings},
    },
};

use crate::tail::{Bench, gzip};

/// A user who may write in the directory of his log and would like to see what is root's.
const THEIRS: u32 = 65_534;

/// His log, and a file of root's beside his directory.
struct Planted {
    bench: Bench,
    secret: PathBuf,
    tail: Tail,
    state: Option<LogState>,
}

impl Planted {
    fn new() -> Self {
        let bench = Bench::new();
        let (secret, theirs) = (bench.file("secret"), bench.file("theirs"));
        fs::write(&secret, "the key\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("app"), "mine\n").unwrap();
        for path in [theirs.join("app"), theirs.clone()] {
            lchown(path, Some(THEIRS), None).unwrap();
        }
        let tail = Tail::new(TailSettings { path: theirs.join("app"), ..TailSettings::default() });
        Self { bench, secret, tail, state: None }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.file("theirs").join(name)
    }

    fn poll(&mut self) -> Poll {
        self.bench.now = self.bench.now.after(Duration::from_secs(1));
        let poll = self.tail.poll(self.state.as_ref(), Start::End, self.bench.now);
        self.state = Some(poll.state.clone());
        poll
    }

    fn assert_unread(&mut self, told: &[TailEvent]) {
        let poll = self.poll();
        assert_eq!((poll.records.as_slice(), poll.happenings.as_slice()), (&[][..], told));
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn hostile_planted_files_are_not_read_when_they_grow() {
    if !is_root() {
        return; // Only root has something to steal, and can give files away.
    }
    let refused = [TailEvent::SiblingRefused(b"app.1".to_vec())];
    let mut planted = Planted::new();
    drop(planted.poll());
    fs::hard_link(&planted.secret, planted.file("app.1")).unwrap();
    planted.assert_unread(&refused);
    append(&planted.secret, "another key\n");
    planted.assert_unread(&[]);
    // Its owner replaces his file, and the link looks like any file of root's.
    fs::remove_file(&planted.secret).unwrap();
    append(&planted.file("app.1"), "the last key\n");
    planted.assert_unread(&[]);
    fs::rename(planted.file("app.1"), planted.file("app.2")).unwrap();
    planted.assert_unread(&[]);
}

#[test]
fn hostile_files_that_were_planted_before_the_first_look_are_not_read() {
    if !is_root() {
        return;
    }
    let mut planted = Planted::new();
    fs::hard_link(&planted.secret, planted.file("app.1")).unwrap();
    assert!(planted.poll().happenings.contains(&TailEvent::SiblingRefused(b"app.1".to_vec())));
    append(&planted.secret, "another key\n");
    planted.assert_unread(&[]);
}

#[test]
fn hostile_rotated_files_are_asked_anew_once_they_have_grown() {
    if !is_root() {
        return;
    }
    let mut planted = Planted::new();
    append(&planted.file("app.1"), "rotated by root\n");
    drop(planted.poll());
    append(&planted.file("app.1"), "late\n");
    assert_eq!(planted.poll().records.len(), 1);
    // Another user's file in its place, with the same inode.
    lchown(planted.file("app.1"), Some(1000), None).unwrap();
    planted.assert_unread(&[]);
    append(&planted.file("app.1"), "later\n");
    planted.assert_unread(&[TailEvent::SiblingRefused(b"app.1".to_vec())]);
    append(&planted.file("app.1"), "latest\n");
    planted.assert_unread(&[]);
}

#[test]
fn a_log_that_is_given_to_another_user_keeps_its_rotated_files() {
    if !is_root() {
        return;
    }
    let mut planted = Planted::new();
    drop(planted.poll());
    append(&planted.file("app"), "one\n");
    assert_eq!(planted.poll().records.len(), 1);
    fs::rename(planted.file("app"), planted.file("app.1")).unwrap();
    append(&planted.file("app"), "two\n");
    append(&planted.file("app.1"), "late\n");
    assert_eq!(planted.poll().records.len(), 2);
    lchown(planted.file("app"), Some(1000), None).unwrap();
    append(&planted.file("app.1"), "later\n");
    assert_eq!(planted.poll().records.len(), 1);
}

#[test]
fn a_directory_of_rotated_files_that_is_not_made_yet_is_empty() {
    let mut bench = Bench::new();
    fs::remove_dir(bench.file("old")).unwrap();
    bench.append("zero\n");
    fs::write(bench.file("log.1"), "older\n").unwrap();
    bench.poll();
    bench.append("one\n");
    fs::remove_file(bench.file("log.1")).unwrap();
    for _ in 0..10 {
        bench.poll();
        if let Some(state) = &bench.state
            && state.siblings.is_empty()
        {
            break;
        }
    }
    assert_eq!(bench.state.as_ref().unwrap().siblings, []);
    // The first rotation makes it.
    fs::create_dir(bench.file("old")).unwrap();
    bench.append("two\n");
    fs::rename(&bench.path, bench.file("old/log.1")).unwrap();
    bench.append("three\n");
    assert_eq!(bench.poll(), ["two", "three"]);
    assert!(!bench.take_happenings().iter().any(|told| matches!(told, TailEvent::Unlisted(_))));
    // Whatever else is wrong with it stays told.
    fs::remove_dir_all(bench.file("old")).unwrap();
    fs::write(bench.file("old"), "no directory").unwrap();
    bench.poll();
    assert!(bench.take_happenings().iter().any(|told| matches!(told, TailEvent::Unlisted(_))));
}

/// What is told of a log that changes every second for an hour by `change`, which gets the number of the second.
fn told_of_flapping(mut change: impl FnMut(&Path, u32)) -> Vec<TailEvent> {
    let mut bench = Bench::new();
    bench.append("zero\n");
    bench.poll();
    bench.take_happenings();
    for second in 0..3600 {
        change(&bench.path, second);
        // Not every poll can be stored.
        drop(bench.poll_in_vain());
        bench.poll();
    }
    bench.take_happenings()
}

#[test]
fn hostile_a_log_that_comes_and_goes_every_second_is_told_once_in_errornag() {
    let told = told_of_flapping(|path, second| {
        let aside = path.with_file_name("aside");
        if second % 2 == 0 {
            fs::rename(path, &aside).unwrap();
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        } else {
            fs::rename(&aside, path).unwrap();
        }
    });
    assert!(matches!(&told[..], [TailEvent::Trouble(..), TailEvent::Back(..)]), "{told:?}");
}

#[test]
fn hostile_troubles_that_take_turns_are_told_once_each_in_errornag() {
    let told = told_of_flapping(|path, second| {
        let aside = path.with_file_name("aside");
        match second % 3 {
            0 => fs::rename(path, &aside).unwrap(),
            1 => fs::create_dir(path).unwrap(),
            _ => {
                fs::remove_dir(path).unwrap();
                fs::rename(&aside, path).unwrap();
            }
        }
    });
    assert_eq!(told.iter().filter(|told| matches!(told, TailEvent::Trouble(..))).count(), 2, "{told:?}");
    assert!(told.len() <= 4 && matches!(told.last(), Some(TailEvent::Back(..))), "{told:?}");
}

#[test]
fn hostile_a_link_that_takes_turns_with_its_target_is_told_once_in_errornag() {
    let told = told_of_flapping(|path, second| {
        let aside = path.with_file_name("aside");
        if second % 2 == 0 {
            fs::rename(path, &aside).unwrap();
            symlink("aside", path).unwrap();
        } else {
            fs::rename(&aside, path).unwrap();
        }
    });
    assert!(matches!(&told[..], [TailEvent::Retargeted { .. }]), "{told:?}");
}

#[test]
fn a_trouble_that_comes_back_and_stays_is_told_when_errornag_is_over() {
    let mut bench = Bench::new();
    bench.append("zero\n");
    bench.poll();
    let (path, aside) = (bench.path.clone(), bench.file("aside"));
    for (from, to) in [(&path, &aside), (&aside, &path), (&path, &aside)] {
        fs::rename(from, to).unwrap();
        bench.poll();
    }
    assert_eq!(bench.take_happenings().len(), 3, "begun, in trouble, back");
    bench.now = bench.now.after(Duration::from_hours(2));
    bench.poll();
    assert!(matches!(bench.take_happenings()[..], [TailEvent::Trouble(..)]));
    fs::rename(&aside, &bench.path).unwrap();
    bench.poll();
    assert!(matches!(bench.take_happenings()[..], [TailEvent::Back(..)]));
}

/// A bench whose log a glob has found, read up to the end of "zero".
fn passing(lets_go: bool) -> Bench {
    let mut bench = Bench::new();
    bench.tail = Tail::new(TailSettings {
        path: bench.path.clone(),
        grace: Duration::MAX,
        is_passing: true,
        lets_go,
        ..TailSettings::default()
    });
    bench.append("zero\n");
    bench.poll();
    bench.take_happenings();
    bench
}

/// Whether the log is over after `wait`.
fn is_over_after(bench: &mut Bench, wait: Duration) -> bool {
    bench.now = bench.now.after(wait);
    let is_over = bench.poll_in_vain().is_over;
    bench.poll();
    is_over
}

#[test]
fn a_passing_log_is_over_once_it_was_missing_and_quiet_for_minutes() {
    const MINUTE: Duration = Duration::from_mins(1);
    let mut bench = passing(false);
    bench.append("one\ntwo");
    let mut writer = OpenOptions::new().append(true).open(&bench.path).unwrap();
    fs::remove_file(&bench.path).unwrap();
    assert!(!is_over_after(&mut bench, MINUTE));
    assert!(!is_over_after(&mut bench, 4 * MINUTE));
    writer.write_all(b" and more\nthree").unwrap();
    assert!(!is_over_after(&mut bench, MINUTE), "its writer goes on");
    assert!(is_over_after(&mut bench, 2 * MINUTE));
    assert_eq!(bench.lines, [&b"one"[..], b"two and more", b"three"]);
    assert_eq!(bench.take_happenings(), []);
}

#[test]
fn a_log_that_was_deleted_while_it_was_written_is_told() {
    let mut bench = passing(false);
    bench.now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    fs::remove_file(&bench.path).unwrap();
    for _ in 0..4 {
        is_over_after(&mut bench, Duration::from_mins(3));
    }
    assert!(bench.take_happenings().contains(&TailEvent::Replaced));
}

#[test]
fn a_log_with_rotated_files_is_not_over_while_they_are_there() {
    let mut bench = passing(false);
    fs::rename(&bench.path, bench.file("log.1")).unwrap();
    for _ in 0..4 {
        assert!(!is_over_after(&mut bench, Duration::from_hours(1)));
    }
    append(&bench.file("log.1"), "late\n");
    assert_eq!(bench.poll(), ["late"]);
    fs::remove_file(bench.file("log.1")).unwrap();
    assert!(!is_over_after(&mut bench, Duration::from_mins(1)), "it may be on its way to another name");
    assert!(is_over_after(&mut bench, Duration::from_mins(1)));
}

#[test]
fn a_log_whose_descriptor_is_not_kept_says_what_is_lost() {
    let mut bench = passing(true);
    bench.append("one\nha");
    assert_eq!(bench.poll(), ["one"]);
    fs::remove_file(&bench.path).unwrap();
    assert!(!is_over_after(&mut bench, Duration::from_mins(1)));
    assert!(is_over_after(&mut bench, Duration::from_mins(5)));
    assert_eq!(bench.take_happenings(), [TailEvent::ContinuityLost { offset: 9, unread: 2 }]);
}

#[test]
fn rotated_files_that_were_read_are_not_held_open() {
    let mut bench = Bench::new();
    bench.append("zero\n");
    bench.poll();
    for number in 1..4 {
        bench.append(format!("{number}\n"));
        let rotated = bench.file(&format!("log-2026112{number}"));
        fs::rename(&bench.path, &rotated).unwrap();
        bench.append("next\n");
        bench.poll();
        gzip(&rotated, &rotated.with_extension("gz"));
        bench.poll();
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let open: Vec<PathBuf> = open.filter(|path| path.starts_with(bench.directory.path())).collect();
    assert_eq!(open, [bench.path.clone()]);
    assert_eq!(bench.lines.len(), 6);
}
