//! What was mounted within the areas when their baseline was learned.

use rusqlite::{Connection, Row, params};

use crate::{
    model::{clock::Timestamp, file::entry::AreaId},
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Most mounts of one area that are kept in mind.
const MOST: i64 = 100_000;

/// What belongs at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRow {
    /// The mount point, as the walk meets it. That of the area itself has a row as well, once its mounts are known.
    pub path: Vec<u8>,
    /// What was mounted there when the baseline beneath was learned; empty for no mount.
    pub home: Vec<u8>,
    /// What was found and told in its place; `None` while it is at home.
    pub told: Option<Vec<u8>>,
    /// When that was found; `None` while it is at home, or where a version that did not record it has told it.
    pub since: Option<Timestamp>,
    /// How many entries of the baseline that hides, the one at the path included.
    pub entries: u64,
}

impl MountRow {
    /// What is at home at `path`.
    pub const fn at_home(path: Vec<u8>, home: Vec<u8>) -> Self {
        Self { path, home, told: None, since: None, entries: 0 }
    }
}

const COLUMNS: &str = "path, home, told, since, entries";

fn mount(row: &Row<'_>) -> rusqlite::Result<MountRow> {
    Ok(MountRow {
        path: row.get(0)?,
        home: row.get(1)?,
        told: row.get(2)?,
        since: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_nanos),
        entries: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}

pub(in crate::store) fn put_mount(db: &Connection, area: AreaId, row: &MountRow) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO mount (area, path, home, told, since, entries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut statement| {
        let since = row.since.map(Timestamp::as_nanos);
        statement.execute(params![area.0, row.path, row.home, row.told, since, row.entries.cast_signed()])
    })
    .trying("write what is mounted")
    .map(|_rows| ())
}

pub(in crate::store) fn remove_mount(db: &Connection, area: AreaId, path: &[u8]) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM mount WHERE area = ?1 AND path = ?2")
        .and_then(|mut statement| statement.execute(params![area.0, path]))
        .trying("forget what was mounted")
        .map(|_rows| ())
}

pub(in crate::store) fn replace_mounts(db: &Connection, area: AreaId, rows: &[MountRow]) -> Result<(), StoreError> {
    db.execute("DELETE FROM mount WHERE area = ?1", [area.0]).trying("forget what was mounted")?;
    rows.iter().try_for_each(|row| put_mount(db, area, row))
}

impl Store {
    /// What belongs where within an area, by path; empty when that was never looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn mounts(&self, area: AreaId) -> Result<Vec<MountRow>, StoreError> {
        self.db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM mount WHERE area = ?1 ORDER BY path LIMIT ?2"))
            .and_then(|mut statement| statement.query_map([area.0, MOST], mount)?.collect())
            .trying("read what was mounted")
    }

    /// What of an area is covered now: hidden by what is mounted over it, or not mounted any more; by path, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn covered_paths(&self, area: AreaId, limit: usize) -> Result<Vec<MountRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM mount WHERE area = ?1 AND told IS NOT NULL ORDER BY path LIMIT ?2"
            ))
            .and_then(|mut statement| statement.query_map([area.0, limit], mount)?.collect())
            .trying("read what is covered")
    }
}
