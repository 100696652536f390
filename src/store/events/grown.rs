//! What was added beneath directories that are new themselves, counted where nobody would read it all.

use std::collections::BTreeSet;

use rusqlite::params;

use crate::{
    model::event::{Category, Severity},
    store::{
        events::append::Range,
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Events before a report among which the directories are looked for that it goes on with.
const BACK: u64 = 20_000;

impl Store {
    /// Shows the area and the path of everything that was added in `range`, what is of high severity left out. Costs a pass over the
    /// range. Memory: one path.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn each_added(&self, range: &Range, mut see: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "SELECT area, source FROM event WHERE seq BETWEEN ?1 AND ?2 AND category = ?3 AND severity <= ?4",
            )
            .and_then(|mut statement| {
                let mut rows = statement.query(params![
                    range.first.cast_signed(),
                    range.last.cast_signed(),
                    Category::Added.code(),
                    Severity::Normal.number()
                ])?;
                while let Some(row) = rows.next()? {
                    see(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
                }
                Ok(())
            })
            .trying("count what was added beneath a directory")
    }

    /// Those of `paths` that were told as added shortly before event `first`: among the 20,000 events before it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn added_before(&self, first: u64, paths: &BTreeSet<&[u8]>) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT source FROM event WHERE seq BETWEEN ?1 AND ?2 AND category = ?3")
            .and_then(|mut statement| {
                let from = first.saturating_sub(BACK).cast_signed();
                let mut rows = statement.query(params![from, first.cast_signed() - 1, Category::Added.code()])?;
                let mut found = BTreeSet::new();
                while let Some(row) = rows.next()? {
                    let source = row.get_ref(0)?.as_blob()?;
                    if paths.contains(source) {
                        found.insert(source.to_vec());
                    }
                }
                Ok(found)
            })
            .trying("look for directories that were added before")
    }
}
