//! Events: appended to a hash chain, never changed, found again by number, time and kind.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    model::{
        canonical::{self, MembersDigest, chain_hash, decode, encode, encode_observation},
        clock::{Moment, Timestamp},
        escape::hex,
        event::{Category, Channel, Kind, Member, Severity, StoredEvent},
        originator::Originator,
    },
    store::{
        baseline::{members::Members, subtree::each_member},
        events::outcome::StoredFinding,
        sqlite::{
            columns::needed_array,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// What waits in a channel to be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEvents {
    /// When the first of it was found.
    pub first: Moment,
    /// The number of the first event.
    pub first_seq: u64,
    /// The number of the last event.
    pub last_seq: u64,
}

impl WaitingEvents {
    /// All of it, or what concerns these areas.
    pub fn range(&self, channel: Channel, areas: Option<Vec<Vec<u8>>>) -> Range {
        Range { channel, first: self.first_seq, last: self.last_seq, areas }
    }
}

/// How many events of one category and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The category.
    pub category: Category,
    /// The severity.
    pub severity: Severity,
    /// How many.
    pub events: u64,
}

/// Which events `history` shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Found at this time or later.
    pub since: Option<Timestamp>,
    /// Found at this time or earlier.
    pub until: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// So severe at least.
    pub severity: Option<Severity>,
    /// At most so many, the latest.
    pub limit: u32,
}

/// A range of event numbers of one channel, both ends included, restricted to areas when some are named.
#[derive(Debug, Clone)]
pub struct Range {
    /// The channel.
    pub channel: Channel,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
    /// Only events of these areas (by path); `None` for all events.
    pub areas: Option<Vec<Vec<u8>>>,
}

/// Where the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last event.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

pub(in crate::store) fn head(db: &Connection) -> Result<Head, StoreError> {
    db.prepare_cached("SELECT seq, head FROM instance")
        .and_then(|mut statement| {
            statement.query_row([], |row| {
                Ok(Head { seq: row.get::<_, i64>(0)?.cast_unsigned(), hash: needed_array(row, 1)? })
            })
        })
        .trying("read the head of the chain")
}

/// Appends events to the chain; the head is read within the transaction, so that two writers never fork it.
pub(in crate::store) fn append(tx: &Connection, events: &[StoredFinding]) -> Result<u64, StoreError> {
    let Head { mut seq, mut hash } = head(tx)?;
    if events.is_empty() {
        return Ok(seq);
    }
    for found in events {
        let mut event = found.event.clone();
        event.members_digest = digest_of(tx, &found.members)?;
        seq += 1;
        let bytes = encode(seq, &event);
        let next = chain_hash(&hash, &bytes);
        let kind = event.category.kind();
        let key = Originator::of(&event).key();
        tx.prepare_cached(
            "INSERT INTO event (seq, format, channel, kind, category, severity, area, source, wall, canonical, prev_hash, hash,
                 originator, part)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                seq.cast_signed(),
                canonical::VERSION,
                event.category.channel().name(),
                kind.word(),
                event.category.code(),
                event.severity.number(),
                event.area,
                event.source,
                event.found.wall.as_nanos(),
                bytes,
                hash,
                next,
                key.originator,
                key.part
            ])
        })
        .trying("write an event")?;
        append_members(tx, seq, &found.members)?;
        hash = next;
    }
    tx.execute("UPDATE instance SET seq = ?1, head = ?2", params![seq.cast_signed(), hash])
        .trying("move the head of the chain")?;
    Ok(seq)
}

fn digest_of(tx: &Connection, members: &Members) -> Result<Option<[u8; 32]>, StoreError> {
    if members.0.is_empty() {
        return Ok(None);
    }
    let mut digest = MembersDigest::default();
    each_member(tx, members, &mut |member| {
        digest.add(member);
        Ok(())
    })?;
    Ok(Some(digest.finish()))
}

