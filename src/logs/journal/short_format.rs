//! An entry of the journal as lines of syslog, byte for byte as `journalctl --quiet` writes it into a file: that is what logcheck reads,
//! so the same rules know the same lines.
//!
//! From systemd's `src/shared/logs-show.c` (`output_short`, `print_multiline`) and `src/basic/string-util.c` (`strip_tab_ansi`),
//! with their oddities: the day has a leading zero, a message of several lines is several lines of which all but the first are
//! indented, a message with other control characters or invalid UTF-8 is `[N blob data]`, an entry without a message is nothing,
//! and a host or tag may hold a newline. Showing more than logcheck does would make lines that no rule can know. What journalctl
//! does not have is a bound: of an endless message the beginning is shown and the rest is counted.

use jiff::tz::TimeZone;

use crate::{
    logs::{
        journal::export_format::{ExportEntry, Field, number},
        line::timestamp::MONTHS,
    },
    tail::splitter::{LONGEST, LogRecord},
};

/// Lines of one entry that are shown.
const MOST_LINES: usize = 1000;

/// Bytes of one entry that are shown.
const MOST_BYTES: usize = 256 * 1024;

/// journalctl takes a host, a tag or a pid of this length for nothing (`PRINT_CHAR_THRESHOLD`).
const TOO_LONG: u64 = 300;

/// journalctl takes no later time for one, in microseconds (`VALID_REALTIME`).
const LATEST: u64 = 1 << 55;

/// The lines of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The lines.
    pub records: Vec<LogRecord>,
    /// Bytes of further lines that are not shown.
    pub left: u64,
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The lines of `entry`, with the time as the clocks of `zone` show it. Cost O(size of the message).
pub fn show(entry: &ExportEntry, zone: &TimeZone) -> Shown {
    let Some(message) = &entry.message else { return Shown::default() };
    let (mut text, indent) = header(entry, zone);
    let missing = message.length.saturating_sub(count(message.bytes.len()));
    let is_cut = missing > 0;
    let stripped = strip(if is_cut { whole_characters(&message.bytes) } else { &message.bytes });
    if !is_printable(&stripped) {
        text.extend(format!("[{} blob data]", size(count(stripped.len()).saturating_add(missing))).into_bytes());
        return Shown { records: text.split(|byte| *byte == b'\n').map(record).collect(), left: 0 };
    }
    let mut shown = Shown::default();
    let mut bytes = 0;
    let body = stripped.strip_suffix(b"\n").unwrap_or(&stripped);
    for (number, piece) in body.split(|byte| *byte == b'\n').enumerate() {
        if shown.records.len() >= MOST_LINES || bytes >= MOST_BYTES {
            shown.left = shown.left.saturating_add(count(piece.len() + 1));
            continue;
        }
        if number > 0 {
            text = vec![b' '; indent];
        }
        text.extend_from_slice(piece);
        for line in text.split(|byte| *byte == b'\n') {
            bytes += line.len().min(LONGEST);
            shown.records.push(record(line));
        }
    }
    if shown.left > 0 {
        shown.left = shown.left.saturating_add(missing);
    } else if let Some(LogRecord::Line { length, .. }) = shown.records.last_mut() {
        *length = length.saturating_add(missing);
    }
    shown
}

fn record(line: &[u8]) -> LogRecord {
    LogRecord::Line { bytes: line.get(..LONGEST).unwrap_or(line).to_vec(), length: count(line.len()) }
}

/// Everything before the message, and how far further lines are indented.
fn header(entry: &ExportEntry, zone: &TimeZone) -> (Vec<u8>, usize) {
    let mut text = stamp(entry, zone).into_bytes();
    if let Some(host) = plain(entry.host.as_ref()) {
        text.push(b' ');
        text.extend_from_slice(host);
    }
    // The word "unknown" is not counted, so further lines stand eight columns to the left of the first.
    let mut uncounted = 0;
    text.push(b' ');
    if let Some(tag) = plain(entry.identifier.as_ref()).or_else(|| plain(entry.comm.as_ref())) {
        text.extend_from_slice(tag);
    } else {
        text.extend_from_slice(b"unknown");
        uncounted = b" unknown".len();
    }
    if let Some(pid) = plain(entry.pid.as_ref()).or_else(|| plain(entry.claimed_pid.as_ref())) {
        text.push(b'[');
        text.extend_from_slice(pid);
        text.push(b']');
    }
    text.extend_from_slice(b": ");
    let indent = text.len() - uncounted;
    (text, indent)
}

