//! New lines become events: what is ours is dropped, what rules know is judged, and what was cut is told.

use crate::{
    logs::{
        group::{notices, own_output::OwnLines},
        rules::{
            classifier::Classifier,
            layers::{LineMatches, LineVerdict},
        },
    },
    model::{
        clock::Moment,
        event::{Category, Event},
    },
    store::events::{internal_error::fault, outcome::StateChange},
    sys::{fault_injection, panic::catch_panic},
    tail::splitter::{LogRecord, without_trailing_space},
};

/// What lines are judged by.
#[derive(Debug)]
pub(in crate::logs) struct Judge<'a> {
    /// The rules.
    pub(in crate::logs) classifier: &'a mut Classifier,
    /// What this process has written to its own log.
    pub(in crate::logs) own: &'a OwnLines,
    /// The number of this process.
    pub(in crate::logs) pid: u32,
    /// Who reads: the group and its log.
    pub(in crate::logs) reader: Vec<u8>,
    /// For each record whether our own mail has caused it.
    pub(super) of_own_mail: &'a [bool],
}

/// A line to be judged.
struct GroupLine<'a> {
    /// Its beginning, without the white space at its end.
    bytes: &'a [u8],
    /// Its whole length.
    length: u64,
    /// Whether there is more of it than is judged.
    is_cut: bool,
    /// Whether our own mail has caused it.
    is_of_own_mail: bool,
}

impl Judge<'_> {
    /// The events of those new records of `log` for which `stays` holds, by their numbers. A line that our own code stumbles over is told like
    /// one that no rule knows.
    pub(in crate::logs) fn events(
        &mut self,
        log: &[u8],
        records: &[LogRecord],
        stays: impl Fn(usize) -> bool,
        now: Moment,
    ) -> Vec<Event> {
        let mut events: Vec<Event> = records.iter().filter_map(|record| notices::gap(record, now, log)).collect();
        let lines: Vec<GroupLine<'_>> = records
            .iter()
            .enumerate()
            .filter(|(number, _)| stays(*number))
            .filter_map(|(number, record)| {
                let is_of_own_mail = self.of_own_mail.get(number) == Some(&true);
                Some(GroupLine { is_of_own_mail, ..GroupLine::of(record)? })
            })
            .filter(|line| !line.bytes.is_empty() && !self.own.take(line.bytes, self.pid, &self.reader))
            .collect();
        let mut marks = Vec::with_capacity(lines.len());
        for line in &lines {
            let marked = catch_panic(|| {
                fault_injection::strike("line", line.bytes);
                self.classifier.marks(line.bytes)
            });
            marks.push(marked.unwrap_or_else(|_caught| {
                events.push(fault(log, "rules were tried on a line, which is told as if none knew it", now));
                LineMatches::default()
            }));
        }
        // What rules know of our own mails counts as their hit; what none knows is no event all the same.
        let judged = lines.into_iter().zip(self.classifier.verdicts(&marks));
        for (line, verdict) in judged.filter(|(line, _)| !line.is_of_own_mail) {
            let set = self.classifier.set();
            let (category, rule) = match verdict {
                LineVerdict::Cracking(rule) => (Category::Cracking, set.place(rule)),
                LineVerdict::Violation(rule) => (Category::Violation, set.place(rule)),
                LineVerdict::System => (Category::SystemEvent, Vec::new()),
                // A line that was cut may say anything behind the cut.
                LineVerdict::Ignored(_) | LineVerdict::Silenced { .. } if line.is_cut => {
                    (Category::SystemEvent, Vec::new())
                }
                LineVerdict::Ignored(_) | LineVerdict::Silenced { .. } => continue,
            };
            events.push(notices::line(category, now, log, line.bytes, line.length, rule));
        }
        events
    }
}

/// The count of the lines among new records.
pub(super) fn lines_in(records: &[LogRecord]) -> StateChange {
    let lines = records.iter().filter(|record| matches!(record, LogRecord::Line { .. })).count();
    StateChange::LinesRead(u64::try_from(lines).unwrap_or(u64::MAX))
}

/// Leaves one of the faults at the lines of a log; none when one `is_told` already.
pub(super) fn tell_faults_once(events: &mut Vec<Event>, is_told: impl FnOnce() -> bool) {
    let is_fault = |event: &Event| event.category == Category::InternalError;
    if events.iter().any(is_fault) {
        let mut is_told = is_told();
        events.retain(|event| !is_fault(event) || !std::mem::replace(&mut is_told, true));
    }
}

impl<'a> GroupLine<'a> {
    fn of(record: &'a LogRecord) -> Option<Self> {
        let LogRecord::Line { bytes, length } = record else { return None };
        let is_cut = u64::try_from(bytes.len()).is_ok_and(|kept| kept < *length);
        Some(Self { bytes: without_trailing_space(bytes), length: *length, is_cut, is_of_own_mail: false })
    }
}
