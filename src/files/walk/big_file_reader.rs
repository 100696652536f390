//! The lane beside the walk: files above `bigfiles` are read here, one at a time and in slices, between the stops of the walk.
//!
//! A look that leaves a content to the lane says by when it should be read; the earliest is next. What is being read is given up as soon
//! as it is seen to change, and begun anew after a while; after the third time it is `busy`. Nothing of it outlives the process: what was
//! not read to its end is offered again by the next look.
//!
//! A file that takes long is put aside, its reading kept, while others wait: those that were put aside and those that come new take
//! turns, so that a short one is not kept waiting by a long one. Only so many are put aside; what takes long then is read to its end.
//!
//! Before that the owners of the files take turns, and within each turn this holds for the files of one of them: nobody's files, however
//! many and however large, keep those of another waiting.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    files::{
        pace::fair_share::Share,
        walk::{
            big_file::Deadline,
            checker::{Eye, Leave},
            entry_check::{Open, Step},
            target::Target,
        },
    },
    model::{
        clock::{Boottime, Timestamp},
        file::entry::EntryId,
    },
};

/// Most entries that wait; beyond, those go whose time comes last. Their next look offers them again.
const MOST_WAITING: usize = 4096;

/// How often a file that changes while it is read is tried, and the first wait between.
const TRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// What opening a file costs of the bytes, so that what cannot be opened is not asked for without end.
const OPENING: u64 = 4096;

/// What a turn of one file may cost, in bytes or in time spent on it.
const TURN: u64 = 64 << 20;
const TURN_TIME: Duration = Duration::from_secs(10);

/// What a turn of one owner may cost, of all his files together: short, for readings are kept over turns.
const OWNER_TURN: u64 = 1 << 20;
const OWNER_TURN_TIME: Duration = Duration::from_secs(1);

/// Most files that are put aside, and that are at hand in all; each may hold a descriptor.
const MOST_ASIDE: usize = 8;
const MOST_AT_HAND: usize = 32;

/// What is read beside the walk.
#[derive(Debug, Default)]
pub(in crate::files) struct Lane {
    /// The files of each owner.
    queues: BTreeMap<u32, Queue>,
    /// Whose turn it is, and what that has cost so far.
    owner: u32,
    turn: (u64, Duration),
    pub(in crate::files) share: Share,
}

/// The files of one owner.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeSet<(Timestamp, EntryId)>,
    /// The one that has come last.
    new: Option<Current>,
    aside: VecDeque<Current>,
    is_turn_of_aside: bool,
    /// What the turn has cost so far.
    turn: (u64, Duration),
}

/// A file at hand.
#[derive(Debug)]
struct Current {
    entry: EntryId,
    owner: u32,
    is_aside: bool,
    tries: u32,
    /// It rests until then.
    rest: Boottime,
    open: Option<(Target, Box<Open>)>,
}

impl Queue {
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

    fn take(&mut self, owner: u32, now: Boottime, may_begin: bool) -> Option<Current> {
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
            Some(Current { entry, owner, is_aside: false, tries: 0, rest: Boottime::default(), open: None })
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
            self.aside.extend(self.new.take().map(|current| Current { is_aside: true, ..current }));
        }
    }
}

