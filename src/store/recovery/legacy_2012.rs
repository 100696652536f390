//! How far the daemon of 2012 had read its logs.
//!
//! What the columns of its table `LogPosition` are called is not written down anywhere, so they are known by their names: one for a
//! path, one for an offset in bytes, and perhaps one for an inode.

use std::{fs, path::Path};

use rusqlite::{Connection, OpenFlags, types::ValueRef};

use crate::store::sqlite::{
    connection::{Store, connect},
    error::{StoreError, Trying},
    files::{beside, io_error},
};

/// The ending of a database that was set aside.
pub(in crate::store) const ASIDE: &str = ".2012";

/// Most positions that are read.
const MOST: usize = 100_000;

/// What a column is called, the surest first: the whole name, or a part of it.
const PATH: [&str; 8] = ["path", "filename", "logfile", "file", "logname", "log", "name", "source"];
const OFFSET: [&str; 4] = ["offset", "position", "pos", "bytes"];
const INODE: [&str; 2] = ["inode", "ino"];

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPosition {
    /// The log, as raw bytes.
    pub path: Vec<u8>,
    /// So many bytes of it.
    pub offset: u64,
    /// Its inode, where that was noted.
    pub inode: Option<u64>,
}

/// What a table of positions holds.
#[derive(Debug, Default)]
pub(in crate::store) struct OldPositions {
    pub(in crate::store) found: Vec<OldPosition>,
    /// Rows that are no position.
    pub(super) odd: usize,
    /// The names of its columns.
    pub(in crate::store) columns: Vec<String>,
    /// Whether there is a column for a path and one for an offset.
    pub(super) is_understood: bool,
}

impl OldPositions {
    /// What to say about them.
    pub(in crate::store) fn words(&self) -> String {
        if !self.is_understood {
            let names = crate::model::escape::escape_cut(self.columns.join(", ").as_bytes(), 200);
            return format!(
                "its log positions are not taken over, because the columns of LogPosition are not understood ({names})"
            );
        }
        let odd = if self.odd > 0 { format!(", {} rows are not understood", self.odd) } else { String::new() };
        format!("log positions in it: {}, taken over for the logs that are configured{odd}", self.found.len())
    }
}

impl Store {
    /// How far the daemon of 2012 had read its logs, when its database was set aside beside this one; none when it was not, or when its
    /// table is not understood.
    ///
    /// # Errors
    /// [`StoreError`] when it is there and cannot be read.
    pub fn positions_of_2012(&self) -> Result<Vec<OldPosition>, StoreError> {
        let aside = beside(&self.path, ASIDE);
        if !aside.exists() {
            return Ok(Vec::new());
        }
        Ok(read(&connect(&aside, OpenFlags::SQLITE_OPEN_READ_ONLY)?)?.found)
    }
}

/// Reads the table `LogPosition`.
pub(in crate::store) fn read(db: &Connection) -> Result<OldPositions, StoreError> {
    let columns: Vec<String> = db
        .prepare("SELECT name FROM pragma_table_info('LogPosition') ORDER BY cid LIMIT 100")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .trying("read the columns of the positions of 2012")?;
    let mut found = OldPositions { columns, ..OldPositions::default() };
    let offset = named(&found.columns, &OFFSET, &[]);
    let inode = named(&found.columns, &INODE, &[offset]);
    let path = named(&found.columns, &PATH, &[offset, inode]);
    let (Some(path), Some(offset)) = (path, offset) else { return Ok(found) };
    found.is_understood = true;
    let mut statement = db
        .prepare(&format!("SELECT * FROM LogPosition LIMIT {MOST}"))
        .trying("prepare to read the positions of 2012")?;
    let mut rows = statement.query([]).trying("read the positions of 2012")?;
    while let Some(row) = rows.next().trying("read the positions of 2012")? {
        let at = |column: usize| row.get_ref(column).ok();
        let inode = inode.and_then(at).and_then(number);
        match (at(path).and_then(text), at(offset).and_then(number)) {
            (Some(path), Some(offset)) if Path::new(&as_os(&path)).is_absolute() => {
                found.found.push(OldPosition { path, offset, inode: inode.filter(|inode| *inode > 0) });
            }
            _ => found.odd += 1,
        }
    }
    Ok(found)
}

