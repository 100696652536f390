//! What becomes of slow file systems: that one does not answer, and that it does again, each told once.

use super::{
    cover::{hidden, named},
    far::News,
    ground::{Ground, is_beneath},
    sweep::Scope,
};
use crate::{
    model::{
        clock::Moment,
        event::{Category, Event, Severity, StoredEvent},
    },
    store::{database::Store, error::StoreError, outcome::Outcome},
    sys::mounts::Mount,
};

/// Tells what has become of slow mounts.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(super) fn tell_of_stalls(store: &mut Store, ground: &Ground, now: Moment) -> Result<(), StoreError> {
    let mut outcome = Outcome::default();
    let news = ground.lay.attend();
    if !news.is_empty() {
        store.flush()?;
    }
    for (mount, news) in news {
        let event = event(store, ground, &mount, &news, now)?;
        let last = store.told_last([Category::Stalled, Category::Answering], &event.source)?;
        // Not again after a restart, and nothing answers again of which nobody was told that it did not.
        if last.unwrap_or(Category::Answering) != event.category {
            outcome = outcome.with_event(event);
        }
    }
    if outcome.events.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}

/// One event for each part of the areas that cannot be seen now, told before or not: it is hidden, or does not answer.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or written.
pub(super) fn unseen(store: &mut Store, ground: &Ground, now: Moment) -> Result<Vec<Event>, StoreError> {
    store.flush()?;
    let mut unseen = hidden(store, ground, now)?;
    for (mount, why) in ground.lay.stalled() {
        unseen.push(event(store, ground, &mount, &News::Stalled(why), now)?);
    }
    Ok(unseen)
}

/// Adds to findings what was not found just now but is so, as far as that was asked for.
pub(super) fn add(findings: &mut Vec<StoredEvent>, events: Vec<Event>, scope: &Scope) {
    for event in events.into_iter().filter(|event| scope.concerns(&event.source)) {
        let key = |event: &Event| (event.category, event.source.clone());
        if !findings.iter().any(|found| key(&found.event) == key(&event)) {
            findings.push(unstored(event));
        }
    }
}

/// A finding that is shown, not stored.
pub(super) fn unstored(event: Event) -> StoredEvent {
    StoredEvent { seq: 0, event, prev_hash: [0; 32], hash: [0; 32] }
}

fn event(store: &Store, ground: &Ground, mount: &Mount, news: &News, now: Moment) -> Result<Event, StoreError> {
    let (area, count) = extent(store, ground, mount)?;
    let (category, severity, note) = match news {
        News::Stalled(why) => {
            let note = "nothing on it is looked at; it is tried again after a minute, then less and less often, at \
                        least every hour";
            (Category::Stalled, Severity::Normal, format!("{}: {why}; {note}", named(mount)))
        }
        News::Back => (Category::Answering, Severity::Normal, format!("{}: it is compared again", named(mount))),
    };
    let event = Event { area, count, ..Event::new(category, severity, now, mount.point.clone()) };
    Ok(event.with_note(note))
}

/// The area that a slow mount belongs to, and how many entries of the baseline lie on it.
fn extent(store: &Store, ground: &Ground, mount: &Mount) -> Result<(Vec<u8>, u64), StoreError> {
    let within = ground.tracts.iter().filter_map(|tract| Some((tract, tract.seen_as(&mount.point)?)));
    if let Some((tract, path)) = within.max_by_key(|(tract, _)| tract.path.len()) {
        let count = match store.entry_at(&tract.path, &path)? {
            Some(entry) => store.entries_below(entry.id)? + 1,
            None => 0,
        };
        return Ok((tract.path.clone(), count));
    }
    let mut on_it = (Vec::new(), 0);
    for tract in ground.tracts.iter().filter(|tract| is_beneath(&tract.real_of(&tract.path), &mount.point)) {
        on_it = (tract.path.clone(), on_it.1 + store.entries_of(tract.id)?);
    }
    Ok(on_it)
}
