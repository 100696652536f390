//! Opening the database: made when it is missing, migrated, or as it is for questions only.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, params};

use crate::{
    model::clock::Moment,
    store::{
        recovery::legacy_2012::{has_2012_tables, set_2012_aside},
        sqlite::{
            connection::{FLAGS, Store, connect, prepared, set_pragmas},
            error::{StoreError, Trying as _},
            files::{beside, io_error, is_running, make_private_file},
            schema,
        },
    },
    sys::fs::{ownership, space::space},
};

/// Whether nobody can write the database just now: its file system is read-only, or this user may not write there and no daemon runs.
pub(in crate::store) fn is_at_rest(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(Path::new("/"));
    space(directory).is_some_and(|space| space.is_read_only)
        || !ownership::may_write(directory) && is_running(path) == Some(false)
}

/// Opens a database that lies where nothing can be written: on read-only media, or as another user's copy. Readers of a journal in WAL mode
/// share an index in a file that would have to be made; with an exclusive lock it is kept in memory (sqlite.org/wal.html, "Use of WAL
/// Without Shared-Memory"), and that lock in turn can only be had where files are not locked at all. Without a journal, which would have to
/// be made as well, the file is all there is.
pub(in crate::store) fn connect_at_rest(path: &Path) -> Result<Connection, StoreError> {
    let real = fs::canonicalize(path).map_err(io_error("open the database", path))?;
    if !beside(&real, "-wal").exists() {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
        let letter = |byte: u8| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
        let name: String = real.as_os_str().as_encoded_bytes().iter().copied().map(letter).collect();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | FLAGS;
        let db = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags);
        return prepared(db.trying("open the database file")?);
    }
    let db = Connection::open_with_flags_and_vfs(real, OpenFlags::SQLITE_OPEN_READ_ONLY | FLAGS, c"unix-none")
        .trying("open the database file")?;
    db.pragma_update(None, "locking_mode", "EXCLUSIVE").trying("keep the index of its journal in memory")?;
    prepared(db)
}

pub(in crate::store) fn ensure_instance(db: &Connection, now: Moment) -> Result<(), StoreError> {
    // Nothing is written where nothing is missing, so that nobody is waited for.
    let is_there = db.query_row("SELECT EXISTS (SELECT 1 FROM instance)", [], |row| row.get(0));
    if is_there.trying("look who this database is")? {
        return Ok(());
    }
    let uuid = uuid::Uuid::new_v4();
    db.execute(
        "INSERT INTO instance (only, uuid, created, head, seq, visit, next_entry, looks, bytes, alive_wall, alive_boottime,
             alive_boot, clean)
         VALUES (1, ?1, ?2, zeroblob(32), 0, 0, 1, 0, 0, ?2, ?3, ?4, 1) ON CONFLICT (only) DO NOTHING",
        params![
            uuid.as_bytes(),
            now.wall.as_nanos(),
            now.boottime.as_nanos(),
            now.boot.0
        ],
    )
    .trying("give the database its identity")
    .map(|_rows| ())
}

impl Store {
    /// Opens the file as it is, or makes it. The lock is the business of the caller.
    pub(in crate::store) fn open_file(path: &Path, now: Moment) -> Result<Self, StoreError> {
        let mut notices = Vec::new();
        make_private_file(path)?;
        let found = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let is_of_2012 = has_2012_tables(&found)?;
        drop(found);
        if is_of_2012 {
            notices.push(set_2012_aside(path)?);
            make_private_file(path)?;
        }
        let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        notices.extend(schema::migrate(&mut db, path)?);
        set_pragmas(&db)?;
        ensure_instance(&db, now)?;
        let mut store = Self::over(db, path)?;
        store.notices = notices;
        Ok(store)
    }

    /// Opens an existing database for questions only.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none, [`StoreError::Older`] and [`StoreError::Newer`] for one of another program.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: path.to_path_buf() });
            }
            Err(error) => return Err(io_error("read the database", path)(error)),
            Ok(_) => {}
        }
        let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let (db, found) = match opened.and_then(|db| Ok((schema::version(&db)?, db))) {
            Ok((found, db)) => (db, found),
            Err(_) if is_at_rest(path) => {
                let db = connect_at_rest(path)?;
                let found = schema::version(&db)?;
                (db, found)
            }
            Err(error) => return Err(error),
        };
        if found == 0 {
            return Err(StoreError::Missing { path: path.to_path_buf() });
        }
        schema::refuse_newer(path, found)?;
        schema::refuse_older(path, found)?;
        Self::over(db, path)
    }

    /// Opens an existing database to write beside a daemon that may be running: by short transactions, each of which reads what it
    /// builds upon. The daemon notices within a second ([`Store::have_others_written`]).
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none, [`StoreError::Distrust`] when others can write it, [`StoreError::Older`] and
    /// [`StoreError::Newer`] for one of another program.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        // Looks whether it is there and ours before anything is opened for writing.
        drop(Self::open_read_only(path)?);
        ownership::check_state_but_for_groups(path)?;
        let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::refuse_older(path, schema::version(&db)?)?;
        set_pragmas(&db)?;
        Self::over(db, path)
    }
}

/// The files that belong to the database at `path`: itself, its journal files, the lock, and copies of older schemas.
pub(crate) fn own_files(path: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal", ".lock", ".mark", ".mark.new", ".fresh"]
        .iter()
        .map(|suffix| beside(path, suffix))
        .chain(schema::copies(path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::event::{Category, Event, Severity},
        store::{
            events::outcome::Outcome,
            test_support::{now, scratch},
        },
    };

    #[test]
    fn what_is_in_the_journal_only_is_read_where_nothing_can_be_written() {
        let (_directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        let event = Event::new(Category::Notice, Severity::Normal, now(), Vec::new()).with_note("in the journal");
        store.commit(&Outcome::tell(event)).unwrap();
        // As after a power cut: the journal was not written back, and its index is gone.
        let (copy_of, copies) = scratch();
        for ending in ["", "-wal"] {
            let name = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
            fs::copy(name(&path), name(&copies)).unwrap();
        }
        assert!(fs::metadata(format!("{}-wal", copies.display())).unwrap().len() > 0);
        let kept = Store::over(connect_at_rest(&copies).unwrap(), &copies).unwrap();
        assert_eq!(kept.head().unwrap(), store.head().unwrap());
        assert_eq!(kept.verify().unwrap().seq, 1);
        drop((kept, store));
        let (quiet_of, quiet) = scratch();
        fs::copy(&path, &quiet).unwrap();
        let kept = Store::over(connect_at_rest(&quiet).unwrap(), &quiet).unwrap();
        assert_eq!(kept.head().unwrap().seq, 1, "without a journal");
        assert_eq!(fs::read_dir(quiet_of.path()).unwrap().count(), 1, "nothing was made beside it");
        let left: Vec<_> = fs::read_dir(copy_of.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "nothing was made beside it: {left:?}");
    }
}
