//! What a look means: an arrival, nothing new, or events with the state that belongs to them. Pure: nothing is read or written here.

use crate::{
    content::{hasher::Evidence, racy::is_settled},
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas},
        compare::{
            diff::{COLLECTED, IN_XATTRS, compare},
            growth::{self, Weighed},
            own_mail,
            severity::{ChangeContext, InSystem, alarm, weigh},
        },
    },
    model::{
        canonical::encode_observation,
        clock::{Moment, Timestamp},
        event::{Category, Event, Severity},
        file::{
            attribute::{Attribute, AttributeSet},
            change::{ChangeClass, FileChange},
            entry::{Attributes, Digests, Entry, EntryId, FileKind, HashState, LONGEST_PATH, Observation},
            xattr::part,
        },
    },
};

/// What looks at one moment in one area are judged by.
#[derive(Debug, Clone, Copy)]
pub(in crate::files) struct Comparison<'a> {
    /// The area.
    pub(in crate::files) watched: &'a WatchedArea,
    /// All areas, with what is mounted in them and which paths matter more than others.
    pub(in crate::files) areas: &'a WatchedAreas,
    /// When it was looked.
    pub(in crate::files) now: Moment,
    /// Whether only mails of ours were added to what is looked at.
    pub(in crate::files) is_own_mail: bool,
    /// Whether the area is in its first round, which learns what it finds.
    pub(in crate::files) is_learning: bool,
    /// Whether what differs is shown whether it was told before or not, by a pass that stores nothing.
    pub(in crate::files) shows_all: bool,
}

/// What a look at a known path means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(in crate::files) struct EntryVerdict {
    /// The row as it is to be stored; its visit number is still the old one.
    pub(in crate::files) next: Entry,
    /// What is to be told, stored together with the row.
    pub(in crate::files) events: Vec<Event>,
}

