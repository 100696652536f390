//! What the daemon does beside its tasks, a little each second: it shows that it lives, watches the clocks and itself, and takes out what
//! is old.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    config::{self, settings::config::Config},
    daemon::{
        clock_watch::ClockWatch,
        downtime::{StartWay, is_doubtful, since_last},
        self_check::{Ourselves, compare, settings, unit},
    },
    model::{
        clock::{Boottime, Clock, Moment, Timestamp},
        event::{Category, Event, Severity},
        health::TroubleKind,
    },
    store::{
        db::{Db, run_blocking},
        events::{
            outcome::Outcome,
            prune::{Keeping, PruneStep},
        },
        sources::own_parts::OwnPart,
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::{
        capabilities::{self, Capability},
        host, landlock,
    },
};

/// How often the store is told that the daemon lives.
const SIGN_TIME: Duration = Duration::from_secs(10);

/// How often the program on the disk and its unit are looked at.
const SELF_TIME: Duration = Duration::from_mins(5);

/// How often it is looked what is old, and how long after a start the first time.
const PRUNE_TIME: Duration = Duration::from_hours(1);

/// How long nothing is tried after the store has failed.
const RETRY: Duration = Duration::from_secs(30);

/// Most steps of pruning in a run that does everything once.
const MOST_STEPS: u32 = 2000;

/// Keeps house.
#[derive(Debug)]
pub(super) struct Housekeeper {
    db: Db,
    clock: Clock,
    /// The configuration; `None` for embedded settings, which are tried out and have no program of their own to watch.
    source: Option<PathBuf>,
    clocks: ClockWatch,
    ourselves: Ourselves,
    /// What is found and not stored yet.
    untold: Vec<Event>,
    /// Whether it is still to be stored that this daemon has begun.
    is_new: bool,
    sign_due: Boottime,
    self_due: Boottime,
    prune_due: Boottime,
    rests_until: Option<Boottime>,
    /// Whether it was said that the database is too large whatever is taken out.
    has_complained: bool,
    /// Whether the clock is to be doubted, and that is not stored yet.
    must_doubt: bool,
}

impl Housekeeper {
    pub(super) fn new(db: Db, clock: Clock, source: Option<PathBuf>) -> Self {
        let now = clock.now();
        Self {
            db,
            clock,
            source,
            clocks: ClockWatch::new(now),
            ourselves: Ourselves::default(),
            untold: Vec::new(),
            is_new: false,
            sign_due: now.boottime,
            self_due: now.boottime.after(SELF_TIME),
            prune_due: now.boottime.after(PRUNE_TIME),
            rests_until: None,
            has_complained: false,
            must_doubt: false,
        }
    }

    /// Stores what should be told at a start; gives when a daemon was last there before.
    pub(super) async fn greet(&mut self, config: &Config, way: StartWay) -> Result<Timestamp, StoreError> {
        let last = self.recall(config, way).await?;
        self.tell().await?;
        Ok(last)
    }

    /// As [`Keeper::greet`] at the start of a daemon that stays. Where the database is ill, the first generation sees to it, as it would
    /// later, and what is to be told waits for [`Keeper::keep`]; `None` when not even that could be read.
    pub(super) async fn greet_if_possible(&mut self, config: &Config) -> Result<Option<Timestamp>, StoreError> {
        let (last, told) = match self.recall(config, StartWay::Staying).await {
            Ok(last) => (Some(last), self.tell().await),
            Err(error) => (None, Err(error)),
        };
        match told {
            Err(error) if error.failure().is_some() => {
                tracing::error!(error = %with_causes(&error), "the start cannot be stored");
                self.db.troubles.note(&error, self.clock.now());
                Ok(last)
            }
            told => told.map(|()| last),
        }
    }

    /// Finds out what is to be told of the time before this start and of opening the store; gives when a daemon was last there before.
    async fn recall(&mut self, config: &Config, way: StartWay) -> Result<Timestamp, StoreError> {
        let now = self.clock.now();
        for fault in &config.notices {
            tracing::warn!("{fault}");
        }
        self.is_new = true;
        if config.logs.is_empty() {
            // Else the reader of the logs keeps them.
            self.db.call(move |store| store.set_troubles(TroubleKind::RuleOff, &[], now.wall)).await?;
        }
        let (events, last, is_doubtful) = self.db.call(move |store| past(store, now, way)).await?;
        self.untold.extend(events);
        self.must_doubt = is_doubtful;
        Ok(last)
    }

