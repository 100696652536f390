//! The rotated files of a log: found by their names, never followed, and only those that can be its own.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::io::Errno;

use crate::{
    model::{
        file::entry::{Attributes, FileKind},
        log::position::{Anchor, FileId},
    },
    sys::fs::{
        dir::DirListing,
        handle::{Handle, open_beneath},
        resolve::{ResolveError, ResolvedPlace, reach_directory},
    },
};

/// More rotated files of one log are not looked at.
const MOST: usize = 1000;

/// How often a directory is listed again in which files are being renamed.
const ATTEMPTS: usize = 5;

/// How a rotated file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By something that is not unpacked here: xz, zstd, bzip2 and their like.
    Foreign,
}

/// A rotated file.
#[derive(Debug)]
pub struct FoundRotated {
    /// Its name.
    pub name: Vec<u8>,
    /// Its handle.
    pub handle: Handle,
    /// Its metadata.
    pub seen: Attributes,
    /// How it is packed, by its name.
    pub packing: Compression,
    /// The metadata of the directory it lies in.
    pub directory: Attributes,
}

impl FoundRotated {
    /// Its identity.
    pub fn id(&self) -> FileId {
        FileId::of(&self.seen)
    }
}

/// The rotated files of a log.
#[derive(Debug, Default)]
pub struct ListedFile {
    /// The files, oldest first.
    pub found: Vec<FoundRotated>,
    /// Why a directory could not be listed; then nothing is known to be gone.
    pub fault: Option<Errno>,
    /// Whether names were gone when they were opened: somebody is rotating just now.
    pub is_moving: bool,
    /// Whether there are more than are looked at.
    pub is_cut: bool,
}

const PACKED: [(&[u8], Compression); 7] = [
    (b".gz", Compression::Gzip),
    (b".xz", Compression::Foreign),
    (b".zst", Compression::Foreign),
    (b".bz2", Compression::Foreign),
    (b".lz4", Compression::Foreign),
    (b".lzma", Compression::Foreign),
    (b".Z", Compression::Foreign),
];

/// The name without the ending of its packing, and the packing.
pub fn unpacked_name(name: &[u8]) -> (&[u8], Compression) {
    PACKED
        .iter()
        .find_map(|(ending, packing)| name.strip_suffix(*ending).map(|stem| (stem, *packing)))
        .unwrap_or((name, Compression::Plain))
}

/// Whether `name` is that of a rotated `log`: `LOG.*` or `LOG-*`, or with the log's extension kept, `STEM.N.EXT`, `STEM-DATE.EXT` or
/// `STEM.DATE.EXT` (`logrotate(8)`, `extension`). `worker-1.log` is another worker's log and no rotated `worker.log`.
pub fn is_sibling(log: &[u8], name: &[u8]) -> bool {
    if let Some(rest) = name.strip_prefix(log) {
        return matches!(rest.first(), Some(b'.' | b'-')) && rest.len() > 1;
    }
    let Some(dot) = log.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else { return false };
    let (stem, extension) = log.split_at_checked(dot).unwrap_or((log, &[]));
    let Some(between) = unpacked_name(name).0.strip_suffix(extension).and_then(|front| front.strip_prefix(stem)) else {
        return false;
    };
    match between {
        [b'.', rest @ ..] => is_number(rest) || is_date(rest),
        [b'-', rest @ ..] => is_date(rest),
        _ => false,
    }
}

