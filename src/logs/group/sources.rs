//! Which logs a group has: the paths of its lines, and whatever its globs find at the moment.
//!
//! What a glob finds may be a rotated file of another one it finds; that one is read with its log and is none of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::{
        read::include::on_disk,
        settings::{
            config::{LogGroup, RuleLevel},
            exclude::{compile, is_glob},
        },
    },
    logs::group::notices::JOURNAL,
    tail::{
        poll::TailSettings,
        rotated_files::{is_plainly_rotated, is_sibling},
    },
};

/// Most logs that one glob may find.
const MOST: usize = 10_000;

/// For how long a log may be missing before that is told: a rotation makes a gap.
const GRACE: Duration = Duration::from_mins(1);

/// The same for a log that may be missing.
const ENDLESS: Duration = Duration::MAX;

/// Something that gives lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// The log with this path.
    File(PathBuf),
    /// The journal.
    Journal,
}

impl LogSource {
    /// Its path, or the word for the journal.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::File(path) => path.as_os_str().as_bytes(),
            Self::Journal => JOURNAL,
        }
    }
}

/// The name under which the positions of a group are kept: its rule directories with their levels.
pub fn name(group: &LogGroup) -> Vec<u8> {
    let rules = group.rules.iter().map(|rules| {
        let level: &[u8] = match rules.level {
            RuleLevel::Paranoid => b"paranoid:",
            RuleLevel::Server => b"server:",
            RuleLevel::Workstation => b"workstation:",
        };
        [level, rules.path.as_os_str().as_bytes()].concat()
    });
    rules.collect::<Vec<_>>().join(&b' ')
}

/// Groups with the same rules as one, in the order in which the rules come.
pub fn merged(groups: &[LogGroup]) -> Vec<LogGroup> {
    let mut merged: Vec<LogGroup> = Vec::new();
    for group in groups {
        let Some(known) = merged.iter_mut().find(|known| known.rules == group.rules) else {
            merged.push(group.clone());
            continue;
        };
        known.files.extend_from_slice(&group.files);
        known.transient.extend_from_slice(&group.transient);
        known.old_directories.extend_from_slice(&group.old_directories);
        known.journal |= group.journal;
    }
    merged
}

/// The logs of a group by their paths, each with whether it may be missing without a word. `known` are those that have a position:
/// one that a glob has found once stays one of its logs.
pub fn logs(group: &LogGroup, known: &[Vec<u8>]) -> BTreeMap<PathBuf, bool> {
    let mut found = BTreeMap::new();
    for (patterns, may_be_missing) in [(&group.files, false), (&group.transient, true)] {
        for pattern in patterns {
            if is_glob(pattern.as_os_str().as_bytes()) && !pattern.exists() {
                for path in expand(pattern, known) {
                    found.entry(path).or_insert(true);
                }
            } else {
                found.insert(pattern.clone(), may_be_missing);
            }
        }
    }
    found
}

fn expand(pattern: &Path, known: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found: BTreeSet<PathBuf> = on_disk(pattern, |entry| !entry.file_type().is_dir()).take(MOST).collect();
    if let Ok(glob) = compile(pattern) {
        let glob = glob.compile_matcher();
        found
            .extend(known.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).filter(|path| glob.is_match(path)));
    }
    found.iter().filter(|path| !is_rotated(path, &found)).cloned().collect()
}

/// Whether a path is a rotated file of another one.
fn is_rotated(path: &Path, found: &BTreeSet<PathBuf>) -> bool {
    let Some(name) = path.file_name().map(OsStr::as_bytes) else { return false };
    // Every prefix of the name may be that of its log, and so may it be with its end: `app.1.log` belongs to `app.log`.
    let cuts = name.iter().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'-')).map(|(at, _)| at);
    let heads: Vec<usize> = cuts.collect();
    let is_log = |candidate: Vec<u8>| {
        candidate != name
            && is_sibling(&candidate, name)
            && is_plainly_rotated(&candidate, name)
            && found.contains(&path.with_file_name(OsStr::from_bytes(&candidate)))
    };
    heads.iter().any(|head| {
        let start = name.get(..*head).unwrap_or_default();
        let ends = heads.iter().filter(|end| *end > head).filter_map(|end| name.get(*end..));
        is_log(start.to_vec()) || ends.into_iter().any(|end| is_log([start, end].concat()))
    })
}

