//! A fresh start over the file: when a commit is unknown, when the file is damaged, missing or another one, and when its name is gone.
//!
//! Everything that was kept in memory is read anew. Whoever holds what came from the store before must be gone: the daemon ends all
//! tasks first.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rusqlite::{Connection, TransactionBehavior};

use crate::{
    model::{
        clock::Moment,
        escape::escape_name,
        event::{Category, Event, Severity},
    },
    store::{
        events::{
            append::append,
            outcome::{Outcome, StoredFinding},
        },
        outbox::reports::number_up_to,
        recovery::{
            failure_kind::DbFailure,
            file_header,
            rollback_guard::{HighWaterMark, restarted, trust_lost},
            salvage::{last_seq, put_back, recent, salvage, set_aside, sync_directory},
        },
        sqlite::{
            connection::{Store, keep_journal},
            error::{StoreError, Trying, with_causes},
            files::{beside, io_error, lock_path, make_private_file, take_lock},
            schema,
        },
    },
    sys::fs::ownership,
};

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

/// Opens what lies at `path`, whose lock is held. What is damaged is set aside and begun anew; what is not the database that was last
/// seen there is told.
pub(in crate::store) fn open_vouched(path: &Path, now: Moment) -> Result<Store, StoreError> {
    let mark = HighWaterMark::read(path)?;
    let was_there = fs::metadata(path).is_ok_and(|found| found.len() > 0);
    let opened = Store::open_file(path, now).and_then(|mut store| {
        store.vouch(mark.as_ref(), was_there, now)?;
        Ok(store)
    });
    match opened {
        Err(error) if error.failure() == Some(DbFailure::Corrupt) => begin_anew(path, mark, &with_causes(&error), now),
        opened => opened,
    }
}

/// Sets a damaged database aside, saves what nobody has accepted yet and begins a new one.
fn begin_anew(path: &Path, mark: Option<HighWaterMark>, words: &str, now: Moment) -> Result<Store, StoreError> {
    if let Some(aside) = recent(path, now) {
        return Err(StoreError::DamagedAgain { path: path.to_path_buf(), aside });
    }
    let aside = set_aside(path, "corrupt", now)?.unwrap_or_else(|| path.to_path_buf());
    let saved = salvage(&aside);
    let was = last_seq(&aside).max(mark.map(|mark| mark.seq()));
    let mut store = Store::open_file(path, now)?;
    let note = format!(
        "{}\nBASELINE LOST, relearning: the database was damaged ({words}) and lies as {}\n\
         undelivered reports saved from it: {}; what it had found and not yet reported is in it only{}",
        restarted(was),
        shown(&aside),
        saved.len(),
        mark.map(|mark| mark.before()).unwrap_or_default()
    );
    let lost = StoredFinding::from(trust_lost(&note, now));
    let tx = store.db.transaction_with_behavior(TransactionBehavior::Immediate).trying("begin a transaction")?;
    put_back(&tx, &saved, now)?;
    if let Some(mark) = mark {
        // Who remembers that a report was sent knows it by its number.
        number_up_to(&tx, mark.report())?;
    }
    append(&tx, &[lost])?;
    tx.commit().trying("begin the database anew")?;
    store.leave_mark_if_possible();
    Ok(store)
}

impl Store {
    /// Begins anew over the file, for this reason. Nothing of what was kept in memory stays.
    ///
    /// # Errors
    /// [`StoreError`]; it can be tried again, but for [`StoreError::DamagedAgain`]. Until it succeeds the store may be empty.
    pub fn renew(&mut self, why: DbFailure, now: Moment) -> Result<(), StoreError> {
        if why == DbFailure::Moved {
            return self.return_home(now);
        }
        self.shut()?;
        let path = self.path.clone();
        let mark = HighWaterMark::read(&path)?;
        let fresh = if why == DbFailure::Corrupt {
            begin_anew(&path, mark, "found while it was in use", now)?
        } else {
            match reopen(&path, now) {
                Err(error) if error.failure() == Some(DbFailure::Corrupt) => {
                    begin_anew(&path, mark, &with_causes(&error), now)?
                }
                reopened => reopened?,
            }
        };
        self.take_over(fresh);
        self.ring();
        Ok(())
    }

