//! The lane beside the walk: files above `bigfiles` are read here, one at a time and in slices, between the stops of the walk.
//!
//! A look that leaves a content to the lane says by when it should be read; the earliest is next. What is being read is given up as soon
//! as it is seen to change, and begun anew after a while; after the third time it is `busy`. Nothing of it outlives the process: what was
//! not read to its end is offered again by the next look.
//!
//! A file that takes long is put aside, its reading kept, while others wait: those that were put aside and those that come new take
//! turns, so that a short one is not kept waiting by a long one. Only so many are put aside; what takes long then is read to its end.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    big::Deadline,
    eye::{Eye, Leave},
    share::Share,
    target::Target,
    visit::{Open, Step},
};
use crate::model::{clock::Boottime, entry::EntryId};

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

/// Most files that are put aside; each may hold a descriptor.
const MOST_ASIDE: usize = 8;

/// What is read beside the walk.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: BTreeSet<Deadline>,
    /// The one that has come last.
    new: Option<Current>,
    aside: VecDeque<Current>,
    is_turn_of_aside: bool,
    /// What the turn has cost so far.
    turn: (u64, Duration),
    pub(super) share: Share,
}

/// A file at hand.
#[derive(Debug)]
struct Current {
    entry: EntryId,
    is_aside: bool,
    tries: u32,
    /// It rests until then.
    rest: Boottime,
    open: Option<(Target, Box<Open>)>,
}

impl Lane {
    /// Notes that the content of an entry is to be read.
    pub(super) fn offer(&mut self, (due, entry): Deadline) {
        if self.new.iter().chain(&self.aside).any(|current| current.entry == entry) {
            return;
        }
        // What it was due at before does not matter any more.
        self.waiting.retain(|(_, waiting)| *waiting != entry);
        self.waiting.insert((due, entry));
        if self.waiting.len() > MOST_WAITING {
            self.waiting.pop_last();
        }
    }

    fn has_work(&self, now: Boottime) -> bool {
        self.has_new(now) || self.aside.iter().any(|current| current.rest <= now)
    }

    fn has_new(&self, now: Boottime) -> bool {
        self.new.as_ref().map_or(!self.waiting.is_empty(), |current| current.rest <= now)
    }

    fn take(&mut self, now: Boottime) -> Option<Current> {
        let has_new = self.has_new(now);
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
            Some(Current { entry, is_aside: false, tries: 0, rest: Boottime::default(), open: None })
        })
    }

    /// Keeps what is not settled. What rests makes room for others.
    fn keep(&mut self, current: Current, now: Boottime) {
        if current.is_aside {
            self.aside.push_front(current);
        } else if current.rest > now && self.may_put_aside() {
            self.aside.push_back(Current { is_aside: true, ..current });
        } else {
            self.new = Some(current);
        }
    }

    fn may_put_aside(&self) -> bool {
        !self.waiting.is_empty() && self.aside.len() < MOST_ASIDE
    }

    /// Books what a slice has cost, of a file that was put aside or a new one, and ends the turn when that is enough.
    fn book(&mut self, was_aside: bool, cost: u64, took: Duration) {
        self.turn = (self.turn.0.saturating_add(cost), self.turn.1 + took);
        if self.turn.0 < TURN && self.turn.1 < TURN_TIME {
            return;
        }
        self.turn = (0, Duration::ZERO);
        self.is_turn_of_aside = !was_aside;
        if was_aside {
            let next = 1.min(self.aside.len());
            self.aside.rotate_left(next);
        } else if self.may_put_aside() {
            self.aside.extend(self.new.take().map(|current| Current { is_aside: true, ..current }));
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
            let was_aside = current.is_aside;
            let cost = match current.open {
                None => self.begin_in_lane(current).await?,
                Some(_) => self.slice(current, most).await?,
            };
            let now = self.clock.now().boottime;
            self.lane.share.book(&self.pace, cost, now.since(begun));
            self.lane.book(was_aside, cost, now.since(begun));
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
    use crate::model::clock::Timestamp;

    #[test]
    fn who_is_due_first_is_read_first_and_nobody_waits_twice() {
        let mut lane = Lane::default();
        let at = Timestamp::from_nanos;
        for (due, entry) in [(30, 1), (10, 2), (20, 3), (10, 2), (5, 1)] {
            lane.offer((at(due), EntryId(entry)));
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
            lane.offer((Timestamp::from_nanos(entry), EntryId(entry)));
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
            let (entry, was_aside) = (current.entry.0, current.is_aside);
            had.push(entry);
            if entry % 2 == 0 {
                lane.keep(current, now);
            }
            lane.book(was_aside, TURN, Duration::ZERO);
        }
        had
    }

    fn lane(entries: impl IntoIterator<Item = i64>) -> Lane {
        let mut lane = Lane::default();
        entries.into_iter().for_each(|entry| lane.offer((Timestamp::from_nanos(entry), EntryId(entry))));
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
        assert_eq!((lane.aside.len(), lane.waiting.len()), (MOST_ASIDE, 100 - MOST_ASIDE - 1));
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
}
