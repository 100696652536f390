//! What takes minutes: `cargo test --features long --test long`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that meets the unexpected shall fail, and says what it has measured"
)]

mod month;
