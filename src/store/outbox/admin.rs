//! The queue as an administrator handles it: what was not accepted yet, tried again at once, or given up.
//!
//! Every change is one short transaction that looks for itself what it changes, for a daemon may run beside it. Giving up takes the
//! delivery rows away and leaves the report and its events; the event that tells of it comes in the same transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::{
    model::{
        clock::{Deadline, Moment, Timestamp},
        event::{Category, Event, Severity},
    },
    store::{
        events::{append::append, outcome::StoredFinding},
        outbox::reports::ReportId,
        sqlite::{
            columns::moment,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Most deliveries that are listed; fifty reports a recipient are the most that queue up.
const MOST_LISTED: u32 = 10_000;

/// Most recipients that the event about a dropped report names.
const MOST_NAMED: usize = 20;

/// Where a delivery stands that nobody has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried again by itself.
    Queued,
    /// It was refused for too long and waits for an administrator.
    Parked,
}

impl DeliveryState {
    /// Its word in `queue list`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Parked => "parked",
        }
    }
}

/// A delivery that nobody has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The report.
    pub report: ReportId,
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// Size of the mail in bytes.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Who is to get it.
    pub recipient: String,
    /// Where it stands.
    pub standing: DeliveryState,
    /// Attempts so far.
    pub attempts: u32,
    /// How long until the next attempt; zero when it is due, and for parked ones.
    pub wait: Duration,
    /// What the last attempt was answered; empty before the first.
    pub last_reply: String,
    /// Whether it was also put into the local mailbox.
    pub is_spooled: bool,
}

/// A report whose remaining deliveries were given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The report.
    pub report: ReportId,
    /// Its subject.
    pub subject: String,
    /// Who would still have got it.
    pub recipients: Vec<String>,
}

fn undelivered(row: &Row<'_>, now: Moment) -> rusqlite::Result<Undelivered> {
    let nominal = Duration::from_nanos(row.get::<_, i64>(12)?.cast_unsigned());
    let standing = if row.get::<_, u8>(6)? == 1 { DeliveryState::Queued } else { DeliveryState::Parked };
    let wait = Deadline { due: moment(row, 9)?, nominal }.remaining(now);
    Ok(Undelivered {
        report: ReportId(row.get(0)?),
        message_id: row.get(1)?,
        subject: row.get(2)?,
        size: row.get::<_, i64>(3)?.cast_unsigned(),
        created: Timestamp::from_nanos(row.get(4)?),
        recipient: row.get(5)?,
        standing,
        // A number that nobody can have written is no reason to show nothing.
        attempts: u32::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        wait: if standing == DeliveryState::Queued { wait } else { Duration::ZERO },
        last_reply: row.get(8)?,
        is_spooled: row.get(13)?,
    })
}

impl Store {
    /// What nobody has accepted yet, by report and recipient, at most 10,000 deliveries.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn undelivered(&self, now: Moment) -> Result<Vec<Undelivered>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT report.id, message_id, subject, length(bytes), created, recipient, state, attempts, last_reply,
                     due_wall, due_boottime, due_boot, nominal, spooled
                 FROM delivery JOIN report ON report.id = delivery.report
                 WHERE state IN (1, 3) ORDER BY report.id, recipient LIMIT ?1",
            )
            .and_then(|mut statement| {
                statement.query_map([MOST_LISTED], |row| undelivered(row, now))?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("list the queue")
    }

    /// The bytes of a report, as they are sent; `None` when there is no such report.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn mail(&self, report: ReportId) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .query_row("SELECT bytes FROM report WHERE id = ?1", [report.0], |row| row.get(0))
            .optional()
            .trying("read a report")
    }

    /// Makes due at once what waits of these reports, parked deliveries too, whose refusals are counted anew. Gives how many
    /// deliveries that are.
    ///
    /// # Errors
    /// [`StoreError::NotWaiting`] when nothing of one of them waits; then nothing is changed.
    pub fn retry(&mut self, reports: &[ReportId], now: Moment) -> Result<usize, StoreError> {
        let tx = begin(&mut self.db)?;
        let mut count = 0;
        for report in reports {
            match release(&tx, Some(*report), now)? {
                0 => return Err(StoreError::NotWaiting { report: report.0 }),
                released => count += released,
            }
        }
        tx.commit().trying("make deliveries due")?;
        Ok(count)
    }

    /// As [`Store::retry`], for everything that waits.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn retry_all(&mut self, now: Moment) -> Result<usize, StoreError> {
        release(&self.db, None, now)
    }

    /// Makes due at once every delivery that is tried again by itself. Gives how many those are.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn make_due(&mut self, now: Moment) -> Result<usize, StoreError> {
        self.db
            .prepare_cached(
                "UPDATE delivery SET due_wall = ?1, due_boottime = ?2, due_boot = ?3, nominal = 0 WHERE state = 1",
            )
            .and_then(|mut statement| {
                statement.execute(params![now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0])
            })
            .trying("make the queue due")
    }

    /// Gives up what waits of these reports, on behalf of user `uid`; an event for each tells of it. The reports stay.
    ///
    /// # Errors
    /// [`StoreError::NotWaiting`] when nothing of one of them waits; then nothing is changed.
    pub fn drop_reports(&mut self, reports: &[ReportId], uid: u32, now: Moment) -> Result<Vec<Dropped>, StoreError> {
        let tx = begin(&mut self.db)?;
        let mut dropped = Vec::new();
        for report in reports {
            dropped.push(drop_report(&tx, *report)?);
        }
        let events: Vec<StoredFinding> =
            dropped.iter().map(|report| StoredFinding::from(told(report, uid, now))).collect();
        append(&tx, &events)?;
        tx.commit().trying("drop reports")?;
        Ok(dropped)
    }
}

