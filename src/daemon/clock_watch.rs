//! The clocks are watched: a wall clock that is set is told and moves nothing, a suspend is noted.
//!
//! All deadlines count by the boot clock, which nobody sets and which goes on in a suspend; so all that is to be done about a jump is to say
//! that the times before and after it do not fit together.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::model::{
    clock::{Moment, Timestamp},
    event::{Category, Event, Severity},
};

/// A wall clock that goes wrong by less is corrected bit by bit, and nobody's business.
const DRIFT: Duration = Duration::from_mins(1);

/// A difference between both clocks that no delay of a timer explains.
const SUSPEND: Duration = Duration::from_secs(10);

/// The event about a wall clock that was set between two moments of one boot, or that is behind an earlier boot; `None` when it was not.
pub(super) fn jumped(before: Moment, now: Moment) -> Option<Event> {
    let Some(ahead) = now.set_ahead_since(before) else { return behind(before, now) };
    let ahead = SignedDuration::from_nanos(ahead);
    if ahead.unsigned_abs() <= DRIFT {
        return None;
    }
    let way = if ahead.is_negative() { "back" } else { "ahead" };
    let expected =
        before.wall.as_nanos().saturating_add(now.boottime.as_nanos().saturating_sub(before.boottime.as_nanos()));
    let note = format!(
        "the wall clock was set {way} by {:#}: it would have been {}, it is {}; waits and order go by another clock",
        SignedDuration::from_secs(i64::try_from(ahead.unsigned_abs().as_secs()).unwrap_or(i64::MAX)),
        utc(Timestamp::from_nanos(expected)),
        utc(now.wall)
    );
    let mut event = Event::new(Category::ClockJumped, Severity::Normal, now, Vec::new()).with_note(note);
    event.not_before = Some(before.wall);
    Some(event)
}

/// The event about a wall clock that shows an earlier time than in the boot before; that it is ahead would be no sign.
fn behind(before: Moment, now: Moment) -> Option<Event> {
    let back = before.wall.since(now.wall);
    if back <= DRIFT {
        return None;
    }
    let note = format!(
        "the machine was started anew and the wall clock went back by {:#}: it was {}, it is {}; waits and order go by another clock",
        SignedDuration::from_secs(i64::try_from(back.as_secs()).unwrap_or(i64::MAX)),
        utc(before.wall),
        utc(now.wall)
    );
    let mut event = Event::new(Category::ClockJumped, Severity::Normal, now, Vec::new()).with_note(note);
    event.not_before = Some(before.wall);
    Some(event)
}

fn utc(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S +00:00").to_string()
}

/// What the clocks last showed.
#[derive(Debug)]
pub(super) struct ClockWatch {
    /// The moment since which the wall clock was not set.
    anchor: Moment,
    seen: Moment,
    monotonic: Instant,
}

/// What the clocks have done since they were last looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClockNews {
    /// The wall clock was set.
    pub(super) jump: Option<Event>,
    /// The machine was suspended for so long.
    pub(super) suspended: Option<Duration>,
}

impl ClockWatch {
    pub(super) fn new(now: Moment) -> Self {
        Self { anchor: now, seen: now, monotonic: Instant::now() }
    }

    /// Compares the clocks; a jump is told once.
    pub(super) fn look(&mut self, now: Moment) -> ClockNews {
        let monotonic = Instant::now();
        let slept = now.since(self.seen).saturating_sub(monotonic.duration_since(self.monotonic));
        let jump = jumped(self.anchor, now);
        if jump.is_some() {
            self.anchor = now;
        }
        (self.seen, self.monotonic) = (now, monotonic);
        ClockNews { jump, suspended: (slept > SUSPEND).then_some(slept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::{BootId, Boottime, Clock};

    fn clock() -> Clock {
        Clock::starting_at(Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
            boottime: Boottime::from_nanos(1_000_000_000_000),
            boot: BootId([9; 16]),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_is_told_once_and_a_suspend_is_no_jump() {
        let clock = clock();
        let Clock::Virtual(hands) = &clock else { return };
        let mut watch = ClockWatch::new(clock.now());
        tokio::time::sleep(Duration::from_hours(100)).await;
        assert_eq!(watch.look(clock.now()), ClockNews::default());
        hands.set_ahead(59_000_000_000);
        assert_eq!(watch.look(clock.now()), ClockNews::default());
        hands.set_ahead(30 * 86_400_000_000_000 - 59_000_000_000);
        let told = String::from_utf8(watch.look(clock.now()).jump.unwrap().note).unwrap();
        insta::assert_snapshot!(told, @"the wall clock was set ahead by 720h: it would have been 2026-11-22 15:06:40 +00:00, it is 2026-12-22 15:06:40 +00:00; waits and order go by another clock");
        assert_eq!(watch.look(clock.now()), ClockNews::default());
        hands.set_ahead(-90_000_000_000);
        assert!(String::from_utf8(watch.look(clock.now()).jump.unwrap().note).unwrap().contains("set back by 1m 30s"));
        hands.suspend(Duration::from_hours(8));
        let news = watch.look(clock.now());
        assert_eq!(news, ClockNews { jump: None, suspended: Some(Duration::from_hours(8)) });
        assert_eq!(watch.look(clock.now()), ClockNews::default());
    }
}
