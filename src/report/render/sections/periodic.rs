//! The mails that say how things go when nothing has happened: the heartbeat, the report of finished rounds, unused rules.
//!
//! Somebody on another machine may wait for them, so their subjects begin with the same words each time, a heartbeat carries its number
//! and when the next one is due, and everything in it comes from the store, not from what a task believes of itself.

use jiff::tz::TimeZone;

use crate::{
    config::schema::units::format_span,
    model::{
        clock::{Moment, Timestamp},
        escape::{escape_cut, escape_name_cut, hex},
        event::Severity,
        file::entry::AreaId,
        format::{VALUE_LIMIT, counted, length, number},
        health::Health,
        process::Liveness,
    },
    report::render::{
        batch::BatchTally,
        format::{Times, bytes, flow, span},
        report::Rendered,
        subject::{self, HOST_LIMIT, counted_words, shorten},
    },
    store::{
        baseline::areas::AreaState,
        events::append::Head,
        health::facts::Facts,
        outbox::periodic::{Last, Marks},
    },
};

/// Most troubles that are listed.
const MOST_TROUBLES: usize = 20;

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
    pub tally: &'a BatchTally,
    /// How everything stands.
    pub facts: &'a Facts,
    /// What is wrong with it.
    pub health: &'a Health,
    /// The events between of each area, by its row.
    pub areas: &'a [(AreaId, BatchTally)],
}

