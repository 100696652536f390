//! Watched processes as lines of a report: what happened to one in a batch is one item, however often it was restarted.

use std::time::Duration;

use crate::{
    model::{
        clock::Timestamp,
        escape::{escape_name, escape_name_cut},
        event::{Category, Event, Severity, StoredEvent},
        format::{VALUE_LIMIT, counted, number},
        process::{Process, WatchName},
    },
    report::render::format::{INDENT, Times, note_lines, span},
};

/// What happened to one watched process.
#[derive(Debug)]
pub(crate) struct ProcessItem<'a> {
    /// The events, in the order of their numbers; at least one.
    events: Vec<&'a StoredEvent>,
}

/// What the events of one item are about.
fn name(event: &Event) -> WatchName {
    let container = event.process.as_ref().map(|news| news.container.clone()).unwrap_or_default();
    WatchName { source: event.source.clone(), container }
}

/// The items that `events` make, gravest first.
pub(crate) fn items<'a>(events: &[&'a StoredEvent]) -> Vec<ProcessItem<'a>> {
    let mut items: Vec<(WatchName, ProcessItem<'a>)> = Vec::new();
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|stored| stored.seq);
    for stored in sorted {
        let name = name(&stored.event);
        match items.iter_mut().find(|(known, _)| *known == name) {
            Some((_, item)) => item.events.push(stored),
            None => items.push((name, ProcessItem { events: vec![stored] })),
        }
    }
    let mut items: Vec<ProcessItem<'a>> = items.into_iter().map(|(_, item)| item).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.severity()));
    items
}

/// Whether its events say how a process fares, and not its PID file.
const fn is_life(category: Category) -> bool {
    matches!(
        category,
        Category::ProcessDied
            | Category::ProcessZombie
            | Category::ProcessHeadless
            | Category::ProcessRestarted
            | Category::ProcessReplaced
            | Category::ProcessExec
    )
}

impl ProcessItem<'_> {
    /// The gravest of its events.
    pub(crate) fn severity(&self) -> Severity {
        self.events.iter().map(|stored| stored.event.severity).max().unwrap_or(Severity::Count)
    }

    /// How many events it stands for.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// `apache2 (/run/apache2.pid)`.
    pub(crate) fn title(&self) -> String {
        let process = self.events.iter().rev().find_map(|stored| {
            let news = stored.event.process.as_ref()?;
            news.new.as_ref().or(news.old.as_ref())
        });
        let name = self.events.first().map(|stored| name(&stored.event));
        let Some(name) = name.filter(|name| !name.source.is_empty()) else { return "processes".to_owned() };
        let mut place = escape_name_cut(&name.source, VALUE_LIMIT);
        if !name.container.is_empty() {
            place = format!("{place} in {}", escape_name_cut(&name.container, VALUE_LIMIT));
        }
        process.map_or(place.clone(), |process| format!("{} ({place})", escape_name(&process.comm)))
    }

    fn restarts(&self) -> u64 {
        let restarted = self.events.iter().filter(|stored| stored.event.category == Category::ProcessRestarted);
        restarted.fold(0, |sum, stored| sum.saturating_add(stored.event.count))
    }

    /// What has become of it, in a word or two.
    pub(crate) fn verdict(&self) -> String {
        let last = self.events.iter().rev().find(|stored| is_life(stored.event.category)).or(self.events.last());
        let Some(last) = last else { return String::new() };
        match (last.event.category, self.restarts()) {
            (Category::ProcessRestarted, 2..) => format!("restarted {} times", number(self.restarts())),
            (category, _) => category.word().to_owned(),
        }
    }

    /// The lines of the item; `mark` is the width of the mark.
    pub(crate) fn lines(&self, times: &Times<'_>, program: &str, mark: usize, out: &mut Vec<String>) {
        let sign = self.severity().mark();
        let title = self.title();
        let (lives, rest): (Vec<&StoredEvent>, Vec<&StoredEvent>) =
            self.events.iter().partition(|stored| is_life(stored.event.category));
        let mut heads = Vec::new();
        let mut noted = Vec::new();
        if self.restarts() >= 2 {
            heads.push(self.storm(&lives, times));
        } else if let [died, restarted] = lives[..]
            && (died.event.category, restarted.event.category) == (Category::ProcessDied, Category::ProcessRestarted)
        {
            let died = format!("; died {}", times.short(died.event.found.wall));
            heads.push(one(&restarted.event, times, &died));
            noted.extend(notes(restarted, program));
        } else {
            for life in lives {
                heads.push(one(&life.event, times, ""));
                noted.extend(notes(life, program));
            }
        }
        for stored in rest {
            heads.push(one(&stored.event, times, ""));
            noted.extend(notes(stored, program));
        }
        let mut heads = heads.into_iter();
        out.push(format!("  {sign:<mark$}  {title}  {}", heads.next().unwrap_or_default()));
        out.extend(heads.chain(noted).map(|line| format!("{INDENT}{line}")));
    }

    /// Many restarts in one line, and how they ended.
    fn storm(&self, lives: &[&StoredEvent], times: &Times<'_>) -> String {
        let restarted =
            || lives.iter().map(|stored| &stored.event).filter(|it| it.category == Category::ProcessRestarted);
        let begin = |event: &Event| if event.count > 1 { event.not_before } else { None }.unwrap_or(event.found.wall);
        let first: Option<Timestamp> = lives.iter().map(|stored| begin(&stored.event)).min();
        let last = restarted().map(|event| event.found.wall).max();
        let lasted = last.zip(first).map_or(Duration::ZERO, |(last, first)| last.since(first));
        let many = format!("restarted {} times in {}", number(self.restarts()), span(lasted));
        match lives.last().map(|stored| &stored.event) {
            Some(end) if end.category == Category::ProcessRestarted => {
                let pid = end.process.as_ref().and_then(|news| news.new.as_ref()).map(pid).unwrap_or_default();
                format!("{many}, now {pid}, {}", times.short(end.found.wall))
            }
            Some(end) => format!("{}, having been {many}", one(end, times, "")),
            None => many,
        }
    }
}

