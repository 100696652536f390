//! The full-speed pass behind `init` and `check`: the same looks and judgements as the walker's, by as many workers as there are
//! cores.
//!
//! A worker takes a directory, reads its part of the baseline in one query, and looks at its names; its sub-directories, as paths
//! beneath the open root of their area, are its own next work, of which it gives half away when others have none. Each worker has a connection of its own to the
//! database; what is to be stored goes through a channel to the caller, who alone writes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    os::fd::AsFd as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use rustix::io::Errno;

use crate::{
    files::{
        area::{
            path_limit::is_near,
            watched_areas::{WatchedArea, WatchedAreas, join},
        },
        baseline::mass_removal::{Lost, lost_event},
        compare::shortage::{is_resource_exhausted, shortage},
        remote::lookup::{AccessError, DirHandle},
        scan::{
            batch::ScanBatch,
            directory::{MatchedNames, NAMES, NamedEntry, match_names},
            entry_check::ScanCheck,
            scope::{Directory, EnteredDir, Ids, ScanPlace, Scope},
            work_queue::WorkQueue,
        },
        walk::moves::Moves,
    },
    model::{
        clock::Clock,
        event::Event,
        file::entry::{AreaId, Entry, EntryId, HashState},
    },
    store::{
        baseline::missing::GONE,
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{fs::handle::is_of_root, priority::lower_priority},
};

/// Looks whose findings are handed over together: each hand-over wakes the one who writes.
const LOOKS: u64 = 1000;

/// What opening a directory fails with that is gone, or exchanged for something else.
const WITHOUT_WAY: [Errno; 3] = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];

/// Batches that may wait to be stored.
const WAITING: usize = 64;

/// What a pass is given.
#[derive(Debug)]
pub struct ParallelScan {
    /// The areas.
    pub areas: Arc<WatchedAreas>,
    /// The time.
    pub clock: Clock,
    /// The database, which every worker opens for itself.
    pub database: PathBuf,
    /// What is looked at.
    pub scope: Scope,
    /// How many work.
    pub workers: usize,
    /// Areas whose unknown paths are learned instead of told.
    pub learning: HashSet<AreaId>,
    /// Where ids for new rows come from; `None` when nothing is to be stored.
    pub ids: Option<Ids>,
    /// What has only another name.
    pub moves: Moves,
    /// Whether what is missing while its baseline is kept leaves it now.
    pub accepts_missing: bool,
    /// What is missing.
    pub(in crate::files) lost: Mutex<Missing>,
}

/// What a pass finds missing while its baseline is kept.
#[derive(Debug, Default)]
pub(in crate::files) struct Missing {
    /// The rows of what the pass has found to be a mass removal itself, where nothing is stored.
    pub(in crate::files) fresh: HashMap<EntryId, u64>,
    /// What was not found, by area.
    pub(in crate::files) found: BTreeMap<AreaId, Vec<Lost>>,
}

/// A piece of work.
#[derive(Debug)]
enum Work {
    List(Directory),
    Look(Arc<ScanPlace>, Vec<NamedEntry>),
}

/// What a piece of work came to: what was found, and more work.
type Done = (ScanBatch, Vec<Work>);

