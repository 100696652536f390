//! A log line in parts: what is the same in the next line of its kind, and what is not. Pure.
//!
//! A line is hostile: whatever it holds becomes a class or is spelt out, never an operator of the pattern. Bytes from 0x80 on are
//! always spelt out but within quotes, because a class means other bytes in the C locale than under UTF-8.

use crate::logs::{
    line::timestamp::aliases,
    suggest::{
        token_kind::TokenKind,
        tokenizer::{self, is_word},
    },
};

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TemplatePart {
    /// Text that belongs to the kind of line: the program, blanks, punctuation.
    Fixed(Vec<u8>),
    /// A word, which is text too unless it differs in another line.
    Word(Vec<u8>),
    /// Something else in each line.
    Varying(TokenKind),
}

impl TemplatePart {
    fn fixed(&self) -> Option<&[u8]> {
        match self {
            Self::Fixed(text) => Some(text),
            Self::Word(_) | Self::Varying(_) => None,
        }
    }
}

/// A line in parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineTemplate(Vec<TemplatePart>);

impl LineTemplate {
    /// The parts of a line without its newline. Cost O(n).
    pub fn of(line: &[u8]) -> Self {
        let mut shape = Self(Vec::new());
        let rest = shape.head(line);
        shape.text(rest);
        shape
    }

    /// As [`LineTemplate::of`], but nothing varies except the time stamp and control characters.
    pub fn verbatim(line: &[u8]) -> Self {
        let mut shape = Self(Vec::new());
        let mut rest = shape.stamp(line);
        while let Some(first) = rest.first() {
            let is_control = first.is_ascii_control();
            let length = rest.iter().take_while(|byte| byte.is_ascii_control() == is_control).count();
            let (now, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            shape.0.push(if is_control {
                TemplatePart::Varying(TokenKind::Control)
            } else {
                TemplatePart::Fixed(now.to_vec())
            });
            rest = after;
        }
        shape
    }

    /// What tells at once that two lines cannot be of the same kind: everything that must be equal.
    pub fn key(&self) -> Vec<Option<&[u8]>> {
        self.0.iter().map(TemplatePart::fixed).collect()
    }

    /// The shape of both lines, when they are of the same kind: what is fixed is equal, so is the first word of the message and at
    /// least half of all its words; what differs can stand for each other.
    pub fn merged(&self, other: &Self) -> Option<Self> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let (mut words, mut equal) = (0_usize, 0_usize);
        let mut parts = Vec::with_capacity(self.0.len());
        for pair in self.0.iter().zip(&other.0) {
            let is_text = matches!(pair, (TemplatePart::Word(_), _) | (_, TemplatePart::Word(_)));
            let is_equal = pair.0 == pair.1;
            if is_text && words == 0 && !is_equal {
                return None;
            }
            words += usize::from(is_text);
            equal += usize::from(is_text && is_equal);
            parts.push(match pair {
                (one, two) if one == two => one.clone(),
                (TemplatePart::Fixed(_), _) | (_, TemplatePart::Fixed(_)) => return None,
                (one, two) => TemplatePart::Varying(kind_of(one)?.joined(kind_of(two)?)?),
            });
        }
        (equal * 2 >= words).then_some(Self(parts))
    }

    /// It as a rule for `grep -E`, anchored at both ends.
    pub fn rule(&self) -> Vec<u8> {
        let mut rule = b"^".to_vec();
        for part in &self.0 {
            match part {
                TemplatePart::Fixed(text) | TemplatePart::Word(text) => {
                    for byte in text {
                        push_literal(&mut rule, *byte);
                    }
                }
                TemplatePart::Varying(kind) => rule.extend_from_slice(kind.class().as_bytes()),
            }
        }
        rule.push(b'$');
        rule
    }

