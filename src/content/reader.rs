//! One look at one path: what is there, and what its content is when it holds still.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use rustix::io::Errno;

use crate::{
    content::hasher::{Evidence, PrefixHasher, WantedDigests},
    model::{
        clock::Timestamp,
        file::entry::{Attributes, FileKind, HashState, Observation},
    },
    sys::{
        fs::{
            handle::{Handle, attributes_of, open_beneath, open_root},
            sparse::{Extent, stretch_at},
            uncached::UncachedReader,
            xattr::xattrs_of_file,
        },
        priority::IdleIoGuard,
    },
};

/// Bytes read at once; more gains nothing, less costs system calls.
const BUFFER: usize = 128 * 1024;

/// The least that is read at once.
const PAGE: usize = 4096;

/// Files up to this size are not asked for holes: reading them costs less than asking.
const DENSE: u64 = 1 << 20;

/// Zeros of a hole that cost as much as one byte that is read: they take time, but no input.
const ZEROS_PER_BYTE: u64 = 256;

/// Most zeros of holes that are hashed of one file: some ten minutes of work, and more than any disk image is ahead of what it holds.
/// `truncate(2)` makes 8 EiB of them at no cost.
const MOST_HOLES: u64 = 1 << 40;

/// Most of them of a file that holds nothing, a minute or two of work, and how many more for each byte that it does hold: what costs its
/// owner no space must not cost much.
const FREE_HOLES: u64 = 128 << 30;
const HOLES_PER_BYTE: u64 = 1024;
/// Most that is read of a file that the kernel makes: its size says nothing, and it may have no end.
const MOST_GENERATED: u64 = 1 << 20;

/// Most stretches of a file that are asked for before it is read; of what is scattered more widely the zeros are counted as they come.
const SURVEYED: usize = 256;

/// Most zeros that are hashed at once, a few milliseconds of work.
const MOST_ZEROS: u64 = 16 << 20;

static ZEROS: [u8; BUFFER] = [0; BUFFER];

/// What lies at a path.
#[derive(Debug)]
pub enum NearLookup {
    /// Nothing, or the way there is no way any more.
    Gone,
    /// It cannot be looked at.
    Refused(Errno),
    /// An object; its extended attributes are still missing when it is a regular file.
    There(Handle, Attributes),
}

/// Looks at `relative` beneath `directory`.
pub fn lookup(directory: BorrowedFd<'_>, relative: &[u8]) -> NearLookup {
    let _idle = IdleIoGuard::enter();
    judge(open_beneath(directory, relative))
}

/// Looks at the root of an area.
pub fn lookup_at_root(path: &Path) -> NearLookup {
    judge(open_root(path))
}

/// What a handle shows.
pub(crate) fn judge(opened: Result<Handle, Errno>) -> NearLookup {
    let seen = opened.and_then(|handle| {
        let mut seen = handle.attributes()?;
        // Those of a regular file are read when it is opened, which costs less.
        if seen.kind != FileKind::Regular {
            seen.xattrs = handle.xattrs();
        }
        Ok((handle, seen))
    });
    match seen {
        Ok((handle, attributes)) => NearLookup::There(handle, attributes),
        // A component on the way was exchanged for something that is no directory.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => NearLookup::Gone,
        Err(errno) => NearLookup::Refused(errno),
    }
}

/// Adds to what a lookup has `seen` of an object that is not read what the lookup has left out.
pub fn complete(handle: &Handle, seen: &mut Attributes) {
    if seen.kind == FileKind::Regular {
        seen.xattrs = handle.xattrs();
    }
}

/// What came of reading a file.
#[derive(Debug)]
pub enum FileContent {
    /// It held still; the observation is whole.
    Stable(Box<Evidence>),
    /// It changed meanwhile.
    Torn,
    /// It could not be read, for this `errno(3)`.
    Unreadable(i32),
}

/// A file that is being read and hashed, as far as it came.
#[derive(Debug)]
pub struct FileReader {
    file: UncachedReader,
    before: Attributes,
    hasher: PrefixHasher,
    buffer: Vec<u8>,
    /// How much of it is hashed.
    done: u64,
    /// How much of that was read; the rest lies in holes.
    read: u64,
    /// What it consists of where it is being read.
    stretch: Extent,
    /// Bytes of its holes, as far as they are known.
    holes: u64,
    /// How many of them are hashed, and may be.
    zeros: u64,
    most_zeros: u64,
}

