//! The queue of big files: which is read next, in turns by owner, so that one that never holds still, or a sparse one, delays nobody else's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    files::{
        compare::big_file::ReadDeadline,
        pace::fair_share::FairShare,
        walk::{entry_check::PendingRead, target::CheckTarget},
    },
    model::{
        clock::{Boottime, Timestamp},
        file::entry::EntryId,
    },
};

/// What is read beside the walk.
#[derive(Debug, Default)]
pub(in crate::files) struct BigFileQueue {
    /// The files of each owner.
    pub(super) queues: BTreeMap<u32, OwnerQueue>,
    /// Whose turn it is, and what that has cost so far.
    owner: u32,
    turn: (u64, Duration),
    pub(in crate::files) share: FairShare,
}

impl BigFileQueue {
    /// Notes that the content of an entry is to be read.
    pub(super) fn offer(&mut self, ReadDeadline { due, entry, owner }: ReadDeadline) {
        let mut at_hand = self.queues.values().flat_map(|queue| queue.new.iter().chain(&queue.aside));
        if at_hand.any(|current| current.entry == entry) {
            return;
        }
        // What it was due at before, and whose it was, does not matter any more.
        for queue in self.queues.values_mut() {
            queue.waiting.retain(|(_, waiting)| *waiting != entry);
        }
        self.queues.entry(owner).or_default().waiting.insert((due, entry));
        let waiting: usize = self.queues.values().map(|queue| queue.waiting.len()).sum();
        if waiting > MOST_WAITING
            && let Some(longest) = self.queues.values_mut().max_by_key(|queue| queue.waiting.len())
        {
            longest.waiting.pop_last();
        }
    }

    pub(super) fn has_work(&self, now: Boottime) -> bool {
        let may_begin = self.may_begin();
        self.queues.values().any(|queue| queue.has_work(now, may_begin))
    }

    /// Whether there is room for one more file at hand.
    fn may_begin(&self) -> bool {
        self.queues.values().map(OwnerQueue::at_hand).sum::<usize>() < MOST_AT_HAND
    }

    /// The file that is next: of the owner whose turn it is, or of the next one who has any.
    pub(super) fn take(&mut self, now: Boottime) -> Option<QueuedFile> {
        self.queues.retain(|_, queue| !queue.is_empty());
        let may_begin = self.may_begin();
        let ready = |(_, queue): &(&u32, &OwnerQueue)| queue.has_work(now, may_begin);
        let next = self.queues.range(self.owner..).find(ready).or_else(|| self.queues.iter().find(ready));
        let owner = *next?.0;
        if owner != self.owner {
            (self.owner, self.turn) = (owner, (0, Duration::ZERO));
        }
        self.queues.get_mut(&owner)?.take(owner, now, may_begin)
    }

    /// Keeps what is not settled. What rests makes room for others.
    pub(super) fn keep(&mut self, current: QueuedFile, now: Boottime) {
        let has_room = self.has_room();
        let queue = self.queues.entry(current.owner).or_default();
        if current.is_aside {
            queue.aside.push_front(current);
        } else if current.rest > now && has_room && !queue.waiting.is_empty() {
            queue.aside.push_back(QueuedFile { is_aside: true, ..current });
        } else {
            queue.new = Some(current);
        }
    }

    /// Whether one more file may be put aside.
    fn has_room(&self) -> bool {
        self.queues.values().map(|queue| queue.aside.len()).sum::<usize>() < MOST_ASIDE
    }

    /// Books what a slice of a file of `owner` has cost, and ends the turn of the file or of its owner when that is enough.
    pub(super) fn book(&mut self, owner: u32, was_aside: bool, (cost, took): (u64, Duration)) {
        let has_room = self.has_room();
        if let Some(queue) = self.queues.get_mut(&owner) {
            queue.book(was_aside, (cost, took), has_room);
        }
        self.turn = (self.turn.0.saturating_add(cost), self.turn.1 + took);
        if self.turn.0 >= OWNER_TURN || self.turn.1 >= OWNER_TURN_TIME {
            self.turn = (0, Duration::ZERO);
            self.owner = owner.wrapping_add(1);
        }
    }
}

