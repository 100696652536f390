//! Log lines: which rules there are, how they are read, and which of them a line matches.

pub mod alphabet;
pub mod backref;
mod bracket;
pub mod emit;
pub mod ere;
mod interval;
pub mod letters;
pub mod single;
pub mod tree;
