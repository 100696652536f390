//! What a mail of ours says of the chain, read back from the mail: its number, the events it tells of and the head of the last.
//!
//! A mail comes back from a mailbox, where others may have put theirs and filters may have altered ours, so whatever does not look
//! exactly as we write it is no witness.

use mail_parser::MessageParser;
use uuid::Uuid;

use crate::model::clock::Timestamp;

/// The statement of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its Message-ID, without the angle brackets.
    pub message_id: String,
    /// The database the report lies in.
    pub instance: Uuid,
    /// The number of the report.
    pub report: i64,
    /// The part of the report.
    pub part: u32,
    /// The first and the last event it tells of.
    pub range: (u64, u64),
    /// The hash of the last event; `None` in a part without the closing lines.
    pub head: Option<[u8; 32]>,
    /// The Message-ID of the report before it, without the angle brackets; `None` in the first.
    pub previous: Option<String>,
    /// Who it went to.
    pub recipients: Vec<String>,
    /// When it was made; `None` without a date.
    pub date: Option<Timestamp>,
}

/// The statement of `mail`; `None` when it is not a report of ours. Cost: O(n).
pub fn statement(mail: &[u8]) -> Option<Statement> {
    let message = MessageParser::default().parse(mail)?;
    let message_id = message.message_id()?.to_owned();
    let (instance, report, part) = identity(&message_id)?;
    let range = range(message.header_raw("X-Integrityd-Seq")?.trim())?;
    let previous = message.header_raw("X-Integrityd-Previous").map(|id| id.trim().trim_matches(['<', '>']).to_owned());
    let previous = previous.filter(|id| identity(id).is_some());
    let text = message.body_text(0).unwrap_or_default();
    let addresses = message.to().into_iter().flat_map(|to| to.iter());
    let recipients = addresses.filter_map(|address| address.address()).map(str::to_owned).collect();
    let seconds = message.date().map(mail_parser::DateTime::to_timestamp);
    let date = seconds.map(|seconds| Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000)));
    // A test mail is of no database.
    (report > 0).then(|| Statement {
        message_id,
        instance,
        report,
        part,
        range,
        head: head(&text),
        previous,
        recipients,
        date,
    })
}

/// Instance, report and part of a Message-ID of ours, `{instance}.{report}.{part}@{host}`; `None` of another.
pub fn identity(message_id: &str) -> Option<(Uuid, i64, u32)> {
    let (local, _host) = message_id.split_once('@')?;
    let mut fields = local.split('.');
    let instance = fields.next()?.parse().ok()?;
    let (report, part) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some((instance, report, part))
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    let range = (first.parse().ok()?, last.parse().ok()?);
    // The columns of the database are signed.
    (range.0 <= range.1 && i64::try_from(range.1).is_ok()).then_some(range)
}

/// The head of the last line that begins with `SEQ  `: nothing that others write ever stands at the left margin.
fn head(text: &str) -> Option<[u8; 32]> {
    let line = text.lines().rev().find(|line| line.starts_with("SEQ  "))?;
    let (_, digits) = line.trim_end().rsplit_once("head ")?;
    let digits = digits.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != hash.len() * 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        model::{escape::hex, event::Severity},
        report::mail::mime::{MessageId, MimeMessage, compose},
    };

    fn mail(text: &str, report: u64) -> Vec<u8> {
        compose(&MimeMessage {
            from: "integrityd@web3.example",
            to: &["root@example.org".to_owned(), "Second <two@example.org>".to_owned()],
            subject: "x",
            text,
            host: "web3.example",
            severity: Severity::Low,
            range: (1_200, 3_400),
            date: Timestamp::from_nanos(1_795_000_000_000_000_000),
            zone: &TimeZone::UTC,
            previous: None,
            id: MessageId { instance: Uuid::from_bytes([7; 16]), report, part: 1 },
        })
        .unwrap()
    }

    #[test]
    fn what_a_mail_says_of_the_chain_is_read_back_from_it() {
        let text = format!("x\n\n  SEQ  1  head 00\nSEQ  1,200–3,400  head {}\nMORE  …\n", hex(&[0xa7; 32]));
        let found = statement(&mail(&text, 12)).unwrap();
        let wanted = Statement {
            previous: None,
            message_id: "07070707-0707-0707-0707-070707070707.12.1@web3.example".to_owned(),
            instance: Uuid::from_bytes([7; 16]),
            report: 12,
            part: 1,
            range: (1_200, 3_400),
            head: Some([0xa7; 32]),
            recipients: vec!["root@example.org".to_owned(), "two@example.org".to_owned()],
            date: Some(Timestamp::from_nanos(1_795_000_000_000_000_000)),
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_others_write_is_no_statement() {
        assert_eq!(statement(b""), None);
        assert_eq!(statement(b"\xff\0\x1b[2J"), None);
        assert_eq!(statement(b"Message-ID: <1@x>\nSubject: x\n\nSEQ  1  head 00\n"), None);
        assert_eq!(statement(&mail("test", 0)), None);
        for text in ["  SEQ  1  head 00", "SEQ  1  head +0", &format!("SEQ  1  head {}", "é".repeat(32))] {
            assert_eq!(statement(&mail(text, 1)).unwrap().head, None, "{text}");
        }
        for range in ["2-1", "1", "1-99999999999999999999", "1-18446744073709551615"] {
            assert_eq!(super::range(range), None, "{range}");
        }
    }
}