/// The files of one owner.
#[derive(Debug, Default)]
pub(super) struct OwnerQueue {
    pub(super) waiting: BTreeSet<(Timestamp, EntryId)>,
    /// The one that has come last.
    new: Option<QueuedFile>,
    pub(super) aside: VecDeque<QueuedFile>,
    is_turn_of_aside: bool,
    /// What the turn has cost so far.
    turn: (u64, Duration),
}

impl OwnerQueue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.at_hand() == 0
    }

    fn at_hand(&self) -> usize {
        self.aside.len() + usize::from(self.new.is_some())
    }

    fn has_work(&self, now: Boottime, may_begin: bool) -> bool {
        self.has_new(now, may_begin) || self.aside.iter().any(|current| current.rest <= now)
    }

    fn has_new(&self, now: Boottime, may_begin: bool) -> bool {
        self.new.as_ref().map_or(may_begin && !self.waiting.is_empty(), |current| current.rest <= now)
    }

    fn take(&mut self, owner: u32, now: Boottime, may_begin: bool) -> Option<QueuedFile> {
        let has_new = self.has_new(now, may_begin);
        if self.is_turn_of_aside || !has_new {
            let ready = self.aside.iter().position(|current| current.rest <= now);
            if let Some(current) = ready.and_then(|index| self.aside.remove(index)) {
                return Some(current);
            }
        }
        if !has_new {
            return None;
        }
        self.new.take().or_else(|| {
            let (_, entry) = self.waiting.pop_first()?;
            Some(QueuedFile { entry, owner, is_aside: false, tries: 0, rest: Boottime::default(), open: None })
        })
    }

    /// Books what a slice has cost, of a file that was put aside or a new one, and ends the turn when that is enough.
    fn book(&mut self, was_aside: bool, (cost, took): (u64, Duration), has_room: bool) {
        self.turn = (self.turn.0.saturating_add(cost), self.turn.1 + took);
        if self.turn.0 < TURN && self.turn.1 < TURN_TIME {
            return;
        }
        self.turn = (0, Duration::ZERO);
        self.is_turn_of_aside = !was_aside;
        if was_aside {
            let next = 1.min(self.aside.len());
            self.aside.rotate_left(next);
        } else if has_room && !self.waiting.is_empty() {
            self.aside.extend(self.new.take().map(|current| QueuedFile { is_aside: true, ..current }));
        }
    }
}

/// A file at hand.
#[derive(Debug)]
pub(super) struct QueuedFile {
    pub(super) entry: EntryId,
    pub(super) owner: u32,
    pub(super) is_aside: bool,
    pub(super) tries: u32,
    /// It rests until then.
    pub(super) rest: Boottime,
    pub(super) open: Option<(CheckTarget, Box<PendingRead>)>,
}

/// Most entries that wait; beyond, those go whose time comes last. Their next look offers them again.
pub(super) const MOST_WAITING: usize = 4096;

/// What a turn of one owner may cost, of all his files together: short, for readings are kept over turns.
pub(super) const OWNER_TURN: u64 = 1 << 20;

pub(super) const OWNER_TURN_TIME: Duration = Duration::from_secs(1);

/// What a turn of one file may cost, in bytes or in time spent on it.
pub(super) const TURN: u64 = 64 << 20;

pub(super) const TURN_TIME: Duration = Duration::from_secs(10);

/// Most files that are put aside, and that are at hand in all; each may hold a descriptor.
pub(super) const MOST_ASIDE: usize = 8;

pub(super) const MOST_AT_HAND: usize = 32;

