//! Who has waited longest: a short queue for each set of areas that is asked for, so that the index is not searched for every look.

use std::collections::VecDeque;

use rusqlite::params;

use crate::{
    model::file::entry::{AreaId, Entry, EntryId},
    store::sqlite::{
        connection::{StaleQueue, Store},
        error::{StoreError, Trying},
    },
};

/// How many of the stalest entries are fetched at once.
const QUEUE: usize = 256;

/// Most sets of areas for which a queue is kept: all areas, and each with a promised age.
const MOST_QUEUES: usize = 64;

impl Store {
    /// The entry of `areas` that has waited longest, whenever it was looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub fn stalest(&mut self, areas: &[AreaId]) -> Result<Option<Entry>, StoreError> {
        let known = self.queues.iter().position(|queue| queue.areas == areas);
        let mut queue = match known {
            Some(at) => self.queues.swap_remove(at),
            None => StaleQueue { waiting: VecDeque::new(), areas: areas.to_vec() },
        };
        let found = self.first_of(&mut queue);
        if self.queues.len() >= MOST_QUEUES {
            self.queues.clear();
        }
        self.queues.push(queue);
        found
    }

    fn first_of(&mut self, queue: &mut StaleQueue) -> Result<Option<Entry>, StoreError> {
        for _attempt in 0..2 {
            while let Some((id, visit)) = queue.waiting.front().copied() {
                match self.entry(id)? {
                    Some(found) if found.visit == visit => return Ok(Some(found)),
                    _ => queue.waiting.pop_front(),
                };
            }
            self.refill(queue)?;
        }
        Ok(None)
    }

    fn refill(&mut self, queue: &mut StaleQueue) -> Result<(), StoreError> {
        self.flush()?;
        let mut found: Vec<(EntryId, i64)> = Vec::new();
        let mut statement = self
            .db
            .prepare_cached("SELECT id, visit FROM entry WHERE area = ?1 ORDER BY visit LIMIT ?2")
            .trying("prepare to find the stalest entries")?;
        for area in &queue.areas {
            let limit = i64::try_from(QUEUE).unwrap_or(i64::MAX);
            let rows = statement
                .query_map(params![area.0, limit], |row| Ok((EntryId(row.get(0)?), row.get(1)?)))
                .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
                .trying("find the stalest entries")?;
            found.extend(rows);
        }
        found.sort_unstable_by_key(|(_, visit)| *visit);
        found.truncate(QUEUE);
        queue.waiting = found.into();
        Ok(())
    }
}
