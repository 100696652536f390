//! `status`: how things stand, for people and for three kinds of machines.

pub(super) mod column;
mod level;
pub(super) mod nagios;
mod prometheus;
pub(super) mod screen;
mod screen_processes;
pub(super) mod service;

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        context::CliContext,
        status::{column::TableStyle, level::StatusLevel, screen::screen},
        terminal::{
            exit::{Exit, usage, words},
            output::{Out, talk},
        },
    },
    config::{self, LoadError, schema::units::parse_span, settings::config::Config},
    model::{
        clock::Clock,
        escape::{escape_name, hex},
        health::{Health, Weight},
    },
    store::{
        health::{
            diagnose::diagnose,
            fact_logs::LogFacts,
            fact_processes::ProcessFacts,
            facts::{AreaFacts, FactTerms, Facts},
        },
        sqlite::connection::Store,
    },
    sys::host,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    form: StatusForm,

    /// Where cron starts `run --once` and no daemon runs: how long ago the last run may have ended (26h).
    #[arg(long, value_name = "TIME")]
    run_within: Option<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct StatusForm {
    /// One JSON object.
    #[arg(long)]
    json: bool,

    /// One line with performance data, as Nagios, Icinga and their kin read it.
    #[arg(long)]
    nagios: bool,

    /// Metrics in Prometheus' text format.
    #[arg(long)]
    prometheus: bool,
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let run_within = arguments
        .run_within
        .as_deref()
        .map(|text| parse_span(text).or(Err(usage(format!("--run-within {text:?} is no time: say 26h or 2d")))))
        .transpose()?;
    let arguments = &arguments.form;
    let mut facts = match read(source) {
        Ok(facts) => facts,
        Err(error) => return unknown(&words(&error), arguments, out),
    };
    facts.daemon.run_within = run_within;
    let health = diagnose(&facts);
    if arguments.json {
        out.line(&json(&facts, &health).to_string())?;
    } else if arguments.nagios {
        out.line(&nagios::line(&facts, &health))?;
    } else if arguments.prometheus {
        out.text(&prometheus::page(&facts, &health))?;
    } else {
        out.text(&screen(&facts, &health, TableStyle::of_stdout()))?;
    }
    Ok(match StatusLevel::of(&health) {
        StatusLevel::Fine => Exit::Fine,
        StatusLevel::Warning => Exit::Findings,
        StatusLevel::Critical => Exit::Critical,
    })
}

/// Says why nothing can be told, in the form that was asked for; a machine must not take silence for a good sign.
fn unknown(why: &str, arguments: &StatusForm, out: &mut Out) -> anyhow::Result<Exit> {
    let why = why.strip_prefix("integrityd: ").unwrap_or(why);
    if arguments.json {
        out.line(&json!({ "verdict": "UNKNOWN", "why": why }).to_string())?;
    } else if arguments.nagios {
        out.line(&nagios::unknown(why))?;
    } else if arguments.prometheus {
        out.text(&prometheus::unknown())?;
    }
    talk(&format!("integrityd: {why}"));
    Ok(Exit::Unknown)
}

fn read(source: &CliContext) -> anyhow::Result<Facts> {
    let (store, config, remarks) = open(source)?;
    let now = Clock::System(host::boot_id(Path::new("/"))).now();
    let terms = config.as_ref().map(FactTerms::of).unwrap_or_default();
    let mut facts = Facts::read(&store, &terms, now)?;
    facts.remarks = remarks;
    facts.daemon.start = service::command(Path::new("/"));
    Ok(facts)
}

/// The store, with the configuration when it can be used; a faulty one is said and the usual database asked all the same.
fn open(source: &CliContext) -> anyhow::Result<(Store, Option<Config>, Vec<String>)> {
    let error = match (config::load(&source.config), &source.database) {
        (Ok(config), Some(path)) => {
            let config = (config.database == *path).then_some(config);
            return Ok((Store::open_read_only(path)?, config, Vec::new()));
        }
        (Ok(config), None) => return Ok((Store::open_read_only(&config.database)?, Some(config), Vec::new())),
        (Err(error), _) => error,
    };
    let usual = config::default_database();
    let path = source.database.as_ref().unwrap_or(&usual);
    if source.database.is_none() && !path.exists() {
        return Err(error.into());
    }
    let shown = escape_name(path.as_os_str().as_encoded_bytes());
    let remark = format!("{}: what was promised is not known; this is {shown}", unusable(&error));
    Ok((Store::open_read_only(path)?, None, vec![remark]))
}

