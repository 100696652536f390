//! What hides a part of the baseline: something that was mounted over it, or that it lay on and that was unmounted.
//!
//! The baseline of a path, a file's as well, belongs to what was mounted there when it was learned, its home. While something else is there,
//! one event stands for all that is hidden, nothing beneath is looked at, and the baseline is kept. A mount that hides nothing becomes home
//! at once: what it shows is found by the walk, and where a directory of the baseline is its point, that it was mounted is an event.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use rustix::io::Errno;

use crate::{
    files::{
        area::watched_areas::{Concerned, WatchedArea, WatchedAreas, is_beneath},
        remote::lookup::AccessError,
    },
    model::{
        clock::Moment,
        escape::{escape, escape_name},
        event::{Category, Event, Severity},
        file::entry::{AreaId, Attributes, Entry, FileKind},
    },
    store::{
        baseline::{areas::AreaState, mounts::MountRow},
        events::outcome::{Outcome, StateChange},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::fs::mounts::Mount,
};

/// What a look at the mounts has shown.
#[derive(Debug, Default)]
pub(in crate::files) struct MountReview {
    /// What is to be stored, with what is new to be told.
    pub(in crate::files) outcome: Outcome,
    /// One event for each part that is hidden now, told before or not.
    pub(in crate::files) hidden: Vec<Event>,
    /// Where they are, as mounts that are not entered; without a type where nothing is mounted.
    covered: Vec<Mount>,
}

/// Compares what is mounted with what belongs there, and stores and tells what that shows. From then on nothing beneath a covered path is
/// looked at.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::files) fn review(store: &mut Store, areas: &WatchedAreas, now: Moment) -> Result<(), StoreError> {
    store.flush()?;
    let (changes, concerned) = (areas.mount_map.changes(), concerned(areas));
    let review = look(store, areas, now)?;
    if !review.outcome.changes.is_empty() || !review.outcome.events.is_empty() {
        store.commit(&review.outcome)?;
    }
    areas.cover(review.covered, changes, concerned);
    Ok(())
}

/// Compares as `review` does, and stores nothing; gives one event for each part that is hidden.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub fn hidden(store: &Store, areas: &WatchedAreas, now: Moment) -> Result<Vec<Event>, StoreError> {
    let (changes, concerned) = (areas.mount_map.changes(), concerned(areas));
    let review = look(store, areas, now)?;
    areas.cover(review.covered, changes, concerned);
    Ok(review.hidden)
}

impl WatchedAreas {
    /// From now on this hides parts of the baseline and is not entered; that was found out after so many changes of what is mounted.
    pub(in crate::files) fn cover(&self, covered: Vec<Mount>, changes: u64, concerned: Concerned) {
        *self.covered.write().unwrap_or_else(PoisonError::into_inner) = covered;
        *self.reviewed.lock().unwrap_or_else(PoisonError::into_inner) = Some((changes, concerned));
    }

    /// Whether something was mounted or unmounted in an area, or at its root, of which it was not found out yet what it hides. What
    /// others mount elsewhere, as a host of containers does all day, holds nothing up.
    pub(in crate::files) fn is_unreviewed(&self) -> bool {
        let mut reviewed = self.reviewed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((until, concerned_then)) = reviewed.as_mut() else { return false };
        let changes = self.mount_map.changes();
        if *until == changes {
            return false;
        }
        // The table is at least as new as the number: if it is newer, the number is another one the next time.
        if *concerned_then != concerned(self) {
            return true;
        }
        *until = changes;
        false
    }

    /// Finds out, as [`hidden`] does, what was mounted or unmounted in an area a moment ago hides; gives whether there was anything to
    /// find out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub(in crate::files) fn catch_up(&self, store: &Store, now: Moment) -> Result<bool, StoreError> {
        let is_behind = self.is_unreviewed();
        if is_behind {
            hidden(store, self, now)?;
        }
        Ok(is_behind)
    }
}

