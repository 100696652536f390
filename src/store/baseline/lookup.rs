//! Entries found by other things than their names: drawn by chance, by their inodes, by their kind.

use rusqlite::{OptionalExtension, params};

use crate::{
    model::file::entry::{AreaId, Entry, EntryId, FileKind},
    store::sqlite::{
        columns::{ENTRY_COLUMNS, entry},
        connection::Store,
        error::{StoreError, Trying},
        write_buffer::stored_by_id,
    },
};

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

    /// Stored rows behind `after` with their inodes, in the order of the rows, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn inodes_after(&self, after: EntryId, limit: u32) -> Result<Vec<(EntryId, u64)>, StoreError> {
        self.db
            .prepare_cached("SELECT id, inode FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2")
            .and_then(|mut statement| {
                let rows = statement.query_map(params![after.0, limit], |row| {
                    Ok((EntryId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
                })?;
                rows.collect()
            })
            .trying("read the inodes of the baseline")
    }

    /// The stored directories among the first 4,096 entries of the directory `parent`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn directories_in(&self, parent: EntryId, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.db
            .prepare_cached(&format!(
                "SELECT {ENTRY_COLUMNS} FROM (SELECT * FROM entry WHERE parent = ?1 ORDER BY name LIMIT 4096)
                 WHERE kind = ?2 LIMIT ?3"
            ))
            .and_then(|mut statement| {
                statement.query_map(params![parent.0, FileKind::Directory.code(), limit], entry)?.collect()
            })
            .trying("read the directories of a directory")
    }
}
