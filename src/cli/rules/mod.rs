//! `rules`: what the rules make of lines, what is wrong with them, which of them nobody needs, and new ones.

mod lint;
mod side_effects;
mod suggest;
mod test;
mod unused;

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use globset::GlobBuilder;

use crate::{
    cli::{
        Exit, Source,
        terminal::{
            exit::usage,
            output::{Out, number, talk},
        },
    },
    config::{
        self, LoadError,
        settings::config::{Config, LogGroup, RuleDirectory, RuleLevel},
    },
    logs::{
        pattern::ast::Locale,
        rules::{
            classifier::Classifier,
            layers::Semantics,
            reload::add_built_in,
            rule_set::{Reading, RuleSet},
        },
    },
    model::escape::{escape, escape_name, is_hidden},
};

/// Where logcheck keeps its rules.
const LOGCHECK: &str = "/etc/logcheck";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell of each line of FILE or the standard input what becomes of it and which rule decides that. Each line is judged by
    /// itself.
    Test(test::Arguments),
    /// List everything that is wrong or odd in the rules, with file and line. Exit code: 1 when something is off.
    Lint(lint::Arguments),
    /// List rules that match nothing any more: no line had them, or another rule has always known the same lines first.
    Unused(unused::Arguments),
    /// Print rules that know the given lines: anchored, with classes in place of what varies, each proved. Exit code:
    /// 1 when there is none for a line.
    Suggest(suggest::Arguments),
}

/// Which rules.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// The level of ignore.d, instead of the configured one (server).
    #[arg(long)]
    level: Option<LevelName>,

    /// Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated.
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelName {
    Paranoid,
    Server,
    Workstation,
}

impl From<LevelName> for RuleLevel {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Paranoid => Self::Paranoid,
            LevelName::Server => Self::Server,
            LevelName::Workstation => Self::Workstation,
        }
    }
}

/// The rules of the command line or of the configuration, group by group.
#[derive(Debug)]
pub(super) struct Groups {
    /// At least one; the logs of each, none when they come from the command line.
    pub(super) all: Vec<LogGroup>,
    reading: Reading,
    semantics: Semantics,
    has_alias: bool,
}

