//! A group of logs that share their rules, and what one poll of one of its logs does: read, judge, store.
//!
//! The new position and the events of the lines it has passed are stored in one transaction. Whatever fails before that has not
//! happened: the same lines are read and judged again.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    duplicates::{Judged, Side},
    glob::Start,
    journal::Journal,
    layers::{Marks, Verdict},
    lines::Record,
    sources,
    surroundings::Surroundings,
    tail::{Settings, Tail},
    telling::{self, JOURNAL},
    upkeep::{News, Upkeep},
};
use crate::{
    config::settings::{Config, LogGroup},
    model::{
        clock::{Moment, Timestamp},
        event::{Category, Event, Severity},
        log::LogState,
    },
    store::{
        database::Store,
        error::StoreError,
        journal::JournalRow,
        logs::{LogName, LogRow},
        outcome::{Outcome, StateChange},
    },
};

/// For how long a log may be missing before that is told: a rotation makes a gap.
const GRACE: Duration = Duration::from_mins(1);

/// The same for a log that may be missing.
const ENDLESS: Duration = Duration::MAX;

/// So many logs that a glob finds are kept open between two polls, so that whoever makes many of them takes no descriptor from the
/// others; systemd gives a service 1024.
const MOST_OPEN: usize = 256;

/// So many bytes may wait to be read before that is told.
const MOST_LAG: u64 = 64 << 20;

/// Something that gives lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The log with this path.
    File(PathBuf),
    /// The journal.
    Journal,
}

/// A log being read.
#[derive(Debug)]
struct Log {
    tail: Tail,
    /// When it was last told that it cannot be read as fast as it is written.
    lag_told: Option<Timestamp>,
    /// Whether it is left alone after a fault of ours.
    is_set_aside: bool,
}

/// A group of logs.
#[derive(Debug)]
pub struct Group {
    name: Vec<u8>,
    settings: LogGroup,
    surroundings: Surroundings,
    upkeep: Upkeep,
    logs: BTreeMap<PathBuf, Log>,
    journal: Option<Journal>,
    is_journal_set_aside: bool,
    /// When it was last polled and stored, before this going round its logs.
    polled: Option<Timestamp>,
    /// When something was stored in this going round.
    stored: Option<Timestamp>,
}

impl Group {
    /// Reads the rules of a group and brings its logs in line with the store.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn new(settings: &LogGroup, config: &Config, surroundings: &Surroundings) -> Result<Self, StoreError> {
        let mut group = Self {
            name: sources::name(settings),
            settings: settings.clone(),
            surroundings: surroundings.clone(),
            upkeep: Upkeep::new(&settings.rules, config.logcheck),
            logs: BTreeMap::new(),
            journal: settings.journal.then(|| Journal::new(surroundings.journal.clone())),
            is_journal_set_aside: false,
            polled: None,
            stored: None,
        };
        group.polled = group.surroundings.db.lock().log_group_polled(&group.name)?;
        group.look_around()?;
        Ok(group)
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
    pub fn sources(&self) -> Vec<Source> {
        self.logs.keys().cloned().map(Source::File).chain(self.journal.is_some().then_some(Source::Journal)).collect()
    }

    /// Whether it reads the journal.
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Begins a new going round: looks for logs that have come or gone where its globs point.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn look_around(&mut self) -> Result<(), StoreError> {
        self.polled = self.stored.take().or(self.polled);
        let known = self.surroundings.db.lock().log_paths(&self.name, u32::MAX)?;
        let found = sources::logs(&self.settings, &known);
        self.logs.retain(|path, _| found.contains_key(path));
        let names: Vec<PathBuf> = found.keys().cloned().collect();
        for (path, may_be_missing) in found {
            if self.logs.contains_key(&path) {
                continue;
            }
            let beside = |other: &&PathBuf| **other != path && other.parent() == path.parent();
            let name = |path: &PathBuf| path.file_name().map(|name| name.as_bytes().to_vec());
            let is_named = self.settings.files.contains(&path) || self.settings.transient.contains(&path);
            let settings = Settings {
                others: names.iter().filter(beside).filter_map(name).collect(),
                olddirs: self.settings.old_directories.clone(),
                errornag: self.surroundings.error_nag,
                grace: if may_be_missing { ENDLESS } else { GRACE },
                is_passing: !is_named,
                lets_go: !is_named && self.logs.len() >= MOST_OPEN,
                path: path.clone(),
            };
            self.logs.insert(path, Log { tail: Tail::new(settings), lag_told: None, is_set_aside: false });
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
        match self.upkeep.standing_news(told.as_deref()) {
            Some(news) => self.tell_news(&news, now),
            None => Ok(()),
        }
    }

    /// Reads the rules again if their files have changed, and tells it; gives whether they have.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn refresh(&mut self, now: Moment) -> Result<bool, StoreError> {
        self.count_hits(now)?;
        match self.upkeep.refresh() {
            Some(news) => self.tell_news(&news, now).map(|()| true),
            None => Ok(false),
        }
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
        let outcome = Outcome::default().with_change(StateChange::RuleHits(hits));
        self.surroundings.db.lock().commit(&outcome).map(|_seq| ())
    }

