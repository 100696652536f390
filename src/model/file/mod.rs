//! What is known of a file: its attributes, the entry of the baseline, what changed.

pub mod acl;
pub mod attribute;
pub mod capability;
pub mod change;
pub mod coverage;
pub mod entry;
pub mod inode_flags;
pub mod xattr;
