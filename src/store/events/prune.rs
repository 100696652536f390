//! What is old goes: events that everybody has got, with their reports, from the begin of the chain on.
//!
//! First an event announces what goes, up to which number and hash; then it goes in small transactions, each of which moves the
//! checkpoint. So a crash in between leaves a chain that is whole, and the next run goes on with what was announced.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{
    model::{
        clock::{Moment, Timestamp},
        event::{Category, Channel, Event, Severity},
    },
    store::{
        events::{append::Head, hash_chain::announce, outcome::Outcome},
        sqlite::{
            columns::needed_array,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Events that go in one transaction.
const STEP: u64 = 500;

/// Reports that go in one transaction; each may be large.
const REPORTS_STEP: u32 = 50;

/// No event is announced for less, unless what goes is older by this than it has to be.
const WORTHWHILE: u64 = 1000;
const OVERDUE: Duration = Duration::from_hours(24);

/// Most events one announcement is about.
const MOST: u64 = 100_000;

/// What `maxdatabase` never takes, however large the rest is.
const LEAST_KEPT: Duration = Duration::from_hours(24);

/// Which events may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// How long events are kept.
    pub retention: Duration,
    /// The most bytes that events and reports may use; `None` for any number.
    pub most: Option<u64>,
}

/// What one step of pruning has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneStep {
    /// Nothing is old enough.
    Nothing,
    /// Something went, and there may be more.
    More,
    /// The database is larger than it may be, and nothing more may go.
    TooLarge(u64),
}

impl Keeping {
    /// How long after a mail its events are there at least.
    pub fn least(&self) -> Duration {
        if self.most.is_some() { LEAST_KEPT.min(self.retention) } else { self.retention }
    }
}