    /// What each of its rules is counted under: the path of its file and its text.
    pub fn rules(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.upkeep.identities()
    }

    fn tell_news(&self, news: &News, now: Moment) -> Result<(), StoreError> {
        let severity = if news.has_faults { Severity::Normal } else { Severity::Low };
        let event = Event::new(Category::Rules, severity, now, self.name.clone()).with_note(news.note.as_str());
        self.surroundings.db.lock().commit(&Outcome::tell(event)).map(|_seq| ())
    }

    /// Reads one chunk of a log and stores what is found; gives whether more can be read at once. A panic costs this one log.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; then the same lines are read again.
    pub fn poll(&mut self, source: &Source, now: Moment) -> Result<bool, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| match source {
            Source::File(path) => self.poll_log(path, now),
            Source::Journal => self.poll_journal(now),
        }));
        result.unwrap_or_else(|_panic| {
            let name = match source {
                Source::File(path) => {
                    if let Some(log) = self.logs.get_mut(path) {
                        log.is_set_aside = true;
                    }
                    path.as_os_str().as_bytes()
                }
                Source::Journal => {
                    self.is_journal_set_aside = true;
                    JOURNAL
                }
            };
            let note = "a fault in integrityd: this log is left alone until the next start; please report it";
            let event = Event::new(Category::InternalError, Severity::High, now, name.to_vec()).with_note(note);
            self.surroundings.db.lock().commit(&Outcome::tell(event)).map(|_seq| false)
        })
    }

    fn poll_log(&mut self, path: &Path, now: Moment) -> Result<bool, StoreError> {
        let name = self.log_name(path);
        let Some(log) = self.logs.get_mut(path).filter(|log| !log.is_set_aside) else { return Ok(false) };
        let state = self.surroundings.db.lock().log_state(&name)?;
        let start = if state.is_none() { log.tail.start(self.polled) } else { Start::End };
        let poll = log.tail.poll(state.as_ref(), start, now.wall);
        let mut events = Vec::new();
        if poll.lag > MOST_LAG && log.lag_told.is_none_or(|told| now.wall.since(told) >= self.surroundings.error_nag) {
            log.lag_told = Some(now.wall);
            events.push(telling::lag(poll.lag, now, &name.path));
        }
        let (has_more, is_over) = (poll.has_more, poll.is_over);
        let is_unchanged = state.as_ref() == Some(&poll.state) && !is_over;
        if is_unchanged && poll.records.is_empty() && poll.happenings.is_empty() && events.is_empty() {
            return Ok(has_more);
        }
        events.extend(poll.happenings.iter().filter_map(|happening| telling::happening(happening, now, &name.path)));
        let judged = self.surroundings.without_twins(Side::File, &poll.records, now);
        events.extend(self.judge(&name.path, &poll.records, judged.as_ref(), now));
        let change = if is_over {
            StateChange::RemoveLog(name)
        } else {
            StateChange::Log(Box::new(LogRow { name, state: poll.state }))
        };
        self.store(change, events, judged, now)?;
        if is_over {
            self.logs.remove(path);
        }
        Ok(has_more)
    }

    fn poll_journal(&mut self, now: Moment) -> Result<bool, StoreError> {
        let Some(journal) = self.journal.as_mut().filter(|_| !self.is_journal_set_aside) else { return Ok(false) };
        let state = self.surroundings.db.lock().journal_state(&self.name)?;
        let poll = journal.poll(state.as_ref(), now.wall);
        let has_more = poll.has_more;
        if state.as_ref() == Some(&poll.state) && poll.records.is_empty() && poll.happenings.is_empty() {
            return Ok(has_more);
        }
        let zone = &self.surroundings.journal.zone;
        let tell = |happening| telling::journal(happening, zone, now);
        let mut events: Vec<Event> = poll.happenings.iter().map(tell).collect();
        let judged = self.surroundings.without_twins(Side::Journal, &poll.records, now);
        events.extend(self.judge(JOURNAL, &poll.records, judged.as_ref(), now));
        let change = StateChange::Journal(Box::new(JournalRow { group: self.name.clone(), state: poll.state }));
        self.store(change, events, judged, now)?;
        Ok(has_more)
    }

    fn store(
        &mut self,
        change: StateChange,
        events: Vec<Event>,
        judged: Option<Judged>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let polled = StateChange::LogsPolled(self.name.clone(), now.wall);
        let outcome = Outcome::default().with_change(change).with_change(polled);
        let outcome = events.into_iter().fold(outcome, Outcome::with_event);
        self.surroundings.db.lock().commit(&outcome)?;
        self.surroundings.keep(judged);
        self.stored = Some(now.wall);
        Ok(())
    }

    /// The events of new lines. A line that our own code stumbles over is told like one that no rule knows.
    fn judge(&mut self, log: &[u8], records: &[Record], judged: Option<&Judged>, now: Moment) -> Vec<Event> {
        let mut events: Vec<Event> = records.iter().filter_map(|record| telling::gap(record, now, log)).collect();
        let (own, pid) = (Arc::clone(&self.surroundings.own), self.surroundings.pid);
        let stays = |number: usize| judged.is_none_or(|judged| judged.stays.get(number) != Some(&false));
        let lines: Vec<(&[u8], u64)> = records
            .iter()
            .enumerate()
            .filter(|(number, _)| stays(*number))
            .filter_map(|(_, record)| match record {
                Record::Line { bytes, length } => Some((without_trailing_space(bytes), *length)),
                Record::Gap(_) => None,
            })
            .filter(|(line, _)| !line.is_empty() && !own.take(line, pid))
            .collect();
        let classifier = &mut self.upkeep.classifier;
        let mut marks = Vec::with_capacity(lines.len());
        for (line, _) in &lines {
            let marked = catch_unwind(AssertUnwindSafe(|| classifier.marks(line)));
            marks.push(marked.unwrap_or_else(|_panic| {
                let note = "a fault in integrityd while rules were tried on a line, which is told as if none knew it; please report it";
                events.push(Event::new(Category::InternalError, Severity::High, now, log.to_vec()).with_note(note));
                Marks::default()
            }));
        }
        for ((line, length), verdict) in lines.into_iter().zip(classifier.verdicts(&marks)) {
            let (category, rule) = match verdict {
                Verdict::Cracking(rule) => (Category::Cracking, classifier.set().place(rule)),
                Verdict::Violation(rule) => (Category::Violation, classifier.set().place(rule)),
                Verdict::System => (Category::SystemEvent, Vec::new()),
                Verdict::Ignored(_) | Verdict::Silenced { .. } => continue,
            };
            events.push(telling::line(category, now, log, line, length, rule));
        }
        events
    }
}

/// As logcheck's sed has it: `[[:space:]]` at the end goes.
fn without_trailing_space(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| *byte != b' ' && !(b'\t'..=b'\r').contains(byte)).map_or(0, |at| at + 1);
    line.get(..end).unwrap_or_default()
}

/// Removes the positions of logs that are configured no longer.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn forget_others(store: &mut Store, groups: &[Box<Group>]) -> Result<(), StoreError> {
    let is_ours = |name: &LogName| {
        groups.iter().any(|group| {
            group.name == name.group && group.logs.keys().any(|path| path.as_os_str().as_bytes() == name.path)
        })
    };
    let mut outcome = Outcome::default();
    for name in store.log_names()?.into_iter().filter(|name| !is_ours(name)) {
        outcome = outcome.with_change(StateChange::RemoveLog(name));
    }
    let reads = |name: &Vec<u8>| groups.iter().any(|group| group.name == *name && group.journal.is_some());
    for name in store.journal_groups()?.into_iter().filter(|name| !reads(name)) {
        outcome = outcome.with_change(StateChange::RemoveJournal(name));
    }
    if outcome.changes.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}
