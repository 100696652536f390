//! Bytes into whole lines: half a line waits, an endless one is cut, a gap of zeros becomes one note.
//!
//! Pure: what was read goes in, records come out, and the place after the last whole line is what an anchor may remember. Nothing
//! but the first [`LONGEST`] bytes of a line is ever kept.

use crate::{
    model::log::position::{Anchor, FileId, HEAD, MARKER},
    tail::stream::joined,
};

/// How much of a line is kept, in bytes; the rest is counted.
pub const LONGEST: usize = 64 * 1024;

/// So many zero bytes at the beginning of a line are no text but a hole, as a writer leaves it that did not notice that its file was
/// truncated (it goes on at its old offset).
const GAP: u64 = 64;

/// What stands in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// A line without its newline and without one carriage return before it.
    Line {
        /// Its bytes, cut after [`LONGEST`].
        bytes: Vec<u8>,
        /// Its whole length in bytes; larger than that of `bytes` when it was cut.
        length: u64,
    },
    /// So many zero bytes in place of text.
    Gap(u64),
}

/// One stream being read.
#[derive(Debug, Clone)]
pub struct LineSplitter {
    /// After the last whole line.
    anchor: Anchor,
    /// Where the reading began, until something is taken.
    origin: Option<Anchor>,
    /// Up to here bytes were taken.
    at: u64,
    /// The first bytes of the stream, at most [`HEAD`].
    first: Vec<u8>,
    /// The last bytes taken, at most [`MARKER`].
    recent: Vec<u8>,
    line: Vec<u8>,
    length: u64,
    zeros: u64,
}

/// As logcheck's sed has it: `[[:space:]]` at the end goes.
pub fn without_trailing_space(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b' ' && !(b'\t'..=b'\r').contains(byte)).map_or(0, |at| at + 1);
    line.get(..end).unwrap_or_default()
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn clamp(bytes: u64, most: usize) -> usize {
    usize::try_from(bytes).map_or(most, |bytes| bytes.min(most))
}

impl LineSplitter {
    /// Goes on at `anchor`.
    pub fn from(anchor: Anchor) -> Self {
        // The bytes before `taken` say nothing about those before `offset` when half a line lies between.
        let recent = if anchor.taken == anchor.offset { anchor.marker.clone() } else { Vec::new() };
        let head = clamp(anchor.offset, anchor.head.len());
        let first = anchor.head.get(..head).unwrap_or(&anchor.head).to_vec();
        let boundary = Anchor { taken: anchor.offset, head: first.clone(), marker: recent.clone(), ..anchor };
        let origin = Some(Anchor { head: anchor.head, marker: anchor.marker, ..boundary.clone() });
        let origin = origin.map(|origin| Anchor { taken: anchor.taken, ..origin });
        Self { at: anchor.offset, first, recent, line: Vec::new(), length: 0, zeros: 0, anchor: boundary, origin }
    }

    /// The place after the last whole line, with what was seen behind it. Zeros at the end may be room for lines to come, and are no
    /// evidence.
    pub fn anchor(&self) -> Anchor {
        match &self.origin {
            Some(origin) => origin.clone(),
            None if self.length == 0 => self.anchor.clone(),
            None => {
                Anchor { taken: self.at, head: self.first.clone(), marker: self.recent.clone(), ..self.anchor.clone() }
            }
        }
    }

    /// The place after the last whole line, and nothing that was seen behind it.
    pub fn boundary(&self) -> Anchor {
        self.anchor.clone()
    }

    /// Which file is read.
    pub fn file(&self) -> FileId {
        self.anchor.file
    }

    /// Up to here bytes were taken.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The last bytes taken: what a file must still say before [`LineSplitter::at`] for the reading to go on.
    pub fn recent(&self) -> &[u8] {
        &self.recent
    }

    /// Whether half a line was taken.
    pub fn has_half_line(&self) -> bool {
        self.at > self.anchor.offset
    }

