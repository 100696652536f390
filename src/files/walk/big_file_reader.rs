//! The big-file queue beside the walk: files above `bigfiles` are read here, one at a time and in slices, between the stops of the walk.
//!
//! A look that leaves a content to the queue says by when it should be read; the earliest is next. What is being read is given up as soon
//! as it is seen to change, and begun anew after a while; after the third time it is `busy`. Nothing of it outlives the process: what was
//! not read to its end is offered again by the next look.
//!
//! A file that takes long is put aside, its reading kept, while others wait: those that were put aside and those that come new take
//! turns, so that a short one is not kept waiting by a long one. Only so many are put aside; what takes long then is read to its end.
//!
//! Before that the owners of the files take turns, and within each turn this holds for the files of one of them: nobody's files, however
//! many and however large, keep those of another waiting.

use crate::{
    files::walk::{
        big_file_queue::{FIRST_RETRY, QueuedFile},
        checker::{Interrupt, PacedChecker},
        entry_check::CheckStep,
        target::CheckTarget,
    },
    model::clock::Boottime,
};

/// How often a file that changes while it is read is tried, and the first wait between.
const TRIES: u32 = 3;
/// What opening a file costs of the bytes, so that what cannot be opened is not asked for without end.
const OPENING: u64 = 4096;

impl PacedChecker {
    /// Reads on in the queue while the walk, which wants to go on at `walk_due`, leaves bytes for it.
    pub(super) async fn serve_lane(&mut self, walk_due: Boottime) -> Result<(), Interrupt> {
        self.queue.share.begin_turn();
        loop {
            self.mind_others().await;
            let now = self.clock.now().boottime;
            if !self.queue.has_work(now) {
                return Ok(());
            }
            let most = self.queue.share.allowance(&self.pace, walk_due, now).min(self.chunk());
            if most == 0 {
                return Ok(());
            }
            let due = self.pace.next_read(now);
            self.wait(due).await?;
            let begun = self.clock.now().boottime;
            let Some(current) = self.queue.take(begun) else { return Ok(()) };
            let (owner, was_aside) = (current.owner, current.is_aside);
            let cost = match current.open {
                None => self.begin_in_lane(current).await?,
                Some(_) => self.slice(current, most).await?,
            };
            let now = self.clock.now().boottime;
            self.queue.share.book(&self.pace, cost, now.since(begun));
            self.queue.book(owner, was_aside, (cost, now.since(begun)));
            self.pace.book_bytes(now, cost);
        }
    }

    /// Opens the file at hand; gives what that costs.
    async fn begin_in_lane(&mut self, current: QueuedFile) -> Result<u64, Interrupt> {
        let (id, Some(checker)) = (current.entry, self.checker.clone()) else {
            return Ok(OPENING);
        };
        let found = self.db.call(move |store| checker.target_to(store, id)).await?;
        let Some(target) = found else { return Ok(OPENING) };
        let again = target.clone();
        let step = self.job(&target, move |checker| checker.begin_whole(again)).await?;
        let cost = match &step {
            Some(CheckStep::Done(visited)) => visited.read,
            Some(CheckStep::Torn(looked)) => looked.unpaid(),
            _ => 0,
        };
        self.go_on(current, target, step).await?;
        Ok(cost.max(OPENING))
    }

    /// Reads about `most` bytes of the file at hand; gives what they cost.
    async fn slice(&mut self, mut current: QueuedFile, most: u64) -> Result<u64, Interrupt> {
        let Some((target, mut open)) = current.open.take() else { return Ok(0) };
        let read = self
            .job(&target, move |checker| {
                if !open.reading.holds_still() {
                    return Ok((0, Some(CheckStep::Torn(Box::new(open.looked)))));
                }
                let before = open.reading.read();
                let advanced = open.reading.advance(most);
                checker.db.lock().count_looks(0, open.reading.read() - before);
                Ok(match advanced {
                    Ok((cost, false)) => (cost, Some(CheckStep::Read(open))),
                    Ok((cost, true)) => (cost, Some(checker.finish_big(*open)?)),
                    Err(errno) => (0, Some(CheckStep::Done(checker.fail(&open, errno)?))),
                })
            })
            .await?;
        let (cost, step) = read.unwrap_or((0, None));
        self.go_on(current, target, step).await?;
        Ok(cost)
    }

    /// Keeps a file as long as it is not settled.
    async fn go_on(
        &mut self,
        current: QueuedFile,
        target: CheckTarget,
        step: Option<CheckStep>,
    ) -> Result<(), Interrupt> {
        let now = self.clock.now().boottime;
        match step {
            Some(CheckStep::Read(open)) => self.queue.keep(QueuedFile { open: Some((target, open)), ..current }, now),
            Some(CheckStep::Done(visited)) => self.take_note(&visited),
            Some(CheckStep::Torn(_)) if current.tries + 1 < TRIES => {
                let rest = now.after(FIRST_RETRY * 4_u32.pow(current.tries));
                self.queue.keep(QueuedFile { tries: current.tries + 1, rest, open: None, ..current }, now);
            }
            Some(CheckStep::Torn(looked)) => {
                if let Some(visited) = self.job(&target, move |checker| checker.give_up(&looked)).await? {
                    self.take_note(&visited);
                }
            }
            None => {}
        }
        Ok(())
    }
}
