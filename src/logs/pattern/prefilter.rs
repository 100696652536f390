//! The text a line must have for a rule to match it.

use crate::logs::pattern::ast::{Node, Unit};

/// The longest run of bytes that every match of `tree` has; empty when there is none that is plain to see.
///
/// Characters beyond ASCII end a run: what stands for them depends on the alphabet.
pub fn longest(tree: &Node) -> Vec<u8> {
    let mut runs = Runs::default();
    runs.add(tree);
    runs.end();
    runs.longest
}

#[derive(Default)]
struct Runs {
    longest: Vec<u8>,
    now: Vec<u8>,
}

impl Runs {
    fn add(&mut self, node: &Node) {
        match node {
            Node::Empty | Node::Edge(_) => {}
            Node::Literal(Unit::Char(letter)) if letter.is_ascii() => self.now.extend(u8::try_from(*letter)),
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.add(node)),
            Node::Group(node, _) => self.add(node),
            // What stands there at least once stands there; but before and after it may stand more of the same.
            Node::Repeat { node, min, .. } if *min > 0 => {
                self.end();
                self.add(node);
                self.end();
            }
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        if self.now.len() > self.longest.len() {
            self.longest.clone_from(&self.now);
        }
        self.now.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::{ast::Locale, parser::parse};

    #[test]
    fn the_longest_text_every_match_has_is_found() {
        for (rule, expected) in [
            (r"^\w+ sshd\[[0-9]+\]: Bye, Bye$", "]: Bye, Bye"),
            ("ab(cd)ef", "abcdef"),
            ("ab(cd)*efg", "efg"),
            ("ab(cd)+e", "ab"),
            ("abc|d", ""),
            ("a(bc|d)e", "a"),
            ("x{0}", ""),
            ("^$", ""),
            ("aéxy", "xy"),
        ] {
            let tree = parse(rule.as_bytes(), Locale::Utf8).unwrap().tree;
            assert_eq!(longest(&tree), expected.as_bytes(), "{rule}");
        }
    }
}
