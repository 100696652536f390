//! The new bytes of a log since a position, wherever rotation has put them.
//!
//! Where the position stands by its evidence, or by the inode alone when logcheck wrote it, reading goes on there. Else the file is
//! looked for among the rotated ones, also packed ones; what was rotated after it is read whole, then the log from its beginning.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::position::Position;
use crate::{
    logs::{
        live::{Live, Sight, look},
        logtail::Offset,
        siblings::{Found, Packing, is_plainly_rotated, is_planted, list},
        stream::{Stream, marker_before},
    },
    model::{clock::Timestamp, log::Refusal},
};

/// A log whose last line has no newline and that was written to within this time is waited for.
const FRESH: Duration = Duration::from_secs(2);

/// How often it is waited for.
const PATIENCE: u32 = 10;

/// As much as is unpacked of one rotated file.
const MOST_UNPACKED: u64 = 4 << 30;

/// How a log ended that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// How far it is read now.
    pub position: Position,
    /// What an administrator should know.
    pub notes: Vec<&'static str>,
}

/// Why a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What lies there is not read.
    #[error("{}: {}", .1.display(), words(*.0))]
    Refused(Refusal, PathBuf),
    /// Reading failed.
    #[error("{}: reading", .1.display())]
    Io(#[source] io::Error, PathBuf),
}

fn words(refusal: Refusal) -> String {
    match refusal {
        Refusal::Missing => "does not exist".to_owned(),
        Refusal::Unreadable(errno) => io::Error::from_raw_os_error(errno).to_string(),
        Refusal::Kind(_) => "is no regular file".to_owned(),
        Refusal::Link(owner) => format!("a link of user {owner} on the way leads to what is not his"),
        Refusal::HardLink => "is another user's file, linked into a directory that others can write".to_owned(),
    }
}

/// Appends the new lines of `log` to `heap`, each with a newline. `pause` waits a tenth of a second for the end of half a line.
///
/// # Errors
/// [`TakeError`] when it cannot be read; then `heap` is as it was.
pub fn take(
    log: &Path,
    known: Option<&Position>,
    heap: &mut Vec<u8>,
    now: Timestamp,
    pause: &mut dyn FnMut(),
) -> Result<Taken, TakeError> {
    let path = std::path::absolute(log).map_err(|error| TakeError::Io(error, log.to_owned()))?;
    let sight = look(&path);
    let begun = heap.len();
    match sight.live {
        Ok(Live { .. }) => {}
        Err(refusal) => return Err(TakeError::Refused(refusal, log.to_owned())),
    }
    let taken = read_on(log, sight, known, heap, now, pause);
    taken.map_err(|error| {
        heap.truncate(begun);
        TakeError::Io(error, log.to_owned())
    })
}

fn read_on(
    log: &Path,
    sight: Sight,
    known: Option<&Position>,
    heap: &mut Vec<u8>,
    now: Timestamp,
    pause: &mut dyn FnMut(),
) -> io::Result<Taken> {
    let Sight { live, places, .. } = sight;
    let Ok(live) = live else { return Err(io::ErrorKind::NotFound.into()) };
    let mut notes = Vec::new();
    let mut from = 0;
    if let Some(known) = known {
        let is_same = known.offset.inode == live.seen.inode;
        if is_same && stands(&live.file, live.seen.size, known)? {
            from = known.offset.offset;
        } else {
            let name = places.first().map(|place| place.name.clone()).unwrap_or_default();
            let listed = list(&places, &[], Some(live.id()), &BTreeSet::new());
            if !read_rotated(&name, &listed.found, known, heap)? {
                notes.extend(lost(log, known, &live, is_same, heap));
            }
        }
    }
    let mut stream = Stream::Plain(live.file);
    let begun = heap.len();
    let mut at = append(&mut stream, from, u64::MAX, heap)?;
    let is_fresh = live.seen.mtime.after(FRESH) > now;
    for _ in 0..PATIENCE {
        if !is_fresh || heap.len() == begun || heap.last() == Some(&b'\n') {
            break;
        }
        pause();
        at = append(&mut stream, at, u64::MAX, heap)?;
    }
    end_line(heap, begun);
    let Stream::Plain(file) = stream else { return Err(io::ErrorKind::InvalidInput.into()) };
    let evidence = marker_before(&file, at)?;
    let offset = Offset { inode: live.seen.inode, offset: at };
    Ok(Taken { position: Position { offset, evidence }, notes })
}

