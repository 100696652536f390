//! Watched processes in words: which process it is, how it fares, and what is wrong with the file that names it.
//!
//! A number alone names no process: numbers are handed out again. Together with the time of the start and the boot it does.

use super::clock::{BootId, Boottime, Timestamp};

/// What names a watched process: a PID file or a unit, perhaps of a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchName {
    /// The path of the PID file, or the name of the systemd unit, which has no slash.
    pub source: Vec<u8>,
    /// The container its numbers count in; empty for the host.
    pub container: Vec<u8>,
}

impl WatchName {
    /// Whether it is a unit.
    pub fn is_unit(&self) -> bool {
        !self.source.starts_with(b"/")
    }
}

/// Which process it is, for as long as the machine is up and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// Its number on the host.
    pub pid: u32,
    /// When it was started, to the clock tick (`proc_pid_stat(5)`, field 22).
    pub started: Boottime,
    /// The boot it ran in.
    pub boot: BootId,
}

/// A process as it was when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which one.
    pub id: ProcessId,
    /// Its number within its container, where that is another one.
    pub inner: Option<u32>,
    /// When it was started, by the wall clock.
    pub since: Timestamp,
    /// Its name, raw bytes that it chooses itself, at most 64.
    pub comm: Vec<u8>,
    /// The file it runs (`/proc/PID/exe`); `None` when that cannot be had.
    pub exe: Option<Vec<u8>>,
}

/// What the kernel adds to the name of a program whose file is gone.
const DELETED: &[u8] = b" (deleted)";

impl Process {
    /// The file it runs, also when that was replaced meanwhile.
    pub fn program(&self) -> Option<&[u8]> {
        self.exe.as_deref().map(|exe| exe.strip_suffix(DELETED).unwrap_or(exe))
    }

    /// Whether both run the same file, as far as that is known.
    pub fn runs_same_file(&self, other: &Self) -> bool {
        self.program().zip(other.program()).is_none_or(|(one, other)| one == other)
    }

    /// Whether both are the same program: the same file under the same name.
    pub fn is_same_program(&self, other: &Self) -> bool {
        self.runs_same_file(other) && self.comm == other.comm
    }

    /// The number that its PID file holds.
    pub fn number(&self) -> u32 {
        self.inner.unwrap_or(self.id.pid)
    }
}

/// How a process fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It runs, or sleeps.
    Running,
    /// It has ended and its parent has not asked how.
    Zombie,
    /// Its first thread has ended, others live on.
    Headless,
    /// There is none of that identity.
    Gone,
}

impl Liveness {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Zombie, Self::Headless, Self::Gone];

    /// The number in the database; never changes.
    pub const fn code(self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Zombie => 2,
            Self::Headless => 3,
            Self::Gone => 4,
        }
    }

    /// The one with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|liveness| liveness.code() == code)
    }

    /// Its word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Zombie => "zombie",
            Self::Headless => "main thread ended",
            Self::Gone => "not running",
        }
    }
}

/// What is wrong with a PID file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileFault {
    /// Nothing has that name.
    Missing,
    /// Its first line is no number of a process.
    Content,
    /// It holds nothing.
    Empty,
    /// It is no regular file.
    Kind,
    /// A symbolic link on the way belongs to somebody who is neither root nor the owner of what it points to.
    Link,
    /// It cannot be opened or read, for this `errno(3)`.
    Unreadable(i32),
}

impl FileFault {
    /// Two numbers for the database: which one, and its detail. They never change.
    pub fn codes(self) -> (u8, i32) {
        match self {
            Self::Missing => (1, 0),
            Self::Content => (2, 0),
            Self::Empty => (3, 0),
            Self::Kind => (4, 0),
            Self::Link => (5, 0),
            Self::Unreadable(errno) => (6, errno),
        }
    }

