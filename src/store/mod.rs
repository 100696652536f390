//! The only room with SQL: outcomes go in whole, pending events and queued reports come out.

pub mod alive;
pub mod areas;
pub mod baseline;
pub mod bells;
mod chain;
mod commit;
pub mod database;
pub mod door;
pub mod error;
pub mod events;
pub mod fault;
pub mod grown;
pub mod history;
pub mod journal;
pub mod logs;
pub mod mounts;
pub mod ourselves;
pub mod outbox;
pub mod outcome;
pub mod parts;
pub mod place;
pub mod processes;
pub mod prune;
pub mod queue;
pub mod recurring;
mod rows;
pub mod rules;
mod schema;
#[cfg(test)]
mod scratch;
mod stalest;
pub mod standing;
pub mod stretch;
pub mod trouble;
pub mod whereabouts;
pub mod witness;
