//! What a broker does: it waits for requests, and serves each on a thread of its own, so that a mail program that takes its time and a
//! container that hangs hold up nobody else. It ends when the process it helps does, and with it all that it has started.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStringExt as _,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::Path,
    process::{Child, Command},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Access, AtFlags, CWD, accessat},
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send},
    process::{Pid, PidfdFlags, pidfd_open},
    stdio::stdin,
};

use crate::sys::process::{
    broker::{AllowedCommand, BrokerReply, BrokerRequest, CONFINED, LONGEST, SHOWN},
    group::ProcessGroup,
    pidfile, stat,
};

/// Requests served at once; beyond, none is taken until one is done.
const MOST: usize = 64;

/// How long the last programs may take to go.
const PARTING: Duration = Duration::from_secs(2);

/// Serves the process at the other end of the standard input until that is gone.
///
/// # Errors
/// The error of reading from it.
pub fn serve() -> io::Result<()> {
    let Some((words, _)) = receive()? else { return Ok(()) };
    let permits: Arc<Vec<AllowedCommand>> = Arc::new(serde_json::from_slice(&words)?);
    let (done, ends) = channel::<()>();
    let mut busy = 0;
    while let Some((words, fds)) = receive()? {
        busy -= ends.try_iter().count();
        while busy >= MOST && ends.recv().is_ok() {
            busy -= 1;
        }
        let (permits, ended) = (Arc::clone(&permits), done.clone());
        let served = thread::Builder::new().spawn(move || {
            let guard = BrokerEnded(ended);
            attend(&words, fds, &permits);
            drop(guard);
        });
        busy += usize::from(served.is_ok());
    }
    drop(done);
    part(&ends);
    Ok(())
}

/// Tells that a thread has ended, however it did.
struct BrokerEnded(Sender<()>);

impl Drop for BrokerEnded {
    fn drop(&mut self) {
        // Nobody listens any more at the very end.
        let _gone = self.0.send(());
    }
}

/// Waits for the threads, which all find their requests withdrawn.
fn part(ends: &Receiver<()>) {
    while ends.recv_timeout(PARTING).is_ok() {}
}

/// The next message with its descriptors; `None` at the end.
fn receive() -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut words = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        recvmsg(stdin(), &mut [IoSliceMut::new(&mut words)], &mut control, RecvFlags::CMSG_CLOEXEC)
    });
    let got = match got {
        Ok(got) if got.bytes > 0 => got,
        Ok(_) | Err(Errno::CONNRESET) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    words.truncate(got.bytes);
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(Some((words, fds)))
}

fn attend(words: &[u8], fds: Vec<OwnedFd>, permits: &[AllowedCommand]) {
    let mut fds = fds.into_iter();
    let (Some(session), Ok(request)) = (fds.next(), serde_json::from_slice::<BrokerRequest>(words)) else { return };
    let root = Path::new("/");
    let inside = |pid: u32| root.join(format!("proc/{pid}/root"));
    let reply = match request {
        BrokerRequest::Run(program, arguments) => {
            let (Some(input), Some(output), Some(error)) = (fds.next(), fds.next(), fds.next()) else { return };
            // What becomes another program cannot tell any more that it is not there.
            let is_there = accessat(CWD, Path::new(&program), Access::EXEC_OK, AtFlags::EACCESS);
            match (command(&program, &arguments, permits), is_there) {
                (Some(mut command), Ok(())) => {
                    command.stdin(input).stdout(output).stderr(error);
                    return run(command, &session);
                }
                (Some(_), Err(errno)) => BrokerReply::Failed(errno.raw_os_error()),
                (None, _) => BrokerReply::Failed(Errno::PERM.raw_os_error()),
            }
        }
        BrokerRequest::Executable(pid) => BrokerReply::Name(stat::executable(root, pid).map(OsString::from_vec)),
        BrokerRequest::Namespace(pid) => BrokerReply::Name(stat::namespace(root, pid).map(OsString::from_vec)),
        BrokerRequest::PidFile(pid, path) => match pidfile::read(Path::new(&path), Some(&inside(pid))) {
            Ok(number) => BrokerReply::Number(number),
            Err(fault) => {
                let (code, detail) = fault.codes();
                BrokerReply::Fault(code, detail)
            }
        },
        BrokerRequest::IsPlace(pid, path) => BrokerReply::Truth(pidfile::is_place_in(&inside(pid), Path::new(&path))),
    };
    tell(&session, &reply);
}

/// The program as it was permitted; `None` when it was not.
fn command(program: &OsStr, arguments: &[OsString], permits: &[AllowedCommand]) -> Option<Command> {
    let permit = permits.iter().find(|permit| permit.admits(program, arguments))?;
    let mut command = if permit.is_free {
        Command::new(program)
    } else {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(SHOWN).arg(CONFINED).arg("--").arg(program);
        command
    };
    let environment = permit.environment.iter().map(|(name, value)| (name, value));
    command.args(arguments).current_dir("/").env_clear().envs(environment).process_group(0);
    Some(command)
}

/// Runs a program until it ends or nobody is there any more who wants it.
fn run(mut command: Command, session: &OwnedFd) {
    let spawned = command.spawn();
    // With it go our copies of its ends.
    drop(command);
    let child = match spawned {
        Ok(child) => child,
        Err(error) => return tell(session, &BrokerReply::Failed(error.raw_os_error().unwrap_or_default())),
    };
    tell(session, &BrokerReply::Started);
    let group = ProcessGroup::of(child.id());
    if let Ok(raw) = outlive(child, group, session) {
        tell(session, &BrokerReply::Ended(raw));
    }
}

/// Waits for the end of `child`, or for that of the wish for it; gives its status.
fn outlive(mut child: Child, group: ProcessGroup, session: &OwnedFd) -> io::Result<i32> {
    let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let mut fds = [PollFd::new(&end, PollFlags::IN), PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    let [end, _] = fds;
    if end.revents().is_empty() {
        group.kill()?;
    }
    let status = child.wait()?;
    group.release();
    Ok(status.into_raw())
}

/// Says something to who may have gone.
fn tell(session: &OwnedFd, reply: &BrokerReply) {
    if let Ok(words) = serde_json::to_vec(reply) {
        let _gone = send(session, &words, SendFlags::NOSIGNAL);
    }
}
