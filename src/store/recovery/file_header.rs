//! The schema version of a database file without opening it as one.
//!
//! Whoever opens a database with a journal beside it recovers and, when the last one closes it, clears that journal: its bytes change. One
//! of a newer program is to be left alone, so its version is looked up by hand. The formats are those of "Database File Format" and
//! "WAL-mode File Format" at sqlite.org: `user_version` is a big-endian number at offset 60 of the first page, whose newest copy may
//! stand in the journal.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::store::sqlite::files::beside;

/// Where `user_version` stands in the first page.
const VERSION_AT: u64 = 60;

/// Lengths of the head of a journal and of the head of each of its frames, in bytes.
const JOURNAL_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;

/// The greatest version that the file at `path` or its journal names; 0 when there is none. Cost: a read a frame of the journal.
///
/// # Errors
/// The error of reading; what is no database gives some number or 0.
pub(in crate::store) fn version(path: &Path) -> io::Result<u32> {
    let stored = match File::open(path) {
        Ok(mut file) => number_at(&mut file, VERSION_AT)?.unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut magic = [0; 16];
    // What is no database at all is not judged here.
    let is_database = File::open(path)?.read_exact(&mut magic).is_ok() && magic == *b"SQLite format 3\0";
    if !is_database {
        return Ok(0);
    }
    match File::open(beside(path, "-wal")) {
        Ok(mut journal) => Ok(stored.max(newest_in(&mut journal)?.unwrap_or(0))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(stored),
        Err(error) => Err(error),
    }
}

/// The version in the newest first page of a journal that belongs to its head.
fn newest_in(journal: &mut File) -> io::Result<Option<u32>> {
    let (Some(size), Some(salt), Some(salt_too)) =
        (number_at(journal, 8)?, number_at(journal, 16)?, number_at(journal, 20)?)
    else {
        return Ok(None);
    };
    // 64 KiB is written as 1 in a database, but in full here; anything below 512 is no journal.
    if size < 512 {
        return Ok(None);
    }
    let mut at = JOURNAL_HEAD;
    let mut newest = None;
    while let (Some(page), Some(one), Some(other)) =
        (number_at(journal, at)?, number_at(journal, at + 8)?, number_at(journal, at + 12)?)
    {
        if (one, other) != (salt, salt_too) {
            break;
        }
        if page == 1 {
            newest = number_at(journal, at + FRAME_HEAD + VERSION_AT)?.or(newest);
        }
        at += FRAME_HEAD + u64::from(size);
    }
    Ok(newest)
}

/// The number at an offset; `None` beyond the end.
fn number_at(file: &mut File, at: u64) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_be_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::{
        sqlite::{connection::Store, error::StoreError},
        test_support::{now, scratch},
    };

    /// The files of a database with their content.
    fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
        ["", "-wal", "-shm"].map(|end| (end.to_owned(), fs::read(beside(path, end)).unwrap_or_default())).to_vec()
    }

    #[test]
    fn e6_a_newer_database_is_refused_without_a_byte_touched_also_in_its_journal() {
        let (directory, path) = scratch();
        drop(Store::open(&path, now()).unwrap());
        // As a newer program leaves it that was killed: its version is in the journal only.
        let other = directory.path().join("newer");
        let newer = rusqlite::Connection::open(&path).unwrap();
        newer.execute_batch("PRAGMA journal_mode = WAL; PRAGMA user_version = 4711; CREATE TABLE t (x)").unwrap();
        for end in ["", "-wal", "-shm"] {
            fs::copy(beside(&path, end), beside(&other, end)).unwrap();
        }
        assert_eq!(version(&other).unwrap(), 4711);
        assert_ne!(fs::read(&other).unwrap()[60..64], 4711_u32.to_be_bytes(), "only the journal knows");
        let before = files(&other);
        assert!(matches!(Store::open(&other, now()), Err(StoreError::Newer { found: 4711, .. })));
        assert_eq!(files(&other), before);
    }

    #[test]
    fn what_is_no_database_has_no_version() {
        let (directory, path) = scratch();
        assert_eq!(version(&path).unwrap(), 0);
        fs::write(&path, [0xff; 4096]).unwrap();
        assert_eq!(version(&path).unwrap(), 0);
        fs::write(directory.path().join("db-wal"), [0xff; 100]).unwrap();
        assert_eq!(version(&path).unwrap(), 0);
    }
}
