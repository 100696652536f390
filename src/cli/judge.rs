//! The judgement on how things stand: what is critical, what is a warning, and why. Pure; the time is in the value it reads.

use std::time::Duration;

use super::{
    out::{age, number, size, span},
    standing::{Area, Standing, rate},
    standing_logs::Log,
    standing_processes::Process,
};
use crate::{
    config::units::format_span,
    model::{escape::escape, process::Liveness},
    store::areas::AreaState,
    sys::space::Space,
};

/// A report that waits longer than this is stuck.
const STUCK_AFTER: Duration = Duration::from_hours(1);

/// So many bytes of a log may wait to be read.
const MOST_LAG: u64 = 64 << 20;

/// With less room than this not even a small report can be stored, in bytes.
const LEAST_SPACE: u64 = 64 << 10;

/// How bad it is, as monitoring plugins count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing to do.
    Fine,
    /// Coverage is late.
    Warning,
    /// Mail is stuck, an area is missing, or nobody watches.
    Critical,
}

impl Level {
    /// Its word in plugins' output.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// Its number as a plugin's exit code.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

/// What was judged, gravest first.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict(pub(super) Vec<(Level, String)>);

impl Verdict {
    /// The gravest level.
    pub(super) fn level(&self) -> Level {
        self.0.iter().map(|(level, _)| *level).max().unwrap_or(Level::Fine)
    }

