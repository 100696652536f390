//! Looking back: stored events block by block, so that no answer needs more memory than a block.

use std::collections::BTreeMap;

use rusqlite::params;

use crate::{
    model::{
        clock::Timestamp,
        event::{Category, Kind, Severity, StoredEvent},
        process::WatchName,
    },
    store::{
        events::append::{COLUMNS, Filter, RawEvent},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// In which order events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryOrder {
    /// By their numbers.
    OldestFirst,
    /// Against them.
    NewestFirst,
}

impl Store {
    /// The latest events that pass `filter`, in the order of their numbers.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn history(&self, filter: &Filter) -> Result<Vec<StoredEvent>, StoreError> {
        let mut found = self.history_block(filter, (1, u64::MAX), HistoryOrder::NewestFirst)?;
        found.reverse();
        Ok(found)
    }

    /// The next events with numbers in `range` (both ends included) that pass `filter`, at most its limit.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn history_block(
        &self,
        filter: &Filter,
        range: (u64, u64),
        order: HistoryOrder,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let direction = match order {
            HistoryOrder::OldestFirst => "ASC",
            HistoryOrder::NewestFirst => "DESC",
        };
        let statement = format!(
            "SELECT {COLUMNS} FROM event WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR wall >= ?3)
             AND (?4 IS NULL OR wall <= ?4) AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR severity >= ?6)
             ORDER BY seq {direction} LIMIT ?7"
        );
        let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        self.db
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                statement
                    .query_map(
                        params![
                            number(range.0),
                            number(range.1),
                            filter.since.map(Timestamp::as_nanos),
                            filter.until.map(Timestamp::as_nanos),
                            filter.kind.map(Kind::word),
                            filter.severity.map(Severity::number),
                            filter.limit
                        ],
                        RawEvent::read,
                    )?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read the history")?
            .into_iter()
            .map(RawEvent::decode)
            .collect()
    }

    /// The paths of the first objects of the event `seq` that are wanted, at most `limit`, as raw bytes.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn members_like(
        &self,
        seq: u64,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.db
            .prepare_cached("SELECT source FROM event_member WHERE seq = ?1 ORDER BY n")
            .and_then(|mut statement| {
                let mut rows = statement.query([seq.cast_signed()])?;
                let mut found = Vec::new();
                while found.len() < limit
                    && let Some(row) = rows.next()?
                {
                    let source = row.get_ref(0)?.as_blob()?;
                    if is_wanted(source) {
                        found.push(source.to_vec());
                    }
                }
                Ok(found)
            })
            .trying("search the objects of an event")
    }

    /// How many single objects are stored for the event `seq`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn count_members(&self, seq: u64) -> Result<u64, StoreError> {
        self.db
            .prepare_cached("SELECT count(*) FROM event_member WHERE seq = ?1")
            .and_then(|mut statement| statement.query_row([seq.cast_signed()], |row| row.get::<_, i64>(0)))
            .trying("count the objects of an event")
            .map(i64::cast_unsigned)
    }
}

impl Store {
    /// How often each watched process was restarted since then. Cost: a look at each event since.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn restarts_since(&self, since: Timestamp) -> Result<BTreeMap<WatchName, u64>, StoreError> {
        let found = self
            .db
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM event WHERE wall >= ?1 AND category IN (?2, ?3) ORDER BY seq DESC LIMIT ?4"
            ))
            .and_then(|mut statement| {
                let codes = [Category::ProcessRestarted, Category::ProcessReplaced].map(Category::code);
                statement
                    .query_map(params![since.as_nanos(), codes[0], codes[1], MOST_EVENTS], RawEvent::read)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("count the restarts of processes")?;
        let mut counts = BTreeMap::new();
        for raw in found {
            let event = raw.decode()?.event;
            let container = event.process.map(|news| news.container).unwrap_or_default();
            let count: &mut u64 = counts.entry(WatchName { source: event.source, container }).or_default();
            *count = count.saturating_add(event.count);
        }
        Ok(counts)
    }
}

/// Most events that are read to count restarts.
pub(in crate::store) const MOST_EVENTS: u32 = 100_000;