fn append_members(tx: &Connection, seq: u64, members: &Members) -> Result<(), StoreError> {
    let mut statement = tx
        .prepare_cached("INSERT INTO event_member (seq, n, source, old) VALUES (?1, ?2, ?3, ?4)")
        .trying("prepare to write the objects of an event")?;
    let mut n: i64 = 0;
    each_member(tx, members, &mut |member| {
        n += 1;
        statement
            .execute(params![seq.cast_signed(), n, member.source, encode_observation(&member.old)])
            .trying("write an object of an event")
            .map(|_rows| ())
    })
}

pub(in crate::store) const COLUMNS: &str = "seq, canonical, prev_hash, hash";

/// A row of `event`, not yet decoded.
pub(in crate::store) struct RawEvent {
    pub(in crate::store) seq: u64,
    pub(in crate::store) canonical: Vec<u8>,
    pub(super) prev_hash: [u8; 32],
    pub(in crate::store) hash: [u8; 32],
}

impl RawEvent {
    pub(in crate::store) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            canonical: row.get(1)?,
            prev_hash: needed_array(row, 2)?,
            hash: needed_array(row, 3)?,
        })
    }

    pub(in crate::store) fn decode(self) -> Result<StoredEvent, StoreError> {
        let (_seq, event) = decode(&self.canonical).map_err(|source| StoreError::Event { seq: self.seq, source })?;
        Ok(StoredEvent { seq: self.seq, event, prev_hash: self.prev_hash, hash: self.hash })
    }
}

impl Range {
    /// The areas as a JSON array of hexadecimal paths, which `SQLite`'s `json_each` unfolds; `null` for all.
    pub(in crate::store) fn areas_json(&self) -> Option<String> {
        self.areas.as_ref().map(|areas| {
            let quoted: Vec<String> =
                areas.iter().map(|path| format!("\"{}\"", hex(path).to_ascii_uppercase())).collect();
            format!("[{}]", quoted.join(","))
        })
    }
}

/// Restricts a statement over `event` to a [`Range`]: ?1 channel, ?2 first, ?3 last, ?4 areas.
pub(in crate::store) const IN_RANGE: &str = "channel = ?1 AND seq BETWEEN ?2 AND ?3 \
     AND (?4 IS NULL OR hex(area) IN (SELECT value FROM json_each(?4)))";

/// Events that are mailed with others only: [`Category::waits_for_company`], and only counted.
pub(in crate::store) const QUIET: &str = "(category IN (1, 3, 40, 44) AND severity = 5)";

