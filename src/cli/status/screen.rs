//! `status` for people: one screen, 60 columns or wider, complete without colour.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    cli::status::{
        column::{Column, TableStyle, shortened, style},
        level::StatusLevel,
        screen_processes::processes,
    },
    config::schema::units::format_span,
    model::{
        escape::{escape_cut, hex},
        format::{age, number, rate, size, span},
        health::Health,
    },
    store::{
        baseline::areas::AreaState,
        health::{
            fact_logs::LogFacts,
            facts::{AreaFacts, Facts},
        },
    },
};

/// Columns of the labels at the left.
const LABEL: usize = 10;

/// Stands for a blank at which no line is broken.
const GLUE: char = '\u{a0}';

/// Bytes of a mail server's answer that are shown.
const ANSWER: usize = 200;

/// The whole screen, each line ended.
pub(in crate::cli) fn screen(facts: &Facts, health: &Health, look: TableStyle) -> String {
    let mut lines = head(facts, health, look);
    for remark in &facts.remarks {
        lines.extend(wrapped("NOTE", remark, look.width));
    }
    for trouble in health.all() {
        let weight = trouble.kind.weight();
        let mut found = wrapped(weight.word(), &trouble.words, look.width);
        if let Some(first) = found.first_mut() {
            *first = first.replacen(weight.word(), &look.paint(weight.word(), style(weight.into())), 1);
        }
        lines.extend(found);
    }
    if facts.areas.is_empty() && facts.logs.is_empty() && facts.processes.is_empty() {
        lines.push("\nNo area was looked at yet.\n".to_owned());
    } else if facts.areas.is_empty() {
        lines.push(String::new());
    } else {
        lines.push(String::new());
        lines.extend(table(&facts.areas, look));
        let meaning = "the share read within areamaxage, or within 7d where none is set";
        lines.extend(wrapped("SEEN", meaning, look.width));
        lines.push(String::new());
    }
    if !facts.logs.is_empty() {
        lines.extend(logs(facts, look));
        lines.push(String::new());
    }
    if !facts.processes.is_empty() {
        lines.extend(processes(facts, look));
        lines.push(String::new());
    }
    lines.extend(foot(facts, look.width));
    lines.join("\n") + "\n"
}

fn head(facts: &Facts, health: &Health, look: TableStyle) -> Vec<String> {
    let level = StatusLevel::of(health);
    let daemon = &facts.daemon;
    let running = match (daemon.is_running, daemon.running_for) {
        (Some(true), Some(for_so_long)) => format!("running for {}", span(for_so_long)),
        (Some(true), None) => "running".to_owned(),
        (Some(false), _) => "not running".to_owned(),
        (None, _) => "whether it runs cannot be told by this user".to_owned(),
    };
    let verdict = look.paint(level.word(), style(level));
    let first = format!("integrityd {verdict}, {running}");
    let database = format!("database {}, {}", facts.database, size(facts.database_size));
    let plain = format!("integrityd {}, {running}", level.word());
    if plain.width() + 3 + database.width() <= look.width {
        return vec![format!("{first}   {database}")];
    }
    let room = look.width.saturating_sub("database , ".len() + size(facts.database_size).len());
    vec![first, format!("database {}, {}", shortened(&facts.database, room), size(facts.database_size))]
}

