//! `rules`: what the rules make of lines, what is wrong with them, which of them nobody needs, and new ones.

mod lint;
mod selection;
mod side_effects;
mod suggest;
mod test;
mod unused;

use clap::Subcommand;

use crate::{
    cli::{
        context::CliContext,
        rules::selection::LevelName,
        terminal::{exit::Exit, output::Out},
    },
    config::settings::config::RuleLevel,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell of each line of FILE or the standard input what becomes of it and which rule decides that. Each line is judged by
    /// itself.
    Test(test::Arguments),
    /// List everything that is wrong or odd in the rules, with file and line. Exit code: 1 when something is off.
    Lint(lint::Arguments),
    /// List rules that match nothing any more: no line had them, or another rule has always known the same lines first.
    Unused(unused::Arguments),
    /// Print rules that know the given lines: anchored, with classes in place of what varies, each proved. Exit code:
    /// 1 when there is none for a line.
    Suggest(suggest::Arguments),
}

impl From<LevelName> for RuleLevel {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Paranoid => Self::Paranoid,
            LevelName::Server => Self::Server,
            LevelName::Workstation => Self::Workstation,
        }
    }
}

pub(super) fn run(source: &CliContext, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::Test(arguments) => test::run(source, arguments, out),
        Command::Lint(arguments) => lint::run(source, arguments, out),
        Command::Unused(arguments) => unused::run(source, arguments, out),
        Command::Suggest(arguments) => suggest::run(source, arguments, out),
    }
}
