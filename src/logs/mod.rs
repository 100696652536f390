//! Logs: every line once, in order, whatever rotates, truncates, replaces or hides the files they stand in; the
//! journal as such lines; and the rules of logcheck, which of them a line matches.

pub mod alphabet;
pub mod anchor;
mod automaton;
pub mod backref;
mod bracket;
pub mod duplicates;
pub mod emit;
pub mod engine;
pub mod ere;
pub mod export;
pub mod glob;
mod interval;
pub mod journal;
pub mod journal_files;
pub mod journal_words;
mod ledger;
pub mod letters;
pub mod lines;
pub mod lint;
pub mod literal;
pub mod live;
pub mod logtail;
pub mod message;
pub mod own;
mod prefix;
pub mod round;
pub mod rules;
pub mod short;
pub mod siblings;
mod sieve;
pub mod single;
pub mod stamp;
pub mod stream;
pub mod tail;
pub mod tree;
