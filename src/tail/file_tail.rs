//! One log: a poll gives its new lines and the state that belongs to them.
//!
//! The live file is looked at before its rotated files are listed, and read no further than it was long then: a copy that is
//! begun later holds everything that was read, and a file that was truncated by then has its copy in the list.

use std::{fs::File, os::fd::AsFd as _, time::Duration};

use crate::{
    model::{
        clock::Timestamp,
        file::entry::Attributes,
        log::position::{Anchor, FileId, LogState, LogTrouble, Position, ReadRefusal, RotatedState, Sibling},
    },
    sys::fs::handle::attributes_of,
    tail::{
        glob::{Start, start_of},
        live_file::{Live, LiveSight, look},
        logtail_offset::Offset,
        poll::{Cache, Poll, PollState, TailEvent, TailSettings, Told},
        position::{accounted, beginning_of},
        read_errors::{note_target, note_trouble},
        rotated_files::{Compression, ListedFile, is_plainly_rotated, is_planted, is_refused, list},
        rotation::{RotationScene, account, prune, read_all},
        splitter::LONGEST,
        stream::{LogStream, Sketch, agrees, anchor_at},
    },
};

/// A passing log that was missing for so long is gone for good.
const OVER: Duration = Duration::from_mins(5);

/// Its descriptor waits for a writer that has not noticed, until he was quiet for so long.
const QUIET: Duration = Duration::from_mins(1);

/// Who deletes a log that was written to within this time means more than to make room.
const RECENT: Duration = Duration::from_hours(24);

/// A log being read. Holds the descriptor of the live file, so that a file that was unlinked is read to its end.
#[derive(Debug)]
pub struct Tail {
    settings: TailSettings,
    /// The file of the stored position and the one read last, which differ while the newest state could not be stored.
    kept: Vec<(FileId, File)>,
    cache: Cache,
    /// What had been told before the last poll.
    told: Told,
}

impl Tail {
    /// A log that will be read.
    pub fn new(settings: TailSettings) -> Self {
        Self { settings, kept: Vec::new(), cache: Cache::default(), told: Told::default() }
    }

    /// Where a log that was never read begins, by its birth and the last stored poll of its group.
    pub fn start(&self, group_polled: Option<Timestamp>) -> Start {
        let born = look(&self.settings.path).live.ok().and_then(|live| live.seen.btime);
        start_of(born, group_polled)
    }

    /// Reads at most one transaction's worth of new lines: 1 MiB, 5,000 records. `state` is what was last stored; the tail itself
    /// moves nothing. Short and blocking, but never waits on what it finds.
    pub fn poll(&mut self, state: Option<&LogState>, start: Start, now: Timestamp) -> Poll {
        self.told = self.cache.told();
        let LiveSight { live, places, target } = look(&self.settings.path);
        self.kept.retain(
            |(id, _)| matches!(state, Some(LogState { position: Position::At(anchor), .. }) if anchor.file.is(id)),
        );
        let mut round = PollState::new(state.cloned().unwrap_or_default(), &mut self.cache, now);
        if live.is_ok() {
            note_target(&mut round, target, self.settings.errornag);
        }
        note_trouble(&mut round, live.as_ref().err().copied(), &self.settings);
        let log = places.first().map(|place| place.name.clone()).unwrap_or_default();
        let live_id = live.as_ref().ok().map(Live::id);
        let relist = || list(&places, &self.settings.olddirs, live_id, &self.settings.others);
        let mut listed = relist();
        if round.poll.state.position == Position::Unbegun {
            begin(&mut round, &live, &listed, &log, start);
        }
        let is_valid = live.as_ref().is_ok_and(|live| is_valid(&round.poll.state.position, live));
        let owner = owner_of(&round.poll.state.position, live.as_ref().ok());
        let kept = if is_valid { None } else { sketch_kept(&round.poll.state.position, self.kept.first()) };
        let scene = RotationScene { live: live.as_ref().ok(), is_valid, kept, owner, log: &log };
        let mut has_to_wait = account(&mut round, &scene, &listed);
        if live.is_ok() && !is_valid && matches!(round.poll.state.position, Position::At(_)) {
            // Renamed while the directory was being listed: once more.
            listed = relist();
            has_to_wait = account(&mut round, &scene, &listed);
        }
        if live.as_ref().is_ok_and(|live| has_changed(&round, live, is_valid)) {
            // Truncated while it was compared: what a copy of it was taken for may be wrong.
            return Poll { state: state.cloned().unwrap_or_default(), ..Poll::default() };
        }
        note_listing(&mut round, &listed);
        if read_all(&mut round, &listed) {
            if !has_to_wait {
                prune(&mut round, &listed);
            }
            if self.settings.is_passing && !has_to_wait && is_gone(&round, &listed) {
                round.poll.is_over = finish(&mut round, self.kept.first());
            }
            let is_settled = is_valid || settle(&mut round, self.kept.first(), live.as_ref(), has_to_wait);
            if let (Ok(live), true) = (live, is_settled) {
                read_live(&mut round, &mut self.kept, live);
            }
        }
        if self.settings.lets_go {
            self.kept.clear();
        }
        let poll = round.poll;
        let position = match &poll.state.position {
            Position::At(anchor) => Some(anchor.file),
            _ => None,
        };
        let is_done = |sibling: &Sibling| sibling.standing == RotatedState::Done;
        self.cache.close(|id| poll.state.siblings.iter().any(|sibling| is_done(sibling) && sibling.anchor.file.is(id)));
        self.cache.retain(|id| {
            position.is_some_and(|file| file.is(id))
                || poll.state.siblings.iter().any(|sibling| sibling.anchor.file.is(id))
        });
        poll
    }

