//! What a pass at full speed finds where the baseline has nothing, and of what the baseline has where nothing is.

use crate::{
    files::{
        area::watched_areas::{Exclusion, is_beneath},
        compare::{absence::removal, company::Company, finding::Finding},
        scan::{
            batch::{Passed, ScanBatch},
            entry_check::ScanCheck,
            scope::{EnteredDir, Ids, KnownEntry, ScanPlace},
        },
        walk::{missing::departed, moves::moved, record::piece},
    },
    model::file::entry::{Entry, EntryId, Observation},
    store::{
        baseline::members::Members,
        events::outcome::{ConditionalOutcome, StateChange, StoredFinding},
        sqlite::error::StoreError,
    },
};

impl ScanCheck<'_> {
    /// A path that is not in the baseline.
    pub(in crate::files) fn meet(
        &mut self,
        place: &ScanPlace,
        name: &[u8],
        path: &[u8],
        seen: Observation,
        batch: &mut ScanBatch,
    ) -> Result<EnteredDir, StoreError> {
        let origin = if self.is_learning || !self.watched.accepts_changes() {
            None
        } else {
            self.moves.claim(self.store, self.areas, place.entry.id, &seen)?
        };
        if let Some(origin) = origin {
            let (entry, piece) = moved(self.judge(), self.store, &origin, (Some(place.entry.id), name, path), seen)?;
            batch.news.push(piece);
            return Ok(EnteredDir { entry: Box::new(entry), is_new: false });
        }
        // Without a row of its own nothing is asked about it again.
        let id = self.ids.map_or(Ok(EntryId(-1)), Ids::next)?;
        let entry = match self.judge().of_unknown(path, (id, Some(place.entry.id), name), seen) {
            Finding::News(news) => {
                let entry = news.next.clone();
                batch.news.push(piece(&self.judge(), self.store, path, *news)?);
                Box::new(entry)
            }
            Finding::Learned(entry) => {
                match self.ids {
                    Some(_) => batch.learned.push(Entry::clone(&entry)),
                    None => batch.unlearned += 1,
                }
                entry
            }
            Finding::Same(..) => unreachable!("nothing is known of it"),
        };
        Ok(EnteredDir { entry, is_new: true })
    }

    /// A path of the baseline that is gone.
    pub(in crate::files) fn gone(&mut self, path: &[u8], known: &Entry) -> Result<ScanBatch, StoreError> {
        let moved: Vec<Vec<u8>> = self.moves.paths().into_iter().filter(|from| is_beneath(from, path)).collect();
        let judge = self.judge();
        let mut company = Company::default();
        company.add_removed(&judge, path, &known.known);
        self.store.each_beneath(known.id, path, |path, entry| {
            if !moved.iter().any(|from| is_beneath(path, from)) {
                company.add_removed(&judge, path, &entry.known);
            }
        })?;
        let found = departed(judge, known, path, &company);
        let change = removal(self.watched, known);
        Ok(ConditionalOutcome::new(Some(known), vec![found], vec![change]).into())
    }

    /// A path that the configuration leaves out: what the baseline has of it goes, with one notice.
    pub(super) fn leave_out(
        &mut self,
        place: &ScanPlace,
        (name, path): (&[u8], &[u8]),
        known: KnownEntry,
        why: Exclusion,
    ) -> Result<ScanBatch, StoreError> {
        let known = self.known(place, name, known)?;
        let mut passed = Passed::default();
        // What is ours, or another area's, is no part of this one.
        if matches!(why, Exclusion::Excluded | Exclusion::NotEntered) {
            passed.excluded = 1;
            passed.known = u64::from(known.is_some() && self.ids.is_none());
        }
        let Some(known) = known.filter(|_| self.ids.is_some()) else {
            return Ok(ScanBatch { passed, ..ScanBatch::default() });
        };
        let count = self.store.entries_below(known.id)? + 1;
        let event = self.judge().exclusion(&known, path, count);
        let members = if count > 1 { Members::tree(&known, path) } else { Members::default() };
        let changes = vec![StateChange::RemoveTree(known.id)];
        Ok(ConditionalOutcome::new(Some(&known), vec![StoredFinding { event, members }], changes).into())
    }
}
