//! The stored side of what was mailed: the mails are the witnesses outside this machine, and this is what they are held against.

use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use crate::store::{
    events::append::Head,
    outbox::reports::ReportId,
    sqlite::{
        columns::needed_array,
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// The codes of the events that name a database that was there before: adopted for this one, or lost.
const ADOPTED: u16 = 47;
const LOST: u16 = 37;

/// What became of the database that was there before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// An administrator has said that this one is wanted.
    Adopted,
    /// It was lost, and the event of this number has told it.
    Lost(u64),
}

/// A report that a mail system has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentReport {
    /// Its number.
    pub id: ReportId,
    /// Its Message-ID, without the angle brackets.
    pub message_id: String,
    /// The first event it tells of.
    pub first_seq: u64,
    /// The last event it tells of.
    pub last_seq: u64,
    /// Whether it was accepted for each of those who were asked about.
    pub has_reached_all: bool,
}

impl Store {
    /// The newest event that was pruned, from which on the chain is kept; `None` when it is kept from its first event.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Head>, StoreError> {
        self.db
            .query_row("SELECT seq, hash FROM checkpoint", [], |row| {
                Ok(Head { seq: row.get::<_, i64>(0)?.cast_unsigned(), hash: needed_array(row, 1)? })
            })
            .optional()
            .trying("read where the chain begins")
    }

    /// The hash of the event `seq`; `None` when it is not there. Of pruned ones only that of the newest is known.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn hash_at(&self, seq: u64) -> Result<Option<[u8; 32]>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT hash FROM event WHERE seq = ?1 UNION ALL SELECT hash FROM checkpoint WHERE seq = ?1 LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row([seq.cast_signed()], |row| needed_array(row, 0)).optional())
            .trying("read the hash of an event")
    }

    /// Whether a report with this Message-ID, given without the angle brackets, is stored.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn has_report(&self, message_id: &str) -> Result<bool, StoreError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM report WHERE message_id = ?1)")
            .and_then(|mut statement| statement.query_row([format!("<{message_id}>")], |row| row.get(0)))
            .trying("look for a report")
    }

    /// The next reports behind `after` that were accepted for one of these recipients, at most `limit`, by their numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn sent_to(&self, recipients: &[String], after: ReportId, limit: u32) -> Result<Vec<SentReport>, StoreError> {
        let recipients = serde_json::Value::from(recipients).to_string();
        self.db
            .prepare_cached(
                "SELECT id, first_seq, last_seq, trim(message_id, '<>'),
                     (SELECT count(DISTINCT lower(recipient)) FROM delivery WHERE report = id AND state = 2
                         AND lower(recipient) IN (SELECT lower(value) FROM json_each(?2)))
                     = (SELECT count(DISTINCT lower(value)) FROM json_each(?2))
                 FROM report WHERE id > ?1 AND EXISTS (
                     SELECT 1 FROM delivery WHERE report = id AND state = 2
                         AND lower(recipient) IN (SELECT lower(value) FROM json_each(?2)))
                 ORDER BY id LIMIT ?3",
            )
            .and_then(|mut statement| {
                statement
                    .query_map(params![after.0, recipients, limit], |row| {
                        Ok(SentReport {
                            id: ReportId(row.get(0)?),
                            first_seq: row.get::<_, i64>(1)?.cast_unsigned(),
                            last_seq: row.get::<_, i64>(2)?.cast_unsigned(),
                            message_id: row.get(3)?,
                            has_reached_all: row.get(4)?,
                        })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("list what was sent")
    }

    /// The oldest report that is kept; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn oldest_report(&self) -> Result<Option<ReportId>, StoreError> {
        let oldest: Option<i64> = self
            .db
            .query_row("SELECT min(id) FROM report", [], |row| row.get(0))
            .trying("look for the oldest report")?;
        Ok(oldest.map(ReportId))
    }

    /// What an event of this store tells of the database `instance` that was there before; `None` when none names it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn fate(&self, instance: Uuid) -> Result<Option<InstanceState>, StoreError> {
        // As a line of its own: a name that somebody gave a file is not one.
        let line = format!("\nthe database before was {instance}");
        self.db
            .prepare_cached(
                "SELECT seq, category = ?1 FROM event WHERE category IN (?1, ?2) AND instr(canonical, CAST(?3 AS BLOB)) > 0
                 ORDER BY seq LIMIT 1",
            )
            .and_then(|mut statement| {
                let fate = |row: &Row<'_>| {
                    let seq = row.get::<_, i64>(0)?.cast_unsigned();
                    Ok(if row.get(1)? { InstanceState::Adopted } else { InstanceState::Lost(seq) })
                };
                statement.query_row(params![ADOPTED, LOST, line], fate).optional()
            })
            .trying("look for what became of a database")
    }
}
