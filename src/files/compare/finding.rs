//! What a look comes to: the one decision of the paced walk, which commits it, and of the full-speed scan, which batches it. Pure.

use std::borrow::Cow;

use crate::{
    content::{
        hasher::{Evidence, WantedDigests},
        racy::is_racy,
    },
    files::{
        area::{
            path_limit::{changes, state_of},
            watched_areas::WatchedArea,
        },
        compare::{
            big_file::{of_metadata, of_reading},
            comparison::{Comparison, EntryVerdict, collected, untold},
        },
    },
    model::{
        clock::Timestamp,
        event::{Category, Event},
        file::entry::{Attributes, Entry, EntryId, FileKind, HashState, Observation},
    },
    store::events::outcome::{ConditionalOutcome, StoredFinding},
};

/// What a look has shown where something is.
#[derive(Debug)]
pub(in crate::files) enum Sighting {
    /// Everything, the content or why it has none included.
    Whole(Evidence),
    /// The metadata alone: the content is left to the big-file queue.
    Metadata(Observation),
}

impl Sighting {
    /// What was seen.
    pub(in crate::files) const fn seen(&self) -> &Observation {
        match self {
            Self::Whole(evidence) => &evidence.seen,
            Self::Metadata(seen) => seen,
        }
    }

    /// The same, taken out.
    pub(in crate::files) fn into_seen(self) -> Observation {
        match self {
            Self::Whole(evidence) => evidence.seen,
            Self::Metadata(seen) => seen,
        }
    }

    /// Whether what was read may be half of a write, by when the look began.
    pub(in crate::files) fn is_racy(&self, began: Timestamp) -> bool {
        matches!(self, Self::Whole(evidence) if evidence.seen.hash_state == HashState::Full && is_racy(&evidence.seen.attributes, began))
    }
}

/// What a look comes to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::files) enum Finding {
    /// The row as it is, looked at then.
    Same(EntryId, Timestamp),
    /// The row is another, without news: it is stored with others.
    Learned(Box<Entry>),
    /// There is something to be told: stored at once with the row.
    News(Box<News>),
}

impl Finding {
    fn of(entry: &Entry, next: Entry, events: Vec<Event>) -> Self {
        if !events.is_empty() {
            return Self::News(Box::new(News { basis: Some(entry.clone()), next, events }));
        }
        let is_same = (&next.known, next.recorded, next.reported) == (&entry.known, entry.recorded, entry.reported);
        if is_same { Self::Same(next.id, next.checked) } else { Self::Learned(Box::new(next)) }
    }
}

/// What is to be told, and the row that belongs to it; its visit number is still the old one.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::files) struct News {
    /// The row it was compared with; `None` for a path that had none.
    pub(in crate::files) basis: Option<Entry>,
    /// The row as it is to be stored.
    pub(in crate::files) next: Entry,
    /// What is to be told.
    pub(in crate::files) events: Vec<Event>,
}

impl News {
    /// Whether a directory has become something else, and what was below it is gone with it.
    pub(in crate::files) fn leaves_children(&self) -> bool {
        let is_directory = |entry: &Entry| entry.known.attributes.kind == FileKind::Directory;
        self.basis.as_ref().is_some_and(is_directory) && !is_directory(&self.next)
    }
}

/// The digests that a look at a regular file computes; `None` where its content is not wanted. What is stored is verified before other
/// digests take its place, which they do only where the outcome `is_stored`.
pub(in crate::files) fn wanted_digests(
    watched: &WatchedArea,
    known: Option<&Entry>,
    seen: &Attributes,
    is_stored: bool,
) -> Option<WantedDigests> {
    let wanted = watched.settings.algorithms;
    if seen.kind != FileKind::Regular || wanted.is_empty() {
        return None;
    }
    let stored = known.map(|entry| entry.known.digests.algorithms()).filter(|stored| !stored.is_empty());
    let algorithms = match stored {
        Some(stored) if is_stored => stored.union(wanted),
        Some(stored) => stored,
        None => wanted,
    };
    Some(WantedDigests::from(algorithms).of_growing(known, seen))
}

