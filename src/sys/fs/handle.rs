//! Looking at one path without following, blocking on or trusting anything that lies there.
//!
//! A path is reached from a directory descriptor as `sys::beneath` does, so a directory that is swapped for a symbolic link leads
//! nowhere else. The first handle is `O_PATH`: it opens no device, wakes no FIFO, waits for no lease. Only what turned out to be a regular
//! file is opened for reading, through that handle, with `O_NONBLOCK` (a write lease makes a blocking open wait up to
//! 45 s) and without touching its access time where that is allowed.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
    sync::OnceLock,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, Statx, StatxFlags, StatxTimestamp, fstatfs, openat, readlinkat, statx},
    io::Errno,
    path::DecInt,
};

use crate::{
    model::{
        clock::Timestamp,
        file::{
            entry::{Attributes, FileKind},
            inode_flags::RECORDED,
        },
    },
    sys::{
        capabilities::{self, Metadata},
        fs::{
            beneath::{self, Mounts},
            xattr::xattrs_of,
        },
    },
};

/// An `O_PATH` handle, which names an object and opens nothing; or a regular file that is open already.
#[derive(Debug)]
pub struct Handle {
    descriptor: OwnedFd,
    is_readable: bool,
}

/// Opens the root of an area by its configured path. Symbolic links on the way are followed, a link as the last
/// component is not.
///
/// # Errors
/// The errno of `openat(2)`.
pub fn open_root(path: &Path) -> Result<Handle, Errno> {
    openat(rustix::fs::CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(Handle::from)
}

/// Opens `relative` (components joined by `/`, any length, any bytes but NUL) beneath `directory`.
///
/// # Errors
/// The errno of `openat2(2)`: `ENOENT` when it is gone, `ELOOP` or `ENOTDIR` when a component on the way is no directory
/// any more, `EXDEV` when it would lead out.
pub fn open_beneath(directory: BorrowedFd<'_>, relative: &[u8]) -> Result<Handle, Errno> {
    beneath::open(directory, relative, Mounts::Any).map(Handle::from)
}

/// Opens as [`open_beneath`] does, but enters no other mount than that of `directory`: what was mounted on the way a moment ago, by
/// whomever, is not touched.
///
/// # Errors
/// As [`open_beneath`]; `EXDEV` when another mount is met as well.
pub fn open_on_mount(directory: BorrowedFd<'_>, relative: &[u8]) -> Result<Handle, Errno> {
    if relative.is_empty() {
        return open_directory_beneath(directory, relative);
    }
    beneath::open(directory, relative, Mounts::Same).map(Handle::from)
}

/// Opens the directory `relative` beneath `directory` (itself when `relative` is empty).
///
/// # Errors
/// As [`open_beneath`].
pub fn open_directory_beneath(directory: BorrowedFd<'_>, relative: &[u8]) -> Result<Handle, Errno> {
    if relative.is_empty() {
        return openat(directory, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map(Handle::from);
    }
    open_beneath(directory, relative)
}

/// Opens the regular file `name` in `directory` for reading at once, which saves opening it twice, and gives its metadata as
/// [`Handle::attributes`] does; `None` when it is none, or cannot be opened so: then [`open_on_mount`] tells why.
///
/// Only for a directory in which nobody but root puts anything ([`is_of_root`]), and a name that it calls a regular file: whatever else
/// lies there is opened for a moment.
pub fn open_regular(directory: BorrowedFd<'_>, name: &[u8]) -> Option<(Handle, Attributes)> {
    let handle = Handle { descriptor: beneath::open_readable(directory, name)?, is_readable: true };
    let seen = handle.attributes().ok()?;
    (seen.kind == FileKind::Regular).then_some((handle, seen))
}

/// Whether nobody but root can put anything into a directory, by its owner and mode; an access control list shows in the mode of the group.
pub fn is_of_root(directory: BorrowedFd<'_>) -> bool {
    attributes_of(directory).is_ok_and(|seen| seen.uid == 0 && seen.perms & 0o022 == 0)
}

impl From<OwnedFd> for Handle {
    /// A descriptor that was opened with `O_PATH`.
    fn from(descriptor: OwnedFd) -> Self {
        Self { descriptor, is_readable: false }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Handle {
    /// The descriptor itself.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }

    /// The number of the mount it lies on, as in `proc_pid_mountinfo(5)`; asks no server. `None` where that cannot be told.
    ///
    /// # Errors
    /// The errno of `statx(2)`.
    pub fn mount(&self) -> Result<Option<u64>, Errno> {
        beneath::mount_number(self.descriptor.as_fd())
    }

    /// The metadata of the object without its extended attributes, and the target of a symbolic link.
    ///
    /// # Errors
    /// The errno of `statx(2)` or `readlinkat(2)`; `EINVAL` for a file type `inode(7)` does not know.
    pub fn attributes(&self) -> Result<Attributes, Errno> {
        let mut seen = attributes_of(self.descriptor.as_fd())?;
        if seen.kind == FileKind::Symlink {
            seen.target = Some(readlinkat(&self.descriptor, "", Vec::new())?.into_bytes());
        }
        Ok(seen)
    }

    /// Its extended attributes, in the form of [`crate::model::file::xattr`]; `None` when they cannot be had.
    pub fn xattrs(&self) -> Option<Vec<u8>> {
        xattrs_of(self.descriptor.as_fd())
    }

    /// Opens the regular file behind the handle for reading, at its beginning.
    ///
    /// # Errors
    /// The error of `open(2)`; `EWOULDBLOCK` when another process holds a write lease.
    pub fn open_file(&self) -> io::Result<File> {
        if self.is_readable {
            return self.descriptor.try_clone().map(File::from);
        }
        let name = DecInt::from_fd(&self.descriptor);
        let links = own_descriptors()?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = without_access_time(|extra| openat(links, name.as_c_str(), flags | extra, Mode::empty()))?;
        Ok(File::from(opened))
    }

    /// The same at the cost of the handle, which comes back where that fails.
    ///
    /// # Errors
    /// As [`Self::open_file`].
    pub fn into_file(self) -> Result<File, (io::Error, Self)> {
        if self.is_readable {
            return Ok(File::from(self.descriptor));
        }
        self.open_file().map_err(|error| (error, self))
    }

    /// Opens the directory behind the handle for listing.
    ///
    /// # Errors
    /// The errno of `openat(2)`: `EACCES` without read permission.
    pub fn open_directory(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        without_access_time(|extra| openat(&self.descriptor, ".", flags | extra, Mode::empty()))
    }
}

/// The directory of the links to our own descriptors, opened once: walking `/proc/self/fd` for every file would cost as much as
/// opening it.
fn own_descriptors() -> Result<BorrowedFd<'static>, Errno> {
    static LINKS: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(links) = LINKS.get() {
        return Ok(links.as_fd());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(rustix::fs::CWD, "/proc/self/fd", flags, Mode::empty())?;
    Ok(LINKS.get_or_init(|| opened).as_fd())
}

/// `O_NOATIME` is refused to those who neither own the file nor have `CAP_FOWNER` (`open(2)`): then without.
fn without_access_time(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match open(OFlags::NOATIME) {
        Err(Errno::PERM) => open(OFlags::empty()),
        other => other,
    }
}

/// The metadata of an open file or handle, without the target of a link and without extended attributes; without birth and inode flags
/// where `statx(2)` is refused.
///
/// # Errors
/// The errno of `statx(2)`; `EINVAL` for a file type `inode(7)` does not know.
pub fn attributes_of(file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let wanted = match capabilities::metadata() {
        Metadata::Whole => StatxFlags::BASIC_STATS | StatxFlags::BTIME,
        Metadata::Basic => StatxFlags::BASIC_STATS,
        Metadata::Old => return old_attributes_of(file),
    };
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let raw = statx(file, "", flags, wanted)?;
    let kind = FileKind::from_mode(u32::from(raw.stx_mode)).ok_or(Errno::INVAL)?;
    let seen = Attributes {
        kind,
        perms: raw.stx_mode & 0o7777,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        nlink: raw.stx_nlink,
        dev: device(raw.stx_dev_major, raw.stx_dev_minor),
        inode: raw.stx_ino,
        rdev: match kind {
            FileKind::CharDevice | FileKind::BlockDevice => device(raw.stx_rdev_major, raw.stx_rdev_minor),
            _ => 0,
        },
        size: raw.stx_size,
        mtime: timestamp(raw.stx_mtime),
        ctime: timestamp(raw.stx_ctime),
        btime: birth(&raw),
        target: None,
        xattrs: None,
        flags: flags_of(&raw),
    };
    // What the kernel makes lies on no device.
    if raw.stx_dev_major == 0 && is_generated(file) {
        let never = Timestamp::from_nanos(0);
        return Ok(Attributes { inode: 0, mtime: never, ctime: never, btime: None, ..seen });
    }
    Ok(seen)
}

/// File systems whose inodes are made with each look-up, by their numbers in `linux/magic.h`: proc, sysfs, debugfs, tracefs, securityfs,
/// cgroup, cgroup2, configfs, selinuxfs, bpf, fusectl, binfmt_misc.
const GENERATED: [u64; 12] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
    0x6265_6570,
    0xf97c_ff8c,
    0xcafe_4a11,
    0x6573_5543,
    0x4249_4e4d,
];

/// Whether an object lies on a file system whose content the kernel makes. Cost: one call.
fn is_generated(file: BorrowedFd<'_>) -> bool {
    // The type of the number is another one on each machine.
    fn number<T: TryInto<u64>>(magic: T) -> Option<u64> {
        magic.try_into().ok()
    }
    let magic = fstatfs(file).ok().and_then(|found| number(found.f_type));
    magic.is_some_and(|magic| GENERATED.contains(&magic))
}

/// The same by `fstat(2)`, which tells neither births nor inode flags.
fn old_attributes_of(file: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    // The standard library knows how the C library has it on each machine.
    let asked = file.try_clone_to_owned().and_then(|file| File::from(file).metadata());
    let raw = asked.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let kind = FileKind::from_mode(raw.mode()).ok_or(Errno::INVAL)?;
    let split = |number: u64| device(rustix::fs::major(number), rustix::fs::minor(number));
    let time =
        |seconds: i64, nanos: i64| Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos));
    Ok(Attributes {
        kind,
        perms: u16::try_from(raw.mode() & 0o7777).unwrap_or_default(),
        uid: raw.uid(),
        gid: raw.gid(),
        nlink: u32::try_from(raw.nlink()).unwrap_or(u32::MAX),
        dev: split(raw.dev()),
        inode: raw.ino(),
        rdev: match kind {
            FileKind::CharDevice | FileKind::BlockDevice => split(raw.rdev()),
            _ => 0,
        },
        size: raw.size(),
        mtime: time(raw.mtime(), raw.mtime_nsec()),
        ctime: time(raw.ctime(), raw.ctime_nsec()),
        btime: None,
        target: None,
        xattrs: None,
        flags: None,
    })
}

fn birth(raw: &Statx) -> Option<Timestamp> {
    StatxFlags::from_bits_retain(raw.stx_mask).contains(StatxFlags::BTIME).then(|| timestamp(raw.stx_btime))
}

/// The flags that somebody has set, of those the file system tells; `None` when it tells none.
fn flags_of(raw: &Statx) -> Option<u64> {
    let told = raw.stx_attributes_mask.bits() & RECORDED;
    (told != 0).then(|| raw.stx_attributes.bits() & told)
}

fn device(major: u32, minor: u32) -> u64 {
    (u64::from(major) << 32) | u64::from(minor)
}

fn timestamp(raw: StatxTimestamp) -> Timestamp {
    Timestamp::from_nanos(raw.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(raw.tv_nsec)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn directory(path: &Path) -> OwnedFd {
        open_root(path).unwrap().open_directory().unwrap()
    }

    #[test]
    fn a_symlink_on_the_way_leads_nowhere() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("real")).unwrap();
        fs::write(tree.path().join("real/file"), "x").unwrap();
        symlink("real", tree.path().join("link")).unwrap();
        let root = directory(tree.path());
        assert!(open_beneath(root.as_fd(), b"real/file").is_ok());
        assert_eq!(open_beneath(root.as_fd(), b"link/file").unwrap_err(), Errno::LOOP);
        assert_eq!(open_beneath(root.as_fd(), b"real/../../etc").unwrap_err(), Errno::XDEV);
        let link = open_beneath(root.as_fd(), b"link").unwrap().attributes().unwrap();
        assert_eq!((link.kind, link.target.as_deref()), (FileKind::Symlink, Some(&b"real"[..])));
    }

    #[test]
    fn only_a_regular_file_is_opened_at_once_and_only_where_none_but_root_puts_anything() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("file"), "x").unwrap();
        fs::create_dir(tree.path().join("directory")).unwrap();
        symlink("file", tree.path().join("link")).unwrap();
        let root = directory(tree.path());
        rustix::fs::mknodat(&root, "fifo", rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        if let Some((handle, seen)) = open_regular(root.as_fd(), b"file") {
            assert_eq!(seen, open_beneath(root.as_fd(), b"file").unwrap().attributes().unwrap());
            assert_eq!(io::read_to_string(handle.open_file().unwrap()).unwrap(), "x");
        }
        // None of them waits, follows or opens a device.
        for name in ["directory", "link", "fifo", "directory/../file", "none", "../etc/passwd"] {
            assert!(open_regular(root.as_fd(), name.as_bytes()).is_none(), "{name}");
        }
        let is_mine = |mode: u32| {
            fs::set_permissions(tree.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            is_of_root(directory(tree.path()).as_fd())
        };
        assert!(![0o777, 0o1777, 0o775, 0o757].into_iter().any(is_mine));
        let mine = attributes_of(root.as_fd()).unwrap().uid == 0;
        assert_eq!(is_mine(0o755), mine);
        if mine {
            std::os::unix::fs::chown(tree.path(), Some(1), None).unwrap();
            assert!(!is_mine(0o755), "it is another's");
        }
    }

    #[test]
    fn paths_longer_than_path_max_are_reached() {
        let tree = tempfile::tempdir().unwrap();
        let mut at = directory(tree.path());
        let name = "d".repeat(200);
        for _ in 0..30 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
            at = openat(&at, name.as_str(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let relative = vec![name; 30].join("/");
        assert!(relative.len() > 6000);
        let root = directory(tree.path());
        let deepest = open_beneath(root.as_fd(), relative.as_bytes()).unwrap().attributes().unwrap();
        assert_eq!(deepest.inode, attributes_of(at.as_fd()).unwrap().inode);
    }

    #[test]
    fn a_fifo_is_seen_without_waiting_for_a_writer() {
        let tree = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, tree.path().join("pipe"), rustix::fs::FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        let root = directory(tree.path());
        let pipe = open_beneath(root.as_fd(), b"pipe").unwrap();
        assert_eq!(pipe.attributes().unwrap().kind, FileKind::Fifo);
    }
}
