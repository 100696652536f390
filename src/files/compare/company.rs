//! What goes with the top of a tree: how many entries, and which of them would be of high severity if they were told alone. Pure.

use crate::{
    files::compare::{
        comparison::Comparison,
        severity::{WeighedChange, weigh},
    },
    model::{
        escape::escape_name,
        event::{Event, Severity},
        file::{attribute::AttributeSet, change::ChangeClass, entry::Observation},
    },
};

/// How many paths are named with what they lie in.
const NAMED: usize = 5;

/// What goes with the top of a tree. Never holds more than a few paths.
#[derive(Debug, Default)]
pub(in crate::files) struct Company {
    /// All entries.
    pub(in crate::files) entries: u64,
    high: u64,
    named: Vec<Vec<u8>>,
}

impl Company {
    /// Takes in what was known as `known` at `path` and is gone.
    pub(in crate::files) fn add_removed(&mut self, judge: &Comparison<'_>, path: &[u8], known: &Observation) {
        let change =
            WeighedChange { class: ChangeClass::Removed, changed: AttributeSet::NONE, old: Some(known), new: None };
        self.add(weigh(change, judge.context(path, path)), path);
    }

    /// Takes in what was known as `known` at `from` and is at `path` now. It is named by its new path, unless it matters for its old one
    /// alone.
    pub(in crate::files) fn add_moved(
        &mut self,
        judge: &Comparison<'_>,
        (from, path): (&[u8], &[u8]),
        known: &Observation,
    ) {
        let changed = AttributeSet::NONE;
        let change = WeighedChange { class: ChangeClass::Moved, changed, old: Some(known), new: Some(known) };
        let weight = |before: &[u8]| weigh(change, judge.context(path, before));
        let severity = weight(from);
        let is_for_old =
            severity >= Severity::High && weight(path) < Severity::High && judge.areas.urgent.matches(from);
        self.add(severity, if is_for_old { from } else { path });
    }

    fn add(&mut self, severity: Severity, path: &[u8]) {
        self.entries += 1;
        if severity >= Severity::High {
            self.high += 1;
            if self.named.len() < NAMED {
                self.named.push(path.to_vec());
            }
        }
    }

    /// The same event, as severe as the severest that went with it, and naming those of high severity.
    pub(in crate::files) fn raise(&self, event: Event) -> Event {
        let Self { high, named, .. } = self;
        if *high == 0 || *high == 1 && named.first() == Some(&event.source) {
            return event;
        }
        let paths: Vec<String> = named.iter().map(|path| escape_name(path)).collect();
        let separator: &[u8] = if event.note.is_empty() { b"" } else { b"\n" };
        let note = format!("with {high} of high severity, among them {}", paths.join(", "));
        let note = [&event.note, separator, note.as_bytes()].concat();
        Event { severity: event.severity.max(Severity::High), note, ..event }
    }
}
