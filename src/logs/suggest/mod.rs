//! Rules that are suggested for lines.

pub mod suggestion;
pub mod template;
pub mod token_kind;
mod tokenizer;
