//! What this process can never do again: Landlock (`landlock(7)`) takes away writing, executing and connecting elsewhere for good.
//!
//! Reading stays free. The rules are the kernel's and of this process and of all it starts; there is no way back, not even by
//! executing ourselves anew, so what a new configuration needs beyond them has to wait for a restart.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, PathFdError, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use rustix::io::Errno;

use crate::sys::capabilities::ask_landlock;

/// The newest rules that were tried out; a kernel without them leaves out what it does not know.
const TRIED: ABI = ABI::V7;

/// What stays possible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Directories, and files, in and to which may be written.
    pub writable: BTreeSet<PathBuf>,
    /// TCP ports that may be connected to.
    pub ports: BTreeSet<u16>,
    /// Whether programs may be executed.
    pub may_execute: bool,
}

/// How well the limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The version of Landlock that the kernel and this program know.
    pub version: u32,
    /// Whether it knows all that was asked for.
    pub is_full: bool,
}

/// Why there are no limits.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel has no Landlock.
    #[error(
        "the kernel has no Landlock (Linux 5.13 or newer, and landlock in the list of lsm= at boot), or a filter hides it"
    )]
    Unsupported,
    /// A filter of the service manager or of a container is in the way, or another answer of the kernel's.
    #[error("Landlock is refused ({0}): a filter of system calls (SystemCallFilter=, a container) is in the way")]
    Refused(Errno),
    /// A place that has to be writable is not there.
    #[error("{path} cannot be opened")]
    Place {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Other threads would not be bound.
    #[error("it has begun with other threads already")]
    Threads,
    /// Without a helper too much would not work any more.
    #[error("the helper process cannot be started")]
    Helper(#[source] io::Error),
    /// The kernel refuses.
    #[error("the kernel refuses")]
    Kernel(#[from] RulesetError),
}

static LIMITS: OnceLock<(Limits, Hold)> = OnceLock::new();

/// The limits of this process and how they are kept; `None` when it has none.
pub fn limits() -> Option<&'static (Limits, Hold)> {
    LIMITS.get()
}

/// Takes away everything but reading and what `limits` say, for good. Only before any thread is started: others would stay free.
///
/// # Errors
/// [`SandboxError`]; then nothing was taken away, but, where the kernel itself refuses, that no new privileges can be had.
pub fn confine(limits: &Limits) -> Result<Hold, SandboxError> {
    if threads() != Some(1) {
        return Err(SandboxError::Threads);
    }
    // Asked before anything is given up: without new privileges and without a helper, a sendmail program could not write its queue.
    match ask_landlock() {
        Ok(()) => {}
        // ENOSYS of a filter cannot be told from that of an old kernel.
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => return Err(SandboxError::Unsupported),
        Err(errno) => return Err(SandboxError::Refused(errno)),
    }
    let status = apply(limits)?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err(SandboxError::Unsupported);
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(SandboxError::Unsupported);
    }
    let hold = Hold { version: version(effective_abi), is_full: status.ruleset == RulesetStatus::FullyEnforced };
    Ok(LIMITS.get_or_init(|| (limits.clone(), hold)).1)
}

/// What is possible below a writable directory. Nothing of ours is a device, a FIFO or a socket, or is moved between directories.
fn granted() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile | AccessFs::MakeDir
}

