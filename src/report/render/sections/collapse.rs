//! A new directory with all that came with it is one piece of news, not a thousand.
//!
//! The walker meets what lies in it over minutes or hours, so that a report may go on with a directory that an earlier one has told of:
//! then that has a line of its own, which counts what was added since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    model::{
        event::{Category, Severity, StoredEvent},
        file::entry::FileKind,
        format::counted,
    },
    report::render::format::kind,
    store::{
        events::append::Range,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// More paths than this below one new directory are folded into its line.
const MOST: u64 = 20;

/// Most directories that are looked for among what earlier reports have told of.
const MOST_ABOVE: usize = 20_000;

/// A new directory with what was added below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Its path, as raw bytes, without a slash at the end.
    pub path: Vec<u8>,
    /// Whether it was told of in an earlier report.
    pub is_earlier: bool,
    /// Paths below it that were added in this batch, listed or not.
    pub added: u64,
}

/// What was added below a directory and is counted in its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Folded {
    directories: u64,
    others: u64,
    /// More of either, which were not read.
    more: u64,
    command: String,
}

/// Which events are folded into which.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    into: HashMap<u64, Folded>,
    /// The folded event and the one it is folded into.
    hidden: HashMap<u64, Root>,
    earlier: Vec<(Vec<u8>, Folded)>,
}

/// A directory into which is folded: its event, or its place among those of earlier reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Root {
    Here(u64),
    Earlier(usize),
}

impl Folded {
    fn total(&self) -> u64 {
        self.directories.saturating_add(self.others).saturating_add(self.more)
    }

    /// How many of what.
    pub(crate) fn counts(&self) -> String {
        if self.more > 0 {
            return counted(self.total(), "entry", "entries");
        }
        let mut what = Vec::new();
        if self.others > 0 {
            what.push(counted(self.others, "file", "files"));
        }
        if self.directories > 0 {
            what.push(counted(self.directories, "directory", "directories"));
        }
        what.join(" and ")
    }

    /// The line that stands for them.
    pub(crate) fn line(&self) -> String {
        format!("and {} added below it: {}", self.counts(), self.command)
    }
}

impl Folds {
    /// Finds the directories that were added with more than 20 paths below them. What is of high severity is never
    /// folded. `command` shows what is not listed; `grown` knows what is not among `events`. Cost O(total length of the paths).
    pub(crate) fn find(events: &[&StoredEvent], grown: &[Grown], command: &str) -> Self {
        let earlier: Vec<&Grown> = grown.iter().filter(|grown| grown.is_earlier).collect();
        let mut roots: HashMap<&[u8], Root> = HashMap::new();
        for stored in added(events).filter(|stored| kind(&stored.event) == Some(FileKind::Directory)) {
            roots.entry(trimmed(&stored.event.source)).or_insert(Root::Here(stored.seq));
        }
        roots.extend(earlier.iter().enumerate().map(|(place, grown)| (grown.path.as_slice(), Root::Earlier(place))));
        let mut below: HashMap<Root, (Folded, Vec<u64>)> = HashMap::new();
        for stored in added(events).filter(|stored| stored.event.severity <= Severity::Normal) {
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
        for grown in grown {
            if let Some((folded, _)) = roots.get(grown.path.as_slice()).and_then(|root| below.get_mut(root)) {
                folded.more = grown.added.saturating_sub(folded.total());
            }
        }
        let mut folds = Self::default();
        for (root, (mut folded, members)) in below {
            if folded.total() > MOST {
                command.clone_into(&mut folded.command);
                match root {
                    Root::Here(seq) => drop(folds.into.insert(seq, folded)),
                    Root::Earlier(place) => {
                        folds.earlier.extend(earlier.get(place).map(|grown| (grown.path.clone(), folded)));
                    }
                }
                folds.hidden.extend(members.into_iter().map(|member| (member, root)));
            }
        }
        folds.earlier.sort_by(|one, other| one.0.cmp(&other.0));
        folds
    }

    /// Whether the event with this number is counted in the line of another.
    pub(crate) fn hides(&self, seq: u64) -> bool {
        self.hidden.contains_key(&seq)
    }

    /// Those of `hidden` that are folded into one of `listed`, or into a directory of an earlier report.
    pub(crate) fn told<'a, 'b>(
        &self,
        listed: &[&StoredEvent],
        hidden: &'b [&'a StoredEvent],
    ) -> impl Iterator<Item = &'b &'a StoredEvent> {
        let listed: HashSet<u64> = listed.iter().map(|stored| stored.seq).collect();
        hidden.iter().filter(move |stored| match self.hidden.get(&stored.seq) {
            Some(Root::Here(root)) => listed.contains(root),
            Some(Root::Earlier(_)) => true,
            None => false,
        })
    }

    /// How many that were not read are counted in the lines of `listed` and of earlier directories.
    pub(crate) fn unread(&self, listed: &[&StoredEvent]) -> u64 {
        let here = listed.iter().filter_map(|stored| self.into.get(&stored.seq));
        let all = here.chain(self.earlier.iter().map(|(_, folded)| folded));
        all.fold(0, |sum, folded| sum.saturating_add(folded.more))
    }

    /// What is counted in the line of the event with this number.
    pub(crate) fn of(&self, seq: u64) -> Option<&Folded> {
        self.into.get(&seq)
    }

    /// The directories of earlier reports with what was added below them since.
    pub(crate) fn earlier(&self) -> &[(Vec<u8>, Folded)] {
        &self.earlier
    }
}

