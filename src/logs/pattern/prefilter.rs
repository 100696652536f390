//! The text a line must have for a rule to match it.

use aho_corasick::AhoCorasick;

use crate::logs::pattern::ast::{Node, PatternUnit};

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
            Node::Literal(PatternUnit::Char(letter)) if letter.is_ascii() => self.now.extend(u8::try_from(*letter)),
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

/// Tells for a line which rules cannot match it because their text is not there.
#[derive(Debug)]
pub(in crate::logs) struct Prefilter {
    texts: Option<AhoCorasick>,
    /// The rule of each text.
    rules: Vec<usize>,
    /// Rules without a text.
    always: Vec<usize>,
}

impl Prefilter {
    /// A sieve for `rules`; `needles` has the text of every rule by number.
    pub(in crate::logs) fn new(needles: &[Vec<u8>], rules: impl IntoIterator<Item = usize>) -> Self {
        let (always, rules): (Vec<usize>, Vec<usize>) =
            rules.into_iter().partition(|rule| needles.get(*rule).is_none_or(Vec::is_empty));
        let texts = AhoCorasick::new(rules.iter().filter_map(|rule| needles.get(*rule))).ok();
        if texts.is_none() {
            return Self { texts, rules: Vec::new(), always: always.into_iter().chain(rules).collect() };
        }
        Self { texts, rules, always }
    }

    /// The rules that may match, by number.
    pub(in crate::logs) fn pass(&self, line: &[u8]) -> Vec<usize> {
        let mut found = self.always.clone();
        if let Some(texts) = self.texts.as_ref().filter(|_| !self.rules.is_empty()) {
            let text = texts.find_overlapping_iter(line);
            found.extend(text.filter_map(|text| self.rules.get(text.pattern().as_usize()).copied()));
        }
        found.sort_unstable();
        found.dedup();
        found
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
