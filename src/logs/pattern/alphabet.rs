//! One byte for each character: how lines beyond ASCII are matched without automata over Unicode.
//!
//! A set of rules tells few characters beyond ASCII apart: those it names, and of all others only their [`ClassKind`]. So under
//! UTF-8 a line is rewritten with one byte for each character (`0x80..` for the characters the rules name, `0xf0..` for the
//! kinds, `0xff` for a byte that belongs to no character) and the same byte automaton serves all lines. An ASCII line is its
//! own rewriting. Automata over Unicode for 1,521 rules need 1.6 GB; this needs nothing.

use std::{borrow::Cow, collections::BTreeMap};

use crate::logs::pattern::{
    ast::{Class, Locale, Node, PatternUnit},
    char_class::{ClassKind, kind},
};

/// The first symbol of a character that rules name, and how many there are.
const NAMED: u8 = 0x80;
const MOST_NAMED: u8 = 0x70;

/// The symbol of the first kind.
const KINDS: u8 = 0xf0;

/// The symbol of a byte that belongs to no character: no `.` and no bracket expression has it.
pub(super) const INVALID: u8 = 0xff;

/// The symbols of a set of rules.
#[derive(Debug, Clone)]
pub struct Alphabet {
    locale: Locale,
    named: BTreeMap<char, u8>,
}

impl Alphabet {
    /// The alphabet for `trees`. When they name more than 112 characters beyond ASCII, the rest have no symbol.
    pub fn new<'a>(locale: Locale, trees: impl IntoIterator<Item = &'a Node>) -> Self {
        let mut named = BTreeMap::new();
        let mut add = |letter: char| {
            if !letter.is_ascii()
                && !named.contains_key(&letter)
                && let Ok(count) = u8::try_from(named.len())
                && count < MOST_NAMED
            {
                named.insert(letter, NAMED + count);
            }
        };
        for tree in trees {
            tree.walk(&mut |node| match node {
                Node::Literal(PatternUnit::Char(letter)) => add(*letter),
                Node::Class(class) => class.chars.iter().copied().for_each(&mut add),
                _ => {}
            });
        }
        Self { locale, named }
    }

    /// The locale it is for.
    pub const fn locale(&self) -> Locale {
        self.locale
    }

    /// Whether automata over this alphabet decide `tree` for every line. They cannot when it has a back-reference, or under
    /// UTF-8 a word edge, a byte that belongs to no character, or a character without a symbol.
    pub fn serves(&self, tree: &Node) -> bool {
        !tree.has(|node| match node {
            Node::Backref(_) => true,
            _ if self.locale == Locale::C => false,
            Node::Edge(edge) => edge.is_of_word(),
            Node::Literal(PatternUnit::Byte(_)) => true,
            Node::Literal(PatternUnit::Char(letter)) => self.symbol(*letter).is_none(),
            Node::Class(class) => class.chars.iter().any(|letter| self.symbol(*letter).is_none()),
            _ => false,
        })
    }

    /// The byte that stands for a character of a pattern.
    pub(super) fn symbol(&self, letter: char) -> Option<u8> {
        match u8::try_from(letter) {
            Ok(byte) if byte < 0x80 => Some(byte),
            _ => self.named.get(&letter).copied(),
        }
    }

    /// Which of the 256 symbols are in `class`, one bit each, the lowest first.
    pub(super) fn members(&self, class: &Class) -> [u128; 2] {
        let [ascii, bytes] = class.bits();
        if self.locale == Locale::C {
            return [ascii, bytes];
        }
        let bit = |symbol: u8, is_member: bool| u128::from(is_member) << (symbol & 0x7f);
        let named = self.named.iter().map(|(letter, symbol)| bit(*symbol, class.has_char(*letter)));
        let of_kind = |kind: ClassKind| class.names.iter().any(|name| kind.is(*name)) != class.is_negated;
        let kinds = (KINDS..).zip(ClassKind::ALL).map(|(symbol, kind)| bit(symbol, of_kind(kind)));
        [ascii, named.chain(kinds).fold(0, |bits, bit| bits | bit)]
    }

    /// The line as the automata read it.
    pub fn rewrite<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        if self.locale == Locale::C || line.is_ascii() {
            return Cow::Borrowed(line);
        }
        let mut symbols = Vec::with_capacity(line.len());
        for chunk in line.utf8_chunks() {
            symbols
                .extend(chunk.valid().chars().map(|letter| self.symbol(letter).unwrap_or_else(|| kind_symbol(letter))));
            symbols.extend(chunk.invalid().iter().map(|_| INVALID));
        }
        Cow::Owned(symbols)
    }
}

fn kind_symbol(letter: char) -> u8 {
    let kind = kind(letter);
    (KINDS..).zip(ClassKind::ALL).find(|(_, other)| *other == kind).map_or(INVALID, |(symbol, _)| symbol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::parser::parse;

    #[test]
    fn an_ascii_line_is_its_own_rewriting_and_others_have_a_byte_a_character() {
        let tree = parse("é[ü]".as_bytes(), Locale::Utf8).unwrap().tree;
        let alphabet = Alphabet::new(Locale::Utf8, [&tree]);
        assert!(matches!(alphabet.rewrite(b"plain"), Cow::Borrowed(b"plain")));
        assert_eq!(alphabet.rewrite("aéüb".as_bytes()).as_ref(), [b'a', 0x80, 0x81, b'b']);
        assert_eq!(alphabet.rewrite(b"\xffx").as_ref(), [INVALID, b'x']);
        assert_eq!(alphabet.rewrite("öÖ€".as_bytes()).as_ref(), [0xf3, 0xf2, 0xf8]);
    }

    #[test]
    fn characters_beyond_the_alphabet_are_left_to_the_matcher() {
        let text: String = ('\u{4e00}'..'\u{4e80}').collect();
        let tree = parse(text.as_bytes(), Locale::Utf8).unwrap().tree;
        let alphabet = Alphabet::new(Locale::Utf8, [&tree]);
        assert!(!alphabet.serves(&tree));
        assert!(alphabet.serves(&parse("\u{4e00}".as_bytes(), Locale::Utf8).unwrap().tree));
    }
}