impl Store {
    /// Where the chain stands.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn head(&self) -> Result<Head, StoreError> {
        head(&self.db)
    }

    /// What waits in `channel`, or `None` when nothing does that is worth a mail.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn waiting(&self, channel: Channel) -> Result<Option<WaitingEvents>, StoreError> {
        let batched = self.batched_up_to(channel)?;
        let one = |order: &str| -> Result<Option<StoredEvent>, StoreError> {
            self.db
                .prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE channel = ?1 AND seq > ?2 {order} LIMIT 1"))
                .and_then(|mut statement| {
                    statement
                        .query_map(params![channel.name(), batched.cast_signed()], RawEvent::read)?
                        .next()
                        .transpose()
                })
                .trying("find what waits to be reported")?
                .map(RawEvent::decode)
                .transpose()
        };
        let Some(first) = one(&format!("AND NOT {QUIET} ORDER BY seq"))? else {
            return Ok(None);
        };
        let quiet = one("ORDER BY seq")?;
        let Some(last) = one("ORDER BY seq DESC")? else {
            return Ok(None);
        };
        Ok(Some(WaitingEvents {
            first: self.in_this_boot(first.event.found)?,
            first_seq: quiet.map_or(first.seq, |quiet| quiet.seq),
            last_seq: last.seq,
        }))
    }

    /// How many events of each category and severity a range holds.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn count_in(&self, range: &Range) -> Result<Vec<Count>, StoreError> {
        let statement =
            format!("SELECT category, severity, count(*) FROM event WHERE {IN_RANGE} GROUP BY category, severity");
        self.db
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                statement
                    .query_map(
                        params![
                            range.channel.name(),
                            range.first.cast_signed(),
                            range.last.cast_signed(),
                            range.areas_json()
                        ],
                        |row| Ok((row.get::<_, u16>(0)?, row.get::<_, u8>(1)?, row.get::<_, i64>(2)?)),
                    )?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("count events")?
            .into_iter()
            .map(|(category, severity, events)| {
                Ok(Count {
                    category: Category::from_code(category).ok_or(StoreError::Row { what: "event" })?,
                    severity: Severity::from_number(severity).ok_or(StoreError::Row { what: "event" })?,
                    events: events.cast_unsigned(),
                })
            })
            .collect()
    }

    /// The event with this number.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or the event not be decoded.
    pub fn event(&self, seq: u64) -> Result<Option<StoredEvent>, StoreError> {
        self.db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE seq = ?1"))
            .and_then(|mut statement| statement.query_row([seq.cast_signed()], RawEvent::read).optional())
            .trying("read an event")?
            .map(RawEvent::decode)
            .transpose()
    }

    /// The newest event of this category about `source`. Cost: a scan of the events since.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or the event not be decoded.
    pub fn last_event(&self, category: Category, source: &[u8]) -> Result<Option<StoredEvent>, StoreError> {
        self.db
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM event WHERE category = ?1 AND source = ?2 ORDER BY seq DESC LIMIT 1"
            ))
            .and_then(|mut statement| statement.query_row(params![category.code(), source], RawEvent::read).optional())
            .trying("read the newest event about something")?
            .map(RawEvent::decode)
            .transpose()
    }

    /// Whether an event of this category about `source` was ever stored whose note begins with `words`. Cost: a scan of all events.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or an event not be decoded.
    pub fn has_noted(&self, category: Category, source: &[u8], words: &str) -> Result<bool, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE category = ?1 AND source = ?2"))
            .trying("prepare to look for a note")?;
        let found = statement.query_map(params![category.code(), source], RawEvent::read).trying("look for a note")?;
        for raw in found {
            if raw.trying("look for a note")?.decode()?.event.note.starts_with(words.as_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which of these classes was told last about `source`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn told_last(&self, categories: [Category; 2], source: &[u8]) -> Result<Option<Category>, StoreError> {
        let [one, other] = categories.map(Category::code);
        self.db
            .query_row(
                "SELECT category FROM event WHERE category IN (?1, ?2) AND source = ?3 ORDER BY seq DESC LIMIT 1",
                params![one, other, source],
                |row| row.get::<_, u16>(0),
            )
            .optional()
            .trying("look what was told last")
            .map(|code| code.and_then(Category::from_code))
    }

    /// The single objects the event `seq` stands for, with their paths, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or a row not be decoded.
    pub fn members(&self, seq: u64, limit: u32) -> Result<Vec<Member>, StoreError> {
        self.db
            .prepare_cached("SELECT source, old FROM event_member WHERE seq = ?1 ORDER BY n LIMIT ?2")
            .and_then(|mut statement| {
                statement
                    .query_map(params![seq.cast_signed(), limit], |row| {
                        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .trying("read the objects of an event")?
            .into_iter()
            .map(|(source, old)| {
                let old = canonical::decode_observation(&old).map_err(|source| StoreError::Event { seq, source })?;
                Ok(Member { source, old })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quiet_classes_are_those_of_the_model() {
        let quiet = |category: &&Category| category.waits_for_company();
        let codes: Vec<String> =
            Category::ALL.iter().filter(quiet).map(|category| category.code().to_string()).collect();
        let number = Severity::Count.number();
        assert_eq!(QUIET, format!("(category IN ({}) AND severity = {number})", codes.join(", ")));
    }
}
