//! Which system calls this process may use, found out once: a filter (`seccomp(2)`) of a service manager or a container refuses some, and
//! an older kernel lacks them. What is refused costs precision or courtesy, never sight: each has something to fall back on.
//!
//! A refusal is told from an error of the object that is asked about by asking about what is known to answer: `/`, ourselves, or nothing
//! at all where the kernel has a known answer to that. So it is decided once, and not file by file.

use std::{io, sync::LazyLock, thread};

use libc::c_long;
use rustix::{
    fs::{AtFlags, CWD, StatxFlags, statx},
    io::Errno,
};

/// How much of the metadata of an object can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// `statx(2)` with the time of birth.
    Whole,
    /// `statx(2)` without it.
    Basic,
    /// `fstat(2)`: neither births nor inode flags.
    Old,
}

/// What every look begins with costs no more than a load once it is known.
static OPENAT2: LazyLock<bool> = LazyLock::new(|| ask_openat2().is_ok());
static METADATA: LazyLock<Metadata> = LazyLock::new(|| match (ask_births(), ask_statx()) {
    (Ok(()), _) => Metadata::Whole,
    (_, Ok(())) => Metadata::Basic,
    _ => Metadata::Old,
});
static MOUNT_NUMBERS: LazyLock<bool> = LazyLock::new(|| ask_mount_number().is_ok());
static XATTRS: LazyLock<bool> = LazyLock::new(|| ask_xattr_names().and_then(|()| ask_xattr_values()).is_ok());
static FACCESSAT2: LazyLock<bool> = LazyLock::new(|| ask_access().is_ok());

/// Whether `openat2(2)` can be used.
pub fn has_openat2() -> bool {
    *OPENAT2
}

/// How much of the metadata of an object can be asked for.
pub fn metadata() -> Metadata {
    *METADATA
}

/// Whether `statx(2)` tells on which mount an object lies.
pub fn has_mount_numbers() -> bool {
    *MOUNT_NUMBERS
}

/// Whether extended attributes can be read at all.
pub fn has_xattrs() -> bool {
    *XATTRS
}

/// Whether `faccessat2(2)` can be used.
pub fn has_faccessat2() -> bool {
    *FACCESSAT2
}

/// A system call, or a use of one, that may be refused.
#[derive(Debug, Clone, Copy)]
pub struct Capability {
    /// Its name.
    pub call: &'static str,
    /// What is lost without it, in words.
    pub loss: &'static str,
    /// Whether that is nothing but time.
    pub costs_time_only: bool,
    /// What it is tried on, in words.
    pub tried_on: &'static str,
    ask: Ask,
}

const fn lost(call: &'static str, loss: &'static str, tried_on: &'static str, ask: Ask) -> Capability {
    Capability { call, loss, costs_time_only: false, tried_on, ask }
}

const fn slower(call: &'static str, loss: &'static str, tried_on: &'static str, ask: Ask) -> Capability {
    Capability { call, loss, costs_time_only: true, tried_on, ask }
}

type Ask = fn() -> Result<(), Errno>;

const NOTHING: &str = "nothing, which has a known answer";
const XATTR_LOSS: &str = "extended attributes (ACLs, file capabilities) are not seen; what is known of them stays";
const CACHE_LOSS: &str = "what is read stays in the page cache, and may displace what others use";
const DISK_LOSS: &str = "other processes do not go first at the disks";
const SANDBOX_LOSS: &str = "the daemon keeps all rights of its user: no sandbox";
const FILTER_LOSS: &str = "the daemon may use all system calls that its rights allow";
const CAPABILITY_LOSS: &str = "the daemon keeps all capabilities that it is given";

/// The table.
pub const ALL: [Capability; 16] = [
    slower("openat2", "paths are opened component by component", NOTHING, ask_openat2),
    lost("statx", "times of birth and inode flags (chattr) are not seen; known flags stay", "/", ask_statx),
    lost("statx: birth", "moved directories, reused inodes and rotated logs are recognised by less", "/", ask_births),
    slower("statx: mount", "numbers of mounts are read from /proc", "/", ask_mount_number),
    lost("listxattr", XATTR_LOSS, NOTHING, ask_xattr_names),
    lost("getxattr", XATTR_LOSS, NOTHING, ask_xattr_values),
    lost("preadv2", CACHE_LOSS, NOTHING, || {
        expect(&[Errno::BADF], raw(libc::SYS_preadv2, [NONE, 0, 0, 0, 0, DONTCACHE]))
    }),
    lost("fadvise64", CACHE_LOSS, NOTHING, || expect(&[Errno::BADF], raw(libc::SYS_fadvise64, [NONE, 0, 0, 0, 0, 0]))),
    lost("pidfd_open", "the end of a watched process is seen at the next look, not at once", NOTHING, || {
        expect(&[Errno::INVAL], raw(libc::SYS_pidfd_open, [NONE, 0, 0, 0, 0, 0]))
    }),
    lost("ioprio_get", DISK_LOSS, "this process", || raw(libc::SYS_ioprio_get, [PROCESS, 0, 0, 0, 0, 0]).map(drop)),
    lost("ioprio_set", DISK_LOSS, NOTHING, || {
        expect(&[Errno::INVAL], raw(libc::SYS_ioprio_set, [0, 0, IDLE, 0, 0, 0]))
    }),
    lost("faccessat2", "doctor judges by the real user, not by the effective one", NOTHING, ask_access),
    lost("landlock_add_rule", SANDBOX_LOSS, NOTHING, ask_rules),
    lost("landlock_restrict_self", SANDBOX_LOSS, NOTHING, ask_restriction),
    lost("seccomp", FILTER_LOSS, NOTHING, || {
        expect(&[Errno::FAULT], raw(libc::SYS_seccomp, [GET_ACTION_AVAIL, 0, 0, 0, 0, 0]))
    }),
    lost("capset", CAPABILITY_LOSS, NOTHING, || expect(&[Errno::FAULT], raw(libc::SYS_capset, [0; 6]))),
];

