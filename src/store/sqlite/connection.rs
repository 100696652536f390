//! The database file: who may open it, how it grows from version to version, and how an outcome is stored whole.
//!
//! WAL with `synchronous=FULL`: after a power cut WAL with NORMAL had lost acknowledged rows in three of six rounds on ext4, FULL
//! in none of six.

use std::{
    cell::Cell,
    fs::{self, File},
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, params};

use crate::{
    model::{clock::Moment, event::Event, file::entry::EntryId},
    store::{
        baseline::{entries::Pending, stalest::StaleQueue},
        events::outcome::Outcome,
        recovery::{file_header, last_alive::Alive, legacy_2012, reopen::open_vouched},
        sqlite::{
            error::{StoreError, Trying},
            files::{beside, has_2012_tables, io_error, is_running, make_private_file, set_2012_aside, take_lock},
            notifiers::Bells,
            schema,
        },
    },
    sys::fs::{ownership, space::space},
};

/// How many entry ids are reserved at once; a command that writes beside the daemon gets a block of its own.
const ID_BLOCK: i64 = 1000;

/// Is told of an event that was stored, with its number.
pub type Teller = fn(u64, &Event);

/// The store, synchronous; [`crate::store::db::Db`] is the way in for tasks.
#[derive(Debug)]
pub struct Store {
    pub(in crate::store) db: Connection,
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) pending: Pending,
    pub(in crate::store) alive: Alive,
    pub(in crate::store) queues: Vec<StaleQueue>,
    pub(in crate::store) visit: i64,
    ids: Range<i64>,
    uuid: [u8; 16],
    pub(in crate::store) bells: Bells,
    /// What opening it found that should be told.
    notices: Vec<String>,
    /// Who is told of each event that was stored, with its number.
    pub(in crate::store) teller: Option<Teller>,
    /// `PRAGMA data_version` when it was last asked whether others have written, and at the last commit.
    others_seen: i64,
    pub(in crate::store) others_at_commit: i64,
    pub(in crate::store) lock: Option<File>,
    /// Device and inode of the file that is open.
    pub(in crate::store) identity: (u64, u64),
    /// Up to where the chain is marked.
    pub(in crate::store) marked: Option<u64>,
    /// When it was last logged that a delivery cannot be read.
    pub(in crate::store) unread_logged: Cell<Option<Moment>>,
}

