//! The mark: a small file beside the database that says which one it is and how far its chain has come.
//!
//! A database that is missing, that is another one or an older copy cannot say so itself. The mark is written by rename and synced: at
//! the start and the end of a daemon, and when a report is made. So it may be behind the database, which says nothing, but it is never
//! ahead of it, unless the database was put back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    model::{
        clock::Moment,
        escape::hex,
        event::{Category, Event, Severity},
        format::number,
    },
    store::{
        events::{append::Head, outcome::Outcome},
        outbox::reports::{ReportId, number_up_to},
        sqlite::{
            columns::needed_array,
            connection::Store,
            error::{StoreError, Trying, with_causes},
            files::{beside, io_error},
        },
    },
};

/// Its first words.
const TITLE: &str = "integrityd mark 1";

/// No mark is longer, in bytes.
const LONGEST: u64 = 4096;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HighWaterMark {
    uuid: uuid::Uuid,
    head: Head,
    /// The number of the last report.
    report: ReportId,
}

/// Where the mark of the database at `path` lies.
pub(super) fn mark_path(path: &Path) -> PathBuf {
    beside(path, ".mark")
}

impl HighWaterMark {
    /// The mark beside the database at `path`; `None` when there is none, or none that can be read as one.
    pub(in crate::store) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let path = mark_path(path);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= LONGEST => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("look at the mark", &path)(error)),
        }
        fs::read_to_string(&path).map(|text| Self::parse(&text)).map_err(io_error("read the mark", &path))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        let values = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let head = values("head")?;
        let mut hash = [0; 32];
        if head.len() != hash.len() * 2 {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(head.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self {
            uuid: values("uuid")?.parse().ok()?,
            head: Head { seq: values("seq")?.parse().ok()?, hash },
            report: ReportId(values("report")?.parse().ok()?),
        })
    }

    fn text(&self) -> String {
        format!(
            "{TITLE}\nuuid {}\nseq {}\nhead {}\nreport {}\n",
            self.uuid,
            self.head.seq,
            hex(&self.head.hash),
            self.report.0
        )
    }

    fn write(&self, database: &Path) -> io::Result<()> {
        let path = mark_path(database);
        let new = beside(database, ".mark.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(self.text().as_bytes())?;
        // Root adopts for a daemon that runs as another user, which has to read it.
        let owner = fs::metadata(database)?;
        if file.metadata()?.uid() != owner.uid() {
            match fchown(&file, Some(owner.uid()), Some(owner.gid())) {
                // A restricted daemon of root may not; it is read by CAP_DAC_READ_SEARCH all the same.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => done?,
            }
        }
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    /// The line of an event by which mails of this database, which is not the one that is open, are known.
    pub(in crate::store) fn before(&self) -> String {
        database_before(self.uuid)
    }

    /// The number of the last report.
    pub(in crate::store) const fn report(&self) -> ReportId {
        self.report
    }

    /// How far the chain had come.
    pub(in crate::store) const fn seq(&self) -> u64 {
        self.head.seq
    }
}

/// The line of an event by which mails of a database are known that is not this one.
pub(super) fn database_before(instance: uuid::Uuid) -> String {
    format!("\nthe database before was {instance}")
}

/// That a database had to be begun anew, with what its number was.
pub(in crate::store) fn restarted(was: Option<u64>) -> String {
    match was {
        Some(was) => format!("database restarted at seq 1 (was {})", number(was)),
        None => "database restarted at seq 1".to_owned(),
    }
}

impl Store {
    /// What this database is not that was last seen in its place, in a line; `None` when it is the same and goes on from there.
    ///
    /// # Errors
    /// [`StoreError`] when the mark or the database cannot be read.
    pub fn estrangement(&self) -> Result<Option<String>, StoreError> {
        match HighWaterMark::read(self.path())? {
            Some(mark) => self.estranged_from(&mark),
            None => Ok(None),
        }
    }

    pub(super) fn estranged_from(&self, mark: &HighWaterMark) -> Result<Option<String>, StoreError> {
        let head = self.head()?;
        let (now, was) = (number(head.seq), number(mark.head.seq));
        if mark.uuid != self.uuid() {
            return Ok(Some(format!("another database, at seq {now} (was {was})")));
        }
        if head.seq < mark.head.seq {
            return Ok(Some(format!("an older copy of the database, at seq {now} (was {was})")));
        }
        Ok((!self.has_passed(&mark.head)?)
            .then(|| format!("another copy of the database: its chain is not what it was at seq {was}, at seq {now}")))
    }

    /// Whether the chain has come by there, as far as it still can be seen.
    fn has_passed(&self, head: &Head) -> Result<bool, StoreError> {
        if let Some(stored) = hash_of(&self.db, head.seq)? {
            return Ok(stored == head.hash);
        }
        let pruned: Option<i64> = self
            .db
            .query_row("SELECT seq FROM checkpoint", [], |row| row.get(0))
            .optional()
            .trying("read where the chain begins")?;
        Ok(pruned.map_or(0, i64::cast_unsigned) >= head.seq)
    }

    /// Marks how far the chain has come, unless that is marked already.
    ///
    /// # Errors
    /// [`StoreError`] when the mark cannot be written; the one before stays.
    pub fn leave_mark(&mut self) -> Result<(), StoreError> {
        let head = self.head()?;
        if self.marked == Some(head.seq) {
            return Ok(());
        }
        let report = ReportId(self.next_report()?.0 - 1);
        let mark = HighWaterMark { uuid: self.uuid(), head, report };
        mark.write(self.path()).map_err(io_error("leave a mark beside", self.path()))?;
        self.marked = Some(head.seq);
        Ok(())
    }

    /// As [`Store::leave_mark`], but a failure is only logged: what is stored stays stored, and a mark that lags says nothing wrong.
    pub(in crate::store) fn leave_mark_if_possible(&mut self) {
        if let Err(error) = self.leave_mark() {
            tracing::warn!(error = %with_causes(&error), "how far the chain has come could not be marked");
        }
    }

    /// Compares the database with its mark and tells what is not as it should be; then marks it.
    pub(super) fn vouch(
        &mut self,
        mark: Option<&HighWaterMark>,
        was_there: bool,
        now: Moment,
    ) -> Result<(), StoreError> {
        if let Some(mark) = mark {
            let lost = if was_there {
                self.estranged_from(mark)?.map(|words| {
                    format!(
                        "{words}\nwhat was found between the two is not in it and is found again, as far as it can be; \
                         `integrityd database adopt` before the start says that it is wanted"
                    )
                })
            } else {
                let path = crate::model::escape::escape_name(self.path().as_os_str().as_encoded_bytes());
                Some(format!(
                    "{}\nBASELINE LOST, relearning: there was no database at {path}, though there had been one",
                    restarted(Some(mark.seq()))
                ))
            };
            self.go_on_from(mark)?;
            if let Some(mut words) = lost {
                if mark.uuid != self.uuid() {
                    words.push_str(&mark.before());
                }
                self.tell_lost(&words, now)?;
            }
        }
        self.leave_mark_if_possible();
        Ok(())
    }

    /// Has the reports go on from the number that the mark knows, since those up to it were mailed under their numbers.
    fn go_on_from(&self, mark: &HighWaterMark) -> Result<(), StoreError> {
        let is_behind = mark.uuid == self.uuid() && self.next_report()? <= mark.report;
        if is_behind { number_up_to(&self.db, mark.report) } else { Ok(()) }
    }

    /// Tells it when the chain does not run on from event `first` to event `last`, which wait to be mailed; gives whether it does.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read or written.
    pub fn tell_gap(&mut self, first: u64, last: u64, now: Moment) -> Result<bool, StoreError> {
        if self.runs_on(first, last)? {
            return Ok(true);
        }
        let what = format!("the chain has a gap between seq {} and {}", number(first), number(last));
        self.commit(&Outcome::tell(taken_out(&what, now)))?;
        Ok(false)
    }

    fn tell_lost(&mut self, words: &str, now: Moment) -> Result<(), StoreError> {
        self.commit(&Outcome::tell(trust_lost(words, now))).map(|_seq| ())
    }

    /// Takes the database as it is for the one that belongs here, on behalf of user `uid`: an event tells of it, nothing is alarmed.
    ///
    /// # Errors
    /// [`StoreError`] when the database or its mark cannot be written.
    pub fn adopt(&mut self, words: &str, uid: u32, now: Moment) -> Result<(), StoreError> {
        let mut note = format!("{words}\nuid {uid} has said that it is wanted");
        if let Some(mark) = HighWaterMark::read(self.path())? {
            self.go_on_from(&mark)?;
            if mark.uuid != self.uuid() {
                note.push_str(&mark.before());
            }
        }
        let event = Event::new(Category::DatabaseAdopted, Severity::Normal, now, Vec::new()).with_note(note);
        self.commit(&Outcome::tell(event))?;
        self.leave_mark()
    }
}

/// The event that says what of the database is lost.
pub(in crate::store) fn trust_lost(words: &str, now: Moment) -> Event {
    Event::new(Category::TrustLost, Severity::Critical, now, Vec::new()).with_note(words)
}

fn hash_of(db: &Connection, seq: u64) -> Result<Option<[u8; 32]>, StoreError> {
    db.prepare_cached("SELECT hash FROM event WHERE seq = ?1")
        .and_then(|mut statement| statement.query_row([seq.cast_signed()], |row| needed_array(row, 0)).optional())
        .trying("compare the chain with what it was")
}

/// What is to be told when the chain does not go on from where this process has left it, at `passed`: the event there is never pruned, for
/// the one that announces a pruning comes behind it.
pub(in crate::store) fn rewritten(db: &Connection, passed: &Head, now: Moment) -> Result<Option<Event>, StoreError> {
    if passed.seq == 0 || hash_of(db, passed.seq)? == Some(passed.hash) {
        return Ok(None);
    }
    Ok(Some(taken_out(&format!("the chain is not what it was at seq {}", number(passed.seq)), now)))
}

fn taken_out(what: &str, now: Moment) -> Event {
    let words = format!(
        "events were taken out or exchanged while integrityd was running: {what}\n\
         what they told may not have been mailed; `integrityd verify --mails` compares the chain with what was"
    );
    trust_lost(&words, now)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::{
        events::append::Filter,
        test_support::{now, scratch},
    };

    fn notice(words: &str) -> Outcome {
        Outcome::tell(Event::new(Category::Notice, Severity::Normal, now(), Vec::new()).with_note(words))
    }

    fn lost(store: &Store) -> Vec<String> {
        let events = store.history(&Filter { limit: 100, ..Filter::default() }).unwrap();
        let lost = events.iter().filter(|stored| stored.event.category == Category::TrustLost);
        lost.map(|stored| String::from_utf8(stored.event.note.clone()).unwrap()).collect()
    }

    fn first_line(notes: &[String]) -> &str {
        notes.last().unwrap().lines().next().unwrap()
    }

    #[test]
    fn the_mark_is_private_and_comes_back() {
        let (_scratch, path) = scratch();
        drop(Store::open(&path, now()).unwrap());
        let found = fs::metadata(mark_path(&path)).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o600);
        let mark = HighWaterMark::read(&path).unwrap().unwrap();
        assert_eq!(HighWaterMark::parse(&mark.text()), Some(mark));
        for text in ["", "integrityd mark 2", "integrityd mark 1\nuuid x\nseq 1\nhead 00\n"] {
            assert_eq!(HighWaterMark::parse(text), None);
        }
    }

    #[test]
    fn e1_a_mark_that_cannot_be_left_keeps_nobody_from_the_database() {
        let (_scratch, path) = scratch();
        drop(Store::open(&path, now()).unwrap());
        let mark = HighWaterMark::read(&path).unwrap();
        fs::create_dir(beside(&path, ".mark.new")).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("x")).unwrap();
        assert!(store.leave_mark().is_err());
        assert_eq!(HighWaterMark::read(&path).unwrap(), mark, "the one before stays");
        drop(store);
        fs::remove_dir(beside(&path, ".mark.new")).unwrap();
        let store = Store::open(&path, now()).unwrap();
        assert!(lost(&store).is_empty(), "a mark that lags is no alarm");
        assert_eq!(HighWaterMark::read(&path).unwrap().unwrap().seq(), 1);
    }

    #[test]
    fn e7_a_missing_database_is_told_and_never_silently_learned_anew() {
        let (_scratch, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        for _ in 0..3 {
            store.commit(&notice("x")).unwrap();
        }
        store.mark_alive(now(), true).unwrap();
        drop(store);
        fs::remove_file(&path).unwrap();
        let store = Store::open(&path, now()).unwrap();
        assert_eq!(first_line(&lost(&store)), "database restarted at seq 1 (was 3)");
        assert!(lost(&store)[0].contains("BASELINE LOST, relearning"));
        drop(store);
        // Told once.
        assert_eq!(lost(&Store::open(&path, now()).unwrap()).len(), 1);
    }

    #[test]
    fn e13_an_older_copy_another_database_and_a_forked_one_are_told() {
        let (directory, path) = scratch();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("first")).unwrap();
        drop(store);
        let copy = directory.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        for _ in 0..4 {
            store.commit(&notice("later")).unwrap();
        }
        number_up_to(&store.db, ReportId(7)).unwrap();
        store.mark_alive(now(), true).unwrap();
        drop(store);
        fs::copy(&copy, &path).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        assert_eq!(first_line(&lost(&store)), "an older copy of the database, at seq 1 (was 5)");
        assert_eq!(store.next_report().unwrap(), ReportId(8), "no report has the number of one that was mailed");
        assert_eq!(store.estrangement().unwrap(), None, "it is told once");
        // A copy that was written on beside: longer than the mark, with another past.
        store.mark_alive(now(), true).unwrap();
        drop(store);
        fs::copy(&copy, &path).unwrap();
        let mut beside = Store::open_beside(&path).unwrap();
        for _ in 0..9 {
            beside.commit(&notice("elsewhere")).unwrap();
        }
        drop(beside);
        let store = Store::open(&path, now()).unwrap();
        assert!(first_line(&lost(&store)).contains("its chain is not what it was at seq 2"), "{:?}", lost(&store));
        drop(store);
        // And one that never was here.
        let other = directory.path().join("other");
        drop(Store::open(&other, now()).unwrap());
        fs::copy(&other, &path).unwrap();
        assert_eq!(first_line(&lost(&Store::open(&path, now()).unwrap())), "another database, at seq 0 (was 11)");
    }

    #[test]
    fn e13_an_adopted_copy_is_no_alarm_but_an_event() {
        let (directory, path) = scratch();
        drop(Store::open(&path, now()).unwrap());
        let copy = directory.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        let mut store = Store::open(&path, now()).unwrap();
        store.commit(&notice("later")).unwrap();
        store.mark_alive(now(), true).unwrap();
        drop(store);
        fs::copy(&copy, &path).unwrap();
        let mut beside = Store::open_beside(&path).unwrap();
        let words = beside.estrangement().unwrap().unwrap();
        beside.adopt(&words, 1000, now()).unwrap();
        drop(beside);
        let store = Store::open(&path, now()).unwrap();
        assert!(lost(&store).is_empty());
        let told = store.history(&Filter { limit: 9, ..Filter::default() }).unwrap();
        assert_eq!(told[0].event.category, Category::DatabaseAdopted);
        assert!(String::from_utf8_lossy(&told[0].event.note).contains("uid 1000"));
    }
}