impl ParallelScan {
    /// Goes through everything beneath `roots`; `collect` gets what is found, a directory always before what lies in it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read, or the error of `collect`; then the pass ends early.
    ///
    /// # Panics
    /// Passes on a panic of a worker; one at a single path is caught and counts as that path's fault.
    pub fn run(
        &self,
        roots: Vec<Directory>,
        mut collect: impl FnMut(ScanBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let stack = WorkQueue::new(roots.into_iter().map(Work::List).collect());
        let (out, batches) = sync_channel(WAITING);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers.max(1))
                .map(|_| {
                    let out = out.clone();
                    scope.spawn(|| self.work(&stack, out))
                })
                .collect();
            drop(out);
            let mut result = Ok(());
            let mut gone = Vec::new();
            for mut batch in batches {
                gone.append(&mut batch.gone);
                if result.is_ok() {
                    result = collect(batch);
                    if result.is_err() {
                        stack.cancel();
                    }
                }
            }
            for worker in threads {
                let ended = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(ended);
            }
            result.and_then(|()| self.tell_gone(gone, collect))
        })
    }

    /// Hands on what is gone, now that it is known what was only moved. What is missing while its baseline is kept is collected.
    fn tell_gone(
        &self,
        gone: Vec<(EntryId, Vec<u8>)>,
        mut collect: impl FnMut(ScanBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut store = Store::open_read_only(&self.database)?;
        self.keep_up(&store)?;
        for (id, path) in gone.into_iter().filter(|(_, path)| !self.areas.is_covered(path)) {
            let Some(entry) = store.entry(id)?.filter(|_| !self.moves.has(id)) else { continue };
            let Some(watched) = self.areas.all.iter().find(|watched| watched.id == entry.area) else { continue };
            if self.is_missing(&store, &entry, &path)? {
                continue;
            }
            let is_told = self.ids.is_some() && !watched.accepts_changes() && entry.reported == Some(GONE);
            if !is_told {
                collect(self.scan(watched, &mut store, &mut Vec::new()).gone(&path, &entry)?)?;
            }
        }
        Ok(())
    }

    /// Takes note of what was mounted or unmounted a moment ago, and finds out what that hides.
    fn keep_up(&self, store: &Store) -> Result<(), StoreError> {
        self.areas.keep_up();
        self.areas.catch_up(store, self.clock.now()).map(drop)
    }

    /// Whether an entry that is gone is one of those whose baseline is kept; notes it.
    fn is_missing(&self, store: &Store, entry: &Entry, path: &[u8]) -> Result<bool, StoreError> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = lost.fresh.get(&entry.id).copied();
        let since = store.missing_since(entry.id)?;
        if self.accepts_missing || fresh.is_none() && since.is_none() {
            return Ok(false);
        }
        let entries = match fresh {
            Some(entries) => entries,
            None => store.entries_below(entry.id)?.saturating_add(1),
        };
        lost.found.entry(entry.area).or_default().push(Lost { id: entry.id, path: path.to_vec(), entries, since });
        Ok(true)
    }

    /// One event for each area of which something is missing while its baseline is kept, told before or not.
    pub(in crate::files) fn missing(&self) -> Vec<Event> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.areas.all.iter().filter_map(|watched| Some((watched, lost.found.get(&watched.id)?)));
        all.map(|(watched, found)| lost_event(watched, found, None, self.clock.now())).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "the channel ends with its last sender")]
    fn work(&self, stack: &WorkQueue<Work>, out: SyncSender<ScanBatch>) -> Result<(), StoreError> {
        lower_priority();
        let mut store = Store::open_read_only(&self.database).inspect_err(|_| stack.cancel())?;
        let mut buffer = Vec::new();
        let mut batch = ScanBatch::default();
        while let Some((first, _taken)) = stack.take() {
            let mut own = vec![first];
            while let Some(work) = own.pop() {
                let done = match work {
                    Work::List(directory) => self.list(&mut store, directory, &mut buffer),
                    Work::Look(place, names) => self.look(&mut store, &place, names, &mut buffer),
                };
                let (found, more) = done.inspect_err(|_| stack.cancel())?;
                batch.add(found);
                own.extend(more);
                let is_shared = stack.is_wanted();
                if is_shared || own.is_empty() || batch.looks >= LOOKS || batch.news.len() >= NAMES {
                    // Before others can find its children, so that a directory is stored before what lies in it.
                    if out.send(std::mem::take(&mut batch)).is_err() {
                        return Ok(());
                    }
                }
                if is_shared && !stack.share(&mut own) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(in crate::files) fn watched(&self, area: usize) -> Option<&WatchedArea> {
        self.areas.all.get(area)
    }

    /// Lists a directory and looks at its names, or leaves the larger part of many to others.
    fn list(&self, store: &mut Store, directory: Directory, buffer: &mut Vec<u8>) -> Result<Done, StoreError> {
        let Directory { area, entry, is_new, path } = directory;
        let Some(watched) = self.watched(area) else {
            return Ok(Done::default());
        };
        let Some(root) = watched.root() else {
            return Ok(Done::default());
        };
        self.keep_up(store)?;
        let mut listed = self.areas.list(watched, &path, &root, watched.beneath(&path));
        if matches!(listed, Err(AccessError::Silent)) && self.areas.catch_up(store, self.clock.now())? {
            listed = self.areas.list(watched, &path, &root, watched.beneath(&path));
        }
        let (directory, listing) = match listed {
            Ok((directory, _, listing)) => (directory, listing),
            Err(AccessError::Silent) if self.areas.is_covered(&path) => return Ok(Done::default()),
            Err(AccessError::Silent) => return Ok((ScanBatch::silent(!is_new), Vec::new())),
            // Gone or exchanged since it was looked at: the next pass will tell.
            Err(AccessError::Errno(errno)) if WITHOUT_WAY.map(Errno::raw_os_error).contains(&errno) => {
                return Ok(Done::default());
            }
            Err(AccessError::Errno(errno)) if is_resource_exhausted(errno) => return Err(shortage(&path, errno)),
            Err(AccessError::Errno(errno)) => {
                let state = HashState::Unreadable(errno);
                return Ok((self.scan(watched, store, buffer).content_state(&path, &entry, state)?, Vec::new()));
            }
        };
        let mut batch = ScanBatch::default();
        let is_limited = entry.known.hash_state == HashState::PATHS_TOO_LONG && is_near(&path);
        if matches!(entry.known.hash_state, HashState::Unreadable(_)) && !is_limited {
            batch = self.scan(watched, store, buffer).content_state(&path, &entry, HashState::Off)?;
        }
        let is_of_root = matches!(&directory, DirHandle::Near(open) if is_of_root(open.as_fd()));
        let place = Arc::new(ScanPlace { area, entry, path, directory, is_of_root });
        let MatchedNames { mut pieces, is_beyond } =
            match_names(store, &place.path, (!is_new).then_some(place.entry.id), listing)?;
        if let Some(is_beyond) = is_beyond.filter(|_| is_near(&place.path)) {
            batch.add(self.scan(watched, store, buffer).limit(&place.path, &place.entry, is_beyond)?);
        }
        let own = pieces.pop().unwrap_or_default();
        let (found, deeper) = self.look(store, &place, own, buffer)?;
        batch.add(found);
        let others = pieces.into_iter().map(|names| Work::Look(Arc::clone(&place), names));
        Ok((batch, others.chain(deeper).collect()))
    }

    /// Looks at names of one directory.
    fn look(
        &self,
        store: &mut Store,
        place: &ScanPlace,
        names: Vec<NamedEntry>,
        buffer: &mut Vec<u8>,
    ) -> Result<Done, StoreError> {
        let Some(watched) = self.watched(place.area) else {
            return Ok(Done::default());
        };
        let mut batch = ScanBatch::default();
        let mut more = Vec::new();
        for NamedEntry { name, known, is_regular } in names {
            let path = join(&place.path, &name);
            // What is covered is told as a whole.
            if !self.scope.concerns(&path) || self.areas.is_covered(&path) {
                continue;
            }
            let mut scan = self.scan(watched, store, buffer);
            if self.areas.is_barred(&path) {
                batch.passed.barred += 1;
                batch.passed.known += u64::from(scan.known(place, &name, known)?.is_some());
                continue;
            }
            if let Some(why) = self.areas.reason(watched, &path) {
                batch.add(scan.leave_out(place, (&name, &path), known, why)?);
                continue;
            }
            let Some(directory) = scan.at(place, (&name, &path, is_regular), known, &mut batch)? else {
                continue;
            };
            if watched.settings.recurse {
                let EnteredDir { entry, is_new } = directory;
                more.push(Work::List(Directory { area: place.area, entry, is_new, path }));
            }
        }
        Ok((batch, more))
    }

    pub(in crate::files) fn scan<'a>(
        &'a self,
        watched: &'a WatchedArea,
        store: &'a mut Store,
        buffer: &'a mut Vec<u8>,
    ) -> ScanCheck<'a> {
        ScanCheck {
            watched,
            areas: &self.areas,
            clock: &self.clock,
            scope: &self.scope,
            moves: &self.moves,
            is_learning: self.learning.contains(&watched.id),
            ids: self.ids.as_ref(),
            is_own_mail: false,
            store,
            buffer,
        }
    }
}
