//! What stands at the beginning of a piece of log text: an address, a number, a path, a quotation. Pure.
//!
//! Nothing here looks further than a few hundred bytes unless it takes what it has looked at, so that no line costs more than its
//! length.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::logs::suggest::token_kind::TokenKind;

/// Bytes of `Nov 21 14:02:11`.
pub(in crate::logs) const LEGACY: usize = 15;

/// Longest address, host and local part that are taken for one; longer ones are words.
const LONGEST_ADDRESS: usize = 64;
const LONGEST_HOST: usize = 255;

/// From so many characters on a mixture of digits, small and capital letters is no word.
const SHORTEST_ID: usize = 20;
const LONGEST_ID: usize = 512;

/// From so many on a mixture of hexadecimal digits and letters is a number.
const SHORTEST_HEX: usize = 6;

/// Last parts of names that are files or units, not hosts.
const NO_DOMAIN: [&str; 30] = [
    "automount",
    "c",
    "conf",
    "cc",
    "cpp",
    "db",
    "device",
    "gz",
    "h",
    "html",
    "jar",
    "js",
    "json",
    "log",
    "mount",
    "path",
    "php",
    "pl",
    "py",
    "rs",
    "scope",
    "service",
    "sh",
    "slice",
    "so",
    "socket",
    "swap",
    "target",
    "timer",
    "txt",
];

/// Whether a byte belongs to a word; those of characters beyond ASCII do.
pub(in crate::logs) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether it is in `[._[:alnum:]-]` in every locale.
pub(in crate::logs) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

fn run(text: &[u8], most: usize, is_in: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().take(most).take_while(|byte| is_in(**byte)).count();
    text.get(..length).unwrap_or(text)
}

fn without_end(mut text: &[u8], ends: &[u8]) -> usize {
    while let [before @ .., last] = text
        && ends.contains(last)
    {
        text = before;
    }
    text.len()
}

/// Whether a word ends after `length` bytes.
fn ends_at(text: &[u8], length: usize) -> bool {
    length > 0 && !text.get(length).is_some_and(|byte| is_word(*byte))
}

/// Whether the line begins with `Nov 21 14:02:11` and then ends or has a blank.
pub(super) fn is_legacy_stamp(line: &[u8]) -> bool {
    const SHAPE: &[u8; LEGACY] = b"aaa _0 00:00:00";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'a' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit(),
        b'_' => byte.is_ascii_digit() || *byte == b' ',
        _ => byte == shape,
    };
    let is_over = line.get(LEGACY).is_none_or(|byte| *byte == b' ');
    line.len() >= LEGACY && is_over && line.iter().zip(SHAPE).all(fits)
}

/// The host and what follows its blank.
pub(in crate::logs) fn host(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let host = run(text, LONGEST_HOST, is_name);
    let rest = text.get(host.len()..)?.strip_prefix(b" ")?;
    (!host.is_empty()).then_some((host, rest))
}

/// The program that has written a line.
pub(in crate::logs) struct Tag<'a> {
    pub(in crate::logs) program: &'a [u8],
    /// Whether its number stands behind it in brackets.
    pub(super) has_number: bool,
    /// What follows the colon.
    pub(in crate::logs) rest: &'a [u8],
}

/// `program[123]:` or `program:`.
pub(in crate::logs) fn tag(text: &[u8]) -> Option<Tag<'_>> {
    let program = run(text, LONGEST_HOST, |byte| is_name(byte) || b"/@()+".contains(&byte));
    let after = text.get(program.len()..).filter(|_| !program.is_empty())?;
    if let Some(rest) = after.strip_prefix(b":") {
        return Some(Tag { program, has_number: false, rest });
    }
    let number = after.strip_prefix(b"[")?;
    let digits = run(number, 20, |byte| byte.is_ascii_digit()).len();
    let rest = number.get(digits..)?.strip_prefix(b"]:")?;
    (digits > 0).then_some(Tag { program, has_number: true, rest })
}

/// The byte that opens and the one that closes.
pub(in crate::logs) const fn quote(byte: u8) -> Option<(u8, u8)> {
    match byte {
        b'"' => Some((b'"', b'"')),
        b'\'' => Some((b'\'', b'\'')),
        b'`' => Some((b'`', b'\'')),
        _ => None,
    }
}

/// The length of a quotation with both of its marks, when it ends before another word begins. What stands in it is text in every
/// locale.
pub(in crate::logs) fn quoted(text: &[u8], close: u8) -> Option<usize> {
    let inner = text.get(1..)?;
    let length = inner.iter().position(|byte| *byte == close)?;
    let is_text = |inner: &[u8]| str::from_utf8(inner).is_ok() && !inner.iter().any(u8::is_ascii_control);
    (ends_at(text, length + 2) && inner.get(..length).is_some_and(is_text)).then_some(length + 2)
}