impl Figures<'_> {
    /// How much `name` has grown since the turn before.
    pub(crate) fn grown(&self, name: &str) -> u64 {
        let value = |marks: &Marks| marks.get(name).copied().unwrap_or(0);
        value(self.marks.1).saturating_sub(value(self.marks.0))
    }

    fn checks(&self) -> String {
        let mut words = counted(self.grown("looks"), "check", "checks");
        if let Some(oldest) = self.facts.oldest() {
            words.push_str(&format!(", oldest {}", span(oldest)));
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
        let queue = &self.facts.queue;
        let waiting = queue.queued.saturating_add(queue.parked);
        let is_quiet = self.health.is_quiet() && waiting == 0;
        let mut verdict = match (events, is_quiet) {
            (0, true) => "all quiet".to_owned(),
            (0, false) => "alive".to_owned(),
            (events, _) => format!("alive, {}", counted(events, "event", "events")),
        };
        if let Some(gravest) = self.health.headline() {
            verdict.push_str(&format!(", {gravest}"));
        }
        if waiting > 0 {
            verdict.push_str(&format!(", {} undelivered", counted(waiting, "report", "reports")));
        }
        let verdict = format!("{verdict}, {}", self.checks());
        let (began, number_of) = (self.began, number(self.turn.number));
        let beat = vec![
            format!("HEARTBEAT  {number_of}"),
            format!("  running since {} ({})", times.full(began), span(self.now.wall.since(began))),
            format!("  next one due {}", times.full(self.next)),
        ];
        self.page(&verdict, vec![beat, self.troubles(), self.since(&times), self.coverage(), self.log_lags()], head)
    }

    fn troubles(&self) -> Vec<String> {
        let mut lines = vec!["ATTENTION".to_owned()];
        let grave = self.health.grave();
        lines.extend(grave.map(|trouble| format!("  {:<8}  {}", trouble.kind.weight().word(), trouble.words)));
        let more = lines.len().saturating_sub(MOST_TROUBLES + 1);
        if more > 0 {
            lines.truncate(MOST_TROUBLES + 1);
            lines.push(format!("  …and {} more: {} status", length(more), self.program));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    fn since(&self, times: &Times<'_>) -> Vec<String> {
        let told = self.tally.lines();
        let read = self.grown("lines").max(told);
        let queue = &self.facts.queue;
        let processes = &self.facts.processes;
        let running = processes.iter().filter(|process| process.liveness == Liveness::Running).count();
        vec![
            format!("SINCE  {}", times.full(self.before)),
            format!("  {}, {} read", counted(self.grown("looks"), "check", "checks"), bytes(self.grown("bytes"))),
            format!("  {} read, {} of them ignored", counted(read, "log line", "log lines"), number(read - told)),
            format!(
                "  {} watched, {running} running",
                counted(u64::try_from(processes.len()).unwrap_or(u64::MAX), "process", "processes")
            ),
            Self::events("  events: ", self.tally),
            format!(
                "  queue: {} waiting, {} parked, {} in no report yet",
                number(queue.queued),
                number(queue.parked),
                counted(queue.unreported, "event", "events")
            ),
        ]
    }

    fn events(first: &str, tally: &BatchTally) -> String {
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
        for area in self.facts.configured() {
            // Cut, not rounded: 100 means all.
            let seen = (area.share() * 100.0).floor();
            let mut parts = vec![area.state.word().to_owned()];
            if area.state != AreaState::Learning {
                parts.push(format!("{seen}% seen in {}", format_span(area.within())));
            }
            parts.push(counted(area.entries, "entry", "entries"));
            if area.unreadable > 0 {
                parts.push(format!("{} of them unreadable", number(area.unreadable)));
            }
            parts.extend(area.oldest.map(|oldest| format!("oldest check {}", span(oldest))));
            parts.push(counted(area.rounds, "round", "rounds"));
            lines.push(format!("  {}  {}", escape_name_cut(&area.raw, VALUE_LIMIT), parts.join(", ")));
        }
        if lines.len() > 1 { lines } else { Vec::new() }
    }

    /// How far each log was read, whatever rules it is read by.
    fn log_lags(&self) -> Vec<String> {
        let mut found: Vec<(&str, String)> = Vec::new();
        for log in &self.facts.logs {
            let words = match (log.trouble, log.lag) {
                (Some((word, since)), _) => format!("{word} for {}", span(self.facts.age(since))),
                (None, Some(0)) => "read to its end".to_owned(),
                (None, Some(lag)) => format!("{} behind", bytes(lag)),
                (None, None) => continue,
            };
            if !found.contains(&(log.path.as_str(), words.clone())) {
                found.push((&log.path, words));
            }
        }
        let lines: Vec<String> = found.into_iter().map(|(path, words)| format!("  {path}  {words}")).collect();
        if lines.is_empty() { lines } else { std::iter::once("LOGS".to_owned()).chain(lines).collect() }
    }

    /// The rounds of an area that were finished since the turn before.
    fn rounds(&self, area: AreaId) -> u64 {
        self.grown(&format!("rounds {}", area.0))
    }

    /// The report of finished rounds.
    pub fn finished_rounds(&self, head: Head) -> Rendered {
        let times = Times::new(self.now.wall, self.zone);
        let rounds = self.facts.active().fold(0, |sum: u64, area| sum.saturating_add(self.rounds(area.id)));
        let verdict = format!("{} finished, {}", counted(rounds, "round", "rounds"), self.checks());
        let length = self.now.wall.since(self.before);
        let mut lines = vec![
            format!("ROUNDS  since {} ({})", times.full(self.before), span(length)),
            format!("  {}, {} read", counted(self.grown("looks"), "check", "checks"), bytes(self.grown("bytes"))),
        ];
        for area in self.facts.active() {
            let rounds = self.rounds(area.id);
            let each = u32::try_from(rounds).ok().filter(|rounds| *rounds > 0).map(|rounds| length / rounds);
            let pace = each.map_or_else(String::new, |each| format!(", one in {}", span(each)));
            lines.push(format!(
                "  {}  {}, {} finished{pace}",
                escape_name_cut(&area.raw, VALUE_LIMIT),
                counted(area.entries, "entry", "entries"),
                counted(rounds, "round", "rounds"),
            ));
            let found = self.areas.iter().find(|(id, _)| *id == area.id);
            lines.extend(found.map(|(_, found)| Self::events("        found: ", found)));
        }
        self.page(&verdict, vec![lines], head)
    }
}
