//! Who may write what we trust: the one ownership rule for configuration and state.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::sys::{capabilities::has_faccessat2, users::Names};

/// The user of `init/integrityd-unprivileged.conf`.
const SERVICE_USER: &str = "integrityd";

/// Why a file of ours is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum OwnershipError {
    /// Somebody else owns it.
    #[error("{path} belongs to uid {owner}: give it to root or to the user integrityd runs as (chown)")]
    Owner {
        /// The file or directory, made printable.
        path: String,
        /// Who owns it.
        owner: u32,
    },
    /// Others may write it.
    #[error("{path} is writable by group or others (mode {mode:04o}): chmod go-w {path}")]
    Writable {
        /// The file or directory, made printable.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("{path} cannot be looked at")]
    Io {
        /// The file or directory, made printable.
        path: String,
        /// Why.
        source: io::Error,
    },
}

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    crate::model::escape::escape_name(path.as_os_str().as_bytes())
}

/// Checks that only root or our own user can change `path` or replace it: owner and mode of the file and of every directory above it.
///
/// A sticky directory such as `/tmp` counts as safe for what lies in it (`inode(7)`: only owners may rename or remove).
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check(path: &Path) -> Result<(), OwnershipError> {
    check_with(path, false, None)
}

/// As [`check`], but this user is trusted too, when there is one.
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check_but_for_owner(path: &Path, trusted: Option<u32>) -> Result<(), OwnershipError> {
    check_with(path, false, trusted)
}

/// As [`check`], but for a state directory that is not ours alone, such as `/var/local`: directories may be writable by their group.
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check_but_for_groups(path: &Path) -> Result<(), OwnershipError> {
    check_with(path, true, None)
}

/// As [`check`], for the state: for root, what belongs to the user of the service is as good as its own, else root's commands could not
/// be used beside a daemon of that user.
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check_state(path: &Path) -> Result<(), OwnershipError> {
    check_with(path, false, service_user())
}

/// As [`check_state`], but directories may be writable by their group.
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check_state_but_for_groups(path: &Path) -> Result<(), OwnershipError> {
    check_with(path, true, service_user())
}

/// The user a daemon runs as that does not run as root, where there is one and root asks.
fn service_user() -> Option<u32> {
    (own_uid() == 0).then(|| Names::read(Path::new("/")).uid(SERVICE_USER))?
}

fn check_with(path: &Path, may_group_write: bool, trusted: Option<u32>) -> Result<(), OwnershipError> {
    let real = fs::canonicalize(path).map_err(|source| OwnershipError::Io { path: shown(path), source })?;
    for place in real.ancestors() {
        let found = fs::metadata(place).map_err(|source| OwnershipError::Io { path: shown(place), source })?;
        let mode = found.permissions().mode() & 0o7777;
        let is_sticky_directory = found.is_dir() && mode & 0o1000 != 0;
        if found.uid() != 0 && found.uid() != own_uid() && Some(found.uid()) != trusted {
            return Err(OwnershipError::Owner { path: shown(place), owner: found.uid() });
        }
        let unsafe_bits = if may_group_write && found.is_dir() { 0o002 } else { 0o022 };
        if mode & unsafe_bits != 0 && !(is_sticky_directory && place != real) {
            return Err(OwnershipError::Writable { path: shown(place), mode });
        }
    }
    Ok(())
}

/// The effective user id of this process.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a program that this process runs can gain rights by set-ID bits, as those of mail systems do (`PR_SET_NO_NEW_PRIVS`,
/// prctl(2)). The first answer stays: what this process gives up later, its helpers keep.
pub fn lets_programs_gain() -> bool {
    static FIRST: OnceLock<bool> = OnceLock::new();
    *FIRST.get_or_init(|| rustix::thread::no_new_privs().is_ok_and(|gives_up| !gives_up))
}

/// Whether this process may read `path`, by its effective ids (`faccessat2(2)`), or by its real ones where that call is refused.
pub fn may_read(path: &Path) -> bool {
    may(path, Access::READ_OK)
}

/// Whether this process may write `path`; for a directory, make and remove entries in it.
pub fn may_write(path: &Path) -> bool {
    may(path, if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK })
}

/// Whether this process may execute `path`.
pub fn may_execute(path: &Path) -> bool {
    may(path, Access::EXEC_OK)
}

fn may(path: &Path, access: Access) -> bool {
    let flags = if has_faccessat2() { AtFlags::EACCESS } else { AtFlags::empty() };
    accessat(CWD, path, access, flags).is_ok()
}

/// Makes `directory` (mode 0700) with all that is missing above it, when it does not exist.
///
/// # Errors
/// The error of `mkdir(2)`.
pub fn make_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let missing: Vec<PathBuf> =
        directory.ancestors().take_while(|place| !place.exists()).map(Path::to_path_buf).collect();
    for place in missing.iter().rev() {
        match fs::DirBuilder::new().mode(0o700).create(place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_refused_with_the_remedy() {
        let tree = tempfile::tempdir().unwrap();
        let file = tree.path().join("integrityd.conf");
        fs::write(&file, "").unwrap();
        set_mode(&file, 0o600);
        check(&file).unwrap();
        set_mode(&file, 0o620);
        let refused = check(&file).unwrap_err().to_string();
        assert!(refused.contains("integrityd.conf") && refused.contains("chmod go-w"), "{refused}");
        set_mode(&file, 0o600);
        set_mode(tree.path(), 0o777);
        assert!(matches!(check(&file), Err(OwnershipError::Writable { .. })));
        set_mode(tree.path(), 0o1777);
        check(&file).unwrap();
        set_mode(tree.path(), 0o775);
        assert!(matches!(check(&file), Err(OwnershipError::Writable { .. })));
        check_but_for_groups(&file).unwrap();
        set_mode(&file, 0o620);
        assert!(matches!(check_but_for_groups(&file), Err(OwnershipError::Writable { .. })));
    }

    #[test]
    fn a_private_directory_is_made_with_its_parents() {
        let tree = tempfile::tempdir().unwrap();
        let deep = tree.path().join("a/b");
        make_private_directory(&deep).unwrap();
        make_private_directory(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
