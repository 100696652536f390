//! Entries found by other things than their names: drawn by chance.

use rusqlite::{OptionalExtension, params};

use super::{
    baseline::stored_by_id,
    database::Store,
    error::{StoreError, Trying},
};
use crate::model::entry::{AreaId, Entry, EntryId};

impl Store {
    /// A stored entry of an area, drawn by `chance`; `None` when the area has none. Costs three searches in an index.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn drawn(&self, area: AreaId, chance: u64) -> Result<Option<Entry>, StoreError> {
        let ends: (Option<i64>, Option<i64>) = self
            .db
            .prepare_cached(
                "SELECT (SELECT visit FROM entry WHERE area = ?1 ORDER BY visit LIMIT 1),
                        (SELECT visit FROM entry WHERE area = ?1 ORDER BY visit DESC LIMIT 1)",
            )
            .and_then(|mut statement| statement.query_row([area.0], |row| Ok((row.get(0)?, row.get(1)?))))
            .trying("find the first and the last look")?;
        let (Some(first), Some(last)) = ends else { return Ok(None) };
        let span = last.abs_diff(first).saturating_add(1);
        let from = first.saturating_add_unsigned(chance % span);
        let found: Option<i64> = self
            .db
            .prepare_cached("SELECT id FROM entry WHERE area = ?1 AND visit >= ?2 ORDER BY visit LIMIT 1")
            .and_then(|mut statement| statement.query_row(params![area.0, from], |row| row.get(0)).optional())
            .trying("draw an entry")?;
        found.map_or(Ok(None), |id| stored_by_id(&self.db, EntryId(id)))
    }
}
