//! What is wrong with how things stand. Pure; the time is in the value it reads. Every place that says how integrityd stands says this.

use std::time::Duration;

use crate::{
    config::schema::units::format_span,
    model::{
        escape::{escape, escape_name},
        format::{age, counted, number, rate, size, span},
        health::{Health, Trouble, TroubleKind as Kind},
        process::Liveness,
    },
    store::{
        baseline::areas::AreaState,
        health::{
            fact_logs::LogFacts,
            fact_processes::ProcessFacts,
            facts::{AreaFacts, Facts},
        },
    },
    sys::fs::space::Space,
};

/// A report that waits longer than this is stuck.
const STUCK_AFTER: Duration = Duration::from_hours(1);

/// So many bytes of a log may wait to be read.
const MOST_LAG: u64 = 64 << 20;

/// With less room than this not even a small report can be stored, in bytes.
const LEAST_SPACE: u64 = 64 << 10;

/// Says what is wrong.
pub fn diagnose(facts: &Facts) -> Health {
    let of_areas = facts.configured().flat_map(|area| of_area(area, facts));
    let of_logs = facts.logs.iter().filter_map(|log| of_log(log, facts));
    let of_processes = facts.processes.iter().filter_map(|process| of_process(process, facts));
    let all = stopped(facts)
        .into_iter()
        .chain(stalled(facts))
        .chain(unwritable(facts))
        .chain(of_areas)
        .chain(of_processes)
        .chain(of_logs)
        .chain(stuck(facts))
        .chain(hidden(facts))
        .chain(at_risk(facts))
        .chain(of_rows(facts))
        .chain(doubted(facts));
    Health::new(all.collect())
}

fn trouble(kind: Kind, subject: impl Into<String>, words: String) -> Trouble {
    Trouble { kind, subject: subject.into(), words }
}

fn stopped(facts: &Facts) -> Option<Trouble> {
    let daemon = &facts.daemon;
    let ago = span(facts.age(daemon.last_sign));
    let runs_from_cron =
        daemon.has_stopped && daemon.run_within.is_some_and(|within| facts.age(daemon.last_sign) <= within);
    (daemon.is_running == Some(false) && !runs_from_cron).then(|| {
        let words = if daemon.has_stopped {
            format!("the daemon is not running (stopped {ago} ago); start it: {}", daemon.start)
        } else {
            format!("the daemon is not running: it crashed or was killed (last start {ago} ago); its log says why")
        };
        trouble(Kind::NotRunning, "", words)
    })
}

/// Tasks of a running daemon that make no progress.
fn stalled(facts: &Facts) -> impl Iterator<Item = Trouble> {
    let is_running = facts.daemon.is_running != Some(false);
    facts.standstills.iter().filter(move |_| is_running).map(|(task, since)| {
        let task = escape(task.as_bytes());
        let words = format!("{task} stopped working {} ago: restart the daemon", span(facts.age(*since)));
        trouble(Kind::TaskStalled, task, words)
    })
}

/// Why nothing can be stored, as far as that is seen from outside.
fn unwritable(facts: &Facts) -> Option<Trouble> {
    let place = format!("the file system of {}", facts.database);
    let words = match facts.space? {
        Space { is_read_only: true, .. } => format!("{place} is read-only: nothing can be stored or reported"),
        Space { free, .. } if free < LEAST_SPACE => {
            format!("{place} is full: nothing can be stored or reported; what is found is found again")
        }
        Space { .. } => return None,
    };
    Some(trouble(Kind::Unwritable, "", words))
}

