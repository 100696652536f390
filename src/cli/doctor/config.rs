//! `doctor` on the configuration: its faults, its owner and mode, and what of it has no effect yet.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    cli::doctor::finding::DoctorFinding,
    config::{self, LoadError, schema::fault::Fault, settings::config::Config},
    model::escape::escape_name,
    sys::fs::ownership,
};

const WHAT: &str = "configuration";

/// The configuration when it can be used, what was found, and whether it is missing or has faults.
pub(in crate::cli) fn configuration(path: &Path) -> (Option<Config>, Vec<DoctorFinding>, bool) {
    let shown = escape_name(path.as_os_str().as_encoded_bytes());
    match config::load(path) {
        Ok(config) => {
            let areas = match config.areas.len() {
                1 => "1 area".to_owned(),
                count => format!("{count} areas"),
            };
            let mut found = vec![DoctorFinding::fine(WHAT, format!("{shown}: no faults, {areas}"))];
            found.extend(
                config.notices.iter().map(|notice| DoctorFinding::warn(WHAT, place(notice), notice.hint.clone())),
            );
            found.extend(config.sources.iter().filter_map(|source| trust(source)));
            (Some(config), found, false)
        }
        Err(LoadError::Faults(faults)) => {
            let told = |fault: &Fault| DoctorFinding::fail(WHAT, place(fault), fault.hint.clone());
            (None, faults.0.iter().map(told).collect(), true)
        }
        Err(LoadError::Unreadable { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            let detail = format!("{shown} cannot be read by this user; the checks below assume the defaults");
            (None, vec![DoctorFinding::warn(WHAT, detail, "it needs root: sudo integrityd doctor")], false)
        }
        Err(LoadError::Unreadable { source, remedy, .. }) => {
            (None, vec![DoctorFinding::fail(WHAT, format!("{shown} cannot be read: {source}"), remedy)], true)
        }
    }
}

fn place(fault: &Fault) -> String {
    let file = escape_name(fault.file.as_os_str().as_encoded_bytes());
    match fault.line {
        Some(line) => format!("{file}:{line}: {}", fault.what),
        None => format!("{file}: {}", fault.what),
    }
}

/// Owner and mode of one file of the configuration.
fn trust(path: &Path) -> Option<DoctorFinding> {
    let shown = escape_name(path.as_os_str().as_encoded_bytes());
    if let Err(distrust) = ownership::check(path) {
        return Some(distrusted(WHAT, &distrust));
    }
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o044 != 0).then(|| {
        let detail = format!("{shown} can be read by others (mode {mode:04o}): they learn what is not watched");
        DoctorFinding::warn(WHAT, detail, format!("chmod 600 {shown}"))
    })
}

/// A distrust as a failure; its last words are the remedy.
pub(super) fn distrusted(what: &'static str, distrust: &ownership::OwnershipError) -> DoctorFinding {
    let words = crate::store::sqlite::error::with_causes(distrust);
    match (distrust, words.rsplit_once(": ")) {
        (
            ownership::OwnershipError::Owner { .. } | ownership::OwnershipError::Writable { .. },
            Some((detail, remedy)),
        ) => DoctorFinding::fail(what, detail, remedy),
        _ => DoctorFinding::fail(what, words, "run doctor as root"),
    }
}
