//! The one way from bytes to text: nothing an attacker can name, write or log reaches a mail, a terminal, syslog or
//! JSON but through here.
//!
//! The form is injective (security.md 3): two different byte strings never look the same, so what is shown can be
//! searched for and turned back. Beside controls it takes out what cannot be seen or what moves other text: bidi
//! controls ("Trojan Source", CVE-2021-42574), zero-width and blank characters, tags, variation selectors. What the
//! standard library does not hold printable (unassigned, private use) is escaped as well: nobody knows how it looks.

use std::fmt::Write as _;

/// The text of `bytes`: one line without control, bidi or invisible characters.
///
/// Printable UTF-8 stays as it is. A backslash becomes `\\`, newline and tab `\n` and `\t`, any other byte below
/// 0x20, 0x7F and every byte that is not part of valid UTF-8 `\xhh`, a valid but invisible character `\u{hhhh}`
/// (lower-case hexadecimal, at least four digits). Cost O(n).
pub fn escape(bytes: &[u8]) -> String {
    write_escaped(bytes, Spaces::Plain)
}

/// As [`escape`], but a trailing space and every space that follows a space becomes `\x20`, so that a name cannot
/// imitate the columns it is laid out in. Cost O(n).
pub fn escape_name(bytes: &[u8]) -> String {
    write_escaped(bytes, Spaces::Columns)
}

/// As [`escape`], showing at most `limit` bytes of the source, cut between two characters; of what is left out it
/// says `… +N bytes, blake3=` and the first 16 hexadecimal digits of the digest of *all* bytes. Cost O(n).
pub fn escape_cut(bytes: &[u8], limit: usize) -> String {
    write_cut(bytes, limit, Spaces::Plain)
}

/// As [`escape_name`], cut like [`escape_cut`]. Cost O(n).
pub fn escape_name_cut(bytes: &[u8], limit: usize) -> String {
    write_cut(bytes, limit, Spaces::Columns)
}

/// Whether [`escape`] would show `c` as an escape; false for the backslash, which is visible.
pub fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        _ if c.is_ascii() => true,
        _ => is_listed(c) || c.is_whitespace() || !is_printable(c),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Plain,
    Columns,
}

fn write_escaped(bytes: &[u8], spaces: Spaces) -> String {
    let mut out = String::with_capacity(bytes.len());
    let (mut after_space, mut marks) = (false, 0);
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut word = NameWord::default();
        for (at, c) in text.char_indices() {
            if c.is_ascii() {
                marks = 0;
                push_char(&mut out, c, after_space && spaces == Spaces::Columns);
                after_space = c == ' ';
                continue;
            }
            after_space = false;
            marks = if is_mark(c) { marks + 1 } else { 0 };
            if spaces == Spaces::Columns && at >= word.end {
                word = NameWord::around(text, at);
            }
            let misleads = spaces == Spaces::Columns && (is_right_to_left(c) || word.is_mixed && is_like_latin(c));
            if marks > MOST_MARKS || misleads {
                push_code(&mut out, c);
            } else {
                push_char(&mut out, c, false);
            }
        }
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
            (after_space, marks) = (false, 0);
        }
    }
    if spaces == Spaces::Columns && out.ends_with(' ') {
        out.pop();
        out.push_str("\\x20");
    }
    out
}

fn push_char(out: &mut String, c: char, escape_space: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        ' ' if escape_space => out.push_str("\\x20"),
        _ if !is_hidden(c) => out.push(c),
        _ => match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() => push_byte(out, byte),
            _ => push_code(out, c),
        },
    }
}

fn push_byte(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    write!(out, "\\x{byte:02x}").unwrap_or_default();
}

fn push_code(out: &mut String, c: char) {
    write!(out, "\\u{{{:04x}}}", u32::from(c)).unwrap_or_default();
}

/// Most combining marks on one character; more of them paint over the lines above and below.
const MOST_MARKS: usize = 4;

