//! How much room a file system has, and whether it can be written at all (`statvfs(3)`).

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

/// The room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
}

/// The room on the file system of `path`; `None` when that cannot be told.
pub fn space(path: &Path) -> Option<Space> {
    let found = statvfs(path).ok()?;
    let blocks = if crate::sys::fs::ownership::own_uid() == 0 { found.f_bfree } else { found.f_bavail };
    Some(Space {
        free: blocks.saturating_mul(found.f_frsize),
        is_read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_can_be_written_has_room() {
        let scratch = tempfile::tempdir().unwrap();
        let found = space(scratch.path()).unwrap();
        assert!(found.free > 0 && !found.is_read_only);
        assert_eq!(space(&scratch.path().join("missing")), None);
        assert_eq!(space(Path::new("/proc")).map(|found| found.free), Some(0));
    }
}
