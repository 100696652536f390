//! One visit: look, compare with the baseline, and store what was found. Runs in a blocking job and never sleeps.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use rustix::io::Errno;

use crate::{
    content::{hasher::Evidence, racy::is_racy, reader::unread_for},
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas, join},
        compare::{
            big_file::{ReadDeadline, Reads, unread},
            comparison::{Comparison, without_content},
            finding::wanted_digests,
            inode_index::InodeIndex,
            shortage::{is_resource_exhausted, shortage},
        },
        remote::lookup::{AccessError, FileHandle, Lookup, LookupContent, LookupReader},
        walk::target::{CheckTarget, TargetWay},
    },
    model::{
        clock::{Clock, Timestamp},
        file::entry::{Attributes, Digests, Entry, EntryId, FileKind, HashState, LONGEST_PATH, Observation},
    },
    store::{
        baseline::{areas::AreaState, members::Members},
        db::Db,
        events::outcome::{Outcome, StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::fault_injection,
};

/// What a visit has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// A key of the path, for the speed-up.
    pub key: u64,
    /// The number of the visit.
    pub visit: i64,
    /// Whether something was found that was told.
    pub is_changed: bool,
    /// The row, when it is a directory that can be entered.
    pub directory: Option<EntryId>,
    /// Whether its area can still be walked.
    pub is_area_active: bool,
    /// Bytes that were read at once and are not paid for yet.
    pub read: u64,
    /// By when the queue should read what was left to it.
    pub(in crate::files) left: Option<ReadDeadline>,
}

/// How far a visit came.
#[derive(Debug)]
pub enum CheckStep {
    /// It is over.
    Done(CheckOutcome),
    /// A larger file is to be read at the pace of the bytes.
    Read(Box<PendingRead>),
    /// The file changed while it was read.
    Torn(Box<PendingCheck>),
}

/// A visit in the middle of reading.
#[derive(Debug)]
pub struct PendingRead {
    /// What is being read.
    pub reading: LookupReader,
    pub(in crate::files) looked: PendingCheck,
}

/// A visit that has seen the metadata.
#[derive(Debug, Clone)]
pub struct PendingCheck {
    pub(in crate::files) target: CheckTarget,
    pub(in crate::files) entry: Option<Entry>,
    pub(in crate::files) seen: Attributes,
    pub(in crate::files) reads: Reads,
    /// Bytes that were read.
    pub(in crate::files) read: u64,
    /// Those of them that were read at once and are not paid for yet.
    pub(super) read_at_once: u64,
    /// When its look began.
    began: Timestamp,
    /// What was read, where that may be half of a write.
    unsure: Option<Box<Evidence>>,
}

impl PendingCheck {
    /// Bytes that were read at once and are not paid for yet.
    pub const fn unpaid(&self) -> u64 {
        self.read_at_once
    }
}

/// What visits need, shared by all of them.
#[derive(Debug)]
pub struct EntryChecker {
    /// The areas.
    pub areas: Arc<WatchedAreas>,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Up to this size a file is read at once.
    pub small_file: u64,
    /// Above this size a file is read by the queue.
    pub big_file: u64,
    /// What makes the keys of paths.
    pub keys: RandomState,
    /// Which rows have which inode.
    pub inodes: InodeIndex,
}

impl EntryChecker {
    /// Begins a visit.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was seen will be seen again.
    pub fn begin(&self, target: CheckTarget) -> Result<CheckStep, StoreError> {
        self.look_at(target, Reads::UpToBig)
    }

    /// Begins a visit of the queue, which reads the content whatever its size.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was seen will be seen again.
    pub fn begin_whole(&self, target: CheckTarget) -> Result<CheckStep, StoreError> {
        self.look_at(target, Reads::Everything)
    }

