//! The configuration of other tools: fcheck, cron.

pub mod crontab;
pub mod fcheck;
