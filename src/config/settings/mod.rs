//! The settings that the rest of the program works with.

pub mod attribute_groups;
pub mod config;
pub mod exclude;
pub mod system_directories;
pub mod urgent;
