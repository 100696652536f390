//! `rules test`: what becomes of each line, and by which rule.
//!
//! Lines stream through; nothing is kept of them, so a file of any size costs the same memory. Each is judged by itself. In a
//! report one line can bear upon others: once an attack is told, what `cracking.ignore.d` hides is no violation either.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, stdin},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        context::CliContext,
        rules::selection::{Choice, RuleGroups, rule_words, shown, tell_faults},
        terminal::{
            exit::Exit,
            output::{Out, number, talk},
        },
    },
    logs::rules::{classifier::Classifier, layers::LineVerdict, rule_set::RuleSet},
    model::{
        escape::{escape, escape_cut},
        log::position::Anchor,
    },
    tail::splitter::{LineSplitter, LogRecord, without_trailing_space},
};

/// So much is read at once, in bytes.
const BLOCK: usize = 64 << 10;

/// So many lines of a block are taken at once.
const MOST_RECORDS: usize = 1024;

/// So much of a line is shown, in bytes.
const LINE_SHOWN: usize = 4096;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,

    /// Only the lines that would be reported: security alerts, security events, system events.
    #[arg(long)]
    unmatched: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    /// Logs whose lines are judged by the rules of the group that reads them; none or - is the standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// How many lines became what.
#[derive(Debug, Default)]
struct RuleTally {
    lines: u64,
    alerts: u64,
    security: u64,
    system: u64,
    ignored: u64,
    silenced: u64,
    /// Zero bytes that are no text.
    zeros: u64,
}

/// A group's rules while lines are judged.
struct RuleTester<'a> {
    classifier: Classifier,
    /// The paths of the rule files as they are shown.
    places: Vec<String>,
    arguments: &'a Arguments,
    out: &'a mut Out,
    tally: &'a mut RuleTally,
}

pub(in crate::cli) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let groups = RuleGroups::of(source, &arguments.choice)?;
    let mut tally = RuleTally::default();
    let stdin_alone = [PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &stdin_alone[..] } else { &arguments.files };
    let mut ready: Option<(usize, Classifier)> = None;
    for file in files {
        let group = groups.of_log(Some(file));
        let classifier = match ready.take() {
            Some((same, classifier)) if same == group => classifier,
            _ => {
                let classifier = groups.daemon_classifier(group);
                tell_faults(classifier.set(), source, &arguments.choice);
                classifier
            }
        };
        let places = classifier.set().files.iter().map(|file| shown(&file.path)).collect();
        let mut desk = RuleTester { classifier, places, arguments, out, tally: &mut tally };
        judge(file, &mut desk)?;
        ready = Some((group, desk.classifier));
    }
    out.flush()?;
    talk(&tally.words());
    Ok(Exit::Fine)
}

impl RuleTally {
    fn words(&self) -> String {
        let counted =
            |count: u64, one: &str, many: &str| format!("{} {}", number(count), if count == 1 { one } else { many });
        let mut words = format!(
            "{}: {}, {}, {}, {} ignored, {} silenced",
            counted(self.lines, "line", "lines"),
            counted(self.alerts, "security alert", "security alerts"),
            counted(self.security, "security event", "security events"),
            counted(self.system, "system event", "system events"),
            number(self.ignored),
            number(self.silenced),
        );
        if self.zeros > 0 {
            words += &format!("; {} zero bytes are no lines", number(self.zeros));
        }
        words
    }
}

fn judge(file: &Path, desk: &mut RuleTester<'_>) -> anyhow::Result<()> {
    if file == Path::new("-") {
        if stdin().is_terminal() {
            talk("lines are read from the terminal; Ctrl-D ends them");
        }
        return stream(&mut stdin().lock(), desk).context("the standard input cannot be read");
    }
    let mut opened = File::open(file).with_context(|| format!("{} cannot be read", shown(file)))?;
    stream(&mut opened, desk).with_context(|| format!("{} cannot be read to its end", shown(file)))
}

