//! Reports that are too large for a way: replaced by parts for one recipient, in one transaction.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

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

/// A stored report, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub id: ReportId,
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// Which part it is, from 1.
    pub part: u32,
    /// Of how many; 1 for a whole report.
    pub parts: u32,
    /// The mail.
    pub bytes: Vec<u8>,
}

/// A part that is to be stored.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// Its Message-ID, with the angle brackets.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// The mail.
    pub bytes: Vec<u8>,
}

const PIECE: &str = "SELECT id, message_id, subject, part, parts, bytes FROM report";

fn piece(row: &Row<'_>) -> rusqlite::Result<Piece> {
    Ok(Piece {
        id: ReportId(row.get(0)?),
        message_id: row.get(1)?,
        subject: row.get(2)?,
        part: row.get(3)?,
        parts: row.get(4)?,
        bytes: row.get(5)?,
    })
}

impl Store {
    /// The report of a delivery; of a part also the other parts that still wait for the same recipient, in their order.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn unsent_pieces(&self, delivery: &Delivery) -> Result<Vec<Piece>, StoreError> {
        let this = self
            .db
            .query_row(&format!("{PIECE} WHERE id = ?1"), [delivery.report.0], piece)
            .trying("read a report that is too large")?;
        // The parts of one report were stored in one go, so their numbers follow each other.
        let first = this.id.0 - i64::from(this.part) + 1;
        let last = first + i64::from(this.parts) - 1;
        self.db
            .prepare_cached(&format!(
                "{PIECE} WHERE id BETWEEN ?1 AND ?2
                     AND EXISTS (SELECT 1 FROM delivery WHERE report = id AND recipient = ?3 AND state = 1) ORDER BY id"
            ))
            .and_then(|mut statement| statement.query_map(params![first, last, delivery.recipient], piece)?.collect())
            .trying("read the parts of a report")
    }

    /// The report with that Message-ID.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn report_of(&self, message_id: &str) -> Result<Option<Piece>, StoreError> {
        self.db
            .query_row(&format!("{PIECE} WHERE message_id = ?1"), [message_id], piece)
            .optional()
            .trying("find a report by its Message-ID")
    }

    /// Replaces these reports by `parts` for one recipient: the old deliveries are superseded, the new ones are due at once. What
    /// others have accepted or wait for stays as it is. The parts are numbered from [`Store::next_report`] on.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn supersede(
        &mut self,
        recipient: &str,
        replaced: &[ReportId],
        parts: &[NewPart],
        now: Moment,
    ) -> Result<(), StoreError> {
        let Some(origin) = replaced.first() else {
            return Ok(());
        };
        let first = self.next_report()?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (number, part) in (1..).zip(parts) {
            let id = first.0 + i64::from(number) - 1;
            insert_part(&tx, *origin, (id, number, count), part)?;
            tx.execute(
                "INSERT INTO delivery (report, recipient, state, attempts, refusals, due_wall, due_boottime, due_boot, nominal,
                     last_reply)
                 VALUES (?1, ?2, 1, 0, 0, ?3, ?4, ?5, 0, '')",
                params![id, recipient, now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0],
            )
            .trying("store the delivery of a part")?;
        }
        for report in replaced {
            tx.execute(
                "UPDATE delivery SET state = 4, settled = ?3 WHERE report = ?1 AND recipient = ?2 AND state = 1",
                params![report.0, recipient, now.wall.as_nanos()],
            )
            .trying("take a report back that is too large")?;
            tx.execute("UPDATE report SET superseded_by = ?2 WHERE id = ?1", [report.0, first.0])
                .trying("note what has replaced a report")?;
        }
        tx.commit().trying("replace a report by its parts")
    }
}

fn insert_part(
    tx: &Connection,
    origin: ReportId,
    (id, number, count): (i64, u32, u32),
    part: &NewPart,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO report (id, message_id, channel, severity, subject, part, parts, bytes, created, first_seq, last_seq)
         SELECT ?2, ?3, channel, severity, ?4, ?5, ?6, ?7, created, first_seq, last_seq FROM report WHERE id = ?1",
        params![origin.0, id, part.message_id, part.subject, number, count, part.bytes],
    )
    .trying("store a part")?;
    number_up_to(tx, ReportId(id))?;
    // An event is not settled before every part is.
    tx.execute(
        "INSERT INTO report_event (report, seq) SELECT ?2, seq FROM report_event WHERE report = ?1",
        [origin.0, id],
    )
    .trying("store which events a part tells of")
    .map(|_rows| ())
}
