//! The events of a report for machines: `events.ndjson`, compressed, in the words of `docs/events.schema.json`.
//!
//! Bounded whatever was found: beyond the bound the first events are kept, and the report says how many are not.

use std::{io::Write as _, ops::ControlFlow};

use flate2::{Compression, write::GzEncoder};

use crate::{
    export::ecs::{Host, to_line},
    model::event::StoredEvent,
    store::{
        events::{append::Range, history::HistoryOrder},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Most bytes, compressed.
const MOST: usize = 1 << 20;

/// Bytes that are written between two looks at how far they were compressed.
const BLOCK: usize = 64 << 10;

/// A stored block that does not compress has so much more bytes (RFC 1951, 3.2.4: 5 bytes for each 65,535), and the trailer of RFC 1952.
const OVERHEAD: usize = 1 << 10;

/// Compressed events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment {
    /// The bytes of `events.ndjson.gz`.
    pub bytes: Vec<u8>,
    /// The events in it.
    pub events: u64,
}

/// Takes events until the bound is met.
struct AttachmentPacking {
    encoder: GzEncoder<Vec<u8>>,
    /// Bytes given to the encoder since it was flushed.
    pending: usize,
    events: u64,
    most: usize,
}

impl AttachmentPacking {
    fn new(most: usize) -> Self {
        // No name and no time: the same events are the same bytes.
        Self { encoder: GzEncoder::new(Vec::new(), Compression::default()), pending: 0, events: 0, most }
    }

    fn take(&mut self, stored: &StoredEvent, host: &Host) -> ControlFlow<()> {
        let line = to_line(stored, host);
        if self.pending >= BLOCK || !self.has_room(line.len()) {
            // Writing to memory does not fail; if it did, there would be no room.
            if self.encoder.flush().is_err() {
                return ControlFlow::Break(());
            }
            self.pending = 0;
        }
        if !self.has_room(line.len()) || writeln!(self.encoder, "{line}").is_err() {
            return ControlFlow::Break(());
        }
        self.pending += line.len() + 1;
        self.events += 1;
        ControlFlow::Continue(())
    }

    /// Whether a line of so many bytes fits, even if nothing of it can be compressed.
    fn has_room(&self, line: usize) -> bool {
        self.encoder.get_ref().len() + self.pending + line + OVERHEAD <= self.most
    }

    fn done(self) -> Option<Attachment> {
        let bytes = self.encoder.finish().ok().filter(|_| self.events > 0)?;
        Some(Attachment { bytes, events: self.events })
    }
}

/// The events of `range`, the first of them when not all fit; `None` when not even one does.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or an event not be decoded.
pub(crate) fn attachment(store: &Store, range: &Range, host: &Host) -> Result<Option<Attachment>, StoreError> {
    let mut packing = AttachmentPacking::new(MOST);
    store.each_in(range, None, HistoryOrder::OldestFirst, |stored| packing.take(stored, host))?;
    Ok(packing.done())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use serde_json::Value;

    use super::*;
    use crate::{
        model::event::Category,
        report::render::test_events::{added, line},
    };

    fn packed(events: &[StoredEvent], most: usize) -> (Attachment, Vec<Value>) {
        let host = Host { name: "web3".to_owned(), id: String::new() };
        let mut packing = AttachmentPacking::new(most);
        let _is_full = events.iter().try_for_each(|stored| packing.take(stored, &host));
        let attachment = packing.done().unwrap();
        let mut text = String::new();
        GzDecoder::new(&*attachment.bytes).read_to_string(&mut text).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (attachment, lines)
    }

    #[test]
    fn every_event_is_a_line_and_the_same_events_are_the_same_bytes() {
        let events: Vec<StoredEvent> = (1..=500).map(|seq| added(seq, format!("/etc/{seq}").as_bytes())).collect();
        let (attachment, lines) = packed(&events, MOST);
        assert_eq!((attachment.events, lines.len()), (500, 500));
        assert_eq!((&lines[0]["file"]["path"], &lines[499]["event"]["sequence"]), (&"/etc/1".into(), &500.into()));
        assert_eq!(packed(&events, MOST).0, attachment);
    }

    #[test]
    fn what_cannot_be_compressed_is_bounded_and_the_first_are_kept() {
        let mut state = 7_u32;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b' ' + u8::try_from(state >> 24).unwrap() % 94
            };
            (0..length).map(next).collect()
        };
        let events: Vec<StoredEvent> =
            (1..=60).map(|seq| line(seq, Category::SystemEvent, b"/var/log/x", &noise(40_000))).collect();
        let (attachment, lines) = packed(&events, 300_000);
        assert!(
            attachment.bytes.len() <= 300_000 && attachment.events >= 3,
            "{} {}",
            attachment.bytes.len(),
            attachment.events
        );
        assert_eq!(u64::try_from(lines.len()).unwrap(), attachment.events);
        assert!(attachment.events < 60 && lines[0]["event"]["sequence"] == 1);
    }
}
