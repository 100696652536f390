//! The words of the house: plain data that every other room speaks, without I/O and without waiting.

pub mod acl;
pub mod canonical;
pub mod capability;
pub mod change;
pub mod clock;
pub mod coverage;
pub mod entry;
pub mod escape;
pub mod event;
pub mod flags;
pub mod format;
pub mod health;
pub mod journal;
pub mod log;
pub mod process;
pub mod pulse;
pub mod quarantine;
pub mod xattr;