    fn look_at(&self, target: CheckTarget, reads: Reads) -> Result<CheckStep, StoreError> {
        fault_injection::strike("look", &target.path);
        let Some(watched) = self.areas.all.get(target.area) else {
            return Ok(CheckStep::Done(self.over(&target.path, &mut self.db.lock(), false)));
        };
        self.keep_up()?;
        if target.parent.is_some() && target.path.len() > LONGEST_PATH {
            return self.leave_beyond(watched, &target).map(CheckStep::Done);
        }
        if target.parent.is_some()
            && let Some(prefix) = self.areas.left_out_prefix(watched, &target.path)
        {
            return self.drop_left_out(&target, prefix.len()).map(CheckStep::Done);
        }
        if target.parent.is_some() && !self.is_reachable(watched, &target)? {
            let mut store = self.db.lock();
            let is_area_active = store.area_state(watched.id)?.is_some_and(AreaState::is_active);
            return Ok(CheckStep::Done(CheckOutcome { is_area_active, ..self.over(&target.path, &mut store, false) }));
        }
        // Not even a look: it could hang for ever.
        if self.areas.is_barred(&target.path) && target.parent.is_some() {
            return Ok(CheckStep::Done(self.over(&target.path, &mut self.db.lock(), false)));
        }
        let mut seen = self.lookup(watched, &target);
        // While something was mounted there is no answer: now it is known what that hides.
        if matches!(seen, Lookup::Silent) && self.is_moving() && !self.is_hidden(&target.path)? {
            seen = self.lookup(watched, &target);
        }
        match seen {
            Lookup::Silent => Ok(CheckStep::Done(self.silent(&target))),
            Lookup::Gone => self.gone(watched, &target),
            Lookup::Refused(errno) => self.refused(watched, &target, errno).map(CheckStep::Done),
            Lookup::There(handle, seen) => {
                if target.parent.is_none()
                    && let Some(stop) = self.check_root(watched, &target, &handle, &seen)?
                {
                    return Ok(CheckStep::Done(stop));
                }
                let entry = self.db.lock().entry_named(target.parent, &target.name)?;
                let began = self.clock.now().wall;
                let looked = PendingCheck { target, entry, seen, reads, read: 0, read_at_once: 0, began, unsure: None };
                self.read(watched, looked, handle)
            }
        }
    }

    pub(in crate::files) fn lookup(&self, watched: &WatchedArea, target: &CheckTarget) -> Lookup {
        match &target.way {
            TargetWay::Root => self.areas.look_at_root(watched),
            TargetWay::BeneathRoot(root, relative) => self.areas.lookup(watched, &target.path, root, relative),
            TargetWay::InDirectory(place) => self.areas.lookup(watched, &target.path, &place.directory, &target.name),
        }
    }

    /// Reads a regular file: at once when it is small, else begins to.
    fn read(
        &self,
        watched: &WatchedArea,
        mut looked: PendingCheck,
        handle: FileHandle,
    ) -> Result<CheckStep, StoreError> {
        let Some(wanted) = wanted_digests(watched, looked.entry.as_ref(), &looked.seen, true) else {
            handle.complete(&mut looked.seen);
            let seen = Observation {
                attributes: looked.seen.clone(),
                hash_state: HashState::Off,
                digests: Digests::default(),
            };
            return self.settle(&looked, seen).map(CheckStep::Done);
        };
        if self.leaves_content(watched, &looked) {
            handle.complete(&mut looked.seen);
            let seen = unread(&looked.seen, looked.entry.as_ref(), watched.settings.algorithms);
            return self.settle(&looked, seen).map(CheckStep::Done);
        }
        let reading = match LookupReader::begin(handle, &mut looked.seen, wanted, Vec::new()) {
            Ok(reading) => reading,
            Err(trouble) => return self.failed(&looked, trouble).map(CheckStep::Done),
        };
        let open = Box::new(PendingRead { reading, looked });
        if open.reading.size() > self.small_file || open.reading.is_far() && self.small_file < u64::MAX {
            return Ok(CheckStep::Read(open));
        }
        let mut open = open;
        loop {
            match open.reading.advance(u64::MAX) {
                Ok((count, is_end)) => {
                    open.looked.read_at_once += count;
                    if is_end {
                        return self.finish(*open);
                    }
                }
                Err(trouble) => return self.failed(&open.looked, trouble).map(CheckStep::Done),
            }
        }
    }

