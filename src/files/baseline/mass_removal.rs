//! Mass removal: more than half of what the baseline knows of an area, and more than a hundred entries, are missing. That is one event,
//! not one for each file, and most often means that something is not mounted. The topmost missing paths are kept as missing since then,
//! with their baseline, and compared when they are back; everything else of the area goes on being compared, so that nobody who removes
//! his own files stops the comparison of others'.
//!
//! The walker meets one missing path at a time, so at each that it would tell a few entries are drawn and looked for. Only when many
//! of those are missing too everything is counted, and the counting ends as soon as half is there.

use std::hash::{BuildHasher, RandomState};

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas, is_beneath, join},
        remote::lookup::{DirHandle, Lookup},
    },
    model::{
        clock::{Boottime, Moment, Timestamp},
        escape::escape_name,
        event::{Category, Event, Severity},
        file::entry::{Entry, EntryId, FileKind},
    },
    store::{
        baseline::missing::{FoundAgain, GONE},
        db::Db,
        events::outcome::{Outcome, StateChange},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Entries that must be missing at least, beside being more than half: a small area may well be cleared.
const LEAST: u64 = 100;

/// Entries drawn, and how many of them may be missing without a count: of 32 drawn where half is missing, more than 8 are in 998
/// of 1,000 cases.
const DRAWN: u64 = 32;
const HARMLESS: u64 = 8;

/// Entries of one directory read from the baseline at once.
const PAGE: usize = 4096;

/// Missing paths named in the event.
const EXAMPLES: usize = 5;

/// Paths found again that are noted together.
const NOTED: usize = 4096;

/// What is missing of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) struct MassRemoval {
    /// Entries that are missing.
    pub(in crate::files) missing: u64,
    left: u64,
    /// The topmost of them.
    pub(in crate::files) topmost: Vec<Lost>,
}

/// The topmost path of something that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) struct Lost {
    /// Its row.
    pub(in crate::files) id: EntryId,
    /// Its path.
    pub(in crate::files) path: Vec<u8>,
    /// How many entries are missing with it, itself included.
    pub(in crate::files) entries: u64,
    /// Since when that is known; `None` when it was found out just now.
    pub(in crate::files) since: Option<Timestamp>,
}

impl MassRemoval {
    /// Entries that are known.
    pub(in crate::files) const fn known(&self) -> u64 {
        self.missing + self.left
    }

    /// What is missing in `watched`, whose open root is `root`; `None` when that is no more than half or no more than a hundred
    /// entries. Locks the store for one query at a time.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub(in crate::files) fn of(
        db: &Db,
        areas: &WatchedAreas,
        watched: &WatchedArea,
        root: &DirHandle,
    ) -> Result<Option<Self>, StoreError> {
        db.lock().flush()?;
        let search = MissingSearch { db, areas, watched, root };
        if !search.is_suspicious()? {
            return Ok(None);
        }
        Ok(search.count()?.filter(|loss| loss.missing > LEAST && loss.missing > loss.left))
    }

    /// The same, when the area was emptied: when it holds no more than half of what it held. What was only renamed or exchanged is told path
    /// by path. With a time, everything is counted once in a minute at most, because a user can make it be asked for at every removal.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub(in crate::files) fn emptied(
        db: &Db,
        areas: &WatchedAreas,
        watched: &WatchedArea,
        (root, now): (&DirHandle, Option<Boottime>),
    ) -> Result<Option<Self>, StoreError> {
        db.lock().flush()?;
        let search = MissingSearch { db, areas, watched, root };
        if !search.is_suspicious()? || now.is_some_and(|now| !watched.may_count(now)) {
            return Ok(None);
        }
        let loss = search.count()?.filter(|loss| loss.missing > LEAST && loss.missing > loss.left);
        Ok(loss.filter(|loss| !search.holds(loss.known().div_ceil(2))))
    }

    /// What is to be stored of it: from now on its topmost paths are missing, and their baseline is kept.
    pub(in crate::files) fn outcome(&self, watched: &WatchedArea, now: Moment) -> Outcome {
        let mut outcome = Outcome::tell(lost_event(watched, &self.topmost, Some(self.known()), now));
        outcome.changes =
            self.topmost.iter().map(|lost| StateChange::Missing(lost.id, now.wall, lost.entries)).collect();
        outcome
    }
}