/// All mounts that the areas have to do with now.
fn concerned(areas: &WatchedAreas) -> Concerned {
    let table = areas.mount_map.table();
    let of = |watched: &WatchedArea| {
        let root = table.met(&watched.real_of(&watched.path)).pop().map(|mount| (watched.path.clone(), mount));
        let within = mounted(areas, watched, table.all()).into_iter();
        within.chain(root).map(|(path, mount)| (path, mount.clone())).collect()
    };
    areas.all.iter().map(of).collect()
}

/// What is mounted within an area now, as what belongs there from now on.
pub(in crate::files) fn expected_mounts(areas: &WatchedAreas, watched: &WatchedArea) -> Vec<MountRow> {
    let row = |(path, mount): (Vec<u8>, &Mount)| MountRow::at_home(path, identity(mount));
    let table = areas.mount_map.table();
    let root = MountRow::at_home(watched.path.clone(), root_identity(areas, watched));
    [root].into_iter().chain(mounted(areas, watched, table.all()).into_iter().map(row)).collect()
}

fn look(store: &Store, areas: &WatchedAreas, now: Moment) -> Result<MountReview, StoreError> {
    let mut review = MountReview::default();
    for watched in &areas.all {
        if store.area_state(watched.id)?.is_some_and(AreaState::is_active) {
            MountCheck { store, areas, watched, now }.look(&mut review)?;
        }
    }
    Ok(review)
}

struct MountCheck<'a> {
    store: &'a Store,
    areas: &'a WatchedAreas,
    watched: &'a WatchedArea,
    now: Moment,
}