impl FileReader {
    /// Opens the regular file behind `handle`, whose metadata were `seen`, to be hashed as `wanted`; its extended attributes are added
    /// to `seen`. `buffer` is used again.
    ///
    /// # Errors
    /// The `errno(3)` for which it cannot be read; `EFBIG` when there are too many holes.
    pub fn begin(
        handle: Handle,
        seen: &mut Attributes,
        wanted: impl Into<WantedDigests>,
        mut buffer: Vec<u8>,
    ) -> Result<Self, i32> {
        let opened = handle.into_file();
        seen.xattrs = match &opened {
            Ok(file) => xattrs_of_file(file.as_fd()),
            Err((_, handle)) => handle.xattrs(),
        };
        let file = opened.map_err(|(error, _)| errno_of(&error))?;
        // Some of what the kernel makes is given by the first call or not at all.
        let is_generated = seen.is_generated();
        let is_dense = is_generated || seen.size <= DENSE;
        let holes = if is_dense { 0 } else { holes_of(&file, seen.size) };
        let most_zeros = most_zeros(&file, seen.size);
        if holes > most_zeros {
            return Err(Errno::FBIG.raw_os_error());
        }
        // One byte more than the file, so that one that grows is seen to.
        let length = usize::try_from(seen.size).unwrap_or(BUFFER).saturating_add(1).min(BUFFER);
        let length = if is_generated { BUFFER } else { length };
        let wanted: WantedDigests = wanted.into();
        let wanted = if is_generated { WantedDigests { mark: None, ..wanted } } else { wanted };
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        Ok(Self {
            file: UncachedReader::new(file),
            hasher: PrefixHasher::new(wanted),
            buffer,
            before: seen.clone(),
            done: 0,
            read: 0,
            stretch: if is_dense { Extent::Data(u64::MAX) } else { Extent::Hole(0) },
            holes,
            zeros: 0,
            most_zeros,
        })
    }

    /// The reading with no more than so many bytes at once.
    #[must_use]
    pub(crate) fn in_sips(mut self, most: usize) -> Self {
        self.buffer.truncate(most);
        self
    }

    /// Bytes read so far; zeros of holes are not.
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Bytes of its holes, as far as they are known.
    pub fn holes(&self) -> u64 {
        self.holes.max(self.zeros)
    }

    /// Size of the file when it was opened.
    pub const fn size(&self) -> u64 {
        self.before.size
    }

    /// Reads and hashes about as much as `most` bytes cost; gives what it has cost, and whether the end is reached. The zeros of a hole are
    /// hashed without being read, and cost a small part of that.
    ///
    /// # Errors
    /// The `errno(3)` of `read(2)`; `EFBIG` when there are too many holes, or more than 1 MiB of what the kernel makes.
    pub fn advance(&mut self, most: u64) -> Result<(u64, bool), i32> {
        let _idle = IdleIoGuard::enter();
        let (mut cost, mut zeros) = (0, 0);
        loop {
            if self.done >= self.stretch.end() && self.done < self.before.size {
                self.stretch = stretch_at(self.file.file(), self.done, self.before.size);
            }
            let length = match self.stretch {
                Extent::Hole(end) => {
                    let affordable = most.saturating_sub(cost).max(1).saturating_mul(ZEROS_PER_BYTE);
                    let length = self.pass_hole(end, affordable.min(MOST_ZEROS - zeros));
                    zeros += length;
                    self.zeros += length;
                    if self.zeros > self.most_zeros {
                        return Err(Errno::FBIG.raw_os_error());
                    }
                    cost += length.div_ceil(ZEROS_PER_BYTE);
                    length
                }
                Extent::Data(_) => {
                    let length = self.read_on(most.saturating_sub(cost))?;
                    cost += length;
                    length
                }
            };
            if self.before.is_generated() && self.done > MOST_GENERATED {
                return Err(Errno::FBIG.raw_os_error());
            }
            // Following a file that grows might never end; whether it has grown shows when it is judged.
            if length == 0 || self.done >= self.before.size && !self.before.is_generated() {
                return Ok((cost, true));
            }
            // Zeros cost little, but they take their time.
            if cost >= most || zeros >= MOST_ZEROS {
                return Ok((cost, false));
            }
        }
    }