    /// Stores what is found and not stored yet; once, that this daemon has begun, and with which program and settings.
    async fn tell(&mut self) -> Result<(), StoreError> {
        if self.must_doubt {
            let now = self.clock.now();
            self.db.call(move |store| store.doubt_clock(now)).await?;
            self.must_doubt = false;
        }
        if self.is_new
            && let Some(machine) = host::machine(Path::new("/"))
        {
            let now = self.clock.now();
            self.db.call(move |store| store.settle_on(machine, now)).await?;
        }
        if !self.untold.is_empty() {
            let outcome = self.untold.iter().cloned().fold(Outcome::default(), Outcome::with_event);
            self.db.call(move |store| store.commit(&outcome)).await?;
            self.untold.clear();
        }
        if self.is_new {
            let now = self.clock.now();
            // Not before what it hides from the next start is stored.
            self.db.call(move |store| store.mark_start(now)).await?;
            let refused = refused_calls();
            self.db.call(move |store| store.set_troubles(TroubleKind::CallRefused, &refused, now.wall)).await?;
            self.look_at_ourselves().await?;
            self.look_at_settings().await?;
            self.note_sandbox(now).await?;
            self.is_new = false;
        }
        Ok(())
    }

    /// Keeps it for `status` whether a sandbox is around this daemon.
    async fn note_sandbox(&self, now: Moment) -> Result<(), StoreError> {
        if self.source.is_none() {
            return Ok(());
        }
        let words = "no sandbox is around the daemon; integrityd doctor says why".to_owned();
        let rows: Vec<_> = landlock::limits().is_none().then(|| (Vec::new(), words)).into_iter().collect();
        self.db.call(move |store| store.set_troubles(TroubleKind::NoSandbox, &rows, now.wall)).await
    }

    /// As [`Keeper::look_at_settings`], but a database that is ill does not end the daemon: the next start compares them.
    pub(super) async fn look_at_settings_if_possible(&self) -> Result<(), StoreError> {
        match self.look_at_settings().await {
            Err(error) if error.failure().is_some() => {
                self.db.troubles.note(&error, self.clock.now());
                Ok(())
            }
            looked => looked,
        }
    }

    /// Does what is due; to be called each second. A failing store makes it rest, nothing found is forgotten.
    pub(super) async fn keep(&mut self, config: &Config) {
        let now = self.clock.now();
        let news = self.clocks.look(now);
        if let Some(slept) = news.suspended {
            tracing::info!(slept = ?slept, "the machine was suspended");
        }
        self.untold.extend(news.jump);
        if self.rests_until.is_some_and(|until| now.boottime < until) {
            return;
        }
        self.rests_until = None;
        if let Err(error) = self.do_what_is_due(config, now).await {
            self.db.troubles.note(&error, now);
            tracing::error!(error = %with_causes(&error), "the store cannot be looked after; it is tried again");
            self.rests_until = Some(now.boottime.after(RETRY));
        }
    }

    async fn do_what_is_due(&mut self, config: &Config, now: Moment) -> Result<(), StoreError> {
        self.tell().await?;
        if now.boottime >= self.sign_due {
            self.sign_due = now.boottime.after(SIGN_TIME);
            self.db.call(move |store| store.breathe(now)).await?;
        }
        if now.boottime >= self.self_due {
            self.self_due = now.boottime.after(SELF_TIME);
            self.look_again().await?;
        }
        if now.boottime >= self.prune_due && self.prune(config, now).await? != PruneStep::More {
            self.prune_due = now.boottime.after(PRUNE_TIME);
        }
        Ok(())
    }

    /// Compares the program that runs, and what starts it, with those of before.
    pub(super) async fn look_at_ourselves(&mut self) -> Result<(), StoreError> {
        if self.source.is_none() {
            return Ok(());
        }
        let (mut ourselves, now) = (std::mem::take(&mut self.ourselves), self.clock.now());
        let (ourselves, running) = run_blocking(move || {
            let running = ourselves.running(Path::new("/"), now);
            (ourselves, running)
        })
        .await;
        self.ourselves = ourselves;
        match running {
            Ok(part) => self.compare(part).await?,
            Err(error) => tracing::warn!(%error, "the running program cannot be read"),
        }
        self.look_at_unit().await
    }

    /// Compares the program on the disk, and what starts it, with those of before.
    async fn look_again(&mut self) -> Result<(), StoreError> {
        if self.source.is_none() {
            return Ok(());
        }
        let (mut ourselves, now) = (std::mem::take(&mut self.ourselves), self.clock.now());
        let (ourselves, written) = run_blocking(move || {
            let written = ourselves.written(now);
            (ourselves, written)
        })
        .await;
        self.ourselves = ourselves;
        match written {
            Ok(Some(part)) => self.compare(part).await?,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the program on the disk cannot be read"),
        }
        self.look_at_unit().await
    }

