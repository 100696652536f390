//! What the sources remember: positions in logs, cursors of journals, counters of rules, processes.

pub mod journal_cursors;
pub mod log_positions;
pub mod own_mail;
pub mod own_parts;
pub mod processes;
pub mod rule_hits;
