//! How the walk and the lane of big files share the one bucket of bytes. Decides only.
//!
//! What the walk leaves before its next slot is the lane's. Where both want more than there is, the lane is owed half of the rate, which
//! time fills and its slices empty, so that neither can starve the other; what is read in all is the business of [`Pace`] alone.

use std::time::Duration;

use super::pace::Pace;
use crate::{config::units::to_float, model::clock::Boottime};

/// The least that is worth a slice: one page. Slices are whole pages, so that no page is read twice.
const LEAST: u32 = 4096;

/// For how long the lane may save up what it is owed, and what it had too much counts against it.
const SAVED: Duration = Duration::from_millis(500);

/// It may save up as much in any case: half of what the walk reads without asking, and one slice.
const UNIT: f64 = 128.0 * 1024.0;

/// What the lane may read.
#[derive(Debug, Clone, Default)]
pub(super) struct Share {
    /// Bytes that are the lane's whatever the walk wants; negative when it had more than its half.
    owed: f64,
    filled: Boottime,
}

impl Share {
    /// The most bytes of the next slice when the walk wants to go on at `walk_due`; 0 when it is the walk's turn.
    pub(super) fn allowance(&mut self, pace: &Pace, walk_due: Boottime, now: Boottime) -> u64 {
        let rate = pace.bytes_per_second();
        let most = (rate * SAVED.as_secs_f64()).max(UNIT);
        let half = rate / 2.0 * now.since(self.filled).as_secs_f64();
        self.owed = (self.owed.max(-most) + half).min(most);
        self.filled = now;
        let free = walk_due.since(pace.next_read(now).max(now)).as_secs_f64() * rate;
        let pages = (free.max(self.owed) / f64::from(LEAST)).floor().min(f64::from(u32::MAX / LEAST));
        // Whole, not negative and small enough by the line above.
        Duration::from_secs_f64(pages).as_secs() * u64::from(LEAST)
    }

    /// Notes what a slice has cost.
    pub(super) fn book(&mut self, cost: u64) {
        self.owed -= to_float(cost);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: u64 = 64 * 1024;

    /// Bytes of the walk and of the lane in `seconds`, and the looks: the walk looks at files of `size` bytes in slots of its own, and the
    /// lane is never through.
    fn play(files: f64, bytes: f64, size: u64, seconds: u64) -> (f64, f64, f64) {
        let mut pace = Pace::new(files, bytes);
        let mut share = Share::default();
        let start = Boottime::default().after(Duration::from_secs(1000));
        let mut now = start;
        let (mut walk, mut lane, mut looks) = (0, 0, 0_u32);
        while now.since(start) < Duration::from_secs(seconds) {
            let due = pace.look_due(now);
            let allowed = share.allowance(&pace, due, now).min(CHUNK);
            if allowed > 0 {
                now = now.max(pace.next_read(now));
                pace.book_bytes(now, allowed);
                share.book(allowed);
                lane += allowed;
            } else {
                now = now.max(pace.next_look(now));
                pace.book_look(now);
                pace.book_bytes(now, size);
                walk += size;
                looks += 1;
            }
        }
        (to_float(walk), to_float(lane), f64::from(looks))
    }

    #[test]
    fn what_the_walk_leaves_is_the_lanes_and_the_walk_loses_nothing() {
        let (walk, lane, looks) = play(1.0, 262_144.0, 10_000, 1000);
        assert!((990.0..=1001.0).contains(&looks), "{looks} looks in 1,000 s");
        assert!(walk + lane > 0.95 * 262_144_000.0, "{walk} + {lane}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn neither_starves_the_other_and_both_together_keep_the_rate(
            files in 0.01_f64..200.0,
            bytes in 1024.0_f64..1e6,
            size in 0_u64..131_072,
        ) {
            let seconds = 1000;
            let (walk, lane, looks) = play(files, bytes, size, seconds);
            let all = bytes * to_float(seconds);
            let debt = to_float(size.max(CHUNK)) + bytes * 0.05;
            prop_assert!(walk + lane <= all + debt * 2.0, "{} + {} of {}", walk, lane, all);
            prop_assert!(lane >= 0.4 * all - debt, "the lane got {} of {}", lane, all);
            let wanted = (files * to_float(seconds)).min(0.4 * all / to_float(size.max(1)));
            prop_assert!(looks >= 0.9 * wanted - 3.0, "{} of {} looks", looks, wanted);
        }
    }
}
