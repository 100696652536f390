//! How far a log was read, kept in logcheck's own offset files, so that one can go to and fro between the two programs.
//!
//! `logtail2(8)` reads two lines, inode and offset. A third one, which it does not look at, holds the bytes before the offset as
//! evidence: with it a log that was truncated and has grown again, or one that got the inode of another, is noticed. After a run
//! of logcheck the third line is missing, and its two are believed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{MetadataExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, Gid, OFlags, Timespec, Timestamps, Uid, flock};

use crate::{
    model::{clock::Timestamp, escape::hex},
    tail::logtail_offset::{self, Offset},
};

/// No offset file is longer, in bytes.
const LONGEST: u64 = 1024;

/// What the third line begins with.
const EVIDENCE: &str = "before ";

/// Stands for the path of the journal; logcheck calls its file `offset.journal`.
const JOURNAL: &str = "/journal";

/// The name of the lock in the directory of the offset files.
const LOCK: &str = "integrityd.lock";

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogcheckPosition {
    /// Where.
    pub offset: Offset,
    /// The bytes before the offset; empty when they are not known.
    pub evidence: Vec<u8>,
}

impl LogcheckPosition {
    /// Parses an offset file; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let offset = logtail_offset::parse(bytes)?;
        let third = bytes.split(|byte| *byte == b'\n').nth(2).unwrap_or_default();
        let evidence = third.strip_prefix(EVIDENCE.as_bytes()).and_then(unhex).unwrap_or_default();
        Some(Self { offset, evidence })
    }

    /// The offset file of this position.
    pub fn format(&self) -> String {
        let Offset { inode, offset } = self.offset;
        if self.evidence.is_empty() {
            format!("{inode}\n{offset}\n")
        } else {
            format!("{inode}\n{offset}\n{EVIDENCE}{}\n", hex(&self.evidence))
        }
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digits = str::from_utf8(digits).ok()?;
    let pairs = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}

/// Why the offset files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another run is going on.
    #[error("another run holds {}: wait for its end, or see who it is with fuser", .0.display())]
    Locked(PathBuf),
    /// What lies there may be another's.
    #[error("{} has a second name (a hard link) or is no regular file: it may be another's, so it is not touched; remove it", .0.display())]
    Planted(PathBuf),
    /// Something could not be read or written.
    #[error("{}: {what}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// How long logcheck may leave its lock untouched before it is stale (`lockfile_create(3)`).
const STALE: Duration = Duration::from_mins(5);

/// Makes sure that logcheck itself, whose lock file this is, does not read the same logs just now.
///
/// # Errors
/// [`StateError::Locked`] when it does.
pub fn check_free(lock: &Path, now: Timestamp) -> Result<(), StateError> {
    let Ok(found) = fs::symlink_metadata(lock) else { return Ok(()) };
    let touched = Timestamp::from_nanos(found.mtime().saturating_mul(1_000_000_000));
    if now.since(touched) < STALE { Err(StateError::Locked(lock.to_owned())) } else { Ok(()) }
}

/// The directory of the offset files.
#[derive(Debug)]
pub struct States {
    directory: PathBuf,
    /// Held as long as this lives.
    lock: Option<File>,
}

