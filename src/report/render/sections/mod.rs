//! The sections of a report.

pub(crate) mod collapse;
pub(crate) mod delivery_failures;
pub(crate) mod file_item;
pub(crate) mod log_lines;
pub mod log_section;
pub mod periodic;
pub(crate) mod processes;
pub(crate) mod self_events;
