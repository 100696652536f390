//! How far a log was read, in a form that survives rotation: anchors instead of bare offsets.
//!
//! An inode and an offset alone are fooled by reused inodes and by files that were truncated and have grown again, so an
//! anchor also holds what the file said at its beginning and just before the offset.

use crate::model::{
    clock::Timestamp,
    file::entry::{Attributes, FileKind},
};

/// How much of the beginning of a file an anchor remembers, in bytes.
pub const HEAD: usize = 1024;

/// How much of what lies just before the place it stands for an anchor remembers, in bytes.
pub const MARKER: usize = 64;

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FileId {
    /// Device; may change with a boot.
    pub dev: u64,
    /// Inode number; file systems hand out freed ones again.
    pub inode: u64,
    /// Birth in nanoseconds, which tells a reused inode from the one before: `FS_IOC_GETVERSION` would do the same, but only on
    /// some file systems and not through safe code.
    pub born: Option<Timestamp>,
}

impl FileId {
    /// The identity in the metadata of a file.
    pub fn of(seen: &Attributes) -> Self {
        Self { dev: seen.dev, inode: seen.inode, born: seen.btime }
    }

    /// Whether both are the same file. Device numbers may change with a boot, so they only count where a birth is not known: no file
    /// system tells it, or only one of both looks could ask for it.
    pub fn is(&self, other: &Self) -> bool {
        let is_born_alike = match (self.born, other.born) {
            (Some(born), Some(other)) => born == other,
            _ => self.dev == other.dev,
        };
        self.inode == other.inode && is_born_alike
    }
}

/// A place in a stream of lines that is found again after the file was renamed, copied or compressed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Anchor {
    /// The file.
    pub file: FileId,
    /// Its owner.
    pub owner: u32,
    /// Its length when it was last looked at, in bytes as stored (compressed, if it is).
    pub length: u64,
    /// Where to go on: bytes of the (decompressed) stream up to the end of a line.
    pub offset: u64,
    /// How far the stream was seen: at or after the offset, by half a line.
    pub taken: u64,
    /// The first bytes, at most [`HEAD`] and at most `taken`.
    pub head: Vec<u8>,
    /// The last bytes before `taken`, at most [`MARKER`]. Half a line is evidence too: without it a file that holds nothing else could
    /// not be told from another one.
    pub marker: Vec<u8>,
}

/// What is still to be done with a rotated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RotatedState {
    /// It is being read.
    Reading,
    /// Everything in it was accounted for.
    Done,
    /// It is a copy, perhaps unfinished, of the beginning of the live file.
    Copy,
}

impl RotatedState {
    /// All standings.
    pub const ALL: [Self; 3] = [Self::Reading, Self::Done, Self::Copy];

    /// The number in the database; never changes.
    pub const fn code(self) -> u8 {
        match self {
            Self::Reading => 1,
            Self::Done => 2,
            Self::Copy => 3,
        }
    }

    /// The standing with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.code() == code)
    }
}

/// The owner that the ledger holds for a file that was refused: no user has this number (`chown(2)`).
const NOBODY: u32 = u32::MAX;

/// A rotated file in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// How far it was read.
    pub anchor: Anchor,
    /// What is still to be done.
    pub standing: RotatedState,
}

impl Sibling {
    /// A file that was refused and is never read. What made it look planted can go away without its becoming any better: the other
    /// name of its inode, when its owner replaces his file.
    pub fn refused(anchor: Anchor) -> Self {
        Self { anchor: Anchor { owner: NOBODY, ..anchor }, standing: RotatedState::Done }
    }

    /// Whether it was refused.
    pub const fn is_refused(&self) -> bool {
        self.anchor.owner == NOBODY
    }
}

/// Where the next line of a live log comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Position {
    /// It was never seen.
    #[default]
    Unbegun,
    /// From the beginning of whatever file has its name next.
    Beginning,
    /// From here.
    At(Anchor),
}

/// Why a log is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadRefusal {
    /// Nothing has that name.
    Missing,
    /// It cannot be opened or read, for this `errno(3)`.
    Unreadable(i32),
    /// It is no regular file.
    Kind(FileKind),
    /// A symbolic link on the way belongs to this user, who is neither root nor the owner of what it points to.
    Link(u32),
    /// It is another user's file, linked into a directory that others can write.
    HardLink,
}

impl ReadRefusal {
    /// Two numbers for the database: which one, and its detail. They never change.
    pub fn codes(self) -> (u8, i64) {
        match self {
            Self::Missing => (1, 0),
            Self::Unreadable(errno) => (2, i64::from(errno)),
            Self::Kind(kind) => (3, i64::from(kind.code())),
            Self::Link(owner) => (4, i64::from(owner)),
            Self::HardLink => (5, 0),
        }
    }

    /// The refusal with these numbers.
    pub fn from_codes(code: u8, detail: i64) -> Option<Self> {
        Some(match code {
            1 => Self::Missing,
            2 => Self::Unreadable(i32::try_from(detail).ok()?),
            3 => Self::Kind(FileKind::from_code(u8::try_from(detail).ok()?)?),
            4 => Self::Link(u32::try_from(detail).ok()?),
            5 => Self::HardLink,
            _ => return None,
        })
    }
}

/// A standing reason not to read a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogTrouble {
    /// The reason.
    pub refusal: ReadRefusal,
    /// Since when.
    pub since: Timestamp,
    /// When it was last told.
    pub told: Option<Timestamp>,
}

/// All that is remembered of one log. It moves only together with the events of the lines it has passed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogState {
    /// Where the next line comes from.
    pub position: Position,
    /// The ledger of its rotated files.
    pub siblings: Vec<Sibling>,
    /// Where the log points when it is a symbolic link.
    pub target: Option<Vec<u8>>,
    /// Why it is not read.
    pub trouble: Option<LogTrouble>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_that_could_be_asked_for_only_once_makes_no_other_file() {
        let id = |dev, born: Option<i64>| FileId { dev, inode: 7, born: born.map(Timestamp::from_nanos) };
        assert!(id(1, Some(5)).is(&id(2, Some(5))), "device numbers may change with a boot");
        assert!(!id(1, Some(5)).is(&id(1, Some(6))));
        assert!(id(1, Some(5)).is(&id(1, None)) && id(1, None).is(&id(1, Some(5))));
        assert!(!id(1, Some(5)).is(&id(2, None)) && !id(1, None).is(&id(2, None)));
    }
}
