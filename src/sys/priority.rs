//! Letting others go first: the I/O class `idle` and a low priority, for single threads.
//!
//! A low priority cannot be raised again without privilege, the I/O class can (`ioprio_set(2)`). So threads that do nothing but work of
//! ours take both for good, and those that also commit to the store, which others wait for, are idle only around their reading.

use std::{cell::Cell, panic::resume_unwind, thread};

use rustix::process::setpriority_process;

/// `IOPRIO_WHO_PROCESS` with id 0: the calling thread.
const PROCESS: libc::c_int = 1;
const SELF: libc::c_int = 0;

/// `IOPRIO_CLASS_IDLE` in the class bits of an I/O priority.
const IDLE: libc::c_long = 3 << 13;

/// The lowest priority of `nice(1)`.
const LOWEST: i32 = 19;

thread_local! {
    /// Whether this thread is known to be of the class `idle`: for good, or within an outer guard.
    static IS_IDLE: Cell<bool> = const { Cell::new(false) };
}

/// The I/O class of this thread is `idle` until this is dropped. Costs two or three short system calls; none where it is so already.
#[derive(Debug)]
#[must_use]
pub struct IdleIoGuard {
    /// What is put back.
    before: Option<libc::c_long>,
}

impl IdleIoGuard {
    /// Makes it so. Where the system refuses, nothing changes.
    pub fn enter() -> Self {
        if IS_IDLE.get() {
            return Self { before: None };
        }
        let before = priority().filter(|before| *before != IDLE && set_priority(IDLE));
        IS_IDLE.set(before.is_some());
        Self { before }
    }
}

impl Drop for IdleIoGuard {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            IS_IDLE.set(false);
            set_priority(before);
        }
    }
}

/// Puts this thread behind all others, for good: priority 19, and the I/O class `idle`. What the system refuses stays as it is.
pub fn lower_priority() {
    // Of Linux, not of POSIX: only the calling thread (getpriority(2), C library/kernel differences).
    if let Err(error) = setpriority_process(None, LOWEST) {
        tracing::debug!(%error, "the priority stays");
    }
    IS_IDLE.set(set_priority(IDLE));
}

/// Runs a longer job behind all others, in a thread of its own, and waits for it; a panic in it goes on in the caller.
pub fn at_lowest_priority<T: Send>(job: impl FnOnce() -> T + Send) -> T {
    let lowered = || {
        lower_priority();
        job()
    };
    thread::scope(|scope| scope.spawn(lowered).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// The I/O priority of this thread.
fn priority() -> Option<libc::c_long> {
    // SAFETY: ioprio_get(2) takes two integers and touches no memory of ours.
    #[expect(unsafe_code, reason = "neither std nor rustix has ioprio_get(2)")]
    let found = unsafe { libc::syscall(libc::SYS_ioprio_get, PROCESS, SELF) };
    (found >= 0).then_some(found)
}

/// Sets the I/O priority of this thread; `false` when that was refused.
fn set_priority(priority: libc::c_long) -> bool {
    // SAFETY: ioprio_set(2) takes three integers and touches no memory of ours.
    #[expect(unsafe_code, reason = "neither std nor rustix has ioprio_set(2)")]
    let set = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, SELF, priority) };
    set == 0
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn reading_is_idle_and_what_follows_is_as_before() {
        let before = priority().unwrap();
        let idle = IdleIoGuard::enter();
        assert_eq!(priority(), Some(IDLE));
        drop(IdleIoGuard::enter());
        assert_eq!(priority(), Some(IDLE), "an inner one ends nothing");
        drop(idle);
        assert_eq!(priority(), Some(before));
    }

    #[test]
    fn who_is_last_stays_so_and_is_alone_in_it() {
        let (others, before) = (getpriority_process(None).unwrap(), priority());
        thread::spawn(|| {
            lower_priority();
            drop(IdleIoGuard::enter());
            assert_eq!((getpriority_process(None).unwrap(), priority()), (LOWEST, Some(IDLE)));
        })
        .join()
        .unwrap();
        assert_eq!((getpriority_process(None).unwrap(), priority()), (others, before));
    }
}
