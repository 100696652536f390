//! The words of the house: plain data that every other room speaks, without I/O and without waiting.
//!
//! Downwards: originator, log, canonical, event, file, format.

pub mod backoff;
pub mod canonical;
pub mod clock;
pub mod escape;
pub mod event;
pub mod file;
pub mod format;
pub mod health;
pub mod keepalive;
pub mod log;
pub mod originator;
pub mod process;
