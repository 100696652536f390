//! The commands: the only room that prints, and the only one that knows exit codes.
//!
//! Downwards: trouble_places, verify, explain, rules, import, logcheck, manual, check, history, try_out, mail, run, configuration, doctor, hidden, status, database, queue, terminal, own_mail, context.

mod check;
mod configuration;
mod context;
mod database;
mod doctor;
mod explain;
mod hidden;
mod history;
mod import;
mod logcheck;
mod mail;
mod manual;
mod own_mail;
mod queue;
mod rules;
mod run;
mod status;
mod terminal;
#[cfg(test)]
mod trouble_places;
mod try_out;
mod verify;

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};

pub use crate::cli::terminal::exit::Exit;
use crate::{
    cli::{context::CliContext, terminal::output::Out},
    config,
    files::remote::helper,
    sys::process::{
        broker, broker_server, descriptors,
        privileges::{ProcessKind, restrict},
    },
};

/// Under what the options of every command stand in its help.
const GENERAL: &str = "General options";

/// Tells an administrator by mail what changed on this machine.
#[derive(Debug, Parser)]
#[command(name = "integrityd", version, about, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    /// Read this configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH, help_heading = GENERAL)]
    config: PathBuf,

    /// Put the question to this database, whatever is configured.
    #[arg(long, global = true, value_name = "FILE", help_heading = GENERAL)]
    database: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch and report, in the foreground, until told to stop (TERM, INT); HUP reads the configuration again, USR1 sends
    /// everything pending.
    Run(run::Arguments),
    /// Try it out: no configuration, no root; mails appear on the terminal.
    #[command(name = "try")]
    Trial(try_out::Arguments),
    /// Build or complete the baseline at full speed. Exit code: 0 done, 1 something differs from a baseline that was there.
    Init(check::InitArguments),
    /// Compare everything with the baseline at full speed. Exit code: the sum of 1 (added), 2 (removed), 4 (changed) and 8
    /// (could not be read).
    Check(check::CheckArguments),
    /// Show areas, coverage and the queue of reports. Exit code: 0 fine, 1 late, 2 critical, 3 unknown.
    Status(status::Arguments),
    /// Look at everything the daemon depends on and say what to do; nothing is changed or sent. Exit code: 0 works, 1 does not.
    Doctor(doctor::Arguments),
    /// Show what was found, oldest first.
    History(history::Arguments),
    /// Show one event in full, with every path a summary stands for, or a report as it was mailed.
    Show(history::ShowArguments),
    /// Handle the reports that nobody has accepted yet.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Look after the database itself.
    #[command(subcommand)]
    Database(database::Command),
    /// See whether mails arrive.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Walk the chain of events and name the first that was changed, removed or exchanged; compare it with what was mailed.
    /// Exit code: 0 whole, 1 findings.
    Verify(verify::Arguments),
    /// Tell everything about a path: which area and settings apply, what is stored, when it is due. Exit code: 1 in no area.
    Explain(explain::Arguments),
    /// Work on the rules for log lines: try them, look for what is wrong with them, find those nobody needs, make new ones.
    #[command(subcommand)]
    Rules(rules::Command),
    /// Check the logs once as logcheck does, with its options, rules and positions: the drop-in for its line in cron. Exit code: 0
    /// done, 1 no log could be read.
    Logcheck(Box<logcheck::options::Arguments>),
    /// Work on the configuration.
    #[command(subcommand)]
    Config(configuration::Command),
    /// Print a page of the manual: `integrityd man | man -l -`.
    Man(manual::Arguments),
    /// Print what a shell needs to complete command lines.
    Completions(manual::completions::Arguments),
    /// Take over from fcheck or logcheck, and go back. What both print can stand in one file.
    #[command(subcommand)]
    Import(import::Command),
    /// Look at what lies on one mount, for another process of this program that asks.
    #[command(name = helper::WORD, hide = true)]
    Scout {
        /// The number of the mount.
        id: u64,
        /// Its mount point.
        point: OsString,
    },
    /// Run and look at what another process of this program may not, which asks.
    #[command(name = broker::WORD, hide = true)]
    Deputy,
    /// Become another program that can neither write nor connect.
    #[command(name = broker::CONFINED, hide = true)]
    Confined(hidden::Confined),
    /// Put up the sandbox of `run` and try to get out of it.
    #[command(name = hidden::TRY, hide = true)]
    TrySandbox(hidden::Attempts),
}

/// Runs the command in `arguments` (program name first) and gives the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    descriptors::keep_from_children();
    let words: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => {
            return terminal::exit::of_usage(&terminal::suggestion::with_true_advice(error, Cli::command(), &words));
        }
    };
    let mut out = Out::stdout();
    let done = run_command(cli, &mut out).and_then(|exit| out.flush().map(|()| exit));
    done.unwrap_or_else(|error| terminal::exit::of_error(&error))
}

fn run_command(cli: Cli, out: &mut Out) -> anyhow::Result<Exit> {
    let source = CliContext { config: cli.config.clone(), database: cli.database };
    match cli.command {
        Command::Run(arguments) => run::run(&cli.config, &arguments, source.program()),
        Command::Init(arguments) => check::init(&source, &arguments, out),
        Command::Check(arguments) => check::check(&source, &arguments, out),
        Command::Trial(arguments) => try_out::run(&arguments),
        Command::Status(arguments) => status::run(&source, &arguments, out),
        Command::Doctor(arguments) => doctor::run(&source, &arguments, out),
        Command::History(arguments) => history::run(&source, &arguments, out),
        Command::Show(arguments) => history::show(&source, &arguments, out),
        Command::Queue(command) => queue::run(&source, &command, out),
        Command::Database(command) => database::run(&source, &command, out),
        Command::Mail(command) => mail::run(&source, &command, out),
        Command::Verify(arguments) => verify::run(&source, &arguments, out),
        Command::Explain(arguments) => explain::run(&source, &arguments, out),
        Command::Rules(command) => rules::run(&source, &command, out),
        Command::Logcheck(arguments) => logcheck::run(&source, &arguments, out),
        Command::Config(command) => configuration::run(&cli.config, &command, out),
        Command::Man(arguments) => manual::run(Cli::command(), &arguments, out),
        Command::Completions(arguments) => manual::completions::run(Cli::command(), &arguments, out),
        Command::Import(command) => import::run(&source, &command, out),
        Command::Scout { id, point } => {
            helper::serve(&point, id, &mut std::io::stdin().lock(), &mut std::io::stdout().lock())?;
            Ok(Exit::Fine)
        }
        Command::Deputy => {
            // Under a unit the service manager's filter is there already, and CAP_SYS_ADMIN for one of ours is not; `doctor` shows it.
            drop(restrict(ProcessKind::Broker, false));
            broker_server::serve().map(|()| Exit::Fine).map_err(Into::into)
        }
        Command::Confined(arguments) => hidden::confined(&arguments),
        Command::TrySandbox(attempts) => hidden::try_sandbox(&source, &attempts, out),
    }
}
