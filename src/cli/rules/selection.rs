//! Which rules a command is about, and how it speaks of them.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use globset::GlobBuilder;

use crate::{
    cli::{
        context::CliContext,
        terminal::{
            exit::usage,
            output::{number, talk},
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
            rule_set::{RuleOptions, RuleSet},
        },
    },
    model::{
        escape::{escape, escape_name, is_hidden},
        log::position::Anchor,
    },
    tail::splitter::{self, LogRecord},
};

/// Which rules.
#[derive(Debug, Args)]
pub(in crate::cli) struct Choice {
    /// The level of ignore.d, instead of the configured one (server).
    #[arg(long)]
    level: Option<LevelName>,

    /// Read the rules in DIR, laid out as /etc/logcheck, instead of those that are configured; may be repeated.
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum LevelName {
    Paranoid,
    Server,
    Workstation,
}

/// The rules of the command line or of the configuration, group by group.
#[derive(Debug)]
pub(in crate::cli) struct RuleGroups {
    /// At least one; the logs of each, none when they come from the command line.
    pub(in crate::cli) all: Vec<LogGroup>,
    reading: RuleOptions,
    semantics: Semantics,
    has_alias: bool,
}

impl RuleGroups {
    /// Finds them; says on the standard error what holds when nothing is configured.
    pub(in crate::cli) fn of(source: &CliContext, choice: &Choice) -> anyhow::Result<Self> {
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
            reading: RuleOptions {
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
    pub(in crate::cli) fn read_all(&self) -> RuleSet {
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
    pub(in crate::cli) fn of_log(&self, file: Option<&Path>) -> usize {
        let file = file.and_then(|file| std::path::absolute(file).ok());
        let reads = |group: &LogGroup| {
            let file = file.as_ref();
            let patterns = || group.files.iter().chain(&group.transient);
            file.is_some_and(|file| patterns().any(|pattern| is_meant(pattern, file)))
        };
        self.all.iter().position(reads).unwrap_or_default()
    }

    /// Compiles the rules of a group; when there are several, says which they are.
    pub(in crate::cli) fn classifier(&self, group: usize) -> Classifier {
        self.compile(self.read(group))
    }

    /// Compiles the rules of a group as the daemon does, with those that are built in.
    pub(in crate::cli) fn daemon_classifier(&self, group: usize) -> Classifier {
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
pub(in crate::cli) fn tell_faults(set: &RuleSet, source: &CliContext, choice: &Choice) {
    let count = set.faults.len();
    if count > 0 {
        let of: String = choice.rules.iter().map(|path| format!(" --rules {}", shown(path))).collect();
        let what = if count == 1 { "1 fault" } else { &format!("{} faults", count_of(count)) };
        talk(&format!("{what} in the rules: {} rules lint{of} tells", source.program()));
    }
}

/// The groups of the configuration, or what holds without any.
pub(in crate::cli) fn configured(source: &CliContext, config: Option<&Config>) -> Vec<LogGroup> {
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

pub(in crate::cli) fn group(rules: Vec<RuleDirectory>) -> LogGroup {
    let (files, transient, old_directories) = (Vec::new(), Vec::new(), Vec::new());
    LogGroup { rules, files, transient, journal: false, old_directories }
}

pub(in crate::cli) fn directory(path: &Path) -> anyhow::Result<RuleDirectory> {
    if !path.is_dir() {
        return Err(usage(format!("--rules {}: there is no such directory", shown(path))));
    }
    Ok(RuleDirectory { level: RuleLevel::Server, path: std::path::absolute(path)? })
}

/// Whether a path or glob of the configuration means `file`.
pub(in crate::cli) fn is_meant(pattern: &Path, file: &Path) -> bool {
    let is_glob_of = |text: &str| {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(file))
    };
    pattern == file || pattern.to_str().is_some_and(is_glob_of)
}

pub(in crate::cli) fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

/// A rule as it stands in its file, unless it has bytes that are not to be seen. (Rules are full of backslashes: doubled, nobody could
/// read or look for them.)
pub(in crate::cli) fn rule_words(rule: &[u8]) -> String {
    match visible(rule) {
        Some(text) => text.to_owned(),
        None => escape(rule),
    }
}

/// The rule as text, when all of it can be seen.
pub(in crate::cli) fn visible(rule: &[u8]) -> Option<&str> {
    str::from_utf8(rule).ok().filter(|text| !text.chars().any(is_hidden))
}

pub(in crate::cli) fn count_of(count: usize) -> String {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

/// At most `most` lines of `input`, and of those the first 16 MiB.
pub(super) fn read_lines(input: &mut dyn Read, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let mut reading = splitter::LineSplitter::from(Anchor::default());
    let mut records = Vec::new();
    if reading.feed(&bytes, &mut records, most) == bytes.len() {
        reading.finish(&mut records);
    }
    let line = |record| match record {
        LogRecord::Line { bytes, .. } => Some(bytes),
        LogRecord::Gap(_) => None,
    };
    Ok(records.into_iter().filter_map(line).collect())
}

/// Where logcheck keeps its rules.
pub(in crate::cli) const LOGCHECK: &str = "/etc/logcheck";

/// More bytes of lines are not looked at.
pub(super) const MOST_BYTES: u64 = 16 << 20;
