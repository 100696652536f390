//! What kind of character something is, as the C library says it in the `C.UTF-8` locale.
//!
//! glibc derives its classes from the Unicode data by rules of its own (`localedata/unicode-gen/unicode_utils.py`): digits of
//! other scripts are letters, a no-break space is punctuation. They are rebuilt here from the tables of `regex-syntax`; a newer
//! Unicode there knows characters that the installed libc does not know yet, which is the only difference.

use std::sync::LazyLock;

use regex_syntax::{
    ParserBuilder,
    hir::{Class, HirKind},
};

/// The twelve named classes of POSIX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the class of its name in isalpha(3)")]
pub enum ClassName {
    Alpha,
    Digit,
    Alnum,
    Upper,
    Lower,
    Space,
    Blank,
    Punct,
    Print,
    Graph,
    Cntrl,
    Xdigit,
}

/// The names as patterns spell them.
const NAMES: [(&[u8], ClassName); 12] = [
    (b"alpha", ClassName::Alpha),
    (b"digit", ClassName::Digit),
    (b"alnum", ClassName::Alnum),
    (b"upper", ClassName::Upper),
    (b"lower", ClassName::Lower),
    (b"space", ClassName::Space),
    (b"blank", ClassName::Blank),
    (b"punct", ClassName::Punct),
    (b"print", ClassName::Print),
    (b"graph", ClassName::Graph),
    (b"cntrl", ClassName::Cntrl),
    (b"xdigit", ClassName::Xdigit),
];

impl ClassName {
    /// The class of this name.
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, name)| *name)
    }

    /// Whether it has an ASCII character.
    pub fn has_ascii(self, byte: u8) -> bool {
        match self {
            Self::Alpha => byte.is_ascii_alphabetic(),
            Self::Digit => byte.is_ascii_digit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase(),
            Self::Lower => byte.is_ascii_lowercase(),
            Self::Space => byte == b' ' || (b'\t'..=b'\r').contains(&byte),
            Self::Blank => byte == b' ' || byte == b'\t',
            Self::Punct => byte.is_ascii_punctuation(),
            Self::Print => byte == b' ' || byte.is_ascii_graphic(),
            Self::Graph => byte.is_ascii_graphic(),
            Self::Cntrl => byte.is_ascii_control(),
            Self::Xdigit => byte.is_ascii_hexdigit(),
        }
    }

    /// Whether it has a character.
    pub fn has(self, letter: char) -> bool {
        match u8::try_from(letter) {
            Ok(byte) if byte < 0x80 => self.has_ascii(byte),
            _ => kind(letter).is(self),
        }
    }
}

/// Everything the named classes tell of a character beyond ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassKind {
    /// Known to no class: not assigned.
    Nothing,
    /// A letter without case, or a digit of another script.
    MimeMessage,
    /// A capital letter.
    Capital,
    /// A small letter.
    Small,
    /// A title case letter that is both, as `ǅ`.
    Title,
    /// White space that does not forbid a line break.
    Space,
    /// A line or paragraph separator.
    Separator,
    /// A control character.
    Control,
    /// Anything else that is assigned.
    Mark,
}

impl ClassKind {
    /// All kinds, in the order of their symbols.
    pub const ALL: [Self; 9] = [
        Self::Nothing,
        Self::MimeMessage,
        Self::Capital,
        Self::Small,
        Self::Title,
        Self::Space,
        Self::Separator,
        Self::Control,
        Self::Mark,
    ];

    /// Whether characters of this kind are in the class.
    pub const fn is(self, name: ClassName) -> bool {
        let is_letter = matches!(self, Self::MimeMessage | Self::Capital | Self::Small | Self::Title);
        match name {
            ClassName::Digit | ClassName::Xdigit => false,
            ClassName::Alpha | ClassName::Alnum => is_letter,
            ClassName::Upper => matches!(self, Self::Capital | Self::Title),
            ClassName::Lower => matches!(self, Self::Small | Self::Title),
            ClassName::Space => matches!(self, Self::Space | Self::Separator),
            ClassName::Blank => matches!(self, Self::Space),
            ClassName::Punct => matches!(self, Self::Mark),
            ClassName::Print => is_letter || matches!(self, Self::Mark | Self::Space),
            ClassName::Graph => is_letter || matches!(self, Self::Mark),
            ClassName::Cntrl => matches!(self, Self::Control | Self::Separator),
        }
    }
}

/// The kind of a character beyond ASCII.
pub fn kind(letter: char) -> ClassKind {
    let has = |table: &[(char, char)]| {
        let after = table.partition_point(|(first, _)| *first <= letter);
        after.checked_sub(1).and_then(|at| table.get(at)).is_some_and(|(_, last)| letter <= *last)
    };
    match letter {
        '\u{80}'..='\u{9f}' => return ClassKind::Control,
        '\u{2028}' | '\u{2029}' => return ClassKind::Separator,
        // No-break spaces are punctuation.
        '\u{a0}' | '\u{2007}' | '\u{202f}' => return ClassKind::Mark,
        _ => {}
    }
    if has(&TABLES.letter) {
        match (has(&TABLES.upper), has(&TABLES.lower)) {
            (true, true) => ClassKind::Title,
            (true, false) => ClassKind::Capital,
            (false, true) => ClassKind::Small,
            (false, false) => ClassKind::MimeMessage,
        }
    } else if has(&TABLES.space) {
        ClassKind::Space
    } else if has(&TABLES.assigned) {
        ClassKind::Mark
    } else {
        ClassKind::Nothing
    }
}

/// Whether a character is one of a word: `\w`.
pub fn is_word(letter: char) -> bool {
    letter == '_' || ClassName::Alnum.has(letter)
}

/// First and last character of each range.
struct Tables {
    letter: Vec<(char, char)>,
    upper: Vec<(char, char)>,
    lower: Vec<(char, char)>,
    space: Vec<(char, char)>,
    assigned: Vec<(char, char)>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    letter: ranges(r"[\p{Alphabetic}\p{Nd}]"),
    upper: ranges(r"[\p{Uppercase}\p{Lt}]"),
    lower: ranges(r"[\p{Lowercase}\x{1c5}\x{1c8}\x{1cb}\x{1f2}]"),
    space: ranges(r"\p{Zs}"),
    assigned: ranges(r"\P{Cn}"),
});

/// The ranges of a class; none when it is no class, which the test of the tables would show.
fn ranges(class: &str) -> Vec<(char, char)> {
    let parsed = ParserBuilder::new().build().parse(class);
    match parsed.as_ref().map(regex_syntax::hir::Hir::kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_of_the_kind_the_c_library_says() {
        let kinds = [
            ('é', ClassKind::Small),
            ('Ä', ClassKind::Capital),
            ('٣', ClassKind::MimeMessage),
            ('\u{301}', ClassKind::Mark),
            ('\u{2003}', ClassKind::Space),
            ('\u{a0}', ClassKind::Mark),
            ('\u{2028}', ClassKind::Separator),
            ('\u{85}', ClassKind::Control),
            ('€', ClassKind::Mark),
            ('\u{378}', ClassKind::Nothing),
        ];
        for (letter, expected) in kinds {
            assert_eq!(kind(letter), expected, "{letter:?}");
        }
    }
}
