//! The areas as the store knows them: what state each is in, and what its root was.

use rusqlite::{OptionalExtension, Row, params};

use crate::{
    model::{
        canonical::encode_hash_state,
        clock::{BootId, Timestamp},
        file::{
            attribute::AttributeSet,
            entry::{AlgorithmSet, AreaId, FileKind, HashState},
        },
    },
    store::{
        baseline::missing::GONE,
        sqlite::{
            columns::array,
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// What is done with an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AreaState {
    /// Its first round is not complete: what is new is learned.
    Learning,
    /// It is compared.
    Watched,
    /// Its root is missing; the baseline is kept.
    Missing,
    /// Its root lies on another device than the baseline; the baseline is kept.
    Suspended,
    /// The configuration does not name it any more; the baseline is kept.
    Unconfigured,
}

impl AreaState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Learning, Self::Watched, Self::Missing, Self::Suspended, Self::Unconfigured];

    const fn code(self) -> i64 {
        match self {
            Self::Learning => 1,
            Self::Watched => 2,
            Self::Missing => 3,
            Self::Suspended => 4,
            Self::Unconfigured => 5,
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Its word in `status`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Watched => "watched",
            Self::Missing => "missing",
            Self::Suspended => "suspended",
            Self::Unconfigured => "not configured",
        }
    }

    /// Whether its entries are looked at.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Learning | Self::Watched)
    }
}

/// Which object the root of an area was, as evidence for "replaced".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootIdentity {
    /// Device, coded as in [`crate::model::file::entry::Attributes`].
    pub dev: u64,
    /// Inode.
    pub inode: u64,
    /// The boot in which they were seen; device numbers may change with it.
    pub boot: BootId,
}

/// An area as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaRow {
    /// Its row.
    pub id: AreaId,
    /// Its configured path, as raw bytes.
    pub path: Vec<u8>,
    /// Its state.
    pub state: AreaState,
    /// Whether it was still learning before it went missing or was left out.
    pub was_learning: bool,
    /// Complete rounds so far.
    pub rounds: u64,
    /// Begin of the current round.
    pub started: Option<Timestamp>,
    /// How many entries its first round will meet, counted before it began.
    pub expected: Option<u64>,
    /// What its root was.
    pub root: Option<RootIdentity>,
    /// The attributes last configured.
    pub attributes: AttributeSet,
    /// The digests last configured.
    pub algorithms: AlgorithmSet,
}

impl AreaRow {
    /// Whether what is met in it is learned. Where another tool's baseline was taken over, the first round counts as the second.
    pub fn is_new(&self) -> bool {
        self.state == AreaState::Learning && self.rounds == 0
    }
}

/// An area with what `status` shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaSummary {
    /// The area.
    pub area: AreaRow,
    /// Its entries.
    pub entries: u64,
    /// Those of them that could not be read when they were checked last.
    pub unreadable: u64,
    /// When the entry that has waited longest was looked at.
    pub oldest: Option<Timestamp>,
    /// Half of the entries were looked at since then.
    pub median: Option<Timestamp>,
    /// 95 of 100 entries were looked at since then.
    pub most: Option<Timestamp>,
}

const COLUMNS: &str = "id, path, state, was, rounds, started, dev, inode, boot, attributes, algorithms, expected";

fn area(row: &Row<'_>) -> rusqlite::Result<AreaRow> {
    let root = match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<i64>>(7)?, array(row, 8)?) {
        (Some(dev), Some(inode), Some(boot)) => {
            Some(RootIdentity { dev: dev.cast_unsigned(), inode: inode.cast_unsigned(), boot: BootId(boot) })
        }
        _ => None,
    };
    Ok(AreaRow {
        id: AreaId(row.get(0)?),
        path: row.get(1)?,
        state: AreaState::from_code(row.get(2)?).ok_or(rusqlite::Error::IntegralValueOutOfRange(2, 0))?,
        was_learning: row.get::<_, i64>(3)? == AreaState::Learning.code(),
        rounds: row.get::<_, i64>(4)?.cast_unsigned(),
        started: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_nanos),
        root,
        attributes: AttributeSet::from_bits(row.get(9)?),
        algorithms: AlgorithmSet::from_bits(row.get(10)?),
        expected: row.get::<_, Option<i64>>(11)?.map(i64::cast_unsigned),
    })
}

