//! Which events of a batch are read to be listed: the gravest of each kind, as many as a mail may list and memory may hold.

use crate::{
    model::event::{Category, Kind, StoredEvent},
    store::{
        events::{append::Range, report_queries::Most},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// Most bytes of events that are held for a report, about: of those about files, and of each other kind. What they leave out is
/// counted, like what is beyond the lines of a section.
const MOST_READ: usize = 24 << 20;
const MOST_READ_OF_OTHERS: usize = 4 << 20;

/// The events of `range` that are listed, log lines aside: of each section at most `lines`, and of findings about files so many
/// `more`, because they are folded into the lines of others.
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
    // What happened to one path stays in its order.
    events.sort_by(|one, other| {
        let weight = other.event.severity.cmp(&one.event.severity);
        weight.then_with(|| one.event.source.cmp(&other.event.source)).then(one.seq.cmp(&other.seq))
    });
    Ok(events)
}