/// What is wrong with an area.
fn of_area(area: &AreaFacts, facts: &Facts) -> Vec<Trouble> {
    let path = area.path.as_str();
    let mut found = Vec::new();
    match area.state {
        AreaState::Missing => {
            found.push(trouble(Kind::AreaMissing, path, format!("{path} is missing; its baseline is kept")));
        }
        AreaState::Suspended => {
            let words =
                format!("{path} is suspended: it is not what its baseline belongs to; the mail about it says why");
            found.push(trouble(Kind::AreaSuspended, path, words));
        }
        AreaState::Learning => {
            let done = match area.first_round {
                // What was added meanwhile was not counted.
                Some((expected, _)) => {
                    format!("{} of about {}", number(area.entries), entries(expected.max(area.entries)))
                }
                None => entries(area.entries),
            };
            let left = area.first_round_left().map(|left| format!(", about {} left", span(left))).unwrap_or_default();
            let words = format!("{path}: the first round is not complete, {done} so far{left}");
            found.push(trouble(Kind::FirstRound, path, words));
        }
        AreaState::Watched | AreaState::Unconfigured => {}
    }
    if let Some((count, since)) = area.missing.filter(|_| area.state.is_active()) {
        let words = format!(
            "{path}: {} missing for {}; their baseline is kept, the rest is compared",
            entries(count),
            span(facts.age(since))
        );
        found.push(trouble(Kind::PathsMissing, path, words));
    }
    let unreadable = area.unreadable.saturating_sub(area.too_long);
    if area.state.is_active() && unreadable > 0 {
        let words = format!("{path}: {} cannot be read, so changes there are not seen", entries(unreadable));
        found.push(trouble(Kind::Unreadable, path, words));
    }
    if area.state.is_active() && area.too_long > 0 {
        let words = format!(
            "{path}: paths in {} are longer than 4,095 bytes (PATH_MAX) and not entered",
            counted(area.too_long, "directory", "directories")
        );
        found.push(trouble(Kind::PathTooLong, path, words));
    }
    // The first round has to end before anything can be late.
    if let (AreaState::Watched, Some(promised), Some(oldest)) = (area.state, area.max_age, area.oldest)
        && oldest > promised
    {
        let words = format!("coverage late: {path} {} of {}", age(oldest), format_span(promised));
        found.push(trouble(Kind::CoverageLate, path, words));
    }
    if let (Some(needed), Some(pace)) = (area.needed().filter(|_| area.state.is_active()), facts.pace)
        && needed > pace.allowed
    {
        let words = format!(
            "{path} cannot be kept: it needs {} checks/s, maxfilerate allows {}",
            rate(needed),
            rate(pace.allowed)
        );
        found.push(trouble(Kind::CoverageAtRisk, path, words));
    }
    found
}

fn entries(count: u64) -> String {
    counted(count, "entry", "entries")
}

/// What keeps reports from their recipients.
fn stuck(facts: &Facts) -> Vec<Trouble> {
    let queue = &facts.queue;
    let counts = [
        (queue.parked, "refused for days and given up"),
        (queue.refused, "refused by the mail server; kept and tried again"),
        (queue.barred, "cannot be handed over; kept and tried again"),
    ];
    let mut words: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{} {why}", counted(count, "delivery", "deliveries")))
        .collect();
    let waiting = queue.oldest.map(|oldest| facts.age(oldest));
    if let Some(waiting) = waiting.filter(|waiting| queue.queued > 0 && *waiting > STUCK_AFTER) {
        words.push(format!("a report has been queued for {}", span(waiting)));
    }
    words.into_iter().map(|words| trouble(Kind::MailStuck, "", words)).collect()
}

/// A watched process that does not run as it should, or whose PID file is in disorder.
fn of_process(process: &ProcessFacts, facts: &Facts) -> Option<Trouble> {
    let since = span(facts.age(process.since));
    let title = process.title();
    let (kind, words) = match (process.liveness, process.fault_word()) {
        (Liveness::Gone, _) => (Kind::ProcessDown, format!("{title} has been down for {since}")),
        (Liveness::Zombie, _) => (Kind::ProcessDown, format!("{title} has been a zombie for {since}")),
        (Liveness::Headless, _) => (Kind::ProcessDown, format!("the main thread of {title} exited {since} ago")),
        (Liveness::Running, Some(word)) => {
            (Kind::PidFile, format!("the PID file {} has been {word} for {since}", process.place()))
        }
        (Liveness::Running, None) => return None,
    };
    Some(trouble(kind, process.place(), words))
}

/// A log that cannot be read, or not as fast as it is written.
fn of_log(log: &LogFacts, facts: &Facts) -> Option<Trouble> {
    if let Some((word, since)) = log.trouble {
        let words = format!("log {} has been {word} for {}", log.path, span(facts.age(since)));
        return Some(trouble(Kind::LogUnreadable, log.path.as_str(), words));
    }
    let lag = log.lag.filter(|lag| *lag > MOST_LAG)?;
    let words = format!("log {} is read {} behind its end", log.path, size(lag));
    Some(trouble(Kind::LogBehind, log.path.as_str(), words))
}

