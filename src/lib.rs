//! integrityd: one daemon that tells an administrator what changed on a Linux machine.
//!
//! A room is a subject, a floor is a permission. Each room may use those below it, never its neighbours or those
//! above; within a room imports go down the order that its front states, and no file imports itself by way of others:
//!
//! ```text
//!  5  cli                             commands; the only room that prints
//!  4  daemon                          generations of tasks, signals, supervision
//!  3  files  logs  pids  │ report     sources │ sink
//!  2  store  content  tail  export    outcomes in, events and reports out │ one file read │ one text file followed │ other forms
//!  1  config         sys              checked settings │ the kernel
//!  0  model                           plain data
//! ```
//!
//! A changed file travels upwards: [`files::Walker`] looks at it and compares it with the baseline, the outcome is committed by
//! [`store`] in one transaction, its channel is notified, [`report::Reporter`] decides when, renders and stores the mail, and
//! [`report::task::delivery::DeliveryTask`] delivers it. docs/architecture.md has the ways by file names.

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
