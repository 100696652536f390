//! Log lines that our own mails have caused, which are counted and never reported.

mod attempts;
pub(super) mod log_state;
pub(super) mod recogniser;
mod server_lines;