/// Parts of the areas that cannot be seen.
fn hidden(facts: &Facts) -> impl Iterator<Item = Trouble> {
    let covered = facts.covered.iter().map(|point| {
        let words = format!("{point} is hidden by a mount: what was known there is not compared");
        trouble(Kind::Covered, point.as_str(), words)
    });
    let silent = facts.silent.iter().map(|point| {
        let words = format!("{point} does not answer: nothing on it is checked");
        trouble(Kind::MountSilent, point.as_str(), words)
    });
    covered.chain(silent)
}

/// Promises that the ceiling allows one by one, but not together.
fn at_risk(facts: &Facts) -> Option<Trouble> {
    let pace = facts.pace?;
    let is_alone = facts.active().filter_map(AreaFacts::needed).any(|needed| needed > pace.allowed);
    (!is_alone && facts.needed() > pace.allowed).then(|| {
        let words = format!(
            "the promised ages cannot be kept together: they need {} checks/s, maxfilerate allows {}",
            rate(facts.needed()),
            rate(pace.allowed)
        );
        trouble(Kind::CoverageAtRisk, "", words)
    })
}

/// What has a row of its own. Rows of kinds that are seen by something else are not made.
fn of_rows(facts: &Facts) -> Vec<Trouble> {
    let not_entered: Vec<&str> =
        facts.troubles.iter().filter(|row| row.kind == Kind::MountNotEntered).map(|row| row.detail.as_str()).collect();
    let mut found: Vec<Trouble> = facts
        .troubles
        .iter()
        .filter(|row| row.kind != Kind::MountNotEntered)
        .map(|row| {
            let subject = escape_name(&row.subject);
            let words = match row.kind {
                Kind::RuleOff => format!("log rules {subject}: {}", row.detail),
                _ => row.detail.clone(),
            };
            trouble(row.kind, subject, words)
        })
        .collect();
    if let Some((first, more)) = not_entered.split_first() {
        let more = match more.len() {
            0 => String::new(),
            count => format!(" and {} more", number(u64::try_from(count).unwrap_or(u64::MAX))),
        };
        found.push(trouble(Kind::MountNotEntered, "", format!("not entered: {first}{more}")));
    }
    found
}

