//! `rules suggest`: rules for given lines. The rules go to the standard output, so that they can be appended to a file; everything
//! about them goes to the standard error.

use std::{
    fs::File,
    io::{self, IsTerminal, stdin, stdout},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::{
    cli::{
        context::CliContext,
        rules::{
            selection::{Choice, RuleGroups, count_of, read_lines, rule_words, shown, tell_faults, visible},
            side_effects::Others,
        },
        terminal::{
            exit::Exit,
            output::{Out, talk},
        },
    },
    logs::{
        rules::{classifier::Classifier, layers::LineVerdict, rule_set::RuleSet},
        suggest::suggestion::{Suggestion, suggest},
    },
    model::escape::{escape, escape_cut},
    tail::splitter::without_trailing_space,
};

/// More lines are not looked at.
const MOST_LINES: usize = 10_000;

/// So much of a line is shown, in bytes.
const LINE_SHOWN: usize = 300;

/// So many other lines are shown that a rule matches too.
const MOST_SHOWN: usize = 3;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,

    /// The rule file they are meant for, such as /etc/logcheck/ignore.d.server/local: what stands there already is left
    /// out, and it is told when a rule of its directory does not hide such lines. Nothing is written.
    #[arg(long, value_name = "TARGET")]
    file: Option<PathBuf>,

    /// Tell which other lines the rules match in FILE, instead of in the last 1 MiB of each configured log.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,

    /// The lines, without their newlines; none means the lines of the standard input.
    #[arg(value_name = "LINE")]
    lines: Vec<std::ffi::OsString>,
}

pub(in crate::cli) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let groups = RuleGroups::of(source, &arguments.choice)?;
    let given = given(&arguments.lines)?;
    if given.is_empty() {
        talk("# no line was given");
        return Ok(Exit::Fine);
    }
    let mut classifier = groups.classifier(0);
    tell_faults(classifier.set(), source, &arguments.choice);
    let wanted = wanted(&given, &mut classifier, arguments.file.as_deref());
    let mut done = suggest(&wanted);
    if let Some(target) = &arguments.file {
        leave_out_known(&mut done.rules, target)?;
    }
    let others = if arguments.against.is_empty() {
        Others::of_logs(groups.all.iter(), &given)
    } else {
        Others::of_files(&arguments.against, &given)?
    };
    let found = others.matched_by(&done.rules);
    for (Suggestion { rule, lines }, found) in done.rules.iter().zip(&found) {
        let first = lines.first().and_then(|line| wanted.get(*line)).map(Vec::as_slice).unwrap_or_default();
        let of =
            if lines.len() == 1 { "1 line".to_owned() } else { format!("{} lines, such as", count_of(lines.len())) };
        talk(&format!("# {of}: {}", escape_cut(first, LINE_SHOWN)));
        if !found.is_empty() {
            talk(&format!("# it also matches {} of {}, such as", count_of(found.len()), others.words()));
            for line in others.some(found, MOST_SHOWN) {
                talk(&format!("#   {}", escape_cut(line, LINE_SHOWN)));
            }
        }
        print(rule, out)?;
    }
    for (line, flaw) in &done.refused {
        let text = wanted.get(*line).map(Vec::as_slice).unwrap_or_default();
        talk(&format!("# no rule: this line {flaw}: {}", escape_cut(text, LINE_SHOWN)));
    }
    if others.is_empty() {
        talk("# not compared with other lines: no log was found; --against FILE compares");
    } else if found.iter().all(Vec::is_empty) && !found.is_empty() {
        talk(&format!("# compared with {}: none is matched", others.words()));
    }
    Ok(if done.refused.is_empty() { Exit::Fine } else { Exit::Findings })
}

