//! How a difference between the baseline and a look is called.

use crate::model::file::{attribute::AttributeSet, entry::Observation};

/// The class of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeClass {
    /// Was not in the baseline.
    Added,
    /// Is gone.
    Removed,
    /// Differs.
    Changed,
    /// Has become another type of object.
    Retyped,
    /// Same content under a new inode or new times.
    Rewritten,
    /// Only times differ.
    Touched,
    /// The same object under another path.
    Moved,
}

/// A difference between baseline and look: all attributes of one path at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Its class.
    pub class: ChangeClass,
    /// Which attributes differ; empty for added and removed.
    pub changed: AttributeSet,
    /// What it was; `None` when added.
    pub old: Option<Observation>,
    /// What it is; `None` when removed.
    pub new: Option<Observation>,
}
