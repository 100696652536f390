//! `status --prometheus`: the text exposition format 0.0.4, for a node exporter's textfile collector.

use crate::{
    cli::status::level::StatusLevel,
    config::schema::units::to_float,
    model::health::{Health, TroubleKind, Weight},
    store::{
        baseline::areas::AreaState,
        health::{
            fact_logs::LogFacts,
            fact_processes::ProcessFacts,
            facts::{AreaFacts, Facts},
        },
    },
};

/// The page under construction.
#[derive(Default)]
struct MetricsPage(String);

impl MetricsPage {
    /// One family with all its samples; nothing of it when there are none.
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[(String, f64)]) {
        if samples.is_empty() {
            return;
        }
        self.0.push_str(&format!("# HELP integrityd_{name} {help}\n# TYPE integrityd_{name} {kind}\n"));
        for (labels, value) in samples {
            self.0.push_str(&format!("integrityd_{name}{labels} {value}\n"));
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.family(name, "gauge", help, &plain(value));
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &plain(Some(to_float(value))));
    }

    /// A gauge for each area that has a value.
    fn areas(&mut self, name: &str, help: &str, areas: &[AreaFacts], value: impl Fn(&AreaFacts) -> Option<f64>) {
        let samples: Vec<_> =
            areas.iter().filter_map(|area| Some((labels(&[("area", &area.path)]), value(area)?))).collect();
        self.family(name, "gauge", help, &samples);
    }
}

fn plain(value: Option<f64>) -> Vec<(String, f64)> {
    value.map(|value| (String::new(), value)).into_iter().collect()
}

/// `{name="value",…}` with backslash, quote and line feed escaped as the format demands.
fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let shown: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", shown.join(","))
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

/// The whole page.
pub(in crate::cli) fn page(facts: &Facts, health: &Health) -> String {
    let mut page = MetricsPage::default();
    let running = facts.daemon.is_running;
    page.gauge(
        "status",
        "The judgement: 0 ok, 1 warning, 2 critical, 3 unknown.",
        Some(f64::from(StatusLevel::of(health).number())),
    );
    let troubles = TroubleKind::ALL.iter().filter(|kind| kind.weight() > Weight::Note).map(|kind| {
        let count = health.grave().filter(|trouble| trouble.kind == *kind).count();
        (labels(&[("kind", kind.word())]), to_float(u64::try_from(count).unwrap_or(u64::MAX)))
    });
    page.family("troubles", "gauge", "What is wrong at present, by kind.", &troubles.collect::<Vec<_>>());
    page.gauge("daemon_running", "Whether the daemon runs on this database.", running.map(flag));
    let running_for = facts.daemon.running_for.map(|span| span.as_secs_f64().floor());
    page.gauge("daemon_running_seconds", "For how long the daemon runs.", running_for);
    page.gauge(
        "configuration_readable",
        "Whether the configuration could be used for this page.",
        Some(flag(facts.pace.is_some())),
    );
    page.counter("looks_total", "Looks at paths since the database was made.", facts.counters.looks);
    page.counter("read_bytes_total", "Bytes read since the database was made.", facts.counters.bytes);
    page.counter("events_total", "Events in the chain.", facts.head.seq);
    page.gauge("database_bytes", "Size of the database files.", Some(to_float(facts.database_size)));
    page.gauge("allowed_looks_per_second", "The ceiling maxfilerate.", facts.pace.map(|pace| pace.allowed));
    coverage(&mut page, &facts.areas);
    logs(&mut page, &facts.logs);
    processes(&mut page, &facts.processes);
    queue(&mut page, facts);
    page.0
}

/// The page when nothing can be told.
pub(in crate::cli) fn unknown() -> String {
    let mut page = MetricsPage::default();
    page.gauge("status", "The judgement: 0 ok, 1 warning, 2 critical, 3 unknown.", Some(3.0));
    page.0
}

fn coverage(page: &mut MetricsPage, areas: &[AreaFacts]) {
    let states: Vec<_> = areas
        .iter()
        .flat_map(|area| {
            AreaState::ALL
                .map(|state| (labels(&[("area", &area.path), ("state", state.word())]), flag(area.state == state)))
        })
        .collect();
    page.family("area_state", "gauge", "Which state an area is in.", &states);
    let seconds = |age: Option<std::time::Duration>| age.map(|age| age.as_secs_f64().floor());
    page.areas("area_entries", "Entries of the baseline.", areas, |area| Some(to_float(area.entries)));
    page.areas(
        "area_unreadable_entries",
        "Entries that could not be read when they were checked last.",
        areas,
        |area| Some(to_float(area.unreadable)),
    );
    page.areas("area_rounds", "Complete rounds.", areas, |area| Some(to_float(area.rounds)));
    page.areas("area_oldest_check_seconds", "Age of the oldest check.", areas, |area| seconds(area.oldest));
    page.areas("area_p95_check_seconds", "95 of 100 checks are younger.", areas, |area| seconds(area.most));
    page.areas("area_p50_check_seconds", "Half of the checks are younger.", areas, |area| seconds(area.median));
    page.areas("area_in_time_ratio", "Share looked at within areamaxage, or within 7 days.", areas, |area| {
        Some(area.share())
    });
    page.areas("area_max_age_seconds", "The promised age, areamaxage.", areas, |area| seconds(area.max_age));
    page.areas("area_needed_looks_per_second", "What areamaxage needs.", areas, AreaFacts::needed);
}

