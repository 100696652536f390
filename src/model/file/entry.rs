//! What a look at one path gives, and what the baseline remembers of it.

use crate::model::{clock::Timestamp, file::attribute::AttributeSet};

/// The type of a file-system object (`inode(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file, the only kind whose content is read.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Regular, Self::Directory, Self::Symlink, Self::Fifo, Self::Socket, Self::CharDevice, Self::BlockDevice];

    /// The kind in `S_IFMT` of `mode`; `None` for a type `inode(7)` does not know.
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            _ => return None,
        })
    }

    /// The number this kind has in the database and in canonical bytes; never changes.
    pub const fn code(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::Symlink => 3,
            Self::Fifo => 4,
            Self::Socket => 5,
            Self::CharDevice => 6,
            Self::BlockDevice => 7,
        }
    }

    /// The kind with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The first letter of `ls -l`.
    pub const fn letter(self) -> char {
        match self {
            Self::Regular => '-',
            Self::Directory => 'd',
            Self::Symlink => 'l',
            Self::Fifo => 'p',
            Self::Socket => 's',
            Self::CharDevice => 'c',
            Self::BlockDevice => 'b',
        }
    }

    /// The kind in words: `file`, `directory`, `symlink`, …
    pub const fn word(self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
        }
    }
}

/// The metadata of one object, as `statx(2)` gives it. Times are nanoseconds UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Its type.
    pub kind: FileKind,
    /// Permission bits, set-user-ID, set-group-ID and sticky bits: `mode & 0o7777`.
    pub perms: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Device it lies on: major in the high 32 bits, minor in the low.
    pub dev: u64,
    /// Inode number; evidence, not identity (ext4 reuses a freed one at once).
    pub inode: u64,
    /// The device it *is* (same coding as `dev`); 0 unless a device node.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last modification of the content.
    pub mtime: Timestamp,
    /// Last change of content or metadata.
    pub ctime: Timestamp,
    /// Birth, where the file system records it.
    pub btime: Option<Timestamp>,
    /// Where a symbolic link points; `None` for other kinds.
    pub target: Option<Vec<u8>>,
    /// Extended attributes in the form of [`crate::model::file::xattr`]; `None` when not collected.
    pub xattrs: Option<Vec<u8>>,
    /// Inode flags, as [`crate::model::file::inode_flags`] names them; `None` where the file system tells none.
    pub flags: Option<u64>,
}

#[cfg(test)]
impl Attributes {
    /// A small file of root's that was last written at `time`, for tests.
    pub(crate) fn sample(time: Timestamp) -> Self {
        Self {
            kind: FileKind::Regular,
            perms: 0o644,
            uid: 0,
            gid: 0,
            nlink: 1,
            dev: 1,
            inode: 10,
            rdev: 0,
            size: 5,
            mtime: time,
            ctime: time,
            btime: None,
            target: None,
            xattrs: None,
            flags: None,
        }
    }
}

impl Attributes {
    /// Whether it lies on a file system whose content the kernel makes when it is asked for (proc, sysfs): inode number and times are made
    /// with each look-up and say nothing, so that they are 0, and a size says nothing of the content.
    pub const fn is_generated(&self) -> bool {
        self.inode == 0 && self.mtime.as_nanos() == 0 && self.ctime.as_nanos() == 0
    }
}

/// How much of a file's content its digests stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashState {
    /// Not a regular file, or hashing is switched off.
    Off,
    /// The whole content.
    Full,
    /// The content of a big file was not read whole since it was met or may have changed, but so many bytes of it; the digests, if any,
    /// are those of the last whole reading.
    Partial(u64),
    /// It changed during every attempt; the digests are those of the last stable read.
    Busy,
    /// With more holes than can be hashed; the digests, if any, are those of the last whole reading.
    TooBig,
    /// It could not be read, for this `errno(3)`; the digests are those of the last stable read.
    Unreadable(i32),
}

/// Bytes of the longest path that is looked at: one less than `PATH_MAX` of limits.h, which counts the terminating NUL. It is the whole
/// path as the walk meets it.
pub const LONGEST_PATH: usize = 4095;

impl HashState {
    /// Of a directory: paths in it are longer than [`LONGEST_PATH`], and nothing is looked at there (`ENAMETOOLONG`).
    pub const PATHS_TOO_LONG: Self = Self::Unreadable(rustix::io::Errno::NAMETOOLONG.raw_os_error());

