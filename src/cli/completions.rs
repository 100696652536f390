//! `completions`: what a shell needs to complete the words of a command line, made from the tree that reads it.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::{Exit, out::Out};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell.
    shell: Shell,
}

pub(super) fn run(root: Command, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    out.bytes(&script(arguments.shell, root))?;
    Ok(Exit::Fine)
}

fn script(shell: Shell, mut root: Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut root, "integrityd", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_committed_completions_are_those_of_the_commands() {
        for (shell, name) in
            [(Shell::Bash, "integrityd.bash"), (Shell::Zsh, "_integrityd"), (Shell::Fish, "integrityd.fish")]
        {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/completions").join(name);
            let script = script(shell, Cli::command());
            if std::env::var_os("INTEGRITYD_BLESS").is_some() {
                fs::write(&path, &script).unwrap();
            }
            let committed = fs::read(&path).unwrap_or_default();
            assert!(
                committed == script,
                "docs/completions/{name} is outdated: run INTEGRITYD_BLESS=1 cargo test --lib committed"
            );
        }
    }
}