fn notes(stored: &StoredEvent, program: &str) -> Vec<String> {
    note_lines(&stored.event.note, &format!("{program} show {}", stored.seq))
}

fn pid(process: &Process) -> String {
    match process.inner {
        Some(inner) if inner != process.id.pid => format!("{} ({inner} inside)", process.id.pid),
        _ => process.id.pid.to_string(),
    }
}

/// `sshd (/usr/sbin/sshd)`.
fn program(process: &Process) -> String {
    let comm = escape_name(&process.comm);
    process.exe.as_ref().map_or(comm.clone(), |exe| format!("{comm} ({})", escape_name_cut(exe, VALUE_LIMIT)))
}

/// One event in one line; `more` is said of how long the process was up.
fn one(event: &Event, times: &Times<'_>, more: &str) -> String {
    let news = event.process.as_deref();
    let (old, new) = (news.and_then(|news| news.old.as_ref()), news.and_then(|news| news.new.as_ref()));
    let at = times.short(event.found.wall);
    let up = |process: &Process| format!(" (was up {}{more})", span(event.found.wall.since(process.since)));
    let word = event.category.word();
    match (event.category, old, new) {
        (Category::ProcessDied, Some(old), _) if event.severity == Severity::Low => {
            format!("zombie {} is gone, {at}", pid(old))
        }
        (Category::ProcessDied, Some(old), _) => format!("{word} {}, {at}{}", pid(old), up(old)),
        (Category::ProcessDied, None, _) => format!("does not run, {at}"),
        (Category::ProcessRestarted, _, _) if event.count > 1 => {
            let first = event.not_before.unwrap_or(event.found.wall);
            format!("{word} {} in {}, {at}", counted(event.count, "time", "times"), span(event.found.wall.since(first)))
        }
        (Category::ProcessRestarted, Some(old), Some(new)) => {
            let other = if old.runs_same_file(new) {
                String::new()
            } else {
                format!(", other program: {} → {}", program(old), program(new))
            };
            format!("{word} {} → {}, {at}{}{other}", pid(old), pid(new), up(old))
        }
        (Category::ProcessRestarted, None, Some(new)) => format!("runs now, {}, {at}", pid(new)),
        (Category::ProcessReplaced, Some(old), Some(new)) => {
            format!("died, and {} is {} now, was {}, {at}{}", pid(new), program(new), program(old), up(old))
        }
        (Category::ProcessExec, Some(old), Some(new)) => {
            format!("{} runs {} now, was {}, {at}", pid(new), program(new), program(old))
        }
        (Category::ProcessZombie | Category::ProcessHeadless, _, Some(new)) => format!("{word} {}, {at}", pid(new)),
        _ => format!("{word}, {at}"),
    }
}

