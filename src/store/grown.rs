//! What was added beneath directories that are new themselves, counted where nobody would read it all.

use std::collections::BTreeSet;

use rusqlite::params;

use super::{
    database::Store,
    error::{StoreError, Trying},
    events::Range,
};
use crate::model::event::{Category, Severity};

/// Events before a report among which the directories are looked for that it goes on with.
const BACK: u64 = 20_000;

impl Store {
    /// How many paths beneath `directory` in `area` were added in `range`, those of high severity left out. Costs a pass over the
    /// range.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn added_below(&self, range: &Range, area: &[u8], directory: &[u8]) -> Result<u64, StoreError> {
        let beneath = directory.strip_suffix(b"/").unwrap_or(directory);
        self.db
            .prepare_cached(
                "SELECT count(*) FROM event WHERE seq BETWEEN ?1 AND ?2 AND category = ?3 AND severity <= ?4 AND area = ?5 \
                 AND source > ?6 AND source < ?7",
            )
            .and_then(|mut statement| {
                statement.query_row(
                    params![
                        range.first.cast_signed(),
                        range.last.cast_signed(),
                        Category::Added.code(),
                        Severity::Normal.number(),
                        area,
                        [beneath, b"/"].concat(),
                        // The byte behind the slash: no name sorts between.
                        [beneath, b"0"].concat()
                    ],
                    |row| row.get::<_, i64>(0),
                )
            })
            .trying("count what was added beneath a directory")
            .map(i64::cast_unsigned)
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