    /// The fault with these numbers.
    pub fn from_codes(code: u8, detail: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Missing,
            2 => Self::Content,
            3 => Self::Empty,
            4 => Self::Kind,
            5 => Self::Link,
            6 => Self::Unreadable(detail),
            _ => return None,
        })
    }

    /// What is wrong, in words that hold nothing of the file's content.
    pub fn words(self) -> String {
        match self {
            Self::Missing => "there is no such file".to_owned(),
            Self::Content => "its first line is not the number of a process".to_owned(),
            Self::Empty => "it is empty".to_owned(),
            Self::Kind => "it is no regular file".to_owned(),
            Self::Link => "a symbolic link on the way belongs to another user than what it points to".to_owned(),
            Self::Unreadable(errno) => format!("it cannot be read: {}", std::io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Restarts that follow one another so closely that they are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storm {
    /// When the first restart of the row was seen.
    pub first: Timestamp,
    /// And the last.
    pub last: Timestamp,
    /// How many there were.
    pub restarts: u64,
    /// When the first of those was seen that were not told yet.
    pub untold_since: Timestamp,
    /// How many were not told yet.
    pub untold: u64,
}

/// All that is remembered of a watched process. It moves only together with the events it has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchState {
    /// The process that was last named; `None` when there never was one.
    pub process: Option<Process>,
    /// How it fares, as far as that was told.
    pub liveness: Liveness,
    /// What is wrong with its PID file, as far as that was told.
    pub fault: Option<FileFault>,
    /// The restarts of late.
    pub storm: Storm,
    /// Since when it is so.
    pub since: Timestamp,
}

impl WatchState {
    /// Nothing is known and nothing was told yet.
    pub fn unknown(now: Timestamp) -> Self {
        Self { process: None, liveness: Liveness::Running, fault: None, storm: Storm::default(), since: now }
    }
}

/// What has become of a watched process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidChange {
    /// It is there no more; with what is wrong with its PID file.
    Died(Option<FileFault>),
    /// It does not run, and its PID file names this number, which nobody has.
    Stale(u32),
    /// It has ended, and its parent has not asked how.
    Zombie,
    /// Its parent has asked now.
    Reaped,
    /// Its first thread has ended.
    Headless,
    /// It is another one now; and whether the old one still runs.
    Restarted {
        /// The one before; `None` when none was ever seen.
        old: Option<Process>,
        /// Whether that one still runs.
        is_old_running: bool,
    },
    /// It was restarted so often between two times.
    Storm(Storm),
    /// Its number belongs to another program.
    Replaced(Process),
    /// It runs another program than this.
    Exec(Process),
    /// Its PID file is missing or invalid.
    Fault(FileFault),
    /// Its PID file is in order again.
    Back,
}

/// What an event says of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessNews {
    /// The container its numbers count in; empty for the host.
    pub container: Vec<u8>,
    /// The process there was.
    pub old: Option<Process>,
    /// The process there is.
    pub new: Option<Process>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(comm: &str, exe: Option<&str>) -> Process {
        Process {
            id: ProcessId { pid: 812, started: Boottime::from_nanos(1), boot: BootId([1; 16]) },
            inner: None,
            since: Timestamp::from_nanos(0),
            comm: comm.as_bytes().to_vec(),
            exe: exe.map(|exe| exe.as_bytes().to_vec()),
        }
    }

    #[test]
    fn an_upgraded_file_is_the_same_program() {
        let old = process("nginx", Some("/usr/sbin/nginx (deleted)"));
        assert!(old.is_same_program(&process("nginx", Some("/usr/sbin/nginx"))));
        assert!(!old.is_same_program(&process("nginx", Some("/tmp/nginx"))));
        assert!(!old.is_same_program(&process("evil", Some("/usr/sbin/nginx"))));
    }

    #[test]
    fn what_is_unknown_makes_no_other_program() {
        let old = process("nginx", None);
        assert!(old.is_same_program(&process("nginx", Some("/usr/sbin/nginx"))));
        assert!(!old.is_same_program(&process("sshd", Some("/usr/sbin/sshd"))));
    }

    #[test]
    fn codes_come_back() {
        for fault in [
            FileFault::Missing,
            FileFault::Content,
            FileFault::Empty,
            FileFault::Kind,
            FileFault::Link,
            FileFault::Unreadable(13),
        ] {
            let (code, detail) = fault.codes();
            assert_eq!(FileFault::from_codes(code, detail), Some(fault));
        }
        for liveness in Liveness::ALL {
            assert_eq!(Liveness::from_code(liveness.code()), Some(liveness));
        }
        assert_eq!((FileFault::from_codes(0, 0), Liveness::from_code(0)), (None, None));
    }
}
