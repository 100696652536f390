//! The lane beside the walk: files above `bigfiles` are read here, one at a time and in slices, between the stops of the walk.
//!
//! A look that leaves a content to the lane says by when it should be read; the earliest is next. What is being read is given up as soon
//! as it is seen to change, and begun anew after a while; after the third time it is `busy`. Nothing of it outlives the process: what was
//! not read to its end is offered again by the next look.

use std::{collections::BTreeSet, time::Duration};

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

/// What is read beside the walk.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: BTreeSet<Deadline>,
    current: Option<Current>,
    pub(super) share: Share,
}

/// The file at hand.
#[derive(Debug)]
struct Current {
    entry: EntryId,
    tries: u32,
    /// It rests until then.
    rest: Boottime,
    open: Option<(Target, Box<Open>)>,
}

impl Lane {
    /// Notes that the content of an entry is to be read.
    pub(super) fn offer(&mut self, (due, entry): Deadline) {
        if self.current.as_ref().is_some_and(|current| current.entry == entry) {
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
        self.current.as_ref().map_or(!self.waiting.is_empty(), |current| current.rest <= now)
    }

    fn take(&mut self) -> Option<Current> {
        self.current.take().or_else(|| {
            let (_, entry) = self.waiting.pop_first()?;
            Some(Current { entry, tries: 0, rest: Boottime::default(), open: None })
        })
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
            let Some(current) = self.lane.take() else { return Ok(()) };
            let begun = self.clock.now().boottime;
            let cost = match current.open {
                None => self.begin_in_lane(current).await?,
                Some(_) => self.slice(current, most).await?,
            };
            let now = self.clock.now().boottime;
            self.lane.share.book(&self.pace, cost, now.since(begun));
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

    /// Keeps the file at hand as long as it is not settled.
    async fn go_on(&mut self, current: Current, target: Target, step: Option<Step>) -> Result<(), Leave> {
        match step {
            Some(Step::Read(open)) => self.lane.current = Some(Current { open: Some((target, open)), ..current }),
            Some(Step::Done(visited)) => self.take_note(&visited),
            Some(Step::Torn(_)) if current.tries + 1 < TRIES => {
                let rest = self.clock.now().boottime.after(FIRST_RETRY * 4_u32.pow(current.tries));
                self.lane.current = Some(Current { tries: current.tries + 1, rest, open: None, ..current });
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
        let order: Vec<i64> = std::iter::from_fn(|| lane.take()).map(|current| current.entry.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn a_crowd_takes_no_more_than_its_room_and_those_due_last_go() {
        let mut lane = Lane::default();
        let most = i64::try_from(MOST_WAITING).unwrap();
        for entry in (0..most * 2).rev() {
            lane.offer((Timestamp::from_nanos(entry), EntryId(entry)));
        }
        let order: Vec<i64> = std::iter::from_fn(|| lane.take()).map(|current| current.entry.0).collect();
        assert_eq!(order, (0..most).collect::<Vec<_>>());
    }
}
