//! Files that only grow, as logs do: one that is longer than the baseline has it is no finding while what it had before is still there.
//!
//! That is proved by the digests of its old part, which are kept where the hashing passes the size in the baseline. They come from the
//! same reading as those of the whole, so that nothing can be exchanged between the two. While a content cannot be read, the size and
//! the times in the baseline stay those of its digests, else the next reading would not know how long the old part is.

use crate::{
    config::settings::attribute_groups::Growth,
    content::hasher::{Evidence, WantedDigests},
    files::area::watched_areas::WatchedArea,
    model::{
        event::Event,
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{AlgorithmSet, Attributes, Entry, FileKind, HashState, Observation},
        },
    },
};

/// What moves when a file grows.
const MOVING: [Attribute; 4] = [Attribute::Size, Attribute::Content, Attribute::Mtime, Attribute::Ctime];

impl From<AlgorithmSet> for WantedDigests {
    fn from(algorithms: AlgorithmSet) -> Self {
        Self { algorithms, mark: None }
    }
}

impl WantedDigests {
    /// The same with the old part of a file that was `seen` to be longer than it is `known`: it may be one that grows, or a mailbox.
    pub(in crate::files) fn of_growing(self, known: Option<&Entry>, seen: &Attributes) -> Self {
        let mark = known.map(|entry| &entry.known).filter(|known| {
            known.attributes.kind == FileKind::Regular
                && seen.kind == FileKind::Regular
                && seen.size > known.attributes.size
                && !known.digests.algorithms().is_empty()
        });
        Self { mark: mark.map(|known| known.attributes.size), ..self }
    }
}

/// What a look means beside the baseline where files may grow.
#[derive(Debug)]
pub(in crate::files) struct Weighed {
    /// What was seen, as it is to be compared.
    pub(in crate::files) seen: Observation,
    /// What of it does not count.
    pub(super) forgiven: AttributeSet,
    /// What there is to say of a change of the content.
    pub(in crate::files) note: &'static str,
}

/// Weighs a look at a known path of `watched`.
pub(in crate::files) fn weigh(watched: &WatchedArea, known: &Observation, evidence: Evidence) -> Weighed {
    let Evidence { mut seen, old_part } = evidence;
    let old = &known.attributes;
    let (mut forgiven, mut note) = (AttributeSet::NONE, "");
    if !may_grow(watched, old, &seen.attributes) {
        return Weighed { seen, forgiven, note };
    }
    let is_first = known.digests.algorithms().is_empty() && is_to_be_read(known.hash_state);
    let is_overtaken = old_part.as_ref().is_some_and(|part| part.length != old.size);
    let proof = old_part.and_then(|part| known.digests.agree(&part.digests));
    if is_overtaken {
        // A command beside the daemon has stored what it has grown to while it was read: it has judged the content as well.
        (seen.hash_state, seen.digests) = (known.hash_state, known.digests.clone());
        (seen.attributes.size, seen.attributes.mtime, seen.attributes.ctime) = (old.size, old.mtime, old.ctime);
    } else if seen.attributes.size <= old.size {
        note = shrunk(known, &seen);
    } else if is_first || proof == Some(true) {
        // The first digests are learned, of what the file has grown to until then.
        forgiven = AttributeSet::of(&MOVING);
    } else if is_to_be_read(seen.hash_state) {
        (seen.attributes.size, seen.attributes.mtime, seen.attributes.ctime) = (old.size, old.mtime, old.ctime);
    } else if proof == Some(false) && old.inode == seen.attributes.inode {
        note = "its old part changed";
    }
    Weighed { seen, forgiven, note }
}

/// The event of a change with what there is to say of its content, unless something graver was said.
pub(in crate::files) fn with_note(event: Event, note: &'static str) -> Event {
    let is_content = event.changed.has(Attribute::Content) || event.changed.has(Attribute::Size);
    if is_content && event.note.is_empty() { event.with_note(note) } else { event }
}

/// What there is to say when a file that may grow has changed and is no longer than it was.
fn shrunk(known: &Observation, seen: &Observation) -> &'static str {
    let (old, new) = (&known.attributes, &seen.attributes);
    // Else the size is perhaps not that of the digests.
    let is_of_one_look = matches!(known.hash_state, HashState::Full | HashState::Busy);
    if old.inode != new.inode {
        ""
    } else if new.size < old.size {
        "it is shorter than before"
    } else if is_of_one_look && known.digests.agree(&seen.digests) == Some(false) {
        "its old part changed"
    } else {
        ""
    }
}

