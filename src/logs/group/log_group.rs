//! A group of logs that share their rules, and what one poll of one of its logs does: read, judge, store.
//!
//! The new position and the events of the lines it has passed are stored in one transaction. Whatever fails before that has not
//! happened: the same lines are read and judged again.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{
    config::settings::config::{Config, LogGroup},
    logs::{
        group::{
            context::Surroundings,
            dedup::{Duplicates, JudgedDuplicate, Side},
            line_budget::LineBudgets,
            line_events::{Judge, lines_in, tell_faults_once},
            notices::{self, JOURNAL},
            own_mail_state::OwnMailLogs,
            sources::{self, LogSource},
        },
        journal::{notices::JournalHappening, reader::Journal},
        own_mail::recogniser::JudgedLine as OfOwnMail,
        rules::reload::{ReloadNews, RuleReloader},
    },
    model::{
        backoff::BackoffSet,
        clock::{Moment, Timestamp},
        event::{Category, Event, Severity},
        log::position::LogState,
    },
    store::{
        events::outcome::{Outcome, StateChange},
        sources::{
            journal_cursors::JournalRow,
            log_positions::{LogName, LogRow},
        },
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{fault_injection, panic::catch_panic},
    tail::{file_tail::Tail, glob::Start, splitter::LogRecord},
};

/// So many logs that a glob finds are kept open between two polls, so that whoever makes many of them takes no descriptor from the
/// others; systemd gives a service 1024.
const MOST_OPEN: usize = 256;

/// So many bytes may wait to be read before that is told.
const MOST_LAG: u64 = 64 << 20;

/// A log being read.
#[derive(Debug)]
struct GroupLog {
    tail: Tail,
    /// When it was last told that it cannot be read as fast as it is written.
    lag_told: Option<Timestamp>,
}

/// What is known of records before rules are asked: which have a twin, and which our own mails have caused.
type KnownLog<'a> = (Option<&'a JudgedDuplicate>, Option<&'a OfOwnMail>);

/// A group of logs.
#[derive(Debug)]
pub struct Group {
    name: Vec<u8>,
    settings: LogGroup,
    surroundings: Surroundings,
    upkeep: RuleReloader,
    /// What has changed of the rules and could not be told yet.
    untold: Vec<ReloadNews>,
    logs: BTreeMap<PathBuf, GroupLog>,
    journal: Option<Journal>,
    /// Logs over which our own code has stumbled, by their paths.
    set_aside: BackoffSet<Vec<u8>>,
    /// Which lines wait for their twin in the journal or in a file; `None` when not both are read. Each group has its own: what
    /// other rules have hidden from one group is no reason to hide it from another.
    duplicates: Option<Duplicates>,
    /// What the logs have shown of our own mails.
    own_mail: OwnMailLogs,
    budgets: LineBudgets,
    /// When it was last looked for its logs and something was then stored, before this going round them.
    polled: Option<Timestamp>,
    /// When this going round began.
    begun: Timestamp,
    /// Whether something was stored in this going round.
    has_stored: bool,
}

