//! What is shown of a slip on the command line: what there is, but nothing that nobody types.

use std::ffi::OsString;

use clap::{
    Command,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// Takes from `error` the advice that leads nowhere, and gives it the usage of the command that was meant by `words` (the program
/// first), with all its options instead of the nearest one.
pub(in crate::cli) fn with_true_advice(mut error: clap::Error, mut root: Command, words: &[OsString]) -> clap::Error {
    root.build();
    // Processes of this program call these.
    let is_shown = |name: &String| !root.get_subcommands().any(|inner| inner.is_hide_set() && inner.get_name() == name);
    if let Some(ContextValue::Strings(names)) = error.remove(ContextKind::SuggestedSubcommand) {
        let names: Vec<String> = names.into_iter().filter(is_shown).collect();
        if !names.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
        }
    }
    if error.kind() == ErrorKind::UnknownArgument {
        // Nobody who misses an option means a file of that name.
        if let Some(ContextValue::StyledStrs(advice)) = error.remove(ContextKind::Suggested) {
            let advice: Vec<StyledStr> =
                advice.into_iter().filter(|words| !words.to_string().contains(" as a value, ")).collect();
            if !advice.is_empty() {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(advice));
            }
        }
        let usage = command_of(&root, words).clone().render_usage();
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error
}

/// The command that these words lead to.
fn command_of<'a>(root: &'a Command, words: &[OsString]) -> &'a Command {
    words.iter().skip(1).fold(root, |found, word| found.find_subcommand(word).unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    fn told(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&words).unwrap_err();
        with_true_advice(error, Cli::command(), &words).render().to_string()
    }

    #[test]
    fn no_advice_names_a_command_that_nobody_types() {
        for line in ["integrityd scou", "integrityd deput", "integrityd confine", "integrityd try-sandbo"] {
            let told = told(line);
            assert!(!["'scout'", "deputy", "confined", "try-sandbox"].iter().any(|name| told.contains(name)), "{told}");
            assert!(told.contains("Usage: integrityd [OPTIONS] <COMMAND>"), "{told}");
        }
        assert!(
            told("integrityd confi").contains("a similar subcommand exists: 'config'"),
            "{}",
            told("integrityd confi")
        );
    }

    #[test]
    fn an_unknown_option_is_answered_with_all_that_the_command_takes() {
        let duration = told("integrityd try --duration 20");
        assert!(!duration.contains("-- --duration"), "{duration}");
        assert!(duration.contains("Usage: integrityd try [OPTIONS] [DIRECTORIES]..."), "{duration}");
        let once = told("integrityd --database /x run --onec");
        assert!(once.contains("'--once'") && once.contains("Usage: integrityd run [OPTIONS]"), "{once}");
        let deep = told("integrityd queue list --jsn");
        assert!(deep.contains("'--json'") && deep.contains("Usage: integrityd queue list [OPTIONS]"), "{deep}");
    }
}
