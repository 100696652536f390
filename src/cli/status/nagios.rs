//! `status --nagios`: one line as monitoring plugins print it (Monitoring Plugins Development Guidelines: text, `|`, performance data).

use crate::{
    cli::status::level::StatusLevel,
    model::{
        format::{age, number},
        health::Health,
    },
    store::health::facts::Facts,
};

/// The line, without its end.
pub(in crate::cli) fn line(facts: &Facts, health: &Health) -> String {
    let level = StatusLevel::of(health);
    let words = match level {
        StatusLevel::Fine => summary(facts),
        _ => health.grave().map(|trouble| trouble.words.as_str()).collect::<Vec<_>>().join("; "),
    };
    format!("INTEGRITYD {} - {} | {}", level.word(), text(&words), performance(facts))
}

/// The line when nothing can be told.
pub(in crate::cli) fn unknown(why: &str) -> String {
    format!("INTEGRITYD UNKNOWN - {}", text(why))
}

/// Text before the bar: one line, and no bar of its own.
fn text(words: &str) -> String {
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace('|', r"\x7c")
}

fn summary(facts: &Facts) -> String {
    let areas = match facts.active().count() {
        1 => "1 area".to_owned(),
        count => format!("{count} areas"),
    };
    let oldest = facts
        .oldest()
        .map_or_else(|| "nothing checked yet".to_owned(), |oldest| format!("oldest check {}", age(oldest)));
    format!("{areas}, {} entries, {oldest}", number(facts.entries()))
}

/// `label=value;warn;crit;min`, with `U` for what is unknown; labels are plain words, so that none needs quotes.
fn performance(facts: &Facts) -> String {
    let queue = &facts.queue;
    let oldest = facts.oldest().map_or_else(|| "U".to_owned(), |oldest| format!("{}s", oldest.as_secs()));
    let waiting = queue.oldest.map_or(0, |at| facts.age(at).as_secs());
    // Percentages are cut, not rounded: 100 means all.
    let share = facts.configured().map(|area| area.share() * 100.0).fold(100.0, f64::min).floor();
    [
        format!("queue={};;1;0", queue.queued.saturating_add(queue.parked)),
        format!("oldest_mail={waiting}s;;3600;0"),
        format!("oldest_check={oldest};;;0"),
        format!("in_time={share}%;;;0;100"),
        format!("entries={};;;0", facts.entries()),
        format!("looks={}c", facts.counters.looks),
        format!("read={}c", facts.counters.bytes),
        format!("database={}B;;;0", facts.database_size),
    ]
    .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::health::{diagnose::diagnose, facts::sample::facts};

    #[test]
    fn a_fine_machine_is_one_line() {
        let facts = facts();
        assert_eq!(
            line(&facts, &diagnose(&facts)),
            "INTEGRITYD OK - 3 areas, 145,282 entries, oldest check 2.1 d | queue=0;;1;0 oldest_mail=0s;;3600;0 \
             oldest_check=183600s;;;0 in_time=100%;;;0;100 entries=145282;;;0 looks=412118c read=9663676416c database=24117248B;;;0"
        );
    }

    #[test]
    fn a_hostile_path_cannot_end_the_text() {
        let mut facts = facts();
        facts.areas[0].path = crate::model::escape::escape_name(b"/srv/a|x=1\nOK - fine");
        facts.areas[0].state = crate::store::baseline::areas::AreaState::Missing;
        let line = line(&facts, &diagnose(&facts));
        assert!(line.starts_with(r"INTEGRITYD CRITICAL - /srv/a\x7cx=1\nOK - fine is missing"), "{line}");
        assert_eq!((line.matches('|').count(), line.lines().count()), (1, 1), "{line}");
        assert_eq!(unknown("no database\n  do | this"), r"INTEGRITYD UNKNOWN - no database; do \x7c this");
    }

    #[test]
    fn what_was_never_looked_at_is_unknown_and_not_zero() {
        let mut facts = facts();
        facts.areas.clear();
        let line = line(&facts, &diagnose(&facts));
        assert!(line.contains("nothing checked yet") && line.contains("oldest_check=U;;;0"), "{line}");
    }
}
