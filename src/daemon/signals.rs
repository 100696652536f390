//! Signals as orders: TERM and INT stop, HUP reloads, USR1 sends.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// What the daemon is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalOrder {
    /// End at a safe point.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Report everything that waits, and try every queued delivery, now.
    Send,
}

/// Where orders come from.
#[derive(Debug)]
pub enum Orders {
    /// The signals of this process.
    Signals(Box<Signals>),
    /// A channel; its end means stop.
    Channel(mpsc::Receiver<SignalOrder>),
}

/// The handlers of the signals.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

/// Has a write beyond the limit of file sizes (`ulimit -f`, `setrlimit(2)`) fail with `EFBIG`, like that on a full disk, instead of ending
/// the process. To be called within a runtime.
pub fn outlive_large_files() {
    let number = rustix::process::Signal::XFSZ.as_raw();
    match signal(SignalKind::from_raw(number)) {
        // The handler stays for the life of the process.
        Ok(handler) => drop(handler),
        Err(error) => tracing::debug!(%error, "a limit of file sizes may end this process"),
    }
}

impl Orders {
    /// Takes over TERM, INT, HUP and USR1.
    ///
    /// # Errors
    /// The error of `sigaction(2)`.
    pub fn from_signals() -> io::Result<Self> {
        Ok(Self::Signals(Box::new(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })))
    }

    /// The next order.
    pub async fn next(&mut self) -> SignalOrder {
        match self {
            Self::Signals(signals) => tokio::select! {
                _ = signals.terminate.recv() => SignalOrder::Stop,
                _ = signals.interrupt.recv() => SignalOrder::Stop,
                _ = signals.hangup.recv() => SignalOrder::Reload,
                _ = signals.user.recv() => SignalOrder::Send,
            },
            Self::Channel(orders) => orders.recv().await.unwrap_or(SignalOrder::Stop),
        }
    }
}
