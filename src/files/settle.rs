//! What was seen, against the baseline: learned, unchanged, or an event that is stored together with the new state.

use super::{
    compare::{alarm, compare, weigh},
    ground::Tract,
    target::Target,
    visit::{Looked, Visited, Visitor},
};
use crate::{
    model::{
        canonical::encode_observation,
        change::{Attribute, AttributeSet, ChangeClass, FileChange},
        clock::{Moment, Timestamp},
        entry::{Attributes, Digests, Entry, EntryId, FileKind, HashState, Observation},
        event::{Category, Event, Severity},
    },
    store::{
        areas::AreaState,
        database::Store,
        error::StoreError,
        outcome::{Found, Outcome, StateChange},
    },
};

impl Visitor {
    /// Compares what was seen with the baseline and stores the outcome.
    pub(super) fn settle(&self, looked: Looked, seen: Observation) -> Result<Visited, StoreError> {
        let mut store = self.db.lock();
        store.count_look(looked.read);
        let Some(tract) = self.ground.tracts.get(looked.target.area) else {
            return Ok(self.over(&looked.target.path, &mut store, false));
        };
        let now = self.clock.now();
        let visit = store.next_visit();
        let is_directory = seen.attributes.kind == FileKind::Directory;
        let (id, is_changed) = match looked.entry {
            None => self.meet(&mut store, tract, &looked.target, seen, (visit, now))?,
            Some(entry) => {
                let id = entry.id;
                let is_changed = self.meet_again(&mut store, tract, &looked.target, &entry, seen, (visit, now))?;
                (id, is_changed)
            }
        };
        Ok(Visited {
            key: self.key(&looked.target.path),
            visit,
            is_changed,
            directory: is_directory.then_some(id),
            is_area_active: true,
            read: looked.read_at_once,
        })
    }

    /// A path that is not in the baseline: learned in the first round, reported later.
    fn meet(
        &self,
        store: &mut Store,
        tract: &Tract,
        target: &Target,
        seen: Observation,
        (visit, now): (i64, Moment),
    ) -> Result<(EntryId, bool), StoreError> {
        let id = store.new_entry_id()?;
        let entry = Entry {
            id,
            parent: target.parent,
            name: target.name.clone(),
            area: tract.id,
            recorded: collected(&seen),
            known: seen.clone(),
            visit,
            checked: now.wall,
            reported: None,
        };
        let is_learning = Self::is_learning(store, tract)?;
        if is_learning {
            store.learn(entry);
            return Ok((id, false));
        }
        let change = FileChange { class: ChangeClass::Added, changed: AttributeSet::NONE, old: None, new: Some(seen) };
        let event = self.event(tract, target, change, now);
        store.commit(&Outcome::tell(event).with_change(StateChange::Put(Box::new(entry))))?;
        Ok((id, true))
    }

    /// A path of the baseline.
    fn meet_again(
        &self,
        store: &mut Store,
        tract: &Tract,
        target: &Target,
        entry: &Entry,
        mut seen: Observation,
        (visit, now): (i64, Moment),
    ) -> Result<bool, StoreError> {
        // Whether a directory can be listed shows when it is opened, not when it is looked at.
        if seen.attributes.kind == FileKind::Directory && matches!(entry.known.hash_state, HashState::Unreadable(_)) {
            seen.hash_state = entry.known.hash_state;
        }
        let over = tract.compared_at(&target.path).intersection(entry.recorded);
        let difference = compare(&entry.known, &seen, over);
        let is_kept = difference.is_some() && !tract.accepts_changes();
        let fingerprint = difference.as_ref().filter(|_| is_kept).map(|change| fingerprint(&seen, change.changed));
        let news = difference.filter(|_| fingerprint.is_none() || entry.reported != fingerprint);
        let events: Vec<Event> = news
            .into_iter()
            .map(|change| self.event(tract, target, change, now))
            .chain(state_event(entry, &seen, target, now))
            .map(|event| Event { area: tract.path.clone(), not_before: Some(entry.checked), ..event })
            .collect();
        let known = if is_kept {
            Observation { hash_state: seen.hash_state, ..entry.known.clone() }
        } else {
            self.kept_digests(tract, seen.clone())
        };
        let next = Entry {
            visit,
            checked: now.wall,
            reported: fingerprint,
            recorded: if is_kept { entry.recorded } else { collected(&seen).union(entry.recorded) },
            known,
            ..entry.clone()
        };
        Self::store_again(store, target, entry, next, events)
    }