impl Comparison<'_> {
    /// The row of a path that was not in the baseline.
    pub(in crate::files) fn new_entry(
        &self,
        id: EntryId,
        parent: Option<EntryId>,
        name: &[u8],
        seen: Observation,
    ) -> Entry {
        Entry {
            id,
            parent,
            name: name.to_vec(),
            area: self.watched.id,
            recorded: collected(&seen),
            known: seen,
            visit: 0,
            checked: self.now.wall,
            reported: None,
        }
    }

    /// The event of a path that was not in the baseline.
    pub(in crate::files) fn arrival(&self, path: &[u8], seen: Observation) -> Event {
        self.event(
            path,
            FileChange { class: ChangeClass::Added, changed: AttributeSet::NONE, old: None, new: Some(seen) },
        )
    }

    /// Compares what was seen at a path of the baseline.
    pub(in crate::files) fn again(&self, path: &[u8], entry: &Entry, evidence: impl Into<Evidence>) -> EntryVerdict {
        let Weighed { mut seen, forgiven, note } = growth::weigh(self.watched, &entry.known, evidence.into());
        // Whether a directory can be listed shows when it is opened, not when it is looked at.
        if seen.attributes.kind == FileKind::Directory && matches!(entry.known.hash_state, HashState::Unreadable(_)) {
            seen.hash_state = entry.known.hash_state;
        }
        keep_unasked(&mut seen.attributes, &entry.known.attributes);
        let counting = self.watched.compared_at(path).intersection(entry.recorded);
        // Such a number or time is another one at each look.
        let is_generated = seen.attributes.is_generated() || entry.known.attributes.is_generated();
        let counting =
            if is_generated { MADE_ANEW.into_iter().fold(counting, AttributeSet::without) } else { counting };
        let over = forgiven.iter().fold(counting, AttributeSet::without);
        let difference = compare(&entry.known, &seen, over);
        let is_kept = difference.is_some() && !self.watched.accepts_changes();
        let fingerprint = difference.as_ref().filter(|_| is_kept).map(|change| fingerprint(&seen, change.changed));
        let news = difference.filter(|_| fingerprint.is_none() || entry.reported != fingerprint);
        let events: Vec<Event> = news
            .into_iter()
            .map(|change| growth::with_note(self.weighed(path, change, self.context_of(path, entry)), note))
            .chain(self.state_event(path, entry, &seen))
            .map(|event| Event { not_before: Some(entry.checked), ..event })
            .collect();
        let known = if is_kept {
            Observation { hash_state: seen.hash_state, attributes: learned(entry, &seen), ..entry.known.clone() }
        } else {
            self.kept_digests(seen.clone())
        };
        let found = collected(&seen);
        let next = Entry {
            checked: self.now.wall,
            reported: fingerprint,
            recorded: if is_kept { found.intersection(LEARNED_BESIDE) } else { found }.union(entry.recorded),
            known,
            ..entry.clone()
        };
        EntryVerdict { next, events }
    }

    /// A path whose content cannot be read, or can be again; what else is known of it stays.
    pub(in crate::files) fn content_state(&self, path: &[u8], entry: &Entry, hash_state: HashState) -> EntryVerdict {
        let seen = Observation { hash_state, ..entry.known.clone() };
        let event = self.state_event(path, entry, &seen);
        let event = event.map(|event| Event { not_before: Some(entry.checked), ..event });
        EntryVerdict { next: Entry { known: seen, ..entry.clone() }, events: event.into_iter().collect() }
    }

    /// A directory in which paths are too long to be looked at, as `state` says, or none are any more; `beyond` entries of the baseline
    /// lie there and leave it.
    pub(in crate::files) fn limited(&self, path: &[u8], entry: &Entry, state: HashState, beyond: u64) -> EntryVerdict {
        let mut verdict = self.content_state(path, entry, state);
        if beyond > 0 {
            let what = if beyond == 1 { "1 entry beneath leaves" } else { &format!("{beyond} entries beneath leave") };
            let words = format!("{what} the baseline: longer than {LONGEST_PATH} bytes (PATH_MAX)");
            match verdict.events.iter_mut().find(|event| event.category == Category::Skipped) {
                Some(event) => event.note = [&event.note, &b"; "[..], words.as_bytes()].concat(),
                None => verdict.events.push(self.exclusion(entry, path, beyond).with_note(words)),
            }
        }
        verdict
    }

    /// The event of a path of the baseline that is gone, with everything beneath it: `count` entries in all.
    pub(in crate::files) fn departure(&self, top: &Entry, path: &[u8], count: u64) -> Event {
        let change = FileChange {
            class: ChangeClass::Removed,
            changed: AttributeSet::NONE,
            old: Some(top.known.clone()),
            new: None,
        };
        Event { count, not_before: Some(top.checked), ..self.event(path, change) }
    }

    /// The event of what was known as `known` at the path `from` and was seen at `path`: `count` entries in all. That it was renamed
    /// has moved its ctime; what else differs is told with it.
    pub(in crate::files) fn arrival_from(
        &self,
        (from, known): (&[u8], &Entry),
        path: &[u8],
        seen: Observation,
        count: u64,
    ) -> Event {
        let over = self.watched.compared_at(path).intersection(known.recorded).without(Attribute::Ctime);
        let changed = compare(&known.known, &seen, over).map_or(AttributeSet::NONE, |change| change.changed);
        let change = FileChange { class: ChangeClass::Moved, changed, old: Some(known.known.clone()), new: Some(seen) };
        let event = self.weighed(path, change, self.context(path, from));
        Event { previous: from.to_vec(), count, not_before: Some(known.checked), ..event }
    }

    /// The event of a part of the baseline that the configuration leaves out now.
    pub(in crate::files) fn exclusion(&self, top: &Entry, path: &[u8], count: u64) -> Event {
        Event {
            area: self.watched.path.clone(),
            count,
            old: Some(top.known.clone()),
            not_before: Some(top.checked),
            ..Event::new(Category::Excluded, Severity::Low, self.now, path.to_vec())
        }
    }

    /// The observation with only those digests that are configured; the others have served to verify it.
    fn kept_digests(&self, mut seen: Observation) -> Observation {
        let wanted = self.watched.settings.algorithms;
        if seen.hash_state == HashState::Full {
            for algorithm in seen.digests.algorithms().iter().filter(|algorithm| !wanted.has(*algorithm)) {
                seen.digests.clear(algorithm);
            }
        }
        seen
    }

    fn event(&self, path: &[u8], change: FileChange) -> Event {
        self.weighed(path, change, self.context(path, path))
    }

    /// What counts for a change at `path` of what was at `from` before.
    pub(super) fn context(&self, path: &[u8], from: &[u8]) -> ChangeContext {
        let WatchedAreas { urgent, system_directories, .. } = self.areas;
        ChangeContext {
            is_urgent: urgent.matches(path) || from != path && urgent.matches(from),
            system: InSystem::of(system_directories.hold(from), system_directories.hold(path)),
            is_ctime_sure: false,
        }
    }

    /// What counts for a change of an entry of the baseline in its place.
    fn context_of(&self, path: &[u8], entry: &Entry) -> ChangeContext {
        let is_ctime_sure = is_settled(&entry.known.attributes, entry.checked)
            && self.areas.mount_map.keeps_ctime(&self.watched.real_of(path));
        ChangeContext { is_ctime_sure, ..self.context(path, path) }
    }

    fn weighed(&self, path: &[u8], change: FileChange, at: ChangeContext) -> Event {
        let (severity, note) = match weigh(&change, at) {
            Severity::Normal if self.is_own_mail => (Severity::Count, own_mail::NOTE),
            severity => (severity, alarm(&change, at)),
        };
        Event {
            area: self.watched.path.clone(),
            changed: change.changed,
            old: change.old,
            new: change.new,
            ..Event::new(change.class.into(), severity, self.now, path.to_vec())
        }
        .with_note(note)
    }

    /// The event that tells of a new hash state, if that is worth one: one at the begin of a streak, one at the end of an
    /// unreadable one.
    fn state_event(&self, path: &[u8], entry: &Entry, seen: &Observation) -> Option<Event> {
        let category = match (entry.known.hash_state, seen.hash_state) {
            (HashState::Unreadable(old), HashState::Unreadable(new)) if old == new => return None,
            (_, HashState::PATHS_TOO_LONG) if seen.attributes.kind == FileKind::Directory => Category::Skipped,
            (HashState::Busy, HashState::Busy) | (HashState::TooBig, HashState::TooBig) => return None,
            (_, HashState::Unreadable(_) | HashState::TooBig) => Category::Unreadable,
            (_, HashState::Busy) => Category::Busy,
            (HashState::Unreadable(_), _) | (HashState::TooBig, HashState::Full) => Category::Readable,
            _ => return None,
        };
        let note = match seen.hash_state {
            HashState::PATHS_TOO_LONG if category == Category::Skipped => {
                format!("not all of it is entered: paths in it are longer than {LONGEST_PATH} bytes (PATH_MAX)")
            }
            HashState::Unreadable(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
            HashState::TooBig if seen.attributes.is_generated() => "the kernel makes more than 1 MiB of it".to_owned(),
            HashState::TooBig => {
                "its holes are larger than what is hashed: 128 GiB, more for what it holds, at most 1 TiB".to_owned()
            }
            _ => String::new(),
        };
        Some(
            Event {
                area: self.watched.path.clone(),
                old: Some(entry.known.clone()),
                new: Some(seen.clone()),
                ..Event::new(category, Severity::Low, self.now, path.to_vec())
            }
            .with_note(note),
        )
    }
}

