//! What the tasks have met when the database failed: noted here by whoever meets it, so that one task looks after it and tells it.
//!
//! It outlives a generation, for the trouble does too.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    model::clock::{Boottime, Moment},
    store::{
        recovery::failure_kind::DbFailure,
        sqlite::error::{StoreError, with_causes},
    },
};

/// How often an administrator is told by an emergency mail that the database cannot be written.
const ALARM_TIME: Duration = Duration::from_hours(1);

/// How long another process may hold the write lock before that is told.
const BUSY_TIME: Duration = Duration::from_mins(1);

/// So many failures are told though a single write went through meanwhile.
const FAILURES: u64 = 3;

/// A time in which the database cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTrouble {
    /// Since when.
    pub since: Moment,
    /// What kind it is.
    pub failure: DbFailure,
    /// What the latest attempt was answered.
    pub words: String,
    /// How many attempts have failed.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct TroubleState {
    trouble: Option<StoreTrouble>,
    renewal: Option<DbFailure>,
    alarmed: Option<Boottime>,
    /// A row that cannot be read, and when it was met last; waiting does not help, and what else is stored still works.
    unreadable: Option<(StoreTrouble, Boottime)>,
    told_unreadable: Option<Boottime>,
    ended: Option<Boottime>,
}

/// What is known of the health of the database, shared by all tasks.
#[derive(Debug, Clone, Default)]
pub struct Troubles {
    state: Arc<Mutex<TroubleState>>,
    bell: Arc<Notify>,
}

impl Troubles {
    fn state(&self) -> MutexGuard<'_, TroubleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a failure; one that is not about the health of the database is passed over.
    pub fn note(&self, error: &StoreError, now: Moment) {
        match error.failure() {
            Some(failure) if failure.needs_renewal() => {
                self.ask_for_renewal(failure);
                self.bell.notify_one();
            }
            _ => self.note_whatever_it_is(error, now),
        }
    }

    /// As [`Troubles::note`], while nothing is open that could be opened anew.
    pub fn note_whatever_it_is(&self, error: &StoreError, now: Moment) {
        let Some(failure) = error.failure() else { return };
        let mut state = self.state();
        if failure == DbFailure::Unreadable {
            let fresh = StoreTrouble { since: now, failure, words: String::new(), failures: 0 };
            let (trouble, met) = state.unreadable.get_or_insert((fresh, now.boottime));
            trouble.failures = trouble.failures.saturating_add(1);
            trouble.words = with_causes(error);
            *met = now.boottime;
        } else {
            let trouble = state.trouble.get_or_insert_with(|| StoreTrouble {
                since: now,
                failure,
                words: String::new(),
                failures: 0,
            });
            trouble.failures = trouble.failures.saturating_add(1);
            trouble.words = with_causes(error);
            if trouble.failure == DbFailure::Busy {
                trouble.failure = failure;
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Notes that only a fresh start over the file helps.
    pub fn ask_for_renewal(&self, failure: DbFailure) {
        self.state().renewal = Some(failure);
    }

    /// Whether a fresh start is needed, and why.
    pub fn renewal(&self) -> Option<DbFailure> {
        self.state().renewal
    }

    /// The fresh start was made.
    pub fn end_renewal(&self) {
        self.state().renewal = None;
    }

    /// What stands.
    pub fn standing(&self) -> Option<StoreTrouble> {
        self.state().trouble.clone()
    }

    /// It is over, and that was stored.
    pub fn end(&self, now: Boottime) {
        let mut state = self.state();
        state.trouble = None;
        state.ended = Some(now);
    }

    /// How long ago the last trouble has ended; `None` when there was none.
    pub fn ended_since(&self, now: Boottime) -> Option<Duration> {
        self.state().ended.map(|ended| now.since(ended))
    }

    /// Whether it is time to tell it by an emergency mail, after an attempt of its own has failed or not.
    pub fn is_alarm_due(&self, has_failed: bool, now: Moment) -> bool {
        let state = self.state();
        let Some(trouble) = &state.trouble else { return false };
        let is_grave = match trouble.failure {
            DbFailure::Busy => now.since(trouble.since) >= BUSY_TIME,
            _ => has_failed || trouble.failures >= FAILURES,
        };
        is_grave && state.alarmed.is_none_or(|alarmed| now.boottime.since(alarmed) >= ALARM_TIME)
    }

    /// A row that cannot be read, when that is to be told: at once and then once an hour, as long as somebody meets it.
    pub fn unreadable_due(&self, now: Boottime) -> Option<StoreTrouble> {
        let mut state = self.state();
        let (trouble, met) = state.unreadable.clone()?;
        if now.since(met) >= ALARM_TIME {
            state.unreadable = None;
            return None;
        }
        let is_due = state.told_unreadable.is_none_or(|told| now.since(told) >= ALARM_TIME);
        if is_due {
            state.told_unreadable = Some(now);
        }
        is_due.then_some(trouble)
    }

    /// It was told.
    pub fn alarmed(&self, now: Boottime) {
        self.state().alarmed = Some(now);
    }

    /// Waits until something is noted.
    pub async fn noted(&self) {
        self.bell.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::model::clock::Timestamp;

    fn failure(code: i32) -> StoreError {
        StoreError::Sqlite { what: "commit", source: rusqlite::Error::SqliteFailure(ffi::Error::new(code), None) }
    }

    fn at(seconds: i64) -> Moment {
        let nanos = seconds * 1_000_000_000;
        Moment { wall: Timestamp::from_nanos(nanos), boottime: Boottime::from_nanos(nanos), ..Moment::default() }
    }

    #[test]
    fn an_emergency_is_told_once_an_hour_and_a_busy_database_only_when_it_lasts() {
        let troubles = Troubles::default();
        troubles.note(&failure(ffi::SQLITE_CONSTRAINT), at(0));
        assert_eq!(troubles.standing(), None);
        troubles.note(&failure(ffi::SQLITE_BUSY), at(10));
        assert!(!troubles.is_alarm_due(true, at(20)));
        assert!(troubles.is_alarm_due(true, at(71)));
        troubles.note(&failure(ffi::SQLITE_FULL), at(20));
        assert_eq!(troubles.standing().unwrap().failure, DbFailure::Unwritable);
        assert!(!troubles.is_alarm_due(false, at(20)) && troubles.is_alarm_due(true, at(20)));
        troubles.alarmed(at(20).boottime);
        assert!(!troubles.is_alarm_due(true, at(3619)));
        assert!(troubles.is_alarm_due(true, at(3620)));
        troubles.end(at(4000).boottime);
        assert!(troubles.standing().is_none() && !troubles.is_alarm_due(true, at(9000)));
        assert_eq!(troubles.renewal(), None);
        let row = StoreError::Row { what: "entry" };
        troubles.note(&row, at(4500));
        assert!(troubles.standing().is_none(), "the database can be written");
        assert_eq!(troubles.unreadable_due(at(4500).boottime).unwrap().failure, DbFailure::Unreadable);
        troubles.note(&row, at(6000));
        assert_eq!(troubles.unreadable_due(at(6000).boottime), None, "once an hour");
        assert!(troubles.unreadable_due(at(8100).boottime).is_some());
        troubles.note(&failure(ffi::SQLITE_CORRUPT), at(5000));
        assert_eq!((troubles.renewal(), troubles.standing()), (Some(DbFailure::Corrupt), None));
    }
}
