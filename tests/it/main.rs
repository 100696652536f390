//! Everything that needs neither root nor packages.

#[path = "../support/mod.rs"]
mod support;

mod delivery;
mod golden;
mod house;
mod journeys;
mod names;
