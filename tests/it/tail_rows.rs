//! Tailing, situation by situation: one test for each row of the table of what may happen to a log.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    time::Duration,
};

use integrityd::{
    model::{
        file::entry::FileKind,
        log::position::{Position, ReadRefusal},
    },
    tail::{
        file_tail::Tail,
        glob::Start,
        logtail_offset,
        poll::{TailEvent, TailSettings},
        splitter::LogRecord,
    },
};

use crate::tail::{Bench, gzip};

/// A log that was read up to the end of "one".
fn begun() -> Bench {
    let mut bench = Bench::new();
    bench.append("zero\n");
    bench.poll();
    bench.append("one\n");
    assert_eq!(bench.poll(), ["one"]);
    bench.take_happenings();
    bench
}

fn assert_quiet(bench: &mut Bench) {
    let strange: Vec<TailEvent> =
        bench.take_happenings().into_iter().filter(|happening| !matches!(happening, TailEvent::Rotated(_))).collect();
    assert_eq!(strange, []);
    assert_eq!(bench.poll(), [""; 0]);
}

#[test]
fn row_01_rename_and_create_keeps_the_order() {
    let mut bench = begun();
    bench.append("two\n");
    fs::rename(&bench.path, bench.file("log.1")).unwrap();
    bench.append("three\n");
    assert_eq!(bench.poll(), ["two", "three"]);
    assert_eq!(bench.take_happenings(), [TailEvent::Rotated(b"log.1".to_vec())]);
    // A writer that was not told yet.
    OpenOptions::new().append(true).open(bench.file("log.1")).unwrap().write_all(b"late\n").unwrap();
    assert_eq!(bench.poll(), ["late"]);
    assert_quiet(&mut bench);
}

#[test]
fn row_02_copytruncate_reads_the_rest_from_the_copy() {
    let mut bench = begun();
    bench.append("two\n");
    fs::copy(&bench.path, bench.file("log.1")).unwrap();
    // Between copy and truncation.
    assert_eq!(bench.poll(), ["two"]);
    File::create(&bench.path).unwrap();
    bench.append("three\n");
    assert_eq!(bench.poll(), ["three"]);
    bench.append("four\n");
    fs::rename(bench.file("log.1"), bench.file("log.2")).unwrap();
    fs::copy(&bench.path, bench.file("log.1")).unwrap();
    File::create(&bench.path).unwrap();
    assert_eq!(bench.poll(), ["four"]);
    assert_quiet(&mut bench);
}

#[test]
fn row_03_truncated_and_grown_past_the_offset_is_read_from_its_beginning() {
    let mut bench = begun();
    let mut file = OpenOptions::new().write(true).truncate(true).open(&bench.path).unwrap();
    file.write_all(b"a new first line that is longer\nsecond\n").unwrap();
    assert_eq!(bench.poll(), ["a new first line that is longer", "second"]);
    assert_eq!(bench.take_happenings(), [TailEvent::Shrank { offset: 9, size: 39 }]);
}

#[test]
fn row_04_packed_files_are_read_or_said() {
    let mut bench = begun();
    bench.append("two\nthree\n");
    fs::rename(&bench.path, bench.file("log-20261121")).unwrap();
    gzip(&bench.file("log-20261121"), &bench.file("log-20261121.gz"));
    bench.append("four\n");
    bench.restart();
    assert_eq!(bench.poll(), ["two", "three", "four"]);
    assert_quiet(&mut bench);
    // Into olddir, packed later.
    bench.append("five\n");
    fs::rename(&bench.path, bench.file("old/log.1")).unwrap();
    bench.append("six\n");
    assert_eq!(bench.poll(), ["five", "six"]);
    gzip(&bench.file("old/log.1"), &bench.file("old/log.1.gz"));
    assert_quiet(&mut bench);
    fs::write(bench.file("log.2.xz"), "\u{fd}7zXZ").unwrap();
    bench.poll();
    let told = bench.take_happenings();
    assert!(matches!(&told[..], [TailEvent::SiblingUnreadable(name, _)] if name == b"log.2.xz"), "{told:?}");
    assert_quiet(&mut bench);
}

