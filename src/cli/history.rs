//! `history` and `show`: what was found, from the store.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use globset::{GlobBuilder, GlobMatcher};
use jiff::{Timestamp as JiffTimestamp, Zoned, civil::DateTime, tz::TimeZone};

use super::{
    Exit, Source,
    exit::usage,
    out::Out,
    queue::{self, LetterArguments},
};
use crate::{
    config::units::parse_span,
    model::{
        clock::{Clock, Timestamp},
        event::{Kind, StoredEvent},
    },
    report::{
        ecs::{Host, to_line},
        listing::Listing,
    },
    store::events::Filter,
    sys::{proc, users::Names},
};

/// Most paths of a summary event that `show` prints.
const MOST_MEMBERS: u32 = 1_000_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what was found since then: a span (2h, 7d) or a time ('2026-11-21 13:58', RFC 3339).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Only events of this kind.
    #[arg(long)]
    kind: Option<KindName>,

    /// Only paths that match, such as '/etc/**' or '**/*.conf'; `*` stays within a component.
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,

    /// At most so many, the latest.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: u32,

    /// One JSON object a line (docs/events.schema.json).
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ShowArguments {
    /// The number of the event, as mails and `history` give it.
    #[arg(required = true)]
    id: Option<u64>,

    /// One JSON object, without the paths a summary stands for.
    #[arg(long)]
    json: bool,

    #[command(subcommand)]
    other: Option<ShowOther>,
}

#[derive(Debug, Subcommand)]
enum ShowOther {
    /// A report as it was mailed.
    Report(LetterArguments),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    File,
    Log,
    Pid,
    #[value(name = "self")]
    Own,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::File => Self::File,
            KindName::Log => Self::Log,
            KindName::Pid => Self::Process,
            KindName::Own => Self::Own,
        }
    }
}

pub(super) fn run(source: &Source, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = source.open()?;
    let clock = Clock::System(proc::boot_id(Path::new("/")));
    let now = clock.now().wall;
    let filter = Filter {
        since: arguments.since.as_deref().map(|when| point_in_time(when, now)).transpose()?,
        kind: arguments.kind.map(Kind::from),
        limit: if arguments.path.is_some() { u32::MAX } else { arguments.limit },
    };
    let glob = arguments.path.as_deref().map(matcher).transpose()?;
    let mut events = store.history(&filter)?;
    if let Some(glob) = glob {
        events.retain(|stored| is_match(&glob, stored));
        let most = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
        events.drain(..events.len().saturating_sub(most));
    }
    if arguments.json {
        let host = host();
        for stored in &events {
            out.line(&to_line(stored, &host))?;
        }
        return Ok(Exit::Fine);
    }
    let zone = TimeZone::system();
    let names = Names::read(Path::new("/"));
    let program = source.program();
    let listing = Listing::new(now, &zone, &names, &program);
    for stored in &events {
        out.text(&listing.event(stored))?;
    }
    if events.is_empty() {
        super::out::talk("no event matches");
    }
    Ok(Exit::Fine)
}

pub(super) fn show(source: &Source, arguments: &ShowArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = source.open()?;
    if let Some(ShowOther::Report(report)) = &arguments.other {
        return queue::show(&store, report, out);
    }
    let id = arguments.id.unwrap_or_default();
    let Some(stored) = store.event(id)? else {
        return Err(usage(format!("there is no event {id}: the newest is {}", store.head()?.seq)));
    };
    if arguments.json {
        out.line(&to_line(&stored, &host()))?;
        return Ok(Exit::Fine);
    }
    let clock = Clock::System(proc::boot_id(Path::new("/")));
    let zone = TimeZone::system();
    let names = Names::read(Path::new("/"));
    let program = source.program();
    let listing = Listing::new(clock.now().wall, &zone, &names, &program);
    out.text(&listing.event(&stored))?;
    out.text(&listing.members(&store.members(id, MOST_MEMBERS)?))?;
    Ok(Exit::Fine)
}

pub(super) fn host() -> Host {
    let root = Path::new("/");
    Host { name: proc::host_name(root), id: proc::machine_id(root) }
}

fn matcher(glob: &str) -> anyhow::Result<GlobMatcher> {
    Ok(GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map_err(|error| usage(format!("--path {glob:?} is no glob: {}", error.kind())))?
        .compile_matcher())
}

fn is_match(glob: &GlobMatcher, stored: &StoredEvent) -> bool {
    use std::os::unix::ffi::OsStrExt;
    glob.is_match(std::ffi::OsStr::from_bytes(&stored.event.source))
}

/// A span before `now`, or a time: RFC 3339, or local time with or without seconds, or a date.
fn point_in_time(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(span) = parse_span(text) {
        return Ok(now.before(span));
    }
    let at = text
        .parse::<JiffTimestamp>()
        .or_else(|_| text.parse::<Zoned>().map(|zoned| zoned.timestamp()))
        .or_else(|_| {
            let local: DateTime = text.parse()?;
            local.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp())
        })
        .or(Err(usage(format!("--since {text:?} is neither a span (2h, 7d) nor a time ('2026-11-21 13:58')"))))?;
    Ok(Timestamp::from_nanos(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_what_mails_print() {
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let seconds = |text| point_in_time(text, now).unwrap().as_nanos() / 1_000_000_000;
        assert_eq!(seconds("2h"), 1_800_000_000 - 7200);
        assert_eq!(seconds("2026-11-21T13:58:00Z"), 1_795_269_480);
        for text in ["2026-11-21 13:58", "2026-11-21 13:58:01", "2026-11-21"] {
            point_in_time(text, now).unwrap();
        }
        assert!(point_in_time("yesterday-ish", now).is_err());
    }
}
