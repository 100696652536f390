//! The one table of all settings, their sections, units and faults.

pub mod fault;
pub mod keys;
pub mod section;
pub mod units;
