//! One run over the logs, as logcheck(8) does it from cron: its configuration, its positions, its lines, its report.

pub mod conf;
pub mod hand_back;
pub mod journal;
pub mod log_list;
pub mod read;
pub mod report;
pub mod sort;
pub mod state;
pub(super) mod take_over;
