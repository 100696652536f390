//! A rule as a tree: what [`crate::logs::pattern::parser`] reads and what the printer, the matcher and the lints work on.
//!
//! A tree belongs to one locale, because `é+` repeats one character under UTF-8 and the last of two bytes in the C locale.

use std::str;

use thiserror::Error;

use crate::logs::pattern::char_class::ClassName;

/// How bytes become characters, as `LC_ALL` chooses it for `grep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Locale {
    /// Every byte is a character (`C`, `POSIX`).
    C,
    /// UTF-8 (`C.UTF-8`); a byte that belongs to no character is matched by itself only.
    Utf8,
}

/// One character of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatternUnit {
    /// A character; in the C locale always an ASCII one.
    Char(char),
    /// A byte of 0x80 or more: any such byte in the C locale, an invalid one under UTF-8.
    Byte(u8),
}

/// A place in a line that takes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// `^` and `` \` ``: the start of the line.
    Start,
    /// `$` and `\'`: its end.
    End,
    /// `\b`: between a word character and another.
    Word,
    /// `\B`: anywhere else.
    NotWord,
    /// `\<`: the start of a word.
    WordStart,
    /// `\>`: the end of a word.
    WordEnd,
}

impl Edge {
    /// Whether it asks for word characters.
    pub const fn is_of_word(self) -> bool {
        !matches!(self, Self::Start | Self::End)
    }
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Class {
    /// Whether it stands for every other character.
    pub is_negated: bool,
    /// One bit for each byte; those from 0x80 on count in the C locale only.
    bytes: [u128; 2],
    /// Single characters beyond ASCII.
    pub chars: Vec<char>,
    /// Named classes; their ASCII members are among the bytes too.
    pub names: Vec<ClassName>,
}

impl Class {
    /// Adds a byte.
    pub fn add_byte(&mut self, byte: u8) {
        let (half, bit) = (usize::from(byte >> 7), byte & 0x7f);
        if let Some(half) = self.bytes.get_mut(half) {
            *half |= 1 << bit;
        }
    }

    /// Adds a named class.
    pub fn add_name(&mut self, name: ClassName) {
        for byte in 0..0x80 {
            if name.has_ascii(byte) {
                self.add_byte(byte);
            }
        }
        self.names.push(name);
    }

    /// Whether it has the byte as a character: any in the C locale, an ASCII one under UTF-8.
    pub fn has_byte(&self, byte: u8) -> bool {
        let (half, bit) = (usize::from(byte >> 7), byte & 0x7f);
        self.bytes.get(half).is_some_and(|half| half & (1 << bit) != 0) != self.is_negated
    }

    /// What [`Class::has_byte`] says of each byte, one bit each, the lowest first.
    pub fn bits(&self) -> [u128; 2] {
        self.bytes.map(|half| if self.is_negated { !half } else { half })
    }

    /// Whether it has a character under UTF-8.
    pub fn has_char(&self, letter: char) -> bool {
        match u8::try_from(letter) {
            Ok(byte) if byte < 0x80 => self.has_byte(byte),
            _ => {
                let is_named = self.names.iter().any(|name| name.has(letter));
                (self.chars.contains(&letter) || is_named) != self.is_negated
            }
        }
    }
}

/// One node of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// Matches the empty string.
    Empty,
    /// One character, itself.
    Literal(PatternUnit),
    /// `.`: any character.
    Any,
    /// A bracket expression, `\w`, `\W`, `\s` or `\S`.
    Class(Box<Class>),
    /// A place.
    Edge(Edge),
    /// One after the other.
    Concat(Vec<Node>),
    /// One of them.
    Alternate(Vec<Node>),
    /// A group and its number, from 1.
    Group(Box<Node>, usize),
    /// `min` to `max` times; without `max` any number of times.
    Repeat {
        /// What is repeated.
        node: Box<Node>,
        /// At least so often.
        min: u16,
        /// At most so often.
        max: Option<u16>,
    },
    /// What the group of this number has matched.
    Backref(usize),
}

impl Node {
    /// Calls `see` with this node and all below it, outer ones first.
    pub fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Node)) {
        see(self);
        match self {
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes.iter().for_each(|node| node.walk(see)),
            Self::Group(node, _) | Self::Repeat { node, .. } => node.walk(see),
            _ => {}
        }
    }

    /// Whether this node or one below it is such.
    pub fn has(&self, is_such: impl Fn(&Node) -> bool) -> bool {
        let mut found = false;
        self.walk(&mut |node| found |= is_such(node));
        found
    }

    /// Whether it has a back-reference.
    pub fn has_backref(&self) -> bool {
        self.has(|node| matches!(node, Self::Backref(_)))
    }

    /// About how many instructions it takes, with its repetitions written out.
    pub fn weight(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Concat(nodes) | Self::Alternate(nodes) => {
                nodes.iter().fold(nodes.len(), |sum, node| sum.saturating_add(node.weight()))
            }
            Self::Group(node, _) => node.weight().saturating_add(2),
            Self::Repeat { node, min, max } => usize::from(max.unwrap_or_else(|| min.saturating_add(1)))
                .saturating_mul(node.weight().saturating_add(1)),
            _ => 1,
        }
    }

    /// What it consists of, one after the other.
    pub fn items(&self) -> &[Node] {
        match self {
            Self::Concat(nodes) => nodes,
            other => std::slice::from_ref(other),
        }
    }
}

/// Why a pattern is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternProblem {
    /// A `(` without its `)`.
    #[error("unmatched (")]
    Group,
    /// A `[` without its `]`.
    #[error("unmatched [")]
    Bracket,
    /// A backslash as the last character.
    #[error("trailing backslash")]
    Backslash,
    /// `\N` before the end of group N, in another branch, or without such a group.
    #[error("invalid back-reference")]
    Backref,
    /// `{2,1}`, `{}` or `{1,2,3}`.
    #[error("invalid content of {{}}")]
    Interval,
    /// More than 32,767 repetitions.
    #[error("more than 32767 repetitions")]
    TooMany,
    /// A range that goes backwards, begins at a class or follows another range.
    #[error("invalid range end")]
    Range,
    /// `[[:nonsense:]]`.
    #[error("invalid character class name")]
    ClassName,
    /// `[:space:]`.
    #[error("a character class is written [[:space:]], not [:space:]")]
    ClassSyntax,
    /// `[[.space.]]`, `[[=ab=]]`, or a range with a character beyond ASCII.
    #[error("invalid collation character")]
    Collation,
    /// Deeper than this program reads.
    #[error("nested too deeply")]
    TooDeep,
}

/// The first character of `text`, which is not empty, and its length in bytes.
pub(in crate::logs) fn unit(text: &[u8], locale: Locale) -> (PatternUnit, usize) {
    let first = text.first().copied().unwrap_or_default();
    if first < 0x80 {
        return (PatternUnit::Char(char::from(first)), 1);
    }
    match locale {
        Locale::C => (PatternUnit::Byte(first), 1),
        Locale::Utf8 => {
            decode(text).map_or((PatternUnit::Byte(first), 1), |letter| (PatternUnit::Char(letter), letter.len_utf8()))
        }
    }
}

/// The character that `text` begins with, when it is one in UTF-8.
pub(super) fn decode(text: &[u8]) -> Option<char> {
    let length = match text.first()? {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    str::from_utf8(text.get(..length)?).ok()?.chars().next()
}