/// How the log `path` of a group is read, of which these are all names: what it finds by a glob only is let go when it `is_full`.
pub(in crate::logs) fn tail(
    group: &LogGroup,
    path: &Path,
    names: &[PathBuf],
    may_be_missing: bool,
    (errornag, is_full): (Duration, bool),
) -> TailSettings {
    let beside = |other: &&PathBuf| **other != path && other.parent() == path.parent();
    let name = |path: &PathBuf| path.file_name().map(|name| name.as_bytes().to_vec());
    let is_named = [&group.files, &group.transient].iter().any(|paths| paths.iter().any(|named| named == path));
    TailSettings {
        others: names.iter().filter(beside).filter_map(name).collect(),
        olddirs: group.old_directories.clone(),
        errornag,
        grace: if may_be_missing { ENDLESS } else { GRACE },
        is_passing: !is_named,
        lets_go: !is_named && is_full,
        path: path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn group(files: &[&Path], transient: &[&Path]) -> LogGroup {
        let paths = |list: &[&Path]| list.iter().map(|path| path.to_path_buf()).collect();
        LogGroup {
            rules: Vec::new(),
            files: paths(files),
            transient: paths(transient),
            journal: false,
            old_directories: Vec::new(),
        }
    }

    #[test]
    fn a_glob_finds_logs_and_not_their_rotated_files() {
        let tree = tempfile::tempdir().unwrap();
        for name in [
            "app.log",
            "app.log.1",
            "app.log.2.gz",
            "app-20261121.log",
            "app-1.log",
            "db.log",
            ".hidden",
            "db.log-20261120.xz",
        ] {
            fs::write(tree.path().join(name), "").unwrap();
        }
        fs::create_dir(tree.path().join("sub")).unwrap();
        let pattern = tree.path().join("*");
        let (gone, other) = (tree.path().join("gone.log"), PathBuf::from("/elsewhere/x"));
        let known = [gone.as_os_str().as_bytes().to_vec(), other.as_os_str().as_bytes().to_vec()];
        let found = logs(&group(&[&pattern, Path::new("/var/log/none")], &[Path::new("/t")]), &known);
        let names: Vec<(&str, bool)> =
            found.iter().map(|(path, may)| (path.file_name().unwrap().to_str().unwrap(), *may)).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        for expected in
            [("app.log", true), ("app-1.log", true), ("db.log", true), ("gone.log", true), ("none", false), ("t", true)]
        {
            assert!(names.contains(&expected), "{names:?}");
        }
    }

    #[test]
    fn groups_with_the_same_rules_are_one() {
        let (one, other) = (group(&[Path::new("/a")], &[]), group(&[Path::new("/b")], &[Path::new("/c")]));
        let third = LogGroup {
            rules: vec![crate::config::settings::config::RuleDirectory { level: RuleLevel::Server, path: "/r".into() }],
            journal: true,
            ..group(&[], &[])
        };
        let found = merged(&[one, third.clone(), other, third.clone()]);
        assert_eq!(found, [group(&[Path::new("/a"), Path::new("/b")], &[Path::new("/c")]), third]);
    }

    #[test]
    fn a_group_is_known_by_its_rules() {
        let mut group = group(&[], &[]);
        assert_eq!(name(&group), b"");
        for (level, path) in [(RuleLevel::Server, "/a"), (RuleLevel::Paranoid, "/b")] {
            group.rules.push(crate::config::settings::config::RuleDirectory { level, path: path.into() });
        }
        assert_eq!(name(&group), b"server:/a paranoid:/b");
    }
}
