//! Mounts that may hang: each is asked by a helper process of its own.

pub mod helper;
pub mod lookup;
mod protocol;
pub mod remote_mount;
