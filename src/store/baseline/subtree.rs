//! Subtrees of the baseline, gone through without being held: memory is one path, and a few names for each level.

use rusqlite::{Connection, params};

use crate::{
    model::{
        event::Member,
        file::entry::{AreaId, Entry, EntryId},
    },
    store::{
        baseline::members::{MemberPart, Members},
        sqlite::{
            columns::{ENTRY_COLUMNS, entry},
            connection::Store,
            error::{StoreError, Trying},
        },
    },
};

/// Directories of one directory that are read at once.
const PAGE: usize = 16;

/// A row and its name.
type NamedChild = (EntryId, Vec<u8>);

/// A directory on the way down.
struct SubtreeLevel {
    id: EntryId,
    /// The length of its path.
    path: usize,
    /// The next directories in it, in reverse order.
    next: Vec<NamedChild>,
    /// The last of them that was read.
    after: Vec<u8>,
    is_read: bool,
}

/// Shows `top`, whose path is given, and every directory beneath it with its path: to `enter` before what lies in it, to `leave`
/// after that.
fn each_directory(
    db: &Connection,
    top: EntryId,
    path: &[u8],
    mut enter: impl FnMut(EntryId, &[u8]) -> Result<(), StoreError>,
    mut leave: impl FnMut(EntryId) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let level = |id, path| SubtreeLevel { id, path, next: Vec::new(), after: Vec::new(), is_read: false };
    let mut path = path.to_vec();
    let mut levels = vec![level(top, path.len())];
    enter(top, &path)?;
    while let Some(here) = levels.last_mut() {
        if here.next.is_empty() && !here.is_read {
            here.next = directories(db, here.id, &here.after)?;
            here.is_read = here.next.len() < PAGE;
            here.after = here.next.last().map(|(_, name)| name.clone()).unwrap_or_default();
            here.next.reverse();
        }
        let Some((id, name)) = here.next.pop() else {
            leave(here.id)?;
            levels.pop();
            continue;
        };
        path.truncate(here.path);
        extend(&mut path, &name);
        enter(id, &path)?;
        levels.push(level(id, path.len()));
    }
    Ok(())
}

