//! Reading a PID file: whatever lies in its place is looked at without being opened, and only the number of a regular file is taken.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    model::{
        clock::Timestamp,
        file::entry::{Attributes, FileKind},
        process::FileFault,
    },
    sys::{
        fs::{
            handle::{Handle, open_root},
            resolve::{ResolveError, open_within, reach},
        },
        process::broker::{self, Broker, process_of},
    },
};

/// A PID file says what it has to say within so many bytes.
const LIMIT: u64 = 64;

/// The largest number a process can have (`PID_MAX_LIMIT`, proc_sys_kernel(5)).
const MOST: u32 = 1 << 22;

/// After so long a file counts as written to its end.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells that a file was not written since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PidFileStamp {
    dev: u64,
    inode: u64,
    size: u64,
    ctime: (i64, i64),
}

impl PidFileStamp {
    /// Whether the file was written so long before `now` that its next change will have another time: clocks of file systems tick
    /// some milliseconds apart.
    pub fn is_settled(&self, now: Timestamp) -> bool {
        let written = self.ctime.0.saturating_mul(1_000_000_000).saturating_add(self.ctime.1);
        now.since(Timestamp::from_nanos(written)) >= SETTLED
    }
}

/// The stamp of what a path leads to; `None` when that cannot be told. Cost: one system call.
pub fn stamp(path: &Path) -> Option<PidFileStamp> {
    let seen = fs::metadata(path).ok()?;
    Some(PidFileStamp {
        dev: seen.dev(),
        inode: seen.ino(),
        size: seen.len(),
        ctime: (seen.ctime(), seen.ctime_nsec()),
    })
}

/// The number in the PID file `path`. Symbolic links on the way are followed where root made them, or the owner of what they point
/// to; with `within`, the root directory of a container, they lead nowhere else.
///
/// # Errors
/// [`FileFault`]; it holds nothing of the content.
pub fn read(path: &Path, within: Option<&Path>) -> Result<u32, FileFault> {
    if let Some((broker, pid)) = within.and_then(helper) {
        let told = broker.pid_file(pid, path).map_err(|error| unreadable(&error))?;
        return told.map_err(|(code, detail)| FileFault::from_codes(code, detail).unwrap_or(FileFault::Content));
    }
    let (handle, attributes) = match within {
        Some(root) => open_in(root, path).map_err(unreachable)?,
        None => reach(path).and_then(|reach| reach.end).map_err(|denied| match denied {
            ResolveError::Link(_) => FileFault::Link,
            ResolveError::Errno(errno) => unreachable(errno),
        })?,
    };
    if attributes.kind != FileKind::Regular {
        return Err(FileFault::Kind);
    }
    let mut bytes = Vec::new();
    let file: File = handle.open_file().map_err(|error| unreadable(&error))?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.is_empty() { Err(FileFault::Empty) } else { number(&bytes).ok_or(FileFault::Content) }
}

fn unreadable(error: &io::Error) -> FileFault {
    FileFault::Unreadable(error.raw_os_error().unwrap_or(0))
}

/// Who has to be asked about the root directory of a process, when this one is restricted.
fn helper(root: &Path) -> Option<(&'static Broker, u32)> {
    broker::installed().zip(process_of(root))
}

fn unreachable(errno: Errno) -> FileFault {
    match errno {
        Errno::NOENT | Errno::NOTDIR => FileFault::Missing,
        errno => FileFault::Unreadable(errno.raw_os_error()),
    }
}

/// Whether the directory of `path` is there in a container whose root directory is `root`.
pub fn is_place_in(root: &Path, path: &Path) -> bool {
    if let Some((broker, pid)) = helper(root) {
        return broker.is_place(pid, path);
    }
    path.parent().is_some_and(|parent| open_in(root, parent).is_ok_and(|(_, seen)| seen.kind == FileKind::Directory))
}

