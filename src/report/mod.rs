//! What is told, to whom and when: stored events become text, text becomes mail, mail is delivered.
//!
//! Downwards: task, transport, mail, render.

pub mod mail;
pub mod render;
pub mod task;
pub mod transport;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    model::{
        clock::{Clock, Moment},
        event::Channel,
        keepalive::Keepalive,
    },
    report::task::{
        composer::{BatchError, ReportComposer},
        pool::{Decision, PendingReport, Pool},
    },
    store::{
        db::Db,
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
};

/// How long the reporter waits before it looks again: while it has nothing to do, and after a failure.
const LONGEST_REST: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// The task that makes the events of one channel into reports.
#[derive(Debug)]
pub struct Reporter {
    /// The channel.
    pub channel: Channel,
    /// Its times.
    pub pool: Pool,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// What makes the mails.
    pub composer: Arc<ReportComposer>,
    /// Rung when events were committed.
    pub bell: Arc<Notify>,
    /// Wakes the delivery.
    pub delivery: Arc<Notify>,
    /// Beats with each step.
    pub pulse: Keepalive,
    /// When to end.
    pub stop: CancellationToken,
}

impl Reporter {
    /// Makes reports until told to stop. Each decision starts from the store, so a restart changes nothing.
    pub async fn run(self) {
        let mut patience = RETRY;
        loop {
            self.pulse.beat();
            let has_ended = match self.step().await {
                Ok(rest) => {
                    patience = RETRY;
                    let ring = tokio::time::timeout(rest, self.bell.notified());
                    self.stop.run_until_cancelled(ring).await.is_none()
                }
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), wait = ?patience, "no report could be made; its events wait");
                    if let BatchError::Store(error) = &error {
                        self.db.troubles.note(error, self.clock.now());
                    }
                    // No bell: more events do not make it better.
                    let rest = tokio::time::sleep(patience);
                    patience = (patience * 2).min(LONGEST_RETRY);
                    self.stop.run_until_cancelled(rest).await.is_none()
                }
            };
            if has_ended {
                return;
            }
        }
    }

    /// Makes a report if one is due; gives how long to rest.
    async fn step(&self) -> Result<Duration, BatchError> {
        let channel = self.channel;
        let now = self.clock.now();
        let pending = self.db.call(move |store| pending(store, channel, now)).await?;
        match self.pool.decide(&pending, now) {
            Decision::Rest => Ok(LONGEST_REST),
            Decision::Wait(wait) => Ok(wait.min(LONGEST_REST)),
            Decision::Send => {
                let composer = Arc::clone(&self.composer);
                let batch = move |store: &mut Store| {
                    if composer.is_backlogged(store, channel)? {
                        return Ok(false);
                    }
                    composer.batch(store, channel).map(|_was_any| true)
                };
                if !self.db.call(batch).await? {
                    return Ok(RETRY);
                }
                self.delivery.notify_one();
                Ok(Duration::ZERO)
            }
        }
    }
}

fn pending(store: &mut Store, channel: Channel, now: Moment) -> Result<PendingReport, StoreError> {
    let Some(waiting) = store.waiting(channel)? else { return Ok(PendingReport::default()) };
    let urgent = store.urgent_waiting(channel, now.wall)?;
    Ok(PendingReport { first: Some(waiting.first), urgent, last_batch: store.last_batch(channel)? })
}
