//! The content of a file in a full-speed pass: read at once, and verified by what the baseline has of it.

use crate::{
    content::reader::unread_for,
    files::{
        area::watched_areas::WatchedArea,
        compare::{
            big_file::unread,
            comparison::without_content,
            finding::{Sighting, wanted_digests},
        },
        remote::lookup::{AccessError, FileHandle, LookupContent, LookupReader},
        scan::batch::ScanBatch,
    },
    model::file::entry::{Attributes, Digests, Entry, HashState, Observation},
};

/// Most zeros of holes that are hashed of one file: a minute of work at most.
const MOST_HOLES: u64 = 64 << 30;

/// What a reading is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::files) struct Purpose<'a> {
    pub(in crate::files) watched: &'a WatchedArea,
    /// Whether what is found is stored.
    pub(super) is_stored: bool,
    /// What the baseline has of the file.
    pub(in crate::files) known: Option<&'a Entry>,
}

impl Purpose<'_> {
    /// Reads the content where it is wanted. `buffer` is used again.
    pub(in crate::files) fn read(
        self,
        object: FileHandle,
        seen: &mut Attributes,
        buffer: &mut Vec<u8>,
        batch: &mut ScanBatch,
    ) -> Read {
        let known = self.known;
        let whole = |evidence| Read::Seen(Box::new(Sighting::Whole(evidence)));
        let Some(wanted) = wanted_digests(self.watched, known, seen, self.is_stored) else {
            object.complete(seen);
            let attributes = seen.clone();
            return whole(Observation { attributes, hash_state: HashState::Off, digests: Digests::default() }.into());
        };
        let failed = |seen: &Attributes, trouble| match trouble {
            AccessError::Errno(errno) => whole(without_content(seen, known, unread_for(errno)).into()),
            AccessError::Silent => {
                self.watched.note_silence();
                Read::Silent
            }
        };
        let mut reading = match LookupReader::begin(object, seen, wanted, std::mem::take(buffer)) {
            Ok(reading) => reading,
            Err(trouble) => return failed(seen, trouble),
        };
        loop {
            if reading.holes() > MOST_HOLES {
                *buffer = reading.finish(None).1;
                let seen = unread(seen, known, self.watched.settings.algorithms);
                return Read::Seen(Box::new(Sighting::Metadata(seen)));
            }
            match reading.advance(u64::MAX) {
                Ok((_, true)) => break,
                Ok((_, false)) => {}
                Err(trouble) => return failed(seen, trouble),
            }
        }
        batch.bytes = batch.bytes.saturating_add(reading.read());
        let (content, used) = reading.finish(known.map(|entry| &entry.known));
        *buffer = used;
        match content {
            LookupContent::Stable(evidence) => whole(*evidence),
            LookupContent::Torn => Read::Torn,
            LookupContent::Failed(trouble) => failed(seen, trouble),
        }
    }
}

/// What reading a file has given.
#[derive(Debug)]
pub(in crate::files) enum Read {
    /// This was seen; of a file whose content would take too long, which the daemon reads beside its walk, the metadata.
    Seen(Box<Sighting>),
    /// It changed meanwhile.
    Torn,
    /// There is no answer for now.
    Silent,
}
