//! `doctor` on the state: the directory, the database, and whether a daemon keeps it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{
    cli::{
        doctor::{config::distrusted, finding::DoctorFinding},
        status::service,
        terminal::{
            exit::{Exit, code},
            output::{number, size, span},
        },
    },
    model::{clock::Clock, escape::escape_name},
    store::{
        open::own_files,
        sqlite::{
            connection::Store,
            error::{StoreError, with_causes},
            files::{is_running, running_for},
        },
    },
    sys::{fs::ownership, host},
};

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

/// What is found about the database at `path`.
pub(in crate::cli) fn state(path: &Path) -> Vec<DoctorFinding> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut found = vec![of_directory(directory)];
    found.extend(database(path));
    found.extend(daemon(path));
    found
}

fn of_directory(path: &Path) -> DoctorFinding {
    const WHAT: &str = "state directory";
    let seen = match fs::metadata(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
            let detail = format!("{} is not there yet", shown(path));
            if !ownership::may_write(above) {
                return needs_root(WHAT, format!("{detail}, and this user cannot make it in {}", shown(above)));
            }
            return DoctorFinding::warn(WHAT, detail, "integrityd run makes it");
        }
        Err(error) => return needs_root(WHAT, format!("{}: {error}", shown(path))),
    };
    let is_own = path.file_name().is_some_and(|name| name == "integrityd");
    match (ownership::check_state(path), ownership::check_state_but_for_groups(path)) {
        (Err(distrust), Err(_)) => return distrusted(WHAT, &distrust),
        (Err(distrust), Ok(())) if is_own => return distrusted(WHAT, &distrust),
        (Err(distrust), Ok(())) => {
            return DoctorFinding {
                health: crate::cli::doctor::finding::FindingLevel::Warn,
                ..distrusted(WHAT, &distrust)
            };
        }
        (Ok(()), _) => {}
    }
    let mode = seen.permissions().mode() & 0o7777;
    let detail = format!("{} (mode {mode:04o}, uid {})", shown(path), seen.uid());
    if !ownership::may_write(path) {
        return match ownership::own_uid() {
            0 => DoctorFinding::fail(
                WHAT,
                format!("{detail} cannot be written"),
                "mount its file system writable, or move the database",
            ),
            _ => needs_root(WHAT, format!("{detail} cannot be written by this user")),
        };
    }
    DoctorFinding::fine(WHAT, format!("{detail}: only its owner can change it"))
}

fn needs_root(what: &'static str, detail: String) -> DoctorFinding {
    DoctorFinding::warn(what, detail, "it needs root: sudo integrityd doctor")
}

fn database(path: &Path) -> Vec<DoctorFinding> {
    const WHAT: &str = "database";
    let store = match Store::open_read_only(path) {
        Ok(store) => store,
        Err(StoreError::Missing { .. }) => {
            let remedy = "integrityd run makes it in its first round";
            return vec![DoctorFinding::warn(WHAT, format!("{} is not there yet", shown(path)), remedy)];
        }
        Err(error) => return vec![unopened(error)],
    };
    let bytes: u64 = own_files(path).iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum();
    let mut found = match store.head() {
        Ok(head) => {
            let detail = format!("{}: {}, {} events", shown(path), size(bytes), number(head.seq));
            vec![DoctorFinding::fine(WHAT, detail)]
        }
        Err(error) => vec![unopened(error)],
    };
    if let Err(distrust) = ownership::check_state_but_for_groups(path) {
        found.push(distrusted(WHAT, &distrust));
    }
    let mode = fs::metadata(path).map_or(0, |seen| seen.permissions().mode() & 0o7777);
    if mode & 0o044 != 0 {
        let detail = format!("{} can be read by others (mode {mode:04o})", shown(path));
        found.push(DoctorFinding::warn(WHAT, detail, format!("chmod 600 {}", shown(path))));
    }
    found
}

fn unopened(error: StoreError) -> DoctorFinding {
    const WHAT: &str = "database";
    let words = with_causes(&error);
    if matches!(error, StoreError::Newer { .. }) {
        return DoctorFinding::fail(WHAT, words, "install the integrityd that wrote it");
    }
    if matches!(error, StoreError::Older { .. }) {
        return DoctorFinding::warn(WHAT, words, "integrityd run brings it up to date in its first round");
    }
    if code(&error.into()) == Exit::Permission && ownership::own_uid() != 0 {
        return needs_root(WHAT, words);
    }
    let remedy = "if it is damaged, set it aside (mv): integrityd run builds a new one and learns everything anew";
    DoctorFinding::fail(WHAT, words, remedy)
}

/// Whether it runs; that it does not is said among what is wrong, once there is a database.
fn daemon(path: &Path) -> Option<DoctorFinding> {
    const WHAT: &str = "daemon";
    let now = Clock::System(host::boot_id(Path::new("/"))).now();
    Some(match (is_running(path), running_for(path, now.boottime)) {
        (Some(true), Some(since)) => DoctorFinding::fine(WHAT, format!("running for {}", span(since))),
        (Some(true), None) => DoctorFinding::fine(WHAT, "running"),
        (Some(false), _) if path.exists() => return None,
        (Some(false), _) => DoctorFinding::warn(
            WHAT,
            "not running: nothing is watched",
            format!("start it: {}", service::command(Path::new("/"))),
        ),
        (None, _) => needs_root(WHAT, "whether it runs cannot be told".to_owned()),
    })
}
