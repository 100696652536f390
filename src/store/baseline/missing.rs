//! What went missing in a mass removal: the topmost paths, since when, and how many entries went with each. Their baseline is kept.
//!
//! The entry itself is marked as gone; a row here says since when. A mark that was taken away (the path was seen again) or an entry that
//! was removed ends it, whatever wrote that, so that a row alone never says that something is missing.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    model::{
        clock::Timestamp,
        file::entry::{AreaId, EntryId},
    },
    store::sqlite::{
        connection::Store,
        error::{StoreError, Trying},
    },
};

/// Stands in an entry that is gone and was reported, and whose baseline is kept.
pub const GONE: [u8; 32] = [0; 32];

/// A path that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPath {
    /// The topmost path of what is missing, as raw bytes.
    pub path: Vec<u8>,
    /// When it was found missing.
    pub since: Timestamp,
    /// How many entries of the baseline are missing with it, itself included.
    pub entries: u64,
}

/// What is missing of one area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingCount {
    /// The area.
    pub area: AreaId,
    /// Topmost paths.
    pub paths: u64,
    /// Entries at and beneath them.
    pub entries: u64,
    /// Since when the first of them is missing.
    pub since: Timestamp,
}

/// A path that was missing and is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundAgain {
    /// Its row.
    pub entry: EntryId,
    /// Its area; `None` when it has left the baseline.
    pub area: Option<AreaId>,
    /// Since when it was missing.
    pub since: Timestamp,
    /// How many entries were missing with it, itself included.
    pub entries: u64,
}

pub(in crate::store) fn put_missing(
    db: &Connection,
    id: EntryId,
    since: Timestamp,
    entries: u64,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE entry SET reported = ?2 WHERE id = ?1")
        .and_then(|mut statement| statement.execute(params![id.0, GONE]))
        .trying("mark an entry as missing")?;
    db.prepare_cached("INSERT OR REPLACE INTO missing (entry, since, entries) VALUES (?1, ?2, ?3)")
        .and_then(|mut statement| statement.execute(params![id.0, since.as_nanos(), entries.cast_signed()]))
        .trying("write what is missing")
        .map(|_rows| ())
}

pub(in crate::store) fn remove_missing(db: &Connection, id: EntryId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM missing WHERE entry = ?1")
        .and_then(|mut statement| statement.execute([id.0]))
        .trying("forget what was missing")
        .map(|_rows| ())
}

