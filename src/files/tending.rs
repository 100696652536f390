//! What becomes of slow file systems: that one does not answer, and that it does again, each told once.

use super::{
    far::News,
    ground::{Ground, is_beneath},
};
use crate::{
    model::{
        clock::Moment,
        escape::{escape, escape_name},
        event::{Category, Event, Severity},
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
    for event in stalls(store, ground, now)? {
        let last = store.told_last([Category::Stalled, Category::Answering], &event.source)?;
        // Not again after a restart, and nothing answers again of which nobody was told that it did not.
        if last.unwrap_or(Category::Answering) != event.category {
            outcome = outcome.with_event(event);
        }
    }
    if outcome.events.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}

/// What has become of slow mounts, told before or not.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(super) fn stalls(store: &mut Store, ground: &Ground, now: Moment) -> Result<Vec<Event>, StoreError> {
    let news = ground.lay.attend();
    if news.is_empty() {
        return Ok(Vec::new());
    }
    store.flush()?;
    news.into_iter().map(|(mount, news)| event(store, ground, &mount, &news, now)).collect()
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

/// What is mounted: `nfs4 server:/export`.
pub(super) fn named(mount: &Mount) -> String {
    format!("{} {}", escape(mount.kind.as_bytes()), escape_name(&mount.source))
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