impl Groups {
    /// Finds them; says on the standard error what holds when nothing is configured.
    pub(super) fn of(source: &Source, choice: &Choice) -> anyhow::Result<Self> {
        let config = match config::load(&source.config) {
            Ok(config) => Some(config),
            Err(LoadError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(_) if !choice.rules.is_empty() => None,
            Err(error) => return Err(error.into()),
        };
        let level = choice.level.map(RuleLevel::from);
        let mut groups = if choice.rules.is_empty() {
            configured(source, config.as_ref())
        } else {
            vec![group(choice.rules.iter().map(|path| directory(path)).collect::<anyhow::Result<_>>()?)]
        };
        for directory in groups.iter_mut().flat_map(|group| &mut group.rules) {
            directory.level = level.unwrap_or(directory.level);
        }
        let logcheck = config.as_ref().map(|config| &config.logcheck);
        let has_layers = logcheck.is_none_or(|logcheck| logcheck.has_layers);
        Ok(Self {
            all: groups,
            reading: Reading {
                locale: Locale::Utf8,
                allows_broad: logcheck.is_some_and(|logcheck| logcheck.is_broad_allowed),
                is_flat: !has_layers,
            },
            semantics: Semantics {
                has_layers,
                has_cracking_ignore: logcheck.is_some_and(|logcheck| logcheck.has_cracking_ignore),
            },
            has_alias: logcheck.is_none_or(|logcheck| logcheck.has_timestamp_alias),
        })
    }

    /// The rules of all groups as one set.
    pub(super) fn read_all(&self) -> RuleSet {
        let mut all: Vec<RuleDirectory> = Vec::new();
        for directory in self.all.iter().flat_map(|group| &group.rules) {
            match all.iter_mut().find(|known| known.path == directory.path) {
                Some(known) => known.level = known.level.max(directory.level),
                None => all.push(directory.clone()),
            }
        }
        RuleSet::read(&all, self.reading)
    }

    /// The group that reads the log `file`, the first when none does.
    pub(super) fn of_log(&self, file: Option<&Path>) -> usize {
        let file = file.and_then(|file| std::path::absolute(file).ok());
        let reads = |group: &LogGroup| {
            let file = file.as_ref();
            let patterns = || group.files.iter().chain(&group.transient);
            file.is_some_and(|file| patterns().any(|pattern| is_meant(pattern, file)))
        };
        self.all.iter().position(reads).unwrap_or_default()
    }

    /// Compiles the rules of a group; when there are several, says which they are.
    pub(super) fn classifier(&self, group: usize) -> Classifier {
        self.compile(self.read(group))
    }

    /// Compiles the rules of a group as the daemon does, with those that are built in.
    pub(super) fn daemon_classifier(&self, group: usize) -> Classifier {
        let mut set = self.read(group);
        add_built_in(&mut set);
        self.compile(set)
    }

    fn compile(&self, set: RuleSet) -> Classifier {
        Classifier::new(set, self.semantics, self.has_alias)
    }

    fn read(&self, group: usize) -> RuleSet {
        let directories = self.all.get(group).map(|group| group.rules.as_slice()).unwrap_or_default();
        if self.all.len() > 1 {
            let paths: Vec<String> = directories.iter().map(|directory| shown(&directory.path)).collect();
            let of = self.all.len();
            talk(&format!("rules of group {} of {of} in the configuration: {}", group + 1, paths.join(", ")));
        }
        RuleSet::read(directories, self.reading)
    }
}

/// Says how many rules are off, if any.
pub(super) fn tell_faults(set: &RuleSet, source: &Source, choice: &Choice) {
    let count = set.faults.len();
    if count > 0 {
        let of: String = choice.rules.iter().map(|path| format!(" --rules {}", shown(path))).collect();
        let what = if count == 1 { "1 fault" } else { &format!("{} faults", count_of(count)) };
        talk(&format!("{what} in the rules: {} rules lint{of} tells", source.program()));
    }
}

/// The groups of the configuration, or what holds without any.
fn configured(source: &Source, config: Option<&Config>) -> Vec<LogGroup> {
    if let Some(config) = config
        && !config.logs.is_empty()
    {
        return config.logs.clone();
    }
    let path = shown(&source.config);
    let why = if config.is_some() { "configures no logs" } else { "does not exist" };
    talk(&format!("{path} {why}: the rules are those of {LOGCHECK}"));
    vec![group(vec![RuleDirectory { level: RuleLevel::Server, path: PathBuf::from(LOGCHECK) }])]
}

fn group(rules: Vec<RuleDirectory>) -> LogGroup {
    let (files, transient, old_directories) = (Vec::new(), Vec::new(), Vec::new());
    LogGroup { rules, files, transient, journal: false, old_directories }
}

fn directory(path: &Path) -> anyhow::Result<RuleDirectory> {
    if !path.is_dir() {
        return Err(usage(format!("--rules {}: there is no such directory", shown(path))));
    }
    Ok(RuleDirectory { level: RuleLevel::Server, path: std::path::absolute(path)? })
}

/// Whether a path or glob of the configuration means `file`.
pub(super) fn is_meant(pattern: &Path, file: &Path) -> bool {
    let is_glob_of = |text: &str| {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(file))
    };
    pattern == file || pattern.to_str().is_some_and(is_glob_of)
}

pub(super) fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

/// A rule as it stands in its file, unless it has bytes that are not to be seen. (Rules are full of backslashes: doubled, nobody could
/// read or look for them.)
pub(super) fn rule_words(rule: &[u8]) -> String {
    match visible(rule) {
        Some(text) => text.to_owned(),
        None => escape(rule),
    }
}

/// The rule as text, when all of it can be seen.
pub(super) fn visible(rule: &[u8]) -> Option<&str> {
    str::from_utf8(rule).ok().filter(|text| !text.chars().any(is_hidden))
}

pub(super) fn count_of(count: usize) -> String {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

pub(super) fn run(source: &Source, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::Test(arguments) => test::run(source, arguments, out),
        Command::Lint(arguments) => lint::run(source, arguments, out),
        Command::Unused(arguments) => unused::run(source, arguments, out),
        Command::Suggest(arguments) => suggest::run(source, arguments, out),
    }
}