impl States {
    /// The directory to read only.
    pub fn look(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), lock: None }
    }

    /// The directory to read and write; nobody else does at the same time.
    ///
    /// # Errors
    /// [`StateError::Locked`] when another run goes on, else when the lock cannot be written.
    pub fn lock(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(LOCK);
        let what = "the lock cannot be taken";
        let lock = open_own(&path, directory, what)?;
        match flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.to_owned(), lock: Some(lock) }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path)),
            Err(errno) => Err(StateError::Io { what, path, source: errno.into() }),
        }
    }

    fn path(&self, log: &Path) -> PathBuf {
        let name = logtail_offset::file_name(log.as_os_str().as_bytes());
        self.directory.join(std::ffi::OsString::from_vec(name))
    }

    /// How far `log` was read; `None` when it never was.
    ///
    /// # Errors
    /// [`StateError`] when the offset file is there and cannot be read; reading all again would repeat all.
    pub fn get(&self, log: &Path) -> Result<Option<LogcheckPosition>, StateError> {
        let path = self.path(log);
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut bytes = Vec::new();
        let read = OpenOptions::new().read(true).custom_flags(flags).open(&path);
        match read.and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)) {
            Ok(_) => Ok(LogcheckPosition::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { what: "the position cannot be read", path, source }),
        }
    }

    /// Keeps how far `log` was read; whole or not at all.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be written, or the directory was not locked.
    pub fn put(&self, log: &Path, position: &LogcheckPosition) -> Result<(), StateError> {
        let path = self.path(log);
        let kept = if self.lock.is_some() {
            self.write(&path, position)
        } else {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        };
        kept.map_err(|source| StateError::Io { what: "the position cannot be written", path, source })
    }

    /// Up to when the journal was read; `None` when it never was.
    ///
    /// # Errors
    /// [`StateError`] when that cannot be told; reading all again would repeat all.
    pub fn journal(&self) -> Result<Option<Timestamp>, StateError> {
        let path = self.path(Path::new(JOURNAL));
        match fs::symlink_metadata(&path) {
            Ok(found) => {
                let nanos = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
                Ok(Some(Timestamp::from_nanos(nanos)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { what: "the position cannot be read", path, source }),
        }
    }

    /// Keeps up to when the journal was read.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be written, or the directory was not locked.
    pub fn put_journal(&self, until: Timestamp) -> Result<(), StateError> {
        let path = self.path(Path::new(JOURNAL));
        let what = "the position cannot be written";
        let wrong = |source| StateError::Io { what, path: path.clone(), source };
        if self.lock.is_none() {
            return Err(wrong(io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        let file = open_own(&path, &self.directory, what)?;
        let nanos = until.as_nanos();
        let time = Timespec { tv_sec: nanos.div_euclid(1_000_000_000), tv_nsec: nanos.rem_euclid(1_000_000_000) };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&file, &times).map_err(|errno| wrong(errno.into()))
    }

    fn write(&self, path: &Path, position: &LogcheckPosition) -> io::Result<()> {
        let temporary = self.directory.join("integrityd.new");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        give(&file, &self.directory);
        file.write_all(position.format().as_bytes())?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    }
}

/// Opens a file of this program to write it. Only one that is made just now is given to the owner of the directory: what was there
/// may be a link that he made to a file that is not his.
fn open_own(path: &Path, directory: &Path, what: &'static str) -> Result<File, StateError> {
    let wrong = |source| StateError::Io { what, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give(&file, directory);
            return Ok(file);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(wrong(error)),
    }
    let file = options.open(path).map_err(wrong)?;
    let found = file.metadata().map_err(wrong)?;
    if found.is_file() && found.nlink() == 1 { Ok(file) } else { Err(StateError::Planted(path.to_owned())) }
}

/// Gives a file that root has made to the owner of the directory, so that he can go on with his own program.
fn give(file: &File, directory: &Path) {
    let Ok(found) = fs::metadata(directory) else { return };
    let is_other = file.metadata().is_ok_and(|file| file.uid() != found.uid());
    if is_other && rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
        if let Err(errno) = rustix::fs::fchown(file, Some(uid), Some(gid)) {
            tracing::warn!(directory = %directory.display(), %errno, "a file cannot be given to the owner of its directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(evidence: &[u8]) -> LogcheckPosition {
        LogcheckPosition { offset: Offset { inode: 12, offset: 34 }, evidence: evidence.to_vec() }
    }

    #[test]
    fn both_programs_read_the_file() {
        assert_eq!(position(b"a\n").format(), "12\n34\nbefore 610a\n");
        assert_eq!(position(b"").format(), "12\n34\n");
        for known in [position(b"a\n\xff"), position(b""), position(&[7; 64])] {
            assert_eq!(LogcheckPosition::parse(known.format().as_bytes()), Some(known));
        }
        assert_eq!(LogcheckPosition::parse(b"12\n34\nbefore zz\n"), Some(position(b"")));
        assert_eq!(LogcheckPosition::parse(b"12\n"), None);
    }

    #[test]
    fn what_the_owner_of_the_directory_has_planted_stays_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("shadow"), "secret").unwrap();
        fs::create_dir(path("states")).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(path("states"), Some(1234), Some(1234)).unwrap();
        }
        let owner = |name: &str| fs::metadata(path(name)).unwrap().uid();
        let ours = owner("shadow");
        for name in ["states/integrityd.lock", "states/offset.journal"] {
            fs::hard_link(path("shadow"), path(name)).unwrap();
        }
        assert!(matches!(States::lock(&path("states")), Err(StateError::Planted(_))));
        fs::remove_file(path("states/integrityd.lock")).unwrap();
        let states = States::lock(&path("states")).unwrap();
        assert!(matches!(states.put_journal(Timestamp::default()), Err(StateError::Planted(_))));
        assert_eq!((owner("shadow"), owner("states/offset.journal")), (ours, ours));
        // What was there before is used, and belongs to whom it belonged; what is new is given away.
        fs::remove_file(path("states/offset.journal")).unwrap();
        fs::write(path("states/offset.journal"), "").unwrap();
        states.put_journal(Timestamp::from_nanos(7)).unwrap();
        assert_eq!(states.journal().unwrap(), Some(Timestamp::from_nanos(7)));
        assert_eq!(owner("states/offset.journal"), ours);
        assert_eq!(owner("states/integrityd.lock"), if is_root { 1234 } else { ours });
    }

    #[test]
    fn a_held_lock_is_a_lock_and_a_look_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let log = Path::new("/var/log/syslog");
        let held = States::lock(directory.path()).unwrap();
        assert!(matches!(States::lock(directory.path()), Err(StateError::Locked(_))));
        held.put(log, &position(b"x")).unwrap();
        drop(held);
        let look = States::look(directory.path());
        assert_eq!(look.get(log).unwrap(), Some(position(b"x")));
        assert!(look.put(log, &position(b"y")).is_err());
        assert!(directory.path().join("offset.var.log.syslog").exists());
        assert_eq!(look.get(Path::new("/none")).unwrap(), None);
    }
}
