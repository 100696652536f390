//! Our broker: a helper process that was started before this one gave up its rights, and does for it the few things it cannot do any
//! more. Under Landlock nothing can be executed but what was named before, by inode, so that journalctl would be out of reach after an
//! upgrade; a sendmail program would be bound by our rules; and the programs and namespaces of other processes are hidden
//! (`ptrace(2)`, access mode checking).
//!
//! It runs what it was permitted at its start, word by word, and answers three kinds of questions. There is one in a process, as the
//! restriction is one of the process: so it is found here and not handed through every room. It ends with us.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
        send, sendmsg, socketpair,
    },
};
use serde::{Deserialize, Serialize};

/// The hidden command of a broker.
pub const WORD: &str = "deputy";

/// What ps(1) shows as the program of our helpers: the file they are started from says nothing.
pub const SHOWN: &str = "integrityd: helper";

/// The hidden command that gives up writing and connecting, and then becomes another program.
pub const CONFINED: &str = "confined";

/// Longest message, in bytes. Paths are far shorter.
pub(super) const LONGEST: usize = 64 * 1024;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an argument of a permitted program may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArgPattern {
    /// This.
    Is(OsString),
    /// Something that begins with one of these.
    Begins(Vec<String>),
    /// Anything that no program takes for an option.
    NoOption,
    /// Anything.
    Any,
}

impl ArgPattern {
    fn admits(&self, word: &OsStr) -> bool {
        match self {
            Self::Is(wanted) => word == wanted.as_os_str(),
            Self::Begins(starts) => starts.iter().any(|start| word.as_bytes().starts_with(start.as_bytes())),
            Self::NoOption => !word.is_empty() && !word.as_bytes().starts_with(b"-"),
            Self::Any => true,
        }
    }
}

/// A program that may be run, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedCommand {
    /// The program, absolute.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<ArgPattern>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Whether it may write and connect: a mail program has to.
    pub is_free: bool,
}

impl AllowedCommand {
    /// Whether it is about this program with these arguments.
    pub fn admits(&self, program: &OsStr, arguments: &[OsString]) -> bool {
        program == self.program
            && arguments.len() == self.arguments.len()
            && self.arguments.iter().zip(arguments).all(|(permitted, word)| permitted.admits(word))
    }
}

/// What a broker is asked. Directories are those of the processes in `/proc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sys) enum BrokerRequest {
    /// To run this, with the three descriptors that come along.
    Run(OsString, Vec<OsString>),
    /// Which file a process runs.
    Executable(u32),
    /// In which PID namespace a process is.
    Namespace(u32),
    /// The number in a PID file as a process sees it.
    PidFile(u32, OsString),
    /// Whether the directory of a PID file is there, as a process sees it.
    IsPlace(u32, OsString),
}

/// What a broker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sys) enum BrokerReply {
    /// The program runs; `Ended` follows.
    Started,
    /// It cannot be run, for this errno.
    Failed(i32),
    /// It has ended: its status as of `wait(2)`.
    Ended(i32),
    /// A path or a name; `None` when it cannot be had.
    Name(Option<OsString>),
    /// A number.
    Number(u32),
    /// The two numbers of what is wrong with a PID file.
    Fault(u8, i32),
    /// Yes or no.
    Truth(bool),
}

impl BrokerReply {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The helper process, seen from the one it helps.
#[derive(Debug)]
pub struct Broker {
    control: OwnedFd,
    child: Mutex<Child>,
    permits: Vec<AllowedCommand>,
    is_told: AtomicBool,
}

static INSTALLED: OnceLock<Broker> = OnceLock::new();

/// The broker of this process; `None` when it needs none.
pub fn installed() -> Option<&'static Broker> {
    INSTALLED.get()
}

