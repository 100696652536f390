//! `logcheck`: one run as logcheck(8) makes it from cron, with its options and its report, byte for byte.
//!
//! Positions move only when the report is out: flushed to the standard output, or accepted by the mail system.

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;

use super::{
    Exit, Source,
    logcheck_mail::Post,
    out::{Out, talk},
    run::runtime,
};
use crate::{
    config::settings::{RuleDirectory, RuleLevel},
    logs::{
        classify::Classifier,
        layers::Semantics,
        logtail::Offset,
        oneshot::{
            conf::Conf,
            lines::{Order, arrange},
            list::{Log, logs},
            position::{Position, StateError, States, check_free},
            report::{Found, Frame},
            take::take,
        },
        rules::{Reading, RuleSet},
        tree::Locale,
    },
    model::{
        clock::{Clock, Timestamp},
        escape::{escape, escape_name},
    },
    sys::proc,
};

/// Read when there is no -c.
const CONF: &str = "/etc/logcheck/logcheck.conf";

/// Half a line is looked at again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Largest configuration, header and footer, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of logcheck")]
#[command(args_override_self = true)]
pub(super) struct Arguments {
    /// Read this configuration instead of /etc/logcheck/logcheck.conf; only its assignments count, nothing in it is run.
    #[arg(short = 'c', value_name = "CFG")]
    conf: Option<PathBuf>,
    /// Say on the standard error what is done.
    #[arg(short = 'd')]
    is_verbose: bool,
    /// The name of this machine in the subject of a mail.
    #[arg(short = 'H', value_name = "HOST")]
    host: Option<String>,
    /// Check this log and no other.
    #[arg(short = 'l', value_name = "LOG")]
    log: Option<PathBuf>,
    /// The list of logs.
    #[arg(short = 'L', value_name = "CFG")]
    list: Option<PathBuf>,
    /// The directory of further lists, *.logfiles.
    #[arg(short = 'D', value_name = "DIR")]
    lists: Option<PathBuf>,
    /// Mail the report to this address.
    #[arg(short = 'm', value_name = "MAIL")]
    mail: Option<String>,
    /// Print the report; nothing is mailed.
    #[arg(short = 'o')]
    prints: bool,
    /// Level paranoid.
    #[arg(short = 'p', overrides_with_all = ["is_server", "is_workstation"])]
    is_paranoid: bool,
    /// The directory of the rules.
    #[arg(short = 'r', value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Begin the subject with "Reboot:".
    #[arg(short = 'R')]
    is_reboot: bool,
    /// Level server.
    #[arg(short = 's', overrides_with_all = ["is_paranoid", "is_workstation"])]
    is_server: bool,
    /// The directory of the positions, which logcheck understands as well.
    #[arg(short = 'S', value_name = "DIR")]
    states: Option<PathBuf>,
    /// Move no position.
    #[arg(short = 't')]
    only_tests: bool,
    /// Accepted; there is no temporary directory that could be kept.
    #[arg(short = 'T')]
    keeps_directory: bool,
    /// Accepted; syslog-summary is not run.
    #[arg(short = 'u')]
    has_summary: bool,
    /// Print the version.
    #[arg(short = 'v')]
    version: bool,
    /// Level workstation.
    #[arg(short = 'w', overrides_with_all = ["is_paranoid", "is_server"])]
    is_workstation: bool,
}

impl Arguments {
    /// The configuration with what the command line has to say.
    fn conf(&self) -> anyhow::Result<Conf> {
        let mut conf = self.written()?;
        conf.level = match (self.is_paranoid, self.is_server, self.is_workstation) {
            (true, ..) => RuleLevel::Paranoid,
            (_, true, _) => RuleLevel::Server,
            (.., true) => RuleLevel::Workstation,
            _ => conf.level,
        };
        let places = [
            (&self.rules, &mut conf.rules),
            (&self.states, &mut conf.states),
            (&self.list, &mut conf.list),
            (&self.lists, &mut conf.lists),
        ];
        for (given, place) in places {
            if let Some(path) = given {
                place.clone_from(path);
            }
        }
        conf.log = self.log.clone().or(conf.log);
        if let Some(recipients) = &self.mail {
            conf.recipients.clone_from(recipients);
        }
        if self.has_summary {
            conf.unserved.push("-u");
        }
        Ok(conf)
    }

    fn written(&self) -> anyhow::Result<Conf> {
        let path = self.conf.as_deref().unwrap_or(Path::new(CONF));
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) if self.conf.is_none() && error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("the configuration {} cannot be read; -c names another", shown(path)));
            }
        };
        let (conf, faults) = Conf::read(&text, path);
        for fault in faults {
            talk(&fault.to_string());
        }
        Ok(conf)
    }
}

/// A run.
struct Run<'a> {
    arguments: &'a Arguments,
    conf: Conf,
    locale: Locale,
    now: Timestamp,
}

/// What the logs gave.
#[derive(Default)]
struct Harvest {
    heap: Vec<u8>,
    errors: Vec<Vec<u8>>,
    positions: Vec<(PathBuf, Position)>,
    /// Ready as soon as some log has news: before its lines take memory, because making rules ready takes some for a moment.
    rules: Option<(Semantics, Classifier)>,
}

pub(super) fn run(source: &Source, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    if arguments.version {
        out.line(concat!("integrityd ", env!("CARGO_PKG_VERSION"), ", as logcheck 1.4.2"))?;
        return Ok(Exit::Fine);
    }
    let now = Clock::System(proc::boot_id(Path::new("/"))).now().wall;
    let run = Run { arguments, conf: arguments.conf()?, locale: locale(), now };
    for name in &run.conf.unserved {
        talk(&format!(
            "integrityd: {name} has no effect: the report is the text of the mail, and nothing is summed up"
        ));
    }
    let states = run.states()?;
    let mut harvest = run.harvest(&states)?;
    let exit = run.report(source, &mut harvest, out)?;
    if !arguments.only_tests {
        for (log, position) in &harvest.positions {
            states.put(log, position)?;
        }
    }
    Ok(exit)
}