/// Asks for all of the table; gives what is refused, each with the errno. Cost: some 25 system calls and a short thread.
pub fn refused() -> Vec<(&'static Capability, Errno)> {
    ALL.iter().filter_map(|capability| Some((capability, (capability.ask)().err()?))).collect()
}

/// Asks whether this process can be restricted by `landlock(7)`; nothing is restricted by that.
///
/// # Errors
/// The errno with which that is refused; `EOPNOTSUPP` and `ENOSYS` from a kernel without it.
pub fn ask_landlock() -> Result<(), Errno> {
    ask_rules().and_then(|()| ask_restriction())
}

/// It looks at the size of its last argument first (openat2(2), EINVAL); no descriptor is needed, of which there may be none.
fn ask_openat2() -> Result<(), Errno> {
    expect(&[Errno::INVAL], raw(libc::SYS_openat2, [NONE, 0, 0, 0, 0, 0]))
}

fn ask_statx() -> Result<(), Errno> {
    statx(CWD, "/", AtFlags::empty(), StatxFlags::BASIC_STATS).map(drop)
}

/// That a file system knows none is no refusal.
fn ask_births() -> Result<(), Errno> {
    statx(CWD, "/", AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::BTIME).map(drop)
}

/// Kernels before Linux 5.8 pass over what they do not know.
fn ask_mount_number() -> Result<(), Errno> {
    let seen = statx(CWD, "/", AtFlags::empty(), StatxFlags::MNT_ID)?;
    let is_told = StatxFlags::from_bits_retain(seen.stx_mask).contains(StatxFlags::MNT_ID);
    if is_told { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

/// Which of the arguments the kernel looks at first differs by its version.
fn ask_xattr_names() -> Result<(), Errno> {
    expect(&[Errno::FAULT], raw(libc::SYS_listxattr, [0; 6]))?;
    expect(&[Errno::BADF, Errno::FAULT], raw(libc::SYS_flistxattr, [NONE, 0, 0, 0, 0, 0]))
}

fn ask_xattr_values() -> Result<(), Errno> {
    expect(&[Errno::FAULT], raw(libc::SYS_getxattr, [0; 6]))?;
    expect(&[Errno::BADF, Errno::FAULT], raw(libc::SYS_fgetxattr, [NONE, 0, 0, 0, 0, 0]))
}

fn ask_access() -> Result<(), Errno> {
    expect(&[Errno::FAULT], raw(libc::SYS_faccessat2, [HERE, 0, 0, EFFECTIVE, 0, 0]))
}

fn ask_rules() -> Result<(), Errno> {
    raw(libc::SYS_landlock_create_ruleset, [0, 0, VERSION, 0, 0, 0])?;
    expect(&[Errno::BADF, Errno::FAULT], raw(libc::SYS_landlock_add_rule, [NONE, BENEATH, 0, 0, 0, 0]))
}

/// Only who has given up new privileges is told whether he can be restricted, and that cannot be taken back: a thread does it, and ends.
fn ask_restriction() -> Result<(), Errno> {
    let asked = thread::spawn(|| {
        rustix::thread::set_no_new_privs(true)?;
        expect(&[Errno::BADF], raw(libc::SYS_landlock_restrict_self, [NONE, 0, 0, 0, 0, 0]))
    });
    asked.join().unwrap_or(Err(Errno::NOSYS))
}

/// No descriptor, and no process.
const NONE: c_long = -1;
/// `AT_FDCWD` and `AT_EACCESS` of `faccessat2(2)`.
const HERE: c_long = -100;
const EFFECTIVE: c_long = 0x200;
/// `RWF_DONTCACHE` of `preadv2(2)`.
const DONTCACHE: c_long = 0x80;
/// `IOPRIO_WHO_PROCESS`, and `IOPRIO_CLASS_IDLE` in the class bits, of `ioprio_set(2)`.
const PROCESS: c_long = 1;
const IDLE: c_long = 3 << 13;
/// `SECCOMP_GET_ACTION_AVAIL` of `seccomp(2)`.
const GET_ACTION_AVAIL: c_long = 2;
/// `LANDLOCK_CREATE_RULESET_VERSION` and `LANDLOCK_RULE_PATH_BENEATH` of `landlock_create_ruleset(2)` and `landlock_add_rule(2)`.
const VERSION: c_long = 1;
const BENEATH: c_long = 1;

/// The kernel's own answer is one of `known`; any other is a filter's, or that of a kernel without the call.
fn expect(known: &[Errno], answer: Result<c_long, Errno>) -> Result<(), Errno> {
    match answer {
        Err(errno) if !known.contains(&errno) => Err(errno),
        _ => Ok(()),
    }
}

/// Makes a system call with integers and null pointers only.
fn raw(number: c_long, arguments: [c_long; 6]) -> Result<c_long, Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: every pointer among the arguments is null, which the kernel answers with EFAULT or does not look at (syscalls(2)); so no
    // memory of ours is touched, and without a descriptor or process nothing is changed.
    #[expect(unsafe_code, reason = "neither std nor rustix lets a call be made that cannot succeed")]
    let answer = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if answer >= 0 {
        return Ok(answer);
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::NOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_changes_nothing_of_who_asks() {
        let status = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let privileges =
            |status: String| status.lines().find(|line| line.starts_with("NoNewPrivs:")).map(str::to_owned);
        let before = privileges(status());
        drop(refused());
        assert_eq!(privileges(status()), before);
    }
}
