//! Doubt about the wall clock: after it was set it may be wrong, everything looks old, and so nothing is taken out for a day.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::{
    model::clock::{Deadline, Moment},
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// How long it lasts: an administrator has a day to see it.
const DOUBT: Duration = Duration::from_hours(24);

/// Its name among what recurs.
const NAME: &str = "doubt";

/// Notes that the wall clock is in doubt from `at` on.
pub(super) fn put_doubt(tx: &Connection, at: Moment) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO recurring (name, number, wall, boottime, boot) VALUES (?1, 1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET number = number + 1, wall = excluded.wall, boottime = excluded.boottime,
             boot = excluded.boot",
        params![NAME, at.wall.as_nanos(), at.boottime.as_nanos(), at.boot.0],
    )
    .trying("note that the clock is in doubt")
    .map(|_rows| ())
}

impl Store {
    /// Notes that the wall clock is in doubt from `at` on, though no event says so.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn doubt_clock(&mut self, at: Moment) -> Result<(), StoreError> {
        put_doubt(&self.db, at)
    }

    /// Whether the wall clock is still in doubt.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn is_clock_in_doubt(&self, now: Moment) -> Result<bool, StoreError> {
        Ok(self.recurring(NAME)?.is_some_and(|doubt| !Deadline::after(doubt.due, DOUBT).remaining(now).is_zero()))
    }
}
