//! One run over the logs, as logcheck(8) does it from cron: its configuration, its positions, its lines, its report.

pub mod conf;
pub mod journal;
pub mod lines;
pub mod list;
pub mod position;
pub mod report;
pub mod take;
