//! integrityd: tells an administrator what changed on a Linux machine.

pub mod config;
pub mod model;
pub mod report;
pub mod sys;
