//! Everything that needs neither root nor packages.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected shall fail"
)]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod config;
mod delivery;
mod explain;
mod golden;
mod hostile;
mod house;
mod journeys;
mod names;
