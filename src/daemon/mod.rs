//! The daemon: builds a generation of tasks from a configuration, supervises it, and ends it at its safe points.
//!
//! One falls, all fall: a task that ends unasked stores a notice, the others are stopped and the process ends with a failure, so
//! that the service manager starts it again. A living process with a dead walker must not exist.

mod clock_watch;
mod composer;
pub mod config_trust;
mod downtime;
mod error;
mod generation;
mod housekeeping;
pub mod open_store;
mod reopen_store;
pub mod sandbox_policy;
mod self_check;
pub mod signals;
mod store_monitor;
pub mod task_watchdog;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use error::DaemonError;
use generation::{
    COURIER, Generation, GenerationTurn, HEART, LONGEST_SLEEP, PROCESSES, READER, REPORTERS, SENTRY, WALKER, mourn,
};
use rand::{SeedableRng, rngs::StdRng};
use signals::SignalOrder;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::Config,
    daemon::{
        config_trust::load_trusted,
        downtime::StartWay,
        housekeeping::Housekeeper,
        store_monitor::{EmergencyMailer, StoreMonitor},
    },
    files::{Walker, pace::rate_limiter::longest_rest, scan::pass::FullScan},
    logs::{
        Tailer,
        group::{context::Surroundings, own_output::OwnLines},
    },
    model::{
        clock::{Clock, Timestamp},
        event::{Category, Channel, Event, Severity},
        keepalive::Keepalive,
    },
    pids::PidWatch,
    report::{
        Reporter,
        task::{
            composer::{BatchError, ReportComposer, check_addresses},
            delivery::{DeliveryTask, Unstored},
            periodic::Recurrence,
            pool::Pool,
        },
        transport::{Printer, Transport, TransportError},
    },
    store::{
        db::{Db, run_blocking},
        events::outcome::Outcome,
        health::facts::FactTerms,
        outbox::reports::QueueSummary,
        sqlite::error::{StoreError, with_causes},
    },
    sys::{
        host,
        sd_notify::{self, Phase},
    },
};

/// How often it is looked whether a command beside us has written.
const LISTEN_TIME: Duration = Duration::from_secs(1);

/// Everything a daemon is given.
#[derive(Debug)]
pub struct Daemon {
    /// The settings of the first generation.
    pub config: Config,
    /// Where they came from, to be read again on a reload; `None` when they are embedded.
    pub source: Option<PathBuf>,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// The name of the machine, when the configuration gives none.
    pub host: String,
    /// What decides orders nobody should foresee.
    pub chance: StdRng,
    /// Where `stdout:` prints.
    pub printer: Printer,
    /// How the commands are called that a mail names: `integrityd`, with the options that lead to this database.
    pub program: String,
    /// The way of the mails, instead of the configured one.
    pub transport: Option<Transport>,
    /// What this process writes to its own log.
    pub own_lines: Arc<OwnLines>,
    /// What was accepted but could not be stored as such.
    pub unstored: Arc<tokio::sync::Mutex<Unstored>>,
}

