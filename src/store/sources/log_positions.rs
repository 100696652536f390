//! Positions of logs: how far each was read, and which of its rotated files are accounted for.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    model::{
        clock::Timestamp,
        log::position::{Anchor, FileId, LogState, LogTrouble, Position, ReadRefusal, RotatedState, Sibling},
    },
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// A log of a group: the same file may be read under different rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName {
    /// The name of the group.
    pub group: Vec<u8>,
    /// The path of the log.
    pub path: Vec<u8>,
}

/// A log with a new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Which log.
    pub name: LogName,
    /// Its state.
    pub state: LogState,
}

impl Store {
    /// What is remembered of a log; `None` when it was never seen.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or holds an impossible value.
    pub fn log_state(&self, name: &LogName) -> Result<Option<LogState>, StoreError> {
        let found = self
            .db
            .prepare_cached(
                "SELECT dev, inode, born, owner, length, offset, taken, head, marker, id, position, target, refusal, refusal_detail, \
                 refusal_since, refusal_told FROM log_anchor WHERE grp = ?1 AND path = ?2",
            )
            .and_then(|mut statement| statement.query_row(params![name.group, name.path], read_log).optional())
            .trying("read the position of a log")?;
        let Some((id, mut state)) = found else { return Ok(None) };
        state.siblings = self
            .db
            .prepare_cached(
                "SELECT dev, inode, born, owner, length, offset, taken, head, marker, standing FROM log_sibling WHERE log = ?1 \
                 ORDER BY n LIMIT 100000",
            )
            .and_then(|mut statement| statement.query_map([id], read_sibling)?.collect())
            .trying("read the rotated files of a log")?;
        Ok(Some(state))
    }

    /// All logs that have a state.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn log_names(&self) -> Result<Vec<LogName>, StoreError> {
        self.db
            .prepare_cached("SELECT grp, path FROM log_anchor ORDER BY grp, path LIMIT 100000")
            .and_then(|mut statement| {
                statement.query_map([], |row| Ok(LogName { group: row.get(0)?, path: row.get(1)? }))?.collect()
            })
            .trying("read which logs have a position")
    }

    /// The paths of a group that have a state, in the order of their bytes, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn log_paths(&self, group: &[u8], limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT path FROM log_anchor WHERE grp = ?1 ORDER BY path LIMIT ?2")
            .and_then(|mut statement| statement.query_map(params![group, limit], |row| row.get(0))?.collect())
            .trying("read the logs of a group")
    }

    /// When the group was last polled and stored; `None` when it never was.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn log_group_polled(&self, group: &[u8]) -> Result<Option<Timestamp>, StoreError> {
        self.db
            .prepare_cached("SELECT polled FROM log_group WHERE name = ?1")
            .and_then(|mut statement| statement.query_row([group], |row| row.get(0)).optional())
            .trying("read when a group of logs was last polled")
            .map(|found| found.map(Timestamp::from_nanos))
    }
}

fn impossible(column: usize) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, 0)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanos))
}

/// The first nine columns.
fn read_anchor(row: &Row<'_>) -> rusqlite::Result<Anchor> {
    Ok(Anchor {
        file: FileId { dev: unsigned(row, 0)?, inode: unsigned(row, 1)?, born: time(row, 2)? },
        owner: row.get(3)?,
        length: unsigned(row, 4)?,
        offset: unsigned(row, 5)?,
        taken: unsigned(row, 6)?,
        head: row.get(7)?,
        marker: row.get(8)?,
    })
}

fn read_log(row: &Row<'_>) -> rusqlite::Result<(i64, LogState)> {
    let position = match row.get::<_, i64>(10)? {
        1 => Position::Unbegun,
        2 => Position::Beginning,
        3 => Position::At(read_anchor(row)?),
        _ => return Err(impossible(10)),
    };
    let trouble = match row.get::<_, Option<u8>>(12)? {
        Some(code) => Some(LogTrouble {
            refusal: ReadRefusal::from_codes(code, row.get(13)?).ok_or_else(|| impossible(12))?,
            since: time(row, 14)?.ok_or_else(|| impossible(14))?,
            told: time(row, 15)?,
        }),
        None => None,
    };
    Ok((row.get(9)?, LogState { position, siblings: Vec::new(), target: row.get(11)?, trouble }))
}

fn read_sibling(row: &Row<'_>) -> rusqlite::Result<Sibling> {
    Ok(Sibling {
        anchor: read_anchor(row)?,
        standing: RotatedState::from_code(row.get(9)?).ok_or_else(|| impossible(9))?,
    })
}

/// Notes that a group was polled.
pub(in crate::store) fn put_polled(tx: &Connection, group: &[u8], at: Timestamp) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO log_group (name, polled) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET polled = excluded.polled",
    )
    .and_then(|mut statement| statement.execute(params![group, at.as_nanos()]))
    .trying("note that logs were polled")
    .map(|_rows| ())
}

