//! `import logcheck --hand-back`: the daemon's positions go back into logcheck's own files.

use std::path::Path;

use anyhow::{Context, bail};
use jiff::tz::TimeZone;

use super::{
    Source,
    exit::TryLater,
    logcheck_options::shown,
    out::{number, talk},
};
use crate::{
    logs::{
        handback,
        oneshot::{
            conf::Conf,
            list::{Log, logs},
            position::{Position, States, check_free},
        },
        tree::Locale,
    },
    model::clock::{Clock, Timestamp},
    store::{database::Store, place},
    sys::proc,
};

/// Writes the positions of all logs that logcheck reads by `conf`.
pub(super) fn run(source: &Source, conf: &Conf) -> anyhow::Result<()> {
    let database = source.database()?;
    if place::is_running(&database) != Some(false) {
        let how = "stop it first (systemctl stop integrityd, or service integrityd stop): it would read on";
        return Err(TryLater(format!("the daemon of {} runs, or that cannot be told; {how}", shown(&database))).into());
    }
    let store = Store::open_read_only(&database)?;
    let now = Clock::System(proc::boot_id(Path::new("/"))).now().wall;
    let mut lock = conf.lock.clone().into_os_string();
    lock.push(".lock");
    check_free(Path::new(&lock), now)?;
    let logs = match &conf.log {
        Some(log) => vec![Log::File(log.clone())],
        None => logs(&conf.list, &conf.lists, Locale::C).context("logcheck's list of logs cannot be read")?,
    };
    // Everything is looked up before anything is written.
    let mut positions = Vec::new();
    let mut journal = None;
    for log in &logs {
        match log {
            Log::File(log) => match handback::log(&store, log)? {
                Some(found) => positions.push((log, found)),
                None => talk(&format!("{}: never read by integrityd; logcheck's own position stays", shown(log))),
            },
            Log::Journal => journal = handback::journal(&store, &TimeZone::system(), now)?,
        }
    }
    if positions.is_empty() && journal.is_none() {
        bail!("integrityd has read none of the logs that logcheck reads; nothing was written");
    }
    write(conf, &positions, journal)
}

fn write(
    conf: &Conf,
    positions: &[(&std::path::PathBuf, handback::Handback)],
    journal: Option<Timestamp>,
) -> anyhow::Result<()> {
    let states = States::lock(&conf.states)?;
    for (log, found) in positions {
        states.put(log, &Position { offset: found.offset, evidence: Vec::new() })?;
        let waiting = match found.waiting {
            0 => String::new(),
            1 => "; 1 line before the daemon's own position was not mailed yet".to_owned(),
            many => format!("; {} lines before the daemon's own position were not mailed yet", number(count(many))),
        };
        talk(&format!("{}: logcheck reads on from byte {}{waiting}", shown(log), number(found.offset.offset)));
        if found.lost > 0 {
            talk(&format!(
                "{}: {} of them do not stand in it any more: integrityd history --kind log shows them",
                shown(log),
                number(count(found.lost))
            ));
        }
    }
    if let Some(from) = journal {
        states.put_journal(from)?;
        talk("journal: logcheck reads on from the last second that integrityd has reported of");
    }
    Ok(())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
