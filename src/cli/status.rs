//! `status`: one screen, readable without colour.

use std::{path::Path, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    Exit, Source,
    out::{Out, number, size, span},
};
use crate::{
    model::{
        clock::{Clock, Timestamp},
        escape::{escape, escape_name, hex},
    },
    store::{
        areas::{AreaState, AreaSummary},
        database::{Counters, Store},
        events::Head,
        outbox::QueueSummary,
        place::{is_running, own_files},
    },
    sys::proc,
};

/// A report that waits longer than this is stuck.
const STUCK_AFTER: Duration = Duration::from_hours(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Everything the screen shows.
struct Status {
    database: String,
    database_size: u64,
    is_running: Option<bool>,
    areas: Vec<AreaSummary>,
    counters: Counters,
    queue: QueueSummary,
    head: Head,
    now: Timestamp,
}

impl Status {
    fn read(store: &Store, now: Timestamp) -> anyhow::Result<Self> {
        Ok(Self {
            database: escape_name(store.path().as_os_str().as_encoded_bytes()),
            database_size: own_files(store.path())
                .iter()
                .filter_map(|file| std::fs::metadata(file).ok())
                .map(|found| found.len())
                .sum(),
            is_running: is_running(store.path()),
            areas: store.area_summaries()?,
            counters: store.counters()?,
            queue: store.queue_summary()?,
            head: store.head()?,
            now,
        })
    }

    fn age(&self, at: Timestamp) -> Duration {
        self.now.since(at)
    }

    /// What is critical, in words.
    fn troubles(&self) -> Vec<String> {
        let missing = self
            .areas
            .iter()
            .filter(|summary| matches!(summary.area.state, AreaState::Missing | AreaState::Suspended))
            .map(|summary| format!("area {} is {}", escape_name(&summary.area.path), summary.area.state.word()));
        let parked = (self.queue.parked > 0)
            .then(|| format!("{} deliveries were refused and given up", number(self.queue.parked)));
        let stuck = self
            .queue
            .oldest
            .filter(|oldest| self.queue.queued > 0 && self.age(*oldest) > STUCK_AFTER)
            .map(|oldest| format!("a report waits to be accepted since {}", span(self.age(oldest))));
        let refused = (self.queue.refused > 0).then(|| {
            format!(
                "{} deliveries are refused by the mail server; they are kept and tried again",
                number(self.queue.refused)
            )
        });
        let stopped = (self.is_running == Some(false)).then(|| "the daemon is not running".to_owned());
        stopped.into_iter().chain(missing).chain(parked).chain(refused).chain(stuck).collect()
    }

    fn text(&self) -> String {
        let running = match self.is_running {
            Some(true) => "running",
            Some(false) => "not running",
            None => "state unknown (no permission to ask)",
        };
        let mut lines =
            vec![format!("integrityd {running}   database {}, {}", self.database, size(self.database_size))];
        lines.extend(self.troubles().into_iter().map(|trouble| format!("CRITICAL  {trouble}")));
        lines.push(String::new());
        lines.push(format!("{:<40} {:<14} {:>12}  {}", "AREA", "STATE", "ENTRIES", "OLDEST CHECK"));
        lines.extend(self.areas.iter().map(|summary| self.area(summary)));
        lines.push(String::new());
        lines.push(format!("LOOKS  {}, {} read", number(self.counters.looks), size(self.counters.bytes)));
        lines.push(self.queue_line());
        lines.push(format!("CHAIN  {} events, head {}", number(self.head.seq), hex(&self.head.hash)));
        lines.join("\n") + "\n"
    }

    fn area(&self, summary: &AreaSummary) -> String {
        let oldest = summary.oldest.map_or_else(|| "-".to_owned(), |at| format!("{} ago", span(self.age(at))));
        format!(
            "{:<40} {:<14} {:>12}  {oldest}",
            escape_name(&summary.area.path),
            summary.area.state.word(),
            number(summary.entries)
        )
    }

    fn queue_line(&self) -> String {
        let queue = &self.queue;
        let mut line = format!("QUEUE  {} waiting, {} sent", number(queue.queued), number(queue.sent));
        if let Some(at) = queue.last_sent {
            line.push_str(&format!(" (last {} ago)", span(self.age(at))));
        }
        if let Some(reply) = &queue.last_failure {
            line.push_str(&format!("\n       last answer: {}", escape(reply.as_bytes())));
        }
        line
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "running": self.is_running,
            "database": { "path": self.database, "bytes": self.database_size },
            "areas": self.areas.iter().map(|summary| json!({
                "path": escape_name(&summary.area.path),
                "state": summary.area.state.word(),
                "entries": summary.entries,
                "rounds": summary.area.rounds,
                "oldest_check_seconds": summary.oldest.map(|at| self.age(at).as_secs()),
            })).collect::<Vec<_>>(),
            "looks": self.counters.looks,
            "bytes": self.counters.bytes,
            "queue": {
                "waiting": self.queue.queued,
                "parked": self.queue.parked,
                "sent": self.queue.sent,
                "oldest_seconds": self.queue.oldest.map(|at| self.age(at).as_secs()),
                "last_answer": self.queue.last_failure,
            },
            "chain": { "seq": self.head.seq, "head": hex(&self.head.hash) },
            "troubles": self.troubles(),
        })
    }
}

pub(super) fn run(source: &Source, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = match source.open() {
        Ok(store) => store,
        Err(error) => {
            super::out::talk(&super::exit::words(&error));
            return Ok(Exit::Unknown);
        }
    };
    let now = Clock::System(proc::boot_id(Path::new("/"))).now().wall;
    let status = Status::read(&store, now)?;
    if arguments.json {
        out.line(&status.json().to_string())?;
    } else {
        out.text(&status.text())?;
    }
    Ok(if status.troubles().is_empty() { Exit::Fine } else { Exit::Critical })
}
