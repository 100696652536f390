//! Numbers, times and untrusted words as a report shows them.

use std::time::Duration;

use jiff::{Zoned, civil::Date, tz::TimeZone};
use unicode_width::UnicodeWidthChar as _;

use crate::model::{
    clock::Timestamp,
    escape::escape_cut,
    event::Event,
    file::entry::FileKind,
    format::{VALUE_LIMIT, length, number},
};

/// Columns that everything keeps to: in a line that a terminal or a mail program had to wrap, words of others would reach the left margin,
/// where only ours stand.
pub(crate) const WIDTH: usize = 78;

/// Before what goes on in the next line; it stands in the fifth column at least, where only our own words do.
const GOES_ON: &str = "↳ ";

/// The indentation of the details of an item.
pub(crate) const INDENT: &str = "        ";

/// Most lines shown of one note.
const NOTE_LINES: usize = 40;

/// Bytes with two figures: `900 B`, `1.4 KiB`, `3.1 GiB`.
pub(crate) fn bytes(value: u64) -> String {
    let scale = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match scale.into_iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => tenths(value, unit, name),
        None => format!("{value} B"),
    }
}

/// A span with two figures: `38 s`, `12 min`, `2.1 h`, `8.6 d`.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => tenths(seconds, 3600, "h"),
        _ => tenths(seconds, 86_400, "d"),
    }
}

fn tenths(seconds: u64, unit: u64, name: &str) -> String {
    let tenths = seconds.saturating_mul(10) / unit;
    format!("{}.{} {name}", number(tenths / 10), tenths % 10)
}

/// Untrusted or foreign words, neutralised line by line; lines that are left out are announced with `command`.
pub(crate) fn note_lines(note: &[u8], command: &str) -> Vec<String> {
    let mut lines: Vec<&[u8]> = note.split(|byte| *byte == b'\n').collect();
    lines.retain(|line| !line.trim_ascii().is_empty());
    let left = lines.len().saturating_sub(NOTE_LINES);
    let mut shown: Vec<String> =
        lines.iter().take(NOTE_LINES).map(|line| escape_cut(line.trim_ascii_end(), VALUE_LIMIT)).collect();
    if left > 0 {
        shown.push(format!("…and {} more lines: {command}", length(left)));
    }
    shown
}

