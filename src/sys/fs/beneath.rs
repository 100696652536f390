//! Opening a path beneath a directory without leaving it: no symbolic link is followed, no `..` leads out, and no mount is entered when
//! that is asked for.
//!
//! `openat2(2)` does that in one call. Where it is refused (a filter of the service manager or of a container, see
//! [`crate::sys::capabilities`]) each component is opened by itself with `O_PATH` and `O_NOFOLLOW`, which follows nothing either, and what was
//! reached is compared by the number of its mount. The difference: what was mounted on the way a moment ago, and is not in the table of
//! mounts yet, is noticed after its root was reached, not before.

use std::{
    ffi::OsStr,
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat, openat2, statx},
    io::{Errno, retry_on_intr},
};

use crate::sys::capabilities::{has_mount_numbers, has_openat2};

/// Longest piece of a relative path handed to the kernel at once; `PATH_MAX` is 4,096 with its NUL.
const LONGEST_PIECE: usize = 4000;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

const FLAGS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Which mounts may be entered on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sys) enum Mounts {
    /// All.
    Any,
    /// Only that of the directory.
    Same,
}

/// Opens `relative` (components joined by `/`, any length, any bytes but NUL) beneath `directory` with `O_PATH`.
///
/// # Errors
/// The errno of `openat2(2)`: `ENOENT` when it is gone, `ELOOP` or `ENOTDIR` when a component on the way is no directory, `EXDEV` when it
/// leads out or to another mount.
pub(in crate::sys) fn open(directory: BorrowedFd<'_>, relative: &[u8], mounts: Mounts) -> Result<OwnedFd, Errno> {
    if !has_openat2() {
        return by_components(directory, relative, mounts);
    }
    let mut rest = relative;
    let mut reached: Option<OwnedFd> = None;
    while rest.len() > LONGEST_PIECE {
        let window = rest.get(..LONGEST_PIECE).unwrap_or(rest);
        let cut = window.iter().rposition(|byte| *byte == b'/').ok_or(Errno::NAMETOOLONG)?;
        let (piece, tail) = rest.split_at_checked(cut).ok_or(Errno::NAMETOOLONG)?;
        let from = reached.as_ref().map_or(directory, AsFd::as_fd);
        reached = Some(at_once(from, piece, OFlags::DIRECTORY, mounts)?);
        rest = tail.strip_prefix(b"/").unwrap_or(tail);
    }
    at_once(reached.as_ref().map_or(directory, AsFd::as_fd), rest, OFlags::empty(), mounts)
}

/// Opens what lies at `name` in `directory` for reading, neither waiting for anybody nor touching its access time, unless it is a link or
/// a mount point; `None` when that cannot be done, for whatever reason. What it is shows only afterwards: for directories in which nobody
/// but root puts anything.
pub(super) fn open_readable(directory: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    if !has_openat2() || name.contains(&b'/') {
        return None;
    }
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NOATIME | OFlags::CLOEXEC;
    openat2(directory, OsStr::from_bytes(name), flags, Mode::empty(), RESOLVE.union(ResolveFlags::NO_XDEV)).ok()
}

fn at_once(from: BorrowedFd<'_>, piece: &[u8], extra: OFlags, mounts: Mounts) -> Result<OwnedFd, Errno> {
    let resolve = match mounts {
        Mounts::Any => RESOLVE,
        Mounts::Same => RESOLVE.union(ResolveFlags::NO_XDEV),
    };
    loop {
        match openat2(from, OsStr::from_bytes(piece), FLAGS | extra, Mode::empty(), resolve) {
            // A rename elsewhere in the tree raced with the look-up (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// As [`open`], without `openat2(2)`. Cost: one call for each component, and one more where the mount counts.
fn by_components(directory: BorrowedFd<'_>, relative: &[u8], mounts: Mounts) -> Result<OwnedFd, Errno> {
    if relative.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    let home = if mounts == Mounts::Same { mount_number(directory)? } else { None };
    let mut reached: Option<OwnedFd> = None;
    for name in relative.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        if name == b".." {
            return Err(Errno::XDEV);
        }
        let from = reached.as_ref().map_or(directory, AsFd::as_fd);
        let opened = match retry_on_intr(|| openat(from, OsStr::from_bytes(name), FLAGS, Mode::empty())) {
            Err(Errno::NOTDIR) if is_link(from) => return Err(Errno::LOOP),
            opened => opened?,
        };
        let here = if home.is_some() { mount_number(opened.as_fd())? } else { None };
        if here.is_some() && here != home {
            return Err(Errno::XDEV);
        }
        reached = Some(opened);
    }
    match reached {
        Some(reached) => Ok(reached),
        None if relative.is_empty() => Err(Errno::NOENT),
        None => openat(directory, ".", FLAGS, Mode::empty()),
    }
}

fn is_link(object: BorrowedFd<'_>) -> bool {
    fstat(object).is_ok_and(|seen| rustix::fs::FileType::from_raw_mode(seen.st_mode).is_symlink())
}

/// The number of the mount an object lies on, as in `proc_pid_mountinfo(5)`; asks no server. `None` where neither `statx(2)` nor
/// `proc_pid_fdinfo(5)` tells.
///
/// # Errors
/// The errno of `statx(2)`.
pub(super) fn mount_number(object: BorrowedFd<'_>) -> Result<Option<u64>, Errno> {
    if has_mount_numbers() {
        let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        return statx(object, "", flags, StatxFlags::MNT_ID).map(|seen| Some(seen.stx_mnt_id));
    }
    Ok(told_by_proc(object))
}

fn told_by_proc(object: BorrowedFd<'_>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{create_dir, write},
        os::unix::fs::symlink,
        path::Path,
    };

    use super::*;

    fn directory(path: &Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn component_by_component_it_is_as_at_once() {
        let tree = tempfile::tempdir().unwrap();
        create_dir(tree.path().join("real")).unwrap();
        write(tree.path().join("real/file"), "x").unwrap();
        symlink("real", tree.path().join("link")).unwrap();
        let root = directory(tree.path());
        let inode = |opened: Result<OwnedFd, Errno>| opened.map(|opened| fstat(&opened).unwrap().st_ino);
        for path in [
            "real",
            "real/",
            "./real//file",
            "link",
            "link/file",
            "real/file",
            "real/file/x",
            "absent",
            "absent/x",
            "real/../../etc",
            "/etc",
            "",
            ".",
        ] {
            for mounts in [Mounts::Any, Mounts::Same] {
                let stepwise = inode(by_components(root.as_fd(), path.as_bytes(), mounts));
                if has_openat2() {
                    assert_eq!(stepwise, inode(open(root.as_fd(), path.as_bytes(), mounts)), "{path}");
                }
            }
        }
        assert_eq!(by_components(root.as_fd(), b"link/file", Mounts::Any).unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn another_mount_is_not_entered() {
        let top = directory(Path::new("/"));
        assert!(by_components(top.as_fd(), b"proc/self", Mounts::Any).is_ok());
        for path in [&b"proc"[..], b"proc/version"] {
            assert_eq!(by_components(top.as_fd(), path, Mounts::Same).unwrap_err(), Errno::XDEV);
        }
    }

    #[test]
    fn proc_tells_the_same_mount_as_statx() {
        for place in ["/", "/proc", "/dev/null"] {
            let object = rustix::fs::open(place, OFlags::PATH, Mode::empty()).unwrap();
            let told = told_by_proc(object.as_fd());
            assert!(told.is_some());
            assert_eq!(told, mount_number(object.as_fd()).unwrap());
        }
    }
}
