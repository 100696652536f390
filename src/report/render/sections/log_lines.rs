//! Log lines as lines of a report: where our own words stand, no line of a log can.
//!
//! A heading names the log, in the third column; what we say of a line begins in the fifth and stands below it; the lines themselves
//! begin in the seventh, each on one line however long it is. So a line that ends in "×12", or begins with blanks and one of our
//! headings, is only a line.

use crate::{
    model::{
        escape::{escape, escape_cut, escape_name, escape_name_cut, hex},
        event::{Category, StoredEvent},
        format::{VALUE_LIMIT, counted, number},
    },
    report::render::{
        format::{INDENT, Times},
        sections::log_section::{LINE_LIMIT, LeftOut, LogItem, LogSection},
    },
};

/// Before what we say of a line.
const OURS: &str = "    ";

/// Before a line of a log.
const THEIRS: &str = "      ";

/// Before what we say of a line, in a listing: two columns before the line itself.
const OURS_LISTED: &str = "      ";

/// The heading of a section.
pub(crate) const fn title(category: Category) -> &'static str {
    match category {
        Category::Cracking => "SECURITY ALERTS (cracking)",
        Category::Violation => "SECURITY EVENTS (violations)",
        _ => "SYSTEM EVENTS",
    }
}

/// A section: its heading, its logs in the order of their first lines, and how many of its `total` lines it does not show, which
/// `history` does.
pub(crate) fn section(
    section: &LogSection,
    total: u64,
    times: &Times<'_>,
    program: &str,
    history: &str,
) -> Vec<String> {
    let mut lines = vec![title(section.category).to_owned()];
    for (source, items) in by_log(&section.items) {
        lines.push(format!("  {}", log_name(source)));
        for item in items {
            if !item.text.is_empty() {
                lines.push(format!("{THEIRS}{}", item.text));
            }
            let remarks = remarks(item, times, program);
            if !remarks.is_empty() {
                lines.push(format!("{OURS}{}", remarks.join(" · ")));
            }
        }
    }
    let shown = section.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.times));
    let left = total.saturating_sub(shown);
    if left > 0 {
        lines.push(format!("{OURS}…and {} more: {history}", number(left)));
        lines.extend(whose(&section.left, left).into_iter().map(|words| format!("{INDENT}{words}")));
    }
    lines
}

/// Whose lines were left out, `total` in all, a line each.
fn whose(named: &[LeftOut], total: u64) -> Vec<String> {
    let mut words: Vec<String> = named
        .iter()
        .map(|left| {
            let of = if left.program.is_empty() {
                String::new()
            } else {
                format!(" of {}", escape_name_cut(&left.program, VALUE_LIMIT))
            };
            format!("{}{of} in {}", number(left.lines), log_name(&left.log))
        })
        .collect();
    let others = named.iter().fold(total, |rest, left| rest.saturating_sub(left.lines));
    if !words.is_empty() && others > 0 {
        words.push(format!("{} of others", number(others)));
    }
    words
}

/// Items of the same log together, logs in the order of their first items.
fn by_log(items: &[LogItem]) -> Vec<(&[u8], Vec<&LogItem>)> {
    let mut order: Vec<&LogItem> = items.iter().collect();
    order.sort_by(|one, other| (&one.source, one.seq).cmp(&(&other.source, other.seq)));
    let mut logs: Vec<(&[u8], Vec<&LogItem>)> = order
        .chunk_by(|one, other| one.source == other.source)
        .map(|chunk| (chunk.first().map_or(&[][..], |item| item.source.as_slice()), chunk.to_vec()))
        .collect();
    logs.sort_by_key(|(_, items)| items.first().map(|item| item.seq));
    logs
}

fn log_name(source: &[u8]) -> String {
    if source.is_empty() { "(no log)".to_owned() } else { escape_name_cut(source, VALUE_LIMIT) }
}

/// What is to be said of a line beside its text.
fn remarks(item: &LogItem, times: &Times<'_>, program: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    if item.text.is_empty() {
        remarks.push("an empty line".to_owned());
    }
    if item.times > 1 {
        remarks.push(format!("×{}, last {}", number(item.times), times.short(item.last)));
    }
    if item.is_cut {
        remarks.push(cut_words(item.stored, item.length, &format!("{program} show {}", item.seq)));
    }
    remarks
}

