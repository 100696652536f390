//! File systems: handles, directories, links, mounts, extended attributes, space.

mod beneath;
pub mod dir;
pub mod handle;
pub mod mounts;
pub mod ownership;
pub mod resolve;
pub mod space;
pub mod sparse;
pub mod uncached;
pub mod xattr;
