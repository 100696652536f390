//! Our own mails on their way into the mail system of this machine: what its logs say about them is no event.
//!
//! The one who sends writes a row before the first byte and what was replied after the last; the one who reads logs finds there what
//! a line can be about. The row is there before any line that it causes, whatever happens in between.

use std::{collections::HashSet, time::Duration};

use rusqlite::{Connection, TransactionBehavior, params};

use crate::{
    model::clock::Timestamp,
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// For how long a mail is remembered: mail servers give up after five days.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How many are remembered.
const MOST: i64 = 1000;

/// How long a mail may take into a mailbox of this machine; it was handed over as much as a tick of the clock of a file system before.
const DELIVERING: Duration = Duration::from_hours(1);
const TICK: Duration = Duration::from_secs(2);

/// A mail of our own that was handed over, or is being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMail {
    /// The number of this attempt.
    pub id: i64,
    /// Its Message-ID, with the angle brackets; empty when a server was only greeted.
    pub message_id: String,
    /// The sender's address.
    pub sender: String,
    /// The recipient's address.
    pub recipient: String,
    /// Wall time before the first byte.
    pub begun: Timestamp,
    /// Wall time of the answer; `None` while there is none, and after a crash.
    pub ended: Option<Timestamp>,
    /// Its queue ids, and until when each is one of ours.
    pub queue_ids: Vec<(String, Option<Timestamp>)>,
}

/// What a log line has taught about a mail of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedMail {
    /// Its number.
    pub mail: i64,
    /// A queue id of it.
    pub queue_id: String,
    /// When the server was done with it, if it is.
    pub until: Option<Timestamp>,
}

/// Lines that our own mails have caused: they are counted and not reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnMailLines {
    /// How many.
    pub lines: u64,
    /// What they have taught.
    pub learned: Vec<LearnedMail>,
}

impl Store {
    /// Notes that a mail is about to be handed over, and gives the number of this attempt.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn begin_own_mail(
        &mut self,
        message_id: &str,
        [sender, recipient]: [&str; 2],
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        tx.execute(
            "INSERT INTO own_mail (message_id, sender, recipient, begun) VALUES (?1, ?2, ?3, ?4)",
            params![message_id, sender, recipient, now.as_nanos()],
        )
        .trying("note that a mail is sent")?;
        let id = tx.last_insert_rowid();
        let old = params![id.saturating_sub(MOST), now.before(KEPT).as_nanos()];
        tx.execute(
            "DELETE FROM own_queue_id WHERE mail IN (SELECT id FROM own_mail WHERE id <= ?1 OR begun < ?2)",
            old,
        )
        .and_then(|_rows| tx.execute("DELETE FROM own_mail WHERE id <= ?1 OR begun < ?2", old))
        .trying("forget mails of long ago")?;
        tx.commit().trying("note that a mail is sent")?;
        Ok(id)
    }

    /// Notes that an attempt is over, and the queue id that a mail server of this machine has replied.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn end_own_mail(&mut self, id: i64, queue_id: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        tx.execute("UPDATE own_mail SET ended = ?2 WHERE id = ?1", params![id, now.as_nanos()])
            .trying("note that a mail was sent")?;
        if let Some(queue_id) = queue_id {
            put(&tx, &LearnedMail { mail: id, queue_id: queue_id.to_owned(), until: None })?;
        }
        tx.commit().trying("note that a mail was sent")
    }

    /// The attempts that are remembered, latest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn own_mails(&self) -> Result<Vec<OwnMail>, StoreError> {
        let mut mails: Vec<OwnMail> = self
            .db
            .prepare_cached(
                "SELECT id, message_id, sender, recipient, begun, ended FROM own_mail ORDER BY id DESC LIMIT 1000",
            )
            .and_then(|mut statement| {
                let mail = |row: &rusqlite::Row<'_>| {
                    Ok(OwnMail {
                        id: row.get(0)?,
                        message_id: row.get(1)?,
                        sender: row.get(2)?,
                        recipient: row.get(3)?,
                        begun: Timestamp::from_nanos(row.get(4)?),
                        ended: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_nanos),
                        queue_ids: Vec::new(),
                    })
                };
                statement.query_map([], mail)?.collect()
            })
            .trying("read which mails were sent")?;
        let mut statement = self
            .db
            .prepare_cached("SELECT queue_id, until FROM own_queue_id WHERE mail = ?1 ORDER BY queue_id LIMIT 100")
            .trying("prepare to read queue ids")?;
        for mail in &mut mails {
            let ids = statement.query_map([mail.id], |row| {
                Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(Timestamp::from_nanos)))
            });
            mail.queue_ids = ids.and_then(Iterator::collect).trying("read queue ids")?;
        }
        Ok(mails)
    }

    /// The Message-IDs under which mails were handed over, with brackets, if any was within the hour before `at`: else nothing that was
    /// written then can be one of them.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn own_message_ids(&self, at: Timestamp) -> Result<HashSet<String>, StoreError> {
        let window = params![at.before(DELIVERING).as_nanos(), at.after(TICK).as_nanos()];
        self.db
            .prepare_cached(
                "SELECT DISTINCT message_id FROM own_mail WHERE message_id <> ''
                     AND EXISTS (SELECT 1 FROM own_mail WHERE begun BETWEEN ?1 AND ?2) LIMIT 1000",
            )
            .and_then(|mut statement| statement.query_map(window, |row| row.get(0))?.collect())
            .trying("read which mails were sent")
    }

    /// Of the lines that were read, those that were not reported because our own mails caused them.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn own_mail_lines(&self) -> Result<u64, StoreError> {
        self.db
            .query_row("SELECT coalesce(sum(own_mail), 0) FROM lines_read", [], |row| row.get::<_, i64>(0))
            .trying("read how many lines were about our own mails")
            .map(i64::cast_unsigned)
    }
}

