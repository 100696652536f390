//! Looking at one path after another: each at its pace, larger files in pieces, a panic at one path costing that path only.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::{Config, FirstRound, Rates},
    files::{
        pace::{
            max_age::MaxAgeSchedule,
            pressure::PressureThrottle,
            rate_limiter::{Boost, RateLimiter},
        },
        walk::{
            big_file_queue::BigFileQueue,
            entry_check::{CheckOutcome, CheckStep, EntryChecker},
            target::CheckTarget,
        },
    },
    model::{
        backoff::BackoffSet,
        clock::{Boottime, Clock},
        file::entry::EntryId,
        keepalive::Keepalive,
    },
    store::{
        db::{Db, run_blocking},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{
        panic::catch_panic,
        pressure::{cpu_pressure, io_pressure},
        sleep::wait_until,
    },
};

/// Looks that found nothing are written at the latest after this.
const GROUP_TIME: Duration = Duration::from_secs(5);

/// As many looks are written together.
const GROUP: usize = 500;

/// How often a file that changes while it is read is tried, and the first wait between.
const TRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// Bytes read between two looks at the clock, at an ordinary and at a very high rate.
const CHUNK: u64 = 64 * 1024;
const BIG_CHUNK: u64 = 1024 * 1024;
const HIGH_RATE: f64 = 64.0 * 1024.0 * 1024.0;

/// Why the walker leaves what it is doing.
#[derive(Debug, thiserror::Error)]
pub(in crate::files) enum Interrupt {
    /// It was told to stop.
    #[error("told to stop")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What looks at paths.
#[derive(Debug)]
pub(in crate::files) struct PacedChecker {
    pub(in crate::files) db: Db,
    pub(in crate::files) clock: Clock,
    /// Beats with each step.
    pub(in crate::files) pulse: Keepalive,
    stop: CancellationToken,
    /// What a visit needs; `None` until the areas are settled.
    pub(in crate::files) checker: Option<Arc<EntryChecker>>,
    pub(in crate::files) speed: Boost,
    /// Whether a first round is under way.
    pub(in crate::files) is_learning: bool,
    pub(in crate::files) pace: RateLimiter,
    pub(in crate::files) queue: BigFileQueue,
    pub(in crate::files) rates: Rates,
    pub(in crate::files) max_age: MaxAgeSchedule,
    restraint: PressureThrottle,
    /// Where the system shows itself.
    pub(in crate::files) root: PathBuf,
    /// Until then no entry has waited long enough to be rechecked.
    pub(super) all_young_until: Boottime,
    /// When it was counted what the areas hold.
    pub(super) stocked: Option<Boottime>,
    pub(in crate::files) error_nag: Duration,
    /// Paths at which something panicked; left alone for a while.
    quarantine: BackoffSet<Vec<u8>>,
    /// Directories over whose listing something panicked.
    pub(super) unlisted: BackoffSet<EntryId>,
    flushed: Boottime,
    /// Looks since then.
    unflushed: usize,
}

impl PacedChecker {
    pub(in crate::files) fn new(config: &Config, db: Db, clock: Clock, stop: CancellationToken) -> Self {
        Self {
            flushed: clock.now().boottime,
            unflushed: 0,
            db,
            clock,
            pulse: Keepalive::default(),
            stop,
            checker: None,
            speed: Boost::default(),
            is_learning: false,
            pace: RateLimiter::new(config.rates.files, config.rates.bytes),
            queue: BigFileQueue::default(),
            rates: config.rates,
            max_age: MaxAgeSchedule::default(),
            restraint: PressureThrottle::new(config.rates.pressure),
            root: PathBuf::from("/"),
            all_young_until: Boottime::default(),
            stocked: None,
            error_nag: config.report.error_nag,
            quarantine: BackoffSet::default(),
            unlisted: BackoffSet::default(),
        }
    }

