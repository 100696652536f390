//! A file too large to be read at each look: when its content is due, and what its metadata alone say. Pure.

use std::time::Duration;

use crate::{
    files::{
        area::watched_areas::WatchedArea,
        compare::comparison::{EntryVerdict, without_content},
        pace::max_age::LEAST_AGE,
    },
    model::{
        clock::Timestamp,
        event::Category,
        file::entry::{AlgorithmSet, Attributes, Entry, EntryId, HashState, Observation},
    },
    store::baseline::missing::GONE,
};

/// By when the content of an entry should be read again, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) struct ReadDeadline {
    pub(in crate::files) due: Timestamp,
    pub(in crate::files) entry: EntryId,
    /// The user id of its owner.
    pub(in crate::files) owner: u32,
}

/// Whether a visit reads the content of big files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) enum Reads {
    /// It leaves that to the queue.
    UpToBig,
    /// It is the queue's.
    Everything,
}

/// By when the content of an entry of `watched` should be read; `None` when that was done a moment ago.
pub(in crate::files) fn deadline(watched: &WatchedArea, entry: &Entry, now: Timestamp) -> Option<ReadDeadline> {
    let least = match entry.known.hash_state {
        HashState::Full => LEAST_AGE,
        HashState::TooBig => TOO_BIG_AGE,
        _ => Duration::ZERO,
    };
    if entry.checked <= now && now.since(entry.checked) < least {
        return None;
    }
    let due = entry.checked.after(watched.settings.max_age.unwrap_or(USUAL_AGE));
    Some(ReadDeadline { due, entry: entry.id, owner: entry.known.attributes.uid })
}

/// What a look at the metadata of a big file shows: its content counts as known only while nothing tells otherwise.
pub(in crate::files) fn unread(seen: &Attributes, known: Option<&Entry>, wanted: AlgorithmSet) -> Observation {
    let state = match known.map(|entry| &entry.known) {
        Some(known) if known.hash_state.is_trouble() || known.hash_state == HashState::TooBig => known.hash_state,
        // Digests that are not wanted any more must verify the content before they go.
        Some(known)
            if known.hash_state == HashState::Full
                && known.digests.algorithms() == wanted
                && !has_moved(&known.attributes, seen) =>
        {
            HashState::Full
        }
        _ => HashState::Partial(0),
    };
    let mut seen = without_content(seen, known, state);
    if let Some(known) = known.filter(|known| matches!(known.known.hash_state, HashState::Partial(_))) {
        keep_times(&mut seen.attributes, &known.known.attributes);
    }
    seen
}

/// Size and times go with the content, as long as it is the same file.
pub(in crate::files) fn keep_times(seen: &mut Attributes, known: &Attributes) {
    if (seen.kind, seen.inode) == (known.kind, known.inode) {
        (seen.size, seen.mtime, seen.ctime) = (known.size, known.mtime, known.ctime);
    }
}

/// Whether the content may be another one.
pub(in crate::files) fn has_moved(known: &Attributes, seen: &Attributes) -> bool {
    let key = |it: &Attributes| (it.kind, it.inode, it.size, it.mtime, it.ctime);
    key(known) != key(seen)
}

/// The verdict on the metadata alone: the content was not checked. Where a difference was told and its old state is kept, the queue
/// decides about all of it, because the metadata alone would look like another difference each time.
pub(in crate::files) fn of_metadata(verdict: EntryVerdict, entry: &Entry) -> EntryVerdict {
    // What was told as gone is back.
    if entry.reported.is_some_and(|told| told != GONE) {
        return EntryVerdict { next: entry.clone(), events: Vec::new() };
    }
    let EntryVerdict { mut next, events } = verdict;
    if matches!(next.known.hash_state, HashState::Partial(_)) {
        keep_times(&mut next.known.attributes, &entry.known.attributes);
    }
    EntryVerdict { next: Entry { checked: entry.checked, ..next }, events }
}

/// The verdict on a whole reading: that the times have moved and nothing else was told when they were seen to.
pub(in crate::files) fn of_reading(verdict: EntryVerdict, entry: &Entry) -> EntryVerdict {
    let EntryVerdict { next, mut events } = verdict;
    let was_told = matches!(entry.known.hash_state, HashState::Partial(_)) && !entry.known.is_unread();
    events.retain(|event| !was_told || event.category != Category::Touched);
    EntryVerdict { next, events }
}

/// Within what time the content of a big file should be read where nothing was promised: what `status` takes for in time.
pub(in crate::files) const USUAL_AGE: Duration = Duration::from_hours(7 * 24);

/// A file with too many holes is not tried again for so long: each look at it would cost the others of the queue.
pub(in crate::files) const TOO_BIG_AGE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        files::compare::{
            diff::compare,
            severity::{ChangeContext, alarm, weigh},
        },
        model::{
            event::Severity,
            file::{
                attribute::{Attribute, AttributeSet},
                entry::{Algorithm, AreaId, Digests},
            },
        },
    };

    const BLAKE3: AlgorithmSet = AlgorithmSet::NONE.with(Algorithm::Blake3);

    fn entry(state: HashState) -> Entry {
        let time = Timestamp::from_nanos(1);
        Entry {
            id: EntryId(1),
            parent: None,
            name: b"/big".to_vec(),
            area: AreaId(1),
            visit: 1,
            checked: time,
            recorded: AttributeSet::of(Attribute::ALL),
            reported: None,
            known: Observation {
                attributes: Attributes { inode: 1, size: 1 << 30, ..Attributes::sample(time) },
                hash_state: state,
                digests: Digests { blake3: Some([1; 32]), ..Digests::default() },
            },
        }
    }

    #[test]
    fn a_content_counts_as_known_only_while_nothing_tells_otherwise() {
        let state = |entry: &Entry, seen: &Attributes| unread(seen, Some(entry), BLAKE3).hash_state;
        let full = entry(HashState::Full);
        let same = full.known.attributes.clone();
        assert_eq!(state(&full, &same), HashState::Full);
        let moved = Attributes { ctime: Timestamp::from_nanos(2), ..same.clone() };
        assert_eq!(state(&full, &moved), HashState::Partial(0));
        for trouble in [HashState::Busy, HashState::Unreadable(13)] {
            assert_eq!(state(&entry(trouble), &moved), trouble, "a look at the metadata ends no streak");
        }
        assert_eq!(state(&entry(HashState::Partial(0)), &same), HashState::Partial(0));
        let other = BLAKE3.with(Algorithm::Sha256);
        assert_eq!(unread(&same, Some(&full), other).hash_state, HashState::Partial(0));
        assert_eq!(unread(&same, None, BLAKE3).hash_state, HashState::Partial(0));
    }

    #[test]
    fn content_that_is_read_after_its_metadata_is_a_change_but_no_forgery() {
        let mut read = entry(HashState::Full).known;
        read.digests.blake3 = Some([2; 32]);
        let everything = AttributeSet::of(Attribute::ALL);
        for (state, severity) in [
            (HashState::Partial(0), Severity::Normal),
            (HashState::Unreadable(13), Severity::Normal),
            (HashState::Full, Severity::High),
        ] {
            let change = compare(&entry(state).known, &read, everything).unwrap();
            assert!(change.changed.has(Attribute::Content), "{state:?}");
            let at = ChangeContext { is_ctime_sure: true, ..ChangeContext::default() };
            assert_eq!((weigh(&change, at), alarm(&change, at).is_empty()), (severity, severity == Severity::Normal));
        }
    }
}