impl MountCheck<'_> {
    fn look(&self, review: &mut MountReview) -> Result<(), StoreError> {
        let Self { areas, watched, .. } = *self;
        let rows: BTreeMap<Vec<u8>, MountRow> =
            self.store.mounts(watched.id)?.into_iter().map(|row| (row.path.clone(), row)).collect();
        let Some(root) = rows.get(&watched.path) else {
            let homes = expected_mounts(areas, watched);
            review.outcome.changes.push(StateChange::Mounts(watched.id, homes));
            return Ok(());
        };
        let root_now = root_identity(areas, watched);
        if root.home != root_now {
            let entry = self.store.entry_named(None, &watched.path)?;
            if !entry.is_some_and(|entry| self.is_same(&watched.path, &entry)) {
                // The whole area is somewhere else: that is told when its root is looked at.
                return Ok(());
            }
            let row = MountRow { home: root_now, ..root.clone() };
            review.outcome.changes.push(StateChange::Mount(watched.id, row));
        }
        let table = areas.mount_map.table();
        let current = mounted(areas, watched, table.all());
        let paths: BTreeSet<&Vec<u8>> =
            current.keys().chain(rows.keys()).filter(|path| **path != watched.path).collect();
        let mut covered: Option<&[u8]> = None;
        for path in paths {
            // What lies beneath comes right after; nothing can be said of it.
            if covered.is_some_and(|covered| is_beneath(path, covered)) {
                continue;
            }
            if self.judge(path, current.get(path).copied(), rows.get(path), review)? {
                covered = Some(path);
            }
        }
        Ok(())
    }

    /// Judges what is mounted at `path`; gives whether it hides what belongs there.
    fn judge(
        &self,
        path: &[u8],
        mount: Option<&Mount>,
        row: Option<&MountRow>,
        review: &mut MountReview,
    ) -> Result<bool, StoreError> {
        let area = self.watched.id;
        let (here, home) =
            (mount.map(identity).unwrap_or_default(), row.map(|row| row.home.clone()).unwrap_or_default());
        let at_home = MountRow::at_home(path.to_vec(), here.clone());
        let settled = settle(area, at_home);
        if here == home {
            if row.is_some_and(|row| row.told.is_some()) {
                review.outcome.events.push(self.back(path).into());
                review.outcome.changes.push(settled);
            }
            return Ok(false);
        }
        let entry = self.store.entry_at(&self.watched.path, path)?;
        let is_directory = entry.as_ref().is_some_and(|entry| entry.known.attributes.kind == FileKind::Directory);
        let count = match &entry {
            Some(entry) if is_directory => self.store.entries_below(entry.id)?,
            // Itself.
            Some(_) => 1,
            None => 0,
        };
        let is_same = entry.is_some_and(|entry| self.is_known(path, &entry, &home));
        if is_same && row.is_some_and(|row| row.told.is_some()) {
            // What belongs here is here again, and the table of mounts may be older than that: it was told, so its end is told.
            review.outcome.events.push(self.back(path).into());
            review.outcome.changes.push(settle(area, MountRow::at_home(path.to_vec(), home)));
            return Ok(false);
        }
        if count == 0 || is_same || mount.is_none() && self.is_gone(path) {
            if let Some(mount) = mount.filter(|_| is_directory && !is_same) {
                review.outcome.events.push(self.mounted(path, mount).into());
            }
            review.outcome.changes.push(settled);
            return Ok(false);
        }
        let event = self.finding(path, (mount, is_directory), &home, count);
        if row.is_none_or(|row| row.told.as_ref() != Some(&here)) {
            review.outcome.events.push(event.clone().into());
            let row =
                MountRow { path: path.to_vec(), home, told: Some(here), since: Some(self.now.wall), entries: count };
            review.outcome.changes.push(StateChange::Mount(area, row));
        }
        review.hidden.push(event);
        let kind = mount.map(|mount| mount.kind.clone()).unwrap_or_default();
        review.covered.push(Mount {
            point: path.to_vec(),
            kind,
            source: Vec::new(),
            root: Vec::new(),
            owner: None,
            id: 0,
            parent: 0,
        });
        Ok(true)
    }

    /// The event of what hides `count` entries: of high severity where that is a directory, or a path that always matters.
    fn finding(&self, path: &[u8], (mount, is_directory): (Option<&Mount>, bool), home: &[u8], count: u64) -> Event {
        let area = escape_name(&self.watched.path);
        let what = if let Some(mount) = mount {
            format!("{} is mounted over it and hides what is known", with_root(mount))
        } else {
            let mut parts = home.split(|byte| *byte == 0).map(escape);
            let (kind, source) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{kind} {source} is not mounted here any more, and what is known lies on it")
        };
        let note = format!("{what}; if that is to stay: integrityd init --accept {area}");
        let is_high = is_directory || self.areas.urgent.matches(path);
        let severity = if is_high { Severity::High } else { Severity::Normal };
        let event = Event::new(Category::Covered, severity, self.now, path.to_vec());
        Event { area: self.watched.path.clone(), count, ..event }.with_note(note)
    }

    /// The event of a mount over a directory of the baseline that holds nothing.
    fn mounted(&self, path: &[u8], mount: &Mount) -> Event {
        let severity = if self.areas.urgent.matches(path) { Severity::High } else { Severity::Low };
        let event = Event::new(Category::Notice, severity, self.now, path.to_vec());
        let note =
            format!("{} is mounted here and hides nothing that is known; what it shows is checked", with_root(mount));
        Event { area: self.watched.path.clone(), ..event }.with_note(note)
    }

    fn back(&self, path: &[u8]) -> Event {
        let event = Event::new(Category::Uncovered, Severity::Normal, self.now, path.to_vec());
        Event { area: self.watched.path.clone(), ..event }
            .with_note("what belongs here is here again; it is compared again")
    }

    /// The object at `path`, unless it could hang.
    fn object(&self, path: &[u8]) -> Option<Result<Attributes, Errno>> {
        match self.areas.open_real(&self.watched.real_of(path)) {
            Ok(handle) => Some(handle.attributes()),
            Err(AccessError::Errno(errno)) => Some(Err(Errno::from_raw_os_error(errno))),
            Err(AccessError::Silent) => None,
        }
    }

    /// Whether the same directory is seen in spite of another mount: a device that was numbered anew, or a directory bound upon itself.
    fn is_same(&self, path: &[u8], entry: &Entry) -> bool {
        let known = &entry.known.attributes;
        self.object(path)
            .and_then(Result::ok)
            .is_some_and(|seen| seen.inode == known.inode && seen.btime.is_some() && seen.btime == known.btime)
    }

    /// The same, where nothing was mounted before on the same device only: what lies on another one could be made to look so.
    fn is_known(&self, path: &[u8], entry: &Entry, home: &[u8]) -> bool {
        let is_on = |seen: Attributes| !home.is_empty() || seen.dev == entry.known.attributes.dev;
        self.is_same(path, entry) && self.object(path).and_then(Result::ok).is_some_and(is_on)
    }

    fn is_gone(&self, path: &[u8]) -> bool {
        matches!(self.object(path), Some(Err(Errno::NOENT | Errno::NOTDIR)))
    }
}

