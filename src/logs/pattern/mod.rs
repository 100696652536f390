//! POSIX extended regular expressions as grep -E has them: parser, matcher, prefilter, lint.

pub mod alphabet;
pub mod ast;
pub mod backtrack;
mod bracket;
pub mod char_class;
mod common_prefix;
mod dfa;
pub mod hir;
mod interval;
pub mod lint;
pub mod matcher;
pub mod parser;
pub mod prefilter;
pub mod single;
