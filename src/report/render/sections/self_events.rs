//! What integrityd has to say in its own words: about itself, its logs and its rules.

use std::collections::BTreeMap;

use crate::{
    model::{
        escape::escape_name_cut,
        event::{Category, Severity, StoredEvent},
        format::{VALUE_LIMIT, counted, number},
    },
    report::render::format::{INDENT, Times, note_lines},
};

/// The lines of one event in our own words; `mark` is the width of the mark.
pub(crate) fn lines(stored: &StoredEvent, times: &Times<'_>, program: &str, mark: usize, out: &mut Vec<String>) {
    let event = &stored.event;
    let mut what = vec![event.category.word().to_owned()];
    if event.category == Category::BaselineEstablished {
        what.push(counted(event.count, "entry", "entries"));
    } else if event.category == Category::Pruned {
        what.push(counted(event.count, "event", "events"));
    } else if event.count > 1 {
        what.push(format!("{} times", number(event.count)));
    }
    what.push(times.short(event.found.wall));
    let place = if event.source.is_empty() { &event.area } else { &event.source };
    if !place.is_empty() {
        what.push(escape_name_cut(place, VALUE_LIMIT));
    }
    if let (Category::NotRunning, Some(from)) = (event.category, event.not_before) {
        what.push(format!("from {} to {}", times.short(from), times.short(event.found.wall)));
    }
    let (sign, width) = (event.severity.mark(), mark);
    out.push(format!("  {sign:<width$}  {}", what.join(" · ")));
    let notes = note_lines(&event.note, &format!("{program} show {}", stored.seq));
    out.extend(notes.into_iter().map(|line| format!("{INDENT}{line}")));
}

/// What a subject says of what has become of this program, its settings and its clock.
pub(crate) fn of_ourselves(sums: &BTreeMap<Category, u64>) -> Vec<String> {
    let words = [
        (Category::ProgramChanged, "program changed"),
        (Category::ConfigurationChanged, "configuration changed"),
        (Category::ClockJumped, "clock jumped"),
        (Category::NotRunning, "was not running"),
    ];
    words.into_iter().filter(|(category, _)| sums.contains_key(category)).map(|(_, words)| words.to_owned()).collect()
}

/// The entries of all baselines that were established, and the number of their areas; `None` when none was.
///
/// An event names one area, or has no area and lists several, one a line of its note.
pub(crate) fn established(events: &[StoredEvent]) -> Option<(u64, u64)> {
    let mut found = events
        .iter()
        .map(|stored| &stored.event)
        .filter(|event| event.category == Category::BaselineEstablished && event.severity > Severity::Count)
        .peekable();
    found.peek()?;
    Some(found.fold((0, 0), |(entries, areas), event| {
        let listed = event.note.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        let more = if event.area.is_empty() { u64::try_from(listed).unwrap_or(u64::MAX) } else { 1 };
        (event.count.saturating_add(entries), more.saturating_add(areas))
    }))
}