/// Forgets a log that is no longer configured.
pub(in crate::store) fn remove_log(tx: &Connection, name: &LogName) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM log_sibling WHERE log = (SELECT id FROM log_anchor WHERE grp = ?1 AND path = ?2)")
        .and_then(|mut statement| statement.execute(params![name.group, name.path]))
        .trying("forget the rotated files of a log")?;
    tx.prepare_cached("DELETE FROM log_anchor WHERE grp = ?1 AND path = ?2")
        .and_then(|mut statement| statement.execute(params![name.group, name.path]))
        .trying("forget a log")
        .map(|_rows| ())
}

/// Writes the state of a log and its whole ledger.
pub(in crate::store) fn put_log(tx: &Connection, row: &LogRow) -> Result<(), StoreError> {
    let state = &row.state;
    let (position, anchor) = match &state.position {
        Position::Unbegun => (1, None),
        Position::Beginning => (2, None),
        Position::At(anchor) => (3, Some(anchor)),
    };
    let refusal = state.trouble.map(|trouble| trouble.refusal.codes());
    let id: i64 = tx
        .prepare_cached(PUT_LOG)
        .and_then(|mut statement| {
            statement.query_row(
                params![
                    row.name.group,
                    row.name.path,
                    position,
                    anchor.map(|anchor| anchor.file.dev.cast_signed()),
                    anchor.map(|anchor| anchor.file.inode.cast_signed()),
                    anchor.and_then(|anchor| anchor.file.born).map(Timestamp::as_nanos),
                    anchor.map(|anchor| anchor.owner),
                    anchor.map(|anchor| anchor.length.cast_signed()),
                    anchor.map(|anchor| anchor.offset.cast_signed()),
                    anchor.map(|anchor| anchor.taken.cast_signed()),
                    anchor.map(|anchor| &anchor.head),
                    anchor.map(|anchor| &anchor.marker),
                    state.target,
                    refusal.map(|(code, _detail)| code),
                    refusal.map(|(_code, detail)| detail),
                    state.trouble.map(|trouble| trouble.since.as_nanos()),
                    state.trouble.and_then(|trouble| trouble.told).map(Timestamp::as_nanos),
                ],
                |row| row.get(0),
            )
        })
        .trying("write the position of a log")?;
    tx.prepare_cached("DELETE FROM log_sibling WHERE log = ?1")
        .and_then(|mut statement| statement.execute([id]))
        .trying("clear the rotated files of a log")?;
    (0_i64..).zip(&state.siblings).try_for_each(|(n, sibling)| put_sibling(tx, id, n, sibling))
}

fn put_sibling(tx: &Connection, log: i64, n: i64, sibling: &Sibling) -> Result<(), StoreError> {
    let anchor = &sibling.anchor;
    tx.prepare_cached(
        "INSERT INTO log_sibling (log, n, standing, dev, inode, born, owner, length, offset, taken, head, marker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            log,
            n,
            sibling.standing.code(),
            anchor.file.dev.cast_signed(),
            anchor.file.inode.cast_signed(),
            anchor.file.born.map(Timestamp::as_nanos),
            anchor.owner,
            anchor.length.cast_signed(),
            anchor.offset.cast_signed(),
            anchor.taken.cast_signed(),
            anchor.head,
            anchor.marker,
        ])
    })
    .trying("write a rotated file of a log")
    .map(|_rows| ())
}

const PUT_LOG: &str = "\
INSERT INTO log_anchor (grp, path, position, dev, inode, born, owner, length, offset, taken, head, marker, target, refusal,
    refusal_detail, refusal_since, refusal_told)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
ON CONFLICT (grp, path) DO UPDATE SET position = excluded.position, dev = excluded.dev, inode = excluded.inode,
    born = excluded.born, owner = excluded.owner, length = excluded.length, offset = excluded.offset, taken = excluded.taken,
    head = excluded.head, marker = excluded.marker, target = excluded.target, refusal = excluded.refusal,
    refusal_detail = excluded.refusal_detail, refusal_since = excluded.refusal_since, refusal_told = excluded.refusal_told
