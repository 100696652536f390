//! `man`: the manual pages, made from what the program itself is made from.
//!
//! The prose stands in `manual/*.txt`; commands come from the tree that reads the command line, settings from the one table of all
//! items. So a page cannot leave one out. Committed copies lie in docs/man, and a test compares them.

mod commands;
pub(super) mod completions;
mod roff;
mod settings;

use clap::{Args, Command};

use crate::{
    cli::{
        manual::roff::{ManualPage, markup, plain},
        terminal::{exit::Exit, output::Out},
    },
    logs::pattern::lint::Lint,
};

/// When the words of the pages were last changed.
const DATE: &str = "2026-11-22";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which page.
    #[arg(value_name = "PAGE", default_value = "integrityd", value_parser = ["integrityd", "integrityd.conf", "integrityd-rules"])]
    page: String,
}

/// A page of the manual.
struct ManualSource {
    name: &'static str,
    section: u8,
    volume: &'static str,
    prose: &'static str,
}

const PAGES: [ManualSource; 3] = [
    ManualSource {
        name: "integrityd",
        section: 8,
        volume: "System Manager's Manual",
        prose: include_str!("integrityd.txt"),
    },
    ManualSource {
        name: "integrityd.conf",
        section: 5,
        volume: "File Formats Manual",
        prose: include_str!("integrityd.conf.txt"),
    },
    ManualSource {
        name: "integrityd-rules",
        section: 7,
        volume: "Miscellaneous Information Manual",
        prose: include_str!("integrityd-rules.txt"),
    },
];

pub(super) fn run(root: Command, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    if let Some(page) = PAGES.iter().find(|page| page.name == arguments.page) {
        out.text(&render(page, root))?;
    }
    Ok(Exit::Fine)
}

fn render(source: &ManualSource, mut root: Command) -> String {
    root.build();
    let mut page = ManualPage::new(&source.name.to_ascii_uppercase(), source.section, DATE, source.volume);
    let mut lines = source.prose.lines().peekable();
    while let Some(line) = lines.next() {
        // What a line begins goes on to the next blank line.
        let mut block = vec![line];
        let is_block = !line.is_empty() && !line.starts_with(['#', '@']);
        while let Some(next) = lines.next_if(|next| is_block && !next.is_empty()) {
            block.push(next);
        }
        write(&block, &root, &mut page);
    }
    page.finish()
}

/// One block of the prose: a heading, an insertion, an example, an item, a point or a paragraph.
fn write(block: &[&str], root: &Command, page: &mut ManualPage) {
    let Some((first, rest)) = block.split_first() else { return };
    let joined = |first: &str| markup(&[&[first], rest].concat().join(" "));
    match first.split_at_checked(first.find(' ').map_or(first.len(), |at| at + 1)) {
        Some(("# ", title)) => page.section(title),
        Some(("## ", title)) => page.subsection(title),
        Some(("= ", term)) => page.item(&markup(term), &markup(&rest.join(" "))),
        Some(("- ", point)) => page.point(&joined(point)),
        Some((" ", _)) => page.example(&block.iter().map(|line| example(line)).collect::<Vec<_>>()),
        Some(("@commands", _)) => commands::all(root, page),
        Some(("@general", _)) => commands::general(root, page),
        Some(("@glance", _)) => settings::glance(page),
        Some(("@settings", _)) => settings::all(page),
        Some(("@lints", _)) => lints(page),
        _ if first.is_empty() => {}
        _ => page.paragraph(&joined(first)),
    }
}

/// A line of an example without its indentation; a dot alone stands for an empty one.
fn example(line: &str) -> &str {
    match line.get(4..).unwrap_or_default() {
        "." => "",
        line => line,
    }
}

/// What `rules lint` may say of a rule, and what to do.
fn lints(page: &mut ManualPage) {
    for lint in Lint::ALL {
        page.item(&plain(&lint.to_string()), &plain(&format!("Remedy: {}.", lint.advice())));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::CommandFactory as _;

    use super::*;
    use crate::{cli::Cli, config::schema::keys::KEYS};

    fn pages() -> Vec<(String, String)> {
        PAGES.iter().map(|page| (format!("{}.{}", page.name, page.section), render(page, Cli::command()))).collect()
    }

    #[test]
    fn the_committed_manual_is_that_of_the_tables() {
        for (name, text) in pages() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man").join(&name);
            if std::env::var_os("INTEGRITYD_BLESS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == text,
                "docs/man/{name} is outdated: run INTEGRITYD_BLESS=1 cargo test --lib committed"
            );
        }
    }

    /// Every command with the words that lead to it, and its options.
    fn collect(command: &Command, path: &str, found: &mut Vec<String>) {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
            if !inner.is_subcommand_required_set() {
                found.push(format!(".SS {}\n", path.replace('-', "\\-")));
            }
            for argument in inner.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let long = argument.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", long.replace('-', "\\-")));
                found.extend(long);
                found.extend(argument.get_short().map(|short| format!("\\fB\\-{short}\\fR")));
            }
            collect(inner, &path, found);
        }
    }

    #[test]
    fn every_command_and_every_option_is_in_the_manual() {
        let mut root = Cli::command();
        root.build();
        let mut wanted = Vec::new();
        collect(&root, "", &mut wanted);
        assert!(wanted.len() > 100, "{wanted:?}");
        let (_, text) = pages().remove(0);
        let missing: Vec<&String> = wanted.iter().filter(|words| !text.contains(words.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn every_setting_is_in_the_manual_in_both_forms_with_its_default() {
        let (_, text) = pages().remove(1);
        for key in KEYS {
            assert!(text.contains(&format!(".TP\n\\fB{}\\fR\n", key.name)), "{}", key.name);
            let default = key.default.replace('-', "\\-");
            let mut named = text.lines().filter(|line| line.split(' ').next() == Some(key.name));
            assert!(named.any(|line| line.contains(key.toml) && line.ends_with(&default)), "{}", key.name);
        }
    }

    #[test]
    fn every_exit_code_is_in_the_manual() {
        let (_, text) = pages().remove(0);
        for code in ["0", "1", "2", "3", "64", "69", "70", "74", "75", "77", "78"] {
            assert!(text.contains(&format!(".TP\n\\fB\\%{code}\\fR\n")), "{code}");
        }
    }
}
