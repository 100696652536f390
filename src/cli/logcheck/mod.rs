//! `logcheck`: one run as logcheck(8) makes it from cron, with its options and its report, byte for byte.
//!
//! Positions move only when the report is out: flushed to the standard output, or accepted by the mail system.

mod mail;
pub(super) mod options;

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use crate::{
    cli::{
        context::CliContext,
        logcheck::{
            mail::LogcheckMail,
            options::{Arguments, read_text, shown},
        },
        run::runtime,
        terminal::{
            exit::Exit,
            output::{Out, talk},
        },
    },
    config::settings::config::RuleDirectory,
    logs::{
        logcheck::{
            conf::Conf,
            journal,
            log_list::{ListedLog, logs, open_regular},
            read::take,
            report::{FoundLine, Frame},
            sort::{LogOrder, arrange},
            state::{LogcheckPosition, StateError, States, check_free},
        },
        pattern::ast::Locale,
        rules::{
            classifier::Classifier,
            layers::Semantics,
            rule_set::{RuleOptions, RuleSet},
        },
    },
    model::{
        clock::{Clock, Timestamp},
        escape::escape,
    },
    sys::host,
    tail::logtail_offset::Offset,
};

/// Half a line is looked at again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// A run.
struct LogcheckRun<'a> {
    arguments: &'a Arguments,
    conf: Conf,
    locale: Locale,
    now: Timestamp,
}

/// What the logs gave.
#[derive(Default)]
struct LogcheckResult {
    heap: Vec<u8>,
    /// What its lines take of the memory of a run.
    spent: usize,
    errors: Vec<Vec<u8>>,
    positions: Vec<(PathBuf, LogcheckPosition)>,
    /// Up to when the journal was read.
    journal: Option<Timestamp>,
    /// What stands above the report.
    preface: &'static [u8],
    /// Ready as soon as some log has news: before its lines take memory, because making rules ready takes some for a moment.
    rules: Option<(Semantics, Classifier)>,
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    if arguments.version {
        out.line(concat!("integrityd ", env!("CARGO_PKG_VERSION"), ", as logcheck 1.4.2"))?;
        return Ok(Exit::Fine);
    }
    let now = Clock::System(host::boot_id(Path::new("/"))).now().wall;
    let run = LogcheckRun { arguments, conf: arguments.conf()?, locale: locale(), now };
    for name in &run.conf.unserved {
        talk(&format!(
            "integrityd: {name} has no effect: the report is the text of the mail, and nothing is summed up"
        ));
    }
    fs::read_dir(&run.conf.rules).with_context(|| {
        format!(
            "the rules in {} cannot be read, so every line would be reported; -r names others",
            shown(&run.conf.rules)
        )
    })?;
    let states = run.states()?;
    let mut result = run.result(&states)?;
    let exit = run.report(source, &mut result, out)?;
    if !arguments.only_tests {
        for (log, position) in &result.positions {
            states.put(log, position)?;
        }
        if let Some(until) = result.journal {
            states.put_journal(until)?;
        }
    }
    Ok(exit)
}

