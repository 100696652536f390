//! The task that delivers: takes queued reports to their recipients, one transaction each, until somebody has accepted them.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    config::settings::config::MailSettings,
    model::{
        clock::{Clock, Deadline, Moment},
        keepalive::Keepalive,
    },
    report::{
        mail::mbox,
        task::{
            replace::replace,
            retry::{is_hopeless, wait_after},
        },
        transport::{
            Transport,
            outcome::{SendError, SendVerdict},
        },
    },
    store::{
        db::Db,
        outbox::{
            failures::DeliveryFailure,
            reports::{Delivery, ReportId},
        },
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
        },
    },
    sys::{
        fault_injection,
        panic::{Caught, guard_task},
    },
};

/// Failures for so long are trouble; a refusal is at once.
const TROUBLE_AFTER: Duration = Duration::from_hours(1);

/// How long a send that is under way may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How often the queue is looked at even when nobody rings: timers stand still while the machine is suspended.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How long to wait when what became of a delivery cannot be stored; less than the tasks may take to end.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Most bytes of a mail: a sendmail program does not say what is too large, and nobody reads more.
const LARGEST: u64 = 1 << 20;

/// The task that delivers.
#[derive(Debug)]
pub struct DeliveryTask {
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
    /// How the commands are called that a mail names.
    pub program: String,
    /// Spreads the attempts.
    pub chance: StdRng,
    /// What was accepted but could not be stored as such; outlives a reload.
    pub unstored: Arc<Mutex<Unstored>>,
    /// After how long a standing fault is told again.
    pub error_nag: Duration,
    /// Beats with each attempt.
    pub pulse: Keepalive,
}

/// Deliveries that a server has accepted, but that are not yet stored as such: never sent again in this life.
pub type Unstored = HashMap<(ReportId, String), (Delivery, String)>;

