//! `import`: the settings of fcheck and logcheck as a configuration, and the way there and back.

mod config_text;
mod cron;
mod fcheck;
mod hand_back;
mod logcheck;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::{
    cli::{
        context::CliContext,
        doctor::areas,
        import::config_text::ConfigText,
        logcheck::options::{read_text, shown},
        terminal::{
            exit::{Exit, TryLater},
            output::{Out, number, size, talk},
        },
    },
    config::{
        self,
        foreign::fcheck::{Fcheck, Word},
        read::include::Files,
        schema::units::format_span,
        settings::config::Config,
    },
    files::baseline::adopt_fcheck,
    logs::{
        logcheck::{conf::Conf, log_list::entries_of},
        pattern::ast::Locale,
    },
    model::format::rate,
    store::events::{max_age_rate::Demand, path_status::Workload},
    sys::host,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print a configuration that does what an fcheck.cfg says.
    Fcheck(FcheckArguments),
    /// Print a configuration that does what a logcheck.conf and the lists of logs beside it say; nothing of it is run.
    Logcheck(LogcheckArguments),
}

#[derive(Debug, Args)]
pub(super) struct FcheckArguments {
    /// fcheck's configuration.
    #[arg(default_value = "/etc/fcheck/fcheck.cfg")]
    path: PathBuf,
    #[command(flatten)]
    cron: CronArguments,
    /// Switch the lines on again that --disable-cron has switched off; nothing is printed. The daemon must have been stopped.
    #[arg(long, conflicts_with = "disable_cron")]
    hand_back: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogcheckArguments {
    /// logcheck's configuration.
    #[arg(default_value = "/etc/logcheck/logcheck.conf")]
    path: PathBuf,
    #[command(flatten)]
    cron: CronArguments,
    /// Have logcheck read on where integrityd's reports end, and switch its lines in cron on again; nothing is printed. The daemon must
    /// have been stopped.
    #[arg(long, conflicts_with = "disable_cron")]
    hand_back: bool,
}

#[derive(Debug, Args)]
struct CronArguments {
    /// Switch off the lines of /etc/crontab and /etc/cron.d that run it; the configuration is printed all the same.
    #[arg(long)]
    disable_cron: bool,
    /// Look for cron's tables, /etc/aliases and the journal below this directory.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl CronArguments {
    /// Says what cron runs still, or switches it off.
    fn settle(&self, tables: &[cron::CronTable], name: &str) -> anyhow::Result<()> {
        if self.disable_cron {
            return cron::switch_all(tables, name, true);
        }
        cron::tell(tables, name);
        Ok(())
    }
}

pub(super) fn run(source: &CliContext, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::Fcheck(arguments) => fcheck(source, arguments, out),
        Command::Logcheck(arguments) => logcheck(source, arguments, out),
    }
}

fn fcheck(source: &CliContext, arguments: &FcheckArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let tables = cron::tables(&arguments.cron.root, "fcheck");
    if arguments.hand_back {
        hand_back::check(source)?;
        cron::switch_all(&tables, "fcheck", false)?;
        talk("fcheck compares with what it knew before: fcheck -cadsxf makes its baseline anew");
        return Ok(Exit::Fine);
    }
    let fcheck = Fcheck::read(&arguments.path, &Files::Disk)
        .with_context(|| format!("fcheck's configuration {} cannot be read", shown(&arguments.path)))?;
    let cron = tables.iter().flat_map(|table| table.jobs.iter().map(move |job| (table, job)));
    let cron = cron.map(|(table, job)| fcheck::cron(table.place(job), job.interval, &job.command)).next();
    let mut body = ConfigText::default();
    fcheck::write(&mut body, &fcheck, cron.as_ref(), &baseline(&fcheck), &look);
    let mut head = ConfigText::default();
    head.say(&format!("Made by `integrityd import fcheck` of {}.", shown(&arguments.path)));
    let body = body.into_bytes();
    match config::parse(&arguments.path, &body, &Files::Disk) {
        Ok(config) => tell_pace(&mut head, &config),
        Err(faults) => talk(&format!("this configuration has to be completed:\n{faults}")),
    }
    print(out, head, &body)?;
    arguments.cron.settle(&tables, "fcheck")?;
    Ok(Exit::Fine)
}

fn look(path: &Path) -> Option<fcheck::FcheckKind> {
    let found = fs::metadata(path).ok()?;
    Some(if found.is_dir() { fcheck::FcheckKind::Directory } else { fcheck::FcheckKind::Other })
}

/// The path of fcheck's database, when it can be taken over.
fn baseline(fcheck: &Fcheck) -> Result<PathBuf, String> {
    let line = fcheck.last(Word::ReadDatabase).filter(|_| fcheck.last(Word::WriteDatabase).is_some());
    let line = line.or_else(|| fcheck.last(Word::Database)).ok_or("no DataBase is named")?;
    let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&line.value));
    adopt_fcheck::assess(&path).map(|()| path)
}