fn stream(input: &mut dyn Read, desk: &mut RuleTester<'_>) -> anyhow::Result<()> {
    let mut reading = LineSplitter::from(Anchor::default());
    let mut block = vec![0; BLOCK];
    let mut records = Vec::new();
    loop {
        let length = match input.read(&mut block) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let mut rest = block.get(..length).unwrap_or(&block);
        while !rest.is_empty() {
            let taken = reading.feed(rest, &mut records, MOST_RECORDS);
            rest = rest.get(taken..).unwrap_or_default();
            records.drain(..).try_for_each(|record| desk.take(&record))?;
        }
        if length == 0 {
            reading.finish(&mut records);
            return records.drain(..).try_for_each(|record| desk.take(&record));
        }
        // Somebody may wait for what `tail -f` has just given.
        desk.out.flush()?;
    }
}

impl RuleTester<'_> {
    fn take(&mut self, record: &LogRecord) -> anyhow::Result<()> {
        match record {
            // A blank line says nothing and is told nobody.
            LogRecord::Line { bytes, .. } if without_trailing_space(bytes).is_empty() => Ok(()),
            LogRecord::Line { bytes, length } => self.line(without_trailing_space(bytes), *length),
            LogRecord::Gap(zeros) => {
                self.tally.zeros += zeros;
                Ok(())
            }
        }
    }

    fn line(&mut self, line: &[u8], length: u64) -> anyhow::Result<()> {
        let marks = self.classifier.marks(line);
        let verdict = match marks.ignored {
            Some(rule) => LineVerdict::Ignored(rule),
            None if marks.raised.is_empty() => LineVerdict::System,
            None => self.classifier.verdicts(&[marks]).first().copied().unwrap_or(LineVerdict::System),
        };
        self.tally.lines += 1;
        let (count, word, is_told) = match verdict {
            LineVerdict::Cracking(_) => (&mut self.tally.alerts, "alert", true),
            LineVerdict::Violation(_) => (&mut self.tally.security, "security", true),
            LineVerdict::System => (&mut self.tally.system, "system", true),
            LineVerdict::Ignored(_) => (&mut self.tally.ignored, "ignored", false),
            LineVerdict::Silenced { .. } => (&mut self.tally.silenced, "silenced", false),
        };
        *count += 1;
        if self.arguments.unmatched && !is_told {
            return Ok(());
        }
        let (rule, by) = match verdict {
            LineVerdict::Cracking(rule) | LineVerdict::Violation(rule) | LineVerdict::Ignored(rule) => {
                (Some(rule), None)
            }
            LineVerdict::System => (None, None),
            LineVerdict::Silenced { raised, by } => (Some(raised), Some(by)),
        };
        if self.arguments.json {
            let set = self.classifier.set();
            let object = json!({
                "verdict": word, "rule": rule_json(set, rule), "silenced_by": rule_json(set, by), "line": escape(line), "length": length,
            });
            return self.out.line(&object.to_string());
        }
        self.out.text(word)?;
        self.out.text("          ".get(word.len()..).unwrap_or(" "))?;
        self.place(rule)?;
        if by.is_some() {
            self.out.text(" hidden by ")?;
            self.place(by)?;
        }
        self.out.text("  ")?;
        self.show(line, length)
    }

    fn place(&mut self, rule: Option<usize>) -> anyhow::Result<()> {
        let Some(rule) = rule.and_then(|rule| self.classifier.set().rules.get(rule)) else {
            return self.out.text("-");
        };
        self.out.text(self.places.get(rule.file).map_or("", String::as_str))?;
        self.out.text(&format!(":{}", rule.line))
    }

    /// Most lines are plain and need no look at their characters one by one.
    fn show(&mut self, line: &[u8], length: u64) -> anyhow::Result<()> {
        let is_plain =
            line.len() <= LINE_SHOWN && line.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'\\');
        if is_plain {
            self.out.bytes(line)?;
        } else {
            self.out.text(&escape_cut(line, LINE_SHOWN))?;
        }
        if length > u64::try_from(crate::tail::splitter::LONGEST).unwrap_or(u64::MAX) {
            self.out.text(&format!(" … {} bytes in all", number(length)))?;
        }
        self.out.text("\n")
    }
}

fn rule_json(set: &RuleSet, rule: Option<usize>) -> Value {
    let Some(rule) = rule.and_then(|rule| set.rules.get(rule)) else { return Value::Null };
    let file = set.files.get(rule.file).map(|file| shown(&file.path));
    json!({ "file": file, "line": rule.line, "text": rule_words(&rule.text) })
}