    /// What the last poll gave could not be stored: nobody was told what it tells, and it will be told again.
    pub fn take_back(&mut self) {
        self.cache.take_back(std::mem::take(&mut self.told));
    }

    /// The state of a log that logcheck has read up to `offset`; `None` when that file is no longer there.
    pub fn adopt(&self, offset: Offset) -> Option<LogState> {
        let sight = look(&self.settings.path);
        let live = sight.live.ok()?;
        let listed = list(&sight.places, &self.settings.olddirs, Some(live.id()), &self.settings.others);
        let mut state = LogState { target: sight.target, ..LogState::default() };
        let mut is_older = true;
        if live.seen.inode == offset.inode {
            state.position = Position::At(at_offset(&live.file, &live.seen, offset.offset)?);
        }
        for found in &listed.found {
            if state.position == Position::Unbegun
                && found.seen.inode == offset.inode
                && found.packing == Compression::Plain
                && !is_planted(&found.directory, &found.seen)
            {
                state.position = Position::At(at_offset(&found.handle.open_file().ok()?, &found.seen, offset.offset)?);
                is_older = false;
            } else if is_older {
                state.siblings.push(Sibling { anchor: beginning_of(&found.seen), standing: RotatedState::Done });
            }
        }
        (state.position != Position::Unbegun).then_some(state)
    }
}

fn at_offset(file: &File, seen: &Attributes, offset: u64) -> Option<Anchor> {
    (offset <= seen.size).then(|| anchor_at(file, offset, &beginning_of(seen)).ok()).flatten()
}

fn sketch_kept(position: &Position, kept: Option<&(FileId, File)>) -> Option<Sketch> {
    let (Position::At(anchor), Some((id, file))) = (position, kept) else { return None };
    let size = file.metadata().ok()?.len();
    let stream = file.try_clone().and_then(|file| LogStream::new(file, false)).ok();
    stream.filter(|_| id.is(&anchor.file)).and_then(|mut stream| stream.sketch(size, &[], 0).ok())
}

fn owner_of(position: &Position, live: Option<&Live>) -> Option<u32> {
    match position {
        Position::At(anchor) => Some(anchor.owner),
        _ => live.map(|live| live.seen.uid),
    }
}

/// Whether the live file goes on where it was read.
fn is_valid(position: &Position, live: &Live) -> bool {
    let Position::At(anchor) = position else { return false };
    anchor.file.is(&live.id()) && live.seen.size >= anchor.taken && agrees(&live.file, anchor).unwrap_or(false)
}

/// Whether the live file is no longer what it was when it was looked at.
fn has_changed(round: &PollState<'_>, live: &Live, was_valid: bool) -> bool {
    let is_shorter = live.file.metadata().map_or(true, |found| found.len() < live.seen.size);
    is_shorter || was_valid && !is_valid(&round.poll.state.position, live)
}

