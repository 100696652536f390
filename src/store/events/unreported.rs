//! Lines of logs that nobody has got yet: in no report, or in one that waits to be accepted.

use rusqlite::params;

use crate::{
    model::event::{Category, Channel, StoredEvent},
    store::{
        events::append::RawEvent,
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Most lines that are given for one log.
const MOST: u32 = 1_000_000;

impl Store {
    /// The lines of the log `source` that are told to nobody yet, in their order, at most 1,000,000. Cost: a scan of the events that wait
    /// and of those in reports that do.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn unreported_lines(&self, source: &[u8]) -> Result<Vec<StoredEvent>, StoreError> {
        let lines =
            Category::ALL.iter().filter(|category| category.is_line()).map(|category| category.code().to_string());
        let lines = lines.collect::<Vec<_>>().join(", ");
        let batched = self.batched_up_to(Channel::Logs)?;
        let mut statement = self
            .db
            .prepare(&format!(
                "SELECT seq, canonical, prev_hash, hash FROM event
                 WHERE channel = ?1 AND source = ?2 AND category IN ({lines})
                     AND (seq > ?3 OR EXISTS (SELECT 1 FROM report JOIN delivery ON delivery.report = report.id
                          WHERE delivery.state IN (1, 3) AND report.channel = ?1 AND event.seq BETWEEN first_seq AND last_seq))
                 ORDER BY seq LIMIT ?4"
            ))
            .trying("prepare to find lines that were not reported")?;
        statement
            .query_map(params![Channel::Logs.name(), source, batched.cast_signed(), MOST], RawEvent::read)
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .trying("find lines that were not reported")?
            .into_iter()
            .map(RawEvent::decode)
            .collect()
    }
}
