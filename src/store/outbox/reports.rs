//! The outbox: reports with fixed bytes, and one delivery for each of their recipients.

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::{
    model::{
        clock::{Moment, Timestamp},
        event::{Channel, Severity},
    },
    store::{
        events::{
            append::{IN_RANGE, QUIET, Range},
            urgent::note_told,
        },
        sqlite::{
            columns::moment,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// The number of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportId(pub i64);

/// A rendered report, to be stored before anybody tries to send it.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// Its number, from [`Store::next_report`].
    pub id: ReportId,
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its gravest event.
    pub severity: Severity,
    /// Its subject.
    pub subject: String,
    /// The bytes that are sent, whenever and how often.
    pub bytes: Vec<u8>,
    /// Who gets it.
    pub recipients: Vec<String>,
    /// The events it tells of.
    pub range: Range,
}

/// A delivery that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The report.
    pub report: ReportId,
    /// The recipient.
    pub recipient: String,
    /// Attempts so far.
    pub attempts: u32,
    /// How many of them the server refused for good.
    pub refusals: u32,
    /// Wall time of the first of the refusals that came without another answer between.
    pub refused_since: Option<Timestamp>,
    /// Wall time of the first failed attempt.
    pub failing_since: Option<Timestamp>,
}

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSummary {
    /// Deliveries waiting for an attempt.
    pub queued: u64,
    /// Those of them that a server has refused, and not only put off.
    pub refused: u64,
    /// Those that nobody refused, but that are in trouble: an administrator must look.
    pub barred: u64,
    /// Deliveries that were given up and are kept.
    pub parked: u64,
    /// Deliveries accepted by a server.
    pub sent: u64,
    /// When the oldest waiting report was made.
    pub oldest: Option<Timestamp>,
    /// What the last failed attempt was answered.
    pub last_failure: Option<String>,
    /// When the last delivery was accepted.
    pub last_sent: Option<Timestamp>,
    /// Events that are in no report yet.
    pub unreported: u64,
}

impl Store {
    /// The number of the last event of `channel` that was made into a report.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn batched_up_to(&self, channel: Channel) -> Result<u64, StoreError> {
        self.db
            .query_row("SELECT seq FROM channel WHERE name = ?1", [channel.name()], |row| row.get::<_, i64>(0))
            .optional()
            .trying("read how far was reported")
            .map(|seq| seq.unwrap_or(0).cast_unsigned())
    }

    /// When `channel` was last made into a report: its hold-off counts from here.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn last_batch(&self, channel: Channel) -> Result<Option<Moment>, StoreError> {
        self.db
            .query_row(
                "SELECT batched_wall, batched_boottime, batched_boot FROM channel WHERE name = ?1",
                [channel.name()],
                |row| moment(row, 0),
            )
            .optional()
            .trying("read when was last reported")
    }

    /// The number of the next report.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn next_report(&self) -> Result<ReportId, StoreError> {
        self.db
            .query_row(
                // By both, for parts and what an older program has stored are in one of them only.
                "SELECT max(last_report, (SELECT coalesce(max(id), 0) FROM report)) + 1 FROM instance",
                [],
                |row| row.get(0),
            )
            .trying("number a report")
            .map(ReportId)
    }

    /// Stores rendered reports with their deliveries and starts the hold-off of `channel`, all in one transaction. Events
    /// of the channel up to `last_seq` count as reported from here on.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is stored and the events wait on.
    pub fn batch(
        &mut self,
        channel: Channel,
        last_seq: u64,
        now: Moment,
        reports: &[NewReport],
    ) -> Result<(), StoreError> {
        self.scan_urgent(channel)?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let urgent = self.urgent.get(&channel).filter(|_| !reports.is_empty());
        let told = urgent.into_iter().flat_map(|scan| &scan.first).filter(|(_, seq)| **seq <= last_seq);
        note_told(&tx, channel, told.map(|(key, _)| *key), now)?;
        for report in reports {
            insert_report(&tx, channel, now, report)?;
            number_up_to(&tx, report.id)?;
        }
        tx.execute(
            "INSERT INTO channel (name, seq, batched_wall, batched_boottime, batched_boot) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, batched_wall = excluded.batched_wall,
                 batched_boottime = excluded.batched_boottime, batched_boot = excluded.batched_boot",
            params![channel.name(), last_seq.cast_signed(), now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0],
        )
        .trying("start the hold-off")?;
        tx.commit().trying("store a report")?;
        self.leave_mark_if_possible();
        Ok(())
    }

    /// The Message-ID and the bytes of a report, as they are sent.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or there is no such report.
    pub fn message(&self, id: ReportId) -> Result<(String, Vec<u8>), StoreError> {
        self.db
            .query_row("SELECT message_id, bytes FROM report WHERE id = ?1", [id.0], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .trying("read a report")
    }

    /// Notes that a server has taken responsibility for a delivery.
    ///
    /// # Errors
    /// [`StoreError`]; the caller must remember it and try only this again, never the sending.
    pub fn mark_sent(&mut self, delivery: &Delivery, reply: &str, now: Moment) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE delivery SET state = 2, attempts = attempts + 1, last_reply = ?3, settled = ?4
                 WHERE report = ?1 AND recipient = ?2 AND state = 1",
            )
            .and_then(|mut statement| {
                statement.execute(params![delivery.report.0, delivery.recipient, reply, now.wall.as_nanos()])
            })
            .trying("note that a report was sent")
            .map(|_rows| ())
    }

    /// The outbox in numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn queue_summary(&self) -> Result<QueueSummary, StoreError> {
        let mut summary = self
            .db
            .query_row(
                "SELECT coalesce(sum(state = 1), 0), coalesce(sum(state = 3), 0), coalesce(sum(state = 2), 0), max(settled)
                     FILTER (WHERE state = 2), coalesce(sum(state = 1 AND refused_since IS NOT NULL), 0),
                     coalesce(sum(state = 1 AND refused_since IS NULL AND troubled IS NOT NULL), 0) FROM delivery",
                [],
                |row| {
                    Ok(QueueSummary {
                        queued: row.get::<_, i64>(0)?.cast_unsigned(),
                        parked: row.get::<_, i64>(1)?.cast_unsigned(),
                        sent: row.get::<_, i64>(2)?.cast_unsigned(),
                        last_sent: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_nanos),
                        refused: row.get::<_, i64>(4)?.cast_unsigned(),
                        barred: row.get::<_, i64>(5)?.cast_unsigned(),
                        ..QueueSummary::default()
                    })
                },
            )
            .trying("count the queue")?;
        let oldest = self
            .db
            .query_row(
                "SELECT report.created, delivery.last_reply FROM delivery JOIN report ON report.id = delivery.report
                 WHERE delivery.state IN (1, 3) ORDER BY report.id LIMIT 1",
                [],
                |row| Ok((Timestamp::from_nanos(row.get(0)?), row.get::<_, String>(1)?)),
            )
            .optional()
            .trying("find the oldest report in the queue")?;
        for channel in Channel::ALL {
            let batched = self.batched_up_to(channel)?.cast_signed();
            let count: i64 = self
                .db
                .prepare_cached(&format!("SELECT count(*) FROM event WHERE channel = ?1 AND seq > ?2 AND NOT {QUIET}"))
                .and_then(|mut statement| statement.query_row(params![channel.name(), batched], |row| row.get(0)))
                .trying("count what is not reported yet")?;
            summary.unreported = summary.unreported.saturating_add(count.cast_unsigned());
        }
        if let Some((created, reply)) = oldest {
            summary.oldest = Some(created);
            summary.last_failure = (!reply.is_empty()).then_some(reply);
        }
        Ok(summary)
    }

    /// The Message-ID of the last report to one of these recipients, angle brackets included; `None` before the first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn last_report_to(&self, recipients: &[String]) -> Result<Option<String>, StoreError> {
        let recipients = serde_json::Value::from(recipients).to_string();
        self.db
            .prepare_cached(
                "SELECT message_id FROM report WHERE EXISTS (
                     SELECT 1 FROM delivery WHERE report = id AND recipient IN (SELECT value FROM json_each(?1)))
                 ORDER BY id DESC LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row([recipients], |row| row.get(0)).optional())
            .trying("look for the report before")
    }

    /// The length of the shortest queue of these recipients, in reports.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn shortest_queue(&self, recipients: &[String]) -> Result<u64, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT count(*) FROM delivery WHERE state = 1 AND recipient = ?1")
            .trying("prepare to count the queue of a recipient")?;
        let mut shortest = u64::MAX;
        for recipient in recipients {
            let length: i64 =
                statement.query_row([recipient], |row| row.get(0)).trying("count the queue of a recipient")?;
            shortest = shortest.min(length.cast_unsigned());
        }
        Ok(shortest)
    }
}

