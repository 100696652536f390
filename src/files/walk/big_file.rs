//! Visits to big files: their metadata are compared at every look, their content is read by the queue beside the walk.
//!
//! What was learned or told of the metadata does not wait for the content. Until the queue has read it, the row says
//! [`HashState::Partial`], and its digests, size and times are those of the last whole reading: what is written meanwhile is told once, and
//! the whole reading is compared with the whole one before it. For big files `checked` is the time of that reading,
//! not of the last look, so that coverage never counts as checked what was not read; the visit number moves with every look, so that
//! the walk, the recheck and the end of a speed-up do not wait for the queue.

use crate::{
    content::reader::is_same,
    files::{
        area::watched_areas::WatchedArea,
        compare::big_file::Reads,
        remote::lookup::Lookup,
        walk::{
            entry_check::{CheckStep, EntryChecker, PendingCheck, PendingRead},
            target::CheckTarget,
        },
    },
    model::file::entry::{Entry, EntryId, FileKind},
    store::sqlite::{connection::Store, error::StoreError},
};

impl EntryChecker {
    /// Whether this look leaves the content to the queue.
    pub(super) fn leaves_content(&self, watched: &WatchedArea, looked: &PendingCheck) -> bool {
        looked.reads == Reads::UpToBig
            && looked.seen.kind == FileKind::Regular
            && looked.seen.size > self.big_file
            && !watched.settings.algorithms.is_empty()
    }

    /// Where a visit to an entry leads; `None` when its area is not configured or not there.
    pub(super) fn target_of(&self, entry: &Entry, way: &[(EntryId, Vec<u8>)]) -> Option<CheckTarget> {
        let area = self.areas.all.iter().position(|watched| watched.id == entry.area)?;
        CheckTarget::of_entry(area, self.areas.all.get(area)?, entry, way)
    }

    /// The same of the entry with this id, which may be gone.
    pub(super) fn target_to(&self, store: &Store, id: EntryId) -> Result<Option<CheckTarget>, StoreError> {
        let (Some(entry), Some(way)) = (store.entry(id)?, store.way_to(id)?) else { return Ok(None) };
        Ok(self.target_of(&entry, &way))
    }

    /// Ends the reading of a big file. That took long: unless the path still leads to what was read, it counts as torn.
    pub(super) fn finish_big(&self, open: PendingRead) -> Result<CheckStep, StoreError> {
        let Some(watched) = self.areas.all.get(open.looked.target.area) else {
            return self.finish(open);
        };
        if !self.is_reachable(watched, &open.looked.target)? {
            return Ok(CheckStep::Done(self.over(&open.looked.target.path, &mut self.db.lock(), false)));
        }
        match self.lookup(watched, &open.looked.target) {
            Lookup::There(_, now) if is_same(&open.looked.seen, &now) => self.finish(open),
            _ => Ok(CheckStep::Torn(Box::new(open.looked))),
        }
    }
}