impl Store {
    /// Prunes a little: announces what goes, or takes out some of what was announced. To be called until it gives something else than
    /// [`PruneStep::More`]. Nothing goes while the wall clock is in doubt. Unreported and undelivered events stay whatever their age. Cost: at most 500 events and 50 reports.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    pub fn prune(&mut self, keeping: &Keeping, now: Moment) -> Result<PruneStep, StoreError> {
        if self.is_clock_in_doubt(now)? {
            return Ok(PruneStep::Nothing);
        }
        let begin = self.checkpoint()?.map_or(0, |checkpoint| checkpoint.seq);
        if let Some(announced) = self.announced()?.filter(|announced| announced.seq > begin) {
            self.take_out(begin.saturating_add(STEP).min(announced.seq))?;
            return Ok(PruneStep::More);
        }
        if self.take_out_reports(begin)? > 0 {
            return Ok(PruneStep::More);
        }
        let used = keeping.most.map_or(Ok(0), |most| self.event_bytes(most))?;
        let is_too_large = keeping.most.is_some_and(|most| used > most / 10 * 9);
        let age = if is_too_large { keeping.least() } else { keeping.retention };
        let cutoff = now.wall.before(age);
        let most = if is_too_large { STEP * 2 } else { MOST };
        let Some((last, oldest)) = self.prunable(begin, (cutoff, now.wall), most)? else {
            return Ok(if is_too_large && keeping.most.is_some_and(|most| used > most) {
                PruneStep::TooLarge(used)
            } else {
                PruneStep::Nothing
            });
        };
        let is_overdue = cutoff.since(oldest) >= OVERDUE;
        if !is_too_large && last.seq - begin < WORTHWHILE && !is_overdue {
            return Ok(PruneStep::Nothing);
        }
        self.announce_pruning(begin, &last, now)?;
        Ok(PruneStep::More)
    }

    /// The bytes that events and reports use, the baseline aside; those of the whole database while these are no more than nine tenths of
    /// `most`. Measured again when that differs by a twentieth of `most` from the last time: to measure reads
    /// every page of them.
    fn event_bytes(&mut self, most: u64) -> Result<u64, StoreError> {
        let used = self.used_bytes()?;
        if used <= most / 10 * 9 {
            return Ok(used);
        }
        if let Some((then, events)) = self.measured.filter(|(then, _)| used.abs_diff(*then) <= most / 20) {
            return Ok(events.saturating_add(used).saturating_sub(then));
        }
        let events = self
            .db
            .query_row(
                "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN (
                     SELECT name FROM sqlite_schema WHERE tbl_name IN ('event', 'event_member', 'report', 'report_event', 'delivery'))",
                [],
                |row| row.get::<_, i64>(0),
            )
            .trying("measure the events")?
            .cast_unsigned();
        self.measured = Some((used, events));
        Ok(events)
    }

    /// The bytes of the database that are in use; free pages are used again before the file grows.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn used_bytes(&self) -> Result<u64, StoreError> {
        let number = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = |name| number(name).trying("measure the database").map(i64::cast_unsigned);
        let used = pages("page_count")?.saturating_sub(pages("freelist_count")?);
        Ok(used.saturating_mul(pages("page_size")?))
    }

    /// The last of the events behind `begin` that may all go, at most `most`, and when the oldest was found. One that was found after
    /// `now`, by a clock that was wrong, goes with those behind it.
    fn prunable(
        &self,
        begin: u64,
        (cutoff, now): (Timestamp, Timestamp),
        most: u64,
    ) -> Result<Option<(Head, Timestamp)>, StoreError> {
        let end = self.first_kept()?.min(self.first_mailed_since(cutoff, now)?);
        let mut statement = self
            .db
            .prepare_cached("SELECT seq, hash, wall FROM event WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3")
            .trying("prepare to look what is old")?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = statement
            .query(params![begin.cast_signed(), i64::try_from(end).unwrap_or(i64::MAX), limit])
            .trying("look what is old")?;
        let mut found = None;
        while let Some(row) = rows.next().trying("look what is old")? {
            let read = || -> rusqlite::Result<(Head, Timestamp)> {
                let head = Head { seq: row.get::<_, i64>(0)?.cast_unsigned(), hash: needed_array(row, 1)? };
                Ok((head, Timestamp::from_nanos(row.get(2)?)))
            };
            let (head, at) = read().trying("look what is old")?;
            if at > now {
                continue;
            }
            if at >= cutoff {
                break;
            }
            found = Some((head, found.map_or(at, |(_, oldest): (Head, Timestamp)| oldest.min(at))));
        }
        Ok(found)
    }

    /// The first event that must stay: it is in no report yet, or its report is still to be delivered, or it is the newest.
    fn first_kept(&self) -> Result<u64, StoreError> {
        let mut first = self.head()?.seq;
        let waiting: Option<i64> = self
            .db
            .query_row(
                "SELECT min(first_seq) FROM report JOIN delivery ON delivery.report = report.id
                 WHERE delivery.state IN (1, 3)",
                [],
                |row| row.get(0),
            )
            .trying("look what is still to be delivered")?;
        first = first.min(waiting.map_or(first, i64::cast_unsigned));
        for channel in Channel::ALL {
            let batched = self.batched_up_to(channel)?;
            let unreported: Option<i64> = self
                .db
                .prepare_cached("SELECT min(seq) FROM event WHERE channel = ?1 AND seq > ?2")
                .and_then(|mut statement| {
                    statement.query_row(params![channel.name(), batched.cast_signed()], |row| row.get(0))
                })
                .trying("look what is still to be reported")?;
            first = first.min(unreported.map_or(first, i64::cast_unsigned));
        }
        Ok(first)
    }

    /// The first event in a report that is younger than `cutoff`: what was found long before its mail stays as long as the mail is young.
    fn first_mailed_since(&self, cutoff: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        self.db
            .query_row(
                "SELECT min(first_seq) FROM report WHERE created >= ?1 AND created <= ?2",
                [cutoff.as_nanos(), now.as_nanos()],
                |row| row.get::<_, Option<i64>>(0),
            )
            .trying("look what was mailed not long ago")
            .map(|first| first.map_or(u64::MAX, i64::cast_unsigned))
    }

    fn announce_pruning(&mut self, begin: u64, last: &Head, now: Moment) -> Result<(), StoreError> {
        let mut event = Event::new(Category::Pruned, Severity::Count, now, Vec::new());
        event.count = last.seq - begin;
        let note = format!("{} events, from {} on, {}", event.count, begin + 1, announce(last));
        self.commit(&Outcome::tell(event.with_note(note))).map(|_seq| ())
    }

    /// Takes out the events up to `last`, and what belongs to them.
    fn take_out(&mut self, last: u64) -> Result<(), StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let seq = last.cast_signed();
        let hash: Option<[u8; 32]> = tx
            .query_row("SELECT hash FROM event WHERE seq = ?1", [seq], |row| needed_array(row, 0))
            .optional()
            .trying("read an event that goes")?;
        let Some(hash) = hash else { return Err(StoreError::Chain { seq: last, why: "an event is missing" }) };
        for statement in [
            "DELETE FROM report_event WHERE seq <= ?1",
            "DELETE FROM event_member WHERE seq <= ?1",
            "DELETE FROM event WHERE seq <= ?1",
        ] {
            tx.prepare_cached(statement).and_then(|mut statement| statement.execute([seq])).trying("prune events")?;
        }
        tx.execute(
            "INSERT INTO checkpoint (only, seq, hash) VALUES (1, ?1, ?2)
             ON CONFLICT (only) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            params![seq, hash],
        )
        .trying("move the begin of the chain")?;
        tx.commit().trying("prune events")
    }

    /// Takes out some reports all of whose events are gone; gives how many. The newest stays, for the next one is numbered after it.
    fn take_out_reports(&mut self, begin: u64) -> Result<usize, StoreError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let gone = reports_without_events(&tx, begin)?;
        for id in &gone {
            tx.prepare_cached("UPDATE report SET superseded_by = NULL WHERE superseded_by = ?1")
                .and_then(|mut statement| statement.execute([id]))
                .and_then(|_rows| tx.prepare_cached("DELETE FROM delivery WHERE report = ?1")?.execute([id]))
                .and_then(|_rows| tx.prepare_cached("DELETE FROM report_event WHERE report = ?1")?.execute([id]))
                .and_then(|_rows| tx.prepare_cached("DELETE FROM report WHERE id = ?1")?.execute([id]))
                .trying("prune reports")?;
        }
        tx.commit().trying("prune reports")?;
        Ok(gone.len())
    }
}

fn reports_without_events(tx: &Connection, begin: u64) -> Result<Vec<i64>, StoreError> {
    tx.prepare_cached(
        // Only the oldest are looked at: to read the last column of a row costs as much as to read the mail in it.
        "SELECT id FROM (SELECT id, last_seq FROM report ORDER BY id LIMIT 2 * ?2)
         WHERE last_seq <= ?1 AND id < (SELECT max(id) FROM report)
             AND NOT EXISTS (SELECT 1 FROM delivery WHERE report = id AND state IN (1, 3))
         ORDER BY id LIMIT ?2",
    )
    .and_then(|mut statement| {
        statement
            .query_map(params![begin.cast_signed(), REPORTS_STEP], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()
    })
    .trying("look which reports are old")
}