/// Letters that stand together.
#[derive(Debug, Clone, Copy, Default)]
struct NameWord {
    /// Where it ends.
    end: usize,
    /// Whether Latin letters stand beside such as look like them.
    is_mixed: bool,
}

impl NameWord {
    /// The word in which the character at `at` stands.
    fn around(text: &str, at: usize) -> Self {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let is_outside = |c: char| !c.is_alphabetic() && !is_mark(c);
        let begin = before.rfind(is_outside).map_or(0, |place| place + first_len(before, place));
        let end = after.find(is_outside).map_or(text.len(), |length| at + length);
        let word = text.get(begin..end).unwrap_or_default();
        let is_mixed = word.contains(|c: char| c.is_ascii_alphabetic()) && word.contains(is_like_latin);
        Self { end: end.max(at + first_len(text, at)), is_mixed }
    }
}

/// The length in bytes of the character at `at`.
fn first_len(text: &str, at: usize) -> usize {
    first_char_len(text.as_bytes().get(at..).unwrap_or_default())
}

/// Whether `c` stands on the character before it: the standard library escapes such (`Grapheme_Extend`) where nothing stands before.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && !c.is_alphanumeric() && c.escape_debug().nth(1).is_some()
}

/// Whether `c` is written from right to left, or is in a block that is by default (DerivedBidiClass.txt of Unicode 16, R and AL).
fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
}

/// Whether `c` is of a script that has letters which look like Latin ones (Scripts.txt and confusables.txt of Unicode 16: Greek and Coptic,
/// Cyrillic, Armenian, Cherokee), or is a Latin letter in another dress (full width, mathematical).
fn is_like_latin(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1c80}'..='\u{1c8f}' | '\u{1f00}'..='\u{1fff}'
        | '\u{2c80}'..='\u{2cff}' | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}' | '\u{ff21}'..='\u{ff5a}'
        | '\u{1d400}'..='\u{1d7ff}')
}

/// Characters the standard library calls printable, white space aside, and that nevertheless leave no ink or reorder
/// their neighbours; bidi and zero-width ones are named too, so that they do not hang on its Unicode version.
fn is_listed(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}'                                             // C1
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // bidi
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{ad}' // zero width, soft hyphen
        | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' // blank letters
        | '\u{206a}'..='\u{206f}' | '\u{fff0}'..='\u{fffb}'              // deprecated format, interlinear
        | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}'              // variation selectors
        | '\u{2028}' | '\u{2029}' | '\u{2800}'                          // separators, the empty Braille cell
        | '\u{1d173}'..='\u{1d17a}'                                     // musical format
        | '\u{e0000}'..='\u{e0fff}') // tags, more variation selectors
}

/// Whether the standard library holds `c` printable. Its table is reached through `escape_debug` only; behind another
/// character it leaves combining marks alone, which are a legitimate part of names (NFD).
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let Some((_, rest)) = buffer.split_first_mut() else {
        return false;
    };
    let length = c.encode_utf8(rest).len();
    buffer
        .get(..=length)
        .and_then(|bytes| str::from_utf8(bytes).ok())
        .is_some_and(|pair| pair.escape_debug().nth(2).is_none())
}

fn write_cut(bytes: &[u8], limit: usize, spaces: Spaces) -> String {
    let Some((shown, left)) = bytes.split_at_checked(boundary(bytes, limit)).filter(|(_, left)| !left.is_empty())
    else {
        return write_escaped(bytes, spaces);
    };
    let digest = blake3::hash(bytes).to_hex();
    let digest = digest.get(..16).unwrap_or_default();
    format!("{}… +{} bytes, blake3={digest}", write_escaped(shown, spaces), left.len())
}

/// The largest place up to `limit` that does not divide a valid character.
fn boundary(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    (limit.saturating_sub(3)..limit)
        .find(|start| first_char_len(bytes.get(*start..).unwrap_or_default()) > limit - start)
        .unwrap_or(limit)
}

