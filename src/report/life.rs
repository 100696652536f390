//! The mails that say how things go when nothing has happened: the heartbeat, the report of finished rounds, unused rules.
//!
//! Somebody on another machine may wait for them, so their subjects begin with the same words each time, a heartbeat carries its number
//! and when the next one is due, and everything in it comes from the store, not from what a task believes of itself.

use jiff::tz::TimeZone;

use super::{
    batch::Tally,
    render::Rendered,
    subject::{self, HOST_LIMIT, counted_words, shorten},
    words::{Times, VALUE_LIMIT, bytes, counted, flow, number, span},
};
use crate::{
    model::{
        clock::{Moment, Timestamp},
        escape::{escape_cut, escape_name_cut, hex},
        event::Severity,
    },
    store::{
        areas::AreaSummary,
        events::Head,
        outbox::QueueSummary,
        recurring::{Last, Marks},
        rules::RuleCount,
    },
};

/// Most rules that are listed.
const MOST_RULES: usize = 200;

/// How far a log was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStanding {
    /// Its path, as raw bytes.
    pub path: Vec<u8>,
    /// Bytes that are there and were not read.
    pub lag: u64,
}

/// What a sign of life is written from.
#[derive(Debug)]
pub struct Figures<'a> {
    /// The name of the machine; neutralised where it is shown.
    pub host: &'a str,
    /// When it is written.
    pub now: Moment,
    /// The zone times are shown in.
    pub zone: &'a TimeZone,
    /// How the commands are called.
    pub program: &'a str,
    /// Since when the daemon runs.
    pub began: Timestamp,
    /// Its number, and when it was due.
    pub turn: Last,
    /// When the one before was due.
    pub before: Timestamp,
    /// When the next one is due.
    pub next: Timestamp,
    /// What was counted then and is counted now.
    pub marks: (&'a Marks, &'a Marks),
    /// The events between.
    pub tally: &'a Tally,
    /// The areas that are looked at, each with its events between.
    pub areas: &'a [(AreaSummary, Tally)],
    /// The logs.
    pub logs: &'a [LogStanding],
    /// Watched processes, and those of them that run.
    pub processes: (u64, u64),
    /// The outbox.
    pub queue: &'a QueueSummary,
    /// What stands still.
    pub standstills: &'a [(String, Timestamp)],
}