#[test]
fn row_05_several_rotations_while_down_are_chained() {
    let mut bench = begun();
    bench.append("two\n");
    for number in 0..4 {
        for older in (1..5).rev() {
            let from = bench.file(&format!("log.{older}.gz"));
            if from.exists() {
                fs::rename(from, bench.file(&format!("log.{}.gz", older + 1))).unwrap();
            }
        }
        fs::rename(&bench.path, bench.file("log.1")).unwrap();
        gzip(&bench.file("log.1"), &bench.file("log.1.gz"));
        bench.append(format!("after {number}\n"));
        // Time stamps of files tick in milliseconds.
        let probe = bench.file("probe");
        let before = fs::metadata(&bench.path).unwrap().modified().unwrap();
        while {
            fs::write(&probe, "x").unwrap();
            fs::metadata(&probe).unwrap().modified().unwrap() <= before
        } {}
    }
    bench.restart();
    assert_eq!(bench.poll(), ["two", "after 0", "after 1", "after 2", "after 3"]);
    assert_quiet(&mut bench);
}

#[test]
fn row_06_a_reused_inode_is_another_file() {
    let mut bench = begun();
    bench.restart();
    fs::remove_file(&bench.path).unwrap();
    bench.append("banner and much more than before\n");
    assert_eq!(bench.poll(), ["banner and much more than before"]);
    let told = bench.take_happenings();
    let is_told =
        |told: &TailEvent| matches!(told, TailEvent::ContinuityLost { offset: 9, .. } | TailEvent::Shrank { .. });
    assert!(told.len() == 1 && is_told(&told[0]), "{told:?}");
}

#[test]
fn row_06_an_unlinked_file_is_read_to_its_end() {
    let mut bench = begun();
    bench.append("two\nhal");
    fs::remove_file(&bench.path).unwrap();
    bench.append("three\n");
    assert_eq!(bench.poll_in_vain().records.len(), 3);
    assert_eq!(bench.poll(), ["two", "hal", "three"]);
    assert_eq!(bench.take_happenings(), [TailEvent::Replaced]);
    assert_quiet(&mut bench);
}

#[test]
fn row_07_a_link_is_followed_by_its_owner_and_its_retarget_is_told() {
    let mut bench = begun();
    for name in ["first", "second"] {
        fs::write(bench.file(name), format!("{name}\n")).unwrap();
    }
    let link = bench.file("link");
    symlink("first", &link).unwrap();
    let mut tail = Tail::new(TailSettings { path: link.clone(), ..TailSettings::default() });
    let state = tail.poll(None, Start::Beginning, bench.now).state;
    fs::remove_file(&link).unwrap();
    symlink("second", &link).unwrap();
    let poll = tail.poll(Some(&state), Start::End, bench.now);
    let told = TailEvent::Retargeted { old: Some(b"first".to_vec()), new: Some(b"second".to_vec()) };
    assert!(poll.happenings.contains(&told), "{:?}", poll.happenings);
    assert_eq!(poll.records, [LogRecord::Line { bytes: b"second".to_vec(), length: 6 }]);
    assert_quiet(&mut bench);
}

#[test]
fn row_08_a_missing_log_is_told_once_in_errornag_and_then_back() {
    let mut bench = begun();
    let away = bench.file("elsewhere");
    fs::rename(&bench.path, &away).unwrap();
    bench.append("");
    fs::remove_file(&bench.path).unwrap();
    let since = bench.now;
    for (wait, told) in [(0, 1), (60, 0), (7100, 0), (100, 1), (60, 0)] {
        bench.now = bench.now.after(Duration::from_secs(wait));
        bench.poll();
        assert_eq!(bench.take_happenings(), vec![TailEvent::Trouble(ReadRefusal::Missing, since); told], "{wait}");
        bench.restart();
    }
    fs::rename(&away, &bench.path).unwrap();
    bench.append("two\n");
    assert_eq!(bench.poll(), ["two"]);
    assert_eq!(bench.take_happenings(), [TailEvent::Back(ReadRefusal::Missing, since)]);
}

#[test]
fn row_09_half_a_line_waits_for_its_newline_or_a_rotation() {
    let mut bench = begun();
    bench.append("tw");
    assert_eq!(bench.poll(), [""; 0]);
    bench.restart();
    bench.append("o\nthr");
    assert_eq!(bench.poll(), ["two"]);
    fs::rename(&bench.path, bench.file("log.1")).unwrap();
    bench.append("four\n");
    assert_eq!(bench.poll(), ["four"]);
    // One poll of patience with a writer that still has it open.
    assert_eq!(bench.poll(), ["thr"]);
    assert_quiet(&mut bench);
}

