//! The baseline: entries, areas, mounts, what waits longest for a check, what is missing or unseen.

pub mod areas;
pub mod entries;
pub mod lookup;
pub mod members;
pub mod missing;
pub mod mounts;
pub(super) mod stalest;
pub(super) mod subtree;
pub mod unseen;
