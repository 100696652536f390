//! The database file: who may open it, how it grows from version to version, and how an outcome is stored whole.
//!
//! WAL with `synchronous=FULL`: after a power cut WAL with NORMAL had lost acknowledged rows in three of six rounds on ext4, FULL
//! in none of six.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{
    model::{
        clock::Moment,
        event::{Channel, Event},
        file::entry::{AreaId, EntryId},
        originator::UrgentScan,
    },
    store::sqlite::{
        error::{StoreError, Trying},
        files::io_error,
        notifiers::ChannelNotifiers,
        write_buffer::{Counters, PendingWrites},
    },
};

/// How many entry ids are reserved at once; a command that writes beside the daemon gets a block of its own.
const ID_BLOCK: i64 = 1000;

/// Is told of an event that was stored, with its number.
pub type EventTeller = fn(u64, &Event);

/// The store, synchronous; [`crate::store::db::Db`] is the way in for tasks.
#[derive(Debug)]
pub struct Store {
    pub(in crate::store) db: Connection,
    pub(in crate::store) path: PathBuf,
    pub(in crate::store) pending: PendingWrites,
    pub(in crate::store) alive: Alive,
    pub(in crate::store) queues: Vec<StaleQueue>,
    pub(in crate::store) visit: i64,
    ids: Range<i64>,
    uuid: [u8; 16],
    pub(in crate::store) bells: ChannelNotifiers,
    /// What opening it found that should be told.
    pub(in crate::store) notices: Vec<String>,
    /// Who is told of each event that was stored, with its number.
    pub(in crate::store) teller: Option<EventTeller>,
    /// `PRAGMA data_version` when it was last asked whether others have written, and at the last commit.
    others_seen: i64,
    pub(in crate::store) others_at_commit: i64,
    pub(in crate::store) lock: Option<File>,
    /// Device and inode of the file that is open.
    pub(in crate::store) identity: (u64, u64),
    /// Up to where the chain is marked.
    pub(in crate::store) marked: Option<u64>,
    /// Number and hash of the last event after the last commit; `None` before the first.
    pub(in crate::store) passed: Option<(u64, [u8; 32])>,
    /// What urgent events wait, as far as was looked.
    pub(in crate::store) urgent: BTreeMap<Channel, UrgentScan>,
    /// How many bytes of the database were in use when those of events were measured, and how many these were.
    pub(in crate::store) measured: Option<(u64, u64)>,
    /// When it was last logged that a delivery cannot be read.
    pub(in crate::store) unread_logged: Cell<Option<Moment>>,
}

impl Store {
    /// Whether another process has written since this was last asked.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn have_others_written(&mut self) -> Result<bool, StoreError> {
        let version = data_version(&self.db)?;
        Ok(std::mem::replace(&mut self.others_seen, version) != version)
    }

    pub(in crate::store) fn over(db: Connection, path: &Path) -> Result<Self, StoreError> {
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
            pending: PendingWrites::default(),
            alive: Alive::default(),
            queues: Vec::new(),
            visit,
            ids: 0..0,
            uuid,
            bells: ChannelNotifiers::default(),
            notices: Vec::new(),
            teller: None,
            lock: None,
            identity: (found.dev(), found.ino()),
            marked: None,
            measured: None,
            passed: None,
            urgent: BTreeMap::new(),
        })
    }

    /// The unique id of this database, part of every Message-ID.
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.uuid)
    }

    pub(in crate::store) const fn set_uuid(&mut self, id: uuid::Uuid) {
        self.uuid = id.into_bytes();
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
    pub fn set_teller(&mut self, teller: EventTeller) {
        self.teller = Some(teller);
    }

    /// The bells that are rung when events were committed.
    pub fn bells(&self) -> ChannelNotifiers {
        self.bells.clone()
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

/// For every connection.
pub(in crate::store) const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX.union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

pub(in crate::store) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let real = fs::canonicalize(path).map_err(io_error("open the database", path))?;
    prepared(Connection::open_with_flags(real, access | FLAGS).trying("open the database file")?)
}

pub(in crate::store) fn prepared(db: Connection) -> Result<Connection, StoreError> {
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

pub(in crate::store) fn set_pragmas(db: &Connection) -> Result<(), StoreError> {
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

/// The signs of this life.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Alive {
    pub(in crate::store) latest: Option<Moment>,
    pub(in crate::store) written: Option<Moment>,
}

impl Alive {
    pub(in crate::store) fn unwritten(&self) -> Option<Moment> {
        self.latest.filter(|latest| Some(*latest) != self.written)
    }

    pub(in crate::store) fn written(&mut self) {
        self.written = self.latest;
    }
}

/// The stalest entries with the visit numbers they were fetched with; one that was looked at since has another number.
#[derive(Debug, Default)]
pub(in crate::store) struct StaleQueue {
    pub(in crate::store) waiting: VecDeque<(EntryId, i64)>,
    pub(in crate::store) areas: Vec<AreaId>,
}
