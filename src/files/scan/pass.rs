//! The passes at full speed as commands want them: build or complete the baseline, compare with it, accept what is there.

use std::{
    hash::RandomState,
    num::NonZero,
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    config::settings::config::{Config, Helper, OnChange},
    files::{
        area::{
            overmounts::{expected_mounts, hidden, review},
            watched_areas::{WatchedArea, WatchedAreas, is_beneath},
        },
        baseline::{learning, mass_removal::tell_back},
        compare::{absence::missing_event, inode_index::InodeIndex},
        remote::remote_mount::Transition,
        scan::{
            batch::{BatchWriter, Passed, ScanBatch, acceptance},
            roots::absence,
            scope::{Directory, Ids, Scope},
            workers::ParallelScan,
        },
        stalls::{event, tell_of_stalls},
        walk::{
            directory::open_directory,
            entry_check::{CheckStep, EntryChecker},
            frontier::PendingDir,
            moves::Moves,
            target::CheckTarget,
        },
    },
    model::{
        clock::{Clock, Moment},
        event::{Category, Channel, Event, Kind, StoredEvent},
        file::entry::AreaId,
    },
    store::{
        baseline::{
            areas::{AreaRow, RootIdentity},
            missing::GONE,
        },
        db::Db,
        events::{
            append::Range,
            outcome::{ConditionalOutcome, Outcome, StateChange, StoredFinding},
            report_queries::Most,
        },
        sqlite::{connection::Store, error::StoreError},
    },
};

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Paths looked at.
    pub looks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Paths that were not compared because their area is still being learned.
    pub unlearned: u64,
    /// Entries of the areas that are there whose content or names cannot be read, at the end of a round.
    pub unreadable: u64,
    /// What was passed over.
    pub passed: Passed,
    /// Areas without a baseline, which were left out, by their paths.
    pub without_baseline: Vec<Vec<u8>>,
    /// What differs, severest first, then by path; the number is 0 where nothing was stored.
    pub findings: Vec<StoredEvent>,
}

/// What a pass is given.
#[derive(Debug, Clone, Copy)]
pub struct FullScan<'a> {
    /// The settings.
    pub config: &'a Config,
    /// The store.
    pub db: &'a Db,
    /// The time.
    pub clock: &'a Clock,
}

/// Told of everything that comes in.
pub type ScanProgress<'a> = &'a mut dyn FnMut(&ScanBatch);

impl Summary {
    fn count(&mut self, batch: &ScanBatch) {
        self.looks += batch.looks;
        self.bytes = self.bytes.saturating_add(batch.bytes);
        self.unlearned += batch.unlearned;
        self.passed.add(batch.passed);
    }

    fn sort(&mut self) {
        self.findings.sort_by(|one, other| {
            let key = |stored: &StoredEvent| std::cmp::Reverse(stored.event.severity);
            key(one).cmp(&key(other)).then_with(|| one.event.source.cmp(&other.event.source))
        });
    }
}