/// The length of the word at the beginning, with points and hyphens within it.
pub(in crate::logs) fn word(text: &[u8]) -> usize {
    let mut length = 0;
    loop {
        let rest = text.get(length..).unwrap_or_default();
        length += rest.iter().take_while(|byte| is_word(**byte)).count();
        match text.get(length..) {
            Some([b'.' | b'-', next, ..]) if is_word(*next) => length += 1,
            _ => return length,
        }
    }
}

/// Gives the kind and the length of what a text begins with.
type Recognise = fn(&[u8]) -> Option<(TokenKind, usize)>;

/// What varies at the beginning of `text`, at which no word goes on: a prefix that stays, the kind, and the length with the prefix.
pub(super) fn varying(text: &[u8]) -> Option<(&[u8], TokenKind, usize)> {
    if let Some(digits) = text.strip_prefix(b"0x") {
        let length = run(digits, LONGEST_ID, |byte| byte.is_ascii_hexdigit()).len();
        if length > 0 && ends_at(digits, length) {
            return Some((text.get(..2)?, TokenKind::Hex, length + 2));
        }
    }
    let kinds: [Recognise; 7] = [uuid, address, mail, path, domain, id, number];
    kinds.iter().find_map(|kind| kind(text)).map(|(kind, length)| (&[][..], kind, length))
}

fn uuid(text: &[u8]) -> Option<(TokenKind, usize)> {
    let uuid = text.get(..36)?;
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (uuid.iter().enumerate().all(fits) && ends_at(text, 36)).then_some((TokenKind::Uuid, 36))
}

fn address(text: &[u8]) -> Option<(TokenKind, usize)> {
    let whole = run(text, LONGEST_ADDRESS, |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    // A colon or a point behind it belongs to the sentence, unless it is an address that ends with two colons.
    let lengths = [whole.len(), without_end(whole, b"."), without_end(whole, b":.")];
    for length in lengths.into_iter().filter(|length| ends_at(text, *length)) {
        let Some(found) = whole.get(..length).and_then(|found| str::from_utf8(found).ok()) else { continue };
        let groups = || found.split(':');
        if groups().count() >= 6 && groups().all(|group| group.len() == 2) {
            return Some((TokenKind::Mac, length));
        }
        if found.parse::<Ipv6Addr>().is_ok() || found.parse::<Ipv4Addr>().is_ok() {
            return Some((TokenKind::Address, length));
        }
    }
    // `203.0.113.7:25`
    let before = run(whole, LONGEST_ADDRESS, |byte| byte != b':');
    let is_address = str::from_utf8(before).is_ok_and(|found| found.parse::<Ipv4Addr>().is_ok());
    is_address.then_some((TokenKind::Address, before.len()))
}

fn mail(text: &[u8]) -> Option<(TokenKind, usize)> {
    let local = run(text, LONGEST_ADDRESS, |byte| is_name(byte) || byte == b'%' || byte == b'+').len();
    let domain = text.get(local..)?.strip_prefix(b"@")?;
    let length = without_end(run(domain, LONGEST_HOST, is_name), b".-");
    (local > 0 && ends_at(domain, length)).then_some((TokenKind::Mail, local + 1 + length))
}

fn path(text: &[u8]) -> Option<(TokenKind, usize)> {
    let whole = run(text, usize::MAX, |byte| is_name(byte) || b"/+@%~".contains(&byte));
    let length = without_end(whole, b".");
    (whole.first() == Some(&b'/') && length > 1 && ends_at(text, length)).then_some((TokenKind::Path, length))
}

fn domain(text: &[u8]) -> Option<(TokenKind, usize)> {
    let whole = run(text, LONGEST_HOST, |byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    let length = without_end(whole, b".-");
    let name = str::from_utf8(whole.get(..length)?).ok()?;
    let last = name.rsplit_once('.')?.1;
    let is_domain = last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic()) && !NO_DOMAIN.contains(&last);
    (is_domain && !name.contains("..") && ends_at(text, length)).then_some((TokenKind::Name, length))
}

fn id(text: &[u8]) -> Option<(TokenKind, usize)> {
    let found = run(text, LONGEST_ID, |byte| byte.is_ascii_alphanumeric());
    let has = |is_in: fn(&u8) -> bool| found.iter().any(is_in);
    if found.len() >= SHORTEST_HEX
        && ends_at(text, found.len())
        && found.iter().all(u8::is_ascii_hexdigit)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
    {
        return Some((TokenKind::Hex, found.len()));
    }
    let found = run(text, LONGEST_ID, |byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let has = |is_in: fn(&u8) -> bool| found.iter().any(is_in);
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    (is_mixed && found.len() >= SHORTEST_ID && ends_at(text, found.len())).then_some((TokenKind::Id, found.len()))
}

/// Digits, also with letters behind them that are a unit.
fn number(text: &[u8]) -> Option<(TokenKind, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (length > 0).then_some((TokenKind::Number, length))
}
