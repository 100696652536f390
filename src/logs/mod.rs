//! Logs: every line once, in order, whatever rotates, truncates, replaces or hides the files they stand in; and the rules of
//! logcheck, which of them a line matches.

pub mod alphabet;
pub mod anchor;
mod automaton;
pub mod backref;
mod bracket;
pub mod classify;
pub mod emit;
pub mod engine;
pub mod ere;
pub mod glob;
mod interval;
pub mod layers;
mod ledger;
pub mod letters;
pub mod lines;
pub mod lint;
pub mod literal;
pub mod live;
pub mod logtail;
pub mod oneshot;
mod prefix;
pub mod round;
pub mod rules;
pub mod siblings;
mod sieve;
pub mod single;
pub mod stamp;
pub mod stream;
pub mod tail;
pub mod tree;