/// Opens `path` as the processes of a container see it.
fn open_in(root: &Path, path: &Path) -> Result<(Handle, Attributes), Errno> {
    // The last component of /proc/PID/root is a link of the kernel's.
    let root = open_root(&root.join("."))?.into_descriptor();
    let handle = Handle::from(open_within(&root, path)?);
    let attributes = handle.attributes()?;
    Ok((handle, attributes))
}

/// The number in the first line: blanks, at most ten digits, blanks, 64 bytes in all. Of a longer line nothing counts: what was not
/// read of it may be further digits.
fn number(bytes: &[u8]) -> Option<u32> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    if u64::try_from(line.len()).is_ok_and(|length| length > LIMIT) {
        return None;
    }
    let digits = str::from_utf8(line.trim_ascii()).ok()?;
    let is_number = (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = is_number.then(|| digits.parse().ok())??;
    (1..=MOST).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_line_is_a_number_or_nothing() {
        for (text, wanted) in [
            ("812", Some(812)),
            ("  812 \t\n", Some(812)),
            ("812\n/var/lib/postgresql\n5432\n", Some(812)),
            ("0000000812\n", Some(812)),
            ("1\n", Some(1)),
            ("\n812\n", None),
            ("0", None),
            ("-1", None),
            ("+812", None),
            ("2147483648", None),
            ("4294967296", None),
            ("00000000812", None),
            ("812 813", None),
            ("0x10", None),
            ("root:x:0:0", None),
            ("812\0", None),
            ("", None),
        ] {
            assert_eq!(number(text.as_bytes()), wanted, "{text:?}");
        }
        let blanks = " ".repeat(62);
        assert_eq!(number(format!("{blanks}81\n").as_bytes()), Some(81));
        assert_eq!(number(format!("{blanks}812\n").as_bytes()), None, "it is not the process 81");
    }

    #[test]
    fn whatever_lies_in_its_place_blocks_nobody() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        fs::create_dir(at("dir")).unwrap();
        fs::write(at("empty"), "").unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
        fs::write(at("good"), "77\n").unwrap();
        symlink("good", at("link")).unwrap();
        symlink("/etc/passwd", at("stolen")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for (name, wanted) in [
            ("fifo", Err(FileFault::Kind)),
            ("dir", Err(FileFault::Kind)),
            ("empty", Err(FileFault::Empty)),
            ("huge", Err(FileFault::Content)),
            ("good", Ok(77)),
            ("link", Ok(77)),
            ("stolen", Err(FileFault::Content)),
            ("absent", Err(FileFault::Missing)),
            ("good/x", Err(FileFault::Missing)),
            ("loop", Err(FileFault::Unreadable(Errno::LOOP.raw_os_error()))),
        ] {
            assert_eq!(read(&at(name), None), wanted, "{name}");
        }
    }

    #[test]
    fn links_of_a_container_stay_in_it() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        fs::write(root.join("run/x.pid"), "12\n").unwrap();
        symlink("../../../../outside", root.join("run/y.pid")).unwrap();
        fs::write(tree.path().join("outside"), "13\n").unwrap();
        assert_eq!(read(Path::new("/var/run/x.pid"), Some(&root)), Ok(12));
        assert_eq!(read(Path::new("/run/y.pid"), Some(&root)), Err(FileFault::Missing));
        assert!(is_place_in(&root, Path::new("/var/run/z.pid")) && !is_place_in(&root, Path::new("/srv/z.pid")));
    }

    #[test]
    fn a_file_that_was_written_has_another_stamp() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("x.pid");
        assert_eq!(stamp(&path), None);
        fs::write(&path, "12\n").unwrap();
        let first = stamp(&path);
        assert!(first.is_some() && first == stamp(&path));
        fs::write(tree.path().join("new"), "13\n").unwrap();
        fs::rename(tree.path().join("new"), &path).unwrap();
        assert_ne!(stamp(&path), first);
    }
}
