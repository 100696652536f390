//! What still lies ahead of the workers of a full-speed pass. Last in, first out: few directories are open at once.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// A stack that knows when no more work can come: when it is empty and nobody works.
#[derive(Debug)]
pub(in crate::files) struct WorkQueue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
    /// Whether somebody waits for work, or there is nothing left to do; asked without the lock.
    is_wanted: AtomicBool,
}

#[derive(Debug)]
struct QueueState<T> {
    ahead: Vec<T>,
    busy: usize,
    waiting: usize,
    is_cancelled: bool,
}

/// A piece of work in hand; when it is dropped, its worker is done with it.
#[derive(Debug)]
pub(in crate::files) struct Taken<'a, T> {
    stack: &'a WorkQueue<T>,
}

impl<T> WorkQueue<T> {
    pub(in crate::files) fn new(ahead: Vec<T>) -> Self {
        let state = QueueState { ahead, busy: 0, waiting: 0, is_cancelled: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), is_wanted: AtomicBool::new(false) }
    }

    /// Whether somebody waits for work, or the end was called: then whoever has more than one piece shares.
    pub(in crate::files) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// The next piece of work; waits while others may still bring some. `None` at the end.
    pub(in crate::files) fn take(&self) -> Option<(T, Taken<'_, T>)> {
        let is_waiting = |state: &mut QueueState<T>| !state.is_cancelled && state.ahead.is_empty() && state.busy > 0;
        let mut state = self.lock();
        if is_waiting(&mut state) {
            state.waiting += 1;
            self.is_wanted.store(true, Ordering::Relaxed);
            state = self.changed.wait_while(state, is_waiting).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            self.is_wanted.store(state.waiting > 0 || state.is_cancelled, Ordering::Relaxed);
        }
        if state.is_cancelled {
            return None;
        }
        let next = state.ahead.pop()?;
        state.busy += 1;
        Some((next, Taken { stack: self }))
    }

    /// Gives the older half of `own`, but never the last piece, to those who wait: nearest to the root, it is the most work for one hand-over. `false` when
    /// everything was ended.
    pub(in crate::files) fn share(&self, own: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        if state.is_cancelled {
            return false;
        }
        // One piece stays: to hand over the last would only change who has it.
        let mine = own.split_off(own.len() / 2);
        if !own.is_empty() {
            state.ahead.append(own);
            self.changed.notify_all();
        }
        *own = mine;
        true
    }

    /// Ends everything: nobody gets more work.
    pub(super) fn cancel(&self) {
        self.lock().is_cancelled = true;
        self.is_wanted.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let mut state = self.stack.lock();
        state.busy -= 1;
        if state.busy == 0 && state.waiting > 0 {
            self.stack.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn all_work_is_done_once_and_then_everybody_goes() {
        let stack = WorkQueue::new(vec![12_u32]);
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((first, _taken)) = stack.take() {
                        let mut own = vec![first];
                        while let Some(depth) = own.pop() {
                            own.extend(vec![depth.saturating_sub(1); if depth > 0 { 2 } else { 0 }]);
                            done.fetch_add(1, Ordering::Relaxed);
                            if stack.is_wanted() {
                                assert!(stack.share(&mut own));
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 2_u32.pow(13) - 1);
    }

    #[test]
    fn who_has_work_gives_the_older_half_to_who_waits() {
        let stack = WorkQueue::new(vec![0]);
        let (first, taken) = stack.take().unwrap();
        assert!(!stack.is_wanted());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| stack.take().map(|(work, _taken)| work));
            while !stack.is_wanted() {
                std::thread::yield_now();
            }
            let mut own = vec![first, 1, 2];
            assert!(stack.share(&mut own));
            assert_eq!(own, [1, 2]);
            assert_eq!(other.join().unwrap(), Some(0));
        });
        drop(taken);
        assert!(stack.take().is_none());
    }

    #[test]
    fn a_cancelled_stack_gives_nothing_more() {
        let stack = WorkQueue::new(vec![1, 2]);
        stack.cancel();
        assert!(stack.is_wanted(), "who works for long must ask");
        assert!(!stack.share(&mut vec![3]));
        assert!(stack.take().is_none());
    }
}
