//! `config check`: all faults at once.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, out::Out};
use crate::{config, sys::privileges};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration to check, instead of --config.
    file: Option<PathBuf>,
}

pub(super) fn run(config: &Path, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let path = arguments.file.as_deref().unwrap_or(config);
    let loaded = config::load(path)?;
    for notice in &loaded.notices {
        out.line(&format!("notice: {notice}"))?;
    }
    if !loaded.inactive.is_empty() {
        out.line(&format!("notice: set but not acted upon yet: {}", loaded.inactive.join(", ")))?;
    }
    if let Err(distrust) = privileges::check(path) {
        out.line(&format!("notice: the daemon will refuse this file: {distrust}"))?;
    }
    out.line(&format!("{}: no faults", crate::model::escape::escape_name(path.as_os_str().as_encoded_bytes())))?;
    Ok(Exit::Fine)
}
