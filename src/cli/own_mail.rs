//! What a command sends or asks by way of the mail system is noted like the mails of the daemon, which else reports what the mail server
//! logs about it.

use std::path::Path;

use crate::{
    cli::context::CliContext,
    model::clock::{Clock, Timestamp},
    store::sqlite::connection::Store,
    sys::host,
};

/// An attempt that is noted.
#[derive(Debug)]
pub(super) struct Noted {
    store: Store,
    id: i64,
}

fn now() -> Timestamp {
    Clock::System(host::boot_id(Path::new("/"))).now().wall
}

impl Noted {
    /// Notes that a mail with this Message-ID (empty when a server is only greeted) is sent from, to. `None` where there is no database
    /// that could be written: then there is no daemon either, or it is another user's.
    pub(super) fn begin(source: &CliContext, message_id: &str, addresses: [&str; 2]) -> Option<Self> {
        let mut store = source.open_beside().ok()?;
        let id = store.begin_own_mail(message_id, addresses, now()).ok()?;
        Some(Self { store, id })
    }

    /// Notes that it is over, and the queue id that was replied.
    pub(super) fn end(mut self, queue_id: Option<&str>) {
        if let Err(error) = self.store.end_own_mail(self.id, queue_id, now()) {
            tracing::debug!(%error, "the end of an attempt is not noted");
        }
    }
}
