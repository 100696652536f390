//! The tasks of one configuration: they begin together, are rung together, and end together at their safe points.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::Config,
    daemon::{
        error::DaemonError,
        task_watchdog::{TaskRegistry, TaskWatch},
    },
    model::{
        clock::{Clock, Moment},
        event::{Category, Channel, Event, Severity},
        format::counted,
        keepalive::Keepalive,
    },
    report::task::composer::ReportComposer,
    store::{
        db::{Db, run_blocking},
        events::outcome::Outcome,
        health::{
            diagnose::diagnose,
            facts::{FactTerms, Facts},
        },
        recovery::failure_kind::DbFailure,
        sqlite::{connection::Store, error::with_causes},
    },
    sys::{
        fault_injection,
        panic::{Caught, guard_task},
        sd_notify,
    },
};

/// The names of the tasks, as an administrator reads them.
pub(super) const WALKER: &str = "the file walker";
pub(super) const READER: &str = "the log reader";
pub(super) const PROCESSES: &str = "the process watcher";
pub(super) const REPORTERS: [(Channel, &str); 2] =
    [(Channel::Files, "the reporter of files"), (Channel::Logs, "the reporter of logs")];
pub(super) const COURIER: &str = "the courier";
pub(super) const HEART: &str = "the heart";
pub(super) const SENTRY: &str = "the sentry";
const LISTENER: &str = "the listener";
const WATCH: &str = "the watch";

/// How often is listened until the state is described again: it takes a look at all deliveries.
const DESCRIBE_EVERY: u32 = 30;

/// How often it is described until the whole is diagnosed again: that takes a pass over the baseline.
const DIAGNOSE_EVERY: u32 = 10;

/// The longest that tasks sleep which only wait for something to do.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How long the tasks may take to reach their safe points.
const STOP_TIME: Duration = Duration::from_secs(8);

/// What comes after a generation.
#[derive(Debug)]
pub(super) enum GenerationTurn {
    /// Another one, with these settings.
    Next(Box<Config>),
    /// Another one, over a database that was opened anew.
    Renew(DbFailure),
    /// The end.
    Stop,
}

/// The tasks of one configuration.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) tasks: JoinSet<GenerationEnded>,
    pub(super) stop: CancellationToken,
    pub(super) composer: Arc<ReportComposer>,
    /// Wakes the delivery.
    pub(super) delivery: Arc<Notify>,
    /// Who is watched, until the watch begins.
    pub(super) roll: TaskRegistry,
    /// Beats whenever commands beside us are listened to.
    listener: Keepalive,
    /// What was promised of the areas.
    terms: FactTerms,
    description: Description,
}

/// What the service manager was told last.
#[derive(Debug)]
struct Description {
    words: String,
    /// The gravest trouble when the whole was diagnosed last.
    headline: Option<String>,
    /// How often was listened since it was described, and how often it was described since the whole was diagnosed.
    listened: u32,
    described: u32,
}

/// A task that has ended.
#[derive(Debug)]
pub(super) struct GenerationEnded {
    name: &'static str,
    panic: Option<Caught>,
}

impl GenerationEnded {
    /// Which, and what it said last.
    pub(super) fn words(&self) -> String {
        match &self.panic {
            Some(caught) => format!("{} ({caught})", self.name),
            None => self.name.to_owned(),
        }
    }
}

impl Generation {
    /// One without tasks, that listens every so often.
    pub(super) fn new(composer: Arc<ReportComposer>, terms: FactTerms, listen_time: Duration) -> Self {
        let mut roll = TaskRegistry::default();
        let listener = roll.watch(LISTENER, listen_time);
        let (tasks, stop, delivery) = (JoinSet::new(), CancellationToken::new(), Arc::new(Notify::new()));
        let description =
            Description { words: String::new(), headline: None, listened: DESCRIBE_EVERY, described: DIAGNOSE_EVERY };
        Self { tasks, stop, composer, delivery, roll, listener, terms, description }
    }

