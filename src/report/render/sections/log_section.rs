//! The log lines of a batch as items of a mail: equal ones folded, and places dealt in turns over logs and their programs.
//!
//! Anybody may write into a log, so a batch may hold 100,000 lines of 64 KiB. Of each program the first lines and the last are taken, one at
//! a time, and only what will be shown of them is kept. Three bounds end the taking: the items of a section, the bytes shown in it and the
//! bytes read for it. What is left out is counted by the database, by program.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
};

use crate::{
    model::{
        clock::Timestamp,
        escape::escape_cut,
        event::{Category, StoredEvent},
        log::stamp,
        originator::{Originator, OriginatorKey},
    },
    store::{
        events::append::Range,
        sqlite::{connection::Store, error::StoreError},
    },
};

/// The classes of log lines, in the order of their sections.
pub const SECTIONS: [Category; 3] = [Category::Cracking, Category::Violation, Category::SystemEvent];

/// Most bytes of a log line in a mail.
pub(crate) const LINE_LIMIT: usize = 4096;

/// Most bytes of text in one section; behind it lines are shown in short, up to as much again.
const MOST_SHOWN: usize = 256 << 10;

/// Most bytes of a log line that is shown in short.
const SHORT: usize = 160;

/// Most bytes of events that are read for one section, but for the first line of each program: 32 MiB are some 80,000 ordinary lines.
const MOST_READ: usize = 32 << 20;

/// Programs of which lines were left out that are looked for, and that are named.
const MOST_LEFT: u32 = 50;
const MOST_NAMED: usize = 3;

/// What an event takes beside its note, in bytes, roughly.
const OVERHEAD: usize = 256;

/// A log line, with those that are equal to it but for their time stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogItem {
    /// The number of the first of them.
    pub seq: u64,
    /// Its log, as raw bytes.
    pub source: Vec<u8>,
    /// Its log and program.
    pub originator: OriginatorKey,
    /// Its text: neutralised, and cut at 4 KiB.
    pub text: String,
    /// Where the text behind the time stamp begins; 0 when there is no stamp.
    pub stamp: usize,
    /// How many of its bytes are stored.
    pub stored: u64,
    /// How many bytes it had.
    pub length: u64,
    /// Whether the mail does not show all of it.
    pub is_cut: bool,
    /// How many lines this stands for.
    pub times: u64,
    /// When the last of them was found.
    pub last: Timestamp,
}

/// What a mail shows of one class of log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSection {
    /// The class.
    pub category: Category,
    /// Its items, by their numbers.
    pub items: Vec<LogItem>,
    /// Of which programs the most lines were left out, at most three, those of the most first.
    pub left: Vec<LeftOut>,
}

/// Lines of one program in one log that a mail does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The program, as raw bytes; empty where the lines name none.
    pub program: Vec<u8>,
    /// The log, as raw bytes.
    pub log: Vec<u8>,
    /// How many lines.
    pub lines: u64,
}

impl LogItem {
    /// Shown as far as it has at most `limit` bytes, and a quarter of them where each takes four characters.
    fn of(stored: &StoredEvent, limit: usize) -> Self {
        let event = &stored.event;
        let kept = u64::try_from(event.note.len()).unwrap_or(u64::MAX);
        let length = event.line.as_ref().map_or(kept, |line| line.length.max(kept));
        let (mut text, mut shown) = (escape_cut(&event.note, limit), limit);
        if text.len() > limit.saturating_mul(2) {
            (text, shown) = (escape_cut(&event.note, limit / 4), limit / 4);
        }
        Self {
            seq: stored.seq,
            source: event.source.clone(),
            originator: Originator::of(event).key(),
            text,
            stamp: stamp::length(&event.note),
            stored: kept,
            length,
            is_cut: usize::try_from(length).unwrap_or(usize::MAX) > shown,
            times: 1,
            last: event.found.wall,
        }
    }

    /// The text behind the time stamp.
    pub(crate) fn words(&self) -> &str {
        self.text.get(self.stamp..).unwrap_or(&self.text)
    }
}

/// Takes lines into items until a bound is met.
#[derive(Debug)]
pub(crate) struct Gathering {
    category: Category,
    limit: usize,
    items: Vec<LogItem>,
    /// Which item stands for which log and text.
    places: HashMap<(Vec<u8>, String), usize>,
    /// Of which programs a line was met.
    programs: HashSet<OriginatorKey>,
    shown: usize,
    read: usize,
}

