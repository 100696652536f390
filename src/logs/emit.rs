//! Prints a tree as a pattern for `regex-syntax`, over the symbols of an [`Alphabet`].
//!
//! Everything is written out: classes as ranges of bytes, each repetition around a group of its own, literals as escapes
//! where they are not letters or digits. So no character of a rule ever means to the regex crates what it does not mean to grep.

use super::{
    alphabet::{Alphabet, INVALID},
    tree::{Edge, Locale, Node, Unit},
};

/// The pattern for these nodes, one after the other. It is to be read without Unicode, with `.` matching every byte.
/// A tree the alphabet does not serve gives a pattern for ASCII lines only; a back-reference gives one that never matches.
pub fn pattern(nodes: &[Node], alphabet: &Alphabet) -> String {
    let mut text = String::new();
    for node in nodes {
        print(node, alphabet, &mut text);
    }
    text
}

fn print(node: &Node, alphabet: &Alphabet, text: &mut String) {
    match node {
        Node::Empty => text.push_str("(?:)"),
        Node::Literal(Unit::Byte(byte)) => print_byte(*byte, text),
        Node::Literal(Unit::Char(letter)) => match alphabet.symbol(*letter) {
            Some(symbol) => print_byte(symbol, text),
            None => print_members(&[], text),
        },
        Node::Any => text.push_str(if alphabet.locale() == Locale::C { "." } else { r"[^\xff]" }),
        Node::Class(class) => print_members(&alphabet.members(class), text),
        Node::Edge(edge) => text.push_str(match edge {
            Edge::Start => r"\A",
            Edge::End => r"\z",
            Edge::Word => r"\b",
            Edge::NotWord => r"\B",
            Edge::WordStart => r"\b{start}",
            Edge::WordEnd => r"\b{end}",
        }),
        Node::Concat(nodes) => nodes.iter().for_each(|node| print(node, alphabet, text)),
        Node::Alternate(nodes) => {
            text.push_str("(?:");
            for (count, node) in nodes.iter().enumerate() {
                if count > 0 {
                    text.push('|');
                }
                print(node, alphabet, text);
            }
            text.push(')');
        }
        Node::Group(node, _) => {
            text.push_str("(?:");
            print(node, alphabet, text);
            text.push(')');
        }
        Node::Repeat { node, min, max } => {
            text.push_str("(?:");
            print(node, alphabet, text);
            text.push(')');
            match (min, max) {
                (0, None) => text.push('*'),
                (1, None) => text.push('+'),
                (0, Some(1)) => text.push('?'),
                (min, None) => text.push_str(&format!("{{{min},}}")),
                (min, Some(max)) => text.push_str(&format!("{{{min},{max}}}")),
            }
        }
        Node::Backref(_) => print_members(&[], text),
    }
}

fn print_byte(byte: u8, text: &mut String) {
    if byte.is_ascii_alphanumeric() {
        text.push(char::from(byte));
    } else {
        text.push_str(&format!(r"\x{byte:02x}"));
    }
}

/// A class of the symbols that are members.
fn print_members(members: &[bool], text: &mut String) {
    let mut ranges = String::new();
    let mut begin = None;
    for (symbol, is_member) in (0..=u8::MAX).zip(members) {
        if *is_member {
            begin = begin.or(Some(symbol));
        }
        let end = if *is_member { (symbol == u8::MAX).then_some(symbol) } else { symbol.checked_sub(1) };
        if let (Some(first), Some(last)) = (begin, end) {
            ranges.push_str(&format!(r"\x{first:02x}-\x{last:02x}"));
            begin = None;
        }
    }
    // An empty class is written as the opposite of everything.
    text.push_str(&if ranges.is_empty() { format!(r"[^\x00-\x{INVALID:02x}]") } else { format!("[{ranges}]") });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::ere::parse;

    fn printed(rule: &str, locale: Locale) -> String {
        let tree = parse(rule.as_bytes(), locale).unwrap().tree;
        pattern(tree.items(), &Alphabet::new(locale, [&tree]))
    }

    #[test]
    fn each_row_is_printed_as_the_table_says() {
        for (rule, expected) in [
            ("^a$", r"\Aa\z"),
            (r"\`a\'", r"\Aa\z"),
            ("a+?", "(?:(?:a)+)?"),
            ("*a", "(?:(?:))*a"),
            ("^*a", r"(?:\A)*a"),
            ("a{2,}{,3}", "(?:(?:a){2,}){0,3}"),
            ("a{x", r"a\x7bx"),
            ("(|x)", "(?:(?:(?:)|x))"),
            (r"\bx\B\<\>", r"\bx\B\b{start}\b{end}"),
            ("[]a]", r"[\x5d-\x5d\x61-\x61]"),
            ("[^[:print:]]", r"[\x00-\x1f\x7f-\xff]"),
            (r"\d", "d"),
        ] {
            assert_eq!(printed(rule, Locale::C), expected, "{rule}");
        }
        assert_eq!(printed("é.", Locale::Utf8), r"\x80[^\xff]");
        assert_eq!(printed("é+", Locale::C), r"\xc3(?:\xa9)+");
    }
}
