//! How many entries of an area are known but not seen now, and why: what must not be counted as checked.

use rusqlite::params;

use crate::{
    model::file::entry::AreaId,
    store::{
        baseline::missing::GONE,
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Entries of an area that are not seen. An entry may count for two reasons, such as an unreadable one that is covered as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unseen {
    /// Whose content or names cannot be read.
    pub unreadable: u64,
    /// Which changed during every attempt to read them.
    pub busy: u64,
    /// Whose content is larger than what is read.
    pub too_big: u64,
    /// Big files that were not read yet.
    pub unread: u64,
    /// Which are missing while their baseline is kept ([`Store::missing_paths`]).
    pub missing: u64,
    /// Which are covered by a mount, or lie on one that is gone ([`Store::covered_paths`]).
    pub covered: u64,
}

impl Unseen {
    /// Entries that cannot be read or found for whatever reason; big files that wait for their turn left out.
    pub const fn all(&self) -> u64 {
        self.unreadable
            .saturating_add(self.busy)
            .saturating_add(self.too_big)
            .saturating_add(self.missing)
            .saturating_add(self.covered)
    }
}

impl Store {
    /// How many entries of an area are not seen. Cost: one scan of its rows; what is not written yet does not count.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn unseen_of(&self, area: AreaId) -> Result<Unseen, StoreError> {
        self.db
            .prepare_cached(
                "SELECT coalesce(sum(hash_state = 5), 0), coalesce(sum(hash_state = 3), 0), coalesce(sum(hash_state = 4), 0), \
                 coalesce(sum(hash_state = 2), 0), \
                 (SELECT coalesce(sum(missing.entries), 0) FROM missing JOIN entry ON entry.id = missing.entry \
                  WHERE entry.area = ?1 AND entry.reported = ?2), \
                 (SELECT coalesce(sum(entries), 0) FROM mount WHERE area = ?1 AND told IS NOT NULL) \
                 FROM entry WHERE area = ?1",
            )
            .and_then(|mut statement| {
                statement.query_row(params![area.0, GONE], |row| {
                    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    Ok(Unseen {
                        unreadable: count(0)?,
                        busy: count(1)?,
                        too_big: count(2)?,
                        unread: count(3)?,
                        missing: count(4)?,
                        covered: count(5)?,
                    })
                })
            })
            .trying("count what is not seen of an area")
    }
}
