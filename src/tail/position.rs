//! Which stream is which: anchors against what files say now. Pure.

use crate::{
    model::{
        file::entry::Attributes,
        log::position::{Anchor, FileId, LogState, Position, RotatedState, Sibling},
    },
    tail::stream::Sketch,
};

/// An anchor at the beginning of a file.
pub fn beginning_of(seen: &Attributes) -> Anchor {
    Anchor { file: FileId::of(seen), owner: seen.uid, length: seen.size, ..Anchor::default() }
}

/// Whether a stream with this sketch goes on where `anchor` stands; `marker` is what the sketch has where it was seen up to.
pub fn fits(anchor: &Anchor, sketch: &Sketch, marker: Option<&Vec<u8>>) -> bool {
    anchor.taken > 0
        && sketch.size >= anchor.taken
        && sketch.head.starts_with(&anchor.head)
        && marker.is_some_and(|marker| marker.ends_with(&anchor.marker))
}

/// What a new rotated file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionOrigin {
    /// The live file as it was, under another name or copied, by what was seen of it.
    Live,
    /// Perhaps the live file as it was, of which nothing was seen but its length.
    PerhapsLive,
    /// The file at this place of the ledger, renamed across file systems, compressed or copied.
    Known(usize),
    /// Never seen before.
    New,
}

/// The offsets a sketch needs for [`origin`]: that of the live anchor first.
pub fn offsets(state: &LogState) -> Vec<u64> {
    let live = match &state.position {
        Position::At(anchor) => anchor.taken,
        _ => 0,
    };
    std::iter::once(live).chain(state.siblings.iter().map(|sibling| sibling.anchor.taken)).collect()
}

/// What became of the file at the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivePosition<'a> {
    /// It is still the live file.
    InPlace,
    /// It is not, so that a rotated file may be where it went; with what it looks like, where its descriptor was kept.
    Lost(Option<&'a Sketch>),
}

/// Whether a stream may go on where the live file was read. Where nothing of that was seen there is nothing to compare but what
/// its descriptor still says, or its length.
fn fits_lost(anchor: &Anchor, sketch: &Sketch, marker: Option<&Vec<u8>>, kept: Option<&Sketch>) -> bool {
    match kept {
        _ if anchor.taken > 0 => fits(anchor, sketch, marker),
        Some(kept) if kept.size >= anchor.length => {
            sketch.size == kept.size && sketch.head == kept.head && sketch.tail == kept.tail
        }
        _ => sketch.size >= anchor.length,
    }
}

/// Finds out what a file with an unknown identity is, from a sketch made at [`offsets`].
///
/// A ledger entry that is
/// still `present` under its own identity only has exact copies; one that is gone may have grown before it was compressed.
pub fn origin(state: &LogState, sketch: &Sketch, live: LivePosition<'_>, present: &[FileId]) -> PositionOrigin {
    let mut markers = sketch.markers.iter();
    let live_marker = markers.next().and_then(Option::as_ref);
    let lost = match (&state.position, live) {
        (Position::At(anchor), LivePosition::Lost(kept)) if fits_lost(anchor, sketch, live_marker, kept) => {
            Some(anchor)
        }
        _ => None,
    };
    if lost.is_some_and(|anchor| anchor.taken > 0) || lost.is_some() && live != LivePosition::Lost(None) {
        return PositionOrigin::Live;
    }
    let known = state
        .siblings
        .iter()
        .zip(markers)
        .enumerate()
        .filter(|(_, (sibling, marker))| {
            let anchor = &sibling.anchor;
            let is_present = present.iter().any(|id| id.is(&anchor.file));
            fits(anchor, sketch, marker.as_ref()) && (!is_present || sketch.size == anchor.taken)
        })
        .max_by_key(|(_, (sibling, _))| sibling.anchor.taken);
    match (known, lost) {
        (Some((index, _)), _) => PositionOrigin::Known(index),
        (None, Some(_)) => PositionOrigin::PerhapsLive,
        (None, None) => PositionOrigin::New,
    }
}

/// The ledger entry of the file with this identity.
pub fn find(siblings: &mut [Sibling], id: FileId) -> Option<&mut Sibling> {
    siblings.iter_mut().find(|sibling| sibling.anchor.file.is(&id))
}

/// An entry for a file whose stream is accounted for up to `sketch`.
pub fn accounted(seen: &Attributes, sketch: &Sketch, standing: RotatedState) -> Sibling {
    let anchor = Anchor {
        offset: sketch.size,
        taken: sketch.size,
        head: sketch.head.clone(),
        marker: sketch.tail.clone(),
        ..beginning_of(seen)
    };
    Sibling { anchor, standing }
}

/// The most bytes a packed file may unpack to: 64 MiB, or four times the longest stream seen of this log.
pub fn unpack_limit(state: &LogState) -> u64 {
    let live = match &state.position {
        Position::At(anchor) => anchor.offset.max(anchor.length),
        _ => 0,
    };
    let largest = state.siblings.iter().map(|sibling| sibling.anchor.offset).fold(live, u64::max);
    largest.saturating_mul(4).max(64 * 1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(inode: u64, text: &[u8]) -> Anchor {
        let mut reading = crate::tail::splitter::LineSplitter::from(Anchor {
            file: FileId { dev: 1, inode, born: None },
            ..Anchor::default()
        });
        reading.feed(text, &mut Vec::new(), 1000);
        reading.anchor()
    }

    fn sketch(text: &[u8], state: &LogState) -> Sketch {
        let end = |size: usize| text[size.saturating_sub(64)..size].to_vec();
        let length = u64::try_from(text.len()).unwrap();
        let marker = |at: &u64| (*at <= length).then(|| end(usize::try_from(*at).unwrap()));
        Sketch {
            size: length,
            head: text[..text.len().min(1024)].to_vec(),
            markers: offsets(state).iter().map(marker).collect(),
            tail: end(text.len()),
            ..Sketch::default()
        }
    }

    #[test]
    fn a_copy_of_the_live_file_is_told_from_an_older_file_with_the_same_banner() {
        let done = |anchor| Sibling { anchor, standing: RotatedState::Done };
        let state = LogState {
            position: Position::At(anchor(1, b"banner\nold\n")),
            siblings: vec![done(anchor(2, b"banner\nolder\n"))],
            ..LogState::default()
        };
        let of = |text: &[u8], is_lost, present: &[FileId]| {
            let live = if is_lost { LivePosition::Lost(None) } else { LivePosition::InPlace };
            origin(&state, &sketch(text, &state), live, present)
        };
        assert_eq!(of(b"banner\nold\nmore\n", true, &[]), PositionOrigin::Live);
        assert_eq!(of(b"banner\nold\nmore\n", false, &[]), PositionOrigin::New);
        assert_eq!(of(b"banner\nolder\n", true, &[]), PositionOrigin::Known(0));
        assert_eq!(of(b"banner\nolder\nlate\n", true, &[]), PositionOrigin::Known(0));
        let there = [FileId { dev: 1, inode: 2, born: None }];
        assert_eq!(of(b"banner\nolder\n", true, &there), PositionOrigin::Known(0));
        assert_eq!(of(b"banner\nolder\nlate\n", true, &there), PositionOrigin::New);
        assert_eq!(of(b"banner\nnew\n", true, &[]), PositionOrigin::New);
    }
}
