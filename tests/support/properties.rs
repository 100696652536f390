//! What must hold for any bytes at all: for the fuzzer under `tests/fuzz` and for `cargo test` alike.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use integrityd::{
    config::{self, read::include::Files},
    logs::pattern::{alphabet::Alphabet, ast::Locale, parser::parse, single::Single},
    model::{
        canonical::{decode, decode_observation, decode_process, encode},
        clock::{Moment, Timestamp},
        escape::{escape, escape_cut, is_hidden},
        event::{Category, Event, LogLine, Severity, StoredEvent},
        log::position::Anchor,
    },
    report::{
        mail::mime::{MessageId, MimeMessage, compose, plain_text},
        render::{
            batch::{Batch, BatchTally},
            report::render,
        },
        transport::smtp_connection::SmtpConnection,
    },
    sys::{process::pidfile, users::Names},
    tail::{
        splitter::{LONGEST, LineSplitter, LogRecord},
        stream::LogStream,
    },
};

/// A property of any bytes, and its name.
pub(crate) type Property = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const ALL: [Property; 10] = [
    ("legacy", legacy),
    ("toml", toml),
    ("ere", ere),
    ("lines", lines),
    ("neutraliser", neutraliser),
    ("mail", mail),
    ("smtp", smtp),
    ("pidfile", pid_file),
    ("gzip", gzip),
    ("rows", rows),
];

fn configuration(text: &[u8]) {
    let path = Path::new("/etc/integrityd.conf");
    if let Err(faults) = config::parse(path, text, &Files::Memory(BTreeMap::new())) {
        let shown = faults.to_string();
        assert!(!shown.is_empty(), "refused without a word");
        assert!(!shown.chars().any(|c| c != '\n' && is_hidden(c)), "{shown:?}");
    }
}

/// A configuration in the form of 2012 is taken, or refused in harmless words.
fn legacy(bytes: &[u8]) {
    configuration(&[b"area = /etc\n", bytes].concat());
}

/// The same for TOML.
fn toml(bytes: &[u8]) {
    configuration(&[b"[rates]\nfilerate = 1\n", bytes].concat());
}

/// A rule is taken or refused, and one that was taken decides about any line within its bounds. The first line of `bytes` is the rule.
fn ere(bytes: &[u8]) {
    let (rule, line) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
    for locale in [Locale::C, Locale::Utf8] {
        let Ok(read) = parse(rule, locale) else { continue };
        let alphabet = Alphabet::new(locale, [&read.tree]);
        if let Ok(mut single) = Single::new(&read, &alphabet) {
            // Yes, no or the limit; never a panic, and never without an end.
            let _verdict = single.verdict(line, &alphabet.rewrite(line));
        }
    }
}

/// However a stream is cut into pieces, the same lines come out, and an anchor goes on where it was made.
fn lines(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let read = |reading: &mut LineSplitter, bytes: &[u8]| {
        let mut out: Vec<LogRecord> = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = reading.feed(rest, &mut out, usize::MAX);
            rest = &rest[taken..];
        }
        out
    };
    let begin = || LineSplitter::from(Anchor::default());
    let whole = read(&mut begin(), stream);
    let mut pieces = begin();
    let in_pieces: Vec<LogRecord> =
        stream.chunks(usize::from(*cut) + 1).flat_map(|piece| read(&mut pieces, piece)).collect();
    assert_eq!(whole, in_pieces);
    for record in &whole {
        if let LogRecord::Line { bytes, length } = record {
            assert!(bytes.len() <= LONGEST && usize::try_from(*length).unwrap() >= bytes.len());
            assert!(!bytes.contains(&b'\n'));
        }
    }
    // Interrupted after the first half, and begun again from the anchor alone.
    let half = stream.len() / 2;
    let mut first = begin();
    let mut both = read(&mut first, &stream[..half]);
    let boundary = first.boundary();
    let from = usize::try_from(boundary.offset).unwrap();
    both.extend(read(&mut LineSplitter::from(boundary), &stream[from..]));
    assert_eq!(whole, both);
}

/// What comes out is harmless, and no two inputs give the same.
fn neutraliser(bytes: &[u8]) {
    let text = escape(bytes);
    assert!(!text.chars().any(is_hidden), "{text:?}");
    assert_eq!(unescape(&text), bytes, "{text:?}");
    assert!(escape_cut(bytes, 100).len() <= 1000);
}

/// The way back from `escape`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(rest[..at].bytes());
        let escaped = &rest[at + 1..];
        let used = match escaped.as_bytes()[0] {
            b'x' => {
                out.push(u8::from_str_radix(&escaped[1..3], 16).unwrap());
                3
            }
            b'u' => {
                let end = escaped.find('}').unwrap();
                let c = char::from_u32(u32::from_str_radix(&escaped[2..end], 16).unwrap()).unwrap();
                out.extend(c.to_string().bytes());
                end + 1
            }
            byte => {
                out.push(match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => other,
                });
                1
            }
        };
        rest = &escaped[used..];
    }
    out.extend(rest.bytes());
    out
}

