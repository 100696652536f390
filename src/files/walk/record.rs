//! What was seen, against the baseline: learned, unchanged, or an event that is stored together with the new state.

use crate::{
    content::hasher::Evidence,
    files::{
        area::watched_areas::WatchedArea,
        compare::{
            big_file::{deadline, unread},
            company::Company,
            comparison::Comparison,
            finding::{Finding, News, Sighting},
            own_mail::{holds_only, new_part},
        },
        remote::lookup::Lookup,
        walk::{
            entry_check::{CheckOutcome, EntryChecker, PendingCheck},
            moves::moved,
        },
    },
    model::{
        clock::Moment,
        event::{Category, Event},
        file::entry::{Entry, FileKind},
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
        let Some(watched) = self.areas.all.get(target.area) else {
            return Ok(self.over(&target.path, &mut store, false));
        };
        drop(store);
        // News under a path where nothing is would be lies: the directory in hand may have been moved away.
        let is_news = looked.entry.as_ref().is_none_or(|entry| entry.known != *seen);
        // So would be news of what a new mount shows instead of what is known.
        if is_news && (self.is_hidden(&target.path)? || !self.is_in_place(watched, target)) {
            return Ok(self.over(&target.path, &mut self.db.lock(), false));
        }
        let is_own_mail = is_news && self.brings_own_mail(watched, looked, &evidence)?;
        let origin = if looked.entry.is_none() { self.origin(watched, target, seen)? } else { None };
        let mut store = self.db.lock();
        // Asked again: a command beside the daemon may have stored this very change while the file was read.
        let known = store.entry_named(target.parent, &target.name)?;
        // A query, which only these need.
        let is_learnable = known.as_ref().is_none_or(|known| known.known.is_unread());
        let is_learning = is_learnable && store.is_learning(watched.id)?;
        let judge = Comparison { is_own_mail, is_learning, ..self.judge(watched, self.clock.now()) };
        let is_directory = seen.attributes.kind == FileKind::Directory;
        let is_left = self.leaves_content(watched, looked);
        let (id, is_changed) = match (known, origin) {
            (None, Some(origin)) => {
                store.flush()?;
                let visit = store.next_visit();
                let place = (target.parent, target.name.as_slice(), target.path.as_slice());
                let (_, piece) = moved(judge, &store, &origin, place, evidence.seen)?;
                (origin.entry.id, Self::commit_news(&mut store, piece, visit)?)
            }
            (None, None) => {
                let id = store.new_entry_id()?;
                let finding = judge.of_unknown(&target.path, (id, target.parent, &target.name), evidence.seen);
                let is_news = matches!(finding, Finding::News(_));
                let is_told = Self::commit(&judge, &mut store, &target.path, finding)?;
                // A command beside the daemon may have been first: then it has told.
                let other = if is_news && !is_told { store.entry_named(target.parent, &target.name)? } else { None };
                (other.map_or(id, |known| known.id), is_told)
            }
            (Some(entry), _) => {
                let sighting = if is_left {
                    Sighting::Metadata(unread(&looked.seen, Some(&entry), watched.settings.algorithms))
                } else {
                    Sighting::Whole(evidence)
                };
                let finding = judge.of_known(&target.path, &entry, sighting);
                (entry.id, Self::commit(&judge, &mut store, &target.path, finding)?)
            }
        };
        let left = if is_left { store.entry(id)? } else { None };
        Ok(CheckOutcome {
            key: self.key(&target.path),
            visit: store.last_visit(),
            is_changed,
            directory: is_directory.then_some(id),
            is_area_active: true,
            read: looked.read_at_once,
            left: left.and_then(|entry| deadline(watched, &entry, judge.now.wall)),
        })
    }

    /// Whether what was seen differs by mails of ours only.
    fn brings_own_mail(
        &self,
        watched: &WatchedArea,
        looked: &PendingCheck,
        evidence: &Evidence,
    ) -> Result<bool, StoreError> {
        let Some(begin) = new_part(looked.entry.as_ref().map(|entry| &entry.known), evidence) else { return Ok(false) };
        let seen = &evidence.seen.attributes;
        let ids = self.db.lock().own_message_ids(seen.mtime)?;
        if ids.is_empty() {
            return Ok(false);
        }
        Ok(match self.lookup(watched, &looked.target) {
            Lookup::There(object, _) => holds_only(&object, begin, seen, &ids),
            _ => false,
        })
    }

    /// What looks in `watched` are judged by.
    pub(in crate::files) fn judge<'a>(&'a self, watched: &'a WatchedArea, now: Moment) -> Comparison<'a> {
        let (is_own_mail, is_learning, shows_all) = (false, false, false);
        Comparison { watched, areas: &self.areas, now, is_own_mail, is_learning, shows_all }
    }

    /// Stores what a look at `path` has come to, under a new visit number; gives whether it was told.
    pub(super) fn commit(
        judge: &Comparison<'_>,
        store: &mut Store,
        path: &[u8],
        finding: Finding,
    ) -> Result<bool, StoreError> {
        let visit = store.next_visit();
        match finding {
            Finding::Same(id, checked) => store.touch(id, visit, checked),
            Finding::Learned(next) => store.learn(Entry { visit, ..*next }),
            Finding::News(news) => {
                if news.leaves_children() {
                    store.flush()?;
                }
                let piece = piece(judge, store, path, *news)?;
                return Self::commit_news(store, piece, visit);
            }
        }
        Ok(false)
    }

    /// Stores and tells, unless another has done so first.
    fn commit_news(store: &mut Store, mut piece: ConditionalOutcome, visit: i64) -> Result<bool, StoreError> {
        for change in &mut piece.outcome.changes {
            if let StateChange::Put(entry) = change {
                entry.visit = visit;
            }
        }
        Ok(store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true))
    }
}

/// What is stored of news about `path`, with what lay beneath a directory that has become something else.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(in crate::files) fn piece(
    judge: &Comparison<'_>,
    store: &Store,
    path: &[u8],
    news: News,
) -> Result<ConditionalOutcome, StoreError> {
    let is_retyped = news.events.iter().any(|event| event.category == Category::Retyped);
    let left = news.basis.as_ref().filter(|_| is_retyped && news.leaves_children());
    let mut changes: Vec<StateChange> = left.map(|entry| StateChange::RemoveChildren(entry.id)).into_iter().collect();
    let mut found = Vec::new();
    for mut event in news.events {
        let mut members = Members::default();
        if let Some(entry) = left.filter(|_| event.category == Category::Retyped) {
            members = Members::tree(entry, path);
            let mut company = Company::default();
            store.each_beneath(entry.id, path, |path, beneath| company.add_removed(judge, path, &beneath.known))?;
            event = Event { count: company.entries + 1, ..company.raise(event) };
        }
        found.push(StoredFinding { event, members });
    }
    changes.push(StateChange::Put(Box::new(news.next)));
    Ok(ConditionalOutcome::new(news.basis.as_ref(), found, changes))
}
