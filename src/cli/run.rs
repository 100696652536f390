//! `run`: the daemon in the foreground.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::terminal::{
        exit::Exit,
        output::{number, talk},
    },
    config::{self, settings::config::Config},
    daemon::{
        Daemon,
        config_trust::check_sources,
        open_store::Opening,
        sandbox_policy::put_up_if_possible,
        signals::{Orders, outlive_large_files},
    },
    export::syslog_line,
    logs::group::own_output::OwnLines,
    model::{
        clock::Clock,
        escape::{escape, escape_name},
    },
    report::transport::Printer,
    store::{db::Db, sqlite::connection::Store},
    sys::{host, panic::log_panics, rlimit::raise_open_files},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Do everything once at full speed, send everything pending and end, as a cron job would.
    #[arg(long)]
    once: bool,

    /// Keep all rights of its user, and start no helper process: without Landlock.
    #[arg(long)]
    no_sandbox: bool,
}

pub(super) fn run(path: &Path, arguments: &Arguments, program: String) -> anyhow::Result<Exit> {
    let own_lines = begin_to_log(if arguments.once { "warn" } else { "info" });
    raise_open_files();
    let config = config::load(path)?;
    check_sources(&config)?;
    // Before there is any other thread: it would stay free.
    if !arguments.no_sandbox {
        put_up_if_possible(&config);
    }
    let runtime = runtime()?;
    let entered = runtime.enter();
    // Before the database is opened, which may be larger than a file may be; and a stop while it is opened is an orderly one too.
    outlive_large_files();
    let orders = (!arguments.once).then(Orders::from_signals).transpose().context("signals cannot be handled")?;
    drop(entered);
    let root = Path::new("/");
    let clock = Clock::System(host::boot_id(root));
    let shown = |path: &Path| escape_name(path.as_os_str().as_encoded_bytes());
    let areas: Vec<String> = config.areas.iter().map(|area| shown(&area.path)).collect();
    let database = shown(&config.database);
    let watching = || {
        tracing::info!(config = %shown(path), database = %database, areas = %areas.join(" "), "watching");
    };
    let Some(mut orders) = orders else {
        let daemon = prepare(config, Some(path), clock, program, own_lines)?;
        watching();
        return once(daemon, &runtime);
    };
    let (host, printer) = (host::host_name(root), printer());
    let opening = Opening { config: &config, clock: &clock, host: &host, program: &program, printer: &printer };
    let Some(db) = runtime.block_on(opening.open(&mut orders))? else { return Ok(Exit::Fine) };
    watching();
    db.lock().set_teller(syslog_line::tell);
    let mut daemon = over(db, config, Some(path), clock, program);
    daemon.own_lines = own_lines;
    runtime.block_on(daemon.run(orders))?;
    Ok(Exit::Fine)
}

fn once(mut daemon: Daemon, runtime: &Runtime) -> anyhow::Result<Exit> {
    let left = runtime.block_on(daemon.run_once())?;
    if left.queued == 0 {
        return Ok(Exit::Fine);
    }
    let reply = left.last_failure.unwrap_or_default();
    let kept = match left.queued {
        1 => "1 delivery was not accepted and is kept".to_owned(),
        more => format!("{} deliveries were not accepted and are kept", number(more)),
    };
    let reply = escape(reply.as_bytes());
    talk(&format!(
        "integrityd: {kept} for the next run; the last answer: {reply}\n`integrityd mail test` tries the way of the mails"
    ));
    Ok(Exit::TryAgain)
}

/// A daemon over an opened store, printing to the standard output where that is the way of its mails.
pub(super) fn prepare(
    config: Config,
    source: Option<&Path>,
    clock: Clock,
    program: String,
    own_lines: Arc<OwnLines>,
) -> anyhow::Result<Daemon> {
    let db = Db::new(Store::open(&config.database, clock.now())?);
    let mut daemon = over(db, config, source, clock, program);
    daemon.own_lines = own_lines;
    Ok(daemon)
}

fn printer() -> Printer {
    Printer(Arc::new(Mutex::new(io::stdout())))
}

/// A daemon over this database, that knows nothing yet of what this process writes.
fn over(db: Db, config: Config, source: Option<&Path>, clock: Clock, program: String) -> Daemon {
    Daemon {
        config,
        source: source.map(Path::to_path_buf),
        db,
        clock,
        host: host::host_name(Path::new("/")),
        chance: StdRng::from_rng(&mut rand::rng()),
        printer: printer(),
        transport: None,
        program,
        own_lines: Arc::default(),
        unstored: Arc::default(),
    }
}

/// One thread for all tasks and a few for short blocking jobs.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_mins(1))
        .build()
        .context("the runtime cannot be started")
}

/// Logs to the standard error from `level` on; `INTEGRITYD_LOG` says otherwise. What is written is remembered, to be known again where
/// it ends up in a log that is watched.
pub(super) fn begin_to_log(level: &str) -> Arc<OwnLines> {
    let filter = EnvFilter::try_from_env("INTEGRITYD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let own_lines = Arc::new(OwnLines::default());
    let written = Arc::clone(&own_lines);
    let begun = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Tee(Arc::clone(&written)))
        .with_target(false)
        .with_ansi(false)
        .try_init();
    // A second call in one process, as in tests, keeps the first.
    if begun.is_ok() {
        log_panics();
    }
    own_lines
}

/// The standard error, with a memory. The subscriber writes each event with one call.
struct Tee(Arc<OwnLines>);

impl io::Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Remembered first: it may be read back before the call has returned.
        self.0.wrote(bytes);
        // A log that is full or closed ends nothing: the subscriber would tell of a failure on this very standard error, and a
        // panic would be all that comes of it.
        drop(io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        drop(io::stderr().flush());
        Ok(())
    }
}
