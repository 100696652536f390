//! Events for people, one after another, in the words of the mails: what `history` and `show` print.

use jiff::tz::TimeZone;

use crate::{
    model::{
        clock::Timestamp,
        escape::escape_name,
        event::{Kind, Member, StoredEvent},
        file::entry::Entry,
        format::number,
    },
    report::render::{
        entry,
        format::{Times, wrapped},
        sections::{
            file_item::{self, Layout},
            log_lines::{self, LineExtent},
            processes, self_events,
        },
    },
    sys::users::Names,
};

/// Columns of the mark.
const MARK: usize = 4;

/// Columns of a path.
const PATH: usize = 40;

/// Shows events with their numbers.
#[derive(Debug)]
pub struct EventListing<'a> {
    times: Times<'a>,
    names: &'a Names,
    program: &'a str,
}

impl<'a> EventListing<'a> {
    /// A listing made at `now`, with times in `zone`; `program` is how further commands are called.
    pub fn new(now: Timestamp, zone: &'a TimeZone, names: &'a Names, program: &'a str) -> Self {
        Self { times: Times::new(now, zone), names, program }
    }

    /// The lines of one event, each ended; neutralised. A long line of a log is cut.
    pub fn event(&self, stored: &StoredEvent) -> String {
        self.shown(stored, LineExtent::Cut)
    }

    /// As [`EventListing::event`], with a line of a log as far as it was kept: 64 KiB.
    pub fn whole_event(&self, stored: &StoredEvent) -> String {
        self.shown(stored, LineExtent::Whole)
    }

    fn shown(&self, stored: &StoredEvent, extent: LineExtent) -> String {
        let mut out = vec![format!("{}  {}", number(stored.seq), self.times.short(stored.event.found.wall))];
        match stored.event.category.kind() {
            Kind::Log if stored.event.category.is_line() => {
                log_lines::listed(stored, extent, self.program, MARK, &mut out);
            }
            Kind::Own | Kind::Log => self_events::lines(stored, &self.times, self.program, MARK, &mut out),
            Kind::Process => {
                let is_whole = matches!(extent, LineExtent::Whole);
                out.extend(processes::listed(stored, &self.times, self.program, MARK, is_whole));
            }
            Kind::File => file_item::lines(stored, None, &self.layout(), &mut out),
        }
        wrapped(&out).join("\n") + "\n"
    }

    /// The lines of what a pass has found, each ended; neutralised. Its number stands before it where it was stored.
    pub fn finding(&self, stored: &StoredEvent) -> String {
        if stored.seq > 0 {
            return self.event(stored);
        }
        let mut lines = Vec::new();
        file_item::lines(stored, None, &self.layout(), &mut lines);
        wrapped(&lines).join("\n") + "\n"
    }

    fn layout(&self) -> Layout<'_> {
        Layout { times: &self.times, names: self.names, program: self.program, mark: MARK, path: PATH }
    }

    /// The lines of what the baseline holds of one path; neutralised.
    pub fn entry(&self, entry: &Entry) -> Vec<String> {
        entry::lines(entry, &self.times, self.names)
    }

    /// The lines of the objects a summary event stands for.
    pub fn members(&self, members: &[Member]) -> String {
        let line = |member: &Member| {
            format!("        {}  {}", member.old.attributes.kind.letter(), escape_name(&member.source))
        };
        lines_of(members.iter().map(line))
    }
}

/// The lines of paths within a summary; neutralised.
pub fn held<'a>(paths: impl Iterator<Item = &'a Vec<u8>>) -> String {
    lines_of(paths.map(|path| format!("        holds {}", escape_name(path))))
}

/// Each line ended, in the width of all.
fn lines_of(lines: impl Iterator<Item = String>) -> String {
    wrapped(&lines.collect::<Vec<_>>()).into_iter().map(|line| line + "\n").collect()
}

/// A number with thousands separators, as mails show it.
pub fn number_words(value: u64) -> String {
    number(value)
}