fn begin(db: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")
}

fn release(db: &Connection, report: Option<ReportId>, now: Moment) -> Result<usize, StoreError> {
    db.prepare_cached(
        "UPDATE delivery SET state = 1, due_wall = ?2, due_boottime = ?3, due_boot = ?4, nominal = 0, settled = NULL,
             refusals = CASE state WHEN 3 THEN 0 ELSE refusals END,
             refused_since = CASE state WHEN 3 THEN NULL ELSE refused_since END
         WHERE state IN (1, 3) AND (?1 IS NULL OR report = ?1)",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            report.map(|report| report.0),
            now.wall.as_nanos(),
            now.boottime.as_nanos(),
            now.boot.0
        ])
    })
    .trying("make deliveries due")
}

fn drop_report(tx: &Connection, report: ReportId) -> Result<Dropped, StoreError> {
    let mut recipients = tx
        .prepare_cached("DELETE FROM delivery WHERE report = ?1 AND state IN (1, 3) RETURNING recipient")
        .and_then(|mut statement| {
            statement.query_map([report.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        })
        .trying("drop deliveries")?;
    if recipients.is_empty() {
        return Err(StoreError::NotWaiting { report: report.0 });
    }
    recipients.sort();
    let subject = tx
        .query_row("SELECT subject FROM report WHERE id = ?1", [report.0], |row| row.get(0))
        .trying("read the subject of a report")?;
    Ok(Dropped { report, subject, recipients })
}

/// The event about a dropped report.
fn told(dropped: &Dropped, uid: u32, now: Moment) -> Event {
    let named = dropped.recipients.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match dropped.recipients.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let note = format!(
        "report {} was dropped by uid {uid}: it is no longer sent to {named}{more}\nits subject: {}",
        dropped.report.0, dropped.subject
    );
    Event::new(Category::Notice, Severity::Normal, now, Vec::new()).with_note(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            clock::{BootId, Boottime},
            event::Channel,
        },
        store::{
            events::append::{Filter, Range},
            outbox::{failures::DeliveryFailure, reports::NewReport},
        },
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn at(seconds: i64) -> Moment {
        Moment {
            wall: Timestamp::from_nanos((1_795_000_000 + seconds) * 1_000_000_000),
            boottime: Boottime::from_nanos(seconds * 1_000_000_000),
            boot: BootId([5; 16]),
        }
    }

    /// A store with two reports: the first for two recipients, one of whom has it; the second parked.
    fn filled() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(&directory.path().join("db"), at(0)).unwrap();
        let report = |id, recipients: &[&str]| NewReport {
            id: ReportId(id),
            message_id: format!("<{id}@x>"),
            severity: Severity::Normal,
            subject: format!("subject {id}"),
            bytes: vec![b'x'; 100],
            recipients: recipients.iter().map(|name| (*name).to_owned()).collect(),
            range: Range { channel: Channel::Files, first: 1, last: 0, areas: None },
        };
        store.batch(Channel::Files, 0, at(0), &[report(1, &["a@x", "b@x"]), report(2, &["a@x"])]).unwrap();
        let (due, _) = store.due_deliveries(at(0)).unwrap();
        let failure =
            |retry| DeliveryFailure { reply: "550 no".to_owned(), is_refusal: true, is_trouble: false, retry };
        store.mark_failed(&due[0], &failure(Some(Deadline::after(at(0), HOUR))), at(0)).unwrap();
        store.mark_sent(&due[1], "250 ok", at(0)).unwrap();
        store.mark_failed(&due[2], &failure(None), at(0)).unwrap();
        (directory, store)
    }

    fn listed(store: &Store, now: Moment) -> Vec<(i64, String, &'static str, u64)> {
        let list = store.undelivered(now).unwrap();
        list.into_iter().map(|one| (one.report.0, one.recipient, one.standing.word(), one.wait.as_secs())).collect()
    }

    fn due(store: &Store, now: Moment) -> Vec<i64> {
        store.due_deliveries(now).unwrap().0.into_iter().map(|delivery| delivery.report.0).collect()
    }

    fn owned(rows: &[(i64, &str, &'static str, u64)]) -> Vec<(i64, String, &'static str, u64)> {
        rows.iter().map(|(id, to, word, wait)| (*id, (*to).to_owned(), *word, *wait)).collect()
    }

    #[test]
    fn what_is_not_accepted_is_listed_with_what_was_answered() {
        let (_directory, store) = filled();
        assert_eq!(listed(&store, at(60)), owned(&[(1, "a@x", "queued", 3540), (2, "a@x", "parked", 0)]));
        let first = store.undelivered(at(60)).unwrap().remove(0);
        assert_eq!((first.subject.as_str(), first.message_id.as_str(), first.size), ("subject 1", "<1@x>", 100));
        assert_eq!((first.attempts, first.last_reply.as_str(), first.created), (1, "550 no", at(0).wall));
        assert_eq!(store.mail(ReportId(2)).unwrap(), Some(vec![b'x'; 100]));
        assert_eq!(store.mail(ReportId(3)).unwrap(), None);
    }

    #[test]
    fn a_retry_is_due_at_once_and_a_parked_one_starts_anew() {
        let (_directory, mut store) = filled();
        assert_eq!(store.retry(&[ReportId(2)], at(60)).unwrap(), 1);
        let delivery = store.due_deliveries(at(60)).unwrap().0.remove(0);
        assert_eq!((delivery.report, delivery.refusals, delivery.refused_since), (ReportId(2), 0, None));
        assert_eq!(delivery.attempts, 1);
        assert_eq!(store.retry_all(at(60)).unwrap(), 2);
        assert_eq!(due(&store, at(60)), [1, 2]);
    }

    #[test]
    fn a_report_of_which_nothing_waits_changes_nothing() {
        let (_directory, mut store) = filled();
        let before = listed(&store, at(60));
        for unknown in [3, -1] {
            let reports = [ReportId(2), ReportId(unknown)];
            assert!(matches!(store.retry(&reports, at(60)), Err(StoreError::NotWaiting { .. })));
            assert!(matches!(store.drop_reports(&reports, 0, at(60)), Err(StoreError::NotWaiting { .. })));
        }
        assert_eq!(listed(&store, at(60)), before);
        assert_eq!(store.head().unwrap().seq, 0);
    }

    #[test]
    fn the_queue_is_made_due_but_not_what_is_parked() {
        let (_directory, mut store) = filled();
        assert_eq!(due(&store, at(60)), [0; 0]);
        assert_eq!(store.make_due(at(60)).unwrap(), 1);
        assert_eq!(due(&store, at(60)), [1]);
    }

    #[test]
    fn a_drop_is_an_event_and_leaves_the_report() {
        let (_directory, mut store) = filled();
        let dropped = store.drop_reports(&[ReportId(1), ReportId(2)], 1000, at(60)).unwrap();
        assert_eq!(dropped[0].recipients, ["a@x"], "who has it already is not dropped");
        assert!(listed(&store, at(60)).is_empty());
        assert_eq!(store.queue_summary().unwrap().sent, 1);
        let events = store.history(&Filter { limit: 10, ..Filter::default() }).unwrap();
        let notes: Vec<_> = events.iter().map(|event| String::from_utf8(event.event.note.clone()).unwrap()).collect();
        insta::assert_snapshot!(notes.join("\n"), @r"
        report 1 was dropped by uid 1000: it is no longer sent to a@x
        its subject: subject 1
        report 2 was dropped by uid 1000: it is no longer sent to a@x
        its subject: subject 2
        ");
        assert!(events.iter().all(|stored| stored.event.category == Category::Notice));
        store.verify().unwrap();
        assert!(store.mail(ReportId(1)).unwrap().is_some());
        // It is told, like every event.
        assert!(store.waiting(Channel::Files).unwrap().is_some());
    }
}