fn logs(page: &mut MetricsPage, logs: &[LogFacts]) {
    let samples = |value: &dyn Fn(&LogFacts) -> Option<f64>| -> Vec<(String, f64)> {
        let labelled = |log: &LogFacts| Some((labels(&[("log", &log.path), ("rules", &log.rules)]), value(log)?));
        logs.iter().filter_map(labelled).collect()
    };
    page.family(
        "log_read_bytes",
        "gauge",
        "Up to which byte a log was read.",
        &samples(&|log| log.offset.map(to_float)),
    );
    page.family(
        "log_lag_bytes",
        "gauge",
        "Bytes of a log that wait to be read.",
        &samples(&|log| log.lag.map(to_float)),
    );
    page.family(
        "log_trouble",
        "gauge",
        "Whether a log cannot be read.",
        &samples(&|log| Some(flag(log.trouble.is_some()))),
    );
}

fn processes(page: &mut MetricsPage, processes: &[ProcessFacts]) {
    let samples = |value: &dyn Fn(&ProcessFacts) -> Option<f64>| -> Vec<_> {
        let label = |process: &ProcessFacts| labels(&[("source", &process.source), ("container", &process.container)]);
        processes.iter().filter_map(|process| Some((label(process), value(process)?))).collect()
    };
    let is_fine = |process: &ProcessFacts| Some(flag(process.is_fine()));
    page.family(
        "process_fine",
        "gauge",
        "Whether a watched process runs and its PID file is in order.",
        &samples(&is_fine),
    );
    page.family(
        "process_restarts_24h",
        "gauge",
        "How often a watched process was started anew in the last 24 hours.",
        &samples(&|process| Some(to_float(process.restarts))),
    );
    let started = |process: &ProcessFacts| Some(to_float((process.started?.as_nanos() / 1_000_000_000).unsigned_abs()));
    page.family("process_start_timestamp_seconds", "gauge", "When a watched process was started.", &samples(&started));
}

fn queue(page: &mut MetricsPage, facts: &Facts) {
    let queue = &facts.queue;
    let samples: Vec<_> =
        [("waiting", queue.queued.saturating_sub(queue.refused)), ("refused", queue.refused), ("parked", queue.parked)]
            .into_iter()
            .map(|(state, count)| (labels(&[("state", state)]), to_float(count)))
            .collect();
    page.family("queue_deliveries", "gauge", "Deliveries that no server has accepted.", &samples);
    let oldest = queue.oldest.map(|at| facts.age(at).as_secs_f64().floor());
    page.gauge("queue_oldest_seconds", "Age of the oldest report in the queue.", oldest);
    page.counter("sent_total", "Deliveries that a server has accepted.", queue.sent);
    let last = queue.last_sent.map(|at| to_float((at.as_nanos() / 1_000_000_000).unsigned_abs()));
    page.gauge("last_sent_timestamp_seconds", "When the last one was accepted.", last);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::health::{diagnose::diagnose, facts::sample::facts};

    #[test]
    fn label_values_are_escaped_by_the_rules_of_the_format() {
        assert_eq!(labels(&[("area", "/a\"b\\c\nd"), ("state", "x")]), r#"{area="/a\"b\\c\nd",state="x"}"#);
    }

    #[test]
    fn every_family_is_announced_once_and_what_is_unknown_is_left_out() {
        let mut facts = facts();
        facts.daemon.is_running = None;
        facts.areas[1].oldest = None;
        let page = page(&facts, &diagnose(&facts));
        let mut families: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let count = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), count);
        assert!(!page.contains("daemon_running ") && !page.contains("oldest_check_seconds{area=\"/usr\"}"), "{page}");
        assert!(page.contains("integrityd_area_entries{area=\"/usr\"} 134750\n"), "{page}");
        assert!(page.contains("integrityd_area_oldest_check_seconds{area=\"/etc\"} 32400\n"), "{page}");
        assert!(
            page.ends_with('\n') && page.lines().all(|line| line.starts_with("integrityd_") || line.starts_with("# "))
        );
    }
}
