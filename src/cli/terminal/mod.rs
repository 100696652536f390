//! What people see in a terminal: output, exit codes, progress, suggestions.

pub(super) mod exit;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod suggestion;
