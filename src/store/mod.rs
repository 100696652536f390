//! The only room with SQL: outcomes go in whole, pending events and queued reports come out.
//!
//! Downwards: health, db, commit, open, recovery, outbox, events, sources, baseline, sqlite.

pub mod baseline;
mod commit;
pub mod db;
mod doubt;
pub mod events;
pub mod health;
pub(crate) mod open;
pub mod outbox;
pub mod recovery;
pub mod sources;
pub mod sqlite;
#[cfg(test)]
mod test_support;
