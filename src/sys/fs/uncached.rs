//! Reading a file and leaving the page cache as it was: what others have there stays, what we bring in goes.
//!
//! `RWF_DONTCACHE` (Linux 6.14, on file systems that support it) does exactly that. Elsewhere each page is asked for with `RWF_NOWAIT`
//! before it is read, and only pages that were not there are dropped behind us: `POSIX_FADV_DONTNEED` over a whole file would throw
//! out what other processes use. Where neither is supported, the cache is left to the kernel.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    num::NonZeroU64,
    ops::Range,
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};

/// `RWF_DONTCACHE` of `preadv2(2)`, which rustix does not name yet.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Bytes of a page; where pages are larger, some are asked for several times.
const PAGE: u64 = 4096;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadWay {
    /// The kernel drops what it brought in for us.
    DontCache,
    /// We ask what is there, and drop the rest.
    Asking,
    /// Neither can be done.
    Plain,
}

/// A file that is read from its beginning to its end, but for what is skipped.
#[derive(Debug)]
pub struct UncachedReader {
    file: File,
    at: u64,
    way: ReadWay,
}

impl UncachedReader {
    /// A reader at the beginning of `file`.
    pub const fn new(file: File) -> Self {
        Self { file, at: 0, way: ReadWay::DontCache }
    }

    /// The file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Goes on at `offset`.
    pub const fn skip_to(&mut self, offset: u64) {
        self.at = offset;
    }

    /// Reads the next bytes; 0 at the end.
    ///
    /// # Errors
    /// The error of `preadv2(2)`.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.way {
            ReadWay::DontCache => match self.try_with(buffer, DONTCACHE) {
                // EINVAL is the answer of kernels that do not know the flag, the last three are those of filters: what is wrong with the file
                // itself shows when it is read without asking for anything.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {
                    self.way = ReadWay::Asking;
                    // Reading ahead would bring in what we then take for other people's.
                    let _refused = fadvise(&self.file, 0, None, Advice::Random);
                    self.read_asking(buffer)?
                }
                result => result?,
            },
            ReadWay::Asking => self.read_asking(buffer)?,
            ReadWay::Plain => self.file.read_at(buffer, self.at)?,
        };
        self.at = self.at.saturating_add(u64::try_from(length).unwrap_or(0));
        Ok(length)
    }

    fn try_with(&self, buffer: &mut [u8], flags: ReadWriteFlags) -> Result<usize, Errno> {
        preadv2(&self.file, &mut [IoSliceMut::new(buffer)], self.at, flags)
    }

    /// Finds out which pages are not there, reads, and drops those. Asked is page by page and before anything is read: a request that
    /// finds nothing makes the kernel bring in all of it (and no more, after `POSIX_FADV_RANDOM`).
    fn read_asking(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.at.saturating_add(u64::try_from(buffer.len()).unwrap_or(u64::MAX));
        let Some(absent) = absent(&self.file, self.at..end) else {
            self.way = ReadWay::Plain;
            return self.file.read_at(buffer, self.at);
        };
        let length = self.file.read_at(buffer, self.at)?;
        let end = self.at.saturating_add(u64::try_from(length).unwrap_or(0));
        for range in absent {
            if let Some(length) = NonZeroU64::new(range.end.min(end).saturating_sub(range.start)) {
                let _refused = fadvise(&self.file, range.start, Some(length), Advice::DontNeed);
            }
        }
        Ok(length)
    }
}

/// The parts of `range` that are not in the page cache, in whole pages but for the ends; `None` when that cannot be asked.
fn absent(file: &File, range: Range<u64>) -> Option<Vec<Range<u64>>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let next = (at / PAGE + 1).saturating_mul(PAGE).min(range.end);
        let mut byte = [0];
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN) => match found.last_mut() {
                Some(last) if last.end == at => last.end = next,
                _ => found.push(at..next),
            },
            Ok(1..) => {}
            // The end of the file.
            Ok(0) => break,
            Err(_) => return None,
        }
        at = next;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PAGES: u64 = 300;

    /// Pages the kernel may leave behind: it drops none that is locked just then.
    const LEFT: u64 = 16;

    /// A file of 300 pages and a bit, written to the disk; `None` where the temporary directory lies on a file system without both.
    fn file(directory: &tempfile::TempDir) -> Option<File> {
        let path = directory.path().join("file");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(PAGES * PAGE + 10).unwrap()]).unwrap();
        file.sync_all().unwrap();
        let file = File::open(path).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        let mut byte = [0];
        let asked = preadv2(&file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
        // Asking has begun to bring that page in; once it is there it can go.
        assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        (asked == Err(Errno::AGAIN)).then_some(file)
    }

    fn bytes_absent(file: &File) -> u64 {
        absent(file, 0..PAGES * PAGE + 10).unwrap().iter().map(|range| range.end - range.start).sum()
    }

    fn read_all(file: &File, way: ReadWay) -> ReadWay {
        let mut reader = UncachedReader { file: file.try_clone().unwrap(), at: 0, way };
        let mut buffer = vec![0; 128 * 1024];
        let mut all = 0;
        loop {
            let length = reader.read(&mut buffer).unwrap();
            assert!(buffer[..length].iter().all(|byte| *byte == 7));
            all += length;
            if length == 0 {
                break;
            }
        }
        assert_eq!(u64::try_from(all).unwrap(), PAGES * PAGE + 10);
        reader.way
    }

    /// Both ways, each in one of many attempts: the cache is the whole machine's, whose kernel takes pages out for want of room and keeps
    /// those that anybody else holds just then. `attempt` says what was wrong.
    fn in_one_of_many(attempt: impl Fn(ReadWay, &File) -> Result<(), String>) {
        for way in [ReadWay::DontCache, ReadWay::Asking] {
            let tried = || {
                let directory = tempfile::tempdir().unwrap();
                file(&directory).map_or(Ok(()), |file| attempt(way, &file))
            };
            let failures: Vec<String> = (0..30).map_while(|_| tried().err()).collect();
            assert!(failures.len() < 30, "{failures:?}");
        }
    }

    #[test]
    fn what_was_not_in_the_cache_is_not_there_afterwards() {
        in_one_of_many(|way, file| {
            let used = read_all(file, way);
            let absent = bytes_absent(file);
            let is_kept = absent > (PAGES - LEFT) * PAGE;
            is_kept.then_some(()).ok_or_else(|| format!("{way:?} ended as {used:?}: {absent} bytes are not there"))
        });
    }

    #[test]
    fn what_was_in_the_cache_stays_there() {
        in_one_of_many(|way, file| {
            read_all(file, ReadWay::Plain);
            let before = bytes_absent(file);
            read_all(file, way);
            let after = bytes_absent(file);
            (before == 0 && after == 0)
                .then_some(())
                .ok_or_else(|| format!("{way:?}: {before}, then {after} not there"))
        });
    }

    #[test]
    fn of_a_file_that_is_partly_there_just_that_part_stays() {
        in_one_of_many(|way, file| {
            let mut page = vec![0; usize::try_from(PAGE).unwrap()];
            for number in [0, 1, 40, 150, 151, 299] {
                assert_eq!(file.read_at(&mut page, number * PAGE).unwrap(), page.len());
            }
            read_all(file, way);
            let absent = bytes_absent(file);
            let wanted = (PAGES - 6 - LEFT) * PAGE + 1..=(PAGES - 6) * PAGE + 10;
            wanted.contains(&absent).then_some(()).ok_or_else(|| format!("{way:?}: {absent} bytes are not there"))
        });
    }
}