    /// Ends a visit whose file was read to its end.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was seen will be seen again.
    pub fn finish(&self, open: PendingRead) -> Result<CheckStep, StoreError> {
        let PendingRead { reading, mut looked } = open;
        // Those of the queue were counted slice by slice.
        if looked.reads == Reads::UpToBig {
            looked.read = looked.read.saturating_add(reading.read());
        }
        match reading.finish(looked.entry.as_ref().map(|entry| &entry.known)).0 {
            LookupContent::Stable(seen) if is_racy(&seen.seen.attributes, looked.began) => {
                looked.unsure = Some(seen);
                Ok(CheckStep::Torn(Box::new(looked)))
            }
            LookupContent::Stable(seen) => self.settle(&looked, *seen).map(CheckStep::Done),
            LookupContent::Torn => Ok(CheckStep::Torn(Box::new(looked))),
            LookupContent::Failed(trouble) => self.failed(&looked, trouble).map(CheckStep::Done),
        }
    }

    /// Ends a visit whose file could not be read.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was seen will be seen again.
    pub fn fail(&self, open: &PendingRead, trouble: AccessError) -> Result<CheckOutcome, StoreError> {
        self.failed(&open.looked, trouble)
    }

    /// Ends a visit whose file changed during every attempt: the state becomes `busy`, the last stable digest stays.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; what was seen will be seen again.
    pub fn give_up(&self, looked: &PendingCheck) -> Result<CheckOutcome, StoreError> {
        // Written again and again, but never seen to change while it was read.
        if let Some(seen) = &looked.unsure {
            return self.settle(looked, Evidence::clone(seen));
        }
        let seen = without_content(&looked.seen, looked.entry.as_ref(), HashState::Busy);
        self.settle(looked, seen)
    }

    fn failed(&self, looked: &PendingCheck, trouble: AccessError) -> Result<CheckOutcome, StoreError> {
        let AccessError::Errno(errno) = trouble else {
            self.areas.all.get(looked.target.area).into_iter().for_each(WatchedArea::note_silence);
            return Ok(self.silent(&looked.target));
        };
        if is_resource_exhausted(errno) {
            return Err(shortage(&looked.target.path, errno));
        }
        let seen = without_content(&looked.seen, looked.entry.as_ref(), unread_for(errno));
        self.settle(looked, seen)
    }

    /// A visit without an answer. Without one from its root an area is not entered.
    fn silent(&self, target: &CheckTarget) -> CheckOutcome {
        CheckOutcome { is_area_active: target.parent.is_some(), ..self.over(&target.path, &mut self.db.lock(), false) }
    }

    /// A path that cannot even be looked at: its entry, or the directory it lies in, becomes unreadable.
    fn refused(&self, watched: &WatchedArea, target: &CheckTarget, errno: Errno) -> Result<CheckOutcome, StoreError> {
        if is_resource_exhausted(errno.raw_os_error()) {
            return Err(shortage(&target.path, errno.raw_os_error()));
        }
        let mut store = self.db.lock();
        store.count_look(0);
        if target.parent.is_none() {
            let why = format!("its root cannot be looked at: {}", std::io::Error::from(errno));
            return self.area_missing(&mut store, watched, target, &why);
        }
        let entry = match store.entry_named(target.parent, &target.name)? {
            Some(entry) => Some(entry),
            None => target.parent.map(|parent| store.entry(parent)).transpose()?.flatten(),
        };
        let is_changed = match entry {
            Some(entry) => {
                self.set_hash_state(&mut store, target.area, &entry, HashState::Unreadable(errno.raw_os_error()))?
            }
            None => false,
        };
        Ok(self.over(&target.path, &mut store, is_changed))
    }

