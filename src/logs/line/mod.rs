//! Lines: split from bytes, their time stamps, their syslog message.

pub mod syslog;
pub mod timestamp;
