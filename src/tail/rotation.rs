//! Rotated files: which of them are accounted for, which go on where the live file was read, and reading what is left of them.

use std::time::Duration;

use crate::{
    model::log::position::{Anchor, FileId, Position, RotatedState, Sibling},
    tail::{
        live_file::Live,
        poll::{PollState, TailEvent},
        position::{LivePosition, PositionOrigin, accounted, beginning_of, find, fits, offsets, origin, unpack_limit},
        rotated_files::{Compression, FoundRotated, ListedFile, is_plainly_rotated, is_refused, unpacked_name},
        splitter::LineSplitter,
        stream::{LogStream, Sketch, agrees, head_before, marker_before},
    },
};

/// A packed file that ends early may still be written; one that was left alone for so long is broken.
const UNFINISHED: Duration = Duration::from_mins(1);

/// What the rotated files are compared with.
#[derive(Debug)]
pub(super) struct RotationScene<'a> {
    /// The live file.
    pub(super) live: Option<&'a Live>,
    /// Whether it goes on where it was read.
    pub(super) is_valid: bool,
    /// What the file that was read looks like, if its descriptor was kept.
    pub(super) kept: Option<Sketch>,
    /// Who owns the log.
    pub(super) owner: Option<u32>,
    /// The name of the log.
    pub(super) log: &'a [u8],
}

/// Accounts for the files in `listed`; gives whether some have to be waited for.
pub(super) fn account(round: &mut PollState<'_>, scene: &RotationScene<'_>, listed: &ListedFile) -> bool {
    for found in &listed.found {
        follow_rename(round, scene, found);
    }
    for found in &listed.found {
        if find(&mut round.poll.state.siblings, found.id()).is_some() {
            review(round, scene, found);
        }
    }
    let present: Vec<FileId> = listed.found.iter().map(FoundRotated::id).collect();
    let mut has_to_wait = false;
    for found in &listed.found {
        if find(&mut round.poll.state.siblings, found.id()).is_none() {
            has_to_wait |= !admit(round, scene, listed, &present, found);
        }
    }
    has_to_wait
}

/// The very file that was read has another name now, unless it was truncated before: then it is a new one, and a copy may fit.
fn follow_rename(round: &mut PollState<'_>, scene: &RotationScene<'_>, found: &FoundRotated) {
    let Position::At(anchor) = round.poll.state.position.clone() else { return };
    if !anchor.file.is(&found.id()) || is_refused(scene.owner, found, Some(&anchor)) || !goes_on(round, found, &anchor)
    {
        return;
    }
    let state = &mut round.poll.state;
    state.position = Position::Beginning;
    state.siblings.retain(|sibling| !sibling.anchor.file.is(&found.id()));
    state.siblings.push(Sibling { anchor, standing: RotatedState::Reading });
    round.tell(TailEvent::Rotated(found.name.clone()));
}

fn goes_on(round: &mut PollState<'_>, found: &FoundRotated, anchor: &Anchor) -> bool {
    let Ok(stream) = stream_of(round, found) else { return false };
    let goes_on = match &stream {
        LogStream::Plain(file) => found.seen.size >= anchor.taken && agrees(file, anchor).unwrap_or(false),
        LogStream::Gzip(_) => false,
    };
    round.cache.keep_stream(found.id(), stream);
    goes_on
}

fn stream_of(round: &mut PollState<'_>, found: &FoundRotated) -> std::io::Result<LogStream> {
    match round.cache.take_stream(found.id()) {
        Some(stream) => Ok(stream),
        None => LogStream::new(found.handle.open_file()?, found.packing == Compression::Gzip),
    }
}

/// What `found` looks like; the stream stays open for reading.
fn sketch(round: &mut PollState<'_>, found: &FoundRotated) -> std::io::Result<Sketch> {
    let (offsets, limit) = (offsets(&round.poll.state), unpack_limit(&round.poll.state));
    let mut stream = stream_of(round, found)?;
    let sketch = stream.sketch(found.seen.size, &offsets, limit)?;
    if found.packing == Compression::Gzip {
        round.unpack = round.unpack.saturating_sub(sketch.size);
    }
    round.cache.keep_stream(found.id(), stream);
    Ok(sketch)
}