RETURNING id";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        model::event::{Category, Event, Severity},
        store::{
            events::outcome::{Outcome, StateChange},
            test_support::{now, scratch},
        },
    };

    fn row(offset: u64) -> LogRow {
        let anchor = Anchor {
            file: FileId { dev: u64::MAX, inode: 7, born: Some(Timestamp::from_nanos(-3)) },
            owner: 1000,
            length: offset + 9,
            offset,
            taken: offset + 5,
            head: b"head\0\xff".to_vec(),
            marker: b"marker".to_vec(),
        };
        LogRow {
            name: LogName { group: b"g".to_vec(), path: b"/var/log/\xff".to_vec() },
            state: LogState {
                position: Position::At(anchor.clone()),
                siblings: vec![
                    Sibling { anchor: anchor.clone(), standing: RotatedState::Done },
                    Sibling { anchor: Anchor::default(), standing: RotatedState::Copy },
                ],
                target: Some(b"there".to_vec()),
                trouble: Some(LogTrouble {
                    refusal: ReadRefusal::Unreadable(13),
                    since: Timestamp::from_nanos(1),
                    told: None,
                }),
            },
        }
    }

    fn line() -> Event {
        Event::new(Category::Notice, Severity::Low, now(), b"log".to_vec())
    }

    #[test]
    fn positions_and_events_are_stored_in_one_transaction() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let first = row(10);
        let put = |row: &LogRow| StateChange::Log(Box::new(row.clone()));
        let polled = StateChange::LogsPolled(b"g".to_vec(), Timestamp::from_nanos(77));
        assert_eq!(store.commit(&Outcome::tell(line()).with_change(put(&first)).with_change(polled)).unwrap(), 1);
        assert_eq!(store.log_state(&first.name).unwrap().as_ref(), Some(&first.state));
        assert_eq!(store.log_group_polled(b"g").unwrap(), Some(Timestamp::from_nanos(77)));
        assert_eq!(store.log_paths(b"g", 10).unwrap(), std::slice::from_ref(&first.name.path));
        // The event cannot be stored, so the position does not move either.
        store
            .db
            .execute_batch("CREATE TEMP TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END")
            .unwrap();
        assert!(store.commit(&Outcome::tell(line()).with_change(put(&row(20)))).is_err());
        assert_eq!(store.log_state(&first.name).unwrap(), Some(first.state.clone()));
        store.db.execute_batch("DROP TRIGGER full").unwrap();
        let begun = LogRow {
            name: first.name.clone(),
            state: LogState { position: Position::Beginning, ..LogState::default() },
        };
        store.commit(&Outcome::default().with_change(put(&begun))).unwrap();
        assert_eq!(store.log_state(&first.name).unwrap(), Some(begun.state));
        store.commit(&Outcome::default().with_change(StateChange::RemoveLog(first.name.clone()))).unwrap();
        assert_eq!(store.log_state(&first.name).unwrap(), None);
    }

    #[test]
    fn a_database_of_schema_1_is_copied_and_brought_up_to_date_with_all_its_rows() {
        let (_scratch, path) = scratch();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(include_str!("../../../sql/0001_baseline.sql")).unwrap();
        old.execute_batch(
            "INSERT INTO instance VALUES (1, zeroblob(16), 1, zeroblob(32), 0, 42, 1, 7, 8, 1, 1, zeroblob(16), 1);
             INSERT INTO area VALUES (1, x'2f657463', 2, 2, 3, NULL, NULL, NULL, NULL, 0, 0);
             INSERT INTO channel VALUES ('files', 0, NULL, NULL, NULL);",
        )
        .unwrap();
        drop(old);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(store.last_visit(), 42);
        assert_eq!(store.counters().unwrap().looks, 7);
        let known = crate::store::sqlite::schema::known();
        assert_eq!(crate::store::sqlite::schema::version(&store.db).unwrap(), known);
        let told = store.take_notices();
        assert!(told.iter().any(|notice| notice.contains(&format!("from schema 1 to {known}"))), "{told:?}");
        store.commit(&Outcome::tell(line()).with_change(StateChange::Log(Box::new(row(3))))).unwrap();
        let copy = crate::store::sqlite::schema::copy_path(&path, 1);
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Connection::open(copy).unwrap();
        assert_eq!(crate::store::sqlite::schema::version(&copy).unwrap(), 1);
        let area: Vec<u8> = copy.query_row("SELECT path FROM area", [], |row| row.get(0)).unwrap();
        assert_eq!(area, b"/etc");
        drop(store);
        assert!(Store::open(&path, now()).unwrap().take_notices().is_empty());
    }

    #[test]
    fn a_migration_that_cannot_be_finished_changes_nothing() {
        let (_scratch, path) = scratch();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(include_str!("../../../sql/0001_baseline.sql")).unwrap();
        // The last table of the new schema is already there.
        old.execute_batch("CREATE TABLE log_sibling (x) STRICT").unwrap_err();
        old.execute_batch("CREATE TABLE log_sibling (x INTEGER) STRICT").unwrap();
        drop(old);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Store::open(&path, now()).is_err());
        let left = Connection::open(&path).unwrap();
        assert_eq!(crate::store::sqlite::schema::version(&left).unwrap(), 1);
        let tables: i64 = left
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'log_anchor'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0);
    }
}