/// A program gets the very bytes, a terminal never does.
fn print(rule: &[u8], out: &mut Out) -> anyhow::Result<()> {
    match visible(rule) {
        Some(text) => out.line(text)?,
        None if stdout().is_terminal() => {
            talk("# it has bytes that a terminal does not show; redirect it into its file");
            out.line(&escape(rule))?;
        }
        None => {
            out.bytes(rule)?;
            out.text("\n")?;
        }
    }
    // So that it stands below what was said about it.
    out.flush()
}

/// The lines for which rules are wanted, without the white space at their ends.
fn given(words: &[std::ffi::OsString]) -> anyhow::Result<Vec<Vec<u8>>> {
    let records = if words.is_empty() {
        if stdin().is_terminal() {
            talk("lines are read from the terminal; Ctrl-D ends them");
        }
        read_lines(&mut stdin().lock(), MOST_LINES).context("the standard input cannot be read")?
    } else {
        let mut text: Vec<u8> = Vec::new();
        for word in words {
            text.extend(word.clone().into_vec());
            text.push(b'\n');
        }
        read_lines(&mut text.as_slice(), MOST_LINES)?
    };
    if records.len() >= MOST_LINES {
        talk(&format!("# only the first {} lines are looked at", count_of(MOST_LINES)));
    }
    let mut lines: Vec<Vec<u8>> = records.iter().map(|line| without_trailing_space(line).to_vec()).collect();
    lines.retain(|line| !line.is_empty());
    Ok(lines)
}

/// The lines that no rule knows yet; tells of the others, and of those that rules for `target` would not hide.
fn wanted(given: &[Vec<u8>], classifier: &mut Classifier, target: Option<&Path>) -> Vec<Vec<u8>> {
    let directory = target.and_then(|target| target.parent()?.file_name()).map(std::ffi::OsStr::as_encoded_bytes);
    let hides_raised = directory.is_some_and(|name| name.ends_with(b".ignore.d"));
    let mut wanted = Vec::new();
    let mut known = 0_usize;
    for line in given {
        let marks = classifier.marks(line);
        let verdict = classifier.verdicts(&[marks]).first().copied();
        let set = classifier.set();
        let shown = escape_cut(line, LINE_SHOWN);
        match verdict {
            Some(LineVerdict::Ignored(rule) | LineVerdict::Silenced { by: rule, .. }) => {
                known += 1;
                if known <= MOST_SHOWN {
                    talk(&format!("# known already by {}: {shown}", place(set, rule)));
                }
                continue;
            }
            Some(LineVerdict::Cracking(rule)) => {
                talk(&format!("# a security alert by {}, which no rule of ignore.d hides: {shown}", place(set, rule)));
            }
            Some(LineVerdict::Violation(rule)) if !hides_raised => {
                talk(&format!(
                    "# a security event by {}, which only a rule in violations.ignore.d hides: {shown}",
                    place(set, rule)
                ));
            }
            Some(LineVerdict::System) if hides_raised => {
                talk(&format!("# a system event, which only a rule in ignore.d hides: {shown}"));
            }
            _ => {}
        }
        wanted.push(line.clone());
    }
    if known > MOST_SHOWN {
        talk(&format!("# {} lines are known already", count_of(known)));
    }
    wanted
}

fn place(set: &RuleSet, rule: usize) -> String {
    let Some(rule) = set.rules.get(rule) else { return String::new() };
    set.files.get(rule.file).map_or_else(String::new, |file| format!("{}:{}", shown(&file.path), rule.line))
}

/// Leaves out the rules that stand in `target` already.
fn leave_out_known(rules: &mut Vec<Suggestion>, target: &Path) -> anyhow::Result<()> {
    let known = match File::open(target) {
        Ok(mut file) => {
            read_lines(&mut file, usize::MAX).with_context(|| format!("{} cannot be read", shown(target)))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", shown(target))),
    };
    rules.retain(|suggestion| {
        let stands = known.contains(&suggestion.rule);
        if stands {
            talk(&format!("# stands in {} already: {}", shown(target), rule_words(&suggestion.rule)));
        }
        !stands
    });
    Ok(())
}