impl DeliveryTask {
    /// Delivers until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.pulse.beat();
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
        let mut tried = HashSet::new();
        loop {
            let now = self.clock.now();
            let (due, next) = match self.db.call(move |store| store.due_deliveries(now)).await {
                Ok(found) => found,
                Err(error) => {
                    self.db.troubles.note(&error, now);
                    tracing::error!(%error, "the queue cannot be read");
                    (Vec::new(), None)
                }
            };
            // Where a report was replaced, the list holds what is gone and lacks what has come.
            if !self.try_each(due, &mut tried, &mut unstored, stop).await {
                return (!tried.is_empty(), next);
            }
        }
    }

    /// Tries each of these that was not tried yet; ends with `true` at the first that was replaced.
    async fn try_each(
        &mut self,
        due: Vec<Delivery>,
        tried: &mut HashSet<(ReportId, String)>,
        unstored: &mut Unstored,
        stop: &CancellationToken,
    ) -> bool {
        for delivery in due {
            let key = (delivery.report, delivery.recipient.clone());
            if stop.is_cancelled() {
                break;
            }
            if unstored.contains_key(&key) || !tried.insert(key.clone()) {
                continue;
            }
            match self.attempt(&delivery, stop).await {
                DeliveryAttempt::Accepted(reply) => {
                    unstored.insert(key, (delivery, reply));
                    self.store_again(unstored).await;
                }
                DeliveryAttempt::Failed => {}
                DeliveryAttempt::Replaced => return true,
            }
        }
        false
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

    /// Tries one delivery.
    async fn attempt(&mut self, delivery: &Delivery, stop: &CancellationToken) -> DeliveryAttempt {
        self.pulse.beat();
        let report = delivery.report;
        let message = self.db.call(move |store| store.message(report)).await;
        let (message_id, bytes) = match message {
            Ok(message) => message,
            Err(error) => {
                let reply = format!("the stored report cannot be read: {error}");
                self.note_failure(delivery, SendError::transient(reply)).await;
                return DeliveryAttempt::Failed;
            }
        };
        let error = match self.hand_over(delivery, &message_id, bytes, stop).await {
            None => return DeliveryAttempt::Failed,
            Some(Ok(reply)) => return DeliveryAttempt::Accepted(reply),
            Some(Err(error)) => error,
        };
        let SendVerdict::TooLarge(limit) = error.verdict else {
            self.note_failure(delivery, error).await;
            return DeliveryAttempt::Failed;
        };
        self.replace(delivery, limit, error.reply).await
    }

    /// Sends it, unless it is too large for us; `None` when the daemon is to stop meanwhile.
    async fn hand_over(
        &self,
        delivery: &Delivery,
        message_id: &str,
        bytes: Vec<u8>,
        stop: &CancellationToken,
    ) -> Option<Result<String, SendError>> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > LARGEST {
            let reply = format!("it has {length} bytes, more than the {LARGEST} that any mail may have");
            return Some(Err(SendError { reply, verdict: SendVerdict::TooLarge(Some(LARGEST)) }));
        }
        let deadline = self.settings.send_timeout;
        let attempt = self.begin(delivery, message_id).await;
        let sending = guard_task(async {
            fault_injection::strike("send", delivery.recipient.as_bytes());
            self.transport.send_telling_way(&self.from, &delivery.recipient, message_id, bytes, deadline).await
        });
        let sent = tokio::select! {
            sent = sending => Some(sent),
            () = patience_after(stop) => None,
        };
        let queue_id = sent.as_ref().and_then(|sent| sent.as_ref().ok()?.queue_id.clone());
        self.end(attempt, queue_id).await;
        match sent? {
            Ok(sending) => Some(sending.answer),
            Err(caught) => Some(Err(self.stumble(&delivery.recipient, &caught).await)),
        }
    }

    /// Notes that a mail is about to be handed over, so that those who read logs know the lines about it; `None` where no mail server
    /// logs it, or it cannot be noted: the mail matters more.
    async fn begin(&self, delivery: &Delivery, message_id: &str) -> Option<i64> {
        if !self.transport.is_logged() {
            return None;
        }
        let (message_id, from, recipient) = (message_id.to_owned(), self.from.clone(), delivery.recipient.clone());
        let now = self.clock.now().wall;
        let begun = self.db.call(move |store| store.begin_own_mail(&message_id, [&from, &recipient], now)).await;
        if let Err(error) = &begun {
            tracing::error!(%error, "the sending of a report cannot be noted");
        }
        begun.ok()
    }

    async fn end(&self, attempt: Option<i64>, queue_id: Option<String>) {
        let Some(attempt) = attempt else { return };
        let now = self.clock.now().wall;
        if let Err(error) = self.db.call(move |store| store.end_own_mail(attempt, queue_id.as_deref(), now)).await {
            tracing::error!(%error, "the sending of a report cannot be noted");
        }
    }

    /// Replaces what is too large by something smaller, or takes it for refused where nothing smaller is left.
    async fn replace(&mut self, delivery: &Delivery, limit: Option<u64>, reply: String) -> DeliveryAttempt {
        let (now, program, subject) = (self.clock.now(), self.program.clone(), delivery.clone());
        match self.db.call(move |store| replace(store, &subject, limit, &program, now)).await {
            Ok(true) => {
                tracing::warn!(recipient = %delivery.recipient, %reply, "a report was too large, and a smaller one takes its place");
                return DeliveryAttempt::Replaced;
            }
            Ok(false) => self.note_failure(delivery, SendError::refused(reply)).await,
            Err(error) => {
                tracing::error!(%error, "a report that is too large cannot be replaced");
                self.note_failure(delivery, SendError::transient(reply)).await;
            }
        }
        DeliveryAttempt::Failed
    }

    /// Tells that our own code has stumbled over a delivery, which waits like one that nobody accepted.
    /// The recipient is the item: each report about it would be another one to stumble over.
    async fn stumble(&self, recipient: &str, caught: &Caught) -> SendError {
        let (now, error_nag) = (self.clock.now(), self.error_nag);
        let item = format!("the deliveries to {recipient}");
        let told =
            move |store: &mut Store| store.tell_fault(item.as_bytes(), "they are tried again later", now, error_nag);
        if let Err(error) = self.db.call(told).await {
            tracing::error!(error = %with_causes(&error), "a fault in integrityd cannot be stored");
        }
        SendError::transient(format!("a fault in integrityd: {caught}"))
    }

    async fn note_failure(&mut self, delivery: &Delivery, error: SendError) {
        let now = self.clock.now();
        let is_refusal = error.is_refusal();
        let spread = self.chance.random_range(-0.2..0.2);
        let wait = wait_after(self.settings.retry_base, delivery.attempts, delivery.refusals, is_refusal, spread);
        // Each message stands as it is: the rules that ship for our own lines are compared with what stands in the code.
        if is_refusal {
            tracing::warn!(recipient = %delivery.recipient, reply = %error.reply, ?wait, "a report was refused");
        } else {
            tracing::warn!(recipient = %delivery.recipient, reply = %error.reply, ?wait, "a report was not accepted");
        }
        let is_barred = error.verdict == SendVerdict::Barred;
        let is_trouble = is_refusal
            || is_barred
            || delivery.failing_since.is_some_and(|since| now.wall.since(since) >= TROUBLE_AFTER);
        let failure = DeliveryFailure {
            reply: error.reply,
            is_refusal,
            is_trouble,
            retry: (!is_hopeless(delivery, is_refusal, now)).then(|| Deadline::after(now, wait)),
        };
        let failed = delivery.clone();
        let stored: Result<bool, StoreError> =
            self.db.call(move |store| store.mark_failed(&failed, &failure, now)).await;
        match stored {
            Ok(true) => {
                tracing::error!(recipient = %delivery.recipient, "delivery trouble: reports are kept, and nobody has accepted them");
            }
            Ok(false) => {}
            Err(error) => {
                self.db.troubles.note(&error, now);
                tracing::error!(%error, "a failed attempt cannot be stored");
                // It is still due, and a server is not asked without end because of that.
                tokio::time::sleep(STORE_RETRY).await;
                return;
            }
        }
        if is_trouble && let Some(path) = self.settings.fallback_mbox.clone() {
            self.spool(delivery.clone(), path, now).await;
        }
    }

    /// Puts a report into the local mailbox, once a delivery.
    async fn spool(&self, delivery: Delivery, path: PathBuf, now: Moment) {
        let from = self.from.clone();
        let spooled: Result<(), SpoolError> = self
            .db
            .call(move |store| {
                if store.is_spooled(delivery.report, &delivery.recipient)? {
                    return Ok(());
                }
                let (_, bytes) = store.message(delivery.report)?;
                mbox::append(&path, &from, now.wall, &bytes)?;
                store.mark_spooled(&delivery).map_err(SpoolError::from)
            })
            .await;
        if let Err(error) = spooled {
            tracing::error!(%error, "the local mailbox (fallbackmbox) cannot be written; the next attempt tries it again");
        }
    }
}

/// Why a report is not in the local mailbox.
#[derive(Debug, thiserror::Error)]
enum SpoolError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mailbox cannot be written, or must not be.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What became of an attempt.
enum DeliveryAttempt {
    /// Somebody has taken responsibility and said so.
    Accepted(String),
    /// It is noted, or the daemon is to stop.
    Failed,
    /// A smaller report has taken its place.
    Replaced,
}

/// Ends [`GRACE`] after the daemon was told to stop.
async fn patience_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}
