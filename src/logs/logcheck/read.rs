//! The new bytes of a log since a position, wherever rotation has put them.
//!
//! Where the position stands by its evidence, or by the inode alone when logcheck wrote it, reading goes on there. Else the file is
//! looked for among the rotated ones, also packed ones; what was rotated after it is read whole, then the log from its beginning.
//!
//! Whatever a log holds, a run takes bounded memory: holes are no lines, long lines are cut, and what is too much for one run is left
//! to the next one, which goes on where this one ended.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    logs::logcheck::state::LogcheckPosition,
    model::{clock::Timestamp, log::position::ReadRefusal},
    tail::{
        live_file::{Live, LiveSight, look},
        logtail_offset::Offset,
        rotated_files::{Compression, FoundRotated, is_plainly_rotated, is_planted, list},
        stream::{LogStream, joined, marker_before},
    },
};

/// A log whose last line has no newline and that was written to within this time is waited for.
const FRESH: Duration = Duration::from_secs(2);

/// How often it is waited for.
const PATIENCE: u32 = 10;

/// The least that is unpacked of one rotated file, in bytes.
const LEAST_UNPACKED: u64 = 64 << 20;

/// A line is cut at this many bytes.
const LONGEST: usize = 64 << 10;

/// As much memory as the lines of a run may take together, in bytes.
pub const MOST: usize = 256 << 20;

/// What a line takes besides its bytes.
const PER_LINE: usize = 32;

/// What is said of holes.
const HOLE: &str = "a hole in it was passed over";

/// What is said of long lines.
const LONG: &str = "a line of more than 64 KiB was cut";

/// What is said of packed files that are too large.
const CUT: &str = "a packed file of it unpacks to far more than the log has ever had, its rest is not read";

/// What is said when this run has no more room.
const LEFT: &str = "this run has taken as much as it can hold; the rest is left to the next run";

/// How a log ended that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadResult {
    /// How far it is read now.
    pub position: LogcheckPosition,
    /// What an administrator should know.
    pub notes: Vec<&'static str>,
}

/// Why a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// What lies there is not read.
    #[error("{}: {}", .1.display(), words(*.0))]
    Refused(ReadRefusal, PathBuf),
    /// Reading failed.
    #[error("{}: reading", .1.display())]
    Io(#[source] io::Error, PathBuf),
}

fn words(refusal: ReadRefusal) -> String {
    match refusal {
        ReadRefusal::Missing => "does not exist".to_owned(),
        ReadRefusal::Unreadable(errno) => io::Error::from_raw_os_error(errno).to_string(),
        ReadRefusal::Kind(_) => "is no regular file".to_owned(),
        ReadRefusal::Link(owner) => format!("a link of user {owner} on the way leads to what is not his"),
        ReadRefusal::HardLink => "is another user's file, linked into a directory that others can write".to_owned(),
    }
}

/// Appends the new lines of `log` to `heap`, each with a newline, as long as not more than [`MOST`] bytes are `spent`. `pause` waits a tenth of a second for the end of half a line.
///
/// # Errors
/// [`TakeError`] when it cannot be read; then `heap` is as it was.
pub fn take(
    log: &Path,
    known: Option<&LogcheckPosition>,
    heap: &mut Vec<u8>,
    spent: &mut usize,
    now: Timestamp,
    pause: &mut dyn FnMut(),
) -> Result<ReadResult, TakeError> {
    let path = std::path::absolute(log).map_err(|error| TakeError::Io(error, log.to_owned()))?;
    let sight = look(&path);
    let (begun, spent_before) = (heap.len(), *spent);
    match sight.live {
        Ok(Live { .. }) => {}
        Err(refusal) => return Err(TakeError::Refused(refusal, log.to_owned())),
    }
    let mut intake = LineBuffer { heap, spent, line: 0, is_left: false, notes: Vec::new() };
    let taken = read_on(log, sight, known, &mut intake, now, pause);
    let notes = intake.notes;
    taken.map(|position| ReadResult { position, notes }).map_err(|error| {
        heap.truncate(begun);
        *spent = spent_before;
        TakeError::Io(error, log.to_owned())
    })
}