pub(super) const FIRST_RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(owner: u32, due: i64, entry: i64) -> ReadDeadline {
        ReadDeadline { due: Timestamp::from_nanos(due), entry: EntryId(entry), owner }
    }

    #[test]
    fn who_is_due_first_is_read_first_and_nobody_waits_twice() {
        let mut queue = BigFileQueue::default();
        for (due, entry) in [(30, 1), (10, 2), (20, 3), (10, 2), (5, 1)] {
            queue.offer(deadline(0, due, entry));
        }
        let order: Vec<i64> =
            std::iter::from_fn(|| queue.take(Boottime::default())).map(|current| current.entry.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_crowd_takes_no_more_than_its_room_and_those_due_last_go() {
        let mut queue = BigFileQueue::default();
        let most = i64::try_from(MOST_WAITING).unwrap();
        for entry in (0..most * 2).rev() {
            queue.offer(deadline(0, entry, entry));
        }
        let order: Vec<i64> =
            std::iter::from_fn(|| queue.take(Boottime::default())).map(|current| current.entry.0).collect();
        assert_eq!(order, (0..most).collect::<Vec<_>>());
    }

    /// Plays so many whole turns of files of which only those with odd numbers come to an end, within one turn; gives who had each.
    fn turns(queue: &mut BigFileQueue, count: usize) -> Vec<i64> {
        let now = Boottime::default();
        let mut had = Vec::new();
        while had.len() < count {
            let Some(current) = queue.take(now) else { break };
            let (entry, owner, was_aside) = (current.entry.0, current.owner, current.is_aside);
            had.push(entry);
            if entry % 2 == 0 {
                queue.keep(current, now);
            }
            queue.book(owner, was_aside, (TURN, Duration::ZERO));
        }
        had
    }

    fn queue(entries: impl IntoIterator<Item = i64>) -> BigFileQueue {
        let mut queue = BigFileQueue::default();
        entries.into_iter().for_each(|entry| queue.offer(deadline(0, entry, entry)));
        queue
    }

    #[test]
    fn what_takes_long_is_put_aside_while_others_wait() {
        assert_eq!(turns(&mut queue([2, 3, 5, 7]), 8), [2, 2, 3, 2, 5, 2, 7, 2]);
        assert_eq!(
            turns(&mut queue([2, 4, 3, 5]), 9),
            [2, 2, 3, 2, 4, 2, 5, 4, 2],
            "those aside have turns of their own"
        );
        assert_eq!(turns(&mut queue([2]), 3), [2, 2, 2]);
    }

    #[test]
    fn no_more_than_a_few_are_put_aside() {
        let mut queue = queue((0..100).map(|entry| entry * 2));
        turns(&mut queue, 1000);
        let queue = &queue.queues[&0];
        assert_eq!((queue.aside.len(), queue.waiting.len()), (MOST_ASIDE, 100 - MOST_ASIDE - 1));
    }

    #[test]
    fn what_rests_lets_others_go_first() {
        let mut queue = queue([2, 3]);
        let later = Boottime::default().after(FIRST_RETRY);
        let torn = queue.take(Boottime::default()).unwrap();
        queue.keep(QueuedFile { rest: later, ..torn }, Boottime::default());
        assert_eq!(queue.take(Boottime::default()).map(|current| current.entry.0), Some(3));
        assert!(!queue.has_work(Boottime::default()) && queue.has_work(later));
        assert_eq!(queue.take(later).map(|current| current.entry.0), Some(2));
    }

    #[test]
    fn owners_take_turns_however_many_files_one_of_them_has() {
        let mut queue = BigFileQueue::default();
        (0..1000).for_each(|entry| queue.offer(deadline(7, entry, entry * 2)));
        queue.offer(deadline(0, 5000, 5001));
        queue.offer(deadline(9, 6000, 6001));
        let mut had = turns(&mut queue, 12);
        had.sort_unstable();
        assert!(had.contains(&5001) && had.contains(&6001), "{had:?}");
        // And after a turn that has cost little nobody else is asked.
        let mut queue = BigFileQueue::default();
        for (owner, entry) in [(7, 2), (0, 4), (0, 6)] {
            queue.offer(deadline(owner, entry, entry));
        }
        let now = Boottime::default();
        let owners: Vec<u32> = (0..4)
            .map(|_| {
                let current = queue.take(now).unwrap();
                let owner = current.owner;
                queue.keep(current, now);
                queue.book(owner, false, (OWNER_TURN / 2, Duration::ZERO));
                owner
            })
            .collect();
        assert_eq!(owners, [0, 0, 7, 7]);
    }

    #[test]
    fn a_crowd_of_one_owner_costs_no_other_his_place() {
        let mut queue = BigFileQueue::default();
        queue.offer(deadline(0, 9_000_000, 1));
        let most = i64::try_from(MOST_WAITING).unwrap();
        (0..most * 2).for_each(|entry| queue.offer(deadline(7, entry, entry + 2)));
        assert_eq!((queue.queues[&0].waiting.len(), queue.queues[&7].waiting.len()), (1, MOST_WAITING - 1));
    }
}
