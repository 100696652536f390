//! Rule sets: files, layers, classification, reload and checks.

pub mod check;
pub mod classifier;
pub mod layers;
pub mod reload;
pub mod rule_set;
