//! What has only another name: something new that is the very object of a known path at which nothing is any more.
//!
//! A rename keeps inode and time of birth, and a file its content; ext4 gives a freed inode to the next file at once, so that an
//! inode alone says nothing. Where the file system tells no time of birth, the time of the last modification must be the same, which a
//! rename keeps as well. A file must have been read, with the same digest. A directory takes everything beneath it along: only its own
//! row gets another place, and what lies beneath is compared there by the normal rounds.
//!
//! The walker meets both ends at different times. At something new it looks at once where that was before. At something gone it looks
//! into the directories nearby for its inode: the one it lay in, the one above, and those in either that have changed since. Beyond that
//! nothing is searched and nothing held back; a move over a greater distance that the walker meets at its old end is told as a removal
//! and an addition. A pass at full speed sees both ends.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas, join},
        compare::{company::Company, comparison::Comparison, inode_index::InodeIndex},
        remote::lookup::Lookup,
        walk::{
            entry_check::EntryChecker,
            target::{CheckTarget, TargetWay},
        },
    },
    model::{
        clock::{Boottime, Timestamp},
        event::Member,
        file::entry::{Entry, EntryId, FileKind, HashState, Observation},
    },
    store::{
        baseline::areas::AreaState,
        events::outcome::{ConditionalOutcome, StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::fs::{dir::DirListing, handle::Handle},
};

/// Rows read at once for the table of inodes.
const ROWS: u32 = 20_000;

/// Directories nearby that are looked at, how many of those that have changed are listed and how many others, and how many names of one.
const NEARBY: usize = 64;
const LISTED: usize = 8;
const NAMES: usize = 16_384;

/// Where something new was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::files) struct MoveOrigin {
    /// Its row.
    pub(in crate::files) entry: Entry,
    /// The path that row still has.
    pub(in crate::files) path: Vec<u8>,
}

/// Whether two looks were at the same object, under whatever name.
pub(super) fn is_same_object(known: &Observation, seen: &Observation) -> bool {
    let (old, new) = (&known.attributes, &seen.attributes);
    let is_born_alike = match (old.btime, new.btime) {
        (Some(old), Some(new)) => old == new,
        _ => old.mtime == new.mtime,
    };
    let is_content_same = match new.kind {
        FileKind::Regular => match known.digests.agree(&seen.digests) {
            Some(is_same) => is_same && seen.hash_state == HashState::Full,
            // A big file is read later, and then compared with what was known at its old place.
            None => {
                (known.hash_state == HashState::Off || matches!(seen.hash_state, HashState::Partial(_)))
                    && (old.size, old.mtime) == (new.size, new.mtime)
            }
        },
        FileKind::Symlink => old.target == new.target,
        _ => old.rdev == new.rdev,
    };
    (old.kind, old.dev, old.inode) == (new.kind, new.dev, new.inode)
        && is_born_alike
        && is_content_same
        && !new.is_generated()
}

/// Where what was seen in the directory `parent` was before, by one of these rows; `None` when it is an addition. What is not to be
/// looked at, or where changes are not accepted, moves nowhere.
pub(in crate::files) fn origin(
    store: &Store,
    areas: &WatchedAreas,
    rows: &[EntryId],
    parent: EntryId,
    seen: &Observation,
) -> Result<Option<MoveOrigin>, StoreError> {
    for id in rows {
        let Some(entry) = store.entry(*id)?.filter(|entry| is_same_object(&entry.known, seen)) else {
            continue;
        };
        let watched = areas.all.iter().find(|watched| watched.id == entry.area && watched.accepts_changes());
        let (Some(watched), Some(_), None) = (watched, entry.parent, entry.reported) else { continue };
        let (Some(root), Some(way)) = (watched.root(), store.way_to(entry.id)?) else { continue };
        let is_watched = store.area_state(watched.id)? == Some(AreaState::Watched);
        let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
        let path = join(&watched.path, &relative);
        // Behind a helper an inode says little, and nobody waits for an answer with the store in hand.
        let is_here = areas.far(watched, &path).is_none();
        if !is_watched || !is_here || areas.is_barred(&path) || areas.left_out_prefix(watched, &path).is_some() {
            continue;
        }
        let is_above = |way: Vec<(EntryId, Vec<u8>)>| way.iter().any(|(step, _)| *step == entry.id);
        if matches!(areas.lookup(watched, &path, &root, &relative), Lookup::Gone)
            && !store.way_to(parent)?.is_some_and(is_above)
        {
            return Ok(Some(MoveOrigin { entry, path }));
        }
    }
    Ok(None)
}

