//! How fast the walker may go: slots for looks, one bucket for bytes, and the speed-up after a change.

use std::{collections::HashSet, time::Duration};

use crate::{
    config::{schema::units::to_float, settings::config::Rates},
    files::pace::pressure::LEAST,
    model::clock::Boottime,
};

/// How much of a missed schedule may be caught up at once. A timer that wakes late must not lower the long-run rate; a
/// pause must not be followed by a burst.
pub const CREDIT: Duration = Duration::from_millis(50);

/// Most bytes read between two looks at the clock.
const LARGEST_PIECE: u64 = 1 << 20;

/// Most paths remembered as having set off a speed-up.
const MOST_TRIPPED: usize = 10_000;

/// One rate: a schedule that moves on by `amount / rate` with everything that is booked.
#[derive(Debug, Clone)]
struct Schedule {
    rate: f64,
    due: Option<Boottime>,
}

impl Schedule {
    /// Books `amount` and moves the schedule on.
    fn book(&mut self, now: Boottime, amount: f64) {
        let earliest = now.before(CREDIT);
        let from = self.due.map_or(now, |due| due.max(earliest));
        let span = amount / self.rate;
        self.due = Some(from.after(Duration::try_from_secs_f64(span).unwrap_or(Duration::MAX)));
    }

    /// When the next amount may be booked.
    fn due(&self, now: Boottime) -> Boottime {
        self.due.unwrap_or(now)
    }
}

/// The longest that a walker may rest between two steps: at the least part of its rates, after the largest piece it reads at once.
pub fn longest_rest(rates: &Rates) -> Duration {
    let piece = to_float(rates.small_file.max(LARGEST_PIECE));
    let looks = 1.0 / (rates.files * LEAST);
    Duration::try_from_secs_f64(looks.max(piece / (rates.bytes * LEAST))).unwrap_or(Duration::MAX)
}

/// The two rates of the walker.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    looks: Schedule,
    bytes: Schedule,
}

impl RateLimiter {
    /// A pace of `files` looks and `bytes` bytes per second, both more than zero.
    pub fn new(files: f64, bytes: f64) -> Self {
        Self { looks: Schedule { rate: files, due: None }, bytes: Schedule { rate: bytes, due: None } }
    }

    /// Goes at `files` looks and `bytes` bytes per second from now on, both more than zero.
    pub fn set_rates(&mut self, files: f64, bytes: f64) {
        self.looks.rate = files;
        self.bytes.rate = bytes;
    }

    /// Puts the next look off by this part, 0 to 1, of a slot or of `least`, whichever is longer.
    pub fn put_off(&mut self, now: Boottime, part: f64, least: Duration) {
        let slot = Duration::try_from_secs_f64(1.0 / self.looks.rate).unwrap_or_default();
        self.looks.due = Some(self.looks.due(now).after(slot.max(least).mul_f64(part)));
    }

    /// Bytes per second at the moment.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes.rate
    }

    /// When the next look may begin: its slot has come and the bytes that were read are paid for.
    pub fn next_look(&self, now: Boottime) -> Boottime {
        self.looks.due(now).max(self.bytes.due(now))
    }

    /// When the slot of the next look comes, whatever bytes are to be paid for.
    pub fn look_due(&self, now: Boottime) -> Boottime {
        self.looks.due(now)
    }

    /// Books a look. Directories count.
    pub fn book_look(&mut self, now: Boottime) {
        self.looks.book(now, 1.0);
    }

    /// When the next bytes may be read.
    pub fn next_read(&self, now: Boottime) -> Boottime {
        self.bytes.due(now)
    }

    /// Books bytes that were read; a small file, read at once, leaves a debt.
    pub fn book_bytes(&mut self, now: Boottime, count: u64) {
        if let Ok(count) = u32::try_from(count) {
            self.bytes.book(now, f64::from(count));
        }
    }
}

/// The speed-up after a change: on until every entry has been looked at once since.
#[derive(Debug, Clone, Default)]
pub struct Boost {
    /// The visit number at the change that counts.
    since: Option<i64>,
    /// Paths that set one off and have not been found unchanged since.
    tripped: HashSet<u64>,
}