    /// Lets go of the file. Its journal stays as it is: it may be evidence, or belong to another file by now.
    fn shut(&mut self) -> Result<(), StoreError> {
        let nothing = Connection::open_in_memory().trying("let go of the database")?;
        let old = std::mem::replace(&mut self.db, nothing);
        // One that is too broken for that is closed as it can be.
        drop(keep_journal(&old));
        drop(old);
        Ok(())
    }

    fn take_over(&mut self, fresh: Self) {
        let (bells, lock, teller) = (self.bells.clone(), self.lock.take(), self.teller);
        *self = fresh;
        (self.bells, self.lock, self.teller) = (bells, lock, teller);
    }

    fn ring(&self) {
        self.bells.of(crate::model::event::Channel::Files).notify_one();
    }

    /// Moves what the journal holds into the file and empties it, as far as that goes: on a small disk it may be what fills it.
    ///
    /// # Errors
    /// [`StoreError`] when there is no room for that either.
    pub fn empty_journal(&self) -> Result<(), StoreError> {
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())).trying("empty its journal")
    }

    /// Whether another file, or none, has the name of the one that is open. Its journal counts as part of it.
    pub fn has_moved(&self) -> bool {
        let is_gone = |path: &Path| fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let is_another = fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) != self.identity);
        is_another || is_gone(&self.path) || is_gone(&beside(&self.path, "-wal"))
    }

    /// Holds the lock again when somebody has taken its file away, so that no second daemon can begin.
    ///
    /// # Errors
    /// [`StoreError::Running`] when one has begun already.
    pub fn keep_lock(&mut self) -> Result<(), StoreError> {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let held = self.lock.as_ref().and_then(|lock| lock.metadata().ok()).map(identity);
        if held.is_some() && held != fs::metadata(lock_path(&self.path)).ok().map(identity) {
            self.lock = Some(take_lock(&self.path)?);
        }
        Ok(())
    }

    /// Writes what is open as a fresh file under its old name; what lies there now is set aside.
    fn return_home(&mut self, now: Moment) -> Result<(), StoreError> {
        let path = self.path.clone();
        let directory = path.parent().unwrap_or(Path::new("/"));
        ownership::make_private_directory(directory).map_err(io_error("make the state directory", directory))?;
        self.keep_lock()?;
        let fresh = beside(&path, ".fresh");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("replace the fresh copy", &fresh)(error));
            }
            _ => {}
        }
        make_private_file(&fresh)?;
        self.db
            .execute("VACUUM INTO CAST(?1 AS TEXT)", [fresh.as_os_str().as_encoded_bytes().to_vec()])
            .trying("write the database into a fresh file")?;
        File::open(&fresh).and_then(|file| file.sync_all()).map_err(io_error("make last", &fresh))?;
        let aside = set_aside(&path, "replaced", now)?;
        self.shut()?;
        fs::rename(&fresh, &path).map_err(io_error("put in its place", &fresh))?;
        sync_directory(&path)?;
        self.take_over(Self::open_file(&path, now)?);
        let what = match aside {
            Some(aside) => format!("what lies in its place is set aside as {}", shown(&aside)),
            None => "nothing lies in its place".to_owned(),
        };
        let event = Event::new(Category::DatabaseTrouble, Severity::Critical, now, Vec::new()).with_note(format!(
            "removed or replaced while it was in use\n{} was written again from what was still open, with everything in it; {what}",
            shown(&path)
        ));
        self.commit(&Outcome::tell(event))?;
        self.leave_mark()
    }
}