impl Group {
    /// Reads the rules of a group and brings its logs in line with the store.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn new(
        settings: &LogGroup,
        config: &Config,
        surroundings: &Surroundings,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let has_both = settings.journal && !(settings.files.is_empty() && settings.transient.is_empty());
        let mut group = Self {
            name: sources::name(settings),
            settings: settings.clone(),
            surroundings: surroundings.clone(),
            upkeep: RuleReloader::new(&settings.rules, config.logcheck),
            untold: Vec::new(),
            logs: BTreeMap::new(),
            journal: settings.journal.then(|| Journal::new(surroundings.journal.clone())),
            set_aside: BackoffSet::default(),
            duplicates: has_both.then(|| Duplicates::new(surroundings.journal.zone.clone())),
            own_mail: OwnMailLogs::default(),
            budgets: LineBudgets::default(),
            polled: None,
            begun: now.wall,
            has_stored: false,
        };
        group.look_around(now)?;
        Ok(group)
    }

    /// Notes since when its logs are looked for. To be called when every log has the position that it takes over.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        let mut store = self.surroundings.db.lock();
        self.polled = store.log_group_polled(&self.name)?;
        if self.polled.is_none() {
            // Also when there is no log yet: the first one that its globs find is new.
            store.commit(&Outcome::default().with_change(StateChange::LogsPolled(self.name.clone(), self.begun)))?;
            self.has_stored = true;
        }
        Ok(())
    }

    /// The name its positions are kept under.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The paths of its logs.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.logs.keys().cloned().collect()
    }

    /// Its logs, and the journal if it is one of them.
    pub fn sources(&self) -> Vec<LogSource> {
        self.logs
            .keys()
            .cloned()
            .map(LogSource::File)
            .chain(self.journal.is_some().then_some(LogSource::Journal))
            .collect()
    }

    /// Whether it reads the journal.
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Begins a new going round: looks for logs that have come or gone where its globs point.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn look_around(&mut self, now: Moment) -> Result<(), StoreError> {
        if std::mem::take(&mut self.has_stored) {
            self.polled = Some(self.begun);
        }
        // A log that is born while they are looked for, or read, is a new one for the next time.
        self.begun = now.wall;
        let known = self.surroundings.db.lock().log_paths(&self.name, u32::MAX)?;
        let found = sources::logs(&self.settings, &known);
        self.logs.retain(|path, _| found.contains_key(path));
        let names: Vec<PathBuf> = found.keys().cloned().collect();
        for (path, may_be_missing) in found {
            if self.logs.contains_key(&path) {
                continue;
            }
            let bounds = (self.surroundings.error_nag, self.logs.len() >= MOST_OPEN);
            let settings = sources::tail(&self.settings, &path, &names, may_be_missing, bounds);
            self.logs.insert(path, GroupLog { tail: Tail::new(settings), lag_told: None });
        }
        Ok(())
    }

    /// Takes over `state` for a log that has none.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn begin_at(&self, path: &Path, state: LogState) -> Result<(), StoreError> {
        let change = StateChange::Log(Box::new(LogRow { name: self.log_name(path), state }));
        self.surroundings.db.lock().commit(&Outcome::default().with_change(change)).map(|_seq| ())
    }

    /// The tail of one of its logs.
    pub fn tail(&self, path: &Path) -> Option<&Tail> {
        self.logs.get(path).map(|log| &log.tail)
    }

    /// Under which name the position of a log is kept.
    pub fn log_name(&self, path: &Path) -> LogName {
        LogName { group: self.name.clone(), path: path.as_os_str().as_bytes().to_vec() }
    }

    /// Tells what stands with the rules, unless it is what was told last.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn tell_standing(&self, now: Moment) -> Result<(), StoreError> {
        let told = self.surroundings.db.lock().last_event(Category::Rules, &self.name)?;
        let told = told.map(|stored| String::from_utf8_lossy(&stored.event.note).into_owned());
        self.upkeep.standing_news(told.as_deref()).map_or(Ok(()), |news| self.tell_news(&news, now))
    }

    /// Which of its rules are off, in a line, under its name; `None` when all are in use.
    pub fn rules_off(&self) -> Option<(Vec<u8>, String)> {
        Some((self.name.clone(), self.upkeep.off()?))
    }

    /// Reads the rules again if their files have changed, and tells it; gives whether they have.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn refresh(&mut self, now: Moment) -> Result<bool, StoreError> {
        self.count_hits(now)?;
        self.untold.extend(self.upkeep.refresh());
        let is_new = !self.untold.is_empty();
        // The rules are in use already: what could not be stored is told the next time.
        while let Some(news) = self.untold.first() {
            self.tell_news(news, now)?;
            self.untold.remove(0);
        }
        Ok(is_new)
    }

    /// Stores how often rules were found since the last time.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; these hits are then not counted.
    pub fn count_hits(&mut self, now: Moment) -> Result<(), StoreError> {
        let hits = self.upkeep.take_hits(now.wall);
        if hits.is_empty() {
            return Ok(());
        }
        self.surroundings.db.lock().commit(&Outcome::default().with_change(StateChange::RuleHits(hits))).map(|_seq| ())
    }

    /// What each of its rules is counted under: the path of its file and its text.
    pub fn rules(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.upkeep.identities()
    }

    fn tell_news(&self, news: &ReloadNews, now: Moment) -> Result<(), StoreError> {
        let severity = if news.has_faults { Severity::Normal } else { Severity::Low };
        let event = Event::new(Category::Rules, severity, now, self.name.clone()).with_note(news.note.as_str());
        self.surroundings.db.lock().commit(&Outcome::tell(event)).map(|_seq| ())
    }

    /// Reads one chunk of a log and stores what is found; gives whether more can be read at once. A panic costs this one log.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; then the same lines are read again.
    pub fn poll(&mut self, source: &LogSource, now: Moment) -> Result<bool, StoreError> {
        let name = source.name();
        if self.set_aside.holds(name, now.boottime) {
            return Ok(false);
        }
        let polled = catch_panic(|| {
            fault_injection::strike("log", name);
            match source {
                LogSource::File(path) => self.poll_log(path, now),
                LogSource::Journal => self.poll_journal(now),
            }
        });
        let Ok(has_more) = polled else {
            self.set_aside.set_aside(name.to_vec(), now.boottime);
            // What was kept in memory between two polls may be half done; what is stored is not.
            match source {
                LogSource::File(path) => drop(self.logs.remove(path)),
                LogSource::Journal => self.journal = Some(Journal::new(self.surroundings.journal.clone())),
            }
            let error_nag = self.surroundings.error_nag;
            let mut store = self.surroundings.db.lock();
            return store.tell_fault(name, "this log is left alone for a while", now, error_nag).map(|()| false);
        };
        if has_more.is_ok() {
            self.set_aside.release(name);
        }
        has_more
    }

    fn poll_log(&mut self, path: &Path, now: Moment) -> Result<bool, StoreError> {
        let name = self.log_name(path);
        let Some(log) = self.logs.get_mut(path) else { return Ok(false) };
        let state = self.surroundings.db.lock().log_state(&name)?;
        let start = if state.is_none() { log.tail.start(self.polled) } else { Start::End };
        let poll = log.tail.poll(state.as_ref(), start, now.wall);
        let lag_told = log.lag_told;
        let mut events = Vec::new();
        if poll.lag > MOST_LAG && log.lag_told.is_none_or(|told| now.wall.since(told) >= self.surroundings.error_nag) {
            log.lag_told = Some(now.wall);
            events.push(notices::lag(poll.lag, now, &name.path));
        }
        let (has_more, is_over) = (poll.has_more, poll.is_over);
        let is_unchanged = state.as_ref() == Some(&poll.state) && !is_over;
        if is_unchanged && poll.records.is_empty() && poll.happenings.is_empty() && events.is_empty() {
            return Ok(has_more);
        }
        events.extend(poll.happenings.iter().filter_map(|happening| notices::happening(happening, now, &name.path)));
        let judged = self.without_twins(Side::File, &poll.records, now);
        let own = self.own_mail.judge(&name.path, &poll.records, &self.surroundings, now.wall);
        events.extend(self.judge(&name.path, &poll.records, (judged.as_ref(), own.as_ref().ok()), now));
        let change = if is_over {
            StateChange::RemoveLog(name.clone())
        } else {
            StateChange::Log(Box::new(LogRow { name: name.clone(), state: poll.state }))
        };
        let is_same = |store: &Store| Ok(store.log_state(&name)? == state);
        let stored = self.store([change, lines_in(&poll.records)], events, (judged, &name.path, own), is_same);
        let is_stored = matches!(stored, Ok(true));
        if let Some(log) = self.logs.get_mut(path).filter(|_| !is_stored) {
            log.tail.take_back();
            log.lag_told = lag_told;
        }
        if is_over && is_stored {
            self.own_mail.forget(&name.path);
            self.logs.remove(path);
        }
        Ok(stored? && has_more)
    }

    fn poll_journal(&mut self, now: Moment) -> Result<bool, StoreError> {
        let Some(journal) = self.journal.as_mut() else { return Ok(false) };
        let state = self.surroundings.db.lock().journal_state(&self.name)?;
        let poll = journal.poll(state.as_ref(), now.wall);
        let has_more = poll.has_more;
        if state.as_ref() == Some(&poll.state) && poll.records.is_empty() && poll.happenings.is_empty() {
            return Ok(has_more);
        }
        let zone = &self.surroundings.journal.zone;
        let tell = |happening| notices::journal(happening, zone, now);
        // Where it begins is no news as long as it cannot be read.
        let is_in_trouble = poll.state.trouble.is_some();
        let is_news =
            |happening: &&JournalHappening| !(is_in_trouble && matches!(happening, JournalHappening::Began(_)));
        let mut events: Vec<Event> = poll.happenings.iter().filter(is_news).map(tell).collect();
        let judged = self.without_twins(Side::Journal, &poll.records, now);
        let own = self.own_mail.judge(JOURNAL, &poll.records, &self.surroundings, now.wall);
        events.extend(self.judge(JOURNAL, &poll.records, (judged.as_ref(), own.as_ref().ok()), now));
        let group = self.name.clone();
        let change = StateChange::Journal(Box::new(JournalRow { group: group.clone(), state: poll.state }));
        let is_same = |store: &Store| Ok(store.journal_state(&group)? == state);
        Ok(self.store([change, lines_in(&poll.records)], events, (judged, JOURNAL, own), is_same)? && has_more)
    }

    /// Which records were not told by the other side already. What that changes is kept when the events are stored.
    fn without_twins(&self, side: Side, records: &[LogRecord], now: Moment) -> Option<JudgedDuplicate> {
        self.duplicates.as_ref().map(|duplicates| duplicates.judge(side, records, now.wall))
    }

    /// The events of new records, but for those that the other side has told already and those that our own mails have caused.
    fn judge(&mut self, log: &[u8], records: &[LogRecord], known: KnownLog<'_>, now: Moment) -> Vec<Event> {
        let (judged, own) = known;
        let stays = |number: usize| judged.is_none_or(|judged| judged.stays.get(number) != Some(&false));
        let mut judge = Judge {
            classifier: &mut self.upkeep.classifier,
            own: &self.surroundings.own,
            pid: self.surroundings.pid,
            reader: [&self.name, &b"\n"[..], log].concat(),
            of_own_mail: own.map_or(&[], |own| &own.is_own),
        };
        let mut events = judge.events(log, records, stays, now);
        self.budgets.apply(&mut events, now);
        let since = now.wall.before(self.surroundings.error_nag);
        let is_told = || self.surroundings.db.lock().was_told_since(Category::InternalError, log, since);
        tell_faults_once(&mut events, || is_told().unwrap_or(false));
        events
    }

    /// Stores what a poll has found, unless somebody else has moved the position since: the reader of an earlier generation that was
    /// held up until now. Gives whether it was stored.
    fn store(
        &mut self,
        changes: [StateChange; 2],
        events: Vec<Event>,
        (judged, log, own): (Option<JudgedDuplicate>, &[u8], Result<OfOwnMail, StoreError>),
        is_same: impl FnOnce(&Store) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let own = own?;
        let polled = StateChange::LogsPolled(self.name.clone(), self.begun);
        let changes = changes.into_iter().chain([polled, StateChange::OwnMail(Box::new(own.own))]);
        let outcome = changes.fold(Outcome::default(), Outcome::with_change);
        let outcome = events.into_iter().fold(outcome, Outcome::with_event);
        let mut store = self.surroundings.db.lock();
        if !is_same(&store)? {
            return Ok(false);
        }
        store.commit(&outcome)?;
        if let Some(judged) = judged {
            self.duplicates = Some(judged.next);
        }
        self.own_mail.keep(log, own.next);
        self.has_stored = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{
        model::clock::{BootId, Boottime},
        store::db::Db,
    };

    /// A reader of an earlier generation may come to its end when the next one has read on already.
    #[test]
    fn what_was_polled_from_a_position_that_has_moved_since_is_not_stored() {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let log = scratch.path().join("log");
        fs::write(&log, "").unwrap();
        let settings = LogGroup {
            rules: Vec::new(),
            files: vec![log.clone()],
            transient: Vec::new(),
            journal: false,
            old_directories: Vec::new(),
        };
        let config = Config::embedded(Vec::new(), scratch.path().join("db"));
        let now = Moment {
            wall: Timestamp::from_nanos(1_800_000_000_000_000_000),
            boottime: Boottime::from_nanos(5),
            boot: BootId([1; 16]),
        };
        let db = Db::new(Store::open(&config.database, now).unwrap());
        let surroundings = Surroundings::new(db.clone(), &config, std::sync::Arc::default(), now);
        let new = || Group::new(&settings, &config, &surroundings, now).unwrap();
        let (mut early, mut late) = (new(), new());
        let source = LogSource::File(log.clone());
        early.poll(&source, now).unwrap();
        fs::write(&log, "Nov 21 14:02:11 h app: once\n").unwrap();
        let name = early.log_name(&log);
        let state = db.lock().log_state(&name).unwrap();
        let poll = late.logs.get_mut(&log).unwrap().tail.poll(state.as_ref(), Start::End, now.wall);
        early.poll(&source, now).unwrap();
        let told = || db.lock().head().unwrap().seq;
        let before = told();
        let events = late.judge(b"log", &poll.records, (None, None), now);
        assert_eq!(events.len(), 1);
        let change = StateChange::Log(Box::new(LogRow { name: name.clone(), state: poll.state }));
        let is_same = |store: &Store| Ok(store.log_state(&name)? == state);
        assert!(
            !late
                .store([change, StateChange::LinesRead(0)], events, (None, b"log", Ok(OfOwnMail::default())), is_same)
                .unwrap()
        );
        assert_eq!(told(), before);
    }
}