#[test]
fn row_10_an_endless_line_is_one_record_with_its_length() {
    let mut bench = begun();
    let big = vec![b'x'; 5 * 1024 * 1024];
    bench.append(&big[..3_000_000]);
    assert_eq!(bench.poll(), [""; 0]);
    bench.append(&big[3_000_000..]);
    bench.append("\nnext\n");
    assert_eq!(bench.poll().len(), 2);
    let cut = LogRecord::Line { bytes: big[..64 * 1024].to_vec(), length: 5 * 1024 * 1024 };
    assert_eq!(bench.records[1..], [cut, LogRecord::Line { bytes: b"next".to_vec(), length: 4 }]);
    assert_quiet(&mut bench);
}

#[test]
fn row_11_bytes_are_bytes_and_a_hole_is_one_note() {
    let mut bench = begun();
    bench.append(b"a\0b\r\n\xff\xfe\r\r\nlone\rreturn\n");
    bench.poll();
    assert_eq!(bench.lines[1..], [b"a\0b".to_vec(), b"\xff\xfe\r".to_vec(), b"lone\rreturn".to_vec()]);
    // A writer that goes on at its old offset after a truncation.
    let mut writer = OpenOptions::new().write(true).open(&bench.path).unwrap();
    fs::copy(&bench.path, bench.file("log.1")).unwrap();
    writer.set_len(0).unwrap();
    writer.seek(SeekFrom::Start(1 << 33)).unwrap();
    writer.write_all(b"after the hole\n").unwrap();
    bench.records.clear();
    assert_eq!(bench.poll(), ["after the hole"]);
    assert_eq!(bench.records[0], LogRecord::Gap(1 << 33));
    assert_quiet(&mut bench);
}

