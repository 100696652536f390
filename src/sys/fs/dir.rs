//! Reading a directory as a stream, in bounded blocks: a directory of a million names costs no more memory than a small one.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Dir, FileType},
    io::Errno,
};

use crate::sys::priority::IdleIoGuard;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryName {
    /// The bytes of the name.
    pub bytes: Vec<u8>,
    /// Whether `getdents64(2)` called it a directory; a hint for the order only, never trusted.
    pub is_directory: bool,
    /// Whether `getdents64(2)` called it a regular file; a hint as well.
    pub is_regular: bool,
    /// The inode by `getdents64(2)`; a hint, which may be another on overlays and at mount points.
    pub inode: u64,
}

/// An open directory whose names are taken block by block.
pub struct DirListing {
    stream: Dir,
}

impl std::fmt::Debug for DirListing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listing")
    }
}

impl DirListing {
    /// Begins to read `directory`.
    ///
    /// # Errors
    /// The errno of `fcntl(2)`, by which the stream checks the descriptor.
    pub fn new(directory: OwnedFd) -> Result<Self, Errno> {
        Dir::new(directory).map(|stream| Self { stream })
    }

    /// The next names, at most `most`, in the directory's own order; fewer than `most` mean the end.
    ///
    /// # Errors
    /// The errno of `getdents64(2)`; `ENOENT` when the directory was removed meanwhile.
    pub fn next_block(&mut self, most: usize) -> Result<Vec<EntryName>, Errno> {
        let _idle = IdleIoGuard::enter();
        let mut names = Vec::new();
        while names.len() < most {
            let Some(entry) = self.stream.read() else { break };
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if bytes != b"." && bytes != b".." {
                let (kind, inode) = (entry.file_type(), entry.ino());
                let (is_directory, is_regular) = (kind == FileType::Directory, kind == FileType::RegularFile);
                names.push(EntryName { bytes: bytes.to_vec(), is_directory, is_regular, inode });
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::handle::open_root;

    #[test]
    fn blocks_hold_every_name_once() {
        let tree = tempfile::tempdir().unwrap();
        for number in 0..1000 {
            std::fs::write(tree.path().join(format!("{number}")), "").unwrap();
        }
        let mut listing = DirListing::new(open_root(tree.path()).unwrap().open_directory().unwrap()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let block = listing.next_block(64).unwrap();
            assert!(block.len() <= 64);
            let last = block.len() < 64;
            seen.extend(block.into_iter().map(|name| name.bytes));
            if last {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
    }
}
