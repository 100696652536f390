//! One file, read and hashed.

pub mod hasher;
pub(crate) mod racy;
pub mod reader;
