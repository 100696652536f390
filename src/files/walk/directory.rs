//! Opening a directory of the baseline, so that its names become stops.

use rustix::io::Errno;

use crate::{
    files::{
        area::{
            path_limit::{is_near, room},
            watched_areas::{WatchedArea, join},
        },
        compare::shortage::{is_resource_exhausted, shortage},
        remote::lookup::{AccessError, Lookup},
        walk::{
            entry_check::{CheckOutcome, EntryChecker},
            frontier::{DirInHand, OpenDir, PendingDir},
            target::CheckTarget,
        },
    },
    model::file::entry::{Entry, EntryId, HashState, LONGEST_PATH},
    store::{events::outcome::Outcome, sqlite::error::StoreError},
    sys::fault_injection,
};

/// Opens a directory of the baseline from the root of its area; `None` when it cannot be listed, which its entry then says.
pub(in crate::files) fn open_directory(
    checker: &EntryChecker,
    ahead: PendingDir,
) -> Result<Option<OpenDir>, StoreError> {
    let (entry, way, since) = {
        let store = checker.db.lock();
        // One that was moved to another area meanwhile is met there.
        let area = checker.areas.all.get(ahead.area).map(|watched| watched.id);
        let Some(entry) = store.entry(ahead.entry)?.filter(|entry| Some(entry.area) == area) else {
            return Ok(None);
        };
        let Some(way) = store.way_to(ahead.entry)? else {
            return Ok(None);
        };
        (entry, way, store.last_visit() + 1)
    };
    let Some(watched) = checker.areas.all.get(ahead.area) else {
        return Ok(None);
    };
    let Some(root) = watched.root() else {
        return checker.note_unlisted(watched, ahead.area, &entry).map(|()| None);
    };
    let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
    let path = if relative.is_empty() { watched.path.clone() } else { join(&watched.path, &relative) };
    if path.len() > LONGEST_PATH {
        return Ok(None);
    }
    fault_injection::strike("list", &path);
    let mut listed = checker.areas.list(watched, &path, &root, &relative);
    if matches!(listed, Err(AccessError::Silent)) && checker.is_moving() && !checker.is_hidden(&path)? {
        listed = checker.areas.list(watched, &path, &root, &relative);
    }
    match listed {
        Ok((directory, inode, listing)) => {
            // Whether names in it are still too long shows when they have been read.
            let is_limited = entry.known.hash_state == HashState::PATHS_TOO_LONG && is_near(&path);
            if matches!(entry.known.hash_state, HashState::Unreadable(_)) && !is_limited {
                checker.set_hash_state(&mut checker.db.lock(), ahead.area, &entry, HashState::Off)?;
            }
            let place = DirInHand { area: ahead.area, entry: ahead.entry, path, directory, inode, since };
            Ok(Some(OpenDir::new(place, listing)))
        }
        Err(AccessError::Errno(errno)) if is_resource_exhausted(errno) => Err(shortage(&path, errno)),
        // No answer for now.
        Err(AccessError::Silent) => Ok(None),
        Err(AccessError::Errno(errno)) => {
            // Gone or exchanged since it was looked at: its next look will tell.
            if ![Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error).contains(&errno) {
                checker.set_hash_state(&mut checker.db.lock(), ahead.area, &entry, HashState::Unreadable(errno))?;
            }
            Ok(None)
        }
    }
}

impl EntryChecker {
    /// Notes that the root of an area cannot be listed, if that is why it is not open.
    fn note_unlisted(&self, watched: &WatchedArea, area: usize, root: &Entry) -> Result<(), StoreError> {
        let Lookup::There(object, _) = self.areas.lookup_at_root(watched) else { return Ok(()) };
        match object.open_directory() {
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) if is_resource_exhausted(errno.raw_os_error()) => {
                Err(shortage(&watched.path, errno.raw_os_error()))
            }
            Err(errno) => {
                let state = HashState::Unreadable(errno.raw_os_error());
                self.set_hash_state(&mut self.db.lock(), area, root, state).map(drop)
            }
        }
    }
}

impl EntryChecker {
    /// Notes whether names in a directory are too long, or with `None` only what the baseline has there. Gives whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub(in crate::files) fn mind_limit(
        &self,
        area: usize,
        id: EntryId,
        is_beyond: Option<bool>,
    ) -> Result<bool, StoreError> {
        let Some(watched) = self.areas.all.get(area) else { return Ok(false) };
        let mut store = self.db.lock();
        let (Some(entry), Some(way)) = (store.entry(id)?, store.way_to(id)?) else { return Ok(false) };
        let path = way.iter().skip(1).fold(watched.path.clone(), |path, (_, name)| join(&path, name));
        let beyond = store.entries_longer(id, room(&path))?;
        let piece = self.judge(watched, self.clock.now()).of_limit(&path, &entry, is_beyond, beyond);
        let Some(piece) = piece else { return Ok(false) };
        Ok(store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true))
    }

    /// A path of the baseline that is too long goes with all that lie beside it.
    pub(in crate::files) fn leave_beyond(
        &self,
        watched: &WatchedArea,
        target: &CheckTarget,
    ) -> Result<CheckOutcome, StoreError> {
        let way = match target.parent {
            Some(parent) => self.db.lock().way_to(parent)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut length = watched.path.len();
        let mut above = None;
        for (step, (id, name)) in way.iter().enumerate() {
            length += if step == 0 { 0 } else { name.len() + 1 };
            if length > LONGEST_PATH {
                break;
            }
            above = Some(*id);
        }
        let is_changed = above.map_or(Ok(false), |id| self.mind_limit(target.area, id, None))?;
        Ok(self.over(&target.path, &mut self.db.lock(), is_changed))
    }
}
