//! Signals as orders: TERM and INT stop, HUP reloads, USR1 sends.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// What the daemon is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
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
    Channel(mpsc::Receiver<Order>),
}

/// The handlers of the signals.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
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
    pub async fn next(&mut self) -> Order {
        match self {
            Self::Signals(signals) => tokio::select! {
                _ = signals.terminate.recv() => Order::Stop,
                _ = signals.interrupt.recv() => Order::Stop,
                _ = signals.hangup.recv() => Order::Reload,
                _ = signals.user.recv() => Order::Send,
            },
            Self::Channel(orders) => orders.recv().await.unwrap_or(Order::Stop),
        }
    }
}
