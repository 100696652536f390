//! Reads a bracket expression as `regcomp.c` of the C library does: its errors are the errors of grep.

use crate::logs::pattern::{
    ast::{Class, Locale, PatternProblem, PatternUnit, unit},
    char_class::ClassName,
};

/// A bracket expression that was read.
pub(in crate::logs) struct Bracket {
    pub(in crate::logs) class: Class,
    /// Where it ends: the offset after its `]`.
    pub(in crate::logs) end: usize,
    /// Whether grep leaves it to the C library under UTF-8.
    pub(super) asks_library: bool,
}

/// One member.
enum BracketMember {
    /// A character, or one written `[.x.]`.
    Single(PatternUnit),
    /// `[=x=]`: no end of a range.
    Equivalent(PatternUnit),
    /// `[:name:]`.
    Named(ClassName),
}

struct BracketReader<'a> {
    text: &'a [u8],
    at: usize,
    locale: Locale,
    class: Class,
    asks_library: bool,
}

/// Reads the bracket expression that begins at `start` of `text` with its `[`.
pub(in crate::logs) fn read(text: &[u8], start: usize, locale: Locale) -> Result<Bracket, PatternProblem> {
    let mut reader = BracketReader { text, at: start + 1, locale, class: Class::default(), asks_library: false };
    if reader.peek() == Some(b'^') {
        reader.at += 1;
        reader.class.is_negated = true;
        reader.asks_library = true;
    }
    let inner = reader.at;
    let is_plain = reader.members()?;
    let content = text.get(inner..reader.at).unwrap_or_default();
    reader.at += 1;
    if is_plain && is_named_wrongly(content) {
        return Err(PatternProblem::ClassSyntax);
    }
    Ok(Bracket { class: reader.class, end: reader.at, asks_library: reader.asks_library })
}

/// Whether it reads `:name:`, which grep takes for a mistake.
fn is_named_wrongly(content: &[u8]) -> bool {
    let inner = content.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":"));
    inner.is_some_and(|name| name.iter().any(|byte| *byte != b':'))
}

impl BracketReader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next_is(&self, byte: u8) -> bool {
        self.text.get(self.at + 1) == Some(&byte)
    }

    /// Reads up to the closing `]`, without it; says whether all members were single characters.
    fn members(&mut self) -> Result<bool, PatternProblem> {
        let mut is_plain = true;
        let mut is_first = true;
        loop {
            match self.peek() {
                None => return Err(PatternProblem::Bracket),
                Some(b']') if !is_first => return Ok(is_plain),
                // A hyphen that is neither first nor in a range stands before the end only.
                Some(b'-') if !is_first && !self.next_is(b']') => {
                    let is_open = self.text.get(self.at + 1).is_none();
                    return Err(if is_open { PatternProblem::Bracket } else { PatternProblem::Range });
                }
                Some(_) => {}
            }
            is_first = false;
            let begin = self.member()?;
            is_plain &= matches!(begin, BracketMember::Single(_));
            let can_begin = matches!(begin, BracketMember::Single(_));
            if can_begin && self.peek() == Some(b'-') && !self.next_is(b']') {
                self.at += 1;
                if self.peek().is_none() {
                    return Err(PatternProblem::Bracket);
                }
                is_plain = false;
                let end = self.member()?;
                self.range(&begin, &end)?;
            } else {
                self.add(&begin);
            }
        }
    }

    fn member(&mut self) -> Result<BracketMember, PatternProblem> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let [b'[', kind @ (b'.' | b'=' | b':'), ..] = *rest else {
            let (unit, length) = unit(rest, self.locale);
            self.at += length;
            return Ok(BracketMember::Single(unit));
        };
        let inner = rest.get(2..).unwrap_or_default();
        let length = inner.windows(2).position(|pair| pair == [kind, b']']).ok_or(PatternProblem::Bracket)?;
        // A name the library has no room for.
        let name = inner.get(..length).filter(|name| name.len() < 32).ok_or(PatternProblem::Bracket)?;
        self.at += length + 4;
        self.asks_library = true;
        if kind == b':' {
            return ClassName::from_bytes(name).map(BracketMember::Named).ok_or(PatternProblem::ClassName);
        }
        let [byte] = name else {
            return Err(PatternProblem::Collation);
        };
        let (unit, _) = unit(&[*byte], self.locale);
        Ok(if kind == b'.' { BracketMember::Single(unit) } else { BracketMember::Equivalent(unit) })
    }

    fn add(&mut self, member: &BracketMember) {
        match member {
            BracketMember::Named(name) => self.class.add_name(*name),
            BracketMember::Single(unit) | BracketMember::Equivalent(unit) => match unit {
                PatternUnit::Char(letter) => match u8::try_from(*letter) {
                    Ok(byte) if byte < 0x80 => self.class.add_byte(byte),
                    _ => {
                        self.asks_library = true;
                        self.class.chars.push(*letter);
                    }
                },
                PatternUnit::Byte(byte) => {
                    self.asks_library = true;
                    // Under UTF-8 no bracket expression has an invalid byte.
                    if self.locale == Locale::C {
                        self.class.add_byte(*byte);
                    }
                }
            },
        }
    }

    fn range(&mut self, begin: &BracketMember, end: &BracketMember) -> Result<(), PatternProblem> {
        let (BracketMember::Single(first), BracketMember::Single(last)) = (begin, end) else {
            return Err(PatternProblem::Range);
        };
        let byte = |unit: &PatternUnit| match unit {
            PatternUnit::Byte(byte) => Ok(*byte),
            PatternUnit::Char(letter) => match u8::try_from(*letter) {
                Ok(byte) if byte < 0x80 => Ok(byte),
                // C.UTF-8 has no order for characters beyond ASCII.
                _ => Err(PatternProblem::Collation),
            },
        };
        let (first, last) = (byte(first)?, byte(last)?);
        if first > last {
            return Err(PatternProblem::Range);
        }
        self.asks_library |= !(first.is_ascii_digit() && last.is_ascii_digit());
        for byte in first..=last {
            if byte < 0x80 || self.locale == Locale::C {
                self.class.add_byte(byte);
            } else {
                // The library compares such a byte with the numbers of characters.
                self.class.chars.push(char::from(byte));
            }
        }
        Ok(())
    }
}