fn apply(limits: &Limits) -> Result<RestrictionStatus, SandboxError> {
    let mut handled = AccessFs::from_write(TRIED);
    if !limits.may_execute {
        handled |= AccessFs::Execute;
    }
    let mut scopes: BitFlags<Scope> = Scope::Signal.into();
    // Where the service manager listens on such a socket, nothing could be told to it any more.
    if !std::env::var_os("NOTIFY_SOCKET").is_some_and(|name| name.as_bytes().starts_with(b"@")) {
        scopes |= Scope::AbstractUnixSocket;
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?
        .handle_access(AccessNet::from_all(TRIED))?
        .scope(scopes)?
        .create()?;
    for port in &limits.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    for path in &limits.writable {
        let place = match open(path) {
            // Nothing can be written there anyway: that is no reason to go without limits. It may be made before the next start.
            Err(SandboxError::Place { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let access = if path.is_dir() { granted() } else { AccessFs::from_file(TRIED) & granted() };
        rules = rules.add_rule(PathBeneath::new(place, access))?;
    }
    // Every program that is started may get it as its output.
    rules = rules.add_rule(PathBeneath::new(open(Path::new("/dev/null"))?, AccessFs::WriteFile))?;
    Ok(rules.restrict_self()?)
}

fn open(path: &Path) -> Result<PathFd, SandboxError> {
    PathFd::new(path).map_err(|error| {
        let path = crate::model::escape::escape_name(path.as_os_str().as_bytes());
        let source = match error {
            PathFdError::OpenCall { source, .. } => source,
            other => io::Error::other(other),
        };
        SandboxError::Place { path, source }
    })
}

/// How many threads this process has.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

fn version(abi: ABI) -> u32 {
    match abi {
        ABI::V1 => 1,
        ABI::V2 => 2,
        ABI::V3 => 3,
        ABI::V4 => 4,
        ABI::V5 => 5,
        ABI::V6 => 6,
        _ => 7,
    }
}

impl Limits {
    /// What `wanted` needs beyond these limits, in words; empty when nothing.
    pub fn lacks(&self, wanted: &Self) -> Vec<String> {
        let is_within = |path: &PathBuf| self.writable.iter().any(|place| path.starts_with(place));
        let shown = |path: &PathBuf| crate::model::escape::escape_name(OsStr::as_bytes(path.as_os_str()));
        let places = wanted.writable.iter().filter(|path| !is_within(path));
        let ports = wanted.ports.difference(&self.ports);
        places
            .map(|path| format!("writing in {}", shown(path)))
            .chain(ports.map(|port| format!("connections to port {port}")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

    use super::*;

    fn limits(places: &[&str], ports: &[u16]) -> Limits {
        let writable = places.iter().map(PathBuf::from).collect();
        Limits { writable, ports: ports.iter().copied().collect(), may_execute: false }
    }

    #[test]
    fn what_lies_beyond_the_limits_is_named() {
        let held = limits(&["/var/lib/integrityd", "/var/mail"], &[25]);
        assert_eq!(held.lacks(&limits(&["/var/lib/integrityd/mails"], &[25])), Vec::<String>::new());
        assert_eq!(held.lacks(&limits(&["/var"], &[25, 587])), ["writing in /var", "connections to port 587"]);
    }

    /// Landlock binds a thread; this one ends with the test.
    #[test]
    fn in_a_writable_directory_files_can_be_made_and_no_devices_fifos_or_sockets() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        let bound = || {
            if apply(&limits(&[tree.path().to_str().unwrap()], &[])).is_err() || ask_landlock().is_err() {
                println!("skipped: no Landlock here");
                return;
            }
            std::fs::write(at("file"), "x").unwrap();
            std::fs::write(at("file"), "").unwrap();
            std::fs::rename(at("file"), at("other")).unwrap();
            std::fs::create_dir(at("directory")).unwrap();
            let made = |kind, device| mknodat(CWD, at("node"), kind, Mode::RUSR, device);
            for kind in [FileType::Fifo, FileType::Socket, FileType::CharacterDevice, FileType::BlockDevice] {
                // Devices are root's only.
                let refused = made(kind, makedev(7, 0)).unwrap_err();
                assert!(refused == Errno::ACCESS || refused == Errno::PERM, "{kind:?} {refused}");
            }
            assert_eq!(made(FileType::Fifo, 0), Err(Errno::ACCESS));
            assert!(std::fs::rename(at("other"), at("sub/other")).is_err());
            std::fs::remove_file(at("other")).unwrap();
        };
        std::thread::scope(|scope| scope.spawn(bound).join().unwrap());
    }

    #[test]
    fn who_has_threads_already_is_refused_rather_than_half_bound() {
        // The runner of the tests is a thread of its own.
        assert!(matches!(confine(&Limits::default()), Err(SandboxError::Threads)));
    }
}