fn extend(path: &mut Vec<u8>, name: &[u8]) {
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// What of `parent` comes after the name `after` and has something in it, in order.
fn directories(db: &Connection, parent: EntryId, after: &[u8]) -> Result<Vec<NamedChild>, StoreError> {
    let most = i64::try_from(PAGE).unwrap_or(i64::MAX);
    db.prepare_cached(
        // Whatever has something in it: what was taken over from others may say that it is a link.
        "SELECT id, name FROM entry WHERE parent = ?1 AND name > ?2
             AND EXISTS (SELECT 1 FROM entry AS child WHERE child.parent = entry.id) ORDER BY name LIMIT ?3",
    )
    .and_then(|mut statement| {
        statement.query_map(params![parent.0, after, most], |row| Ok((EntryId(row.get(0)?), row.get(1)?)))?.collect()
    })
    .trying("read the directories in a directory")
}

/// Is shown an entry with its path, as raw bytes.
type SubtreeVisitor<'a> = dyn FnMut(&[u8], Entry) -> Result<(), StoreError> + 'a;

/// Shows everything beneath `top`, whose path is given, with its path.
pub(super) fn each_beneath(
    db: &Connection,
    top: EntryId,
    path: &[u8],
    see: &mut SubtreeVisitor<'_>,
) -> Result<(), StoreError> {
    let enter = |id: EntryId, path: &[u8]| {
        let mut statement = db
            .prepare_cached(&format!("SELECT {ENTRY_COLUMNS} FROM entry WHERE parent = ?1 ORDER BY name"))
            .trying("prepare to read a tree")?;
        let mut rows = statement.query([id.0]).trying("read a tree")?;
        let mut beneath = path.to_vec();
        while let Some(row) = rows.next().trying("read a tree")? {
            let child = entry(row).trying("read a tree")?;
            beneath.truncate(path.len());
            extend(&mut beneath, &child.name);
            see(&beneath, child)?;
        }
        Ok(())
    };
    each_directory(db, top, path, enter, |_left| Ok(()))
}

/// Shows the single objects of a summary event in their order.
pub(in crate::store) fn each_member(
    db: &Connection,
    members: &Members,
    see: &mut dyn FnMut(&Member) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for part in &members.0 {
        match part {
            MemberPart::One(member) => see(member)?,
            MemberPart::Tree(top, path) => {
                see(&Member { source: path.clone(), old: top.known.clone() })?;
                each_beneath(db, top.id, path, &mut |path, entry| {
                    see(&Member { source: path.to_vec(), old: entry.known })
                })?;
            }
        }
    }
    Ok(())
}

/// Changes every row beneath `top`, directory by directory from below, with `statement`: ?1 is the directory, ?2 `value`.
fn change_beneath(db: &Connection, top: EntryId, statement: &str, value: Option<i64>) -> Result<(), StoreError> {
    each_directory(
        db,
        top,
        b"",
        |_id, _path| Ok(()),
        |id| {
            db.prepare_cached(statement)
                .and_then(|mut statement| match value {
                    Some(value) => statement.execute(params![id.0, value]),
                    None => statement.execute([id.0]),
                })
                .trying("change what lies beneath an entry")
                .map(|_rows| ())
        },
    )
}

pub(in crate::store) fn hand_over(tx: &Connection, top: EntryId, area: AreaId) -> Result<(), StoreError> {
    change_beneath(tx, top, "UPDATE entry SET area = ?2 WHERE parent = ?1", Some(area.0))?;
    tx.execute("UPDATE entry SET area = ?2 WHERE id = ?1", params![top.0, area.0])
        .trying("hand an entry over to an area")
        .map(|_rows| ())
}

pub(in crate::store) fn remove_tree(tx: &Connection, top: EntryId) -> Result<(), StoreError> {
    remove_children(tx, top)?;
    tx.prepare_cached("DELETE FROM entry WHERE id = ?1")
        .and_then(|mut statement| statement.execute([top.0]))
        .trying("remove an entry")
        .map(|_rows| ())
}

pub(in crate::store) fn remove_children(tx: &Connection, top: EntryId) -> Result<(), StoreError> {
    change_beneath(tx, top, "DELETE FROM entry WHERE parent = ?1", None)
}

/// Removes what lies in the directory `parent` under names of more than `most` bytes, with all beneath.
pub(in crate::store) fn remove_longer(tx: &Connection, parent: EntryId, most: usize) -> Result<(), StoreError> {
    longer(tx, parent, most, &mut |id| remove_tree(tx, id))
}

/// Shows the rows in the directory `parent` whose names have more than `most` bytes.
fn longer(
    db: &Connection,
    parent: EntryId,
    most: usize,
    see: &mut dyn FnMut(EntryId) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut after = 0;
    loop {
        let page: Vec<i64> = db
            .prepare_cached(
                "SELECT id FROM entry WHERE parent = ?1 AND length(name) > ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            )
            .and_then(|mut statement| {
                let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
                statement.query_map(params![parent.0, most, after, page], |row| row.get(0))?.collect()
            })
            .trying("read the long names in a directory")?;
        let Some(last) = page.last() else { return Ok(()) };
        after = *last;
        page.iter().try_for_each(|id| see(EntryId(*id)))?;
    }
}

impl Store {
    /// Shows everything beneath `top`, whose path is given, with its path, each directory before what lies in it. Memory: one path, and
    /// a few names for each level.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn each_beneath(
        &self,
        top: EntryId,
        path: &[u8],
        mut see: impl FnMut(&[u8], &Entry),
    ) -> Result<(), StoreError> {
        each_beneath(&self.db, top, path, &mut |path, entry| {
            see(path, &entry);
            Ok(())
        })
    }

    /// The single objects of a summary that is not stored yet.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn listed(&self, members: &Members) -> Result<Vec<Member>, StoreError> {
        let mut listed = Vec::new();
        each_member(&self.db, members, &mut |member| {
            listed.push(member.clone());
            Ok(())
        })?;
        Ok(listed)
    }

    /// How many entries lie below `id`, at any depth; those not yet written left out. Costs a look at each.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entries_below(&self, id: EntryId) -> Result<u64, StoreError> {
        let mut entries: u64 = 0;
        let count = |id: EntryId, _path: &[u8]| {
            entries += self
                .db
                .prepare_cached("SELECT count(*) FROM entry WHERE parent = ?1")
                .and_then(|mut statement| statement.query_row([id.0], |row| row.get::<_, i64>(0)))
                .trying("count what lies below an entry")?
                .cast_unsigned();
            Ok(())
        };
        each_directory(&self.db, id, b"", count, |_left| Ok(()))?;
        Ok(entries)
    }

    /// How many entries lie in the directory `parent` under names of more than `most` bytes, with all beneath; those not yet written
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn entries_longer(&self, parent: EntryId, most: usize) -> Result<u64, StoreError> {
        let mut entries = 0;
        longer(&self.db, parent, most, &mut |id| {
            entries += 1 + self.entries_below(id)?;
            Ok(())
        })?;
        Ok(entries)
    }
}
