//! Which rows of the baseline have which inode, to find out where something new was before.
//!
//! An index in the database would cost 15 bytes an entry for good. This table is read in one pass over the baseline when the first
//! new path is met, costs eight bytes an entry, and serves a few minutes; whoever asks looks at the rows themselves, so that what
//! has changed since does no harm.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    model::{
        clock::{Boottime, Timestamp},
        file::entry::EntryId,
    },
    store::sqlite::error::StoreError,
};

/// How long a table serves.
const SERVES: Duration = Duration::from_mins(5);

/// Most entries in a table: 32 MiB. Of a baseline with more, the rest is not among those that can be found.
const MOST: usize = 4 << 20;

/// Rows with one inode that are given at most: a file with more names than this may be told as removed and added.
const MOST_ROWS: usize = 64;

/// How long the inodes of a directory that changes without end serve, and of how many directories they are kept.
const LISTING_SERVES: Duration = Duration::from_secs(1);
const MOST_LISTINGS: usize = 16;

/// The low halves of inode and row, by inode.
type Rows = Vec<(u32, u32)>;

/// The inodes of what lay in a directory when it was listed.
#[derive(Debug)]
struct ListedInode {
    directory: EntryId,
    at: Boottime,
    /// When it had changed last.
    mtime: Timestamp,
    inodes: Vec<u64>,
}

/// A table of inodes, read when it is needed.
#[derive(Debug, Default)]
pub struct InodeIndex {
    table: Mutex<Option<(Boottime, Rows)>>,
    listed: Mutex<VecDeque<ListedInode>>,
}

impl InodeIndex {
    /// Whether a directory, last changed at `mtime`, was listed and had nothing with `inode`: who removes very many files one by one has
    /// the same directories listed for each.
    pub(in crate::files) fn is_known_without(
        &self,
        directory: EntryId,
        mtime: Timestamp,
        inode: u64,
        now: Boottime,
    ) -> bool {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let serves =
            |it: &&ListedInode| it.directory == directory && (it.mtime == mtime || now.since(it.at) < LISTING_SERVES);
        listed.iter().find(serves).is_some_and(|it| it.inodes.binary_search(&inode).is_err())
    }

    /// Notes what lay in a directory.
    pub(in crate::files) fn note(&self, directory: EntryId, mtime: Timestamp, mut inodes: Vec<u64>, now: Boottime) {
        inodes.sort_unstable();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.retain(|it| it.directory != directory);
        listed.push_back(ListedInode { directory, at: now, mtime, inodes });
        if listed.len() > MOST_LISTINGS {
            listed.pop_front();
        }
    }

    /// The rows that may have `inode`, at most 64. `read` gives rows with their inodes in the order of the rows, from behind one
    /// of them on; no more mean the end. Cost: a search, or a pass over the baseline once in five minutes.
    ///
    /// # Errors
    /// The error of `read`.
    pub(in crate::files) fn rows(
        &self,
        inode: u64,
        now: Boottime,
        mut read: impl FnMut(EntryId) -> Result<Vec<(EntryId, u64)>, StoreError>,
    ) -> Result<Vec<EntryId>, StoreError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = match &mut *table {
            Some((since, rows)) if now.since(*since) < SERVES => rows,
            stale => &mut stale.insert((now, read_all(&mut read)?)).1,
        };
        let key = low(inode);
        let from = rows.partition_point(|(known, _)| *known < key);
        let found = rows.iter().skip(from).take_while(|(known, _)| *known == key).take(MOST_ROWS);
        Ok(found.map(|(_, id)| EntryId(i64::from(*id))).collect())
    }
}

fn read_all(read: &mut impl FnMut(EntryId) -> Result<Vec<(EntryId, u64)>, StoreError>) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    let mut after = EntryId(0);
    while rows.len() < MOST {
        let block = read(after)?;
        let Some((last, _)) = block.last() else { break };
        after = *last;
        // A row beyond the first four thousand million is not found.
        rows.extend(block.iter().filter_map(|(id, inode)| Some((low(*inode), u32::try_from(id.0).ok()?))));
    }
    rows.sort_unstable();
    Ok(rows)
}

fn low(inode: u64) -> u32 {
    u32::try_from(inode & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_not_listed_for_each_of_many_that_are_gone() {
        let inodes = InodeIndex::default();
        let at = |millis: i64| Boottime::from_nanos(millis * 1_000_000);
        let [old, new] = [1, 2].map(Timestamp::from_nanos);
        let directory = EntryId(7);
        assert!(!inodes.is_known_without(directory, old, 5, at(0)));
        inodes.note(directory, old, vec![9, 3], at(0));
        assert!(inodes.is_known_without(directory, old, 5, at(60_000)), "it has not changed");
        assert!(!inodes.is_known_without(directory, old, 3, at(0)), "its name is asked for");
        assert!(
            inodes.is_known_without(directory, new, 5, at(999))
                && !inodes.is_known_without(directory, new, 5, at(1000))
        );
        (8..40).for_each(|other| inodes.note(EntryId(other), old, Vec::new(), at(0)));
        assert_eq!(inodes.listed.lock().unwrap().len(), MOST_LISTINGS);
    }

    #[test]
    fn rows_are_found_by_inode_and_read_once_in_five_minutes() {
        let inodes = InodeIndex::default();
        let mut passes = 0;
        let mut ask = |inode, minutes: i64| {
            let read = |after: EntryId| {
                passes += i32::from(after == EntryId(0));
                Ok((after.0 + 1..=(after.0 + 400).min(1000))
                    .map(|id| (EntryId(id), id.cast_unsigned() % 500))
                    .collect())
            };
            inodes.rows(inode, Boottime::from_nanos(minutes * 60_000_000_000), read).unwrap()
        };
        assert_eq!(ask(7, 1), [EntryId(7), EntryId(507)]);
        assert_eq!(ask(777, 5), []);
        assert_eq!(ask(499, 6), [EntryId(499), EntryId(999)]);
        assert_eq!(passes, 2);
    }
}