/// As many workers as there are cores.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl FullScan<'_> {
    /// One round over everything at full speed: what is new in areas that are being learned is learned, all else is compared and told.
    /// The caller holds the lock of the daemon.
    ///
    /// # Errors
    /// [`StoreError`]; what was stored until then stays.
    pub fn go_round(self, progress: ScanProgress<'_>) -> Result<Summary, StoreError> {
        let Self { config, db, clock } = self;
        let (before, rows) = {
            let mut store = db.lock();
            (store.head()?.seq, learning::settle_in(&mut store, config, clock.now())?)
        };
        let rows: Vec<Option<AreaRow>> = rows.into_iter().map(Some).collect();
        let scan = self.scan(config, Scope::default(), &rows, true);
        learning::tell_of_barred(&mut db.lock(), &scan.areas.survey(), clock.now())?;
        learning::note_not_entered(&mut db.lock(), &scan.areas.not_entered(), clock.now())?;
        review(&mut db.lock(), &scan.areas, clock.now())?;
        let (mut roots, mut entered) = (Vec::new(), Vec::new());
        for (area, watched) in scan.areas.all.iter().enumerate() {
            if let Some(root) = self.enter(&scan, area, watched)? {
                entered.push(watched.id);
                roots.extend(root.directory);
            }
        }
        // The workers read from connections of their own.
        db.lock().flush()?;
        let mut summary = Summary { looks: u64::try_from(entered.len()).unwrap_or(u64::MAX), ..Summary::default() };
        let mut writer = BatchWriter::new(db.clone());
        scan.run(roots, |batch| {
            summary.count(&batch);
            progress(&batch);
            writer.take(batch)
        })?;
        writer.close()?;
        let unfinished = scan.areas.unfinished();
        entered.retain(|area| !unfinished.contains(area));
        let mut store = db.lock();
        // Also of what was mounted meanwhile.
        review(&mut store, &scan.areas, clock.now())?;
        tell_of_stalls(&mut store, &scan.areas, clock.now())?;
        tell_back(&mut store, &scan.areas, true, clock.now())?;
        learning::end_round(&mut store, &entered, clock.now())?;
        let coverage = store.coverage()?;
        summary.unreadable = coverage.unreadable + coverage.busy;
        summary.findings = told_since(&store, before)?;
        add(&mut summary.findings, unseen(&mut store, &scan, clock.now())?, &scan.scope);
        summary.sort();
        Ok(summary)
    }

    /// What visits the roots of areas as the walker does.
    fn checker(self, scan: &ParallelScan) -> EntryChecker {
        EntryChecker {
            areas: Arc::clone(&scan.areas),
            db: self.db.clone(),
            clock: self.clock.clone(),
            // Everything is read at once.
            small_file: u64::MAX,
            big_file: u64::MAX,
            keys: RandomState::new(),
            inodes: InodeIndex::default(),
        }
    }

    /// Visits the root of an area as the walker does, and stores what that shows; `None` when the area cannot be compared.
    fn enter(self, scan: &ParallelScan, area: usize, watched: &WatchedArea) -> Result<Option<EnteredRoot>, StoreError> {
        let checker = self.checker(scan);
        let visited = match checker.begin(CheckTarget::root(area, watched))? {
            CheckStep::Done(visited) => visited,
            CheckStep::Torn(looked) => checker.give_up(&looked)?,
            CheckStep::Read(_) => return Ok(None),
        };
        if !visited.is_area_active {
            return Ok(None);
        }
        if let Some(root) = watched.root() {
            checker.tell_lost(watched, (&root, None))?;
        }
        let Some(id) = visited.directory else {
            return Ok(Some(EnteredRoot { directory: None }));
        };
        let entry = self.db.lock().entry(id)?;
        let directory = entry.and_then(|entry| scan.root(area, entry));
        if directory.is_none() {
            // It cannot be listed, which its entry then says.
            drop(open_directory(&checker, PendingDir { area, entry: id })?);
        }
        Ok(Some(EnteredRoot { directory }))
    }

    /// Compares with the baseline and stores nothing, or with `update` the new states with their events.
    ///
    /// # Errors
    /// [`StoreError`]; what was stored until then stays.
    pub fn compare(self, scope: Scope, update: bool, progress: ScanProgress<'_>) -> Result<Summary, StoreError> {
        let db = self.db;
        let mut summary = Summary::default();
        let mut config = self.config.clone();
        if update {
            // This is how an administrator accepts what is kept.
            config.areas.iter_mut().for_each(|area| area.on_change = OnChange::Accept);
        }
        let (before, rows) = {
            let store = db.lock();
            (store.head()?.seq, rows_of(&store, &config)?)
        };
        let scan = self.scan(&config, scope, &rows, update);
        scan.areas.survey();
        if update {
            review(&mut db.lock(), &scan.areas, self.clock.now())?;
        } else {
            hidden(&db.lock(), &scan.areas, self.clock.now()).map(drop)?;
        }
        let mut writer = BatchWriter::new(db.clone());
        let mut take = |batch: ScanBatch| -> Result<(), StoreError> {
            summary.count(&batch);
            progress(&batch);
            if update {
                // What is learned anew is left to the rounds: what is not in the baseline yet was never stored.
                let new = batch.learned.iter().filter(|entry| entry.visit == 0).count();
                summary.unlearned += u64::try_from(new).unwrap_or(u64::MAX);
                return writer.take(ScanBatch { same: Vec::new(), learned: Vec::new(), looks: 0, bytes: 0, ..batch });
            }
            let events = batch.news.into_iter().flat_map(|news| news.outcome.events);
            summary.findings.extend(events.map(|found| unstored(found.event)));
            Ok(())
        };
        let mut roots = Vec::new();
        let mut without = Vec::new();
        for (area, row) in rows.iter().enumerate() {
            let Some(watched) = scan.areas.all.get(area).filter(|watched| scan.scope.concerns(&watched.path)) else {
                continue;
            };
            let known = match row {
                Some(row) => db.lock().entry_named(None, &watched.path)?.map(|root| (row, root)),
                None => None,
            };
            match known {
                None => without.push(area),
                Some(_) if update => roots.extend(self.enter(&scan, area, watched)?.and_then(|root| root.directory)),
                Some((row, root)) => {
                    let (directory, batch) = scan.approach(area, row, &root, db)?;
                    roots.extend(directory);
                    take(batch)?;
                }
            }
        }
        scan.run(roots, &mut take)?;
        if update {
            writer.close()?;
            review(&mut db.lock(), &scan.areas, self.clock.now())?;
            tell_of_stalls(&mut db.lock(), &scan.areas, self.clock.now())?;
            summary.findings = told_since(&db.lock(), before)?;
        }
        add(&mut summary.findings, unseen(&mut db.lock(), &scan, self.clock.now())?, &scan.scope);
        for watched in without.into_iter().filter_map(|area| scan.areas.all.get(area)) {
            match absence(&scan.areas, watched) {
                Some(why) => summary.findings.push(unstored(missing_event(watched, 0, &why, self.clock.now()))),
                None => summary.without_baseline.push(watched.path.clone()),
            }
        }
        summary.sort();
        Ok(summary)
    }

    /// Makes what lies in one area its baseline, whatever it was, and a suspended area is watched again. One event says who did that and
    /// counts all differences, with the old states beside it; each that was not reported before is an event of its own as well, so
    /// that nothing is accepted unreported.
    ///
    /// # Errors
    /// [`AcceptError`]; then nothing was changed.
    pub fn accept(self, area: usize, who: &str, progress: ScanProgress<'_>) -> Result<Summary, AcceptError> {
        let Self { db, clock, .. } = self;
        let mut config = self.config.clone();
        config.areas.iter_mut().for_each(|area| area.on_change = OnChange::Accept);
        let rows = rows_of(&db.lock(), &config)?;
        let scan = ParallelScan { accepts_missing: true, ..self.scan(&config, Scope::default(), &rows, true) };
        scan.areas.survey();
        let (Some(Some(row)), Some(watched)) = (rows.get(area), scan.areas.all.get(area)) else {
            return Err(AcceptError::Unknown);
        };
        let root =
            db.lock().entry_named(None, &watched.path)?.filter(|_| row.rounds > 0).ok_or(AcceptError::Unknown)?;
        let (seen, directory, first) = scan.take_root(area, &root, &mut db.lock())?.map_err(AcceptError::Missing)?;
        let mut summary = Summary::default();
        let mut news: Vec<ConditionalOutcome> = Vec::new();
        let mut take = |mut batch: ScanBatch| -> Result<(), StoreError> {
            summary.count(&batch);
            progress(&batch);
            // What goes is not there any more when the one event is stored.
            for found in batch.news.iter_mut().flat_map(|piece| &mut piece.outcome.events) {
                found.members = db.lock().listed(&found.members)?.into();
            }
            news.extend(batch.news);
            Ok(())
        };
        take(first)?;
        scan.run(directory.into_iter().collect(), take)?;
        let now = clock.now();
        let identity = RootIdentity { dev: seen.dev, inode: seen.inode, boot: now.boot };
        let covered = db.lock().covered_paths(watched.id, usize::MAX)?;
        let is_told = |piece: &&ConditionalOutcome, found: &&StoredFinding| {
            piece.basis.as_ref().is_some_and(|basis| basis.reported == Some(GONE))
                || covered.iter().any(|row| is_beneath(&found.event.source, &row.path))
        };
        let without_told = |piece: &ConditionalOutcome| ConditionalOutcome {
            basis: piece.basis.clone(),
            outcome: Outcome {
                changes: piece.outcome.changes.clone(),
                events: piece.outcome.events.iter().filter(|found| !is_told(&piece, found)).cloned().collect(),
            },
        };
        let pieces: Vec<ConditionalOutcome> = news.iter().map(without_told).collect();
        let fresh = db.lock().commit_fresh(&pieces, |fresh| Outcome {
            changes: vec![
                StateChange::Accepted(watched.id, identity),
                StateChange::Mounts(watched.id, expected_mounts(&scan.areas, watched)),
            ],
            events: vec![acceptance(watched, &still(&news, fresh), who, now)],
        })?;
        let accepted = still(&news, &fresh).into_iter().flat_map(|piece| &piece.outcome.events);
        summary.findings = accepted.map(|found| unstored(found.event.clone())).collect();
        add(&mut summary.findings, unseen(&mut db.lock(), &scan, now)?, &Scope { paths: vec![watched.path.clone()] });
        summary.sort();
        Ok(summary)
    }

    /// A pass over the areas with these rows.
    fn scan(self, config: &Config, scope: Scope, rows: &[Option<AreaRow>], is_stored: bool) -> ParallelScan {
        let Self { db, clock, .. } = self;
        let ids: Vec<AreaId> = rows.iter().map(|row| row.as_ref().map_or(AreaId(0), |row| row.id)).collect();
        // Nothing else waits, so that an answer may come as late as the deadline allows.
        let helper = Helper { patience: config.helper.deadline, ..config.helper.clone() };
        let areas = Arc::new(WatchedAreas::new(&Config { helper, ..config.clone() }, &ids));
        let is_learning = |row: &&AreaRow| row.is_new() || !row.state.is_active() && row.was_learning;
        ParallelScan {
            areas,
            clock: clock.clone(),
            database: db.lock().path().to_path_buf(),
            scope,
            workers: workers(),
            learning: rows.iter().flatten().filter(is_learning).map(|row| row.id).collect(),
            ids: is_stored.then(|| Ids::new(db.clone())),
            moves: Moves::default(),
            accepts_missing: false,
            lost: Mutex::default(),
        }
    }
}