/// Writes the state of an area that has a row.
pub(in crate::store) fn put_area(db: &rusqlite::Connection, area: &AreaRow) -> Result<(), StoreError> {
    let was = if area.was_learning { AreaState::Learning } else { AreaState::Watched };
    db.prepare_cached(
        "UPDATE area SET state = ?2, was = ?3, rounds = ?4, started = ?5, dev = ?6, inode = ?7, boot = ?8, attributes = ?9, \
         algorithms = ?10, expected = ?11 WHERE id = ?1",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            area.id.0,
            area.state.code(),
            was.code(),
            area.rounds.cast_signed(),
            area.started.map(Timestamp::as_nanos),
            area.root.map(|root| root.dev.cast_signed()),
            area.root.map(|root| root.inode.cast_signed()),
            area.root.map(|root| root.boot.0),
            area.attributes.bits(),
            area.algorithms.bits(),
            area.expected.map(u64::cast_signed),
        ])
    })
    .trying("write the state of an area")
    .map(|_rows| ())
}

/// Makes an area watched with this root.
pub(in crate::store) fn put_accepted(
    db: &rusqlite::Connection,
    area: AreaId,
    root: RootIdentity,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE area SET state = 2, was = 2, dev = ?2, inode = ?3, boot = ?4 WHERE id = ?1")
        .and_then(|mut statement| {
            statement.execute(params![area.0, root.dev.cast_signed(), root.inode.cast_signed(), root.boot.0])
        })
        .trying("accept an area")
        .map(|_rows| ())
}

