//! `try`: the daemon on embedded settings, with its mails on the terminal.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::sync::mpsc;

use crate::{
    cli::{
        context::quoted,
        run::{begin_to_log, prepare, runtime},
        terminal::{
            exit::{Exit, usage},
            output::{number, talk},
        },
    },
    config::{
        schema::units::{parse_span, to_float},
        settings::{
            config::{Area, Config, LogGroup, MailWay, Pooling, RuleDirectory, RuleLevel},
            exclude::Excludes,
        },
    },
    daemon::{
        Daemon,
        signals::{Orders, SignalOrder},
    },
    files::area::{census::count, watched_areas::WatchedAreas},
    model::{
        clock::Clock,
        escape::escape_name,
        event::{Category, Kind},
        file::entry::AreaId,
    },
    store::{db::Db, events::append::Filter, open::own_files, sqlite::error::StoreError},
    sys::{
        fs::ownership::{make_private_directory, may_execute, may_read, may_write},
        host,
    },
};

/// Directories that only a build or a version control system cares for.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Where systems keep their logs.
const LOGS: [&str; 7] = [
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/auth.log",
    "/var/log/secure",
    "/var/log/daemon.log",
    "/var/log/kern.log",
    "/var/log/mail.log",
];

/// Where the journal lies; it is read when there is none of [`LOGS`].
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Where logcheck keeps its rules.
const RULES: &str = "/etc/logcheck";

/// How often logs are read.
const LOG_TIME: Duration = Duration::from_secs(1);

/// How long a round over everything may take, about.
const ROUND: f64 = 2.0;

/// Looks per second, at least and at most.
const RATES: (f64, f64) = (300.0, 10_000.0);

/// How often it is looked whether the baseline stands.
const GLANCE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to watch [default: the current directory and /etc].
    directories: Vec<PathBuf>,

    /// Read this log, by the rules in /etc/logcheck where there are any [default: the logs of the system that can be read].
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,

    /// End after this time (30s, 5m) instead of on Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let own_lines = begin_to_log("warn");
    let duration = arguments
        .duration
        .as_deref()
        .map(|text| parse_span(text).or(Err(usage(format!("--for {text:?} is no time: say 30s or 5m")))))
        .transpose()?;
    let here = std::env::current_dir().unwrap_or_default();
    let directories = directories(&arguments.directories)?;
    let database = state_directory()?.join("integrityd.sqlite");
    make_place(&database)?;
    start_afresh(&database)?;
    let areas = directories.iter().map(|directory| area(directory)).collect::<anyhow::Result<_>>()?;
    let config = Config { logs: logs(&arguments.logs)?, ..settings(areas, database) };
    let left_out = left_out(&config);
    let clock = Clock::System(host::boot_id(Path::new("/")));
    let config = with_rates(config);
    announce(&config, &left_out);
    let commands = format!("{} --database {}", own_name(), quoted(&config.database));
    let daemon = prepare(config, None, clock, commands, own_lines)?;
    let example = directories.iter().find(|directory| directory.starts_with(&here)).or(directories.first());
    let example = example.filter(|directory| directory.is_dir()).map(|directory| directory.join("integrityd-was-here"));
    runtime()?.block_on(watch(daemon, duration, example))
}

/// The directories to watch, resolved, none within another.
fn directories(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let wanted = if named.is_empty() {
        vec![std::env::current_dir().context("the current directory cannot be found")?, PathBuf::from("/etc")]
    } else {
        named.to_vec()
    };
    let mut resolved = BTreeSet::new();
    for directory in &wanted {
        let real = fs::canonicalize(directory).map_err(|error| {
            usage(format!("{} cannot be watched: {error}", escape_name(directory.as_os_str().as_bytes())))
        })?;
        resolved.insert(real);
    }
    let all: Vec<PathBuf> = resolved.into_iter().collect();
    Ok(all
        .iter()
        .filter(|directory| !all.iter().any(|other| other != *directory && directory.starts_with(other)))
        .cloned()
        .collect())
}

/// `$XDG_STATE_HOME/integrityd/try`, or what stands for it.
fn state_directory() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    match state {
        Some(state) => Ok(state.join("integrityd/try")),
        None => {
            Err(usage("there is no place for the state: set HOME or XDG_STATE_HOME to an absolute path".to_owned()))
        }
    }
}

