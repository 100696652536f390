//! How the walk and the big-file queue share the one bucket of bytes. Decides only.
//!
//! What the walk leaves before its next slot is the queue's. Where both want more than there is, the queue is owed half of the rate, which
//! time fills and its slices empty, so that neither can starve the other; what is read in all is the business of [`Pace`] alone. A slice
//! may cost few bytes and much time: zeros are only hashed, and a disk may deliver less than the rate. So time counts as the bytes it
//! could have been, and the queue has no more than half of that either.

use std::time::Duration;

use crate::{config::schema::units::to_float, files::pace::rate_limiter::RateLimiter, model::clock::Boottime};

/// The least that is worth a slice: one page. Slices are whole pages, so that no page is read twice.
const LEAST: u32 = 4096;

/// For how long the queue may save up what it is owed, and what it had too much counts against it.
const SAVED: Duration = Duration::from_millis(500);

/// It may save up as much in any case: half of what the walk reads without asking, and one slice.
const UNIT: f64 = 128.0 * 1024.0;

/// How long the queue works at a stretch while the walk waits.
const TURN: Duration = Duration::from_millis(50);

/// What the queue may read.
#[derive(Debug, Clone, Default)]
pub(in crate::files) struct FairShare {
    /// Bytes that are the queue's whatever the walk wants; negative when it had more than its half.
    owed: f64,
    filled: Boottime,
    /// For how long it has worked since the walk has waited.
    worked: Duration,
}

impl FairShare {
    /// The most bytes of the next slice when the walk wants to go on at `walk_due`; 0 when it is the walk's turn.
    pub(in crate::files) fn allowance(&mut self, pace: &RateLimiter, walk_due: Boottime, now: Boottime) -> u64 {
        let rate = pace.bytes_per_second();
        let most = (rate * SAVED.as_secs_f64()).max(UNIT);
        let half = rate / 2.0 * now.since(self.filled).as_secs_f64();
        self.owed = (self.owed.max(-most) + half).min(most);
        self.filled = now;
        if walk_due <= now && self.worked >= TURN {
            return 0;
        }
        let free = walk_due.since(pace.next_read(now).max(now)).as_secs_f64() * rate;
        let pages = (free.max(self.owed) / f64::from(LEAST)).floor().min(f64::from(u32::MAX / LEAST));
        // Whole, not negative and small enough by the line above.
        Duration::from_secs_f64(pages).as_secs() * u64::from(LEAST)
    }

    /// Notes what a slice has cost, and how long it `took` to read and hash it.
    pub(in crate::files) fn book(&mut self, pace: &RateLimiter, cost: u64, took: Duration) {
        self.owed -= to_float(cost).max(took.as_secs_f64() * pace.bytes_per_second());
        self.worked += took;
    }

    /// Begins a turn of the queue.
    pub(in crate::files) const fn begin_turn(&mut self) {
        self.worked = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: u64 = 64 * 1024;

    /// Bytes of the walk and of the queue in `seconds`, and the looks: the walk looks at files of `size` bytes in slots of its own, and the
    /// queue is never through.
    fn play(files: f64, bytes: f64, size: u64, seconds: u64) -> (f64, f64, f64) {
        play_slowly(files, bytes, size, seconds, Duration::ZERO)
    }

    /// The same where a whole slice of the queue takes so long.
    fn play_slowly(files: f64, bytes: f64, size: u64, seconds: u64, took: Duration) -> (f64, f64, f64) {
        let mut pace = RateLimiter::new(files, bytes);
        let mut share = FairShare::default();
        let start = Boottime::default().after(Duration::from_secs(1000));
        let mut now = start;
        let (mut walk, mut queue, mut looks) = (0, 0, 0_u32);
        let mut is_turn_over = true;
        while now.since(start) < Duration::from_secs(seconds) {
            let due = pace.look_due(now);
            if is_turn_over {
                share.begin_turn();
            }
            let allowed = share.allowance(&pace, due, now).min(CHUNK);
            is_turn_over = allowed == 0;
            if allowed > 0 {
                let took = took * u32::try_from(allowed / 4096).unwrap() / 16;
                now = now.max(pace.next_read(now)).after(took);
                pace.book_bytes(now, allowed);
                share.book(&pace, allowed, took);
                queue += allowed;
            } else {
                // Even a look takes its time.
                now = now.max(pace.next_look(now)).after(took / 50);
                pace.book_look(now);
                pace.book_bytes(now, size);
                walk += size;
                looks += 1;
            }
        }
        (to_float(walk), to_float(queue), f64::from(looks))
    }

    #[test]
    fn what_the_walk_leaves_is_the_lanes_and_the_walk_loses_nothing() {
        let (walk, queue, looks) = play(1.0, 262_144.0, 10_000, 1000);
        assert!((990.0..=1001.0).contains(&looks), "{looks} looks in 1,000 s");
        assert!(walk + queue > 0.95 * 262_144_000.0, "{walk} + {queue}");
    }

    #[test]
    fn slices_that_cost_time_rather_than_bytes_leave_the_walk_its_half() {
        for (bytes, took) in [(1e8, 6), (4e7, 6), (2e9, 6), (1e6, 400)] {
            let (_, queue, looks) = play_slowly(2000.0, bytes, 0, 20, Duration::from_millis(took));
            // What the walk could do alone in half of the time.
            let half = 10.0 * (50_000.0 / to_float(took)).min(2000.0);
            assert!(looks > half * 0.8, "{looks} of {half} looks at {bytes} bytes a second, {took} ms a slice");
            assert!(queue > 65_536.0 * 10.0 * 0.5 / (to_float(took) / 1000.0) * 0.5, "the lane was starved: {queue}");
        }
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
            let (walk, queue, looks) = play(files, bytes, size, seconds);
            let all = bytes * to_float(seconds);
            let debt = to_float(size.max(CHUNK)) + bytes * 0.05;
            prop_assert!(walk + queue <= all + debt * 2.0, "{} + {} of {}", walk, queue, all);
            prop_assert!(queue >= 0.4 * all - debt, "the lane got {} of {}", queue, all);
            let wanted = (files * to_float(seconds)).min(0.4 * all / to_float(size.max(1)));
            prop_assert!(looks >= 0.9 * wanted - 3.0, "{} of {} looks", looks, wanted);
        }
    }
}
