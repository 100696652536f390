//! A mount that is undone however the test ends.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// `None`, with the reason printed, where it cannot be mounted.
    pub(crate) fn attempt(arguments: &[&str], point: &Path) -> Option<Self> {
        let done = Command::new("mount").args(arguments).arg(point).output().unwrap();
        if !done.status.success() {
            println!("skipped: {}", String::from_utf8_lossy(&done.stderr));
            return None;
        }
        Some(Self(point.to_path_buf()))
    }

    pub(crate) fn new(arguments: &[&str], point: &Path) -> Self {
        Self::attempt(arguments, point).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _done = Command::new("umount").args(["-R", "-l"]).arg(&self.0).status();
    }
}