/// What is said when the position is nowhere; `logtail2(8)` has its warning among the lines.
fn lost(log: &Path, known: &Position, live: &Live, is_same: bool, heap: &mut Vec<u8>) -> Option<&'static str> {
    if !is_same {
        let is_begun = known.offset.offset > 0;
        return is_begun.then_some("the file that was read last is gone, with what it may have got since then");
    }
    if live.seen.size >= known.offset.offset {
        return Some("other lines stand where it was read to, so it is read from its beginning");
    }
    heap.extend_from_slice(b"***************\n*** WARNING ***: Log file ");
    heap.extend_from_slice(log.as_os_str().as_bytes());
    heap.extend_from_slice(b" is smaller than last time checked!\n*************** This could indicate tampering.\n");
    None
}

/// Whether a file holds the position.
fn stands(file: &File, size: u64, known: &Position) -> io::Result<bool> {
    let offset = known.offset.offset;
    Ok(size >= offset && marker_before(file, offset)?.ends_with(&known.evidence))
}

/// Whether a rotated file holds the position: by its inode, or by the evidence alone.
fn holds(found: &Found, known: &Position) -> bool {
    let Ok(file) = found.handle.open_file() else { return false };
    let is_known = !known.evidence.is_empty();
    match found.packing {
        Packing::Plain if is_known || found.seen.inode == known.offset.inode => {
            stands(&file, found.seen.size, known).unwrap_or(false)
        }
        Packing::Gzip if is_known => {
            let sketch = Stream::new(file, true)
                .and_then(|mut stream| stream.sketch(found.seen.size, &[known.offset.offset], MOST_UNPACKED));
            let markers = sketch.map(|sketch| sketch.markers).unwrap_or_default();
            markers.into_iter().flatten().any(|marker| marker.ends_with(&known.evidence))
        }
        _ => false,
    }
}

/// Reads the rest of the rotated file that holds the position and all that was rotated later; `false` when none holds it.
fn read_rotated(log: &[u8], found: &[Found], known: &Position, heap: &mut Vec<u8>) -> io::Result<bool> {
    let own = |found: &&Found| !is_planted(&found.directory, &found.seen);
    let by_inode = |one: &&Found| one.seen.inode == known.offset.inode && own(one) && holds(one, known);
    let by_evidence = |one: &&Found| own(one) && holds(one, known);
    let Some(holder) = found.iter().find(by_inode).or_else(|| found.iter().find(by_evidence)) else {
        return Ok(false);
    };
    read_one(holder, known.offset.offset, heap)?;
    let later = found.iter().skip_while(|one| !one.id().is(&holder.id())).skip(1);
    for one in later.filter(own).filter(|one| one.packing != Packing::Foreign && is_plainly_rotated(log, &one.name)) {
        // One that holds the position too is a copy of the same.
        let is_copy = !known.evidence.is_empty() && holds(one, known);
        if !is_copy {
            read_one(one, 0, heap)?;
        }
    }
    Ok(true)
}

fn read_one(found: &Found, from: u64, heap: &mut Vec<u8>) -> io::Result<()> {
    let begun = heap.len();
    let is_gzip = found.packing == Packing::Gzip;
    let mut stream = Stream::new(found.handle.open_file()?, is_gzip)?;
    append(&mut stream, from, if is_gzip { MOST_UNPACKED } else { u64::MAX }, heap)?;
    end_line(heap, begun);
    Ok(())
}

