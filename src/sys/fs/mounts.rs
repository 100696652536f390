//! What is mounted where, from `/proc/self/mountinfo`, which never blocks however dead a mount is.

use std::{collections::HashMap, fs, fs::File, io, path::Path};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// Its mount point, as raw bytes.
    pub point: Vec<u8>,
    /// Its file-system type: `ext4`, `fuse.sshfs`, …
    pub kind: String,
    /// What is mounted, as raw bytes: a device, `server:/export`, or whatever the file system says.
    pub source: Vec<u8>,
    /// Which directory of it is mounted; `/` unless it is bound.
    pub root: Vec<u8>,
    /// Who has mounted it, where the file system says so (`user_id=` of FUSE).
    pub owner: Option<u32>,
    /// Its number while it lives; may be another mount's afterwards.
    pub id: u64,
    /// The number of the mount that holds its mount point.
    pub parent: u64,
}

/// Types that the kernel makes on the fly.
const VIRTUAL: [&str; 20] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "devpts",
    "mqueue",
    "pstore",
    "configfs",
    "fusectl",
    "binfmt_misc",
    "efivarfs",
    "autofs",
    "hugetlbfs",
    "nsfs",
    "selinuxfs",
    "rpc_pipefs",
];

/// Types that can hang when a server or a helper is gone; so can all that begin with `nfs` or `fuse`.
const SLOW: [&str; 5] = ["cifs", "smb3", "9p", "ceph", "afs"];

/// Types whose files have a ctime of their own, which the kernel of this machine moves with each write and nobody can set, and whose inode
/// numbers stay. All others prove nothing by it: exFAT and vfat keep only mtime and give it out as ctime (fs/exfat/inode.c, fs/fat/misc.c
/// since Linux 5.19), squashfs, erofs, cramfs, romfs and isofs have one time or none and are exchanged as whole images, overlay gives out
/// what the layer has (Documentation/filesystems/overlayfs.rst, "Inode properties"), and FUSE, 9p, NFS, cifs, ceph and afs what a server
/// says.
const WITH_CTIME: [&str; 13] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "reiserfs", "nilfs2", "ubifs", "tmpfs"];

impl Mount {
    /// Whether a write moves the ctime of a file for certain, so that other content behind the same ctime is not the work of a write.
    pub fn keeps_ctime(&self) -> bool {
        WITH_CTIME.contains(&self.kind.as_str())
    }

    /// Whether the kernel makes its content on the fly.
    pub fn is_virtual(&self) -> bool {
        VIRTUAL.contains(&self.kind.as_str())
    }

    /// Whether it can hang when a server or a helper is gone.
    pub fn is_slow(&self) -> bool {
        let kind = self.kind.as_str();
        SLOW.contains(&kind) || kind.starts_with("nfs") || kind == "fuse" || kind.starts_with("fuse.")
    }

    /// Whether walking into it can hang: it is slow, or what it mounts by itself may be.
    pub fn can_hang(&self) -> bool {
        self.is_slow() || self.kind == "autofs"
    }
}

/// All mounts, as a path meets them.
#[derive(Debug, Clone, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    /// For each mount the mounts upon it by their points; of several at one point the last, which covers the others.
    upon: HashMap<u64, HashMap<Vec<u8>, usize>>,
    top: Option<usize>,
    can_hang: bool,
}

impl MountTable {
    /// A table of these mounts, in the order they were made.
    pub fn new(mounts: Vec<Mount>) -> Self {
        let mut upon: HashMap<u64, HashMap<Vec<u8>, usize>> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            upon.entry(mount.parent).or_default().insert(mount.point.clone(), index);
        }
        let is_first = |mount: &Mount| mount.point == b"/" && !mounts.iter().any(|other| other.id == mount.parent);
        let top = mounts.iter().position(is_first);
        let can_hang = mounts.iter().any(Mount::can_hang);
        Self { mounts, upon, top, can_hang }
    }

    /// All of them.
    pub fn all(&self) -> &[Mount] {
        &self.mounts
    }

    /// Whether any of them can hang.
    pub const fn can_hang(&self) -> bool {
        self.can_hang
    }

    /// The mounts that the absolute `path`, which leads through no symbolic link, meets on its way, the last being the one it lies on; of
    /// mounts over one another only the uppermost.
    pub fn met(&self, path: &[u8]) -> Vec<&Mount> {
        let mut met: Vec<&Mount> = Vec::new();
        let Some(mut at) = self.top.and_then(|top| self.mounts.get(top)) else { return met };
        let inner =
            path.iter().enumerate().filter(|(index, byte)| *index > 0 && **byte == b'/').map(|(index, _)| index);
        let whole = (path.len() > 1).then_some(path.len());
        let prefixes = [&b"/"[..]].into_iter().chain(inner.chain(whole).filter_map(|end| path.get(..end)));
        for (step, prefix) in prefixes.enumerate() {
            let mut is_crossed = step == 0;
            while let Some(next) =
                self.upon.get(&at.id).and_then(|upon| upon.get(prefix)).and_then(|index| self.mounts.get(*index))
                // A broken table must not turn in circles.
                && next.id != at.id
                && met.len() <= self.mounts.len()
            {
                (at, is_crossed) = (next, true);
            }
            if is_crossed {
                met.push(at);
            }
        }
        met
    }

    /// The mount whose point is `path`, if a path can meet it there.
    pub fn mounted_at(&self, path: &[u8]) -> Option<&Mount> {
        self.met(path).pop().filter(|mount| mount.point == path)
    }
}

/// Tells when something was mounted or unmounted.
#[derive(Debug)]
pub struct MountWatch(File);

