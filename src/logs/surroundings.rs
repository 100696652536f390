//! What all groups of logs of a generation share: the store, what is known of this process, and which lines wait for their twin.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{
    duplicates::{Duplicates, Judged, Side},
    journal,
    lines::Record,
    own::Own,
    own_lines::OwnLines,
};
use crate::{config::settings::Config, model::clock::Moment, store::door::Db, sys::proc};

/// What all groups of a generation share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The store.
    pub db: Db,
    /// What this process has written to its own log.
    pub own: Arc<OwnLines>,
    /// The number of this process.
    pub pid: u32,
    /// After how long a standing trouble is told again.
    pub error_nag: Duration,
    /// How the journal is read.
    pub journal: journal::Settings,
    /// Which lines wait for their twin in the journal or in a file; `None` when not both are read.
    pub duplicates: Option<Arc<Mutex<Duplicates>>>,
}

impl Surroundings {
    /// The surroundings of this process at `now`.
    pub fn new(db: Db, config: &Config, own: Arc<OwnLines>, now: Moment) -> Self {
        let pid = std::process::id();
        let started = proc::started(Path::new("/"), pid).unwrap_or(now.boottime);
        let since = now.wall.before(now.boottime.since(started));
        let zone = TimeZone::system();
        let has_journal = config.logs.iter().any(|group| group.journal);
        let has_files = config.logs.iter().any(|group| !(group.files.is_empty() && group.transient.is_empty()));
        Self {
            db,
            own,
            pid,
            error_nag: config.report.error_nag,
            journal: journal::Settings {
                own: Some(Own { pid, boot: now.boot, since }),
                errornag: config.report.error_nag,
                zone: zone.clone(),
                ..journal::Settings::default()
            },
            duplicates: (has_journal && has_files).then(|| Arc::new(Mutex::new(Duplicates::new(zone)))),
        }
    }

    fn lock_duplicates(&self) -> Option<MutexGuard<'_, Duplicates>> {
        self.duplicates.as_ref().map(|duplicates| duplicates.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which records were not told by the other side already. What that changes is kept when the events are stored.
    pub(super) fn without_twins(&self, side: Side, records: &[Record], now: Moment) -> Option<Judged> {
        Some(self.lock_duplicates()?.judge(side, records, now.wall))
    }

    pub(super) fn keep(&self, judged: Option<Judged>) {
        if let (Some(mut duplicates), Some(judged)) = (self.lock_duplicates(), judged) {
            *duplicates = judged.next;
        }
    }
}
