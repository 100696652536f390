//! Stretches of the chain as reports read them: by class, so that much of one never keeps out another, and row by row where
//! the rows may be large.

use std::ops::ControlFlow;

use rusqlite::params;

use crate::model::event::{Category, StoredEvent};

use super::{
    database::Store,
    error::{StoreError, Trying},
    events::{COLUMNS, IN_RANGE, Range, RawEvent},
    history::Order,
};

impl Store {
    /// The events of these classes in a range, severest first, then by number, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn events_in(
        &self,
        range: &Range,
        categories: &[Category],
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM event WHERE {IN_RANGE} AND category IN (SELECT value FROM json_each(?5))
             ORDER BY severity DESC, seq LIMIT ?6"
        );
        let codes: Vec<String> = categories.iter().map(|category| category.code().to_string()).collect();
        self.db
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
                            i64::try_from(limit).unwrap_or(i64::MAX)
                        ],
                        RawEvent::read,
                    )?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read events")?
            .into_iter()
            .map(RawEvent::decode)
            .collect()
    }

    /// Shows the events of one class, or of all (`None`), in a range to `see`, one at a time, until it breaks. Memory: one event.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn each_in(
        &self,
        range: &Range,
        category: impl Into<Option<Category>>,
        order: Order,
        mut see: impl FnMut(&StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let direction = match order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
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
