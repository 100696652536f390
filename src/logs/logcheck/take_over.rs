//! Positions that a log takes over when it has none: from a group whose rules were configured otherwise, or from logcheck.

use std::{
    fs,
    io::Read as _,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use crate::{
    logs::{
        group::{log_group::Group, notices::JOURNAL},
        logcheck::state::States,
    },
    model::{
        clock::Moment,
        escape::escape_name,
        event::{Category, Event, Severity},
        log::{
            journal_cursor::{JournalPlace, JournalState},
            position::{LogState, Position},
        },
    },
    store::{
        db::Db,
        events::outcome::{Outcome, StateChange},
        sources::{journal_cursors::JournalRow, log_positions::LogName},
        sqlite::{connection::Store, error::StoreError},
    },
    tail::logtail_offset::{Offset, file_name, parse},
};

/// What the event of a position that was taken over from logcheck begins with.
const ADOPTED: &str = "goes on where logcheck had come to";

/// Finds a position for each log of `groups` that has none.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::logs) fn inherit(
    groups: &[Box<Group>],
    adopt: &[String],
    db: &Db,
    now: Moment,
) -> Result<(), StoreError> {
    let (mut stored, mut readers) = {
        let store = db.lock();
        (store.log_names()?, store.journal_groups()?)
    };
    for group in groups {
        let is_new = group.has_journal() && !readers.iter().any(|reader| reader == group.name());
        let is_orphan =
            |reader: &&Vec<u8>| !groups.iter().any(|group| group.has_journal() && group.name() == reader.as_slice());
        if is_new && let Some(reader) = readers.iter().find(is_orphan).cloned() {
            move_cursor(&reader, group.name(), db)?;
            readers.retain(|other| *other != reader);
        } else if is_new {
            adopt_journal(group, adopt, db, now)?;
        }
        for path in group.paths() {
            let name = group.log_name(&path);
            if stored.contains(&name) {
                continue;
            }
            // One whose group, if there still is such a group, does not read this path any more.
            let is_orphan = |other: &&LogName| {
                let reads = |group: &Group| group.name() == other.group && group.paths().contains(&path);
                other.path == name.path && !groups.iter().any(|group| reads(group))
            };
            if let Some(other) = stored.iter().find(is_orphan).cloned() {
                move_position(&other, name, db)?;
                stored.retain(|known| *known != other);
            } else if was_adopted(&name, db)? {
                // What logcheck had come to is long past.
            } else if let Some((state, from)) = offered(group, &path, adopt) {
                let event = adopted(&path, &state, &from, now);
                group.begin_at(&path, state)?;
                db.lock().commit(&Outcome::tell(event))?;
            } else if adopt.iter().any(|line| line.starts_with("logcheck:")) {
                let note = "logcheck has left no position for it, or one in a file that is no longer there; it is read like a new log";
                let event = Event::new(Category::LogNote, Severity::Low, now, name.path).with_note(note);
                db.lock().commit(&Outcome::tell(event))?;
            }
        }
    }
    Ok(())
}

/// Has the journal read on from when logcheck has last read it, which it keeps as the time of a file.
fn adopt_journal(group: &Group, adopt: &[String], db: &Db, now: Moment) -> Result<(), StoreError> {
    let directories: Vec<&str> = adopt.iter().filter_map(|line| line.strip_prefix("logcheck:")).collect();
    if directories.is_empty() {
        return Ok(());
    }
    let note = |note: String| Event::new(Category::LogNote, Severity::Low, now, JOURNAL.to_vec()).with_note(note);
    let since =
        directories.iter().find_map(|directory| Some((directory, States::look(Path::new(directory)).journal().ok()??)));
    let Some((directory, since)) = since else {
        let words = "logcheck has left no position for it; it is read from its end";
        return db.lock().commit(&Outcome::tell(note(words.to_owned()))).map(|_seq| ());
    };
    let state = JournalState { place: JournalPlace::Since(since), trouble: None };
    let row = JournalRow { group: group.name().to_vec(), state };
    let event = note(format!(
        "{ADOPTED}: read on from the second of its last run ({}/offset.journal)",
        escape_name(directory.as_bytes())
    ));
    db.lock().commit(&Outcome::tell(event).with_change(StateChange::Journal(Box::new(row)))).map(|_seq| ())
}

