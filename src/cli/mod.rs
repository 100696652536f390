//! The commands: the only room that prints, and the only one that knows exit codes.

mod configuration;
mod exit;
mod explain;
mod explained;
mod explained_json;
mod history;
mod out;
mod run;
mod status;
mod trial;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

use crate::{
    config,
    model::escape::{escape_name, hex},
    store::database::Store,
};
pub use exit::Exit;
use out::Out;

/// Tells an administrator by mail what changed on this machine.
#[derive(Debug, Parser)]
#[command(name = "integrityd", version, about, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    /// Read this configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,

    /// Put the question to this database, whatever is configured.
    #[arg(long, global = true, value_name = "FILE")]
    database: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch and report, in the foreground, until told to stop (TERM, INT); HUP reads the configuration again.
    Run,
    /// Try it out: no configuration, no root; mails appear on the terminal.
    #[command(name = "try")]
    Trial(trial::Arguments),
    /// Show areas, coverage and the queue of reports. Exit code: 0 fine, 2 critical, 3 unknown.
    Status(status::Arguments),
    /// Show what was found, oldest first.
    History(history::Arguments),
    /// Show one event in full, with every path a summary stands for.
    Show(history::ShowArguments),
    /// Walk the chain of events and name the first that was changed, removed or exchanged. Exit code: 0 whole, 1 broken.
    Verify,
    /// Tell everything about a path: which area and settings apply, what is stored, when it is due. Exit code: 1 in no area.
    Explain(explain::Arguments),
    /// Work on the configuration.
    #[command(subcommand)]
    Config(configuration::Command),
}

/// Where a question is put.
#[derive(Debug)]
struct Source {
    config: PathBuf,
    database: Option<PathBuf>,
}

impl Source {
    fn open(&self) -> anyhow::Result<Store> {
        let path = match &self.database {
            Some(path) => path.clone(),
            None => config::load(&self.config)?.database,
        };
        Ok(Store::open_read_only(&path)?)
    }

    /// How a further command is called to lead to the same place.
    fn program(&self) -> String {
        match &self.database {
            Some(database) => program("--database", database),
            None if self.config == Path::new(config::DEFAULT_PATH) => "integrityd".to_owned(),
            None => program("--config", &self.config),
        }
    }
}

/// The program with an option that names a file; quoted for a shell where that is needed.
fn program(option: &str, file: &Path) -> String {
    let file = escape_name(file.as_os_str().as_encoded_bytes());
    let is_plain = file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%=:,".contains(c));
    if is_plain {
        format!("integrityd {option} {file}")
    } else {
        format!("integrityd {option} '{}'", file.replace('\'', "'\\''"))
    }
}

/// Runs the command in `arguments` (program name first) and gives the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    let mut out = Out::stdout();
    let done = run_command(cli, &mut out).and_then(|exit| out.flush().map(|()| exit));
    done.unwrap_or_else(|error| exit::of_error(&error))
}

fn run_command(cli: Cli, out: &mut Out) -> anyhow::Result<Exit> {
    let source = Source { config: cli.config.clone(), database: cli.database };
    match cli.command {
        Command::Run => run::run(&cli.config, source.program()),
        Command::Trial(arguments) => trial::run(&arguments),
        Command::Status(arguments) => status::run(&source, &arguments, out),
        Command::History(arguments) => history::run(&source, &arguments, out),
        Command::Show(arguments) => history::show(&source, &arguments, out),
        Command::Verify => verify(&source.open()?, out),
        Command::Explain(arguments) => explain::run(&source, &arguments, out),
        Command::Config(command) => configuration::run(&cli.config, &command, out),
    }
}

fn verify(store: &Store, out: &mut Out) -> anyhow::Result<Exit> {
    match store.verify() {
        Ok(head) => {
            out.line(&format!("the chain is whole: {} events, head {}", head.seq, hex(&head.hash)))?;
            Ok(Exit::Fine)
        }
        Err(error @ crate::store::error::StoreError::Chain { .. }) => {
            out.line(&error.to_string())?;
            Ok(Exit::Findings)
        }
        Err(error) => Err(error.into()),
    }
}
