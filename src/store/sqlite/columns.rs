//! Between database rows and the words of the model.

use rusqlite::{Row, types::ValueRef};

use crate::{
    model::{
        canonical::{encode_hash_state, hash_state_from},
        clock::{BootId, Boottime, Moment, Timestamp},
        file::{
            attribute::AttributeSet,
            entry::{Algorithm, AreaId, Attributes, Digests, Entry, EntryId, FileKind, HashState, Observation},
        },
    },
    store::sqlite::error::StoreError,
};

/// The columns of `entry` in the order [`entry`] reads them.
pub(in crate::store) const ENTRY_COLUMNS: &str = "id, parent, name, area, visit, checked, kind, perms, uid, gid, nlink, dev, inode, rdev, size, \
     mtime, ctime, btime, target, xattrs, recorded, hash_state, hash_number, blake3, sha256, sha512, reported, flags";

/// A value out of range, as `SQLite`'s own error so that it passes through its callbacks.
fn impossible(column: usize) -> rusqlite::Error {
    rusqlite::Error::IntegralValueOutOfRange(column, 0)
}

fn number<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    T::try_from(row.get::<_, i64>(column)?).or(Err(impossible(column)))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_nanos)
}

/// A blob of fixed length, or `None` for NULL.
pub(in crate::store) fn array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<[u8; N]>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => bytes.try_into().map(Some).or(Err(impossible(column))),
        _ => Err(impossible(column)),
    }
}

/// A blob of fixed length that must be there.
pub(in crate::store) fn needed_array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    array(row, column)?.ok_or_else(|| impossible(column))
}

/// A moment stored in three columns: wall, boottime, boot.
pub(in crate::store) fn moment(row: &Row<'_>, first: usize) -> rusqlite::Result<Moment> {
    Ok(Moment {
        wall: time(row, first)?,
        boottime: Boottime::from_nanos(row.get(first + 1)?),
        boot: BootId(needed_array(row, first + 2)?),
    })
}

/// A baseline row, from [`ENTRY_COLUMNS`].
pub(in crate::store) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let parent: i64 = row.get(1)?;
    Ok(Entry {
        id: EntryId(row.get(0)?),
        parent: (parent != 0).then_some(EntryId(parent)),
        name: row.get(2)?,
        area: AreaId(row.get(3)?),
        visit: row.get(4)?,
        checked: time(row, 5)?,
        known: Observation {
            attributes: attributes(row)?,
            hash_state: hash_state(row)?,
            digests: Digests { blake3: array(row, 23)?, sha256: array(row, 24)?, sha512: array(row, 25)? },
        },
        recorded: AttributeSet::from_bits(number(row, 20)?),
        reported: array(row, 26)?,
    })
}

fn attributes(row: &Row<'_>) -> rusqlite::Result<Attributes> {
    Ok(Attributes {
        kind: FileKind::from_code(number(row, 6)?).ok_or_else(|| impossible(6))?,
        perms: number(row, 7)?,
        uid: number(row, 8)?,
        gid: number(row, 9)?,
        nlink: number(row, 10)?,
        dev: unsigned(row, 11)?,
        inode: unsigned(row, 12)?,
        rdev: unsigned(row, 13)?,
        size: unsigned(row, 14)?,
        mtime: time(row, 15)?,
        ctime: time(row, 16)?,
        btime: row.get::<_, Option<i64>>(17)?.map(Timestamp::from_nanos),
        target: row.get(18)?,
        xattrs: row.get(19)?,
        flags: row.get::<_, Option<i64>>(27)?.map(i64::cast_unsigned),
    })
}

fn hash_state(row: &Row<'_>) -> rusqlite::Result<HashState> {
    let code: u8 = number(row, 21)?;
    hash_state_from(code, unsigned(row, 22)?).ok_or_else(|| impossible(21))
}

/// Writes a baseline row, new or known by its id.
pub(in crate::store) fn put_entry(db: &rusqlite::Connection, entry: &Entry) -> Result<(), StoreError> {
    use crate::store::sqlite::error::Trying;
    let known = &entry.known;
    let attributes = &known.attributes;
    let [code, number @ ..] = encode_hash_state(known.hash_state);
    db.prepare_cached(PUT_ENTRY)
        .and_then(|mut statement| {
            statement.execute(rusqlite::params![
                entry.id.0,
                entry.parent.map_or(0, |parent| parent.0),
                entry.name,
                entry.area.0,
                entry.visit,
                entry.checked.as_nanos(),
                attributes.kind.code(),
                attributes.perms,
                attributes.uid,
                attributes.gid,
                attributes.nlink,
                attributes.dev.cast_signed(),
                attributes.inode.cast_signed(),
                attributes.rdev.cast_signed(),
                attributes.size.cast_signed(),
                attributes.mtime.as_nanos(),
                attributes.ctime.as_nanos(),
                attributes.btime.map(Timestamp::as_nanos),
                attributes.target,
                attributes.xattrs,
                entry.recorded.bits(),
                code,
                i64::from_be_bytes(number),
                known.digests.get(Algorithm::Blake3),
                known.digests.get(Algorithm::Sha256),
                known.digests.get(Algorithm::Sha512),
                entry.reported.as_ref().map(<[u8; 32]>::as_slice),
                attributes.flags.map(u64::cast_signed),
            ])
        })
        .trying("write a baseline entry")
        .map(|_rows| ())
}

const PUT_ENTRY: &str = "\
INSERT INTO entry (id, parent, name, area, visit, checked, kind, perms, uid, gid, nlink, dev, inode, rdev, size,
    mtime, ctime, btime, target, xattrs, recorded, hash_state, hash_number, blake3, sha256, sha512, reported, flags)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26, ?27, ?28)
ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, name = excluded.name, area = excluded.area,
    visit = excluded.visit, checked = excluded.checked, kind = excluded.kind, perms = excluded.perms,
    uid = excluded.uid, gid = excluded.gid, nlink = excluded.nlink, dev = excluded.dev, inode = excluded.inode,
    rdev = excluded.rdev, size = excluded.size, mtime = excluded.mtime, ctime = excluded.ctime,
    btime = excluded.btime, target = excluded.target, xattrs = excluded.xattrs, recorded = excluded.recorded,
    hash_state = excluded.hash_state, hash_number = excluded.hash_number, blake3 = excluded.blake3,
    sha256 = excluded.sha256, sha512 = excluded.sha512, reported = excluded.reported,
    flags = excluded.flags";