impl Figures<'_> {
    /// How much `name` has grown since the turn before.
    pub(crate) fn grown(&self, name: &str) -> u64 {
        let value = |marks: &Marks| marks.get(name).copied().unwrap_or(0);
        value(self.marks.1).saturating_sub(value(self.marks.0))
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.areas.iter().filter_map(|(area, _)| area.oldest).min()
    }

    fn checks(&self) -> String {
        let mut words = counted(self.grown("looks"), "check", "checks");
        if let Some(oldest) = self.oldest() {
            words.push_str(&format!(", oldest {}", span(self.now.wall.since(oldest))));
        }
        words
    }

    fn subject(&self, words: &str) -> String {
        shorten(&format!("[integrityd] {}: {words}", escape_cut(self.host.as_bytes(), HOST_LIMIT)), subject::LONGEST)
    }

    fn page(&self, verdict: &str, blocks: Vec<Vec<String>>, head: Head) -> Rendered {
        let host = escape_cut(self.host.as_bytes(), HOST_LIMIT);
        let times = Times::new(self.now.wall, self.zone);
        let mut all = vec![vec![format!("{host}   {}   {verdict}", times.headline())]];
        all.extend(blocks.into_iter().filter(|block| !block.is_empty()));
        all.push(vec![
            format!("SEQ  {}  head {}", number(head.seq), hex(&head.hash)),
            format!("MORE  {0} status   {0} show {1}", self.program, head.seq),
        ]);
        let mut text = all.into_iter().map(|block| block.join("\n")).collect::<Vec<_>>().join("\n\n");
        text.push('\n');
        Rendered { subject: self.subject(verdict), severity: Severity::Count, text }
    }

    /// The heartbeat; `head` is its own event.
    pub fn heartbeat(&self, head: Head) -> Rendered {
        let times = Times::new(self.now.wall, self.zone);
        let events = self.tally.count(|_, severity| severity > Severity::Count);
        let mut verdict = match events {
            0 => "all quiet".to_owned(),
            events => format!("alive, {}", counted(events, "event", "events")),
        };
        let waiting = self.queue.queued.saturating_add(self.queue.parked);
        if events == 0 && (waiting > 0 || !self.standstills.is_empty()) {
            "alive".clone_into(&mut verdict);
        }
        if waiting > 0 {
            verdict.push_str(&format!(", {} undelivered", counted(waiting, "report", "reports")));
        }
        if !self.standstills.is_empty() {
            verdict.push_str(", something stands still");
        }
        let verdict = format!("{verdict}, {}", self.checks());
        let (began, number_of) = (self.began, number(self.turn.number));
        let beat = vec![
            format!("HEARTBEAT  {number_of}"),
            format!("  running since {} ({})", times.full(began), span(self.now.wall.since(began))),
            format!("  next one due {}", times.full(self.next)),
        ];
        self.page(
            &verdict,
            vec![beat, self.trouble(&times), self.since(&times), self.coverage(), self.log_lags()],
            head,
        )
    }

    fn trouble(&self, times: &Times<'_>) -> Vec<String> {
        let mut lines = vec!["ATTENTION".to_owned()];
        let words = |(task, since): &(String, Timestamp)| format!("  {task} stands still since {}", times.full(*since));
        lines.extend(self.standstills.iter().map(words));
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    fn since(&self, times: &Times<'_>) -> Vec<String> {
        let told = self.tally.lines();
        let read = self.grown("lines").max(told);
        let queue = self.queue;
        vec![
            format!("SINCE  {}", times.full(self.before)),
            format!("  {}, {} read", counted(self.grown("looks"), "check", "checks"), bytes(self.grown("bytes"))),
            format!("  {} read, {} of them ignored", counted(read, "log line", "log lines"), number(read - told)),
            format!("  {} watched, {} running", counted(self.processes.0, "process", "processes"), self.processes.1),
            Self::events("  events: ", self.tally),
            format!(
                "  queue: {} waiting, {} parked, {} in no report yet",
                number(queue.queued),
                number(queue.parked),
                counted(queue.unreported, "event", "events")
            ),
        ]
    }

    fn events(first: &str, tally: &Tally) -> String {
        let sums = tally.by_category(|_, _| true).into_iter();
        let mut classes: Vec<String> = sums.map(|(category, count)| counted_words(category, count)).collect();
        if classes.is_empty() {
            classes.push("none".to_owned());
        }
        let mut lines = Vec::new();
        flow(first.to_owned(), &classes, &mut lines);
        lines.join("\n")
    }

    fn coverage(&self) -> Vec<String> {
        let mut lines = vec!["COVERAGE".to_owned()];
        for (summary, _) in self.areas {
            let mut parts = vec![summary.area.state.word().to_owned(), counted(summary.entries, "entry", "entries")];
            parts.extend(summary.oldest.map(|at| format!("oldest check {}", span(self.now.wall.since(at)))));
            parts.push(counted(summary.area.rounds, "round", "rounds"));
            lines.push(format!("  {}  {}", escape_name_cut(&summary.area.path, VALUE_LIMIT), parts.join(", ")));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    fn log_lags(&self) -> Vec<String> {
        let mut lines = vec!["LOGS".to_owned()];
        for log in self.logs {
            let words = if log.lag == 0 { "read to its end".to_owned() } else { format!("{} behind", bytes(log.lag)) };
            lines.push(format!("  {}  {words}", escape_name_cut(&log.path, VALUE_LIMIT)));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    /// The rounds of an area that were finished since the turn before.
    pub(crate) fn rounds(&self, summary: &AreaSummary) -> u64 {
        self.grown(&format!("rounds {}", summary.area.id.0))
    }

    /// The report of finished rounds.
    pub fn finished_rounds(&self, head: Head) -> Rendered {
        let times = Times::new(self.now.wall, self.zone);
        let rounds = self.areas.iter().fold(0, |sum: u64, (area, _)| sum.saturating_add(self.rounds(area)));
        let verdict = format!("{} finished, {}", counted(rounds, "round", "rounds"), self.checks());
        let length = self.now.wall.since(self.before);
        let mut lines = vec![
            format!("ROUNDS  since {} ({})", times.full(self.before), span(length)),
            format!("  {}, {} read", counted(self.grown("looks"), "check", "checks"), bytes(self.grown("bytes"))),
        ];
        for (summary, found) in self.areas {
            let rounds = self.rounds(summary);
            let each = u32::try_from(rounds).ok().filter(|rounds| *rounds > 0).map(|rounds| length / rounds);
            let pace = each.map_or_else(String::new, |each| format!(", one in {}", span(each)));
            lines.push(format!(
                "  {}  {}, {} finished{pace}",
                escape_name_cut(&summary.area.path, VALUE_LIMIT),
                counted(summary.entries, "entry", "entries"),
                counted(rounds, "round", "rounds"),
            ));
            lines.push(Self::events("        found: ", found));
        }
        self.page(&verdict, vec![lines], head)
    }

    /// The report of rules that matched nothing for `length`.
    pub fn unused_rules(&self, rules: &[RuleCount], length: std::time::Duration, head: Head) -> Rendered {
        let total = u64::try_from(rules.len()).unwrap_or(u64::MAX);
        let verdict = format!("{} unused for {}", counted(total, "log rule", "log rules"), span(length));
        let mut lines = vec!["UNUSED RULES".to_owned()];
        for file in rules.chunk_by(|one, other| one.file == other.file) {
            lines.push(format!("  {}", escape_name_cut(file.first().map_or(b"", |rule| &rule.file), VALUE_LIMIT)));
            lines.extend(
                file.iter().take(MOST_RULES).map(|rule| format!("        {}", escape_cut(&rule.text, VALUE_LIMIT))),
            );
            let more = file.len().saturating_sub(MOST_RULES);
            if more > 0 {
                lines.push(format!("        …and {more} more: {} rules unused", self.program));
            }
        }
        self.page(&verdict, vec![lines], head)
    }
}
