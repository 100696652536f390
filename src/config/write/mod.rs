//! Settings as text: what is in force, the example, the conversion of an old file.

pub(super) mod convert;
pub mod effective;
pub mod example;
pub mod legacy_line;
pub(super) mod render;
