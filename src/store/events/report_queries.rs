//! Stretches of the chain as reports read them: by class, so that much of one never keeps out another, and row by row where
//! the rows may be large.

use std::ops::ControlFlow;

use rusqlite::params;

use crate::{
    model::{
        event::{Category, Severity, StoredEvent},
        originator::OriginatorKey,
    },
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

/// Findings of high severity that one owner has listed of one directory.
const MOST_HIGH: u32 = 20;

/// How much is read of events.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// So many events.
    pub events: usize,
    /// So many bytes in memory, about.
    pub bytes: usize,
}

/// How many events one originator has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginatorCount {
    /// The area; empty where there is none.
    pub area: Vec<u8>,
    /// The originator.
    pub key: OriginatorKey,
    /// How many.
    pub events: u64,
    /// The number of the first of them.
    pub first: u64,
}

impl Most {
    /// Whatever there is.
    pub const ALL: Self = Self { events: usize::MAX, bytes: usize::MAX };
}

impl Store {
    /// The events of these classes in a range, but those that are only counted, that have a claim to a place in a mail, the best claim first: as many as `most` allows. The
    /// severest come first; equally severe ones in turns over areas and within one over root and all others, within these over originators, and within one of these over its
    /// parts (directories, programs), each the oldest first. So no amount of one keeps out another. Of findings of high severity each
    /// owner has 20 in a directory: root's beyond them come behind everything else that is listed, those of others have no place.
    /// One that alone is larger than what is left of the bytes is passed over.
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
            "WITH own AS (
                 SELECT seq, length(canonical) AS bytes, severity, area, originator,
                     severity >= {HIGH} AND kind = 'file' AS is_bounded,
                     row_number() OVER (PARTITION BY severity, area, originator, part ORDER BY seq) AS turn
                 FROM event WHERE {IN_RANGE} AND category IN (SELECT value FROM json_each(?5)) AND severity > {COUNT}),
             dealt AS (
                 SELECT seq, bytes, area, coalesce(originator, 0) = 0 AS is_of_root,
                     iif(is_bounded AND turn > {MOST_HIGH}, 0, severity) AS weight,
                     row_number() OVER (PARTITION BY severity, area, originator ORDER BY turn, seq) AS turn
                 FROM own WHERE turn <= ?6 AND (NOT is_bounded OR turn <= {MOST_HIGH} OR coalesce(originator, 0) = 0))
             SELECT seq, bytes FROM dealt WHERE turn <= ?6
             ORDER BY weight DESC, row_number() OVER (PARTITION BY weight, area, is_of_root ORDER BY turn, seq), seq LIMIT ?6",
            COUNT = Severity::Count.number(),
            HIGH = Severity::High.number(),
        );
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
                            codes(categories),
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

    /// The numbers of the events of one class in a range that have a claim to a place in a mail, the best claim first: in turns over their
    /// sources, within one over their parts (programs), of each the first, the last, the second, the last but one and so on, at most `most` from either end.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn lines_in_turns(
        &self,
        range: &Range,
        category: Category,
        most: usize,
        mut see: impl FnMut(&StoredEvent) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let statement = format!(
            "WITH own AS (
                 SELECT seq, source, row_number() OVER (PARTITION BY source, part ORDER BY seq) AS place,
                     count(*) OVER (PARTITION BY source, part) AS places
                 FROM event WHERE {IN_RANGE} AND category = ?5),
             dealt AS (
                 SELECT seq, row_number() OVER (
                     PARTITION BY source ORDER BY min(2 * place, 2 * (places - place) + 3), seq) AS turn
                 FROM own WHERE place <= ?6 OR places - place < ?6)
             SELECT seq FROM dealt ORDER BY turn, seq"
        );
        let mut statement = self.db.prepare_cached(&statement).trying("prepare to read lines")?;
        let mut rows = statement
            .query(params![
                range.channel.name(),
                range.first.cast_signed(),
                range.last.cast_signed(),
                range.areas_json(),
                category.code(),
                i64::try_from(most).unwrap_or(i64::MAX)
            ])
            .trying("read lines")?;
        while let Some(row) = rows.next().trying("read lines")? {
            let seq = row.get::<_, i64>(0).trying("read lines")?.cast_unsigned();
            if self.event(seq)?.is_some_and(|stored| see(&stored).is_break()) {
                break;
            }
        }
        Ok(())
    }

    /// Who has made how many of the events of these classes that are more than counted, those of most events first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn originators_in(
        &self,
        range: &Range,
        categories: &[Category],
        limit: u32,
    ) -> Result<Vec<OriginatorCount>, StoreError> {
        let statement = format!(
            "SELECT area, originator, part, count(*), min(seq) FROM event
             WHERE {IN_RANGE} AND category IN (SELECT value FROM json_each(?5)) AND severity > ?6 AND originator IS NOT NULL
             GROUP BY area, originator, part ORDER BY 4 DESC, 5 LIMIT ?7"
        );
        self.db
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                let counts = statement.query_map(
                    params![
                        range.channel.name(),
                        range.first.cast_signed(),
                        range.last.cast_signed(),
                        range.areas_json(),
                        codes(categories),
                        Severity::Count.number(),
                        limit
                    ],
                    |row| {
                        Ok(OriginatorCount {
                            area: row.get(0)?,
                            key: OriginatorKey { originator: row.get(1)?, part: row.get(2)? },
                            events: row.get::<_, i64>(3)?.cast_unsigned(),
                            first: row.get::<_, i64>(4)?.cast_unsigned(),
                        })
                    },
                )?;
                counts.collect()
            })
            .trying("count the events of each originator")
    }
}

