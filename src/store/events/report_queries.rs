//! Stretches of the chain as reports read them: by class, so that much of one never keeps out another, and row by row where
//! the rows may be large.

use std::ops::ControlFlow;

use rusqlite::params;

use crate::{
    model::event::{Category, StoredEvent},
    store::{
        events::{
            append::{COLUMNS, IN_RANGE, Range, RawEvent},
            history::HistoryOrder,
        },
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Bytes that an event takes in memory beside its own texts, about.
const EVENT: usize = 1024;

/// How much is read of events.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// So many events.
    pub events: usize,
    /// So many bytes in memory, about.
    pub bytes: usize,
}

impl Most {
    /// Whatever there is.
    pub const ALL: Self = Self { events: usize::MAX, bytes: usize::MAX };
}

impl Store {
    /// The events of these classes in a range, severest first, then by number: as many as `most` allows. One that alone is larger than
    /// what is left of the bytes is passed over.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn events_in(
        &self,
        range: &Range,
        categories: &[Category],
        most: Most,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let statement = format!(
            // Numbers alone are sorted: rows may be large, and how many are wanted shows only when their sizes are known.
            "SELECT seq, length(canonical) FROM event WHERE {IN_RANGE} AND category IN (SELECT value FROM json_each(?5))
             ORDER BY severity DESC, seq LIMIT ?6"
        );
        let codes: Vec<String> = categories.iter().map(|category| category.code().to_string()).collect();
        let numbers = self
            .db
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                statement
                    .query_map(
                        params![
                            range.channel.name(),
                            range.first.cast_signed(),
                            range.last.cast_signed(),
                            range.areas_json(),
                            format!("[{}]", codes.join(",")),
                            i64::try_from(most.events).unwrap_or(i64::MAX)
                        ],
                        |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?)),
                    )?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read events")?;
        let (mut events, mut left) = (Vec::new(), most.bytes);
        for (seq, length) in numbers {
            let cost = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(EVENT);
            let Some(rest) = left.checked_sub(cost) else { continue };
            left = rest;
            events.extend(self.event(seq)?);
        }
        Ok(events)
    }

    /// Shows the events of one class, or of all (`None`), in a range to `see`, one at a time, until it breaks. Memory: one event.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn each_in(
        &self,
        range: &Range,
        category: impl Into<Option<Category>>,
        order: HistoryOrder,
        mut see: impl FnMut(&StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let direction = match order {
            HistoryOrder::OldestFirst => "ASC",
            HistoryOrder::NewestFirst => "DESC",
        };
        // No LIMIT: how many rows are wanted depends on what is in them, so `see` says when it is enough.
        let text = format!(
            "SELECT {COLUMNS} FROM event WHERE {IN_RANGE} AND (?5 IS NULL OR category = ?5) ORDER BY seq {direction}"
        );
        let mut statement = self.db.prepare_cached(&text).trying("prepare to read events")?;
        let mut rows = statement
            .query(params![
                range.channel.name(),
                range.first.cast_signed(),
                range.last.cast_signed(),
                range.areas_json(),
                category.into().map(Category::code)
            ])
            .trying("read events")?;
        while let Some(row) = rows.next().trying("read events")? {
            let stored = RawEvent::read(row).trying("read an event")?.decode()?;
            if see(&stored).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// How many different sources the events of one class in a range have. Cost: reads the range, but no event.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn sources_in(&self, range: &Range, category: Category) -> Result<u64, StoreError> {
        self.db
            .prepare_cached(&format!("SELECT count(DISTINCT source) FROM event WHERE {IN_RANGE} AND category = ?5"))
            .and_then(|mut statement| {
                statement.query_row(
                    params![
                        range.channel.name(),
                        range.first.cast_signed(),
                        range.last.cast_signed(),
                        range.areas_json(),
                        category.code()
                    ],
                    |row| row.get::<_, i64>(0),
                )
            })
            .trying("count sources")
            .map(i64::cast_unsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::event::{Channel, Event, Severity},
        store::{
            events::outcome::Outcome,
            test_support::{now, scratch},
        },
    };

    #[test]
    fn what_is_held_of_events_is_bounded_in_bytes_and_the_severest_come_first() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        for number in 0..40_usize {
            let severity = if number == 30 { Severity::High } else { Severity::Normal };
            // One in ten is larger than all that may be held.
            let length = if number % 10 == 5 { 100_000 } else { 4_000 };
            let event = Event::new(Category::Added, severity, now(), vec![b'x'; length]);
            store.commit(&Outcome::tell(event)).unwrap();
        }
        let range = Range { channel: Channel::Files, first: 1, last: 100, areas: None };
        let read = |most| -> Vec<u64> {
            store.events_in(&range, &[Category::Added], most).unwrap().iter().map(|stored| stored.seq).collect()
        };
        assert_eq!(read(Most { events: 100, bytes: 4 * (4_000 + EVENT + 200) }), [31, 1, 2, 3]);
        assert_eq!(read(Most { events: 2, bytes: usize::MAX }), [31, 1]);
        assert_eq!(read(Most::ALL).len(), 40);
    }
}
