//! Whether the way to a target is still that of the baseline.

use crate::{
    files::{
        area::watched_areas::{Tract, join},
        remote::lookup::Glance,
        walk::{
            entry_check::Visitor,
            target::{Target, Way},
        },
    },
    model::file::entry::FileKind,
    store::{baseline::areas::AreaState, sqlite::error::StoreError},
};

impl Visitor {
    /// Whether the way to a target is still that of the baseline: its area is not suspended, and the directory in hand was not
    /// moved away or replaced since it was opened, for its names would then be taken for those of another.
    pub(super) fn is_reachable(&self, tract: &Tract, target: &Target) -> Result<bool, StoreError> {
        let store = self.db.lock();
        if !store.area_state(tract.id)?.is_some_and(AreaState::is_active) {
            return Ok(false);
        }
        let Way::InDirectory(place) = &target.way else { return Ok(true) };
        let way = store.way_to(place.entry)?.unwrap_or_default();
        let path = way.iter().skip(1).fold(tract.path.clone(), |path, (_, name)| join(&path, name));
        let entry = store.entry(place.entry)?.filter(|_| path == place.path);
        Ok(entry.is_some_and(|entry| {
            let known = &entry.known.attributes;
            // What is kept may be the file that a directory has replaced.
            !tract.accepts_changes() || known.kind == FileKind::Directory && known.inode == place.inode
        }))
    }

    /// Whether the directory in hand still is what its path leads to.
    pub(super) fn is_in_place(&self, tract: &Tract, target: &Target) -> bool {
        let (Way::InDirectory(place), Some(root)) = (&target.way, tract.root()) else { return true };
        // Whether the root is another is looked after elsewhere.
        let beneath = tract.beneath(&place.path);
        if beneath.is_empty() {
            return true;
        }
        match self.ground.glance(tract, &place.path, &root, beneath) {
            Glance::There(_, now) => now.inode == place.inode,
            Glance::Gone => false,
            Glance::Refused(_) | Glance::Silent => true,
        }
    }
}
