//! A database of the daemon of 2012 in the place of ours: it is set aside, and nothing of it is taken over.

use std::{fs, path::Path};

use rusqlite::Connection;

use crate::store::sqlite::{
    error::{StoreError, Trying},
    files::{beside, io_error},
};

/// The ending of a database that was set aside.
const ASIDE: &str = ".2012";

/// Whether the file is a database of the 2012 daemon (tables `NodeInfo`, `LogPosition`, `PID`).
pub(in crate::store) fn has_2012_tables(db: &Connection) -> Result<bool, StoreError> {
    let tables: i64 = db
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('NodeInfo', 'LogPosition', 'PID')",
            [],
            |row| row.get(0),
        )
        .trying("read the file as a database (is it one?)")?;
    Ok(tables == 3)
}

/// Renames a database of 2012 to make room; gives what is to be said.
pub(in crate::store) fn set_2012_aside(path: &Path) -> Result<String, StoreError> {
    let aside = beside(path, ASIDE);
    fs::rename(path, &aside).map_err(io_error("set aside the database of 2012 at", path))?;
    Ok(format!(
        "a database of the 2012 integrityd was found and set aside as {}; the baseline is built anew, and logs are read from their \
         end",
        crate::model::escape::escape_name(aside.as_os_str().as_encoded_bytes())
    ))
}
