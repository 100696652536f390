//! The content of a file in a full-speed pass: read at once, and verified by what the baseline has of it.

use crate::{
    content::{
        hasher::{Evidence, WantedDigests},
        reader::unread_for,
    },
    files::{
        area::watched_areas::WatchedArea,
        compare::{big_file::unread, verdict::without_content},
        remote::lookup::{AccessError, FileHandle, LookupContent, LookupReader},
        scan::batch::ScanBatch,
    },
    model::file::entry::{Attributes, Digests, Entry, FileKind, HashState, Observation},
};

/// Most zeros of holes that are hashed of one file: a minute of work at most.
const MOST_HOLES: u64 = 64 << 30;

/// What a reading is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::files) struct Purpose<'a> {
    pub(in crate::files) tract: &'a WatchedArea,
    /// Whether what is found is stored.
    pub(super) is_stored: bool,
    /// What the baseline has of the file.
    pub(in crate::files) known: Option<&'a Entry>,
}

impl Purpose<'_> {
    /// Reads the content where it is wanted. `buffer` is used again.
    pub(in crate::files) fn read(
        self,
        object: &FileHandle,
        seen: &mut Attributes,
        buffer: &mut Vec<u8>,
        harvest: &mut ScanBatch,
    ) -> Read {
        let known = self.known;
        let wanted = self.tract.settings.algorithms;
        if seen.kind != FileKind::Regular || wanted.is_empty() {
            object.complete(seen);
            let attributes = seen.clone();
            let whole = Observation { attributes, hash_state: HashState::Off, digests: Digests::default() };
            return Read::Whole(Box::new(whole.into()));
        }
        let failed = |seen: &Attributes, trouble| match trouble {
            AccessError::Errno(errno) => Read::Whole(Box::new(without_content(seen, known, unread_for(errno)).into())),
            AccessError::Silent => {
                self.tract.note_silence();
                Read::Silent
            }
        };
        // What is stored is verified; other digests take its place only when something is stored.
        let stored = known.map(|entry| entry.known.digests.algorithms()).filter(|stored| !stored.is_empty());
        let algorithms = match (stored, self.is_stored) {
            (Some(stored), false) => stored,
            (Some(stored), true) => stored.union(wanted),
            (None, _) => wanted,
        };
        let asked = WantedDigests::from(algorithms).of_growing(known, seen);
        let mut reading = match LookupReader::begin(object, seen, asked, std::mem::take(buffer)) {
            Ok(reading) => reading,
            Err(trouble) => return failed(seen, trouble),
        };
        loop {
            if reading.holes() > MOST_HOLES {
                *buffer = reading.finish().1;
                return Read::Left(Box::new(unread(seen, known, wanted)));
            }
            match reading.advance(u64::MAX) {
                Ok((_, true)) => break,
                Ok((_, false)) => {}
                Err(trouble) => return failed(seen, trouble),
            }
        }
        harvest.bytes = harvest.bytes.saturating_add(reading.read());
        let (content, used) = reading.finish();
        *buffer = used;
        match content {
            LookupContent::Stable(whole) => Read::Whole(whole),
            LookupContent::Torn => Read::Torn,
            LookupContent::Failed(trouble) => failed(seen, trouble),
        }
    }
}

/// What reading a file has given.
#[derive(Debug)]
pub(in crate::files) enum Read {
    /// All of it was seen.
    Whole(Box<Evidence>),
    /// It would take too long: the daemon reads it beside its walk.
    Left(Box<Observation>),
    /// It changed meanwhile.
    Torn,
    /// There is no answer for now.
    Silent,
}
