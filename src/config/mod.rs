//! Settings: read from `/etc/integrityd.conf` in either of two forms, checked once, and shared unchanged.
//!
//! Reading goes in one direction: bytes → items with their places (`legacy`, `toml`, `include`) → values in range
//! (`value`) → settings that agree with each other (`check`). No step stops at the first mistake; a configuration with any
//! fault is not used at all, and all its faults are shown at once.
//!
//! Downwards: tests, foreign, write, build, read, settings, schema.

mod build;
pub mod foreign;
pub mod read;
pub mod schema;
pub mod settings;
mod tests;
pub mod write;

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use crate::config::write::convert::Converted;
use crate::config::{
    build::values::ValueSet,
    read::{
        include::{Files, Gathered, gather},
        item::Findings,
        syntax::{ConfigSyntax, detect},
    },
    schema::fault::{Fault, Faults, show_path},
    settings::config::{Area, Config},
    write::{
        effective::{Effective, Given, Row, effective},
        render::SettingRemark,
    },
};

/// Where the configuration is, unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/integrityd.conf";

/// Where the database is, unless the configuration says otherwise.
pub fn default_database() -> PathBuf {
    schema::keys::find("database").map(|key| PathBuf::from(key.default)).unwrap_or_default()
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file itself cannot be read. (An included one is a fault.)
    #[error("{}: cannot be read: {remedy}", show_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        remedy: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It was read, and this is wrong with it.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Loads the configuration `path` and all that it includes.
///
/// # Errors
/// When the file cannot be read, or with all its faults.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    Ok(parse(path, &text_of(path)?, &Files::Disk)?)
}

/// Loads the configuration `path` like [`load`], and gives every setting with its source beside it.
///
/// # Errors
/// As [`load`].
pub fn load_with_sources(path: &Path) -> Result<(Config, Effective), LoadError> {
    let whole = read_whole(path, &text_of(path)?, &Files::Disk)?;
    let effective = effective(&whole.sheet, &whole.config, whole.gathered.form);
    Ok((whole.config, effective))
}

/// Writes `effective` as a configuration in the form it was read from, each value with its source behind it. A value that cannot
/// be written there is commented out. In the legacy form it holds the bytes of paths as they are.
pub fn show(effective: &Effective) -> Vec<u8> {
    let remarks = |_row: &Row, given: &Given| SettingRemark { above: Vec::new(), behind: given.source.to_string() };
    match effective.form {
        ConfigSyntax::Legacy => write::render::legacy(&effective.blocks, &remarks),
        ConfigSyntax::Toml => write::render::toml(&effective.blocks, &remarks).into_bytes(),
    }
}

/// Writes the legacy configuration `path` and all that it includes in the TOML form; `None` when it is TOML already.
///
/// # Errors
/// As [`load`]; a path that is not UTF-8 is a fault.
pub fn convert(path: &Path) -> Result<Option<Converted>, LoadError> {
    Ok(convert_text(path, &text_of(path)?, &Files::Disk)?)
}

fn convert_text(path: &Path, text: &[u8], files: &Files) -> Result<Option<Converted>, Faults> {
    if detect(text) == Some(ConfigSyntax::Toml) {
        return Ok(None);
    }
    let whole = read_whole(path, text, files)?;
    write::convert::to_toml(&whole.sheet, &whole.gathered).map(Some)
}

fn text_of(path: &Path) -> Result<Vec<u8>, LoadError> {
    Files::Disk.read(path).map_err(|source| LoadError::Unreadable {
        path: path.to_path_buf(),
        remedy: remedy(source.kind()),
        source,
    })
}

/// Reads `text` as a configuration; `path` is what faults are said to stand in, and `files` is where includes are looked for.
///
/// # Errors
/// With all faults, in the order of files and lines.
pub fn parse(path: &Path, text: &[u8], files: &Files) -> Result<Config, Faults> {
    read_whole(path, text, files).map(|whole| whole.config)
}

/// A configuration without faults, at every step of reading it.
struct Whole {
    gathered: Gathered,
    sheet: ValueSet,
    config: Config,
}

fn read_whole(path: &Path, text: &[u8], files: &Files) -> Result<Whole, Faults> {
    let mut findings = Findings::default();
    let gathered = gather(path, text, files, &mut findings);
    let sheet = ValueSet::of(&gathered.items, &mut findings);
    let mut config = build::check::check(&sheet, &mut findings);
    let Findings { mut faults, mut notices } = findings;
    if faults.is_empty() && !build::check::has_work(&config) {
        faults.push(Fault {
            file: path.to_path_buf(),
            line: None,
            what: "nothing to do".to_owned(),
            hint: "name an area, a log, a pidfile or a unit, such as area = /etc".to_owned(),
        });
    }
    let order = |fault: &Fault| {
        let file = gathered.files.iter().position(|file| *file == fault.file);
        (file.unwrap_or(usize::MAX), fault.line.unwrap_or(u32::MAX))
    };
    if !faults.is_empty() {
        faults.sort_by_key(order);
        return Err(Faults(faults));
    }
    notices.sort_by_key(order);
    config.notices = notices;
    config.sources.clone_from(&gathered.files);
    Ok(Whole { gathered, sheet, config })
}

/// What is wrong with `text` as the address of a recipient, and the remedy; `None` for `user` and `user@host`.
pub fn address_fault(text: &str) -> Option<String> {
    read::address::check_address(text).err().map(|problem| format!("{}: {}", problem.what, problem.hint))
}

impl Config {
    /// Settings without a file: these areas, this database, and every default. Nothing is checked.
    pub fn embedded(areas: Vec<Area>, database: PathBuf) -> Self {
        Self { areas, ..build::check::defaults(database) }
    }
}

/// What an administrator can do when the configuration cannot be read.
fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => {
            "make one: (umask 077; integrityd config example > FILE), or name another with --config; `integrityd try` needs none"
        }
        io::ErrorKind::PermissionDenied => {
            "it should be readable by root only: run as root, or name another with --config"
        }
        io::ErrorKind::IsADirectory => "it is a directory; name a file with --config",
        _ => "name another with --config",
    }
}
