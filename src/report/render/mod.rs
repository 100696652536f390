//! Reports as text: the subject, the sections, single entries.

pub mod batch;
pub(super) mod choice;
mod entry;
pub(super) mod format;
pub mod listing;
pub mod report;
pub mod sections;
pub(super) mod subject;
#[cfg(test)]
pub(crate) mod test_events;
