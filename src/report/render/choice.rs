//! Which events of a batch are read to be listed: the gravest of each kind, as many as a mail may list and memory may hold.

use crate::{
    model::{
        event::{Category, Kind, Severity, StoredEvent},
        originator::Originator,
    },
    report::render::batch::{BatchTally, FileShare},
    store::{
        events::{append::Range, report_queries::Most},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Most bytes of events that are held for a report, about: of those about files, and of each other kind. What they leave out is
/// counted, like what is beyond the lines of a section.
const MOST_READ: usize = 24 << 20;
const MOST_READ_OF_OTHERS: usize = 4 << 20;

/// Originators that are looked at to name those of what is left out.
const MOST_SHARES: u32 = 50;

/// The events of `range` that are listed, log lines aside, of each kind those with the best claim to a place first: of each section at most
/// `lines`, and of findings about files so many `more`, because they are folded into the lines of others.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or an event not be decoded.
pub(in crate::report) fn chosen(
    store: &Store,
    range: &Range,
    lines: usize,
    more: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events = Vec::new();
    for kind in [Kind::File, Kind::Own, Kind::Log, Kind::Process] {
        let categories: Vec<Category> =
            Category::ALL.iter().copied().filter(|category| category.kind() == kind && !category.is_line()).collect();
        let most = match kind {
            Kind::File => Most { events: lines.saturating_add(more), bytes: MOST_READ },
            Kind::Own | Kind::Log | Kind::Process => Most { events: lines, bytes: MOST_READ_OF_OTHERS },
        };
        events.extend(store.events_in(range, &categories, most)?);
    }
    Ok(events)
}

/// Who has made how many findings about files in `range`, those of the most first; empty where all of them are among `chosen`.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or an event not be decoded.
pub(in crate::report) fn shares(
    store: &Store,
    range: &Range,
    tally: &BatchTally,
    chosen: &[StoredEvent],
) -> Result<Vec<FileShare>, StoreError> {
    let is_file = |category: Category| category.kind() == Kind::File;
    let listed = chosen.iter().filter(|stored| is_file(stored.event.category)).count();
    let total = tally.count(|category, severity| is_file(category) && severity > Severity::Count);
    if u64::try_from(listed).is_ok_and(|listed| listed >= total) {
        return Ok(Vec::new());
    }
    let categories: Vec<Category> = Category::ALL
        .iter()
        .copied()
        .filter(|category| is_file(*category) && *category != Category::Unreadable)
        .collect();
    let mut shares = Vec::new();
    for count in store.originators_in(range, &categories, MOST_SHARES)? {
        let Some(stored) = store.event(count.first)? else { continue };
        if let Originator::Owner { uid, directory } = Originator::of(&stored.event) {
            let (area, key, events) = (count.area, count.key, count.events);
            shares.push(FileShare { area, key, owner: uid, directory: directory.to_vec(), events });
        }
    }
    Ok(shares)
}
