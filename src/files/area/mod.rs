//! Areas: what is watched, where it is mounted, what lies over it, how it is opened.

mod access;
pub mod census;
pub mod membership;
pub mod mount_map;
pub(super) mod namespace;
pub mod overmounts;
pub(super) mod path_limit;
pub mod watched_areas;
