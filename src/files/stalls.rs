//! What becomes of mounts while we are on the way: what is new, what does not answer, and that it does again, each told once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    files::{
        area::{
            namespace::{Namespace, intrusion, mounts_of},
            overmounts::{named, review},
            watched_areas::{WatchedAreas, is_beneath},
        },
        baseline::learning::{note_not_entered, tell_of_barred},
        remote::remote_mount::Transition,
        walk::entry_check::EntryChecker,
    },
    model::{
        clock::Moment,
        event::{Category, Event, Severity},
    },
    store::{
        db::{Db, run_blocking},
        events::outcome::Outcome,
        sqlite::{connection::Store, error::StoreError},
    },
    sys::fs::mounts::Mount,
};

/// Reads what is mounted now, and tells of mounts within areas that are not entered or hide something, and of those that only our own
/// namespace has.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::files) async fn survey(
    db: &Db,
    checker: Arc<EntryChecker>,
    namespace: &Arc<Mutex<Namespace>>,
    now: Moment,
) -> Result<(), StoreError> {
    let (areas, namespace) = (Arc::clone(&checker.areas), Arc::clone(namespace));
    let look = move || {
        let new = checker.areas.survey();
        (new, namespace.lock().unwrap_or_else(PoisonError::into_inner).intruders(mounts_of))
    };
    let (new, intruders) = run_blocking(look).await;
    db.call(move |store| {
        tell_of_barred(store, &new, now)?;
        note_not_entered(store, &areas.not_entered(), now)?;
        if !intruders.is_empty() {
            let events = intruders.iter().map(|mount| intrusion(mount, now).into()).collect();
            store.commit(&Outcome { changes: Vec::new(), events })?;
        }
        review(store, &areas, now)
    })
    .await
}

impl EntryChecker {
    /// Takes note of what was mounted or unmounted a moment ago, and finds out what that hides before anything is looked at.
    pub(in crate::files) fn keep_up(&self) -> Result<(), StoreError> {
        if self.is_moving() { review(&mut self.db.lock(), &self.areas, self.clock.now()) } else { Ok(()) }
    }

    /// Whether `path` is hidden, also by what was mounted or unmounted a moment ago.
    pub(in crate::files) fn is_hidden(&self, path: &[u8]) -> Result<bool, StoreError> {
        self.keep_up()?;
        Ok(self.areas.is_covered(path))
    }

    /// Whether something was mounted or unmounted a moment ago, so that nothing is concluded from what is seen.
    pub(in crate::files) fn is_moving(&self) -> bool {
        self.areas.keep_up();
        self.areas.is_unreviewed()
    }
}

/// Tells what has become of slow mounts.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(in crate::files) fn tell_of_stalls(store: &mut Store, areas: &WatchedAreas, now: Moment) -> Result<(), StoreError> {
    let mut outcome = Outcome::default();
    let news = areas.mount_map.attend();
    if !news.is_empty() {
        store.flush()?;
    }
    for (mount, news) in news {
        let event = event(store, areas, &mount, &news, now)?;
        let last = store.told_last([Category::Stalled, Category::Answering], &event.source)?;
        // Not again after a restart, and nothing answers again of which nobody was told that it did not.
        if last.unwrap_or(Category::Answering) != event.category {
            outcome = outcome.with_event(event);
        }
    }
    if outcome.events.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}

pub(super) fn event(
    store: &Store,
    areas: &WatchedAreas,
    mount: &Mount,
    news: &Transition,
    now: Moment,
) -> Result<Event, StoreError> {
    let (area, count) = extent(store, areas, mount)?;
    let (category, severity, note) = match news {
        Transition::Stalled(why) => {
            let note = "nothing on it is looked at; it is tried again after a minute, then less and less often, at \
                        least every hour";
            (Category::Stalled, Severity::Normal, format!("{}: {why}; {note}", named(mount)))
        }
        Transition::Back => (Category::Answering, Severity::Normal, format!("{}: it is compared again", named(mount))),
    };
    let event = Event { area, count, ..Event::new(category, severity, now, mount.point.clone()) };
    Ok(event.with_note(note))
}

/// The area that a slow mount belongs to, and how many entries of the baseline lie on it.
fn extent(store: &Store, areas: &WatchedAreas, mount: &Mount) -> Result<(Vec<u8>, u64), StoreError> {
    let within = areas.all.iter().filter_map(|watched| Some((watched, watched.seen_as(&mount.point)?)));
    if let Some((watched, path)) = within.max_by_key(|(watched, _)| watched.path.len()) {
        let count = match store.entry_at(&watched.path, &path)? {
            Some(entry) => store.entries_below(entry.id)? + 1,
            None => 0,
        };
        return Ok((watched.path.clone(), count));
    }
    let mut on_it = (Vec::new(), 0);
    for watched in areas.all.iter().filter(|watched| is_beneath(&watched.real_of(&watched.path), &mount.point)) {
        on_it = (watched.path.clone(), on_it.1 + store.entries_of(watched.id)?);
    }
    Ok(on_it)
}