    /// Hashes zeros up to the end of a hole, at most `most`; gives how many.
    fn pass_hole(&mut self, end: u64, most: u64) -> u64 {
        let zeros = end.saturating_sub(self.done).min(most);
        let mut left = zeros;
        while left > 0 {
            let piece = ZEROS.get(..usize::try_from(left).unwrap_or(BUFFER)).unwrap_or(&ZEROS);
            self.hasher.update(piece);
            left -= u64::try_from(piece.len()).unwrap_or(left);
        }
        self.done += zeros;
        self.file.skip_to(self.done);
        zeros
    }

    /// Reads and hashes up to about `most` bytes; gives how many, 0 at the end.
    fn read_on(&mut self, most: u64) -> Result<u64, i32> {
        // Whole pages, so that none is read twice.
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(PAGE).min(self.buffer.len());
        loop {
            let length = match self.file.read(self.buffer.get_mut(..most).unwrap_or_default()) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(errno_of(&error)),
            };
            self.hasher.update(self.buffer.get(..length).unwrap_or_default());
            let length = u64::try_from(length).unwrap_or(0);
            self.done += length;
            self.read += length;
            return Ok(length);
        }
    }

    /// Whether the file still is what it was when it was opened, as far as its metadata tell.
    pub fn holds_still(&self) -> bool {
        attributes_of(self.file.file().as_fd()).is_ok_and(|now| is_same(&self.before, &now))
    }

    /// What the reading has shown: whole only when nothing about the file has moved between the look at it and its last byte. Where all of
    /// it, content and metadata, is what was `known`, it is not asked again: there is nothing that could be half. Gives the buffer back.
    pub fn finish(self, known: Option<&Observation>) -> (FileContent, Vec<u8>) {
        let Self { file, before, hasher, buffer, done, .. } = self;
        let (digests, old_part) = hasher.finish();
        let is_known = |known: &Observation| {
            known.hash_state == HashState::Full
                && known.digests == digests
                && known.attributes == before
                && done == before.size
        };
        let after = if known.is_some_and(is_known) { Ok(before.clone()) } else { attributes_of(file.file().as_fd()) };
        let content = match after {
            Ok(mut after) if is_same(&before, &after) && (done == after.size || after.is_generated()) => {
                // Setting an extended attribute moves ctime, so that those of the first look are those of the last.
                after.xattrs = before.xattrs;
                after.target = before.target;
                let seen = Observation { attributes: after, hash_state: HashState::Full, digests };
                FileContent::Stable(Box::new(Evidence { seen, old_part }))
            }
            Ok(_) => FileContent::Torn,
            Err(errno) => FileContent::Unreadable(errno.raw_os_error()),
        };
        (content, buffer)
    }
}

/// Most zeros that are hashed of a file of `size` bytes, by what it takes on the disk.
fn most_zeros(file: &File, size: u64) -> u64 {
    if size <= FREE_HOLES {
        return FREE_HOLES;
    }
    // `st_blocks` counts 512 bytes each, whatever the file system (stat(3type)).
    let held = file.metadata().map_or(0, |seen| seen.blocks().saturating_mul(512));
    FREE_HOLES.saturating_add(held.saturating_mul(HOLES_PER_BYTE)).min(MOST_HOLES)
}

/// Bytes in the holes of a file of `size` bytes, as far as they show in its first stretches.
fn holes_of(file: &File, size: u64) -> u64 {
    let (mut at, mut holes) = (0, 0_u64);
    for _ in 0..SURVEYED {
        let stretch = stretch_at(file, at, size);
        if matches!(stretch, Extent::Hole(_)) {
            holes = holes.saturating_add(stretch.end().saturating_sub(at));
        }
        at = stretch.end();
        if at >= size {
            break;
        }
    }
    holes
}

