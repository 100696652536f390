//! Processes that tell by themselves when they end: a descriptor each (`pidfd_open(2)`), as many as may be open.
//!
//! A task waits on each. A notice carries only who is to be looked at; whatever it is worth, the next round looks as well.

use std::{collections::HashMap, io, os::fd::OwnedFd, path::Path};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::{AbortHandle, JoinSet},
};

use crate::{
    model::process::ProcessId,
    sys::{process::stat, rlimit},
};

/// Descriptors that are left for everything else: 64 directories of the walker with their listings, and what else is open.
const OTHERS: u64 = 192;

/// Most descriptors that are taken, whatever the limit.
const MOST: u64 = 10_000;

/// Who tells by himself.
#[derive(Debug)]
pub struct PidfdSet {
    tasks: JoinSet<(usize, ProcessId)>,
    waiting: HashMap<usize, (ProcessId, AbortHandle)>,
    most: usize,
}

/// Why a process does not tell by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidfdError {
    /// It has ended, or is another one already.
    Gone,
    /// No more files may be open.
    Full,
    /// The kernel has no such thing, or forbids it.
    Refused(Errno),
}

/// How many descriptors may be taken under this limit of open files.
fn share(limit: Option<u64>) -> usize {
    let most = limit.map_or(MOST, |limit| limit.saturating_sub(OTHERS).min(MOST));
    usize::try_from(most).unwrap_or(0)
}

#[expect(
    deprecated,
    reason = "sound for what always gives the same descriptor, as an OwnedFd does; the new way cannot know that"
)]
fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

impl Default for PidfdSet {
    /// As many as the limit of open files allows.
    fn default() -> Self {
        Self { tasks: JoinSet::new(), waiting: HashMap::new(), most: share(rlimit::open_files()) }
    }
}

impl PidfdSet {
    /// How many may be taken.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Has the process `id` tell number `watch` when it ends, instead of the one that did before.
    ///
    /// # Errors
    /// [`PidfdError`], then it is to be polled.
    pub fn add(&mut self, watch: usize, id: ProcessId) -> Result<(), PidfdError> {
        self.remove(watch);
        if self.waiting.len() >= self.most {
            return Err(PidfdError::Full);
        }
        let descriptor = stat::death_notice(id.pid).map_err(|errno| match errno {
            Errno::SRCH => PidfdError::Gone,
            Errno::MFILE | Errno::NFILE => PidfdError::Full,
            errno => PidfdError::Refused(errno),
        })?;
        // The number may have been handed out again since it was looked at; from now on that cannot happen.
        let stat = stat::stat(Path::new("/"), id.pid).ok().flatten();
        if stat.is_none_or(|stat| stat.started != id.started) {
            return Err(PidfdError::Gone);
        }
        let notice = register(descriptor).or(Err(PidfdError::Full))?;
        let task = self.tasks.spawn(async move {
            // An error ends the wait, too: then it is looked at, and found as it is.
            drop(notice.readable().await);
            (watch, id)
        });
        self.waiting.insert(watch, (id, task));
        Ok(())
    }

    fn remove(&mut self, watch: usize) {
        if let Some((_, task)) = self.waiting.remove(&watch) {
            task.abort();
        }
    }

    /// Waits until a process has ended; gives who watched which. For ever when nobody tells.
    pub async fn next(&mut self) -> (usize, ProcessId) {
        while let Some(told) = self.tasks.join_next().await {
            if let Ok((watch, id)) = told
                && self.waiting.get(&watch).is_some_and(|(waiting, _)| *waiting == id)
            {
                self.waiting.remove(&watch);
                return (watch, id);
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::model::clock::BootId;

    #[test]
    fn others_keep_their_share_of_open_files() {
        assert_eq!((share(Some(256)), share(Some(100)), share(None)), (64, 0, 10_000));
    }

    #[tokio::test]
    async fn a_child_that_is_killed_tells_at_once() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let started = stat::stat(Path::new("/"), child.id()).unwrap().unwrap().started;
        let id = ProcessId { pid: child.id(), started, boot: BootId::default() };
        let mut notices = PidfdSet::default();
        assert_eq!(notices.add(3, id), Ok(()));
        let other = ProcessId { started: started.before(std::time::Duration::from_secs(1)), ..id };
        assert_eq!(notices.add(4, other), Err(PidfdError::Gone));
        child.kill().unwrap();
        assert_eq!(notices.next().await, (3, id));
        child.wait().unwrap();
        assert_eq!(notices.add(3, id), Err(PidfdError::Gone));
        notices.most = 0;
        assert_eq!(notices.add(3, id), Err(PidfdError::Full));
    }
}