impl Gathering {
    /// Nothing yet of `category`, for at most `limit` items.
    pub(crate) fn new(category: Category, limit: usize) -> Self {
        Self {
            category,
            limit: limit.max(1),
            items: Vec::new(),
            places: HashMap::new(),
            programs: HashSet::new(),
            shown: 0,
            read: 0,
        }
    }

    /// Takes the next line in the order of claims, until a bound is met.
    pub(crate) fn take(&mut self, stored: &StoredEvent) -> ControlFlow<()> {
        if self.has_taken(stored) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Whether there was room for the line.
    fn has_taken(&mut self, stored: &StoredEvent) -> bool {
        self.read = self.read.saturating_add(stored.event.note.len()).saturating_add(OVERHEAD);
        let mut fresh = LogItem::of(stored, LINE_LIMIT);
        let is_first = self.programs.insert(fresh.originator);
        if self.read > MOST_READ && !is_first {
            return false;
        }
        let key = (fresh.source.clone(), fresh.words().to_owned());
        if let Some(known) = self.places.get(&key).and_then(|place| self.items.get_mut(*place)) {
            fresh.times = known.times.saturating_add(1);
            fresh.last = known.last.max(fresh.last);
            if known.seq < fresh.seq {
                (known.times, known.last) = (fresh.times, fresh.last);
            } else {
                *known = fresh;
            }
            return true;
        }
        let shown = |item: &LogItem| item.text.len().saturating_add(item.source.len());
        let mut bytes = self.shown.saturating_add(shown(&fresh));
        if bytes > MOST_SHOWN {
            let short = LogItem::of(stored, SHORT);
            fresh = LogItem { stamp: fresh.stamp.min(short.text.len()), ..short };
            bytes = self.shown.saturating_add(shown(&fresh));
        }
        if self.items.len() >= self.limit || bytes > 2 * MOST_SHOWN {
            return false;
        }
        self.shown = bytes;
        self.places.insert(key, self.items.len());
        self.items.push(fresh);
        true
    }

    /// How many lines its items stand for, by log and program.
    pub(crate) fn told(&self) -> HashMap<OriginatorKey, u64> {
        let mut told = HashMap::new();
        for item in &self.items {
            *told.entry(item.originator).or_default() += item.times;
        }
        told
    }

    /// The section, and of which programs lines were left out.
    pub(crate) fn done(mut self, left: Vec<LeftOut>) -> LogSection {
        self.items.sort_by_key(|item| item.seq);
        LogSection { category: self.category, items: self.items, left }
    }
}

/// What a mail shows of the log lines of `range`, at most `limit` items a section; empty sections are left out.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or an event not be decoded.
pub(crate) fn gather(store: &Store, range: &Range, limit: usize) -> Result<Vec<LogSection>, StoreError> {
    let mut sections = Vec::new();
    for category in SECTIONS {
        let (mut gathering, mut is_full) = (Gathering::new(category, limit), false);
        store.lines_in_turns(range, category, limit, |stored| {
            let taken = gathering.take(stored);
            is_full = taken.is_break();
            taken
        })?;
        let left = if is_full { left_out(store, range, category, &gathering.told())? } else { Vec::new() };
        let section = gathering.done(left);
        if !section.items.is_empty() {
            sections.push(section);
        }
    }
    Ok(sections)
}

/// The programs with the most lines that were not `told`.
fn left_out(
    store: &Store,
    range: &Range,
    category: Category,
    told: &HashMap<OriginatorKey, u64>,
) -> Result<Vec<LeftOut>, StoreError> {
    let mut counts = store.originators_in(range, &[category], MOST_LEFT)?;
    for count in &mut counts {
        count.events = count.events.saturating_sub(told.get(&count.key).copied().unwrap_or(0));
    }
    counts.sort_by_key(|count| std::cmp::Reverse(count.events));
    let mut left = Vec::new();
    for count in counts.iter().filter(|count| count.events > 0).take(MOST_NAMED) {
        let Some(stored) = store.event(count.first)? else { continue };
        if let Originator::Program { log, program } = Originator::of(&stored.event) {
            left.push(LeftOut { program: program.to_vec(), log: log.to_vec(), lines: count.events });
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::render::test_events::{gathered, hostile, line};

    fn system(seq: u64, text: &[u8]) -> StoredEvent {
        line(seq, Category::SystemEvent, b"/var/log/syslog", text)
    }

    fn only(events: &[StoredEvent], limit: usize) -> LogSection {
        gathered(events, limit).pop().unwrap()
    }

    #[test]
    fn equal_lines_of_one_log_are_one_item_with_the_first_ones_stamp() {
        let mut events = vec![
            system(1, b"Nov 21 14:02:11 web3 x"),
            system(2, b"2026-11-21T14:02:12Z web3 x"),
            system(3, b"Nov 21 14:02:11 web3  x"),
            system(4, b"Nov 21 14:02:14 web3 x"),
        ];
        events.push(line(5, Category::SystemEvent, b"/var/log/other", b"Nov 21 14:02:15 web3 x"));
        let items = only(&events, 9).items;
        let found: Vec<_> = items.iter().map(|item| (item.seq, item.times, item.text.as_str())).collect();
        let wanted =
            [(1, 3, "Nov 21 14:02:11 web3 x"), (3, 1, "Nov 21 14:02:11 web3  x"), (5, 1, "Nov 21 14:02:15 web3 x")];
        assert_eq!(found, wanted);
    }

    #[test]
    fn long_lines_that_differ_behind_the_cut_are_not_equal() {
        let long = |end: u8| [vec![b'x'; 5000], vec![end]].concat();
        let events = [system(1, &long(b'a')), system(2, &long(b'b')), system(3, &long(b'a'))];
        let times: Vec<u64> = only(&events, 9).items.iter().map(|item| item.times).collect();
        assert_eq!(times, [2, 1]);
    }

    #[test]
    fn what_is_shown_is_bounded_in_bytes_too() {
        let events: Vec<_> = (1..=1000_u64)
            .map(|seq| system(seq, &[seq.to_string().into_bytes(), vec![0xff; 65_000]].concat()))
            .collect();
        let section = only(&events, 1000);
        let bytes: usize = section.items.iter().map(|item| item.text.len()).sum();
        assert!((MOST_SHOWN..=2 * MOST_SHOWN).contains(&bytes), "{bytes}");
        assert_eq!(
            (section.items.first().map(|item| item.seq), section.items.last().map(|item| item.seq)),
            (Some(1), Some(1000))
        );
    }

    #[test]
    fn long_lines_under_many_names_keep_out_no_other_program() {
        let mut events: Vec<_> = (1..=200_u64)
            .map(|seq| {
                system(seq, &[format!("Nov 21 14:02:11 web3 p{seq}: ").into_bytes(), vec![0xff; 65_000]].concat())
            })
            .collect();
        events.push(system(201, b"Nov 21 14:02:12 web3 sshd[1]: Accepted password for root"));
        let section = only(&events, 1000);
        assert_eq!(section.items.len(), 201);
        assert!(section.items.last().unwrap().text.ends_with("Accepted password for root"));
        assert!(section.items.iter().take(200).all(|item| item.is_cut));
    }

    proptest! {
        /// Every line stands in an item, or is counted as left out.
        #[test]
        fn no_line_is_lost_in_folding(texts in prop::collection::vec((0_u8..4, hostile()), 1..40), limit in 0_usize..12) {
            let events: Vec<_> = (1..).zip(texts).map(|(seq, (kind, text))| match kind {
                0 => system(seq, b"the same"),
                1 => system(seq, &[b"Nov 21 14:02:11 ", &text[..]].concat()),
                _ => system(seq, &text),
            }).collect();
            let mut gathering = Gathering::new(Category::SystemEvent, limit);
            let refused = events.iter().position(|stored| gathering.take(stored).is_break());
            let taken = refused.unwrap_or(events.len());
            let section = gathering.done(Vec::new());
            let told: u64 = section.items.iter().map(|item| item.times).sum();
            prop_assert_eq!(told, u64::try_from(taken).unwrap());
            prop_assert!(section.items.len() <= limit.max(1));
            prop_assert!(section.items.is_sorted_by(|one, other| one.seq < other.seq));
        }
    }
}
