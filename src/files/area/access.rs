//! What of the areas can be reached and how: past what is not entered, directly, or through a helper.
//!
//! What is mounted while we are on the way is never stepped on before the table of mounts has told what it is. The kernel is asked to
//! enter no mount. Where it meets one, that is entered alone: a name is looked up on the mount that holds the point, which is known to
//! be harmless, and the number of what was reached is compared with the table before the first call that could wait for a server.

use std::{
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use rustix::io::Errno;

use crate::{
    files::{
        area::watched_areas::{WatchedArea, WatchedAreas, is_beneath},
        remote::{
            lookup::{AccessError, DirHandle, FileHandle, Lookup, LookupListing, lookup_at},
            remote_mount::RemoteMount,
        },
    },
    model::file::entry::AreaId,
    sys::{
        fs::{
            handle::{Handle, open_beneath, open_on_mount, open_regular, open_root},
            mounts::Mount,
        },
        priority::IdleIoGuard,
    },
};

impl WatchedAreas {
    /// Reads what is mounted now; gives the mounts within areas that are not entered and were not there before.
    pub fn survey(&self) -> Vec<Mount> {
        if self.mount_map.read() {
            self.draw_bars();
        }
        let barred = self.barred.read().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let new = barred.iter().filter(|mount| !told.contains(mount)).cloned().collect();
        told.clone_from(&barred);
        new
    }

    /// The mounts within areas that are not entered, as of the last survey.
    pub fn not_entered(&self) -> Vec<Mount> {
        self.barred.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes note of what was mounted or unmounted a moment ago. Cost: one `poll(2)` while nothing was.
    pub fn keep_up(&self) {
        if self.mount_map.keep_up() {
            self.draw_bars();
        }
    }

    fn draw_bars(&self) {
        self.all.iter().for_each(|watched| self.find(watched));
        let table = self.mount_map.table();
        // Of mounts over one another the uppermost decides: it is what a path meets.
        let is_met = |mount: &&Mount| table.mounted_at(&mount.point).is_some_and(|met| met.id == mount.id);
        let mut barred: Vec<Mount> = table.all().iter().filter(is_met).filter_map(|mount| self.bar(mount)).collect();
        barred.sort();
        // Only the topmost: what is mounted beneath is not reached either.
        barred.dedup_by(|next, kept| is_beneath(&next.point, &kept.point));
        *self.barred.write().unwrap_or_else(PoisonError::into_inner) = barred;
    }

    /// The mount as the walk meets it, when it lies in an area that does not admit its type. The root of an area is always entered, and
    /// with it what is of its type.
    fn bar(&self, mount: &Mount) -> Option<Mount> {
        if !mount.is_slow() && !mount.is_virtual() {
            return None;
        }
        let seen = self.all.iter().filter_map(|watched| Some((watched, watched.seen_as(&mount.point)?)));
        let (watched, point) = seen.max_by_key(|(watched, _)| watched.path.len())?;
        let is_admitted = point == watched.path
            || watched.settings.admitted_types.contains(&mount.kind)
            || self.far(watched, &watched.path).is_some_and(|(far, _)| far.mount.kind == mount.kind)
            || watched.settings.excludes.covers(&point);
        (!is_admitted).then(|| Mount { point, ..mount.clone() })
    }

    /// Finds out where an area really is.
    fn find(&self, watched: &WatchedArea) {
        *watched.real.lock().unwrap_or_else(PoisonError::into_inner) = self.mount_map.resolve(&watched.path);
    }

    /// The slow mount on which `path`, met in `watched`, lies, and where on it; `None` when it can be touched.
    pub fn far(&self, watched: &WatchedArea, path: &[u8]) -> Option<(Arc<RemoteMount>, Vec<u8>)> {
        if self.mount_map.can_hang() { self.mount_map.far(&watched.real_of(path)) } else { None }
    }

    /// Where an area really is when that is a path that can be touched.
    pub fn near_root(&self, watched: &WatchedArea) -> Option<PathBuf> {
        self.keep_up();
        self.find(watched);
        self.far(watched, &watched.path).is_none().then(|| watched.real())
    }

    /// Areas that lie on a slow file system as a whole and of which some look since this was asked last had no answer: a round over
    /// them has not seen everything.
    pub fn unfinished(&self) -> Vec<AreaId> {
        let silent =
            self.all.iter().filter(|watched| watched.was_silent() && self.far(watched, &watched.path).is_some());
        silent.map(|watched| watched.id).collect()
    }

    /// Whether [`Self::unfinished`] would name this area; what it asks is kept.
    pub fn is_unfinished(&self, watched: &WatchedArea) -> bool {
        watched.is_silent() && self.far(watched, &watched.path).is_some()
    }

    /// Looks at the root of an area.
    pub fn lookup_at_root(&self, watched: &WatchedArea) -> Lookup {
        match self.near_root(watched) {
            Some(path) => match DirHandle::lookup(self.open_real(path.as_os_str().as_bytes())) {
                // A link that leads nowhere is seen itself.
                Lookup::Gone => lookup_at(&watched.settings.path),
                seen => seen,
            },
            None => self.lookup(watched, &watched.path, &DirHandle::Far, b""),
        }
    }

    /// Looks at `path`, which lies in `watched` and is `relative` beneath `base`.
    pub fn lookup(&self, watched: &WatchedArea, path: &[u8], base: &DirHandle, relative: &[u8]) -> Lookup {
        let seen = if let Some((far, beneath)) = self.far(watched, path) {
            far.lookup(beneath)
        } else {
            let _idle = IdleIoGuard::enter();
            DirHandle::lookup(self.open_near(watched, path, base, relative))
        };
        if matches!(seen, Lookup::Silent) {
            watched.note_silence();
        }
        seen
    }

    /// As [`Self::lookup`], for a name in a directory of root's that calls it a regular file: that is opened only once.
    pub fn lookup_regular(&self, watched: &WatchedArea, path: &[u8], base: &DirHandle, name: &[u8]) -> Lookup {
        if let DirHandle::Near(directory) = base
            && self.far(watched, path).is_none()
            && let Some((handle, seen)) = open_regular(directory.as_fd(), name)
        {
            return Lookup::There(FileHandle::Near(handle), seen);
        }
        self.lookup(watched, path, base, name)
    }

    /// Opens the directory `path`, which lies in `watched` and is `relative` beneath `base`, for listing; gives its inode as well.
    ///
    /// # Errors
    /// Why it cannot be listed.
    pub fn list(
        &self,
        watched: &WatchedArea,
        path: &[u8],
        base: &DirHandle,
        relative: &[u8],
    ) -> Result<(DirHandle, u64, LookupListing), AccessError> {
        let listed = match self.far(watched, path) {
            Some((far, beneath)) => far.list(beneath),
            None => DirHandle::list(self.open_near(watched, path, base, relative)),
        };
        if matches!(listed, Err(AccessError::Silent)) {
            watched.note_silence();
        }
        listed
    }
}

impl WatchedAreas {
    /// Opens `path`, which lies in `watched` and is `relative` beneath `base`, where it can be touched. Cost: one call, and three more
    /// for each mount between `base` and it.
    ///
    /// # Errors
    /// Why it cannot be had; silence when a mount is on the way that is not known yet, is not entered, or can hang.
    pub(in crate::files) fn open_near(
        &self,
        watched: &WatchedArea,
        path: &[u8],
        base: &DirHandle,
        relative: &[u8],
    ) -> Result<Handle, AccessError> {
        let DirHandle::Near(directory) = base else { return Err(AccessError::Silent) };
        match open_on_mount(directory.as_fd(), relative) {
            Err(Errno::XDEV) => {
                self.keep_up();
                // What a new mount hides must be known before anything is concluded from what it shows.
                if self.is_barred(path) || self.is_unreviewed() {
                    return Err(AccessError::Silent);
                }
                self.cross(&watched.real_of(path), directory.as_fd(), relative)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens what is at the absolute path `real`, which leads through no symbolic link, where it can be touched.
    ///
    /// # Errors
    /// As [`Ground::open_near`].
    pub(super) fn open_real(&self, real: &[u8]) -> Result<Handle, AccessError> {
        let top = open_root(Path::new("/"))?;
        let relative = real.strip_prefix(b"/").unwrap_or(real);
        match open_on_mount(top.as_fd(), relative) {
            Err(Errno::XDEV) => {
                self.keep_up();
                self.cross(real, top.as_fd(), relative)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens the path `real`, `relative` beneath `base`, over the mounts that the table has between them.
    fn cross(&self, real: &[u8], base: BorrowedFd<'_>, relative: &[u8]) -> Result<Handle, AccessError> {
        let table = self.mount_map.table();
        let met = table.met(real);
        if met.iter().any(|mount| mount.can_hang()) {
            return Err(AccessError::Silent);
        }
        let from = real.len().saturating_sub(relative.len());
        let mut reached: Option<Handle> = None;
        let mut at = from;
        for mount in met.into_iter().filter(|mount| mount.point.len() > from) {
            let way = real.get(at..mount.point.len()).unwrap_or_default();
            let here = reached.as_ref().map_or(base, AsFd::as_fd);
            reached = Some(enter(here, way, mount)?);
            at = (mount.point.len() + 1).min(real.len());
        }
        let Some(reached) = reached else { return on_mount(base, relative) };
        match real.get(at..).unwrap_or_default() {
            b"" => Ok(reached),
            rest => on_mount(reached.as_fd(), rest),
        }
    }
}

fn on_mount(directory: BorrowedFd<'_>, relative: &[u8]) -> Result<Handle, AccessError> {
    match open_on_mount(directory, relative) {
        // Something was mounted this very moment.
        Err(Errno::XDEV) => Err(AccessError::Silent),
        opened => Ok(opened?),
    }
}

/// Opens the root of `mount`, whose point is `way` beneath `directory`.
fn enter(directory: BorrowedFd<'_>, way: &[u8], mount: &Mount) -> Result<Handle, AccessError> {
    let (above, name) = match way.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (way.get(..at).unwrap_or_default(), way.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], way),
    };
    let parent = if above.is_empty() { None } else { Some(on_mount(directory, above)?) };
    // One name in a directory that holds no server up; what lies over it answers only when it is asked for more.
    let root = match open_beneath(parent.as_ref().map_or(directory, AsFd::as_fd), name) {
        // A moment ago it was there: nothing is concluded from a look into the middle of a change.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Err(AccessError::Silent),
        opened => opened?,
    };
    match root.mount()? {
        Some(id) if id != mount.id => Err(AccessError::Silent),
        _ => Ok(root),
    }
}
