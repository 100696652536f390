//! Reports that are too large for a way: replaced by a smaller one for one recipient, in one transaction.

use rusqlite::{OptionalExtension, Row, TransactionBehavior, params};

use crate::{
    model::clock::Moment,
    store::{
        outbox::reports::{Delivery, ReportId, number_up_to},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// A stored report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeReport {
    /// Its number.
    pub id: ReportId,
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// The mail.
    pub bytes: Vec<u8>,
}

/// A smaller report that is to be stored.
#[derive(Debug, Clone)]
pub struct SmallerReport {
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// The mail.
    pub bytes: Vec<u8>,
}

const REPORT: &str = "SELECT id, message_id, subject, bytes FROM report";

fn report(row: &Row<'_>) -> rusqlite::Result<WholeReport> {
    Ok(WholeReport { id: ReportId(row.get(0)?), message_id: row.get(1)?, subject: row.get(2)?, bytes: row.get(3)? })
}

impl Store {
    /// The report with that number.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn stored_report(&self, id: ReportId) -> Result<WholeReport, StoreError> {
        self.db.query_row(&format!("{REPORT} WHERE id = ?1"), [id.0], report).trying("read a report that is too large")
    }

    /// The report with that Message-ID.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn report_of(&self, message_id: &str) -> Result<Option<WholeReport>, StoreError> {
        self.db
            .query_row(&format!("{REPORT} WHERE message_id = ?1"), [message_id], report)
            .optional()
            .trying("find a report by its Message-ID")
    }

    /// Replaces the report of a delivery for its recipient: the old delivery is superseded, the new one is due at once. What others have
    /// accepted or wait for stays as it is. The new report has the number [`Store::next_report`].
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn supersede(&mut self, delivery: &Delivery, smaller: &SmallerReport, now: Moment) -> Result<(), StoreError> {
        let new = self.next_report()?;
        let (old, recipient) = (delivery.report.0, &delivery.recipient);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let taken_back = tx
            .execute(
                "UPDATE delivery SET state = 4, settled = ?3 WHERE report = ?1 AND recipient = ?2 AND state = 1",
                params![old, recipient, now.wall.as_nanos()],
            )
            .trying("take a report back that is too large")?;
        // Somebody has given it up meanwhile.
        if taken_back == 0 {
            return Ok(());
        }
        tx.execute(
            "INSERT INTO report (id, message_id, channel, severity, subject, part, parts, bytes, created, first_seq, last_seq)
             SELECT ?2, ?3, channel, severity, ?4, 1, 1, ?5, created, first_seq, last_seq FROM report WHERE id = ?1",
            params![old, new.0, smaller.message_id, smaller.subject, smaller.bytes],
        )
        .trying("store a smaller report")?;
        number_up_to(&tx, new)?;
        // An event is not settled before the smaller report is.
        tx.execute(
            "INSERT INTO report_event (report, seq) SELECT ?2, seq FROM report_event WHERE report = ?1",
            [old, new.0],
        )
        .trying("store which events a smaller report tells of")?;
        tx.execute(
            "INSERT INTO delivery (report, recipient, state, attempts, refusals, due_wall, due_boottime, due_boot, nominal,
                 last_reply)
             VALUES (?1, ?2, 1, 0, 0, ?3, ?4, ?5, 0, '')",
            params![new.0, recipient, now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0],
        )
        .trying("store the delivery of a smaller report")?;
        tx.execute("UPDATE report SET superseded_by = ?2 WHERE id = ?1", [old, new.0])
            .trying("note what has replaced a report")?;
        tx.commit().trying("replace a report by a smaller one")
    }
}
