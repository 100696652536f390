//! What is told at a start of the time before it: since when no daemon was there, how the last one ended, and a clock set meanwhile.

use std::time::Duration;

use crate::{
    daemon::clock_watch::jumped,
    model::{
        clock::Moment,
        event::{Category, Event, Severity},
    },
    store::recovery::last_alive::LastLife,
};

/// An orderly restart that took no longer is no news: an upgrade, other settings.
const SHORT: Duration = Duration::from_mins(10);

/// A longer time between two boots may as well be a clock that is wrong.
const DOUBTFUL: Duration = Duration::from_hours(30 * 24);

/// Whether the wall clock may be wrong though nothing proves it.
pub(super) fn is_doubtful(last: Option<&LastLife>, now: Moment) -> bool {
    last.is_some_and(|last| last.seen.boot != now.boot && now.wall.since(last.seen.wall) > DOUBTFUL)
}

/// How the daemon is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartWay {
    /// To stay.
    Staying,
    /// Once, as from cron: that it is not there in between is no news.
    Once,
}

/// The events about the time since the last daemon was seen.
pub(super) fn since_last(last: Option<&LastLife>, now: Moment, way: StartWay) -> Vec<Event> {
    let Some(last) = last else { return Vec::new() };
    let jump = jumped(last.seen, now);
    absence(last, now, way).into_iter().chain(jump).collect()
}

fn absence(last: &LastLife, now: Moment, way: StartWay) -> Option<Event> {
    let away = now.since(last.seen);
    let is_same_boot = last.seen.boot == now.boot;
    let severity = match (last.is_clean, away <= SHORT, is_same_boot) {
        (true, _, _) if way == StartWay::Once => return None,
        (true, true, true) => Severity::Count,
        (true, true, false) => Severity::Low,
        _ => Severity::Normal,
    };
    let manner = match (last.is_clean, is_same_boot) {
        (true, true) => "clean: it was told to stop",
        (true, false) => "clean: it was told to stop, and the machine was started anew",
        (false, true) => "unclean: it was killed or has crashed",
        (false, false) => "unclean: the machine was started anew, and integrityd had not been told to stop",
    };
    let mut event = Event::new(Category::NotRunning, severity, now, Vec::new())
        .with_note(format!("not running for {} s, {manner}", away.as_secs()));
    event.not_before = Some(last.seen.wall);
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::{BootId, Boottime, Timestamp};

    fn at(wall: i64, boottime: i64, boot: u8) -> Moment {
        Moment {
            wall: Timestamp::from_nanos(wall * 1_000_000_000),
            boottime: Boottime::from_nanos(boottime * 1_000_000_000),
            boot: BootId([boot; 16]),
        }
    }

    fn told(is_clean: bool, now: Moment, way: StartWay) -> Vec<(Severity, String)> {
        let last = LastLife { seen: at(1_000_000, 5_000, 1), is_clean };
        let events = since_last(Some(&last), now, way);
        events.into_iter().map(|event| (event.severity, String::from_utf8(event.note).unwrap())).collect()
    }

    #[test]
    fn how_the_last_daemon_ended_decides_what_is_told() {
        let stay = |is_clean, now| told(is_clean, now, StartWay::Staying);
        let note = |words: &str| words.to_owned();
        assert_eq!(
            stay(true, at(1_000_005, 5_005, 1)),
            [(Severity::Count, note("not running for 5 s, clean: it was told to stop"))]
        );
        assert_eq!(stay(true, at(1_003_600, 8_600, 1))[0].0, Severity::Normal);
        assert_eq!(
            stay(true, at(1_000_060, 20, 2)),
            [(
                Severity::Low,
                note("not running for 60 s, clean: it was told to stop, and the machine was started anew")
            )]
        );
        assert_eq!(
            stay(false, at(1_000_005, 5_005, 1)),
            [(Severity::Normal, note("not running for 5 s, unclean: it was killed or has crashed"))]
        );
        assert_eq!(stay(false, at(1_000_060, 20, 2))[0].0, Severity::Normal);
        assert_eq!(since_last(None, at(1, 1, 1), StartWay::Staying), []);
    }

    #[test]
    fn what_runs_once_from_cron_is_missed_by_nobody_in_between() {
        assert_eq!(told(true, at(1_003_600, 8_600, 1), StartWay::Once), []);
        assert_eq!(told(false, at(1_003_600, 8_600, 1), StartWay::Once).len(), 1);
    }

    #[test]
    fn a_clock_set_while_nobody_was_there_is_told_within_one_boot() {
        assert_eq!(told(true, at(9_000_005, 5_005, 1), StartWay::Staying).len(), 2);
        assert_eq!(told(true, at(9_000_005, 20, 2), StartWay::Staying).len(), 1);
    }

    #[test]
    fn a_clock_behind_the_last_boot_is_told_and_one_far_ahead_is_in_doubt() {
        let back = told(true, at(910_000, 20, 2), StartWay::Staying);
        insta::assert_snapshot!(back[1].1, @"the machine was started anew and the wall clock went back by 25h: it was 1970-01-12 13:46:40 +00:00, it is 1970-01-11 12:46:40 +00:00; waits and order go by another clock");
        assert_eq!(
            told(true, at(999_941, 20, 2), StartWay::Staying).len(),
            1,
            "a clock that is a bit slow is nobody's business"
        );
        let last = LastLife { seen: at(1_000_000, 5_000, 1), is_clean: true };
        let is_doubtful = |now| is_doubtful(Some(&last), now);
        assert!(is_doubtful(at(1_000_000 + 31 * 86_400, 20, 2)) && !is_doubtful(at(1_000_000 + 29 * 86_400, 20, 2)));
        assert!(!is_doubtful(at(1_000_000 + 31 * 86_400, 5_000 + 31 * 86_400, 1)), "within a boot there is proof");
    }
}
