//! A report that is being made: noted before, so that one over which the program fell is not tried in the same way for ever.

use std::{
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{
    model::event::Channel,
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Under what the marks stand in `recurring_mark`.
const REPORT: &str = "report";

/// Which run of the program this is: what fails within one is no fall.
fn this_run() -> i64 {
    static RUN: OnceLock<i64> = OnceLock::new();
    *RUN.get_or_init(|| RandomState::new().hash_one(0).cast_signed())
}

/// The marks of a channel: the first event of the report, who has begun it, and how often it fell.
fn names(channel: Channel) -> [String; 3] {
    ["from", "run", "falls"].map(|what| format!("{} {what}", channel.name()))
}

impl Store {
    /// Notes that a report of `channel` from event `first` on is begun; gives how often the program has ended before it was written.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn begin_report(&mut self, channel: Channel, first: u64) -> Result<u64, StoreError> {
        self.begin_report_in(this_run(), channel, first)
    }

    /// Notes that the report of `channel` that was begun is written. Before it is stored: whoever ends the program then has not made it
    /// fall over its events.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn end_report(&mut self, channel: Channel) -> Result<(), StoreError> {
        let [from, began, falls] = names(channel);
        self.db
            .prepare_cached("DELETE FROM recurring_mark WHERE recurring = ?1 AND name IN (?2, ?3, ?4)")
            .and_then(|mut statement| statement.execute([REPORT, &from, &began, &falls]))
            .trying("note that a report is written")
            .map(|_rows| ())
    }

    fn begin_report_in(&mut self, run: i64, channel: Channel, first: u64) -> Result<u64, StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let names = names(channel);
        let [from, began, falls] = &names;
        let falls = match (mark(&tx, from)?, mark(&tx, began)?, mark(&tx, falls)?) {
            (Some(from), Some(began), Some(falls)) if from == first.cast_signed() => falls + i64::from(began != run),
            _ => 0,
        };
        for (name, value) in names.iter().zip([first.cast_signed(), run, falls]) {
            tx.prepare_cached(
                "INSERT INTO recurring_mark (recurring, name, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (recurring, name) DO UPDATE SET value = excluded.value",
            )
            .and_then(|mut statement| statement.execute(params![REPORT, name, value]))
            .trying("note that a report is begun")?;
        }
        tx.commit().trying("note that a report is begun")?;
        Ok(falls.cast_unsigned())
    }
}

fn mark(db: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    db.prepare_cached("SELECT value FROM recurring_mark WHERE recurring = ?1 AND name = ?2")
        .and_then(|mut statement| statement.query_row([REPORT, name], |row| row.get(0)).optional())
        .trying("read whether a report was begun")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_support::{now, scratch};

    #[test]
    fn only_what_ends_the_program_is_a_fall_and_a_report_that_is_written_is_forgotten() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let begin = |store: &mut Store, run, first| store.begin_report_in(run, Channel::Files, first).unwrap();
        assert_eq!([1, 1, 1].map(|run| begin(&mut store, run, 7)), [0, 0, 0]);
        assert_eq!([2, 3, 3].map(|run| begin(&mut store, run, 7)), [1, 2, 2]);
        assert_eq!(store.begin_report_in(4, Channel::Logs, 7).unwrap(), 0);
        assert_eq!(begin(&mut store, 5, 8), 0, "another report");
        store.end_report(Channel::Files).unwrap();
        assert_eq!(begin(&mut store, 6, 8), 0);
        assert_eq!(store.begin_report_in(5, Channel::Logs, 7).unwrap(), 1);
    }
}
