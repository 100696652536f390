//! What a full-speed pass brings in, and how it gets into the store: in batches, each change together with its events.

use crate::{
    model::{
        clock::Timestamp,
        entry::{Entry, EntryId},
    },
    store::{
        database::Store,
        door::Db,
        error::StoreError,
        outcome::{Found, Outcome, StateChange},
    },
};

/// Unchanged and learned rows that are written at the latest together: a commit costs a few milliseconds, a row microseconds.
const ROWS: usize = 4000;

/// Events that are written at the latest together.
const EVENTS: usize = 500;

/// Something that differs from the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The row it was compared with; `None` for a path that was not in the baseline.
    pub basis: Option<Box<Entry>>,
    /// What is to be told.
    pub events: Vec<Found>,
    /// The state that belongs to it.
    pub changes: Vec<StateChange>,
}

/// What a worker brings from one piece of work.
#[derive(Debug, Default)]
pub struct Harvest {
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
    pub news: Vec<News>,
}

impl Harvest {
    /// Adds another harvest to this one.
    pub fn add(&mut self, other: Self) {
        self.looks += other.looks;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unlearned += other.unlearned;
        self.same.extend(other.same);
        self.learned.extend(other.learned);
        self.news.extend(other.news);
    }
}

/// Writes what comes in.
#[derive(Debug)]
pub struct Barn {
    db: Db,
    ready: Outcome,
    /// Whether others write meanwhile, so that rows must be looked at again.
    has_neighbours: bool,
}

impl Barn {
    /// A writer into `db`; with `has_neighbours` it leaves alone what others have stored since it was looked at.
    pub fn new(db: Db, has_neighbours: bool) -> Self {
        Self { db, ready: Outcome::default(), has_neighbours }
    }

    /// Takes a harvest in; gives the news that it made its own.
    ///
    /// # Errors
    /// [`StoreError`]; what was not stored will be found again.
    pub fn take(&mut self, harvest: Harvest) -> Result<Vec<News>, StoreError> {
        let db = self.db.clone();
        let mut store = db.lock();
        store.count_looks(harvest.looks, harvest.bytes);
        for (id, checked) in harvest.same {
            let visit = store.next_visit();
            store.touch(id, visit, checked);
        }
        for entry in harvest.learned {
            let visit = store.next_visit();
            store.learn(Entry { visit, ..entry });
        }
        let mut taken = Vec::new();
        for news in harvest.news {
            if self.has_neighbours && !self.is_still_news(&store, &news)? {
                continue;
            }
            for change in &news.changes {
                let change = match change {
                    StateChange::Put(entry) => {
                        let visit = store.next_visit();
                        StateChange::Put(Box::new(Entry { visit, ..Entry::clone(entry) }))
                    }
                    other => other.clone(),
                };
                self.ready.changes.push(change);
            }
            self.ready.events.extend(news.events.iter().cloned());
            taken.push(news);
        }
        if self.ready.events.len() >= EVENTS || self.ready.changes.len() >= EVENTS {
            self.write(&mut store)?;
        } else if store.collected() >= ROWS {
            store.flush()?;
        }
        Ok(taken)
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
        store.commit(&ready).map(|_seq| ())
    }

    /// Whether the row is still the one the news was found against, and the directory of a new one is there.
    fn is_still_news(&self, store: &Store, news: &News) -> Result<bool, StoreError> {
        if let Some(basis) = &news.basis {
            let now = store.entry(basis.id)?;
            return Ok(now.is_some_and(|now| now.known == basis.known && now.reported == basis.reported));
        }
        for change in &news.changes {
            let StateChange::Put(entry) = change else { continue };
            let Some(parent) = entry.parent else { continue };
            let is_there =
                self.ready.changes.iter().any(|ready| matches!(ready, StateChange::Put(put) if put.id == parent));
            if store.entry_named(entry.parent, &entry.name)?.is_some() || !is_there && store.entry(parent)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
