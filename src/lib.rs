//! integrityd: one daemon that tells an administrator what changed on a Linux machine.
//!
//! A room is a subject, a floor is a permission. Each room may use those below it, never its neighbours or those
//! above:
//!
//! ```text
//!  5  cli                     commands; the only room that prints
//!  4  daemon                  generations of tasks, signals, supervision
//!  3  files  logs  pids  │ report   sources │ sinks
//!  2  store                   outcomes in, pending events and queued reports out
//!  1  config         sys      checked settings │ the kernel
//!  0  model                   the words: plain data
//! ```
//!
//! A changed file travels upwards: [`files::Walker`] looks at it and compares it with the baseline, the outcome is committed by
//! [`store`] in one transaction, a bell rings, [`report::Reporter`] decides when, renders and stores the mail, and
//! [`report::courier::Courier`] delivers it.

pub mod cli;
pub mod config;
pub mod content;
pub mod daemon;
pub mod export;
pub mod files;
pub mod logs;
pub mod model;
pub mod pids;
pub mod report;
pub mod store;
pub mod sys;
pub mod tail;
