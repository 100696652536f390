//! How promised ages are kept: what the areas hold now, and what is to be told of promises that are or will be broken.
//!
//! A promise that the ceilings do not allow is told at once, not when it is broken; each is told again after `errornag`, also across
//! restarts, because the events themselves are asked when that was done last.

use std::time::Duration;

use crate::{
    config::settings::config::Rates,
    model::{
        clock::{Moment, Timestamp},
        event::{Category, Event, Severity},
        file::entry::AreaId,
    },
    store::{
        baseline::areas::AreaState,
        events::{max_age_rate::Demand, outcome::Outcome, path_status::Workload},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// An area with its path and what was promised of it.
#[derive(Debug, Clone)]
pub(in crate::files) struct WantedPace {
    pub(in crate::files) area: AreaId,
    pub(in crate::files) path: Vec<u8>,
    pub(in crate::files) max_age: Option<Duration>,
}

/// What promises are judged by.
#[derive(Debug, Clone, Copy)]
pub(in crate::files) struct CoverageTerms {
    pub(in crate::files) rates: Rates,
    pub(in crate::files) error_nag: Duration,
}

/// What an area holds, and what was promised of it.
pub(in crate::files) type Load = (AreaId, Option<Duration>, Workload);

/// A promise as it stands.
struct Promised<'a> {
    path: &'a [u8],
    span: Duration,
    needed: Demand,
    oldest: Duration,
}

/// Weighs the areas that are watched, and tells of promises that cannot be kept or are broken. Costs a look at each entry.
pub(in crate::files) fn take_stock(
    store: &mut Store,
    wanted: &[WantedPace],
    terms: CoverageTerms,
    now: Moment,
) -> Result<Vec<Load>, StoreError> {
    store.flush()?;
    let mut loads = Vec::new();
    let mut promised = Vec::new();
    for WantedPace { area, path, max_age } in wanted {
        if store.area_state(*area)? != Some(AreaState::Watched) {
            continue;
        }
        let load = store.ahead_of(i64::MAX, &[*area])?;
        loads.push((*area, *max_age, load));
        if let (Some(span), Some(oldest)) = (*max_age, store.oldest_check(*area)?) {
            promised.push(Promised { path, span, needed: Demand::of(load, span), oldest: age(oldest, now) });
        }
    }
    let mut outcome = Outcome::default();
    for (category, source, note) in findings(&promised, &terms.rates) {
        if !store.was_told_since(category, source, now.wall.before(terms.error_nag))? {
            let event = Event::new(category, Severity::Normal, now, source.to_vec()).with_note(note);
            outcome = outcome.with_event(Event { area: source.to_vec(), ..event });
        }
    }
    if !outcome.events.is_empty() {
        store.commit(&outcome)?;
    }
    Ok(loads)
}

/// A look after a jump of the clock backwards is not older than now.
fn age(at: Timestamp, now: Moment) -> Duration {
    now.wall.since(at)
}

/// What is to be told: of each promise that is broken, and once of those that cannot be kept, under the name of the area that needs
/// most.
fn findings<'a>(promised: &[Promised<'a>], rates: &Rates) -> Vec<(Category, &'a [u8], String)> {
    let mut found: Vec<_> = promised
        .iter()
        .filter(|area| area.oldest > area.span)
        .map(|area| (Category::CoverageLate, area.path, format!("{} of {}", span(area.oldest), span(area.span))))
        .collect();
    let all = promised.iter().fold(Demand::default(), |sum, area| Demand {
        looks: sum.looks + area.needed.looks,
        bytes: sum.bytes + area.needed.bytes,
    });
    let share = |area: &&Promised<'_>| (area.needed.looks / rates.max_files).max(area.needed.bytes / rates.max_bytes);
    if all.is_above(rates)
        && let Some(most) = promised.iter().max_by(|one, other| share(one).total_cmp(&share(other)))
    {
        found.push((Category::CoverageAtRisk, most.path, at_risk(most, all, rates, promised.len())));
    }
    found
}