/// `LABEL   words`, further lines indented below the words; only what is wider than a line is broken within.
fn wrapped(label: &str, words: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = format!("{label:<LABEL$}");
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        if line.width() > LABEL && line.width() + word.width() + 1 > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(LABEL)));
        }
        if line.width() > LABEL {
            line.push(' ');
        }
        for letter in word.chars() {
            let letter = if letter == GLUE { ' ' } else { letter };
            if line.width() + letter.width().unwrap_or_default() > width {
                lines.push(std::mem::replace(&mut line, " ".repeat(LABEL)));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

fn table(areas: &[AreaFacts], look: TableStyle) -> Vec<String> {
    let column =
        |title, is_right, cell: &dyn Fn(&AreaFacts) -> String| Column::new(title, is_right, areas.iter().map(cell));
    let aged = |wait: Option<std::time::Duration>| wait.map_or_else(|| "-".to_owned(), age);
    let mut columns = vec![
        column("STATE", false, &|area| state(area.state).to_owned()),
        column("ENTRIES", true, &|area| number(area.entries)),
        column("OLDEST", true, &|area| aged(area.oldest)),
    ];
    if look.width >= 76 {
        columns.push(column("P95", true, &|area| aged(area.most)));
        columns.push(column("P50", true, &|area| aged(area.median)));
    }
    let length = match look.width {
        ..76 => 5,
        76..100 => 8,
        _ => 20,
    };
    let seen = column("SEEN", false, &|area| bar(area, length));
    let fixed: usize = columns.iter().chain([&seen]).map(|column| column.width() + 2).sum();
    let room = look.width.saturating_sub(fixed).max(10);
    let paths = column("AREA", false, &|area| shortened(&area.path, room));
    columns.insert(0, paths);
    let row = |row: Option<usize>| {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(row, column.width())).collect();
        let bar = seen.cell(row, 0);
        let bar = match row.and_then(|row| areas.get(row)) {
            Some(area) => look.paint(&bar, style(condition(area))),
            None => bar,
        };
        format!("{}  {bar}", cells.join("  "))
    };
    std::iter::once(row(None)).chain((0..areas.len()).map(|place| row(Some(place)))).collect()
}

/// One line a log: how far it was read, and how much of it waits.
fn logs(facts: &Facts, look: TableStyle) -> Vec<String> {
    let logs = &facts.logs;
    let condition = |log: &LogFacts| match (log.trouble, log.offset) {
        (Some((word, since)), _) => format!("{word} for {}", span(facts.age(since))),
        (None, None) if log.path != "journal" => "not there yet".to_owned(),
        (None, _) => "read".to_owned(),
    };
    let bytes = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), size);
    let columns = [
        Column::new("AT", true, logs.iter().map(|log| bytes(log.offset))),
        Column::new("BEHIND", true, logs.iter().map(|log| bytes(log.lag))),
        Column::new("STATE", false, logs.iter().map(condition)),
    ];
    let fixed: usize = columns.iter().map(|column| column.width() + 2).sum();
    let room = look.width.saturating_sub(fixed).max(10);
    let paths = Column::new("LOG", false, logs.iter().map(|log| shortened(&log.path, room)));
    let row = |row: Option<usize>| {
        let cells: Vec<String> =
            std::iter::once(&paths).chain(&columns).map(|column| column.cell(row, column.width())).collect();
        let line = cells.join("  ").trim_end().to_owned();
        let is_bad = row.and_then(|row| logs.get(row)).is_some_and(|log| log.trouble.is_some());
        if is_bad { look.paint(&line, style(StatusLevel::Warning)) } else { line }
    };
    std::iter::once(row(None)).chain((0..logs.len()).map(|place| row(Some(place)))).collect()
}

const fn state(state: AreaState) -> &'static str {
    match state {
        AreaState::Missing => "MISSING",
        AreaState::Suspended => "SUSPENDED",
        AreaState::Unconfigured => "unused",
        AreaState::Learning | AreaState::Watched => state.word(),
    }
}

fn condition(area: &AreaFacts) -> StatusLevel {
    match area.state {
        AreaState::Missing | AreaState::Suspended => StatusLevel::Critical,
        AreaState::Watched if area.share() < 1.0 => StatusLevel::Warning,
        AreaState::Watched | AreaState::Learning | AreaState::Unconfigured => StatusLevel::Fine,
    }
}

/// `#####...  62% in 7d`; what is not complete never looks complete.
fn bar(area: &AreaFacts, length: usize) -> String {
    match area.state {
        // Nothing of one that is missing or suspended is seen.
        AreaState::Watched | AreaState::Missing | AreaState::Suspended => {}
        AreaState::Learning => {
            let share =
                |(expected, _)| u64::saturating_mul(area.entries, 100).checked_div(expected).unwrap_or(0).min(99);
            return area
                .first_round
                .map_or_else(|| "first round".to_owned(), |round| format!("first round, {}%", share(round)));
        }
        AreaState::Unconfigured => return "not watched".to_owned(),
    }
    let share = area.share();
    let tenths = |most: f64| (share * most).floor();
    let full = (0_u32..)
        .zip(0..length)
        .filter(|(place, _)| f64::from(*place) < tenths(f64::from(u32::try_from(length).unwrap_or(0))))
        .count();
    format!("{}{} {:>3}% in {}", "#".repeat(full), ".".repeat(length - full), tenths(100.0), format_span(area.within()))
}

fn foot(facts: &Facts, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(pace) = facts.pace {
        let needs: Vec<String> = facts
            .active()
            .filter_map(|area| Some(format!("{} {}", shortened(&area.path, width / 4), rate(area.needed()?))))
            .map(|need| need.replace(' ', &GLUE.to_string()))
            .collect();
        let usual = rate(pace.usual);
        let mut words = if usual == "1" { "1 look/s".to_owned() } else { format!("{usual} looks/s") };
        if !needs.is_empty() {
            words += &format!(", up to {} for areamaxage, which needs: {}", rate(pace.allowed), needs.join(", "));
        }
        lines.extend(wrapped("PACE", &words, width));
    }
    lines.extend(wrapped(
        "LOOKS",
        &format!("{} so far, {} read", number(facts.counters.looks), size(facts.counters.bytes)),
        width,
    ));
    lines.extend(queue(facts, width));
    let head = hex(&facts.head.hash);
    let words = format!("{} events, head ", number(facts.head.seq));
    let is_short = words.len() + head.len() + LABEL > width;
    let shown = if is_short { format!("{}…", head.get(..16).unwrap_or(&head)) } else { head };
    lines.push(format!("{:<LABEL$}{words}{shown}", "CHAIN"));
    lines
}

