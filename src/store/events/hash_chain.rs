//! The chain itself: proof that no event was changed, removed or exchanged since it was stored.
//!
//! Where old events were pruned it begins at the checkpoint, the hash of the newest of them. Anybody could cut off the begin of a chain
//! and write a checkpoint, so an event that stands in what is left has announced up to which number and hash it is pruned.

use rusqlite::{OptionalExtension, params};

use crate::{
    model::{
        canonical::{chain_hash, decode, members_digest},
        escape::hex,
        event::{Category, Event},
        originator::Originator,
    },
    store::{
        events::append::{COLUMNS, Head, RawEvent},
        sqlite::{
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// How the note of an event about pruning ends: the newest event that goes.
pub(super) fn announce(head: &Head) -> String {
    format!("up to event {} with hash {}", head.seq, hex(&head.hash))
}

/// The newest event that goes, by such a note.
fn announcement(note: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(note).ok()?;
    let (_, end) = text.rsplit_once("up to event ")?;
    let (seq, digits) = end.split_once(" with hash ")?;
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    let head = Head { seq: seq.parse().ok()?, hash };
    (announce(&head).as_str() == text.get(text.len().checked_sub(announce(&head).len())?..)?).then_some(head)
}

impl Store {
    /// Walks the whole chain and gives its head. Cost: reads and hashes every event.
    ///
    /// # Errors
    /// [`StoreError::Chain`] names the first event that was changed, removed or exchanged.
    pub fn verify(&self) -> Result<Head, StoreError> {
        // One snapshot, whatever a running daemon adds meanwhile.
        let tx = self.db.unchecked_transaction().trying("begin to read the chain")?;
        let end = self.head()?;
        let begin = self.checkpoint()?;
        let announced = self.announced()?;
        let mut at = begin.unwrap_or(Head { seq: 0, hash: [0; 32] });
        if begin.is_some_and(|begin| announced.is_none_or(|announced| begin.seq > announced.seq)) {
            return Err(StoreError::Chain { seq: at.seq, why: "the events up to it are missing" });
        }
        let mut statement =
            tx.prepare(&format!("SELECT {COLUMNS} FROM event ORDER BY seq")).trying("prepare to read the chain")?;
        let mut rows = statement.query_map([], RawEvent::read).trying("read the chain")?;
        let differs = |at: &Head| announced.is_some_and(|announced| announced.seq == at.seq && announced != *at);
        let broken = |seq, why| Err(StoreError::Chain { seq, why });
        while let Some(raw) = rows.next().transpose().trying("read the chain")? {
            if differs(&at) {
                return broken(at.seq, "it is not what was pruned");
            }
            let before = at;
            at = Head { seq: before.seq + 1, hash: raw.hash };
            if raw.seq != at.seq {
                return broken(at.seq, "an event is missing");
            }
            self.verify_event(&raw, &at, &before)?;
        }
        if differs(&at) {
            return broken(at.seq, "it is not what was pruned");
        }
        if at != end {
            return broken(at.seq + 1, "the last events are missing");
        }
        Ok(end)
    }

    /// Up to which event the newest event about pruning has announced that the chain is pruned.
    pub(super) fn announced(&self) -> Result<Option<Head>, StoreError> {
        let note = self
            .db
            .prepare_cached("SELECT canonical FROM event WHERE category = ?1 ORDER BY seq DESC LIMIT 1")
            .and_then(|mut statement| {
                statement.query_row([Category::Pruned.code()], |row| row.get::<_, Vec<u8>>(0)).optional()
            })
            .trying("look what was pruned")?;
        // One that cannot be read is told of when its turn comes.
        Ok(note.and_then(|bytes| decode(&bytes).ok()).and_then(|(_, event)| announcement(&event.note)))
    }

    /// Checks one event: its hash, its place, the columns by which it is found, and the objects it stands for.
    fn verify_event(&self, raw: &RawEvent, at: &Head, before: &Head) -> Result<(), StoreError> {
        let broken = |why| Err(StoreError::Chain { seq: at.seq, why });
        if chain_hash(&raw.prev_hash, &raw.canonical) != raw.hash || raw.prev_hash != before.hash {
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

    /// Whether the chain runs on without a gap from event `first` to event `last`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn runs_on(&self, first: u64, last: u64) -> Result<bool, StoreError> {
        let (events, breaks): (i64, i64) = self
            .db
            .prepare_cached(
                "SELECT count(*), coalesce(sum(next.seq > ?1 AND one.hash IS NOT next.prev_hash), 0)
                 FROM event AS next LEFT JOIN event AS one ON one.seq = next.seq - 1 WHERE next.seq BETWEEN ?1 AND ?2",
            )
            .and_then(|mut statement| {
                statement.query_row([first.cast_signed(), last.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .trying("compare the chain with itself")?;
        Ok(breaks == 0 && events.cast_unsigned() == last.saturating_sub(first).saturating_add(1))
    }

    fn has_columns_of(&self, seq: u64, event: &Event) -> Result<bool, StoreError> {
        let kind = event.category.kind();
        let key = Originator::of(event).key();
        self.db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?1 AND channel = ?2 AND kind = ?3 AND category = ?4
                     AND severity = ?5 AND area = ?6 AND source = ?7 AND wall = ?8
                     AND coalesce(originator, ?9) = ?9 AND coalesce(part, ?10) = ?10)",
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
                        event.found.wall.as_nanos(),
                        key.originator,
                        key.part
                    ],
                    |row| row.get(0),
                )
            })
            .trying("compare an event with its columns")
    }
}
