//! Everything that needs neither root nor packages.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected shall fail"
)]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod backlog;
mod cli;
mod config;
mod courtesy;
mod delivery;
mod depth;
mod docs;
mod doctor;
mod engines;
mod ere;
mod explain;
mod filters;
mod first_contact;
mod golden;
mod ground;
mod growth;
mod guard;
mod history;
mod hostile;
mod house;
mod import;
mod journeys;
mod lane;
mod life;
mod local;
mod log_mails;
mod logcheck;
mod logs;
mod matrix;
mod moves;
mod names;
mod own_mail;
mod passed_over;
mod passes;
mod pids;
mod promises;
mod properties;
mod prune;
mod queue;
mod rules_cmd;
mod severity;
mod signals;
mod situations;
mod smtp;
mod states;
mod status;
mod table;
mod tail;
mod tail_guards;
mod tail_rows;
mod time;
mod trouble;
mod verify;
