//! Settings.
pub mod settings;