    /// Takes the stamp, the host and the program with its number; gives the rest.
    fn head<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        let rest = self.stamp(line);
        if self.0.is_empty() {
            return rest;
        }
        let Some((_host, message)) = rest.strip_prefix(b" ").and_then(tokenizer::host) else { return rest };
        self.fixed(b" ");
        self.0.push(TemplatePart::Varying(TokenKind::Name));
        self.fixed(b" ");
        let Some(tag) = tokenizer::tag(message) else { return message };
        self.fixed(tag.program);
        if tag.has_number {
            self.fixed(b"[");
            self.0.push(TemplatePart::Varying(TokenKind::Number));
            self.fixed(b"]");
        }
        self.fixed(b":");
        tag.rest
    }

    /// Takes a time stamp that a blank or nothing follows.
    fn stamp<'a>(&mut self, line: &'a [u8]) -> &'a [u8] {
        let length = if tokenizer::is_legacy_stamp(line) {
            tokenizer::LEGACY
        } else {
            let length = line.iter().position(|byte| *byte == b' ').unwrap_or_default();
            let is_known = (20..=35).contains(&length)
                && !line.get(..length).is_some_and(|stamp| stamp.contains(&b'z'))
                && !aliases(line).is_empty();
            if !is_known {
                return line;
            }
            length
        };
        self.0.push(TemplatePart::Varying(TokenKind::Stamp));
        line.get(length..).unwrap_or_default()
    }

    fn fixed(&mut self, text: &[u8]) {
        match self.0.last_mut() {
            Some(TemplatePart::Fixed(before)) => before.extend_from_slice(text),
            _ => self.0.push(TemplatePart::Fixed(text.to_vec())),
        }
    }

    fn text(&mut self, text: &[u8]) {
        let mut rest = text;
        let mut before = b' ';
        // Quotes of which it is known that none of them closes.
        let mut unclosed: Vec<u8> = Vec::new();
        while let Some(first) = rest.first().copied() {
            let taken = self.piece(rest, first, before, &mut unclosed).clamp(1, rest.len());
            let (now, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            before = now.last().copied().unwrap_or(b' ');
            rest = after;
        }
    }

    /// Takes one part from the beginning of `rest`, which is not empty; gives its length.
    fn piece(&mut self, rest: &[u8], first: u8, before: u8, unclosed: &mut Vec<u8>) -> usize {
        if first.is_ascii_control() {
            self.0.push(TemplatePart::Varying(TokenKind::Control));
            return rest.iter().take_while(|byte| byte.is_ascii_control()).count();
        }
        let is_begin = !is_word(before);
        if is_begin && let Some((opening, close)) = tokenizer::quote(first) {
            if !unclosed.contains(&first) {
                if let Some(length) = tokenizer::quoted(rest, close) {
                    self.fixed(&[opening]);
                    self.0.push(TemplatePart::Varying(TokenKind::Quoted(close)));
                    self.fixed(&[close]);
                    return length;
                }
                unclosed.push(first);
            }
        } else if is_begin && let Some((prefix, kind, length)) = tokenizer::varying(rest) {
            if !prefix.is_empty() {
                self.fixed(prefix);
            }
            self.0.push(TemplatePart::Varying(kind));
            return length;
        }
        if is_word(first) {
            let length = tokenizer::word(rest);
            self.0.push(TemplatePart::Word(rest.get(..length).unwrap_or(rest).to_vec()));
            return length;
        }
        self.fixed(&[first]);
        1
    }
}

fn kind_of(part: &TemplatePart) -> Option<TokenKind> {
    match part {
        TemplatePart::Fixed(_) => None,
        TemplatePart::Varying(kind) => Some(*kind),
        TemplatePart::Word(word) if word.iter().all(|byte| tokenizer::is_name(*byte)) => Some(TokenKind::Name),
        TemplatePart::Word(_) => Some(TokenKind::Token),
    }
}