    pub(super) fn store_again(
        store: &mut Store,
        target: &Target,
        entry: &Entry,
        next: Entry,
        events: Vec<Event>,
    ) -> Result<bool, StoreError> {
        if events.is_empty() {
            if next.known == entry.known && next.recorded == entry.recorded && next.reported == entry.reported {
                store.touch(entry.id, next.visit, next.checked);
            } else {
                store.learn(next);
            }
            return Ok(false);
        }
        let mut outcome = Outcome::default();
        for mut event in events {
            let mut members = Vec::new();
            let is_accepted = next.known.attributes.kind != FileKind::Directory;
            if event.category == Category::Retyped && entry.known.attributes.kind == FileKind::Directory && is_accepted
            {
                members = store.tree(entry, &target.path)?;
                event.count = u64::try_from(members.len()).unwrap_or(u64::MAX);
                outcome.changes.push(StateChange::RemoveChildren(entry.id));
            }
            outcome.events.push(Found { event, members });
        }
        store.commit(&outcome.with_change(StateChange::Put(Box::new(next))))?;
        Ok(true)
    }

    /// The observation with only those digests that are configured; the others have served to verify it.
    #[expect(clippy::unused_self, reason = "reads as one of the visitor's judgements")]
    fn kept_digests(&self, tract: &Tract, mut seen: Observation) -> Observation {
        let wanted = tract.settings.algorithms;
        if seen.hash_state == HashState::Full {
            for algorithm in seen.digests.algorithms().iter().filter(|algorithm| !wanted.has(*algorithm)) {
                seen.digests.clear(algorithm);
            }
        }
        seen
    }

    pub(super) fn event(&self, tract: &Tract, target: &Target, change: FileChange, now: Moment) -> Event {
        let severity = weigh(&change, self.urgent.matches(&target.path));
        let note = alarm(&change);
        Event {
            area: tract.path.clone(),
            changed: change.changed,
            old: change.old,
            new: change.new,
            ..Event::new(change.class.into(), severity, now, target.path.clone())
        }
        .with_note(note)
    }

    pub(super) fn is_learning(store: &Store, tract: &Tract) -> Result<bool, StoreError> {
        Ok(store.area_state(tract.id)? == Some(AreaState::Learning))
    }
}

/// The attributes that a look has collected.
fn collected(seen: &Observation) -> AttributeSet {
    let metadata = AttributeSet::of(&[
        Attribute::Type,
        Attribute::Size,
        Attribute::Perms,
        Attribute::Uid,
        Attribute::Gid,
        Attribute::Target,
        Attribute::Rdev,
        Attribute::Nlink,
        Attribute::Inode,
        Attribute::Mtime,
        Attribute::Ctime,
    ]);
    let with_content = if seen.digests.algorithms().is_empty() { metadata } else { metadata.with(Attribute::Content) };
    if seen.attributes.btime.is_some() { with_content.with(Attribute::Btime) } else { with_content }
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
    leave(Attribute::Xattrs, |seen| seen.xattrs = None);
    *blake3::hash(&encode_observation(&told)).as_bytes()
}

/// The event that tells of a new hash state, if that is worth one: one at the begin of a streak, one at the end of an
/// unreadable one.
pub(super) fn state_event(entry: &Entry, seen: &Observation, target: &Target, now: Moment) -> Option<Event> {
    let category = match (entry.known.hash_state, seen.hash_state) {
        (HashState::Unreadable(old), HashState::Unreadable(new)) if old == new => return None,
        (_, HashState::Unreadable(_)) => Category::Unreadable,
        (HashState::Busy, HashState::Busy) => return None,
        (_, HashState::Busy) => Category::Busy,
        (HashState::Unreadable(_), _) => Category::Readable,
        _ => return None,
    };
    let note = match seen.hash_state {
        HashState::Unreadable(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        _ => String::new(),
    };
    Some(
        Event {
            old: Some(entry.known.clone()),
            new: Some(seen.clone()),
            ..Event::new(category, Severity::Low, now, target.path.clone())
        }
        .with_note(note),
    )
}