fn put(tx: &Connection, learned: &LearnedMail) -> Result<(), StoreError> {
    // A mail that was forgotten meanwhile needs no number.
    tx.prepare_cached(
        "INSERT INTO own_queue_id (mail, queue_id, until) SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM own_mail WHERE id = ?1)
         ON CONFLICT (mail, queue_id) DO UPDATE SET until = coalesce(excluded.until, until)",
    )
    .and_then(|mut statement| {
        statement.execute(params![learned.mail, learned.queue_id, learned.until.map(Timestamp::as_nanos)])
    })
    .trying("note a queue id")
    .map(|_rows| ())
}

/// Counts lines about our own mails, and keeps what they have taught.
pub(in crate::store) fn put_own_mail_lines(tx: &Connection, own: &OwnMailLines) -> Result<(), StoreError> {
    own.learned.iter().try_for_each(|learned| put(tx, learned))?;
    tx.prepare_cached(
        "INSERT INTO lines_read (only, lines, own_mail) VALUES (1, 0, ?1)
         ON CONFLICT (only) DO UPDATE SET own_mail = own_mail + excluded.own_mail",
    )
    .and_then(|mut statement| statement.execute([i64::try_from(own.lines).unwrap_or(i64::MAX)]))
    .trying("count lines about our own mails")
    .map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::clock::{BootId, Boottime, Moment},
        store::events::outcome::{Outcome, StateChange},
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos((1_795_000_000 + seconds) * 1_000_000_000)
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let now = Moment { wall: at(0), boottime: Boottime::from_nanos(0), boot: BootId([5; 16]) };
        let store = Store::open(&directory.path().join("db"), now).unwrap();
        (directory, store)
    }

    #[test]
    fn a_mail_is_there_before_its_answer_and_learns_its_queue_ids() {
        let (_directory, mut store) = store();
        let id = store.begin_own_mail("<1@h>", ["a@h", "b@h"], at(1)).unwrap();
        let mail = store.own_mails().unwrap().remove(0);
        assert_eq!((mail.id, mail.ended, mail.queue_ids.len()), (id, None, 0));
        store.end_own_mail(id, Some("4Xa"), at(2)).unwrap();
        let learned = vec![
            LearnedMail { mail: id, queue_id: "4Xa".to_owned(), until: Some(at(3)) },
            LearnedMail { mail: id, queue_id: "5Xb".to_owned(), until: None },
            LearnedMail { mail: 4711, queue_id: "5Xb".to_owned(), until: None },
        ];
        let lines = OwnMailLines { lines: 3, learned };
        let _seq = store.commit(&Outcome::default().with_change(StateChange::OwnMail(Box::new(lines)))).unwrap();
        let mail = store.own_mails().unwrap().remove(0);
        assert_eq!(mail.ended, Some(at(2)));
        assert_eq!(mail.queue_ids, [("4Xa".to_owned(), Some(at(3))), ("5Xb".to_owned(), None)]);
        assert_eq!(store.own_mail_lines().unwrap(), 3);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (_directory, mut store) = store();
        for number in 0..1005 {
            let id = store.begin_own_mail(&format!("<{number}@h>"), ["a@h", "b@h"], at(number)).unwrap();
            store.end_own_mail(id, Some("4Xa"), at(number)).unwrap();
        }
        let mails = store.own_mails().unwrap();
        assert_eq!((mails.len(), mails[0].message_id.as_str()), (1000, "<1004@h>"));
        let _id = store.begin_own_mail("", ["", ""], at(8 * 86_400)).unwrap();
        assert_eq!(store.own_mails().unwrap().len(), 1);
        let left: i64 = store.db.query_row("SELECT count(*) FROM own_queue_id", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}
