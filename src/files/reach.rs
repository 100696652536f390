//! What of the ground can be reached and how: past what is not entered, directly, or through a helper.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use super::{
    far::Far,
    ground::{Ground, Tract, is_beneath},
    sight::{Base, Glance, Listing, Trouble, glance_at},
};
use crate::{model::entry::AreaId, sys::mounts::Mount};

impl Ground {
    /// Reads what is mounted now; gives the mounts within areas that are not entered and were not there before.
    pub fn survey(&self) -> Vec<Mount> {
        if self.lay.read() {
            self.draw_bars();
        }
        let barred = self.barred.read().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let new = barred.iter().filter(|mount| !told.contains(mount)).cloned().collect();
        told.clone_from(&barred);
        new
    }

    /// Takes note of what was mounted or unmounted a moment ago. Cost: one `poll(2)` while nothing was.
    pub fn keep_up(&self) {
        if self.lay.keep_up() {
            self.draw_bars();
        }
    }

    fn draw_bars(&self) {
        self.tracts.iter().for_each(|tract| self.find(tract));
        let table = self.lay.table();
        let mut barred: Vec<Mount> = table.all().iter().filter_map(|mount| self.bar(mount)).collect();
        barred.sort();
        // Only the topmost: what is mounted beneath is not reached either.
        barred.dedup_by(|next, kept| is_beneath(&next.point, &kept.point));
        *self.barred.write().unwrap_or_else(PoisonError::into_inner) = barred;
    }

    /// The mount as the walk meets it, when it lies in an area that does not admit its type. The root of an area is always entered, and
    /// with it what is of its type.
    fn bar(&self, mount: &Mount) -> Option<Mount> {
        if !mount.is_slow() && !mount.is_virtual() {
            return None;
        }
        let seen = self.tracts.iter().filter_map(|tract| Some((tract, tract.seen_as(&mount.point)?)));
        let (tract, point) = seen.max_by_key(|(tract, _)| tract.path.len())?;
        let is_admitted = point == tract.path
            || tract.settings.admitted_types.contains(&mount.kind)
            || self.far(tract, &tract.path).is_some_and(|(far, _)| far.mount.kind == mount.kind)
            || tract.settings.excludes.covers(&point);
        (!is_admitted).then(|| Mount { point, ..mount.clone() })
    }

    /// Finds out where an area really is.
    fn find(&self, tract: &Tract) {
        *tract.real.lock().unwrap_or_else(PoisonError::into_inner) = self.lay.resolve(&tract.path);
    }

    /// The slow mount on which `path`, met in `tract`, lies, and where on it; `None` when it can be touched.
    pub fn far(&self, tract: &Tract, path: &[u8]) -> Option<(Arc<Far>, Vec<u8>)> {
        if self.lay.can_hang() { self.lay.far(&tract.real_of(path)) } else { None }
    }

    /// Where an area really is when that is a path that can be touched.
    pub fn near_root(&self, tract: &Tract) -> Option<PathBuf> {
        self.find(tract);
        self.far(tract, &tract.path).is_none().then(|| tract.real())
    }

    /// Areas that lie on a slow file system as a whole and of which some look since this was asked last had no answer: a round over
    /// them has not seen everything.
    pub fn unfinished(&self) -> Vec<AreaId> {
        let silent = self.tracts.iter().filter(|tract| tract.was_silent() && self.far(tract, &tract.path).is_some());
        silent.map(|tract| tract.id).collect()
    }

    /// Looks at the root of an area.
    pub fn glance_at_root(&self, tract: &Tract) -> Glance {
        match self.near_root(tract) {
            Some(path) => match glance_at(&path) {
                // A link that leads nowhere is seen itself.
                Glance::Gone => glance_at(&tract.settings.path),
                seen => seen,
            },
            None => self.glance(tract, &tract.path, &Base::Far, b""),
        }
    }

    /// Looks at `path`, which lies in `tract` and is `relative` beneath `base`.
    pub fn glance(&self, tract: &Tract, path: &[u8], base: &Base, relative: &[u8]) -> Glance {
        let seen = match self.far(tract, path) {
            Some((far, beneath)) => far.glance(beneath),
            None => base.glance(relative),
        };
        if matches!(seen, Glance::Silent) {
            tract.note_silence();
        }
        seen
    }

    /// Opens the directory `path`, which lies in `tract` and is `relative` beneath `base`, for listing; gives its inode as well.
    ///
    /// # Errors
    /// Why it cannot be listed.
    pub fn list(
        &self,
        tract: &Tract,
        path: &[u8],
        base: &Base,
        relative: &[u8],
    ) -> Result<(Base, u64, Listing), Trouble> {
        let listed = match self.far(tract, path) {
            Some((far, beneath)) => far.list(beneath),
            None => base.list(relative),
        };
        if matches!(listed, Err(Trouble::Silent)) {
            tract.note_silence();
        }
        listed
    }
}