/// Whether the stream is the beginning of the live file.
fn is_beginning_of(live: &Live, sketch: &Sketch) -> bool {
    sketch.size > 0
        && sketch.size <= live.seen.size
        && head_before(&live.file, sketch.size).is_ok_and(|head| head == sketch.head)
        && marker_before(&live.file, sketch.size).is_ok_and(|marker| marker == sketch.tail)
}

/// Looks again at a file of the ledger. Whether it may be read is asked anew before it is: somebody may have linked it meanwhile.
fn review(round: &mut PollState<'_>, scene: &RotationScene<'_>, found: &FoundRotated) {
    let Some(sibling) = find(&mut round.poll.state.siblings, found.id()) else { return };
    let has_changed = sibling.anchor.length != found.seen.size;
    if sibling.is_refused() || sibling.standing == RotatedState::Done && !has_changed {
        return;
    }
    if is_refused(scene.owner, found, Some(&sibling.anchor)) {
        *sibling = Sibling::refused(sibling.anchor.clone());
        drop(round.cache.take_stream(found.id()));
        round.tell(TailEvent::SiblingRefused(found.name.clone()));
        return;
    }
    match sibling.standing {
        RotatedState::Done if found.packing != Compression::Foreign => sibling.standing = RotatedState::Reading,
        RotatedState::Done | RotatedState::Reading => {}
        RotatedState::Copy => {
            if !scene.is_valid || has_changed || found.packing == Compression::Plain {
                review_copy(round, scene, found);
            }
        }
    }
}

fn review_copy(round: &mut PollState<'_>, scene: &RotationScene<'_>, found: &FoundRotated) {
    let Ok(sketch) = sketch(round, found) else { return };
    let state = &mut round.poll.state;
    let is_copy = scene.live.is_some_and(|live| is_beginning_of(live, &sketch));
    let new = match (&state.position, scene.is_valid) {
        _ if is_copy => accounted(&found.seen, &sketch, RotatedState::Copy),
        // No whole line of the live file was read yet, and it says something else now.
        (Position::At(anchor), true) if anchor.taken == 0 => {
            Sibling { anchor: moved(anchor, found), standing: RotatedState::Reading }
        }
        (Position::At(anchor), false) if anchor.taken == 0 || fits(anchor, &sketch, first(&sketch)) => {
            let anchor = moved(anchor, found);
            state.position = Position::Beginning;
            round.poll.happenings.push(TailEvent::Rotated(found.name.clone()));
            Sibling { anchor, standing: RotatedState::Reading }
        }
        // It ends within the half line that was seen.
        (Position::At(anchor), false) if sketch.size > anchor.offset && sketch.size <= anchor.taken => {
            let anchor = moved(&LineSplitter::from(anchor.clone()).boundary(), found);
            state.position = Position::Beginning;
            round.poll.happenings.push(TailEvent::Rotated(found.name.clone()));
            Sibling { anchor, standing: RotatedState::Reading }
        }
        // Everything in it was read before the live file was truncated.
        (Position::At(anchor), false) if sketch.size <= anchor.offset => {
            state.position = Position::Beginning;
            round.poll.happenings.push(TailEvent::Rotated(found.name.clone()));
            accounted(&found.seen, &sketch, RotatedState::Done)
        }
        // The live file was renamed meanwhile: what this is a copy of is read there.
        (Position::Beginning, false) => accounted(&found.seen, &sketch, RotatedState::Done),
        _ => {
            let Some(sibling) = find(&mut state.siblings, found.id()) else { return };
            sibling.standing = RotatedState::Reading;
            return;
        }
    };
    if let Some(sibling) = find(&mut state.siblings, found.id()) {
        *sibling = new;
    }
}

fn first(sketch: &Sketch) -> Option<&Vec<u8>> {
    sketch.markers.first().and_then(Option::as_ref)
}

/// The anchor as it stands in the file it has moved to.
fn moved(anchor: &Anchor, found: &FoundRotated) -> Anchor {
    Anchor { file: found.id(), owner: found.seen.uid, length: found.seen.size, ..anchor.clone() }
}

