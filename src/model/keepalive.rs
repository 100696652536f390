//! A sign that a task goes on: it beats at each safe point, and somebody else counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The pulse of one task. Clones beat as one.
#[derive(Debug, Clone, Default)]
pub struct Keepalive(Arc<AtomicU64>);

impl Keepalive {
    /// Says that the task has come this far.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has beaten.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
