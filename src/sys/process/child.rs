//! The life of a program we have started, or had started by our broker: when it ends, how, and how to end it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, Shutdown, recv, shutdown},
    process::{Pid, PidfdFlags, pidfd_open},
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::sys::process::{
    broker::{self, BrokerReply},
    group::ProcessGroup,
};

/// Programs that were ended and had not gone yet, to be asked for later.
static GRAVES: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// What a program is given as its standard input, output and error.
#[derive(Debug)]
pub struct ChildStdio {
    /// Its standard input.
    pub input: OwnedFd,
    /// Its standard output.
    pub output: OwnedFd,
    /// Its standard error.
    pub error: OwnedFd,
}

/// A program in a process group of its own. Dropped before its end was seen, it is ended with all it has started.
#[derive(Debug)]
pub struct ChildHandle(ChildKind);

#[derive(Debug)]
enum ChildKind {
    /// Our child.
    Own { child: Option<Child>, group: Option<ProcessGroup>, end: OwnedFd },
    /// A child of our broker, which ends it as soon as this socket is closed.
    Lent { session: OwnedFd, ended: Option<ExitStatus> },
}

/// `/dev/null` for reading.
///
/// # Errors
/// The error of opening it.
pub fn nothing() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}

/// `/dev/null` for writing.
///
/// # Errors
/// The error of opening it.
pub fn nowhere() -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().write(true).open("/dev/null")?.into())
}

/// Starts `command`, of which a broker takes program and arguments only: the rest it knows.
///
/// # Errors
/// The error of starting it.
pub fn start(command: &mut Command, ends: ChildStdio) -> io::Result<ChildHandle> {
    GRAVES.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    if let Some(broker) = broker::installed() {
        let session = broker.run(command, [ends.input.as_fd(), ends.output.as_fd(), ends.error.as_fd()])?;
        return Ok(ChildHandle(ChildKind::Lent { session, ended: None }));
    }
    let spawned = command.stdin(ends.input).stdout(ends.output).stderr(ends.error).process_group(0).spawn();
    // Else our copies of its ends would stay open as long as the command is there.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ChildHandle::of(spawned?)
}

impl ChildHandle {
    /// That of a child of ours, which leads a process group.
    ///
    /// # Errors
    /// The error of `pidfd_open(2)`; then it is ended.
    pub fn of(mut child: Child) -> io::Result<Self> {
        let group = ProcessGroup::of(child.id());
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(end) => Ok(Self(ChildKind::Own { child: Some(child), group: Some(group), end })),
            Err(errno) => {
                group.kill()?;
                child.wait()?;
                group.release();
                Err(errno.into())
            }
        }
    }

    /// The same, to be waited for within a runtime.
    ///
    /// # Errors
    /// The error of `epoll_ctl(2)`.
    pub fn within_runtime(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: what `as_raw_fd` gives is owned by the `Life` and is neither closed nor replaced before that is dropped.
        #[expect(unsafe_code, reason = "tokio trusts nobody to keep a descriptor open")]
        let registered = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        registered.map_err(Into::into)
    }

    /// Ends it and all it has started, at once. Of one that has ended already, what it has left behind.
    ///
    /// # Errors
    /// The error of `kill(2)`.
    pub fn kill(&self) -> io::Result<()> {
        match &self.0 {
            ChildKind::Own { group: Some(group), .. } => group.kill(),
            ChildKind::Own { .. } => Ok(()),
            ChildKind::Lent { session, .. } => match shutdown(session, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
        }
    }

    /// How it has ended; `None` when it has not. Never waits.
    ///
    /// # Errors
    /// When that cannot be told: a broker is gone that had started it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match &mut self.0 {
            ChildKind::Own { child, group, .. } => {
                let status = child.as_mut().map_or(Ok(None), Child::try_wait)?;
                if status.is_some()
                    && let Some(group) = group.take()
                {
                    group.release();
                }
                Ok(status)
            }
            ChildKind::Lent { ended: Some(status), .. } => Ok(Some(*status)),
            ChildKind::Lent { session, ended } => {
                let mut bytes = [0; 256];
                let length = match recv(&*session, &mut bytes[..], RecvFlags::DONTWAIT) {
                    Ok((length, _)) => length,
                    Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                    Err(errno) => return Err(errno.into()),
                };
                match BrokerReply::decode(bytes.get(..length).unwrap_or_default()) {
                    Some(BrokerReply::Ended(raw)) => {
                        *ended = Some(ExitStatus::from_raw(raw));
                        Ok(*ended)
                    }
                    _ => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the helper that had started it is gone")),
                }
            }
        }
    }
}

/// Readable when it has ended.
impl AsFd for ChildHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            ChildKind::Own { end, .. } => end.as_fd(),
            ChildKind::Lent { session, .. } => session.as_fd(),
        }
    }
}

impl AsRawFd for ChildHandle {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        let ChildKind::Own { child, group, .. } = &mut self.0 else { return };
        // The group goes by SIGKILL; the number is its own as long as nobody has waited for its leader.
        drop(group.take());
        if let Some(mut child) = child.take()
            && matches!(child.try_wait(), Ok(None))
        {
            GRAVES.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }
}