fn doubted(facts: &Facts) -> Option<Trouble> {
    let words = "the wall clock was set or may be wrong: nothing old is taken out for a day after that";
    facts.is_clock_doubted.then(|| trouble(Kind::ClockDoubted, "", words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::health::Weight, store::health::facts::sample::facts};

    fn with(change: impl FnOnce(&mut Facts)) -> (Option<Weight>, String) {
        let mut facts = facts();
        change(&mut facts);
        let health = diagnose(&facts);
        let words: Vec<&str> = health.grave().map(|trouble| trouble.words.as_str()).collect();
        (health.weight().filter(|weight| *weight > Weight::Note), words.join("; "))
    }

    /// A change, what it leads to, and words that must be said.
    type Case = (fn(&mut Facts), Option<Weight>, &'static str);

    #[test]
    fn a_database_that_cannot_be_written_is_critical() {
        let mut facts = facts();
        facts.space = Some(Space { free: 1000, is_read_only: false });
        let full = diagnose(&facts);
        assert!(full.of(Weight::Critical)[0].contains("is full"), "{full:?}");
        facts.space = Some(Space { free: 1 << 30, is_read_only: true });
        assert!(diagnose(&facts).of(Weight::Critical)[0].contains("is read-only"));
        facts.space = None;
        assert_eq!(diagnose(&facts).weight(), None);
    }

    #[test]
    fn what_is_fine_says_nothing() {
        assert_eq!(with(|_| ()), (None, String::new()));
        let quiet: [fn(&mut Facts); 7] = [
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
            assert_eq!(with(change), (None, String::new()), "case {place}");
        }
    }

    #[test]
    fn a_first_round_says_how_far_it_is_and_how_long_it_takes_yet() {
        let words = |entries, first_round| {
            let mut facts = facts();
            let area = AreaFacts { state: AreaState::Learning, entries, first_round, ..facts.areas[1].clone() };
            facts.areas = vec![area];
            diagnose(&facts).of(Weight::Note).join("\n")
        };
        let minute = Duration::from_mins(1);
        assert_eq!(words(2_500, None), "/usr: the first round is not complete, 2,500 entries so far");
        let half = words(2_500, Some((10_000, minute)));
        assert_eq!(
            half,
            "/usr: the first round is not complete, 2,500 of about 10,000 entries so far, about 3 min left"
        );
        let more = words(10_001, Some((10_000, minute)));
        assert!(more.contains("10,001 of about 10,001 entries so far, about 0 s left"), "{more}");
        assert!(words(0, Some((10_000, minute))).ends_with("0 of about 10,000 entries so far"));
    }

    #[test]
    fn each_trouble_has_its_level_and_its_words() {
        let log = |lag, trouble| LogFacts {
            path: "/var/log/syslog".to_owned(),
            rules: "server:/etc/logcheck".to_owned(),
            offset: Some(7),
            lag: Some(lag),
            trouble,
        };
        let found = with(|it| {
            it.logs = vec![log(0, Some(("missing", it.now.before(Duration::from_hours(1))))), log(70 << 20, None)];
        });
        assert_eq!(found.0, Some(Weight::Critical));
        assert_eq!(
            found.1,
            "log /var/log/syslog has been missing for 60 min; log /var/log/syslog is read 70 MiB behind its end"
        );
        assert_eq!(with(|it| it.logs = vec![log(1 << 20, None)]), (None, String::new()));
        let cases: [Case; 13] = [
            (
                |it| it.areas[0].oldest = Some(Duration::from_hours(25)),
                Some(Weight::Warning),
                "coverage late: /etc 25.0 h of 1d",
            ),
            (
                |it| it.areas[0].entries = 3_000_000,
                Some(Weight::Warning),
                "/etc cannot be kept: it needs 52 checks/s, maxfilerate allows 50",
            ),
            (
                |it| {
                    for area in &mut it.areas {
                        (area.entries, area.max_age) = (1_440_000, Some(Duration::from_hours(24)));
                    }
                },
                Some(Weight::Warning),
                "they need 75 checks/s, maxfilerate allows 50",
            ),
            (|it| it.areas[1].state = AreaState::Missing, Some(Weight::Critical), "/usr is missing"),
            (|it| it.areas[1].state = AreaState::Suspended, Some(Weight::Critical), "/usr is suspended"),
            (|it| it.queue.parked = 2, Some(Weight::Critical), "2 deliveries refused for days"),
            (
                |it| (it.queue.queued, it.queue.refused) = (1, 1),
                Some(Weight::Critical),
                "1 delivery refused by the mail server",
            ),
            (
                |it| (it.queue.queued, it.queue.barred) = (2, 2),
                Some(Weight::Critical),
                "2 deliveries cannot be handed over",
            ),
            (
                |it| (it.queue.queued, it.queue.oldest) = (1, Some(it.now.before(Duration::from_secs(3601)))),
                Some(Weight::Critical),
                "a report has been queued for 60 min",
            ),
            (|it| it.daemon.is_running = Some(false), Some(Weight::Critical), "it crashed or was killed"),
            (
                |it| {
                    it.daemon.is_running = Some(false);
                    it.daemon.run_within = Some(Duration::from_hours(100));
                },
                Some(Weight::Critical),
                "it crashed or was killed",
            ),
            (
                |it| {
                    (it.daemon.is_running, it.daemon.has_stopped) = (Some(false), true);
                    it.daemon.run_within = Some(Duration::from_hours(26));
                },
                Some(Weight::Critical),
                "not running (stopped",
            ),
            (
                |it| (it.daemon.is_running, it.daemon.has_stopped) = (Some(false), true),
                Some(Weight::Critical),
                "not running (stopped 3 d ago); start it: service integrityd start",
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
        assert_eq!(level, Some(Weight::Critical));
        assert!(words.starts_with("1 delivery refused for days and given up; coverage late"), "{words}");
    }

    #[test]
    fn areas_that_are_not_configured_promise_nothing() {
        let found = with(|it| {
            it.areas[0].state = AreaState::Unconfigured;
            it.areas[0].oldest = Some(Duration::from_hours(5000));
            it.areas[0].entries = 30_000_000;
        });
        assert_eq!(found, (None, String::new()));
    }
}
