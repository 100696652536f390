//! The rows of troubles that stand: one from the moment something is found wrong until it is over. What other rows say by themselves (the
//! state of an area, of a log, of a process) has none here; see [`crate::store::health::facts`].

use rusqlite::{Connection, TransactionBehavior, params};

use crate::{
    model::{clock::Timestamp, health::TroubleKind},
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Most troubles of one kind that are kept; of more, those are kept that come first.
const MOST: usize = 1000;

/// A trouble that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubleRow {
    /// What is wrong.
    pub kind: TroubleKind,
    /// The path, rule set or name it is about, as raw bytes; may be empty.
    pub subject: Vec<u8>,
    /// More about it, printable, in one line.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

fn put(db: &Connection, kind: TroubleKind, (subject, detail): (&[u8], &str), now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO trouble (kind, subject, detail, since) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (kind, subject) DO UPDATE SET detail = excluded.detail",
    )
    .and_then(|mut statement| statement.execute(params![kind.word(), subject, detail, now.as_nanos()]))
    .trying("note a trouble")
    .map(|_rows| ())
}

impl Store {
    /// Notes that something is wrong; since when stays as it was.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn begin_trouble(
        &mut self,
        kind: TroubleKind,
        subject: &[u8],
        detail: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        put(&self.db, kind, (subject, detail), now)
    }

    /// Notes that it is over, if it stood.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn end_trouble(&mut self, kind: TroubleKind, subject: &[u8]) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM trouble WHERE kind = ?1 AND subject = ?2")
            .and_then(|mut statement| statement.execute(params![kind.word(), subject]))
            .trying("note the end of a trouble")
            .map(|_rows| ())
    }

    /// Makes `found`, subjects with details, all troubles of this kind: the others are over. Writes only what has changed.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub fn set_troubles(
        &mut self,
        kind: TroubleKind,
        found: &[(Vec<u8>, String)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let found = found.get(..MOST).unwrap_or(found);
        let mut known = self.standing_troubles()?;
        known.retain(|row| row.kind == kind);
        let is_known = |(subject, detail): &(Vec<u8>, String)| {
            known.iter().any(|row| row.subject == *subject && row.detail == *detail)
        };
        if known.len() == found.len() && found.iter().all(is_known) {
            return Ok(());
        }
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        for row in known.iter().filter(|row| !found.iter().any(|(subject, _)| *subject == row.subject)) {
            tx.execute("DELETE FROM trouble WHERE kind = ?1 AND subject = ?2", params![kind.word(), row.subject])
                .trying("note the end of a trouble")?;
        }
        for (subject, detail) in found {
            put(&tx, kind, (subject, detail), now)?;
        }
        tx.commit().trying("note what is wrong")
    }

    /// All that stand, by kind and subject. One of a newer program, whose kind is not known, is left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn standing_troubles(&self) -> Result<Vec<TroubleRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT kind, subject, detail, since FROM trouble ORDER BY kind, subject LIMIT 100000")
            .trying("read what is wrong")?;
        let rows = statement
            .query_map([], |row| {
                let kind = TroubleKind::from_word(&row.get::<_, String>(0)?);
                let (subject, detail, since) = (row.get(1)?, row.get(2)?, Timestamp::from_nanos(row.get(3)?));
                Ok(kind.map(|kind| TroubleRow { kind, subject, detail, since }))
            })
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .trying("read what is wrong")?;
        Ok(rows.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_support::{now, scratch};

    #[test]
    fn a_trouble_stands_from_its_begin_to_its_end() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let at = |seconds| now().wall.after(std::time::Duration::from_secs(seconds));
        store.begin_trouble(TroubleKind::RuleOff, b"server", "1 rule", at(1)).unwrap();
        store.begin_trouble(TroubleKind::RuleOff, b"server", "2 rules", at(5)).unwrap();
        let row = TroubleRow {
            kind: TroubleKind::RuleOff,
            subject: b"server".to_vec(),
            detail: "2 rules".to_owned(),
            since: at(1),
        };
        assert_eq!(store.standing_troubles().unwrap(), std::slice::from_ref(&row));
        let mounts = [(b"/proc".to_vec(), "proc".to_owned()), (b"/sys".to_vec(), "sysfs".to_owned())];
        store.set_troubles(TroubleKind::MountNotEntered, &mounts, at(6)).unwrap();
        store.set_troubles(TroubleKind::MountNotEntered, &mounts[1..], at(7)).unwrap();
        let left = store.standing_troubles().unwrap();
        assert_eq!((left.len(), &left[0].subject[..], left[0].since), (2, &b"/sys"[..], at(6)));
        store.end_trouble(TroubleKind::RuleOff, b"server").unwrap();
        store.set_troubles(TroubleKind::MountNotEntered, &[], at(8)).unwrap();
        assert_eq!(store.standing_troubles().unwrap(), []);
    }
}
