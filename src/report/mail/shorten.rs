//! A report that is too large for its way, made smaller: without what is attached, then with half of its items, a quarter, an eighth …, and
//! where even that is too large with counts alone. Each says so, what it replaces and the command that shows the whole report.

use std::fmt::Write as _;

use crate::report::mail::mime::{header_line, plain_text, quoted, raw_headers};

/// Below so many bytes only counts are sent.
const SMALLEST: u64 = 16 * 1024;

/// Headers that a smaller mail has in common with its report.
const KEPT: [&str; 9] = [
    "From",
    "To",
    "Date",
    "MIME-Version",
    "Auto-Submitted",
    "Precedence",
    "X-Integrityd-Host",
    "X-Integrityd-Severity",
    "X-Integrityd-Seq",
];

/// Behind the subject of a mail with some of the items.
const SHORTENED: &str = " (too large: shortened)";

/// Behind the subject of a mail of counts.
const COUNTS_ONLY: &str = " (too large: counts only)";

/// How many bytes the mail may have that replaces one of `length` bytes, which is too large for `limit` bytes, where that is known: what
/// is hardly smaller would come back for ever.
pub(in crate::report) fn target(length: u64, limit: Option<u64>) -> u64 {
    limit.filter(|limit| *limit < length).unwrap_or(length / 2)
}

/// Whether a mail of `length` bytes with this subject is refused for something else than its size, or nothing smaller is left.
pub(in crate::report) fn is_smallest(subject: &str, length: u64, limit: Option<u64>) -> bool {
    // Only a mailbox that is full calls so little too much.
    subject.ends_with(COUNTS_ONLY) || length < SMALLEST && limit.is_none_or(|limit| limit >= length)
}

/// Whether there is more in a mail than its text.
fn has_attachment(mail: &[u8]) -> bool {
    raw_headers(mail).iter().any(|line| line.starts_with("Content-Type: multipart/mixed"))
}

/// The Message-ID of the report that a mail replaces.
pub(in crate::report) fn replaced_by(mail: &[u8]) -> Option<String> {
    plain_text(mail).0.into_iter().find(|(name, _)| name == "References").map(|(_, value)| value)
}

/// What a report is replaced by.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Replacement<'a> {
    /// The whole report.
    pub(in crate::report) report: &'a [u8],
    /// Its subject.
    pub(in crate::report) subject: &'a str,
    /// Its Message-ID.
    pub(in crate::report) replaces: &'a str,
    /// The Message-ID of what replaces it.
    pub(in crate::report) message_id: &'a str,
    /// The command that shows the report.
    pub(in crate::report) command: &'a str,
}

impl Replacement<'_> {
    /// Subject and bytes of the largest mail of at most `target` bytes; that of counts may have more.
    pub(in crate::report) fn compose(&self, target: u64) -> (String, Vec<u8>) {
        let text = plain_text(self.report).1;
        let lines: Vec<&str> = text.lines().collect();
        let fits = |mail: &Vec<u8>| u64::try_from(mail.len()).is_ok_and(|length| length <= target);
        let Self { replaces, command, subject, .. } = self;
        if has_attachment(self.report) {
            let note = format!("WITHOUT ITS ATTACHMENT, which was too large: {command}");
            let mail = self.mail(
                subject,
                &format!("the text alone, as both were too large; it replaces {replaces}\n\n{text}\n{note}\n"),
            );
            if fits(&mail) {
                return ((*subject).to_owned(), mail);
            }
        }
        let sections = sections(&lines);
        let most = sections.iter().map(|section| section.items.len()).max().unwrap_or(0);
        let (counts, is_worth_it) = (format!("{subject}{COUNTS_ONLY}"), target >= SMALLEST);
        let mut keep = most / 2;
        while keep > 0 && is_worth_it {
            let subject = format!("{subject}{SHORTENED}");
            let text = format!(
                "shortened, as it was too large; it replaces {replaces}\nthe whole report, on the machine itself: {command}\n\n{}",
                shortened(&sections, keep)
            );
            let mail = self.mail(&subject, &text);
            if fits(&mail) {
                return (subject, mail);
            }
            keep /= 2;
        }
        let mail = self.mail(&counts, &self.counts(&sections));
        (counts, mail)
    }

    fn counts(&self, sections: &[Section<'_>]) -> String {
        let mut text = format!(
            "too large for this mail system, so these are only counts; they replace {}\n\n{}\n",
            self.replaces, self.subject
        );
        let counted = sections.iter().filter(|section| !section.items.is_empty() && section.heading.len() < 100);
        for Section { heading, items } in counted.take(20) {
            let _infallible = writeln!(text, "  {heading}: {}", items.len());
        }
        let _infallible = writeln!(text, "\nThe whole report, on the machine itself: {}", self.command);
        text
    }

    fn mail(&self, subject: &str, text: &str) -> Vec<u8> {
        let mut out = String::new();
        for line in raw_headers(self.report) {
            let name = line.split(':').next().unwrap_or_default();
            if KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name)) {
                let _infallible = write!(out, "{line}\r\n");
            }
        }
        for (name, value) in [
            ("Message-ID", self.message_id),
            ("References", self.replaces),
            ("Subject", subject),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "quoted-printable"),
        ] {
            out += &header_line(name, value);
        }
        out += "\r\n";
        out += &quoted(&text.replace('\n', "\r\n"));
        out.into_bytes()
    }
}

