//! `database`: saying that the database is wanted as it is.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use clap::{Args, Subcommand};

use crate::{
    cli::{
        context::CliContext,
        queue::asks,
        terminal::{
            exit::{Exit, usage},
            output::{Out, talk},
        },
    },
    model::clock::Clock,
    sys::{fs::ownership, host},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take the database for the right one although it is not the one that was last seen in its place: it was moved here, or is a
    /// wanted older copy. To be called before the daemon is started, which would alarm; an event tells of it.
    Adopt(AdoptArguments),
}

#[derive(Debug, Args)]
pub(super) struct AdoptArguments {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(source: &CliContext, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::Adopt(arguments) => adopt(source, arguments, out),
    }
}

fn adopt(source: &CliContext, arguments: &AdoptArguments, out: &mut Out) -> anyhow::Result<Exit> {
    if !arguments.yes && !io::stdin().is_terminal() {
        return Err(usage(
            "database adopt asks before it takes a database for the right one, and nobody can answer here: add --yes"
                .to_owned(),
        ));
    }
    let mut store = source.open_beside()?;
    let Some(words) = store.estrangement()? else {
        talk("it is the database that was last seen here: there is nothing to adopt");
        return Ok(Exit::Fine);
    };
    talk(&format!("this is {words}"));
    if !arguments.yes && !asks("Take it for the right one?")? {
        talk("nothing was adopted");
        return Ok(Exit::Fine);
    }
    let now = Clock::System(host::boot_id(Path::new("/"))).now();
    store.adopt(&words, ownership::own_uid(), now)?;
    out.line(&format!("adopted: {words}"))?;
    Ok(Exit::Fine)
}
