//! The log lines of a batch as items of a mail: equal ones folded, the first and the last kept, whatever was logged.
//!
//! Anybody may write into a log, so a batch may hold 100,000 lines of 64 KiB. Lines are therefore taken one at a time, from both
//! ends of the batch, and only what will be shown of them is kept. Three bounds end the taking: the items of a section, the bytes
//! shown in it and the bytes read for it. What lies between the ends is counted by the database.

use std::{collections::HashMap, ops::ControlFlow};

use crate::{
    model::{
        clock::Timestamp,
        escape::escape_cut,
        event::{Category, StoredEvent},
    },
    store::{
        events::{append::Range, history::HistoryOrder},
        sqlite::{connection::Store, error::StoreError},
    },
};

/// The classes of log lines, in the order of their sections.
pub const SECTIONS: [Category; 3] = [Category::Cracking, Category::Violation, Category::SystemEvent];

/// Most bytes of a log line in a mail.
pub(crate) const LINE_LIMIT: usize = 4096;

/// Most bytes of text in one section.
const MOST_SHOWN: usize = 512 << 10;

/// Most bytes of events that are read for one section: 32 MiB are some 80,000 ordinary lines.
const MOST_READ: usize = 32 << 20;

/// What an event takes beside its note, in bytes, roughly.
const OVERHEAD: usize = 256;

/// A log line, with those that are equal to it but for their time stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogItem {
    /// The number of the first of them.
    pub seq: u64,
    /// Its log, as raw bytes.
    pub source: Vec<u8>,
    /// Its text: neutralised, and cut at 4 KiB.
    pub text: String,
    /// Where the text behind the time stamp begins; 0 when there is no stamp.
    pub stamp: usize,
    /// How many of its bytes are stored.
    pub stored: u64,
    /// How many bytes it had.
    pub length: u64,
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
    /// The numbers of events between which lines were left out; both ends included.
    pub gap: Option<(u64, u64)>,
    /// How many logs the lines come from that no item stands for.
    pub logs_left: u64,
}

impl LogItem {
    fn of(stored: &StoredEvent) -> Self {
        let event = &stored.event;
        let kept = u64::try_from(event.note.len()).unwrap_or(u64::MAX);
        Self {
            seq: stored.seq,
            source: event.source.clone(),
            text: escape_cut(&event.note, LINE_LIMIT),
            stamp: stamp_length(&event.note),
            stored: kept,
            length: event.line.as_ref().map_or(kept, |line| line.length.max(kept)),
            times: 1,
            last: event.found.wall,
        }
    }

    /// The text behind the time stamp.
    pub(crate) fn words(&self) -> &str {
        self.text.get(self.stamp..).unwrap_or(&self.text)
    }

    /// Whether the mail does not show all of it.
    pub(crate) fn is_cut(&self) -> bool {
        usize::try_from(self.length).unwrap_or(usize::MAX) > LINE_LIMIT || self.length > self.stored
    }
}

impl LogSection {
    /// Whether lines that were left out came before this one.
    pub(crate) fn is_behind_gap(&self, item: &LogItem) -> bool {
        self.gap.is_some_and(|(_, last)| item.seq > last)
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
    shown: usize,
    read: usize,
    /// The last number taken from the beginning.
    end_of_first: u64,
    /// The first number taken from the end; one behind the batch when none was.
    begin_of_last: u64,
    /// Whether lines were left between both.
    has_gap: bool,
}

impl Gathering {
    /// Nothing yet of `category`, for at most `limit` items, of a batch that ends with number `last`.
    pub(crate) fn new(category: Category, limit: usize, last: u64) -> Self {
        Self {
            category,
            limit: limit.max(1),
            items: Vec::new(),
            places: HashMap::new(),
            shown: 0,
            read: 0,
            end_of_first: 0,
            begin_of_last: last.saturating_add(1),
            has_gap: false,
        }
    }

    /// Takes the next line from the beginning, as long as half of the bounds is free.
    pub(crate) fn forward(&mut self, stored: &StoredEvent) -> ControlFlow<()> {
        if !self.take(stored, self.limit.div_ceil(2), MOST_SHOWN / 2, MOST_READ / 2) {
            self.has_gap = true;
            return ControlFlow::Break(());
        }
        self.end_of_first = stored.seq;
        ControlFlow::Continue(())
    }

    /// Takes the next line from the end, after [`Gathering::forward`] has broken off.
    pub(crate) fn backward(&mut self, stored: &StoredEvent) -> ControlFlow<()> {
        if stored.seq <= self.end_of_first {
            self.has_gap = false;
            return ControlFlow::Break(());
        }
        if !self.take(stored, self.limit, MOST_SHOWN, MOST_READ) {
            return ControlFlow::Break(());
        }
        self.begin_of_last = stored.seq;
        ControlFlow::Continue(())
    }

    /// Whether there was room for the line.
    fn take(&mut self, stored: &StoredEvent, most: usize, shown: usize, read: usize) -> bool {
        self.read = self.read.saturating_add(stored.event.note.len()).saturating_add(OVERHEAD);
        if self.read > read {
            return false;
        }
        let mut fresh = LogItem::of(stored);
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
        let bytes = self.shown.saturating_add(fresh.text.len()).saturating_add(fresh.source.len());
        if self.items.len() >= most || bytes > shown {
            return false;
        }
        self.shown = bytes;
        self.places.insert(key, self.items.len());
        self.items.push(fresh);
        true
    }