/// A line that stands at the margin, and the items beneath it, each with the lines that belong to it.
struct Section<'a> {
    heading: &'a str,
    items: Vec<Vec<&'a str>>,
}

fn sections<'a>(lines: &[&'a str]) -> Vec<Section<'a>> {
    let mut found: Vec<Section<'a>> = Vec::new();
    for line in lines {
        let indent = line.len() - line.trim_start_matches(' ').len();
        match (indent, found.last_mut()) {
            (0, _) | (_, None) => found.push(Section { heading: line, items: Vec::new() }),
            (2, Some(section)) => section.items.push(vec![line]),
            (_, Some(section)) => match section.items.last_mut() {
                Some(item) => item.push(line),
                None => section.items.push(vec![line]),
            },
        }
    }
    found
}

/// The first `keep` items of each section, and how many more there are.
fn shortened(sections: &[Section<'_>], keep: usize) -> String {
    let mut text = String::new();
    for Section { heading, items } in sections {
        let kept = items.iter().take(keep).flatten();
        for line in [heading].into_iter().chain(kept) {
            let _infallible = writeln!(text, "{line}");
        }
        if let Some(more) = items.len().checked_sub(keep).filter(|more| *more > 0) {
            let _infallible = writeln!(text, "  … and {more} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use uuid::Uuid;

    use super::*;
    use crate::{
        model::{clock::Timestamp, event::Severity},
        report::{
            mail::mime::{MessageId, MimeMessage, compose},
            render::test_events::NOW,
        },
    };

    fn report(items: usize) -> Vec<u8> {
        let mut text = "web3   Sat 21 Nov 2026   many changes\n\nFILES\n".to_owned();
        for number in 0..items {
            text += &format!("  ---   /größe/f{number:04}  added\n        size 1 → {number}\n");
        }
        text += "\nLOGS\n  ---   one line\n\nCOVERAGE  412,118 entries\nSEQ  1–2\n";
        compose(&MimeMessage {
            from: "integrityd <root@web3.example>",
            to: &["alice@example.org".to_owned()],
            subject: "[integrityd] web3: änderungen",
            text: &text,
            host: "web3",
            severity: Severity::High,
            range: (1, 2),
            date: Timestamp::from_nanos(NOW),
            zone: &TimeZone::UTC,
            previous: None,
            id: MessageId { instance: Uuid::nil(), report: 12, part: 1 },
        })
        .unwrap()
    }

    fn smaller(report: &[u8], target: u64) -> (String, String, usize) {
        let replacement = Replacement {
            report,
            subject: "[integrityd] web3: änderungen",
            replaces: "<12@web3>",
            message_id: "<13@web3>",
            command: "integrityd show report 12",
        };
        let (subject, mail) = replacement.compose(target);
        let (headers, text) = plain_text(&mail);
        let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        assert_eq!(header("Subject"), subject);
        assert_eq!((header("Message-ID"), replaced_by(&mail)), ("<13@web3>".to_owned(), Some("<12@web3>".to_owned())));
        assert_eq!((header("To"), header("X-Integrityd-Seq")), ("alice@example.org".to_owned(), "1-2".to_owned()));
        (subject, text, mail.len())
    }

    #[test]
    fn each_section_keeps_its_first_items_and_says_how_many_more_there_are() {
        let (subject, text, length) = smaller(&report(2000), 60_000);
        assert_eq!(subject, "[integrityd] web3: änderungen (too large: shortened)");
        assert!(length <= 60_000, "{length}");
        insta::assert_snapshot!(text.lines().take(8).collect::<Vec<_>>().join("\n"), @r"
        shortened, as it was too large; it replaces <12@web3>
        the whole report, on the machine itself: integrityd show report 12

        web3   Sat 21 Nov 2026   many changes

        FILES
          ---   /größe/f0000  added
                size 1 → 0
        ");
        let kept = text.matches("/größe/").count();
        assert!(
            text.contains(&format!("\n  … and {} more\n\nLOGS\n  ---   one line\n\nCOVERAGE", 2000 - kept)),
            "{text}"
        );
    }

    #[test]
    fn where_nothing_smaller_helps_only_counts_are_sent() {
        let (subject, text, length) = smaller(&report(100), SMALLEST - 1);
        assert_eq!(subject, "[integrityd] web3: änderungen (too large: counts only)");
        insta::assert_snapshot!(text, @r"
        too large for this mail system, so these are only counts; they replace <12@web3>

        [integrityd] web3: änderungen
          FILES: 100
          LOGS: 1

        The whole report, on the machine itself: integrityd show report 12
        ");
        assert!(length < 2000);
        assert!(is_smallest(&subject, 1_500, Some(1_000)));
    }

    #[test]
    fn what_is_too_large_becomes_as_small_as_is_known_or_half() {
        assert_eq!(target(200_000, Some(20_000)), 20_000);
        assert_eq!(target(200_000, None), 100_000);
        assert_eq!(target(200_000, Some(300_000)), 100_000, "what was announced is not what holds");
        assert!(is_smallest("x", 9_000, None), "a mailbox that is full");
        assert!(!is_smallest("x", 9_000, Some(5_000)) && !is_smallest("x", 90_000, None));
    }
}
