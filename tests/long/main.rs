//! What takes minutes: `cargo test --features long --test long`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected shall fail, and says what it has measured"
)]

#[path = "../support/booted.rs"]
mod booted;
#[path = "../support/debian.rs"]
mod debian;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/mailing.rs"]
mod mailing;
#[path = "../real/packages.rs"]
mod packages;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/torment.rs"]
mod torment;

mod bounds;
mod flood;
mod install;
mod mailloop;
mod month;
mod systemd;
mod torture;
