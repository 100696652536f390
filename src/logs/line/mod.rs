//! Lines: split from bytes, their time stamps, their syslog message.

pub mod splitter;
pub mod syslog;
pub mod timestamp;
