//! What a pass is over: what was asked for, where ids come from, a directory on its way.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::{
    files::{area::watched_areas::is_beneath, remote::lookup::DirHandle},
    model::file::entry::{Entry, EntryId},
    store::{db::Db, sqlite::error::StoreError},
};

/// What of the areas is looked at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// These paths and everything beneath them; empty for everything.
    pub paths: Vec<Vec<u8>>,
}

impl Scope {
    /// Whether `path` is looked at.
    pub fn covers(&self, path: &[u8]) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|wanted| is_beneath(path, wanted))
    }

    /// Whether something that is looked at lies at, beneath or above `path`.
    pub fn concerns(&self, path: &[u8]) -> bool {
        self.covers(path) || self.paths.iter().any(|wanted| is_beneath(wanted, path))
    }
}

/// Ids for new rows, reserved in blocks.
#[derive(Debug)]
pub struct Ids {
    db: Db,
    block: Mutex<Range<i64>>,
}

impl Ids {
    /// Ids from `db`.
    pub fn new(db: Db) -> Self {
        Self { db, block: Mutex::new(0..0) }
    }

    pub(in crate::files) fn next(&self) -> Result<EntryId, StoreError> {
        let mut block = self.block.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(id) = block.next() {
                return Ok(EntryId(id));
            }
            *block = self.db.lock().reserve_ids(IDS)?;
        }
    }
}

/// A directory that is to be listed.
#[derive(Debug)]
pub struct Directory {
    /// Which of the areas.
    pub area: usize,
    /// Its row, or what will be its row.
    pub entry: Box<Entry>,
    /// Whether the baseline has nothing beneath it.
    pub is_new: bool,
    /// Its whole path. No descriptor: a tree may be deeper and broader than there are descriptors.
    pub path: Vec<u8>,
}

/// An open directory whose names are looked at.
#[derive(Debug)]
pub(in crate::files) struct ScanPlace {
    pub(in crate::files) area: usize,
    pub(in crate::files) entry: Box<Entry>,
    pub(in crate::files) path: Vec<u8>,
    pub(in crate::files) directory: DirHandle,
    /// Whether nobody but root puts anything into it.
    pub(in crate::files) is_of_root: bool,
}

/// What the baseline has at a path.
#[derive(Debug)]
pub(in crate::files) enum KnownEntry {
    /// This row.
    Yes(Box<Entry>),
    /// Nothing.
    No,
    /// It is to be asked.
    Ask,
}

/// A directory that was looked at and can be entered.
#[derive(Debug)]
pub(in crate::files) struct EnteredDir {
    pub(in crate::files) entry: Box<Entry>,
    pub(in crate::files) is_new: bool,
}

/// Ids for new rows reserved at once.
pub(super) const IDS: i64 = 10_000;
