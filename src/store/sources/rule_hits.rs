//! How often each rule for log lines was found, and since when it is counted.
//!
//! A rule is known by the path of its file and its text, so that an edit elsewhere in the file does not make it a new one.

use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::{
    model::clock::Timestamp,
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Most rules that are counted; more of a rule set are not.
const MOST: usize = 100_000;

/// Hits of a rule that are to be added to those it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHit {
    /// The path of its file.
    pub file: Vec<u8>,
    /// Its text as it stands there.
    pub text: Vec<u8>,
    /// How many.
    pub hits: u64,
    /// When the last of them was.
    pub last: Timestamp,
}

/// What is known of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// The path of its file.
    pub file: Vec<u8>,
    /// Its text as it stands there.
    pub text: Vec<u8>,
    /// How often it was found.
    pub hits: u64,
    /// When it was last found; `None` when it never was.
    pub last: Option<Timestamp>,
    /// Since when it is counted.
    pub since: Timestamp,
}

impl Store {
    /// Notes which rules are loaded, each by the path of its file and its text: new ones are counted from `now` on, those that are
    /// gone are forgotten, the others stay as they are. Beyond 100,000 rules the rest is not counted. One transaction; costs a look
    /// at each rule.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written; then nothing of it is.
    pub fn know_rules<'a>(
        &mut self,
        rules: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut loaded: Vec<(&[u8], &[u8])> = rules.into_iter().take(MOST).collect();
        loaded.sort_unstable();
        loaded.dedup();
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
        let counted = Counted::read(&tx, &loaded).trying("read which rules are counted")?;
        for (file, text) in counted.gone {
            tx.prepare_cached("DELETE FROM rule_hit WHERE file = ?1 AND text = ?2")
                .and_then(|mut statement| statement.execute(params![file, text]))
                .trying("forget a rule")?;
        }
        for ((file, text), _) in loaded.into_iter().zip(counted.is_known).filter(|(_, is_known)| !is_known) {
            tx.prepare_cached("INSERT INTO rule_hit (file, text, hits, since) VALUES (?1, ?2, 0, ?3)")
                .and_then(|mut statement| statement.execute(params![file, text, now.as_nanos()]))
                .trying("note a new rule")?;
        }
        tx.commit().trying("note which rules are loaded")
    }

    /// Every rule that is counted, by file and text.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn rule_hits(&self) -> Result<Vec<RuleCount>, StoreError> {
        self.db
            .prepare_cached("SELECT file, text, hits, last, since FROM rule_hit ORDER BY file, text LIMIT 100000")
            .and_then(|mut statement| statement.query_map([], read_count)?.collect())
            .trying("read how often rules were found")
    }
}

/// The rules that are counted already.
struct Counted {
    /// For each of the loaded ones whether it is among them.
    is_known: Vec<bool>,
    /// Those that are not loaded.
    gone: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Counted {
    /// Looks at each row; `loaded` is sorted.
    fn read(tx: &Connection, loaded: &[(&[u8], &[u8])]) -> rusqlite::Result<Self> {
        let mut counted = Self { is_known: vec![false; loaded.len()], gone: Vec::new() };
        let mut statement = tx.prepare_cached("SELECT file, text FROM rule_hit")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let rule = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            match loaded.binary_search(&rule) {
                Ok(at) => counted.is_known.get_mut(at).into_iter().for_each(|is_known| *is_known = true),
                Err(_) => counted.gone.push((rule.0.to_vec(), rule.1.to_vec())),
            }
        }
        Ok(counted)
    }
}

fn read_count(row: &Row<'_>) -> rusqlite::Result<RuleCount> {
    Ok(RuleCount {
        file: row.get(0)?,
        text: row.get(1)?,
        hits: row.get::<_, i64>(2)?.cast_unsigned(),
        last: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_nanos),
        since: Timestamp::from_nanos(row.get(4)?),
    })
}

/// Adds hits to those that rules had. A rule that nobody has made known is counted from this hit on.
pub(in crate::store) fn add_hits(tx: &Connection, hits: &[RuleHit]) -> Result<(), StoreError> {
    for RuleHit { file, text, hits, last } in hits {
        tx.prepare_cached(ADD_HITS)
            .and_then(|mut statement| {
                statement.execute(params![file, text, i64::try_from(*hits).unwrap_or(i64::MAX), last.as_nanos()])
            })
            .trying("count the hits of a rule")?;
    }
    Ok(())
}