/// A path that is not in the baseline, though what is there was known at another: the row goes to its new place, and what lies beneath it
/// in another area with it. What is told has the old path beside it, so that it is found by that as well; what of the tree always
/// matters, there or here, or lends rights to whoever runs it, is named. Gives the row as well. Cost: a pass over what moves; none of it is held.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(in crate::files) fn moved(
    judge: Comparison<'_>,
    store: &Store,
    origin: &MoveOrigin,
    (parent, name, path): (Option<EntryId>, &[u8], &[u8]),
    seen: Observation,
) -> Result<(Entry, ConditionalOutcome), StoreError> {
    let MoveOrigin { entry, path: from } = origin;
    // What was not read is what it was.
    let seen = match seen.hash_state {
        HashState::Partial(_) => Observation { digests: entry.known.digests.clone(), ..seen },
        _ => seen,
    };
    let next = judge.new_entry(entry.id, parent, name, seen.clone());
    let mut company = Company::default();
    store.each_beneath(entry.id, from, |old, beneath| {
        let name = old.strip_prefix(from.as_slice()).unwrap_or_default();
        company.add_moved(&judge, (old, &[path, name].concat()), &beneath.known);
    })?;
    let event = company.raise(judge.arrival_from((from, entry), path, seen, company.entries + 1));
    let found =
        StoredFinding { event, members: vec![Member { source: from.clone(), old: entry.known.clone() }].into() };
    let is_handed_over = entry.area != next.area && next.known.attributes.kind == FileKind::Directory;
    let handed_over = is_handed_over.then_some(StateChange::HandOver(next.id, next.area));
    let changes = [StateChange::Put(Box::new(next.clone()))].into_iter().chain(handed_over).collect();
    Ok((next, ConditionalOutcome::new(Some(entry), vec![found], changes)))
}

/// The moves of one pass, which several workers may come upon.
#[derive(Debug, Default)]
pub struct Moves {
    inodes: InodeIndex,
    claimed: Mutex<HashMap<EntryId, Vec<u8>>>,
}

impl Moves {
    /// Where what was seen in the directory `parent` was before; what one worker was told, no other is.
    pub(in crate::files) fn claim(
        &self,
        store: &Store,
        areas: &WatchedAreas,
        parent: EntryId,
        seen: &Observation,
    ) -> Result<Option<MoveOrigin>, StoreError> {
        // A pass knows no time: its one table serves it to its end.
        let read = |after| store.inodes_after(after, ROWS);
        let rows = self.inodes.rows(seen.attributes.inode, Boottime::from_nanos(0), read)?;
        let Some(origin) = origin(store, areas, &rows, parent, seen)? else {
            return Ok(None);
        };
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        if claimed.contains_key(&origin.entry.id) {
            return Ok(None);
        }
        claimed.insert(origin.entry.id, origin.path.clone());
        Ok(Some(origin))
    }