fn plain(field: Option<&Field>) -> Option<&[u8]> {
    field.filter(|field| field.length < TOO_LONG && is_printable(&field.bytes)).map(|field| field.bytes.as_slice())
}

/// The time the program gave, else that of journald.
fn stamp(entry: &ExportEntry, zone: &TimeZone) -> String {
    let is_valid = |time: &u64| (1..LATEST).contains(time);
    let time = entry.source_time.as_ref().and_then(number).filter(is_valid).unwrap_or(entry.realtime.min(LATEST));
    let at = jiff::Timestamp::from_microsecond(i64::try_from(time).unwrap_or_default()).unwrap_or_default();
    let at = at.to_zoned(zone.clone());
    let month = usize::try_from(at.month()).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let month = String::from_utf8_lossy(month.copied().unwrap_or(b"???"));
    format!("{month} {:02} {:02}:{:02}:{:02}", at.day(), at.hour(), at.minute(), at.second())
}

/// Without an incomplete character at its end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.get(..error.valid_up_to()).unwrap_or(bytes),
        _ => bytes,
    }
}

/// As `utf8_is_printable_newline`: valid UTF-8 without noncharacters, C0, DEL and C1 but for newline and tab.
fn is_printable(bytes: &[u8]) -> bool {
    let is_wrong = |c: char| {
        let code = u32::from(c);
        let is_control = code < 32 && !matches!(c, '\t' | '\n') || (0x7f..=0x9f).contains(&code);
        is_control || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
    };
    str::from_utf8(bytes).is_ok_and(|text| !text.contains(is_wrong))
}

/// As `FORMAT_BYTES`: binary units, one digit behind the point, cut and not rounded.
fn size(bytes: u64) -> String {
    let units = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let Some((shift, unit)) = units.iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes}B");
    };
    let tenth = ((bytes >> (shift - 10)) * 10 / 1024) % 10;
    format!("{}.{tenth}{unit}", bytes >> shift)
}

/// As `strip_tab_ansi`: a tab becomes eight blanks; carriage returns at the end of a line, `ESC [ … m` and `ESC ] … BEL` go.
fn strip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut returns = 0_usize;
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\r' => {
                returns += 1;
                continue;
            }
            b'\n' => {}
            _ => out.extend(std::iter::repeat_n(b'\r', returns)),
        }
        returns = 0;
        match byte {
            0x1b => rest = escape(after, &mut out),
            b'\t' => out.extend_from_slice(b"        "),
            _ => out.push(*byte),
        }
    }
    out
}

