//! Reports on their way: made, due, tried, failed, sent.

pub mod admin;
mod attempt;
mod due;
pub mod failures;
pub mod periodic;
pub mod replacement;
pub mod reports;

pub mod sent;