/// Makes the directory of the database, in which somebody without a home has nothing to write.
fn make_place(database: &Path) -> anyhow::Result<()> {
    let Some(directory) = database.parent() else { return Ok(()) };
    let made = make_private_directory(directory);
    let refusal = match made {
        Ok(()) if may_write(directory) => return Ok(()),
        Ok(()) => "it may not be written".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(usage(format!(
        "the state cannot be kept in {}: {refusal}\nset XDG_STATE_HOME to a directory that this user may write",
        escape_name(directory.as_os_str().as_bytes())
    )))
}

/// The program as it is typed here: by its path where its name alone leads nowhere, or to another one.
fn own_name() -> String {
    let Some(typed) = std::env::args_os().next().map(PathBuf::from) else { return "integrityd".to_owned() };
    let places = std::env::var_os("PATH").unwrap_or_default();
    name_of(&typed, &std::env::split_paths(&places).collect::<Vec<_>>())
}

fn name_of(typed: &Path, places: &[PathBuf]) -> String {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let found = places.iter().map(|place| place.join("integrityd")).find(|path| may_execute(path));
    let is_found_by_name = found.is_some_and(|found| real(&found) == real(typed));
    // What was typed without a slash was found by its name.
    let is_path = typed.as_os_str().as_bytes().contains(&b'/');
    if is_path && !is_found_by_name { quoted(typed) } else { "integrityd".to_owned() }
}

/// Removes the database of an earlier try, unless one is running.
fn start_afresh(database: &Path) -> anyhow::Result<()> {
    let files = own_files(database);
    let is_running = files.iter().any(|file| host::is_locked(Path::new("/"), file) == Some(true));
    if is_running {
        return Err(StoreError::Running { path: database.to_path_buf() })
            .context("another try is running: end it first, or set XDG_STATE_HOME to a directory of its own");
    }
    for file in files {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("the state of an earlier try cannot be removed: {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn area(directory: &Path) -> anyhow::Result<Area> {
    let text = directory.to_str().map(globset::escape);
    let patterns: Vec<PathBuf> = match text {
        Some(text) => LEFT_OUT.iter().map(|name| PathBuf::from(format!("{text}/**/{name}"))).collect(),
        None => LEFT_OUT.iter().map(|name| directory.join(name)).collect(),
    };
    Ok(Area { excludes: Excludes::new(&patterns)?, ..Area::new(directory.to_path_buf()) })
}

fn settings(areas: Vec<Area>, database: PathBuf) -> Config {
    let mut config = Config::embedded(areas, database);
    let pooling = Pooling { report_time: Duration::from_secs(2), hold_off: Duration::from_secs(3) };
    config.report.files = pooling;
    config.report.logs = pooling;
    config.report.urgent_hold_off = pooling.hold_off;
    config.mail.way = MailWay::Stdout;
    config.logcheck.check_time = LOG_TIME;
    config.rates.bytes = 256.0 * 1024.0 * 1024.0;
    // Somebody waits for what it shows.
    config.rates.pressure = 0;
    config
}

/// A log that was named, which has to be there: nobody waits for it here.
fn log(path: &Path) -> anyhow::Result<PathBuf> {
    fs::metadata(path)
        .and_then(|_found| std::path::absolute(path))
        .map_err(|error| usage(format!("{} cannot be read: {error}", escape_name(path.as_os_str().as_bytes()))))
}

/// The logs to read, as one group.
fn logs(named: &[PathBuf]) -> anyhow::Result<Vec<LogGroup>> {
    let files = if named.is_empty() {
        LOGS.iter().map(PathBuf::from).filter(|path| path.is_file() && may_read(path)).collect()
    } else {
        named.iter().map(|path| log(path)).collect::<anyhow::Result<Vec<_>>>()?
    };
    let rules = Path::new(RULES);
    let has_rules = rules.is_dir() && may_read(rules);
    let rules =
        if has_rules { vec![RuleDirectory { level: RuleLevel::Server, path: rules.into() }] } else { Vec::new() };
    let is_journal = |entry: &walkdir::DirEntry| {
        entry.path().extension().is_some_and(|extension| extension == "journal") && may_read(entry.path())
    };
    let files_of = |place: &&str| walkdir::WalkDir::new(place).max_depth(2).into_iter().filter_map(Result::ok);
    let has_journal = || JOURNALS.iter().flat_map(files_of).any(|entry| is_journal(&entry));
    let journal = named.is_empty() && files.is_empty() && has_journal();
    let group = LogGroup { rules, files, transient: Vec::new(), journal, old_directories: Vec::new() };
    Ok(if group.files.is_empty() && !journal { Vec::new() } else { vec![group] })
}

/// What of [`LEFT_OUT`] lies at the top of the watched directories.
fn left_out(config: &Config) -> Vec<PathBuf> {
    config
        .areas
        .iter()
        .flat_map(|area| LEFT_OUT.iter().map(|name| area.path.join(name)))
        .filter(|path| path.exists())
        .collect()
}

/// Chooses the rate so that a round takes about [`ROUND`], however large the directories are.
fn with_rates(mut config: Config) -> Config {
    let ids: Vec<AreaId> = (1..).map(AreaId).take(config.areas.len()).collect();
    let areas = WatchedAreas::new(&config, &ids);
    areas.survey();
    let census = count(&areas, &ids);
    let entries = to_float(u64::try_from(census.entries).unwrap_or(u64::MAX));
    config.rates.files = (entries / ROUND).clamp(RATES.0, RATES.1);
    config
}

fn announce(config: &Config, left_out: &[PathBuf]) {
    let shown = |path: &Path| escape_name(path.as_os_str().as_bytes());
    let watched: Vec<String> = config.areas.iter().map(|area| shown(&area.path)).collect();
    talk(&format!("integrityd try: watching {}", watched.join(" and ")));
    for group in &config.logs {
        let journal = group.journal.then(|| "the journal".to_owned());
        let names: Vec<String> = group.files.iter().map(|path| shown(path)).chain(journal).collect();
        let by = if group.rules.is_empty() && Path::new(RULES).exists() {
            "without rules, for this user may not read /etc/logcheck (its group is logcheck): every new line is told"
        } else if group.rules.is_empty() {
            "without rules: every new line is told"
        } else {
            "by the rules in /etc/logcheck"
        };
        talk(&format!("                reading {}, {by}", names.join(", ")));
    }
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(|path| shown(path)).collect();
        talk(&format!("                left out: {}", names.join(", ")));
    }
    let directory = config.database.parent().unwrap_or(Path::new("/"));
    talk(&format!("                state (made anew each time): {}", shown(directory)));
}

/// Runs the daemon until the time is over or somebody interrupts, then prints what still waits.
async fn watch(mut daemon: Daemon, duration: Option<Duration>, example: Option<PathBuf>) -> anyhow::Result<Exit> {
    let (order, orders) = mpsc::channel(1);
    let db = daemon.db.clone();
    let mut signals = Orders::from_signals().context("signals cannot be handled")?;
    let begun = tokio::time::Instant::now();
    let is_time = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let conduct = async {
        let announced = say_when_it_stands(&db, example.as_deref(), duration, begun);
        let never = async { tokio::join!(announced, std::future::pending::<()>()) };
        tokio::select! {
            _ = never => {}
            () = is_time => {}
            () = until_stopped(&mut signals) => {}
        }
        if order.send(SignalOrder::Stop).await.is_err() {
            tracing::debug!("the daemon has gone already");
        }
        std::future::pending::<()>().await;
    };
    // Whatever the conductor waits for, the end of the daemon is the end.
    let ended = tokio::select! {
        ended = daemon.run(Orders::Channel(orders)) => ended,
        () = conduct => Ok(()),
    };
    ended?;
    daemon.send_pending().await?;
    Ok(Exit::Fine)
}

async fn until_stopped(signals: &mut Orders) {
    // Whoever hangs up wants it to end, too.
    signals.next().await;
}

async fn say_when_it_stands(db: &Db, example: Option<&Path>, duration: Option<Duration>, begun: tokio::time::Instant) {
    let filter = Filter { kind: Some(Kind::Own), limit: 100, ..Filter::default() };
    loop {
        let filter = filter.clone();
        let found = db.call(move |store| store.history(&filter)).await.unwrap_or_default();
        let established = found.iter().find(|stored| stored.event.category == Category::BaselineEstablished);
        if let Some(stored) = established {
            let entries = match stored.event.count {
                1 => "1 entry".to_owned(),
                count => format!("{} entries", number(count)),
            };
            talk(&format!("baseline stands after {:.1} s: {entries}.", begun.elapsed().as_secs_f64()));
            if let Ok(coverage) = db.call(|store| store.coverage()).await
                && coverage.unreadable > 0
            {
                talk(&format!(
                    "{} of them cannot be read by this user; nothing below such a directory is watched.",
                    number(coverage.unreadable)
                ));
            }
            if let Some(example) = example {
                talk("Now change something and wait a few seconds, for example:");
                talk(&format!("    echo hello > {}", escape_name(example.as_os_str().as_bytes())));
            }
            talk(match duration {
                Some(_) => "It ends by itself, or with Ctrl-C.\n",
                None => "Ctrl-C ends.\n",
            });
            return;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_program_is_named_as_it_can_be_typed() {
        let tree = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let place = tree.path().join(name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("integrityd"), "").unwrap();
            fs::set_permissions(place.join("integrityd"), fs::Permissions::from_mode(0o755)).unwrap();
            place
        };
        let (installed, built, spaced) = (put("sbin"), put("release"), put("a b"));
        let places = [tree.path().join("nothing"), installed.clone()];
        assert_eq!(name_of(Path::new("integrityd"), &places), "integrityd");
        assert_eq!(name_of(&installed.join("integrityd"), &places), "integrityd");
        let path = built.join("integrityd");
        assert_eq!(name_of(&path, &places), path.to_str().unwrap());
        assert_eq!(name_of(&path, &[]), path.to_str().unwrap());
        let path = spaced.join("integrityd");
        assert_eq!(name_of(&path, &[]), format!("'{}'", path.display()));
    }
}