/// Appends everything from `from` on; gives where it ended.
fn append(stream: &mut Stream, from: u64, end: u64, heap: &mut Vec<u8>) -> io::Result<u64> {
    let mut at = from;
    loop {
        let bytes = stream.fill(at, end)?;
        if bytes.is_empty() {
            return Ok(at);
        }
        stream.consume(bytes.len());
        heap.extend_from_slice(&bytes);
        at = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

/// Half a line at the end of a file is a line.
fn end_line(heap: &mut Vec<u8>, begun: usize) {
    if heap.len() > begun && heap.last() != Some(&b'\n') {
        heap.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _};

    use super::*;

    struct Log {
        directory: tempfile::TempDir,
        position: Option<Position>,
    }

    impl Log {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), position: None }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, text: &str) {
            let mut file = File::options().create(true).append(true).open(self.path("log")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn run(&mut self) -> String {
            let mut heap = Vec::new();
            let taken = take(&self.path("log"), self.position.as_ref(), &mut heap, Timestamp::default(), &mut || ());
            let taken = taken.unwrap();
            self.position = Some(taken.position);
            let notes = taken.notes.join("; ");
            let text = String::from_utf8(heap).unwrap().replace(&self.path("log").display().to_string(), "LOG");
            if notes.is_empty() { text } else { format!("{text}[{notes}]") }
        }

        /// What remains when real logcheck has run.
        fn forget_evidence(&mut self) {
            self.position.as_mut().unwrap().evidence.clear();
        }
    }

    #[test]
    fn each_line_is_taken_once() {
        let mut log = Log::new();
        log.write("one\ntwo\n");
        assert_eq!(log.run(), "one\ntwo\n");
        assert_eq!(log.run(), "");
        log.write("three");
        assert_eq!(log.run(), "three\n");
        log.forget_evidence();
        log.write("four\n");
        assert_eq!(log.run(), "four\n");
        let found = fs::metadata(log.path("log")).unwrap();
        let position = log.position.unwrap();
        assert_eq!((position.offset.inode, position.offset.offset), (found.ino(), 18));
    }

    #[test]
    fn the_end_of_half_a_line_is_waited_for() {
        let log = Log::new();
        log.write("one\nha");
        let mut heap = Vec::new();
        let now = Timestamp::from_nanos(0);
        let taken = take(&log.path("log"), None, &mut heap, now, &mut || {
            if fs::metadata(log.path("log")).unwrap().len() < 10 {
                log.write("lf\n");
            }
        });
        assert_eq!((heap.as_slice(), taken.unwrap().position.offset.offset), (b"one\nhalf\n".as_slice(), 9));
    }

    #[test]
    fn what_was_rotated_is_read_to_its_end() {
        for knows in [true, false] {
            let mut log = Log::new();
            log.write("one\n");
            log.run();
            log.write("two\n");
            fs::rename(log.path("log"), log.path("log.1")).unwrap();
            log.write("three\n");
            if !knows {
                log.forget_evidence();
            }
            assert_eq!(log.run(), "two\nthree\n");
        }
    }

    #[test]
    fn several_rotations_and_packed_ones_lose_nothing() {
        let mut log = Log::new();
        log.write("one\n");
        log.run();
        log.write("two\n");
        let file = File::create(log.path("log.2.gz")).unwrap();
        let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        packer.write_all(b"one\ntwo\n").unwrap();
        packer.finish().unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(100);
        File::options().append(true).open(log.path("log.2.gz")).unwrap().set_modified(old).unwrap();
        fs::write(log.path("other"), "").unwrap();
        fs::remove_file(log.path("log")).unwrap();
        fs::write(log.path("log.1"), "three\n").unwrap();
        log.write("four\n");
        assert_eq!(log.run(), "two\nthree\nfour\n");
    }

    #[test]
    fn a_copy_and_truncation_is_a_rotation_and_a_smaller_log_a_warning() {
        let mut log = Log::new();
        log.write("one\n");
        log.run();
        log.write("two\n");
        fs::copy(log.path("log"), log.path("log.1")).unwrap();
        File::options().write(true).open(log.path("log")).unwrap().set_len(0).unwrap();
        log.write("three is longer\n");
        assert_eq!(log.run(), "two\nthree is longer\n");
        File::options().write(true).open(log.path("log")).unwrap().set_len(0).unwrap();
        log.write("four\n");
        let warning = "***************\n*** WARNING ***: Log file LOG is smaller than last time checked!\n*************** This could indicate tampering.\n";
        assert_eq!(log.run(), format!("{warning}four\n"));
    }

    #[test]
    fn other_lines_in_the_same_place_are_told() {
        let mut log = Log::new();
        log.write("one\n");
        log.run();
        File::options().write(true).open(log.path("log")).unwrap().set_len(0).unwrap();
        log.write("another\n");
        assert_eq!(log.run(), "another\n[other lines stand where it was read to, so it is read from its beginning]");
        fs::write(log.path("new"), "new\n").unwrap();
        fs::rename(log.path("new"), log.path("log")).unwrap();
        assert_eq!(log.run(), "new\n[the file that was read last is gone, with what it may have got since then]");
    }

    #[test]
    fn what_is_no_file_is_refused_and_blocks_nobody() {
        let log = Log::new();
        let mut heap = b"x".to_vec();
        for name in ["none", "."] {
            assert!(take(&log.path(name), None, &mut heap, Timestamp::default(), &mut || ()).is_err());
        }
        rustix::fs::mknodat(rustix::fs::CWD, log.path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(take(&log.path("pipe"), None, &mut heap, Timestamp::default(), &mut || ()).is_err());
        assert_eq!(heap, b"x");
    }
}
