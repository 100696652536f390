//! What needs root or Debian packages: `cargo test --features real`. What a test needs it installs; what it cannot have it says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets the unexpected shall fail")]

#[path = "../support/mod.rs"]
mod support;

mod ground;
mod order;
mod packages;
mod rates;