/// What follows an escape character: gives where to go on.
fn escape<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (is_inside, last): (fn(u8) -> bool, u8) = match bytes.first() {
        // A NUL is in the set: strchr(3) finds it at the end of the string.
        Some(b'[') => (|byte| matches!(byte, b'0'..=b'9' | b';' | b'm' | 0), b'm'),
        Some(b']') => (|byte| matches!(byte, 32..=126 | 7), 7),
        Some(other) => {
            out.extend([0x1b, *other]);
            return bytes.get(1..).unwrap_or_default();
        }
        None => {
            out.push(0x1b);
            return bytes;
        }
    };
    let inside = bytes.get(1..).unwrap_or_default();
    match inside.iter().position(|byte| *byte == last || !is_inside(*byte)) {
        Some(end) if inside.get(end) == Some(&last) => inside.get(end + 1..).unwrap_or_default(),
        _ => {
            out.push(0x1b);
            out.extend(bytes.first());
            inside
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a field may be missing")]
    fn field(bytes: &[u8]) -> Option<Field> {
        Some(Field { bytes: bytes.to_vec(), length: count(bytes.len()) })
    }

    fn entry(message: &[u8]) -> ExportEntry {
        ExportEntry {
            cursor: b"c".to_vec(),
            // 2026-11-01T13:10:02Z
            realtime: 1_793_538_602_000_000,
            message: field(message),
            host: field(b"h"),
            identifier: field(b"app"),
            pid: field(b"7"),
            ..ExportEntry::default()
        }
    }

    fn lines(entry: &ExportEntry) -> Vec<String> {
        show(entry, &TimeZone::UTC)
            .records
            .iter()
            .map(|record| match record {
                LogRecord::Line { bytes, .. } => String::from_utf8(bytes.clone()).unwrap(),
                LogRecord::Gap(_) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn a_line_is_a_line_of_syslog_in_the_given_zone() {
        assert_eq!(lines(&entry(b"text")), ["Nov 01 13:10:02 h app[7]: text"]);
        let zone = TimeZone::fixed(jiff::tz::offset(-14));
        let shown = show(&entry(b""), &zone);
        assert_eq!(shown.records, [record(b"Oct 31 23:10:02 h app[7]: ")]);
    }

    #[test]
    fn fields_that_are_missing_have_their_places_taken() {
        let known = entry(b"a\nb");
        let comm = ExportEntry { identifier: None, comm: field(b"com"), ..known.clone() };
        let claimed = ExportEntry { pid: None, claimed_pid: field(b"9"), ..known.clone() };
        let unknown = ExportEntry { identifier: None, pid: None, host: None, ..known.clone() };
        let long = ExportEntry { identifier: field(&[b'x'; 300]), ..known.clone() };
        let source = ExportEntry { source_time: field(b"1795266602000000"), ..known.clone() };
        let nonsense = ExportEntry { source_time: field(b"99999999999999999"), ..known.clone() };
        let shown = |entry| lines(&entry).join("|");
        assert_eq!(shown(comm), "Nov 01 13:10:02 h com[7]: a|                          b");
        assert_eq!(shown(claimed), "Nov 01 13:10:02 h app[9]: a|                          b");
        assert_eq!(shown(unknown), "Nov 01 13:10:02 unknown: a|                 b");
        assert_eq!(shown(long), "Nov 01 13:10:02 h unknown[7]: a|                      b");
        assert_eq!(shown(source), "Nov 21 13:10:02 h app[7]: a|                          b");
        assert_eq!(shown(nonsense), shown(known));
        assert!(lines(&ExportEntry { message: None, ..entry(b"") }).is_empty());
    }

    #[test]
    fn hostile_messages_are_shown_as_journalctl_does() {
        for (message, expected) in [
            (&b"x\0y"[..], "[3B blob data]"),
            (b"\xff\xff", "[2B blob data]"),
            ("\u{fdd0}".as_bytes(), "[3B blob data]"),
            ("\u{85}".as_bytes(), "[2B blob data]"),
            (b"\x1b[2Jx", "[5B blob data]"),
            (b"\x1b[31;1mred\x1b[0m", "red"),
            (b"\x1b]8;;x\x07link\x1b]8;;\x07", "link"),
            (b"\x1b[\0m.", "."),
            (b"\x1b", "[1B blob data]"),
            (b"a\tb\r\r", "a        b"),
            (b"a\rb", "[3B blob data]"),
            ("é \u{202e}".as_bytes(), "é \u{202e}"),
            (&[0xff; 2000], "[1.9K blob data]"),
            (b"\n", ""),
        ] {
            let expected = format!("Nov 01 13:10:02 h app[7]: {expected}");
            assert_eq!(lines(&entry(message)), [expected], "{}", message.escape_ascii());
        }
        assert_eq!([size(1023), size(1024), size(5 << 20), size((3 << 30) - 1)], ["1023B", "1.0K", "5.0M", "2.9G"]);
    }

    #[test]
    fn an_endless_message_is_cut_with_its_length() {
        let long =
            ExportEntry { message: Some(Field { bytes: vec![b'x'; 256 * 1024], length: 1_000_000 }), ..entry(b"") };
        let shown = show(&long, &TimeZone::UTC);
        let [LogRecord::Line { bytes, length }] = shown.records.as_slice() else { unreachable!("{shown:?}") };
        assert_eq!((bytes.len(), *length, shown.left), (LONGEST, 1_000_026, 0));
        let many = show(&entry(&vec![b'\n'; 256 * 1024]), &TimeZone::UTC);
        assert_eq!((many.records.len(), many.left), (MOST_LINES, 256 * 1024 - 1000));
        let tabs = show(&entry(&b"\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\n".repeat(16 * 1024)), &TimeZone::UTC);
        assert_eq!(tabs.records.len(), MOST_LINES);
        // Half a character at the cut is no invalid one.
        let half = Field { bytes: "xé".as_bytes()[..2].to_vec(), length: 300_000 };
        assert_eq!(lines(&ExportEntry { message: Some(half), ..entry(b"") }), ["Nov 01 13:10:02 h app[7]: x"]);
    }

    proptest! {
        #[test]
        fn no_entry_makes_it_panic_or_endless(message in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\t'), Just(0x1b), Just(b'['), Just(b'm'), Just(b'\r'), any::<u8>()], 0..400),
                                              host in prop::collection::vec(any::<u8>(), 0..20), realtime in any::<u64>(), more in any::<u32>()) {
            let mut entry = ExportEntry { host: field(&host), realtime, ..entry(&message) };
            if let Some(message) = &mut entry.message {
                message.length += u64::from(more);
            }
            let shown = show(&entry, &TimeZone::UTC);
            prop_assert!(!shown.records.is_empty());
        }
    }
}
