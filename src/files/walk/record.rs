//! What was seen, against the baseline: learned, unchanged, or an event that is stored together with the new state.

use crate::{
    content::hasher::Evidence,
    files::{
        area::watched_areas::WatchedArea,
        compare::{
            big_file::{deadline, of_metadata, of_reading, unread},
            own_mail::{holds_only, new_part},
            verdict::{Comparison, EntryVerdict},
        },
        remote::lookup::Lookup,
        walk::{
            entry_check::{CheckOutcome, EntryChecker, PendingCheck},
            moves::{MoveOrigin, changes, moved},
            target::CheckTarget,
        },
    },
    model::{
        clock::Moment,
        event::Category,
        file::entry::{Entry, EntryId, FileKind, HashState, Observation},
    },
    store::{
        baseline::members::Members,
        events::outcome::{ConditionalOutcome, Outcome, StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
};

impl EntryChecker {
    /// Compares what was seen with the baseline and stores the outcome.
    pub(in crate::files) fn settle(
        &self,
        looked: &PendingCheck,
        evidence: impl Into<Evidence>,
    ) -> Result<CheckOutcome, StoreError> {
        let evidence = evidence.into();
        let seen = &evidence.seen;
        let mut store = self.db.lock();
        store.count_look(looked.read);
        let target = &looked.target;
        let Some(tract) = self.ground.tracts.get(target.area) else {
            return Ok(self.over(&target.path, &mut store, false));
        };
        drop(store);
        // News under a path where nothing is would be lies: the directory in hand may have been moved away.
        let is_news = looked.entry.as_ref().is_none_or(|entry| entry.known != *seen);
        // So would be news of what a new mount shows instead of what is known.
        if is_news && (self.is_hidden(&target.path)? || !self.is_in_place(tract, target)) {
            return Ok(self.over(&target.path, &mut self.db.lock(), false));
        }
        let is_own_mail = is_news && self.brings_own_mail(tract, looked, &evidence)?;
        let origin = if looked.entry.is_none() { self.origin(tract, target, seen)? } else { None };
        let mut store = self.db.lock();
        let judge = Comparison { is_own_mail, ..self.judge(tract, self.clock.now()) };
        let visit = store.next_visit();
        let is_directory = seen.attributes.kind == FileKind::Directory;
        let is_left = self.leaves_content(tract, looked);
        // Asked again: a command beside the daemon may have stored this very change while the file was read.
        let (id, is_changed) = match store.entry_named(target.parent, &target.name)? {
            None => match origin {
                Some(origin) => Self::store_moved(&mut store, judge, target, (&origin, evidence.seen), visit)?,
                None => Self::meet(&mut store, judge, target, evidence.seen, visit)?,
            },
            Some(entry) => {
                let verdict = if is_left {
                    let seen = unread(&looked.seen, Some(&entry), tract.settings.algorithms);
                    of_metadata(judge.again(&target.path, &entry, seen), &entry)
                } else {
                    let mut verdict = of_reading(judge.again(&target.path, &entry, evidence), &entry);
                    if entry.known.is_unread() && Self::is_learning(&store, tract)? {
                        // That a content cannot be read is learned like any other, also when the lane comes to it later.
                        verdict.events.retain(|event| !matches!(event.category, Category::Busy | Category::Unreadable));
                    }
                    verdict
                };
                (entry.id, Self::store_again(&mut store, target, &entry, verdict, visit)?)
            }
        };
        let left = if is_left { store.entry(id)? } else { None };
        Ok(CheckOutcome {
            key: self.key(&target.path),
            visit,
            is_changed,
            directory: is_directory.then_some(id),
            is_area_active: true,
            read: looked.read_at_once,
            left: left.and_then(|entry| deadline(tract, &entry, judge.now.wall)),
        })
    }

    /// Whether what was seen differs by mails of ours only.
    fn brings_own_mail(
        &self,
        tract: &WatchedArea,
        looked: &PendingCheck,
        evidence: &Evidence,
    ) -> Result<bool, StoreError> {
        let Some(begin) = new_part(looked.entry.as_ref().map(|entry| &entry.known), evidence) else { return Ok(false) };
        let seen = &evidence.seen.attributes;
        let ids = self.db.lock().own_message_ids(seen.mtime)?;
        if ids.is_empty() {
            return Ok(false);
        }
        Ok(match self.glance(tract, &looked.target) {
            Lookup::There(object, _) => holds_only(&object, begin, seen, &ids),
            _ => false,
        })
    }

    /// What looks in `tract` are judged by.
    pub(in crate::files) fn judge<'a>(&'a self, tract: &'a WatchedArea, now: Moment) -> Comparison<'a> {
        Comparison { tract, urgent: &self.urgent, now, is_own_mail: false }
    }

    /// A path that is not in the baseline, though what is there was known at another.
    fn store_moved(
        store: &mut Store,
        judge: Comparison<'_>,
        target: &CheckTarget,
        (origin, seen): (&MoveOrigin, Observation),
        visit: i64,
    ) -> Result<(EntryId, bool), StoreError> {
        let id = origin.entry.id;
        let seen = match seen.hash_state {
            HashState::Partial(_) => Observation { digests: origin.entry.known.digests.clone(), ..seen },
            _ => seen,
        };
        let next = Entry { visit, ..judge.newcomer(id, target.parent, &target.name, seen.clone()) };
        store.flush()?;
        let found = moved(judge, store, origin, (&target.path, seen))?;
        let outcome = Outcome { changes: changes(origin, next), events: vec![found] };
        let piece = ConditionalOutcome { basis: Some(Box::new(origin.entry.clone())), outcome };
        let is_told = store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true);
        Ok((id, is_told))
    }

    /// A path that is not in the baseline: learned in the first round, reported later.
    fn meet(
        store: &mut Store,
        judge: Comparison<'_>,
        target: &CheckTarget,
        seen: Observation,
        visit: i64,
    ) -> Result<(EntryId, bool), StoreError> {
        let id = store.new_entry_id()?;
        let entry = Entry { visit, ..judge.newcomer(id, target.parent, &target.name, seen.clone()) };
        if Self::is_learning(store, judge.tract)? {
            store.learn(entry);
            return Ok((id, false));
        }
        let outcome = Outcome::tell(judge.arrival(&target.path, seen)).with_change(StateChange::Put(Box::new(entry)));
        let is_told = store
            .commit_fresh(&[ConditionalOutcome { basis: None, outcome }], |_fresh| Outcome::default())?
            .contains(&true);
        // A command beside the daemon may have been first: then it has told.
        let known = if is_told { None } else { store.entry_named(target.parent, &target.name)? };
        Ok((known.map_or(id, |known| known.id), is_told))
    }

    pub(super) fn store_again(
        store: &mut Store,
        target: &CheckTarget,
        entry: &Entry,
        verdict: EntryVerdict,
        visit: i64,
    ) -> Result<bool, StoreError> {
        let next = Entry { visit, ..verdict.next };
        if verdict.events.is_empty() {
            if next.known == entry.known && next.recorded == entry.recorded && next.reported == entry.reported {
                store.touch(entry.id, next.visit, next.checked);
            } else {
                store.learn(next);
            }
            return Ok(false);
        }
        let mut outcome = Outcome::default();
        for mut event in verdict.events {
            let mut members = Members::default();
            if event.category == Category::Retyped && leaves_children(entry, &next) {
                store.flush()?;
                members = Members::tree(entry, &target.path);
                event.count = store.entries_below(entry.id)? + 1;
                outcome.changes.push(StateChange::RemoveChildren(entry.id));
            }
            outcome.events.push(StoredFinding { event, members });
        }
        let outcome = outcome.with_change(StateChange::Put(Box::new(next)));
        let piece = ConditionalOutcome { basis: Some(Box::new(entry.clone())), outcome };
        Ok(store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true))
    }

    pub(in crate::files) fn is_learning(store: &Store, tract: &WatchedArea) -> Result<bool, StoreError> {
        store.is_learning(tract.id)
    }
}

/// Whether a directory has become something else, and what was below it is gone with it.
pub(in crate::files) fn leaves_children(entry: &Entry, next: &Entry) -> bool {
    let kind = |entry: &Entry| entry.known.attributes.kind;
    kind(entry) == FileKind::Directory && kind(next) != FileKind::Directory
}
