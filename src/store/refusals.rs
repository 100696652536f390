//! The system calls that the daemon was refused when it began: who asks later is behind another filter, or none.

use rusqlite::params;

use super::{
    database::Store,
    error::{StoreError, Trying},
};

/// The name under which they stand among what is counted.
const NAME: &str = "refused calls";

impl Store {
    /// Notes the calls that a daemon is refused, each with its errno, instead of those of the daemon before.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn note_refused_calls(&mut self, calls: &[(&str, i32)]) -> Result<(), StoreError> {
        const DOING: &str = "note which system calls are refused";
        let tx = self.db.transaction().trying(DOING)?;
        tx.execute("DELETE FROM recurring_mark WHERE recurring = ?1", [NAME]).trying(DOING)?;
        for (call, errno) in calls {
            tx.execute(
                "INSERT INTO recurring_mark (recurring, name, value) VALUES (?1, ?2, ?3)",
                params![NAME, call, errno],
            )
            .trying(DOING)?;
        }
        tx.commit().trying(DOING)
    }

    /// The calls that the daemon was refused when it began last, each with its errno.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn refused_calls(&self) -> Result<Vec<(String, i32)>, StoreError> {
        self.db
            .prepare_cached("SELECT name, value FROM recurring_mark WHERE recurring = ?1 ORDER BY name LIMIT 100")
            .and_then(|mut statement| statement.query_map([NAME], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .trying("read which system calls are refused")
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{
        database::Store,
        scratch::{now, scratch},
    };

    #[test]
    fn the_calls_of_the_last_daemon_count() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(store.refused_calls().unwrap(), []);
        store.note_refused_calls(&[("openat2", 38), ("statx", 1)]).unwrap();
        store.note_refused_calls(&[("openat2", 38)]).unwrap();
        assert_eq!(store.refused_calls().unwrap(), [("openat2".to_owned(), 38)]);
    }
}
