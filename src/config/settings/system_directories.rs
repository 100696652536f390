//! Where the programs and settings of the system lie: what everybody may write there hands over the machine.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The directories of the File-system Hierarchy Standard 3.0 whose content only administrators and packages write. Not among them are those
/// in which programs keep what changes (/var, /srv, /run), homes, and those that everybody may write by design (/tmp, /var/tmp, /dev/shm).
pub const SYSTEM_DIRECTORIES: [&str; 10] =
    ["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr"];

/// The system directories, as a value: the built-in ones by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemDirectories(Vec<PathBuf>);

impl Default for SystemDirectories {
    fn default() -> Self {
        Self(SYSTEM_DIRECTORIES.map(PathBuf::from).to_vec())
    }
}

impl SystemDirectories {
    /// These instead, by their absolute paths.
    pub fn of(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// Whether the absolute `path` is one of them or lies in one.
    pub fn hold(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.0.iter().any(|directory| path.starts_with(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_settings_lie_in_system_directories_and_what_changes_does_not() {
        let system = SystemDirectories::default();
        for path in ["/bin", "/usr/local/bin/x", "/etc/x", "/lib/x", "/lib64/x", "/libx32/x", "/boot/vmlinuz", "/opt/x"]
        {
            assert!(system.hold(path.as_bytes()), "{path}");
        }
        for path in [
            "/",
            "/tmp/x",
            "/var/tmp/x",
            "/dev/shm/x",
            "/var/lib/x",
            "/home/joe/bin/x",
            "/usr2/x",
            "/library",
            "/run/x",
        ] {
            assert!(!system.hold(path.as_bytes()), "{path}");
        }
    }
}
