//! The tasks: composing when a report is due, delivering, what is sent periodically.

pub mod composer;
pub mod delivery;
pub mod periodic;
pub mod pool;
mod replace;
mod retry;
