//! Turns a tree into a pattern of the regex crates, over the symbols of an [`Alphabet`].
//!
//! The pattern is built as `regex-syntax` has it after parsing, not as text: classes are ranges of bytes, a repetition holds what
//! it repeats. So no character of a rule ever means to the regex crates what it does not mean to grep, and 1,500 rules need not be
//! read a second time.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

use crate::logs::pattern::{
    alphabet::{Alphabet, INVALID},
    ast::{Edge, Locale, Node, PatternUnit},
};

/// The pattern for these nodes, one after the other. A tree the alphabet does not serve gives a pattern for ASCII lines only; a
/// back-reference gives one that never matches.
pub fn pattern(nodes: &[Node], alphabet: &Alphabet) -> Hir {
    Hir::concat(nodes.iter().map(|node| one(node, alphabet)).collect())
}

fn one(node: &Node, alphabet: &Alphabet) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal(PatternUnit::Byte(byte)) => Hir::literal([*byte]),
        Node::Literal(PatternUnit::Char(letter)) => {
            alphabet.symbol(*letter).map_or_else(Hir::fail, |symbol| Hir::literal([symbol]))
        }
        Node::Any => {
            let last = if alphabet.locale() == Locale::C { u8::MAX } else { INVALID - 1 };
            bytes([ClassBytesRange::new(0, last)])
        }
        Node::Class(class) => bytes(ranges(alphabet.members(class))),
        Node::Edge(edge) => Hir::look(match edge {
            Edge::Start => Look::Start,
            Edge::End => Look::End,
            Edge::Word => Look::WordAscii,
            Edge::NotWord => Look::WordAsciiNegate,
            Edge::WordStart => Look::WordStartAscii,
            Edge::WordEnd => Look::WordEndAscii,
        }),
        Node::Concat(nodes) => pattern(nodes, alphabet),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(|node| one(node, alphabet)).collect()),
        Node::Group(node, _) => one(node, alphabet),
        Node::Repeat { node, min, max } => {
            let (min, max, sub) = (u32::from(*min), max.map(u32::from), Box::new(one(node, alphabet)));
            Hir::repetition(Repetition { min, max, greedy: true, sub })
        }
        Node::Backref(_) => Hir::fail(),
    }
}

/// The ranges of a set of bytes.
fn ranges([low, high]: [u128; 2]) -> Vec<ClassBytesRange> {
    let mut found = Vec::new();
    for (mut half, first) in [(low, 0_u8), (high, 0x80)] {
        while half != 0 {
            let begin = half.trailing_zeros();
            let length = (half >> begin).trailing_ones();
            half &= u128::MAX.checked_shl(begin + length).unwrap_or(0);
            let byte = |offset: u32| u8::try_from(offset).map_or(u8::MAX, |offset| first + offset);
            found.push(ClassBytesRange::new(byte(begin), byte(begin + length - 1)));
        }
    }
    found
}

/// A class of these ranges.
fn bytes(ranges: impl IntoIterator<Item = ClassBytesRange>) -> Hir {
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::parser::parse;

    /// The pattern as `regex-syntax` writes it.
    fn printed(rule: &str, locale: Locale) -> String {
        let tree = parse(rule.as_bytes(), locale).unwrap().tree;
        pattern(tree.items(), &Alphabet::new(locale, [&tree])).to_string()
    }

    #[test]
    fn each_row_is_printed_as_the_table_says() {
        for (rule, expected) in [
            ("^a$", r"(?:\Aa\z)"),
            (r"\`a\'", r"(?:\Aa\z)"),
            ("a+?", "(?:(?:a+)?)"),
            ("a{2,}{,3}", "(?:(?:a{2,}){0,3})"),
            ("a{x", r"(?:a\{x)"),
            ("(|xy)z", "(?:(?:(?:|(?:xy)))z)"),
            (r"\bx\B\<\>", r"(?-u:\b)x(?-u:\B)(?-u:\b{start})(?-u:\b{end})"),
            ("[]a]", r"(?-u:[\]a])"),
            (r"\d", "d"),
        ] {
            let plain = |text: &str| text.replace("(?:", "").replace(')', "");
            assert_eq!(plain(&printed(rule, Locale::C)), plain(expected), "{rule}");
        }
    }

    #[test]
    fn a_character_is_one_symbol_under_utf_8_and_its_bytes_in_the_c_locale() {
        assert_eq!(printed("é", Locale::Utf8), r"(?-u:\x80)");
        assert_eq!(printed("é+", Locale::C), r"(?:(?-u:\xC3)(?-u:\xA9)+)");
        assert_eq!(printed(".", Locale::C), r"(?-u:[\x00-\xFF])");
        assert_eq!(printed(".", Locale::Utf8), r"(?-u:[\x00-\xFE])");
    }
}
