//! The files of a database: who may write them, the lock beside them, and one of 2012 that lies in their place.
//!
//! The daemon holds a lock on a file beside the database for as long as it lives; `flock(2)` belongs to the open file
//! description, so it goes with the process however that ends, and nobody else can open the 0600 file to take it first.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    model::clock::Boottime,
    store::sqlite::error::StoreError,
    sys::{fs::ownership, host},
};

pub(in crate::store) fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_path_buf(), source }
}

/// Whether a daemon holds the database at `path`; `None` when that cannot be told.
pub fn is_running(path: &Path) -> Option<bool> {
    let lock = lock_path(path);
    match fs::symlink_metadata(&lock) {
        // No daemon was ever here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        _ => host::is_locked(Path::new("/"), &lock),
    }
}

/// For how long the daemon that holds the database at `path` runs at `now`; `None` when none does or that cannot be told.
pub fn running_for(path: &Path, now: Boottime) -> Option<Duration> {
    let root = Path::new("/");
    let started = host::lock_holder(root, &lock_path(path)).and_then(|pid| host::started(root, pid))?;
    Some(now.since(started))
}

/// The daemon that holds the database at `path`, by its number; `None` when none does or that cannot be told.
pub fn daemon_of(path: &Path) -> Option<u32> {
    host::lock_holder(Path::new("/"), &lock_path(path))
}

/// The file whose name is that of the database with this ending.
pub(in crate::store) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

pub(in crate::store) fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// Opens a file of ours as it is, or makes it for us alone.
fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

pub(in crate::store) fn take_lock(path: &Path) -> Result<File, StoreError> {
    let path = lock_path(path);
    let opened = match open_private(&path) {
        // flock(2) asks for no right to write.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path).or(Err(error)),
        opened => opened,
    };
    let file = opened.map_err(io_error("open the lock", &path))?;
    ownership::check_state_but_for_groups(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Running { path }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Makes a database file that was made by hand with 0644 one with 0600.
///
/// # Errors
/// The error of looking at it, or of `chmod(2)`.
pub fn withdraw_from_others(path: &Path) -> io::Result<()> {
    let is_open = fs::metadata(path)?.permissions().mode() & 0o7777 == 0o644;
    if is_open { fs::set_permissions(path, fs::Permissions::from_mode(0o600)) } else { Ok(()) }
}

/// Makes the database file 0600 before `SQLite` would make it by the umask; one made by hand with 0644 becomes 0600.
pub(in crate::store) fn make_private_file(path: &Path) -> Result<(), StoreError> {
    drop(open_private(path).map_err(io_error("open the database", path))?);
    match withdraw_from_others(path) {
        // A restricted daemon may not: it was done before it was restricted, and whoever made it so since can mend it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!("the database can be read by others");
        }
        done => done.map_err(io_error("make private the database", path))?,
    }
    ownership::check_state_but_for_groups(path).map_err(StoreError::from)
}
