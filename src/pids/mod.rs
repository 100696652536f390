//! Processes: that they live, by the PID files and units that name them, and at once when they do not.

pub mod events;
pub mod inspect;
pub mod liveness;
pub mod pidfd;
pub mod units;
pub mod watch;
pub mod watch_list;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use liveness::CONFIRM;
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::Config,
    model::{
        clock::{Boottime, Clock, Timestamp},
        event::{Category, Event, Severity},
        keepalive::Keepalive,
        process::ProcessId,
    },
    pids::{
        pidfd::{PidfdError, PidfdSet},
        watch_list::{Roster, WhichWatch},
    },
    store::{
        db::{Db, run_blocking},
        events::outcome::Outcome,
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::sleep,
};

/// The first and the longest wait after the store has failed.
const STORE_RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// No sleep is longer: tokio's timers stand still while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How the event begins that says that some processes are only polled.
const POLLED: &str = "only ";

/// The task that watches processes.
#[derive(Debug)]
pub struct PidWatch {
    /// The settings.
    pub config: Arc<Config>,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Where `/proc` and `/sys` are looked for; `/` but in tests.
    pub root: PathBuf,
    /// When the daemon was last there, at its start; `None` after a reload.
    pub away_since: Option<Timestamp>,
    /// Beats with each look.
    pub pulse: Keepalive,
    /// When to end.
    pub stop: CancellationToken,
}

impl PidWatch {
    /// Watches until told to stop. A failing store makes it wait; what could not be stored is found again.
    pub async fn run(self) {
        let mut patience = STORE_RETRY.0;
        let mut watching = None;
        while !self.stop.is_cancelled() {
            self.pulse.beat();
            let watch = self.watch(&mut watching, &mut patience);
            let Some(error) = self.stop.run_until_cancelled(watch).await else { return };
            tracing::error!(error = %with_causes(&error), wait = ?patience, "the processes cannot be watched on");
            self.db.troubles.note(&error, self.clock.now());
            if self.stop.run_until_cancelled(sleep::rest(&self.clock, patience)).await.is_none() {
                return;
            }
            patience = (patience * 2).min(STORE_RETRY.1);
        }
    }

    /// Looks at all processes once, without any grace, and takes a moment for those that have just ended.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub async fn run_once(&self) -> Result<(), StoreError> {
        let mut roster = Some(self.open().await?.without_grace());
        self.look(&mut roster, WhichWatch::All).await?;
        tokio::time::sleep(CONFIRM).await;
        self.look(&mut roster, WhichWatch::These(Vec::new())).await
    }

    async fn open(&self) -> Result<Roster, StoreError> {
        let (config, clock) = (Arc::clone(&self.config), self.clock.clone());
        let (root, away_since) = (self.root.clone(), self.away_since);
        self.db.call(move |store| Roster::open(&config, store, root, away_since, clock.now())).await
    }

    /// Watches until the store fails.
    async fn watch(&self, watching: &mut Option<Roster>, patience: &mut Duration) -> StoreError {
        if watching.is_none() {
            match self.open().await {
                Ok(roster) => *watching = Some(roster),
                Err(error) => return error,
            }
        }
        // Those of before a failure of the store have gone with it.
        let mut notices = PidfdSet::default();
        if let Some(roster) = watching {
            roster.forget_notices();
        }
        let mut round = self.clock.now().boottime;
        let mut told = Vec::new();
        let mut heard = HashSet::new();
        loop {
            self.pulse.beat();
            let now = self.clock.now().boottime;
            let is_round = round <= now;
            let which = if is_round { WhichWatch::All } else { WhichWatch::These(std::mem::take(&mut told)) };
            if let Err(error) = self.look(watching, which).await {
                return error;
            }
            *patience = STORE_RETRY.0;
            if is_round {
                round = now.after(self.config.pid_check_time);
                told.clear();
                heard.clear();
            }
            if let Err(error) = self.listen(watching, &mut notices, &heard, is_round).await {
                return error;
            }
            let due = watching.as_ref().and_then(Roster::next_due).map_or(round, |due| due.min(round));
            if let Some((watch, id)) = self.wait(&mut notices, due).await {
                told.push(watch);
                heard.insert(id);
                if let Some(roster) = watching {
                    roster.note(watch, None);
                }
            }
        }
    }

    /// Waits until `due` or until a process has told that it ended.
    async fn wait(&self, notices: &mut PidfdSet, due: Boottime) -> Option<(usize, ProcessId)> {
        let left = due.since(self.clock.now().boottime).min(LONGEST_SLEEP);
        tokio::time::timeout(left, notices.next()).await.ok()
    }

    /// Lends the processes to a blocking job that looks at some of them.
    async fn look(&self, watching: &mut Option<Roster>, which: WhichWatch) -> Result<(), StoreError> {
        let Some(mut roster) = watching.take() else { return Ok(()) };
        let (db, clock) = (self.db.clone(), self.clock.clone());
        let (roster, looked) = run_blocking(move || {
            let looked = roster.look(&which, &db, clock.now());
            (roster, looked)
        })
        .await;
        *watching = Some(roster);
        looked
    }

    /// Has those that run tell by themselves when they end. Who has told and still seems to run is asked again at the next round only.
    async fn listen(
        &self,
        watching: &mut Option<Roster>,
        notices: &mut PidfdSet,
        heard: &HashSet<ProcessId>,
        is_round: bool,
    ) -> Result<(), StoreError> {
        let Some(roster) = watching.as_mut().filter(|_| self.root == Path::new("/")) else { return Ok(()) };
        let mut left = 0_usize;
        for (watch, id) in roster.silent().into_iter().filter(|(_, id)| !heard.contains(id)) {
            match notices.add(watch, id) {
                Ok(()) => roster.note(watch, Some(id)),
                Err(PidfdError::Gone) => {}
                Err(PidfdError::Full) => left += 1,
                Err(PidfdError::Refused(errno)) => {
                    tracing::debug!(%errno, "processes do not tell when they end");
                    return Ok(());
                }
            }
        }
        if left > 0 && is_round { self.say_polled(left, notices.most()).await } else { Ok(()) }
    }

    /// Says once that not all processes tell by themselves.
    async fn say_polled(&self, left: usize, most: usize) -> Result<(), StoreError> {
        let every = self.config.pid_check_time;
        let note = format!(
            "{POLLED}{most} processes tell at once when they end, because no more files may be open (LimitNOFILE=); \
             {left} others are looked at every {every:?}"
        );
        let event = Event::new(Category::ProcessNote, Severity::Low, self.clock.now(), Vec::new()).with_note(note);
        self.db
            .call(move |store: &mut Store| {
                if store.has_noted(Category::ProcessNote, b"", POLLED)? {
                    return Ok(());
                }
                store.commit(&Outcome::tell(event)).map(|_seq| ())
            })
            .await
    }
}
