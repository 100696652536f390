//! Events: appended in one chain of hashes, asked for, pruned.

pub mod append;
pub mod grown;
mod hash_chain;
pub mod history;
pub mod internal_error;
pub mod max_age_rate;
pub mod outcome;
pub mod path_status;
pub mod prune;
pub mod report_queries;
pub mod unreported;
pub mod urgent;