/// A sum beyond the largest number would be no integer; a clock that was set back makes no hit earlier.
const ADD_HITS: &str = "\
INSERT INTO rule_hit (file, text, hits, last, since) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (file, text) DO UPDATE SET hits = hits + min(excluded.hits, 9223372036854775807 - hits),
    last = max(coalesce(last, excluded.last), excluded.last)";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        model::{
            clock::{BootId, Boottime, Moment},
            event::{Category, Event, Severity},
        },
        store::events::outcome::{Outcome, StateChange},
    };

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn now() -> Moment {
        Moment { wall: at(5), boottime: Boottime::from_nanos(5), boot: BootId([1; 16]) }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let store = Store::open(&directory.path().join("db"), now()).unwrap();
        (directory, store)
    }

    fn hits(text: &[u8], hits: u64, last: i64) -> Outcome {
        let hit = RuleHit { file: b"/r/\xff".to_vec(), text: text.to_vec(), hits, last: at(last) };
        Outcome::default().with_change(StateChange::RuleHits(vec![hit]))
    }

    /// Text, hits, last hit and since when.
    fn counted(store: &Store) -> Vec<(Vec<u8>, u64, Option<i64>, i64)> {
        let all = store.rule_hits().unwrap();
        assert!(all.iter().all(|count| count.file == b"/r/\xff"));
        let nanos = |time: Timestamp| time.as_nanos();
        all.into_iter().map(|it| (it.text, it.hits, it.last.map(nanos), nanos(it.since))).collect()
    }

    #[test]
    fn rules_are_counted_from_when_they_are_known_until_they_are_gone() {
        let (_scratch, mut store) = store();
        let file: &[u8] = b"/r/\xff";
        store.know_rules([(file, &b"^a"[..]), (file, b"^b"), (file, b"^a")], at(10)).unwrap();
        assert_eq!(counted(&store), [(b"^a".to_vec(), 0, None, 10), (b"^b".to_vec(), 0, None, 10)]);
        store.commit(&hits(b"^a", 3, 20)).unwrap();
        store.commit(&hits(b"^a", 2, 15)).unwrap();
        store.know_rules([(file, &b"^a"[..]), (file, b"^c")], at(30)).unwrap();
        assert_eq!(counted(&store), [(b"^a".to_vec(), 5, Some(20), 10), (b"^c".to_vec(), 0, None, 30)]);
        store.know_rules([], at(40)).unwrap();
        assert_eq!(counted(&store), []);
    }

    #[test]
    fn a_hit_of_an_unknown_rule_counts_and_the_largest_number_is_the_end() {
        let (_scratch, mut store) = store();
        store.commit(&hits(b"^new", u64::MAX, 7)).unwrap();
        store.commit(&hits(b"^new", 9, 8)).unwrap();
        assert_eq!(counted(&store), [(b"^new".to_vec(), i64::MAX.cast_unsigned(), Some(8), 7)]);
    }

    #[test]
    fn hits_are_stored_in_the_transaction_of_their_events() {
        let (_scratch, mut store) = store();
        let line = Event::new(Category::Notice, Severity::Low, now(), b"log".to_vec());
        store
            .db
            .execute_batch("CREATE TEMP TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END")
            .unwrap();
        assert!(store.commit(&hits(b"^a", 1, 6).with_event(line)).is_err());
        assert_eq!(counted(&store), []);
    }

    #[test]
    fn more_rules_than_are_counted_are_no_fault() {
        let (_scratch, mut store) = store();
        let texts: Vec<Vec<u8>> = (0..MOST + 5).map(|number| format!("^{number}").into_bytes()).collect();
        let all = || texts.iter().map(|text| (&b"/r/\xff"[..], text.as_slice()));
        store.know_rules(all(), at(10)).unwrap();
        assert_eq!(store.rule_hits().unwrap().len(), MOST);
        store.know_rules(all(), at(11)).unwrap();
        assert!(store.rule_hits().unwrap().iter().all(|count| count.since == at(10)));
    }
}
