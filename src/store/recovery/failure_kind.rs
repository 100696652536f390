//! What ails the database when it fails: something that passes, something that only a fresh start over the file answers, or ruin.

use std::io::ErrorKind;

use rusqlite::{ErrorCode, ffi};

use crate::store::sqlite::error::StoreError;

/// What ails the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbFailure {
    /// Another process has held the write lock for longer than is waited for it.
    Busy,
    /// It cannot be written or read for now: full, read-only, above a quota or a limit, failing.
    Unwritable,
    /// Whether the last commit is on the disk is not known: `fsync(2)` has failed, and what it was to write may be gone from the cache.
    Unknown,
    /// It is damaged, or no database.
    Corrupt,
    /// The file that is open is not the one that has its name.
    Moved,
    /// A row holds what this program never writes: somebody has edited it, or damage that SQLite does not see.
    Unreadable,
}

impl DbFailure {
    /// Whether only a fresh start over the file helps, and not waiting.
    pub const fn needs_renewal(self) -> bool {
        matches!(self, Self::Unknown | Self::Corrupt | Self::Moved)
    }
}

impl StoreError {
    /// What ails the database, by this error; `None` for one that is not about its health.
    pub fn failure(&self) -> Option<DbFailure> {
        match self {
            Self::Sqlite { source: rusqlite::Error::SqliteFailure(error, _), .. } => of_code(*error),
            Self::Sqlite {
                source:
                    rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::InvalidColumnType(..),
                ..
            }
            | Self::Row { .. }
            | Self::Event { .. } => Some(DbFailure::Unreadable),
            Self::Damaged { .. } => Some(DbFailure::Corrupt),
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::FileTooLarge => Some(DbFailure::Unwritable),
                _ => (source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()))
                    .then_some(DbFailure::Unwritable),
            },
            _ => None,
        }
    }
}

fn of_code(error: ffi::Error) -> Option<DbFailure> {
    match error.extended_code {
        // A directory that could not be synced may lose the name of a journal.
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => return Some(DbFailure::Unknown),
        ffi::SQLITE_IOERR_CORRUPTFS => return Some(DbFailure::Corrupt),
        ffi::SQLITE_READONLY_DBMOVED => return Some(DbFailure::Moved),
        _ => {}
    }
    match error.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some(DbFailure::Busy),
        ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
            Some(DbFailure::Unwritable)
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Some(DbFailure::Corrupt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_sqlite_is_met_in_its_way() {
        let of = |code| {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            StoreError::Sqlite { what: "commit", source }.failure()
        };
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CANTOPEN] {
            assert_eq!(of(code), Some(DbFailure::Unwritable), "{code}");
        }
        assert_eq!([of(ffi::SQLITE_BUSY), of(ffi::SQLITE_BUSY_SNAPSHOT)], [Some(DbFailure::Busy); 2]);
        assert_eq!(of(ffi::SQLITE_IOERR_FSYNC), Some(DbFailure::Unknown));
        assert_eq!([of(ffi::SQLITE_CORRUPT), of(ffi::SQLITE_NOTADB)], [Some(DbFailure::Corrupt); 2]);
        assert_eq!(of(ffi::SQLITE_READONLY_DBMOVED), Some(DbFailure::Moved));
        assert_eq!(of(ffi::SQLITE_CONSTRAINT), None);
        let of = |source| StoreError::Io { what: "write", path: "/x".into(), source }.failure();
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::FBIG, rustix::io::Errno::DQUOT] {
            assert_eq!(of(errno.into()), Some(DbFailure::Unwritable), "{errno}");
        }
        assert_eq!(of(rustix::io::Errno::ACCESS.into()), None);
    }
}
