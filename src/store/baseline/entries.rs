//! The baseline: looking entries up, finding the one that has waited longest, and writing unchanged looks in groups.
//!
//! A look that finds nothing new only moves two numbers of a row. Such looks, and the rows learned in a first round,
//! are collected here and written together, so that an idle machine does not `fsync` every second; everything that has an
//! event is committed at once, together with whatever was collected.

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::{
    model::{
        clock::Timestamp,
        file::{
            coverage::Coverage,
            entry::{AreaId, Entry, EntryId},
        },
    },
    store::{
        baseline::subtree::hand_over,
        sqlite::{
            columns::{ENTRY_COLUMNS, entry},
            connection::Store,
            error::{StoreError, Trying},
            write_buffer::{MOST_PENDING, stored_by_id, stored_by_name},
        },
    },
};

/// One step towards the root: the directory an entry lies in, and its name there.
type WayLink = (Option<EntryId>, Vec<u8>);

/// One step from the root: an entry and its name.
type WayStep = (EntryId, Vec<u8>);

impl Store {
    /// The entry called `name` in the directory `parent` (`None`: the root of the area at path `name`).
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entry_named(&self, parent: Option<EntryId>, name: &[u8]) -> Result<Option<Entry>, StoreError> {
        if let Some(id) = self.pending.names.get(&(parent, name.to_vec())) {
            return Ok(self.pending.learned.get(id).cloned());
        }
        let found = stored_by_name(&self.db, parent, name)?;
        Ok(found.map(|found| self.brought_up_to_date(found)))
    }