/// What the kernel makes anew with each look-up of a file of its own.
const MADE_ANEW: [Attribute; 4] = [Attribute::Inode, Attribute::Mtime, Attribute::Ctime, Attribute::Btime];

/// The attributes that a look has collected.
pub(in crate::files) fn collected(seen: &Observation) -> AttributeSet {
    let it = &seen.attributes;
    let lacks = [
        (AttributeSet::NONE.with(Attribute::Content), seen.digests.algorithms().is_empty()),
        (AttributeSet::NONE.with(Attribute::Btime), it.btime.is_none()),
        (AttributeSet::NONE.with(Attribute::Flags), it.flags.is_none()),
        (IN_XATTRS, it.xattrs.is_none()),
    ];
    let lacking = lacks.into_iter().filter(|(_, is_lacking)| *is_lacking).flat_map(|(set, _)| set.iter());
    lacking.fold(COLLECTED, AttributeSet::without)
}

/// What cannot be asked for now, by this user or because a system call is refused, is as it was.
fn keep_unasked(seen: &mut Attributes, known: &Attributes) {
    if seen.xattrs.is_none() {
        seen.xattrs.clone_from(&known.xattrs);
    }
    seen.flags = seen.flags.or(known.flags);
    if seen.inode == known.inode {
        seen.btime = seen.btime.or(known.btime);
    }
}

/// What is learned of a path even while its old state is kept: later versions have come to record it.
const LEARNED_BESIDE: AttributeSet = IN_XATTRS.with(Attribute::Flags);

/// The attributes of the old state that is kept, with those that were never recorded.
fn learned(entry: &Entry, seen: &Observation) -> Attributes {
    let (known, seen) = (&entry.known.attributes, &seen.attributes);
    Attributes {
        xattrs: known.xattrs.clone().or_else(|| seen.xattrs.clone()),
        flags: if entry.recorded.has(Attribute::Flags) { known.flags } else { seen.flags },
        ..known.clone()
    }
}

/// The metadata of a look whose content was not read: for this reason, with the digests of the last stable look.
pub(in crate::files) fn without_content(
    seen: &Attributes,
    known: Option<&Entry>,
    hash_state: HashState,
) -> Observation {
    Observation {
        attributes: match (hash_state, known) {
            // Size and times go with the content; they stay those of the last stable read.
            (HashState::Busy, Some(entry)) => Attributes {
                size: entry.known.attributes.size,
                mtime: entry.known.attributes.mtime,
                ctime: entry.known.attributes.ctime,
                ..seen.clone()
            },
            _ => seen.clone(),
        },
        hash_state,
        digests: known.map(|entry| entry.known.digests.clone()).unwrap_or_default(),
    }
}

