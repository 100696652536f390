//! What a full-speed pass brings in, and how it gets into the store: in batches, each change together with its events.

use crate::{
    files::area::watched_areas::WatchedArea,
    model::{
        clock::{Moment, Timestamp},
        escape::escape_name,
        event::{Category, Event, Member, Severity},
        file::entry::{Entry, EntryId},
    },
    store::{
        baseline::members::{MemberPart, Members},
        db::Db,
        events::outcome::{ConditionalOutcome, Outcome, StateChange, StoredFinding},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Unchanged and learned rows that are written at the latest together: a commit costs a few milliseconds, a row microseconds.
const ROWS: usize = 4000;

/// Paths of high severity that are named when they are accepted.
const NAMED: usize = 5;

/// Events that are written at the latest together.
const EVENTS: usize = 500;

/// What a worker brings from one piece of work.
#[derive(Debug, Default)]
pub struct ScanBatch {
    /// Paths looked at.
    pub looks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Paths that the baseline does not know because it is still being learned.
    pub unlearned: u64,
    /// Rows found unchanged, and when; empty when nothing is to be stored.
    pub same: Vec<(EntryId, Timestamp)>,
    /// Rows that are new or hold more than before, without news; empty when nothing is to be stored.
    pub learned: Vec<Entry>,
    /// What differs.
    pub news: Vec<ConditionalOutcome>,
    /// What was passed over.
    pub passed: Passed,
    /// Rows of the baseline at whose paths nothing is, with those paths; whether they are gone or moved shows at the end.
    pub gone: Vec<(EntryId, Vec<u8>)>,
}

/// Paths that a pass came to and did not compare, each standing for what lies beneath it, by why; what has an event of its own (unreadable,
/// covered, missing, not answering as a whole mount) is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Left out by the configuration.
    pub excluded: u64,
    /// On mounts that are not entered.
    pub barred: u64,
    /// Which did not answer.
    pub silent: u64,
    /// Whose content cannot be read, reported before.
    pub unreadable: u64,
    /// Whose content is left to the daemon.
    pub left: u64,
    /// How many of all these the baseline has.
    pub known: u64,
}

impl Passed {
    /// Adds what was passed over elsewhere.
    pub(in crate::files) fn add(&mut self, other: Self) {
        self.excluded += other.excluded;
        self.barred += other.barred;
        self.silent += other.silent;
        self.unreadable += other.unreadable;
        self.left += other.left;
        self.known += other.known;
    }
}

impl ScanBatch {
    /// Adds another batch to this one.
    pub fn add(&mut self, other: Self) {
        self.looks += other.looks;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unlearned += other.unlearned;
        self.passed.add(other.passed);
        self.same.extend(other.same);
        self.learned.extend(other.learned);
        self.news.extend(other.news);
        self.gone.extend(other.gone);
    }
}

/// Writes what comes in.
#[derive(Debug)]
pub struct BatchWriter {
    db: Db,
    ready: Vec<ConditionalOutcome>,
}

impl BatchWriter {
    /// A writer into `db`; what others have told since it was found is left to them.
    pub fn new(db: Db) -> Self {
        Self { db, ready: Vec::new() }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// [`StoreError`]; what was not stored will be found again.
    pub fn take(&mut self, batch: ScanBatch) -> Result<(), StoreError> {
        let db = self.db.clone();
        let mut store = db.lock();
        store.count_looks(batch.looks, batch.bytes);
        for (id, checked) in batch.same {
            let visit = store.next_visit();
            store.touch(id, visit, checked);
        }
        for entry in batch.learned {
            let visit = store.next_visit();
            store.learn(Entry { visit, ..entry });
        }
        for mut piece in batch.news {
            for change in &mut piece.outcome.changes {
                if let StateChange::Put(entry) = change {
                    entry.visit = store.next_visit();
                }
            }
            self.ready.push(piece);
        }
        if self.ready.len() >= EVENTS {
            self.write(&mut store)?;
        } else if store.collected() >= ROWS {
            store.flush()?;
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// [`StoreError`]; what was not stored will be found again.
    pub fn close(mut self) -> Result<(), StoreError> {
        let db = self.db.clone();
        self.write(&mut db.lock())
    }

    fn write(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let ready = std::mem::take(&mut self.ready);
        store.commit_fresh(&ready, |_fresh| Outcome::default()).map(drop)
    }
}

impl ScanBatch {
    /// A path that does not answer, known or not.
    pub(in crate::files) fn silent(is_known: bool) -> Self {
        Self { passed: Passed { silent: 1, known: u64::from(is_known), ..Passed::default() }, ..Self::default() }
    }

    /// An event with no state that belongs to it.
    pub(super) fn telling(event: Event) -> Self {
        ConditionalOutcome::new(None, vec![event.into()], Vec::new()).into()
    }
}

impl From<ConditionalOutcome> for ScanBatch {
    fn from(news: ConditionalOutcome) -> Self {
        Self { news: vec![news], ..Self::default() }
    }
}

/// The event that stands for everything that was accepted.
pub(super) fn acceptance(watched: &WatchedArea, news: &[&ConditionalOutcome], who: &str, now: Moment) -> StoredFinding {
    let count = |wanted: &[Category]| {
        let events = news.iter().flat_map(|news| &news.outcome.events);
        events.filter(|found| wanted.contains(&found.event.category)).map(|found| found.event.count).sum::<u64>()
    };
    let added = count(&[Category::Added]);
    let removed = count(&[Category::Removed]);
    let changed =
        count(&[Category::Changed, Category::Retyped, Category::Rewritten, Category::Touched, Category::Moved]);
    let parts = news.iter().flat_map(|news| &news.outcome.events).flat_map(|found| {
        // Of what is new, what it is: else its path would stand nowhere.
        let seen = found.event.old.clone().or_else(|| found.event.new.clone());
        let own = seen.map(|old| Member { source: found.event.source.clone(), old });
        let own = own.map(|own| MemberPart::One(Box::new(own)));
        if found.members.0.is_empty() { own.into_iter().collect() } else { found.members.0.clone() }
    });
    let members = Members(parts.collect());
    let high: Vec<&Event> = news
        .iter()
        .flat_map(|news| &news.outcome.events)
        .map(|found| &found.event)
        .filter(|event| event.severity >= Severity::High)
        .collect();
    let mut note = format!(
        "{who} accepted what lies here as the baseline (init --accept): {added} added, {removed} removed, {changed} changed"
    );
    if !high.is_empty() {
        let named: Vec<String> = high.iter().take(NAMED).map(|event| escape_name(&event.source)).collect();
        note.push_str(&format!("\n{} of high severity, among them {}", high.len(), named.join(", ")));
    }
    let severity = if high.is_empty() { Severity::Normal } else { Severity::High };
    let event = Event {
        area: watched.path.clone(),
        count: added + removed + changed,
        ..Event::new(Category::Notice, severity, now, watched.path.clone())
    }
    .with_note(note);
    StoredFinding { event, members }
}
