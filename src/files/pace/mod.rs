//! How fast: rates, promised ages, pressure, fair shares.

pub(super) mod area_turns;
pub(super) mod coverage;
pub(super) mod fair_share;
pub mod max_age;
pub(super) mod pressure;
pub mod rate_limiter;
