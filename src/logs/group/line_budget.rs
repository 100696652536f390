//! How much of the state directory the lines of one program may take within an hour.

use std::{collections::HashMap, time::Duration};

use crate::model::{
    canonical::digest,
    clock::{Moment, Timestamp},
    escape::escape_name_cut,
    event::{Category, Event, Severity},
    format::VALUE_LIMIT,
    originator::{Originator, OriginatorKey},
};

/// Bytes of the lines of one program in one log that are stored whole within an hour.
const MOST: u64 = 16 << 20;

/// Bytes that are stored of each line beyond them.
const KEPT: usize = 1024;

const WINDOW: Duration = Duration::from_hours(1);

/// Programs that have a budget of their own; those beyond them share one: anybody may write under any name.
const MOST_PROGRAMS: usize = 64;

/// What each program has spent.
#[derive(Debug, Default)]
pub(in crate::logs) struct LineBudgets {
    own: HashMap<OriginatorKey, Spent>,
    shared: Spent,
}

#[derive(Debug, Default)]
struct Spent {
    since: Option<Timestamp>,
    bytes: u64,
    is_told: bool,
}

impl LineBudgets {
    /// Shortens those of these lines that are beyond the budgets of their programs, and tells it once an hour for each. Of a line that
    /// is shortened stay its first 1 KiB, its length and its digest; rules have judged all of it.
    pub(in crate::logs) fn apply(&mut self, events: &mut Vec<Event>, now: Moment) {
        self.own.retain(|_, spent| spent.since.is_some_and(|since| now.wall.since(since) < WINDOW));
        let mut told = Vec::new();
        for event in events.iter_mut() {
            let Originator::Program { log, program } = Originator::of(event) else { continue };
            let spent = self.of(Originator::of(event).key());
            if spent.spend(u64::try_from(event.note.len()).unwrap_or(u64::MAX), now.wall) {
                continue;
            }
            if event.note.len() > KEPT && !std::mem::replace(&mut spent.is_told, true) {
                told.push(notice(log, program, now));
            }
            shorten(event);
        }
        events.extend(told);
    }

    fn of(&mut self, key: OriginatorKey) -> &mut Spent {
        if self.own.len() < MOST_PROGRAMS || self.own.contains_key(&key) {
            self.own.entry(key).or_default()
        } else {
            &mut self.shared
        }
    }
}

impl Spent {
    /// Whether there was room for so many bytes.
    fn spend(&mut self, bytes: u64, now: Timestamp) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= WINDOW || since > now) {
            *self = Self { since: Some(now), bytes: 0, is_told: false };
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= MOST
    }
}

fn shorten(event: &mut Event) {
    if let Some(line) = event.line.as_mut().filter(|_| event.note.len() > KEPT) {
        line.digest = Some(digest(&event.note));
        event.note.truncate(KEPT);
    }
}

fn notice(log: &[u8], program: &[u8], now: Moment) -> Event {
    let who = if program.is_empty() {
        "its lines".to_owned()
    } else {
        format!("the lines of {}", escape_name_cut(program, VALUE_LIMIT))
    };
    let note = format!(
        "{who} have more than {} MiB within an hour: of each further one the first {KEPT} bytes, its length and its digest are stored",
        MOST >> 20
    );
    Event::new(Category::LogNote, Severity::Normal, now, log.to_vec()).with_note(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        logs::group::notices,
        model::clock::{BootId, Boottime},
    };

    fn at(minutes: u64) -> Moment {
        let start = Moment { wall: Timestamp::from_nanos(0), boottime: Boottime::from_nanos(0), boot: BootId([0; 16]) };
        start.after(Duration::from_mins(minutes))
    }

    fn line(program: &str, length: usize, now: Moment) -> Event {
        let text = format!("Nov 21 14:02:11 web3 {program}[1]: {}", "x".repeat(length));
        let length = u64::try_from(text.len()).unwrap();
        notices::line(Category::SystemEvent, now, b"/log/a", text.as_bytes(), length, Vec::new())
    }

    /// How many of 20 lines of 1 MiB stay whole, and how often something is told.
    fn poll(budgets: &mut LineBudgets, program: &str, minutes: u64) -> (usize, usize) {
        let mut events: Vec<Event> = (0..20).map(|_| line(program, 1 << 20, at(minutes))).collect();
        budgets.apply(&mut events, at(minutes));
        let told = events.iter().filter(|event| event.category == Category::LogNote).count();
        (events.iter().filter(|event| event.note.len() > 1 << 20).count(), told)
    }

    #[test]
    fn beyond_its_budget_of_an_hour_a_programs_lines_are_stored_in_short_and_it_is_told_once() {
        let mut budgets = LineBudgets::default();
        assert_eq!(poll(&mut budgets, "user", 0), (15, 1));
        assert_eq!(poll(&mut budgets, "user", 30), (0, 0));
        assert_eq!(poll(&mut budgets, "sshd", 30), (15, 1));
        assert_eq!(poll(&mut budgets, "user", 61), (15, 1));
        let mut events = vec![line("user", 5000, at(61)), line("user", 900, at(61))];
        let whole = events[0].note.clone();
        budgets.apply(&mut events, at(61));
        let kept = events[0].line.as_ref().unwrap();
        assert_eq!(events[0].note, whole[..KEPT]);
        assert_eq!((kept.length, kept.digest), (5030, Some(digest(&whole))));
        assert_eq!(events[1].line.as_ref().unwrap().digest, None);
    }

    #[test]
    fn names_without_end_share_one_budget() {
        let mut budgets = LineBudgets::default();
        let whole: usize = (0..100).map(|number| poll(&mut budgets, &format!("p{number}"), 0).0).sum();
        assert_eq!(whole, (MOST_PROGRAMS + 1) * 15);
    }
}