fn note_listing(round: &mut PollState<'_>, listed: &ListedFile) {
    if let Some(errno) = listed.fault {
        round.tell_once(TailEvent::Unlisted(errno.raw_os_error()));
    }
    if listed.is_cut {
        round.tell_once(TailEvent::TooManySiblings);
    }
}

/// The first look ever: rotated files are accounted for as they are. Those of an owner before this one are no news.
fn begin(round: &mut PollState<'_>, live: &Result<Live, ReadRefusal>, listed: &ListedFile, log: &[u8], start: Start) {
    let (position, happening) = match live {
        Ok(live) => {
            let offset = if start == Start::End { last_line_end(live) } else { 0 };
            let Ok(anchor) = anchor_at(&live.file, offset, &beginning_of(&live.seen)) else { return };
            (Position::At(anchor), Some(TailEvent::Began { offset, size: live.seen.size }))
        }
        Err(ReadRefusal::Missing) => (Position::Beginning, None),
        Err(_) => return,
    };
    round.poll.state.position = position;
    round.poll.happenings.extend(happening);
    let owner = owner_of(&round.poll.state.position, live.as_ref().ok());
    for found in listed.found.iter().filter(|found| is_plainly_rotated(log, &found.name)) {
        if is_refused(owner, found, None) {
            if is_planted(&found.directory, &found.seen) {
                round.tell(TailEvent::SiblingRefused(found.name.clone()));
            }
            round.poll.state.siblings.push(Sibling::refused(beginning_of(&found.seen)));
            continue;
        }
        let sketch = match found.packing {
            Compression::Plain => found
                .handle
                .open_file()
                .and_then(|file| LogStream::Plain(file).sketch(found.seen.size, &[], 0))
                .unwrap_or_default(),
            Compression::Gzip | Compression::Foreign => Sketch::default(),
        };
        round.poll.state.siblings.push(accounted(&found.seen, &sketch, RotatedState::Done));
    }
}

/// The end of the last whole line, so that its next one is not torn; the end of the file when the line is too long.
fn last_line_end(live: &Live) -> u64 {
    let size = live.seen.size;
    let window = u64::try_from(LONGEST).unwrap_or(u64::MAX).min(size);
    let Ok(mut stream) = live.file.try_clone().and_then(|file| LogStream::new(file, false)) else { return size };
    let Ok(bytes) = stream.fill(size - window, size) else { return size };
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => size - window + u64::try_from(newline + 1).unwrap_or(0),
        None if window == size => 0,
        None => size,
    }
}

/// Whether a log that is missing is gone for good, and so are its rotated files: while one is there, the log may come back.
fn is_gone(round: &PollState<'_>, listed: &ListedFile) -> bool {
    let state = &round.poll.state;
    let is_missing =
        |trouble: &LogTrouble| trouble.refusal == ReadRefusal::Missing && round.now.since(trouble.since) >= OVER;
    state.trouble.as_ref().is_some_and(is_missing)
        && state.siblings.iter().all(Sibling::is_refused)
        && listed.fault.is_none()
        && !listed.is_moving
}

/// Reads what is left of a log that is gone for good; gives whether that was all.
fn finish(round: &mut PollState<'_>, kept: Option<&(FileId, File)>) -> bool {
    let Position::At(anchor) = round.poll.state.position.clone() else { return true };
    let Some((_, file)) = kept.filter(|(id, _)| id.is(&anchor.file)) else {
        if anchor.length > anchor.offset {
            round.tell(TailEvent::ContinuityLost { offset: anchor.offset, unread: anchor.length - anchor.offset });
        }
        return true;
    };
    let Ok(seen) = attributes_of(file.as_fd()) else { return true };
    let is_quiet = round.cache.settled_for(anchor.file, seen.size, round.now) >= QUIET;
    let is_over = is_quiet && read_kept(round, file, &anchor, true);
    if is_over && round.now.since(seen.mtime) < RECENT {
        round.tell(TailEvent::Replaced);
    }
    is_over
}

