//! A rendered report as the bytes of a mail (RFC 5322, RFC 2045), and back again for reading it on a terminal.
//!
//! The bytes are stored before the first attempt and never change (delivery.md D3), so nothing here asks for the time
//! or makes up an id. The body is always quoted-printable: lines stay short, no relay has a reason to touch them, and
//! neither a lone CR nor a dot at the start of a line can reach the SMTP dialogue (RUSTSEC-2026-0561). Every header
//! passes the neutraliser first, because lettre sends CR and ESC in a subject as they are.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{fmt::rfc2822, tz::TimeZone};
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use mail_parser::{MessageParser, parsers::MessageStream};
use uuid::Uuid;

use crate::{
    model::{
        clock::Timestamp,
        escape::{escape, escape_cut, is_hidden},
        event::Severity,
    },
    report::{mail::attachment::Attachment, render::format::zoned},
};

/// Most characters of a subject; ours have 150 at most.
const SUBJECT_LIMIT: usize = 1000;

/// The name of what is attached.
const ATTACHED: &str = "events.ndjson.gz";

/// Longest word of a header that is written as it is.
const PLAIN_WORD: usize = 70;

/// Bytes in one encoded word, which may have 75 characters (RFC 2047, section 2).
const ENCODED_BYTES: usize = 42;

/// Longest host name, in bytes (RFC 1035).
const HOST_LIMIT: usize = 253;

/// All that becomes one mail.
#[derive(Debug, Clone, Copy)]
pub struct MimeMessage<'a> {
    /// The sender's address, with or without a name.
    pub from: &'a str,
    /// The recipients' addresses, at least one.
    pub to: &'a [String],
    /// The subject, neutralised as `render` gives it; any control character left in it is escaped.
    pub subject: &'a str,
    /// The body; `\n` ends its lines.
    pub text: &'a str,
    /// The name of the machine.
    pub host: &'a str,
    /// The greatest weight of what is told.
    pub severity: Severity,
    /// First and last sequence number of what is told.
    pub range: (u64, u64),
    /// When the report was made.
    pub date: Timestamp,
    /// The zone the date is written in.
    pub zone: &'a TimeZone,
    /// The Message-ID of the report before it for the same recipients; `None` for the first.
    pub previous: Option<&'a str>,
    /// Which report this is.
    pub id: MessageId,
}

/// What makes a mail unique, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId {
    /// The database the report lies in.
    pub instance: Uuid,
    /// The report, from 1.
    pub report: u64,
    /// The part of the report, from 1.
    pub part: u32,
}

