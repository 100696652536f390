//! Reaching a configured path whose directories others may own: symbolic links are followed only where they cannot mislead.
//!
//! A link leads on when root made it, or when it belongs to the owner of what it points to, who could have put the thing itself in
//! that place. Each step is an `O_PATH` handle, so nothing is opened on the way.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat},
    io::Errno,
};

use crate::{
    model::file::entry::{Attributes, FileKind},
    sys::{
        capabilities::has_openat2,
        fs::handle::{Handle, open_root},
    },
};

/// As many links as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: u8 = 40;

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// The kernel says so.
    Errno(Errno),
    /// A link on the way belongs to this user, and what it points to does not.
    Link(u32),
}

/// A name in an open directory.
#[derive(Debug)]
pub struct ResolvedPlace {
    /// The directory, as an `O_PATH` handle.
    pub directory: OwnedFd,
    /// Its metadata.
    pub attributes: Attributes,
    /// The name.
    pub name: Vec<u8>,
}

/// Where a path leads.
#[derive(Debug)]
pub struct Reach {
    /// Where its name stands, and, when that is a link, where the name of what it points to stands.
    pub places: Vec<ResolvedPlace>,
    /// The object.
    pub end: Result<(Handle, Attributes), ResolveError>,
    /// Where the last component points when it is a link.
    pub target: Option<Vec<u8>>,
}

/// Follows `path` to its end.
///
/// # Errors
/// [`ResolveError`] when its directory cannot be reached; whether the last component can is in [`Reach::end`].
pub fn reach(path: &Path) -> Result<Reach, ResolveError> {
    let mut links = MOST_LINKS;
    let place = place_of(None, path.as_os_str().as_bytes(), &mut links)?;
    let mut reach = Reach { places: Vec::new(), end: Err(ResolveError::Errno(Errno::NOENT)), target: None };
    reach.end = last(place, &mut links, &mut reach.places, &mut reach.target);
    Ok(reach)
}

/// Opens the directory `path`, following links by the same rule.
///
/// # Errors
/// [`ResolveError`] when it cannot be reached or is no directory.
pub fn reach_directory(path: &Path) -> Result<(OwnedFd, Attributes), ResolveError> {
    let (handle, attributes) = directory(None, path.as_os_str().as_bytes(), &mut MOST_LINKS.clone())?;
    Ok((handle, attributes))
}

/// Opens `path` with `O_PATH` as who has `root` for its root directory sees it: links lead nowhere else, nor does `..`.
///
/// # Errors
/// The errno of `openat2(2)` with `RESOLVE_IN_ROOT`, or, where that call is refused, of `openat(2)` component by component.
pub fn open_within(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    // The root itself is a name, too: an empty one is none.
    let inside = path.components().filter(|part| !matches!(part, Component::RootDir));
    let inside: PathBuf = [Component::CurDir].into_iter().chain(inside).collect();
    if !has_openat2() {
        return walk_within(root, inside.as_os_str().as_bytes());
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, &inside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// As [`open_within`], by hand. The directories on the way are kept, so that `..` is where we came from, whatever is renamed meanwhile.
fn walk_within(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let names = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .map(<[u8]>::to_vec)
            .rev()
            .collect()
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (mut way, mut left, mut links): (Vec<OwnedFd>, _, _) = (Vec::new(), names(path), MOST_LINKS);
    while let Some(name) = left.pop() {
        if name == b".." {
            if way.pop().is_some_and(|last| !is_directory(&last)) {
                return Err(Errno::NOTDIR);
            }
            continue;
        }
        let here = way.last().unwrap_or(root);
        let opened = openat(here, OsStr::from_bytes(&name), flags, Mode::empty())?;
        match readlinkat(&opened, "", Vec::new()) {
            Ok(target) => {
                links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                if target.to_bytes().starts_with(b"/") {
                    way.clear();
                }
                left.extend(names(target.to_bytes()));
            }
            // No link (readlink(2): EINVAL, and ENOENT for an empty path).
            Err(Errno::INVAL | Errno::NOENT) => way.push(opened),
            Err(errno) => return Err(errno),
        }
    }
    way.pop().map_or_else(|| openat(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()), Ok)
}

fn is_directory(object: &OwnedFd) -> bool {
    fstat(object).is_ok_and(|seen| FileType::from_raw_mode(seen.st_mode).is_dir())
}

fn open(directory: &OwnedFd, name: &[u8]) -> Result<(Handle, Attributes), ResolveError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, OsStr::from_bytes(name), flags, Mode::empty()).map_err(ResolveError::Errno)?;
    let handle = Handle::from(opened);
    let attributes = handle.attributes().map_err(ResolveError::Errno)?;
    Ok((handle, attributes))
}

/// The directory `path`, seen from `from`.
fn directory(from: Option<&OwnedFd>, path: &[u8], links: &mut u8) -> Result<(OwnedFd, Attributes), ResolveError> {
    let start = match from {
        Some(from) if !path.starts_with(b"/") => {
            openat(from, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(Handle::from)
        }
        None if !path.starts_with(b"/") => open_root(Path::new(".")),
        _ => open_root(Path::new("/")),
    };
    let handle = start.map_err(ResolveError::Errno)?;
    let mut attributes = handle.attributes().map_err(ResolveError::Errno)?;
    let mut at = handle.into_descriptor();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        let (handle, seen) = open(&at, name)?;
        (at, attributes) = match &seen.target {
            Some(target) => {
                spend(links)?;
                let (end, behind) = directory(Some(&at), target, links)?;
                judge(&seen, &behind)?;
                (end, behind)
            }
            None => (handle.into_descriptor(), seen),
        };
    }
    if attributes.kind != FileKind::Directory {
        return Err(ResolveError::Errno(Errno::NOTDIR));
    }
    Ok((at, attributes))
}

