//! A new directory with all that came with it is one piece of news, not a thousand.
//!
//! What came with it is its owner's and changed no more than ten minutes after it, by the clock of the file system: what somebody else puts
//! there, or anybody weeks later, is news of its own. The walker meets what lies in it over minutes or hours, so that a report may go on with a directory that
//! an earlier one has told of: then that has a line of its own, which counts what was added since.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use crate::{
    model::{
        clock::Timestamp,
        event::{Category, Event, Severity, StoredEvent},
        file::entry::FileKind,
        format::counted,
        originator::{Originator, OriginatorKey, owner},
    },
    report::render::format::kind,
    store::{
        events::append::Range,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// How much later than a directory, as it was told of, may have changed what came with it.
const TOGETHER: Duration = Duration::from_mins(10);

/// More paths than this below one new directory are folded into its line.
const MOST: u64 = 20;

/// Most directories that are looked for among what earlier reports have told of.
const MOST_ABOVE: usize = 20_000;

/// A new directory with what was added below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Its path, as raw bytes, without a slash at the end.
    pub path: Vec<u8>,
    /// Its area, as raw bytes.
    pub area: Vec<u8>,
    /// Who owned it when it was told of.
    pub owner: Option<u32>,
    /// Its ctime when it was told of.
    pub changed: Timestamp,
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
    /// The area and the originator of those, where there are some.
    key: Option<(Vec<u8>, OriginatorKey)>,
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

/// A new directory, as far as it matters what came with it.
#[derive(Debug, Clone, Copy)]
struct NewDirectory {
    root: Root,
    owner: Option<u32>,
    changed: Timestamp,
}

impl NewDirectory {
    /// Whether `event`, about a path below it, came with it.
    fn came_with(&self, event: &Event) -> bool {
        // Nobody but root can set a ctime back.
        owner(event) == self.owner && changed(event) <= self.changed.after(TOGETHER)
    }
}

/// When what was added had changed last.
fn changed(event: &Event) -> Timestamp {
    event.new.as_ref().map_or(event.found.wall, |seen| seen.attributes.ctime)
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

    /// The line that stands for them, below that of the directory.
    pub(crate) fn line(&self) -> String {
        format!("    …and {} added below it: {}", self.counts(), self.command)
    }
}

impl Folds {
    /// Finds the directories that were added with more than 20 paths below them. What is of high severity is never
    /// folded. `command` shows what is not listed; `grown` knows what is not among `events`. Cost O(total length of the paths).
    pub(crate) fn find(events: &[&StoredEvent], grown: &[Grown], command: &str) -> Self {
        let earlier: Vec<&Grown> = grown.iter().filter(|grown| grown.is_earlier).collect();
        let mut roots: HashMap<&[u8], NewDirectory> = HashMap::new();
        for stored in added(events).filter(|stored| kind(&stored.event) == Some(FileKind::Directory)) {
            let (owner, changed) = (owner(&stored.event), changed(&stored.event));
            let fresh = NewDirectory { root: Root::Here(stored.seq), owner, changed };
            roots.entry(trimmed(&stored.event.source)).or_insert(fresh);
        }
        roots.extend(earlier.iter().enumerate().map(|(place, grown)| {
            let known = NewDirectory { root: Root::Earlier(place), owner: grown.owner, changed: grown.changed };
            (grown.path.as_slice(), known)
        }));
        let mut below: HashMap<Root, (Folded, Vec<u64>)> = HashMap::new();
        for stored in added(events).filter(|stored| stored.event.severity <= Severity::Normal) {
            let Some(root) = topmost(&stored.event, &roots) else {
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
            let root = roots.get(grown.path.as_slice()).map(|known| known.root);
            if let Some((folded, _)) = root.and_then(|root| below.get_mut(&root)) {
                folded.more = grown.added.saturating_sub(folded.total());
                // What lies below it.
                let below = [&grown.path, &b"/"[..]].concat();
                folded.key = Some((grown.area.clone(), Originator::of_file(&grown.area, &below, grown.owner).key()));
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

    /// How many that were not read are counted in the lines of `listed` and of earlier directories, with their areas and originators.
    pub(crate) fn unread(&self, listed: &[&StoredEvent]) -> impl Iterator<Item = (u64, (Vec<u8>, OriginatorKey))> {
        let here = listed.iter().filter_map(|stored| self.into.get(&stored.seq));
        let all = here.chain(self.earlier.iter().map(|(_, folded)| folded));
        all.filter_map(|folded| Some((folded.more, folded.key.clone()?)))
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
    let here: Vec<&StoredEvent> =
        added(&events).filter(|stored| kind(&stored.event) == Some(FileKind::Directory)).copied().collect();
    let roots: HashSet<&[u8]> = here.iter().map(|stored| trimmed(&stored.event.source)).collect();
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
    let mut grown: Vec<Grown> = Vec::new();
    let mut known: HashMap<&[u8], NewDirectory> = HashMap::new();
    // The last news of a path is what counts of earlier ones; of those of the batch the first, as in the report.
    for (stored, is_earlier) in
        here.iter().map(|stored| (*stored, false)).chain(earlier.iter().rev().map(|one| (one, true)))
    {
        let Event { source, area, .. } = &stored.event;
        let (path, owner, changed) = (trimmed(source), owner(&stored.event), changed(&stored.event));
        if !known.contains_key(path) {
            known.insert(path, NewDirectory { root: Root::Earlier(grown.len()), owner, changed });
            grown.push(Grown { path: path.to_vec(), area: area.clone(), owner, changed, is_earlier, added: 0 });
        }
    }
    store.each_added(range, |stored| {
        if let Some(Root::Earlier(place)) = topmost(&stored.event, &known)
            && let Some(grown) = grown.get_mut(place)
        {
            grown.added += 1;
        }
    })?;
    grown.retain(|grown| grown.added > MOST);
    Ok(grown)
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

/// The topmost new directory that what was added lies below and came with.
fn topmost(event: &Event, roots: &HashMap<&[u8], NewDirectory>) -> Option<Root> {
    let came_with = |parent: &[u8]| roots.get(parent).filter(|known| known.came_with(event)).map(|known| known.root);
    ancestors(&event.source).find_map(came_with)
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

    fn grown(path: &str, is_earlier: bool, added: u64) -> Grown {
        let (area, owner, changed) = (b"/opt".to_vec(), Some(0), test_events::ago(100_000));
        Grown { path: path.as_bytes().to_vec(), area, owner, changed, is_earlier, added }
    }

    fn unread(folds: &Folds, listed: &[&StoredEvent]) -> u64 {
        folds.unread(listed).map(|(more, _)| more).sum()
    }

    #[test]
    fn a_full_new_directory_is_one_line() {
        let events = tree(30);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), &[], "see");
        assert_eq!(folds.of(1).unwrap().line(), "    …and 30 files and 1 directory added below it: see");
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
        let known = NewDirectory { root: Root::Here(7), owner: Some(0), changed: test_events::ago(0) };
        let roots = HashMap::from([(&b"/"[..], known)]);
        let topmost = |path: &[u8]| topmost(&test_events::added(1, path).event, &roots);
        assert_eq!((topmost(b"/etc"), topmost(b"/"), topmost(b"")), (Some(Root::Here(7)), None, None));
    }

    #[test]
    fn what_is_another_owners_or_came_later_is_news_of_its_own() {
        let mut events = tree(30);
        let made = |event: &mut StoredEvent, uid: u32, after: u64| {
            let seen = &mut event.event.new.as_mut().unwrap().attributes;
            (seen.uid, seen.ctime) = (uid, test_events::ago(100_000).after(Duration::from_secs(after)));
        };
        made(&mut events[10], 1000, 0);
        made(&mut events[11], 0, 599);
        made(&mut events[12], 0, 601);
        let folds = Folds::find(&events.iter().collect::<Vec<_>>(), &[], "see");
        let is_hidden = |place: usize| folds.hides(events[place].seq);
        assert_eq!((is_hidden(10), is_hidden(11), is_hidden(12)), (false, true, false));
    }

    #[test]
    fn a_directory_that_an_earlier_report_told_of_has_one_line_with_what_came_since() {
        let events: Vec<_> =
            (1..31).map(|seq| test_events::added(seq, format!("/opt/app/f{seq}").as_bytes())).collect();
        let events: Vec<_> = events.iter().collect();
        let grown = grown("/opt/app", true, 1030);
        let folds = Folds::find(&events, &[grown], "see");
        assert_eq!(folds.earlier().len(), 1);
        assert_eq!(folds.earlier()[0].1.line(), "    …and 1,030 entries added below it: see");
        assert_eq!((unread(&folds, &[]), folds.told(&[], &events).count()), (1000, 30));
    }

    #[test]
    fn what_was_not_read_is_counted_as_well() {
        let events = tree(30);
        let grown = grown("/opt/app", false, 2031);
        let events: Vec<_> = events.iter().collect();
        let folds = Folds::find(&events, &[grown], "see");
        assert_eq!(folds.of(1).unwrap().line(), "    …and 2,031 entries added below it: see");
        assert_eq!((unread(&folds, &events), unread(&folds, &[])), (2000, 0));
    }
}