    /// What was left between both ends, as numbers of events; `None` when nothing was.
    pub(crate) fn gap(&self) -> Option<(u64, u64)> {
        let gap = (self.end_of_first.saturating_add(1), self.begin_of_last.saturating_sub(1));
        (self.has_gap && gap.0 <= gap.1).then_some(gap)
    }

    /// The section, with lines of so many logs left out.
    pub(crate) fn done(mut self, logs_left: u64) -> LogSection {
        let gap = self.gap();
        self.items.sort_by_key(|item| item.seq);
        LogSection { category: self.category, items: self.items, gap, logs_left }
    }
}

/// What a mail shows of the log lines of `range`, at most `limit` items a section; empty sections are left out.
///
/// # Errors
/// [`StoreError`] when the database cannot be read or an event not be decoded.
pub(crate) fn gather(store: &Store, range: &Range, limit: usize) -> Result<Vec<LogSection>, StoreError> {
    let mut sections = Vec::new();
    for category in SECTIONS {
        let mut gathering = Gathering::new(category, limit, range.last);
        store.each_in(range, category, HistoryOrder::OldestFirst, |stored| gathering.forward(stored))?;
        if gathering.has_gap {
            store.each_in(range, category, HistoryOrder::NewestFirst, |stored| gathering.backward(stored))?;
        }
        let logs_left = match gathering.gap() {
            Some((first, last)) => store.sources_in(&Range { first, last, ..range.clone() }, category)?,
            None => 0,
        };
        let section = gathering.done(logs_left);
        if !section.items.is_empty() {
            sections.push(section);
        }
    }
    Ok(sections)
}

/// The bytes of a time stamp at the beginning of a line, with the blank behind it; 0 when there is none.
///
/// Known are the legacy stamp of RFC 3164 (`Nov 21 14:02:11`) and RFC 3339 of any precision and zone.
fn stamp_length(line: &[u8]) -> usize {
    let fits = |shape: &[u8], line: &[u8]| {
        line.len() >= shape.len()
            && shape.iter().zip(line).all(|(shape, byte)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'_' => byte.is_ascii_digit() || *byte == b' ',
                b'A' => byte.is_ascii_uppercase(),
                b'a' => byte.is_ascii_lowercase(),
                _ => shape == byte,
            })
    };
    if fits(b"Aaa _0 00:00:00 ", line) {
        return 16;
    }
    if !fits(b"0000-00-00T00:00:00", line) {
        return 0;
    }
    let Some(length) = line.iter().take(64).position(|byte| *byte == b' ') else { return 0 };
    let rest = line.get(19..length).unwrap_or_default();
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zone = match rest.strip_prefix(b".") {
        Some(tail) if digits(tail) > 0 => tail.get(digits(tail)..).unwrap_or_default(),
        Some(_) => return 0,
        None => rest,
    };
    let is_zone = match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', offset @ ..] => {
            [&b"00:00"[..], b"0000", b"00"].iter().any(|shape| shape.len() == offset.len() && fits(shape, offset))
        }
        _ => false,
    };
    if is_zone { length + 1 } else { 0 }
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
    fn stamps_are_known_whatever_their_precision_and_zone() {
        for stamp in [
            "Nov 21 14:02:11 ",
            "Nov  1 14:02:11 ",
            "2026-11-21T14:02:11Z ",
            "2026-11-21T14:02:11.123456+01:00 ",
            "2026-11-21T14:02:11-0330 ",
            "2026-11-21T14:02:11.5+01 ",
        ] {
            assert_eq!(stamp_length(format!("{stamp}host x").as_bytes()), stamp.len(), "{stamp}");
        }
        for line in [
            "",
            "Nov 21 14:02:11",
            "nov 21 14:02:11 x",
            "Nov 21 14:02:1 x",
            "2026-11-21T14:02:11 x",
            "2026-11-21T14:02:11.Z x",
            "2026-11-21T14:02:11+01:0 x",
            "2026-11-21T14:02:11Z",
            "2026-11-21 14:02:11 x",
        ] {
            assert_eq!(stamp_length(line.as_bytes()), 0, "{line}");
        }
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
        assert!((MOST_SHOWN / 2..=MOST_SHOWN).contains(&bytes), "{bytes}");
        assert_eq!(
            (section.items.first().map(|item| item.seq), section.items.last().map(|item| item.seq)),
            (Some(1), Some(1000))
        );
        assert_eq!(section.logs_left, 1);
    }

    proptest! {
        /// Every line stands in an item, or between the two ends.
        #[test]
        fn no_line_is_lost_in_folding(texts in prop::collection::vec((0_u8..4, hostile()), 1..40), limit in 0_usize..12) {
            let events: Vec<_> = (1..).zip(texts).map(|(seq, (kind, text))| match kind {
                0 => system(seq, b"the same"),
                1 => system(seq, &[b"Nov 21 14:02:11 ", &text[..]].concat()),
                _ => system(seq, &text),
            }).collect();
            let mut gathering = Gathering::new(Category::SystemEvent, limit, events.last().unwrap().seq);
            let _all = events.iter().find(|stored| gathering.forward(stored).is_break());
            if gathering.has_gap {
                let _all = events.iter().rev().find(|stored| gathering.backward(stored).is_break());
            }
            let left = gathering.gap().map_or(0, |(first, last)| last + 1 - first);
            let section = gathering.done(0);
            let told: u64 = section.items.iter().map(|item| item.times).sum();
            prop_assert_eq!(told + left, u64::try_from(events.len()).unwrap());
            prop_assert!(section.items.len() <= limit.max(1));
            prop_assert!(section.items.is_sorted_by(|one, other| one.seq < other.seq));
        }
    }
}
