//! The file watcher: goes round without end, and after each stop rechecks the entry that has waited longest.
//!
//! The walk finds what is new, the recheck notices what changed or went. Every look costs one slot, every byte is paid from one
//! bucket; a change multiplies both rates until every entry has been looked at once since.
//!
//! Downwards: scan, stalls, walk, baseline, compare, pace, area, remote.

pub mod area;
pub mod baseline;
pub mod compare;
pub mod pace;
pub mod remote;
pub mod scan;
pub(super) mod stalls;
pub mod walk;

use std::{
    collections::HashSet,
    hash::RandomState,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::Config,
    files::{
        area::{namespace::Namespace, watched_areas::WatchedAreas},
        baseline::mass_removal::tell_back,
        compare::inode_index::InodeIndex,
        pace::area_turns::AreaTurns,
        stalls::{survey, tell_of_stalls},
        walk::{
            checker::{Interrupt, PacedChecker},
            entry_check::EntryChecker,
            frontier::{Frontier, NextStep, OpenDir, PendingDir},
            target::CheckTarget,
        },
    },
    model::{
        clock::{Boottime, Clock},
        file::entry::AreaId,
        keepalive::Keepalive,
    },
    store::{
        baseline::areas::{AreaRow, AreaState},
        db::{Db, run_blocking},
        sqlite::{connection::Store, error::with_causes},
    },
    sys::sleep,
};

/// How often the root of a missing area is looked for.
const ROOT_TIME: Duration = Duration::from_mins(1);

/// Names of a directory that are asked for at once when its listing did not show them.
const UNSEEN: u32 = 4096;

/// The first and the longest wait after the store has failed.
const STORE_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// So far are the fast first rounds of machines apart that are started together.
const FIRST_ROUND_SPREAD: Duration = Duration::from_secs(30);

/// The task that goes round.
#[derive(Debug)]
pub struct Walker {
    config: Arc<Config>,
    db: Db,
    clock: Clock,
    stop: CancellationToken,
    chance: StdRng,
    paced: PacedChecker,
    itinerary: Frontier,
    /// The areas whose root was entered in this round.
    turns: AreaTurns,
    roots_checked: Boottime,
    /// By which part of a slot the first stop is later.
    phase: f64,
    /// The mounts of our own namespace.
    namespace: Arc<Mutex<Namespace>>,
}

impl Walker {
    /// A walker over the areas of `config`; `chance` decides the order of its stops.
    pub fn new(config: Arc<Config>, db: Db, clock: Clock, chance: StdRng, stop: CancellationToken) -> Self {
        let now = clock.now().boottime;
        Self {
            paced: PacedChecker::new(&config, db.clone(), clock.clone(), stop.clone()),
            config,
            db,
            clock,
            stop,
            chance,
            itinerary: Frontier::default(),
            turns: AreaTurns::default(),
            roots_checked: now,
            phase: 0.0,
            namespace: Arc::default(),
        }
    }

    /// The same walker with this pulse.
    #[must_use]
    pub fn beating(mut self, pulse: Keepalive) -> Self {
        self.paced.pulse = pulse;
        self
    }

    /// The same walker on a system that shows itself below `root`.
    #[must_use]
    pub fn beneath(mut self, root: PathBuf) -> Self {
        self.paced.root = root;
        self
    }

    /// The same walker, whose first stop is later by this part of a slot, 0 to 1.
    #[must_use]
    pub const fn in_phase(mut self, phase: f64) -> Self {
        self.phase = phase;
        self
    }