    async fn look_at_unit(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.compare(run_blocking(move || unit(Path::new("/"), now)).await).await
    }

    /// Compares the settings that hold with those of before.
    pub(super) async fn look_at_settings(&self) -> Result<(), StoreError> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let now = self.clock.now();
        let found = run_blocking(move || config::load_with_sources(&source).map(|(_, it)| settings(&it, now))).await;
        match found {
            Ok(part) => self.compare(part).await,
            // It was read a moment ago; what is wrong with it now is told at the next reload.
            Err(_) => Ok(()),
        }
    }

    async fn compare(&self, part: OwnPart) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.db.call(move |store| compare(store, part, now)).await
    }

    /// Takes out all that is old, in steps.
    pub(super) async fn prune_at_once(&mut self, config: &Config) -> Result<(), StoreError> {
        if let Some(jump) = self.clocks.look(self.clock.now()).jump {
            self.db.call(move |store| store.commit(&Outcome::tell(jump))).await?;
        }
        for _ in 0..MOST_STEPS {
            if self.prune(config, self.clock.now()).await? != PruneStep::More {
                break;
            }
        }
        Ok(())
    }

    async fn prune(&mut self, config: &Config, now: Moment) -> Result<PruneStep, StoreError> {
        let keeping = Keeping { retention: config.report.retention, most: config.report.max_database };
        let step = self.db.call(move |store: &mut Store| store.prune(&keeping, now)).await?;
        if let (PruneStep::TooLarge(used), false) = (step, self.has_complained) {
            self.has_complained = true;
            let note = format!(
                "events and reports use {} MiB of the database, more than maxdatabase allows, and none are left that may go: those of \
                 the last day and those that nobody has got yet stay",
                used >> 20
            );
            let event = Event::new(Category::Notice, Severity::Normal, now, Vec::new()).with_note(note);
            self.db.call(move |store| store.commit(&Outcome::tell(event))).await?;
        }
        Ok(step)
    }
}

/// What the service manager or a container does not let this process call; said in our own log as well.
fn refused_calls() -> Vec<(Vec<u8>, String)> {
    let said = |(capability, errno): (&Capability, Errno)| {
        let Capability { call, loss, .. } = capability;
        tracing::info!(call, error = %errno, loss, "a system call is refused");
        (call.as_bytes().to_vec(), format!("{call} is refused to the daemon ({}): {loss}", std::io::Error::from(errno)))
    };
    capabilities::refused().into_iter().map(said).collect()
}