/// The root of an area that was visited.
struct EnteredRoot {
    /// Itself, when it is a directory that can be listed.
    directory: Option<Directory>,
}

/// What was told about files since event `before`.
fn told_since(store: &Store, before: u64) -> Result<Vec<StoredEvent>, StoreError> {
    let range = Range { channel: Channel::Files, first: before + 1, last: store.head()?.seq, areas: None };
    let files: Vec<Category> = Category::ALL.iter().copied().filter(|category| category.kind() == Kind::File).collect();
    store.events_in(&range, &files, Most::ALL)
}

/// The rows of the configured areas, in their order; `None` for one that the store has never seen.
fn rows_of(store: &Store, config: &Config) -> Result<Vec<Option<AreaRow>>, StoreError> {
    let all = store.areas()?;
    let path = |area: &crate::config::settings::config::Area| area.path.as_os_str().as_encoded_bytes().to_vec();
    Ok(config.areas.iter().map(|area| all.iter().find(|row| row.path == path(area)).cloned()).collect())
}

/// Why an area cannot be accepted as it is.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing is known of it that could be replaced.
    #[error("it has no baseline yet: `integrityd init` or the daemon learns it")]
    Unknown,
    /// Its root cannot be looked at.
    #[error("its root cannot be looked at: {0}; mount or make it first, or take the area out of the configuration")]
    Missing(String),
}

