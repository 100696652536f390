//! Reports on their way: made, due, tried, failed, sent.

pub mod admin;
mod attempt;
mod due;
pub mod failures;
pub mod parts;
pub mod reports;
pub mod schedule;
pub mod sent;
