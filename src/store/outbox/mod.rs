//! Reports on their way: made, due, tried, failed, sent.

pub mod admin;
mod attempt;
mod due;
pub mod failures;
pub mod replacement;
pub mod reports;
pub mod schedule;
pub mod sent;
