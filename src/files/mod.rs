//! The file watcher: goes round without end, and after each stop rechecks the entry that has waited longest.
//!
//! The walk finds what is new, the recheck notices what changed or went. Every look costs one slot, every byte is paid from one
//! bucket; a change multiplies both rates until every entry has been looked at once since.

pub mod compare;
pub mod digest;
pub mod ground;
pub mod itinerary;
pub mod learning;
mod missing;
pub mod observe;
pub mod pace;
pub mod visit;

use std::{
    collections::HashSet,
    hash::RandomState,
    os::fd::{AsFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rand::rngs::StdRng;
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::Config,
    model::{
        clock::{Boottime, Clock},
        entry::{AreaId, HashState},
        event::{Category, Event, Severity},
    },
    store::{
        areas::{AreaRow, AreaState},
        database::Store,
        door::{Db, run_blocking},
        error::StoreError,
        outcome::{Outcome, StateChange},
    },
    sys::{dir::Listing, file::Handle, timer::wait_until},
};
use ground::Ground;
use itinerary::{Ahead, Itinerary, Next, Open, Place};
use pace::{Pace, SpeedUp};
use visit::{Step, Target, Visited, Visitor};

/// An entry looked at less than this ago is not rechecked.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// Looks that found nothing are written at the latest after this.
const GROUP_TIME: Duration = Duration::from_secs(5);

/// How often the root of a missing area is looked for.
const ROOT_TIME: Duration = Duration::from_secs(60);

/// How often a file that changes while it is read is tried, and the first wait between.
const TRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// Bytes read between two looks at the clock, at an ordinary and at a very high rate.
const CHUNK: u64 = 64 * 1024;
const BIG_CHUNK: u64 = 1024 * 1024;
const HIGH_RATE: f64 = 64.0 * 1024.0 * 1024.0;

/// The first and the longest wait after the store has failed.
const STORE_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Why the walker leaves what it is doing.
#[derive(Debug, thiserror::Error)]
enum Leave {
    /// It was told to stop.
    #[error("told to stop")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The task that goes round.
#[derive(Debug)]
pub struct Walker {
    config: Arc<Config>,
    db: Db,
    clock: Clock,
    stop: CancellationToken,
    chance: StdRng,
    visitor: Option<Arc<Visitor>>,
    itinerary: Itinerary,
    pace: Pace,
    speed: SpeedUp,
    is_learning: bool,
    /// Areas whose root was entered in this round.
    entered: HashSet<AreaId>,
    /// Paths at which something panicked; left alone from then on.
    quarantine: HashSet<Vec<u8>>,
    flushed: Boottime,
    roots_checked: Boottime,
}

impl Walker {
    /// A walker over the areas of `config`; `chance` decides the order of its stops.
    pub fn new(config: Arc<Config>, db: Db, clock: Clock, chance: StdRng, stop: CancellationToken) -> Self {
        let now = clock.now().boottime;
        Self {
            pace: Pace::new(config.rates.files, config.rates.bytes),
            config,
            db,
            clock,
            stop,
            chance,
            visitor: None,
            itinerary: Itinerary::default(),
            speed: SpeedUp::default(),
            is_learning: false,
            entered: HashSet::new(),
            quarantine: HashSet::new(),
            flushed: now,
            roots_checked: now,
        }
    }

    /// Goes round until told to stop. A failing store makes it wait and begin the round anew: nothing that was not stored
    /// counts as seen.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let mut patience = STORE_RETRY.0;
        loop {
            let began = self.clock.now();
            match self.go_round().await {
                Ok(()) => {}
                Err(Leave::Stopped) => break,
                Err(Leave::Store(error)) => {
                    tracing::error!(error = %chain(&error), wait = ?patience, "the store failed; the walk begins anew");
                    self.itinerary = Itinerary::default();
                    self.visitor = None;
                    if stop.run_until_cancelled(tokio::time::sleep(patience)).await.is_none() {
                        break;
                    }
                    let had_rest = self.clock.now().since(began) > STORE_RETRY.1 * 2;
                    patience = if had_rest { STORE_RETRY.0 } else { (patience * 2).min(STORE_RETRY.1) };
                }
            }
        }
        if let Err(error) = self.db.call(Store::flush).await {
            tracing::error!(error = %chain(&error), "the last looks were not stored; they will be repeated");
        }
    }

    async fn go_round(&mut self) -> Result<(), Leave> {
        if self.visitor.is_none() {
            self.settle_in().await?;
        }
        self.entered.clear();
        for area in 0..self.config.areas.len() {
            self.enter(area).await?;
        }
        loop {
            self.keep_house().await?;
            match self.itinerary.next(&mut self.chance) {
                Next::Open(ahead) => self.open(ahead).await?,
                Next::Refill(open, most) => self.refill(open, most).await?,
                Next::Finished(open) => self.find_unseen(&open.place).await?,
                Next::Stop(place, name) => {
                    self.stop_at(Target::in_directory(place, name)).await?;
                    self.recheck_stalest().await?;
                }
                Next::End => break,
            }
        }
        self.end_round().await
    }

    /// Brings store and configuration in line, and begins to learn what is new.
    async fn settle_in(&mut self) -> Result<(), Leave> {
        let (config, clock) = (Arc::clone(&self.config), self.clock.clone());
        let rows = self
            .db
            .call(move |store| learning::settle_in(store, &config, clock.now()))
            .await?;
        let ids: Vec<AreaId> = rows.iter().map(|row| row.id).collect();
        let ground = Arc::new(Ground::new(&self.config, &ids));
        self.visitor = Some(Arc::new(Visitor {
            ground: Arc::clone(&ground),
            db: self.db.clone(),
            clock: self.clock.clone(),
            urgent: self.config.urgent.clone(),
            small_file: self.config.rates.small_file,
            keys: RandomState::new(),
        }));
        self.is_learning = rows.iter().any(|row| row.state == AreaState::Learning);
        self.adjust_factor();
        self.announce(ground, rows).await
    }

    /// Tells that the first round over new areas begins.
    async fn announce(&mut self, ground: Arc<Ground>, rows: Vec<AreaRow>) -> Result<(), Leave> {
        let is_new = |row: &&AreaRow| row.state == AreaState::Learning && row.started.is_none();
        let new: Vec<AreaRow> = rows.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let factor = self.config.rates.speedup;
        let rates = (self.config.rates.files * factor, self.config.rates.bytes * factor);
        let ids: Vec<AreaId> = new.iter().map(|row| row.id).collect();
        let clock = self.clock.clone();
        let census_ids = ids.clone();
        let counted = Arc::clone(&ground);
        let census = run_blocking(move || learning::count(&counted, &census_ids)).await;
        self.db
            .call(move |store| {
                let now = clock.now();
                let mut outcome = Outcome::tell(learning::begun(&ground, &ids, census, rates, now));
                for row in new {
                    outcome = outcome.with_change(StateChange::Area(Box::new(AreaRow {
                        started: Some(now.wall),
                        ..row
                    })));
                }
                store.commit(&outcome)
            })
            .await?;
        Ok(())
    }

    /// Looks at the root of an area and puts it on the itinerary.
    async fn enter(&mut self, area: usize) -> Result<(), Leave> {
        let Some((target, id)) = self.tract_root(area) else {
            return Ok(());
        };
        let Some(visited) = self.look(target).await? else {
            return Ok(());
        };
        if !visited.is_area_active {
            self.itinerary.drop_area(area);
            return Ok(());
        }
        self.entered.insert(id);
        if let Some(entry) = visited.directory {
            self.itinerary.add(Ahead { area, entry });
        }
        Ok(())
    }

    fn tract_root(&self, area: usize) -> Option<(Target, AreaId)> {
        let tract = self.visitor.as_ref()?.ground.tracts.get(area)?;
        Some((Target::root(area, tract), tract.id))
    }

    /// A stop on the walk; a directory is entered later.
    async fn stop_at(&mut self, target: Target) -> Result<(), Leave> {
        let (area, is_child_of_root) = (target.area, target.parent);
        let Some(visitor) = self.visitor.clone() else { return Ok(()) };
        let Some(tract) = visitor.ground.tracts.get(area) else {
            return Ok(());
        };
        if visitor.ground.leaves_out(tract, &target.path) && !self.is_known(&target).await? {
            return Ok(());
        }
        let Some(visited) = self.look(target).await? else {
            return Ok(());
        };
        if let Some(entry) = visited.directory
            && tract.settings.recurse
            && is_child_of_root.is_some()
        {
            self.itinerary.add(Ahead { area, entry });
        }
        Ok(())
    }

    async fn is_known(&self, target: &Target) -> Result<bool, Leave> {
        let (parent, name) = (target.parent, target.name.clone());
        Ok(self.db.call(move |store| store.entry_named(parent, &name)).await?.is_some())
    }

    /// Rechecks the entry that has waited longest, unless it was looked at a moment ago.
    async fn recheck_stalest(&mut self) -> Result<(), Leave> {
        let Some(visitor) = self.visitor.clone() else { return Ok(()) };
        let found = self.db.call(stalest_with_way).await?;
        self.speed.settle(found.as_ref().map(|(entry, _)| entry.visit));
        self.adjust_factor();
        let Some((entry, way)) = found else { return Ok(()) };
        let now = self.clock.now();
        // After a jump of the clock backwards everything is eligible.
        if entry.checked <= now.wall && now.wall.since(entry.checked) < LEAST_AGE {
            return Ok(());
        }
        let area = visitor.ground.tracts.iter().position(|tract| tract.id == entry.area);
        let target = area.and_then(|area| {
            let tract = visitor.ground.tracts.get(area)?;
            Target::of_entry(area, tract, &entry, &way)
        });
        let Some(target) = target else {
            // Its root could not be opened; it waits for its next turn.
            let visit = entry.id;
            self.db
                .call(move |store| {
                    let number = store.next_visit();
                    store.touch(visit, number, now.wall);
                })
                .await;
            return Ok(());
        };
        self.look(target).await.map(|_visited| ())
    }

    /// One look, at the pace that is due. `None` when the path is in quarantine.
    async fn look(&mut self, target: Target) -> Result<Option<Visited>, Leave> {
        if self.quarantine.contains(&target.path) {
            return Ok(None);
        }
        let due = self.pace.next_look(self.clock.now().boottime);
        self.wait(due).await?;
        self.pace.book_look(self.clock.now().boottime);
        let mut patience = FIRST_RETRY;
        for attempt in 1..=TRIES {
            let again = target.clone();
            let Some(step) = self.job(&target, move |visitor| visitor.begin(again)).await? else {
                return Ok(None);
            };
            match self.read_on(&target, step).await? {
                Some(Step::Torn(looked)) if attempt == TRIES => {
                    let visited = self.job(&target, move |visitor| visitor.give_up(*looked)).await?;
                    return Ok(visited.inspect(|visited| self.take_note(visited)));
                }
                Some(Step::Torn(_)) => {
                    let due = self.clock.now().boottime.after(patience);
                    self.wait(due).await?;
                    patience *= 4;
                }
                Some(Step::Done(visited)) => {
                    self.take_note(&visited);
                    return Ok(Some(visited));
                }
                Some(Step::Read(_)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads a larger file to its end at the pace of the bytes, and pays for what was read.
    async fn read_on(&mut self, target: &Target, step: Step) -> Result<Option<Step>, Leave> {
        let mut open = match step {
            Step::Read(open) => open,
            Step::Done(visited) => {
                self.pace.book_bytes(self.clock.now().boottime, visited.read);
                return Ok(Some(Step::Done(visited)));
            }
            Step::Torn(looked) => {
                self.pace.book_bytes(self.clock.now().boottime, looked.read());
                return Ok(Some(Step::Torn(looked)));
            }
        };
        let chunk = if self.pace.bytes_per_second() > HIGH_RATE { BIG_CHUNK } else { CHUNK };
        loop {
            let due = self.pace.next_read(self.clock.now().boottime);
            self.wait(due).await?;
            let read = self
                .job(target, move |_visitor| {
                    let advanced = open.reading.advance(chunk);
                    Ok((open, advanced))
                })
                .await?;
            let Some((next, advanced)) = read else { return Ok(None) };
            open = next;
            match advanced {
                Ok((count, is_end)) => {
                    self.pace.book_bytes(self.clock.now().boottime, count);
                    if is_end {
                        return self.job(target, move |visitor| visitor.finish(*open)).await;
                    }
                }
                Err(errno) => {
                    let visited = self.job(target, move |visitor| visitor.fail(*open, errno)).await?;
                    return Ok(visited.map(Step::Done));
                }
            }
        }
    }

    /// Runs one piece of a visit. A panic in it costs this one path: it is told once and left alone from then on.
    async fn job<T: Send + 'static>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&Visitor) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Leave> {
        let Some(visitor) = self.visitor.clone() else { return Ok(None) };
        match run_blocking(move || catch_unwind(AssertUnwindSafe(|| work(&visitor)))).await {
            Ok(result) => Ok(Some(result?)),
            Err(_panic) => {
                self.quarantine.insert(target.path.clone());
                let now = self.clock.now();
                let event = Event::new(Category::InternalError, Severity::High, now, target.path.clone())
                    .with_note("a fault in integrityd: this path is left alone until the next start; please report it");
                let (parent, name) = (target.parent, target.name.clone());
                self.db
                    .call(move |store| {
                        if let Some(entry) = store.entry_named(parent, &name)? {
                            let number = store.next_visit();
                            store.touch(entry.id, number, now.wall);
                        }
                        store.commit(&Outcome::tell(event))
                    })
                    .await?;
                Ok(None)
            }
        }
    }

    fn take_note(&mut self, visited: &Visited) {
        if visited.is_changed {
            self.speed.on_change(visited.key, visited.visit);
            self.adjust_factor();
        } else {
            self.speed.on_calm(visited.key);
        }
    }

    fn adjust_factor(&mut self) {
        let is_fast = self.is_learning || self.speed.is_on();
        self.pace.set_factor(if is_fast { self.config.rates.speedup } else { 1.0 });
    }

    /// Opens a directory for listing.
    async fn open(&mut self, ahead: Ahead) -> Result<(), Leave> {
        let Some(visitor) = self.visitor.clone() else { return Ok(()) };
        if let Some(open) = run_blocking(move || open_directory(&visitor, ahead)).await? {
            self.itinerary.take_up(open);
        }
        Ok(())
    }

    async fn refill(&mut self, mut open: Open, most: usize) -> Result<(), Leave> {
        let (open, read) = run_blocking(move || {
            let read = open.read_block(most);
            (open, read)
        })
        .await;
        if let Err(errno) = read
            && errno != Errno::NOENT
        {
            tracing::warn!(%errno, "a directory could not be listed to its end");
        }
        self.itinerary.take_up(open);
        Ok(())
    }

    /// Looks at what the baseline has in a directory but its listing did not show.
    async fn find_unseen(&mut self, place: &Arc<Place>) -> Result<(), Leave> {
        let (entry, since) = (place.entry, place.since);
        let unseen = self.db.call(move |store| store.unseen_since(entry, since, 10_000)).await?;
        for name in unseen {
            self.look(Target::in_directory(Arc::clone(place), name)).await?;
        }
        Ok(())
    }

    async fn end_round(&mut self) -> Result<(), Leave> {
        let areas: Vec<AreaId> = self.entered.iter().copied().collect();
        let clock = self.clock.clone();
        let rows = self
            .db
            .call(move |store| {
                learning::end_round(store, &areas, clock.now())?;
                store.areas()
            })
            .await?;
        let ids: Vec<AreaId> = self
            .visitor
            .iter()
            .flat_map(|visitor| visitor.ground.tracts.iter().map(|tract| tract.id))
            .collect();
        self.is_learning = rows
            .iter()
            .any(|row| row.state == AreaState::Learning && ids.contains(&row.id));
        self.adjust_factor();
        Ok(())
    }

    /// What is due between two stops: writing collected looks, looking for missing roots.
    async fn keep_house(&mut self) -> Result<(), Leave> {
        if self.stop.is_cancelled() {
            return Err(Leave::Stopped);
        }
        let now = self.clock.now().boottime;
        let is_time = now.since(self.flushed) >= GROUP_TIME;
        if is_time || self.db.call(|store| store.is_full()).await {
            self.db.call(Store::flush).await?;
            self.flushed = now;
        }
        if now.since(self.roots_checked) >= ROOT_TIME {
            self.roots_checked = now;
            for area in self.inactive_areas().await? {
                self.enter(area).await?;
            }
        }
        Ok(())
    }

    async fn inactive_areas(&self) -> Result<Vec<usize>, Leave> {
        let Some(visitor) = self.visitor.clone() else { return Ok(Vec::new()) };
        let rows = self.db.call(|store| store.areas()).await?;
        let is_inactive = |id: AreaId| rows.iter().any(|row| row.id == id && !row.state.is_active());
        Ok(visitor
            .ground
            .tracts
            .iter()
            .enumerate()
            .filter(|(_, tract)| is_inactive(tract.id))
            .map(|(index, _)| index)
            .collect())
    }

    /// Waits, but not past the end; what was collected is written before a longer wait.
    async fn wait(&mut self, due: Boottime) -> Result<(), Leave> {
        let now = self.clock.now().boottime;
        let flush_due = self.flushed.after(GROUP_TIME);
        if due > flush_due && due > now {
            self.wait_until(flush_due.min(due)).await?;
            self.db.call(Store::flush).await?;
            self.flushed = self.clock.now().boottime;
        }
        self.wait_until(due).await
    }

    async fn wait_until(&self, due: Boottime) -> Result<(), Leave> {
        match self.stop.run_until_cancelled(wait_until(&self.clock, due)).await {
            Some(()) => Ok(()),
            None => Err(Leave::Stopped),
        }
    }
}

/// An entry with the names that lead to it.
type EntryWithWay = (crate::model::entry::Entry, Vec<(crate::model::entry::EntryId, Vec<u8>)>);

fn stalest_with_way(store: &mut Store) -> Result<Option<EntryWithWay>, StoreError> {
    let active = store.active_areas()?;
    let Some(entry) = store.stalest(&active)? else {
        return Ok(None);
    };
    let way = store.way_to(entry.id)?;
    Ok(Some((entry, way)))
}

/// Opens a directory of the baseline from the root of its area; `None` when it cannot be listed, which its entry then says.
fn open_directory(visitor: &Visitor, ahead: Ahead) -> Result<Option<Open>, StoreError> {
    let (entry, way, since) = {
        let store = visitor.db.lock();
        let Some(entry) = store.entry(ahead.entry)? else {
            return Ok(None);
        };
        (entry, store.way_to(ahead.entry)?, store.last_visit() + 1)
    };
    let Some(tract) = visitor.ground.tracts.get(ahead.area) else {
        return Ok(None);
    };
    let Some(root) = tract.root() else { return Ok(None) };
    let relative = way.iter().skip(1).map(|(_, name)| name.as_slice()).collect::<Vec<_>>().join(&b'/');
    match list(&root, &relative) {
        Ok((directory, listing)) => {
            if matches!(entry.known.hash_state, HashState::Unreadable(_)) {
                visitor.set_hash_state(&mut visitor.db.lock(), ahead.area, entry, HashState::Off)?;
            }
            let path = if relative.is_empty() {
                tract.path.clone()
            } else {
                ground::join(&tract.path, &relative)
            };
            let place = Place {
                area: ahead.area,
                entry: ahead.entry,
                path,
                directory,
                since,
            };
            Ok(Some(Open::new(place, listing)))
        }
        // Gone or exchanged since it was looked at: its next look will tell.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => {
            visitor.set_hash_state(&mut visitor.db.lock(), ahead.area, entry, HashState::Unreadable(errno.raw_os_error()))?;
            Ok(None)
        }
    }
}

fn list(root: &OwnedFd, relative: &[u8]) -> Result<(OwnedFd, Listing), Errno> {
    let handle: Handle = crate::sys::file::open_directory_beneath(root.as_fd(), relative)?;
    let listing = Listing::new(handle.open_directory()?)?;
    Ok((handle.into_descriptor(), listing))
}

/// An error with its causes, in one line.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
