//! Health: the facts, read once, what they mean, and the troubles that stand.

pub mod diagnose;
pub mod fact_logs;
pub mod fact_processes;
pub mod facts;
pub mod troubles;
