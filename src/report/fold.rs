//! A new directory with all that came with it is one piece of news, not a thousand.

use std::collections::{HashMap, HashSet};

use super::{item::kind, words::counted};
use crate::model::{
    entry::FileKind,
    event::{Category, Severity, StoredEvent},
};

/// More paths than this below one new directory are folded into its line.
const MOST: u64 = 20;

/// What was added below a directory and is counted in its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Folded {
    directories: u64,
    others: u64,
    command: String,
}

/// Which events are folded into which.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    into: HashMap<u64, Folded>,
    /// The folded event and the one it is folded into.
    hidden: HashMap<u64, u64>,
}

impl Folded {
    fn total(&self) -> u64 {
        self.directories.saturating_add(self.others)
    }

    /// The line that stands for them.
    pub(crate) fn line(&self) -> String {
        let mut what = Vec::new();
        if self.others > 0 {
            what.push(counted(self.others, "file", "files"));
        }
        if self.directories > 0 {
            what.push(counted(self.directories, "directory", "directories"));
        }
        format!("and {} added below it: {}", what.join(" and "), self.command)
    }
}

impl Folds {
    /// Finds the directories that were added with more than 20 paths below them. What is of high severity is never
    /// folded. `command` shows what is not listed. Cost O(total length of the paths).
    pub(crate) fn find(events: &[&StoredEvent], command: &str) -> Self {
        let added = || events.iter().filter(|stored| stored.event.category == Category::Added);
        let mut roots: HashMap<&[u8], u64> = HashMap::new();
        for stored in added().filter(|stored| kind(&stored.event) == Some(FileKind::Directory)) {
            roots.entry(trimmed(&stored.event.source)).or_insert(stored.seq);
        }
        let mut below: HashMap<u64, (Folded, Vec<u64>)> = HashMap::new();
        for stored in added().filter(|stored| stored.event.severity <= Severity::Normal) {
            let Some(root) = topmost(&stored.event.source, &roots) else {
                continue;
            };
            let (folded, members) = below.entry(root).or_default();
            match kind(&stored.event) {
                Some(FileKind::Directory) => folded.directories += 1,
                _ => folded.others += 1,
            }
            members.push(stored.seq);
        }
        let mut folds = Self::default();
        for (root, (mut folded, members)) in below {
            if folded.total() > MOST {
                command.clone_into(&mut folded.command);
                folds.into.insert(root, folded);
                folds.hidden.extend(members.into_iter().map(|member| (member, root)));
            }
        }
        folds
    }

    /// Whether the event with this number is counted in the line of another.
    pub(crate) fn hides(&self, seq: u64) -> bool {
        self.hidden.contains_key(&seq)
    }

    /// Those of `hidden` that are folded into one of `listed`.
    pub(crate) fn told<'a, 'b>(
        &self,
        listed: &[&StoredEvent],
        hidden: &'b [&'a StoredEvent],
    ) -> impl Iterator<Item = &'b &'a StoredEvent> {
        let listed: HashSet<u64> = listed.iter().map(|stored| stored.seq).collect();
        hidden.iter().filter(move |stored| self.hidden.get(&stored.seq).is_some_and(|root| listed.contains(root)))
    }

    /// What is counted in the line of the event with this number.
    pub(crate) fn of(&self, seq: u64) -> Option<&Folded> {
        self.into.get(&seq)
    }
}

fn trimmed(path: &[u8]) -> &[u8] {
    match path {
        [start @ .., b'/'] if !start.is_empty() => start,
        _ => path,
    }
}

/// The event of the topmost new directory that `path` lies below.
fn topmost(path: &[u8], roots: &HashMap<&[u8], u64>) -> Option<u64> {
    let path = trimmed(path);
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes
        .filter_map(|(place, _)| path.get(..place.max(1)))
        .filter(|parent| *parent != path)
        .find_map(|parent| roots.get(parent).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn tree(files: u64) -> Vec<StoredEvent> {
        let mut events = vec![sample::added_directory(1, b"/opt/app"), sample::added_directory(2, b"/opt/app/lib")];
        events.extend((0..files).map(|file| sample::added(file + 3, format!("/opt/app/lib/f{file}").as_bytes())));
        events.push(sample::added(900, b"/opt/application"));
        events
    }

    #[test]
    fn a_full_new_directory_is_one_line() {
        let events = tree(30);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), "see");
        assert_eq!(folds.of(1).unwrap().line(), "and 30 files and 1 directory added below it: see");
        assert!(folds.hides(2) && folds.hides(32) && !folds.hides(1) && !folds.hides(900));
        assert_eq!(folds.of(2), None);
    }

    #[test]
    fn a_handful_is_listed() {
        let events = tree(19);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), "see");
        assert!(folds.of(1).is_none() && !folds.hides(3));
    }

    #[test]
    fn nothing_high_is_folded() {
        let mut events = tree(30);
        events[10].event.severity = Severity::High;
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), "see");
        assert!(!folds.hides(events[10].seq) && folds.hides(events[11].seq));
    }

    #[test]
    fn the_root_directory_is_a_parent_too() {
        let roots = HashMap::from([(&b"/"[..], 7)]);
        assert_eq!(topmost(b"/etc", &roots), Some(7));
        assert_eq!(topmost(b"/", &roots), None);
        assert_eq!(topmost(b"", &roots), None);
    }
}
