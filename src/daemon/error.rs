//! Why the daemon ends with a failure.

use crate::{
    report::{task::composer::BatchError, transport::TransportError},
    store::sqlite::error::StoreError,
};

/// Why the daemon ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The mail transport cannot be prepared.
    #[error("mail cannot be sent this way")]
    Transport(#[from] TransportError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A report could not be made.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The sandbox binds the state directory that was there at the start.
    #[error(
        "the directory of the database is another one than at the start, which the sandbox puts out of reach; the next start finds it"
    )]
    Displaced(#[source] StoreError),
    /// A task ended though nobody had told it to.
    #[error("{task} ended unasked; everything is stopped so that the service manager starts it anew")]
    Fallen {
        /// Which.
        task: String,
    },
}
