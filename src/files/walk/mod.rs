//! The paced walk of the daemon: it goes round without end and rechecks what has waited longest.

pub(super) mod big_file;
mod big_file_queue;
mod big_file_reader;
pub(super) mod checker;
pub(super) mod directory;
pub mod entry_check;
pub mod frontier;
mod listing;
pub(super) mod missing;
pub mod moves;
mod recheck;
pub(super) mod record;
pub(super) mod root;
pub mod target;
