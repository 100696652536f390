//! The task that looks after the database: whether it can be written, whether it is still the file that has its name.
//!
//! The other tasks note here what they meet. Nothing that fails is stored, so nothing moves: it is found again. This task tries by itself
//! until it can be written again, tells it by a mail that no store is needed for, and stores when it is over.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        clock::{Boottime, Clock, Moment},
        event::{Category, Event, Severity},
        keepalive::Keepalive,
    },
    report::{
        mail::{emergency::Emergency, notice::Notice},
        task::composer::ReportComposer,
        transport::Transport,
    },
    store::{
        db::Db,
        events::outcome::Outcome,
        recovery::{
            encountered::{StoreTrouble, Troubles},
            failure_kind::DbFailure,
        },
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
};

/// The first and the longest wait between two attempts to write.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// How often it is looked whether the file is in its place, and the longest rest.
const PLACE_TIME: Duration = Duration::from_secs(30);

/// That it is over is told at most this often: a disk at its brink is full again with the next event.
const QUIET: Duration = Duration::from_mins(10);

/// The task.
#[derive(Debug)]
pub(super) struct StoreMonitor {
    db: Db,
    clock: Clock,
    alarm: EmergencyMailer,
    stop: CancellationToken,
    patience: Duration,
    /// When it is tried again to write.
    due: Option<Boottime>,
    looked: Option<Boottime>,
    pulse: Keepalive,
}

/// What tells of an emergency without any store.
#[derive(Debug)]
pub(super) struct EmergencyMailer {
    pub(super) transport: Transport,
    pub(super) composer: Arc<ReportComposer>,
    pub(super) database: PathBuf,
    pub(super) deadline: Duration,
    /// What was told to some and not yet to these.
    left: Option<(String, Vec<u8>, Vec<String>)>,
    pulse: Keepalive,
}

impl EmergencyMailer {
    pub(super) fn new(
        transport: Transport,
        composer: Arc<ReportComposer>,
        database: PathBuf,
        deadline: Duration,
    ) -> Self {
        Self { transport, composer, database, deadline, left: None, pulse: Keepalive::default() }
    }

    /// Makes the mail; it is sent with `send`.
    pub(super) fn raise(&mut self, trouble: &StoreTrouble, now: Moment) {
        let general = self.composer.readerships.iter().find(|readership| readership.areas.is_none());
        let Some(readership) = general.or(self.composer.readerships.first()) else { return };
        let notice = Notice {
            host: &self.composer.host,
            from: &self.composer.from,
            to: &readership.recipients,
            date: now.wall,
            zone: &TimeZone::system(),
        };
        let emergency = Emergency { notice, database: &self.database, trouble };
        match emergency.compose() {
            Ok((id, bytes)) => self.left = Some((id, bytes, readership.recipients.clone())),
            Err(error) => {
                tracing::error!(%error, "an emergency mail cannot be made");
            }
        }
    }

    /// Tells what stands when that is due, and those who have not got it yet.
    pub(super) async fn tell(&mut self, troubles: &Troubles, has_failed: bool, now: Moment) {
        if let Some(trouble) = troubles.standing()
            && troubles.is_alarm_due(has_failed, now)
        {
            troubles.alarmed(now.boottime);
            self.raise(&trouble, now);
        }
        self.send().await;
    }

    /// Sends what is left of a mail, once to each who has not got it; what is not accepted stays left. Beats before each.
    pub(super) async fn send(&mut self) {
        let Some((id, bytes, recipients)) = self.left.take() else { return };
        let mut left = Vec::new();
        for recipient in recipients {
            self.pulse.beat();
            let from = &self.composer.from;
            match self.transport.send(from, &recipient, &id, bytes.clone(), self.deadline).await {
                Ok(_reply) => {
                    tracing::warn!(recipient = %recipient, "an emergency mail was sent");
                }
                Err(error) => {
                    tracing::error!(recipient = %recipient, reply = %error.reply, "an emergency mail was not accepted");
                    left.push(recipient);
                }
            }
        }
        self.left = (!left.is_empty()).then_some((id, bytes, left));
    }
}

