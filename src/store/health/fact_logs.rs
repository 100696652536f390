//! How the logs stand: how far each was read, and what keeps it from being read.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use crate::{
    model::{
        clock::Timestamp,
        escape::escape_name,
        log::position::{Position, ReadRefusal},
    },
    store::sqlite::{connection::Store, error::StoreError},
};

/// One log of one group.
#[derive(Debug, Clone)]
pub struct LogFacts {
    /// Its path, made printable.
    pub path: String,
    /// The rules it is read by, made printable.
    pub rules: String,
    /// Up to which byte it was read; `None` when it was not seen yet, and of the journal.
    pub offset: Option<u64>,
    /// Bytes that are there and were not read; `None` when that cannot be told.
    pub lag: Option<u64>,
    /// What keeps it from being read, and since when.
    pub trouble: Option<(&'static str, Timestamp)>,
}

/// All logs that have a position.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn logs(store: &Store) -> Result<Vec<LogFacts>, StoreError> {
    let mut found = Vec::new();
    for name in store.log_names()? {
        let Some(state) = store.log_state(&name)? else { continue };
        let anchor = match &state.position {
            Position::At(anchor) => Some(anchor),
            Position::Beginning | Position::Unbegun => None,
        };
        let live = fs::metadata(Path::new(OsStr::from_bytes(&name.path))).ok();
        let lag = anchor.map(|anchor| {
            let is_same = |live: &&fs::Metadata| live.ino() == anchor.file.inode;
            live.as_ref().filter(is_same).map_or(anchor.length, fs::Metadata::len).saturating_sub(anchor.offset)
        });
        // A log that may be missing is never told of.
        let trouble = state.trouble.filter(|trouble| trouble.told.is_some());
        found.push(LogFacts {
            path: escape_name(&name.path),
            rules: escape_name(&name.group),
            offset: anchor.map(|anchor| anchor.offset),
            lag,
            trouble: trouble.map(|trouble| (word(trouble.refusal), trouble.since)),
        });
    }
    for group in store.journal_groups()? {
        let trouble = store.journal_state(&group)?.and_then(|state| state.trouble);
        found.push(LogFacts {
            path: "journal".to_owned(),
            rules: escape_name(&group),
            offset: None,
            lag: None,
            trouble: trouble.map(|trouble| ("unreadable", trouble.since)),
        });
    }
    Ok(found)
}

/// What keeps a log from being read, in a word.
pub const fn word(refusal: ReadRefusal) -> &'static str {
    match refusal {
        ReadRefusal::Missing => "missing",
        ReadRefusal::Unreadable(_) => "unreadable",
        ReadRefusal::Kind(_) => "no file",
        ReadRefusal::Link(_) | ReadRefusal::HardLink => "planted",
    }
}
