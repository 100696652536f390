//! One poll in the making: what was read so far, what it may still read, and what is kept in memory between two polls.
//!
//! Whatever is kept only saves work. It is bound to an anchor: when the caller comes back with an older state, because the new one
//! could not be stored, it is dropped and the same lines are read again.

use std::{collections::BTreeSet, io, path::PathBuf, time::Duration};

use crate::{
    model::{
        clock::Timestamp,
        log::position::{Anchor, FileId, LogState, ReadRefusal},
    },
    tail::{
        splitter::{LineSplitter, LogRecord},
        stream::{LogStream, marker_before},
    },
};

/// Bytes read in one poll: what one transaction may hold.
const MOST_BYTES: u64 = 1024 * 1024;

/// Lines read in one poll.
const MOST_RECORDS: usize = 5000;

/// How long half a line at the end of a rotated file waits for a writer that still has it open.
const PATIENCE: Duration = Duration::from_secs(1);

/// A file that is renamed while its directory is listed may be missing from the list (`readdir(3)`); one that was missing for so long is
/// gone.
const GONE: Duration = Duration::from_secs(5);

/// A hole smaller than this is read like any zeros, in bytes: file systems have holes in blocks.
const SMALLEST_HOLE: u64 = 4096;

/// Something other than a line that a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailEvent {
    /// The log is read for the first time, from this offset of so many bytes.
    Began {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        size: u64,
    },
    /// The log goes on in the rotated file of this name.
    Rotated(Vec<u8>),
    /// Another file has its name now; the rest of the one before was read although it was gone.
    Replaced,
    /// It became shorter and no rotated file has what it said: possible tampering.
    Shrank {
        /// Up to here it had been read.
        offset: u64,
        /// How long it is now.
        size: u64,
    },
    /// The file that was read is gone, and so is whatever was written to it after the offset.
    ContinuityLost {
        /// Up to here it had been read.
        offset: u64,
        /// Bytes beyond the offset that are known to have been there.
        unread: u64,
    },
    /// Its name points to another file.
    Retargeted {
        /// Where it pointed; `None` when it was no link.
        old: Option<Vec<u8>>,
        /// Where it points.
        new: Option<Vec<u8>>,
    },
    /// It cannot be read, since then.
    Trouble(ReadRefusal, Timestamp),
    /// It can be read again after this trouble.
    Back(ReadRefusal, Timestamp),
    /// A rotated file is not read: another user's, or planted.
    SiblingRefused(Vec<u8>),
    /// A rotated file cannot be read, or not to its end.
    SiblingUnreadable(Vec<u8>, String),
    /// A rotated file unpacks to more than this many bytes; the rest is not read.
    SiblingTooLarge(Vec<u8>, u64),
    /// The directory of rotated files cannot be listed, for this `errno(3)`.
    Unlisted(i32),
    /// There are more rotated files than are looked at.
    TooManySiblings,
}

/// What a poll gives. The state may be stored only together with the events of the records, and nothing has moved before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a poll that is not stored will be repeated"]
pub struct Poll {
    /// The new lines, old to new.
    pub records: Vec<LogRecord>,
    /// What else happened.
    pub happenings: Vec<TailEvent>,
    /// The new state.
    pub state: LogState,
    /// Whether more can be read at once, without waiting for the next interval.
    pub has_more: bool,
    /// Bytes that are there and not yet read.
    pub lag: u64,
    /// Whether the log is gone for good and read to its end, so that nothing need be remembered of it.
    pub is_over: bool,
}

/// How long a file has had the same length.
#[derive(Debug)]
struct PollEnding {
    file: FileId,
    size: u64,
    since: Timestamp,
}

/// What was told, as it is remembered between two polls: the directory was unlisted or the siblings too many, troubles that have passed
/// and when each was told, where the name leads.
pub(super) type Told = (Vec<TailEvent>, Vec<(ReadRefusal, Timestamp)>, Option<Retarget>);

/// What is kept between two polls.
#[derive(Debug, Default)]
pub(super) struct Cache {
    readings: Vec<LineSplitter>,
    streams: Vec<(FileId, LogStream)>,
    /// The lengths of rotated files that end in half a line, and that of a file without a name.
    lengths: Vec<PollEnding>,
    /// Since when a rotated file was not found.
    absent: Vec<(FileId, Timestamp)>,
    /// The directory was told to be unlisted, the siblings to be too many.
    pub(super) told: Vec<TailEvent>,
    /// Troubles that have passed, and when each was told.
    pub(super) troubles: Vec<(ReadRefusal, Timestamp)>,
    /// Where the name was last told to lead.
    pub(super) retarget: Option<Retarget>,
}

impl Cache {
    /// What was told so far.
    pub(super) fn told(&self) -> Told {
        (self.told.clone(), self.troubles.clone(), self.retarget.clone())
    }

    /// Only that was told.
    pub(super) fn take_back(&mut self, told: Told) {
        (self.told, self.troubles, self.retarget) = told;
    }

    pub(super) fn take_stream(&mut self, id: FileId) -> Option<LogStream> {
        let index = self.streams.iter().position(|(known, _)| known.is(&id))?;
        Some(self.streams.swap_remove(index).1)
    }

    /// Closes the files of which this holds.
    pub(super) fn close(&mut self, is_unwanted: impl Fn(&FileId) -> bool) {
        self.streams.retain(|(id, _)| !is_unwanted(id));
    }

    pub(super) fn keep_stream(&mut self, id: FileId, stream: LogStream) {
        self.streams.push((id, stream));
    }