/// A message that cannot become a mail.
#[derive(Debug, thiserror::Error)]
pub enum MimeError {
    /// An address that is none.
    #[error("no mail address: {address}")]
    Address {
        /// The address, neutralised.
        address: String,
        /// What is wrong with it.
        source: lettre::address::AddressError,
    },
    /// A message to nobody.
    #[error("a mail without recipients")]
    NoRecipient,
    /// The date has no written form.
    #[error("no date")]
    Date(#[source] jiff::Error),
    /// A header name that is not ASCII.
    #[error("no header name: {0}")]
    Header(&'static str),
    /// lettre refused the parts.
    #[error("composing the mail")]
    Compose(#[source] lettre::error::Error),
}

impl MessageId {
    /// `<{instance}.{report}.{part}@{host}>`; of the host name only letters, digits, dots and hyphens are kept.
    pub fn text(&self, host: &str) -> String {
        format!("<{}.{}.{}@{}>", self.instance, self.report, self.part, domain(host))
    }
}

/// The bytes of the mail: CRLF line ends, no line longer than 998 bytes, ASCII.
///
/// # Errors
/// [`MimeError`] when an address is none, or there is no recipient.
pub fn compose(mime: &MimeMessage<'_>) -> Result<Vec<u8>, MimeError> {
    compose_with(mime, None)
}

/// As [`compose`], with events for machines behind the text.
///
/// # Errors
/// [`MimeError`] when an address is none, or there is no recipient.
pub fn compose_with(mime: &MimeMessage<'_>, attachment: Option<&Attachment>) -> Result<Vec<u8>, MimeError> {
    if mime.to.is_empty() {
        return Err(MimeError::NoRecipient);
    }
    let mut builder = Message::builder().from(mailbox(mime.from)?).message_id(Some(mime.id.text(mime.host)));
    if attachment.is_none() {
        builder = builder.header(ContentType::TEXT_PLAIN).header(ContentTransferEncoding::QuotedPrintable);
    }
    for address in mime.to {
        builder = builder.to(mailbox(address)?);
    }
    let message = match attachment {
        Some(attachment) => builder.multipart(parts(mime, attachment)),
        None => builder.body(mime.text.to_owned()),
    };
    let mut message = message.map_err(MimeError::Compose)?;
    let date = rfc2822::to_string(&zoned(mime.date, mime.zone)).map_err(MimeError::Date)?;
    let host = escape_cut(mime.host.as_bytes(), HOST_LIMIT);
    let headers = [
        ("Subject", harmless(mime.subject).chars().take(SUBJECT_LIMIT).collect()),
        ("Date", date),
        ("MIME-Version", "1.0".to_owned()),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("Precedence", "bulk".to_owned()),
        ("X-Integrityd-Host", host),
        ("X-Integrityd-Severity", severity_word(mime.severity).to_owned()),
        ("X-Integrityd-Seq", format!("{}-{}", mime.range.0, mime.range.1)),
    ];
    let previous = mime.previous.map(|id| ("X-Integrityd-Previous", harmless(id)));
    for (name, value) in headers.into_iter().chain(previous) {
        message.headers_mut().insert_raw(header(name, value)?);
    }
    Ok(message.formatted())
}

/// The text and what is attached to it. The boundary stands in neither: quoted-printable has no `=_`, base64 no `_`.
fn parts(mime: &MimeMessage<'_>, attachment: &Attachment) -> MultiPart {
    let text = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(mime.text.to_owned());
    let kind = ContentType::parse("application/gzip").unwrap_or(ContentType::TEXT_PLAIN);
    let events = SinglePart::builder()
        .header(kind)
        .header(ContentDisposition::attachment(ATTACHED))
        .header(ContentTransferEncoding::Base64)
        .body(attachment.bytes.clone());
    let MessageId { instance, report, part } = mime.id;
    let boundary = format!("=_{}.{report}.{part}", instance.simple());
    MultiPart::mixed().boundary(boundary).singlepart(text).singlepart(events)
}

/// The word of a severity in `X-Integrityd-Severity`, for filters.
pub const fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Normal => "normal",
        Severity::Low => "low",
        Severity::Count => "count",
    }
}

fn header(name: &'static str, value: String) -> Result<HeaderValue, MimeError> {
    let header = HeaderName::new_from_ascii(name.to_owned()).or(Err(MimeError::Header(name)))?;
    Ok(if is_plain(&value) {
        HeaderValue::new(header, value)
    } else {
        let encoded = encode_words(&value);
        HeaderValue::dangerous_new_pre_encoded(header, value, encoded)
    })
}

/// Whether every reader shows the words as they are: lettre would let an imitated encoded word pass, which readers
/// decode, and a long word as well, which passes the 998 bytes of a line.
fn is_plain(value: &str) -> bool {
    value.is_ascii() && !value.contains("=?") && value.split(' ').all(|word| (1..=PLAIN_WORD).contains(&word.len()))
}

/// Base64 words of RFC 2047, one a line, none of which divides a character.
fn encode_words(value: &str) -> String {
    let mut words = vec![String::new()];
    for c in value.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= ENCODED_BYTES => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let encoded: Vec<String> = words.iter().map(|word| format!("=?utf-8?b?{}?=", STANDARD.encode(word))).collect();
    encoded.join("\r\n ")
}

/// A header as a line of a mail, with its end; folded where it is long.
pub(crate) fn header_line(name: &str, value: &str) -> String {
    let value = harmless(value);
    let is_short = name.len() + value.len() + 2 <= PLAIN_WORD || !value.contains(' ');
    let is_as_it_is = (is_short && is_plain(&value)) || is_id(&value);
    let written = if is_as_it_is { value } else { encode_words(&value) };
    format!("{name}: {written}\r\n")
}

/// A Message-ID is never encoded, however long its host name is.
fn is_id(value: &str) -> bool {
    value.starts_with('<') && value.ends_with('>') && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The headers of a mail as they are, each with the lines it was folded into, without the last line end.
pub(crate) fn raw_headers(mail: &[u8]) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for line in String::from_utf8_lossy(split_head(mail).0).split("\r\n") {
        match headers.last_mut() {
            Some(header) if line.starts_with([' ', '\t']) => header.push_str(&format!("\r\n{line}")),
            _ => headers.push(line.to_owned()),
        }
    }
    headers
}

/// Text in quoted-printable (RFC 2045, 6.7); CRLF ends its lines.
pub(crate) fn quoted(text: &str) -> String {
    quoted_printable::encode_to_str(text)
}

/// Checks that a mail can carry `address`.
///
/// # Errors
/// [`MimeError::Address`] when it cannot.
pub fn check_address(address: &str) -> Result<(), MimeError> {
    mailbox(address).map(|_mailbox| ())
}

fn mailbox(address: &str) -> Result<Mailbox, MimeError> {
    address.parse().map_err(|source| MimeError::Address { address: escape(address.as_bytes()), source })
}

/// What may stand behind the @ of a message id: labels of letters, digits and inner hyphens; `localhost` when nothing is left.
fn domain(host: &str) -> String {
    let kept: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(HOST_LIMIT).collect();
    let labels: Vec<&str> =
        kept.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty()).collect();
    if labels.is_empty() { "localhost".to_owned() } else { labels.join(".") }
}

