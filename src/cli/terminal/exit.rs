//! Exit codes, and how an error becomes one.

use std::{io, process::ExitCode};

use crate::{
    cli::terminal::output,
    config::LoadError,
    daemon::DaemonError,
    logs::logcheck::state::StateError,
    model::escape::escape_name,
    report::{mail::mime::MimeError, task::composer::BatchError, transport::TransportError},
    store::sqlite::error::StoreError,
};

/// How the program ends (`sysexits.h` from 64 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// There are findings; `status`: something is late.
    Findings,
    /// `check`: the sum of 1 (added), 2 (removed), 4 (changed) and 8 (could not be read).
    Differences(u8),
    /// `status`: something is critical.
    Critical,
    /// `status`: it cannot be told.
    Unknown,
    /// The command line is wrong.
    Usage,
    /// A mail system refuses for good.
    Refused,
    /// A task has fallen.
    Internal,
    /// Reading or writing failed.
    Io,
    /// Not now: another daemon is running, or a mail was not accepted.
    TryAgain,
    /// Permissions are missing, or others have too many.
    Permission,
    /// The configuration has faults; nothing was started.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::Differences(bits) => bits,
            Exit::Critical => 2,
            Exit::Unknown => 3,
            Exit::Usage => 64,
            Exit::Refused => 69,
            Exit::Internal => 70,
            Exit::Io => 74,
            Exit::TryAgain => 75,
            Exit::Permission => 77,
            Exit::Configuration => 78,
        })
    }
}

/// A mistake in the words of a command that only its meaning shows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// An error that ends with [`Exit::Usage`].
pub(in crate::cli) fn usage(what: String) -> anyhow::Error {
    UsageError(what).into()
}

/// Something that may go better later.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct TryLater(pub(in crate::cli) String);

/// Shows what clap has to say; help and version are no errors.
pub(in crate::cli) fn of_usage(error: &clap::Error) -> Exit {
    // A closed pipe while help is shown is nobody's fault.
    drop(error.print());
    if error.use_stderr() { Exit::Usage } else { Exit::Fine }
}

/// Shows an error with its causes and gives its exit code.
pub(in crate::cli) fn of_error(error: &anyhow::Error) -> Exit {
    if is_closed_pipe(error) {
        return Exit::Fine;
    }
    let exit = code(error);
    output::talk(&words(error));
    exit
}

/// An error in words: what failed and why in one line, then what to do; the faults of a configuration a line each.
pub(in crate::cli) fn words(error: &anyhow::Error) -> String {
    match error.downcast_ref::<LoadError>() {
        Some(LoadError::Unreadable { path, remedy, source }) => {
            format!(
                "integrityd: {} cannot be read: {source}\n{remedy}",
                escape_name(path.as_os_str().as_encoded_bytes())
            )
        }
        Some(LoadError::Faults(faults)) => match faults.0.len() {
            1 => format!("{faults}\nintegrityd: 1 fault in the configuration"),
            count => format!("{faults}\nintegrityd: {count} faults in the configuration"),
        },
        None if code(error) == Exit::Permission && error.chain().any(<dyn std::error::Error>::is::<io::Error>) => {
            format!("integrityd: {error:#}\nrun this as root, or as the user integrityd runs as")
        }
        None => match error.chain().find_map(of_state_place) {
            Some(remedy) => format!("integrityd: {error:#}\n{remedy}"),
            None => format!("integrityd: {error:#}"),
        },
    }
}

/// What to do when the place of the database cannot be used.
fn of_state_place(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let error = match cause.downcast_ref::<DaemonError>() {
        Some(DaemonError::Store(error)) => Some(error),
        _ => cause.downcast_ref::<StoreError>(),
    };
    let Some(StoreError::Io { source, .. }) = error else { return None };
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Some("`database` in the configuration names a file in a directory that is there or can be made")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("mount it writable, or name another place: `database` in the configuration")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room there, or name another place: `database` in the configuration")
        }
        _ => None,
    }
}

/// The exit code of an error.
pub(in crate::cli) fn code(error: &anyhow::Error) -> Exit {
    let found = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<LoadError>()
            .map(of_load)
            .or_else(|| cause.downcast_ref::<UsageError>().map(|_| Exit::Usage))
            .or_else(|| cause.downcast_ref::<TryLater>().map(|_| Exit::TryAgain))
            .or_else(|| cause.downcast_ref::<StateError>().and_then(of_state))
            .or_else(|| cause.downcast_ref::<StoreError>().map(of_store))
            .or_else(|| cause.downcast_ref::<DaemonError>().map(of_daemon))
            .or_else(|| cause.downcast_ref::<TransportError>().map(|_| Exit::Configuration))
            .or_else(|| cause.downcast_ref::<MimeError>().map(|_| Exit::Configuration))
            .or_else(|| cause.downcast_ref::<crate::sys::fs::ownership::OwnershipError>().map(|_| Exit::Permission))
            .or_else(|| cause.downcast_ref::<io::Error>().map(of_io))
    });
    found.unwrap_or(Exit::Io)
}

fn of_load(error: &LoadError) -> Exit {
    match error {
        LoadError::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Configuration,
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Running { .. } => Exit::TryAgain,
        StoreError::NotWaiting { .. } => Exit::Usage,
        StoreError::Distrust(_) => Exit::Permission,
        StoreError::Newer { .. } | StoreError::Older { .. } => Exit::Configuration,
        StoreError::Io { source, .. } => of_io(source),
        _ => Exit::Io,
    }
}

/// What was locked may be free later; anything else is told by its cause.
fn of_state(error: &StateError) -> Option<Exit> {
    matches!(error, StateError::Locked(_)).then_some(Exit::TryAgain)
}

fn of_daemon(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Transport(_) | DaemonError::Batch(BatchError::Compose(_)) => Exit::Configuration,
        DaemonError::Store(error) | DaemonError::Batch(BatchError::Store(error)) => of_store(error),
        DaemonError::Fallen { .. } | DaemonError::Displaced(_) => Exit::Internal,
    }
}

fn of_io(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Io,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
