//! Whether the files of a configuration may be trusted.

use std::path::Path;

use crate::{
    config::{self, settings::config::Config},
    sys::fs::ownership::{self, OwnershipError},
};

/// Checks that nobody else may have written any file of a configuration.
///
/// # Errors
/// [`OwnershipError`] names the first place that others control.
pub fn check_sources(config: &Config) -> Result<(), OwnershipError> {
    config.sources.iter().try_for_each(|source| ownership::check(source))
}

/// Loads a configuration whose files are trusted.
pub(super) fn load_trusted(path: &Path) -> Result<Config, Box<dyn std::error::Error + Send + Sync>> {
    let loaded = config::load(path)?;
    check_sources(&loaded)?;
    Ok(loaded)
}
