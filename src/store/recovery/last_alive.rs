//! Signs of life: when a daemon was last there, so that the next one can tell since when nobody was.
//!
//! A sign of its own each minute would keep the disk of an idle machine awake for nothing else, so it goes with whatever is committed, and
//! by itself only when nothing was for a while.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{
    model::clock::{Moment, Timestamp},
    store::{
        recovery::clock::count_anew,
        sqlite::{
            columns::moment,
            connection::{Alive, Store},
            error::{StoreError, Trying},
        },
    },
};

/// After this long without a commit a sign is written by itself: "from" is then right within a minute, as long as signs come every
/// ten seconds.
const OVERDUE: Duration = Duration::from_secs(45);

/// The name by which starts are counted.
const START: &str = "start";

/// How the daemon before this one was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLife {
    /// Its last sign.
    pub seen: Moment,
    /// Whether it was stopped in an orderly way.
    pub is_clean: bool,
}

pub(in crate::store) fn put_sign(db: &Connection, now: Moment, is_clean: bool) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE instance SET alive_wall = ?1, alive_boottime = ?2, alive_boot = ?3, clean = ?4")
        .and_then(|mut statement| {
            statement.execute(params![now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0, is_clean])
        })
        .trying("note a sign of life")
        .map(|_rows| ())
}

impl Store {
    /// Notes that the daemon lives: with the next commit, or now when the last sign is old. Cost: mostly none.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written; it is tried again when the next sign is overdue.
    pub fn breathe(&mut self, now: Moment) -> Result<(), StoreError> {
        self.alive.latest = Some(now);
        if self.alive.written.is_some_and(|written| now.since(written) < OVERDUE) {
            return Ok(());
        }
        self.alive.written();
        put_sign(&self.db, now, false)
    }

    /// Notes a sign of life at once; `is_clean` at the end of an orderly stop.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn mark_alive(&mut self, now: Moment, is_clean: bool) -> Result<(), StoreError> {
        self.alive = Alive { latest: Some(now), written: Some(now) };
        put_sign(&self.db, now, is_clean)?;
        self.leave_mark()
    }

    /// Notes that a daemon has begun; what waits since another boot is counted in this one from here on.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn mark_start(&mut self, now: Moment) -> Result<(), StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        tx.execute(
            "INSERT INTO recurring (name, number, wall, boottime, boot) VALUES (?1, 1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET number = number + 1, wall = excluded.wall,
                 boottime = excluded.boottime, boot = excluded.boot",
            params![START, now.wall.as_nanos(), now.boottime.as_nanos(), now.boot.0],
        )
        .trying("note a start")?;
        count_anew(&tx, now)?;
        tx.commit().trying("note a start")?;
        self.mark_alive(now, false)
    }

    /// The last sign of life of a daemon, and whether it was an orderly stop.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn last_alive(&self) -> Result<(Timestamp, bool), StoreError> {
        self.sign().map(|life| (life.seen.wall, life.is_clean))
    }

    /// How the last daemon was last seen; `None` before there was one.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn last_life(&self) -> Result<Option<LastLife>, StoreError> {
        let started = self
            .db
            .query_row("SELECT 1 FROM recurring WHERE name = ?1", [START], |_row| Ok(()))
            .optional()
            .trying("look for an earlier start")?;
        started.map(|()| self.sign()).transpose()
    }

    fn sign(&self) -> Result<LastLife, StoreError> {
        self.db
            .query_row("SELECT alive_wall, alive_boottime, alive_boot, clean FROM instance", [], |row| {
                Ok(LastLife { seen: moment(row, 0)?, is_clean: row.get(3)? })
            })
            .trying("read the last sign of life")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        events::outcome::Outcome,
        test_support::{now, scratch},
    };

    #[test]
    fn a_sign_of_life_goes_with_a_commit_or_alone_within_a_minute() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(store.last_life().unwrap(), None, "nobody has run yet");
        store.mark_start(now()).unwrap();
        let seen = |store: &Store| store.last_life().unwrap().unwrap().seen.since(now()).as_secs();
        let at = |seconds| now().after(Duration::from_secs(seconds));
        for second in 1..=40 {
            store.breathe(at(second)).unwrap();
        }
        assert_eq!(seen(&store), 0, "nothing was written for its sake");
        store.commit(&Outcome::default()).unwrap();
        assert_eq!(seen(&store), 40);
        for second in 41..=100 {
            store.breathe(at(second)).unwrap();
            assert!(second - seen(&store) < 60);
        }
        assert!(!store.last_life().unwrap().unwrap().is_clean);
        store.mark_alive(at(101), true).unwrap();
        assert_eq!(store.last_life().unwrap(), Some(LastLife { seen: at(101), is_clean: true }));
    }
}