/// The change by which something is at home; where nothing is mounted and nothing was, no row is needed.
fn settle(area: AreaId, row: MountRow) -> StateChange {
    if row.home.is_empty() { StateChange::RemoveMount(area, row.path) } else { StateChange::Mount(area, row) }
}

/// What is mounted within an area, by the paths by which the walk meets it; only what can be met.
fn mounted<'a>(areas: &WatchedAreas, watched: &WatchedArea, all: &'a [Mount]) -> BTreeMap<Vec<u8>, &'a Mount> {
    let table = areas.mount_map.table();
    let found = all.iter().filter_map(|mount| {
        let path = watched.seen_as(&mount.point).filter(|path| *path != watched.path)?;
        let is_met = table.mounted_at(&mount.point).is_some_and(|met| met.id == mount.id);
        let is_ours = areas.innermost(&path).is_some_and(|(_, inner)| inner.id == watched.id);
        let is_left_out = areas.left_out_prefix(watched, &path).is_some();
        (is_met && is_ours && !is_left_out).then_some((path, mount))
    });
    found.collect()
}

/// Whether something else is mounted at the root of an area than what its baseline belongs to, so that `seen` is not what is known.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(in crate::files) fn is_root_covered(
    store: &Store,
    areas: &WatchedAreas,
    watched: &WatchedArea,
    (known, seen): (&Entry, &Attributes),
) -> Result<bool, StoreError> {
    let rows = store.mounts(watched.id)?;
    let home = rows.iter().find(|row| row.path == watched.path).map(|row| row.home.as_slice());
    let attributes = &known.known.attributes;
    let is_same = seen.inode == attributes.inode && seen.btime.is_some() && seen.btime == attributes.btime;
    Ok(home.is_some_and(|home| home != root_identity(areas, watched)) && !is_same)
}

fn root_identity(areas: &WatchedAreas, watched: &WatchedArea) -> Vec<u8> {
    areas.mount_map.table().mounted_at(&watched.real_of(&watched.path)).map(identity).unwrap_or_default()
}

/// What stays the same over a new mount of the same thing.
pub(in crate::files) fn identity(mount: &Mount) -> Vec<u8> {
    [mount.kind.as_bytes(), &mount.source, &mount.root].join(&0)
}

/// What is mounted, with the directory or file of it that is bound: `ext4 /dev/sda1, /srv/copy of it`.
pub(super) fn with_root(mount: &Mount) -> String {
    let of_it = if mount.root == b"/" { String::new() } else { format!(", {} of it,", escape_name(&mount.root)) };
    named(mount) + &of_it
}

/// What is mounted: `nfs4 server:/export`.
pub(in crate::files) fn named(mount: &Mount) -> String {
    format!("{} {}", escape(mount.kind.as_bytes()), escape_name(&mount.source))
}