impl Boost {
    /// Notes that the path with this key was found changed at visit `visit`. A path that is found changed again and again
    /// sets off one speed-up only: it must be found unchanged once before it counts again.
    pub fn on_change(&mut self, key: u64, visit: i64) {
        if self.tripped.len() >= MOST_TRIPPED {
            // What is gone is never found unchanged; forgetting all costs one more speed-up each, remembering all would end them.
            self.tripped.clear();
        }
        if self.tripped.insert(key) {
            self.since = Some(visit);
        }
    }

    /// Notes that the path with this key was found unchanged.
    pub fn on_calm(&mut self, key: u64) {
        if !self.tripped.is_empty() {
            self.tripped.remove(&key);
        }
    }

    /// Ends the speed-up when the entry that has waited longest was looked at after the change.
    pub fn settle(&mut self, stalest_visit: Option<i64>) {
        if let Some(since) = self.since
            && stalest_visit.is_none_or(|visit| visit >= since)
        {
            self.since = None;
        }
    }

    /// Whether it is on.
    pub const fn is_on(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Boottime {
        Boottime::default().after(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_hundred_looks_at_ten_a_second_take_ten_seconds() {
        let mut pace = RateLimiter::new(10.0, 1e9);
        let mut now = at(100.0);
        for _ in 0..100 {
            // A timer that wakes a little late every time.
            now = pace.next_look(now).max(now).after(Duration::from_millis(1));
            pace.book_look(now);
        }
        let took = now.since(at(100.0)).as_secs_f64();
        assert!((9.8..10.1).contains(&took), "{took}");
    }

    #[test]
    fn the_same_path_sets_off_one_speed_up_until_it_was_calm() {
        let mut speed = Boost::default();
        speed.on_change(7, 100);
        assert!(speed.is_on());
        speed.settle(Some(99));
        assert!(speed.is_on());
        speed.on_change(7, 150);
        speed.settle(Some(100));
        assert!(!speed.is_on(), "the second change of the same path prolonged it");
        speed.on_change(7, 200);
        assert!(!speed.is_on());
        speed.on_calm(7);
        speed.on_change(7, 300);
        assert!(speed.is_on());
        speed.on_change(8, 310);
        speed.settle(Some(305));
        assert!(speed.is_on(), "another path did not prolong it");
    }

    #[test]
    fn many_changes_do_not_wear_the_speed_up_out() {
        let mut speed = Boost::default();
        for key in 0..3 * u64::try_from(MOST_TRIPPED).unwrap() {
            speed.on_change(key, 100);
        }
        speed.settle(Some(200));
        speed.on_change(u64::MAX, 300);
        assert!(speed.is_on());
    }

    proptest! {
        #[test]
        fn the_long_run_rate_is_never_above_the_limit(
            rate in 0.01_f64..100_000.0,
            late in prop::collection::vec(0_u64..2_000_000_000, 10..400),
        ) {
            let mut pace = RateLimiter::new(rate, 1e9);
            let start = at(50.0);
            let mut now = start;
            for (count, late) in late.iter().enumerate() {
                now = pace.next_look(now).max(now).after(Duration::from_nanos(*late));
                pace.book_look(now);
                let span = now.since(start) + CREDIT;
                let limit = rate * span.as_secs_f64() + 1.0;
                prop_assert!(f64::from(u32::try_from(count).unwrap()) <= limit + 1e-6);
            }
        }

        #[test]
        fn bytes_stay_within_the_limit_but_for_the_last_debt(
            sizes in prop::collection::vec(0_u64..200_000, 10..400),
            late in 0_u64..5_000_000,
        ) {
            let rate = 262_144.0;
            let mut pace = RateLimiter::new(1e6, rate);
            let start = at(50.0);
            let mut now = start;
            let mut paid = 0;
            for size in sizes {
                now = pace.next_look(now).max(now).after(Duration::from_nanos(late));
                let span = (now.since(start) + CREDIT).as_secs_f64();
                prop_assert!(f64::from(u32::try_from(paid).unwrap()) <= rate * span + 1.0);
                pace.book_bytes(now, size);
                paid += size;
            }
        }
    }
}