/// Finds an end for a position that fits neither the live file nor a rotated one; `false` when the live file has to wait.
fn settle(
    round: &mut PollState<'_>,
    kept: Option<&(FileId, File)>,
    live: Result<&Live, &ReadRefusal>,
    has_to_wait: bool,
) -> bool {
    let Position::At(anchor) = round.poll.state.position.clone() else { return live.is_ok() };
    let kept = kept.filter(|(id, _)| id.is(&anchor.file));
    let is_other = live.is_ok_and(|live| !live.id().is(&anchor.file));
    if let Some((_, file)) = kept
        && (is_other || live.err() == Some(&ReadRefusal::Missing))
    {
        let is_over = read_kept(round, file, &anchor, is_other);
        if is_over && !round.poll.happenings.iter().any(|told| matches!(told, TailEvent::Shrank { .. })) {
            round.tell(TailEvent::Replaced);
        }
        return is_over;
    }
    let Ok(live) = live else { return false };
    if has_to_wait {
        return false;
    }
    if !is_other {
        round.tell(TailEvent::Shrank { offset: anchor.offset, size: live.seen.size });
    } else if anchor.offset > 0 || anchor.length > 0 {
        let unread = anchor.length.saturating_sub(anchor.offset);
        round.tell(TailEvent::ContinuityLost { offset: anchor.offset, unread });
    }
    round.poll.state.position = Position::Beginning;
    true
}

/// Reads the rest of a file that has lost its name. While nothing else has the name its writer may go on, and it is not final.
fn read_kept(round: &mut PollState<'_>, file: &File, anchor: &Anchor, is_final: bool) -> bool {
    let Ok(file) = file.try_clone() else { return false };
    let size = file.metadata().map_or(0, |found| found.len());
    let mut stream = LogStream::Plain(file);
    let is_same =
        matches!(&stream, LogStream::Plain(file) if size >= anchor.taken && agrees(file, anchor).unwrap_or(false));
    let read = if is_same { round.read(&mut stream, anchor, size).ok() } else { None };
    let state = &mut round.poll.state;
    let is_over = if let Some((mut reading, is_over)) = read {
        if is_over && is_final {
            reading.finish(&mut round.poll.records);
            state.position = Position::Beginning;
            // It may turn up again as a packed file.
            if !state.siblings.iter().any(|known| known.anchor.file.is(&anchor.file)) {
                state.siblings.push(Sibling { anchor: reading.anchor(), standing: RotatedState::Done });
            }
        } else {
            state.position = Position::At(Anchor { length: size, ..reading.anchor() });
            round.keep(reading);
        }
        is_over
    } else {
        state.position = Position::Beginning;
        round.poll.happenings.push(TailEvent::Shrank { offset: anchor.offset, size });
        true
    };
    is_over && is_final
}

/// Reads the live file, up to the size it had when it was looked at.
fn read_live(round: &mut PollState<'_>, kept: &mut Vec<(FileId, File)>, live: Live) {
    let Live { file, seen } = live;
    let size = seen.size;
    let anchor = match &round.poll.state.position {
        Position::At(anchor) => Anchor { length: size, owner: seen.uid, ..anchor.clone() },
        _ => beginning_of(&seen),
    };
    let before = round.poll.records.len();
    let id = FileId::of(&seen);
    let mut stream = LogStream::Plain(file);
    let read = round.read(&mut stream, &anchor, size);
    let LogStream::Plain(file) = stream else { return };
    match read {
        // Truncated while it was read: what was read may be anything. The next poll sees it as it is.
        Ok((reading, _)) if !agrees(&file, &reading.anchor()).unwrap_or(false) => {
            round.poll.records.truncate(before);
            round.poll.state.position = Position::At(anchor);
            round.poll.has_more = false;
        }
        Ok((reading, _)) => {
            round.poll.lag += size.saturating_sub(reading.at());
            round.poll.state.position = Position::At(Anchor { length: size, ..reading.anchor() });
            round.keep(reading);
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(0);
            round.poll.records.truncate(before);
            round.poll.state.position = Position::At(anchor);
            round.tell_once(TailEvent::Trouble(ReadRefusal::Unreadable(errno), round.now));
        }
    }
    kept.retain(|(known, _)| !known.is(&id));
    kept.push((id, file));
}