/// Lays out `parts` behind `first`, separated by commas; a part that would pass the width begins a new line.
pub(crate) fn flow(first: String, parts: &[String], lines: &mut Vec<String>) {
    let mut line = first;
    let mut is_fresh = true;
    for (place, part) in parts.iter().enumerate() {
        let comma = if place + 1 < parts.len() { "," } else { "" };
        let width = line.chars().count() + part.chars().count() + comma.len() + 1;
        if !is_fresh && width > WIDTH {
            lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(part);
        line.push_str(comma);
        is_fresh = false;
    }
    line.truncate(line.trim_end_matches(' ').len());
    lines.push(line);
}

/// Lines of a report as they are sent: what is wider than [`WIDTH`] goes on in the next line. Left as they are: the footer and what was left
/// out, which name commands to be copied and nothing of others.
pub(crate) fn wrapped(lines: &[String]) -> Vec<String> {
    // Deeper than four columns stands what others wrote.
    let is_ours =
        |line: &str| ["COVERAGE ", "MORE ", "SEQ ", "  …", "    …"].iter().any(|start| line.starts_with(start));
    let mut out = Vec::with_capacity(lines.len());
    for line in lines {
        if is_ours(line) { out.push(line.clone()) } else { wrap(line, &mut out) }
    }
    out
}

/// Breaks a line in its second half: behind a comma or another blank, else behind a slash, so that names stay whole; else anywhere.
fn wrap(line: &str, out: &mut Vec<String>) {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let hanging = " ".repeat(indent.clamp(6, 12) - GOES_ON.chars().count());
    let (mut rest, mut start) = (line, String::new());
    while let Some(end) = break_of(rest, WIDTH - start.chars().count()) {
        let Some((piece, tail)) = rest.split_at_checked(end) else { break };
        out.push(start + piece);
        start = format!("{hanging}{GOES_ON}");
        rest = tail;
    }
    out.push(start + rest);
}

/// Where a text of more than so many columns is broken, in bytes; `None` where it has room.
fn break_of(text: &str, columns: usize) -> Option<usize> {
    let (mut width, mut slash, mut blank, mut comma) = (0, None, None, None);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        width += c.width().unwrap_or(0);
        if width > columns && at > 0 {
            return Some(comma.or(blank).or(slash).unwrap_or(at));
        }
        match c {
            _ if width <= columns / 2 => {}
            '/' => slash = Some(at + 1),
            ' ' => {
                blank = Some(at + 1);
                comma = if before == ',' { blank } else { comma };
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Shows instants in one zone, shortly where the reader knows the rest.
#[derive(Debug)]
pub(crate) struct Times<'a> {
    zone: &'a TimeZone,
    at: Timestamp,
    now: Zoned,
}

impl<'a> Times<'a> {
    /// Times as seen at `now` in `zone`.
    pub(crate) fn new(now: Timestamp, zone: &'a TimeZone) -> Self {
        Self { zone, at: now, now: zoned(now, zone) }
    }

    /// `Sat 21 Nov 2026 14:10:02 +0100`, of the report itself.
    pub(crate) fn headline(&self) -> String {
        self.now.strftime("%a %-d %b %Y %H:%M:%S %z").to_string()
    }

    /// `Sat 21 Nov 2026 14:10:02 +0100`, of any instant.
    pub(crate) fn full(&self, at: Timestamp) -> String {
        zoned(at, self.zone).strftime("%a %-d %b %Y %H:%M:%S %z").to_string()
    }

    /// `14:03:11` today, else `2026-11-20 14:03:11`; with the offset where it is not that of the headline.
    pub(crate) fn short(&self, at: Timestamp) -> String {
        let at = zoned(at, self.zone);
        let form = if at.date() == self.today() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        self.with_offset(&at, form)
    }

    /// Two instants, as [`Times::short`] shows them; with nanoseconds when they look the same without.
    pub(crate) fn pair(&self, old: Timestamp, new: Timestamp) -> (String, String) {
        let (short_old, short_new) = (self.short(old), self.short(new));
        if short_old != short_new || old == new {
            return (short_old, short_new);
        }
        let exact = |at| self.with_offset(&zoned(at, self.zone), "%Y-%m-%d %H:%M:%S.%9f");
        (exact(old), exact(new))
    }

    /// `2026-11-21 13:58`, as `--since` takes it.
    pub(crate) fn since(&self, at: Timestamp) -> String {
        zoned(at, self.zone).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// `2026-11-21 13:58 +0100`, as the mails of logcheck are dated.
    pub(crate) fn dated(&self, at: Timestamp) -> String {
        zoned(at, self.zone).strftime("%Y-%m-%d %H:%M %z").to_string()
    }

    /// How long `at` is past.
    pub(crate) fn ago(&self, at: Timestamp) -> Duration {
        self.at.since(at)
    }

    fn today(&self) -> Date {
        self.now.date()
    }

    fn with_offset(&self, at: &Zoned, form: &str) -> String {
        let text = at.strftime(form).to_string();
        if at.offset() == self.now.offset() { text } else { format!("{text} {}", at.strftime("%z")) }
    }
}

/// The instant in `zone`; 64 bits of nanoseconds (1677 to 2262) are always within jiff's range.
pub(crate) fn zoned(at: Timestamp, zone: &TimeZone) -> Zoned {
    jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default().to_zoned(zone.clone())
}

/// What the object is, or was when it is gone.
pub(crate) fn kind(event: &Event) -> Option<FileKind> {
    event.new.as_ref().or(event.old.as_ref()).map(|seen| seen.attributes.kind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::model::format::counted;

    const NOON: i64 = 1_795_262_400_000_000_000; // 2026-11-21T12:00:00Z

    #[test]
    fn numbers_are_grouped() {
        let shown: Vec<String> = [0, 999, 1000, 412_118, u64::MAX].into_iter().map(number).collect();
        assert_eq!(shown, ["0", "999", "1,000", "412,118", "18,446,744,073,709,551,615"]);
        assert_eq!(
            (counted(1, "file", "files"), counted(1200, "file", "files")),
            ("1 file".into(), "1,200 files".into())
        );
    }

    #[test]
    fn spans_keep_two_figures() {
        let shown: Vec<String> = [38, 720, 7561, 181_440].map(|seconds| span(Duration::from_secs(seconds))).into();
        assert_eq!(shown, ["38 s", "12 min", "2.1 h", "2.1 d"]);
    }

    #[test]
    fn a_time_says_only_what_the_reader_does_not_know() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let times = Times::new(Timestamp::from_nanos(NOON), &zone);
        let hour = Duration::from_hours(1);
        let day = Duration::from_hours(24);
        assert_eq!(times.headline(), "Sat 21 Nov 2026 13:00:00 +0100");
        assert_eq!(times.short(Timestamp::from_nanos(NOON).before(hour)), "12:00:00");
        assert_eq!(times.short(Timestamp::from_nanos(NOON).before(day)), "2026-11-20 13:00:00");
        assert_eq!(times.since(Timestamp::from_nanos(NOON)), "2026-11-21 13:00");
        let (old, new) = times.pair(Timestamp::from_nanos(NOON), Timestamp::from_nanos(NOON + 1));
        assert_eq!((old.as_str(), new.as_str()), ("2026-11-21 13:00:00.000000000", "2026-11-21 13:00:00.000000001"));
    }

    #[test]
    fn another_offset_is_said() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let times = Times::new(Timestamp::from_nanos(NOON), &zone);
        let summer = Timestamp::from_nanos(NOON).before(Duration::from_hours(24 * 60));
        assert_eq!(times.short(summer), "2026-09-22 14:00:00 +0200");
    }

    #[test]
    fn every_instant_can_be_shown() {
        let zone = TimeZone::UTC;
        let times = Times::new(Timestamp::from_nanos(i64::MAX), &zone);
        assert_eq!(times.short(Timestamp::from_nanos(i64::MIN)), "1677-09-21 00:12:43");
    }

    #[test]
    fn a_note_is_shown_line_by_line_and_its_end_announced() {
        assert_eq!(note_lines(b"one\n\n two\x1b[2J \r\n", "show"), ["one", r" two\x1b[2J"]);
        let long = note_lines(&b"x\n".repeat(50), "integrityd show 7");
        assert_eq!((long.len(), long[40].as_str()), (41, "…and 10 more lines: integrityd show 7"));
    }

    #[test]
    fn what_is_too_wide_goes_on_below_its_own_indentation() {
        let of = |line: &str| wrapped(&[line.to_owned()]);
        assert_eq!(of(&"x".repeat(WIDTH)), ["x".repeat(WIDTH)]);
        let line = format!("      {} FILES", "x".repeat(71));
        assert_eq!(of(&line), [format!("      {} ", "x".repeat(71)), "    ↳ FILES".to_owned()]);
        assert_eq!(
            of(&format!("  {}", "y".repeat(100))),
            [format!("  {}", "y".repeat(76)), format!("    ↳ {}", "y".repeat(24))]
        );
        let path = format!("  ---   /srv/{}/conf.d/evil.conf", "x".repeat(50));
        assert_eq!(of(&path), [format!("  ---   /srv/{}/conf.d/", "x".repeat(50)), "    ↳ evil.conf".to_owned()]);
        let wide = of(&format!("        {}", "界".repeat(100)));
        assert_eq!(wide.len(), 3, "{wide:?}");
        assert!(wide[1].starts_with("      ↳ 界"));
        let command = format!("  …and 3 more: {}", "x".repeat(100));
        assert_eq!(of(&command), [command]);
        assert_eq!(of(&format!("      …and 3 more: {}", "x".repeat(100))).len(), 2);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_by_wrapping(indent in 0_usize..200, text in "[a-c 界é]{0,300}") {
            let line = format!("{}{text}", " ".repeat(indent));
            let lines = wrapped(std::slice::from_ref(&line));
            prop_assert!(lines.iter().all(|line| line.width() <= WIDTH));
            let pieces = lines.iter().enumerate().map(|(n, line)| if n == 0 { line.as_str() } else { line.split_once(GOES_ON).unwrap().1 });
            prop_assert_eq!(pieces.collect::<String>(), line);
            prop_assert!(lines.iter().skip(1).all(|line| line.starts_with("    ")));
        }
    }

    #[test]
    fn parts_flow_within_the_width() {
        let mut lines = Vec::new();
        flow("  x".to_owned(), &["a".repeat(50), "b".repeat(50), "c".repeat(120)], &mut lines);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with("a,") && lines[1].starts_with(INDENT) && lines[2].ends_with('c'));
    }
}
