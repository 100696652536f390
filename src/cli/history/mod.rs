//! `history` and `show`: what was found, from the store.

mod search;

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use globset::{GlobBuilder, GlobMatcher};
use jiff::{Timestamp as JiffTimestamp, Zoned, civil::DateTime, tz::TimeZone};

use crate::{
    cli::{
        context::CliContext,
        history::search::HistorySearch,
        queue::{self, LetterArguments},
        terminal::{
            exit::{Exit, usage},
            output::{Out, talk},
        },
    },
    config::schema::units::parse_span,
    export::ecs::{Host, to_json_with, to_line},
    model::{
        clock::{Clock, Timestamp},
        event::{Kind, Severity},
    },
    report::render::listing::{EventListing, held},
    store::events::append::Filter,
    sys::{host, users::Names},
};

/// Most paths of a summary event that `show` prints.
const MOST_MEMBERS: u32 = 1_000_000;

/// Most paths of a summary event in its JSON.
const MOST_IN_JSON: u32 = 10_000;

/// Most paths of a summary event that `history --path` names below it.
const MOST_WITHIN: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what was found since then: a span (2h, 7d) or a time ('2026-11-21 13:58', RFC 3339).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Only what was found until then; a date is its beginning.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// Only events of this kind.
    #[arg(long)]
    kind: Option<KindName>,

    /// Only events that are so severe, or more.
    #[arg(long)]
    severity: Option<SeverityName>,

    /// Only paths that match, such as '/etc/**' or '**/*.conf'; `*` stays within a component. Paths that a summary
    /// stands for are found too.
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

    /// One JSON object; of the paths a summary stands for the first 10,000.
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SeverityName {
    Count,
    Low,
    Normal,
    High,
    Critical,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Count => Self::Count,
            SeverityName::Low => Self::Low,
            SeverityName::Normal => Self::Normal,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = source.open()?;
    let clock = Clock::System(host::boot_id(Path::new("/")));
    let now = clock.now().wall;
    let search = search(arguments, now)?;
    let Some(span) = search.span(&store)? else {
        if !arguments.json {
            talk("no event matches");
        }
        return Ok(Exit::Fine);
    };
    if arguments.json {
        let host = host();
        search.each(&store, span, |stored| out.line(&to_line(stored, &host)))?;
    } else {
        let zone = TimeZone::system();
        let names = Names::read(Path::new("/"));
        let program = source.program();
        let listing = EventListing::new(now, &zone, &names, &program);
        search.each(&store, span, |stored| {
            out.text(&listing.event(stored))?;
            out.text(&within(&search.within(&store, stored, MOST_WITHIN + 1)?))
        })?;
    }
    if span.is_cut {
        out.flush()?;
        talk(&format!("older events match, too; these are the latest {}: --limit shows more", arguments.limit));
    }
    Ok(Exit::Fine)
}

fn search(arguments: &Arguments, now: Timestamp) -> anyhow::Result<HistorySearch> {
    let time = |option, when: &Option<String>| when.as_deref().map(|when| point_in_time(option, when, now)).transpose();
    let (since, until) = (time("--since", &arguments.since)?, time("--until", &arguments.until)?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(usage("--since is later than --until".to_owned()));
    }
    Ok(HistorySearch {
        filter: Filter {
            since,
            until,
            kind: arguments.kind.map(Kind::from),
            severity: arguments.severity.map(Severity::from),
            limit: arguments.limit,
        },
        glob: arguments.path.as_deref().map(matcher).transpose()?,
    })
}

/// The lines of paths within a summary.
fn within(paths: &[Vec<u8>]) -> String {
    let more = if paths.len() > MOST_WITHIN { "        … and more\n" } else { "" };
    held(paths.iter().take(MOST_WITHIN)) + more
}

pub(super) fn show(source: &CliContext, arguments: &ShowArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let store = source.open()?;
    if let Some(ShowOther::Report(report)) = &arguments.other {
        return queue::show(&store, report, out);
    }
    let id = arguments.id.unwrap_or_default();
    let Some(stored) = store.event(id)? else {
        return Err(usage(format!("there is no event {id}: the newest is {}", store.head()?.seq)));
    };
    if arguments.json {
        let members = store.members(id, MOST_IN_JSON)?;
        let left_out = store.count_members(id)?.saturating_sub(u64::try_from(members.len()).unwrap_or(u64::MAX));
        out.line(&to_json_with(&stored, &host(), &members, left_out).to_string())?;
        return Ok(Exit::Fine);
    }
    let clock = Clock::System(host::boot_id(Path::new("/")));
    let zone = TimeZone::system();
    let names = Names::read(Path::new("/"));
    let program = source.program();
    let listing = EventListing::new(clock.now().wall, &zone, &names, &program);
    out.text(&listing.whole_event(&stored))?;
    out.text(&listing.members(&store.members(id, MOST_MEMBERS)?))?;
    Ok(Exit::Fine)
}

pub(super) fn host() -> Host {
    let root = Path::new("/");
    Host { name: host::host_name(root), id: host::machine_id(root) }
}

fn matcher(glob: &str) -> anyhow::Result<GlobMatcher> {
    Ok(GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map_err(|error| usage(format!("--path {glob:?} is no glob: {}", error.kind())))?
        .compile_matcher())
}

/// A span before `now`, or a time: RFC 3339, or local time with or without seconds, or a date.
fn point_in_time(option: &str, text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
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
        .or_else(|_| time_of_day(text, now))
        .or(Err(usage(format!(
            "{option} {text:?} is neither a span (2h, 7d) nor a time ('2026-11-21 13:58', 13:58)"
        ))))?;
    Ok(Timestamp::from_nanos(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)))
}

/// A time of today, or of yesterday when it is still to come today: `13:08`, `13:08:01`, as mails print it.
fn time_of_day(text: &str, now: Timestamp) -> Result<JiffTimestamp, jiff::Error> {
    let time: jiff::civil::Time = text.parse()?;
    let now = JiffTimestamp::from_nanosecond(i128::from(now.as_nanos()))?.to_zoned(TimeZone::system());
    let today = now.date().to_datetime(time).to_zoned(TimeZone::system())?;
    let at = if today > now { today.yesterday()? } else { today };
    Ok(at.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_what_mails_print() {
        let now = Timestamp::from_nanos(1_800_000_000_000_000_000);
        let seconds = |text| point_in_time("--since", text, now).unwrap().as_nanos() / 1_000_000_000;
        assert_eq!(seconds("2h"), 1_800_000_000 - 7200);
        assert_eq!(seconds("2026-11-21T13:58:00Z"), 1_795_269_480);
        for text in ["2026-11-21 13:58", "2026-11-21 13:58:01", "2026-11-21"] {
            point_in_time("--since", text, now).unwrap();
        }
        for text in ["00:00", "13:08", "23:59:59"] {
            let at = point_in_time("--since", text, now).unwrap();
            assert!(at <= now && now.since(at) <= std::time::Duration::from_hours(25), "{text}");
        }
        assert!(point_in_time("--until", "yesterday-ish", now).is_err());
    }
}
