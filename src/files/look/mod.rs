//! One file, read and hashed.

pub mod hasher;
pub(super) mod racy;
pub mod reader;
pub(super) mod shortage;
