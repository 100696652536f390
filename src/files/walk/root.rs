//! The root of an area: where its configured path really leads, and what is told when that is elsewhere than before.
//!
//! A configured path may be a symbolic link or lead through one (`/bin`, `/srv/current`). What it leads to is watched, and where
//! that is stands in the root's row of the baseline as the target of a link. When it leads elsewhere, that is one event of high
//! severity; what lies there is compared with what is known, name by name, for most often it is a new release of the same. Should
//! most of it be missing there, that is told with the same event: the area is not suspended, since somebody meant it so.

use std::os::{fd::AsFd, unix::ffi::OsStringExt};

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas},
        baseline::mass_removal::MassRemoval,
        compare::absence::{removal, retarget},
        remote::lookup::{DirHandle, Lookup},
        walk::entry_check::EntryChecker,
    },
    model::file::entry::{Attributes, Entry, FileKind, Observation},
    store::{
        baseline::members::{MemberPart, Members},
        events::outcome::{Outcome, StateChange, StoredFinding},
        sqlite::error::StoreError,
    },
    sys::fs::handle::attributes_of,
};

impl WatchedAreas {
    /// Looks at the root of an area, through symbolic links; as its target it has the path where it really is.
    pub(in crate::files) fn look_at_root(&self, watched: &WatchedArea) -> Lookup {
        match self.lookup_at_root(watched) {
            // A link that leads nowhere.
            Lookup::There(_, seen) if seen.kind == FileKind::Symlink => Lookup::Gone,
            Lookup::There(object, seen) => {
                let target = Some(watched.real().into_os_string().into_vec());
                Lookup::There(object, Attributes { target, ..seen })
            }
            other => other,
        }
    }

    /// Whether the configured path of an area leads to something else than its open root, or to nothing.
    pub(in crate::files) fn is_another(&self, watched: &WatchedArea) -> bool {
        let root = watched.root();
        let Some(DirHandle::Near(open)) = root.as_deref() else { return false };
        let Ok(open) = attributes_of(open.as_fd()) else { return false };
        match self.lookup_at_root(watched) {
            Lookup::There(_, there) => (there.dev, there.inode) != (open.dev, open.inode),
            Lookup::Silent => false,
            Lookup::Gone | Lookup::Refused(_) => true,
        }
    }
}

impl EntryChecker {
    /// What is to be stored when another way leads to the root of an area than was known, which is open as `root`; `None` when that
    /// is not so. When most of what is known is not there, it is gone with the same event.
    pub(super) fn retargeted(
        &self,
        watched: &WatchedArea,
        known: &Entry,
        seen: &Attributes,
        root: Option<&DirHandle>,
    ) -> Result<Option<Outcome>, StoreError> {
        let Some(mut event) = retarget(watched, known, seen, self.clock.now()) else {
            return Ok(None);
        };
        let attributes = Attributes { target: seen.target.clone(), ..known.known.attributes.clone() };
        let next = Entry { known: Observation { attributes, ..known.known.clone() }, ..known.clone() };
        let mut outcome = Outcome::default().with_change(StateChange::Put(Box::new(next)));
        let loss = root.map_or(Ok(None), |root| MassRemoval::of(&self.db, &self.areas, watched, root))?;
        let mut members = Members::default();
        if let Some(loss) = loss {
            let store = self.db.lock();
            for lost in &loss.topmost {
                if let Some(top) = store.entry(lost.id)? {
                    members.0.push(MemberPart::Tree(Box::new(top.clone()), lost.path.clone()));
                    outcome.changes.push(removal(watched, &top));
                }
            }
            event.count = loss.missing;
            event
                .note
                .extend_from_slice(format!("\n{} of {} entries are not there", loss.missing, loss.known()).as_bytes());
        }
        outcome.events.push(StoredFinding { event, members });
        Ok(Some(outcome))
    }
}