/// A report about anything is exactly one mail with exactly our headers, and its text comes back.
fn mail(bytes: &[u8]) {
    let (host, rest) = bytes.split_at(bytes.len().min(40));
    let (source, note) = rest.split_at(rest.len() / 2);
    let host = String::from_utf8_lossy(host);
    let now = Moment::default();
    let stored = |seq, category, severity, line: bool| {
        let event = Event::new(category, severity, now, source.to_vec()).with_note(note);
        let line = line.then(|| LogLine { rule: source.to_vec(), length: 7, digest: None });
        StoredEvent { seq, event: Event { line, ..event }, prev_hash: [1; 32], hash: [2; 32] }
    };
    let events = [
        stored(1, Category::Added, Severity::High, false),
        stored(2, Category::Notice, Severity::Normal, false),
        stored(3, Category::ProcessDied, Severity::High, false),
        stored(4, Category::LogNote, Severity::Normal, true),
    ];
    let zone = jiff::tz::TimeZone::UTC;
    let rendered = render(&Batch {
        host: &host,
        now,
        zone: &zone,
        events: &events,
        lines: &[],
        tally: &BatchTally::of(&events),
        limit: 1000,
        grown: &[],
        shares: &[],
        coverage: None,
        head: [3; 32],
        names: &Names::default(),
        program: "integrityd",
        notices: &[],
    });
    let mail = compose(&MimeMessage {
        from: "integrityd@localhost",
        to: &["root@localhost".to_owned()],
        subject: &rendered.subject,
        text: &rendered.text,
        host: &host,
        severity: rendered.severity,
        range: (1, 4),
        date: Timestamp::from_nanos(0),
        zone: &zone,
        previous: None,
        id: MessageId { instance: uuid::Uuid::nil(), report: 1, part: 1 },
    })
    .unwrap();
    assert!(mail.is_ascii() && mail.split(|byte| *byte == b'\n').all(|line| line.len() <= 999), "{rendered:?}");
    let parsed = mail_parser::MessageParser::default().parse(&mail).unwrap();
    assert_eq!((parsed.parts.len(), parsed.headers().len()), (1, 13), "{rendered:?}");
    let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
    assert_eq!(text.trim_end(), rendered.text.trim_end());
    assert_eq!(plain_text(&mail).1.trim_end(), rendered.text.trim_end());
    // What others wrote is behind our own column.
    assert!(!rendered.text.chars().any(|c| c != '\n' && is_hidden(c)), "{rendered:?}");
}

/// Whatever a server says, it is a reply or an error, in harmless words, and never more than a bound.
fn smtp(bytes: &[u8]) {
    hear(bytes);
    // The same bytes as the text of a good reply, which they hardly ever are by themselves.
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    hear(&[b"250-".as_slice(), &text, b"\r\n250 ok\r\n"].concat());
}

fn hear(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut server, client) = tokio::io::duplex(bytes.len() + 1);
        tokio::io::AsyncWriteExt::write_all(&mut server, bytes).await.unwrap();
        drop(server);
        let mut wire = SmtpConnection::over(client);
        // Each reply takes a line at least.
        for _ in 0..=bytes.len() {
            let words = match wire.reply().await {
                Ok(reply) => reply.words(),
                Err(error) => {
                    let words = error.to_string();
                    assert!(!words.chars().any(is_hidden), "{words:?}");
                    return;
                }
            };
            assert!(!words.chars().any(is_hidden) && words.len() < 10_000, "{words:?}");
        }
        unreachable!("more replies than lines");
    });
}

/// A scratch file with `bytes`, and what `look` finds there.
fn with_file<T>(bytes: &[u8], look: impl FnOnce(&Path) -> T) -> T {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    look(file.path())
}

/// A PID file is a number in a legal range, as its first line alone says.
fn pid_file(bytes: &[u8]) {
    let read = with_file(bytes, |path| pidfile::read(path, None));
    if let Ok(pid) = read {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap();
        let text = String::from_utf8_lossy(first);
        assert_eq!(text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}').parse(), Ok(pid));
        assert!((1..=4_194_304).contains(&pid), "{pid}");
    }
}

/// A packed sibling is read to its end or to its fault, and no further than was asked for.
fn gzip(bytes: &[u8]) {
    with_file(bytes, |path| {
        let file = || File::open(path).unwrap();
        let Ok(mut stream) = LogStream::new(file(), true) else { return };
        let mut at = 0;
        while let Ok(piece) = stream.fill(at, 1 << 20) {
            if piece.is_empty() {
                break;
            }
            stream.consume(piece.len());
            at += u64::try_from(piece.len()).unwrap();
        }
        assert!(at <= 1 << 20);
        if let Ok(mut stream) = LogStream::new(file(), true) {
            let size = fs::metadata(path).unwrap().len();
            let _sketch = stream.sketch(size, &[0, 1, 4096], 1 << 20).unwrap();
        }
    });
}

/// What lies in the database is read or refused, and an event that can be read is written as the same bytes.
fn rows(bytes: &[u8]) {
    if let Ok((seq, event)) = decode(bytes) {
        let again = encode(seq, &event);
        assert_eq!(decode(&again).unwrap(), (seq, event));
    }
    drop((decode_observation(bytes), decode_process(bytes)));
}
