//! How well the baseline is kept: what every report says about the checks themselves.

use crate::model::clock::Timestamp;

/// The state of all watched areas together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Entries of the baseline.
    pub entries: u64,
    /// When the entry that has waited longest was checked, of a big file its content; `None` when there is none.
    pub oldest: Option<Timestamp>,
    /// Files that changed during every attempt to read them.
    pub busy: u64,
    /// Files too large to be read.
    pub too_big: u64,
    /// Files and directories that could not be read.
    pub unreadable: u64,
    /// Big files whose present content was not read yet.
    pub unread: u64,
}