    /// The words of one level.
    pub(super) fn of(&self, wanted: Level) -> Vec<&str> {
        self.0.iter().filter(|(level, _)| *level == wanted).map(|(_, words)| words.as_str()).collect()
    }
}

/// Judges how things stand.
pub(super) fn judge(standing: &Standing) -> Verdict {
    let critical = stopped(standing)
        .into_iter()
        .chain(still(standing))
        .chain(unwritable(standing))
        .chain(lost(standing))
        .chain(ended(standing))
        .chain(stuck(standing));
    let warnings = standing.active().filter_map(late).chain(too_much(standing)).chain(unread(standing));
    let warnings = warnings.chain(unnamed(standing)).chain(standing.unseen.iter().cloned());
    Verdict(
        critical.map(|words| (Level::Critical, words)).chain(warnings.map(|words| (Level::Warning, words))).collect(),
    )
}

fn stopped(standing: &Standing) -> Option<String> {
    let daemon = &standing.daemon;
    let ago = span(standing.age(daemon.last_sign));
    let runs_from_cron =
        daemon.has_stopped && daemon.run_within.is_some_and(|within| standing.age(daemon.last_sign) <= within);
    (daemon.is_running == Some(false) && !runs_from_cron).then(|| {
        if daemon.has_stopped {
            format!("the daemon is not running: it was stopped {ago} ago ({} starts it)", daemon.start)
        } else {
            format!(
                "the daemon is not running: it was started {ago} ago and did not end in good order; its log says why"
            )
        }
    })
}

/// Tasks of a running daemon that do not go on.
fn still(standing: &Standing) -> impl Iterator<Item = String> {
    let is_running = standing.daemon.is_running != Some(false);
    standing.standstills.iter().filter(move |_| is_running).map(|(task, since)| {
        format!("{} stands still for {}: restart the daemon", escape(task.as_bytes()), span(standing.age(*since)))
    })
}

/// Why nothing can be stored, as far as that is seen from outside.
fn unwritable(standing: &Standing) -> Option<String> {
    let place = format!("the file system of {}", standing.database);
    match standing.space? {
        Space { is_read_only: true, .. } => Some(format!("{place} is read-only: nothing can be stored or reported")),
        Space { free, .. } if free < LEAST_SPACE => {
            Some(format!("{place} is full: nothing can be stored or reported; what is found is found again"))
        }
        Space { .. } => None,
    }
}

fn lost(standing: &Standing) -> impl Iterator<Item = String> {
    standing.areas.iter().filter_map(|area| match area.state {
        AreaState::Missing => Some(format!("{} is missing; its baseline is kept", area.path)),
        AreaState::Suspended => Some(format!(
            "{} is suspended: it is not what its baseline belongs to; the mail about it says why",
            area.path
        )),
        _ => None,
    })
}

fn stuck(standing: &Standing) -> Vec<String> {
    let queue = &standing.queue;
    let deliveries = |count: u64| match count {
        1 => "1 delivery".to_owned(),
        count => format!("{} deliveries", number(count)),
    };
    let mut words = Vec::new();
    if queue.parked > 0 {
        words.push(format!("{} refused for days and given up", deliveries(queue.parked)));
    }
    if queue.refused > 0 {
        words.push(format!("{} refused by the mail server; kept and tried again", deliveries(queue.refused)));
    }
    if queue.barred > 0 {
        words.push(format!("{} cannot be handed over; kept and tried again", deliveries(queue.barred)));
    }
    let waiting = queue.oldest.map(|oldest| standing.age(oldest));
    if let Some(waiting) = waiting.filter(|waiting| queue.queued > 0 && *waiting > STUCK_AFTER) {
        words.push(format!("a report waits to be accepted since {}", span(waiting)));
    }
    words
}

/// A promise that is broken; the first round has to end before anything can be late.
fn late(area: &Area) -> Option<String> {
    let (max_age, oldest) = (area.max_age?, area.oldest?);
    (area.state == AreaState::Watched && oldest > max_age)
        .then(|| format!("coverage late: {} {} of {}", area.path, age(oldest), format_span(max_age)))
}

/// Watched processes that do not run as they should.
fn ended(standing: &Standing) -> Vec<String> {
    let words = |process: &Process| {
        let since = span(standing.age(process.since));
        let place = process.title();
        match process.liveness {
            Liveness::Running => None,
            Liveness::Gone => Some(format!("{place} does not run for {since}")),
            Liveness::Zombie => Some(format!("{place} is a zombie for {since}")),
            Liveness::Headless => Some(format!("the main thread of {place} has ended {since} ago")),
        }
    };
    standing.processes.iter().filter_map(words).collect()
}

/// Watched processes whose PID files are in disorder.
fn unnamed(standing: &Standing) -> Vec<String> {
    let running = standing.processes.iter().filter(|process| process.liveness == Liveness::Running);
    running
        .filter_map(|process| {
            let word = process.fault_word()?;
            Some(format!("the PID file {} is {word} for {}", process.place(), span(standing.age(process.since))))
        })
        .collect()
}

/// Logs that cannot be read, or not as fast as they are written.
fn unread(standing: &Standing) -> Vec<String> {
    let trouble = |log: &Log| {
        let (word, since) = log.trouble?;
        Some(format!("the log {} is {word} for {}", log.path, span(standing.age(since))))
    };
    let behind = |log: &Log| {
        let lag = log.lag.filter(|lag| *lag > MOST_LAG)?;
        Some(format!("the log {} is read {} behind its end", log.path, size(lag)))
    };
    standing.logs.iter().filter_map(|log| trouble(log).or_else(|| behind(log))).collect()
}

/// Promises that the ceiling does not allow, alone or together.
fn too_much(standing: &Standing) -> Vec<String> {
    let Some(pace) = standing.pace else { return Vec::new() };
    let mut words: Vec<String> = standing
        .active()
        .filter_map(|area| Some((area, area.needed()?)))
        .filter(|(_, needed)| *needed > pace.allowed)
        .map(|(area, needed)| {
            format!(
                "{} cannot be kept: it needs {} looks/s, maxfilerate allows {}",
                area.path,
                rate(needed),
                rate(pace.allowed)
            )
        })
        .collect();
    if words.is_empty() && standing.needed() > pace.allowed {
        words.push(format!(
            "the promised ages cannot be kept together: they need {} looks/s, maxfilerate allows {}",
            rate(standing.needed()),
            rate(pace.allowed)
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::standing::sample::standing;

    fn with(change: impl FnOnce(&mut Standing)) -> (Level, String) {
        let mut standing = standing();
        change(&mut standing);
        let verdict = judge(&standing);
        (verdict.level(), verdict.0.into_iter().map(|(_, words)| words).collect::<Vec<_>>().join("; "))
    }

    /// A change, what it leads to, and words that must be said.
    type Case = (fn(&mut Standing), Level, &'static str);

    #[test]
    fn a_database_that_cannot_be_written_is_critical() {
        let mut standing = standing();
        standing.space = Some(Space { free: 1000, is_read_only: false });
        let full = judge(&standing);
        assert!(full.of(Level::Critical)[0].contains("is full"), "{full:?}");
        standing.space = Some(Space { free: 1 << 30, is_read_only: true });
        assert!(judge(&standing).of(Level::Critical)[0].contains("is read-only"));
        standing.space = None;
        assert_eq!(judge(&standing).level(), Level::Fine);
    }

    #[test]
    fn what_is_fine_says_nothing() {
        assert_eq!(with(|_| ()), (Level::Fine, String::new()));
        let quiet: [fn(&mut Standing); 7] = [
            |it| it.areas.clear(),
            |it| it.daemon.is_running = None,
            |it| {
                (it.daemon.is_running, it.daemon.has_stopped) = (Some(false), true);
                it.daemon.run_within = Some(Duration::from_hours(100));
            },
            |it| it.areas[0].oldest = Some(Duration::from_hours(24)),
            |it| it.areas[1].oldest = Some(Duration::from_hours(24 * 300)),
            |it| {
                (it.areas[0].state, it.areas[0].oldest) = (AreaState::Learning, Some(Duration::from_hours(30)));
            },
            |it| {
                (it.queue.queued, it.queue.oldest) = (3, Some(it.now.before(Duration::from_hours(1))));
            },
        ];
        for (place, change) in quiet.into_iter().enumerate() {
            assert_eq!(with(change), (Level::Fine, String::new()), "case {place}");
        }
    }

    #[test]
    fn each_trouble_has_its_level_and_its_words() {
        let log = |lag, trouble| Log {
            path: "/var/log/syslog".to_owned(),
            rules: "server:/etc/logcheck".to_owned(),
            offset: Some(7),
            lag: Some(lag),
            trouble,
        };
        let found = with(|it| {
            it.logs = vec![log(0, Some(("missing", it.now.before(Duration::from_hours(1))))), log(70 << 20, None)];
        });
        assert_eq!(found.0, Level::Warning);
        assert_eq!(
            found.1,
            "the log /var/log/syslog is missing for 60 min; the log /var/log/syslog is read 70 MiB behind its end"
        );
        assert_eq!(with(|it| it.logs = vec![log(1 << 20, None)]), (Level::Fine, String::new()));
        let cases: [Case; 13] = [
            (
                |it| it.areas[0].oldest = Some(Duration::from_hours(25)),
                Level::Warning,
                "coverage late: /etc 25.0 h of 1d",
            ),
            (
                |it| it.areas[0].entries = 3_000_000,
                Level::Warning,
                "/etc cannot be kept: it needs 52 looks/s, maxfilerate allows 50",
            ),
            (
                |it| {
                    for area in &mut it.areas {
                        (area.entries, area.max_age) = (1_440_000, Some(Duration::from_hours(24)));
                    }
                },
                Level::Warning,
                "they need 75 looks/s, maxfilerate allows 50",
            ),
            (|it| it.areas[1].state = AreaState::Missing, Level::Critical, "/usr is missing"),
            (|it| it.areas[1].state = AreaState::Suspended, Level::Critical, "/usr is suspended"),
            (|it| it.queue.parked = 2, Level::Critical, "2 deliveries refused for days"),
            (
                |it| (it.queue.queued, it.queue.refused) = (1, 1),
                Level::Critical,
                "1 delivery refused by the mail server",
            ),
            (|it| (it.queue.queued, it.queue.barred) = (2, 2), Level::Critical, "2 deliveries cannot be handed over"),
            (
                |it| (it.queue.queued, it.queue.oldest) = (1, Some(it.now.before(Duration::from_secs(3601)))),
                Level::Critical,
                "a report waits to be accepted since 60 min",
            ),
            (|it| it.daemon.is_running = Some(false), Level::Critical, "did not end in good order"),
            (
                |it| {
                    it.daemon.is_running = Some(false);
                    it.daemon.run_within = Some(Duration::from_hours(100));
                },
                Level::Critical,
                "did not end in good order",
            ),
            (
                |it| {
                    (it.daemon.is_running, it.daemon.has_stopped) = (Some(false), true);
                    it.daemon.run_within = Some(Duration::from_hours(26));
                },
                Level::Critical,
                "it was stopped",
            ),
            (
                |it| (it.daemon.is_running, it.daemon.has_stopped) = (Some(false), true),
                Level::Critical,
                "it was stopped 3 d ago",
            ),
        ];
        for (change, level, words) in cases {
            let found = with(change);
            assert!(found.0 == level && found.1.contains(words), "{found:?}, wanted {level:?} {words}");
        }
    }

    #[test]
    fn the_gravest_decides_and_stands_first() {
        let (level, words) = with(|it| {
            it.areas[0].oldest = Some(Duration::from_hours(25));
            it.queue.parked = 1;
        });
        assert_eq!(level, Level::Critical);
        assert!(words.starts_with("1 delivery refused for days and given up; coverage late"), "{words}");
    }

    #[test]
    fn areas_that_are_not_configured_promise_nothing() {
        let found = with(|it| {
            it.areas[0].state = AreaState::Unconfigured;
            it.areas[0].oldest = Some(Duration::from_hours(5000));
            it.areas[0].entries = 30_000_000;
        });
        assert_eq!(found, (Level::Fine, String::new()));
    }
}