fn read_on(
    log: &Path,
    sight: LiveSight,
    known: Option<&LogcheckPosition>,
    intake: &mut LineBuffer<'_>,
    now: Timestamp,
    pause: &mut dyn FnMut(),
) -> io::Result<LogcheckPosition> {
    let LiveSight { live, places, .. } = sight;
    let Ok(live) = live else { return Err(io::ErrorKind::NotFound.into()) };
    let mut from = 0;
    let mut rotated = None;
    if let Some(known) = known {
        let is_same = known.offset.inode == live.seen.inode;
        if is_same && stands(&live.file, live.seen.size, known)? {
            from = known.offset.offset;
        } else {
            let name = places.first().map(|place| place.name.clone()).unwrap_or_default();
            let listed = list(&places, &[], Some(live.id()), &BTreeSet::new());
            let limit = known.offset.offset.max(live.seen.size).saturating_mul(4).max(LEAST_UNPACKED);
            rotated = read_rotated(&name, &listed.found, known, limit, intake)?;
            if rotated.is_none() {
                let note = lost(log, known, &live, is_same, intake.heap);
                intake.notes.extend(note);
            }
        }
    }
    // Where there was no room left, the next run has to find the same rotated file again.
    if let Some(position) = rotated.take_if(|_| intake.is_left) {
        return Ok(position);
    }
    let mut stream = LogStream::Plain(live.file);
    let (mut at, _) = intake.append(&mut stream, from, u64::MAX)?;
    let is_fresh = live.seen.mtime.after(FRESH) > now;
    for _ in 0..PATIENCE {
        if !is_fresh || intake.line == 0 {
            break;
        }
        pause();
        (at, _) = intake.append(&mut stream, at, u64::MAX)?;
    }
    intake.end_half_line();
    if let Some(position) = rotated.filter(|_| at == 0) {
        return Ok(position);
    }
    let LogStream::Plain(file) = stream else { return Err(io::ErrorKind::InvalidInput.into()) };
    let evidence = marker_before(&file, at)?;
    Ok(LogcheckPosition { offset: Offset { inode: live.seen.inode, offset: at }, evidence })
}

/// What is said when the position is nowhere; `logtail2(8)` has its warning among the lines.
fn lost(log: &Path, known: &LogcheckPosition, live: &Live, is_same: bool, heap: &mut Vec<u8>) -> Option<&'static str> {
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
fn stands(file: &File, size: u64, known: &LogcheckPosition) -> io::Result<bool> {
    let offset = known.offset.offset;
    Ok(size >= offset && marker_before(file, offset)?.ends_with(&known.evidence))
}

/// Whether a rotated file holds the position: by its inode, or by the evidence alone.
fn holds(found: &FoundRotated, known: &LogcheckPosition, limit: u64) -> bool {
    let Ok(file) = found.handle.open_file() else { return false };
    let is_known = !known.evidence.is_empty();
    match found.packing {
        Compression::Plain if is_known || found.seen.inode == known.offset.inode => {
            stands(&file, found.seen.size, known).unwrap_or(false)
        }
        Compression::Gzip if is_known => {
            let sketch = LogStream::new(file, true)
                .and_then(|mut stream| stream.sketch(found.seen.size, &[known.offset.offset], limit));
            let markers = sketch.map(|sketch| sketch.markers).unwrap_or_default();
            markers.into_iter().flatten().any(|marker| marker.ends_with(&known.evidence))
        }
        _ => false,
    }
}

/// Reads the rest of the rotated file that holds the position and all that was rotated later; gives how far, `None` when none holds it.
fn read_rotated(
    log: &[u8],
    found: &[FoundRotated],
    known: &LogcheckPosition,
    limit: u64,
    intake: &mut LineBuffer<'_>,
) -> io::Result<Option<LogcheckPosition>> {
    let own = |found: &&FoundRotated| !is_planted(&found.directory, &found.seen);
    let by_inode = |one: &&FoundRotated| one.seen.inode == known.offset.inode && own(one) && holds(one, known, limit);
    let by_evidence = |one: &&FoundRotated| own(one) && holds(one, known, limit);
    let Some(holder) = found.iter().find(by_inode).or_else(|| found.iter().find(by_evidence)) else {
        return Ok(None);
    };
    let mut reached = known.clone();
    read_one(holder, known.offset.offset, limit, intake, &mut reached)?;
    let later = found.iter().skip_while(|one| !one.id().is(&holder.id())).skip(1);
    for one in later.filter(own).filter(|one| one.packing != Compression::Foreign && is_plainly_rotated(log, &one.name))
    {
        if intake.is_left {
            break;
        }
        // One that holds the position too is a copy of the same.
        let is_copy = !known.evidence.is_empty() && holds(one, known, limit);
        if !is_copy {
            read_one(one, 0, limit, intake, &mut reached)?;
        }
    }
    Ok(Some(reached))
}

