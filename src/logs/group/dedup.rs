//! The same message in the journal and in a syslog file is one message: whichever comes first stays, its twin goes.
//!
//! Twins have the same host, tag, pid and text and stamps within two seconds. They are taken in pairs: a line that stays waits
//! for one twin from the other side, and a line is dropped only by taking a waiting one with it. So of each pair exactly one stays, never
//! both are dropped whatever the order, and a message that was logged five times on both sides stays five times. A line that has
//! waited too long leaves: then its twin, should it come after all, is told as well, which is the harmless mistake.
//!
//! Pure, and nothing is remembered across a restart: the twins of the last lines before it may be told again. What a line did to
//! the waiting ones is kept only when the caller keeps [`JudgedDuplicate::next`], as it does when the lines were stored: otherwise the same
//! lines come again, and would wait twice.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use crate::{
    logs::line::syslog::{Message, parse},
    model::clock::Timestamp,
    tail::splitter::LogRecord,
};

/// How far the stamps of twins may lie apart, in seconds.
const APART: u64 = 2;

/// How long a line waits for its twin.
const PATIENCE: Duration = Duration::from_mins(5);

/// How many lines wait; then the oldest leaves. About 100 bytes each.
const MOST: usize = 20_000;

type LineKey = [u8; 32];

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// A syslog file.
    File,
    /// The journal.
    Journal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WaitingLine {
    number: u64,
    at: i64,
}

/// The lines that wait for their twins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicates {
    zone: TimeZone,
    waiting: HashMap<(Side, LineKey), VecDeque<WaitingLine>>,
    /// All that wait, oldest first, and some that are gone.
    order: VecDeque<(u64, Timestamp, Side, LineKey)>,
    number: u64,
}

/// What was decided about some lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a line that is a duplicate must be dropped"]
pub struct JudgedDuplicate {
    /// For each line whether it stays.
    pub stays: Vec<bool>,
    /// What waits afterwards.
    pub next: Duplicates,
}

impl Duplicates {
    /// Nothing waits; legacy stamps are in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, waiting: HashMap::new(), order: VecDeque::new(), number: 0 }
    }

    /// Decides about new lines of one side, in their order. Lines without stamp and host, and lines that were cut, always stay and
    /// never wait. Cost O(lines + waiting ones).
    pub fn judge(&self, side: Side, records: &[LogRecord], now: Timestamp) -> JudgedDuplicate {
        let mut next = self.clone();
        next.expire(now);
        let stays = records.iter().map(|record| next.stays(side, record, now)).collect();
        JudgedDuplicate { stays, next }
    }

    /// How many lines wait.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn stays(&mut self, side: Side, record: &LogRecord, now: Timestamp) -> bool {
        let LogRecord::Line { bytes, length } = record else { return true };
        let is_whole = u64::try_from(bytes.len()).is_ok_and(|kept| kept == *length);
        let Some(message) = parse(bytes).filter(|_| is_whole) else { return true };
        let Some(at) = message.stamp.wall_seconds(&self.zone, now) else { return true };
        let key = key_of(&message);
        let other = if side == Side::File { Side::Journal } else { Side::File };
        if self.take(other, key, at) {
            return false;
        }
        self.number += 1;
        self.waiting.entry((side, key)).or_default().push_back(WaitingLine { number: self.number, at });
        self.order.push_back((self.number, now, side, key));
        while self.order.len() > MOST {
            self.drop_oldest();
        }
        true
    }

    /// Takes the oldest waiting line that is a twin.
    fn take(&mut self, side: Side, key: LineKey, at: i64) -> bool {
        let Some(lines) = self.waiting.get_mut(&(side, key)) else { return false };
        let twin = lines.iter().position(|line| line.at.abs_diff(at) <= APART);
        let is_found = twin.and_then(|twin| lines.remove(twin)).is_some();
        if lines.is_empty() {
            self.waiting.remove(&(side, key));
        }
        is_found
    }

    fn expire(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(_, came, ..)| now.since(*came) > PATIENCE) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((number, _, side, key)) = self.order.pop_front() else { return };
        if let Some(lines) = self.waiting.get_mut(&(side, key)) {
            lines.retain(|line| line.number != number);
            if lines.is_empty() {
                self.waiting.remove(&(side, key));
            }
        }
    }
}

