//! What the logs of a group have shown of our own mails: kept a log, and moved on when what was read is stored.

use std::collections::HashMap;

use crate::{
    logs::{
        group::context::Surroundings,
        own_mail::{
            recogniser::{JudgedLine, Tracker, Us},
            server_lines,
        },
    },
    model::clock::Timestamp,
    store::sqlite::error::StoreError,
    sys::panic::catch_panic,
    tail::splitter::LogRecord,
};

/// What each log has shown, by its path.
#[derive(Debug, Default)]
pub(in crate::logs) struct OwnMailLogs {
    trackers: HashMap<Vec<u8>, Tracker>,
}

impl OwnMailLogs {
    /// Which new records of a log our own mails have caused. To be asked when the records were read: a mail is stored before it is sent.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub(in crate::logs) fn judge(
        &self,
        log: &[u8],
        records: &[LogRecord],
        surroundings: &Surroundings,
        now: Timestamp,
    ) -> Result<JudgedLine, StoreError> {
        let zone = &surroundings.journal.zone;
        let tracker = self.trackers.get(log).cloned().unwrap_or_default();
        let lines: Vec<_> =
            records.iter().map(|record| catch_panic(|| server_lines::of(record, zone, now)).ok().flatten()).collect();
        if lines.iter().all(Option::is_none) {
            return Ok(JudgedLine { next: tracker, ..JudgedLine::default() });
        }
        let mails = surroundings.db.lock().own_mails()?;
        Ok(tracker.judge(&lines, &mails, &Us { zone, uid: surroundings.uid }))
    }

    /// Keeps what a log has shown, when its lines are stored.
    pub(in crate::logs) fn keep(&mut self, log: &[u8], next: Tracker) {
        self.trackers.insert(log.to_vec(), next);
    }

    /// Forgets a log that is over.
    pub(in crate::logs) fn forget(&mut self, log: &[u8]) {
        self.trackers.remove(log);
    }
}
