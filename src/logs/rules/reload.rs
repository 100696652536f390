//! The rules of a group while it runs: read again when their files change, and told what that has changed.
//!
//! Whether something has changed is asked of the metadata of the directories and files only. What stands (rules that are off, odd
//! ones, names that are passed over) is told when it differs from what was told last, so that a restart repeats nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::{
    config::settings::config::{LogcheckSettings, RuleDirectory},
    logs::rules::{
        classifier::Classifier,
        layers::Semantics,
        rule_set::{Layer, RuleOptions, RuleSet},
    },
    model::{clock::Timestamp, escape::escape_name},
    store::sources::rule_hits::RuleHit,
};

/// The rules for what integrityd writes to a log itself, which a process knows of its predecessors by these only.
pub const OWN: &str = include_str!("../../../etc/logcheck/ignore.d.server/integrityd");

/// What stands for the path of their file.
const BUILT_IN: &str = "(built in)/integrityd";

/// Most lines of a notice about what has changed, and as many about what stands.
const MOST_LINES: usize = 50;

/// What marks the lines of a notice that say what stands, and goes on standing until it is mended.
const STANDING: [&str; 3] = ["off: ", "odd: ", "passed over: "];

/// The state of a file or directory as far as a change of its content shows: path, inode, size and times.
type Print = (PathBuf, u64, u64, (i64, i64), (i64, i64));

/// The rules of a group.
#[derive(Debug)]
pub struct RuleReloader {
    directories: Vec<RuleDirectory>,
    settings: LogcheckSettings,
    print: Vec<Print>,
    /// How many hits of each rule were handed out, by its number.
    counted: Vec<u64>,
    /// The rules, ready to be asked.
    pub classifier: Classifier,
}

/// What is to be told of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadNews {
    /// Lines: what was changed, then what stands.
    pub note: String,
    /// Whether some rule is off.
    pub has_faults: bool,
}

impl RuleReloader {
    /// Reads and compiles the rules.
    pub fn new(directories: &[RuleDirectory], settings: LogcheckSettings) -> Self {
        // Taken before the rules are read: what changes in between is seen the next time.
        let print = print(directories);
        let classifier = compile(read(directories, settings), settings);
        Self { directories: directories.to_vec(), settings, print, counted: Vec::new(), classifier }
    }

    /// What is to be told at a start; `told` is what was told last, if ever.
    pub fn standing_news(&self, told: Option<&str>) -> Option<ReloadNews> {
        let now = standing(self.classifier.set());
        let before: BTreeSet<&str> = told.map(standing_of).unwrap_or_default();
        if now.iter().map(String::as_str).collect::<BTreeSet<_>>() == before {
            return None;
        }
        Some(news(Vec::new(), &now, self.classifier.set()))
    }

    /// The rules that are off, in a line: the first, and how many there are beside it.
    pub fn off(&self) -> Option<String> {
        let (first, more) = self.classifier.set().faults.split_first()?;
        Some(match more.len() {
            0 => format!("1 rule is off: {first}"),
            more => format!("{} rules are off, the first: {first}", more + 1),
        })
    }

    /// The hits since the last call, which are to be counted at `now`. To be asked before the rules are read again.
    pub fn take_hits(&mut self, now: Timestamp) -> Vec<RuleHit> {
        let set = self.classifier.set();
        self.counted.resize(set.rules.len(), 0);
        let mut found = Vec::new();
        for (number, hits) in self.classifier.hits() {
            let (Some(counted), Some((file, text))) = (self.counted.get_mut(number), identity(set, number)) else {
                continue;
            };
            let new = hits.saturating_sub(std::mem::replace(counted, hits));
            if new > 0 {
                found.push(RuleHit { file: file.to_vec(), text: text.to_vec(), hits: new, last: now });
            }
        }
        found
    }

    /// What each rule is counted under: the path of its file and its text. The built-in ones are not.
    pub fn identities(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let set = self.classifier.set();
        (0..set.rules.len()).filter_map(move |number| identity(set, number))
    }

