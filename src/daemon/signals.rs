//! Signals as orders: TERM and INT stop, HUP reloads.

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
}

impl Orders {
    /// Takes over TERM, INT and HUP.
    ///
    /// # Errors
    /// The error of `sigaction(2)`.
    pub fn from_signals() -> io::Result<Self> {
        Ok(Self::Signals(Box::new(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })))
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        match self {
            Self::Signals(signals) => tokio::select! {
                _ = signals.terminate.recv() => Order::Stop,
                _ = signals.interrupt.recv() => Order::Stop,
                _ = signals.hangup.recv() => Order::Reload,
            },
            Self::Channel(orders) => orders.recv().await.unwrap_or(Order::Stop),
        }
    }
}
