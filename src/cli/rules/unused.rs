//! `rules unused`: which rules have matched nothing for a long time.

use std::{collections::HashMap, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use clap::Args;
use jiff::{Timestamp as JiffTimestamp, tz::TimeZone};
use serde_json::json;

use crate::{
    cli::{
        context::CliContext,
        rules::selection::{Choice, RuleGroups, count_of, rule_words, shown, tell_faults},
        terminal::{
            exit::Exit,
            output::{Out, number, span, talk},
        },
    },
    logs::rules::rule_set::RuleSet,
    model::clock::{Clock, Timestamp},
    store::sources::rule_hits::RuleCount,
    sys::host,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,

    /// Only rules that have been loaded for so many days and matched nothing in that time.
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u32,

    /// One JSON object a rule.
    #[arg(long)]
    json: bool,
}

/// A rule that nobody needs.
struct Unused<'a> {
    file: &'a Path,
    line: u32,
    text: &'a [u8],
    count: &'a RuleCount,
}

pub(in crate::cli) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let counts = source.open()?.rule_hits()?;
    let groups = RuleGroups::of(source, &arguments.choice)?;
    let Some(first) = counts.iter().map(|count| count.since).min() else {
        talk("no rule has been counted yet: counting begins when the daemon reads logs");
        return Ok(Exit::Fine);
    };
    let set = groups.read_all();
    tell_faults(&set, source, &arguments.choice);
    let now = Clock::System(host::boot_id(Path::new("/"))).now().wall;
    let before = now.before(Duration::from_hours(24).saturating_mul(arguments.days));
    let (known, unused) = unused(&set, &counts, before);
    for rule in &unused {
        out.line(&if arguments.json { rule.json() } else { rule.text() })?;
    }
    out.flush()?;
    let days = if arguments.days == 1 { "1 day".to_owned() } else { format!("{} days", arguments.days) };
    talk(&format!(
        "{} of {} counted rules unused for {days}; counting has gone on for {}",
        count_of(unused.len()),
        count_of(known),
        span(now.since(first))
    ));
    let uncounted = set.rules.len().saturating_sub(known);
    if uncounted > 0 {
        talk(&format!("{} rules are not counted: the daemon has not loaded them", count_of(uncounted)));
    }
    if first > before {
        talk(&format!("nothing has been counted for {days} yet: --days N asks for less"));
    }
    Ok(Exit::Fine)
}

/// How many rules are counted, and those of them that were loaded before `before` and have matched nothing since.
fn unused<'a>(set: &'a RuleSet, counts: &'a [RuleCount], before: Timestamp) -> (usize, Vec<Unused<'a>>) {
    let by_rule: HashMap<(&[u8], &[u8]), &RuleCount> =
        counts.iter().map(|count| ((count.file.as_slice(), count.text.as_slice()), count)).collect();
    let known: Vec<Unused<'_>> = set
        .rules
        .iter()
        .filter_map(|rule| {
            let file = &set.files.get(rule.file)?.path;
            let count = by_rule.get(&(file.as_os_str().as_bytes(), rule.text.as_slice()))?;
            Some(Unused { file, line: rule.line, text: &rule.text, count })
        })
        .collect();
    let is_unused = |rule: &Unused<'_>| rule.count.since <= before && rule.count.last.is_none_or(|last| last <= before);
    (known.len(), known.into_iter().filter(is_unused).collect())
}

impl Unused<'_> {
    fn text(&self) -> String {
        let last = match self.count.last {
            Some(last) => format!("{} hits, the last on {}", number(self.count.hits), day(last)),
            None => "never matched".to_owned(),
        };
        let since = day(self.count.since);
        format!("{}:{}  since {since}, {last}  {}", shown(self.file), self.line, rule_words(self.text))
    }

    fn json(&self) -> String {
        let count = self.count;
        json!({
            "file": shown(self.file), "line": self.line, "rule": rule_words(self.text), "hits": count.hits,
            "last": count.last.map(moment), "since": moment(count.since),
        })
        .to_string()
    }
}

fn jiff_of(at: Timestamp) -> JiffTimestamp {
    JiffTimestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default()
}

fn day(at: Timestamp) -> String {
    jiff_of(at).to_zoned(TimeZone::system()).date().to_string()
}

fn moment(at: Timestamp) -> String {
    jiff_of(at).to_string()
}