/// One event for all paths of an area that are `lost`; `known` is how many entries it had, where that was counted.
pub(in crate::files) fn lost_event(watched: &WatchedArea, lost: &[Lost], known: Option<u64>, now: Moment) -> Event {
    let entries: u64 = lost.iter().map(|lost| lost.entries).sum();
    let examples: Vec<String> =
        lost.iter().take(EXAMPLES).map(|lost| format!("  {}", escape_name(&lost.path))).collect();
    let area = escape_name(&watched.path);
    let of_known = known.map(|known| format!(" of {known}")).unwrap_or_default();
    let note = format!(
        "{entries}{of_known} entries are missing: is something not mounted?\n\
         they are compared when they are back; everything else of {area} is compared as before\n\
         if they are gone for good: integrityd init --accept {area}\n\
         missing are, among others:\n{}",
        examples.join("\n")
    );
    let source = common_directory(lost.iter().map(|lost| lost.path.as_slice()), &watched.path);
    let since = lost.iter().filter_map(|lost| lost.since).min();
    let event = Event::new(Category::EntriesMissing, Severity::High, now, source);
    Event { area: watched.path.clone(), count: entries, not_before: since, ..event }.with_note(note)
}

/// The innermost directory, at or beneath `root`, in which all `paths` lie.
fn common_directory<'a>(mut paths: impl Iterator<Item = &'a [u8]>, root: &[u8]) -> Vec<u8> {
    let parent = |path: &'a [u8]| path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.get(..at));
    let Some(mut common) = paths.next().and_then(parent) else { return root.to_vec() };
    for path in paths {
        while !is_beneath(path, common) {
            let Some(shorter) = parent(common) else { return root.to_vec() };
            common = shorter;
        }
    }
    if is_beneath(common, root) { common.to_vec() } else { root.to_vec() }
}

/// Tells of paths that were missing and were seen again: an area at a time, when nothing of it is missing any more or a round has ended.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::files) fn tell_back(
    store: &mut Store,
    areas: &WatchedAreas,
    is_round_over: bool,
    now: Moment,
) -> Result<(), StoreError> {
    loop {
        let found = store.found_again(NOTED)?;
        let still = if found.is_empty() { Vec::new() } else { store.missing_counts()? };
        let is_due = |again: &&FoundAgain| {
            is_round_over || again.area.is_none_or(|area| !still.iter().any(|count| count.area == area))
        };
        let due: Vec<&FoundAgain> = found.iter().filter(is_due).collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut outcome = Outcome::default();
        for watched in &areas.all {
            let back: Vec<&&FoundAgain> = due.iter().filter(|again| again.area == Some(watched.id)).collect();
            if let Some(since) = back.iter().map(|again| again.since).min() {
                let left = still.iter().find(|count| count.area == watched.id).map_or(0, |count| count.entries);
                outcome = outcome.with_event(back_event(watched, &back, (since, left), now));
            }
        }
        outcome.changes = due.iter().map(|again| StateChange::NotMissing(again.entry)).collect();
        store.commit(&outcome)?;
    }
}

fn back_event(watched: &WatchedArea, back: &[&&FoundAgain], (since, left): (Timestamp, u64), now: Moment) -> Event {
    let entries: u64 = back.iter().map(|again| again.entries).sum();
    let left = if left > 0 { format!("; {left} entries are still missing") } else { String::new() };
    let note = format!("{} paths are there again, with what lies beneath them they are compared{left}", back.len());
    let event = Event::new(Category::EntriesBack, Severity::Normal, now, watched.path.clone());
    Event { area: watched.path.clone(), count: entries, not_before: Some(since), ..event }.with_note(note)
}

/// What is looked for, and where.
struct MissingSearch<'a> {
    db: &'a Db,
    areas: &'a WatchedAreas,
    watched: &'a WatchedArea,
    root: &'a DirHandle,
}

