//! How an outcome is stored: whole or not at all, and only when what it was found against still holds.

use rusqlite::{Connection, TransactionBehavior};

use crate::{
    model::{
        clock::Moment,
        event::{Category, Event},
        file::entry::Entry,
    },
    store::{
        baseline::{
            areas::{put_accepted, put_area},
            missing::{put_missing, remove_missing},
            mounts::{put_mount, remove_mount, replace_mounts},
            subtree::{hand_over, remove_children, remove_longer, remove_tree},
        },
        doubt::put_doubt,
        events::{
            append::{Head, append, head},
            outcome::{ConditionalOutcome, Outcome, StateChange, StoredFinding},
        },
        outbox::periodic::add_lines,
        recovery::{last_alive::put_sign, rollback_guard::rewritten},
        sources::{
            journal_cursors::{put_journal, remove_journal},
            log_positions::{put_log, put_polled, remove_log},
            own_mail::put_own_mail_lines,
            own_parts::put_own_part,
            processes::{put_process, remove_process},
            rule_hits::add_hits,
        },
        sqlite::{
            columns::put_entry,
            connection::{Store, data_version},
            error::{StoreError, Trying},
            write_buffer::{stored_by_id, stored_by_name},
        },
    },
};

impl Store {
    /// Stores an outcome whole, together with all looks that were not written yet. Gives the number of the last event of the chain.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it is stored, and what was looked at will be found again.
    pub fn commit(&mut self, outcome: &Outcome) -> Result<u64, StoreError> {
        self.commit_fresh(&[], |_fresh| outcome.clone())?;
        Ok(self.head()?.seq)
    }

    /// Stores those of `pieces` whose rows are still what they were found against, and what `conclude` adds when it is told which
    /// those are: all in one transaction, in which the rows are read, so that nobody else tells the same. Gives which were
    /// stored.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it is stored, and what was looked at will be found again.
    pub fn commit_fresh(
        &mut self,
        pieces: &[ConditionalOutcome],
        conclude: impl FnOnce(&[bool]) -> Outcome,
    ) -> Result<Vec<bool>, StoreError> {
        let visit = self.visit;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let version = data_version(&tx)?;
        if version != self.others_at_commit {
            self.pending.give_way(&tx)?;
        }
        self.pending.write(&tx, visit)?;
        if let Some(sign) = self.alive.unwritten() {
            put_sign(&tx, sign, false)?;
        }
        let mut told = Vec::new();
        let at = pieces.iter().flat_map(|piece| &piece.outcome.events).map(|found| found.event.found).next();
        if let Some(at) = at {
            tell_rewritten(&tx, self.passed, at, &mut told)?;
        }
        let mut fresh = Vec::with_capacity(pieces.len());
        for piece in pieces {
            fresh.push(is_fresh(&tx, piece)?);
            if fresh.last() == Some(&true) {
                // Before the state changes: an event may stand for a tree that then goes.
                append(&tx, &piece.outcome.events)?;
                apply(&tx, &piece.outcome.changes)?;
                told.extend(piece.outcome.events.iter().cloned());
            }
        }
        let rest = conclude(&fresh);
        if let (None, Some(found)) = (at, rest.events.first()) {
            tell_rewritten(&tx, self.passed, found.event.found, &mut told)?;
        }
        let last = append(&tx, &rest.events)?;
        apply(&tx, &rest.changes)?;
        told.extend(rest.events);
        if let Some(jump) = told.iter().rfind(|found| found.event.category == Category::ClockJumped) {
            put_doubt(&tx, jump.event.found)?;
        }
        let passed = if told.is_empty() { None } else { Some(head(&tx)?) };
        tx.commit().trying("commit an outcome")?;
        if let Some(Head { seq, hash }) = passed {
            self.passed = Some((seq, hash));
        }
        self.pending.clear();
        self.alive.written();
        self.others_at_commit = version;
        let first = last.saturating_sub(u64::try_from(told.len()).unwrap_or(last)).saturating_add(1);
        for (seq, found) in (first..).zip(&told) {
            self.spread(seq, &found.event);
        }
        Ok(fresh)
    }