/// Why a configuration is not used, in one line.
fn unusable(error: &LoadError) -> String {
    match error {
        LoadError::Unreadable { path, source, .. } => {
            format!("{} cannot be read ({source})", escape_name(path.as_os_str().as_encoded_bytes()))
        }
        LoadError::Faults(faults) => match faults.0.len() {
            1 => "the configuration has 1 fault (integrityd config check shows it)".to_owned(),
            count => format!("the configuration has {count} faults (integrityd config check lists them)"),
        },
    }
}

fn json(facts: &Facts, health: &Health) -> Value {
    let age = |at| facts.age(at).as_secs();
    let queue = &facts.queue;
    json!({
        "verdict": StatusLevel::of(health).word(),
        "running": facts.daemon.is_running,
        "running_seconds": facts.daemon.running_for.map(|span| span.as_secs()),
        "database": { "path": facts.database, "bytes": facts.database_size },
        "areas": facts.areas.iter().map(area_json).collect::<Vec<_>>(),
        "logs": facts.logs.iter().map(|log| log_json(log, facts)).collect::<Vec<_>>(),
        "processes": facts.processes.iter().map(|process| process_json(process, facts)).collect::<Vec<_>>(),
        "looks": facts.counters.looks,
        "bytes": facts.counters.bytes,
        "looks_per_second": facts.pace.map(|pace| pace.usual),
        "allowed_looks_per_second": facts.pace.map(|pace| pace.allowed),
        "queue": {
            "waiting": queue.queued,
            "refused": queue.refused,
            "barred": queue.barred,
            "parked": queue.parked,
            "sent": queue.sent,
            "oldest_seconds": queue.oldest.map(age),
            "last_sent_seconds": queue.last_sent.map(age),
            "last_answer": queue.last_failure,
            "unreported_events": queue.unreported,
        },
        "chain": { "seq": facts.head.seq, "head": hex(&facts.head.hash) },
        "troubles": health.of(Weight::Critical),
        "warnings": health.of(Weight::Warning),
        "notes": health.of(Weight::Note),
        "remarks": facts.remarks,
    })
}

fn log_json(log: &LogFacts, facts: &Facts) -> Value {
    json!({
        "path": log.path,
        "rules": log.rules,
        "offset": log.offset,
        "lag": log.lag,
        "trouble": log.trouble.map(|(word, _)| word),
        "trouble_seconds": log.trouble.map(|(_, since)| facts.age(since).as_secs()),
    })
}

fn process_json(process: &ProcessFacts, facts: &Facts) -> Value {
    let is_unit = !process.source.starts_with('/');
    json!({
        "pidfile": (!is_unit).then_some(&process.source),
        "unit": is_unit.then_some(&process.source),
        "container": (!process.container.is_empty()).then_some(&process.container),
        "name": (!process.name.is_empty()).then_some(&process.name),
        "pid": process.pid,
        "running_seconds": process.started.map(|at| facts.age(at).as_secs()),
        "state": process.liveness.word(),
        "pidfile_state": process.fault_word().unwrap_or("fine"),
        "state_seconds": facts.age(process.since).as_secs(),
        "restarts_24h": process.restarts,
    })
}

fn area_json(area: &AreaFacts) -> Value {
    let seconds = |age: Option<std::time::Duration>| age.map(|age| age.as_secs());
    json!({
        "path": area.path,
        "state": area.state.word(),
        "entries": area.entries,
        "unreadable": area.unreadable,
        "rounds": area.rounds,
        "expected_entries": area.first_round.map(|(expected, _)| expected),
        "first_round_left_seconds": seconds(area.first_round_left()),
        "oldest_check_seconds": seconds(area.oldest),
        "p95_check_seconds": seconds(area.most),
        "p50_check_seconds": seconds(area.median),
        "in_time": area.in_time,
        "in_time_seconds": area.within().as_secs(),
        "max_age_seconds": seconds(area.max_age),
        "needed_looks_per_second": area.needed(),
    })
}
