//! Finds the rules a line may match by the text each of them needs, in one pass over the line.

use aho_corasick::AhoCorasick;

/// Tells for a line which rules cannot match it because their text is not there.
#[derive(Debug)]
pub(in crate::logs) struct Sieve {
    texts: Option<AhoCorasick>,
    /// The rule of each text.
    rules: Vec<usize>,
    /// Rules without a text.
    always: Vec<usize>,
}

impl Sieve {
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