fn read_one(
    found: &FoundRotated,
    from: u64,
    limit: u64,
    intake: &mut LineBuffer<'_>,
    reached: &mut LogcheckPosition,
) -> io::Result<()> {
    let is_gzip = found.packing == Compression::Gzip;
    let mut stream = LogStream::new(found.handle.open_file()?, is_gzip)?;
    let (at, tail) = intake.append(&mut stream, from, if is_gzip { limit } else { u64::MAX })?;
    intake.end_half_line();
    if at > from {
        let evidence = match &stream {
            LogStream::Plain(file) => marker_before(file, at)?,
            LogStream::Gzip(_) => tail,
        };
        *reached = LogcheckPosition { offset: Offset { inode: found.seen.inode, offset: at }, evidence };
    }
    Ok(())
}

/// Where the lines of a log go.
struct LineBuffer<'a> {
    heap: &'a mut Vec<u8>,
    /// The memory that all lines of the run take.
    spent: &'a mut usize,
    /// How much of half a line stands at the end of the heap.
    line: usize,
    /// Whether something had no room.
    is_left: bool,
    notes: Vec<&'static str>,
}

impl LineBuffer<'_> {
    /// Appends everything from `from` on up to the end or until there is no room; gives where that is, and the last bytes before it.
    fn append(&mut self, stream: &mut LogStream, from: u64, end: u64) -> io::Result<(u64, Vec<u8>)> {
        let (mut at, mut tail, mut is_after_hole) = (from, Vec::new(), false);
        loop {
            let hole = hole(stream, at)?;
            if hole > 0 {
                self.note(HOLE);
                self.drop_zeros();
                (at, is_after_hole) = (at.saturating_add(hole), true);
            }
            let bytes = stream.fill(at, end)?;
            if bytes.is_empty() && at >= end {
                self.note(CUT);
            }
            if bytes.is_empty() {
                return Ok((at, tail));
            }
            if self.is_full() {
                self.note(LEFT);
                self.is_left = true;
                return Ok((at, tail));
            }
            // Zeros around a hole, in blocks that have some text, belong to it.
            let zeros = if is_after_hole { bytes.iter().take_while(|byte| **byte == 0).count() } else { 0 };
            is_after_hole &= zeros == bytes.len();
            let used = zeros + self.keep(bytes.get(zeros..).unwrap_or_default());
            stream.consume(used);
            tail = joined(&tail, bytes.get(..used).unwrap_or(&bytes));
            at = at.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        }
    }

    /// Appends `bytes` until there is no room for a further line; gives how many were used.
    fn keep(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_full() {
                break;
            }
            used += piece.len();
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let kept = text.get(..LONGEST.saturating_sub(self.line)).unwrap_or(text);
            if kept.len() < text.len() {
                self.note(LONG);
            }
            self.heap.extend_from_slice(kept);
            self.line += kept.len();
            *self.spent = self.spent.saturating_add(kept.len());
            if text.len() < piece.len() {
                self.end_line();
            }
        }
        used
    }

    fn end_line(&mut self) {
        self.heap.push(b'\n');
        *self.spent = self.spent.saturating_add(1 + PER_LINE);
        self.line = 0;
    }

    /// Half a line at the end of a file is a line.
    fn end_half_line(&mut self) {
        if self.line > 0 {
            self.end_line();
        }
    }

    /// A line that has begun is always taken to its end, so that none is parted between two runs.
    fn is_full(&self) -> bool {
        self.line == 0 && *self.spent >= MOST
    }

    fn drop_zeros(&mut self) {
        while self.line > 0 && self.heap.pop_if(|byte| *byte == 0).is_some() {
            self.line -= 1;
            *self.spent = self.spent.saturating_sub(1);
        }
    }

    fn note(&mut self, words: &'static str) {
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }
}