    /// Starts a task.
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move { GenerationEnded { name, panic: guard_task(faulty(name, task)).await.err() } });
    }

    /// Starts the watch over those that were started.
    pub(super) fn begin_to_watch(&mut self, db: &Db, clock: &Clock) {
        let roll = std::mem::take(&mut self.roll);
        let watch = TaskWatch { roll, db: db.clone(), clock: clock.clone(), stop: self.stop.clone() };
        self.spawn(WATCH, watch.run());
    }

    /// Tells the service manager how things stand, when that has changed.
    async fn describe(&mut self, db: &Db, now: Moment) {
        let description = &mut self.description;
        description.listened += 1;
        if description.listened <= DESCRIBE_EVERY || !sd_notify::has_listener() {
            return;
        }
        description.listened = 0;
        description.described += 1;
        if description.described > DIAGNOSE_EVERY {
            description.described = 0;
            let terms = self.terms.clone();
            let facts = db.call(move |store| Facts::read(store, &terms, now)).await;
            description.headline = facts.ok().and_then(|facts| diagnose(&facts).headline());
        }
        let Ok(queue) = db.call(|store| store.queue_summary()).await else { return };
        let words = in_a_line(description.headline.as_deref(), queue.queued.saturating_add(queue.parked));
        if words != description.words {
            description.words.clone_from(&words);
            run_blocking(move || sd_notify::describe(&words)).await;
        }
    }

    /// Wakes everybody when a command beside us has written: a retried delivery, an accepted area.
    pub(super) async fn listen(&mut self, db: &Db, now: Moment) {
        self.listener.beat();
        self.describe(db, now).await;
        match db.call(Store::have_others_written).await {
            Ok(false) => {}
            Ok(true) => {
                let bells = db.lock().bells();
                for channel in Channel::ALL {
                    bells.of(channel).notify_one();
                }
                self.delivery.notify_one();
            }
            Err(error) => {
                db.troubles.note(&error, now);
                tracing::error!(error = %with_causes(&error), "others cannot be listened to");
            }
        }
    }

    /// Makes reports of everything that waits and has every queued delivery tried at once.
    pub(super) async fn send_now(&self, db: &Db, now: Moment) {
        for channel in Channel::ALL {
            let composer = Arc::clone(&self.composer);
            if let Err(error) = db.call(move |store| composer.batch(store, channel)).await {
                tracing::error!(error = %with_causes(&error), "no report could be made; its events wait");
            }
        }
        if let Err(error) = db.call(move |store| store.make_due(now)).await {
            tracing::error!(error = %with_causes(&error), "the queue waits as before");
        }
        self.delivery.notify_one();
    }

    /// Ends all tasks at their safe points; what does not get there in time is dropped, the store keeps the truth.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME, all).await.is_err() {
            tracing::warn!("some tasks did not end in time");
            self.tasks.shutdown().await;
        }
    }
}

/// How things stand: the gravest trouble, and how many deliveries wait.
fn in_a_line(headline: Option<&str>, queued: u64) -> String {
    let queue = match queued {
        0 => "every report was accepted".to_owned(),
        queued => format!("{} queued", counted(queued, "delivery", "deliveries")),
    };
    format!("{}; {queue}", headline.unwrap_or("watching"))
}

/// Stores that a task has fallen.
pub(super) async fn mourn(
    db: &Db,
    clock: &Clock,
    fallen: Option<Result<GenerationEnded, tokio::task::JoinError>>,
) -> DaemonError {
    let task = match fallen {
        Some(Ok(ended)) => ended.words(),
        Some(Err(_)) => "a task".to_owned(),
        None => "every task".to_owned(),
    };
    let event = Event::new(Category::InternalError, Severity::High, clock.now(), Vec::new())
        .with_note(format!("{task} ended unasked; integrityd was stopped to be started anew"));
    if let Err(error) = db.call(move |store| store.commit(&Outcome::tell(event))).await {
        tracing::error!(%error, "the fall of a task cannot be stored");
    }
    DaemonError::Fallen { task }
}

/// The task, but for the faults that a test wants.
async fn faulty(name: &'static str, task: impl Future<Output = ()>) {
    let word = name.replace(' ', "-");
    let is_wanted = |kind| fault_injection::is_wanted(kind, word.as_bytes());
    if !["end", "panic", "stall"].into_iter().any(is_wanted) {
        return task.await;
    }
    // Long enough for the others to have begun.
    if tokio::time::timeout(Duration::from_millis(1500), task).await.is_err() {
        fault_injection::strike("panic", word.as_bytes());
        if is_wanted("stall") {
            std::future::pending::<()>().await;
        }
    }
}