impl StoreMonitor {
    pub(super) fn new(db: Db, clock: Clock, alarm: EmergencyMailer, stop: CancellationToken) -> Self {
        Self { db, clock, alarm, stop, patience: RETRY.0, due: None, looked: None, pulse: Keepalive::default() }
    }

    /// The same, with a pulse that beats at each step.
    pub(super) fn beating(mut self, pulse: Keepalive) -> Self {
        self.alarm.pulse = pulse.clone();
        self.pulse = pulse;
        self
    }

    /// Looks after the database until told to stop.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            self.pulse.beat();
            let round = async {
                let rest = self.step().await;
                drop(tokio::time::timeout(rest, self.db.troubles.noted()).await);
            };
            if stop.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    /// Does what is due; gives how long to rest.
    async fn step(&mut self) -> Duration {
        if self.db.troubles.renewal().is_some() {
            return PLACE_TIME;
        }
        let now = self.clock.now();
        if self.looked.is_none_or(|looked| now.boottime.since(looked) >= PLACE_TIME) {
            self.looked = Some(now.boottime);
            self.look_at_place().await;
        }
        if let Some(trouble) = self.db.troubles.unreadable_due(now.boottime) {
            self.alarm.raise(&trouble, now);
            self.alarm.send().await;
        }
        let Some(trouble) = self.db.troubles.standing() else {
            (self.due, self.patience) = (None, RETRY.0);
            return PLACE_TIME;
        };
        if self.due.is_none_or(|due| due <= now.boottime) {
            let has_failed = match self.try_to_write(trouble).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), wait = ?self.patience, "the database cannot be written; nothing is lost");
                    self.db.troubles.note(&error, now);
                    true
                }
            };
            self.alarm.tell(&self.db.troubles, has_failed, self.clock.now()).await;
            self.due = Some(self.clock.now().boottime.after(self.patience));
            self.patience = (self.patience * 2).min(RETRY.1);
        }
        let due = self.due.map_or(RETRY.0, |due| due.since(self.clock.now().boottime));
        // Noting its own failure has rung the bell; that is no reason not to rest.
        due.clamp(Duration::from_millis(100), PLACE_TIME)
    }

    /// Notes a sign of life; when that goes through, the trouble is over, and that is told.
    async fn try_to_write(&self, trouble: StoreTrouble) -> Result<(), StoreError> {
        let now = self.clock.now();
        let is_soon = self.db.troubles.ended_since(now.boottime).is_some_and(|ended| ended < QUIET);
        let event = over(&trouble, now);
        self.db
            .call(move |store| {
                if let Err(error) = store.empty_journal() {
                    tracing::debug!(error = %with_causes(&error), "the journal stays as it is");
                }
                store.mark_alive(now, false)?;
                if is_soon { Ok(()) } else { store.commit(&Outcome::tell(event)).map(|_seq| ()) }
            })
            .await?;
        if !is_soon {
            self.db.troubles.end(now.boottime);
            tracing::warn!("the database can be written again");
        }
        Ok(())
    }

    async fn look_at_place(&self) {
        let looked = self.db.call(|store: &mut Store| Ok((store.keep_lock(), store.has_moved()))).await;
        match looked.and_then(|(kept, has_moved)| match kept {
            // A lock that cannot be had in a directory that is another one has a reason of its own.
            Err(error) if !has_moved || matches!(error, StoreError::Running { .. }) => Err(error),
            _ => Ok(has_moved),
        }) {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!("the database was removed or replaced while it is in use; it is written again");
                self.db.troubles.ask_for_renewal(DbFailure::Moved);
            }
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "the lock of the database is gone");
            }
        }
    }
}

/// The event that tells of a trouble that is over.
fn over(trouble: &StoreTrouble, now: Moment) -> Event {
    let words = format!(
        "the database could not be written for {} s\nattempts that failed: {}; the last: {}\n\
         what was found meanwhile is found again, and the logs are read on from where they were",
        now.since(trouble.since).as_secs(),
        trouble.failures,
        trouble.words
    );
    let mut event = Event::new(Category::DatabaseTrouble, Severity::Normal, now, Vec::new()).with_note(words);
    event.not_before = Some(trouble.since.wall);
    event
}