/// The lines of one event in a listing; with the programs when it `is_whole`.
pub(crate) fn listed(
    stored: &StoredEvent,
    times: &Times<'_>,
    command: &str,
    mark: usize,
    is_whole: bool,
) -> Vec<String> {
    let mut out = Vec::new();
    ProcessItem { events: vec![stored] }.lines(times, command, mark, &mut out);
    if let Some(news) = stored.event.process.as_deref().filter(|_| is_whole) {
        for (word, process) in [("was", &news.old), ("is", &news.new)] {
            let line = process.as_ref().map(|process| {
                format!(
                    "{INDENT}{word:<3} {} {}, started {}",
                    pid(process),
                    program(process),
                    times.short(process.since)
                )
            });
            out.extend(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        model::clock::Moment,
        report::render::test_events::{ago, now, process, process_event, stored},
    };

    fn lines_of(events: &[StoredEvent]) -> Vec<String> {
        let zone = TimeZone::UTC;
        let times = Times::new(now().wall, &zone);
        let mut out = Vec::new();
        for item in items(&events.iter().collect::<Vec<_>>()) {
            item.lines(&times, "integrityd", 4, &mut out);
        }
        out
    }

    fn at(event: Event, seconds: u64) -> Event {
        Event { found: Moment { wall: ago(seconds), ..now() }, ..event }
    }

    #[test]
    fn one_of_each_says_what_became_of_it() {
        let news = |category, severity, old, new| at(process_event(category, severity, old, new), 60);
        let (old, new) = (process(812, "apache2"), process(9021, "apache2"));
        let other = process(812, "sshd");
        let (died, high) = (Category::ProcessDied, Severity::High);
        let events = [
            news(died, high, Some(old.clone()), None),
            news(Category::ProcessRestarted, Severity::Normal, Some(old.clone()), Some(new)),
            news(Category::ProcessReplaced, high, Some(old.clone()), Some(other.clone())),
            news(Category::ProcessZombie, high, None, Some(old.clone())),
            news(Category::ProcessExec, Severity::Normal, Some(old.clone()), Some(other)),
            news(Category::PidFileMissing, Severity::Normal, None, Some(old)).with_note("there is no such file"),
        ];
        let all: Vec<String> = events.into_iter().flat_map(|event| lines_of(&[stored(1, event)])).collect();
        insta::assert_snapshot!(all.join("\n"), @r"
          HIGH  apache2 (/run/apache2.pid)  died 812, 13:09:02 (was up 41.0 d)
          ---   apache2 (/run/apache2.pid)  restarted 812 → 9021, 13:09:02 (was up 41.0 d)
          HIGH  sshd (/run/apache2.pid)  died, and 812 is sshd (/usr/sbin/sshd) now, was apache2 (/usr/sbin/apache2), 13:09:02 (was up 41.0 d)
          HIGH  apache2 (/run/apache2.pid)  zombie 812, 13:09:02
          ---   sshd (/run/apache2.pid)  812 runs sshd (/usr/sbin/sshd) now, was apache2 (/usr/sbin/apache2), 13:09:02
          ---   apache2 (/run/apache2.pid)  pid file missing, 13:09:02
                there is no such file
        ");
    }

    #[test]
    fn a_death_and_the_restart_after_it_are_one_item() {
        let (old, new) = (process(812, "apache2"), process(9021, "apache2"));
        let died = at(process_event(Category::ProcessDied, Severity::High, Some(old.clone()), None), 61);
        let back = at(process_event(Category::ProcessRestarted, Severity::Normal, Some(old), Some(new)), 60);
        let lines = lines_of(&[stored(1, died), stored(2, back)]);
        assert_eq!(
            lines,
            ["  HIGH  apache2 (/run/apache2.pid)  restarted 812 → 9021, 13:09:02 (was up 41.0 d; died 13:09:01)"]
        );
    }

    #[test]
    fn many_restarts_are_one_item_with_their_number() {
        let mut events = Vec::new();
        for number in 0..3_u32 {
            let (old, new) = (process(100 + number, "flaky"), process(101 + number, "flaky"));
            let seconds = 100 - u64::from(number);
            let died = process_event(Category::ProcessDied, Severity::High, Some(old.clone()), None);
            let back = process_event(Category::ProcessRestarted, Severity::Normal, Some(old), Some(new));
            events.extend([at(died, seconds), at(back, seconds)]);
        }
        let mut storm = process_event(Category::ProcessRestarted, Severity::Normal, None, Some(process(120, "flaky")));
        (storm.count, storm.not_before) = (17, Some(ago(97)));
        events.push(at(storm, 80));
        let events: Vec<_> = (1..).zip(events).map(|(seq, event)| stored(seq, event)).collect();
        assert_eq!(
            lines_of(&events),
            ["  HIGH  flaky (/run/apache2.pid)  restarted 20 times in 20 s, now 120, 13:08:42"]
        );
        let died = at(process_event(Category::ProcessDied, Severity::High, Some(process(120, "flaky")), None), 10);
        let lines = lines_of(&[&events[..], &[stored(99, died)]].concat());
        assert!(lines[0].contains("died 120") && lines[0].ends_with("restarted 20 times in 20 s"), "{lines:?}");
    }

    #[test]
    fn containers_are_told_apart_and_a_name_is_neutralised() {
        let mut hostile = process(7, "x");
        hostile.comm = b"\x1b[2J\nFILES".to_vec();
        let mut inside = process_event(Category::ProcessDied, Severity::High, Some(hostile), None);
        let news = inside.process.as_mut().unwrap();
        news.container = b"web".to_vec();
        news.old.as_mut().unwrap().inner = Some(3);
        let host = process_event(Category::ProcessDied, Severity::High, Some(process(8, "y")), None);
        let lines = lines_of(&[stored(1, inside), stored(2, host)]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(r"\x1b[2J\nFILES (/run/apache2.pid in web)  died 7 (3 inside)"), "{lines:?}");
    }
}
