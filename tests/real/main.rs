//! What needs root or Debian packages: `cargo test --features real`. What a test needs it installs; what it cannot have it says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets the unexpected shall fail, and says what it has skipped or measured"
)]

#[path = "../support/booted.rs"]
mod booted;
#[path = "../support/debian.rs"]
mod debian;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/mailing.rs"]
mod mailing;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/torment.rs"]
mod torment;

mod attributes;
mod fuse;
mod ground;
mod holdoff;
mod import;
mod install;
mod journal;
mod logcheck;
mod logrotate;
mod mailserver;
mod manual;
mod matrix;
mod mounted;
mod mounts;
mod order;
mod own_mail;
mod packages;
mod pids;
mod privileges;
mod rates;
mod rules;
mod service;
mod shares;
mod slow;
mod systemd;
mod torture;