    /// Reads the rules again when something has changed; gives what that is. Costs a `stat(2)` for each file.
    pub fn refresh(&mut self) -> Option<ReloadNews> {
        let print = print(&self.directories);
        if print == self.print {
            return None;
        }
        self.print = print;
        let set = read(&self.directories, self.settings);
        let changes = differences(self.classifier.set(), &set);
        let (before, now) = (standing(self.classifier.set()), standing(&set));
        if changes.is_empty() && before == now {
            return None;
        }
        let news = news(changes, &now, &set);
        self.classifier = compile(set, self.settings);
        self.counted.clear();
        Some(news)
    }
}

fn identity(set: &RuleSet, number: usize) -> Option<(&[u8], &[u8])> {
    let rule = set.rules.get(number)?;
    let file = set.files.get(rule.file)?.path.as_os_str().as_bytes();
    (file != BUILT_IN.as_bytes()).then_some((file, &rule.text))
}

fn read(directories: &[RuleDirectory], settings: LogcheckSettings) -> RuleSet {
    let reading = RuleOptions::of(settings);
    let mut set = RuleSet::read(directories, reading);
    add_built_in(&mut set);
    set
}

/// Adds the rules that a daemon has besides those of the directories.
pub fn add_built_in(set: &mut RuleSet) {
    set.add_text(Path::new(BUILT_IN), Layer::Ignore, OWN.as_bytes());
}

fn compile(set: RuleSet, settings: LogcheckSettings) -> Classifier {
    let semantics = Semantics { has_layers: settings.has_layers, has_cracking_ignore: settings.has_cracking_ignore };
    Classifier::new(set, semantics, settings.has_timestamp_alias)
}

fn print(directories: &[RuleDirectory]) -> Vec<Print> {
    let mut found = Vec::new();
    let mut look = |path: PathBuf| {
        let Ok(seen) = fs::metadata(&path) else { return false };
        let times = ((seen.mtime(), seen.mtime_nsec()), (seen.ctime(), seen.ctime_nsec()));
        found.push((path, seen.ino(), seen.size(), times.0, times.1));
        seen.is_dir()
    };
    for directory in directories {
        if !look(directory.path.clone()) {
            continue;
        }
        for inner in listed(&directory.path) {
            if look(inner.clone()) {
                for file in listed(&inner) {
                    look(file);
                }
            }
        }
    }
    found
}

/// The paths in a directory, sorted; bounded like the reading of rules.
fn listed(directory: &PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.take(20_000).filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// What stands, one line each.
fn standing(set: &RuleSet) -> Vec<String> {
    let [off, odd, passed] = STANDING;
    let faults = set.faults.iter().map(|fault| format!("{off}{fault}"));
    let warnings = set.warnings.iter().map(|fault| format!("{odd}{fault}"));
    let skipped =
        set.skipped.iter().map(|path| format!("{passed}{}", escape_name(path.as_os_str().as_encoded_bytes())));
    cut(faults.chain(warnings).chain(skipped).collect(), "off: ")
}

/// The lines of a notice that say what stands.
fn standing_of(note: &str) -> BTreeSet<&str> {
    note.lines().filter(|line| STANDING.iter().any(|mark| line.starts_with(mark))).collect()
}

fn cut(mut lines: Vec<String>, mark: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    if more > 0 {
        lines.truncate(MOST_LINES);
        lines.push(format!("{mark}…and {more} more: integrityd rules lint"));
    }
    lines
}

/// How many rules of each file came, went or were changed.
fn differences(old: &RuleSet, new: &RuleSet) -> Vec<String> {
    let (old, new) = (texts(old), texts(new));
    let files: BTreeSet<&PathBuf> = old.keys().chain(new.keys()).copied().collect();
    let none = BTreeMap::new();
    let lines = files.into_iter().filter_map(|file| {
        let (before, after) = (old.get(file).unwrap_or(&none), new.get(file).unwrap_or(&none));
        let beyond = |one: &BTreeMap<&[u8], usize>, other: &BTreeMap<&[u8], usize>| -> usize {
            one.iter().map(|(text, count)| count.saturating_sub(other.get(text).copied().unwrap_or(0))).sum()
        };
        let (came, went) = (beyond(after, before), beyond(before, after));
        let changed = came.min(went);
        let counts = [("changed", changed), ("added", came - changed), ("removed", went - changed)];
        let words: Vec<String> =
            counts.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}")).collect();
        (!words.is_empty()).then(|| {
            let name = escape_name(file.as_os_str().as_encoded_bytes());
            format!("{name}: {}", words.join(", "))
        })
    });
    cut(lines.collect(), "")
}

