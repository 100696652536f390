//! Telling the service manager how far we are (`sd_notify(3)`); without `NOTIFY_SOCKET` nothing happens.

use sd_notify::NotifyState;

/// What the service manager is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The tasks are running.
    Ready,
    /// The configuration is read again; `Ready` follows.
    Reloading,
    /// The tasks are being ended.
    Stopping,
}

/// Tells the service manager. A failure is logged, for nothing else depends on it.
pub fn tell(phase: Phase) {
    let told = match phase {
        Phase::Ready => sd_notify::notify(&[NotifyState::Ready]),
        // Type=notify-reload wants to know when the reload began (systemd.service(5)).
        Phase::Reloading => {
            NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
        }
        Phase::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    };
    if let Err(error) = told {
        tracing::warn!(%error, ?phase, "the service manager could not be told");
    }
}
