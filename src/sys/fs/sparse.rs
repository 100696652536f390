//! Holes of sparse files (`lseek(2)`, `SEEK_DATA` and `SEEK_HOLE`): what reads as zeros without lying anywhere.

use std::fs::File;

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

/// What a stretch of a file consists of, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A hole.
    Hole(u64),
    /// Data, or what may be.
    Data(u64),
}

impl Extent {
    /// The offset behind it.
    pub const fn end(self) -> u64 {
        match self {
            Self::Hole(end) | Self::Data(end) => end,
        }
    }
}

/// The stretch of `file` that begins at `at`, of `size` bytes in all. A file system that knows no holes has none. Moves the offset of
/// the descriptor.
pub fn stretch_at(file: &File, at: u64, size: u64) -> Extent {
    match seek(file, SeekFrom::Data(at)) {
        // No data from here to the end.
        Err(Errno::NXIO) => Extent::Hole(size),
        Ok(data) if data > at => Extent::Hole(data.min(size)),
        Ok(_) => Extent::Data(seek(file, SeekFrom::Hole(at)).ok().filter(|end| *end > at).unwrap_or(size)),
        Err(_) => Extent::Data(size),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const MEBI: u64 = 1 << 20;

    #[test]
    fn holes_and_data_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sparse");
        let file = File::options().create(true).truncate(true).write(true).read(true).open(path).unwrap();
        file.write_all_at(&[1; 4096], MEBI).unwrap();
        file.set_len(3 * MEBI).unwrap();
        if stretch_at(&file, 0, 3 * MEBI) == Extent::Data(3 * MEBI) {
            println!("skipped: this file system knows no holes");
            return;
        }
        assert_eq!(stretch_at(&file, 0, 3 * MEBI), Extent::Hole(MEBI));
        let Extent::Data(end) = stretch_at(&file, MEBI, 3 * MEBI) else { panic!("the data are a hole") };
        assert!((MEBI + 4096..2 * MEBI).contains(&end), "{end}");
        assert_eq!(stretch_at(&file, end, 3 * MEBI), Extent::Hole(3 * MEBI));
    }
}
