//! The systemd journal: its export and short formats, its files, our own entries in it.

pub mod export_format;
pub mod files;
pub mod notices;
pub mod own_entries;
pub mod reader;
pub mod short_format;
