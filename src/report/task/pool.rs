//! When to send: events wait for others, reports hold off, urgent ones hold off less.

use std::time::Duration;

use crate::{
    config::settings::config::{Pooling, ReportSettings},
    model::{
        clock::{Deadline, Moment},
        event::Channel,
    },
    store::events::urgent::UrgentEvent,
};

/// The longest an urgent event waits for others.
const URGENT_REPORT_TIME: Duration = Duration::from_secs(5);

/// After how many times `urgentholdoff` somebody may be urgent again who was it once, twice, three times … within the last hours.
const BACK_OFF: [u32; 4] = [1, 5, 15, 60];

/// The times of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Times of ordinary reports.
    pub ordinary: Pooling,
    /// The least time between urgent reports.
    pub urgent_hold_off: Duration,
}

/// What waits in a channel, as far as the decision needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingReport {
    /// When the first event was found; `None` when there is none.
    pub first: Option<Moment>,
    /// The first urgent event of each originator.
    pub urgent: Vec<UrgentEvent>,
    /// When the channel was last made into a report.
    pub last_batch: Option<Moment>,
}

/// What to do.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing waits.
    Rest,
    /// Ask again after this long; never zero.
    Wait(Duration),
    /// Make a report now.
    Send,
}

impl Pool {
    /// The times of `channel`.
    pub fn of(channel: Channel, settings: &ReportSettings) -> Self {
        let ordinary = if channel == Channel::Logs { settings.logs } else { settings.files };
        Self { ordinary, urgent_hold_off: settings.urgent_hold_off }
    }

    /// Decides at `now`. Every deadline is bounded by its nominal length, so a clock that jumps backwards never
    /// lengthens it, and one that jumps forwards fires once.
    pub fn decide(&self, pending: &PendingReport, now: Moment) -> Decision {
        let Some(first) = pending.first else {
            return Decision::Rest;
        };
        let ordinary = left(first, self.ordinary.report_time, now).max(left_of_hold_off(
            pending.last_batch,
            self.ordinary.hold_off,
            now,
        ));
        let urgent = pending.urgent.iter().map(|urgent| self.left_of_urgent(urgent, pending.last_batch, now)).min();
        let wait = urgent.map_or(ordinary, |urgent| urgent.min(ordinary));
        if wait.is_zero() { Decision::Send } else { Decision::Wait(wait) }
    }
}

impl Pool {
    /// How long an urgent event waits: for others, for the hold-off, and the longer the more often its originator was urgent of late.
    fn left_of_urgent(&self, urgent: &UrgentEvent, last_batch: Option<Moment>, now: Moment) -> Duration {
        let report_time = self.ordinary.report_time.min(URGENT_REPORT_TIME);
        let hold_off = self.ordinary.hold_off.min(self.urgent_hold_off);
        let backed_off = urgent.told.last().map_or(Duration::ZERO, |last| {
            let factor = BACK_OFF.get(urgent.told.len() - 1).or(BACK_OFF.last()).copied().unwrap_or(1);
            self.urgent_hold_off.saturating_mul(factor).saturating_sub(now.wall.since(*last))
        });
        left(urgent.found, report_time, now).max(left_of_hold_off(last_batch, hold_off, now)).max(backed_off)
    }
}

fn left(from: Moment, nominal: Duration, now: Moment) -> Duration {
    Deadline::after(from, nominal).remaining(now)
}

