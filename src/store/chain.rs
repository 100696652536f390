//! The chain itself: proof that no event was changed, removed or exchanged since it was stored.

use super::{
    database::Store,
    error::{StoreError, Trying},
    events::{COLUMNS, Head, RawEvent, chained},
};
use crate::model::canonical::decode;

impl Store {
    /// Walks the whole chain and gives its head. Cost: reads and hashes every event.
    ///
    /// # Errors
    /// [`StoreError::Chain`] names the first event that was changed, removed or exchanged.
    pub fn verify(&self) -> Result<Head, StoreError> {
        let end = self.head()?;
        let mut statement = self
            .db
            .prepare(&format!("SELECT {COLUMNS} FROM event ORDER BY seq"))
            .trying("prepare to read the chain")?;
        let mut rows = statement.query_map([], RawEvent::read).trying("read the chain")?;
        let mut at = Head { seq: 0, hash: [0; 32] };
        while let Some(raw) = rows.next().transpose().trying("read the chain")? {
            let broken = |why| Err(StoreError::Chain { seq: at.seq + 1, why });
            if raw.seq != at.seq + 1 {
                return broken("an event is missing");
            }
            if raw.prev_hash != at.hash || chained(&raw.prev_hash, &raw.canonical) != raw.hash {
                return broken("an event was changed");
            }
            if decode(&raw.canonical).map_err(|source| StoreError::Event { seq: raw.seq, source })?.0 != raw.seq {
                return broken("an event stands in another's place");
            }
            at = Head { seq: raw.seq, hash: raw.hash };
        }
        if at != end {
            return Err(StoreError::Chain { seq: at.seq + 1, why: "the last events are missing" });
        }
        Ok(end)
    }
}
