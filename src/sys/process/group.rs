//! A program of ours that runs in a process group of its own, so that it can be ended with all it has started.

use std::io;

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};

/// A process group whose leader we have started and not yet waited for: as long as that holds, its number is nobody else's.
///
/// Dropping it ends the group (SIGKILL), so that a cancelled wait leaves nothing running.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of the leader `pid`, which must be our child and the leader of its group.
    pub fn of(pid: u32) -> Self {
        Self(i32::try_from(pid).ok().and_then(Pid::from_raw))
    }

    /// Ends every process of the group at once. One that has gone already is no error.
    ///
    /// # Errors
    /// The error of `kill(2)`: EPERM when the program runs as another user.
    pub fn kill(&self) -> io::Result<()> {
        match self.0.map(|leader| kill_process_group(leader, Signal::KILL)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Lets the group live: its leader was waited for, so the number may soon be another's.
    pub fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(%error, "a process group cannot be ended");
        }
    }
}