/// No report gets this number or a smaller one any more.
pub(in crate::store) fn number_up_to(tx: &rusqlite::Connection, last: ReportId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE instance SET last_report = max(last_report, ?1)")
        .and_then(|mut statement| statement.execute([last.0]))
        .trying("keep the number of a report")
        .map(|_rows| ())
}

/// Stores a report with its deliveries, due at once.
pub(super) fn insert_report(
    tx: &rusqlite::Connection,
    channel: Channel,
    now: Moment,
    report: &NewReport,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO report (id, message_id, channel, severity, subject, part, parts, bytes, created, first_seq, last_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, 1, 1, ?6, ?7, ?8, ?9)",
        params![
            report.id.0,
            report.message_id,
            channel.name(),
            report.severity.number(),
            report.subject,
            report.bytes,
            now.wall.as_nanos(),
            report.range.first.cast_signed(),
            report.range.last.cast_signed()
        ],
    )
    .trying("store a report")?;
    tx.execute(
        &format!("INSERT INTO report_event (report, seq) SELECT ?5, seq FROM event WHERE {IN_RANGE}"),
        params![
            report.range.channel.name(),
            report.range.first.cast_signed(),
            report.range.last.cast_signed(),
            report.range.areas_json(),
            report.id.0
        ],
    )
    .trying("store which events a report tells of")?;
    for recipient in &report.recipients {
        tx.execute(
            "INSERT INTO delivery (report, recipient, state, attempts, refusals, due_wall, due_boottime, due_boot, nominal,
                 last_reply)
             VALUES (?1, ?2, 1, 0, 0, ?3, ?4, ?5, 0, '')",
            params![
                report.id.0,
                recipient,
                now.wall.as_nanos(),
                now.boottime.as_nanos(),
                now.boot.0
            ],
        )
        .trying("store a delivery")?;
    }
    Ok(())
}