/// Says what pace the promised ages need.
fn tell_pace(head: &mut ConfigText, config: &Config) {
    let Some(age) = config.areas.iter().find_map(|area| area.max_age) else { return };
    let (entries, bytes) = areas::census(config);
    let needed = Demand::of(Workload { entries, bytes }, age);
    head.say(&format!(
        "{} entries with {} within {}: that takes {} looks and {} KiB a second. The ceilings are {} and {}.",
        number(entries),
        size(bytes),
        format_span(age),
        rate(needed.looks),
        rate(needed.bytes / 1024.0),
        rate(config.rates.max_files),
        rate(config.rates.max_bytes / 1024.0),
    ));
    if needed.is_above(&config.rates) {
        head.say("That is more than the ceilings allow: raise them, or areamaxage. At the ceiling that would be:");
        head.raw(&format!("#maxfilerate = {}", needed.looks.max(config.rates.max_files).ceil()));
        head.raw(&format!("#maxbyterate = {}", needed.bytes.max(config.rates.max_bytes).ceil()));
    }
}

fn logcheck(source: &CliContext, arguments: &LogcheckArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let text = read_text(&arguments.path)
        .with_context(|| format!("logcheck's configuration {} cannot be read", shown(&arguments.path)))?;
    let (mut conf, faults) = Conf::read(&text, &arguments.path);
    lists_beside(&mut conf, &arguments.path);
    let tables = cron::tables(&arguments.cron.root, "logcheck");
    if arguments.hand_back {
        let done = hand_back::run(source, &conf);
        // Only a daemon that runs holds up the way back: without cron nobody would read the logs.
        if done.as_ref().is_err_and(anyhow::Error::is::<TryLater>) {
            return done.map(|()| Exit::Fine);
        }
        cron::switch_all(&tables, "logcheck", false)?;
        if done.is_err() {
            talk("logcheck's own positions stay as they are");
        }
        return done.map(|()| Exit::Fine);
    }
    let cron = tables.iter().flat_map(|table| table.jobs.iter().map(move |job| (table.place(job), job.interval)));
    // A line for each start of the machine says nothing about the time between two runs.
    let mut cron: Vec<(String, Option<std::time::Duration>)> = cron.collect();
    cron.sort_by_key(|(_, interval)| interval.is_none());
    let host = host::host_name(&arguments.cron.root);
    let (logs, unread) = entries_of(&conf.list, &conf.lists, Locale::C);
    let known = logcheck::LogcheckImport {
        conf: &conf,
        faults: &faults,
        text: &text,
        logs,
        unread: unread.iter().map(ToString::to_string).collect(),
        has_journal: ["run/log/journal", "var/log/journal"].iter().any(|path| arguments.cron.root.join(path).is_dir()),
        cron: cron.into_iter().next(),
        aliases: &read_text(&arguments.cron.root.join("etc/aliases")).unwrap_or_default(),
        short_host: host.split('.').next().unwrap_or_default().to_owned(),
    };
    let mut head = ConfigText::default();
    head.say(&format!("Made by `integrityd import logcheck` of {}.", shown(&arguments.path)));
    let mut body = ConfigText::default();
    known.write(&mut body);
    let body = body.into_bytes();
    let parsed = config::parse(&arguments.path, &body, &Files::Disk);
    if let Err(faults) = &parsed {
        talk(&format!("this configuration has to be completed:\n{faults}"));
    }
    print(out, head, &body)?;
    arguments.cron.settle(&tables, "logcheck")?;
    Ok(if parsed.is_ok() { Exit::Fine } else { Exit::Findings })
}

/// Prefers the lists of logs that lie beside the configuration, unless it names others.
fn lists_beside(conf: &mut Conf, path: &Path) {
    let usual = Conf::default();
    let beside = |name: &str| path.parent().map(|parent| parent.join(name)).filter(|path| path.exists());
    if conf.list == usual.list {
        conf.list = beside("logcheck.logfiles").unwrap_or(usual.list);
    }
    if conf.lists == usual.lists {
        conf.lists = beside("logcheck.logfiles.d").unwrap_or(usual.lists);
    }
}

/// Prints a configuration: its bytes for a file, escaped for a terminal.
fn print(out: &mut Out, mut head: ConfigText, body: &[u8]) -> anyhow::Result<()> {
    head.gap();
    let whole = [&head.into_bytes(), body].concat();
    if io::IsTerminal::is_terminal(&io::stdout()) {
        for line in whole.strip_suffix(b"\n").unwrap_or(&whole).split(|byte| *byte == b'\n') {
            out.line(&crate::cli::configuration::neutral(line))?;
        }
    } else {
        out.bytes(&whole)?;
        out.text("\n")?;
    }
    out.flush()
}
