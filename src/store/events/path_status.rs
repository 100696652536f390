//! What the store knows of one path: its entry, what lies below, who waits before it, and what was found about it.

use rusqlite::params;

use crate::{
    model::{
        clock::Timestamp,
        event::{Category, StoredEvent},
        file::entry::{AreaId, Entry},
    },
    store::{
        events::append::{COLUMNS, RawEvent},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// The entries that wait longer than a certain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workload {
    /// How many.
    pub entries: u64,
    /// The bytes of those whose content is read.
    pub bytes: u64,
}

impl Store {
    /// The entry at `path` in the area whose root is at `root`. Costs one look-up for each component.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entry_at(&self, root: &[u8], path: &[u8]) -> Result<Option<Entry>, StoreError> {
        let mut at = self.entry_named(None, root)?;
        let beneath = path.strip_prefix(root).unwrap_or_default();
        for name in beneath.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let Some(directory) = at else { return Ok(None) };
            at = self.entry_named(Some(directory.id), name)?;
        }
        Ok(at)
    }

    /// The entries of `areas` whose last look was before `visit`. Costs a look at each.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn ahead_of(&self, visit: i64, areas: &[AreaId]) -> Result<Workload, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(
                "SELECT count(*), coalesce(sum(CASE WHEN hash_state <> 0 THEN min(size, 1 << 50) END), 0) \
                 FROM entry WHERE area = ?1 AND visit < ?2",
            )
            .trying("prepare to count who waits longer")?;
        let mut ahead = Workload::default();
        for area in areas {
            let (entries, bytes) = statement
                .query_row(params![area.0, visit], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
                .trying("count who waits longer")?;
            ahead.entries = ahead.entries.saturating_add(entries.cast_unsigned());
            ahead.bytes = ahead.bytes.saturating_add(bytes.cast_unsigned());
        }
        Ok(ahead)
    }

    /// Whether something of this class was told of `source` after `since`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn was_told_since(&self, category: Category, source: &[u8], since: Timestamp) -> Result<bool, StoreError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM event WHERE wall > ?1 AND category = ?2 AND source = ?3)")
            .and_then(|mut statement| {
                statement.query_row(params![since.as_nanos(), category.code(), source], |row| row.get(0))
            })
            .trying("look whether something was told")
    }

    /// The latest events about `path` itself, or that stand for it among others, at most `limit`, in the order of their numbers.
    /// Costs a scan of all events.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn events_about(&self, path: &[u8], limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let mut found = self
            .db
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM event WHERE source = ?1 OR seq IN (SELECT seq FROM event_member WHERE source = ?1) \
                 ORDER BY seq DESC LIMIT ?2"
            ))
            .and_then(|mut statement| {
                statement.query_map(params![path, limit], RawEvent::read)?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read the events about a path")?;
        found.reverse();
        found.into_iter().map(RawEvent::decode).collect()
    }
}
