//! What comes again and again: how often it came and when last, and what was counted then.
//!
//! The number goes up in the transaction that stores the event and the mails: whatever kills the daemon, none is used twice and none is
//! left out.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{
    model::{
        clock::{Moment, Timestamp},
        event::{Category, Channel, Event},
    },
    store::{
        events::append::{Head, append, head},
        outbox::reports::{NewReport, insert_report},
        sqlite::{
            columns::moment,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// What was counted, by name.
pub type Marks = BTreeMap<String, u64>;

/// Something that recurs, as it was last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// How often it came so far.
    pub number: u64,
    /// When it was due last, or began to be counted.
    pub due: Moment,
}

/// One more time.
#[derive(Debug, Clone)]
pub struct ScheduledRun<'a> {
    /// What recurs.
    pub name: &'a str,
    /// Its number and when it was due: the next one is counted from here.
    pub next: Last,
    /// When it comes.
    pub now: Moment,
    /// What is counted now.
    pub marks: &'a Marks,
}

impl Store {
    /// How `name` came last; `None` when it was never counted.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn recurring(&self, name: &str) -> Result<Option<Last>, StoreError> {
        self.db
            .prepare_cached("SELECT number, wall, boottime, boot FROM recurring WHERE name = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([name], |row| {
                        Ok(Last { number: row.get::<_, i64>(0)?.cast_unsigned(), due: moment(row, 1)? })
                    })
                    .optional()
            })
            .trying("read what recurs")
    }

    /// What was counted when `name` came last.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn marks(&self, name: &str) -> Result<Marks, StoreError> {
        self.db
            .prepare_cached("SELECT name, value FROM recurring_mark WHERE recurring = ?1 LIMIT 100000")
            .and_then(|mut statement| {
                statement.query_map([name], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?.collect()
            })
            .trying("read what was counted")
    }

    /// Notes a turn of which nothing is told: the first, from which on is counted, or one without anything to say.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn skip_turn(&mut self, turn: &ScheduledRun<'_>) -> Result<(), StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        put(&tx, turn)?;
        tx.commit().trying("note what recurs")
    }

    /// Stores a turn with its event and the reports that `compose` makes when it is told where the chain then stands, all in one
    /// transaction.
    ///
    /// # Errors
    /// Those of `compose`, and [`StoreError`]; then nothing is stored, and the same number comes again.
    pub fn recur<E: From<StoreError>>(
        &mut self,
        turn: &ScheduledRun<'_>,
        event: Event,
        compose: impl FnOnce(Head) -> Result<Vec<NewReport>, E>,
    ) -> Result<(), E> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        put(&tx, turn)?;
        append(&tx, &[event.into()])?;
        for report in compose(head(&tx)?)? {
            insert_report(&tx, Channel::Life, turn.now, &report)?;
        }
        tx.commit().trying("store a sign of life")?;
        Ok(())
    }

    /// Those of `recipients` to whom no earlier mail about `category` is still to be delivered.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn without_waiting(&self, category: Category, recipients: &[String]) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM delivery JOIN report ON report.id = delivery.report
                     JOIN event ON event.seq = report.first_seq
                     WHERE delivery.state = 1 AND delivery.recipient = ?1 AND report.channel = 'life' AND event.category = ?2)",
            )
            .trying("prepare to look who has the last sign of life")?;
        let mut free = Vec::new();
        for recipient in recipients {
            let is_waiting: bool = statement
                .query_row(params![recipient, category.code()], |row| row.get(0))
                .trying("look who has the last sign of life")?;
            if !is_waiting {
                free.push(recipient.clone());
            }
        }
        Ok(free)
    }

    /// Lines of logs read since the database was made.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn lines_read(&self) -> Result<u64, StoreError> {
        self.db
            .query_row("SELECT lines FROM lines_read", [], |row| row.get::<_, i64>(0))
            .optional()
            .trying("read how many lines were read")
            .map(|lines| lines.unwrap_or(0).cast_unsigned())
    }

    /// Notes that a task stands still, or goes on again (`None`).
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn note_standstill(&mut self, task: &str, since: Option<Timestamp>) -> Result<(), StoreError> {
        match since {
            Some(since) => self.db.execute(
                "INSERT INTO standstill (task, since) VALUES (?1, ?2) ON CONFLICT (task) DO NOTHING",
                params![task, since.as_nanos()],
            ),
            None => self.db.execute("DELETE FROM standstill WHERE task = ?1", [task]),
        }
        .trying("note that a task stands still")
        .map(|_rows| ())
    }

    /// Forgets what stood still: the tasks begin anew.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn forget_standstills(&mut self) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM standstill", []).trying("forget what stood still").map(|_rows| ())
    }

    /// The tasks that stand still, and since when.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn standstills(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.db
            .prepare_cached("SELECT task, since FROM standstill ORDER BY since, task LIMIT 100")
            .and_then(|mut statement| {
                statement.query_map([], |row| Ok((row.get(0)?, Timestamp::from_nanos(row.get(1)?))))?.collect()
            })
            .trying("read what stands still")
    }
}

fn put(tx: &Connection, turn: &ScheduledRun<'_>) -> Result<(), StoreError> {
    let Last { number, due } = turn.next;
    tx.execute(
        "INSERT INTO recurring (name, number, wall, boottime, boot) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE SET number = excluded.number, wall = excluded.wall, boottime = excluded.boottime,
             boot = excluded.boot",
        params![turn.name, number.cast_signed(), due.wall.as_nanos(), due.boottime.as_nanos(), due.boot.0],
    )
    .and_then(|_rows| tx.execute("DELETE FROM recurring_mark WHERE recurring = ?1", [turn.name]))
    .trying("note what recurs")?;
    for (name, value) in turn.marks {
        tx.prepare_cached("INSERT INTO recurring_mark (recurring, name, value) VALUES (?1, ?2, ?3)")
            .and_then(|mut statement| statement.execute(params![turn.name, name, value.cast_signed()]))
            .trying("note what was counted")?;
    }
    Ok(())
}

/// Adds lines to those that were read.
pub(in crate::store) fn add_lines(tx: &Connection, lines: u64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO lines_read (only, lines) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET lines = lines + excluded.lines",
    )
    .and_then(|mut statement| statement.execute([i64::try_from(lines).unwrap_or(i64::MAX)]))
    .trying("count the lines that were read")
    .map(|_rows| ())
}