/// Looks and bytes since the database was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Looks.
    pub looks: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl Store {
    /// Opens the database for the daemon: makes it when it is missing, migrates it, takes the lock.
    ///
    /// # Errors
    /// [`StoreError::Running`] when another daemon has it, [`StoreError::Distrust`] when others can write it,
    /// [`StoreError::Newer`] when a newer program wrote it, others when the disk or `SQLite` refuse.
    pub fn open(path: &Path, now: Moment) -> Result<Self, StoreError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        ownership::make_private_directory(directory).map_err(|source| StoreError::Io {
            what: "make the state directory",
            path: directory.to_path_buf(),
            source,
        })?;
        let mut notices = Vec::new();
        if let Err(distrust) = ownership::check_state(directory) {
            // A directory of our own has no business with groups; one that is shared may.
            if directory.file_name().is_some_and(|name| name == "integrityd") {
                return Err(distrust.into());
            }
            ownership::check_state_but_for_groups(directory)?;
            notices.push(format!("the database lies where its group can replace it: {distrust}"));
        }
        let lock = take_lock(path)?;
        let found = file_header::version(path).map_err(io_error("read the schema version of", path))?;
        schema::refuse_newer(path, found)?;
        let mut store = open_vouched(path, now)?;
        store.lock = Some(lock);
        store.notices.extend(notices);
        Ok(store)
    }

    /// Opens the file as it is, or makes it. The lock is the business of the caller.
    pub(in crate::store) fn open_file(path: &Path, now: Moment) -> Result<Self, StoreError> {
        let mut notices = Vec::new();
        make_private_file(path)?;
        let found = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let positions = if has_2012_tables(&found)? { Some(legacy_2012::read(&found)?.words()) } else { None };
        drop(found);
        if let Some(positions) = positions {
            notices.push(set_2012_aside(path, &positions)?);
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

    /// Whether another process has written since this was last asked.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn have_others_written(&mut self) -> Result<bool, StoreError> {
        let version = data_version(&self.db)?;
        Ok(std::mem::replace(&mut self.others_seen, version) != version)
    }

    fn over(db: Connection, path: &Path) -> Result<Self, StoreError> {
        db.set_prepared_statement_cache_capacity(64);
        let (visit, uuid) = db
            .query_row(
                // Per area, so that the index answers without a pass over all entries.
                "SELECT max(visit, (SELECT coalesce(max((SELECT max(visit) FROM entry WHERE entry.area = area.id)), 0)
                                    FROM area)), uuid FROM instance",
                [],
                |row| Ok((row.get(0)?, crate::store::sqlite::columns::needed_array(row, 1)?)),
            )
            .trying("read who this database is")?;
        let version = data_version(&db)?;
        let found = fs::metadata(path).map_err(io_error("look at the database", path))?;
        Ok(Self {
            db,
            unread_logged: Cell::new(None),
            others_seen: version,
            others_at_commit: version,
            path: path.to_path_buf(),
            pending: Pending::default(),
            alive: Alive::default(),
            queues: Vec::new(),
            visit,
            ids: 0..0,
            uuid,
            bells: Bells::default(),
            notices: Vec::new(),
            teller: None,
            lock: None,
            identity: (found.dev(), found.ino()),
            marked: None,
        })
    }

    /// The unique id of this database, part of every Message-ID.
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.uuid)
    }

    /// What opening it found that should be told, once.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// The number of the next look; orders looks, whatever the clocks do.
    pub fn next_visit(&mut self) -> i64 {
        self.visit = self.visit.saturating_add(1);
        self.visit
    }

    /// The number of the last look.
    pub const fn last_visit(&self) -> i64 {
        self.visit
    }

    /// An id for a new entry.
    ///
    /// # Errors
    /// [`StoreError`] when a new block of ids cannot be reserved.
    pub fn new_entry_id(&mut self) -> Result<EntryId, StoreError> {
        loop {
            if let Some(id) = self.ids.next() {
                return Ok(EntryId(id));
            }
            self.ids = self.reserve_ids(ID_BLOCK)?;
        }
    }

    /// A block of `count` ids for new entries that nobody else will get.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be reserved.
    pub fn reserve_ids(&mut self, count: i64) -> Result<Range<i64>, StoreError> {
        let end: i64 = self
            .db
            .query_row("UPDATE instance SET next_entry = next_entry + ?1 RETURNING next_entry", [count], |row| {
                row.get(0)
            })
            .trying("reserve entry numbers")?;
        Ok(end - count..end)
    }

    /// Has `teller` told of each event that is stored from now on.
    pub fn set_teller(&mut self, teller: Teller) {
        self.teller = Some(teller);
    }

    /// The bells that are rung when events were committed.
    pub fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// Writes the looks that found nothing new. Cost: one transaction, none when there are none.
    ///
    /// # Errors
    /// [`StoreError`]; the looks are kept and written with the next ones.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.commit(&Outcome::default()).map(|_seq| ())
    }

    /// Looks and bytes since the database was made, those not yet written included.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn counters(&self) -> Result<Counters, StoreError> {
        let stored = self
            .db
            .query_row("SELECT looks, bytes FROM instance", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .trying("read the counters")?;
        let pending = self.pending.counters();
        Ok(Counters {
            looks: stored.0.cast_unsigned().saturating_add(pending.looks),
            bytes: stored.1.cast_unsigned().saturating_add(pending.bytes),
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether nobody can write the database just now: its file system is read-only, or this user may not write there and no daemon runs.
fn is_at_rest(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(Path::new("/"));
    space(directory).is_some_and(|space| space.is_read_only)
        || !ownership::may_write(directory) && is_running(path) == Some(false)
}

/// Opens a database that lies where nothing can be written: on read-only media, or as another user's copy. Readers of a journal in WAL mode
/// share an index in a file that would have to be made; with an exclusive lock it is kept in memory (sqlite.org/wal.html, "Use of WAL
/// Without Shared-Memory"), and that lock in turn can only be had where files are not locked at all. Without a journal, which would have to
/// be made as well, the file is all there is.
fn connect_at_rest(path: &Path) -> Result<Connection, StoreError> {
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

/// For every connection.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

pub(in crate::store) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let real = fs::canonicalize(path).map_err(io_error("open the database", path))?;
    prepared(Connection::open_with_flags(real, access | FLAGS).trying("open the database file")?)
}

fn prepared(db: Connection) -> Result<Connection, StoreError> {
    db.busy_timeout(std::time::Duration::from_secs(5)).trying("set the time to wait for others")?;
    // Else SQLite prepares a statement anew whenever a value is bound that its planner has looked at (`parent = ?`): a tenth of the
    // time of a full-speed pass, and plans that depend on values.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).trying("keep its plans stable")?;
    Ok(db)
}

/// Has the journal stay as it is when the database is closed.
pub(in crate::store) fn keep_journal(db: &Connection) -> Result<(), StoreError> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).trying("keep its journal").map(|_is_set| ())
}

fn set_pragmas(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048;
         PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 8388608;",
    )
    .trying("set it to survive power cuts")
}

/// A number that changes when another connection commits (`PRAGMA data_version`).
pub(in crate::store) fn data_version(db: &Connection) -> Result<i64, StoreError> {
    db.pragma_query_value(None, "data_version", |row| row.get(0)).trying("ask whether others have written")
}

fn ensure_instance(db: &Connection, now: Moment) -> Result<(), StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::event::{Category, Severity},
        store::test_support::{now, scratch},
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