impl Store {
    /// All areas that ever were, by their rows.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn areas(&self) -> Result<Vec<AreaRow>, StoreError> {
        self.db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM area ORDER BY id LIMIT 100000"))
            .and_then(|mut statement| statement.query_map([], area)?.collect())
            .trying("read the areas")
    }

    /// The area with this path; a new one begins to learn.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be written.
    pub fn area_at(&mut self, path: &[u8]) -> Result<AreaRow, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM area WHERE path = ?1");
        let found = self.db.query_row(&select, [path], area).optional().trying("read an area")?;
        if let Some(found) = found {
            return Ok(found);
        }
        self.db
            .execute(
                "INSERT INTO area (path, state, was, rounds, attributes, algorithms) VALUES (?1, 1, 1, 0, 0, 0)",
                [path],
            )
            .trying("add an area")?;
        self.db.query_row(&select, [path], area).trying("read an area")
    }

    /// The areas whose entries are looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn active_areas(&self) -> Result<Vec<AreaId>, StoreError> {
        self.db
            .prepare_cached("SELECT id FROM area WHERE state IN (1, 2) ORDER BY id LIMIT 100000")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0).map(AreaId))?.collect())
            .trying("read which areas are active")
    }

    /// The state of one area; `None` when there is no such row.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn area_state(&self, id: AreaId) -> Result<Option<AreaState>, StoreError> {
        self.db
            .prepare_cached("SELECT state FROM area WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id.0], |row| row.get(0)).optional())
            .trying("read the state of an area")
            .map(|code| code.and_then(AreaState::from_code))
    }

    /// Whether what is met in the area is learned ([`AreaRow::is_new`]).
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn is_learning(&self, id: AreaId) -> Result<bool, StoreError> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM area WHERE id = ?1 AND state = 1 AND rounds = 0)")
            .and_then(|mut statement| statement.query_row([id.0], |row| row.get(0)))
            .trying("read whether an area is new")
    }

    /// How many entries an area has, those not yet written left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entries_of(&self, area: AreaId) -> Result<u64, StoreError> {
        self.db
            .query_row("SELECT count(*) FROM entry WHERE area = ?1", [area.0], |row| row.get::<_, i64>(0))
            .trying("count the entries of an area")
            .map(i64::cast_unsigned)
    }

    /// How many entries of an area cannot be read, and how many big files were not read yet, those not yet written left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn unread_of(&self, area: AreaId) -> Result<(u64, u64), StoreError> {
        self.db
            .query_row(
                "SELECT coalesce(sum(hash_state = 5), 0), coalesce(sum(hash_state = 2), 0) FROM entry WHERE area = ?1",
                [area.0],
                |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())),
            )
            .trying("count what was not read of an area")
    }

    /// Directories of an area of which not all is entered because paths in them are longer than `PATH_MAX`
    /// ([`HashState::PATHS_TOO_LONG`]), those not yet written left out. Cost: a pass over the entries of the area.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn beyond_path_max(&self, area: AreaId) -> Result<u64, StoreError> {
        let [state, number @ ..] = encode_hash_state(HashState::PATHS_TOO_LONG);
        let number = u64::from_be_bytes(number);
        self.db
            .query_row(
                "SELECT count(*) FROM entry WHERE area = ?1 AND kind = ?2 AND hash_state = ?3 AND hash_number = ?4",
                params![area.0, FileKind::Directory.code(), state, number.cast_signed()],
                |row| row.get::<_, i64>(0),
            )
            .trying("count the directories that are not entered")
            .map(i64::cast_unsigned)
    }

    /// All areas with the numbers that `status` shows. Cost: two passes over an index of the baseline and one over its rows.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn area_summaries(&self) -> Result<Vec<AreaSummary>, StoreError> {
        self.areas()?
            .into_iter()
            .map(|area| {
                let entries = self.entries_of(area.id)?;
                Ok(AreaSummary {
                    entries,
                    unreadable: self.unread_of(area.id)?.0,
                    oldest: self.oldest_check(area.id)?,
                    median: self.checked_after(area.id, entries / 2)?,
                    most: self.checked_after(area.id, entries / 20)?,
                    area,
                })
            })
            .collect()
    }

    /// When the entry of an area that has waited longest was checked; what is not written yet does not count. The order of the visits
    /// does not tell it: of big files the metadata are looked at more often than the content. What is missing while its baseline is kept
    /// is left out: that was told. Costs a look at each entry.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn oldest_check(&self, area: AreaId) -> Result<Option<Timestamp>, StoreError> {
        self.db
            .prepare_cached(
                "WITH RECURSIVE lost (id) AS ( \
                     SELECT missing.entry FROM missing JOIN entry ON entry.id = missing.entry WHERE entry.reported = ?2 \
                     UNION ALL SELECT entry.id FROM entry JOIN lost ON entry.parent = lost.id) \
                 SELECT min(checked) FROM entry WHERE area = ?1 AND id NOT IN lost",
            )
            .and_then(|mut statement| statement.query_row(params![area.0, GONE], |row| row.get::<_, Option<i64>>(0)))
            .trying("find what has waited longest")
            .map(|checked| checked.map(Timestamp::from_nanos))
    }

    /// When the entry was looked at that `skipped` others have waited longer than. Visits order the looks, whatever the clocks did;
    /// so the index is stepped through, and a single row is read.
    fn checked_after(&self, area: AreaId, skipped: u64) -> Result<Option<Timestamp>, StoreError> {
        self.db
            .prepare_cached("SELECT checked FROM entry WHERE area = ?1 ORDER BY visit LIMIT 1 OFFSET ?2")
            .and_then(|mut statement| {
                statement.query_row(params![area.0, skipped.cast_signed()], |row| row.get(0)).optional()
            })
            .trying("find how long entries have waited")
            .map(|checked| checked.map(Timestamp::from_nanos))
    }

    /// How many entries of an area were looked at since `since`. Cost: a few searches in an index and one pass over a part of it;
    /// a clock that was set back makes it an estimate.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn looked_at_since(&self, area: AreaId, since: Timestamp) -> Result<u64, StoreError> {
        let visit = self.first_visit_since(area, since)?;
        self.db
            .prepare_cached("SELECT count(*) FROM entry WHERE area = ?1 AND visit >= ?2")
            .and_then(|mut statement| statement.query_row(params![area.0, visit], |row| row.get::<_, i64>(0)))
            .trying("count what was looked at lately")
            .map(i64::cast_unsigned)
    }

    /// The visit from which on all looks were at `since` or later, by halving.
    fn first_visit_since(&self, area: AreaId, since: Timestamp) -> Result<i64, StoreError> {
        let (mut low, mut high): (i64, i64) = self
            .db
            .prepare_cached(
                "SELECT coalesce((SELECT visit FROM entry WHERE area = ?1 ORDER BY visit LIMIT 1), 0),
                        coalesce((SELECT visit FROM entry WHERE area = ?1 ORDER BY visit DESC LIMIT 1), 0)",
            )
            .and_then(|mut statement| statement.query_row([area.0], |row| Ok((row.get(0)?, row.get(1)?))))
            .trying("find the last looks")
            .map(|(first, last): (i64, i64)| (first, last.saturating_add(1)))?;
        // Of several, the latest check: one of a big file may be older than its visit.
        let mut next = self
            .db
            .prepare_cached(
                "SELECT visit, max(checked) FROM
                 (SELECT visit, checked FROM entry WHERE area = ?1 AND visit >= ?2 ORDER BY visit LIMIT 4)",
            )
            .trying("prepare to search the looks")?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: (Option<i64>, Option<i64>) = next
                .query_row(params![area.0, middle], |row| Ok((row.get(0)?, row.get(1)?)))
                .trying("search the looks")?;
            match found {
                (Some(visit), Some(checked)) if Timestamp::from_nanos(checked) < since => low = visit.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
