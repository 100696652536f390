//! The commands as the manual has them, made from the very tree that reads the command line.

use clap::{Arg, ArgAction, Command};

use crate::cli::manual::roff::{ManualPage, escaped, plain};

/// Every command that is not hidden, each with its arguments and options.
pub(in crate::cli) fn all(root: &Command, page: &mut ManualPage) {
    for command in shown(root) {
        write(command, command.get_name(), page);
    }
}

/// The options that every command takes.
pub(super) fn general(root: &Command, page: &mut ManualPage) {
    for argument in root.get_arguments().filter(|argument| argument.is_global_set()) {
        page.item(&name(argument), &words(argument));
    }
    page.item("\\fB\\-h\\fR, \\fB\\-\\-help\\fR", &plain("Print help, of `integrityd` or of the command before it."));
    page.item("\\fB\\-V\\fR, \\fB\\-\\-version\\fR", &plain("Print the version."));
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set())
}

/// What belongs to this command alone.
fn own(command: &Command) -> Vec<&Arg> {
    let is_own = |argument: &&Arg| {
        let is_help = matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong);
        !is_help && !argument.is_global_set() && !argument.is_hide_set()
    };
    command.get_arguments().filter(is_own).collect()
}

fn write(command: &Command, path: &str, page: &mut ManualPage) {
    let arguments = own(command);
    if !command.is_subcommand_required_set() {
        page.subsection(path);
        let usage: Vec<String> = arguments.iter().map(|argument| brief(argument)).collect();
        page.paragraph(format!("\\fBintegrityd {}\\fR {}", escaped(path), usage.join(" ")).trim_end());
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        page.paragraph(&plain(&sentence(&about)));
        for argument in arguments {
            page.item(&name(argument), &words(argument));
        }
    }
    for inner in shown(command) {
        write(inner, &format!("{path} {}", inner.get_name()), page);
    }
}

/// What a value is called.
fn value(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| format!("\\fI{}\\fR", escaped(name))).collect();
    names.join(" ")
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn is_repeated(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
        || (takes_value(argument) && matches!(argument.get_action(), ArgAction::Append))
}

/// `-q, --quiet`, `--log FILE`, `PATH`.
fn name(argument: &Arg) -> String {
    let short = argument.get_short().map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = argument.get_long().map(|word| format!("\\fB\\-\\-{}\\fR", escaped(word)));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    match (names.is_empty(), takes_value(argument)) {
        (true, _) => value(argument),
        (false, true) => format!("{} {}", names.join(", "), value(argument)),
        (false, false) => names.join(", "),
    }
}

/// As it stands in a line that shows how the command is called.
fn brief(argument: &Arg) -> String {
    let word = match (argument.get_long(), argument.get_short()) {
        (Some(long), _) => format!("\\fB\\-\\-{}\\fR", escaped(long)),
        (None, Some(letter)) => format!("\\fB\\-{letter}\\fR"),
        (None, None) => String::new(),
    };
    let value = if takes_value(argument) { value(argument) } else { String::new() };
    let word = [word, value].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let dots = if is_repeated(argument) { "..." } else { "" };
    if argument.is_required_set() { format!("{word}{dots}") } else { format!("[{word}]{dots}") }
}

fn words(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut words = vec![sentence(&help)];
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value(argument) && !possible.is_empty() {
        words.push(format!("One of {}.", possible.join(", ")));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if takes_value(argument) && !defaults.is_empty() {
        words.push(format!("Default: {}.", defaults.join(" ")));
    }
    plain(&words.join(" "))
}

/// clap takes the last full stop away.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ']']) { text.to_owned() } else { format!("{text}.") }
}