impl Lane {
    /// Notes that the content of an entry is to be read.
    pub(super) fn offer(&mut self, Deadline { due, entry, owner }: Deadline) {
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

    fn has_work(&self, now: Boottime) -> bool {
        let may_begin = self.may_begin();
        self.queues.values().any(|queue| queue.has_work(now, may_begin))
    }

    /// Whether there is room for one more file at hand.
    fn may_begin(&self) -> bool {
        self.queues.values().map(Queue::at_hand).sum::<usize>() < MOST_AT_HAND
    }

    /// The file that is next: of the owner whose turn it is, or of the next one who has any.
    fn take(&mut self, now: Boottime) -> Option<Current> {
        self.queues.retain(|_, queue| !queue.is_empty());
        let may_begin = self.may_begin();
        let ready = |(_, queue): &(&u32, &Queue)| queue.has_work(now, may_begin);
        let next = self.queues.range(self.owner..).find(ready).or_else(|| self.queues.iter().find(ready));
        let owner = *next?.0;
        if owner != self.owner {
            (self.owner, self.turn) = (owner, (0, Duration::ZERO));
        }
        self.queues.get_mut(&owner)?.take(owner, now, may_begin)
    }

    /// Keeps what is not settled. What rests makes room for others.
    fn keep(&mut self, current: Current, now: Boottime) {
        let has_room = self.has_room();
        let queue = self.queues.entry(current.owner).or_default();
        if current.is_aside {
            queue.aside.push_front(current);
        } else if current.rest > now && has_room && !queue.waiting.is_empty() {
            queue.aside.push_back(Current { is_aside: true, ..current });
        } else {
            queue.new = Some(current);
        }
    }

    /// Whether one more file may be put aside.
    fn has_room(&self) -> bool {
        self.queues.values().map(|queue| queue.aside.len()).sum::<usize>() < MOST_ASIDE
    }

    /// Books what a slice of a file of `owner` has cost, and ends the turn of the file or of its owner when that is enough.
    fn book(&mut self, owner: u32, was_aside: bool, (cost, took): (u64, Duration)) {
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

impl Eye {
    /// Reads on in the lane while the walk, which wants to go on at `walk_due`, leaves bytes for it.
    pub(super) async fn serve_lane(&mut self, walk_due: Boottime) -> Result<(), Leave> {
        self.lane.share.begin_turn();
        loop {
            self.mind_others().await;
            let now = self.clock.now().boottime;
            if !self.lane.has_work(now) {
                return Ok(());
            }
            let most = self.lane.share.allowance(&self.pace, walk_due, now).min(self.chunk());
            if most == 0 {
                return Ok(());
            }
            let due = self.pace.next_read(now);
            self.wait(due).await?;
            let begun = self.clock.now().boottime;
            let Some(current) = self.lane.take(begun) else { return Ok(()) };
            let (owner, was_aside) = (current.owner, current.is_aside);
            let cost = match current.open {
                None => self.begin_in_lane(current).await?,
                Some(_) => self.slice(current, most).await?,
            };
            let now = self.clock.now().boottime;
            self.lane.share.book(&self.pace, cost, now.since(begun));
            self.lane.book(owner, was_aside, (cost, now.since(begun)));
            self.pace.book_bytes(now, cost);
        }
    }

    /// Opens the file at hand; gives what that costs.
    async fn begin_in_lane(&mut self, current: Current) -> Result<u64, Leave> {
        let (id, Some(visitor)) = (current.entry, self.visitor.clone()) else {
            return Ok(OPENING);
        };
        let found = self.db.call(move |store| visitor.target_to(store, id)).await?;
        let Some(target) = found else { return Ok(OPENING) };
        let again = target.clone();
        let step = self.job(&target, move |visitor| visitor.begin_whole(again)).await?;
        let cost = match &step {
            Some(Step::Done(visited)) => visited.read,
            Some(Step::Torn(looked)) => looked.unpaid(),
            _ => 0,
        };
        self.go_on(current, target, step).await?;
        Ok(cost.max(OPENING))
    }

    /// Reads about `most` bytes of the file at hand; gives what they cost.
    async fn slice(&mut self, mut current: Current, most: u64) -> Result<u64, Leave> {
        let Some((target, mut open)) = current.open.take() else { return Ok(0) };
        let read = self
            .job(&target, move |visitor| {
                if !open.reading.holds_still() {
                    return Ok((0, Some(Step::Torn(Box::new(open.looked)))));
                }
                let before = open.reading.read();
                let advanced = open.reading.advance(most);
                visitor.db.lock().count_looks(0, open.reading.read() - before);
                Ok(match advanced {
                    Ok((cost, false)) => (cost, Some(Step::Read(open))),
                    Ok((cost, true)) => (cost, Some(visitor.finish_big(*open)?)),
                    Err(errno) => (0, Some(Step::Done(visitor.fail(&open, errno)?))),
                })
            })
            .await?;
        let (cost, step) = read.unwrap_or((0, None));
        self.go_on(current, target, step).await?;
        Ok(cost)
    }

    /// Keeps a file as long as it is not settled.
    async fn go_on(&mut self, current: Current, target: Target, step: Option<Step>) -> Result<(), Leave> {
        let now = self.clock.now().boottime;
        match step {
            Some(Step::Read(open)) => self.lane.keep(Current { open: Some((target, open)), ..current }, now),
            Some(Step::Done(visited)) => self.take_note(&visited),
            Some(Step::Torn(_)) if current.tries + 1 < TRIES => {
                let rest = now.after(FIRST_RETRY * 4_u32.pow(current.tries));
                self.lane.keep(Current { tries: current.tries + 1, rest, open: None, ..current }, now);
            }
            Some(Step::Torn(looked)) => {
                if let Some(visited) = self.job(&target, move |visitor| visitor.give_up(&looked)).await? {
                    self.take_note(&visited);
                }
            }
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(owner: u32, due: i64, entry: i64) -> Deadline {
        Deadline { due: Timestamp::from_nanos(due), entry: EntryId(entry), owner }
    }

    #[test]
    fn who_is_due_first_is_read_first_and_nobody_waits_twice() {
        let mut lane = Lane::default();
        for (due, entry) in [(30, 1), (10, 2), (20, 3), (10, 2), (5, 1)] {
            lane.offer(deadline(0, due, entry));
        }
        let order: Vec<i64> =
            std::iter::from_fn(|| lane.take(Boottime::default())).map(|current| current.entry.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_crowd_takes_no_more_than_its_room_and_those_due_last_go() {
        let mut lane = Lane::default();
        let most = i64::try_from(MOST_WAITING).unwrap();
        for entry in (0..most * 2).rev() {
            lane.offer(deadline(0, entry, entry));
        }
        let order: Vec<i64> =
            std::iter::from_fn(|| lane.take(Boottime::default())).map(|current| current.entry.0).collect();
        assert_eq!(order, (0..most).collect::<Vec<_>>());
    }

    /// Plays so many whole turns of files of which only those with odd numbers come to an end, within one turn; gives who had each.
    fn turns(lane: &mut Lane, count: usize) -> Vec<i64> {
        let now = Boottime::default();
        let mut had = Vec::new();
        while had.len() < count {
            let Some(current) = lane.take(now) else { break };
            let (entry, owner, was_aside) = (current.entry.0, current.owner, current.is_aside);
            had.push(entry);
            if entry % 2 == 0 {
                lane.keep(current, now);
            }
            lane.book(owner, was_aside, (TURN, Duration::ZERO));
        }
        had
    }

    fn lane(entries: impl IntoIterator<Item = i64>) -> Lane {
        let mut lane = Lane::default();
        entries.into_iter().for_each(|entry| lane.offer(deadline(0, entry, entry)));
        lane
    }

    #[test]
    fn what_takes_long_is_put_aside_while_others_wait() {
        assert_eq!(turns(&mut lane([2, 3, 5, 7]), 8), [2, 2, 3, 2, 5, 2, 7, 2]);
        assert_eq!(
            turns(&mut lane([2, 4, 3, 5]), 9),
            [2, 2, 3, 2, 4, 2, 5, 4, 2],
            "those aside have turns of their own"
        );
        assert_eq!(turns(&mut lane([2]), 3), [2, 2, 2]);
    }

    #[test]
    fn no_more_than_a_few_are_put_aside() {
        let mut lane = lane((0..100).map(|entry| entry * 2));
        turns(&mut lane, 1000);
        let queue = &lane.queues[&0];
        assert_eq!((queue.aside.len(), queue.waiting.len()), (MOST_ASIDE, 100 - MOST_ASIDE - 1));
    }

    #[test]
    fn what_rests_lets_others_go_first() {
        let mut lane = lane([2, 3]);
        let later = Boottime::default().after(FIRST_RETRY);
        let torn = lane.take(Boottime::default()).unwrap();
        lane.keep(Current { rest: later, ..torn }, Boottime::default());
        assert_eq!(lane.take(Boottime::default()).map(|current| current.entry.0), Some(3));
        assert!(!lane.has_work(Boottime::default()) && lane.has_work(later));
        assert_eq!(lane.take(later).map(|current| current.entry.0), Some(2));
    }

    #[test]
    fn owners_take_turns_however_many_files_one_of_them_has() {
        let mut lane = Lane::default();
        (0..1000).for_each(|entry| lane.offer(deadline(7, entry, entry * 2)));
        lane.offer(deadline(0, 5000, 5001));
        lane.offer(deadline(9, 6000, 6001));
        let mut had = turns(&mut lane, 12);
        had.sort_unstable();
        assert!(had.contains(&5001) && had.contains(&6001), "{had:?}");
        // And after a turn that has cost little nobody else is asked.
        let mut lane = Lane::default();
        for (owner, entry) in [(7, 2), (0, 4), (0, 6)] {
            lane.offer(deadline(owner, entry, entry));
        }
        let now = Boottime::default();
        let owners: Vec<u32> = (0..4)
            .map(|_| {
                let current = lane.take(now).unwrap();
                let owner = current.owner;
                lane.keep(current, now);
                lane.book(owner, false, (OWNER_TURN / 2, Duration::ZERO));
                owner
            })
            .collect();
        assert_eq!(owners, [0, 0, 7, 7]);
    }

    #[test]
    fn a_crowd_of_one_owner_costs_no_other_his_place() {
        let mut lane = Lane::default();
        lane.offer(deadline(0, 9_000_000, 1));
        let most = i64::try_from(MOST_WAITING).unwrap();
        (0..most * 2).for_each(|entry| lane.offer(deadline(7, entry, entry + 2)));
        assert_eq!((lane.queues[&0].waiting.len(), lane.queues[&7].waiting.len()), (1, MOST_WAITING - 1));
    }
}