/// Adds a byte that stands for itself.
fn push_literal(rule: &mut Vec<u8>, byte: u8) {
    if br"\^$.[]*+?{}()|".contains(&byte) {
        rule.push(b'\\');
    }
    rule.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str) -> String {
        String::from_utf8(LineTemplate::of(line.as_bytes()).rule()).unwrap()
    }

    /// Without the head.
    fn message(text: &str) -> String {
        let rule = rule(&format!("Nov 21 14:02:11 host prog[1]: {text}"));
        let head = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+Z-]{20,35}) [._[:alnum:]-]+ prog\[[[:digit:]]+\]: ";
        rule.strip_prefix(head).unwrap().strip_suffix('$').unwrap().to_owned()
    }

    #[test]
    fn the_head_is_that_of_the_shipped_rules_with_every_stamp() {
        let head = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+Z-]{20,35}) [._[:alnum:]-]+ ";
        for stamp in ["Nov  1 14:02:11", "2026-11-21T14:02:11Z", "2026-11-21T14:02:11.123456+01:00"] {
            assert_eq!(rule(&format!("{stamp} srv-1.x cron[12]: bye")), format!(r"{head}cron\[[[:digit:]]+\]: bye$"));
            assert_eq!(rule(&format!("{stamp} h kernel: bye")), format!(r"{head}kernel: bye$"));
            assert_eq!(
                rule(&format!("{stamp} h postfix/smtpd[1]: x")),
                format!(r"{head}postfix/smtpd\[[[:digit:]]+\]: x$")
            );
        }
        assert_eq!(rule("10:00 started"), "^[[:digit:]]+:[[:digit:]]+ started$");
    }

    #[test]
    fn what_varies_becomes_a_class() {
        for (text, expected) in [
            ("port 22 after 3.5s", r"port [[:digit:]]+ after [[:digit:]]+\.[[:digit:]]+s"),
            (
                "from 203.0.113.7 and 2001:db8::1 and ::1",
                "from [[:xdigit:].:]{2,45} and [[:xdigit:].:]{2,45} and [[:xdigit:].:]{2,45}",
            ),
            ("[203.0.113.7]:25", r"\[[[:xdigit:].:]{2,45}\]:[[:digit:]]+"),
            ("MAC=52:54:00:12:34:56:aa:bb:cc:dd:ee:ff:08:00 x", "MAC=[[:xdigit:]:]+ x"),
            ("uuid 123e4567-e89b-12d3-a456-426614174000.", r"uuid [[:xdigit:]-]{36}\."),
            ("4B2F1A9C33: 0x7f1a ab", "[[:xdigit:]]+: 0x[[:xdigit:]]+ ab"),
            ("to=<a.b+c@example.org>, ok", "to=<[._%+[:alnum:]-]+@[._[:alnum:]-]+>, ok"),
            ("read /etc/ssh/sshd_config.", r"read /[._/+@%~[:alnum:]-]+\."),
            ("host mail.example.org up, x.service down", r"host [._[:alnum:]-]+ up, x\.service down"),
            ("user 'a b' \"c\" `d' isn't", "user '[^']*' \"[^\"]*\" `[^']*' isn't"),
            ("SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "SHA256:[[:alnum:]+/=]+"),
            ("eth0 ssh2 v1.2.3", r"eth0 ssh2 v1\.2\.3"),
            ("a\tb\u{1b}[2J", r"a[[:cntrl:]]+b[[:cntrl:]]+\[[[:digit:]]+J"),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn no_byte_of_a_line_is_an_operator() {
        assert_eq!(message(r"a.*b|c(d)[e]{f}^$+?\g"), r"a\.\*b\|c\(d\)\[e\]\{f\}\^\$\+\?\\g");
        assert_eq!(message("é 日"), "é 日");
    }

    #[test]
    fn lines_of_a_kind_become_one_and_others_do_not() {
        let merged = |one: &str, two: &str| {
            let shape = LineTemplate::of(one.as_bytes()).merged(&LineTemplate::of(two.as_bytes()))?;
            Some(String::from_utf8(shape.rule()).unwrap())
        };
        for (one, two, expected) in [
            ("user root in", "user bob in", Some("^user [._[:alnum:]-]+ in$")),
            ("id 123456 ok", "id 12ab56 ok", Some("^id [[:xdigit:]]+ ok$")),
            ("id bob ok", "id 12 ok", Some("^id [._[:alnum:]-]+ ok$")),
            ("at mail.example.org ok", "at 10.0.0.1 ok", Some("^at [^[:space:]]+ ok$")),
            ("Starting x now", "Finished x now", None),
            ("all words differ here", "all the others are", None),
            ("one two", "one two three", None),
            ("one, two", "one; two", None),
        ] {
            assert_eq!(merged(one, two).as_deref(), expected, "{one} / {two}");
        }
    }
}