    /// One look, at the pace that is due. `None` when the path is in quarantine.
    pub(in crate::files) async fn look(&mut self, target: CheckTarget) -> Result<Option<CheckOutcome>, Interrupt> {
        if self.quarantine.holds(target.path.as_slice(), self.clock.now().boottime) {
            return Ok(None);
        }
        self.mind_others().await;
        let slot = self.pace.look_due(self.clock.now().boottime);
        self.serve_lane(slot).await?;
        let due = self.pace.next_look(self.clock.now().boottime);
        self.wait(due).await?;
        self.pace.book_look(self.clock.now().boottime);
        let mut patience = FIRST_RETRY;
        for attempt in 1..=TRIES {
            let again = target.clone();
            let Some(step) = self.job(&target, move |checker| checker.begin(again)).await? else {
                return Ok(None);
            };
            match self.read_on(&target, step).await? {
                Some(CheckStep::Torn(looked)) if attempt == TRIES => {
                    let visited = self.job(&target, move |checker| checker.give_up(&looked)).await?;
                    return Ok(visited.inspect(|visited| self.take_note(visited)));
                }
                Some(CheckStep::Torn(_)) => {
                    let due = self.clock.now().boottime.after(patience);
                    self.wait(due).await?;
                    patience *= 4;
                }
                Some(CheckStep::Done(visited)) => {
                    self.quarantine.release(target.path.as_slice());
                    self.take_note(&visited);
                    return Ok(Some(visited));
                }
                Some(CheckStep::Read(_)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads a larger file to its end at the pace of the bytes, and pays for what was read.
    async fn read_on(&mut self, target: &CheckTarget, step: CheckStep) -> Result<Option<CheckStep>, Interrupt> {
        let mut open = match step {
            CheckStep::Read(open) => open,
            CheckStep::Done(visited) => {
                self.pace.book_bytes(self.clock.now().boottime, visited.read);
                return Ok(Some(CheckStep::Done(visited)));
            }
            CheckStep::Torn(looked) => {
                self.pace.book_bytes(self.clock.now().boottime, looked.unpaid());
                return Ok(Some(CheckStep::Torn(looked)));
            }
        };
        let chunk = self.chunk();
        loop {
            self.mind_others().await;
            let now = self.clock.now().boottime;
            self.serve_lane(now).await?;
            let due = self.pace.next_read(self.clock.now().boottime);
            self.wait(due).await?;
            let read = self
                .job(target, move |_visitor| {
                    let advanced = open.reading.advance(chunk);
                    Ok((open, advanced))
                })
                .await?;
            let Some((next, advanced)) = read else {
                return Ok(None);
            };
            open = next;
            match advanced {
                Ok((count, is_end)) => {
                    self.pace.book_bytes(self.clock.now().boottime, count);
                    if is_end {
                        return self.job(target, move |checker| checker.finish(*open)).await;
                    }
                }
                Err(errno) => {
                    let visited = self.job(target, move |checker| checker.fail(&open, errno)).await?;
                    return Ok(visited.map(CheckStep::Done));
                }
            }
        }
    }

    /// Bytes that are read between two looks at the clock.
    pub(super) fn chunk(&self) -> u64 {
        if self.pace.bytes_per_second() > HIGH_RATE { BIG_CHUNK } else { CHUNK }
    }

    /// Runs one piece of a visit. A panic in it costs this one path: it is told once and left alone for a while.
    pub(super) async fn job<T: Send + 'static>(
        &mut self,
        target: &CheckTarget,
        work: impl FnOnce(&EntryChecker) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Interrupt> {
        self.pulse.beat();
        let Some(checker) = self.checker.clone() else {
            return Ok(None);
        };
        match run_blocking(move || catch_panic(|| work(&checker))).await {
            Ok(result) => Ok(Some(result?)),
            Err(_caught) => {
                let (now, error_nag) = (self.clock.now(), self.error_nag);
                self.quarantine.set_aside(target.path.clone(), now.boottime);
                let (parent, name, path) = (target.parent, target.name.clone(), target.path.clone());
                self.db
                    .call(move |store| {
                        if let Some(entry) = store.entry_named(parent, &name)? {
                            let number = store.next_visit();
                            store.touch(entry.id, number, now.wall);
                        }
                        store.tell_fault(&path, "this path is left alone for a while", now, error_nag)
                    })
                    .await?;
                Ok(None)
            }
        }
    }

    pub(super) fn take_note(&mut self, visited: &CheckOutcome) {
        self.unflushed += 1;
        if let Some(deadline) = visited.left {
            self.queue.offer(deadline);
        }
        if visited.is_changed {
            self.speed.on_change(visited.key, visited.visit);
            self.adjust_pace();
        } else {
            self.speed.on_calm(visited.key);
        }
    }

    /// Whether a first round is under way that goes as fast as the machine is idle.
    pub(in crate::files) fn is_first_and_fast(&self) -> bool {
        self.is_learning && matches!(self.rates.first_round, FirstRound::Fast { .. })
    }

    /// Reads how much others wait for the disks, when that is due.
    pub(super) async fn mind_others(&mut self) {
        if self.restraint.is_due(self.clock.now().boottime) {
            let root = self.root.clone();
            // At its usual rates it takes so little of a processor that nobody waits for it.
            let of_processor = self.is_first_and_fast();
            let pressure = run_blocking(move || {
                let processor = cpu_pressure(&root).filter(|_| of_processor);
                io_pressure(&root).into_iter().chain(processor).reduce(f64::max)
            });
            let pressure = pressure.await;
            self.restraint.take(pressure, self.clock.now().boottime);
            self.adjust_pace();
        }
    }

    /// Goes at the pace that a first round, a change or a promise asks for, whichever is the highest, or at a part of it while others wait.
    pub(in crate::files) fn adjust_pace(&mut self) {
        let factor = if self.speed.is_on() { self.rates.speedup } else { 1.0 };
        let first = if self.is_learning { self.rates.of_first_round() } else { (0.0, 0.0) };
        let wanted = self.max_age.pace(&self.rates);
        let part = self.restraint.part();
        let looks = (self.rates.files * factor).max(wanted.looks).max(first.0);
        let bytes = (self.rates.bytes * factor).max(wanted.bytes).max(first.1);
        self.pace.set_rates(looks * part, bytes * part);
    }

    /// Writes what was collected when its time has come.
    pub(in crate::files) async fn settle(&mut self) -> Result<(), Interrupt> {
        let now = self.clock.now().boottime;
        if now.since(self.flushed) >= GROUP_TIME || self.unflushed >= GROUP {
            self.db.call(Store::flush).await?;
            self.flushed = now;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// Waits, but not past the end; what was collected is written before a longer wait.
    pub(in crate::files) async fn wait(&mut self, due: Boottime) -> Result<(), Interrupt> {
        let now = self.clock.now().boottime;
        let flush_due = self.flushed.after(GROUP_TIME);
        if due > flush_due && due > now {
            self.wait_until(flush_due.min(due)).await?;
            self.db.call(Store::flush).await?;
            self.flushed = self.clock.now().boottime;
            self.unflushed = 0;
        }
        self.wait_until(due).await
    }

    async fn wait_until(&self, due: Boottime) -> Result<(), Interrupt> {
        match self.stop.run_until_cancelled(wait_until(&self.clock, due)).await {
            Some(()) => Ok(()),
            None => Err(Interrupt::Stopped),
        }
    }
}