/// Whether the digests of a look in this state are those of another one, or still to come.
fn is_to_be_read(state: HashState) -> bool {
    matches!(state, HashState::Partial(_)) || state.is_trouble()
}

fn may_grow(watched: &WatchedArea, known: &Attributes, seen: &Attributes) -> bool {
    let is_file = known.kind == FileKind::Regular && seen.kind == FileKind::Regular;
    is_file && watched.settings.growth == Growth::Nothing
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::settings::config::{Area, Config},
        content::hasher::{Prefix, PrefixHasher},
        files::{
            area::watched_areas::WatchedAreas,
            compare::comparison::{Comparison, EntryVerdict},
        },
        model::{
            clock::{BootId, Boottime, Moment, Timestamp},
            file::entry::{Algorithm, AreaId, Digests, EntryId},
        },
    };

    const BLAKE3: AlgorithmSet = AlgorithmSet::NONE.with(Algorithm::Blake3);

    fn digests(content: &[u8]) -> Digests {
        Digests { blake3: Some(*blake3::hash(content).as_bytes()), ..Digests::default() }
    }

    fn seen(content: &[u8], time: i64) -> Observation {
        let time = Timestamp::from_nanos(time);
        Observation {
            attributes: Attributes {
                perms: 0o640,
                inode: 7,
                size: u64::try_from(content.len()).unwrap(),
                ..Attributes::sample(time)
            },
            hash_state: HashState::Full,
            digests: digests(content),
        }
    }

    fn read(content: &[u8], mark: usize) -> Evidence {
        let length = u64::try_from(mark).unwrap();
        Evidence { seen: seen(content, 2), old_part: Some(Prefix { length, digests: digests(&content[..mark]) }) }
    }

    fn entry(known: Observation) -> Entry {
        Entry {
            id: EntryId(1),
            parent: None,
            name: b"/log".to_vec(),
            area: AreaId(1),
            visit: 1,
            checked: Timestamp::from_nanos(1),
            recorded: AttributeSet::of(Attribute::ALL),
            reported: None,
            known,
        }
    }

    /// What is made of a look at a file of an area with the default attributes that may grow.
    fn judged(known: &Entry, evidence: impl Into<Evidence>) -> EntryVerdict {
        let area = Area { growth: Growth::Nothing, ..Area::new("/log".into()) };
        let areas = WatchedAreas::new(&Config::embedded(vec![area], "/state/db".into()), &[AreaId(1)]);
        let now = Moment { wall: Timestamp::from_nanos(9), boottime: Boottime::from_nanos(9), boot: BootId([0; 16]) };
        Comparison {
            watched: &areas.all[0],
            areas: &areas,
            now,
            is_own_mail: false,
            is_learning: false,
            shows_all: false,
        }
        .again(b"/log", known, evidence)
    }

    fn told(known: &Entry, evidence: impl Into<Evidence>) -> Vec<(Vec<&'static str>, String)> {
        let words = |event: Event| {
            let names = event.changed.iter().map(Attribute::name).collect();
            (names, String::from_utf8(event.note).unwrap())
        };
        judged(known, evidence).events.into_iter().map(words).collect()
    }

    #[test]
    fn what_grows_behind_its_old_part_is_learned_and_not_told() {
        let known = entry(seen(b"one\n", 1));
        let verdict = judged(&known, read(b"one\ntwo\n", 4));
        assert_eq!(verdict.events, []);
        assert_eq!(verdict.next.known, seen(b"one\ntwo\n", 2), "its size, its times and its digest are the new ones");
        assert_eq!(judged(&entry(seen(b"", 1)), read(b"one\n", 0)).events, [], "an empty file has an old part");
    }

    #[test]
    fn each_other_change_of_a_growing_file_is_told_with_its_kind() {
        let known = entry(seen(b"one\n", 1));
        let all = vec!["size", "content", "mtime", "ctime"];
        let changed = "its old part changed".to_owned();
        assert_eq!(told(&known, read(b"oNe\ntwo\n", 4)), [(all.clone(), changed.clone())]);
        assert_eq!(told(&known, seen(b"", 2)), [(all.clone(), "it is shorter than before".to_owned())]);
        assert_eq!(told(&known, seen(b"oNe\n", 2)), [(vec!["content", "mtime", "ctime"], changed)]);
        let mut other = read(b"one\ntwo\n", 4);
        other.seen.attributes.inode = 8;
        other.seen.attributes.perms = 0o666;
        assert_eq!(told(&known, other), [(vec!["perms", "inode"], String::new())], "a copy that has grown");
        let mut other = read(b"two\none\n", 4);
        other.seen.attributes.inode = 8;
        assert_eq!(told(&known, other), [(vec!["size", "content", "inode", "mtime", "ctime"], String::new())]);
    }

    #[test]
    fn growth_that_nothing_proves_is_a_change() {
        let known = entry(seen(b"one\n", 1));
        assert_eq!(told(&known, seen(b"one\ntwo\n", 2)).len(), 1, "nobody has looked at the old part");
        let mut unread = seen(b"one\n", 1);
        (unread.hash_state, unread.digests) = (HashState::Off, Digests::default());
        let grown = Observation { digests: Digests::default(), hash_state: HashState::Off, ..seen(b"one\ntwo\n", 2) };
        assert_eq!(told(&entry(unread), grown).len(), 1, "its content is not read");
    }

    #[test]
    fn a_reading_that_was_overtaken_by_another_says_nothing_of_the_content() {
        let known = entry(seen(b"one\ntwo\n", 2));
        let mut overtaken = read(b"one\ntwo\nthree\n", 4);
        assert_eq!(judged(&known, overtaken.clone()).next.known, known.known);
        assert_eq!(judged(&known, read(b"one\ntw", 4)).events, [], "it is not shorter, it was longer later");
        overtaken.seen.attributes.perms = 0o666;
        assert_eq!(told(&known, overtaken), [(vec!["perms"], String::new())]);
    }

    #[test]
    fn what_has_grown_and_was_not_read_waits_with_the_size_of_its_digests() {
        let known = entry(seen(b"one\n", 1));
        for state in [HashState::Partial(0), HashState::Unreadable(13), HashState::Busy] {
            let unread = Observation { hash_state: state, digests: digests(b"one\n"), ..seen(b"one\ntwo\n", 2) };
            let verdict = judged(&known, unread);
            assert!(verdict.events.iter().all(|event| event.changed.is_empty()), "{:?}", verdict.events);
            assert_eq!(verdict.next.known.attributes, known.known.attributes, "{state:?}");
            let quiet = told(&verdict.next, read(b"one\ntwo\n", 4)).into_iter().all(|(changed, _)| changed.is_empty());
            assert!(quiet, "{state:?}");
            let forged = told(&verdict.next, read(b"oNe\ntwo\n", 4));
            assert!(forged.iter().any(|(_, note)| note == "its old part changed"), "{forged:?}");
        }
        let (hash_state, digests) = (HashState::Partial(0), digests(b"one\n"));
        let shorter = Observation { hash_state, digests, ..seen(b"o\n", 2) };
        assert_eq!(told(&known, shorter), [(vec!["size", "mtime", "ctime"], "it is shorter than before".to_owned())]);
    }

    #[test]
    fn a_file_that_grows_before_it_was_ever_read_is_no_finding() {
        let unread = |content, time| {
            let hash_state = HashState::Partial(0);
            Observation { hash_state, digests: Digests::default(), ..seen(content, time) }
        };
        let known = entry(unread(b"one\n", 1));
        assert_eq!(told(&known, unread(b"one\ntwo\n", 2)), []);
        let verdict = judged(&known, seen(b"one\ntwo\n", 2));
        assert_eq!((verdict.events.len(), verdict.next.known), (0, seen(b"one\ntwo\n", 2)));
    }

    #[test]
    fn where_growth_is_a_change_nothing_is_forgiven() {
        let watched = WatchedArea::new(Area::new("/log".into()), AreaId(1));
        let known = seen(b"one\n", 1);
        let grown = read(b"one\ntwo\n", 4);
        let weighed = weigh(&watched, &known, grown);
        assert_eq!((weighed.forgiven, weighed.note), (AttributeSet::NONE, ""));
    }

    proptest! {
        #[test]
        fn the_old_part_ends_at_the_mark_however_the_bytes_come(
            content in prop::collection::vec(any::<u8>(), 1..5000),
            cuts in prop::collection::vec(1_usize..700, 1..20),
            mark in 0_usize..6000,
        ) {
            let length = u64::try_from(mark).unwrap();
            let mut hasher = PrefixHasher::new(WantedDigests { algorithms: BLAKE3, mark: Some(length) });
            let mut rest = content.as_slice();
            for cut in cuts.into_iter().cycle() {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                hasher.update(piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let (whole, old) = hasher.finish();
            prop_assert_eq!(whole, digests(&content));
            prop_assert_eq!(old, content.get(..mark).map(|old| Prefix { length, digests: digests(old) }));
        }
    }
}