impl MissingSearch<'_> {
    /// Whether too many of some entries that are drawn are missing.
    fn is_suspicious(&self) -> Result<bool, StoreError> {
        let chance = RandomState::new();
        let (mut missing, mut there) = (0, 0);
        for draw in 0..DRAWN {
            let drawn = {
                let store = self.db.lock();
                match store.drawn(self.watched.id, chance.hash_one(draw))? {
                    Some(entry) => relative(&store, &entry)?,
                    None => return Ok(false),
                }
            };
            let Some(drawn) = drawn else { continue };
            if drawn.is_empty() || self.is_there(&drawn) {
                there += 1;
            } else {
                missing += 1;
            }
            if missing > HARMLESS || there >= DRAWN - HARMLESS {
                break;
            }
        }
        Ok(missing > HARMLESS)
    }

    /// Whether there is something at `path` beneath the root; what must not or cannot be looked at counts as there.
    fn is_there(&self, path: &[u8]) -> bool {
        let whole = join(&self.watched.path, path);
        self.areas.is_barred(&whole)
            || !matches!(self.areas.lookup(self.watched, &whole, self.root, path), Lookup::Gone)
    }

    /// Counts what is there and what is missing; `None` when at least half is there.
    fn count(&self) -> Result<Option<MassRemoval>, StoreError> {
        let (known, top) = {
            let store = self.db.lock();
            (store.entries_of(self.watched.id)?, store.entry_named(None, &self.watched.path)?)
        };
        let Some(top) = top else { return Ok(None) };
        let mut loss = MassRemoval { missing: 0, left: 1, topmost: Vec::new() };
        let mut ahead = vec![(top.id, Vec::new())];
        while let Some((id, path)) = ahead.pop() {
            let mut after = Vec::new();
            loop {
                let page = self.db.lock().children(id, &after, PAGE)?;
                let is_last = page.len() < PAGE;
                for child in page {
                    child.name.clone_into(&mut after);
                    let path = if path.is_empty() { child.name.clone() } else { join(&path, &child.name) };
                    ahead.extend(self.weigh(path, &child, &mut loss)?);
                }
                if loss.left.saturating_mul(2) >= known {
                    return Ok(None);
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(Some(loss))
    }

    /// Whether the area holds so many names, known or not.
    fn holds(&self, enough: u64) -> bool {
        let mut found: u64 = 1;
        let mut ahead = vec![Vec::new()];
        while let Some(beneath) = ahead.pop() {
            let path = if beneath.is_empty() { self.watched.path.clone() } else { join(&self.watched.path, &beneath) };
            let Ok((_, _, mut listing)) = self.areas.list(self.watched, &path, self.root, &beneath) else { continue };
            while let Ok(names) = listing.next_block(PAGE) {
                for name in &names {
                    let child = join(&path, &name.bytes);
                    if self.areas.leaves_out(self.watched, &child) || self.areas.is_barred(&child) {
                        continue;
                    }
                    found += 1;
                    if name.is_directory {
                        ahead.push(self.watched.beneath(&child).to_vec());
                    }
                }
                if found >= enough {
                    return true;
                }
                if names.len() < PAGE {
                    break;
                }
            }
        }
        false
    }

    /// Counts one entry; gives it when it is to be entered.
    fn weigh(
        &self,
        path: Vec<u8>,
        child: &Entry,
        loss: &mut MassRemoval,
    ) -> Result<Option<(EntryId, Vec<u8>)>, StoreError> {
        let is_directory = child.known.attributes.kind == FileKind::Directory;
        if child.reported == Some(GONE) {
            return Ok(None);
        }
        let below = || if is_directory { self.db.lock().entries_below(child.id) } else { Ok(0) };
        if self.areas.is_barred(&join(&self.watched.path, &path)) {
            loss.left += 1 + below()?;
            return Ok(None);
        }
        if self.is_there(&path) {
            loss.left += 1;
            return Ok(is_directory.then_some((child.id, path)));
        }
        let below = below()?;
        let entries = 1 + below;
        loss.missing += entries;
        let path = join(&self.watched.path, &path);
        loss.topmost.push(Lost { id: child.id, path, entries, since: None });
        Ok(None)
    }
}

/// What leads from the root of its area to an entry; `None` when a directory on the way is not in the baseline, or the entry is known
/// to be gone.
fn relative(store: &Store, entry: &Entry) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(way) = store.way_to(entry.id)? else { return Ok(None) };
    if store.has_missing()? {
        for (id, _) in &way {
            if store.missing_since(*id)?.is_some() {
                return Ok(None);
            }
        }
    }
    let names: Vec<&[u8]> = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect();
    Ok(Some(names.join(&b'/')).filter(|_| entry.reported != Some(GONE)))
}
