//! What it means that an area or an entry is not there, or is another one than was known. Pure.

use crate::{
    files::area::watched_areas::WatchedArea,
    model::{
        clock::Moment,
        event::{Category, Event, Severity},
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{Attributes, Entry, FileKind, Observation},
        },
    },
    store::{
        baseline::{
            areas::{AreaRow, RootIdentity},
            missing::GONE,
        },
        events::outcome::StateChange,
    },
};

/// The event of a root to which another way leads than was known; `None` when that is not so, or was never recorded.
pub(in crate::files) fn retarget(
    watched: &WatchedArea,
    known: &Entry,
    seen: &Attributes,
    now: Moment,
) -> Option<Event> {
    let (before, after) = (known.known.attributes.target.as_ref()?, seen.target.as_ref()?);
    if before == after {
        return None;
    }
    let event = Event {
        area: watched.path.clone(),
        changed: AttributeSet::NONE.with(Attribute::Target),
        old: Some(known.known.clone()),
        new: Some(Observation { attributes: seen.clone(), ..known.known.clone() }),
        not_before: Some(known.checked),
        ..Event::new(Category::AreaReplaced, Severity::High, now, watched.path.clone())
    };
    Some(event.with_note("it leads elsewhere now; what lies there is compared with what is known, name by name"))
}

/// What becomes of an entry that is gone and was told.
pub(in crate::files) fn removal(watched: &WatchedArea, top: &Entry) -> StateChange {
    if watched.accepts_changes() {
        StateChange::RemoveTree(top.id)
    } else {
        StateChange::Put(Box::new(Entry { reported: Some(GONE), ..top.clone() }))
    }
}

/// The event of an area that cannot be compared, with its `count` entries.
pub(in crate::files) fn missing_event(watched: &WatchedArea, count: u64, why: &str, now: Moment) -> Event {
    Event {
        area: watched.path.clone(),
        count,
        ..Event::new(Category::AreaMissing, Severity::High, now, watched.path.clone())
    }
    .with_note(why)
}

/// Why the object at the root of an area cannot be the one its baseline belongs to; `None` when it can.
pub(in crate::files) fn misfit(
    watched: &WatchedArea,
    row: &AreaRow,
    known: Option<&Entry>,
    seen: &Attributes,
    now: Moment,
) -> Option<&'static str> {
    let root = row.root?;
    let is_file_area = known.is_some_and(|known| known.known.attributes.kind != FileKind::Directory);
    let is_retargeted = known.is_some_and(|known| retarget(watched, known, seen, now).is_some());
    if seen.kind != FileKind::Directory && !is_file_area {
        return Some("its root is no directory any more");
    }
    (!is_retargeted && is_elsewhere(root, seen, now))
        .then_some("its root lies on another file system: is something not mounted?")
}

/// Whether the root lies on another device than the baseline. Device numbers may change with a boot; then the
/// inode decides.
pub(in crate::files) fn is_elsewhere(root: RootIdentity, seen: &Attributes, now: Moment) -> bool {
    root.dev != seen.dev && (root.boot == now.boot || root.inode != seen.inode)
}