    /// Whether the row with this number has moved.
    pub(in crate::files) fn has(&self, id: EntryId) -> bool {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// The paths that rows had which have moved.
    pub(in crate::files) fn paths(&self) -> Vec<Vec<u8>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl EntryChecker {
    /// Where something new at `target` was before.
    pub(in crate::files) fn origin(
        &self,
        watched: &WatchedArea,
        target: &CheckTarget,
        seen: &Observation,
    ) -> Result<Option<MoveOrigin>, StoreError> {
        let Some(parent) = target.parent.filter(|_| watched.accepts_changes()) else {
            return Ok(None);
        };
        if self.db.lock().area_state(watched.id)? != Some(AreaState::Watched) {
            return Ok(None);
        }
        let read = |after| self.db.lock().inodes_after(after, ROWS);
        let rows = self.inodes.rows(seen.attributes.inode, self.clock.now().boottime, read)?;
        origin(&self.db.lock(), &self.areas, &rows, parent, seen)
    }

    /// Where something that is gone may be now: a name nearby that the baseline does not know, with the same inode.
    pub(super) fn new_place(
        &self,
        watched: &WatchedArea,
        area: usize,
        top: &Entry,
    ) -> Result<Option<CheckTarget>, StoreError> {
        let (Some(root), Some(parent), true) = (watched.root(), top.parent, watched.accepts_changes()) else {
            return Ok(None);
        };
        let inode = top.known.attributes.inode;
        let (mut changed, mut looked_at) = (0, 0);
        for (directory, is_near) in self.nearby(parent)? {
            let Some(way) = self.db.lock().way_to(directory.id)? else { continue };
            let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
            let path = if relative.is_empty() { watched.path.clone() } else { join(&watched.path, &relative) };
            if directory.area != watched.id || self.areas.is_barred(&path) || self.areas.far(watched, &path).is_some() {
                continue;
            }
            let Ok(handle) = self.areas.open_near(watched, &path, &root, &relative) else { continue };
            let Ok(seen) = handle.attributes() else { continue };
            let has_changed = is_near || seen.mtime != directory.known.attributes.mtime;
            // Its row may have the change already, though what is new in it was not looked at yet.
            let is_looked_at = directory.checked >= top.checked;
            let listed = if has_changed { &mut changed } else { &mut looked_at };
            if !has_changed && !is_looked_at || *listed >= LISTED {
                continue;
            }
            let Some(names) = self.names_of(&handle, (directory.id, seen.mtime), inode) else { continue };
            for name in names {
                let path = join(&path, &name);
                let is_free = self.db.lock().entry_named(Some(directory.id), &name)?.is_none();
                if is_free && !self.areas.leaves_out(watched, &path) && !self.areas.is_barred(&path) {
                    let relative = if relative.is_empty() { name.clone() } else { join(&relative, &name) };
                    let way = TargetWay::BeneathRoot(root, relative);
                    return Ok(Some(CheckTarget { area, parent: Some(directory.id), name, path, way }));
                }
            }
            *listed += 1;
        }
        Ok(None)
    }

    /// The names with `inode` in a directory that is open as `handle` and was last changed at `mtime`; `None` when it was not listed,
    /// because it cannot be, or was a moment ago and did not have it.
    fn names_of(&self, handle: &Handle, (directory, mtime): (EntryId, Timestamp), inode: u64) -> Option<Vec<Vec<u8>>> {
        let now = self.clock.now().boottime;
        if self.inodes.is_known_without(directory, mtime, inode, now) {
            return None;
        }
        let mut listing = DirListing::new(handle.open_directory().ok()?).ok()?;
        let names = listing.next_block(NAMES).ok()?;
        self.inodes.note(directory, mtime, names.iter().map(|name| name.inode).collect(), now);
        Some(names.into_iter().filter(|name| name.inode == inode).map(|name| name.bytes).collect())
    }

    /// The directory `parent`, the one above, and the directories in either, those first that were changed last as far as that is known; the
    /// first two are listed whether they have changed or not.
    fn nearby(&self, parent: EntryId) -> Result<Vec<(Entry, bool)>, StoreError> {
        let store = self.db.lock();
        let mut near: Vec<Entry> = store.entry(parent)?.into_iter().collect();
        if let Some(above) = near.first().and_then(|parent| parent.parent) {
            near.extend(store.entry(above)?);
        }
        let mut all: Vec<(Entry, bool)> = near.iter().map(|directory| (directory.clone(), true)).collect();
        for directory in &near {
            let children = store.directories_in(directory.id, u32::try_from(NEARBY).unwrap_or(u32::MAX))?;
            all.extend(children.into_iter().filter(|child| child.id != parent).map(|child| (child, false)));
        }
        all.sort_by_key(|(directory, is_near)| Reverse((*is_near, directory.known.attributes.mtime)));
        all.truncate(NEARBY);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        clock::Timestamp,
        file::entry::{Attributes, Digests},
    };

    fn file() -> Observation {
        let time = Timestamp::from_nanos(7);
        Observation {
            attributes: Attributes { btime: Some(time), ..Attributes::sample(time) },
            hash_state: HashState::Full,
            digests: Digests { blake3: Some([1; 32]), ..Digests::default() },
        }
    }

    fn is_same(edit: impl Fn(&mut Observation)) -> bool {
        let mut seen = file();
        edit(&mut seen);
        is_same_object(&file(), &seen)
    }

    #[test]
    fn a_rename_keeps_inode_birth_and_content() {
        assert!(is_same(|seen| seen.attributes.ctime = Timestamp::from_nanos(9)));
        assert!(is_same(|seen| seen.attributes.perms = 0o600));
        assert!(!is_same(|seen| seen.attributes.inode = 11));
        assert!(!is_same(|seen| seen.attributes.dev = 2));
        assert!(!is_same(|seen| seen.attributes.kind = FileKind::Fifo));
        assert!(!is_same(|seen| seen.digests.blake3 = Some([2; 32])));
        assert!(!is_same(|seen| seen.hash_state = HashState::Busy));
    }

    #[test]
    fn a_freed_inode_that_was_given_to_another_file_is_no_move() {
        assert!(!is_same(|seen| seen.attributes.btime = Some(Timestamp::from_nanos(8))));
    }

    #[test]
    fn without_a_time_of_birth_the_last_modification_must_be_the_same() {
        let old = |seen: &mut Observation| seen.attributes.btime = None;
        assert!(is_same(old));
        assert!(!is_same(|seen| {
            old(seen);
            seen.attributes.mtime = Timestamp::from_nanos(8);
        }));
    }

    #[test]
    fn where_content_is_not_read_size_and_time_must_be_the_same() {
        let unread = Observation { hash_state: HashState::Off, digests: Digests::default(), ..file() };
        assert!(is_same_object(&unread, &unread));
        let mut longer = unread.clone();
        longer.attributes.size = 6;
        assert!(!is_same_object(&unread, &longer));
        assert!(!is_same_object(&file(), &unread));
    }
}
