//! What a damaged database leaves: its files, set aside for whoever wants to look, and the reports that nobody had accepted yet.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp as Instant, Zoned, tz::TimeZone};
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::{
    model::clock::{Moment, Timestamp},
    store::{
        outbox::reports::{ReportId, number_up_to},
        sqlite::{
            connection::{connect, keep_journal},
            error::{StoreError, Trying},
            files::{beside, io_error},
        },
    },
};

/// A database is begun anew at most once in this time: what is damaged twice lies on a disk that fails.
const ONCE_IN: Duration = Duration::from_hours(1);

/// How the time is written in the name of what is set aside, in UTC.
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The endings of the files of a database.
const FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A report with what had become of it for one recipient.
#[derive(Debug)]
pub(in crate::store) struct SalvagedReport {
    report: i64,
    message_id: String,
    channel: String,
    severity: u8,
    subject: String,
    part: i64,
    parts: i64,
    bytes: Vec<u8>,
    created: i64,
    recipient: String,
    state: u8,
    attempts: i64,
    last_reply: String,
}

fn utc(at: Timestamp) -> Option<Zoned> {
    Some(Instant::from_nanosecond(i128::from(at.as_nanos())).ok()?.to_zoned(TimeZone::UTC))
}

/// The damaged database that was set aside within the last hour, if one was.
pub(super) fn recent(path: &Path, now: Moment) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let start = format!("{name}.corrupt-");
    let within = |text: &str| {
        let stamp = text.get(..16)?;
        let at = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?.to_zoned(TimeZone::UTC).ok()?;
        let at = Timestamp::from_nanos(i64::try_from(at.timestamp().as_nanosecond()).ok()?);
        (at <= now.wall && now.wall.since(at) < ONCE_IN).then_some(())
    };
    fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(Result::ok)
        .find(|found| found.file_name().to_str().and_then(|name| within(name.strip_prefix(&start)?)).is_some())
        .map(|found| found.path())
}

/// Gives what lies at `path` and its journals other names, `PATH.{why}-{time}`; `None` when nothing lies there.
///
/// Nothing that has such a name already is overwritten.
pub(super) fn set_aside(path: &Path, why: &str, now: Moment) -> Result<Option<PathBuf>, StoreError> {
    let stamp = utc(now.wall).map_or_else(|| now.wall.as_nanos().to_string(), |at| at.strftime(STAMP).to_string());
    let name = |number: u32| match number {
        0 => beside(path, &format!(".{why}-{stamp}")),
        number => beside(path, &format!(".{why}-{stamp}.{number}")),
    };
    let is_free = |place: &PathBuf| FILES.iter().all(|end| fs::symlink_metadata(beside(place, end)).is_err());
    let Some(place) = (0..1000).map(name).find(is_free) else {
        let source = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(io_error("set aside the database at", path)(source));
    };
    let mut is_there = false;
    for end in FILES {
        match fs::rename(beside(path, end), beside(&place, end)) {
            Ok(()) => is_there = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("set aside the database at", path)(error)),
        }
    }
    sync_directory(path)?;
    Ok(is_there.then_some(place))
}

/// Makes sure that the names in the directory of `path` are on the disk.
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io_error("make names last in", directory))
}

/// The number of the last event of a damaged database, where it can be read.
pub(in crate::store) fn last_seq(aside: &Path) -> Option<u64> {
    let db = open(aside)?;
    db.query_row("SELECT seq FROM instance", [], |row| row.get::<_, i64>(0)).ok().map(i64::cast_unsigned)
}

/// The reports in a damaged database that wait to be delivered or were given up, as far as they can be read.
pub(super) fn salvage(aside: &Path) -> Vec<SalvagedReport> {
    let Some(db) = open(aside) else { return Vec::new() };
    let Ok(mut waiting) =
        db.prepare("SELECT report, recipient, state, attempts, last_reply FROM delivery WHERE state IN (1, 3)")
    else {
        return Vec::new();
    };
    let Ok(mut rows) = waiting.query([]) else { return Vec::new() };
    let mut saved = Vec::new();
    // What comes before the first damage is taken; each report is looked up by itself, so that a damaged one costs no other.
    while let Ok(Some(row)) = rows.next() {
        saved.extend(read(&db, row).ok());
    }
    saved
}

fn open(aside: &Path) -> Option<Connection> {
    let db = connect(aside, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    // It is evidence.
    keep_journal(&db).ok()?;
    Some(db)
}

fn read(db: &Connection, waiting: &Row<'_>) -> rusqlite::Result<SalvagedReport> {
    let report: i64 = waiting.get(0)?;
    db.query_row(
        "SELECT message_id, channel, severity, subject, part, parts, bytes, created FROM report WHERE id = ?1",
        [report],
        |row| {
            Ok(SalvagedReport {
                report,
                message_id: row.get(0)?,
                channel: row.get(1)?,
                severity: row.get(2)?,
                subject: row.get(3)?,
                part: row.get(4)?,
                parts: row.get(5)?,
                bytes: row.get(6)?,
                created: row.get(7)?,
                recipient: waiting.get(1)?,
                state: waiting.get(2)?,
                attempts: waiting.get(3)?,
                last_reply: waiting.get(4)?,
            })
        },
    )
}

/// Puts saved reports into a new database: the same bytes under the same Message-ID, due at once.
pub(super) fn put_back(tx: &Connection, saved: &[SalvagedReport], now: Moment) -> Result<(), StoreError> {
    for one in saved {
        tx.execute(
            "INSERT INTO report (id, message_id, channel, severity, subject, part, parts, bytes, created, first_seq, last_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0) ON CONFLICT (id) DO NOTHING",
            params![
                one.report,
                one.message_id,
                one.channel,
                one.severity,
                one.subject,
                one.part,
                one.parts,
                one.bytes,
                one.created
            ],
        )
        .trying("put back a report")?;
        number_up_to(tx, ReportId(one.report))?;
        tx.execute(
            "INSERT INTO delivery (report, recipient, state, attempts, refusals, due_wall, due_boottime, due_boot, nominal,
                 last_reply) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, 0, ?8)",
            params![
                one.report,
                one.recipient,
                one.state,
                one.attempts,
                now.wall.as_nanos(),
                now.boottime.as_nanos(),
                now.boot.0,
                one.last_reply
            ],
        )
        .trying("put back a delivery")?;
    }
    Ok(())
}