    /// Goes round until told to stop. A failing store makes it wait and begin the round anew: nothing that was not stored
    /// counts as seen.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let mut patience = STORE_RETRY.0;
        loop {
            let began = self.clock.now();
            self.paced.pulse.beat();
            match self.go_round().await {
                Ok(()) => {}
                Err(Interrupt::Stopped) => break,
                Err(Interrupt::Store(error)) => {
                    tracing::error!(error = %with_causes(&error), wait = ?patience, "the walk cannot go on; it begins anew");
                    self.db.troubles.note(&error, self.clock.now());
                    self.db.call(Store::shed_looks).await;
                    self.itinerary = Frontier::default();
                    self.paced.checker = None;
                    if stop.run_until_cancelled(sleep::rest(&self.clock, patience)).await.is_none() {
                        break;
                    }
                    let had_rest = self.clock.now().since(began) > STORE_RETRY.1 * 2;
                    patience = if had_rest { STORE_RETRY.0 } else { (patience * 2).min(STORE_RETRY.1) };
                }
            }
        }
        if let Err(error) = self.db.call(Store::flush).await {
            tracing::error!(error = %with_causes(&error), "the last looks were not stored; they will be repeated");
        }
    }

    async fn go_round(&mut self) -> Result<(), Interrupt> {
        if self.paced.checker.is_none() {
            self.settle_in().await?;
        }
        self.survey().await?;
        self.turns = AreaTurns::default();
        self.take_turns();
        for area in 0..self.config.areas.len() {
            self.enter(area).await?;
        }
        loop {
            self.keep_house().await?;
            match self.itinerary.next(&mut self.chance) {
                NextStep::Open(ahead) => {
                    self.open(ahead).await?;
                    self.end_area(ahead.area).await?;
                }
                NextStep::Refill(open, most) => {
                    let area = open.place.area;
                    self.refill(open, most).await?;
                    self.end_area(area).await?;
                }
                NextStep::Finished(open) => {
                    let area = open.place.area;
                    self.find_unseen(open).await?;
                    self.end_area(area).await?;
                }
                NextStep::Stop(place, name) => {
                    self.stop_at(CheckTarget::in_directory(place, name)).await?;
                    self.paced.recheck().await?;
                }
                NextStep::End => break,
            }
        }
        self.end_round().await
    }

    /// Brings store and configuration in line, and begins to learn what is new.
    async fn settle_in(&mut self) -> Result<(), Interrupt> {
        let (config, clock) = (Arc::clone(&self.config), self.clock.clone());
        let rows = self.db.call(move |store| baseline::learning::settle_in(store, &config, clock.now())).await?;
        let ids: Vec<AreaId> = rows.iter().map(|row| row.id).collect();
        let areas = Arc::new(WatchedAreas::new(&self.config, &ids));
        self.paced.checker = Some(Arc::new(EntryChecker {
            areas: Arc::clone(&areas),
            db: self.db.clone(),
            clock: self.clock.clone(),
            small_file: self.config.rates.small_file,
            big_file: self.config.rates.big_file,
            keys: RandomState::new(),
            inodes: InodeIndex::default(),
        }));
        self.paced.is_learning = rows.iter().any(|row| row.state == AreaState::Learning);
        self.paced.adjust_pace();
        let spread = if self.paced.is_first_and_fast() { FIRST_ROUND_SPREAD } else { Duration::ZERO };
        self.paced.pace.put_off(self.clock.now().boottime, std::mem::take(&mut self.phase), spread);
        self.survey().await?;
        let rates = self.config.rates.of_first_round();
        Ok(baseline::learning::announce(&self.db, &self.clock, rates, areas, rows).await?)
    }

    /// Tells of mounts within areas that are not entered or hide something; those that were there from the beginning are told with its begin.
    async fn survey(&mut self) -> Result<(), Interrupt> {
        let Some(checker) = self.paced.checker.clone() else { return Ok(()) };
        Ok(survey(&self.db, checker, &self.namespace, self.clock.now()).await?)
    }

    /// Looks after the helpers, and after what was mounted or unmounted. Waits for neither.
    async fn tend(&mut self) -> Result<(), Interrupt> {
        let Some(areas) = self.paced.checker.as_ref().map(|checker| Arc::clone(&checker.areas)) else {
            return Ok(());
        };
        // Only after a change something is read, and that from memory.
        if areas.mount_map.has_moved() {
            self.survey().await?;
        }
        if !areas.mount_map.has_helpers() {
            return Ok(());
        }
        let now = self.clock.now();
        Ok(self.db.call(move |store| tell_of_stalls(store, &areas, now)).await?)
    }

    /// Looks at the root of an area and puts it on the itinerary.
    async fn enter(&mut self, area: usize) -> Result<(), Interrupt> {
        let checker = self.paced.checker.clone();
        let Some(watched) = checker.as_ref().and_then(|checker| checker.areas.all.get(area)) else {
            return Ok(());
        };
        let (target, id) = (CheckTarget::root(area, watched), watched.id);
        let Some(visited) = self.paced.look(target).await? else {
            return Ok(());
        };
        if !visited.is_area_active {
            self.itinerary.drop_area(area);
            return Ok(());
        }
        self.turns.enter(id, area, self.clock.now().boottime);
        if let Some(entry) = visited.directory {
            self.itinerary.add(PendingDir { area, entry });
        }
        self.end_area(area).await
    }

    /// A stop on the walk; a directory is entered later.
    async fn stop_at(&mut self, target: CheckTarget) -> Result<(), Interrupt> {
        let (area, is_child_of_root) = (target.area, target.parent);
        let Some(checker) = self.paced.checker.clone() else {
            return Ok(());
        };
        let Some(watched) = checker.areas.all.get(area) else {
            return Ok(());
        };
        if checker.areas.leaves_out(watched, &target.path) && !self.is_known(&target).await? {
            return Ok(());
        }
        self.paced.max_age.stopped(watched.id);
        let Some(visited) = self.paced.look(target).await? else {
            return Ok(());
        };
        if !visited.is_area_active {
            self.itinerary.drop_area(area);
        } else if let Some(entry) = visited.directory
            && watched.settings.recurse
            && is_child_of_root.is_some()
        {
            self.itinerary.add(PendingDir { area, entry });
        }
        Ok(())
    }

    async fn is_known(&self, target: &CheckTarget) -> Result<bool, Interrupt> {
        let (parent, name) = (target.parent, target.name.clone());
        Ok(self.db.call(move |store| store.entry_named(parent, &name)).await?.is_some())
    }

    /// Opens a directory for listing.
    async fn open(&mut self, ahead: PendingDir) -> Result<(), Interrupt> {
        if let Some(open) = self.paced.open(ahead).await? {
            self.itinerary.take_up(open);
        }
        Ok(())
    }

    async fn refill(&mut self, open: OpenDir, most: usize) -> Result<(), Interrupt> {
        if let Some(open) = self.paced.refill(open, most).await? {
            self.itinerary.take_up(open);
        }
        Ok(())
    }

    /// Makes stops of what the baseline has in a directory but its listing did not show, block by block.
    async fn find_unseen(&mut self, mut open: OpenDir) -> Result<(), Interrupt> {
        let (entry, since, after) = (open.place.entry, open.place.since, open.unseen_until().to_vec());
        let unseen = self.db.call(move |store| store.unseen_since(entry, since, &after, UNSEEN)).await?;
        if open.add_unseen(unseen) {
            self.itinerary.take_up(open);
        }
        Ok(())
    }

    /// While an area is new, each area takes its turn, whatever the others still lack.
    fn take_turns(&mut self) {
        self.itinerary.take_turns(if self.paced.is_learning { self.config.areas.len() } else { 0 });
    }

    /// Ends the round over an area of which nothing is ahead any more, where one is new: what is watched need not wait for what is not yet.
    async fn end_area(&mut self, area: usize) -> Result<(), Interrupt> {
        if !self.paced.is_learning || self.itinerary.has_area(area) {
            return Ok(());
        }
        let Some(checker) = self.paced.checker.clone() else { return Ok(()) };
        let Some(watched) = checker.areas.all.get(area) else { return Ok(()) };
        let (id, now) = (watched.id, self.clock.now());
        if !self.turns.end(id, !checker.areas.is_unfinished(watched), now.boottime) {
            return Ok(());
        }
        let rows = self.db.call(move |store| {
            baseline::learning::end_round(store, &[id], now)?;
            store.areas()
        });
        let rows = rows.await?;
        self.note_learning(&rows);
        Ok(())
    }

    /// Notes whether the first round over an area is under way, and goes at the pace of that.
    fn note_learning(&mut self, rows: &[AreaRow]) {
        let Some(checker) = self.paced.checker.as_ref() else { return };
        let is_ours = |id: AreaId| checker.areas.all.iter().any(|watched| watched.id == id);
        self.paced.is_learning = rows.iter().any(|row| row.state == AreaState::Learning && is_ours(row.id));
        self.paced.adjust_pace();
        self.take_turns();
    }

    async fn end_round(&mut self) -> Result<(), Interrupt> {
        let Some(areas) = self.paced.checker.as_ref().map(|checker| Arc::clone(&checker.areas)) else {
            return Ok(());
        };
        let unfinished = areas.unfinished();
        let done: Vec<AreaId> = self.turns.uncounted().filter(|area| !unfinished.contains(area)).collect();
        let clock = self.clock.clone();
        let rows = self.db.call(move |store| {
            baseline::learning::end_round(store, &done, clock.now())?;
            tell_back(store, &areas, true, clock.now())?;
            store.areas()
        });
        let rows = rows.await?;
        self.note_learning(&rows);
        self.paced.take_stock(true).await
    }

    /// What is due between two stops: writing collected looks, looking for missing roots.
    async fn keep_house(&mut self) -> Result<(), Interrupt> {
        self.paced.pulse.beat();
        if self.stop.is_cancelled() {
            return Err(Interrupt::Stopped);
        }
        self.paced.settle().await?;
        self.tend().await?;
        self.paced.take_stock(false).await?;
        let now = self.clock.now().boottime;
        if self.paced.is_learning {
            for area in self.turns.take_rested(now) {
                self.enter(area).await?;
            }
        }
        if now.since(self.roots_checked) >= ROOT_TIME {
            self.roots_checked = now;
            for area in self.areas_to_enter().await? {
                self.itinerary.drop_area(area);
                self.enter(area).await?;
            }
        }
        Ok(())
    }

    /// Tells of what was missing and is back; gives the areas whose root may be back or is another, and those that an administrator has accepted since the round began.
    async fn areas_to_enter(&self) -> Result<Vec<usize>, Interrupt> {
        let Some(checker) = self.paced.checker.clone() else { return Ok(Vec::new()) };
        let (areas, now) = (Arc::clone(&checker.areas), self.clock.now());
        let rows = self.db.call(move |store| tell_back(store, &areas, false, now).and_then(|()| store.areas())).await?;
        let entered: HashSet<AreaId> = self.turns.entered().collect();
        let wanted = move || {
            let areas = &checker.areas;
            let all = areas.all.iter().enumerate();
            let is_wanted = |id: AreaId| {
                let row = rows.iter().find(|row| row.id == id);
                row.is_some_and(|row| !row.state.is_active() || !entered.contains(&id))
            };
            all.filter(|(_, watched)| is_wanted(watched.id) || areas.is_another(watched))
                .map(|(index, _)| index)
                .collect()
        };
        Ok(run_blocking(wanted).await)
    }
}
