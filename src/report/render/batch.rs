//! What a report is made of: the events of one batch, how many there are in all, and what is said about the checks.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::{
    model::{
        clock::{Moment, Timestamp},
        event::{Category, Kind, Severity, StoredEvent},
        file::coverage::Coverage,
        originator::OriginatorKey,
    },
    report::render::sections::{collapse::Grown, log_section::LogSection},
    sys::users::Names,
};

/// Everything one report is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The name of the machine; neutralised where it is shown.
    pub host: &'a str,
    /// When the batch was made.
    pub now: Moment,
    /// The zone times are shown in.
    pub zone: &'a TimeZone,
    /// The events to be listed, log lines aside, those with the best claim to a place first; may be fewer than `tally` counts.
    pub events: &'a [StoredEvent],
    /// The log lines to be listed, in the order of their sections.
    pub lines: &'a [LogSection],
    /// The count of all events of the batch.
    pub tally: &'a BatchTally,
    /// Most items listed in one section (`reportlines`), at least 1.
    pub limit: usize,
    /// The new directories below which much was added.
    pub grown: &'a [Grown],
    /// Whose findings about files there are the most, listed or not; empty where all are listed.
    pub shares: &'a [FileShare],
    /// How well the baseline is kept; `None` where no area is watched.
    pub coverage: Option<Coverage>,
    /// The hash of the last event of the batch.
    pub head: [u8; 32],
    /// Who is who.
    pub names: &'a Names,
    /// How the commands are called: `integrityd`, with the options that lead to this database.
    pub program: &'a str,
    /// What is said before all else, one paragraph each: trouble with the delivery, a backlog.
    pub notices: &'a [String],
}

/// How many findings about files one owner has made in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileShare {
    /// The area, as raw bytes.
    pub area: Vec<u8>,
    /// The owner and the directory.
    pub key: OriginatorKey,
    /// The owner; `None` where he is not known.
    pub owner: Option<u32>,
    /// The directory, as raw bytes.
    pub directory: Vec<u8>,
    /// How many.
    pub events: u64,
}

/// How many events of each class and weight a batch has, and which stretch of the chain they come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchTally {
    counts: BTreeMap<(Category, Severity), u64>,
    /// The lowest sequence number; 0 when there is no event.
    pub first_seq: u64,
    /// The highest sequence number; 0 when there is no event.
    pub last_seq: u64,
    /// When the earliest event was found; `None` when there is no event.
    pub earliest: Option<Timestamp>,
}

impl BatchTally {
    /// The tally of exactly these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a StoredEvent>) -> Self {
        let mut tally = Self::default();
        for stored in events {
            tally.add(stored);
        }
        tally
    }

    /// Counts one more event.
    pub fn add(&mut self, stored: &StoredEvent) {
        let event = &stored.event;
        self.add_counted(event.category, event.severity, 1);
        self.cover(stored.seq, event.found.wall);
    }

    /// Counts `number` more events of one class and weight, as a database counts them; their numbers and times are
    /// told with [`BatchTally::cover`].
    pub fn add_counted(&mut self, category: Category, severity: Severity, number: u64) {
        let count = self.counts.entry((category, severity)).or_default();
        *count = count.saturating_add(number);
    }

    /// Widens the stretch of the chain to `seq`, and the time to `found`.
    pub fn cover(&mut self, seq: u64, found: Timestamp) {
        self.first_seq = if self.first_seq == 0 { seq } else { self.first_seq.min(seq) };
        self.last_seq = self.last_seq.max(seq);
        self.earliest = Some(self.earliest.map_or(found, |known| known.min(found)));
    }

    /// The number of events for which `wanted` holds.
    pub fn count(&self, wanted: impl Fn(Category, Severity) -> bool) -> u64 {
        self.counts
            .iter()
            .filter(|((category, severity), _)| wanted(*category, *severity))
            .fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// The counts by class, of those for which `wanted` holds, in the order of the classes; none is 0.
    pub fn by_category(&self, wanted: impl Fn(Category, Severity) -> bool) -> BTreeMap<Category, u64> {
        let mut sums = BTreeMap::new();
        for ((category, severity), count) in &self.counts {
            if *count > 0 && wanted(*category, *severity) {
                let sum: &mut u64 = sums.entry(*category).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        sums
    }

    /// The greatest weight counted.
    pub fn severity(&self) -> Option<Severity> {
        self.counts.iter().filter(|(_, count)| **count > 0).map(|((_, severity), _)| *severity).max()
    }

    /// The number of log lines.
    pub fn lines(&self) -> u64 {
        self.count(|category, _| category.is_line())
    }

    /// The number of findings somebody should look at: file events of normal weight and above.
    pub fn to_review(&self) -> u64 {
        self.count(|category, severity| category.kind() == Kind::File && severity >= Severity::Normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_covers_what_was_counted() {
        let mut tally = BatchTally::default();
        assert_eq!((tally.severity(), tally.earliest), (None, None));
        tally.add_counted(Category::Added, Severity::Normal, 7);
        tally.add_counted(Category::Added, Severity::High, 1);
        tally.add_counted(Category::Touched, Severity::Count, 3);
        tally.add_counted(Category::Notice, Severity::Critical, 0);
        tally.cover(9, Timestamp::from_nanos(50));
        tally.cover(4, Timestamp::from_nanos(80));
        assert_eq!((tally.first_seq, tally.last_seq, tally.to_review()), (4, 9, 8));
        assert_eq!(tally.earliest, Some(Timestamp::from_nanos(50)));
        assert_eq!(tally.severity(), Some(Severity::High));
        let sums = tally.by_category(|_, _| true);
        assert_eq!(sums, BTreeMap::from([(Category::Added, 8), (Category::Touched, 3)]));
    }
}