#[test]
fn row_12_a_fifo_a_directory_and_a_socket_never_block() {
    let bench = begun();
    let fifo = bench.file("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.file("socket")).unwrap();
    for (name, kind) in [("fifo", FileKind::Fifo), ("old", FileKind::Directory), ("socket", FileKind::Socket)] {
        let mut tail = Tail::new(TailSettings {
            path: bench.file(name),
            errornag: Duration::from_hours(2),
            ..TailSettings::default()
        });
        let poll = tail.poll(None, Start::End, bench.now);
        assert_eq!(poll.happenings, [TailEvent::Trouble(ReadRefusal::Kind(kind), bench.now)]);
        let again = tail.poll(Some(&poll.state), Start::End, bench.now);
        assert_eq!((again.happenings.len(), again.state), (0, poll.state));
    }
}

#[test]
fn row_13_a_flood_comes_in_chunks_and_the_lag_is_known() {
    let mut bench = begun();
    let line = format!("{}\n", "y".repeat(99));
    bench.append(line.repeat(40_000));
    let first = bench.poll_in_vain();
    assert!(first.has_more && first.records.len() <= 5000);
    assert_eq!(first.lag, 4_000_000 - 100 * u64::try_from(first.records.len()).unwrap());
    assert_eq!(bench.poll().len(), 40_000);
    bench.append("z\n".repeat(600_000));
    let chunk = bench.poll_in_vain();
    assert!(chunk.has_more && chunk.records.len() <= 5000);
}

#[test]
fn row_14_a_new_file_of_a_group_begins_where_its_birth_says() {
    let bench = begun();
    let born = bench.tail.start(Some(bench.now.before(Duration::from_hours(24 * 365 * 200))));
    assert_eq!(born, Start::Beginning);
    assert_eq!(bench.tail.start(Some(bench.now)), Start::End);
    assert_eq!(bench.tail.start(None), Start::End);
    let mut tail = Tail::new(TailSettings { path: bench.path.clone(), ..TailSettings::default() });
    assert_eq!(tail.poll(None, born, bench.now).records.len(), 2);
}

#[test]
fn row_15_shrunk_without_a_rotated_file_is_told() {
    let mut bench = begun();
    File::create(&bench.path).unwrap().write_all(b"x\n").unwrap();
    assert_eq!(bench.poll(), ["x"]);
    assert_eq!(bench.take_happenings(), [TailEvent::Shrank { offset: 9, size: 2 }]);
    assert_quiet(&mut bench);
}

#[test]
fn row_16_the_first_start_is_from_the_end() {
    let mut bench = Bench::new();
    bench.append("old\nolder\nhal");
    fs::write(bench.file("log.1"), "much older\n").unwrap();
    assert_eq!(bench.poll(), [""; 0]);
    assert_eq!(bench.take_happenings(), [TailEvent::Began { offset: 10, size: 13 }]);
    bench.append("f\nnew\n");
    assert_eq!(bench.poll(), ["half", "new"]);
    gzip(&bench.file("log.1"), &bench.file("log.2.gz"));
    assert_quiet(&mut bench);
}

#[test]
fn positions_of_logcheck_are_taken_over() {
    use std::os::unix::fs::MetadataExt;
    let mut bench = Bench::new();
    fs::write(bench.file("log.1"), "seen long ago\n").unwrap();
    bench.append("seen\nnew\n");
    let inode = fs::metadata(&bench.path).unwrap().ino();
    fs::rename(&bench.path, bench.file("log.1")).unwrap();
    bench.append("newer\n");
    let offset = logtail_offset::parse(format!("{inode}\n5\n").as_bytes()).unwrap();
    bench.state = bench.tail.adopt(offset);
    assert!(matches!(bench.state.as_ref().unwrap().position, Position::At(_)));
    assert_eq!(bench.poll(), ["new", "newer"]);
    assert_eq!(bench.tail.adopt(logtail_offset::Offset { inode: 1, offset: 5 }), None);
}

#[test]
fn an_outcome_that_was_not_stored_is_read_again() {
    let mut bench = begun();
    bench.append("two\n");
    let first = bench.poll_in_vain();
    assert_eq!(first, bench.poll_in_vain());
    assert_eq!(bench.poll(), ["two"]);
}

#[test]
fn hostile_links_of_an_unprivileged_owner_lead_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root has something to steal, and can give files away.
    }
    let bench = begun();
    let secret = bench.file("secret");
    fs::write(&secret, "the key\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let theirs = bench.file("theirs");
    fs::create_dir(&theirs).unwrap();
    symlink(&secret, theirs.join("soft")).unwrap();
    lchown(theirs.join("soft"), Some(65534), None).unwrap();
    fs::hard_link(&secret, theirs.join("hard")).unwrap();
    fs::write(theirs.join("app"), "mine\n").unwrap();
    fs::hard_link(&secret, theirs.join("app.1")).unwrap();
    lchown(theirs.join("app"), Some(65534), None).unwrap();
    lchown(&theirs, Some(65534), None).unwrap();
    for (name, refusal) in [("soft", ReadRefusal::Link(65534)), ("hard", ReadRefusal::HardLink)] {
        let poll = Tail::new(TailSettings { path: theirs.join(name), ..TailSettings::default() }).poll(
            None,
            Start::Beginning,
            bench.now,
        );
        assert_eq!(poll.happenings, [TailEvent::Trouble(refusal, bench.now)]);
        assert!(poll.records.is_empty());
    }
    let mut tail = Tail::new(TailSettings { path: theirs.join("app"), ..TailSettings::default() });
    fs::rename(theirs.join("app.1"), bench.file("aside")).unwrap();
    let state = tail.poll(None, Start::Beginning, bench.now).state;
    fs::rename(bench.file("aside"), theirs.join("app.1")).unwrap();
    let poll = tail.poll(Some(&state), Start::End, bench.now);
    assert_eq!(poll.happenings, [TailEvent::SiblingRefused(b"app.1".to_vec())]);
    assert!(poll.records.is_empty());
}

#[test]
fn hostile_gzip_bomb_is_bounded_and_told() {
    let mut bench = begun();
    let mut bomb =
        flate2::write::GzEncoder::new(File::create(bench.file("log.1.gz")).unwrap(), flate2::Compression::best());
    for _ in 0..200 {
        bomb.write_all(&vec![0; 1024 * 1024]).unwrap();
    }
    bomb.finish().unwrap();
    bench.append("two\n");
    assert_eq!(bench.poll().last().unwrap(), "two");
    let limit = 64 * 1024 * 1024;
    assert_eq!(bench.take_happenings(), [TailEvent::SiblingTooLarge(b"log.1.gz".to_vec(), limit)]);
    assert!(bench.records.contains(&LogRecord::Gap(limit)));
    assert_quiet(&mut bench);
}

#[test]
fn hostile_broken_gzip_is_told_once() {
    let mut bench = begun();
    fs::write(bench.file("log.1.gz"), b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage").unwrap();
    bench.append("two\n");
    assert_eq!(bench.poll(), ["two"]);
    let told = bench.take_happenings();
    assert!(told.iter().all(|told| matches!(told, TailEvent::SiblingUnreadable(..))) && !told.is_empty(), "{told:?}");
    assert_quiet(&mut bench);
}