/// A number that `logrotate(8)` may count up to.
fn is_number(text: &[u8]) -> bool {
    (1..=4).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// A date by its digits: at least those of year, month and day, or of seconds; between them whatever `dateformat` usually puts there.
fn is_date(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T');
    digits >= 8 && text.first().is_some_and(u8::is_ascii_digit) && text.iter().all(is_part)
}

/// Whether the name of a sibling says by itself that it was rotated: it goes on with a number, a date or a usual word. Another
/// service's `mail.err` is no rotated `mail`; it only counts when it is the very file that was read as `mail`.
pub fn is_plainly_rotated(log: &[u8], name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(log) else { return true };
    let rest = unpacked_name(rest.get(1..).unwrap_or_default()).0;
    rest.iter().any(u8::is_ascii_digit) || matches!(rest, b"old" | b"bak" | b"prev" | b"last" | b"save" | b"orig")
}

/// Whether another user's file may have been linked into a directory by somebody who can write there, so that we read it for him
/// (`link(2)` needs no right to read).
pub fn is_planted(directory: &Attributes, seen: &Attributes) -> bool {
    seen.nlink > 1 && seen.uid != directory.uid && (directory.uid != 0 || directory.perms & 0o022 != 0)
}

/// Whether `found` is not read as a rotated file of a log of `owner`: it may be planted, or it is neither his nor root's. Who owned it
/// when it was read by the anchor `known` may go on owning it after the log was given to another user.
pub fn is_refused(owner: Option<u32>, found: &FoundRotated, known: Option<&Anchor>) -> bool {
    let is_foreign = found.seen.uid != 0 && owner.is_some_and(|owner| owner != found.seen.uid);
    let was_read = known.is_some_and(|known| known.taken > 0 && known.owner == found.seen.uid);
    is_foreign && !was_read || is_planted(&found.directory, &found.seen)
}

/// Lists the rotated files of the log that stands at `places`, there and in `olddirs`; neither the file `live` nor any of the names
/// `others`, which are logs of their own.
pub fn list(
    places: &[ResolvedPlace],
    olddirs: &[PathBuf],
    live: Option<FileId>,
    others: &BTreeSet<Vec<u8>>,
) -> ListedFile {
    let mut listed = list_once(places, olddirs, others);
    for _ in 0..ATTEMPTS {
        if !listed.is_moving {
            break;
        }
        listed = list_once(places, olddirs, others);
    }
    listed.found.retain(|found| live.is_none_or(|live| !live.is(&found.id())));
    // Oldest first; several within one tick of the clock by their names.
    listed.found.sort_by(|a, b| (a.seen.mtime, age(&b.name), &a.name).cmp(&(b.seen.mtime, age(&a.name), &b.name)));
    let mut known: Vec<FileId> = Vec::new();
    listed.found.retain(|found| {
        let is_new = !known.iter().any(|id| id.is(&found.id()));
        known.push(found.id());
        is_new
    });
    listed
}

fn list_once(places: &[ResolvedPlace], olddirs: &[PathBuf], others: &BTreeSet<Vec<u8>>) -> ListedFile {
    let mut listed = ListedFile::default();
    for place in places {
        list_one(&place.directory, &place.attributes, &place.name, others, &mut listed);
    }
    let Some(place) = places.first() else { return listed };
    for olddir in olddirs {
        match reach_directory(olddir) {
            Ok((directory, attributes)) => list_one(&directory, &attributes, &place.name, others, &mut listed),
            // `createolddir` makes it at the first rotation (`logrotate(8)`): nothing is in it yet.
            Err(ResolveError::Errno(Errno::NOENT)) => {}
            Err(ResolveError::Errno(errno)) => listed.fault = Some(errno),
            Err(ResolveError::Link(_)) => listed.fault = Some(Errno::LOOP),
        }
    }
    listed
}

/// The number of `LOG.N`: the larger, the older. Dates and words have none.
fn age(name: &[u8]) -> u32 {
    let stem = unpacked_name(name).0;
    let digits = stem.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    if digits.len() > 5 {
        return 0;
    }
    str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn list_one(
    directory: &OwnedFd,
    attributes: &Attributes,
    log: &[u8],
    others: &BTreeSet<Vec<u8>>,
    listed: &mut ListedFile,
) {
    let names = match names(directory, log, others) {
        Ok(names) => names,
        Err(errno) => {
            listed.fault = Some(errno);
            return;
        }
    };
    listed.is_cut |= names.len() > MOST;
    for name in names.into_iter().take(MOST) {
        let Ok(handle) = open_beneath(directory.as_fd(), &name) else {
            listed.is_moving = true;
            continue;
        };
        let Ok(seen) = handle.attributes() else { continue };
        if seen.kind == FileKind::Regular {
            let packing = unpacked_name(&name).1;
            listed.found.push(FoundRotated { name, handle, seen, packing, directory: attributes.clone() });
        }
    }
}

fn names(directory: &OwnedFd, log: &[u8], others: &BTreeSet<Vec<u8>>) -> Result<Vec<Vec<u8>>, Errno> {
    let opened = Handle::from(directory.try_clone().map_err(|error| errno_of(&error))?);
    let mut listing = DirListing::new(opened.open_directory()?)?;
    let mut names = Vec::new();
    loop {
        let block = listing.next_block(256)?;
        let is_last = block.len() < 256;
        names.extend(
            block.into_iter().map(|name| name.bytes).filter(|name| is_sibling(log, name) && !others.contains(name)),
        );
        if is_last || names.len() > MOST {
            return Ok(names);
        }
    }
}

/// The errno behind an error, `EIO` when there is none.
pub fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files_are_known() {
        for name in ["syslog.1", "syslog.2.gz", "syslog-20261121", "syslog-20261121.xz", "syslog.old", "syslog.1.gz"] {
            assert!(is_sibling(b"syslog", name.as_bytes()), "{name}");
            assert!(is_plainly_rotated(b"syslog", name.as_bytes()), "{name}");
        }
        for name in ["app.1.log", "app-20261121.log.gz", "app.log.1", "app.log-1"] {
            assert!(
                is_sibling(b"app.log", name.as_bytes()) && is_plainly_rotated(b"app.log", name.as_bytes()),
                "{name}"
            );
        }
        for name in
            ["app-2026-11-21.log", "app.20261121.log", "app-20261121_14.log.xz", "app-1795000000.log", "app.12.log"]
        {
            assert!(is_sibling(b"app.log", name.as_bytes()), "{name}");
        }
        for name in
            ["app-1.log", "app-15-main.log", "app-2026.log", "app.1a.log", "app.12345.log", "app-8x20261121.log"]
        {
            assert!(!is_sibling(b"app.log", name.as_bytes()), "{name}");
        }
        for name in ["syslog", "syslogd", "syslog.", "app-server.log", "application.log"] {
            assert!(!is_sibling(b"syslog", name.as_bytes()) && !is_sibling(b"app.log", name.as_bytes()), "{name}");
        }
        for name in ["mail.err", "mail-server.log"] {
            assert!(is_sibling(b"mail", name.as_bytes()) && !is_plainly_rotated(b"mail", name.as_bytes()), "{name}");
        }
    }
}
