//! What is mounted where, from `/proc/self/mountinfo`, which never blocks however dead a mount is.

use std::{fs, io, path::Path};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mount {
    /// Its mount point, as raw bytes.
    pub point: Vec<u8>,
    /// Its file-system type: `ext4`, `fuse.sshfs`, …
    pub kind: String,
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

impl Mount {
    /// Whether the kernel makes its content on the fly.
    pub fn is_virtual(&self) -> bool {
        VIRTUAL.contains(&self.kind.as_str())
    }

    /// Whether it can hang when a server or a helper is gone.
    pub fn is_slow(&self) -> bool {
        let kind = self.kind.as_str();
        SLOW.contains(&kind) || kind.starts_with("nfs") || kind == "fuse" || kind.starts_with("fuse.")
    }
}

/// All mounts of this process's namespace, in the order they were made.
///
/// # Errors
/// The error of reading `/proc/self/mountinfo` below `root`.
pub fn read(root: &Path) -> io::Result<Vec<Mount>> {
    fs::read(root.join("proc/self/mountinfo")).map(|text| parse(&text))
}

/// Reads the form of `proc_pid_mountinfo(5)`; lines that do not fit are passed over.
fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let point = unescape(fields.get(4)?);
            let separator = fields.iter().position(|field| *field == b"-")?;
            let kind = String::from_utf8_lossy(fields.get(separator + 1)?).into_owned();
            Some(Mount { point, kind })
        })
        .collect()
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
                     41 1 0:6 / /home/joe/far rw - fuse.sshfs joe@far:/ rw\n";
        let mounts = parse(text);
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
    fn the_mounts_of_this_machine_hold_proc() {
        let mounts = read(Path::new("/")).unwrap();
        assert!(mounts.iter().any(|mount| mount.point == b"/proc" && mount.is_virtual()));
    }
}
