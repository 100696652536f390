//! What is waiting to be written: entries and their checks, held back until a batch is worth a transaction.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    model::{
        clock::Timestamp,
        file::entry::{Entry, EntryId},
    },
    store::sqlite::{
        columns::{ENTRY_COLUMNS, entry, put_entry},
        error::{StoreError, Trying as _},
    },
};

/// Looks that are not written yet.
#[derive(Debug, Default)]
pub(in crate::store) struct PendingWrites {
    pub(in crate::store) touched: BTreeMap<EntryId, (i64, Timestamp)>,
    pub(in crate::store) learned: BTreeMap<EntryId, Entry>,
    pub(in crate::store) names: HashMap<(Option<EntryId>, Vec<u8>), EntryId>,
    pub(in crate::store) counters: Counters,
}

impl PendingWrites {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.learned.is_empty() && self.counters == Counters::default()
    }

    pub(in crate::store) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(in crate::store) const fn counters(&self) -> Counters {
        self.counters
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.touched.len() + self.learned.len()
    }

    /// Forgets the looks, but not how many there were.
    pub(in crate::store) fn shed(&mut self) {
        *self = Self { counters: self.counters, ..Self::default() };
    }

    /// Drops learned states of rows that another process may have written meanwhile: the next look learns them again.
    pub(in crate::store) fn give_way(&mut self, tx: &Connection) -> Result<(), StoreError> {
        let mut statement = tx
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM entry WHERE id = ?1)")
            .trying("prepare to look whether entries are stored")?;
        let mut stored = Vec::new();
        for id in self.learned.keys() {
            if statement.query_row([id.0], |row| row.get(0)).trying("look whether an entry is stored")? {
                stored.push(*id);
            }
        }
        for entry in stored.iter().filter_map(|id| self.learned.remove(id)) {
            self.names.remove(&(entry.parent, entry.name));
        }
        Ok(())
    }

    /// Writes everything in the order of the rows; nothing is forgotten before the transaction is through.
    pub(in crate::store) fn write(&self, tx: &Connection, visit: i64) -> Result<(), StoreError> {
        for entry in self.learned.values() {
            put_entry(tx, entry)?;
        }
        let mut statement = tx
            .prepare_cached("UPDATE entry SET visit = ?2, checked = ?3 WHERE id = ?1")
            .trying("prepare to write looks")?;
        for (id, (visit, checked)) in &self.touched {
            statement.execute(params![id.0, visit, checked.as_nanos()]).trying("write a look")?;
        }
        tx.prepare_cached("UPDATE instance SET visit = max(visit, ?1), looks = looks + ?2, bytes = bytes + ?3")
            .and_then(|mut statement| {
                statement.execute(params![visit, self.counters.looks.cast_signed(), self.counters.bytes.cast_signed()])
            })
            .trying("write the counters")
            .map(|_rows| ())
    }
}

/// So many looks are kept while the database cannot be written.
pub(in crate::store) const MOST_PENDING: usize = 2000;

pub(in crate::store) fn stored_by_name(
    db: &Connection,
    parent: Option<EntryId>,
    name: &[u8],
) -> Result<Option<Entry>, StoreError> {
    db.prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE parent = ?1 AND name = ?2"))
        .and_then(|mut statement| {
            statement.query_row(params![parent.map_or(0, |parent| parent.0), name], entry).optional()
        })
        .trying("look an entry up by name")
}

pub(in crate::store) fn stored_by_id(db: &Connection, id: EntryId) -> Result<Option<Entry>, StoreError> {
    db.prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?1"))
        .and_then(|mut statement| statement.query_row([id.0], entry).optional())
        .trying("look an entry up")
}

/// Looks and bytes since the database was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Looks.
    pub looks: u64,
    /// Bytes read.
    pub bytes: u64,
}
