//! Positions in the journal: how far each group has read it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    model::{
        clock::Timestamp,
        log::journal_cursor::{JournalPlace, JournalState, JournalTrouble, Obstacle},
    },
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// A group that reads the journal, with a new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// The name of the group.
    pub group: Vec<u8>,
    /// Its state.
    pub state: JournalState,
}

impl Store {
    /// What a group remembers of the journal; `None` when it never looked at it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or holds an impossible value.
    pub fn journal_state(&self, group: &[u8]) -> Result<Option<JournalState>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT place, cursor, realtime, obstacle, obstacle_detail, obstacle_since, obstacle_told \
                 FROM journal_position WHERE grp = ?1",
            )
            .and_then(|mut statement| statement.query_row([group], read_journal).optional())
            .trying("read the position in the journal")
    }

    /// The groups that have a position in the journal.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn journal_groups(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT grp FROM journal_position ORDER BY grp LIMIT 100000")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .trying("read who reads the journal")
    }
}

fn impossible(column: usize) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, 0)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanos))
}

fn read_journal(row: &Row<'_>) -> rusqlite::Result<JournalState> {
    let realtime = || time(row, 2)?.ok_or_else(|| impossible(2));
    let place = match row.get::<_, i64>(0)? {
        1 => JournalPlace::Unbegun,
        2 => JournalPlace::Since(realtime()?),
        3 => JournalPlace::After { cursor: row.get(1)?, realtime: realtime()? },
        _ => return Err(impossible(0)),
    };
    let trouble = match row.get::<_, Option<u8>>(3)? {
        Some(code) => Some(JournalTrouble {
            obstacle: Obstacle::from_codes(code, row.get(4)?).ok_or_else(|| impossible(3))?,
            since: time(row, 5)?.ok_or_else(|| impossible(5))?,
            told: time(row, 6)?,
        }),
        None => None,
    };
    Ok(JournalState { place, trouble })
}

/// Writes the position of a group.
pub(in crate::store) fn put_journal(tx: &Connection, row: &JournalRow) -> Result<(), StoreError> {
    let (place, cursor, realtime) = match &row.state.place {
        JournalPlace::Unbegun => (1, None, None),
        JournalPlace::Since(first) => (2, None, Some(first)),
        JournalPlace::After { cursor, realtime } => (3, Some(cursor), Some(realtime)),
    };
    let trouble = row.state.trouble;
    let codes = trouble.map(|trouble| trouble.obstacle.codes());
    tx.prepare_cached(PUT_JOURNAL)
        .and_then(|mut statement| {
            statement.execute(params![
                row.group,
                place,
                cursor,
                realtime.map(|realtime| realtime.as_nanos()),
                codes.map(|(code, _detail)| code),
                codes.map(|(_code, detail)| detail),
                trouble.map(|trouble| trouble.since.as_nanos()),
                trouble.and_then(|trouble| trouble.told).map(Timestamp::as_nanos),
            ])
        })
        .trying("write the position in the journal")
        .map(|_rows| ())
}

/// Forgets the position of a group that no longer reads the journal.
pub(in crate::store) fn remove_journal(tx: &Connection, group: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM journal_position WHERE grp = ?1")
        .and_then(|mut statement| statement.execute([group]))
        .trying("forget the position in the journal")
        .map(|_rows| ())
}

const PUT_JOURNAL: &str = "\
INSERT INTO journal_position (grp, place, cursor, realtime, obstacle, obstacle_detail, obstacle_since, obstacle_told)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (grp) DO UPDATE SET place = excluded.place, cursor = excluded.cursor, realtime = excluded.realtime,
    obstacle = excluded.obstacle, obstacle_detail = excluded.obstacle_detail, obstacle_since = excluded.obstacle_since,
    obstacle_told = excluded.obstacle_told";

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

    fn after(cursor: &[u8]) -> JournalState {
        JournalState {
            place: JournalPlace::After { cursor: cursor.to_vec(), realtime: Timestamp::from_nanos(-7) },
            trouble: None,
        }
    }

    fn put(state: &JournalState) -> StateChange {
        StateChange::Journal(Box::new(JournalRow { group: b"g\xff".to_vec(), state: state.clone() }))
    }

    fn line() -> Event {
        Event::new(Category::SystemEvent, Severity::Normal, now(), b"journal".to_vec())
    }

    #[test]
    fn cursors_and_events_are_stored_in_one_transaction() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(store.journal_state(b"g\xff").unwrap(), None);
        let first = after(b"s=1;i=1");
        assert_eq!(store.commit(&Outcome::tell(line()).with_change(put(&first))).unwrap(), 1);
        assert_eq!(store.journal_state(b"g\xff").unwrap(), Some(first.clone()));
        assert_eq!(store.journal_state(b"g").unwrap(), None);
        // The event cannot be stored, so the cursor does not move either.
        store
            .db
            .execute_batch("CREATE TEMP TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END")
            .unwrap();
        assert!(store.commit(&Outcome::tell(line()).with_change(put(&after(b"s=1;i=2")))).is_err());
        assert_eq!(store.journal_state(b"g\xff").unwrap(), Some(first));
    }

    #[test]
    fn every_state_comes_back() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let told = JournalTrouble {
            obstacle: Obstacle::Ended(1),
            since: Timestamp::from_nanos(3),
            told: Some(Timestamp::from_nanos(4)),
        };
        for state in [
            JournalState::default(),
            JournalState { place: JournalPlace::Since(Timestamp::from_nanos(9)), trouble: Some(told) },
            JournalState { trouble: Some(JournalTrouble { told: None, ..told }), ..after(b"\0\xff") },
            after(b"c"),
        ] {
            store.commit(&Outcome::default().with_change(put(&state))).unwrap();
            assert_eq!(store.journal_state(b"g\xff").unwrap(), Some(state));
        }
        store.commit(&Outcome::default().with_change(StateChange::RemoveJournal(b"g\xff".to_vec()))).unwrap();
        assert_eq!(store.journal_state(b"g\xff").unwrap(), None);
    }

    #[test]
    fn a_database_of_schema_2_is_brought_up_to_date_with_all_its_rows() {
        let (_scratch, path) = scratch();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(include_str!("../../../sql/0001_baseline.sql")).unwrap();
        old.execute_batch(include_str!("../../../sql/0002_logs.sql")).unwrap();
        old.execute_batch(
            "INSERT INTO instance VALUES (1, zeroblob(16), 1, zeroblob(32), 0, 42, 1, 7, 8, 1, 1, zeroblob(16), 1);
             INSERT INTO channel VALUES ('files', 0, NULL, NULL, NULL);
             INSERT INTO log_group VALUES (x'67', 77);",
        )
        .unwrap();
        drop(old);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(store.log_group_polled(b"g").unwrap(), Some(Timestamp::from_nanos(77)));
        let told = store.take_notices();
        let known = crate::store::sqlite::schema::known();
        assert!(told.iter().any(|notice| notice.contains(&format!("from schema 2 to {known}"))), "{told:?}");
        store.commit(&Outcome::default().with_change(put(&after(b"c")))).unwrap();
    }
}
