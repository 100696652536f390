//! `completions`: what a shell needs to complete the words of a command line, made from the tree that reads it.

use clap::{Arg, Args, Command};
use clap_complete::{Shell, generate};

use crate::cli::terminal::{exit::Exit, output::Out};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// For which shell.
    shell: Shell,
}

pub(in crate::cli) fn run(root: Command, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    out.bytes(&script(arguments.shell, root))?;
    Ok(Exit::Fine)
}

fn script(shell: Shell, root: Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut typed(root), "integrityd", &mut script);
    script
}

/// The tree without the commands that nobody types; not every generator leaves them out.
fn typed(root: Command) -> Command {
    if !root.get_subcommands().any(Command::is_hide_set) {
        return root;
    }
    let shown: Vec<Command> = root.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned().collect();
    let arguments: Vec<Arg> = root.get_arguments().cloned().collect();
    let about = root.get_about().cloned().unwrap_or_default();
    Command::new("integrityd")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .args(arguments)
        .subcommands(shown)
        .disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_shell_offers_a_command_that_nobody_types() {
        let hidden: Vec<String> = Cli::command()
            .get_subcommands()
            .filter(|inner| inner.is_hide_set())
            .map(|inner| inner.get_name().to_owned())
            .collect();
        assert!(hidden.contains(&"try-sandbox".to_owned()), "{hidden:?}");
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell, Cli::command())).unwrap();
            let is_word = |name: &&String| {
                script.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == name.as_str())
            };
            assert_eq!(hidden.iter().find(is_word), None, "{shell}");
            assert!(script.contains("integrityd") && script.contains("doctor"), "{shell}");
        }
    }

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
