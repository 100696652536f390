//! What still lies ahead of the workers of a full-speed pass. Last in, first out: few directories are open at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A stack that knows when no more work can come: when it is empty and nobody works.
#[derive(Debug)]
pub(super) struct Stack<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    ahead: Vec<T>,
    busy: usize,
    is_cancelled: bool,
}

/// A piece of work in hand; when it is dropped, its worker is done with it.
#[derive(Debug)]
pub(super) struct Taken<'a, T> {
    stack: &'a Stack<T>,
}

impl<T> Stack<T> {
    pub(super) fn new(ahead: Vec<T>) -> Self {
        Self { state: Mutex::new(State { ahead, busy: 0, is_cancelled: false }), changed: Condvar::new() }
    }

    /// The next piece of work; waits while others may still bring some. `None` at the end.
    pub(super) fn take(&self) -> Option<(T, Taken<'_, T>)> {
        let is_waiting = |state: &mut State<T>| !state.is_cancelled && state.ahead.is_empty() && state.busy > 0;
        let mut state = self.changed.wait_while(self.lock(), is_waiting).unwrap_or_else(PoisonError::into_inner);
        if state.is_cancelled {
            return None;
        }
        let next = state.ahead.pop()?;
        state.busy += 1;
        Some((next, Taken { stack: self }))
    }

    /// Adds work.
    pub(super) fn push(&self, more: Vec<T>) {
        if more.is_empty() {
            return;
        }
        self.lock().ahead.extend(more);
        self.changed.notify_all();
    }

    /// Ends everything: nobody gets more work.
    pub(super) fn cancel(&self) {
        self.lock().is_cancelled = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.stack.lock().busy -= 1;
        self.stack.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn all_work_is_done_once_and_then_everybody_goes() {
        let stack = Stack::new(vec![10_u32]);
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((depth, _taken)) = stack.take() {
                        stack.push(vec![depth.saturating_sub(1); if depth > 0 { 2 } else { 0 }]);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 2_u32.pow(11) - 1);
    }

    #[test]
    fn a_cancelled_stack_gives_nothing_more() {
        let stack = Stack::new(vec![1, 2]);
        stack.cancel();
        assert!(stack.take().is_none());
    }
}
