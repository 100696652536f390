//! What was added beneath directories that are new themselves, counted where nobody would read it all.

use std::{collections::BTreeSet, ops::ControlFlow};

use rusqlite::params;

use crate::{
    model::event::{Category, Severity, StoredEvent},
    store::{
        events::{append::Range, history::HistoryOrder},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Events before a report among which the directories are looked for that it goes on with.
const BACK: u64 = 20_000;

impl Store {
    /// Shows everything that was added in `range`, what is of high severity left out. Costs a pass over the range. Memory: one event.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn each_added(&self, range: &Range, mut see: impl FnMut(&StoredEvent)) -> Result<(), StoreError> {
        self.each_in(range, Category::Added, HistoryOrder::OldestFirst, |stored| {
            if stored.event.severity <= Severity::Normal {
                see(stored);
            }
            ControlFlow::Continue(())
        })
    }

    /// What was told as added of `paths` shortly before event `first`: among the 20,000 events before it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn added_before(&self, first: u64, paths: &BTreeSet<&[u8]>) -> Result<Vec<StoredEvent>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT seq, source FROM event WHERE seq BETWEEN ?1 AND ?2 AND category = ?3 ORDER BY seq")
            .trying("prepare to look for directories that were added before")?;
        let from = first.saturating_sub(BACK).cast_signed();
        let mut rows = statement
            .query(params![from, first.cast_signed() - 1, Category::Added.code()])
            .trying("look for directories that were added before")?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().trying("look for directories that were added before")? {
            let read = || rusqlite::Result::Ok((row.get::<_, i64>(0)?, paths.contains(row.get_ref(1)?.as_blob()?)));
            let (seq, is_wanted) = read().trying("look for directories that were added before")?;
            if is_wanted {
                found.extend(self.event(seq.cast_unsigned())?);
            }
        }
        Ok(found)
    }
}
