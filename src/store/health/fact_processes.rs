//! How the watched processes stand: which one each is, since when, and how often it was started anew of late.

use std::time::Duration;

use crate::{
    model::{
        clock::{Moment, Timestamp},
        escape::escape_name,
        process::{FileFault, Liveness, WatchState},
    },
    store::{
        sources::processes::WatchRow,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Restarts are counted over so long.
const DAY: Duration = Duration::from_hours(24);

/// One watched process.
#[derive(Debug, Clone)]
pub struct ProcessFacts {
    /// The PID file or unit, made printable, with its container.
    pub source: String,
    /// The container, made printable; empty for the host.
    pub container: String,
    /// Its name, made printable; empty when it was never seen.
    pub name: String,
    /// Its number on the host; `None` when it does not run.
    pub pid: Option<u32>,
    /// When it was started; `None` when it does not run.
    pub started: Option<Timestamp>,
    /// How it fares.
    pub liveness: Liveness,
    /// What is wrong with its PID file.
    pub fault: Option<FileFault>,
    /// Since when it is so.
    pub since: Timestamp,
    /// How often it was started anew in the last 24 hours.
    pub restarts: u64,
}

/// All watched processes that were looked at.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn processes(store: &Store, now: Moment) -> Result<Vec<ProcessFacts>, StoreError> {
    let restarts = store.restarts_since(now.wall.before(DAY))?;
    let of = |WatchRow { name, state }: WatchRow| {
        let told = restarts.get(&name).copied().unwrap_or(0);
        let WatchState { process, liveness, fault, storm, since } = state;
        let is_there = liveness != Liveness::Gone;
        let process = process.filter(|process| process.id.boot == now.boot);
        ProcessFacts {
            source: escape_name(&name.source),
            container: escape_name(&name.container),
            name: process.as_ref().map(|process| escape_name(&process.comm)).unwrap_or_default(),
            pid: process.as_ref().filter(|_| is_there).map(|process| process.id.pid),
            started: process.as_ref().filter(|_| is_there).map(|process| process.since),
            liveness,
            fault,
            since,
            restarts: told.saturating_add(storm.untold),
        }
    };
    Ok(store.watched()?.into_iter().map(of).collect())
}

impl ProcessFacts {
    /// Its name and where it is watched.
    pub fn title(&self) -> String {
        let place = self.place();
        if self.name.is_empty() { place } else { format!("{} ({place})", self.name) }
    }

    /// Where it is watched.
    pub fn place(&self) -> String {
        if self.container.is_empty() { self.source.clone() } else { format!("{} in {}", self.source, self.container) }
    }

    /// What is wrong with its PID file, in a word.
    pub fn fault_word(&self) -> Option<&'static str> {
        self.fault.map(|fault| if fault == FileFault::Missing { "missing" } else { "invalid" })
    }

    /// Whether there is nothing to be done.
    pub fn is_fine(&self) -> bool {
        self.liveness == Liveness::Running && self.fault.is_none()
    }

    /// How it stands, in words.
    pub fn words(&self) -> String {
        match (self.liveness, self.fault_word()) {
            (Liveness::Running, Some(word)) => format!("pid file {word}"),
            (liveness, _) => liveness.word().to_owned(),
        }
    }
}
