//! Log lines: which rules there are, how they are read, and which of them a line matches.

pub mod alphabet;
mod automaton;
pub mod backref;
mod bracket;
pub mod emit;
pub mod engine;
pub mod ere;
mod interval;
pub mod letters;
pub mod lint;
pub mod literal;
mod prefix;
pub mod rules;
mod sieve;
pub mod single;
pub mod stamp;
pub mod tree;