impl Comparison<'_> {
    /// What a look at a path comes to that is not in the baseline, under a row with this number and name in the directory `parent`.
    pub(in crate::files) fn of_unknown(
        &self,
        path: &[u8],
        (id, parent, name): (EntryId, Option<EntryId>, &[u8]),
        seen: Observation,
    ) -> Finding {
        let next = self.new_entry(id, parent, name, seen.clone());
        if self.is_learning {
            return Finding::Learned(Box::new(next));
        }
        Finding::News(Box::new(News { basis: None, next, events: vec![self.arrival(path, seen)] }))
    }

    /// What a look comes to at a path of the baseline.
    pub(in crate::files) fn of_known(&self, path: &[u8], entry: &Entry, sighting: Sighting) -> Finding {
        if matches!(&sighting, Sighting::Whole(evidence) if self.is_as_known(entry, &evidence.seen)) {
            return Finding::Same(entry.id, self.now.wall);
        }
        let asked = self.asked(entry, sighting.seen().hash_state);
        let EntryVerdict { next, mut events } = match sighting {
            Sighting::Metadata(seen) => of_metadata(self.again(path, &asked, seen), &asked),
            Sighting::Whole(evidence) => of_reading(self.again(path, &asked, evidence), &asked),
        };
        // That a content cannot be read is learned like anything else, also when the queue comes to it later.
        if self.is_learning && entry.known.is_unread() {
            events.retain(|event| !matches!(event.category, Category::Busy | Category::Unreadable));
        }
        Finding::of(entry, next, events)
    }

    /// What it comes to that a path of the baseline cannot be read, or can be again.
    pub(in crate::files) fn of_state(&self, path: &[u8], entry: &Entry, state: HashState) -> Finding {
        let EntryVerdict { next, events } = self.content_state(path, &self.asked(entry, state), state);
        Finding::of(entry, next, if self.is_learning { Vec::new() } else { events })
    }

    /// What the listing of a directory comes to in which paths are too long to be looked at, or none are; `None` for `is_beyond` where it
    /// was not listed. `beyond` entries of the baseline lie there, and leave it.
    pub(in crate::files) fn of_limit(
        &self,
        path: &[u8],
        entry: &Entry,
        is_beyond: Option<bool>,
        beyond: u64,
    ) -> Option<ConditionalOutcome> {
        let asked = self.asked(entry, HashState::PATHS_TOO_LONG);
        let is_marked = asked.known.hash_state == HashState::PATHS_TOO_LONG;
        let state = match is_beyond {
            Some(is_beyond) if is_beyond != is_marked => state_of(is_beyond),
            _ => asked.known.hash_state,
        };
        let EntryVerdict { next, events } = self.limited(path, &asked, state, beyond);
        let found: Vec<StoredFinding> = events.into_iter().map(StoredFinding::from).collect();
        (!found.is_empty()).then(|| ConditionalOutcome::new(Some(entry), found, changes(path, next, beyond)))
    }

    /// The row that is asked about: as if nothing had been told of it, where everything is shown.
    fn asked<'a>(&self, entry: &'a Entry, state: HashState) -> Cow<'a, Entry> {
        if self.shows_all { Cow::Owned(untold(entry, state)) } else { Cow::Borrowed(entry) }
    }

    /// Whether a look shows nothing that would have to be thought about: what most looks show.
    fn is_as_known(&self, entry: &Entry, seen: &Observation) -> bool {
        entry.known == *seen
            && entry.reported.is_none()
            && !seen.hash_state.is_trouble()
            && collected(seen).is_within(entry.recorded)
            && (self.shows_all || seen.digests.algorithms() == self.watched.settings.algorithms)
    }
}
