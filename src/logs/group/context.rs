//! What all groups of logs of a generation share: the store, and what is known of this process.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    config::settings::config::Config,
    logs::{
        group::own_output::OwnLines,
        journal::{own_entries::Own, reader},
    },
    model::clock::Moment,
    store::db::Db,
    sys::{fs::ownership, host},
};

/// What all groups of a generation share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The store.
    pub db: Db,
    /// What this process has written to its own log.
    pub own: Arc<OwnLines>,
    /// The number of this process.
    pub pid: u32,
    /// The number of its user.
    pub uid: u32,
    /// After how long a standing trouble is told again.
    pub error_nag: Duration,
    /// How the journal is read.
    pub journal: reader::JournalSettings,
}

impl Surroundings {
    /// The surroundings of this process at `now`.
    pub fn new(db: Db, config: &Config, own: Arc<OwnLines>, now: Moment) -> Self {
        let pid = std::process::id();
        let started = host::started(Path::new("/"), pid).unwrap_or(now.boottime);
        let since = now.wall.before(now.boottime.since(started));
        Self {
            db,
            own,
            pid,
            uid: ownership::own_uid(),
            error_nag: config.report.error_nag,
            journal: reader::JournalSettings {
                own: Some(Own { pid, boot: now.boot, since }),
                errornag: config.report.error_nag,
                zone: TimeZone::system(),
                ..reader::JournalSettings::default()
            },
        }
    }
}