/// The new directories of a batch, and those of earlier reports it goes on with, with what was added below them in `range`. `events`
/// are those of the batch that were read.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(crate) fn grown(store: &Store, range: &Range, events: &[StoredEvent]) -> Result<Vec<Grown>, StoreError> {
    let events: Vec<&StoredEvent> = events.iter().collect();
    if u64::try_from(added(&events).count()).unwrap_or(u64::MAX) <= MOST {
        return Ok(Vec::new());
    }
    let is_directory = |stored: &&&StoredEvent| kind(&stored.event) == Some(FileKind::Directory);
    let roots: HashSet<&[u8]> =
        added(&events).filter(is_directory).map(|stored| trimmed(&stored.event.source)).collect();
    let mut above: BTreeSet<&[u8]> = BTreeSet::new();
    for stored in added(&events) {
        // A single path may lie in two thousand directories.
        if above.len() >= MOST_ABOVE {
            break;
        }
        above.extend(ancestors(&stored.event.source));
    }
    above.retain(|path| !roots.contains(path));
    let earlier = store.added_before(range.first, &above)?;
    // With a slash at the end, so that what lies beneath one comes right behind it.
    let mut counts: BTreeMap<(Vec<u8>, Vec<u8>), u64> = BTreeMap::new();
    for stored in added(&events) {
        let mut candidates = ancestors(&stored.event.source).chain([trimmed(&stored.event.source)]);
        if let Some(path) = candidates.find(|path| roots.contains(path) || earlier.contains(*path)) {
            counts.insert((stored.event.area.clone(), [path, b"/"].concat()), 0);
        }
    }
    store.each_added(range, |area, source| {
        let place = (area.to_vec(), source.to_vec());
        if let Some(((its, path), count)) = counts.range_mut(..place).next_back()
            && its == area
            && source.starts_with(path)
        {
            *count += 1;
        }
    })?;
    let grown = counts.into_iter().filter(|(_, added)| *added > MOST).map(|((_, mut path), added)| {
        path.pop();
        Grown { is_earlier: !roots.contains(path.as_slice()), path, added }
    });
    Ok(grown.collect())
}

fn added<'a, 'b>(events: &'b [&'a StoredEvent]) -> impl Iterator<Item = &'b &'a StoredEvent> {
    events.iter().filter(|stored| stored.event.category == Category::Added)
}

/// The directories that `path` lies below, topmost first.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = trimmed(path);
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(move |(place, _)| path.get(..place.max(1))).filter(move |parent| *parent != path)
}

fn trimmed(path: &[u8]) -> &[u8] {
    match path {
        [start @ .., b'/'] if !start.is_empty() => start,
        _ => path,
    }
}

/// The topmost new directory that `path` lies below.
fn topmost(path: &[u8], roots: &HashMap<&[u8], Root>) -> Option<Root> {
    ancestors(path).find_map(|parent| roots.get(parent).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::render::test_events;

    fn tree(files: u64) -> Vec<StoredEvent> {
        let mut events =
            vec![test_events::added_directory(1, b"/opt/app"), test_events::added_directory(2, b"/opt/app/lib")];
        events.extend((0..files).map(|file| test_events::added(file + 3, format!("/opt/app/lib/f{file}").as_bytes())));
        events.push(test_events::added(900, b"/opt/application"));
        events
    }

    #[test]
    fn a_full_new_directory_is_one_line() {
        let events = tree(30);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), &[], "see");
        assert_eq!(folds.of(1).unwrap().line(), "and 30 files and 1 directory added below it: see");
        assert!(folds.hides(2) && folds.hides(32) && !folds.hides(1) && !folds.hides(900));
        assert_eq!(folds.of(2), None);
    }

    #[test]
    fn a_handful_is_listed() {
        let events = tree(19);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), &[], "see");
        assert!(folds.of(1).is_none() && !folds.hides(3));
    }

    #[test]
    fn nothing_high_is_folded() {
        let mut events = tree(30);
        events[10].event.severity = Severity::High;
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), &[], "see");
        assert!(!folds.hides(events[10].seq) && folds.hides(events[11].seq));
    }

    #[test]
    fn the_root_directory_is_a_parent_too() {
        let roots = HashMap::from([(&b"/"[..], Root::Here(7))]);
        assert_eq!(topmost(b"/etc", &roots), Some(Root::Here(7)));
        assert_eq!(topmost(b"/", &roots), None);
        assert_eq!(topmost(b"", &roots), None);
    }

    #[test]
    fn a_directory_that_an_earlier_report_told_of_has_one_line_with_what_came_since() {
        let events: Vec<_> =
            (1..31).map(|seq| test_events::added(seq, format!("/opt/app/f{seq}").as_bytes())).collect();
        let events: Vec<_> = events.iter().collect();
        let grown = Grown { path: b"/opt/app".to_vec(), is_earlier: true, added: 1030 };
        let folds = Folds::find(&events, &[grown], "see");
        assert_eq!(folds.earlier().len(), 1);
        assert_eq!(folds.earlier()[0].1.line(), "and 1,030 entries added below it: see");
        assert_eq!((folds.unread(&[]), folds.told(&[], &events).count()), (1000, 30));
    }

    #[test]
    fn what_was_not_read_is_counted_as_well() {
        let events = tree(30);
        let grown = Grown { path: b"/opt/app".to_vec(), is_earlier: false, added: 2031 };
        let events: Vec<_> = events.iter().collect();
        let folds = Folds::find(&events, &[grown], "see");
        assert_eq!(folds.of(1).unwrap().line(), "and 2,031 entries added below it: see");
        assert_eq!((folds.unread(&events), folds.unread(&[])), (2000, 0));
    }
}