impl MountWatch {
    /// Watches the mounts of this process's namespace.
    ///
    /// # Errors
    /// The error of opening `/proc/self/mountinfo`.
    pub fn begin() -> io::Result<Self> {
        File::open("/proc/self/mountinfo").map(Self)
    }

    /// Whether the mounts have changed since this was asked last. Never waits.
    pub fn has_changed(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // proc_pid_mounts(5): a change is told once, as an exceptional condition.
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// All mounts of this process's namespace, in the order they were made.
///
/// # Errors
/// The error of reading `/proc/self/mountinfo` below `root`.
pub fn read(root: &Path) -> io::Result<Vec<Mount>> {
    read_of(root, "self")
}

/// The same of the process with this number, or `self`.
///
/// # Errors
/// The error of reading its `mountinfo` below `root`.
pub fn read_of(root: &Path, process: &str) -> io::Result<Vec<Mount>> {
    fs::read(root.join("proc").join(process).join("mountinfo")).map(|text| parse(&text))
}

/// Reads the form of `proc_pid_mountinfo(5)`; lines that do not fit are passed over.
fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let point = unescape(fields.get(4)?);
            let separator = fields.iter().position(|field| *field == b"-")?;
            let kind = String::from_utf8_lossy(fields.get(separator + 1)?).into_owned();
            let number = |at: usize| std::str::from_utf8(fields.get(at)?).ok()?.parse().ok();
            Some(Mount {
                point,
                kind,
                source: unescape(fields.get(separator + 2).copied().unwrap_or_default()),
                root: unescape(fields.get(3)?),
                owner: fields.get(separator + 3).and_then(|options| owner(options)),
                id: number(0)?,
                parent: number(1)?,
            })
        })
        .collect()
}

/// The number behind `user_id=` in the options of a file system.
fn owner(options: &[u8]) -> Option<u32> {
    let number = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"user_id="))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Undoes the kernel's `\ooo` for blanks, newlines and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(octal.unwrap_or(*byte));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_and_types_are_read_as_the_kernel_writes_them() {
        let text = b"36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 - ext3 /dev/root rw\n\
                     40 1 0:5 / /proc rw shared:12 - proc proc rw\n\
                     garbage\n\
                     41 1 0:6 / /home/joe/far rw - fuse.sshfs joe@far:/ rw,user_id=1000,group_id=1000\n";
        let mounts = parse(text);
        assert_eq!(mounts.iter().map(|mount| mount.owner).collect::<Vec<_>>(), [None, None, Some(1000)]);
        let seen: Vec<(&[u8], &str, bool)> = mounts
            .iter()
            .map(|mount| (mount.point.as_slice(), mount.kind.as_str(), mount.is_slow() || mount.is_virtual()))
            .collect();
        assert_eq!(
            seen,
            [
                (&b"/mnt 2\\x"[..], "ext3", false),
                (&b"/proc"[..], "proc", true),
                (&b"/home/joe/far"[..], "fuse.sshfs", true)
            ]
        );
    }

    #[test]
    fn only_what_is_known_to_keep_a_ctime_is_trusted_to() {
        let keeps = |kind: &str| {
            let text = format!("1 0 8:1 / / rw - {kind} /dev/a rw\n");
            parse(text.as_bytes()).first().is_some_and(Mount::keeps_ctime)
        };
        for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
            assert!(keeps(kind), "{kind}");
        }
        for kind in [
            "exfat",
            "vfat",
            "msdos",
            "squashfs",
            "erofs",
            "cramfs",
            "romfs",
            "iso9660",
            "udf",
            "overlay",
            "fuse",
            "fuseblk",
            "fuse.sshfs",
            "9p",
            "virtiofs",
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "ceph",
            "ecryptfs",
            "ntfs3",
            "new",
        ] {
            assert!(!keeps(kind), "{kind}");
        }
    }

    #[test]
    fn a_path_meets_the_mounts_that_nothing_covers() {
        let text = b"1 0 8:1 / / rw - ext4 /dev/a rw\n\
                     2 1 0:5 / /srv rw - nfs4 far:/srv rw\n\
                     3 2 0:6 / /srv/deep rw - tmpfs tmpfs rw\n\
                     4 1 8:1 /x /etc rw - ext4 /dev/a rw\n\
                     5 1 0:7 / /mnt rw - fuse.sshfs joe@far:/ rw\n\
                     6 5 0:8 / /mnt rw - tmpfs tmpfs rw\n\
                     7 5 0:9 / /mnt/old rw - tmpfs hidden rw\n";
        let table = MountTable::new(parse(text));
        let met = |path: &[u8]| -> Vec<u64> { table.met(path).iter().map(|mount| mount.id).collect() };
        for (path, wanted) in [
            (&b"/"[..], &[1][..]),
            (b"/usr/bin", &[1]),
            (b"/srv/deep/x", &[1, 2, 3]),
            (b"/srv2", &[1]),
            (b"/etc", &[1, 4]),
            (b"/mnt/x", &[1, 6]),
            (b"/mnt/old", &[1, 6]),
        ] {
            assert_eq!(met(path), wanted, "{}", String::from_utf8_lossy(path));
        }
        assert_eq!(table.mounted_at(b"/mnt").map(|mount| mount.id), Some(6));
        assert_eq!(table.mounted_at(b"/mnt/old"), None);
    }

    #[test]
    fn the_mounts_of_this_machine_hold_proc() {
        let mounts = read(Path::new("/")).unwrap();
        assert!(mounts.iter().any(|mount| mount.point == b"/proc" && mount.is_virtual()));
    }
}
