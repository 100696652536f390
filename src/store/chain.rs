//! The chain itself: proof that no event was changed, removed or exchanged since it was stored.

use rusqlite::params;

use super::{
    database::Store,
    error::{StoreError, Trying},
    events::{COLUMNS, Head, RawEvent},
};
use crate::model::{
    canonical::{chain_hash, decode, members_digest},
    event::Event,
};

impl Store {
    /// Walks the whole chain and gives its head. Cost: reads and hashes every event.
    ///
    /// # Errors
    /// [`StoreError::Chain`] names the first event that was changed, removed or exchanged.
    pub fn verify(&self) -> Result<Head, StoreError> {
        // One snapshot, whatever a running daemon adds meanwhile.
        let tx = self.db.unchecked_transaction().trying("begin to read the chain")?;
        let end = self.head()?;
        let mut statement =
            tx.prepare(&format!("SELECT {COLUMNS} FROM event ORDER BY seq")).trying("prepare to read the chain")?;
        let mut rows = statement.query_map([], RawEvent::read).trying("read the chain")?;
        let mut at = Head { seq: 0, hash: [0; 32] };
        while let Some(raw) = rows.next().transpose().trying("read the chain")? {
            let seq = at.seq + 1;
            if raw.seq != seq {
                return Err(StoreError::Chain { seq, why: "an event is missing" });
            }
            at = Head { seq, hash: raw.hash };
            self.verify_event(&raw, &at)?;
        }
        if at != end {
            return Err(StoreError::Chain { seq: at.seq + 1, why: "the last events are missing" });
        }
        Ok(end)
    }

    /// Checks one event: its hash, its place, the columns by which it is found, and the objects it stands for.
    fn verify_event(&self, raw: &RawEvent, at: &Head) -> Result<(), StoreError> {
        let broken = |why| Err(StoreError::Chain { seq: at.seq, why });
        if chain_hash(&raw.prev_hash, &raw.canonical) != raw.hash || raw.prev_hash != self.hash_before(at.seq)? {
            return broken("it was changed");
        }
        let (seq, event) = decode(&raw.canonical).map_err(|source| StoreError::Event { seq: raw.seq, source })?;
        if seq != at.seq {
            return broken("another event stands in its place");
        }
        if !self.has_columns_of(seq, &event)? {
            return broken("the columns by which it is found were changed");
        }
        let members = self.members(seq, u32::MAX)?;
        let digest = (!members.is_empty()).then(|| members_digest(&members));
        if digest != event.members_digest {
            return broken("the objects it stands for were changed");
        }
        Ok(())
    }

    fn hash_before(&self, seq: u64) -> Result<[u8; 32], StoreError> {
        if seq <= 1 {
            return Ok([0; 32]);
        }
        self.db
            .prepare_cached("SELECT hash FROM event WHERE seq = ?1")
            .and_then(|mut statement| {
                statement.query_row([(seq - 1).cast_signed()], |row| super::rows::needed_array(row, 0))
            })
            .trying("read the chain")
    }

    fn has_columns_of(&self, seq: u64, event: &Event) -> Result<bool, StoreError> {
        let kind = event.category.kind();
        self.db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?1 AND channel = ?2 AND kind = ?3 AND category = ?4
                     AND severity = ?5 AND area = ?6 AND source = ?7 AND wall = ?8)",
            )
            .and_then(|mut statement| {
                statement.query_row(
                    params![
                        seq.cast_signed(),
                        event.category.channel().name(),
                        kind.word(),
                        event.category.code(),
                        event.severity.number(),
                        event.area,
                        event.source,
                        event.found.wall.as_nanos()
                    ],
                    |row| row.get(0),
                )
            })
            .trying("compare an event with its columns")
    }
}