/// Our own mail back as text: its headers in their order, unfolded and decoded, and its body with `\n` line ends.
///
/// What would be dangerous on a terminal is neutralised: the stored bytes may have been tampered with. A foreign mail is
/// shown as well as can be. Cost O(n).
pub fn plain_text(mail: &[u8]) -> (Vec<(String, String)>, String) {
    let Some(message) = MessageParser::default().parse(mail) else { return (Vec::new(), String::new()) };
    let decoded = |value: &str| {
        let text = format!("{}\n", value.trim());
        MessageStream::new(text.as_bytes()).parse_unstructured().into_text().map_or_else(String::new, Cow::into_owned)
    };
    let headers =
        message.headers_raw().map(|(name, value)| (harmless(name.trim()), harmless(&decoded(value)))).collect();
    let body = message.body_text(0).unwrap_or_default();
    let lines: Vec<String> = body.split('\n').map(|line| harmless(line.strip_suffix('\r').unwrap_or(line))).collect();
    (headers, lines.join("\n"))
}

fn split_head(mail: &[u8]) -> (&[u8], &[u8]) {
    let end = mail.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    match end.and_then(|end| mail.split_at_checked(end)) {
        Some((head, rest)) => (head, rest.get(4..).unwrap_or_default()),
        None => (mail, &[]),
    }
}

