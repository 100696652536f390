//! Want of descriptors or memory: it says nothing about the path at hand, so it is no finding but the end of a pass.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::PathBuf};

use rustix::io::Errno;

use crate::store::sqlite::error::StoreError;

/// Whether an errno says that we or the machine are short of descriptors or memory, which says nothing about the path.
pub(in crate::files) const fn is_resource_exhausted(errno: i32) -> bool {
    matches!(Errno::from_raw_os_error(errno), Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// The error that ends a pass for want of descriptors or memory.
pub(in crate::files) fn shortage(path: &[u8], errno: i32) -> StoreError {
    StoreError::Io {
        what: "look at everything, for want of descriptors or memory (ulimit -n); it ended at",
        path: PathBuf::from(OsStr::from_bytes(path)),
        source: io::Error::from_raw_os_error(errno),
    }
}
