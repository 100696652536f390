//! Opening a log under its own name: nothing that waits, nothing that was planted.

use std::{fs::File, os::fd::AsFd, path::Path};

use rustix::io::Errno;

use crate::{
    model::{
        file::entry::{Attributes, FileKind},
        log::position::{FileId, ReadRefusal},
    },
    sys::fs::{
        handle::{Handle, attributes_of},
        resolve::{ResolveError, ResolvedPlace, reach},
    },
    tail::rotated_files::{errno_of, is_planted},
};

/// A log that can be read.
#[derive(Debug)]
pub struct Live {
    /// The open file.
    pub file: File,
    /// Its metadata when it was looked at: nothing beyond this size is read in the same poll.
    pub seen: Attributes,
}

impl Live {
    /// Its identity.
    pub fn id(&self) -> FileId {
        FileId::of(&self.seen)
    }
}

/// What stands under the name of a log.
#[derive(Debug)]
pub struct LiveSight {
    /// The file, or why it is not read.
    pub live: Result<Live, ReadRefusal>,
    /// The directories that may hold its rotated files.
    pub places: Vec<ResolvedPlace>,
    /// Where the name points when it is a symbolic link.
    pub target: Option<Vec<u8>>,
}

/// Looks at `path`. Never blocks on what lies there.
pub fn look(path: &Path) -> LiveSight {
    match reach(path) {
        Ok(reached) => {
            let directory = reached.places.last().map(|place| &place.attributes);
            let live = reached.end.map_err(refusal).and_then(|(handle, seen)| open(&handle, &seen, directory));
            LiveSight { live, places: reached.places, target: reached.target }
        }
        Err(denied) => LiveSight { live: Err(refusal(denied)), places: Vec::new(), target: None },
    }
}

fn open(handle: &Handle, seen: &Attributes, directory: Option<&Attributes>) -> Result<Live, ReadRefusal> {
    if seen.kind != FileKind::Regular {
        return Err(ReadRefusal::Kind(seen.kind));
    }
    if directory.is_some_and(|directory| is_planted(directory, seen)) {
        return Err(ReadRefusal::HardLink);
    }
    let file = handle.open_file().map_err(|error| refusal(ResolveError::Errno(errno_of(&error))))?;
    let seen = attributes_of(file.as_fd()).map_err(|errno| refusal(ResolveError::Errno(errno)))?;
    Ok(Live { file, seen })
}

fn refusal(denied: ResolveError) -> ReadRefusal {
    match denied {
        ResolveError::Errno(Errno::NOENT | Errno::NOTDIR) => ReadRefusal::Missing,
        ResolveError::Errno(errno) => ReadRefusal::Unreadable(errno.raw_os_error()),
        ResolveError::Link(owner) => ReadRefusal::Link(owner),
    }
}
