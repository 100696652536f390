//! Telling the service manager how far we are (`sd_notify(3)`); without `NOTIFY_SOCKET` nothing happens.

use std::time::Duration;

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

/// Asks the service manager for so much more time to start.
pub fn linger(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let words = "waiting for the database: it cannot be read or written";
    if let Err(error) = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(words)]) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// How often the watchdog of the service manager has to be fed at least (`WatchdogSec=`); `None` when it has none for this process.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// Feeds the watchdog.
pub fn feed() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
        tracing::warn!(%error, "the watchdog could not be fed");
    }
}

/// Tells the service manager in one line how things stand (`STATUS=`).
pub fn describe(words: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Status(words)]) {
        tracing::warn!(%error, "the state could not be told to the service manager");
    }
}

/// Whether there is a service manager to be told.
pub fn has_listener() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}
