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
        hasher::{Evidence, Wanted},
        reader,
    },
    files::remote::{
        protocol::{Answer, ELSEWHERE, Question},
        remote_mount::Far,
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
pub enum Glance {
    /// Nothing, or the way there is no way any more.
    Gone,
    /// It cannot be looked at.
    Refused(Errno),
    /// There is no answer for now.
    Silent,
    /// An object; its extended attributes are still missing when it is a regular file here.
    There(Object, Attributes),
}

/// An object that was seen.
#[derive(Debug)]
pub enum Object {
    /// Here.
    Near(Handle),
    /// Behind a helper, at this path from the root of its mount.
    Far(Arc<Far>, Vec<u8>),
}

/// A directory from which paths lead on.
#[derive(Debug)]
pub enum Base {
    /// An open one.
    Near(OwnedFd),
    /// One behind a helper, of which nothing is held open.
    Far,
}

/// Why something cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// For this `errno(3)`.
    Errno(i32),
    /// There is no answer for now.
    Silent,
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

impl Base {
    /// Looks at what was `opened`.
    pub(in crate::files) fn glance(opened: Result<Handle, Trouble>) -> Glance {
        let opened = match opened {
            Ok(handle) => Ok(handle),
            Err(Trouble::Errno(errno)) => Err(Errno::from_raw_os_error(errno)),
            Err(Trouble::Silent) => return Glance::Silent,
        };
        near(reader::judge(opened))
    }

    /// Lists the directory that was `opened`.
    pub(in crate::files) fn list(opened: Result<Handle, Trouble>) -> Result<(Self, u64, Listing), Trouble> {
        let handle = opened?;
        let listing = dir::Listing::new(handle.open_directory()?)?;
        let directory = handle.into_descriptor();
        let inode = attributes_of(directory.as_fd()).map_or(0, |seen| seen.inode);
        Ok((Self::Near(directory), inode, Listing::Near(listing)))
    }
}

/// Looks at a path directly.
pub(in crate::files) fn glance_at(path: &Path) -> Glance {
    near(reader::glance_at_root(path))
}

fn near(seen: reader::Glance) -> Glance {
    match seen {
        reader::Glance::Gone => Glance::Gone,
        reader::Glance::Refused(errno) => Glance::Refused(errno),
        reader::Glance::There(handle, attributes) => Glance::There(Object::Near(handle), attributes),
    }
}

impl Object {
    /// Adds to what a glance has `seen` of an object that is not read what the glance has left out.
    pub(in crate::files) fn complete(&self, seen: &mut Attributes) {
        if let Self::Near(handle) = self {
            reader::complete(handle, seen);
        }
    }

    /// Opens the directory it is.
    ///
    /// # Errors
    /// The errno of `openat(2)`. Whether one behind a helper can be listed shows when it is.
    pub(in crate::files) fn open_directory(&self) -> Result<Base, Errno> {
        match self {
            Self::Near(handle) => handle.open_directory().map(Base::Near),
            Self::Far(..) => Ok(Base::Far),
        }
    }
}

impl Far {
    /// Looks at the path `path` from the root of the mount.
    pub(in crate::files) fn glance(self: &Arc<Self>, path: Vec<u8>) -> Glance {
        match self.ask(&Question::Look(path.clone())) {
            Some(Answer::There(seen)) => {
                let attributes = self.own(seen.attributes);
                Glance::There(Object::Far(Arc::clone(self), path), attributes)
            }
            Some(Answer::Gone) => Glance::Gone,
            // The mount is not there any more, or not reached.
            Some(Answer::Refused(errno)) if is_gone(errno) => Glance::Silent,
            Some(Answer::Refused(errno)) => Glance::Refused(Errno::from_raw_os_error(errno)),
            _ => Glance::Silent,
        }
    }

    /// Lists the directory `path` from the root of the mount.
    pub(in crate::files) fn list(self: &Arc<Self>, path: Vec<u8>) -> Result<(Base, u64, Listing), Trouble> {
        match self.ask(&Question::List(path)) {
            Some(Answer::Begun(id, inode)) => Ok((Base::Far, inode, Listing::Far(Arc::clone(self), id))),
            Some(Answer::Refused(errno)) if !is_gone(errno) => Err(Trouble::Errno(errno)),
            _ => Err(Trouble::Silent),
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
pub enum Listing {
    /// Of one here.
    Near(dir::Listing),
    /// Of one behind a helper, under this number.
    Far(Arc<Far>, u64),
}

impl Listing {
    /// The next names, at most `most`; fewer mean the end.
    ///
    /// # Errors
    /// [`Trouble`]; then the rest cannot be had.
    pub fn next_block(&mut self, most: usize) -> Result<Vec<dir::Name>, Trouble> {
        match self {
            Self::Near(listing) => Ok(listing.next_block(most)?),
            Self::Far(far, id) => match far.ask(&Question::Names(*id, u64::try_from(most).unwrap_or(u64::MAX))) {
                Some(Answer::Names(names)) if names.len() <= most => Ok(names),
                Some(Answer::Refused(errno)) if !is_gone(errno) => Err(Trouble::Errno(errno)),
                _ => Err(Trouble::Silent),
            },
        }
    }
}

/// What came of reading a file.
#[derive(Debug)]
pub enum Content {
    /// It held still; the observation is whole.
    Stable(Box<Evidence>),
    /// It changed meanwhile.
    Torn,
    /// It could not be read.
    Failed(Trouble),
}

/// A file that is being read and hashed, as far as it came.
#[derive(Debug)]
pub enum Reading {
    /// Here.
    Near(Box<reader::Reading>),
    /// Behind a helper.
    Far(Box<FarReading>),
}

/// A file that a helper reads.
#[derive(Debug)]
pub struct FarReading {
    far: Arc<Far>,
    /// The number of the reading; `None` when the file was not the same any more.
    id: Option<u64>,
    before: Attributes,
    done: u64,
    waited: Duration,
    buffer: Vec<u8>,
}

impl Reading {
    /// Opens the regular file `object`, whose metadata were `seen`, to be hashed as `wanted`; what a glance has left out is added to
    /// `seen`. `buffer` is used again.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn begin(
        object: &Object,
        seen: &mut Attributes,
        wanted: impl Into<Wanted>,
        buffer: Vec<u8>,
    ) -> Result<Self, Trouble> {
        let wanted = wanted.into();
        match object {
            Object::Near(handle) => reader::Reading::begin(handle, seen, wanted, buffer)
                .map(|reading| Self::Near(Box::new(reading)))
                .map_err(Trouble::Errno),
            Object::Far(far, path) => {
                let id = match far.ask(&Question::Read(path.clone(), wanted, Box::new(seen.clone()))) {
                    Some(Answer::Begun(id, _)) => Some(id),
                    Some(Answer::Torn) => None,
                    Some(Answer::Refused(errno)) if !is_gone(errno) => return Err(Trouble::Errno(errno)),
                    _ => return Err(Trouble::Silent),
                };
                let far = Arc::clone(far);
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
    pub fn advance(&mut self, most: u64) -> Result<(u64, bool), Trouble> {
        match self {
            Self::Near(reading) => reading.advance(most).map_err(Trouble::Errno),
            Self::Far(reading) => reading.advance(most),
        }
    }

    /// Judges the reading: whole only when nothing about the file has moved between the look at it and its last byte. Gives the
    /// buffer back.
    pub fn finish(self) -> (Content, Vec<u8>) {
        match self {
            Self::Near(reading) => {
                let (content, buffer) = reading.finish();
                let content = match content {
                    reader::Content::Stable(whole) => Content::Stable(whole),
                    reader::Content::Torn => Content::Torn,
                    reader::Content::Unreadable(errno) => Content::Failed(Trouble::Errno(errno)),
                };
                (content, buffer)
            }
            Self::Far(reading) => reading.finish(),
        }
    }
}

impl FarReading {
    fn advance(&mut self, most: u64) -> Result<(u64, bool), Trouble> {
        let Some(id) = self.id else { return Ok((0, true)) };
        let begun = now();
        let answer = self.far.ask(&Question::Advance(id, most));
        self.waited += now().saturating_sub(begun);
        match answer {
            Some(Answer::Advanced(count, is_end)) => {
                self.done = self.done.saturating_add(count);
                let is_drip = self.done < LEAST_RATE.saturating_mul(self.waited.as_secs());
                if !is_end && self.waited >= LEAST_TIME && is_drip {
                    return Err(Errno::TIMEDOUT.into());
                }
                Ok((count, is_end))
            }
            Some(Answer::Refused(errno)) if !is_gone(errno) => Err(Trouble::Errno(errno)),
            _ => Err(Trouble::Silent),
        }
    }

    fn finish(self) -> (Content, Vec<u8>) {
        let Some(id) = self.id else { return (Content::Torn, self.buffer) };
        let content = match self.far.ask(&Question::Finish(id)) {
            Some(Answer::Whole(whole)) if whole.seen.hash_state == HashState::Full => {
                let Evidence { seen, old_part } = *whole;
                let seen = Observation { attributes: self.far.own(seen.attributes), ..seen };
                Content::Stable(Box::new(Evidence { seen, old_part }))
            }
            Some(Answer::Torn) => Content::Torn,
            Some(Answer::Refused(errno)) if !is_gone(errno) => Content::Failed(Trouble::Errno(errno)),
            _ => Content::Failed(Trouble::Silent),
        };
        (content, self.buffer)
    }
}