/// How long the hole at `at` is; 0 when there is none.
fn hole(stream: &LogStream, at: u64) -> io::Result<u64> {
    let LogStream::Plain(file) = stream else { return Ok(0) };
    let size = file.metadata()?.len();
    Ok(if at < size { stream.hole(at, size) } else { 0 })
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _};

    use super::*;

    struct Log {
        directory: tempfile::TempDir,
        position: Option<LogcheckPosition>,
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
            self.run_with(MOST)
        }

        /// With so much room left.
        fn run_with(&mut self, room: usize) -> String {
            let (mut heap, mut spent) = (Vec::new(), MOST - room);
            let known = self.position.as_ref();
            let taken = take(&self.path("log"), known, &mut heap, &mut spent, Timestamp::default(), &mut || ());
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
        let taken = take(&log.path("log"), None, &mut heap, &mut 0, now, &mut || {
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
            assert!(take(&log.path(name), None, &mut heap, &mut 0, Timestamp::default(), &mut || ()).is_err());
        }
        rustix::fs::mknodat(rustix::fs::CWD, log.path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        assert!(take(&log.path("pipe"), None, &mut heap, &mut 0, Timestamp::default(), &mut || ()).is_err());
        assert_eq!(heap, b"x");
    }

    fn packed(log: &Log, name: &str, pieces: &mut dyn Iterator<Item = Vec<u8>>) {
        let mut packer =
            flate2::write::GzEncoder::new(File::create(log.path(name)).unwrap(), flate2::Compression::fast());
        pieces.for_each(|piece| packer.write_all(&piece).unwrap());
        packer.finish().unwrap();
    }

    #[test]
    fn a_hole_is_no_line_and_takes_no_memory() {
        let mut log = Log::new();
        log.write("one\n");
        assert_eq!(log.run(), "one\n");
        File::options().write(true).open(log.path("log")).unwrap().set_len(20 << 30).unwrap();
        assert_eq!(log.run(), format!("[{HOLE}]"));
        log.write("two\n");
        assert_eq!(log.run(), "two\n");
        let mut log = Log::new();
        log.write("");
        File::options().write(true).open(log.path("log")).unwrap().set_len((20 << 30) + 5).unwrap();
        log.write("three\n");
        assert_eq!(log.run(), format!("three\n[{HOLE}]"));
        assert_eq!(log.run(), "");
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_is_no_line() {
        let mut log = Log::new();
        log.write(&format!("{}\ntwo\n", "a".repeat(300_000)));
        assert_eq!(log.run(), format!("{}\ntwo\n[{LONG}]", "a".repeat(LONGEST)));
        log.write(&format!("{}\n", "b".repeat(LONGEST)));
        assert_eq!(log.run(), format!("{}\n", "b".repeat(LONGEST)));
    }

    #[test]
    fn what_is_too_much_for_a_run_is_left_to_the_next_one_wherever_it_lies() {
        let mut log = Log::new();
        log.write("0123\n");
        assert_eq!(log.run_with(0), format!("[{LEFT}]"));
        assert_eq!(log.run_with(10), "0123\n");
        log.write("half");
        log.write("2 or\n3\n4\n");
        fs::rename(log.path("log"), log.path("log.1")).unwrap();
        packed(&log, "log.0.gz", &mut [b"5\n6\n7\n".to_vec()].into_iter());
        log.write("8\n9\n");
        let mut found = Vec::new();
        for _ in 0..20 {
            let text = log.run_with(1);
            found.push(text.replace(&format!("[{LEFT}]"), ""));
            if !text.contains(LEFT) {
                break;
            }
        }
        assert_eq!(found, ["half2 or\n", "3\n", "4\n", "5\n", "6\n", "7\n", "8\n", "9\n"]);
        assert_eq!(log.run(), "");
    }

    #[test]
    fn a_packed_file_that_unpacks_to_endless_lines_ends() {
        let mut log = Log::new();
        log.write("one\n");
        log.run();
        fs::rename(log.path("log"), log.path("log.2")).unwrap();
        let mut pieces = (0..65).map(|_| vec![b'a'; 1 << 20]);
        packed(&log, "log.1.gz", &mut pieces);
        log.write("two\n");
        assert_eq!(log.run(), format!("{}\ntwo\n[{LONG}; {CUT}]", "a".repeat(LONGEST)));
        assert_eq!(log.run(), "");
    }
}