fn left_of_hold_off(last_batch: Option<Moment>, hold_off: Duration, now: Moment) -> Duration {
    last_batch.map_or(Duration::ZERO, |last| left(last, hold_off, now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::clock::{BootId, Boottime, Timestamp};

    fn pool(report_time: u64, hold_off: u64) -> Pool {
        Pool {
            ordinary: Pooling {
                report_time: Duration::from_secs(report_time),
                hold_off: Duration::from_secs(hold_off),
            },
            urgent_hold_off: Duration::from_mins(1),
        }
    }

    fn at(milliseconds: u64) -> Moment {
        let start = Moment {
            wall: Timestamp::from_nanos(1_700_000_000_000_000_000),
            boottime: Boottime::from_nanos(1_000_000_000_000),
            boot: BootId([7; 16]),
        };
        start.after(Duration::from_millis(milliseconds))
    }

    fn pending(first: u64, last_batch: Option<u64>) -> PendingReport {
        PendingReport { first: Some(at(first)), urgent: Vec::new(), last_batch: last_batch.map(at) }
    }

    fn urgent_at(found: u64, told: &[u64]) -> UrgentEvent {
        UrgentEvent { found: at(found), told: told.iter().map(|told| at(*told).wall).collect() }
    }

    #[test]
    fn the_first_event_waits_for_others() {
        let pool = pool(30, 900);
        assert_eq!(pool.decide(&PendingReport::default(), at(0)), Decision::Rest);
        assert_eq!(pool.decide(&pending(0, None), at(10_000)), Decision::Wait(Duration::from_secs(20)));
        assert_eq!(pool.decide(&pending(0, None), at(30_000)), Decision::Send);
    }

    #[test]
    fn a_second_burst_waits_for_the_hold_off() {
        let pool = pool(3, 6);
        assert_eq!(pool.decide(&pending(4_000, Some(3_000)), at(8_000)), Decision::Wait(Duration::from_secs(1)));
        assert_eq!(pool.decide(&pending(4_000, Some(3_000)), at(9_000)), Decision::Send);
    }

    #[test]
    fn an_urgent_event_waits_five_seconds_and_its_own_hold_off() {
        let pool = pool(30, 900);
        let urgent = |first, last| PendingReport { urgent: vec![urgent_at(first, &[])], ..pending(first, last) };
        assert_eq!(pool.decide(&urgent(0, None), at(5_000)), Decision::Send);
        assert_eq!(pool.decide(&urgent(10_000, Some(5_000)), at(20_000)), Decision::Wait(Duration::from_secs(45)));
        assert_eq!(pool.decide(&urgent(10_000, Some(5_000)), at(65_000)), Decision::Send);
    }

    /// Somebody who is urgent without end; nobody else waits for him.
    #[test]
    fn who_is_urgent_again_and_again_waits_longer_and_longer() {
        let pool = pool(30, 86_400);
        let (mut told, mut sent): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut last = None;
        for second in 0..5 * 3600_u64 {
            let pending = PendingReport { urgent: vec![urgent_at(0, &told)], ..pending(0, last) };
            if pool.decide(&pending, at(second * 1000)) == Decision::Send {
                sent.push(second / 60);
                told.push(second * 1000);
                last = Some(second * 1000);
            }
        }
        assert_eq!(sent, [0, 1, 6, 21, 81, 141, 201, 261]);
        let both = PendingReport {
            urgent: vec![urgent_at(0, &told), urgent_at(1_000, &[])],
            ..pending(0, Some(261 * 60_000))
        };
        assert_eq!(pool.decide(&both, at(263 * 60_000)), Decision::Send);
    }

    /// What a remote author of log lines can do: a violation every 600 ms, for ten minutes.
    #[test]
    fn a_thousand_violations_in_ten_minutes_are_at_most_eleven_mails() {
        let pool = pool(30, 900);
        let (mut state, mut sent) = (PendingReport::default(), Vec::new());
        for tenth in 0..6000_u64 {
            if tenth.is_multiple_of(6) {
                state.first.get_or_insert(at(tenth * 100));
                if state.urgent.is_empty() {
                    state.urgent.push(urgent_at(tenth * 100, &[]));
                }
            }
            if pool.decide(&state, at(tenth * 100)) == Decision::Send {
                sent.push(tenth * 100);
                state = PendingReport { last_batch: Some(at(tenth * 100)), ..PendingReport::default() };
            }
        }
        assert_eq!(sent.first(), Some(&5000));
        assert!(sent.len() <= 11 && sent.windows(2).all(|pair| pair[1] - pair[0] >= 60_000), "{sent:?}");
    }

    #[test]
    fn a_clock_set_back_ten_years_lengthens_nothing() {
        let pool = pool(30, 900);
        let mut now = at(10_000);
        now.wall = now.wall.before(Duration::from_hours(87600));
        assert_eq!(pool.decide(&pending(0, None), now), Decision::Wait(Duration::from_secs(20)));
        // After a reboot only the wall clock is left; the wait is bounded by its nominal length.
        now.boot = BootId([8; 16]);
        assert_eq!(pool.decide(&pending(0, Some(0)), now), Decision::Wait(Duration::from_mins(15)));
    }

    proptest! {
        #[test]
        fn nothing_is_ever_sent_inside_the_hold_off(
            report_time in 0_u64..40,
            hold_off in 0_u64..120,
            gaps in prop::collection::vec((0_u64..90_000, any::<bool>()), 1..60),
            drift in -100_000_000_i64..100_000_000,
        ) {
            let pool = pool(report_time, hold_off);
            let mut state = PendingReport::default();
            let mut clock = 0;
            let mut sent: Vec<(u64, bool)> = Vec::new();
            for (gap, is_urgent) in gaps {
                let arrives = clock + gap;
                while clock < arrives {
                    let mut now = at(clock);
                    now.wall = Timestamp::from_nanos(now.wall.as_nanos() + drift * i64::try_from(clock % 1000).unwrap() * 1000);
                    match pool.decide(&state, now) {
                        Decision::Send => {
                            sent.push((clock, !state.urgent.is_empty()));
                            state = PendingReport { last_batch: Some(now), ..PendingReport::default() };
                        }
                        Decision::Wait(wait) => {
                            let wait = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap();
                            clock = (clock + wait).min(arrives);
                        }
                        Decision::Rest => clock = arrives,
                    }
                }
                state.first.get_or_insert(at(clock));
                if is_urgent {
                    state.urgent.push(urgent_at(clock, &[]));
                }
            }
            for pair in sent.windows(2) {
                let least = if pair[1].1 { hold_off.min(60) } else { hold_off };
                prop_assert!(pair[1].0 - pair[0].0 >= least * 1000, "{pair:?}");
            }
        }
    }
}