/// The text with what must not reach a terminal escaped; backslashes stay, for our text is escaped already.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { escape(c.to_string().as_bytes()) } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::offset;
    use mail_parser::{MessageParser, MimeHeaders as _};
    use proptest::prelude::*;

    use super::*;
    use crate::report::render::test_events::{NOW, hostile};

    const NAMES: [&str; 13] = [
        "From",
        "Message-ID",
        "Content-Type",
        "Content-Transfer-Encoding",
        "To",
        "Date",
        "Subject",
        "MIME-Version",
        "Auto-Submitted",
        "Precedence",
        "X-Integrityd-Host",
        "X-Integrityd-Severity",
        "X-Integrityd-Seq",
    ];

    fn written(subject: &str, host: &str, text: &str) -> Vec<u8> {
        compose(&MimeMessage {
            from: "integrityd <root@web3.example>",
            to: &["alice@example.org".to_owned(), "Bob <bob@example.org>".to_owned()],
            subject,
            text,
            host,
            severity: Severity::High,
            range: (48_102, 48_131),
            date: Timestamp::from_nanos(NOW),
            zone: &TimeZone::fixed(offset(1)),
            previous: None,
            id: MessageId { instance: Uuid::from_bytes([0xab; 16]), report: 12, part: 1 },
        })
        .unwrap()
    }

    /// What the mail says when a foreign parser reads it.
    fn read(mail: &[u8]) -> (Vec<String>, String, String) {
        let parsed = MessageParser::default().parse(mail).unwrap();
        let names = parsed.headers().iter().map(|header| header.name().to_owned()).collect();
        let subject = parsed.subject().unwrap_or_default().to_owned();
        assert_eq!(parsed.parts.len(), 1);
        (names, subject, parsed.body_text(0).unwrap().into_owned())
    }

    #[test]
    fn a_letter_has_exactly_our_headers() {
        let mail = written("[integrityd] web3: 3 changes to review", "web3.example", "FILES\n  size 1 → 2\n.\n");
        let head = String::from_utf8(split_head(&mail).0.to_vec()).unwrap().replace("\r\n", "\n");
        insta::assert_snapshot!(head, @r#"
        From: integrityd <root@web3.example>
        Message-ID: <abababab-abab-abab-abab-abababababab.12.1@web3.example>
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: quoted-printable
        To: alice@example.org, Bob <bob@example.org>
        Date: Sat, 21 Nov 2026 14:10:02 +0100
        Subject: [integrityd] web3: 3 changes to review
        MIME-Version: 1.0
        Auto-Submitted: auto-generated
        Precedence: bulk
        X-Integrityd-Host: web3.example
        X-Integrityd-Severity: high
        X-Integrityd-Seq: 48102-48131
        "#);
        assert_eq!(read(&mail).2, "FILES\r\n  size 1 → 2\r\n.\r\n");
    }

    #[test]
    fn the_same_letter_is_the_same_bytes() {
        assert_eq!(written("a", "b", "c\n"), written("a", "b", "c\n"));
    }

    #[test]
    fn what_is_attached_stands_behind_the_same_text() {
        let zone = TimeZone::fixed(offset(1));
        let to = ["a@example.org".to_owned()];
        let mime = MimeMessage {
            from: "integrityd@web3",
            to: &to,
            subject: "s",
            text: "FILES\n  size 1 → 2 \u{3d}_\n.\n--=_00\n",
            host: "web3",
            severity: Severity::Low,
            range: (1, 2),
            date: Timestamp::from_nanos(NOW),
            zone: &zone,
            previous: None,
            id: MessageId { instance: Uuid::from_bytes([0xab; 16]), report: 12, part: 1 },
        };
        let attachment = Attachment { bytes: (0..=255).cycle().take(5000).collect(), events: 3 };
        let mail = compose_with(&mime, Some(&attachment)).unwrap();
        assert_eq!(mail, compose_with(&mime, Some(&attachment)).unwrap());
        let parsed = MessageParser::default().parse(&mail).unwrap();
        assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), mime.text.trim_end());
        let attached = parsed.attachments().next().unwrap();
        assert_eq!((attached.contents(), attached.attachment_name()), (&*attachment.bytes, Some("events.ndjson.gz")));
        assert_eq!(parsed.attachment_count(), 1);
        let (headers, text) = plain_text(&mail);
        assert_eq!(text.trim_end(), mime.text.trim_end());
        assert!(headers.contains(&("Subject".to_owned(), "s".to_owned())));
        assert_eq!(headers.iter().filter(|(name, _)| name == "Message-ID").count(), 1);
        for line in mail.split(|byte| *byte == b'\n') {
            assert!(line.len() <= 998 && line.is_ascii());
        }
    }

    #[test]
    fn an_injected_header_is_text() {
        let mail = written("a\r\nBcc: eve@example.org\r\n\r\nbody", "h\r\nBcc: eve@example.org", "x\n");
        let (names, subject, body) = read(&mail);
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")));
        assert_eq!(subject, r"a\x0d\nBcc: eve@example.org\x0d\n\x0d\nbody");
        assert_eq!(body, "x\r\n");
    }

    #[test]
    fn the_domain_of_an_id_is_always_one() {
        for (host, wanted) in [
            ("web3.example", "web3.example"),
            ("", "localhost"),
            ("..-._", "localhost"),
            ("a b>c..d", "a-b-c.d"),
            ("größe", "gr--e"),
        ] {
            assert_eq!(domain(host), wanted);
        }
    }

    #[test]
    fn a_letter_needs_real_addresses() {
        let zone = TimeZone::UTC;
        let mime = |from, to| MimeMessage {
            from,
            to,
            subject: "s",
            text: "t",
            host: "h",
            severity: Severity::Low,
            range: (0, 0),
            date: Timestamp::from_nanos(NOW),
            zone: &zone,
            previous: None,
            id: MessageId { instance: Uuid::nil(), report: 1, part: 1 },
        };
        let good = ["root".to_owned() + "@localhost"];
        let bad = ["a@b\r\nBcc: c@d".to_owned()];
        assert!(matches!(compose(&mime("root@localhost", &[])), Err(MimeError::NoRecipient)));
        assert!(matches!(compose(&mime("root@localhost", &bad)), Err(MimeError::Address { .. })));
        assert!(matches!(compose(&mime("nobody", &good)), Err(MimeError::Address { .. })));
        assert!(compose(&mime("root@localhost", &good)).is_ok());
    }

    #[test]
    fn a_tampered_mail_cannot_reach_the_terminal() {
        let (headers, text) =
            plain_text(b"Subject: a\x1b]0;x\x07\r\nX: =?utf-8?b?G1sySg==?=\r\n\r\nb\x1b[2J\xff\r\n\\n");
        assert_eq!(
            headers,
            [("Subject".to_owned(), r"a\x1b]0;x\x07".to_owned()), ("X".to_owned(), r"\x1b[2J".to_owned())]
        );
        assert_eq!(text, "b\\x1b[2J\u{fffd}\n\\n");
    }

    fn lines_are_sound(mail: &[u8]) -> bool {
        let text = str::from_utf8(mail).unwrap();
        let is_bare = text.replace("\r\n", "").contains(['\r', '\n']);
        text.is_ascii()
            && !is_bare
            && text.split("\r\n").all(|line| line.len() <= 998)
            && text.bytes().all(|byte| byte >= b' ' || b"\r\n\t".contains(&byte))
    }

    proptest! {
        #[test]
        fn no_words_can_break_a_mail(subject in hostile(), host in hostile(), body in hostile()) {
            let [subject, host, body] = [subject, host, body].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let mail = written(&subject, &host, &body);
            prop_assert!(lines_are_sound(&mail));
            let (names, read_subject, read_body) = read(&mail);
            prop_assert_eq!(&names, &NAMES);
            let wanted: String = harmless(&subject).chars().take(SUBJECT_LIMIT).collect();
            prop_assert_eq!(read_subject, wanted);
            let unix = |text: &str| text.replace("\r\n", "\n").replace('\r', "");
            prop_assert_eq!(unix(&read_body), unix(&body));
        }

        #[test]
        fn our_mail_reads_back(words in hostile(), subject in hostile()) {
            let body: String = words.split(|byte| *byte == b'\n').map(|line| escape(line) + "\n").collect();
            let subject = escape_cut(&subject, 200);
            let (headers, text) = plain_text(&written(&subject, "web3", &body));
            prop_assert_eq!(text, body);
            prop_assert_eq!(headers.len(), NAMES.len());
            let shown = headers.iter().find(|(name, _)| name == "Subject").map(|(_, value)| value.as_str());
            prop_assert_eq!(shown, Some(subject.as_str()));
        }

        #[test]
        fn any_bytes_can_be_shown(mail in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, text) = plain_text(&mail);
            prop_assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)));
        }
    }
}