impl Run<'_> {
    fn states(&self) -> anyhow::Result<States> {
        let directory = &self.conf.states;
        if self.arguments.only_tests {
            return Ok(States::look(directory));
        }
        let mut lock = self.conf.lock.clone().into_os_string();
        lock.push(".lock");
        check_free(Path::new(&lock), self.now)?;
        States::lock(directory).map_err(|error| match error {
            StateError::Locked(_) => error.into(),
            StateError::Io { .. } => anyhow::Error::from(error).context(format!(
                "{} has to be there and writable by who runs this (install -d -o logcheck -m 750 {0}); -S names another",
                shown(directory)
            )),
        })
    }

    /// Reads all logs, in the order of their last names, as logcheck sorts them.
    fn harvest(&self, states: &States) -> anyhow::Result<Harvest> {
        let logs = match &self.conf.log {
            Some(log) => {
                fs::File::open(log).with_context(|| format!("{} does not exist or cannot be read", shown(log)))?;
                vec![Log::File(log.clone())]
            }
            None => logs(&self.conf.list, &self.conf.lists, self.locale)
                .context("the list of logs cannot be read; -L and -D name others, -l a single log")?,
        };
        let mut logs: Vec<(usize, Log)> = logs.into_iter().enumerate().collect();
        logs.sort_by(|(_, one), (_, other)| last_name(one).cmp(last_name(other)));
        let mut harvest = Harvest::default();
        // What could not be read is told in the order of the lists.
        let mut errors = Vec::new();
        for (number, log) in logs {
            let wrong = match log {
                Log::File(log) => self.take(&log, states, &mut harvest)?,
                Log::Journal => Some(take_journal()),
            };
            errors.extend(wrong.map(|wrong| (number, wrong)));
        }
        errors.sort();
        harvest.errors = errors.into_iter().map(|(_, wrong)| wrong).collect();
        Ok(harvest)
    }

    /// Takes the new lines of a log; gives the words for the report when it cannot be read.
    fn take(&self, log: &Path, states: &States, harvest: &mut Harvest) -> anyhow::Result<Option<Vec<u8>>> {
        let known = states.get(log)?;
        if harvest.rules.is_none() && has_news(log, known.as_ref()) {
            harvest.rules = Some(self.rules());
        }
        let begun = harvest.heap.len();
        match take(log, known.as_ref(), &mut harvest.heap, self.now, &mut pause) {
            Ok(taken) => {
                for note in taken.notes {
                    talk(&format!("{}: {note}", shown(log)));
                }
                self.debug(|| format!("{}: {} new bytes", shown(log), harvest.heap.len() - begun));
                if known.as_ref() != Some(&taken.position) {
                    harvest.positions.push((log.to_owned(), taken.position));
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

    fn report(&self, source: &Source, harvest: &mut Harvest, out: &mut Out) -> anyhow::Result<Exit> {
        let post = Post { source, conf: &self.conf, host: self.arguments.host.as_deref(), now: self.now };
        if harvest.heap.is_empty() {
            if harvest.errors.is_empty() {
                return Ok(Exit::Fine);
            }
            let errors = harvest.errors.join(&b'\n');
            talk(&format!("Error: {}", neutral(&errors)));
            if !self.arguments.prints {
                post.send_failure(&neutral(&errors))?;
            }
            return Ok(Exit::Findings);
        }
        let (semantics, mut classifier) = harvest.rules.take().unwrap_or_else(|| self.rules());
        let order = if self.conf.is_unique { Order::Unique } else { Order::Stamp };
        let lines = arrange(&harvest.heap, order, self.locale);
        self.debug(|| format!("{} lines", lines.len()));
        let found = Found::of(lines, &mut classifier, semantics);
        if found.sections.is_empty() && harvest.errors.is_empty() {
            return Ok(Exit::Fine);
        }
        let frame = self.frame(harvest.errors.clone());
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
        let reading = Reading { locale: self.locale, allows_broad: true, is_flat: false };
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
        Frame { header: text("header.txt"), errors, footer: text("footer.txt") }
    }

    fn debug(&self, words: impl FnOnce() -> String) {
        if self.arguments.is_verbose {
            talk(&format!("integrityd: {}", words()));
        }
    }
}

/// Whether a log is likely to have new lines.
fn has_news(log: &Path, known: Option<&Position>) -> bool {
    let Ok(found) = fs::metadata(log) else { return false };
    known.map_or(found.len() > 0, |known| known.offset != Offset { inode: found.ino(), offset: found.len() })
}

/// Takes the entries of the journal since the last run; gives the words for the report when it cannot be read.
fn take_journal() -> Vec<u8> {
    b"E: The journal is not read by this command yet".to_vec()
}

fn last_name(log: &Log) -> &[u8] {
    match log {
        Log::File(path) => path.file_name().unwrap_or_default().as_encoded_bytes(),
        Log::Journal => b"journal",
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

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = Vec::new();
    file.take(LARGEST_TEXT).read_to_end(&mut text)?;
    Ok(text)
}

/// Lines as a terminal and a mail may show them.
fn neutral(text: &[u8]) -> String {
    text.split(|byte| *byte == b'\n').map(escape).collect::<Vec<_>>().join("\n")
}

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}
