//! The kernel and the machine's own files, as values: the only room where unsafe code could ever stand.
//!
//! Downwards: process, landlock, seccomp, host, fs.

pub mod capabilities;
pub mod fault_injection;
pub mod fs;
pub mod host;
pub mod landlock;
pub mod panic;
pub mod pressure;
pub mod priority;
pub mod process;
pub mod rlimit;
pub mod sd_notify;
pub mod seccomp;
pub mod sleep;
pub mod users;