/// The codes of these classes as a JSON array, which `SQLite`'s `json_each` unfolds.
fn codes(categories: &[Category]) -> String {
    let codes: Vec<String> = categories.iter().map(|category| category.code().to_string()).collect();
    format!("[{}]", codes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            event::{Channel, Event},
            file::entry::{Attributes, Digests, HashState, Observation},
            originator::owner,
        },
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

    /// A finding about a file of this user.
    fn found(uid: u32, severity: Severity, path: &str) -> Event {
        let mut event = Event::new(Category::Added, severity, now(), path.as_bytes().to_vec());
        event.area = b"/srv".to_vec();
        let mut seen = Attributes::sample(now().wall);
        seen.uid = uid;
        event.new = Some(Observation { attributes: seen, hash_state: HashState::Off, digests: Digests::default() });
        event
    }

    fn store_of(events: impl IntoIterator<Item = Event>) -> (tempfile::TempDir, Store) {
        let (directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        for event in events {
            store.commit(&Outcome::tell(event)).unwrap();
        }
        (directory, store)
    }

    fn whole(channel: Channel) -> Range {
        Range { channel, first: 1, last: 100_000, areas: None }
    }

    #[test]
    fn places_are_dealt_in_turns_over_owners_and_directories() {
        let flood = (0..300).map(|number| found(1000, Severity::Normal, &format!("/srv/a/{number}")));
        let other = (0..3).map(|number| found(1000, Severity::Normal, &format!("/srv/b/{number}")));
        let root = (0..3).map(|number| found(0, Severity::Normal, &format!("/srv/c/{number}")));
        let (_directory, store) = store_of(flood.chain(other).chain(root));
        let chosen = store.events_in(&whole(Channel::Files), &[Category::Added], Most { events: 8, bytes: usize::MAX });
        let paths: Vec<String> =
            chosen.unwrap().iter().map(|stored| String::from_utf8(stored.event.source.clone()).unwrap()).collect();
        let wanted = ["/srv/a/0", "/srv/c/0", "/srv/b/0", "/srv/c/1", "/srv/a/1", "/srv/c/2", "/srv/b/1", "/srv/a/2"];
        assert_eq!(paths, wanted);
        let counts = store.originators_in(&whole(Channel::Files), &[Category::Added], 2).unwrap();
        let counts: Vec<_> = counts.iter().map(|count| (count.key.originator, count.events, count.first)).collect();
        assert_eq!(counts, [(1000, 300, 1), (1000, 3, 301)]);
    }

    #[test]
    fn of_findings_of_high_severity_an_owner_has_twenty_in_a_directory() {
        let flood = (0..50).map(|number| found(1000, Severity::High, &format!("/srv/home/{number}")));
        let root = (0..30).map(|number| found(0, Severity::High, &format!("/srv/bin/{number}")));
        let normal = (0..5).map(|number| found(1001, Severity::Normal, &format!("/srv/home/n{number}")));
        let (_directory, store) = store_of(flood.chain(root).chain(normal));
        let chosen = store.events_in(&whole(Channel::Files), &[Category::Added], Most::ALL).unwrap();
        let by = |uid: u32| chosen.iter().filter(|stored| owner(&stored.event) == Some(uid)).count();
        assert_eq!((by(1000), by(0), by(1001)), (20, 30, 5));
        // Root's others have what is left.
        assert!(chosen.iter().skip(45).all(|stored| owner(&stored.event) == Some(0)), "{chosen:?}");
    }

    fn line(log: &str, text: &str) -> Event {
        let event = Event::new(Category::SystemEvent, Severity::Normal, now(), log.as_bytes().to_vec());
        event.with_note(format!("Nov 21 14:02:11 web3 {text}"))
    }

    #[test]
    fn lines_are_dealt_in_turns_over_logs_and_programs() {
        let flood =
            |from: u32| (from..from + 300).map(|number| line("/log/a", &format!("user[{number}]: chatter {number}")));
        let one = line("/log/a", "sshd[99]: Accepted password for root");
        let other = line("/log/b", "cron[1]: x");
        let (_directory, store) = store_of(flood(1000).chain([one]).chain(flood(2000)).chain([other]));
        let mut texts = Vec::new();
        let see = |stored: &StoredEvent| {
            texts.push(String::from_utf8(stored.event.note[21..].to_vec()).unwrap());
            if texts.len() == 6 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.lines_in_turns(&whole(Channel::Logs), Category::SystemEvent, 300, see).unwrap();
        let wanted = [
            "user[1000]: chatter 1000",
            "cron[1]: x",
            "sshd[99]: Accepted password for root",
            "user[2299]: chatter 2299",
            "user[1001]: chatter 1001",
            "user[2298]: chatter 2298",
        ];
        assert_eq!(texts, wanted);
    }

    #[test]
    fn users_without_end_keep_out_nothing_of_root() {
        for severity in [Severity::High, Severity::Normal] {
            let flood = (0..200).map(|number| found(100_000 + number, severity, &format!("/srv/home/{number}")));
            let root = (0..5).map(|number| found(0, severity, &format!("/srv/bin/{number}")));
            let (_directory, store) = store_of(flood.chain(root));
            let most = Most { events: 20, bytes: usize::MAX };
            let chosen = store.events_in(&whole(Channel::Files), &[Category::Added], most).unwrap();
            assert_eq!(chosen.iter().filter(|stored| owner(&stored.event) == Some(0)).count(), 5, "{severity:?}");
        }
    }

    #[test]
    fn what_is_only_counted_takes_no_place() {
        let root = (0..30).map(|number| found(0, Severity::High, &format!("/srv/bin/{number}")));
        let counted = (0..100).map(|number| found(1000, Severity::Count, &format!("/srv/home/{number}")));
        let (_directory, store) = store_of(counted.chain(root));
        let most = Most { events: 40, bytes: usize::MAX };
        assert_eq!(store.events_in(&whole(Channel::Files), &[Category::Added], most).unwrap().len(), 30);
    }
}
