//! What of the outbox is due: recipients take turns, so that no queue of one hides that of another.

use std::time::Duration;

use rusqlite::{Row, params};

use crate::{
    model::clock::{Moment, Timestamp},
    store::{
        outbox::reports::{Delivery, ReportId},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Deliveries that are given at once; those of the next look follow.
const MOST_AT_ONCE: i64 = 1000;

/// After how long it is logged again that a delivery cannot be read.
const NAG: Duration = Duration::from_hours(2);

/// What is still to wait, as [`Deadline::remaining`](crate::model::clock::Deadline::remaining) has it, of ?1 boot, ?2 boottime, ?3 wall.
const LEFT: &str = "min(nominal, CASE WHEN due_boot = ?1 THEN due_boottime - ?2 ELSE due_wall - ?3 END)";

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        report: ReportId(row.get(0)?),
        recipient: row.get(1)?,
        attempts: row.get(2)?,
        refusals: row.get(3)?,
        refused_since: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_nanos),
        failing_since: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_nanos),
    })
}

impl Store {
    /// The queued deliveries that are due at `now`, and how long until the next one is: first the oldest of every recipient, then the
    /// second oldest, and so on. What cannot be read is logged and left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn due_deliveries(&self, now: Moment) -> Result<(Vec<Delivery>, Option<Duration>), StoreError> {
        let clocks = params![now.boot.0, now.boottime.as_nanos(), now.wall.as_nanos()];
        let due = format!(
            "SELECT report, recipient, attempts, refusals, refused_since, failing_since,
                 row_number() OVER (PARTITION BY recipient ORDER BY report) AS turn
             FROM delivery WHERE state = 1 AND {LEFT} <= 0 ORDER BY turn, report, recipient LIMIT {MOST_AT_ONCE}"
        );
        let mut deliveries = Vec::new();
        let mut unread = Ok(());
        self.db
            .prepare_cached(&due)
            .and_then(|mut statement| {
                for row in statement.query_map(clocks, |row| Ok(delivery(row)))? {
                    match row? {
                        Ok(delivery) => deliveries.push(delivery),
                        Err(error) => unread = Err(error),
                    }
                }
                Ok(())
            })
            .trying("read the queue")?;
        if let Err(error) = unread {
            self.log_unread(&error, now);
        }
        let next: Option<i64> = self
            .db
            .prepare_cached(&format!(
                "SELECT CAST(min({LEFT}) AS INTEGER) FROM delivery WHERE state = 1 AND {LEFT} > 0"
            ))
            .and_then(|mut statement| statement.query_row(clocks, |row| row.get(0)))
            .trying("read when the next delivery is due")?;
        Ok((deliveries, next.map(|left| Duration::from_nanos(left.unsigned_abs()))))
    }

    fn log_unread(&self, error: &rusqlite::Error, now: Moment) {
        if self.unread_logged.get().is_none_or(|last| now.since(last) >= NAG) {
            self.unread_logged.set(Some(now));
            tracing::error!(%error, "a delivery in the queue cannot be read; the others go on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            clock::{BootId, Boottime, Deadline},
            event::{Channel, Severity},
        },
        store::{
            events::append::Range,
            outbox::{failures::DeliveryFailure, reports::NewReport},
        },
    };

    fn at(seconds: i64) -> Moment {
        Moment {
            wall: Timestamp::from_nanos((1_795_000_000 + seconds) * 1_000_000_000),
            boottime: Boottime::from_nanos(seconds * 1_000_000_000),
            boot: BootId([5; 16]),
        }
    }

    /// A store with so many reports for the first recipient, and a last one for the second.
    fn filled(reports: i64) -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(&directory.path().join("db"), at(0)).unwrap();
        let report = |id, recipient: &str| NewReport {
            id: ReportId(id),
            message_id: format!("<{id}@x>"),
            severity: Severity::Normal,
            subject: String::new(),
            bytes: Vec::new(),
            recipients: vec![recipient.to_owned()],
            range: Range { channel: Channel::Files, first: 1, last: 0, areas: None },
        };
        let mut all: Vec<NewReport> = (1..=reports).map(|id| report(id, "bad@x")).collect();
        all.push(report(reports + 1, "good@x"));
        store.batch(Channel::Files, 0, at(0), &all).unwrap();
        (directory, store)
    }

    fn put_off(store: &mut Store, delivery: &Delivery, seconds: u64) {
        let retry = Some(Deadline::after(at(0), Duration::from_secs(seconds)));
        let failure = DeliveryFailure { reply: "no".to_owned(), is_refusal: false, is_trouble: false, retry };
        store.mark_failed(delivery, &failure, at(0)).unwrap();
    }

    #[test]
    fn the_long_queue_of_one_recipient_hides_nobody_elses() {
        let (_directory, mut store) = filled(1148);
        let (due, _) = store.due_deliveries(at(0)).unwrap();
        assert_eq!((due[0].recipient.as_str(), due[1].recipient.as_str()), ("bad@x", "good@x"), "they take turns");
        assert_eq!((due[0].report, due[2].report), (ReportId(1), ReportId(2)));
        store
            .db
            .execute_batch(
                "UPDATE delivery SET nominal = 3600000000000, due_boottime = 3600000000000
            WHERE recipient = 'bad@x'",
            )
            .unwrap();
        let (due, next) = store.due_deliveries(at(10)).unwrap();
        assert_eq!(due.iter().map(|delivery| delivery.report.0).collect::<Vec<_>>(), [1149]);
        assert_eq!(next, Some(Duration::from_secs(3590)));
        put_off(&mut store, &due[0], 60);
        assert_eq!(store.due_deliveries(at(10)).unwrap(), (Vec::new(), Some(Duration::from_secs(50))));
        let (due, next) = store.due_deliveries(at(4000)).unwrap();
        assert_eq!((due.len(), next), (1000, None));
        assert!(due.iter().any(|delivery| delivery.recipient == "good@x"));
    }

    #[test]
    fn after_a_restart_of_the_machine_the_wall_clock_counts_and_no_wait_is_longer_than_it_was() {
        let (_directory, mut store) = filled(1);
        let (due, _) = store.due_deliveries(at(0)).unwrap();
        put_off(&mut store, &due[0], 60);
        put_off(&mut store, &due[1], 600);
        let later = |seconds| Moment { boot: BootId([6; 16]), boottime: Boottime::from_nanos(1), ..at(seconds) };
        let (due, next) = store.due_deliveries(later(100)).unwrap();
        assert_eq!((due.len(), next), (1, Some(Duration::from_secs(500))));
        assert_eq!(store.due_deliveries(later(-9000)).unwrap(), (Vec::new(), Some(Duration::from_mins(1))));
    }

    #[test]
    fn a_delivery_that_cannot_be_read_keeps_no_other_waiting() {
        let (_directory, store) = filled(3);
        store.db.execute_batch("UPDATE delivery SET attempts = -1 WHERE report = 2").unwrap();
        let (due, next) = store.due_deliveries(at(0)).unwrap();
        assert_eq!(due.iter().map(|delivery| delivery.report.0).collect::<Vec<_>>(), [1, 4, 3]);
        assert_eq!((next, store.unread_logged.get()), (None, Some(at(0))));
        store.due_deliveries(at(60)).unwrap();
        assert_eq!(store.unread_logged.get(), Some(at(0)), "it is not logged at every look");
        assert_eq!(store.undelivered(at(0)).unwrap().len(), 4, "the list of the queue shows it");
    }
}
