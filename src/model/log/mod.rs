//! Where the reading of a log stands: in a file, in the journal.

pub mod journal_cursor;
pub mod position;
pub mod stamp;