/// What is to be told of the time before this start and of what opening the store has found; when a daemon was last
/// there; and whether the clock is to be doubted.
fn past(store: &mut Store, now: Moment, way: StartWay) -> Result<(Vec<Event>, Timestamp, bool), StoreError> {
    let life = store.last_life()?;
    let (last, _) = store.last_alive()?;
    let notice = |words| Event::new(Category::Notice, Severity::Normal, now, Vec::new()).with_note(words);
    let notices: Vec<Event> = store.take_notices().into_iter().map(notice).collect();
    let events = since_last(life.as_ref(), now, way).into_iter().chain(notices).collect();
    Ok((events, last, is_doubtful(life.as_ref(), now)))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{
        model::{
            clock::{BootId, VirtualClock},
            event::Channel,
        },
        store::events::append::Filter,
    };

    const HOUR: Duration = Duration::from_hours(1);

    /// A housekeeper over 1,500 reported events, whose retention is a day.
    fn housekeeper(directory: &Path) -> (Housekeeper, Config, VirtualClock) {
        let clock = Clock::starting_at(Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
            boottime: Boottime::from_nanos(1_000_000_000_000),
            boot: BootId([9; 16]),
        });
        let Clock::Virtual(hands) = clock.clone() else { unreachable!() };
        let path = directory.join("db");
        let mut store = Store::open(&path, clock.now()).unwrap();
        let event = || Event::new(Category::Changed, Severity::Normal, clock.now(), b"/etc/f".to_vec());
        let outcome = (0..1500).fold(Outcome::default(), |outcome, _| outcome.with_event(event()));
        store.commit(&outcome).unwrap();
        store.batch(Channel::Files, 1500, clock.now(), &[]).unwrap();
        let mut config = Config::embedded(Vec::new(), path);
        config.report.retention = 24 * HOUR;
        (Housekeeper::new(Db::new(store), clock, None), config, hands)
    }

    /// Keeps house for so many hours, some seconds of each; gives whether anything was taken out.
    async fn keep(housekeeper: &mut Housekeeper, config: &Config, hours: u32) -> bool {
        for _ in 0..hours {
            advance(HOUR).await;
            for _ in 0..10 {
                housekeeper.keep(config).await;
                advance(Duration::from_secs(1)).await;
            }
        }
        housekeeper.db.lock().checkpoint().unwrap().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_is_taken_out_by_and_by() {
        let directory = tempfile::tempdir().unwrap();
        let (mut housekeeper, config, _hands) = housekeeper(directory.path());
        assert!(!keep(&mut housekeeper, &config, 23).await);
        assert!(keep(&mut housekeeper, &config, 3).await);
        housekeeper.db.lock().verify().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn e1_a_start_that_cannot_be_stored_is_told_as_soon_as_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let (mut housekeeper, config, _hands) = housekeeper(directory.path());
        housekeeper.db.call(|store| store.mark_start(Moment::default())).await.unwrap();
        let told = |housekeeper: &Housekeeper| {
            let events = housekeeper.db.lock().history(&Filter { limit: 5000, ..Filter::default() }).unwrap();
            events.iter().filter(|stored| stored.event.category == Category::NotRunning).count()
        };
        housekeeper.db.lock().refuse_writes(true);
        assert!(housekeeper.greet_if_possible(&config).await.unwrap().is_some(), "it can be read");
        housekeeper.keep(&config).await;
        housekeeper.db.lock().refuse_writes(false);
        assert_eq!((told(&housekeeper), housekeeper.db.troubles.standing().is_some()), (0, true));
        // The sentry was faster.
        let now = housekeeper.clock.now();
        housekeeper.db.call(move |store| store.mark_alive(now, false)).await.unwrap();
        for _ in 0..90 {
            advance(Duration::from_secs(1)).await;
            housekeeper.keep(&config).await;
        }
        assert_eq!(told(&housekeeper), 1);
        let life = housekeeper.db.lock().last_life().unwrap().unwrap();
        assert!(housekeeper.clock.now().since(life.seen) < Duration::from_mins(1));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_out_for_a_day_after_the_clock_was_set() {
        let directory = tempfile::tempdir().unwrap();
        let (mut housekeeper, config, hands) = housekeeper(directory.path());
        assert!(!keep(&mut housekeeper, &config, 2).await);
        // Wrong by a year: everything looks old, and an administrator has a day to see it.
        hands.set_ahead(365 * 86_400_000_000_000);
        assert!(!keep(&mut housekeeper, &config, 23).await);
        assert!(keep(&mut housekeeper, &config, 3).await);
        housekeeper.db.lock().verify().unwrap();
    }

    /// A run from cron at so many hours after [`housekeeper`] by the wall clock; gives whether anything was taken out.
    async fn once(directory: &Path, config: &Config, (wall, boottime, boot): (u32, u32, u8)) -> bool {
        let at = Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000).after(wall * HOUR),
            boottime: Boottime::from_nanos(1_000_000_000_000).after(boottime * HOUR),
            boot: BootId([boot; 16]),
        };
        let store = Store::open(&directory.join("db"), at).unwrap();
        let mut housekeeper = Housekeeper::new(Db::new(store), Clock::starting_at(at), None);
        housekeeper.greet(config, StartWay::Once).await.unwrap();
        housekeeper.prune_at_once(config).await.unwrap();
        housekeeper.db.lock().mark_alive(housekeeper.clock.now(), true).unwrap();
        housekeeper.db.lock().checkpoint().unwrap().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_from_cron_takes_out_nothing_for_a_day_after_the_clock_was_set_or_went_far_ahead() {
        let year = 365 * 24;
        for (first, later) in [
            // Set while nobody was there, which one boot proves; a reboot within the day ends no doubt.
            ((year, 1, 9), vec![((year + 23, 24, 9), false), ((year + 23, 0, 8), false), ((year + 26, 27, 9), true)]),
            // Far ahead after a reboot: the machine may have been off, or its clock may be wrong.
            ((year, 0, 8), vec![((year + 23, 23, 8), false), ((year + 25, 0, 7), true)]),
            // Behind, as after an empty battery, and then right.
            ((0, 0, 8), vec![((47, 47, 8), true)]),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let (housekeeper, config, _hands) = housekeeper(directory.path());
            housekeeper.db.lock().mark_start(housekeeper.clock.now()).unwrap();
            drop(housekeeper);
            assert!(!once(directory.path(), &config, first).await, "{first:?}");
            for (at, is_taken) in later {
                assert_eq!(once(directory.path(), &config, at).await, is_taken, "{first:?}, then {at:?}");
            }
        }
    }
}
