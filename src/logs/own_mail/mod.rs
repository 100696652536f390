//! Log lines that our own mails have caused, which are counted and never reported.

mod attempts;
pub(super) mod recogniser;
pub(super) mod server_lines;
