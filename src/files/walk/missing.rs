//! What is not there: a file, a whole subtree, the root of an area.

use crate::{
    files::{
        area::{
            overmounts::is_root_covered,
            watched_areas::{WatchedArea, WatchedAreas, join},
        },
        baseline::mass_removal::MassRemoval,
        compare::{
            absence::{misfit, missing_event, removal, retarget},
            company::Company,
            comparison::Comparison,
        },
        remote::lookup::{DirHandle, FileHandle, Lookup},
        walk::{
            entry_check::{CheckOutcome, CheckStep, EntryChecker},
            target::CheckTarget,
        },
    },
    model::{
        clock::{Boottime, Moment},
        event::{Category, Event, Severity},
        file::entry::{Attributes, Entry, FileKind},
    },
    store::{
        baseline::{
            areas::{AreaRow, AreaState, RootIdentity},
            members::Members,
            missing::GONE,
        },
        events::outcome::{ConditionalOutcome, Outcome, StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Why nothing can be looked at, and what to do.
pub(in crate::files) const ROOT_GONE: &str = "its root does not exist: make or mount it, or take its area line out";

/// What a missing path turned out to be.
enum Top {
    /// It is there after all.
    Back,
    /// The topmost path that is gone: its entry, and its path.
    Gone(Box<Entry>, Vec<u8>),
    /// A path on the way is no directory any more, or the root is another; its own visit tells.
    Retyped(CheckTarget),
    /// The root of the area is gone or cannot be reached.
    RootGone,
}

impl EntryChecker {
    /// Settles a path that was not found: looked up again from its parents before anything is reported, and reported once for
    /// the topmost part that is gone.
    pub(in crate::files) fn gone(&self, watched: &WatchedArea, target: &CheckTarget) -> Result<CheckStep, StoreError> {
        // Something may have been unmounted this very moment.
        if self.is_hidden(&target.path)? {
            return Ok(CheckStep::Done(self.over(&target.path, &mut self.db.lock(), false)));
        }
        let known = {
            let mut store = self.db.lock();
            store.count_look(0);
            let known = store.entry_named(target.parent, &target.name)?;
            if known.is_none() && target.parent.is_none() {
                return self.area_missing(&mut store, watched, target, ROOT_GONE).map(CheckStep::Done);
            }
            known
        };
        // Looked at while the store is free: an answer may take its time.
        let top = match &known {
            Some(entry) => self.topmost_gone(watched, target, entry)?,
            // Listed, but gone before it was looked at, and never known.
            None => Top::Back,
        };
        let mut store = self.db.lock();
        match top {
            Top::Back => Ok(CheckStep::Done(self.over(&target.path, &mut store, false))),
            Top::Retyped(ancestor) => {
                drop(store);
                self.begin(ancestor)
            }
            Top::RootGone => self.area_missing(&mut store, watched, target, ROOT_GONE).map(CheckStep::Done),
            Top::Gone(top, _) if top.reported == Some(GONE) => {
                Ok(CheckStep::Done(self.over(&target.path, &mut store, false)))
            }
            Top::Gone(top, path) => {
                drop(store);
                if let Some(place) = self.new_place(watched, target.area, &top)? {
                    return self.begin(place);
                }
                if let Some(root) = watched.root()
                    && self.tell_lost(watched, (&root, Some(self.clock.now().boottime)))?
                {
                    return Ok(CheckStep::Done(self.over(&target.path, &mut self.db.lock(), true)));
                }
                self.removed(&mut self.db.lock(), watched, &top, &path).map(CheckStep::Done)
            }
        }
    }

    fn topmost_gone(&self, watched: &WatchedArea, target: &CheckTarget, entry: &Entry) -> Result<Top, StoreError> {
        let fresh = match self.areas.look_at_root(watched) {
            Lookup::There(object, seen) if seen.kind == FileKind::Directory => {
                let known = Self::row(&self.db.lock(), watched)?.and_then(|row| row.root);
                if known.is_some_and(|known| (known.dev, known.inode) != (seen.dev, seen.inode)) {
                    return Ok(Top::Retyped(CheckTarget::root(target.area, watched)));
                }
                object
            }
            Lookup::Silent => return Ok(Top::Back),
            _ => return Ok(Top::RootGone),
        };
        let Ok(root) = fresh.open_directory() else {
            return Ok(Top::RootGone);
        };
        let Some(way) = self.db.lock().way_to(entry.id)? else {
            return Ok(Top::Back);
        };
        let mut relative: Vec<u8> = Vec::new();
        for (id, name) in way.iter().skip(1) {
            relative = if relative.is_empty() { name.clone() } else { join(&relative, name) };
            let path = join(&watched.path, &relative);
            match self.areas.lookup(watched, &path, &root, &relative) {
                Lookup::There(_, seen) if seen.kind == FileKind::Directory || *id == entry.id => {}
                Lookup::There(..) => {
                    // Reached through the fresh root, in case the old descriptor belongs to a directory that was replaced.
                    watched.set_root(Some(root));
                    let Some(ancestor) = self.db.lock().entry(*id)? else {
                        return Ok(Top::Back);
                    };
                    let way: Vec<_> = way.iter().take_while(|(step, _)| step != id).cloned().collect();
                    let way = [way, vec![(*id, name.clone())]].concat();
                    return Ok(
                        CheckTarget::of_entry(target.area, watched, &ancestor, &way).map_or(Top::Back, Top::Retyped)
                    );
                }
                Lookup::Gone => {
                    watched.set_root(Some(root));
                    return Ok(self.db.lock().entry(*id)?.map_or(Top::Back, |top| Top::Gone(Box::new(top), path)));
                }
                Lookup::Refused(_) | Lookup::Silent => return Ok(Top::Back),
            }
        }
        watched.set_root(Some(root));
        Ok(Top::Back)
    }

    fn removed(
        &self,
        store: &mut Store,
        watched: &WatchedArea,
        top: &Entry,
        path: &[u8],
    ) -> Result<CheckOutcome, StoreError> {
        store.flush()?;
        let visit = store.next_visit();
        let judge = self.judge(watched, self.clock.now());
        let mut company = Company::default();
        company.add_removed(&judge, path, &top.known);
        store.each_beneath(top.id, path, |path, entry| company.add_removed(&judge, path, &entry.known))?;
        let change = removal(watched, &Entry { visit, ..top.clone() });
        let outcome = Outcome { changes: vec![change], events: vec![departed(judge, top, path, &company)] };
        let piece = ConditionalOutcome { basis: Some(Box::new(top.clone())), outcome };
        let is_told = store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true);
        Ok(self.over(path, store, is_told))
    }

    /// Tells of an area that was emptied beneath its open root, and keeps the baseline of what is missing; gives whether that was so.
    /// With a time, as [`Loss::emptied`] says.
    pub(in crate::files) fn tell_lost(
        &self,
        watched: &WatchedArea,
        at: (&DirHandle, Option<Boottime>),
    ) -> Result<bool, StoreError> {
        let Some(loss) = MassRemoval::emptied(&self.db, &self.areas, watched, at)? else {
            return Ok(false);
        };
        self.db.lock().commit(&loss.outcome(watched, self.clock.now()))?;
        Ok(true)
    }

    /// The row of an area.
    fn row(store: &Store, watched: &WatchedArea) -> Result<Option<AreaRow>, StoreError> {
        Ok(store.areas()?.into_iter().find(|row| row.id == watched.id))
    }

    /// Suspends an area whose root is not what it was: one event, the baseline is kept.
    pub(super) fn area_missing(
        &self,
        store: &mut Store,
        watched: &WatchedArea,
        target: &CheckTarget,
        why: &str,
    ) -> Result<CheckOutcome, StoreError> {
        self.suspend(store, watched, target, AreaState::Missing, why)
    }

    fn suspend(
        &self,
        store: &mut Store,
        watched: &WatchedArea,
        target: &CheckTarget,
        state: AreaState,
        why: &str,
    ) -> Result<CheckOutcome, StoreError> {
        watched.set_root(None);
        let mut visited = self.over(&target.path, store, false);
        visited.is_area_active = false;
        let Some(row) = Self::row(store, watched)?.filter(|row| row.state.is_active()) else {
            return Ok(visited);
        };
        let now = self.clock.now();
        let event = missing_event(watched, store.entries_of(watched.id)?, why, now);
        let row = AreaRow { state, ..row };
        store.commit(&Outcome::tell(event).with_change(StateChange::Area(Box::new(row))))?;
        Ok(visited)
    }

    /// Judges the root of an area when it was seen: is it the one the baseline belongs to? Gives a visit that is already over when
    /// the area cannot be walked.
    pub(super) fn check_root(
        &self,
        watched: &WatchedArea,
        target: &CheckTarget,
        object: &FileHandle,
        seen: &Attributes,
    ) -> Result<Option<CheckOutcome>, StoreError> {
        let mut store = self.db.lock();
        let Some(row) = Self::row(&store, watched)? else {
            return Ok(None);
        };
        let now = self.clock.now();
        let known = store.entry_named(None, &watched.path)?;
        let misfit = match misfit(watched, &row, known.as_ref(), seen, now) {
            None => self.areas.covered_root(&store, watched, (&row, known.as_ref(), seen), now)?,
            misfit => misfit,
        };
        if let Some(why) = misfit {
            return self.suspend(&mut store, watched, target, AreaState::Suspended, why).map(Some);
        }
        let root = object.open_directory().ok();
        drop(store);
        let retargeted = match &known {
            Some(known) => self.retargeted(watched, known, seen, root.as_ref())?,
            None => None,
        };
        let is_doubtful = !row.state.is_active() || row.root.is_some_and(|known| known.inode != seen.inode);
        let is_doubtful = is_doubtful && retargeted.is_none();
        watched.set_root(root);
        self.welcome(watched, row, seen, retargeted)?;
        if let Some(root) = watched.root().filter(|_| is_doubtful) {
            self.tell_lost(watched, (&root, None))?;
        }
        Ok(None)
    }

    /// Notes the identity of a root that is accepted, and tells when it is back or another one.
    fn welcome(
        &self,
        watched: &WatchedArea,
        row: AreaRow,
        seen: &Attributes,
        retargeted: Option<Outcome>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let identity = RootIdentity { dev: seen.dev, inode: seen.inode, boot: now.boot };
        let is_back = !row.state.is_active();
        let is_replaced = retargeted.is_none()
            && seen.kind == FileKind::Directory
            && row.root.is_some_and(|root| root.inode != seen.inode);
        if !is_back && row.root == Some(identity) && retargeted.is_none() {
            return Ok(());
        }
        let tell = |category, severity, note: &str| {
            Event { area: watched.path.clone(), ..Event::new(category, severity, now, watched.path.clone()) }
                .with_note(note)
        };
        let mut outcome = retargeted.unwrap_or_default();
        if is_back {
            outcome = outcome.with_event(tell(Category::AreaBack, Severity::Normal, "its baseline is compared again"));
        }
        if is_replaced {
            let note = "its root is another directory on the same file system; it is compared at once";
            outcome = outcome.with_event(tell(Category::AreaReplaced, Severity::High, note));
        }
        let state = match (is_back, row.was_learning) {
            (false, _) => row.state,
            (true, true) => AreaState::Learning,
            (true, false) => AreaState::Watched,
        };
        let row = AreaRow { root: Some(identity), state, ..row };
        self.db.lock().commit(&outcome.with_change(StateChange::Area(Box::new(row)))).map(|_seq| ())
    }
}

/// What is told of an entry that is gone with all that lay beneath it.
pub(in crate::files) fn departed(judge: Comparison<'_>, top: &Entry, path: &[u8], company: &Company) -> StoredFinding {
    let event = company.raise(judge.departure(top, path, company.entries));
    let members = if company.entries > 1 { Members::tree(top, path) } else { Members::default() };
    StoredFinding { event, members }
}

impl WatchedAreas {
    /// Why what was seen at the root of an area is not what its baseline belongs to although it lies on the same device: something was
    /// mounted over it since, in this boot.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(in crate::files) fn covered_root(
        &self,
        store: &Store,
        watched: &WatchedArea,
        (row, known, seen): (&AreaRow, Option<&Entry>, &Attributes),
        now: Moment,
    ) -> Result<Option<&'static str>, StoreError> {
        let Some(known) = known.filter(|known| retarget(watched, known, seen, now).is_none()) else { return Ok(None) };
        let is_this_boot = row.root.is_some_and(|root| root.boot == now.boot);
        let is_covered = is_this_boot && is_root_covered(store, self, watched, (known, seen))?;
        Ok(is_covered.then_some("something else is mounted over its root and hides what is known"))
    }
}
