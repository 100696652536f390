//! How an outcome is stored: whole or not at all, and only when what it was found against still holds.

use rusqlite::{Connection, TransactionBehavior};

use super::{
    areas::{put_accepted, put_area},
    baseline::{remove_children, remove_tree, stored_by_id, stored_by_name},
    database::{Store, data_version},
    error::{StoreError, Trying},
    events::append,
    journal::{put_journal, remove_journal},
    logs::{put_log, put_polled, remove_log},
    outcome::{Outcome, Piece, StateChange},
    processes::{put_process, remove_process},
    rows::put_entry,
    rules::add_hits,
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
        pieces: &[Piece],
        conclude: impl FnOnce(&[bool]) -> Outcome,
    ) -> Result<Vec<bool>, StoreError> {
        let visit = self.visit;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let version = data_version(&tx)?;
        if version != self.others_at_commit {
            self.pending.give_way(&tx)?;
        }
        self.pending.write(&tx, visit)?;
        let mut told = Vec::new();
        let mut fresh = Vec::with_capacity(pieces.len());
        for piece in pieces {
            fresh.push(is_fresh(&tx, piece)?);
            if fresh.last() == Some(&true) {
                apply(&tx, &piece.outcome.changes)?;
                told.extend(piece.outcome.events.iter().cloned());
            }
        }
        let rest = conclude(&fresh);
        apply(&tx, &rest.changes)?;
        told.extend(rest.events);
        append(&tx, &told)?;
        tx.commit().trying("commit an outcome")?;
        self.pending.clear();
        self.others_at_commit = version;
        for found in &told {
            self.bells.of(found.event.category.kind().channel()).notify_one();
        }
        Ok(fresh)
    }
}

fn apply(tx: &Connection, changes: &[StateChange]) -> Result<(), StoreError> {
    for change in changes {
        match change {
            StateChange::Put(entry) => put_entry(tx, entry)?,
            StateChange::RemoveTree(entry) => remove_tree(tx, *entry)?,
            StateChange::RemoveChildren(entry) => remove_children(tx, *entry)?,
            StateChange::Area(area) => put_area(tx, area)?,
            StateChange::Accepted(area, root) => put_accepted(tx, *area, *root)?,
            StateChange::Log(log) => put_log(tx, log)?,
            StateChange::RemoveLog(name) => remove_log(tx, name)?,
            StateChange::LogsPolled(group, at) => put_polled(tx, group, *at)?,
            StateChange::Journal(journal) => put_journal(tx, journal)?,
            StateChange::RemoveJournal(group) => remove_journal(tx, group)?,
            StateChange::RuleHits(hits) => add_hits(tx, hits)?,
            StateChange::Process(process) => put_process(tx, process)?,
            StateChange::RemoveProcess(name) => remove_process(tx, name)?,
        }
    }
    Ok(())
}

/// Whether the row of a piece is still what it was found against; of a new path, that nobody has added it since and its directory
/// is still there.
fn is_fresh(tx: &Connection, piece: &Piece) -> Result<bool, StoreError> {
    if let Some(basis) = &piece.basis {
        let now = stored_by_id(tx, basis.id)?;
        return Ok(now.is_some_and(|now| now.known == basis.known && now.reported == basis.reported));
    }
    for change in &piece.outcome.changes {
        let StateChange::Put(entry) = change else { continue };
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
