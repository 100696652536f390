//! The task that delivers: takes queued reports to their recipients, one transaction each, until somebody has accepted them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::{RngExt, rngs::StdRng};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::transport::{SendError, Transport};
use crate::{
    config::settings::MailSettings,
    model::clock::{Clock, Deadline, Moment},
    store::{
        door::Db,
        error::StoreError,
        outbox::{Delivery, Failure, ReportId},
    },
};

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// After refusing for so long a recipient's delivery is parked: kept, but not tried again by itself.
const PARK_AFTER: Duration = Duration::from_hours(120);

/// And after no fewer refusals than these, so that a clock that jumps parks nothing.
const LEAST_REFUSALS: u32 = 10;

/// How long a send that is under way may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often the queue is looked at even when nobody rings.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// How long to wait when what became of a delivery cannot be stored; less than the tasks may take to end.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// The task that delivers.
#[derive(Debug)]
pub struct Courier {
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// The way.
    pub transport: Transport,
    /// The sender's address.
    pub from: String,
    /// Its settings.
    pub settings: MailSettings,
    /// Rung when reports were stored.
    pub bell: Arc<Notify>,
    /// Spreads the attempts.
    pub chance: StdRng,
    /// What was accepted but could not be stored as such; outlives a reload.
    pub unstored: Arc<Mutex<Unstored>>,
}

/// Deliveries that a server has accepted, but that are not yet stored as such: never sent again in this life.
pub type Unstored = HashMap<(ReportId, String), (Delivery, String)>;

/// How long to wait after a failed attempt: doubling from `base` up to an hour, or in three steps after refusals, spread by ±20 %.
fn wait_after(base: Duration, attempts: u32, refusals: u32, is_refusal: bool, spread: f64) -> Duration {
    let nominal = if is_refusal {
        match refusals {
            0 => base.saturating_mul(10),
            1 => base.saturating_mul(60),
            _ => LONGEST_WAIT,
        }
    } else {
        base.saturating_mul(2_u32.saturating_pow(attempts.min(20)))
    };
    nominal.min(LONGEST_WAIT).mul_f64(1.0 + spread)
}

impl Courier {
    /// Delivers until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let next = match self.deliver_due(&stop).await {
                // What failed has a new date: look again.
                (true, _) if !stop.is_cancelled() => continue,
                (_, next) => next,
            };
            let rest = if self.unstored.lock().await.is_empty() { LONGEST_REST } else { STORE_RETRY };
            let rest = next.unwrap_or(rest).min(rest);
            let ring = tokio::time::timeout(rest, self.bell.notified());
            if stop.run_until_cancelled(ring).await.is_none() {
                return;
            }
        }
    }

    /// Tries what is due; gives whether anything was, and how long until the next delivery is.
    pub async fn deliver_due(&mut self, stop: &CancellationToken) -> (bool, Option<Duration>) {
        let accepted = Arc::clone(&self.unstored);
        let mut unstored = accepted.lock().await;
        self.store_again(&mut unstored).await;
        let now = self.clock.now();
        let (due, next) = match self.db.call(move |store| store.due_deliveries(now)).await {
            Ok(found) => found,
            Err(error) => {
                self.db.troubles.note(&error, now);
                tracing::error!(%error, "the queue cannot be read");
                (Vec::new(), None)
            }
        };
        let mut has_tried = false;
        for delivery in due {
            if stop.is_cancelled() {
                break;
            }
            let key = (delivery.report, delivery.recipient.clone());
            if unstored.contains_key(&key) {
                continue;
            }
            has_tried = true;
            if let Some(reply) = self.attempt(&delivery, stop).await {
                unstored.insert(key, (delivery, reply));
                self.store_again(&mut unstored).await;
            }
        }
        (has_tried, next)
    }

    /// Stores what was accepted; what cannot be stored now is tried again, without sending.
    async fn store_again(&self, unstored: &mut Unstored) {
        let now = self.clock.now();
        for (key, (delivery, reply)) in unstored.clone() {
            match self.db.call(move |store| store.mark_sent(&delivery, &reply, now)).await {
                Ok(()) => {
                    unstored.remove(&key);
                }
                Err(error) => {
                    self.db.troubles.note(&error, now);
                    tracing::error!(%error, "a report was sent, but this cannot be stored; only that is tried again");
                }
            }
        }
    }

    /// Tries one delivery; gives the reply when it was accepted.
    async fn attempt(&mut self, delivery: &Delivery, stop: &CancellationToken) -> Option<String> {
        let report = delivery.report;
        let letter = self.db.call(move |store| store.letter(report)).await;
        let (message_id, bytes) = match letter {
            Ok(letter) => letter,
            Err(error) => {
                let reply = format!("the stored report cannot be read: {error}");
                self.note_failure(delivery, SendError { reply, is_refusal: false }).await;
                return None;
            }
        };
        let deadline = self.settings.send_timeout;
        let sending = self.transport.send(&self.from, &delivery.recipient, &message_id, bytes, deadline);
        let answer = tokio::select! {
            answer = sending => answer,
            () = patience_after(stop) => return None,
        };
        match answer {
            Ok(reply) => Some(reply),
            Err(error) => {
                self.note_failure(delivery, error).await;
                None
            }
        }
    }

    async fn note_failure(&mut self, delivery: &Delivery, error: SendError) {
        let now = self.clock.now();
        let wait = wait_after(
            self.settings.retry_base,
            delivery.attempts,
            delivery.refusals,
            error.is_refusal,
            self.chance.random_range(-0.2..0.2),
        );
        // Each message stands as it is: the rules that ship for our own lines are compared with what stands in the code.
        if error.is_refusal {
            tracing::warn!(recipient = %delivery.recipient, reply = %error.reply, ?wait, "a report was refused");
        } else {
            tracing::warn!(recipient = %delivery.recipient, reply = %error.reply, ?wait, "a report was not accepted");
        }
        let failure = Failure {
            reply: error.reply,
            is_refusal: error.is_refusal,
            retry: (!is_hopeless(delivery, error.is_refusal, now)).then(|| Deadline::after(now, wait)),
        };
        let delivery = delivery.clone();
        let stored: Result<(), StoreError> =
            self.db.call(move |store| store.mark_failed(&delivery, &failure, now)).await;
        if let Err(error) = stored {
            self.db.troubles.note(&error, now);
            tracing::error!(%error, "a failed attempt cannot be stored");
            // It is still due, and a server is not asked without end because of that.
            tokio::time::sleep(STORE_RETRY).await;
        }
    }
}

fn is_hopeless(delivery: &Delivery, is_refusal: bool, now: Moment) -> bool {
    is_refusal
        && delivery.refusals >= LEAST_REFUSALS
        && delivery.refused_since.is_some_and(|since| now.wall.since(since) >= PARK_AFTER)
}

/// Ends [`GRACE`] after the daemon was told to stop.
async fn patience_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_refusals_wait_longer() {
        let base = Duration::from_secs(30);
        let seconds = |attempts, refusals, is_refusal| wait_after(base, attempts, refusals, is_refusal, 0.0).as_secs();
        assert_eq!([0, 1, 2, 3].map(|n| seconds(n, 0, false)), [30, 60, 120, 240]);
        assert_eq!(seconds(60, 0, false), 3600);
        assert_eq!([0, 1, 2, 9].map(|n| seconds(n, n, true)), [300, 1800, 3600, 3600]);
    }
}