    /// Tells of an event that is stored.
    pub(in crate::store) fn spread(&self, seq: u64, event: &Event) {
        if let Some(tell) = self.teller {
            tell(seq, event);
        }
        self.bells.of(event.category.channel()).notify_one();
    }
}

/// Tells at `now` that the chain is not what it was at `passed`, if so.
fn tell_rewritten(
    tx: &Connection,
    passed: Option<(u64, [u8; 32])>,
    now: Moment,
    told: &mut Vec<StoredFinding>,
) -> Result<(), StoreError> {
    let lost = passed.map_or(Ok(None), |(seq, hash)| rewritten(tx, &Head { seq, hash }, now))?.map(StoredFinding::from);
    append(tx, lost.as_slice())?;
    told.extend(lost);
    Ok(())
}

fn apply(tx: &Connection, changes: &[StateChange]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            StateChange::Put(entry) => put_entry(tx, entry)?,
            StateChange::RemoveTree(entry) => remove_tree(tx, *entry)?,
            StateChange::HandOver(entry, area) => hand_over(tx, *entry, *area)?,
            StateChange::RemoveChildren(entry) => remove_children(tx, *entry)?,
            StateChange::RemoveLonger(entry, most) => remove_longer(tx, *entry, *most)?,
            StateChange::Missing(entry, since, entries) => put_missing(tx, *entry, *since, *entries)?,
            StateChange::NotMissing(entry) => remove_missing(tx, *entry)?,
            StateChange::Area(area) => put_area(tx, area)?,
            StateChange::Accepted(area, root) => put_accepted(tx, *area, *root)?,
            StateChange::Mount(area, row) => put_mount(tx, *area, row)?,
            StateChange::RemoveMount(area, path) => remove_mount(tx, *area, path)?,
            StateChange::Mounts(area, rows) => replace_mounts(tx, *area, rows)?,
            StateChange::Log(log) => put_log(tx, log)?,
            StateChange::RemoveLog(name) => remove_log(tx, name)?,
            StateChange::LogsPolled(group, at) => put_polled(tx, group, *at)?,
            StateChange::Journal(journal) => put_journal(tx, journal)?,
            StateChange::RemoveJournal(group) => remove_journal(tx, group)?,
            StateChange::RuleHits(hits) => add_hits(tx, hits)?,
            StateChange::LinesRead(lines) => add_lines(tx, *lines)?,
            StateChange::OwnMail(own) => put_own_mail_lines(tx, own)?,
            StateChange::Process(process) => put_process(tx, process)?,
            StateChange::RemoveProcess(name) => remove_process(tx, name)?,
            StateChange::Ourselves(part) => put_own_part(tx, part)?,
        }
    }
    Ok(())
}

