//! Where a full-speed pass begins: the roots of the areas, looked at and judged before anything beneath them.

use std::{io, sync::PoisonError};

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas},
        baseline::mass_removal::MassRemoval,
        compare::{
            absence::{misfit, missing_event, retarget},
            shortage::{is_resource_exhausted, shortage},
        },
        remote::lookup::Lookup,
        scan::{batch::ScanBatch, scope::Directory, workers::ParallelScan},
        walk::missing::ROOT_GONE,
    },
    model::file::entry::{Attributes, Entry, FileKind, HashState},
    store::{
        baseline::areas::AreaRow,
        db::Db,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// A root that was looked at: its metadata, itself when it is a directory, and what differs.
pub(in crate::files) type RootLook = (Attributes, Option<Directory>, ScanBatch);

/// Why the root of an area cannot be looked at; `None` when something is there.
pub(super) fn absence(areas: &WatchedAreas, watched: &WatchedArea) -> Option<String> {
    match areas.look_at_root(watched) {
        Lookup::There(..) => None,
        Lookup::Silent => Some(SILENT.to_owned()),
        Lookup::Gone => Some(ROOT_GONE.to_owned()),
        Lookup::Refused(errno) => Some(format!("its root cannot be looked at: {}", io::Error::from(errno))),
    }
}

const SILENT: &str = "the file system it lies on does not answer";

impl ParallelScan {
    /// Looks at the root of an area against the baseline; gives it to begin with, when it is the one the baseline belongs to.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(in crate::files) fn approach(
        &self,
        area: usize,
        row: &AreaRow,
        root: &Entry,
        db: &Db,
    ) -> Result<(Option<Directory>, ScanBatch), StoreError> {
        let Some(watched) = self.watched(area) else {
            return Ok((None, ScanBatch::default()));
        };
        let now = self.clock.now();
        let missing = |why: &str| -> Result<_, StoreError> {
            let event = missing_event(watched, db.lock().entries_of(watched.id)?, why, now);
            Ok((None, ScanBatch::telling(event)))
        };
        let seen = match self.areas.look_at_root(watched) {
            Lookup::There(_, seen) => seen,
            // That it does not answer is told with its mount.
            Lookup::Silent => return Ok((None, ScanBatch::default())),
            Lookup::Gone => return missing(ROOT_GONE),
            Lookup::Refused(errno) => {
                return missing(&format!("its root cannot be looked at: {}", io::Error::from(errno)));
            }
        };
        let covered = self.areas.covered_root(&db.lock(), watched, (row, Some(root), &seen), now)?;
        if let Some(why) = misfit(watched, row, Some(root), &seen, now).or(covered) {
            return missing(why);
        }
        let Ok((_, directory, mut batch)) = self.take_root(area, root, &mut db.lock())? else {
            // It went while it was looked at: the next pass will tell.
            return Ok((None, ScanBatch::default()));
        };
        if let Some(event) = retarget(watched, root, &seen, now) {
            batch.add(ScanBatch::telling(event));
        } else if let Some(open) = watched.root()
            && let Some(loss) = MassRemoval::emptied(db, &self.areas, watched, (&open, None))?
        {
            // Nothing is stored: what is missing is one finding all the same.
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.fresh.extend(loss.topmost.into_iter().map(|lost| (lost.id, lost.entries)));
        }
        Ok((directory, batch))
    }

    /// Looks at the root of an area, whatever it is; gives its metadata, and itself to begin with when it is a directory. The inner
    /// error says why it cannot be looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(super) fn take_root(
        &self,
        area: usize,
        root: &Entry,
        store: &mut Store,
    ) -> Result<Result<RootLook, String>, StoreError> {
        let Some(watched) = self.watched(area) else {
            return Ok(Err("it is not configured".to_owned()));
        };
        let (handle, seen) = match self.areas.look_at_root(watched) {
            Lookup::There(handle, seen) => (handle, seen),
            Lookup::Silent => return Ok(Err(SILENT.to_owned())),
            Lookup::Gone => return Ok(Err("it does not exist".to_owned())),
            Lookup::Refused(errno) => return Ok(Err(io::Error::from(errno).to_string())),
        };
        let opened = if seen.kind == FileKind::Directory { handle.open_directory().map(Some) } else { Ok(None) };
        let mut batch = ScanBatch::default();
        let mut buffer = Vec::new();
        let next = self.scan(watched, store, &mut buffer).at_root(root, &mut batch)?;
        match opened {
            Ok(opened) => watched.set_root(opened),
            Err(errno) if is_resource_exhausted(errno.raw_os_error()) => {
                return Err(shortage(&watched.path, errno.raw_os_error()));
            }
            Err(errno) => {
                watched.set_root(None);
                let state = HashState::Unreadable(errno.raw_os_error());
                batch.add(self.scan(watched, store, &mut buffer).content_state(&watched.path, &next, state)?);
            }
        }
        Ok(Ok((seen, self.root(area, next), batch)))
    }

    /// The open root of an area, to begin with; `None` when it is no directory or not open.
    pub(in crate::files) fn root(&self, area: usize, entry: Entry) -> Option<Directory> {
        let watched = self.watched(area)?;
        if entry.known.attributes.kind != FileKind::Directory {
            return None;
        }
        watched.root()?;
        Some(Directory { area, entry: Box::new(entry), is_new: false, path: watched.path.clone() })
    }
}
