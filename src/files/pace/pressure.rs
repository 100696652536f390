//! Holding back while others wait for the disks: the rates halve with each reading of the pressure that is too high, and recover step by
//! step. Decides only; touches nothing.

use std::time::Duration;

use crate::model::clock::Boottime;

/// How often the pressure is read; the kernel reckons it every two seconds.
const READ_TIME: Duration = Duration::from_secs(5);

/// The least part of the rates that is left, so that a machine that is never at rest is still watched; also what comes back at a time.
pub(in crate::files) const LEAST: f64 = 1.0 / 16.0;

/// How much of the rates is used.
#[derive(Debug, Clone)]
pub(in crate::files) struct PressureThrottle {
    /// From this pressure on, in per cent, it holds back; 0 = never.
    limit: f64,
    part: f64,
    read: Option<Boottime>,
}

impl PressureThrottle {
    /// One that holds back from `limit` per cent on; 0 = never.
    pub(in crate::files) fn new(limit: u8) -> Self {
        Self { limit: f64::from(limit), part: 1.0, read: None }
    }

    /// Whether the pressure is to be read now.
    pub(in crate::files) fn is_due(&self, now: Boottime) -> bool {
        self.limit > 0.0 && self.read.is_none_or(|read| now.since(read) >= READ_TIME)
    }

    /// Takes a reading, in per cent; `None` where the kernel tells none, which holds nothing back.
    pub(in crate::files) fn take(&mut self, pressure: Option<f64>, now: Boottime) {
        let is_first = self.read.replace(now).is_none();
        self.part = match pressure {
            // Who waits already should not wait longer while that is found out.
            Some(pressure) if pressure >= self.limit && is_first => LEAST,
            Some(pressure) if pressure >= self.limit => (self.part / 2.0).max(LEAST),
            Some(_) => (self.part + LEAST).min(1.0),
            None => 1.0,
        };
    }

    /// The part of the rates that is used, above 0 to 1.
    pub(in crate::files) const fn part(&self) -> f64 {
        self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_halve_under_pressure_and_recover_step_by_step() {
        let mut restraint = PressureThrottle::new(20);
        let mut now = Boottime::default();
        let mut parts = Vec::new();
        for pressure in [19.9, 20.0, 80.0, 80.0, 80.0, 80.0, 0.0, 10.0] {
            assert!(restraint.is_due(now) && !restraint.is_due(now.before(Duration::from_secs(1))) || parts.is_empty());
            restraint.take(Some(pressure), now);
            assert!(!restraint.is_due(now.after(Duration::from_secs(4))));
            now = now.after(READ_TIME);
            parts.push(restraint.part() * 16.0);
        }
        assert_eq!(parts, [16.0, 8.0, 4.0, 2.0, 1.0, 1.0, 2.0, 3.0]);
        restraint.take(None, now);
        assert!((restraint.part() - 1.0).abs() < f64::EPSILON);
        assert!(!PressureThrottle::new(0).is_due(now));
    }
}
