//! Looking, listing and reading wherever a path leads: directly, or through a helper where who touches it may never come back.
//!
//! It has the same words as looking directly, and one more: silence, when there is no answer for now. Silence says nothing about what is
//! there, so nothing is concluded from it.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    content::{
        hasher::{Evidence, WantedDigests},
        reader,
    },
    files::remote::{
        protocol::{ELSEWHERE, MountRequest, Response},
        remote_mount::RemoteMount,
    },
    model::file::entry::{Attributes, HashState, Observation},
    sys::{
        fs::{
            dir,
            handle::{Handle, attributes_of},
            mounts::Mount,
        },
        process::framed::now,
    },
};

/// Of a file that comes more slowly than this (bytes a second) no more is awaited after [`LEAST_TIME`]: a hostile file system could hand
/// out bytes one by one for ever.
const LEAST_RATE: u64 = 4096;
const LEAST_TIME: Duration = Duration::from_secs(10);

/// What lies at a path.
#[derive(Debug)]
pub enum Lookup {
    /// Nothing, or the way there is no way any more.
    Gone,
    /// It cannot be looked at.
    Refused(Errno),
    /// There is no answer for now.
    Silent,
    /// An object; its extended attributes are still missing when it is a regular file here.
    There(FileHandle, Attributes),
}

/// An object that was seen.
#[derive(Debug)]
pub enum FileHandle {
    /// Here.
    Near(Handle),
    /// Behind a helper, at this path from the root of its mount.
    Far(Arc<RemoteMount>, Vec<u8>),
}

/// A directory from which paths lead on.
#[derive(Debug)]
pub enum DirHandle {
    /// An open one.
    Near(OwnedFd),
    /// One behind a helper, of which nothing is held open.
    Far,
}

/// Why something cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessError {
    /// For this `errno(3)`.
    Errno(i32),
    /// There is no answer for now.
    Silent,
}

impl From<Errno> for AccessError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

impl DirHandle {
    /// Looks at what was `opened`.
    pub(in crate::files) fn lookup(opened: Result<Handle, AccessError>) -> Lookup {
        let opened = match opened {
            Ok(handle) => Ok(handle),
            Err(AccessError::Errno(errno)) => Err(Errno::from_raw_os_error(errno)),
            Err(AccessError::Silent) => return Lookup::Silent,
        };
        near(reader::judge(opened))
    }

    /// Lists the directory that was `opened`.
    pub(in crate::files) fn list(
        opened: Result<Handle, AccessError>,
    ) -> Result<(Self, u64, LookupListing), AccessError> {
        let handle = opened?;
        let listing = dir::DirListing::new(handle.open_directory()?)?;
        let directory = handle.into_descriptor();
        let inode = attributes_of(directory.as_fd()).map_or(0, |seen| seen.inode);
        Ok((Self::Near(directory), inode, LookupListing::Near(listing)))
    }
}

/// Looks at a path directly.
pub(in crate::files) fn lookup_at(path: &Path) -> Lookup {
    near(reader::lookup_at_root(path))
}

fn near(seen: reader::NearLookup) -> Lookup {
    match seen {
        reader::NearLookup::Gone => Lookup::Gone,
        reader::NearLookup::Refused(errno) => Lookup::Refused(errno),
        reader::NearLookup::There(handle, attributes) => Lookup::There(FileHandle::Near(handle), attributes),
    }
}

impl FileHandle {
    /// Adds to what a lookup has `seen` of an object that is not read what the lookup has left out.
    pub(in crate::files) fn complete(&self, seen: &mut Attributes) {
        if let Self::Near(handle) = self {
            reader::complete(handle, seen);
        }
    }

    /// Opens the directory it is.
    ///
    /// # Errors
    /// The errno of `openat(2)`. Whether one behind a helper can be listed shows when it is.
    pub(in crate::files) fn open_directory(&self) -> Result<DirHandle, Errno> {
        match self {
            Self::Near(handle) => handle.open_directory().map(DirHandle::Near),
            Self::Far(..) => Ok(DirHandle::Far),
        }
    }
}