/// Those of `news` that were still news when they were to be stored.
fn still<'a>(news: &'a [ConditionalOutcome], fresh: &[bool]) -> Vec<&'a ConditionalOutcome> {
    news.iter().zip(fresh).filter(|(_, is_fresh)| **is_fresh).map(|(piece, _)| piece).collect()
}

/// One event for each part of the areas that a pass did not see, told before or not: it is covered, does not answer, or is missing while
/// its baseline is kept.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or written.
pub(in crate::files) fn unseen(store: &mut Store, scan: &ParallelScan, now: Moment) -> Result<Vec<Event>, StoreError> {
    store.flush()?;
    let areas = &scan.areas;
    let mut unseen = hidden(store, areas, now)?;
    unseen.extend(scan.missing());
    for (mount, why) in areas.mount_map.stalled() {
        unseen.push(event(store, areas, &mount, &Transition::Stalled(why), now)?);
    }
    Ok(unseen)
}

/// Adds to findings what was not found just now but is so, as far as that was asked for.
pub(in crate::files) fn add(findings: &mut Vec<StoredEvent>, events: Vec<Event>, scope: &Scope) {
    for event in events.into_iter().filter(|event| scope.concerns(&event.source)) {
        let key = |event: &Event| match event.category {
            // What was found missing at different times is one finding of its area.
            Category::EntriesMissing => (event.category, event.area.clone()),
            category => (category, event.source.clone()),
        };
        if !findings.iter().any(|found| key(&found.event) == key(&event)) {
            findings.push(unstored(event));
        }
    }
}

/// A finding that is shown, not stored.
pub(in crate::files) fn unstored(event: Event) -> StoredEvent {
    StoredEvent { seq: 0, event, prev_hash: [0; 32], hash: [0; 32] }
}