/// `needs 310 kB/s, ceiling 256 (maxbyterate); oldest check 5.1 d of 7 d`.
fn at_risk(most: &Promised<'_>, all: Demand, rates: &Rates, areas: usize) -> String {
    let mut needs = Vec::new();
    if all.looks > rates.max_files {
        let (needed, most) = (figures(all.looks), figures(rates.max_files));
        needs.push(format!("needs {needed} looks/s, ceiling {most} (maxfilerate)"));
    }
    if all.bytes > rates.max_bytes {
        let (needed, most) = (figures(all.bytes / 1000.0), figures(rates.max_bytes / 1000.0));
        needs.push(format!("needs {needed} kB/s, ceiling {most} (maxbyterate)"));
    }
    let together =
        if areas > 1 { format!("; together with what was promised of {} more", areas - 1) } else { String::new() };
    let standing = format!("oldest check {} of {}", span(most.oldest), span(most.span));
    format!("{}; {standing}{together}", needs.join(", "))
}

/// A number with two figures at least: `0.04`, `3.2`, `310`.
fn figures(value: f64) -> String {
    match value {
        value if value < 0.1 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A span in its largest unit: `45 s`, `12 min`, `5.1 d`, `7 d`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (unit, word) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => return format!("{} min", seconds / 60),
        3600..86_400 => (3600, "h"),
        _ => (86_400, "d"),
    };
    match seconds.saturating_mul(10) / unit {
        tenths if tenths % 10 == 0 => format!("{} {word}", tenths / 10),
        tenths => format!("{}.{} {word}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::settings::config::Config;

    const DAY: Duration = Duration::from_hours(24);

    fn told(promised: &[(&str, Workload, u32)], max_bytes: f64) -> Vec<String> {
        let rates = Rates { max_bytes, ..Config::embedded(Vec::new(), PathBuf::from("/x")).rates };
        let promised: Vec<Promised<'_>> = promised
            .iter()
            .map(|(path, load, tenths)| Promised {
                path: path.as_bytes(),
                span: DAY * 7,
                needed: Demand::of(*load, DAY * 7),
                oldest: DAY * *tenths / 10,
            })
            .collect();
        let found = findings(&promised, &rates);
        found.into_iter().map(|(what, path, note)| format!("{} {} {note}", what.word(), path.escape_ascii())).collect()
    }

    fn load(entries: u64, gigabytes: u64) -> Workload {
        Workload { entries, bytes: gigabytes * 1_000_000_000 }
    }

    #[test]
    fn a_promise_the_ceiling_forbids_is_told_before_it_is_broken() {
        assert_eq!(
            told(&[("/srv", load(1000, 125), 51)], 256_000.0),
            ["coverage at risk /srv needs 310 kB/s, ceiling 256 (maxbyterate); oldest check 5.1 d of 7 d"]
        );
        assert_eq!(told(&[("/srv", load(1000, 100), 51)], 256_000.0), [""; 0]);
    }

    #[test]
    fn what_is_late_is_told_by_area_and_what_is_too_much_once() {
        let all = [("/etc", load(100, 1), 86), ("/srv", load(1000, 125), 51), ("/usr", load(1000, 100), 71)];
        assert_eq!(
            told(&all, 256_000.0),
            [
                "coverage late /etc 8.6 d of 7 d",
                "coverage late /usr 7.1 d of 7 d",
                "coverage at risk /srv needs 561 kB/s, ceiling 256 (maxbyterate); oldest check 5.1 d of 7 d; \
                 together with what was promised of 2 more",
            ]
        );
    }

    #[test]
    fn looks_count_as_bytes_do() {
        let many = load(604_800 * 50, 0);
        assert_eq!(
            told(&[("/srv", many, 10)], 1e9),
            ["coverage at risk /srv needs 75 looks/s, ceiling 50 (maxfilerate); oldest check 1 d of 7 d"]
        );
    }
}