impl Store {
    /// The topmost paths of an area that are missing while their baseline is kept, those first that are missing longest, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn missing_paths(&self, area: AreaId, limit: usize) -> Result<Vec<MissingPath>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(EntryId, Timestamp, u64)> = self
            .db
            .prepare_cached(
                "SELECT missing.entry, missing.since, missing.entries FROM missing JOIN entry ON entry.id = missing.entry \
                 WHERE entry.area = ?1 AND entry.reported = ?2 ORDER BY missing.since, missing.entry LIMIT ?3",
            )
            .and_then(|mut statement| {
                let row = |row: &rusqlite::Row<'_>| {
                    let since = Timestamp::from_nanos(row.get(1)?);
                    Ok((EntryId(row.get(0)?), since, row.get::<_, i64>(2)?.cast_unsigned()))
                };
                statement.query_map(params![area.0, GONE, limit], row)?.collect()
            })
            .trying("read what is missing")?;
        let mut paths = Vec::new();
        for (id, since, entries) in rows {
            let Some(way) = self.way_to(id)? else { continue };
            let names: Vec<Vec<u8>> = way.into_iter().map(|(_, name)| name).collect();
            // The root of the area is its whole path.
            let path = match names.split_first() {
                Some((root, rest)) if root == b"/" => [b"/", rest.join(&b'/').as_slice()].concat(),
                _ => names.join(&b'/'),
            };
            paths.push(MissingPath { path, since, entries });
        }
        Ok(paths)
    }

    /// What is missing of each area of which anything is, by its row.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn missing_counts(&self) -> Result<Vec<MissingCount>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT entry.area, count(*), sum(missing.entries), min(missing.since) \
                 FROM missing JOIN entry ON entry.id = missing.entry WHERE entry.reported = ?1 \
                 GROUP BY entry.area ORDER BY entry.area LIMIT 100000",
            )
            .and_then(|mut statement| {
                let row = |row: &rusqlite::Row<'_>| {
                    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    let since = Timestamp::from_nanos(row.get(3)?);
                    Ok(MissingCount { area: AreaId(row.get(0)?), paths: count(1)?, entries: count(2)?, since })
                };
                statement.query_map([GONE], row)?.collect()
            })
            .trying("count what is missing")
    }

    /// Whether anything may be missing while its baseline is kept.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn has_missing(&self) -> Result<bool, StoreError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM missing)")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .trying("look whether anything is missing")
    }

    /// Since when the entry is missing while its baseline is kept; `None` when it is not.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn missing_since(&self, id: EntryId) -> Result<Option<Timestamp>, StoreError> {
        self.db
            .prepare_cached(
                "SELECT missing.since FROM missing JOIN entry ON entry.id = missing.entry \
                 WHERE missing.entry = ?1 AND entry.reported = ?2",
            )
            .and_then(|mut statement| statement.query_row(params![id.0, GONE], |row| row.get(0)).optional())
            .trying("look whether an entry is missing")
            .map(|since| since.map(Timestamp::from_nanos))
    }

    /// What was missing and was seen again or has left the baseline, and of which that was not noted yet; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub fn found_again(&mut self, limit: usize) -> Result<Vec<FoundAgain>, StoreError> {
        self.flush()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .prepare_cached(
                "SELECT missing.entry, entry.area, missing.since, missing.entries \
                 FROM missing LEFT JOIN entry ON entry.id = missing.entry \
                 WHERE entry.reported IS NOT ?1 ORDER BY missing.entry LIMIT ?2",
            )
            .and_then(|mut statement| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(FoundAgain {
                        entry: EntryId(row.get(0)?),
                        area: row.get::<_, Option<i64>>(1)?.map(AreaId),
                        since: Timestamp::from_nanos(row.get(2)?),
                        entries: row.get::<_, i64>(3)?.cast_unsigned(),
                    })
                };
                statement.query_map(params![GONE, limit], row)?.collect()
            })
            .trying("find what is not missing any more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::file::entry::{Attributes, Digests, Entry, HashState, Observation},
        store::{
            baseline::mounts::MountRow,
            events::outcome::{Outcome, StateChange},
            test_support::{now, scratch},
        },
    };

    fn entry(id: i64, parent: Option<i64>, name: &[u8], area: AreaId) -> Entry {
        let attributes = Attributes { inode: u64::try_from(id).unwrap(), size: 0, ..Attributes::sample(now().wall) };
        Entry {
            id: EntryId(id),
            parent: parent.map(EntryId),
            name: name.to_vec(),
            area,
            visit: id,
            checked: now().wall,
            known: Observation { attributes, hash_state: HashState::Off, digests: Digests::default() },
            recorded: crate::model::file::attribute::AttributeSet::NONE,
            reported: None,
        }
    }

    #[test]
    fn what_is_missing_is_named_and_counted_until_it_is_seen_again_or_removed_whoever_writes_that() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let area = store.area_at(b"/srv").unwrap().id;
        let rows = [
            entry(1, None, b"/srv", area),
            entry(2, Some(1), b"a", area),
            entry(3, Some(2), b"deep", area),
            entry(4, Some(1), b"b", area),
            entry(5, Some(1), b"c", area),
        ];
        let mut outcome = Outcome::default();
        outcome.changes.extend(rows.iter().map(|row| StateChange::Put(Box::new(row.clone()))));
        let later = Timestamp::from_nanos(9);
        for (id, since, entries) in [(2, later, 2), (4, now().wall, 1), (5, later, 1)] {
            outcome.changes.push(StateChange::Missing(EntryId(id), since, entries));
        }
        store.commit(&outcome).unwrap();
        let paths = |store: &Store, most| -> Vec<(Vec<u8>, u64)> {
            let found = store.missing_paths(area, most).unwrap();
            found.into_iter().map(|missing| (missing.path, missing.entries)).collect()
        };
        assert_eq!(paths(&store, 2), [(b"/srv/b".to_vec(), 1), (b"/srv/a".to_vec(), 2)], "the longest first");
        let count = MissingCount { area, paths: 3, entries: 4, since: now().wall };
        assert_eq!(store.missing_counts().unwrap(), [count]);
        assert_eq!(store.missing_since(EntryId(2)).unwrap(), Some(later));
        assert_eq!(store.missing_since(EntryId(3)).unwrap(), None);
        assert_eq!(store.found_again(10).unwrap(), []);
        let hidden = MountRow {
            told: Some(b"x".to_vec()),
            since: Some(later),
            entries: 7,
            ..MountRow::at_home(b"/srv/m".to_vec(), Vec::new())
        };
        let home = MountRow::at_home(b"/srv/n".to_vec(), b"y".to_vec());
        store.commit(&Outcome::default().with_change(StateChange::Mounts(area, vec![home, hidden.clone()]))).unwrap();
        assert_eq!(store.covered_paths(area, 10).unwrap(), [hidden]);
        let unseen = store.unseen_of(area).unwrap();
        assert_eq!((unseen.missing, unseen.covered, unseen.all()), (4, 7, 11));
        // One is seen again, another is removed.
        store.learn(entry(4, Some(1), b"b", area));
        store.commit(&Outcome::default().with_change(StateChange::RemoveTree(EntryId(2)))).unwrap();
        assert_eq!(paths(&store, 10), [(b"/srv/c".to_vec(), 1)]);
        let again: Vec<_> = store.found_again(10).unwrap().iter().map(|found| (found.entry.0, found.area)).collect();
        assert_eq!(again, [(2, None), (4, Some(area))]);
        store.commit(&Outcome::default().with_change(StateChange::NotMissing(EntryId(2)))).unwrap();
        assert_eq!(store.found_again(10).unwrap().len(), 1);
    }
}