fn place_of(from: Option<&OwnedFd>, path: &[u8], links: &mut u8) -> Result<ResolvedPlace, ResolveError> {
    let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..=slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&[][..], path),
    };
    let (directory, attributes) = directory(from, parent, links)?;
    Ok(ResolvedPlace { directory, attributes, name: name.to_vec() })
}

fn last(
    place: ResolvedPlace,
    links: &mut u8,
    places: &mut Vec<ResolvedPlace>,
    first_target: &mut Option<Vec<u8>>,
) -> Result<(Handle, Attributes), ResolveError> {
    let found = open(&place.directory, &place.name);
    let next = match &found {
        Ok((_, seen)) => seen.target.as_ref().map(|target| {
            first_target.get_or_insert_with(|| target.clone());
            spend(links).and_then(|()| place_of(Some(&place.directory), target, links))
        }),
        Err(_) => None,
    };
    places.push(place);
    let (handle, seen) = found?;
    let Some(next) = next else { return Ok((handle, seen)) };
    let (end, behind) = last(next?, links, places, first_target)?;
    judge(&seen, &behind)?;
    Ok((end, behind))
}

fn spend(links: &mut u8) -> Result<(), ResolveError> {
    *links = links.checked_sub(1).ok_or(ResolveError::Errno(Errno::LOOP))?;
    Ok(())
}

fn judge(link: &Attributes, target: &Attributes) -> Result<(), ResolveError> {
    if link.uid == 0 || link.uid == target.uid { Ok(()) } else { Err(ResolveError::Link(link.uid)) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{lchown, symlink},
    };

    use super::*;

    fn end(path: &Path) -> Result<Attributes, ResolveError> {
        reach(path)?.end.map(|(_, seen)| seen)
    }

    #[test]
    fn links_are_followed_and_loops_end() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("real")).unwrap();
        fs::write(tree.path().join("real/log"), "x").unwrap();
        symlink("real/log", tree.path().join("log")).unwrap();
        symlink("real", tree.path().join("dir")).unwrap();
        symlink("loop", tree.path().join("loop")).unwrap();
        let real = end(&tree.path().join("real/log")).unwrap().inode;
        for way in ["log", "dir/log", "dir/../log", "./real//log"] {
            assert_eq!(end(&tree.path().join(way)).unwrap().inode, real, "{way}");
        }
        let reached = reach(&tree.path().join("log")).unwrap();
        assert_eq!(reached.target.as_deref(), Some(&b"real/log"[..]));
        assert_eq!(reached.places.len(), 2);
        assert_eq!(end(&tree.path().join("loop")).unwrap_err(), ResolveError::Errno(Errno::LOOP));
        assert_eq!(end(&tree.path().join("real/log/x")).unwrap_err(), ResolveError::Errno(Errno::NOTDIR));
        assert_eq!(end(&tree.path().join("absent")).unwrap_err(), ResolveError::Errno(Errno::NOENT));
    }

    #[test]
    fn by_hand_a_root_is_as_it_is_for_the_kernel() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("run/deep")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        symlink("../../../../run/x", root.join("run/deep/up")).unwrap();
        symlink("/loop", root.join("loop")).unwrap();
        fs::write(root.join("run/x"), "12").unwrap();
        fs::write(tree.path().join("x"), "13").unwrap();
        let top = open_root(&root).unwrap().into_descriptor();
        let inode = |opened: Result<OwnedFd, Errno>| opened.map(|opened| fstat(&opened).unwrap().st_ino);
        let wanted = inode(walk_within(&top, b"run/x"));
        for way in ["/var/run/x", "run/deep/up", "var/../run/x", "../../run/x"] {
            assert_eq!(inode(walk_within(&top, way.as_bytes())), wanted, "{way}");
        }
        for way in ["var/run/x", "run/deep/up", "loop", "run/x/y", "absent", "../x", "/", "run/x/..", "var/run"] {
            let by_hand = inode(walk_within(&top, way.as_bytes()));
            assert_eq!(by_hand, inode(open_within(&top, Path::new(way))), "{way}");
        }
    }

    #[test]
    fn a_planted_link_to_a_file_of_another_user_leads_nowhere() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("secret")).unwrap();
        fs::write(tree.path().join("secret/key"), "x").unwrap();
        symlink("secret/key", tree.path().join("log")).unwrap();
        symlink("secret", tree.path().join("dir")).unwrap();
        if lchown(tree.path().join("log"), Some(65534), None).is_err() {
            return; // Only root can give a link away.
        }
        lchown(tree.path().join("dir"), Some(65534), None).unwrap();
        for way in ["log", "dir/key"] {
            assert_eq!(end(&tree.path().join(way)).unwrap_err(), ResolveError::Link(65534), "{way}");
        }
        lchown(tree.path().join("secret/key"), Some(65534), None).unwrap();
        assert!(end(&tree.path().join("log")).is_ok());
    }
}