/// Takes a file into the ledger that was not seen before; `false` when it has to be looked at again.
fn admit(
    round: &mut PollState<'_>,
    scene: &RotationScene<'_>,
    listed: &ListedFile,
    present: &[FileId],
    found: &FoundRotated,
) -> bool {
    if found.seen.size == 0 || !is_plainly_rotated(scene.log, &found.name) {
        return true;
    }
    if is_refused(scene.owner, found, None) {
        round.poll.state.siblings.push(Sibling::refused(beginning_of(&found.seen)));
        round.tell(TailEvent::SiblingRefused(found.name.clone()));
        return true;
    }
    if found.packing == Compression::Foreign {
        let why = "it is packed in a way that is not read here".to_owned();
        set_aside(round, found, TailEvent::SiblingUnreadable(found.name.clone(), why));
        return true;
    }
    let stem = unpacked_name(&found.name).0;
    let is_same_directory = |other: &FoundRotated| other.directory.inode == found.directory.inode;
    let is_being_packed = listed.found.iter().any(|other| other.name == stem && is_same_directory(other));
    if found.packing == Compression::Gzip && (round.unpack == 0 || is_being_packed) {
        // Being packed: what it is made from is still there. Or enough was unpacked in this poll.
        round.poll.has_more |= round.unpack == 0;
        return false;
    }
    let limit = unpack_limit(&round.poll.state);
    let sketch = match sketch(round, found) {
        Ok(sketch) => sketch,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
        Err(error) => {
            set_aside(round, found, TailEvent::SiblingUnreadable(found.name.clone(), error.to_string()));
            return true;
        }
    };
    if let Some(fault) = sketch.fault {
        if round.now.since(found.seen.mtime) < UNFINISHED && found.seen.mtime <= round.now {
            return false;
        }
        round.tell(TailEvent::SiblingUnreadable(found.name.clone(), fault.to_string()));
    }
    if sketch.is_cut {
        round.tell(TailEvent::SiblingTooLarge(found.name.clone(), limit));
    }
    place(round, scene, present, found, &sketch);
    true
}

fn set_aside(round: &mut PollState<'_>, found: &FoundRotated, why: TailEvent) {
    round.poll.state.siblings.push(Sibling { anchor: beginning_of(&found.seen), standing: RotatedState::Done });
    round.tell(why);
}

/// Finds the place of a new stream among those that are known.
fn place(
    round: &mut PollState<'_>,
    scene: &RotationScene<'_>,
    present: &[FileId],
    found: &FoundRotated,
    sketch: &Sketch,
) {
    let state = &mut round.poll.state;
    let live = if scene.is_valid { LivePosition::InPlace } else { LivePosition::Lost(scene.kept.as_ref()) };
    let origin = origin(state, sketch, live, present);
    if origin != PositionOrigin::Live && scene.live.is_some_and(|live| is_beginning_of(live, sketch)) {
        state.siblings.push(accounted(&found.seen, sketch, RotatedState::Copy));
        return;
    }
    let sibling = match origin {
        PositionOrigin::Live | PositionOrigin::PerhapsLive => {
            let Position::At(anchor) = &state.position else { return };
            let anchor = moved(anchor, found);
            state.position = Position::Beginning;
            round.poll.happenings.push(TailEvent::Rotated(found.name.clone()));
            Sibling { anchor, standing: RotatedState::Reading }
        }
        PositionOrigin::Known(index) => {
            let Some(known) = state.siblings.get(index).cloned() else { return };
            if !present.iter().any(|id| id.is(&known.anchor.file)) {
                state.siblings.remove(index);
            }
            if known.standing == RotatedState::Copy {
                state.siblings.push(accounted(&found.seen, sketch, RotatedState::Copy));
                review_copy(round, scene, found);
                return;
            }
            let is_over = known.standing == RotatedState::Done && sketch.size == known.anchor.taken;
            let standing = if is_over { RotatedState::Done } else { RotatedState::Reading };
            Sibling { anchor: moved(&known.anchor, found), standing }
        }
        PositionOrigin::New => Sibling { anchor: beginning_of(&found.seen), standing: RotatedState::Reading },
    };
    state.siblings.push(sibling);
}