    /// Takes bytes until they end or `out` holds `most` records; gives how many were taken.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<LogRecord>, most: usize) -> usize {
        let mut rest = bytes;
        let mut boundary = None;
        while !rest.is_empty() && out.len() < most {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.add(rest);
                rest = &[];
                break;
            };
            let (segment, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.add(segment);
            self.end_line(out, true);
            rest = after.get(1..).unwrap_or_default();
            boundary = Some(bytes.len() - rest.len());
        }
        let taken = bytes.len() - rest.len();
        if taken > 0 {
            self.origin = None;
        }
        let bytes = bytes.get(..taken).unwrap_or(bytes);
        self.first.extend(bytes.iter().take(HEAD - self.first.len().min(HEAD)));
        if let Some(boundary) = boundary {
            let whole = bytes.get(..boundary).unwrap_or(bytes);
            self.anchor.offset = self.at.saturating_add(count(whole));
            self.anchor.marker = joined(&self.recent, whole);
            self.set_head();
        }
        self.recent = joined(&self.recent, bytes);
        self.at = self.at.saturating_add(count(bytes));
        taken
    }

    /// Passes over a hole of `bytes` zeros.
    pub fn skip(&mut self, bytes: u64) {
        self.origin = None;
        if self.length == 0 {
            self.zeros = self.zeros.saturating_add(bytes);
        } else {
            self.keep_zeros(bytes);
            self.length = self.length.saturating_add(bytes);
        }
        let room = HEAD - self.first.len().min(HEAD);
        self.first.resize(self.first.len() + clamp(bytes, room), 0);
        self.recent = joined(&self.recent, &vec![0; clamp(bytes, MARKER)]);
        self.at = self.at.saturating_add(bytes);
    }

    /// Ends a last line that has no newline and will get none.
    pub fn finish(&mut self, out: &mut Vec<LogRecord>) {
        if self.has_half_line() {
            self.end_line(out, false);
            self.anchor.offset = self.at;
            self.anchor.marker.clone_from(&self.recent);
            self.set_head();
        }
    }

    fn set_head(&mut self) {
        self.anchor.taken = self.anchor.offset;
        let head = clamp(self.anchor.offset, self.first.len());
        self.anchor.head = self.first.get(..head).unwrap_or(&self.first).to_vec();
    }

    fn keep_zeros(&mut self, zeros: u64) {
        let room = LONGEST - self.line.len().min(LONGEST);
        self.line.resize(self.line.len() + clamp(zeros, room), 0);
    }

    fn add(&mut self, segment: &[u8]) {
        let mut text = segment;
        if self.length == 0 {
            let zeros = segment.iter().take_while(|byte| **byte == 0).count();
            text = segment.get(zeros..).unwrap_or_default();
            self.zeros = self.zeros.saturating_add(u64::try_from(zeros).unwrap_or(u64::MAX));
            if text.is_empty() {
                return;
            }
            self.settle_zeros();
        }
        self.length = self.length.saturating_add(count(text));
        self.line.extend(text.iter().take(LONGEST - self.line.len().min(LONGEST)));
    }

    /// A few zeros at the beginning of a line belong to its text.
    fn settle_zeros(&mut self) {
        if self.zeros < GAP {
            self.keep_zeros(self.zeros);
            self.length = self.zeros;
            self.zeros = 0;
        }
    }

    fn end_line(&mut self, out: &mut Vec<LogRecord>, has_newline: bool) {
        if self.length == 0 {
            self.settle_zeros();
        }
        let (mut bytes, mut length) = (std::mem::take(&mut self.line), std::mem::take(&mut self.length));
        let zeros = std::mem::take(&mut self.zeros);
        if length == count(&bytes) && bytes.last() == Some(&b'\r') && has_newline {
            bytes.pop();
            length -= 1;
        }
        if zeros > 0 {
            out.push(LogRecord::Gap(zeros));
        }
        if zeros == 0 || length > 0 {
            out.push(LogRecord::Line { bytes, length });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &[u8]) -> LogRecord {
        LogRecord::Line { bytes: text.to_vec(), length: count(text) }
    }

    fn read(pieces: &[&[u8]]) -> (Vec<LogRecord>, LineSplitter) {
        let mut reading = LineSplitter::from(Anchor::default());
        let mut out = Vec::new();
        for piece in pieces {
            assert_eq!(reading.feed(piece, &mut out, 1000), piece.len());
        }
        (out, reading)
    }

    #[test]
    fn half_a_line_waits_for_its_newline() {
        let (out, mut reading) = read(&[b"one\ntw"]);
        assert_eq!(out, [line(b"one")]);
        assert_eq!(reading.anchor().offset, 4);
        let mut more = Vec::new();
        reading.feed(b"o\n", &mut more, 10);
        assert_eq!(more, [line(b"two")]);
        assert_eq!((reading.anchor().offset, reading.anchor().marker.as_slice()), (8, &b"one\ntwo\n"[..]));
    }

    #[test]
    fn an_endless_line_is_one_record_cut_with_its_length() {
        let big = vec![b'x'; 300_000];
        let (out, reading) = read(&[&big, &big, b"\nnext\n"]);
        assert_eq!(out, [LogRecord::Line { bytes: vec![b'x'; LONGEST], length: 600_000 }, line(b"next")]);
        assert_eq!(reading.anchor().offset, 600_006);
    }

    #[test]
    fn one_carriage_return_is_stripped_and_other_bytes_stay() {
        let (out, _) = read(&[b"a\r\nb\r\r\n\r\nc\rd\n\0e\0\n\xff\xfe\n\n"]);
        assert_eq!(
            out,
            [line(b"a"), line(b"b\r"), line(b""), line(b"c\rd"), line(b"\0e\0"), line(b"\xff\xfe"), line(b"")]
        );
    }

    #[test]
    fn a_hole_is_one_note_and_the_line_behind_it_is_whole() {
        let (mut out, mut reading) = read(&[b"a\n", &[0; 100]]);
        reading.skip(1 << 40);
        reading.feed(&[0; 50], &mut out, 10);
        reading.feed(b"b\n", &mut out, 10);
        assert_eq!(out, [line(b"a"), LogRecord::Gap(150 + (1 << 40)), line(b"b")]);
        assert_eq!(reading.anchor().offset, 154 + (1 << 40));
    }

    #[test]
    fn records_are_bounded_and_the_rest_is_not_taken() {
        let mut reading = LineSplitter::from(Anchor::default());
        let mut out = Vec::new();
        assert_eq!(reading.feed(b"1\n2\n3\n", &mut out, 2), 4);
        assert_eq!((out.len(), reading.anchor().offset), (2, 4));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), any::<u8>()], 0..3000),
                                     cuts in proptest::collection::vec(0_usize..3000, 0..8)) {
            let (mut whole, mut reading) = read(&[&text]);
            reading.finish(&mut whole);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let (mut parts, mut other) = read(&pieces);
            other.finish(&mut parts);
            prop_assert_eq!(whole, parts);
            prop_assert_eq!(other.anchor(), reading.anchor());
            prop_assert_eq!(&other.anchor().head, &text[..text.len().min(HEAD)]);
            prop_assert_eq!(&other.anchor().marker, &text[text.len().saturating_sub(MARKER)..]);
        }
    }
}