fn cut_words(stored: u64, length: u64, command: &str) -> String {
    let all = counted(length, "byte", "bytes");
    if length > stored {
        format!("a line of {all}, of which {} were kept: {command}", number(stored))
    } else {
        format!("a line of {all}: {command}")
    }
}

/// How much of a line a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineExtent {
    /// As much as a mail.
    Cut,
    /// Everything that was kept.
    Whole,
}

/// A log line in a listing, with its rule; `mark` is the width of the mark.
pub(crate) fn listed(stored: &StoredEvent, extent: LineExtent, program: &str, mark: usize, out: &mut Vec<String>) {
    let event = &stored.event;
    let sign = event.severity.mark();
    out.push(format!("  {sign:<mark$}  {}  {}", event.category.word(), log_name(&event.source)));
    if let Some(line) = event.line.as_ref().filter(|line| !line.rule.is_empty()) {
        out.push(format!("{OURS_LISTED}rule {}", escape_name(&line.rule)));
    }
    let text = match extent {
        LineExtent::Cut => escape_cut(&event.note, LINE_LIMIT),
        LineExtent::Whole => escape(&event.note),
    };
    out.push(format!("{INDENT}{text}"));
    let kept = u64::try_from(event.note.len()).unwrap_or(u64::MAX);
    let length = event.line.as_ref().map_or(kept, |line| line.length.max(kept));
    if extent == LineExtent::Cut && event.note.len() > LINE_LIMIT {
        out.push(format!("{OURS_LISTED}{}", cut_words(kept, length, &format!("{program} show {}", stored.seq))));
    } else if length > kept {
        let digest = event.line.as_ref().and_then(|line| line.digest);
        let digest = digest.map_or_else(String::new, |digest| format!(" · blake3 {}", hex(&digest)));
        let (kept, length) = (number(kept), number(length));
        out.push(format!("{OURS_LISTED}the first {kept} of {length} bytes; the rest was not kept{digest}"));
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::*;
    use crate::{
        model::{event::Severity, file::coverage::Coverage},
        report::render::{
            batch::{Batch, BatchTally},
            listing::EventListing,
            report::render,
            test_events::{added, event, gathered, line, now, stored, unwrapped},
        },
        sys::users::Names,
    };

    const AUTH: &[u8] = b"/var/log/auth.log";
    const SYSLOG: &[u8] = b"/var/log/syslog";

    fn mail(events: &[StoredEvent], limit: usize, coverage: Option<Coverage>) -> String {
        let rendered = render(&Batch {
            host: "web3.example",
            now: now(),
            zone: &TimeZone::fixed(offset(1)),
            events,
            lines: &gathered(events, limit),
            tally: &BatchTally::of(events),
            limit,
            grown: &[],
            shares: &[],
            coverage,
            head: [0x9f; 32],
            names: &Names::default(),
            notices: &[],
            program: "integrityd",
        });
        format!("{}\n\n{}", rendered.subject, rendered.text)
    }

    /// The event, found so many seconds later.
    fn later(mut stored: StoredEvent, seconds: u64) -> StoredEvent {
        stored.event.found.wall = stored.event.found.wall.after(std::time::Duration::from_secs(seconds));
        stored
    }

    #[test]
    fn an_ordinary_log_mail() {
        let events = [
            line(10, Category::Violation, AUTH, b"Nov 21 14:02:09 web3 sudo: alice : 3 incorrect password attempts"),
            line(11, Category::Cracking, AUTH, b"Nov 21 14:02:11 web3 sshd[812]: ATTACK from 192.0.2.7"),
            line(12, Category::Violation, b"journal", b"Nov 21 14:02:12 web3 sshd[813]: Failed password for root"),
            line(13, Category::SystemEvent, SYSLOG, b"Nov 21 14:02:13 web3 kernel: eth0: link is down"),
            line(14, Category::SystemEvent, AUTH, b"2026-11-21T14:02:14.5+01:00 web3 su: session opened"),
            later(line(15, Category::SystemEvent, SYSLOG, b"Nov 21 14:02:15 web3 kernel: eth0: link is down"), 60),
            line(16, Category::SystemEvent, SYSLOG, b"Nov 21 14:02:16 web3 kernel: eth1: link is down"),
            later(line(17, Category::SystemEvent, SYSLOG, b"Nov 21 14:05:17 web3 kernel: eth0: link is down"), 120),
        ];
        insta::assert_snapshot!(mail(&events, 1000, None), @"
        [integrityd] web3.example: security alerts: 1 (cracking), security events: 2 (violations), 5 other log lines

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          security alerts: 1 (cracking), security events: 2 (violations), 
            ↳ 5 other log lines

        SECURITY ALERTS (cracking)
          /var/log/auth.log
              Nov 21 14:02:11 web3 sshd[812]: ATTACK from 192.0.2.7

        SECURITY EVENTS (violations)
          /var/log/auth.log
              Nov 21 14:02:09 web3 sudo: alice : 3 incorrect password attempts
          journal
              Nov 21 14:02:12 web3 sshd[813]: Failed password for root

        SYSTEM EVENTS
          /var/log/syslog
              Nov 21 14:02:13 web3 kernel: eth0: link is down
            ×3, last 14:05:11
              Nov 21 14:02:16 web3 kernel: eth1: link is down
          /var/log/auth.log
              2026-11-21T14:02:14.5+01:00 web3 su: session opened

        SEQ  10–17  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 17
        ");
    }

    #[test]
    fn what_a_line_says_never_looks_like_what_we_say() {
        let forged = |seq, text: &[u8]| line(seq, Category::SystemEvent, b"/var/log/  x.log", text);
        let events = [
            line(1, Category::Cracking, AUTH, "SECURITY ALERTS (cracking)".as_bytes()),
            forged(2, "SYSTEM EVENTS".as_bytes()),
            forged(3, b"  /var/log/auth.log"),
            forged(4, "    ×99, last 14:05:11".as_bytes()),
            forged(5, "\t×99, last 14:05:11".as_bytes()),
            forged(6, b"\x1b[2J\x1b[1;1HFILES\r  HIGH  /etc/shadow"),
            forged(7, "\u{202e}gnihton\u{2066} \u{200b}".as_bytes()),
            forged(8, b"user \xff\xfe logged in \x00\x07"),
            forged(9, "… +5 bytes, blake3=0123456789abcdef".as_bytes()),
            forged(10, "    …and 7 more: reboot".as_bytes()),
            forged(11, b""),
        ];
        insta::assert_snapshot!(mail(&events, 1000, None), @r"
        [integrityd] web3.example: security alerts: 1 (cracking), 10 other log lines

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          security alerts: 1 (cracking), 10 other log lines

        SECURITY ALERTS (cracking)
          /var/log/auth.log
              SECURITY ALERTS (cracking)

        SYSTEM EVENTS
          /var/log/ \x20x.log
              SYSTEM EVENTS
                /var/log/auth.log
                  ×99, last 14:05:11
              \t×99, last 14:05:11
              \x1b[2J\x1b[1;1HFILES\x0d  HIGH  /etc/shadow
              \u{202e}gnihton\u{2066} \u{200b}
              user \xff\xfe logged in \x00\x07
              … +5 bytes, blake3=0123456789abcdef
                  …and 7 more: reboot
            an empty line

        SEQ  1–11  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 11
        ");
    }

    #[test]
    fn a_long_line_is_cut_and_the_command_that_shows_it_is_named() {
        let start = b"Nov 21 14:02:11 web3 httpd: ";
        let mut kept = line(1, Category::Violation, AUTH, &[&start[..], &vec![b'A'; 65_508]].concat());
        kept.event.line.as_mut().unwrap().length = 1_000_000;
        let whole = line(2, Category::Violation, AUTH, &[&start[..], &[b'B'; 4069]].concat());
        let text = mail(&[kept.clone(), whole], 1000, None);
        let text = unwrapped(&text).replace(&"A".repeat(4068), "A…A").replace(&"B".repeat(4068), "B…B");
        insta::assert_snapshot!(text, @"
        [integrityd] web3.example: security events: 2 (violations)

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          security events: 2 (violations)

        SECURITY EVENTS (violations)
          /var/log/auth.log
              Nov 21 14:02:11 web3 httpd: A…A… +61440 bytes, blake3=56a61a4dac2c7a87
            a line of 1,000,000 bytes, of which 65,536 were kept: integrityd show 1
              Nov 21 14:02:11 web3 httpd: B…B… +1 bytes, blake3=54193e81dda72396
            a line of 4,097 bytes: integrityd show 2

        SEQ  1–2  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 2
        ");
        let (zone, names) = (TimeZone::UTC, Names::default());
        let listing = EventListing::new(now().wall, &zone, &names, "integrityd");
        let shown = unwrapped(&listing.whole_event(&kept)).replace(&"A".repeat(65_508), "A…A");
        insta::assert_snapshot!(shown, @"
        1  13:03:11
          HIGH  security event  /var/log/auth.log
              rule /etc/logcheck/violations.d/sudo:3
                Nov 21 14:02:11 web3 httpd: A…A
              the first 65,536 of 1,000,000 bytes; the rest was not kept
        ");
        let history = unwrapped(&listing.event(&kept)).replace(&"A".repeat(4068), "A…A");
        insta::assert_snapshot!(history, @"
        1  13:03:11
          HIGH  security event  /var/log/auth.log
              rule /etc/logcheck/violations.d/sudo:3
                Nov 21 14:02:11 web3 httpd: A…A… +61440 bytes, blake3=56a61a4dac2c7a87
              a line of 1,000,000 bytes, of which 65,536 were kept: integrityd show 1
        ");
    }

    #[test]
    fn a_cut_section_keeps_the_first_and_last_of_each_log_and_counts_the_rest() {
        let logs = [AUTH, SYSLOG, b"/var/log/mail.log"].into_iter().cycle();
        let mut events: Vec<StoredEvent> = (0..1300_u64)
            .zip(logs)
            .map(|(number, log)| line(100 + number, Category::SystemEvent, log, format!("line {number}").as_bytes()))
            .collect();
        events.push(line(9000, Category::Cracking, SYSLOG, b"one attack"));
        insta::assert_snapshot!(mail(&events, 5, None), @"
        [integrityd] web3.example: security alerts: 1 (cracking), 1,300 other log lines

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          security alerts: 1 (cracking), 1,300 other log lines

        SECURITY ALERTS (cracking)
          /var/log/syslog
              one attack

        SYSTEM EVENTS
          /var/log/auth.log
              line 0
          /var/log/syslog
              line 1
              line 1297
          /var/log/mail.log
              line 2
              line 1298
            …and 1,295 more: integrityd history --since '2026-11-21 14:03' --kind log --limit 1301
                433 in /var/log/auth.log
                431 in /var/log/mail.log
                431 in /var/log/syslog

        SEQ  100–9,000  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 9000
        ");
    }

    #[test]
    fn trouble_with_a_log_and_faulty_rules() {
        let say = |seq, category, severity, source: &[u8], note: &str| {
            let mut event = event(category, severity, source).with_note(note);
            (event.area, event.not_before) = (Vec::new(), None);
            stored(seq, event)
        };
        let events = [
            say(1, Category::LogNote, Severity::Low, SYSLOG, "read from its beginning"),
            say(2, Category::LogTrouble, Severity::High, AUTH, "it has shrunk: up to 812 bytes were not read"),
            say(3, Category::LogNote, Severity::Count, SYSLOG, "goes on in another file"),
            say(
                4,
                Category::Rules,
                Severity::High,
                b"/etc/logcheck",
                "ignore.d.server/x:3: unmatched (: close it\nignore.d.server/y:9: it matches everything: be more precise",
            ),
        ];
        insta::assert_snapshot!(mail(&events, 1000, None), @"
        [integrityd] web3.example: 1 log in trouble, 1 notice about rules

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          1 log in trouble, 1 notice about rules

        LOGS
          HIGH  log trouble · 14:03:11 · /var/log/auth.log
                it has shrunk: up to 812 bytes were not read
          HIGH  rules · 14:03:11 · /etc/logcheck
                ignore.d.server/x:3: unmatched (: close it
                ignore.d.server/y:9: it matches everything: be more precise
          low   log · 14:03:11 · /var/log/syslog
                read from its beginning
          1 note about a log

        SEQ  1–4  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 4
        ");
        let quiet = mail(&events[..1], 1000, None);
        assert!(quiet.starts_with("[integrityd] web3.example: 1 note about a log\n"), "{quiet}");
    }

    #[test]
    fn lines_and_changes_in_one_mail() {
        let trouble = event(Category::LogTrouble, Severity::High, AUTH).with_note("Permission denied");
        let events = [
            line(1, Category::SystemEvent, SYSLOG, b"Nov 21 14:02:13 web3 kernel: eth0: link is down"),
            stored(2, trouble),
            added(3, b"/etc/passwd-"),
            line(4, Category::Violation, AUTH, b"Nov 21 14:02:09 web3 sudo: alice : 3 incorrect attempts"),
            stored(5, event(Category::Notice, Severity::Low, b"").with_note("all is well")),
        ];
        insta::assert_snapshot!(mail(&events, 1000, Some(Coverage { entries: 7, ..Coverage::default() })), @"
        [integrityd] web3.example: security events: 1 (violations), 1 log in trouble, 1 change to review, 1 other log line, 1 notice

        web3.example   Sat 21 Nov 2026 14:10:02 +0100
          security events: 1 (violations), 1 log in trouble, 1 change to review, 
            ↳ 1 other log line, 1 notice

        SECURITY EVENTS (violations)
          /var/log/auth.log
              Nov 21 14:02:09 web3 sudo: alice : 3 incorrect attempts

        LOGS
          HIGH  log trouble · 14:03:11 · /var/log/auth.log
                Permission denied

        SYSTEM EVENTS
          /var/log/syslog
              Nov 21 14:02:13 web3 kernel: eth0: link is down

        FILES
          ---   /etc/passwd-          added    -rw-r--r-- 0:0 34 B
                between 13:58:02 and 14:03:11
                blake3 9c9c9c9c9c9c9c9c

        INTEGRITYD
          low   notice · 14:03:11 · /etc
                all is well

        COVERAGE  7 entries
        SEQ  1–5  head 9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f
        MORE  integrityd history --since '2026-11-21 14:03'   integrityd show 5
        ");
    }

    #[test]
    fn one_line_is_named_in_the_subject() {
        let subject = |events: &[StoredEvent]| mail(events, 9, None).lines().next().unwrap().to_owned();
        let one = |category, text: &[u8]| subject(&[line(1, category, AUTH, text)]);
        assert_eq!(
            one(Category::Cracking, b"Nov 21 14:02:11 web3 sshd[812]: ATTACK"),
            "[integrityd] web3.example: security alert: web3 sshd[812]: ATTACK"
        );
        let long =
            one(Category::Violation, &[b"2026-11-21T14:02:11Z h\r\nBcc: x ".to_vec(), vec![b'x'; 9000]].concat());
        assert!(long.starts_with(r"[integrityd] web3.example: security event: h\x0d\nBcc: x xxx"), "{long}");
        assert_eq!(long.chars().count(), 150);
        let alert = line(1, Category::Cracking, AUTH, b"an attack");
        let lines = |first: u64| (first..first + 14).map(|seq| line(seq, Category::SystemEvent, AUTH, b"x"));
        let both: Vec<_> =
            [alert.clone(), line(2, Category::Cracking, AUTH, b"x")].into_iter().chain(lines(3)).collect();
        assert_eq!(subject(&both), "[integrityd] web3.example: security alerts: 2 (cracking), 14 other log lines");
        assert_eq!(subject(&lines(1).collect::<Vec<_>>()), "[integrityd] web3.example: 14 log lines");
        let mixed: Vec<_> = lines(1).take(12).chain([added(20, b"/etc/x")]).collect();
        assert_eq!(subject(&mixed), "[integrityd] web3.example: 1 change to review, 12 log lines");
        let trouble = stored(2, event(Category::LogTrouble, Severity::High, AUTH));
        assert_eq!(
            subject(&[alert, trouble.clone()]),
            "[integrityd] web3.example: security alerts: 1 (cracking), 1 log in trouble"
        );
        let twice = [trouble.clone(), StoredEvent { seq: 3, ..trouble }];
        assert_eq!(subject(&twice), "[integrityd] web3.example: 1 log in trouble");
    }
}
