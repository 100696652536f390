//! A report that is too large for its way, as parts: how large they may be, which lines each of them holds, and their bytes.
//!
//! Every line of the report stands in exactly one part, in its order. A part begins with which one it is and what it replaces; where it
//! begins in the middle of a block, the heading of the block stands above. What has become a part can be divided again. Where even
//! small parts are too large, only counts are sent, and the command that shows the rest.

use std::collections::BTreeMap;

use crate::report::mail::mime::{header_line, plain_text, quoted, raw_headers};

/// Below so many bytes nothing is divided any more.
pub(super) const SMALLEST: u64 = 16 * 1024;

/// After so many divisions of one report only counts are sent: each costs an attempt, and every part is stored.
const MOST_GENERATIONS: u32 = 6;

/// In which division of its report a part was made.
const GENERATION: &str = "X-Integrityd-Generation";

/// Headers that a part has in common with its report.
const KEPT: [&str; 8] = [
    "From",
    "To",
    "Date",
    "MIME-Version",
    "Auto-Submitted",
    "Precedence",
    "X-Integrityd-Host",
    "X-Integrityd-Severity",
];

/// Room for the headers that are new, and for the first lines.
const ROOM: usize = 700;

/// Behind the heading of a block that began in another part.
const CONTINUED: &str = " (continued)";

/// Behind the subject of a mail of counts.
const COUNTS_ONLY: &str = " (too large: counts only)";

/// What becomes of a mail that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum PartPlan {
    /// Parts of at most so many bytes.
    Divide(u64),
    /// One mail with counts.
    Count,
    /// Nothing smaller is left: it is a refusal like any other.
    Give,
}

/// Decides what becomes of a mail of `length` bytes that is too large: for `limit` bytes, where that is known.
///
/// `parts` is how many parts its report has already, and `generation` how often that was divided.
pub(in crate::report) fn plan(length: u64, parts: u32, generation: u32, limit: Option<u64>) -> PartPlan {
    match limit.filter(|limit| *limit < length) {
        Some(limit) if limit >= SMALLEST && generation < MOST_GENERATIONS => PartPlan::Divide(limit / 10 * 7),
        Some(_) => PartPlan::Count,
        // Only a mailbox that is full calls so little too much.
        None if length < SMALLEST && parts == 1 => PartPlan::Give,
        None if length < SMALLEST => PartPlan::Count,
        None if generation >= MOST_GENERATIONS => PartPlan::Count,
        None => PartPlan::Divide(length / 2),
    }
}

/// Whether a mail of `largest` bytes may go where one of `length` bytes could not: what is hardly smaller would come back for ever.
pub(in crate::report) fn is_progress(largest: u64, length: u64, limit: Option<u64>) -> bool {
    match limit.filter(|limit| *limit < length) {
        Some(limit) => largest <= limit,
        None => largest <= length / 10 * 9,
    }
}

/// Whether a mail with this subject has counts only, so that nothing smaller is left.
pub(in crate::report) fn is_counts(subject: &str) -> bool {
    subject.ends_with(COUNTS_ONLY)
}

/// Whether there is more in a mail than its text.
pub(in crate::report) fn has_attachment(mail: &[u8]) -> bool {
    raw_headers(mail).iter().any(|line| line.starts_with("Content-Type: multipart/mixed"))
}

/// The lines that mails still have to bring, of one report or of several parts of it, in their order.
pub(in crate::report) fn lines_of<'a>(mails: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut lines = Vec::new();
    for mail in mails {
        let (headers, text) = plain_text(mail);
        let mut own: Vec<&str> = text.lines().collect();
        if headers.iter().any(|(name, _)| name == "References") {
            // What was put before the lines of a part: which part it is, a blank line, and perhaps a heading.
            let start = own.iter().position(|line| line.is_empty()).map_or(0, |blank| blank + 1);
            own.drain(..start);
            if own.first().is_some_and(|line| line.ends_with(CONTINUED) && !line.starts_with(' ')) {
                own.remove(0);
            }
        }
        lines.extend(own.into_iter().map(str::to_owned));
    }
    lines
}

/// The Message-ID of the report that a mail replaces.
pub(in crate::report) fn replaced_by(mail: &[u8]) -> Option<String> {
    header(mail, "References")
}

/// How often its report was divided until this mail was made: 0 for the report itself.
pub(in crate::report) fn generation(mail: &[u8]) -> u32 {
    let made = header(mail, GENERATION).and_then(|value| value.parse().ok());
    // What an older program has divided does not say.
    made.unwrap_or_else(|| u32::from(replaced_by(mail).is_some()))
}

