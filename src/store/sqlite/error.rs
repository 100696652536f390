//! What can go wrong with the database, in words for an administrator.

use std::{error::Error, io, path::PathBuf};

use crate::{model::canonical::CanonicalError, sys::fs::ownership::OwnershipError};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` refused or failed.
    #[error("database: could not {what}")]
    Sqlite {
        /// What was tried.
        what: &'static str,
        /// `SQLite`'s answer.
        source: rusqlite::Error,
    },
    /// A file or directory of the state could not be used.
    #[error("could not {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can change the state.
    #[error("state directory not trusted")]
    Distrust(#[from] OwnershipError),
    /// Another daemon holds the lock.
    #[error("another integrityd is running on {}: stop it first, or use another database", path.display())]
    Running {
        /// The lock file.
        path: PathBuf,
    },
    /// The database was written by a newer integrityd.
    #[error("{} has schema {found}, this integrityd knows {known}: use a newer integrityd, nothing was touched", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database was written by an older integrityd, and only the daemon may bring it up to date.
    #[error("the database {} has schema {found}, this program needs {known}: start the daemon (integrityd run, or run --once), which brings it up to date", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// There is no database to read.
    #[error("there is no database at {}: start `integrityd run` or `integrityd init` first, or name the configuration with --config", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A check of the database has found damage.
    #[error("the database {} is damaged: {found}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// It is damaged, and so was the one before it.
    #[error("the database {} is damaged for the second time within an hour (the first lies as {}): the disk or the memory of this machine seems to fail; see to that, then start integrityd again", path.display(), aside.display())]
    DamagedAgain {
        /// The database.
        path: PathBuf,
        /// The one before it.
        aside: PathBuf,
    },
    /// Nothing of a report waits to be delivered.
    #[error("nothing of report {report} waits to be delivered: `queue list` shows what does")]
    NotWaiting {
        /// Its number.
        report: i64,
    },
    /// An event cannot be read back.
    #[error("event {seq} cannot be read back")]
    Event {
        /// Its number.
        seq: u64,
        /// Why.
        source: CanonicalError,
    },
    /// A row holds a value that this program never writes.
    #[error("database: impossible value in {what}: has it been edited by hand?")]
    Row {
        /// Which table.
        what: &'static str,
    },
    /// The chain of events is broken.
    #[error("the chain of events is broken at {seq}: {why}")]
    Chain {
        /// The first event that does not fit.
        seq: u64,
        /// In what way.
        why: &'static str,
    },
}

/// Adds what was tried to an error of `SQLite`.
pub(in crate::store) trait Trying<T> {
    fn trying(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Trying<T> for Result<T, rusqlite::Error> {
    fn trying(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { what, source })
    }
}

/// An error and its causes in one line; a cause that is already in the words is not repeated.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
