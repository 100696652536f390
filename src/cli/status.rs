//! `status`: how things stand, for people and for three kinds of machines.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{
    Exit, Source,
    exit::{usage, words},
    judge::{Level, Verdict, judge},
    nagios,
    out::{Out, talk},
    prometheus,
    screen::{Look, screen},
    standing::{Area, Standing},
    standing_logs::Log,
    standing_processes::Process,
};
use crate::{
    config::{self, LoadError, settings::Config, units::parse_span},
    model::{
        clock::Clock,
        escape::{escape_name, hex},
    },
    store::database::Store,
    sys::proc,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    form: Form,

    /// Where cron starts `run --once` and no daemon runs: how long ago the last run may have ended (26h).
    #[arg(long, value_name = "TIME")]
    run_within: Option<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Form {
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

pub(super) fn run(source: &Source, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let run_within = arguments
        .run_within
        .as_deref()
        .map(|text| parse_span(text).or(Err(usage(format!("--run-within {text:?} is no time: say 26h or 2d")))))
        .transpose()?;
    let arguments = &arguments.form;
    let mut standing = match read(source) {
        Ok(standing) => standing,
        Err(error) => return unknown(&words(&error), arguments, out),
    };
    standing.daemon.run_within = run_within;
    let verdict = judge(&standing);
    if arguments.json {
        out.line(&json(&standing, &verdict).to_string())?;
    } else if arguments.nagios {
        out.line(&nagios::line(&standing, &verdict))?;
    } else if arguments.prometheus {
        out.text(&prometheus::page(&standing, &verdict))?;
    } else {
        out.text(&screen(&standing, &verdict, Look::of_stdout()))?;
    }
    Ok(match verdict.level() {
        Level::Fine => Exit::Fine,
        Level::Warning => Exit::Findings,
        Level::Critical => Exit::Critical,
    })
}

/// Says why nothing can be told, in the form that was asked for; a machine must not take silence for a good sign.
fn unknown(why: &str, arguments: &Form, out: &mut Out) -> anyhow::Result<Exit> {
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

fn read(source: &Source) -> anyhow::Result<Standing> {
    let (store, config, mut remarks) = open(source)?;
    remarks.extend(refused(&store)?);
    let now = Clock::System(proc::boot_id(Path::new("/"))).now();
    Ok(Standing::read(&store, config.as_ref(), remarks, now)?)
}

/// The system calls that the daemon is refused, in one line.
fn refused(store: &Store) -> anyhow::Result<Option<String>> {
    let calls: Vec<String> = store.refused_calls()?.into_iter().map(|(call, _)| call).collect();
    let calls = (!calls.is_empty()).then(|| calls.join(", "));
    Ok(calls.map(|calls| format!("the daemon may not use {calls}: integrityd doctor says what is lost")))
}

/// The store, with the configuration when it can be used; a faulty one is said and the usual database asked all the same.
fn open(source: &Source) -> anyhow::Result<(Store, Option<Config>, Vec<String>)> {
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

fn json(standing: &Standing, verdict: &Verdict) -> Value {
    let age = |at| standing.age(at).as_secs();
    let queue = &standing.queue;
    json!({
        "verdict": verdict.level().word(),
        "running": standing.daemon.is_running,
        "running_seconds": standing.daemon.running_for.map(|span| span.as_secs()),
        "database": { "path": standing.database, "bytes": standing.database_size },
        "areas": standing.areas.iter().map(area_json).collect::<Vec<_>>(),
        "logs": standing.logs.iter().map(|log| log_json(log, standing)).collect::<Vec<_>>(),
        "processes": standing.processes.iter().map(|process| process_json(process, standing)).collect::<Vec<_>>(),
        "looks": standing.counters.looks,
        "bytes": standing.counters.bytes,
        "looks_per_second": standing.pace.map(|pace| pace.usual),
        "allowed_looks_per_second": standing.pace.map(|pace| pace.allowed),
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
        "chain": { "seq": standing.head.seq, "head": hex(&standing.head.hash) },
        "troubles": verdict.of(Level::Critical),
        "warnings": verdict.of(Level::Warning),
        "remarks": standing.remarks,
    })
}

fn log_json(log: &Log, standing: &Standing) -> Value {
    json!({
        "path": log.path,
        "rules": log.rules,
        "offset": log.offset,
        "lag": log.lag,
        "trouble": log.trouble.map(|(word, _)| word),
        "trouble_seconds": log.trouble.map(|(_, since)| standing.age(since).as_secs()),
    })
}

fn process_json(process: &Process, standing: &Standing) -> Value {
    let is_unit = !process.source.starts_with('/');
    json!({
        "pidfile": (!is_unit).then_some(&process.source),
        "unit": is_unit.then_some(&process.source),
        "container": (!process.container.is_empty()).then_some(&process.container),
        "name": (!process.name.is_empty()).then_some(&process.name),
        "pid": process.pid,
        "running_seconds": process.started.map(|at| standing.age(at).as_secs()),
        "state": process.liveness.word(),
        "pidfile_state": process.fault_word().unwrap_or("fine"),
        "state_seconds": standing.age(process.since).as_secs(),
        "restarts_24h": process.restarts,
    })
}

fn area_json(area: &Area) -> Value {
    let seconds = |age: Option<std::time::Duration>| age.map(|age| age.as_secs());
    json!({
        "path": area.path,
        "state": area.state.word(),
        "entries": area.entries,
        "rounds": area.rounds,
        "oldest_check_seconds": seconds(area.oldest),
        "p95_check_seconds": seconds(area.most),
        "p50_check_seconds": seconds(area.median),
        "in_time": area.in_time,
        "in_time_seconds": area.within().as_secs(),
        "max_age_seconds": seconds(area.max_age),
        "needed_looks_per_second": area.needed(),
    })
}