fn queue(facts: &Facts, width: usize) -> Vec<String> {
    let queue = &facts.queue;
    let mut words = format!("{} waiting", number(queue.queued));
    if queue.parked > 0 {
        words += &format!(", {} given up", number(queue.parked));
    }
    words += &format!(", {} sent", number(queue.sent));
    if let Some(at) = queue.last_sent {
        words += &format!(" (last {} ago)", span(facts.age(at)));
    }
    if queue.queued > 0
        && let Some(oldest) = queue.oldest
    {
        words += &format!(", the oldest for {}", span(facts.age(oldest)));
    }
    match queue.unreported {
        0 => {}
        1 => words += ", 1 event not reported yet",
        events => words += &format!(", {} events not reported yet", number(events)),
    }
    let mut lines = wrapped("QUEUE", &words, width);
    if let Some(reply) = &queue.last_failure {
        lines.extend(wrapped("", &format!("last answer: {}", escape_cut(reply.as_bytes(), ANSWER)), width));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::health::{diagnose::diagnose, facts::sample::facts};

    fn shown(facts: &Facts, width: usize) -> String {
        screen(facts, &diagnose(facts), TableStyle { width, is_coloured: false })
    }

    /// A machine with one of everything.
    fn troubled() -> Facts {
        let mut it = facts();
        (it.areas[0].oldest, it.areas[0].in_time) = (Some(Duration::from_hours(31)), 1_503);
        (it.areas[1].in_time, it.areas[1].state) = (84_210, AreaState::Learning);
        it.areas[2].state = AreaState::Missing;
        (it.queue.queued, it.queue.oldest) = (2, Some(it.now.before(Duration::from_hours(5))));
        it.queue.last_failure = Some("451 4.3.0 the mailbox is full, try again later".to_owned());
        it.remarks.push("/etc/integrityd.conf has 2 faults (integrityd config check lists them)".to_owned());
        it
    }

    #[test]
    fn the_screen_at_three_widths() {
        let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots");
        insta::with_settings!({ snapshot_path => at, prepend_module_to_snapshot => false }, {
            for width in [60, 80, 120] {
                insta::assert_snapshot!(format!("status_fine_{width}"), shown(&facts(), width));
                insta::assert_snapshot!(format!("status_troubled_{width}"), shown(&troubled(), width));
            }
        });
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_ten_areas_fit_on_one() {
        for width in [60, 61, 75, 76, 80, 99, 100, 120, 200] {
            for mut facts in [facts(), troubled()] {
                let area = AreaFacts { max_age: Some(Duration::from_hours(24)), ..facts.areas[0].clone() };
                facts.areas.extend((0..7).map(|number| AreaFacts {
                    path: format!("/srv/漢字漢字漢字漢字漢字漢字/{number}"),
                    ..area.clone()
                }));
                let screen = shown(&facts, width);
                assert!(screen.lines().all(|line| line.width() <= width), "{width}:\n{screen}");
                assert!(width < 80 || facts.queue.queued > 0 || screen.lines().count() <= 24, "{width}:\n{screen}");
            }
        }
    }

    #[test]
    fn colour_only_adds_to_the_same_words() {
        let facts = troubled();
        let coloured = screen(&facts, &diagnose(&facts), TableStyle { width: 80, is_coloured: true });
        assert!(coloured.contains("\x1b[1m\x1b[31mCRITICAL\x1b[0m"), "{coloured:?}");
        let mut plain = String::new();
        let mut pieces = coloured.split('\x1b');
        plain.push_str(pieces.next().unwrap());
        pieces.for_each(|piece| plain.push_str(piece.split_once('m').unwrap().1));
        assert_eq!(plain, shown(&facts, 80));
    }

    #[test]
    fn a_bar_is_full_only_when_everything_was_seen() {
        let mut area = facts().areas[0].clone();
        for (entries, in_time, wanted) in [
            (1000, 999, "#######.  99% in 1d"),
            (1000, 1000, "######## 100% in 1d"),
            (1000, 1, "........   0% in 1d"),
            (0, 0, "######## 100% in 1d"),
        ] {
            (area.entries, area.in_time) = (entries, in_time);
            assert_eq!(bar(&area, 8), wanted);
        }
    }

    #[test]
    fn the_middle_of_a_long_path_gives_way() {
        assert_eq!(shortened("/etc", 10), "/etc");
        assert_eq!(shortened("/srv/www/customers/public", 13), "/srv…s/public");
        assert!(shortened("漢字漢字漢字漢字", 7).width() <= 7);
    }
}
