//! The pace that a promised age (`areamaxage`) needs.

use std::time::Duration;

use crate::{
    config::{schema::units::to_float, settings::config::Rates},
    store::events::path_status::Workload,
};

/// Checks that one entry costs within a promised age: when stops of the walk and rechecks of the stalest alternate at this pace, no
/// entry waits longer than 0.94 of the age (simulated with 100 to 5,000 entries; at 1.4 some wait longer than promised).
pub const LOOKS_PER_ENTRY: f64 = 1.5;

/// A pace, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Checks per second.
    pub looks: f64,
    /// Bytes per second.
    pub bytes: f64,
}

impl Demand {
    /// What it takes to look at everything of `load` within `span`.
    pub fn of(load: Workload, span: Duration) -> Self {
        let each = LOOKS_PER_ENTRY / span.as_secs_f64().max(1.0);
        Self { looks: to_float(load.entries) * each, bytes: to_float(load.bytes) * each }
    }

    /// How long it takes at this pace to look at everything of `load`: its entries or its bytes, whichever is longer.
    pub fn round(self, load: Workload) -> Duration {
        let each = Self::of(load, Duration::from_secs(1));
        let seconds = (each.looks / self.looks).max(each.bytes / self.bytes);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Whether it is more than the ceilings allow.
    pub fn is_above(self, rates: &Rates) -> bool {
        self.looks > rates.max_files || self.bytes > rates.max_bytes
    }
}