/// The rules of each file with how often each stands there.
fn texts(set: &RuleSet) -> BTreeMap<&PathBuf, BTreeMap<&[u8], usize>> {
    let mut found: BTreeMap<&PathBuf, BTreeMap<&[u8], usize>> = BTreeMap::new();
    for rule in &set.rules {
        if let Some(file) = set.files.get(rule.file) {
            *found.entry(&file.path).or_default().entry(&rule.text).or_default() += 1;
        }
    }
    found
}

fn news(changes: Vec<String>, standing: &[String], set: &RuleSet) -> ReloadNews {
    let mut lines = vec![format!("{} rules in {} files are in use", set.rules.len(), set.files.len())];
    lines.extend(changes);
    lines.extend_from_slice(standing);
    ReloadNews { note: lines.join("\n"), has_faults: !set.faults.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::config::{Config, RuleLevel};

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in [("cracking.d/c", "^c\n"), ("violations.d/v", "^v\n"), ("ignore.d.server/a", "^a\n^b\n")] {
            put(tree.path(), path, text);
        }
        tree
    }

    fn put(tree: &Path, path: &str, text: &str) {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn upkeep(tree: &Path) -> RuleReloader {
        let directory = RuleDirectory { level: RuleLevel::Server, path: tree.to_owned() };
        RuleReloader::new(&[directory], Config::embedded(Vec::new(), PathBuf::new()).logcheck)
    }

    #[test]
    fn what_has_changed_is_told_once_and_in_use_from_then_on() {
        let tree = tree();
        let mut upkeep = upkeep(tree.path());
        assert_eq!(upkeep.refresh(), None);
        assert_eq!(upkeep.standing_news(None), None);
        put(tree.path(), "ignore.d.server/a", "^a\n^changed b\n^new\n^bad(\n");
        let news = upkeep.refresh().unwrap();
        let at = tree.path().display();
        let own = OWN.lines().filter(|line| line.starts_with('^')).count();
        let count = own + 5;
        assert_eq!(
            news.note,
            format!(
                "{count} rules in 4 files are in use\n{at}/ignore.d.server/a: 1 changed, 1 added\n\
                 off: {at}/ignore.d.server/a:4: unmatched ( at byte 4: this rule is off, all others are in use"
            )
        );
        assert!(news.has_faults);
        assert!(upkeep.classifier.marks(b"new line").ignored.is_some());
        assert_eq!(upkeep.refresh(), None);
        // A restart says nothing new, another one after the repair does.
        assert_eq!(self::upkeep(tree.path()).standing_news(Some(&news.note)), None);
        assert!(self::upkeep(tree.path()).standing_news(None).is_some());
        put(tree.path(), "ignore.d.server/a", "^a\n");
        let mended = self::upkeep(tree.path()).standing_news(Some(&news.note)).unwrap();
        assert!(!mended.has_faults && mended.note == format!("{} rules in 4 files are in use", own + 3), "{mended:?}");
    }

    #[test]
    fn a_directory_that_goes_away_is_told() {
        let tree = tree();
        let mut upkeep = upkeep(tree.path());
        fs::rename(tree.path().join("violations.d"), tree.path().join("elsewhere")).unwrap();
        let news = upkeep.refresh().unwrap();
        assert!(news.has_faults && news.note.contains("violations.d: is missing in every directory"), "{}", news.note);
    }
}
