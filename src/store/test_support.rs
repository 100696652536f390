//! What the tests of this room share: a moment, and a place for a database.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::{
    model::clock::{BootId, Boottime, Moment, Timestamp},
    store::sqlite::connection::Store,
};

pub(super) fn now() -> Moment {
    Moment { wall: Timestamp::from_nanos(5), boottime: Boottime::from_nanos(5), boot: BootId([1; 16]) }
}

/// A private directory, and the path of a database in it.
pub(super) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = directory.path().join("db");
    (directory, path)
}

impl Store {
    /// Has each write fail, as on a file system that is read-only; reads go on.
    pub(crate) fn refuse_writes(&self, is_refused: bool) {
        self.db.pragma_update(None, "query_only", is_refused).unwrap();
    }
}