impl RemoteMount {
    /// Looks at the path `path` from the root of the mount.
    pub(in crate::files) fn lookup(self: &Arc<Self>, path: Vec<u8>) -> Lookup {
        match self.ask(&MountRequest::Look(path.clone())) {
            Some(Response::There(seen)) => {
                let attributes = self.own(seen.attributes);
                Lookup::There(FileHandle::Far(Arc::clone(self), path), attributes)
            }
            Some(Response::Gone) => Lookup::Gone,
            // The mount is not there any more, or not reached.
            Some(Response::Refused(errno)) if is_gone(errno) => Lookup::Silent,
            Some(Response::Refused(errno)) => Lookup::Refused(Errno::from_raw_os_error(errno)),
            _ => Lookup::Silent,
        }
    }

    /// Lists the directory `path` from the root of the mount.
    pub(in crate::files) fn list(
        self: &Arc<Self>,
        path: Vec<u8>,
    ) -> Result<(DirHandle, u64, LookupListing), AccessError> {
        match self.ask(&MountRequest::List(path)) {
            Some(Response::Begun(id, inode)) => Ok((DirHandle::Far, inode, LookupListing::Far(Arc::clone(self), id))),
            Some(Response::Refused(errno)) if !is_gone(errno) => Err(AccessError::Errno(errno)),
            _ => Err(AccessError::Silent),
        }
    }

    /// The metadata with a device number that stays the same over a new mount of the same thing: those of slow file systems are drawn
    /// anew each time.
    fn own(&self, attributes: Attributes) -> Attributes {
        Attributes { dev: device(&self.mount), ..attributes }
    }
}

fn device(mount: &Mount) -> u64 {
    let whole = [mount.kind.as_bytes(), &mount.source, &mount.root].join(&0);
    blake3::hash(&whole).as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn is_gone(errno: i32) -> bool {
    errno == ELSEWHERE
}

/// The names of a directory, block by block.
#[derive(Debug)]
pub enum LookupListing {
    /// Of one here.
    Near(dir::DirListing),
    /// Of one behind a helper, under this number.
    Far(Arc<RemoteMount>, u64),
}

impl LookupListing {
    /// The next names, at most `most`; fewer mean the end.
    ///
    /// # Errors
    /// [`AccessError`]; then the rest cannot be had.
    pub fn next_block(&mut self, most: usize) -> Result<Vec<dir::EntryName>, AccessError> {
        match self {
            Self::Near(listing) => Ok(listing.next_block(most)?),
            Self::Far(far, id) => match far.ask(&MountRequest::Names(*id, u64::try_from(most).unwrap_or(u64::MAX))) {
                Some(Response::Names(names)) if names.len() <= most => Ok(names),
                Some(Response::Refused(errno)) if !is_gone(errno) => Err(AccessError::Errno(errno)),
                _ => Err(AccessError::Silent),
            },
        }
    }
}

/// What came of reading a file.
#[derive(Debug)]
pub enum LookupContent {
    /// It held still; the observation is whole.
    Stable(Box<Evidence>),
    /// It changed meanwhile.
    Torn,
    /// It could not be read.
    Failed(AccessError),
}

/// A file that is being read and hashed, as far as it came.
#[derive(Debug)]
pub enum LookupReader {
    /// Here.
    Near(Box<reader::FileReader>),
    /// Behind a helper.
    Far(Box<FarReading>),
}

/// A file that a helper reads.
#[derive(Debug)]
pub struct FarReading {
    far: Arc<RemoteMount>,
    /// The number of the reading; `None` when the file was not the same any more.
    id: Option<u64>,
    before: Attributes,
    done: u64,
    waited: Duration,
    buffer: Vec<u8>,
}

impl LookupReader {
    /// Opens the regular file `object`, whose metadata were `seen`, to be hashed as `wanted`; what a lookup has left out is added to
    /// `seen`. `buffer` is used again.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn begin(
        object: FileHandle,
        seen: &mut Attributes,
        wanted: impl Into<WantedDigests>,
        buffer: Vec<u8>,
    ) -> Result<Self, AccessError> {
        let wanted = wanted.into();
        match object {
            FileHandle::Near(handle) => reader::FileReader::begin(handle, seen, wanted, buffer)
                .map(|reading| Self::Near(Box::new(reading)))
                .map_err(AccessError::Errno),
            FileHandle::Far(far, path) => {
                let id = match far.ask(&MountRequest::Read(path.clone(), wanted, Box::new(seen.clone()))) {
                    Some(Response::Begun(id, _)) => Some(id),
                    Some(Response::Torn) => None,
                    Some(Response::Refused(errno)) if !is_gone(errno) => return Err(AccessError::Errno(errno)),
                    _ => return Err(AccessError::Silent),
                };
                let reading = FarReading { far, id, before: seen.clone(), done: 0, waited: Duration::ZERO, buffer };
                Ok(Self::Far(Box::new(reading)))
            }
        }
    }

    /// Whether each slice of it may be waited for, so that it is never read at once.
    pub const fn is_far(&self) -> bool {
        matches!(self, Self::Far(_))
    }

    /// Whether the file still is what it was when it was opened; of one behind a helper that shows at the end.
    pub fn holds_still(&self) -> bool {
        match self {
            Self::Near(reading) => reading.holds_still(),
            Self::Far(_) => true,
        }
    }

    /// Bytes read so far; zeros of holes are not.
    pub const fn read(&self) -> u64 {
        match self {
            Self::Near(reading) => reading.read(),
            Self::Far(reading) => reading.done,
        }
    }

    /// Size of the file when it was opened.
    pub const fn size(&self) -> u64 {
        match self {
            Self::Near(reading) => reading.size(),
            Self::Far(reading) => reading.before.size,
        }
    }

    /// Bytes of its holes, as far as they are known; of one behind a helper none are.
    pub fn holes(&self) -> u64 {
        match self {
            Self::Near(reading) => reading.holes(),
            Self::Far(_) => 0,
        }
    }

    /// Reads and hashes up to about `most` bytes; gives how many, and whether the end is reached.
    ///
    /// # Errors
    /// Why it cannot be read on.
    pub fn advance(&mut self, most: u64) -> Result<(u64, bool), AccessError> {
        match self {
            Self::Near(reading) => reading.advance(most).map_err(AccessError::Errno),
            Self::Far(reading) => reading.advance(most),
        }
    }

    /// Judges the reading: whole only when nothing about the file has moved between the look at it and its last byte. Gives the
    /// buffer back.
    pub fn finish(self, known: Option<&Observation>) -> (LookupContent, Vec<u8>) {
        match self {
            Self::Near(reading) => {
                let (content, buffer) = reading.finish(known);
                let content = match content {
                    reader::FileContent::Stable(whole) => LookupContent::Stable(whole),
                    reader::FileContent::Torn => LookupContent::Torn,
                    reader::FileContent::Unreadable(errno) => LookupContent::Failed(AccessError::Errno(errno)),
                };
                (content, buffer)
            }
            Self::Far(reading) => reading.finish(),
        }
    }
}

