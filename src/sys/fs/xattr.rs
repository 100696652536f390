//! Reading the extended attributes of an object through its handle.
//!
//! An `O_PATH` descriptor gives none (`EBADF`), its link in `/proc` does; the link leads to the object itself, also to a symbolic
//! link. `trusted.*` is left out: only who has `CAP_SYS_ADMIN` sees it, and what is compared must not hang on who looks.

use std::{
    ffi::CStr,
    io::Write as _,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{fgetxattr, fgetxattr_query, flistxattr, getxattr, getxattr_query, listxattr},
    io::Errno,
};

use crate::{
    model::file::xattr::{KNOWN, Writer},
    sys::capabilities::has_xattrs,
};

/// The most the kernel gives at once, of names or of one value: `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`, in bytes.
const MOST: usize = 64 * 1024;

/// What most lists and values need, in bytes.
const USUAL: usize = 512;

/// Values are read up to this many bytes of one object; behind it their names and lengths count.
const MOST_READ: usize = 16 * 1024 * 1024;

/// What extended attributes are asked from.
#[derive(Debug, Clone, Copy)]
enum XattrSource<'a> {
    /// The link in `/proc` to a handle.
    Link(&'a CStr),
    /// An open file: no path is walked, which costs a third.
    File(BorrowedFd<'a>),
}

impl XattrSource<'_> {
    fn list(self, room: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Link(path) => listxattr(path, room),
            Self::File(file) => flistxattr(file, room),
        }
    }

    fn get(self, name: &[u8], room: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Link(path) => getxattr(path, name, room),
            Self::File(file) => fgetxattr(file, name, room),
        }
    }

    fn length(self, name: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Link(path) => getxattr_query(path, name),
            Self::File(file) => fgetxattr_query(file, name),
        }
    }
}

/// The extended attributes of the object behind a handle, in the form of [`crate::model::file::xattr`]; empty where the file system has none.
/// `None` when they cannot be had. One system call where there are none.
pub fn xattrs_of(object: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut room = [0; 32];
    collect(XattrSource::Link(link_to(object, &mut room)?))
}

/// The same of a file that is open for reading.
pub fn xattrs_of_file(file: BorrowedFd<'_>) -> Option<Vec<u8>> {
    collect(XattrSource::File(file))
}

fn collect(source: XattrSource<'_>) -> Option<Vec<u8>> {
    let mut small = [0; USUAL];
    let listed = match source.list(&mut small) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Some(Vec::new()),
        Ok(length) => Ok(small.get(..length)?.to_vec()),
        Err(Errno::RANGE) => list_long(source),
        Err(errno) => Err(errno),
    };
    let mut writer = Writer::default();
    let listed = match listed {
        Ok(listed) => listed,
        // There are more than the kernel can list.
        Err(Errno::TOOBIG) => {
            writer.note_unlisted();
            KNOWN.join(&0)
        }
        Err(_) => return None,
    };
    let mut names: Vec<&[u8]> = listed.split(|byte| *byte == 0).filter(|name| is_compared(name)).collect();
    names.sort_unstable();
    // Names without their values would look like others.
    if !names.is_empty() && !has_xattrs() {
        return None;
    }
    read_values(source, &names, &mut writer);
    Some(writer.finish())
}

fn is_compared(name: &[u8]) -> bool {
    !name.is_empty() && !name.starts_with(b"trusted.")
}

/// The link in `/proc` to a descriptor.
fn link_to<'a>(object: BorrowedFd<'_>, room: &'a mut [u8; 32]) -> Option<&'a CStr> {
    // The room is zero behind what is written.
    write!(room.as_mut_slice(), "/proc/self/fd/{}", object.as_raw_fd()).ok()?;
    CStr::from_bytes_until_nul(room).ok()
}

fn list_long(source: XattrSource<'_>) -> Result<Vec<u8>, Errno> {
    let mut long = vec![0; MOST];
    let length = source.list(long.as_mut_slice())?;
    long.truncate(length);
    Ok(long)
}

fn read_values(source: XattrSource<'_>, names: &[&[u8]], writer: &mut Writer) {
    let mut small = [0; USUAL];
    let mut long = Vec::new();
    let mut done: usize = 0;
    for name in names {
        if done > MOST_READ {
            let length = source.length(name).unwrap_or(0);
            writer.add(name, Some(&length.to_be_bytes()));
            continue;
        }
        let read = match source.get(name, &mut small) {
            Ok(length) => Ok(small.get(..length)),
            Err(Errno::RANGE) => {
                long.resize(MOST, 0);
                source.get(name, long.as_mut_slice()).map(|length| long.get(..length))
            }
            Err(errno) => Err(errno),
        };
        match read {
            Ok(value) => {
                done += value.map_or(0, <[u8]>::len);
                writer.add(name, value);
            }
            // Taken away since the list was made, or never there when there is no list.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(_) => writer.add(name, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd, os::unix::fs::symlink};

    use rustix::fs::{XattrFlags, lsetxattr, setxattr};

    use super::*;
    use crate::{
        model::file::xattr::{XattrItem, digest, items},
        sys::fs::handle::open_root,
    };

    fn of(path: &std::path::Path) -> Vec<u8> {
        xattrs_of(open_root(path).unwrap().into_descriptor().as_fd()).unwrap()
    }

    #[test]
    fn odd_empty_and_long_ones_are_read_in_the_order_of_their_names() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(of(&path).is_empty());
        let long = vec![7; 65_536];
        let mut has_long = true;
        for (name, value) in [(&b"user.z"[..], &b""[..]), (b"user.\xff\n \x1b[2J", b"odd"), (b"user.long", &long)] {
            match setxattr(&path, name, value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP) => {
                    println!("skipped: {} takes no user.*", path.display());
                    return;
                }
                Err(Errno::NOSPC) => has_long = false,
                Err(errno) => panic!("{errno}"),
            }
        }
        let form = of(&path);
        let kept: Vec<XattrItem<'_>> = items(&form).collect();
        assert_eq!(kept.len(), 2 + usize::from(has_long));
        assert!(kept.contains(&XattrItem::Whole { name: b"user.z", value: b"" }));
        assert_eq!(kept.last(), Some(&XattrItem::Whole { name: b"user.\xff\n \x1b[2J", value: b"odd" }));
        if has_long {
            assert_eq!(kept[0], XattrItem::Long { name: b"user.long", length: 65_536, digest: digest(&long) });
        }
    }

    #[test]
    fn the_link_itself_is_asked_and_not_its_target() {
        let tree = tempfile::tempdir().unwrap();
        let (target, link) = (tree.path().join("target"), tree.path().join("link"));
        fs::write(&target, "x").unwrap();
        symlink("target", &link).unwrap();
        if setxattr(&target, "user.a", b"v", XattrFlags::empty()).is_err() {
            println!("skipped: no user.* here");
            return;
        }
        assert!(!of(&target).is_empty());
        assert!(of(&link).is_empty());
        // Links carry none of user.*; of trusted.* only root may set one, and it is left out.
        if lsetxattr(&link, "security.integrityd_test", b"v", XattrFlags::empty()).is_ok() {
            let form = of(&link);
            assert_eq!(items(&form).next().map(|item| item.name()), Some(&b"security.integrityd_test"[..]));
        }
    }

    #[test]
    fn where_there_are_none_there_are_none() {
        assert_eq!(of(std::path::Path::new("/proc/self/status")), Vec::<u8>::new());
    }
}
