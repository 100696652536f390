//! The words of the house: plain data that every other room speaks, without I/O and without waiting.

pub mod canonical;
pub mod change;
pub mod clock;
pub mod coverage;
pub mod entry;
pub mod escape;
pub mod event;
pub mod journal;
pub mod log;
