//! How the database grows from version to version: a copy first, then everything in one transaction.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, TransactionBehavior};

use crate::store::sqlite::{
    error::{StoreError, Trying},
    files::{io_error, make_private_file},
};

/// The first script makes an empty database and is a transaction of its own; the others run together in one.
const MIGRATIONS: [&str; 14] = [
    include_str!("../../../sql/0001_baseline.sql"),
    include_str!("../../../sql/0002_logs.sql"),
    include_str!("../../../sql/0003_journal.sql"),
    include_str!("../../../sql/0004_rules.sql"),
    include_str!("../../../sql/0005_attributes.sql"),
    include_str!("../../../sql/0006_mounts.sql"),
    include_str!("../../../sql/0007_processes.sql"),
    include_str!("../../../sql/0008_trust.sql"),
    include_str!("../../../sql/0009_troubles.sql"),
    include_str!("../../../sql/0010_own_mail.sql"),
    include_str!("../../../sql/0011_unseen.sql"),
    include_str!("../../../sql/0012_first_round.sql"),
    include_str!("../../../sql/0013_originators.sql"),
    include_str!("../../../sql/0014_machine.sql"),
];

/// The schema of this program.
pub(in crate::store) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The schema of a database; 0 for an empty one.
pub(in crate::store) fn version(db: &Connection) -> Result<u32, StoreError> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
        .trying("read the schema version (is it an integrityd database?)")
}

pub(in crate::store) fn refuse_newer(path: &Path, found: u32) -> Result<(), StoreError> {
    if found > known() {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known: known() });
    }
    Ok(())
}

pub(in crate::store) fn refuse_older(path: &Path, found: u32) -> Result<(), StoreError> {
    if found < known() {
        return Err(StoreError::Older { path: path.to_path_buf(), found, known: known() });
    }
    Ok(())
}

/// Where the copy of a database lies that had schema `found` before it was brought up to date.
pub(in crate::store) fn copy_path(path: &Path, found: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{found}"));
    PathBuf::from(name)
}

/// The copies that migrations up to this program may have left.
pub(in crate::store) fn copies(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    (1..known()).map(|found| copy_path(path, found))
}

/// Brings the database up to date; gives what should be told.
pub(in crate::store) fn migrate(db: &mut Connection, path: &Path) -> Result<Option<String>, StoreError> {
    let mut found = version(db)?;
    refuse_newer(path, found)?;
    if found == known() {
        return Ok(None);
    }
    let mut notice = None;
    if found == 0 {
        let [first, ..] = MIGRATIONS;
        db.execute_batch(first).trying("make the first tables")?;
        found = 1;
    } else if found < known() {
        let copy = copy_to_side(db, path, found)?;
        notice = Some(format!(
            "the database was brought from schema {found} to {}; as it was it lies at {}",
            known(),
            crate::model::escape::escape_name(copy.as_os_str().as_encoded_bytes())
        ));
    }
    let tx =
        db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin to bring the schema up to date")?;
    for script in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        tx.execute_batch(script).trying("bring the schema up to date")?;
    }
    tx.commit().trying("bring the schema up to date")?;
    Ok(notice)
}

/// `VACUUM INTO` makes its file by the umask, but takes an empty one as it is.
fn copy_to_side(db: &Connection, path: &Path, found: u32) -> Result<PathBuf, StoreError> {
    let copy = copy_path(path, found);
    match fs::remove_file(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("replace the copy", &copy)(error));
        }
        _ => {}
    }
    make_private_file(&copy)?;
    db.execute("VACUUM INTO CAST(?1 AS TEXT)", [copy.as_os_str().as_encoded_bytes().to_vec()])
        .trying("copy the database before its schema changes (is there room?)")?;
    Ok(copy)
}