    /// Whether the file has had this length for [`PATIENCE`].
    pub(super) fn has_settled(&mut self, id: FileId, length: u64, now: Timestamp) -> bool {
        self.settled_for(id, length, now) >= PATIENCE
    }

    /// How long the file has had this length; notes it for the next poll. A clock that goes back begins the wait anew.
    pub(super) fn settled_for(&mut self, id: FileId, length: u64, now: Timestamp) -> Duration {
        let before =
            self.lengths.iter().position(|seen| seen.file.is(&id)).map(|index| self.lengths.swap_remove(index));
        let since = before.filter(|seen| seen.size == length && seen.since <= now).map_or(now, |seen| seen.since);
        self.lengths.push(PollEnding { file: id, size: length, since });
        now.since(since)
    }

    /// Whether the file was not found for [`GONE`], this poll included.
    pub(super) fn is_gone(&mut self, id: FileId, now: Timestamp) -> bool {
        let before =
            self.absent.iter().position(|(known, _)| known.is(&id)).map(|index| self.absent.swap_remove(index).1);
        let since = before.filter(|since| *since <= now).unwrap_or(now);
        self.absent.push((id, since));
        now.since(since) >= GONE
    }

    /// The file was found.
    pub(super) fn end_absence(&mut self, id: FileId) {
        self.absent.retain(|(known, _)| !known.is(&id));
    }

    /// Drops what belongs to none of these files.
    pub(super) fn retain(&mut self, wanted: impl Fn(&FileId) -> bool) {
        self.readings.retain(|reading| wanted(&reading.file()));
        self.streams.retain(|(id, _)| wanted(id));
        self.lengths.retain(|seen| wanted(&seen.file));
        self.absent.retain(|(id, _)| wanted(id));
    }

    fn resume(&mut self, anchor: &Anchor, stream: &LogStream) -> LineSplitter {
        let found = self.readings.iter().position(|reading| reading.file().is(&anchor.file));
        if let Some(reading) = found.map(|index| self.readings.swap_remove(index))
            && reading.anchor().offset == anchor.offset
            && reading.anchor().taken == anchor.taken
        {
            // The half line in memory must still be what the file says.
            let is_same = match stream {
                LogStream::Plain(file) => {
                    marker_before(file, reading.at()).is_ok_and(|recent| recent == reading.recent())
                }
                LogStream::Gzip(_) => true,
            };
            if is_same {
                return reading;
            }
        }
        LineSplitter::from(anchor.clone())
    }
}

/// A poll in the making.
#[derive(Debug)]
pub(super) struct PollState<'a> {
    pub(super) poll: Poll,
    pub(super) cache: &'a mut Cache,
    pub(super) now: Timestamp,
    /// Bytes that may still be unpacked only to see what a file is.
    pub(super) unpack: u64,
    left: u64,
}

impl<'a> PollState<'a> {
    pub(super) fn new(state: LogState, cache: &'a mut Cache, now: Timestamp) -> Self {
        let unpack = crate::tail::position::unpack_limit(&state);
        Self { poll: Poll { state, ..Poll::default() }, cache, now, unpack, left: MOST_BYTES }
    }

    pub(super) fn tell(&mut self, happening: TailEvent) {
        self.poll.happenings.push(happening);
    }

    /// Tells something that stands for as long as the daemon runs.
    pub(super) fn tell_once(&mut self, happening: TailEvent) {
        if !self.cache.told.contains(&happening) {
            self.cache.told.push(happening.clone());
            self.tell(happening);
        }
    }

    fn is_full(&self) -> bool {
        self.left == 0 || self.poll.records.len() >= MOST_RECORDS
    }

    /// Reads on from `anchor` up to `end`; gives how far it came and whether that is the end.
    pub(super) fn read(
        &mut self,
        stream: &mut LogStream,
        anchor: &Anchor,
        end: u64,
    ) -> io::Result<(LineSplitter, bool)> {
        let mut reading = self.cache.resume(anchor, stream);
        loop {
            if self.is_full() {
                self.poll.has_more |= reading.at() < end;
                return Ok((reading, false));
            }
            let at = reading.at();
            let bytes = stream.fill(at, end.min(at.saturating_add(self.left)))?;
            if bytes.is_empty() {
                return Ok((reading, true));
            }
            if bytes.first() == Some(&0) {
                let hole = stream.hole(at, end);
                if hole >= SMALLEST_HOLE {
                    reading.skip(hole);
                    continue;
                }
            }
            let used = reading.feed(&bytes, &mut self.poll.records, MOST_RECORDS);
            stream.consume(used);
            self.left = self.left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        }
    }

    /// Keeps a half line in memory.
    pub(super) fn keep(&mut self, reading: LineSplitter) {
        if reading.has_half_line() {
            self.cache.readings.push(reading);
        }
    }
}

/// What is configured for a log.
#[derive(Debug, Clone, Default)]
pub struct TailSettings {
    /// Its path.
    pub path: PathBuf,
    /// Where its rotated files go, when not only beside it.
    pub olddirs: Vec<PathBuf>,
    /// Names in its directory that are logs of their own, never rotated files of this one.
    pub others: BTreeSet<Vec<u8>>,
    /// After how long a standing trouble is told again.
    pub errornag: Duration,
    /// For how long it may be missing before that is told; a rotation makes a gap.
    pub grace: Duration,
    /// Whether it is over once it has been missing for long: a glob has found it, and nobody has named it.
    pub is_passing: bool,
    /// Whether its descriptor is closed after each poll, since so many others are open.
    pub lets_go: bool,
}

/// A link that was told to lead elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Retarget {
    pub(super) told: Timestamp,
    pub(super) old: Option<Vec<u8>>,
    pub(super) new: Option<Vec<u8>>,
}