/// The length in bytes of the character `bytes` begin with; 0 when they begin with none.
fn first_char_len(bytes: &[u8]) -> usize {
    let head = bytes.get(..4).unwrap_or(bytes);
    head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()).map_or(0, char::len_utf8)
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::string_slice, reason = "a wrong boundary fails the test, as it should")]

    use proptest::prelude::*;

    use super::*;

    /// The inverse, for the tests alone.
    fn unescape(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                out.extend_from_slice(c.to_string().as_bytes());
                continue;
            }
            let kind = rest.chars().next().unwrap();
            rest = &rest[1..];
            match kind {
                '\\' => out.push(b'\\'),
                'n' => out.push(b'\n'),
                't' => out.push(b'\t'),
                'x' => {
                    out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                    rest = &rest[2..];
                }
                'u' => {
                    let end = rest.find('}').unwrap();
                    let code = u32::from_str_radix(&rest[1..end], 16).unwrap();
                    out.extend_from_slice(char::from_u32(code).unwrap().to_string().as_bytes());
                    rest = &rest[end + 1..];
                }
                other => panic!("unknown escape {other}"),
            }
        }
        out
    }

    /// Bytes an attacker would choose: anything, text with invisible characters, half characters, escapes.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            any::<String>().prop_map(String::into_bytes),
            "[ \\\\nxu{}0-9a-f]{0,8}".prop_map(String::into_bytes),
            prop::sample::select(vec![
                "\u{202e}",
                "\u{200b}",
                "\u{85}",
                "\u{feff}",
                "\u{e0041}",
                "\r\n",
                "\x1b[2J",
                "é",
                "\u{fe0f}"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn forbidden(c: char) -> bool {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
                | '\u{ad}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}')
            || (c.is_whitespace() && c != ' ')
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["/etc/nginx/nginx.conf", "Übergrößenträger", "日本語", "e\u{301}", "🦀", "a b", "→ … ·"]
        {
            assert_eq!(escape(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_not_printable_is_spelt_out() {
        assert_eq!(escape(b"a\\b\nc\td\re\x1b\x7f\0"), r"a\\b\nc\td\x0de\x1b\x7f\x00");
        assert_eq!(escape(b"\xff\xc3(\xe2\x82"), r"\xff\xc3(\xe2\x82");
        assert_eq!(
            escape("\u{85}\u{202e}\u{e0041}\u{a0}\u{ffff}".as_bytes()),
            r"\u{0085}\u{202e}\u{e0041}\u{00a0}\u{ffff}"
        );
        // A raw 0x85 and the character U+0085 are told apart.
        assert_ne!(escape(b"\x85"), escape("\u{85}".as_bytes()));
    }

    #[test]
    fn every_character_of_the_list_is_hidden() {
        let ranges = [
            (0x80, 0x9f),
            (0x61c, 0x61c),
            (0x200b, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x2064),
            (0x2066, 0x2069),
            (0xfeff, 0xfeff),
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x3164, 0x3164),
            (0xffa0, 0xffa0),
            (0xfff9, 0xfffb),
            (0xfe00, 0xfe0f),
            (0xe0000, 0xe007f),
            (0xe0100, 0xe01ef),
            (0xfdd0, 0xfdef),
            (0x1_fffe, 0x1_ffff),
            (0x10_fffe, 0x10_ffff),
            (0x2000, 0x200a),
            (0x3000, 0x3000),
            (0x1680, 0x1680),
            (0x202f, 0x202f),
            (0x205f, 0x205f),
            (0xa0, 0xa0),
        ];
        for code in ranges.into_iter().flat_map(|(first, last)| first..=last) {
            let c = char::from_u32(code).unwrap();
            assert!(is_hidden(c), "U+{code:04X} is shown");
            assert_eq!(escape(c.to_string().as_bytes()), format!("\\u{{{code:04x}}}"));
        }
    }

    #[test]
    fn a_name_cannot_imitate_columns() {
        assert_eq!(escape_name(b"a b"), "a b");
        assert_eq!(escape_name(b"a   added "), r"a \x20\x20added\x20");
        assert_eq!(escape_name(b"  "), r" \x20");
        assert_eq!(escape_name(b" "), r"\x20");
    }

    #[test]
    fn marks_are_shown_up_to_four() {
        let tower = format!("e{}x\u{301}", "\u{301}".repeat(6));
        assert_eq!(escape(tower.as_bytes()), format!("e{}\\u{{0301}}\\u{{0301}}x\u{301}", "\u{301}".repeat(4)));
        assert_eq!(escape_name(tower.as_bytes()), escape(tower.as_bytes()));
        // Names of scripts that need them.
        for text in ["tiếng Việt", "हिन्दी", "ภาษาไทย", "Ελληνικά.txt", "отчёт-2026.pdf", "日本語"]
        {
            assert_eq!(escape_name(text.as_bytes()), text);
        }
    }

    #[test]
    fn a_name_does_not_read_like_another() {
        for (name, shown) in [
            ("\u{430}uthorized_keys", r"\u{0430}uthorized_keys"),
            ("p\u{430}ssw\u{43e}rd отчёт", r"p\u{0430}ssw\u{043e}rd отчёт"),
            ("\u{ff41}b", r"\u{ff41}b"),
            ("a\u{5d0}\u{5d1}1", r"a\u{05d0}\u{05d1}1"),
            ("\u{5d0}.sh", r"\u{05d0}.sh"),
        ] {
            assert_eq!(escape_name(name.as_bytes()), shown);
        }
        // What a log says stays as it was written.
        assert_eq!(escape("\u{5d0}\u{5d1} \u{430}b".as_bytes()), "\u{5d0}\u{5d1} \u{430}b");
    }

    #[test]
    fn a_cut_says_how_much_is_missing_and_of_what() {
        assert_eq!(escape_cut(b"abc", 3), "abc");
        let digest = blake3::hash("aé日b".as_bytes()).to_hex().to_string();
        assert_eq!(escape_cut("aé日b".as_bytes(), 4), format!("aé… +4 bytes, blake3={}", &digest[..16]));
        assert_eq!(escape_cut("aé日b".as_bytes(), 2), format!("a… +6 bytes, blake3={}", &digest[..16]));
        assert!(escape_cut(b"\xe6\x97\xe6\x97\xe6\x97", 2).starts_with(r"\xe6\x97… +4 bytes"));
        assert!(escape_cut("日".as_bytes(), 0).starts_with("… +3 bytes"));
    }

    proptest! {
        #[test]
        fn escaping_loses_nothing(bytes in hostile()) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes.clone());
            prop_assert_eq!(unescape(&escape_name(&bytes)), bytes);
        }

        #[test]
        fn the_text_is_one_harmless_line(bytes in hostile(), limit in 0_usize..40) {
            for text in [escape(&bytes), escape_name(&bytes), escape_cut(&bytes, limit), escape_name_cut(&bytes, limit)] {
                prop_assert!(!text.chars().any(forbidden), "{text:?}");
            }
            let name = escape_name(&bytes);
            prop_assert!(!name.contains("  ") && !name.ends_with(' '));
        }

        #[test]
        fn a_cut_shows_a_prefix_within_the_limit(bytes in hostile(), limit in 0_usize..40) {
            let text = escape_cut(&bytes, limit);
            let shown = if bytes.len() <= limit { text.as_str() } else { text.rsplit_once("… +").unwrap().0 };
            let shown = unescape(shown);
            prop_assert!(shown.len() <= limit && bytes.starts_with(&shown));
            prop_assert!(bytes.len() <= limit || shown.len() + 3 >= limit);
        }
    }
}