    /// The entry with this id.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entry(&self, id: EntryId) -> Result<Option<Entry>, StoreError> {
        if let Some(known) = self.pending.learned.get(&id) {
            return Ok(Some(known.clone()));
        }
        let found = stored_by_id(&self.db, id)?;
        Ok(found.map(|found| self.brought_up_to_date(found)))
    }

    fn brought_up_to_date(&self, mut found: Entry) -> Entry {
        if let Some((visit, checked)) = self.pending.touched.get(&found.id) {
            found.visit = *visit;
            found.checked = *checked;
        }
        found
    }

    /// The names on the way from the root of the area to the entry, root first (its name is the area's whole path); `None` when
    /// a directory on the way is not in the baseline.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn way_to(&self, id: EntryId) -> Result<Option<Vec<WayStep>>, StoreError> {
        let mut way = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            let Some((parent, name)) = self.parent_and_name(id)? else {
                return Ok(None);
            };
            way.push((id, name));
            next = parent;
        }
        way.reverse();
        Ok(Some(way))
    }

    fn parent_and_name(&self, id: EntryId) -> Result<Option<WayLink>, StoreError> {
        if let Some(known) = self.pending.learned.get(&id) {
            return Ok(Some((known.parent, known.name.clone())));
        }
        self.db
            .prepare_cached("SELECT parent, name FROM entry WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([id.0], |row| {
                        let parent: i64 = row.get(0)?;
                        Ok(((parent != 0).then_some(EntryId(parent)), row.get(1)?))
                    })
                    .optional()
            })
            .trying("look up where an entry lies")
    }

    /// Notes a look that found the entry unchanged.
    pub fn touch(&mut self, id: EntryId, visit: i64, checked: Timestamp) {
        match self.pending.learned.get_mut(&id) {
            Some(known) => {
                known.visit = visit;
                known.checked = checked;
            }
            None => {
                self.pending.touched.insert(id, (visit, checked));
            }
        }
    }

    /// Sends an entry that was not looked at since visit `since` to the end of the queue, so that one which cannot be looked at
    /// does not stay the stalest for ever. The time of its last look stays what it was.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn pass_over(&mut self, id: EntryId, since: i64) -> Result<(), StoreError> {
        if let Some(entry) = self.entry(id)?.filter(|entry| entry.visit == since) {
            let visit = self.next_visit();
            self.touch(id, visit, entry.checked);
        }
        Ok(())
    }

    /// Notes a new state of an entry that nobody needs to be told of.
    pub fn learn(&mut self, entry: Entry) {
        self.pending.touched.remove(&entry.id);
        self.pending.names.insert((entry.parent, entry.name.clone()), entry.id);
        self.pending.learned.insert(entry.id, entry);
    }

    /// Counts a look that read `bytes` bytes.
    pub fn count_look(&mut self, bytes: u64) {
        self.count_looks(1, bytes);
    }

    /// Counts looks that read `bytes` bytes together.
    pub fn count_looks(&mut self, looks: u64, bytes: u64) {
        let counters = &mut self.pending.counters;
        counters.looks = counters.looks.saturating_add(looks);
        counters.bytes = counters.bytes.saturating_add(bytes);
    }

    /// Forgets looks that could not be written when there are many of them: they are made again. To be called when nobody holds an
    /// entry that was learned by one of them.
    pub fn shed_looks(&mut self) {
        if self.pending.len() > MOST_PENDING {
            self.pending.shed();
            self.queues.clear();
        }
    }

    /// How many looks are collected and not written yet.
    pub fn collected(&self) -> usize {
        self.pending.len()
    }

    /// Names in the directory `parent` that come after `after` and whose last look was before visit `since`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub fn unseen_since(
        &mut self,
        parent: EntryId,
        since: i64,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.flush()?;
        self.db
            .prepare_cached(
                "SELECT name FROM entry WHERE parent = ?1 AND name > ?2 AND visit < ?3 ORDER BY name LIMIT ?4",
            )
            .and_then(|mut statement| {
                statement.query_map(params![parent.0, after, since, limit], |row| row.get(0))?.collect()
            })
            .trying("find entries that were not seen again")
    }

    /// The stored entries of the directory `parent` whose names come after `after`, by name, at most `limit`; what is not written yet
    /// is not among them.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn children(&self, parent: EntryId, after: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .prepare_cached(&format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE parent = ?1 AND name > ?2 ORDER BY name LIMIT ?3"
            ))
            .and_then(|mut statement| statement.query_map(params![parent.0, after, limit], entry)?.collect())
            .trying("read a directory of the baseline")
    }

    /// Makes an entry the root of `area` at `path`, with everything beneath it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn make_root(&mut self, top: EntryId, path: &[u8], area: AreaId) -> Result<(), StoreError> {
        self.flush()?;
        self.queues.clear();
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        hand_over(&tx, top, area)?;
        tx.execute("UPDATE entry SET parent = 0, name = ?2 WHERE id = ?1", params![top.0, path])
            .trying("make an entry the root of an area")?;
        tx.commit().trying("hand entries over to an area")
    }

    /// How well the baseline is kept, over the areas that are looked at. Cost: one scan of the baseline.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn coverage(&self) -> Result<Coverage, StoreError> {
        self.db
            .query_row(
                "SELECT count(*), min(checked), sum(hash_state = 3), sum(hash_state = 4), sum(hash_state = 5), sum(hash_state = 2)
                 FROM entry WHERE area IN (SELECT id FROM area WHERE state IN (1, 2))",
                [],
                |row| {
                    let count = |column| row.get::<_, Option<i64>>(column).map(|n| n.unwrap_or(0).cast_unsigned());
                    Ok(Coverage {
                        entries: count(0)?,
                        oldest: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_nanos),
                        busy: count(2)?,
                        too_big: count(3)?,
                        unreadable: count(4)?,
                        unread: count(5)?,
                    })
                },
            )
            .trying("count the entries")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_support::{now, scratch};

    #[test]
    fn looks_that_cannot_be_written_are_kept_up_to_a_bound_and_counted_all_the_same() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let touch = |store: &mut Store, many: usize| {
            for id in 0..i64::try_from(many).unwrap() {
                store.touch(EntryId(id), 1, now().wall);
                store.count_look(1);
            }
        };
        touch(&mut store, MOST_PENDING);
        store.shed_looks();
        assert_eq!(store.collected(), MOST_PENDING);
        touch(&mut store, MOST_PENDING + 1);
        store.shed_looks();
        assert_eq!(store.collected(), 0);
        assert_eq!(store.counters().unwrap().looks, u64::try_from(2 * MOST_PENDING + 1).unwrap());
    }
}
