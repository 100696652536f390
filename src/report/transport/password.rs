//! A password: read from a private file, and shown to nobody but the server.

use std::{fmt, fs::File, io::Read, os::unix::fs::MetadataExt, path::Path};

use crate::sys::fs::ownership;

/// Most bytes of a password file.
const MOST: u64 = 4096;

/// A password; no form of output shows it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::report) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// The password itself, for the server alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The first line of the file; it must be root's or ours, and nobody else may read it.
///
/// # Errors
/// Why it cannot be used, with the remedy.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    ownership::check(path).map_err(|distrust| distrust.to_string())?;
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    // Asked of what is read, not of what the path may name by now.
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o7777;
        return Err(format!("others may read it (mode {mode:04o}): chmod 600"));
    }
    let mut text = String::new();
    file.by_ref().take(MOST).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err("it holds no password: write it into the first line".to_owned());
    }
    Ok(Secret(password.to_owned()))
}