impl FarReading {
    fn advance(&mut self, most: u64) -> Result<(u64, bool), AccessError> {
        let Some(id) = self.id else { return Ok((0, true)) };
        let begun = now();
        let answer = self.far.ask(&MountRequest::Advance(id, most));
        self.waited += now().saturating_sub(begun);
        match answer {
            Some(Response::Advanced(count, is_end)) => {
                self.done = self.done.saturating_add(count);
                let is_drip = self.done < LEAST_RATE.saturating_mul(self.waited.as_secs());
                if !is_end && self.waited >= LEAST_TIME && is_drip {
                    return Err(Errno::TIMEDOUT.into());
                }
                Ok((count, is_end))
            }
            Some(Response::Refused(errno)) if !is_gone(errno) => Err(AccessError::Errno(errno)),
            _ => Err(AccessError::Silent),
        }
    }

    fn finish(self) -> (LookupContent, Vec<u8>) {
        let Some(id) = self.id else { return (LookupContent::Torn, self.buffer) };
        let content = match self.far.ask(&MountRequest::Finish(id)) {
            Some(Response::Whole(whole)) if whole.seen.hash_state == HashState::Full => {
                let Evidence { seen, old_part } = *whole;
                let seen = Observation { attributes: self.far.own(seen.attributes), ..seen };
                LookupContent::Stable(Box::new(Evidence { seen, old_part }))
            }
            Some(Response::Torn) => LookupContent::Torn,
            Some(Response::Refused(errno)) if !is_gone(errno) => LookupContent::Failed(AccessError::Errno(errno)),
            _ => LookupContent::Failed(AccessError::Silent),
        };
        (content, self.buffer)
    }
}
