//! The journal as logcheck(8) reads it: what journalctl(1) shows since the last run.
//!
//! The place is the modification time of `offset.journal`, as for logcheck. It is the time up to which this run asks, and the next
//! run asks from the microsecond after it: logcheck notes the time when journalctl has ended, and misses what came meanwhile.

use std::{
    io,
    ops::ControlFlow,
    process::{Command, ExitStatus},
    time::Duration,
};

use thiserror::Error;

use crate::{
    model::{clock::Timestamp, escape::escape_cut},
    sys::process::capture::{ChildEnding, listen},
};

/// The name in the lists of logs.
pub const NAME: &str = "journal";

/// Entries younger than this are left to the next run, since some of them may still be on their way into their file.
pub const FRESH: Duration = Duration::from_secs(1);

/// How long journalctl may take.
const DEADLINE: Duration = Duration::from_mins(10);

/// Most bytes taken in one run.
const MOST: usize = 1 << 30;

/// What logcheck puts above its report when it reads the journal for the first time.
pub const FIRST: &[u8] = b"This is the first time logcheck has checked the systemd journal.\n\
Only recent entries (from the last 5 hours) will be checked\n\
If you do not wish to check the systemd journal, please see /etc/logcheck/logcheck.logfiles.d/journal.logfiles\n";

/// Why the journal was not read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// journalctl cannot be started.
    #[error("journalctl cannot be started")]
    Start(#[source] io::Error),
    /// It did not end well.
    #[error("journalctl ended with {0}: {1}")]
    Ended(ExitStatus, String),
    /// It was killed: too slow, or too much.
    #[error("journalctl was killed: it took more than 10 minutes, or gave more than 1 GiB")]
    Killed,
}

/// Appends what journalctl shows from the microsecond after `since` (or of the last five hours) up to `until`.
///
/// # Errors
/// When journalctl cannot be run to its end; then nothing is appended.
pub fn take(since: Option<Timestamp>, until: Timestamp, heap: &mut Vec<u8>) -> Result<(), JournalError> {
    let mut command = Command::new("journalctl");
    let from = match since {
        Some(since) => format!("--since=@{}", seconds(since.after(Duration::from_micros(1)))),
        None => "--since=-5h".to_owned(),
    };
    command.args(["--quiet", &from, &format!("--until=@{}", seconds(until))]);
    command.env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
    let begun = heap.len();
    let heard = listen(&mut command, DEADLINE, &mut |piece| {
        heap.extend_from_slice(piece);
        if heap.len() - begun > MOST { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let result = match heard {
        Ok(heard) => match heard.ending {
            ChildEnding::Ended(status) if status.success() => Ok(()),
            ChildEnding::Ended(status) => Err(JournalError::Ended(status, escape_cut(&heard.said, 500))),
            ChildEnding::Enough | ChildEnding::Overdue => Err(JournalError::Killed),
        },
        Err(error) => Err(JournalError::Start(error)),
    };
    if result.is_err() {
        heap.truncate(begun);
    } else if heap.len() > begun && heap.last() != Some(&b'\n') {
        heap.push(b'\n');
    }
    result
}

/// Seconds since 1970 with six decimal places, as systemd.time(7) takes them.
fn seconds(at: Timestamp) -> String {
    let micros = at.as_nanos().div_euclid(1000);
    format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}
