//! The only room with SQL: outcomes go in whole, pending events and queued reports come out.

pub mod ailment;
pub mod areas;
pub mod baseline;
pub mod bells;
mod chain;
mod commit;
pub mod database;
pub mod door;
pub mod error;
pub mod events;
pub mod grown;
mod header;
pub mod history;
pub mod journal;
pub mod logs;
mod mark;
pub mod mounts;
pub mod outbox;
pub mod outcome;
pub mod place;
pub mod processes;
pub mod queue;
mod renew;
mod rows;
mod ruins;
pub mod rules;
mod schema;
#[cfg(test)]
mod scratch;
mod stalest;
pub mod standing;
pub mod stretch;
pub mod trouble;
pub mod whereabouts;