/// Reads what is left of the rotated files, oldest first; `false` when the poll is full before that.
pub(super) fn read_all(round: &mut PollState<'_>, listed: &ListedFile) -> bool {
    listed.found.iter().all(|found| read_one(round, found))
}

fn read_one(round: &mut PollState<'_>, found: &FoundRotated) -> bool {
    let limit = unpack_limit(&round.poll.state);
    let Some(sibling) = find(&mut round.poll.state.siblings, found.id()) else { return true };
    if sibling.standing != RotatedState::Reading || sibling.is_refused() {
        return true;
    }
    let mut anchor = sibling.anchor.clone();
    let end = if found.packing == Compression::Plain { found.seen.size } else { limit };
    let read = stream_of(round, found).and_then(|mut stream| {
        if let LogStream::Plain(file) = &stream
            && (found.seen.size < anchor.taken || !agrees(file, &anchor)?)
        {
            anchor = beginning_of(&found.seen);
        }
        let read = round.read(&mut stream, &anchor, end);
        round.cache.keep_stream(found.id(), stream);
        read
    });
    let (standing, reached) = match read {
        Ok((reading, false)) => {
            let reached = reading.anchor();
            round.poll.lag += end.saturating_sub(reading.at()).min(found.seen.size);
            round.keep(reading);
            (RotatedState::Reading, reached)
        }
        Ok((mut reading, true)) => {
            // The writer may still have it open and finish its last line.
            let is_final =
                found.packing == Compression::Gzip || round.cache.has_settled(found.id(), found.seen.size, round.now);
            if is_final || !reading.has_half_line() {
                reading.finish(&mut round.poll.records);
                round.cache.take_stream(found.id());
                (RotatedState::Done, Anchor { length: found.seen.size, ..reading.anchor() })
            } else {
                let reached = reading.anchor();
                round.keep(reading);
                (RotatedState::Reading, Anchor { length: found.seen.size, ..reached })
            }
        }
        Err(error) => {
            round.tell(TailEvent::SiblingUnreadable(found.name.clone(), error.to_string()));
            (RotatedState::Done, Anchor { length: found.seen.size, ..anchor })
        }
    };
    let is_full = round.poll.has_more && standing == RotatedState::Reading;
    if let Some(sibling) = find(&mut round.poll.state.siblings, found.id()) {
        *sibling = Sibling { anchor: reached, standing };
    }
    !is_full
}

/// Drops what is gone from the ledger, after reading what is left of it where it is still open.
pub(super) fn prune(round: &mut PollState<'_>, listed: &ListedFile) {
    for found in &listed.found {
        round.cache.end_absence(found.id());
    }
    if listed.fault.is_some() || listed.is_cut || listed.is_moving {
        return;
    }
    let is_there = |id: &FileId| listed.found.iter().any(|found| found.id().is(id));
    let gone: Vec<Sibling> =
        round.poll.state.siblings.iter().filter(|sibling| !is_there(&sibling.anchor.file)).cloned().collect();
    for sibling in gone {
        let id = sibling.anchor.file;
        if !round.cache.is_gone(id, round.now) {
            continue;
        }
        if sibling.standing == RotatedState::Reading
            && let Some(mut stream) = round.cache.take_stream(id)
            && let Ok((mut reading, is_over)) = round.read(&mut stream, &sibling.anchor, u64::MAX)
        {
            if !is_over {
                let anchor = reading.anchor();
                round.keep(reading);
                round.cache.keep_stream(id, stream);
                if let Some(known) = find(&mut round.poll.state.siblings, id) {
                    known.anchor = anchor;
                }
                continue;
            }
            reading.finish(&mut round.poll.records);
        } else if sibling.standing == RotatedState::Reading {
            let (offset, unread) = (sibling.anchor.offset, sibling.anchor.length.saturating_sub(sibling.anchor.offset));
            round.tell(TailEvent::ContinuityLost { offset, unread });
        }
        round.poll.state.siblings.retain(|known| !known.anchor.file.is(&id));
    }
}