/// The entry as if nothing had been told of it yet; `state` is what is found now.
pub(in crate::files) fn untold(known: &Entry, state: HashState) -> Entry {
    let is_same = known.known.hash_state == state && state.is_trouble();
    let hash_state = if is_same { HashState::Off } else { known.known.hash_state };
    Entry { known: Observation { hash_state, ..known.known.clone() }, reported: None, ..known.clone() }
}

/// A digest of what differs: the same difference, found again, is told once.
fn fingerprint(seen: &Observation, changed: AttributeSet) -> [u8; 32] {
    let whole = &seen.attributes;
    let mut told = Observation {
        attributes: Attributes { dev: 0, btime: None, ..whole.clone() },
        hash_state: HashState::Off,
        digests: if changed.has(Attribute::Content) { seen.digests.clone() } else { Digests::default() },
    };
    let only = &mut told.attributes;
    let mut leave = |attribute, forget: fn(&mut Attributes)| {
        if !changed.has(attribute) {
            forget(only);
        }
    };
    leave(Attribute::Perms, |seen| seen.perms = 0);
    leave(Attribute::Uid, |seen| seen.uid = 0);
    leave(Attribute::Gid, |seen| seen.gid = 0);
    leave(Attribute::Nlink, |seen| seen.nlink = 0);
    leave(Attribute::Inode, |seen| seen.inode = 0);
    leave(Attribute::Rdev, |seen| seen.rdev = 0);
    leave(Attribute::Size, |seen| seen.size = 0);
    leave(Attribute::Mtime, |seen| seen.mtime = Timestamp::default());
    leave(Attribute::Ctime, |seen| seen.ctime = Timestamp::default());
    leave(Attribute::Target, |seen| seen.target = None);
    leave(Attribute::Flags, |seen| seen.flags = None);
    only.xattrs = only.xattrs.as_deref().map(|form| parts(form, changed)).filter(|form| !form.is_empty());
    *blake3::hash(&encode_observation(&told)).as_bytes()
}

/// What of the extended attributes belongs to what has changed.
fn parts(form: &[u8], changed: AttributeSet) -> Vec<u8> {
    IN_XATTRS.intersection(changed).iter().flat_map(|attribute| part(form, attribute)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::settings::config::{Area, Config},
        files::area::mount_map::MountMap,
        model::{
            clock::{BootId, Boottime},
            file::entry::AreaId,
        },
        sys::fs::mounts::Mount,
    };

    /// What is told of other content behind an old ctime at `/srv/x/f`, on a file system of this type, that was seen so long after it.
    fn told(kind: &str, seconds: i64) -> (Severity, bool) {
        let mount = |point: &str, kind: &str, id| Mount {
            point: point.into(),
            kind: kind.to_owned(),
            source: Vec::new(),
            owner: None,
            root: b"/".to_vec(),
            id,
            parent: id - 1,
        };
        let config = Config::embedded(vec![Area::new("/srv".into())], "/state/db".into());
        let mut areas = WatchedAreas::new(&config, &[AreaId(1)]);
        areas.mount_map = MountMap::of(vec![mount("/", "ext4", 1), mount("/srv/x", kind, 2)]);
        let changed = Timestamp::from_nanos(1_000_000_000);
        let known = Observation {
            attributes: Attributes::sample(changed),
            hash_state: HashState::Full,
            digests: Digests { blake3: Some([1; 32]), ..Digests::default() },
        };
        let mut seen = known.clone();
        seen.digests.blake3 = Some([2; 32]);
        let entry = Entry {
            id: EntryId(2),
            parent: Some(EntryId(1)),
            name: b"f".to_vec(),
            area: AreaId(1),
            recorded: AttributeSet::of(Attribute::ALL),
            known,
            visit: 1,
            checked: Timestamp::from_nanos(changed.as_nanos() + seconds * 1_000_000_000),
            reported: None,
        };
        let judge = Comparison {
            watched: &areas.all[0],
            areas: &areas,
            now: Moment { wall: changed, boottime: Boottime::default(), boot: BootId([0; 16]) },
            is_own_mail: false,
            is_learning: false,
            shows_all: false,
        };
        let events = judge.again(b"/srv/x/f", &entry, seen).events;
        let [event] = &events[..] else { panic!("{events:?}") };
        (event.severity, event.note.is_empty())
    }

    #[test]
    fn times_are_forged_only_where_the_file_system_keeps_them_and_its_clock_has_gone_on() {
        assert_eq!(told("ext4", 60), (Severity::High, false));
        assert_eq!(told("ext4", 1), (Severity::Normal, true));
        for kind in ["vfat", "exfat", "squashfs", "overlay", "fuse.sshfs", "nfs4"] {
            assert_eq!(told(kind, 60), (Severity::Normal, true), "{kind}");
        }
    }
}