/// The column that is called by one of `names`, or else has one in its name; none of those `taken`.
fn named(columns: &[String], names: &[&str], taken: &[Option<usize>]) -> Option<usize> {
    let is_free = |at: &usize| !taken.contains(&Some(*at));
    let find = |is_it: &dyn Fn(&str) -> bool| {
        (0..columns.len())
            .filter(is_free)
            .find(|at| columns.get(*at).is_some_and(|name| is_it(&name.to_ascii_lowercase())))
    };
    let whole = names.iter().find_map(|wanted| find(&|name| name == *wanted));
    whole.or_else(|| {
        names.iter().filter(|wanted| wanted.len() > 2).find_map(|wanted| find(&|name| name.contains(wanted)))
    })
}

fn text(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn number(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Integer(number) => u64::try_from(number).ok(),
        ValueRef::Text(digits) => str::from_utf8(digits).ok()?.trim().parse().ok(),
        _ => None,
    }
}

fn as_os(bytes: &[u8]) -> std::ffi::OsString {
    <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes.to_vec())
}

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

/// Renames a database of 2012 to make room; gives what is to be said, which tells `positions`, those of logs in it.
pub(in crate::store) fn set_2012_aside(path: &Path, positions: &str) -> Result<String, StoreError> {
    let aside = beside(path, ASIDE);
    fs::rename(path, &aside).map_err(io_error("set aside the database of 2012 at", path))?;
    Ok(format!(
        "a database of the 2012 integrityd was found and set aside as {}; the baseline is built anew; {positions}",
        crate::model::escape::escape_name(aside.as_os_str().as_encoded_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(schema: &str) -> OldPositions {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(schema).unwrap();
        read(&db).unwrap()
    }

    fn at(path: &str, offset: u64, inode: Option<u64>) -> OldPosition {
        OldPosition { path: path.as_bytes().to_vec(), offset, inode }
    }

    #[test]
    fn a_plain_table_of_positions_is_understood_in_several_shapes() {
        for schema in [
            "CREATE TABLE LogPosition (Path TEXT PRIMARY KEY, Position INTEGER, Inode INTEGER); INSERT INTO LogPosition VALUES ('/l', 7, 9)",
            "CREATE TABLE LogPosition (id INTEGER, inode INTEGER, log_file TEXT, byte_offset TEXT); INSERT INTO LogPosition VALUES (1, 9, '/l', '7')",
            "CREATE TABLE LogPosition (filename BLOB, pos INTEGER, ino INTEGER); INSERT INTO LogPosition VALUES (x'2f6c', 7, 9)",
        ] {
            let found = positions(schema);
            assert!(found.is_understood, "{schema}");
            assert_eq!(found.found, [at("/l", 7, Some(9))], "{schema}");
            assert_eq!(found.words(), "log positions in it: 1, taken over for the logs that are configured");
        }
        let found = positions(
            "CREATE TABLE LogPosition (Name, \"Offset\"); INSERT INTO LogPosition VALUES ('/l', 3), ('rel', 1), ('/m', -1), (NULL, 1)",
        );
        assert_eq!((found.found.clone(), found.odd), (vec![at("/l", 3, None)], 3));
        assert!(found.words().ends_with("3 rows are not understood"));
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_columns() {
        for schema in [
            "CREATE TABLE LogPosition (a, b)",
            "CREATE TABLE LogPosition (path, lines)",
            "CREATE TABLE LogPosition (position)",
        ] {
            let found = positions(schema);
            assert!(!found.is_understood && found.found.is_empty(), "{schema}");
        }
        let words = positions("CREATE TABLE LogPosition (a, \"b\u{1b}[2J\")").words();
        assert!(words.ends_with("not understood (a, b\\x1b[2J)"), "{words}");
        // The number of a row in another table is no path.
        let found = positions(
            "CREATE TABLE LogPosition (log INTEGER, position INTEGER); INSERT INTO LogPosition VALUES (4, 7)",
        );
        assert_eq!((found.found.len(), found.odd), (0, 1));
    }
}
