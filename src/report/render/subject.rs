//! The verdict of a report in one line: what a pager shows, and what filters are written for.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::{
    model::{
        clock::Timestamp,
        escape::{escape_cut, escape_name_cut},
        event::{Category, Kind, Severity, StoredEvent},
        format::{counted, number},
    },
    report::render::{
        batch::{Batch, BatchTally},
        format::Times,
        sections::{
            file_item::shown_path,
            processes,
            self_events::{self, established},
        },
    },
};

/// Most characters of a subject.
pub(crate) const LONGEST: usize = 150;

/// Most bytes of the host name that are shown.
pub(crate) const HOST_LIMIT: usize = 100;

/// The subject: at most 150 characters, one line, neutralised.
pub(crate) fn subject(batch: &Batch<'_>) -> String {
    let start = format!("[integrityd] {}: ", escape_cut(batch.host.as_bytes(), HOST_LIMIT));
    let room = LONGEST.saturating_sub(start.chars().count());
    shorten(&format!("{start}{}", named(batch, room).unwrap_or_else(|| verdict(batch))), LONGEST)
}

/// The verdict of the whole batch, in counts.
pub(crate) fn verdict(batch: &Batch<'_>) -> String {
    let of = |wanted: Category| batch.tally.count(|category, _| category == wanted);
    let mut parts = own_parts(batch, true);
    let (alerts, violations) = (of(Category::Cracking), of(Category::Violation));
    if alerts > 0 {
        parts.push(format!("security alerts: {} (cracking)", number(alerts)));
    }
    if violations > 0 {
        parts.push(format!("security events: {} (violations)", number(violations)));
    }
    if troubles(batch) > 0 {
        parts.push(counted(troubled(batch), "log in trouble", "logs in trouble"));
    }
    parts.extend(changes(batch));
    let system = of(Category::SystemEvent);
    if system > 0 {
        let other = if alerts > 0 || violations > 0 { "other " } else { "" };
        parts.push(counted(system, &format!("{other}log line"), &format!("{other}log lines")));
    }
    let processes = processes_in_trouble(batch);
    if processes > 0 {
        parts.push(counted(processes, "process", "processes"));
    }
    let rules = batch.tally.count(is_about_rules);
    if rules > 0 {
        parts.push(counted(rules, "notice about rules", "notices about rules"));
    }
    parts.extend(own_parts(batch, false));
    if parts.is_empty() {
        parts = minor(batch);
    }
    if parts.is_empty() && !batch.notices.is_empty() {
        parts.push(counted(u64::try_from(batch.notices.len()).unwrap_or(u64::MAX), "notice", "notices"));
    }
    if parts.is_empty() { "nothing to report".to_owned() } else { parts.join(", ") }
}