/// Opens the database again after a commit of which nobody knows whether it is there, and looks whether it is whole.
fn reopen(path: &Path, now: Moment) -> Result<Store, StoreError> {
    let mark = HighWaterMark::read(path)?;
    let mut store = Store::open_file(path, now)?;
    let found: String = store
        .db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .trying("look whether the database is whole")?;
    if found != "ok" {
        return Err(StoreError::Damaged { path: path.to_path_buf(), found });
    }
    let event = Event::new(Category::DatabaseTrouble, Severity::High, now, Vec::new()).with_note(
        "the disk did not confirm what was written\nthe database was opened and checked anew and is whole; what may not have been \
         stored is found again",
    );
    store.commit(&Outcome::tell(event))?;
    store.vouch(mark.as_ref(), true, now)?;
    Ok(store)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::clock::Timestamp,
        store::{
            events::append::Filter,
            outbox::sent::InstanceState,
            recovery::rollback_guard::mark_path,
            test_support::{now, scratch},
        },
    };

    fn notice(words: &str) -> Outcome {
        Outcome::tell(Event::new(Category::Notice, Severity::Normal, now(), Vec::new()).with_note(words))
    }

    fn told(store: &Store) -> Vec<(Category, String)> {
        let events = store.history(&Filter { limit: 100, ..Filter::default() }).unwrap();
        events
            .into_iter()
            .map(|stored| (stored.event.category, String::from_utf8(stored.event.note).unwrap()))
            .collect()
    }

    #[test]
    fn after_an_unknown_commit_all_that_is_kept_in_memory_is_what_the_file_says() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("stored")).unwrap();
        let first = store.new_entry_id().unwrap();
        for _ in 0..7 {
            store.next_visit();
        }
        store.count_look(9);
        store.renew(DbFailure::Unknown, now()).unwrap();
        assert_eq!((store.last_visit(), store.collected()), (0, 0), "what was not stored is not known");
        assert_eq!(store.counters().unwrap().looks, 0);
        assert!(store.new_entry_id().unwrap().0 >= first.0 + 1000, "no number is handed out twice");
        let told = told(&store);
        assert_eq!(told[0].1, "stored");
        assert_eq!(told[1].0, Category::DatabaseTrouble);
        store.verify().unwrap();
        assert!(matches!(Store::open(&path, now()), Err(StoreError::Running { .. })), "it is still locked");
    }

    #[test]
    fn an_unknown_commit_over_a_damaged_file_is_found_damaged() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("x")).unwrap();
        store.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())).unwrap();
        let whole = fs::read(&path).unwrap();
        // The second half of the pages is gone, as if they had never reached the disk.
        let half = whole.len() / 8192 * 4096;
        fs::write(&path, [&whole[..half], &vec![0xa5; whole.len() - half]].concat()).unwrap();
        let uuid = store.uuid();
        store.renew(DbFailure::Unknown, now()).unwrap();
        assert_eq!(told(&store)[0].0, Category::TrustLost, "{:?}", told(&store));
        assert_eq!(store.fate(uuid).unwrap(), Some(InstanceState::Lost(1)), "its mails are known");
        assert!(matches!(store.renew(DbFailure::Corrupt, now()), Err(StoreError::DamagedAgain { .. })));
    }

    #[test]
    fn what_was_removed_while_it_was_open_is_written_again_with_everything_in_it() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("before")).unwrap();
        assert!(!store.has_moved());
        let uuid = store.uuid();
        fs::remove_file(&path).unwrap();
        assert!(store.has_moved());
        store.commit(&notice("into the void")).unwrap();
        fs::write(&path, "planted").unwrap();
        assert!(store.has_moved());
        fs::remove_file(lock_path(&path)).unwrap();
        store.renew(DbFailure::Moved, now()).unwrap();
        assert!(!store.has_moved());
        assert_eq!(store.uuid(), uuid);
        let notes = told(&store);
        assert_eq!((notes[0].1.as_str(), notes[1].1.as_str()), ("before", "into the void"));
        assert_eq!(notes[2].0, Category::DatabaseTrouble);
        assert!(matches!(Store::open(&path, now()), Err(StoreError::Running { .. })), "the lock is held again");
        drop(store);
        let aside = beside(&path, ".replaced-19700101T000000Z");
        assert_eq!(fs::read(aside).unwrap(), b"planted", "what lay there is kept");
        let store = Store::open(&path, now()).unwrap();
        store.verify().unwrap();
        assert_eq!(told(&store).len(), 3);
        assert!(mark_path(&path).exists());
    }

    #[test]
    fn nothing_that_was_set_aside_is_ever_overwritten() {
        let (_scratch, path) = scratch();
        for content in ["first", "second", "third"] {
            fs::write(&path, content).unwrap();
            set_aside(&path, "corrupt", now()).unwrap().unwrap();
        }
        let name = |end: &str| beside(&path, &format!(".corrupt-19700101T000000Z{end}"));
        assert_eq!(fs::read(name("")).unwrap(), b"first");
        assert_eq!(fs::read(name(".1")).unwrap(), b"second");
        assert_eq!(fs::read(name(".2")).unwrap(), b"third");
        let later = |seconds: i64| Moment { wall: Timestamp::from_nanos(seconds * 1_000_000_000), ..now() };
        assert!(recent(&path, later(3599)).is_some());
        assert!(recent(&path, later(3600)).is_none());
    }
}
