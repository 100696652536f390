//! Deliveries that fail: how often, since when, and when that is trouble an administrator must hear of.
//!
//! Trouble is told once an outage: by the first delivery of a recipient that comes into it, not by those that follow. Its event stands
//! in the same transaction, so it cannot feed itself: the report that carries it meets the same refusal, and that tells nothing new.

use std::time::Duration;

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::{
    model::{
        clock::{Deadline, Moment, Timestamp},
        event::{Category, Event, Severity},
    },
    store::{
        events::append::append,
        outbox::reports::{Delivery, ReportId},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Most recipients whose trouble is told.
const MOST_TOLD: u32 = 5;

/// What became of a failed attempt.
#[derive(Debug, Clone)]
pub struct DeliveryFailure {
    /// The server's reply or the error, neutralised.
    pub reply: String,
    /// Whether it was a refusal for good.
    pub is_refusal: bool,
    /// Whether an administrator must hear of it: a refusal, a way that cannot be gone, or failures for too long.
    pub is_trouble: bool,
    /// When to try again; `None` parks the delivery.
    pub retry: Option<Deadline>,
}

/// What is not accepted for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryProblem {
    /// Who.
    pub recipient: String,
    /// Deliveries that have failed and wait.
    pub deliveries: u64,
    /// Those of them that were given up.
    pub parked: u64,
    /// When the first of them failed.
    pub since: Timestamp,
    /// What the oldest of them was answered last.
    pub reply: String,
}

impl Store {
    /// Notes a failed attempt and when to try again. `true` when an outage begins with it: then an event tells of it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written; the delivery stays queued.
    pub fn mark_failed(
        &mut self,
        delivery: &Delivery,
        failure: &DeliveryFailure,
        now: Moment,
    ) -> Result<bool, StoreError> {
        let (state, retry) = match failure.retry {
            Some(retry) => (1, retry),
            None => (3, Deadline::after(now, Duration::ZERO)),
        };
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let is_known: bool = tx
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM delivery WHERE recipient = ?1 AND state = 1 AND troubled IS NOT NULL)",
                [&delivery.recipient],
                |row| row.get(0),
            )
            .trying("look for earlier trouble")?;
        let changed = tx
            .prepare_cached(
                "UPDATE delivery SET state = ?3, attempts = attempts + 1, refusals = refusals + ?4, last_reply = ?5,
                     due_wall = ?6, due_boottime = ?7, due_boot = ?8, nominal = ?9,
                     failing_since = coalesce(failing_since, ?10),
                     refused_since = CASE WHEN ?4 THEN coalesce(refused_since, ?10) END,
                     troubled = CASE WHEN ?11 THEN coalesce(troubled, ?10) ELSE troubled END,
                     settled = CASE WHEN ?3 = 3 THEN ?10 END
                 WHERE report = ?1 AND recipient = ?2 AND state = 1",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    delivery.report.0,
                    delivery.recipient,
                    state,
                    failure.is_refusal,
                    failure.reply,
                    retry.due.wall.as_nanos(),
                    retry.due.boottime.as_nanos(),
                    retry.due.boot.0,
                    i64::try_from(retry.nominal.as_nanos()).unwrap_or(i64::MAX),
                    now.wall.as_nanos(),
                    failure.is_trouble
                ])
            })
            .trying("note a failed attempt")?;
        let is_news = failure.is_trouble && !is_known && changed > 0;
        if is_news {
            append(&tx, &[told(delivery, failure, now).into()])?;
        }
        tx.commit().trying("note a failed attempt")?;
        Ok(is_news)
    }

    /// What has failed and still waits, by recipient, worst first, at most five; and how many recipients there are in all.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn troubles(&self) -> Result<(Vec<DeliveryProblem>, u64), StoreError> {
        // With one min() or max() SQLite takes the other columns from the row that has it: the oldest report.
        let list = self
            .db
            .prepare_cached(
                "SELECT recipient, count(*) AS deliveries, sum(state = 3), min(report), last_reply,
                     (SELECT min(failing_since) FROM delivery AS all_of
                      WHERE all_of.recipient = delivery.recipient AND state IN (1, 3)), count(*) OVER ()
                 FROM delivery WHERE state IN (1, 3) AND failing_since IS NOT NULL
                 GROUP BY recipient ORDER BY deliveries DESC, recipient LIMIT ?1",
            )
            .and_then(|mut statement| {
                statement
                    .query_map([MOST_TOLD], |row| {
                        let trouble = DeliveryProblem {
                            recipient: row.get(0)?,
                            deliveries: row.get::<_, i64>(1)?.cast_unsigned(),
                            parked: row.get::<_, i64>(2)?.cast_unsigned(),
                            since: Timestamp::from_nanos(row.get(5)?),
                            reply: row.get(4)?,
                        };
                        Ok((trouble, row.get::<_, i64>(6)?.cast_unsigned()))
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read what is not accepted")?;
        let recipients = list.first().map_or(0, |(_, recipients)| *recipients);
        Ok((list.into_iter().map(|(trouble, _)| trouble).collect(), recipients))
    }

    /// Whether the report was put into the local mailbox for this recipient.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn is_spooled(&self, report: ReportId, recipient: &str) -> Result<bool, StoreError> {
        self.db
            .query_row(
                "SELECT spooled FROM delivery WHERE report = ?1 AND recipient = ?2",
                params![report.0, recipient],
                |row| row.get(0),
            )
            .optional()
            .trying("ask for the local mailbox")
            .map(|spooled| spooled.unwrap_or(false))
    }

    /// Notes that a report was put into the local mailbox for this recipient; it stays queued.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn mark_spooled(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE delivery SET spooled = 1 WHERE report = ?1 AND recipient = ?2")
            .and_then(|mut statement| statement.execute(params![delivery.report.0, delivery.recipient]))
            .trying("note what was put into the local mailbox")
            .map(|_rows| ())
    }
}

fn told(delivery: &Delivery, failure: &DeliveryFailure, now: Moment) -> Event {
    let how = if failure.is_refusal { "are refused" } else { "cannot be handed over" };
    let note = format!(
        "reports to {} {how}; they are kept and tried again\nlast answer: {}",
        delivery.recipient, failure.reply
    );
    Event::new(Category::DeliveryTrouble, Severity::High, now, Vec::new()).with_note(note)
}