    /// Gives an entry another hash state, with the event that belongs to it.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn set_hash_state(
        &self,
        store: &mut Store,
        area: usize,
        entry: &Entry,
        hash_state: HashState,
    ) -> Result<bool, StoreError> {
        let Some(watched) = self.areas.all.get(area) else {
            return Ok(false);
        };
        let way = store.way_to(entry.id)?.unwrap_or_default();
        let Some(target) = CheckTarget::of_entry(area, watched, entry, &way) else {
            return Ok(false);
        };
        let is_learning = store.is_learning(watched.id)?;
        let judge = Comparison { is_learning, ..self.judge(watched, self.clock.now()) };
        Self::commit(&judge, store, &target.path, judge.of_state(&target.path, entry, hash_state))
    }

    /// An entry that the configuration leaves out now goes with one notice for its topmost part.
    fn drop_left_out(&self, target: &CheckTarget, prefix: usize) -> Result<CheckOutcome, StoreError> {
        let mut store = self.db.lock();
        let path = target.path.get(..prefix).unwrap_or(&target.path);
        let Some(watched) = self.areas.all.get(target.area) else {
            return Ok(self.over(path, &mut store, false));
        };
        let depth = watched.depth_of(path);
        let top = match store.entry_named(target.parent, &target.name)? {
            Some(entry) => match store.way_to(entry.id)?.unwrap_or_default().get(depth) {
                Some((id, _)) => store.entry(*id)?,
                None => None,
            },
            None => None,
        };
        let Some(top) = top else {
            return Ok(self.over(path, &mut store, false));
        };
        store.flush()?;
        let count = store.entries_below(top.id)? + 1;
        let event = self.judge(watched, self.clock.now()).exclusion(&top, path, count);
        let members = if count > 1 { Members::tree(&top, path) } else { Members::default() };
        let outcome =
            Outcome { changes: vec![StateChange::RemoveTree(top.id)], events: vec![StoredFinding { event, members }] };
        store.commit(&outcome)?;
        Ok(self.over(path, &mut store, false))
    }

    /// A visit that ends without an entry of its own.
    pub(in crate::files) fn over(&self, path: &[u8], store: &mut Store, is_changed: bool) -> CheckOutcome {
        CheckOutcome {
            key: self.key(path),
            visit: store.last_visit(),
            is_changed,
            directory: None,
            is_area_active: true,
            read: 0,
            left: None,
        }
    }

    pub(in crate::files) fn key(&self, path: &[u8]) -> u64 {
        self.keys.hash_one(path)
    }
}

impl EntryChecker {
    /// Whether the way to a target is still that of the baseline: its area is not suspended, and the directory in hand was not
    /// moved away or replaced since it was opened, for its names would then be taken for those of another.
    pub(super) fn is_reachable(&self, watched: &WatchedArea, target: &CheckTarget) -> Result<bool, StoreError> {
        let store = self.db.lock();
        if !store.area_state(watched.id)?.is_some_and(AreaState::is_active) {
            return Ok(false);
        }
        let TargetWay::InDirectory(place) = &target.way else { return Ok(true) };
        let way = store.way_to(place.entry)?.unwrap_or_default();
        let path = way.iter().skip(1).fold(watched.path.clone(), |path, (_, name)| join(&path, name));
        let entry = store.entry(place.entry)?.filter(|_| path == place.path);
        Ok(entry.is_some_and(|entry| {
            let known = &entry.known.attributes;
            // What is kept may be the file that a directory has replaced.
            !watched.accepts_changes() || known.kind == FileKind::Directory && known.inode == place.inode
        }))
    }

    /// Whether the directory in hand still is what its path leads to.
    pub(super) fn is_in_place(&self, watched: &WatchedArea, target: &CheckTarget) -> bool {
        let (TargetWay::InDirectory(place), Some(root)) = (&target.way, watched.root()) else { return true };
        // Whether the root is another is looked after elsewhere.
        let beneath = watched.beneath(&place.path);
        if beneath.is_empty() {
            return true;
        }
        match self.areas.lookup(watched, &place.path, &root, beneath) {
            Lookup::There(_, now) => now.inode == place.inode,
            Lookup::Gone => false,
            Lookup::Refused(_) | Lookup::Silent => true,
        }
    }
}