/// Whether the log has gone on where logcheck had come to already.
fn was_adopted(name: &LogName, db: &Db) -> Result<bool, StoreError> {
    db.lock().has_noted(Category::LogNote, &name.path, ADOPTED)
}

/// The event of a position that was taken over.
fn adopted(path: &Path, state: &LogState, from: &str, now: Moment) -> Event {
    let offset = match &state.position {
        Position::At(anchor) => anchor.offset,
        _ => 0,
    };
    let note = format!("{ADOPTED}: read on from byte {offset} ({from})");
    Event::new(Category::LogNote, Severity::Low, now, path.as_os_str().as_bytes().to_vec()).with_note(note)
}

fn move_cursor(from: &[u8], to: &[u8], db: &Db) -> Result<(), StoreError> {
    let mut store = db.lock();
    let Some(state) = store.journal_state(from)? else { return Ok(()) };
    let row = JournalRow { group: to.to_vec(), state };
    let outcome = Outcome::default().with_change(StateChange::RemoveJournal(from.to_vec()));
    store.commit(&outcome.with_change(StateChange::Journal(Box::new(row)))).map(|_seq| ())
}

/// The rules of a log are other ones now; how far it was read is not changed by that.
fn move_position(from: &LogName, to: LogName, db: &Db) -> Result<(), StoreError> {
    let mut store = db.lock();
    let Some(state) = store.log_state(from)? else { return Ok(()) };
    let polled = store.log_group_polled(&from.group)?;
    let mut outcome = Outcome::default().with_change(StateChange::RemoveLog(from.clone()));
    if let Some(polled) = polled {
        outcome = outcome.with_change(StateChange::LogsPolled(to.group.clone(), polled));
    }
    let row = crate::store::sources::log_positions::LogRow { name: to, state };
    store.commit(&outcome.with_change(StateChange::Log(Box::new(row)))).map(|_seq| ())
}

/// The state that logcheck's offset file leads to, with the name of that file made printable.
fn offered(group: &Group, path: &Path, adopt: &[String]) -> Option<(LogState, String)> {
    let directories = adopt.iter().filter_map(|line| line.strip_prefix("logcheck:")).map(PathBuf::from);
    directories.into_iter().find_map(|directory| {
        let name = file_name(path.as_os_str().as_bytes());
        let file = directory.join(std::ffi::OsString::from_vec(name));
        let offset = read_offset(&file)?;
        let state = group.tail(path)?.adopt(offset)?;
        Some((state, escape_name(file.as_os_str().as_bytes())))
    })
}

fn read_offset(path: &Path) -> Option<Offset> {
    // A FIFO in that place would block.
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(64).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

/// Removes the positions of logs that are configured no longer.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::logs) fn forget_others(store: &mut Store, groups: &[Box<Group>]) -> Result<(), StoreError> {
    let is_ours = |name: &LogName| {
        let has = |group: &Group| group.paths().iter().any(|path| path.as_os_str().as_bytes() == name.path);
        groups.iter().any(|group| group.name() == name.group && has(group))
    };
    let mut outcome = Outcome::default();
    for name in store.log_names()?.into_iter().filter(|name| !is_ours(name)) {
        outcome = outcome.with_change(StateChange::RemoveLog(name));
    }
    let reads = |name: &Vec<u8>| groups.iter().any(|group| group.name() == name.as_slice() && group.has_journal());
    for name in store.journal_groups()?.into_iter().filter(|name| !reads(name)) {
        outcome = outcome.with_change(StateChange::RemoveJournal(name));
    }
    if outcome.changes.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}
