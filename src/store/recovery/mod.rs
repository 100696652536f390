//! When the database is lost, damaged, rolled back or full: what is noticed, what is saved, and how work goes on.

mod clock;
pub mod encountered;
pub mod failure_kind;
pub(super) mod file_header;
pub mod last_alive;
pub mod legacy_2012;
mod machine;
pub(super) mod reopen;
pub(in crate::store) mod rollback_guard;
mod salvage;
