//! Watched processes: which one each was, and what was told of it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    model::{
        canonical::{decode_process, encode_process},
        clock::Timestamp,
        process::{FileFault, Liveness, Storm, WatchName, WatchState},
    },
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// A watched process with a new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRow {
    /// What is watched.
    pub name: WatchName,
    /// Its state.
    pub state: WatchState,
}

const STATE_COLUMNS: &str = "source, container, process, liveness, fault, fault_detail, storm_first, storm_last, restarts, \
     untold_since, untold, since";

impl Store {
    /// What is remembered of a watched process; `None` when it was never looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or holds an impossible value.
    pub fn watch_state(&self, name: &WatchName) -> Result<Option<WatchState>, StoreError> {
        let found = self
            .db
            .prepare_cached(&format!("SELECT {STATE_COLUMNS} FROM process_watch WHERE source = ?1 AND container = ?2"))
            .and_then(|mut statement| statement.query_row(params![name.source, name.container], read_row).optional())
            .trying("read the state of a process")?;
        Ok(found.map(|row| row.state))
    }

    /// All watched processes that have a state.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or holds an impossible value.
    pub fn watched(&self) -> Result<Vec<WatchRow>, StoreError> {
        self.db
            .prepare_cached(&format!(
                "SELECT {STATE_COLUMNS} FROM process_watch ORDER BY source, container LIMIT 100000"
            ))
            .and_then(|mut statement| statement.query_map([], read_row)?.collect())
            .trying("read which processes are watched")
    }
}

fn impossible(column: usize) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, 0)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<WatchRow> {
    let time = |column| row.get(column).map(Timestamp::from_nanos);
    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let process = match row.get::<_, Option<Vec<u8>>>(2)? {
        Some(bytes) => Some(decode_process(&bytes).or(Err(impossible(2)))?),
        None => None,
    };
    let fault = match row.get::<_, Option<u8>>(4)? {
        Some(code) => Some(FileFault::from_codes(code, row.get(5)?).ok_or_else(|| impossible(4))?),
        None => None,
    };
    Ok(WatchRow {
        name: WatchName { source: row.get(0)?, container: row.get(1)? },
        state: WatchState {
            process,
            liveness: Liveness::from_code(row.get(3)?).ok_or_else(|| impossible(3))?,
            fault,
            storm: Storm {
                first: time(6)?,
                last: time(7)?,
                restarts: count(8)?,
                untold_since: time(9)?,
                untold: count(10)?,
            },
            since: time(11)?,
        },
    })
}

/// Writes the state of a watched process.
pub(in crate::store) fn put_process(tx: &Connection, row: &WatchRow) -> Result<(), StoreError> {
    let WatchState { process, liveness, fault, storm, since } = &row.state;
    let codes = fault.map(FileFault::codes);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO process_watch (source, container, process, liveness, fault, fault_detail, storm_first, \
         storm_last, restarts, untold_since, untold, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            row.name.source,
            row.name.container,
            process.as_ref().map(encode_process),
            liveness.code(),
            codes.map(|(code, _)| code),
            codes.map(|(_, detail)| detail),
            storm.first.as_nanos(),
            storm.last.as_nanos(),
            storm.restarts.cast_signed(),
            storm.untold_since.as_nanos(),
            storm.untold.cast_signed(),
            since.as_nanos(),
        ])
    })
    .trying("write the state of a process")
    .map(|_rows| ())
}

/// Forgets a process that is no longer watched.
pub(in crate::store) fn remove_process(tx: &Connection, name: &WatchName) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM process_watch WHERE source = ?1 AND container = ?2")
        .and_then(|mut statement| statement.execute(params![name.source, name.container]))
        .trying("forget a process")
        .map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            clock::{BootId, Boottime, Moment},
            event::{Category, Event, Severity},
            process::{Process, ProcessId, ProcessNews},
        },
        store::{
            events::outcome::{Outcome, StateChange},
            test_support::scratch,
        },
    };

    fn now() -> Moment {
        Moment { wall: Timestamp::from_nanos(1000), ..Moment::default() }
    }

    fn row(source: &[u8], container: &[u8]) -> WatchRow {
        let process = Process {
            id: ProcessId { pid: 812, started: Boottime::from_nanos(77), boot: BootId([3; 16]) },
            inner: Some(12),
            since: Timestamp::from_nanos(-5),
            comm: b"a\xff)".to_vec(),
            exe: Some(b"/usr/sbin/a\n".to_vec()),
        };
        let state = WatchState {
            process: Some(process),
            liveness: Liveness::Headless,
            fault: Some(FileFault::Unreadable(13)),
            storm: Storm { first: now().wall, last: now().wall, restarts: 9, untold_since: now().wall, untold: 5 },
            since: now().wall,
        };
        WatchRow { name: WatchName { source: source.to_vec(), container: container.to_vec() }, state }
    }

    #[test]
    fn every_state_comes_back_and_goes() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let full = row(b"/run/a\xff.pid", b"web");
        let mut bare = row(b"x.service", b"");
        bare.state = WatchState::unknown(now().wall);
        let put = |row: &WatchRow| StateChange::Process(Box::new(row.clone()));
        store.commit(&Outcome::default().with_change(put(&full)).with_change(put(&bare))).unwrap();
        assert_eq!(store.watch_state(&full.name).unwrap(), Some(full.state.clone()));
        assert_eq!(store.watched().unwrap(), [full.clone(), bare.clone()]);
        let other = WatchName { container: Vec::new(), ..full.name.clone() };
        assert_eq!(store.watch_state(&other).unwrap(), None);
        store.commit(&Outcome::default().with_change(StateChange::RemoveProcess(full.name.clone()))).unwrap();
        assert_eq!(store.watched().unwrap(), [bare]);
    }

    #[test]
    fn a_state_that_cannot_be_told_does_not_move() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let row = row(b"/run/a.pid", b"");
        store
            .db
            .execute_batch("CREATE TEMP TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END")
            .unwrap();
        let event = Event::new(Category::ProcessDied, Severity::High, now(), row.name.source.clone());
        let outcome = Outcome::tell(event).with_change(StateChange::Process(Box::new(row)));
        assert!(store.commit(&outcome).is_err());
        assert_eq!(store.watched().unwrap(), []);
    }

    #[test]
    fn restarts_are_counted_for_each_watch_with_those_that_were_told_together() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let restart = |at: i64, container: &[u8], count| {
            let found = Moment { wall: Timestamp::from_nanos(at), ..Moment::default() };
            let event = Event::new(Category::ProcessRestarted, Severity::Normal, found, b"/run/a.pid".to_vec());
            let news = ProcessNews { container: container.to_vec(), ..ProcessNews::default() };
            Event { count, process: Some(Box::new(news)), ..event }
        };
        for (at, container, count) in [(1, &b""[..], 1), (10, b"", 1), (11, b"", 17), (12, b"web", 2)] {
            store.commit(&Outcome::tell(restart(at, container, count))).unwrap();
        }
        let counts = store.restarts_since(Timestamp::from_nanos(10)).unwrap();
        assert_eq!(counts.values().copied().collect::<Vec<_>>(), [18, 2]);
    }
}