/// Changes to review, with how many of them are grave.
fn changes(batch: &Batch<'_>) -> Option<String> {
    let review = batch.tally.to_review();
    let weight = |wanted| batch.tally.count(|category, severity| category.kind() == Kind::File && severity == wanted);
    let grave: Vec<String> = [(Severity::Critical, "critical"), (Severity::High, "high")]
        .into_iter()
        .map(|(severity, word)| (weight(severity), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", number(count)))
        .collect();
    let grave = if grave.is_empty() { String::new() } else { format!(" ({})", grave.join(", ")) };
    (review > 0).then(|| format!("{} to review{grave}", counted(review, "change", "changes")))
}

fn troubles(batch: &Batch<'_>) -> u64 {
    batch.tally.count(|category, severity| category == Category::LogTrouble && severity > Severity::Count)
}

/// How many logs are in trouble: those that are listed, unless not all are.
fn troubled(batch: &Batch<'_>) -> u64 {
    let listed: Vec<&StoredEvent> = batch
        .events
        .iter()
        .filter(|stored| stored.event.category == Category::LogTrouble && stored.event.severity > Severity::Count)
        .collect();
    let logs: BTreeSet<&[u8]> = listed.iter().map(|stored| stored.event.source.as_slice()).collect();
    let all = troubles(batch);
    let is_complete = u64::try_from(listed.len()).is_ok_and(|listed| listed == all);
    if is_complete { u64::try_from(logs.len()).unwrap_or(all) } else { all }
}

fn is_process(category: Category, severity: Severity) -> bool {
    category.kind() == Kind::Process && severity >= Severity::Normal
}

/// How many watched processes something has happened to: those that are listed, unless not all events are.
fn processes_in_trouble(batch: &Batch<'_>) -> u64 {
    let listed: Vec<&StoredEvent> =
        batch.events.iter().filter(|stored| is_process(stored.event.category, stored.event.severity)).collect();
    let all = batch.tally.count(is_process);
    let is_complete = u64::try_from(listed.len()).is_ok_and(|listed| listed == all);
    if is_complete { u64::try_from(processes::items(&listed).len()).unwrap_or(all) } else { all }
}

fn is_about_rules(category: Category, severity: Severity) -> bool {
    category == Category::Rules && severity >= Severity::Normal
}

/// The subject by which logcheck's mails were known, `web3 2026-11-21 14:02 +0100 Security Events`; `None` of a report without lines of logs.
pub(crate) fn logcheck_subject(host: &str, tally: &BatchTally, now: Timestamp, zone: &TimeZone) -> Option<String> {
    let has = |wanted: Category| tally.count(|category, _| category == wanted) > 0;
    let titles = [
        (Category::Cracking, "Security Alerts"),
        (Category::Violation, "Security Events"),
        (Category::SystemEvent, "System Events"),
    ];
    let (_, title) = titles.into_iter().find(|(category, _)| has(*category))?;
    let host = escape_cut(host.as_bytes(), HOST_LIMIT);
    // As logcheck 1.4.2 writes it.
    Some(format!("{host} {} {title}", Times::new(now, zone).dated(now)))
}

/// What a report counts, for our own line in the log: no word of anybody else, and the titles by which logcheck's mails were
/// known.
pub(crate) fn in_counts(tally: &BatchTally) -> String {
    let words: Vec<String> = tally
        .by_category(|_, _| true)
        .into_iter()
        .map(|(category, count)| match category {
            Category::Cracking => {
                format!("{} (Security Alerts)", counted(count, "security alert", "security alerts"))
            }
            Category::Violation => {
                format!("{} (Security Events)", counted(count, "security event", "security events"))
            }
            Category::SystemEvent => format!("{} (System Events)", counted(count, "log line", "log lines")),
            _ => counted_words(category, count),
        })
        .collect();
    words.join(", ")
}

/// Findings that are worth counting only, in words.
pub(crate) fn count_only(batch: &Batch<'_>) -> Vec<String> {
    let sums =
        batch.tally.by_category(|category, severity| category.kind() == Kind::File && severity == Severity::Count);
    sums.into_iter()
        .map(|(category, count)| match category {
            Category::Rewritten => format!("{} rewritten with the same content", counted(count, "file", "files")),
            Category::Touched => format!("{} touched (times only)", number(count)),
            Category::Skipped => format!("{} not entered", counted(count, "part", "parts")),
            Category::Added | Category::Changed => {
                format!("{} {} by reports of integrityd", counted(count, "mailbox", "mailboxes"), category.word())
            }
            _ => format!("{} {}", number(count), category.word()),
        })
        .collect()
}

fn minor(batch: &Batch<'_>) -> Vec<String> {
    let low = |category: Category, severity| category.kind() == Kind::File && severity == Severity::Low;
    let sums = batch.tally.by_category(low);
    let mut parts: Vec<String> = sums
        .into_iter()
        .map(|(category, count)| match category {
            Category::Unreadable => format!("{} could not be read", number(count)),
            _ => format!("{} {}", number(count), category.word()),
        })
        .collect();
    parts.extend(count_only(batch));
    let words = batch.tally.by_category(|category, _| category.kind() == Kind::Log && !category.is_line());
    parts.extend(words.into_iter().map(|(category, count)| counted_words(category, count)));
    let processes = batch.tally.by_category(|category, _| category.kind() == Kind::Process);
    parts.extend(processes.into_iter().map(|(category, count)| counted_words(category, count)));
    parts
}

/// So many events of a class.
pub(crate) fn counted_words(category: Category, count: u64) -> String {
    match category {
        Category::ProcessDied => counted(count, "process died", "processes died"),
        Category::ProcessZombie => counted(count, "zombie", "zombies"),
        Category::ProcessRestarted => counted(count, "restart", "restarts"),
        Category::PidFileMissing => counted(count, "pid file missing", "pid files missing"),
        Category::PidFileInvalid => counted(count, "pid file invalid", "pid files invalid"),
        Category::PidFileBack => counted(count, "pid file back", "pid files back"),
        Category::ProcessNote => counted(count, "note about processes", "notes about processes"),
        Category::LogBack => counted(count, "log back", "logs back"),
        Category::LogNote => counted(count, "note about a log", "notes about logs"),
        Category::LogTrouble => counted(count, "log trouble", "log troubles"),
        Category::Rules => counted(count, "notice about rules", "notices about rules"),
        Category::NotRunning => counted(count, "time not running", "times not running"),
        Category::Pruned => counted(count, "pruning of old events", "prunings of old events"),
        _ => format!("{} {}", number(count), category.word()),
    }
}

/// What is said of integrityd itself, before (`is_grave`) or behind the changes.
fn own_parts(batch: &Batch<'_>, is_grave: bool) -> Vec<String> {
    let sums = batch.tally.by_category(|category, severity| category.kind() == Kind::Own && severity > Severity::Count);
    let count = |category| sums.get(&category).copied().unwrap_or(0);
    let mut parts = Vec::new();
    if is_grave {
        if count(Category::TrustLost) > 0 {
            parts.push(trust_lost(batch.events));
        }
        let trouble = |category, severity| category == Category::DatabaseTrouble && severity >= Severity::High;
        if batch.tally.count(trouble) > 0 {
            parts.push("database trouble".to_owned());
        }
        if count(Category::InternalError) > 0 {
            parts.push(counted(count(Category::InternalError), "internal error", "internal errors"));
        }
        return parts;
    }
    if count(Category::BaselineEstablished) > 0 {
        parts.push(match established(batch.events) {
            Some((entries, areas)) if areas > 0 => {
                format!(
                    "baseline established, {} in {}",
                    counted(entries, "entry", "entries"),
                    counted(areas, "area", "areas")
                )
            }
            Some((entries, _)) => format!("baseline established, {} entries", number(entries)),
            None => "baseline established".to_owned(),
        });
    } else if count(Category::BaselineStarted) > 0 {
        parts.push("baseline started".to_owned());
    }
    parts.extend(coverage(batch.events, Category::CoverageLate, count(Category::CoverageLate)));
    parts.extend(coverage(batch.events, Category::CoverageAtRisk, count(Category::CoverageAtRisk)));
    parts.extend(self_events::of_ourselves(&sums));
    let is_notice = |category, severity| match category {
        Category::Notice | Category::Learning | Category::DatabaseAdopted => severity > Severity::Count,
        // A grave one has been said before all else.
        Category::DatabaseTrouble => severity > Severity::Count && severity < Severity::High,
        _ => false,
    };
    let notices = batch.tally.count(is_notice);
    if notices > 0 {
        parts.push(counted(notices, "notice", "notices"));
    }
    parts
}

/// A promised age that is or will be broken: of a single one which, and how it stands.
fn coverage(events: &[StoredEvent], category: Category, count: u64) -> Option<String> {
    let word = category.word();
    match (count, events.iter().find(|stored| stored.event.category == category)) {
        (0, _) => None,
        (1, Some(stored)) => {
            let note = stored.event.note.split(|byte| *byte == b';').next().unwrap_or_default();
            let path = escape_name_cut(&stored.event.source, HOST_LIMIT);
            Some(format!("{word}: {path} {}", escape_cut(note, HOST_LIMIT)))
        }
        _ => Some(format!("{word}: {}", counted(count, "area", "areas"))),
    }
}

fn trust_lost(events: &[StoredEvent]) -> String {
    let lost = events.iter().find(|stored| stored.event.category == Category::TrustLost);
    let why = lost.and_then(|stored| stored.event.note.split(|byte| *byte == b'\n').next()).unwrap_or_default();
    if why.is_empty() { "TRUST LOST".to_owned() } else { format!("TRUST LOST: {}", escape_cut(why, HOST_LIMIT)) }
}

/// The one item there is to review, by its name, in at most `room` characters.
fn named(batch: &Batch<'_>, room: usize) -> Option<String> {
    let is_other = |category: Category, severity| {
        category.kind() == Kind::Own && severity > Severity::Count || is_about_rules(category, severity)
    };
    if batch.tally.count(is_other) > 0 || troubles(batch) > 0 {
        return None;
    }
    match (batch.tally.to_review(), batch.tally.lines(), processes_in_trouble(batch)) {
        (1, 0, 0) => named_change(batch, room),
        (0, 1, 0) => named_line(batch, room),
        (0, 0, 1) => named_process(batch, room),
        _ => None,
    }
}

/// The one log line there is: what stands behind its time stamp.
fn named_line(batch: &Batch<'_>, room: usize) -> Option<String> {
    let section = batch.lines.first()?;
    let start = format!("{}: ", section.category.word());
    let left = room.saturating_sub(start.chars().count());
    Some(format!("{start}{}", shorten(section.items.first()?.words().trim_start(), left)))
}

/// The one process there is, and what has become of it.
fn named_process(batch: &Batch<'_>, room: usize) -> Option<String> {
    let listed: Vec<&StoredEvent> =
        batch.events.iter().filter(|stored| is_process(stored.event.category, stored.event.severity)).collect();
    let items = processes::items(&listed);
    let item = items.first()?;
    let mark = if item.severity() >= Severity::High { format!("{} ", item.severity().mark()) } else { String::new() };
    let end = format!(" {}", item.verdict());
    let left = room.saturating_sub(mark.chars().count() + end.chars().count());
    Some(format!("{mark}{}{end}", shorten(&item.title(), left)))
}

fn named_change(batch: &Batch<'_>, room: usize) -> Option<String> {
    let is_wanted =
        |stored: &&StoredEvent| stored.event.category.kind() == Kind::File && stored.event.severity >= Severity::Normal;
    let event = &batch.events.iter().find(is_wanted)?.event;
    let mark = match event.severity {
        Severity::High | Severity::Critical => format!("{} ", event.severity.mark()),
        _ => String::new(),
    };
    let many = if event.count > 1 { format!(" ({} entries)", number(event.count)) } else { String::new() };
    let end = format!(" {}{many}", event.category.word());
    let left = room.saturating_sub(mark.chars().count() + end.chars().count());
    Some(format!("{mark}{}{end}", shorten(&shown_path(event), left)))
}

/// `text` in at most `most` characters; what is left out of the middle is a `…`.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head = most / 3;
    let tail = most.saturating_sub(head + 1);
    let start = text.chars().take(head);
    let end = text.chars().skip(length.saturating_sub(tail));
    start.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        model::file::coverage::Coverage,
        report::render::test_events::{added, added_directory, event, gathered, now, stored},
        sys::users::Names,
    };

    fn subject_of(host: &str, events: &[StoredEvent]) -> String {
        subject(&Batch {
            host,
            now: now(),
            zone: &TimeZone::UTC,
            events,
            lines: &gathered(events, 10),
            tally: &BatchTally::of(events),
            limit: 10,
            grown: &[],
            shares: &[],
            coverage: Some(Coverage::default()),
            head: [0; 32],
            names: &Names::default(),
            notices: &[],
            program: "integrityd",
        })
    }

    fn own(seq: u64, category: Category) -> StoredEvent {
        stored(seq, event(category, Severity::Normal, b""))
    }

    #[test]
    fn a_long_name_keeps_its_start_its_end_and_the_class() {
        let path = [&b"/srv/"[..], &[b'x'; 300], b"/evil.sh"].concat();
        let mut one = added(1, &path);
        one.event.severity = Severity::High;
        let text = subject_of("web3", &[one]);
        assert_eq!(text.chars().count(), 150);
        assert!(text.starts_with("[integrityd] web3: HIGH /srv/xxx") && text.ends_with("/evil.sh added"), "{text}");
    }

    #[test]
    fn a_hostile_host_or_path_is_one_short_line() {
        let text = subject_of(&"h\r\n\u{202e}".repeat(90), &[added(1, b"/a\nSubject: b\x1b")]);
        assert!(text.chars().count() <= 150 && !text.chars().any(crate::model::escape::is_hidden), "{text}");
    }

    #[test]
    fn the_verdict_says_all_that_is_not_minor() {
        let mut removed = event(Category::Removed, Severity::Critical, b"/opt/app");
        removed.count = 1234;
        assert_eq!(
            subject_of("web3", &[stored(1, removed.clone())]),
            "[integrityd] web3: CRITICAL /opt/app removed (1,234 entries)"
        );
        let low = stored(9, event(Category::Unreadable, Severity::Low, b"/root/x"));
        assert_eq!(subject_of("web3", std::slice::from_ref(&low)), "[integrityd] web3: 1 could not be read");
        let events = [
            stored(1, removed),
            added_directory(2, b"/opt"),
            own(3, Category::InternalError),
            own(4, Category::Notice),
            low,
        ];
        assert_eq!(
            subject_of("web3", &events),
            "[integrityd] web3: 1 internal error, 2 changes to review (1 critical), 1 notice"
        );
    }

    #[test]
    fn a_name_is_not_all_when_integrityd_has_something_to_say() {
        let events = [added(1, b"/etc/x"), own(2, Category::TrustLost)];
        assert_eq!(subject_of("web3", &events), "[integrityd] web3: TRUST LOST, 1 change to review");
    }

    #[test]
    fn baselines_of_single_areas_are_added_up() {
        let mut events = [own(1, Category::BaselineEstablished), own(2, Category::BaselineEstablished)];
        (events[0].event.count, events[1].event.count) = (1000, 234);
        assert_eq!(subject_of("web3", &events), "[integrityd] web3: baseline established, 1,234 entries in 2 areas");
    }
}