/// What is known of a content that cannot be had for this `errno(3)`.
pub(crate) fn unread_for(errno: i32) -> HashState {
    if errno == Errno::FBIG.raw_os_error() { HashState::TooBig } else { HashState::Unreadable(errno) }
}

/// Whether two looks met the same file in the same state, as far as its metadata tell.
pub(crate) fn is_same(before: &Attributes, after: &Attributes) -> bool {
    let key = |seen: &Attributes| -> (u64, u64, u64, Timestamp, Timestamp, u16) {
        (seen.dev, seen.inode, seen.size, seen.mtime, seen.ctime, seen.perms)
    };
    key(before) == key(after)
}

/// The `errno(3)` in an error, or `EIO`.
fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::FileExt};

    use super::*;
    use crate::model::file::entry::{Algorithm, AlgorithmSet};

    fn begin(path: &Path) -> FileReader {
        let handle = open_root(path).unwrap();
        let mut seen = handle.attributes().unwrap();
        FileReader::begin(handle, &mut seen, AlgorithmSet::NONE.with(Algorithm::Blake3), Vec::new()).unwrap()
    }

    #[test]
    fn a_file_that_holds_still_gives_the_digest_of_its_content() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("file");
        for size in [0, 1, 65_535, 65_536, 65_537, 300_000] {
            let content = vec![7; size];
            std::fs::write(&path, &content).unwrap();
            let mut reading = begin(&path);
            while !reading.advance(1).unwrap().1 {}
            let FileContent::Stable(whole) = reading.finish(None).0 else { panic!("torn at {size}") };
            assert_eq!(whole.seen.digests.blake3, Some(*blake3::hash(&content).as_bytes()), "size {size}");
        }
    }

    #[test]
    fn what_the_kernel_makes_is_read_to_its_end_whatever_size_it_has_up_to_a_bound() {
        // Longer than its size, which is 0; given by the first read or not at all; shorter than its size, which is a page.
        for path in ["/proc/version", "/proc/sys/kernel/pid_max", "/sys/devices/system/cpu/online"] {
            let Ok(content) = std::fs::read(path) else {
                println!("skipped: {path} cannot be read here");
                continue;
            };
            let mut reading = begin(Path::new(path));
            assert!(reading.before.is_generated(), "{path}");
            while !reading.advance(1).unwrap().1 {}
            let FileContent::Stable(whole) = reading.finish(None).0 else { panic!("{path} is torn") };
            assert_eq!(whole.seen.digests.blake3, Some(*blake3::hash(&content).as_bytes()), "{path}");
        }
        // More than is read.
        let mut endless = begin(Path::new("/proc/self/maps"));
        endless.done = MOST_GENERATED;
        assert_eq!(endless.advance(u64::MAX).map_err(unread_for), Err(HashState::TooBig));
        assert!(!begin(&std::env::current_exe().unwrap()).before.is_generated());
    }

    fn sparse(path: &Path) -> File {
        let file = File::options().create(true).truncate(true).write(true).open(path).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(&vec![5; 70_000], 40 << 20).unwrap();
        file.set_len(100 << 20).unwrap();
        file
    }

    #[test]
    fn holes_are_hashed_as_zeros_without_being_read() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("sparse");
        drop(sparse(&path));
        let content = std::fs::read(&path).unwrap();
        for most in [1, 5000, 1 << 20, u64::MAX] {
            let mut reading = begin(&path);
            let mut cost = 0;
            loop {
                let before = reading.done;
                let (more, is_end) = reading.advance(most).unwrap();
                cost += more;
                assert!(reading.done - before <= MOST_ZEROS + (2 << 20), "one slice took {}", reading.done - before);
                if is_end {
                    break;
                }
            }
            if reading.read() > 50 << 20 {
                println!("skipped: this file system knows no holes");
                return;
            }
            assert!(reading.read() < 1 << 20 && cost < 2 << 20, "{} bytes were read, {cost} paid", reading.read());
            let FileContent::Stable(whole) = reading.finish(None).0 else { panic!("torn at {most}") };
            assert_eq!(whole.seen.digests.blake3, Some(*blake3::hash(&content).as_bytes()), "in slices of {most}");
        }
    }

    #[test]
    fn the_old_part_is_told_apart_at_any_length_also_in_a_hole() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("sparse");
        drop(sparse(&path));
        let content = std::fs::read(&path).unwrap();
        let end = content.len();
        let begun = 40 << 20;
        for mark in
            [0, 1, 4, PAGE, BUFFER - 1, BUFFER, BUFFER + 1, 20 << 20, begun, begun + 69_999, 70 << 20, end - 1, end]
        {
            let handle = open_root(&path).unwrap();
            let mut seen = handle.attributes().unwrap();
            let length = u64::try_from(mark).unwrap();
            let wanted = WantedDigests { algorithms: AlgorithmSet::NONE.with(Algorithm::Blake3), mark: Some(length) };
            let mut reading = FileReader::begin(handle, &mut seen, wanted, Vec::new()).unwrap();
            while !reading.advance(100_000).unwrap().1 {}
            let FileContent::Stable(whole) = reading.finish(None).0 else { panic!("torn at {mark}") };
            let old = whole.old_part.unwrap();
            assert_eq!(old.length, length);
            assert_eq!(old.digests.blake3, Some(*blake3::hash(&content[..mark]).as_bytes()), "mark {mark}");
            assert_eq!(whole.seen.digests.blake3, Some(*blake3::hash(&content).as_bytes()), "mark {mark}");
        }
    }

    #[test]
    fn more_holes_than_can_be_hashed_are_not_even_begun() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("sparse");
        let file = sparse(&path);
        if begin(&path).holes() == 0 {
            println!("skipped: this file system knows no holes");
            return;
        }
        assert!((90 << 20..100 << 20).contains(&begin(&path).holes()));
        if file.set_len(MOST_HOLES + (200 << 20)).is_ok() {
            let handle = open_root(&path).unwrap();
            let mut seen = handle.attributes().unwrap();
            let blake3 = AlgorithmSet::NONE.with(Algorithm::Blake3);
            let refused = FileReader::begin(handle, &mut seen, blake3, Vec::new()).unwrap_err();
            assert_eq!(unread_for(refused), HashState::TooBig);
            assert!(seen.xattrs.is_some(), "its metadata are whole");
        }
        // For what takes room more may be done.
        assert!((FREE_HOLES + (70 << 20)..FREE_HOLES + (1 << 30)).contains(&most_zeros(&file, 1 << 40)));
        let mut scattered = begin(&path_of(&tree, 100 << 20));
        scattered.zeros = MOST_HOLES;
        assert_eq!(scattered.advance(u64::MAX).map_err(unread_for), Err(HashState::TooBig));
    }

    /// A file that is one hole.
    fn path_of(tree: &tempfile::TempDir, size: u64) -> std::path::PathBuf {
        let path = tree.path().join("hole");
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    #[test]
    fn a_hole_that_is_filled_while_it_is_read_gives_no_digest() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("sparse");
        let file = sparse(&path);
        let mut reading = begin(&path);
        assert!(!reading.advance(10_000).unwrap().1);
        assert!(reading.holds_still());
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_all_at(b"x", 20 << 20).unwrap();
        assert!(!reading.holds_still());
        while !reading.advance(u64::MAX).unwrap().1 {}
        assert!(matches!(reading.finish(None).0, FileContent::Torn));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_gives_no_digest() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("file");
        let change: [fn(&Path); 3] = [
            |path| {
                File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
            },
            |path| {
                File::options().write(true).open(path).unwrap().set_len(10).unwrap();
            },
            |path| {
                let mut file = File::options().write(true).open(path).unwrap();
                file.write_all(b"other").unwrap();
            },
        ];
        for change in change {
            std::fs::write(&path, vec![7; 200_000]).unwrap();
            let mut reading = begin(&path);
            assert!(!reading.advance(1).unwrap().1);
            // Kernels before 6.13 give ctime one tick of resolution.
            std::thread::sleep(std::time::Duration::from_millis(20));
            change(&path);
            while !reading.advance(1).unwrap().1 {}
            assert!(matches!(reading.finish(None).0, FileContent::Torn));
        }
    }
}