fn header(mail: &[u8], wanted: &str) -> Option<String> {
    plain_text(mail).0.into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

/// Divides lines into bodies that, with the headers of `mail`, make mails of at most `target` bytes, unless one line alone is longer.
pub(in crate::report) fn divide(lines: &[String], mail: &[u8], target: u64) -> Vec<String> {
    let room = usize::try_from(target).unwrap_or(usize::MAX).saturating_sub(head(mail).len() + ROOM);
    let mut bodies = vec![String::new()];
    let (mut used, mut heading) = (0, String::new());
    for (place, line) in lines.iter().enumerate() {
        let cost = cost(line);
        if used > 0 && used + cost > room {
            let mut body = String::new();
            if line.starts_with(' ') && !heading.is_empty() {
                body = format!("{heading}{CONTINUED}\n");
            }
            used = body.len() + 2;
            bodies.push(body);
        }
        let is_above_items = lines.get(place + 1).is_some_and(|next| next.starts_with("  "));
        if is_above_items && !line.starts_with(' ') && !line.is_empty() {
            heading.clone_from(line);
        }
        used += cost;
        if let Some(body) = bodies.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    bodies
}

/// Bytes of a line in quoted-printable.
fn cost(line: &str) -> usize {
    quoted(line).len() + 2
}

/// A part: its number and of how many, and what it replaces.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct MailPart<'a> {
    /// Which part it is, from 1, and of how many.
    pub(in crate::report) place: (u32, u32),
    /// The Message-ID of the report.
    pub(in crate::report) replaces: &'a str,
    /// Its own.
    pub(in crate::report) message_id: &'a str,
    /// The subject of the report.
    pub(in crate::report) subject: &'a str,
    /// How often the report was divided until now, this time included.
    pub(in crate::report) generation: u32,
}

impl MailPart<'_> {
    /// Its subject.
    pub(in crate::report) fn subject(&self) -> String {
        match self.place {
            (_, 1) => format!("{}{COUNTS_ONLY}", self.subject),
            (part, parts) => format!("{} (part {part} of {parts})", self.subject),
        }
    }

    /// Its bytes: who, when and how grave as in `mail`.
    pub(in crate::report) fn compose(&self, mail: &[u8], body: &str) -> Vec<u8> {
        let (part, parts) = self.place;
        let text = format!("part {part} of {parts}; together they replace {}\n\n{body}", self.replaces);
        self.mail(mail, &self.subject(), &text)
    }

    /// All the text of a report, without what was attached.
    pub(in crate::report) fn compose_bare(&self, mail: &[u8], lines: &[String]) -> Vec<u8> {
        let text =
            format!("the text alone, as both were too large; it replaces {}\n\n{}\n", self.replaces, lines.join("\n"));
        self.mail(mail, self.subject, &text)
    }

    /// A mail with the counts of `lines` and the command that shows the report.
    pub(in crate::report) fn compose_counts(&self, mail: &[u8], lines: &[String], command: &str) -> Vec<u8> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut heading = "";
        for line in lines {
            let is_item = line.starts_with("  ") && line.as_bytes().get(2).is_some_and(|byte| *byte != b' ');
            if is_item {
                *counts.entry(heading).or_default() += 1;
            } else if !line.starts_with(' ') {
                heading = line;
            }
        }
        let mut text = format!(
            "too large for this mail system, so these are only counts; they replace {}\n\n{}\n",
            self.replaces, self.subject
        );
        for (heading, items) in counts.iter().filter(|(heading, _)| heading.len() < 100).take(20) {
            text += &format!("  {heading}: {items}\n");
        }
        text += &format!("\nThe whole report, on the machine itself: {command}\n");
        self.mail(mail, &self.subject(), &text)
    }

    fn mail(&self, mail: &[u8], subject: &str, text: &str) -> Vec<u8> {
        let mut out = head(mail);
        for (name, value) in [
            ("Message-ID", self.message_id),
            ("References", self.replaces),
            (GENERATION, &self.generation.to_string()),
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

/// The headers of `mail` that its parts have, too, as they are.
fn head(mail: &[u8]) -> String {
    raw_headers(mail)
        .into_iter()
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            KEPT.iter().chain(["X-Integrityd-Seq"].iter()).any(|kept| kept.eq_ignore_ascii_case(name))
        })
        .map(|line| format!("{line}\r\n"))
        .collect()
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

    const ID: MessageId = MessageId { instance: Uuid::nil(), report: 12, part: 1 };

    fn report(items: usize) -> (Vec<u8>, Vec<String>) {
        let mut text = "web3   Sat 21 Nov 2026   many changes\n\nFILES\n".to_owned();
        for number in 0..items {
            text += &format!("  ---   /größe/f{number:04}  added\n        size 1 → {number}\n");
        }
        text += "\nCOVERAGE  412,118 entries\nSEQ  1–2\n";
        let mail = compose(&MimeMessage {
            from: "integrityd <root@web3.example>",
            to: &["alice@example.org".to_owned()],
            subject: "[integrityd] web3: änderungen",
            text: &text,
            host: "web3",
            severity: Severity::High,
            range: (1, 2),
            date: Timestamp::from_nanos(NOW),
            zone: &TimeZone::UTC,
            id: ID,
        })
        .unwrap();
        (mail, text.lines().map(str::to_owned).collect())
    }

    /// The mails that one mail becomes.
    fn divided(mails: &[Vec<u8>], target: u64) -> Vec<Vec<u8>> {
        let lines = lines_of(mails.iter().map(Vec::as_slice));
        let bodies = divide(&lines, &mails[0], target);
        let parts = u32::try_from(bodies.len()).unwrap();
        (1..)
            .zip(&bodies)
            .map(|(part, body)| {
                let id = format!("<part-{part}@web3>");
                let part = MailPart {
                    place: (part, parts),
                    replaces: &ID.text("web3"),
                    message_id: &id,
                    subject: "[integrityd] web3: änderungen",
                    generation: 1,
                };
                part.compose(&mails[0], body)
            })
            .collect()
    }

    #[test]
    fn no_line_is_lost_or_doubled_however_often_it_is_divided() {
        let (mail, lines) = report(400);
        let mut mails = vec![mail];
        for target in [20_000, 9_000, 3_000] {
            mails = divided(&mails, target);
            assert!(mails.iter().all(|mail| u64::try_from(mail.len()).unwrap() <= target), "{target}");
            assert_eq!(lines_of(mails.iter().map(Vec::as_slice)), lines);
        }
        assert!(mails.len() > 10);
    }

    #[test]
    fn a_part_says_which_it_is_what_it_replaces_and_where_it_goes_on() {
        let (mail, _) = report(100);
        let mails = divided(&[mail], 4_000);
        let (headers, text) = plain_text(&mails[1]);
        let header = |name: &str| headers.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
        let count = mails.len();
        assert_eq!(header("Subject"), Some(format!("[integrityd] web3: änderungen (part 2 of {count})").as_str()));
        assert_eq!(header("Message-ID"), Some("<part-2@web3>"));
        assert_eq!(header("References"), Some(ID.text("web3").as_str()));
        assert_eq!(replaced_by(&mails[1]), Some(ID.text("web3")));
        assert_eq!(header("To"), Some("alice@example.org"));
        assert_eq!(header("X-Integrityd-Seq"), Some("1-2"));
        let first: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(first[0], format!("part 2 of {count}; together they replace {}", ID.text("web3")));
        assert_eq!((first[1], first[2]), ("", "FILES (continued)"));
    }

    #[test]
    fn where_nothing_smaller_helps_only_counts_are_sent() {
        let (mail, lines) = report(100);
        let part = MailPart {
            place: (1, 1),
            replaces: "<12@web3>",
            message_id: "<13@web3>",
            subject: "[integrityd] web3: x",
            generation: 1,
        };
        let counts = part.compose_counts(&mail, &lines, "integrityd show report 12");
        insta::assert_snapshot!(plain_text(&counts).1, @r"
        too large for this mail system, so these are only counts; they replace <12@web3>

        [integrityd] web3: x
          FILES: 100

        The whole report, on the machine itself: integrityd show report 12
        ");
        assert!(counts.len() < 2000);
    }

    #[test]
    fn what_is_too_large_is_divided_by_what_is_known() {
        assert_eq!(plan(200_000, 1, 0, Some(20_000)), PartPlan::Divide(14_000));
        assert_eq!(plan(200_000, 1, 0, None), PartPlan::Divide(100_000));
        assert_eq!(plan(100_000, 2, 1, None), PartPlan::Divide(50_000));
        assert_eq!(plan(9_000, 1, 0, Some(5_000)), PartPlan::Count);
        assert_eq!(plan(12_000, 16, 1, None), PartPlan::Count);
        assert_eq!(plan(9_000, 1, 0, None), PartPlan::Give, "a mailbox that is full");
        assert!(is_counts("x (too large: counts only)") && !is_counts("x (part 1 of 2)"));
        assert_eq!(plan(100_000, 2, 6, None), PartPlan::Count, "one generation too many");
        assert_eq!(plan(100_000, 2, 6, Some(50_000)), PartPlan::Count);
    }

    #[test]
    fn what_is_hardly_smaller_is_no_progress() {
        assert!(is_progress(90_000, 100_000, None) && !is_progress(90_001, 100_000, None));
        assert!(is_progress(20_000, 20_100, Some(20_000)) && !is_progress(20_001, 40_000, Some(20_000)));
        assert!(!is_progress(99_000, 100_000, Some(200_000)), "what was announced is not what holds");
    }
}