impl Daemon {
    /// Runs until `orders` say stop.
    ///
    /// # Errors
    /// [`DaemonError`] when it cannot begin, or when a task has fallen.
    pub async fn run(&mut self, mut orders: signals::Orders) -> Result<(), DaemonError> {
        self.can_begin_with(&self.config)?;
        let began = self.clock.now().wall;
        let mut housekeeper = self.housekeeper();
        let mut away_since = housekeeper.greet_if_possible(&self.config).await?;
        loop {
            let mut generation = self.begin(away_since.take(), began)?;
            tell(Phase::Ready).await;
            let next = self.attend(&mut generation, &mut housekeeper, &mut orders).await;
            generation.end().await;
            match next? {
                GenerationTurn::Next(next) => {
                    self.config = *next;
                    housekeeper.look_at_settings_if_possible().await?;
                }
                GenerationTurn::Renew(why) => {
                    let alarm = self.alarm(&generation)?;
                    if !reopen_store::renew(&self.db, &self.clock, why, &mut orders, alarm).await? {
                        break;
                    }
                }
                GenerationTurn::Stop => break,
            }
        }
        match self.retire().await {
            // What could not be written is found again; a stop is a stop.
            Err(error) if error.failure().is_some() => {
                tracing::error!(error = %with_causes(&error), "the orderly end cannot be stored");
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// Supervises a generation until it is to end; gives what comes next.
    async fn attend(
        &mut self,
        generation: &mut Generation,
        housekeeper: &mut Housekeeper,
        orders: &mut signals::Orders,
    ) -> Result<GenerationTurn, DaemonError> {
        let mut ears = tokio::time::interval(LISTEN_TIME);
        ears.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                fallen = generation.tasks.join_next() => {
                    generation.end().await;
                    return Err(mourn(&self.db, &self.clock, fallen).await);
                }
                order = orders.next() => match order {
                    SignalOrder::Stop => {
                        tracing::info!("told to stop");
                        tell(Phase::Stopping).await;
                        return Ok(GenerationTurn::Stop);
                    }
                    SignalOrder::Reload => {
                        tell(Phase::Reloading).await;
                        if let Some(next) = self.reload().await? {
                            tracing::info!("the configuration was read again");
                            return Ok(GenerationTurn::Next(Box::new(next)));
                        }
                        tell(Phase::Ready).await;
                    }
                    SignalOrder::Send => {
                        tracing::info!("told to send everything that waits");
                        generation.send_now(&self.db, self.clock.now()).await;
                    }
                },
                _ = ears.tick() => {
                    if let Some(why) = self.db.troubles.renewal() {
                        return Ok(GenerationTurn::Renew(why));
                    }
                    generation.listen(&self.db, self.clock.now()).await;
                    housekeeper.keep(&self.config).await;
                }
            }
        }
    }

    /// One round over everything at full speed, one reading of all logs, one look at all processes, the signs of life
    /// that are due, everything reported whatever the hold-off says, and every delivery tried once. Gives what is left in the queue.
    ///
    /// # Errors
    /// [`DaemonError`] when it cannot begin or the store fails; what was found until then is kept.
    pub async fn run_once(&mut self) -> Result<QueueSummary, DaemonError> {
        self.can_begin_with(&self.config)?;
        let began = self.clock.now().wall;
        let mut housekeeper = self.housekeeper();
        let away_since = housekeeper.greet(&self.config, StartWay::Once).await?;
        if !self.config.areas.is_empty() {
            let (config, db, clock) = (self.config.clone(), self.db.clone(), self.clock.clone());
            run_blocking(move || FullScan { config: &config, db: &db, clock: &clock }.go_round(&mut |_harvest| ()))
                .await?;
        }
        if !self.config.logs.is_empty() {
            self.tailer(&Arc::new(self.config.clone()), CancellationToken::new()).run_once().await?;
        }
        if !self.config.processes.is_empty() {
            let config = Arc::new(self.config.clone());
            self.pid_watch(&config, Some(away_since), CancellationToken::new()).run_once().await?;
        }
        self.recurrence(&Arc::new(self.composer(&self.config)), began).give_due().await?;
        self.send_pending().await?;
        housekeeper.prune_at_once(&self.config).await?;
        self.retire().await?;
        Ok(self.db.call(|store| store.queue_summary()).await?)
    }

    /// Notes an orderly end.
    async fn retire(&self) -> Result<(), StoreError> {
        let clock = self.clock.clone();
        self.db
            .call(move |store| {
                store.flush()?;
                store.mark_alive(clock.now(), true)
            })
            .await
    }

    fn housekeeper(&self) -> Housekeeper {
        Housekeeper::new(self.db.clone(), self.clock.clone(), self.source.clone())
    }

    /// Starts the tasks of the current configuration.
    fn begin(&mut self, away_since: Option<Timestamp>, began: Timestamp) -> Result<Generation, DaemonError> {
        let config = Arc::new(self.config.clone());
        let composer = Arc::new(self.composer(&self.config));
        let mut generation = Generation::new(composer, FactTerms::of(&self.config), LISTEN_TIME);
        let mut delivery = self.delivery(&generation.composer, Arc::clone(&generation.delivery))?;
        let stop = generation.stop.clone();
        // Embedded settings are tried out; no other machine moves in step with that.
        let phase = self.source.as_ref().map_or(0.0, |_| host::phase(Path::new("/"), &self.host));
        let chance = StdRng::from_rng(&mut self.chance);
        if !config.areas.is_empty() {
            let pulse = generation.roll.watch(WALKER, longest_rest(&config.rates));
            let walker = Walker::new(Arc::clone(&config), self.db.clone(), self.clock.clone(), chance, stop.clone());
            generation.spawn(WALKER, walker.in_phase(phase).beating(pulse).run());
        }
        if !config.logs.is_empty() {
            let pulse = generation.roll.watch(READER, config.logcheck.check_time);
            let tailer = Tailer { pulse, ..self.tailer(&config, stop.clone()) };
            generation.spawn(READER, tailer.run(phase));
        }
        if !config.processes.is_empty() {
            let pulse = generation.roll.watch(PROCESSES, LONGEST_SLEEP);
            let watch = PidWatch { pulse, ..self.pid_watch(&config, away_since, stop.clone()) };
            generation.spawn(PROCESSES, watch.run());
        }
        let bells = self.db.lock().bells();
        for (channel, name) in REPORTERS {
            let reporter = Reporter {
                channel,
                pool: Pool::of(channel, &config.report),
                db: self.db.clone(),
                clock: self.clock.clone(),
                composer: Arc::clone(&generation.composer),
                bell: Arc::clone(bells.of(channel)),
                delivery: Arc::clone(&generation.delivery),
                pulse: generation.roll.watch(name, LONGEST_SLEEP),
                stop: stop.clone(),
            };
            generation.spawn(name, reporter.run());
        }
        let (alarm, deadline) = (self.alarm(&generation)?, config.mail.send_timeout);
        let pulse = generation.roll.watch(SENTRY, deadline.saturating_add(LONGEST_SLEEP));
        let sentry = StoreMonitor::new(self.db.clone(), self.clock.clone(), alarm, stop.clone());
        generation.spawn(SENTRY, sentry.beating(pulse).run());
        delivery.pulse = generation.roll.watch(COURIER, deadline.saturating_add(LONGEST_SLEEP * 2));
        generation.spawn(COURIER, delivery.run(stop.clone()));
        let recurrence = Recurrence {
            delivery: Arc::clone(&generation.delivery),
            pulse: generation.roll.watch(HEART, LONGEST_SLEEP),
            stop: stop.clone(),
            ..self.recurrence(&generation.composer, began)
        };
        generation.spawn(HEART, recurrence.run());
        generation.begin_to_watch(&self.db, &self.clock);
        Ok(generation)
    }

    /// What tells of an emergency.
    fn alarm(&self, generation: &Generation) -> Result<EmergencyMailer, TransportError> {
        let (composer, deadline) = (Arc::clone(&generation.composer), self.config.mail.send_timeout);
        let transport = self.way(&composer.host)?;
        Ok(EmergencyMailer::new(transport, composer, self.config.database.clone(), deadline))
    }

    /// The way of the mails.
    fn way(&self, host: &str) -> Result<Transport, TransportError> {
        self.transport.clone().map_or_else(|| Transport::new(&self.config.mail, host, &self.printer), Ok)
    }

    fn recurrence(&self, composer: &Arc<ReportComposer>, began: Timestamp) -> Recurrence {
        Recurrence {
            settings: self.config.report.clone(),
            db: self.db.clone(),
            clock: self.clock.clone(),
            began,
            terms: FactTerms::of(&self.config),
            composer: Arc::clone(composer),
            delivery: Arc::default(),
            pulse: Keepalive::default(),
            stop: CancellationToken::new(),
        }
    }

    fn tailer(&self, config: &Arc<Config>, stop: CancellationToken) -> Tailer {
        let surroundings = Surroundings::new(self.db.clone(), config, Arc::clone(&self.own_lines), self.clock.now());
        Tailer {
            config: Arc::clone(config),
            surroundings,
            clock: self.clock.clone(),
            pulse: Keepalive::default(),
            stop,
        }
    }

    fn pid_watch(&self, config: &Arc<Config>, away_since: Option<Timestamp>, stop: CancellationToken) -> PidWatch {
        let (config, db, clock) = (Arc::clone(config), self.db.clone(), self.clock.clone());
        PidWatch { config, db, clock, root: PathBuf::from("/"), away_since, pulse: Keepalive::default(), stop }
    }

    fn composer(&self, config: &Config) -> ReportComposer {
        composer::composer(config, &self.host, &self.clock, &self.program)
    }

    fn delivery(&mut self, composer: &ReportComposer, bell: Arc<Notify>) -> Result<DeliveryTask, DaemonError> {
        Ok(DeliveryTask {
            db: self.db.clone(),
            clock: self.clock.clone(),
            transport: self.way(&composer.host)?,
            from: composer.from.clone(),
            settings: self.config.mail.clone(),
            program: composer.program.clone(),
            bell,
            chance: StdRng::from_rng(&mut self.chance),
            unstored: Arc::clone(&self.unstored),
            error_nag: self.config.report.error_nag,
            pulse: Keepalive::default(),
        })
    }

    /// Makes everything that waits into reports, whatever the hold-off says, and tries every queued delivery once.
    ///
    /// # Errors
    /// [`DaemonError`] when the store fails or the transport cannot be prepared; what was not accepted stays queued.
    pub async fn send_pending(&mut self) -> Result<(), DaemonError> {
        let composer = Arc::new(self.composer(&self.config));
        let mut delivery = self.delivery(&composer, Arc::new(Notify::new()))?;
        for channel in Channel::ALL {
            let composer = Arc::clone(&composer);
            self.db.call(move |store| composer.batch(store, channel)).await?;
        }
        let now = self.clock.now();
        self.db.call(move |store| store.make_due(now)).await?;
        delivery.deliver_due(&CancellationToken::new()).await;
        Ok(())
    }

    /// Reads the configuration again. One that could not be begun with is told and not used; the old generation goes on.
    async fn reload(&self) -> Result<Option<Config>, StoreError> {
        let Some(source) = self.source.clone() else {
            return Ok(None);
        };
        let error = match run_blocking(move || load_trusted(&source)).await {
            Ok(next) if next.database != self.config.database => {
                "the database cannot be changed by a reload: restart integrityd".to_owned()
            }
            Ok(next) => match self.can_begin_with(&next) {
                Ok(()) => match sandbox_policy::objection(&next) {
                    None => return Ok(Some(next)),
                    Some(objection) => objection,
                },
                Err(error) => with_causes(&error),
            },
            Err(error) => with_causes(&*error),
        };
        tracing::error!("the new configuration is not used:\n{error}");
        let event = Event::new(Category::Notice, Severity::High, self.clock.now(), Vec::new())
            .with_note(format!("the new configuration is not used, the old settings stay:\n{error}"));
        match self.db.call(move |store| store.commit(&Outcome::tell(event))).await {
            // The settings stay all the same; our log has said why.
            Err(error) if error.failure().is_some() => self.db.troubles.note(&error, self.clock.now()),
            stored => drop(stored?),
        }
        Ok(None)
    }

    /// Whether mails could be composed and sent with this configuration.
    fn can_begin_with(&self, config: &Config) -> Result<(), DaemonError> {
        let composer = self.composer(config);
        check_addresses(&composer.from, &composer.readerships).map_err(BatchError::Compose)?;
        Transport::new(&config.mail, &composer.host, &self.printer)?;
        Ok(())
    }
}

/// Tells the service manager how far we are.
async fn tell(phase: Phase) {
    run_blocking(move || sd_notify::tell(phase)).await;
}
