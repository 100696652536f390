//! When a delivery that failed is tried again: exponential backoff, longer after refusals, until it is parked. Pure.

use std::time::Duration;

use crate::{model::clock::Moment, store::outbox::reports::Delivery};

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// After refusing for so long a recipient's delivery is parked: kept, but not tried again by itself.
const PARK_AFTER: Duration = Duration::from_hours(120);

/// And after no fewer refusals than these, so that a clock that jumps parks nothing.
const LEAST_REFUSALS: u32 = 10;

/// How long to wait after a failed attempt: doubling from `base` up to an hour, or in three steps after refusals, spread by ±20 %.
pub(super) fn wait_after(base: Duration, attempts: u32, refusals: u32, is_refusal: bool, spread: f64) -> Duration {
    let nominal = if is_refusal {
        match refusals {
            0 => base.saturating_mul(10),
            1 => base.saturating_mul(60),
            _ => LONGEST_WAIT,
        }
    } else {
        base.saturating_mul(2_u32.saturating_pow(attempts.min(20)))
    };
    nominal.min(LONGEST_WAIT).mul_f64(1.0 + spread)
}

/// Whether a delivery was refused so often and for so long that it is parked.
pub(super) fn is_hopeless(delivery: &Delivery, is_refusal: bool, now: Moment) -> bool {
    is_refusal
        && delivery.refusals >= LEAST_REFUSALS
        && delivery.refused_since.is_some_and(|since| now.wall.since(since) >= PARK_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_refusals_wait_longer() {
        let base = Duration::from_secs(30);
        let seconds = |attempts, refusals, is_refusal| wait_after(base, attempts, refusals, is_refusal, 0.0).as_secs();
        assert_eq!([0, 1, 2, 3].map(|n| seconds(n, 0, false)), [30, 60, 120, 240]);
        assert_eq!(seconds(60, 0, false), 3600);
        assert_eq!([0, 1, 2, 9].map(|n| seconds(n, n, true)), [300, 1800, 3600, 3600]);
    }
}
