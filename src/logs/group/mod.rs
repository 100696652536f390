//! One group of logs under one set of rules: its sources, what a line becomes, what is said of the group.

pub mod context;
pub mod dedup;
mod line_budget;
mod line_events;
pub mod log_group;
pub mod notices;
pub(super) mod own_mail_state;
pub mod own_output;
pub mod sources;