/// Two ends of a socket that keeps messages apart.
fn pair(flags: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

impl Broker {
    /// Starts a broker that may run what `permits` say.
    ///
    /// # Errors
    /// The error of starting it.
    pub fn start(permits: Vec<AllowedCommand>) -> io::Result<Self> {
        let (ours, its) = pair(SocketFlags::CLOEXEC)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(SHOWN)
            .arg(WORD)
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .process_group(0);
        let child = command.spawn()?;
        // Our copy of its end goes with the command; else the end of the broker would not be that of the socket.
        drop(command);
        let words = serde_json::to_vec(&permits)?;
        send(&ours, &words, SendFlags::NOSIGNAL)?;
        Ok(Self { control: ours, child: Mutex::new(child), permits, is_told: AtomicBool::new(false) })
    }

    /// Makes it the broker of this process, for good.
    pub fn install(self) {
        if let Err(second) = INSTALLED.set(self) {
            second.dismiss();
        }
    }

    /// Ends it.
    pub fn dismiss(self) {
        drop(self.control);
        let mut child = self.child.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = child.wait() {
            tracing::debug!(%error, "the helper cannot be waited for");
        }
    }

    /// Whether it has ended. Cost: one system call.
    pub fn is_gone(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// Whether it has ended and this was not asked before.
    pub fn is_news_gone(&self) -> bool {
        self.is_gone() && !self.is_told.swap(true, Ordering::Relaxed)
    }

    /// What it may run.
    pub fn permits(&self) -> &[AllowedCommand] {
        &self.permits
    }

    /// Has a program run; gives the socket on which its end is told.
    ///
    /// # Errors
    /// `BrokenPipe` when the broker is gone, else the error of running it.
    pub(in crate::sys) fn run(&self, command: &Command, ends: [BorrowedFd<'_>; 3]) -> io::Result<OwnedFd> {
        let arguments = command.get_args().map(OsStr::to_os_string).collect();
        let request = BrokerRequest::Run(command.get_program().to_os_string(), arguments);
        let (session, its) = pair(SocketFlags::CLOEXEC)?;
        match self.ask(&request, &session, its, &ends)? {
            BrokerReply::Started => Ok(session),
            BrokerReply::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The file a process runs.
    pub fn executable(&self, pid: u32) -> Option<OsString> {
        match self.question(&BrokerRequest::Executable(pid)).ok()? {
            BrokerReply::Name(name) => name,
            _ => None,
        }
    }

    /// The PID namespace of a process.
    pub fn namespace(&self, pid: u32) -> Option<OsString> {
        match self.question(&BrokerRequest::Namespace(pid)).ok()? {
            BrokerReply::Name(name) => name,
            _ => None,
        }
    }

    /// The number in a PID file as process `pid` sees it, or the two numbers of its fault.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn pid_file(&self, pid: u32, path: &Path) -> io::Result<Result<u32, (u8, i32)>> {
        match self.question(&BrokerRequest::PidFile(pid, path.as_os_str().to_os_string()))? {
            BrokerReply::Number(number) => Ok(Ok(number)),
            BrokerReply::Fault(code, detail) => Ok(Err((code, detail))),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Whether process `pid` sees the directory of `path`.
    pub fn is_place(&self, pid: u32, path: &Path) -> bool {
        let asked = self.question(&BrokerRequest::IsPlace(pid, path.as_os_str().to_os_string()));
        matches!(asked, Ok(BrokerReply::Truth(true)))
    }

    fn question(&self, request: &BrokerRequest) -> io::Result<BrokerReply> {
        let (session, its) = pair(SocketFlags::CLOEXEC)?;
        self.ask(request, &session, its, &[])
    }

    /// Sends a request with its descriptors and waits for the first answer, for a moment at most.
    fn ask(
        &self,
        request: &BrokerRequest,
        session: &OwnedFd,
        its: OwnedFd,
        ends: &[BorrowedFd<'_>],
    ) -> io::Result<BrokerReply> {
        let words = serde_json::to_vec(request)?;
        if words.len() > LONGEST {
            return Err(Errno::TOOBIG.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let along: Vec<BorrowedFd<'_>> = std::iter::once(its.as_fd()).chain(ends.iter().copied()).collect();
        if !control.push(SendAncillaryMessage::ScmRights(&along)) {
            return Err(Errno::NOBUFS.into());
        }
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the helper process is gone");
        sendmsg(&self.control, &[IoSlice::new(&words)], &mut control, SendFlags::NOSIGNAL).map_err(
            |errno| match errno {
                Errno::PIPE | Errno::CONNRESET => gone(),
                errno => errno.into(),
            },
        )?;
        // Else the socket would not end with the broker.
        drop(along);
        drop(its);
        let mut bytes = vec![0; LONGEST];
        let mut fds = [PollFd::new(session, PollFlags::IN)];
        let most = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(1), tv_nsec: 0 };
        if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&most)))? == 0 {
            return Err(if self.is_gone() { gone() } else { io::ErrorKind::TimedOut.into() });
        }
        let (length, _) = recv(session, &mut bytes[..], RecvFlags::DONTWAIT)?;
        BrokerReply::decode(bytes.get(..length).unwrap_or_default()).ok_or_else(gone)
    }
}

/// The process whose root directory this is: `/proc/PID/root`.
pub(super) fn process_of(root: &Path) -> Option<u32> {
    let rest = root.to_str()?.strip_prefix("/proc/")?;
    rest.strip_suffix("/root")?.parse().ok()
}
