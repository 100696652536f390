//! Logs: every line once, in order, whatever rotates, truncates, replaces or hides the files they stand in.

pub mod anchor;
pub mod glob;
mod ledger;
pub mod lines;
pub mod live;
pub mod logtail;
pub mod round;
pub mod siblings;
pub mod stream;
pub mod tail;