impl LogcheckRun<'_> {
    fn states(&self) -> anyhow::Result<States> {
        let directory = &self.conf.states;
        if self.arguments.only_tests {
            return Ok(States::look(directory));
        }
        let mut lock = self.conf.lock.clone().into_os_string();
        lock.push(".lock");
        check_free(Path::new(&lock), self.now)?;
        States::lock(directory).map_err(|error| match error {
            StateError::Locked(_) | StateError::Planted(_) => error.into(),
            StateError::Io { .. } => anyhow::Error::from(error).context(format!(
                "{} has to be there and writable by who runs this (install -d -o logcheck -m 750 {0}); -S names another",
                shown(directory)
            )),
        })
    }

    /// Reads all logs, in the order of their last names, as logcheck sorts them.
    fn result(&self, states: &States) -> anyhow::Result<LogcheckResult> {
        let logs = match &self.conf.log {
            Some(log) => {
                open_regular(log).with_context(|| format!("{} does not exist or cannot be read", shown(log)))?;
                vec![ListedLog::File(log.clone())]
            }
            None => logs(&self.conf.list, &self.conf.lists, self.locale)
                .context("the list of logs cannot be read; -L and -D name others, -l a single log")?,
        };
        let mut logs: Vec<(usize, ListedLog)> = logs.into_iter().enumerate().collect();
        logs.sort_by(|(_, one), (_, other)| last_name(one).cmp(last_name(other)));
        let mut result = LogcheckResult::default();
        // What could not be read is told in the order of the lists.
        let mut errors = Vec::new();
        for (number, log) in logs {
            let wrong = match log {
                ListedLog::File(log) => self.take(&log, states, &mut result)?,
                ListedLog::Journal => self.take_journal(states, &mut result)?,
            };
            errors.extend(wrong.map(|wrong| (number, wrong)));
        }
        errors.sort();
        result.errors = errors.into_iter().map(|(_, wrong)| wrong).collect();
        Ok(result)
    }

    /// Takes the new lines of a log; gives the words for the report when it cannot be read.
    fn take(&self, log: &Path, states: &States, result: &mut LogcheckResult) -> anyhow::Result<Option<Vec<u8>>> {
        let known = states.get(log)?;
        if result.rules.is_none() && has_news(log, known.as_ref()) {
            result.rules = Some(self.rules());
        }
        let begun = result.heap.len();
        match take(log, known.as_ref(), &mut result.heap, &mut result.spent, self.now, &mut pause) {
            Ok(taken) => {
                for note in taken.notes {
                    talk(&format!("{}: {note}", shown(log)));
                }
                self.debug(|| format!("{}: {} new bytes", shown(log), result.heap.len() - begun));
                if known.as_ref() != Some(&taken.position) {
                    result.positions.push((log.to_owned(), taken.position));
                }
                Ok(None)
            }
            Err(error) => {
                talk(&format!("{:#}", anyhow::Error::from(error)));
                let name = log.as_os_str().as_encoded_bytes();
                Ok(Some([b"E: File could not be read: ", name].concat()))
            }
        }
    }

    /// Takes what the journal has since the last run; gives the words for the report when it cannot be read.
    fn take_journal(&self, states: &States, result: &mut LogcheckResult) -> anyhow::Result<Option<Vec<u8>>> {
        let since = states.journal()?;
        let until = self.now.before(journal::FRESH);
        if since.is_some_and(|since| since >= until) {
            return Ok(None);
        }
        match journal::take(since, until, &mut result.heap) {
            Ok(()) => {
                result.journal = Some(until);
                result.preface = if since.is_none() { journal::FIRST } else { b"" };
                Ok(None)
            }
            Err(error) => {
                talk(&format!("{:#}", anyhow::Error::from(error)));
                Ok(Some([b"E: File could not be read: ", journal::NAME.as_bytes()].concat()))
            }
        }
    }

    fn report(&self, source: &CliContext, result: &mut LogcheckResult, out: &mut Out) -> anyhow::Result<Exit> {
        let post = LogcheckMail { source, conf: &self.conf, host: self.arguments.host.as_deref(), now: self.now };
        if result.heap.is_empty() {
            if result.errors.is_empty() {
                return Ok(Exit::Fine);
            }
            let errors = result.errors.join(&b'\n');
            talk(&format!("Error: {}", neutral(&errors)));
            if !self.arguments.prints {
                post.send_failure(&neutral(&errors))?;
            }
            return Ok(Exit::Findings);
        }
        let (semantics, mut classifier) = result.rules.take().unwrap_or_else(|| self.rules());
        let order = if self.conf.is_unique { LogOrder::Unique } else { LogOrder::Stamp };
        let lines = arrange(&result.heap, order, self.locale);
        self.debug(|| format!("{} lines", lines.len()));
        let found = FoundLine::of(lines, &mut classifier, semantics);
        if found.sections.is_empty() && result.errors.is_empty() {
            return Ok(Exit::Fine);
        }
        let frame = Frame { preface: result.preface.to_vec(), ..self.frame(result.errors.clone()) };
        let titles = &self.conf.titles;
        if self.arguments.prints {
            let is_raw = !io::stdout().is_terminal();
            found.write(&frame, titles, self.locale, &mut |piece| {
                if is_raw { out.bytes(piece) } else { out.text(&neutral(piece)) }
            })?;
            out.flush()?;
        } else {
            let mut text = String::new();
            found.write(&frame, titles, self.locale, &mut |piece| {
                text.push_str(&neutral(piece));
                anyhow::Ok(())
            })?;
            let subject = found.subject(titles).unwrap_or(&titles.events);
            let prefix = if self.arguments.is_reboot { "Reboot: " } else { "" };
            post.send(prefix, subject, found.sections.first().and_then(|section| section.layer), &text)?;
        }
        Ok(Exit::Fine)
    }

    fn rules(&self) -> (Semantics, Classifier) {
        let reading = RuleOptions { locale: self.locale, allows_broad: true, is_flat: false };
        let directory = RuleDirectory { level: self.conf.level, path: self.conf.rules.clone() };
        let set = RuleSet::read(&[directory], reading);
        for fault in &set.faults {
            talk(&fault.to_string());
        }
        self.debug(|| format!("{} rules in {} files, {:?}", set.rules.len(), set.files.len(), self.locale));
        let semantics = Semantics { has_layers: true, has_cracking_ignore: self.conf.has_cracking_ignore };
        (semantics, Classifier::new(set, semantics, false))
    }

    fn frame(&self, errors: Vec<Vec<u8>>) -> Frame {
        if !self.conf.has_intro {
            return Frame { errors, ..Frame::default() };
        }
        let text = |name: &str| read_text(&self.conf.rules.join(name)).unwrap_or_default();
        Frame { header: text("header.txt"), errors, footer: text("footer.txt"), ..Frame::default() }
    }

    fn debug(&self, words: impl FnOnce() -> String) {
        if self.arguments.is_verbose {
            talk(&format!("integrityd: {}", words()));
        }
    }
}

/// Whether a log is likely to have new lines.
fn has_news(log: &Path, known: Option<&LogcheckPosition>) -> bool {
    let Ok(found) = fs::metadata(log) else { return false };
    known.map_or(found.len() > 0, |known| known.offset != Offset { inode: found.ino(), offset: found.len() })
}

fn last_name(log: &ListedLog) -> &[u8] {
    match log {
        ListedLog::File(path) => path.file_name().unwrap_or_default().as_encoded_bytes(),
        ListedLog::Journal => b"journal",
    }
}

/// The locale of grep(1): the first of these that is set decides.
fn locale() -> Locale {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let value = set.unwrap_or_default().to_ascii_lowercase();
    if value.contains("utf-8") || value.contains("utf8") { Locale::Utf8 } else { Locale::C }
}

fn pause() {
    if let Ok(runtime) = runtime() {
        runtime.block_on(async { tokio::time::sleep(PAUSE).await });
    }
}

/// Lines as a terminal and a mail may show them.
fn neutral(text: &[u8]) -> String {
    text.split(|byte| *byte == b'\n').map(escape).collect::<Vec<_>>().join("\n")
}