/// Whether the row of a piece is still what and where it was found; of a new path, that nobody has added it since and its directory
/// is still there.
fn is_fresh(tx: &Connection, piece: &ConditionalOutcome) -> Result<bool, StoreError> {
    let mut place = None;
    if let Some(basis) = &piece.basis {
        let state = |entry: &Entry| (entry.parent, entry.name.clone(), entry.known.clone(), entry.reported);
        if stored_by_id(tx, basis.id)?.is_none_or(|now| state(&now) != state(basis)) {
            return Ok(false);
        }
        place = Some((basis.parent, basis.name.as_slice()));
    }
    for change in &piece.outcome.changes {
        let StateChange::Put(entry) = change else { continue };
        if place == Some((entry.parent, entry.name.as_slice())) {
            continue;
        }
        let is_orphan = match entry.parent {
            Some(parent) => stored_by_id(tx, parent)?.is_none(),
            None => false,
        };
        if is_orphan || stored_by_name(tx, entry.parent, &entry.name)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Store {
    /// Writes the looks that found nothing new. Cost: one transaction, none when there are none.
    ///
    /// # Errors
    /// [`StoreError`]; the looks are kept and written with the next ones.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.commit(&Outcome::default()).map(|_seq| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            clock::{BootId, Clock},
            event::Severity,
        },
        store::baseline::areas::AreaRow,
    };

    #[test]
    fn of_state_and_event_both_are_stored_or_neither() {
        let directory = tempfile::tempdir().unwrap();
        let now = Clock::System(BootId::default()).now();
        let mut store = Store::open(&directory.path().join("db"), now).unwrap();
        let area = store.area_at(b"/srv").unwrap();
        let before = store.head().unwrap();
        let event = Event::new(Category::Notice, Severity::High, now, b"/srv".to_vec());
        let change = StateChange::Area(Box::new(AreaRow { rounds: 7, ..area.clone() }));
        let outcome = Outcome::tell(event).with_change(change);
        for (table, word) in [("event", "INSERT"), ("area", "UPDATE")] {
            let refuse = format!(
                "CREATE TEMP TRIGGER refuse BEFORE {word} ON main.{table} BEGIN SELECT RAISE(ABORT, 'refused'); END"
            );
            store.db.execute_batch(&refuse).unwrap();
            store.commit(&outcome).unwrap_err();
            store.db.execute_batch("DROP TRIGGER refuse").unwrap();
            assert_eq!((store.area_at(b"/srv").unwrap(), store.head().unwrap()), (area.clone(), before), "{table}");
        }
        store.commit(&outcome).unwrap();
        assert_eq!((store.area_at(b"/srv").unwrap().rounds, store.head().unwrap().seq), (7, before.seq + 1));
    }

    #[test]
    fn an_event_that_is_taken_out_under_a_running_daemon_is_missed_at_the_next_commit() {
        let directory = tempfile::tempdir().unwrap();
        let now = Clock::System(BootId::default()).now();
        let path = directory.path().join("db");
        let mut store = Store::open(&path, now).unwrap();
        let notice = || Outcome::tell(Event::new(Category::Notice, Severity::Low, now, Vec::new()));
        let lost = |store: &Store| store.last_event(Category::TrustLost, b"").unwrap().map(|stored| stored.seq);
        store.commit(&notice()).unwrap();
        store.commit(&notice()).unwrap();
        // Somebody who writes beside it, in an orderly way, is no loss.
        Store::open_beside(&path).unwrap().commit(&notice()).unwrap();
        store.commit(&notice()).unwrap();
        assert_eq!(lost(&store), None);
        let other = Connection::open(&path).unwrap();
        let before: Vec<u8> = other.query_row("SELECT hash FROM event WHERE seq = 3", [], |row| row.get(0)).unwrap();
        other.execute("DELETE FROM event WHERE seq = 4", []).unwrap();
        other.execute("UPDATE instance SET seq = 3, head = ?1", [before]).unwrap();
        store.flush().unwrap();
        store.commit(&notice()).unwrap();
        assert_eq!((lost(&store), store.head().unwrap().seq), (Some(4), 5));
        store.commit(&notice()).unwrap();
        assert_eq!(lost(&store), Some(4), "it is told once");
        store.verify().unwrap();
    }

    #[test]
    fn an_event_in_the_middle_that_is_taken_out_is_missed_before_what_waits_is_mailed() {
        let directory = tempfile::tempdir().unwrap();
        let now = Clock::System(BootId::default()).now();
        let path = directory.path().join("db");
        let mut store = Store::open(&path, now).unwrap();
        for _ in 0..5 {
            store.commit(&Outcome::tell(Event::new(Category::Notice, Severity::Low, now, Vec::new()))).unwrap();
        }
        assert!(store.tell_gap(1, 5, now).unwrap() && store.tell_gap(3, 5, now).unwrap());
        Connection::open(&path).unwrap().execute("DELETE FROM event WHERE seq = 3", []).unwrap();
        assert!(!store.tell_gap(1, 5, now).unwrap());
        let told = store.last_event(Category::TrustLost, b"").unwrap().unwrap();
        assert_eq!(told.seq, 6);
        assert!(store.tell_gap(4, 6, now).unwrap());
    }
}
