//! The first baseline: the learning round, adoption of another tool's database, mass removals.

pub mod adopt_fcheck;
pub mod fcheck_db;
pub mod learning;
pub(super) mod mass_removal;
