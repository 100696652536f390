//! `import … --hand-back`: what has to be so before the old tools work again, and the daemon's positions in logcheck's own files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::tz::TimeZone;

use crate::{
    cli::{
        context::CliContext,
        logcheck::options::shown,
        terminal::{
            exit::TryLater,
            output::{number, talk},
        },
    },
    logs::{
        logcheck::{
            conf::Conf,
            hand_back,
            log_list::{ListedLog, logs},
            state::{LogcheckPosition, States, check_free},
        },
        pattern::ast::Locale,
    },
    model::clock::{Clock, Timestamp},
    store::sqlite::{connection::Store, files},
    sys::host,
};

/// Refuses while the daemon runs, and says what nobody has got a mail about. Without a configuration, or a database that it names,
/// there is nothing to go back from.
pub(in crate::cli) fn check(source: &CliContext) -> anyhow::Result<()> {
    if source.database.is_none() && !source.config.exists() {
        talk(&format!("{} is not there: see to it that no daemon runs", shown(&source.config)));
        return Ok(());
    }
    let database = stopped(source)?;
    if database.exists() {
        tell_untold(source, &Store::open_read_only(&database)?)?;
    }
    Ok(())
}

/// The database, when no daemon writes to it.
fn stopped(source: &CliContext) -> anyhow::Result<PathBuf> {
    let database = source.database()?;
    if files::is_running(&database) != Some(false) {
        let how = "stop it first (systemctl stop integrityd, or service integrityd stop): it would go on reporting";
        return Err(TryLater(format!("the daemon of {} runs, or that cannot be told; {how}", shown(&database))).into());
    }
    Ok(database)
}

/// Says how much is stored that was mailed to nobody, and how it gets there still.
fn tell_untold(source: &CliContext, store: &Store) -> anyhow::Result<()> {
    let queue = store.queue_summary()?;
    let reports = queue.queued + queue.parked;
    if queue.unreported == 0 && reports == 0 {
        return Ok(());
    }
    let program = source.program();
    talk(&format!(
        "mailed to nobody yet: {} events in no report ({program} history), and {} deliveries of reports ({program} queue list); to have \
         them mailed, start the daemon, kill -USR1 it, and stop it when {program} queue list says that nothing waits; then do this again",
        number(queue.unreported),
        number(reports)
    ));
    Ok(())
}

/// Writes the positions of all logs that logcheck reads by `conf`.
pub(in crate::cli) fn run(source: &CliContext, conf: &Conf) -> anyhow::Result<()> {
    let store = Store::open_read_only(&stopped(source)?)?;
    let now = Clock::System(host::boot_id(Path::new("/"))).now().wall;
    let mut lock = conf.lock.clone().into_os_string();
    lock.push(".lock");
    check_free(Path::new(&lock), now)?;
    let logs = match &conf.log {
        Some(log) => vec![ListedLog::File(log.clone())],
        None => logs(&conf.list, &conf.lists, Locale::C).context("logcheck's list of logs cannot be read")?,
    };
    // Everything is looked up before anything is written.
    let mut positions = Vec::new();
    let mut journal = None;
    for log in &logs {
        match log {
            ListedLog::File(log) => match hand_back::log(&store, log)? {
                Some(found) => positions.push((log, found)),
                None => talk(&format!("{}: never read by integrityd; logcheck's own position stays", shown(log))),
            },
            ListedLog::Journal => journal = hand_back::journal(&store, &TimeZone::system(), now)?,
        }
    }
    if positions.is_empty() && journal.is_none() {
        bail!("integrityd has read none of the logs that logcheck reads; nothing was written");
    }
    write(conf, &positions, journal)?;
    tell_untold(source, &store)
}

fn write(conf: &Conf, positions: &[(&PathBuf, hand_back::Handback)], journal: Option<Timestamp>) -> anyhow::Result<()> {
    let states = States::lock(&conf.states)?;
    for (log, found) in positions {
        states.put(log, &LogcheckPosition { offset: found.offset, evidence: Vec::new() })?;
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
