//! Where a question is put: the configuration and database that a command was given, and how its own name is written.

use std::path::{Path, PathBuf};

use crate::{config, model::escape::escape_name, store::sqlite::connection::Store};

/// Where a question is put.
#[derive(Debug)]
pub(super) struct CliContext {
    pub(super) config: PathBuf,
    pub(super) database: Option<PathBuf>,
}

impl CliContext {
    pub(super) fn database(&self) -> anyhow::Result<PathBuf> {
        Ok(match &self.database {
            Some(path) => path.clone(),
            None => config::load(&self.config)?.database,
        })
    }

    pub(super) fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open_read_only(&self.database()?)?)
    }

    /// Opens it to write, beside a daemon that may be running.
    pub(super) fn open_beside(&self) -> anyhow::Result<Store> {
        Ok(Store::open_beside(&self.database()?)?)
    }

    /// How a further command is called to lead to the same place.
    pub(super) fn program(&self) -> String {
        match &self.database {
            Some(database) => program("--database", database),
            None if self.config == Path::new(config::DEFAULT_PATH) => "integrityd".to_owned(),
            None => program("--config", &self.config),
        }
    }
}

/// A path as it is typed, quoted for a shell where that is needed.
pub(super) fn quoted(file: &Path) -> String {
    // It is printed here and typed elsewhere.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let file = escape_name(file.as_os_str().as_encoded_bytes());
    let is_plain = file.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%=:,".contains(c));
    if is_plain { file } else { format!("'{}'", file.replace('\'', "'\\''")) }
}

/// The program with an option that names a file.
pub(super) fn program(option: &str, file: &Path) -> String {
    format!("integrityd {option} {}", quoted(file))
}