    /// Whether it says that the content could not be had, rather than what is had of it.
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::Busy | Self::Unreadable(_))
    }
}

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// BLAKE3, 32 bytes.
    Blake3,
    /// SHA-256 (FIPS 180-4), 32 bytes.
    Sha256,
    /// SHA-512 (FIPS 180-4), 64 bytes.
    Sha512,
}

impl Algorithm {
    /// All algorithms, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Blake3, Self::Sha256, Self::Sha512];

    /// Its name in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Blake3 => 1,
            Self::Sha256 => 2,
            Self::Sha512 => 4,
        }
    }
}

/// A set of digest algorithms; empty means "content is not read".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AlgorithmSet(u8);

impl AlgorithmSet {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set with these bits, as stored by [`AlgorithmSet::bits`].
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Its bits, as they are stored.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with `algorithm` added.
    #[must_use]
    pub const fn with(self, algorithm: Algorithm) -> Self {
        Self(self.0 | algorithm.bit())
    }

    /// All that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `algorithm` is in it.
    pub const fn has(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, in the order they are shown.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.has(*algorithm))
    }
}

/// The digests of one content; several algorithms may have been fed by one read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests {
    /// BLAKE3.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
}

impl Digests {
    /// The digest by `algorithm`, 32 or 64 bytes, if there is one.
    pub fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        match algorithm {
            Algorithm::Blake3 => self.blake3.as_ref().map(<[u8; 32]>::as_slice),
            Algorithm::Sha256 => self.sha256.as_ref().map(<[u8; 32]>::as_slice),
            Algorithm::Sha512 => self.sha512.as_ref().map(<[u8; 64]>::as_slice),
        }
    }

    /// Stores `bytes` as the digest by `algorithm`; a wrong length stores nothing and gives `false`.
    #[must_use]
    pub fn set(&mut self, algorithm: Algorithm, bytes: &[u8]) -> bool {
        match algorithm {
            Algorithm::Blake3 => self.blake3 = bytes.try_into().ok(),
            Algorithm::Sha256 => self.sha256 = bytes.try_into().ok(),
            Algorithm::Sha512 => self.sha512 = bytes.try_into().ok(),
        }
        self.get(algorithm).is_some()
    }

    /// Forgets the digest by `algorithm`.
    pub fn clear(&mut self, algorithm: Algorithm) {
        match algorithm {
            Algorithm::Blake3 => self.blake3 = None,
            Algorithm::Sha256 => self.sha256 = None,
            Algorithm::Sha512 => self.sha512 = None,
        }
    }

    /// The algorithms it holds a digest of.
    pub fn algorithms(&self) -> AlgorithmSet {
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| self.get(*algorithm).is_some())
            .fold(AlgorithmSet::NONE, AlgorithmSet::with)
    }

    /// Whether both stand for the same content, as far as they have an algorithm in common; `None` when they have none.
    pub fn agree(&self, other: &Self) -> Option<bool> {
        Algorithm::ALL.into_iter().fold(None, |verdict, algorithm| match (self.get(algorithm), other.get(algorithm)) {
            (Some(mine), Some(theirs)) => Some(verdict.unwrap_or(true) && mine == theirs),
            _ => verdict,
        })
    }
}

/// One look at one path: metadata, and digests where the content was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The metadata.
    pub attributes: Attributes,
    /// What the digests stand for.
    pub hash_state: HashState,
    /// The digests.
    pub digests: Digests,
}

impl Observation {
    /// Whether the content of this big file was never read.
    pub fn is_unread(&self) -> bool {
        matches!(self.hash_state, HashState::Partial(_)) && self.digests.algorithms().is_empty()
    }
}

/// The number of a baseline row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub i64);

/// The number of an area row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AreaId(pub i64);

/// What the baseline remembers of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its row.
    pub id: EntryId,
    /// The row of the directory it lies in; `None` for the root of an area.
    pub parent: Option<EntryId>,
    /// Its last path component, or the whole configured path for the root of an area.
    pub name: Vec<u8>,
    /// The area it belongs to.
    pub area: AreaId,
    /// What it was when last accepted.
    pub known: Observation,
    /// Which attributes were recorded; one not in the set is learned, never compared.
    pub recorded: AttributeSet,
    /// The visit number of the last look; the smallest has waited longest.
    pub visit: i64,
    /// Wall time of the last look.
    pub checked: Timestamp,
    /// Digest of a state that was reported but not accepted as the new baseline.
    pub reported: Option<[u8; 32]>,
}