/// A digest, so that long lines need no room while they wait, and nobody can make two lines look alike.
fn key_of(message: &Message<'_>) -> LineKey {
    let parts = [message.host, message.tag, message.pid.unwrap_or(b"-"), message.text];
    let all = parts.iter().fold(Sha256::new(), |all, part| {
        all.chain_update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes()).chain_update(part)
    });
    all.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21T13:10:02Z.
    const NOW: Timestamp = Timestamp::from_nanos(1_795_266_602_000_000_000);

    fn line(text: &str) -> LogRecord {
        LogRecord::Line { bytes: text.as_bytes().to_vec(), length: u64::try_from(text.len()).unwrap() }
    }

    fn new() -> Duplicates {
        Duplicates::new(TimeZone::UTC)
    }

    fn feed(duplicates: &mut Duplicates, side: Side, text: &str, now: Timestamp) -> bool {
        let judged = duplicates.judge(side, &[line(text)], now);
        *duplicates = judged.next;
        judged.stays[0]
    }

    #[test]
    fn the_twin_goes_whichever_comes_first() {
        let twins = ["Nov 21 13:10:01 h a[1]: x", "2026-11-21T13:10:02.5+00:00 h a[1]: x "];
        for (first, second) in [(Side::File, Side::Journal), (Side::Journal, Side::File)] {
            let mut duplicates = new();
            assert!(feed(&mut duplicates, first, twins[0], NOW));
            assert!(!feed(&mut duplicates, second, twins[1], NOW));
            assert!(duplicates.is_empty());
            // Each cancels only one.
            assert!(feed(&mut duplicates, second, twins[1], NOW));
            assert!(feed(&mut duplicates, second, twins[1], NOW));
        }
    }

    #[test]
    fn what_differs_or_is_late_stays() {
        for other in [
            "Nov 21 13:10:05 h a[1]: x",
            "Nov 21 13:10:02 g a[1]: x",
            "Nov 21 13:10:02 h b[1]: x",
            "Nov 21 13:10:02 h a[2]: x",
            "Nov 21 13:10:02 h a: x",
            "Nov 21 13:10:02 h a[1]: y",
            "no stamp at all",
        ] {
            let mut duplicates = new();
            assert!(feed(&mut duplicates, Side::Journal, "Nov 21 13:10:02 h a[1]: x", NOW));
            assert!(feed(&mut duplicates, Side::File, other, NOW), "{other}");
        }
        let mut duplicates = new();
        let text = "Nov 21 13:10:02 h a[1]: x";
        assert!(feed(&mut duplicates, Side::Journal, text, NOW));
        assert!(feed(&mut duplicates, Side::File, text, NOW.after(Duration::from_secs(301))));
        assert_eq!(duplicates.len(), 1);
    }

    #[test]
    fn what_was_not_stored_does_not_wait() {
        let duplicates = new();
        let text = [line("Nov 21 13:10:02 h a[1]: x")];
        let _lost = duplicates.judge(Side::Journal, &text, NOW);
        let again = duplicates.judge(Side::Journal, &text, NOW);
        assert_eq!((again.next.len(), duplicates.len()), (1, 0));
        // A line that was cut has a rest that nobody knows.
        let cut = LogRecord::Line { bytes: b"Nov 21 13:10:02 h a[1]: x".to_vec(), length: 99 };
        assert_eq!(again.next.judge(Side::File, &[cut, LogRecord::Gap(7)], NOW).stays, [true, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let records: Vec<LogRecord> = (0..MOST + 500).map(|n| line(&format!("Nov 21 13:10:02 h a[1]: {n}"))).collect();
        let judged = new().judge(Side::File, &records, NOW);
        assert!(judged.stays.iter().all(|stays| *stays));
        assert_eq!((judged.next.len(), judged.next.order.len()), (MOST, MOST));
    }

    proptest! {
        #[test]
        fn of_each_pair_exactly_one_stays_in_any_order(order in prop::collection::vec((any::<bool>(), 0_u8..4), 0..60)) {
            let mut duplicates = new();
            let mut counts: BTreeMap<u8, [usize; 3]> = BTreeMap::new();
            for (is_file, text) in order {
                let side = if is_file { Side::File } else { Side::Journal };
                let stays = feed(&mut duplicates, side, &format!("Nov 21 13:10:02 h a[1]: {text}"), NOW);
                let count = counts.entry(text).or_default();
                count[usize::from(is_file)] += 1;
                count[2] += usize::from(stays);
            }
            for [journal, file, stayed] in counts.values() {
                prop_assert_eq!(*stayed, *journal.max(file));
            }
        }

        #[test]
        fn nothing_goes_without_a_twin_of_its_own(order in prop::collection::vec((any::<bool>(), 0_i64..12, 0_u8..2), 0..80)) {
            let mut duplicates = new();
            let mut stayed: Vec<(bool, i64, u8)> = Vec::new();
            for (is_file, second, text) in order {
                let side = if is_file { Side::File } else { Side::Journal };
                if feed(&mut duplicates, side, &format!("Nov 21 13:10:{second:02} h a[1]: {text}"), NOW) {
                    stayed.push((is_file, second, text));
                } else {
                    // Some line of the other side that stayed is its twin, and is nobody else's.
                    let twin = stayed.iter().position(|(other, at, same)| *other != is_file && *same == text && at.abs_diff(second) <= 2);
                    prop_assert!(twin.is_some());
                    stayed.remove(twin.unwrap());
                }
            }
        }
    }
}
