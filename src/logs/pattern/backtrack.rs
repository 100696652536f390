//! Decides a match on the tree itself, in a bounded number of steps.
//!
//! For the few rules automata cannot decide: those with back-references, and under UTF-8 those that [`crate::logs::pattern::alphabet`] does not
//! serve. The question is POSIX's "is there any match?", so every way is tried, with an explicit stack and never more steps than
//! a line may cost. Reaching the limit is a verdict of its own: an ignore rule then does not match, a raising rule does.

use crate::logs::pattern::{
    ast::{Class, Edge, Locale, Node, PatternUnit, decode},
    char_class,
};

/// Most instructions of one rule; about 10 MB.
const MOST_INSTRUCTIONS: usize = 130_000;

/// Steps any line may cost, and steps more for each of its bytes. A shipped rule needs fewer than two a byte.
const STEPS: usize = 20_000;
const STEPS_A_BYTE: usize = 40;

/// What the matcher found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum MatchVerdict {
    /// There is a match.
    Match,
    /// There is none.
    NoMatch,
    /// The steps were used up before that was known.
    LimitReached,
}

#[derive(Debug, Clone)]
enum MatchStep {
    Unit(PatternUnit),
    Any,
    Class(Class),
    Edge(Edge),
    Backref(usize),
    /// Goes on here or there.
    Fork(usize, usize),
    Jump(usize),
    /// Keeps the position in a slot.
    Keep(usize),
    /// Goes there when nothing was consumed since the slot was kept: a loop that stands still ends.
    Leave(usize, usize),
    Done,
}

/// A rule, ready to be matched.
#[derive(Debug, Clone)]
pub struct Program {
    steps: Vec<MatchStep>,
    slots: usize,
    locale: Locale,
    has_backref: bool,
}

/// A way not yet tried, or what must be undone before the next one is.
enum PendingMatch {
    Way(usize, usize),
    Slot(usize, Option<usize>),
}

impl Program {
    /// Prepares a tree; `None` when it is too large, as `((a{200}){200}){200}` is.
    pub fn new(tree: &Node, groups: usize, locale: Locale) -> Option<Self> {
        // Two slots for each group, then one for each loop.
        let mut program = Self { steps: Vec::new(), slots: 2 * (groups + 1), locale, has_backref: tree.has_backref() };
        program.add(tree)?;
        program.push(MatchStep::Done)?;
        Some(program)
    }

    fn push(&mut self, step: MatchStep) -> Option<usize> {
        let at = self.steps.len();
        (at < MOST_INSTRUCTIONS).then(|| self.steps.push(step))?;
        Some(at)
    }

    fn set(&mut self, at: usize, step: MatchStep) {
        if let Some(old) = self.steps.get_mut(at) {
            *old = step;
        }
    }

    fn add(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Literal(unit) => drop(self.push(MatchStep::Unit(*unit))?),
            Node::Any => drop(self.push(MatchStep::Any)?),
            Node::Class(class) => drop(self.push(MatchStep::Class(Class::clone(class)))?),
            Node::Edge(edge) => drop(self.push(MatchStep::Edge(*edge))?),
            Node::Backref(group) => drop(self.push(MatchStep::Backref(*group))?),
            Node::Concat(nodes) => {
                for node in nodes {
                    self.add(node)?;
                }
            }
            Node::Alternate(nodes) => self.add_branches(nodes)?,
            Node::Group(node, number) => {
                self.push(MatchStep::Keep(2 * number))?;
                self.add(node)?;
                self.push(MatchStep::Keep(2 * number + 1))?;
            }
            Node::Repeat { node, min, max } => self.add_times(node, *min, *max)?,
        }
        Some(())
    }

    fn add_branches(&mut self, nodes: &[Node]) -> Option<()> {
        let mut jumps = Vec::new();
        let (last, others) = nodes.split_last()?;
        for node in others {
            let fork = self.push(MatchStep::Done)?;
            self.add(node)?;
            jumps.push(self.push(MatchStep::Done)?);
            self.set(fork, MatchStep::Fork(fork + 1, self.steps.len()));
        }
        self.add(last)?;
        for jump in jumps {
            self.set(jump, MatchStep::Jump(self.steps.len()));
        }
        Some(())
    }

    fn add_times(&mut self, node: &Node, min: u16, max: Option<u16>) -> Option<()> {
        for _ in 0..min {
            self.add(node)?;
        }
        let Some(max) = max else {
            let slot = self.slots;
            self.slots += 1;
            let fork = self.push(MatchStep::Done)?;
            self.push(MatchStep::Keep(slot))?;
            self.add(node)?;
            let leave = self.push(MatchStep::Done)?;
            self.push(MatchStep::Jump(fork))?;
            self.set(leave, MatchStep::Leave(slot, self.steps.len()));
            self.set(fork, MatchStep::Fork(fork + 1, self.steps.len()));
            return Some(());
        };
        let mut forks = Vec::new();
        for _ in min..max {
            forks.push(self.push(MatchStep::Done)?);
            self.add(node)?;
        }
        for fork in forks {
            self.set(fork, MatchStep::Fork(fork + 1, self.steps.len()));
        }
        Some(())
    }

    /// Whether the rule matches anywhere in `line`. Takes at most 20,000 steps and 40 for each byte.
    pub fn verdict(&self, line: &[u8]) -> MatchVerdict {
        let limit = STEPS + STEPS_A_BYTE * line.len();
        self.verdict_within(line, limit)
    }

    /// As [`Program::verdict`], with a limit of the caller's.
    pub fn verdict_within(&self, line: &[u8], limit: usize) -> MatchVerdict {
        let mut run = MatchRun {
            program: self,
            line,
            slots: vec![None; self.slots],
            pending: Vec::new(),
            seen: Vec::new(),
            left: limit,
        };
        let states = self.steps.len() * (line.len() + 1);
        // Without back-references a state that led nowhere once leads nowhere ever; kept while that fits the limit in bits.
        if !self.has_backref && states / 64 <= limit {
            run.seen = vec![0_u64; states / 64 + 1];
        }
        for start in 0..=line.len() {
            match run.from(start) {
                MatchVerdict::NoMatch => {}
                other => return other,
            }
            if self.is_anchored() {
                break;
            }
        }
        MatchVerdict::NoMatch
    }

    fn is_anchored(&self) -> bool {
        matches!(self.steps.first(), Some(MatchStep::Edge(Edge::Start)))
    }
}

/// One rule on one line.
struct MatchRun<'a> {
    program: &'a Program,
    line: &'a [u8],
    slots: Vec<Option<usize>>,
    pending: Vec<PendingMatch>,
    /// One bit for each instruction at each position; empty when not kept.
    seen: Vec<u64>,
    left: usize,
}

impl MatchRun<'_> {
    fn from(&mut self, start: usize) -> MatchVerdict {
        self.pending.clear();
        self.slots.fill(None);
        self.pending.push(PendingMatch::Way(0, start));
        while let Some(pending) = self.pending.pop() {
            let (mut step, mut at) = match pending {
                PendingMatch::Way(step, at) => (step, at),
                PendingMatch::Slot(slot, old) => {
                    if let Some(value) = self.slots.get_mut(slot) {
                        *value = old;
                    }
                    continue;
                }
            };
            loop {
                let Some(left) = self.left.checked_sub(1) else {
                    return MatchVerdict::LimitReached;
                };
                self.left = left;
                if matches!(self.program.steps.get(step), Some(MatchStep::Done)) {
                    return MatchVerdict::Match;
                }
                if self.was_seen(step, at) {
                    break;
                }
                let Some((next, next_at)) = self.go(step, at) else { break };
                (step, at) = (next, next_at);
            }
        }
        MatchVerdict::NoMatch
    }

    /// Notes the state; says whether it was there before.
    fn was_seen(&mut self, step: usize, at: usize) -> bool {
        let bit = step * (self.line.len() + 1) + at;
        let Some(word) = self.seen.get_mut(bit / 64) else {
            return false;
        };
        let mask = 1 << (bit % 64);
        let was_seen = *word & mask != 0;
        *word |= mask;
        was_seen
    }

    /// Does one step; gives the next one and its position, or nothing when the way ends.
    fn go(&mut self, step: usize, at: usize) -> Option<(usize, usize)> {
        let rest = self.line.get(at..)?;
        let on = |length: usize| Some((step + 1, at + length));
        match self.program.steps.get(step)? {
            MatchStep::Unit(PatternUnit::Byte(byte)) => (rest.first() == Some(byte)).then(|| on(1))?,
            MatchStep::Unit(PatternUnit::Char(letter)) => {
                let mut buffer = [0; 4];
                let encoded = letter.encode_utf8(&mut buffer).as_bytes();
                rest.starts_with(encoded).then(|| on(encoded.len()))?
            }
            MatchStep::Any => on(self.character(rest, |_| true, |_| true)?),
            MatchStep::Class(class) => {
                on(self.character(rest, |byte| class.has_byte(byte), |letter| class.has_char(letter))?)
            }
            MatchStep::Edge(edge) => self.is_edge(*edge, at).then(|| on(0))?,
            MatchStep::Backref(group) => {
                let (from, to) = (*self.slots.get(2 * group)?, *self.slots.get(2 * group + 1)?);
                let text = self.line.get(from?..to?)?;
                rest.starts_with(text).then(|| on(text.len()))?
            }
            MatchStep::Fork(here, there) => {
                self.pending.push(PendingMatch::Way(*there, at));
                Some((*here, at))
            }
            MatchStep::Jump(there) => Some((*there, at)),
            MatchStep::Keep(slot) => {
                let value = self.slots.get_mut(*slot)?;
                self.pending.push(PendingMatch::Slot(*slot, *value));
                *value = Some(at);
                on(0)
            }
            MatchStep::Leave(slot, there) => {
                let stands = self.slots.get(*slot) == Some(&Some(at));
                Some((if stands { *there } else { step + 1 }, at))
            }
            MatchStep::Done => None,
        }
    }

    /// The length of the character `rest` begins with, when it is such.
    fn character(&self, rest: &[u8], is_byte: impl Fn(u8) -> bool, is_char: impl Fn(char) -> bool) -> Option<usize> {
        match self.program.locale {
            Locale::C => rest.first().filter(|byte| is_byte(**byte)).map(|_| 1),
            Locale::Utf8 => decode(rest).filter(|letter| is_char(*letter)).map(char::len_utf8),
        }
    }

    /// Whether `at` is within a character. Only a rule with bytes of characters gets there.
    fn is_inside(&self, at: usize) -> bool {
        let starts = (1..=at.min(3)).filter_map(|back| Some((back, decode(self.line.get(at - back..)?)?)));
        self.program.locale == Locale::Utf8 && starts.into_iter().any(|(back, letter)| letter.len_utf8() > back)
    }

    fn is_edge(&self, edge: Edge, at: usize) -> bool {
        if edge.is_of_word() && self.is_inside(at) {
            return false;
        }
        let is_word_before = || self.is_word_before(at);
        let is_word_after = || self.is_word_after(at);
        match edge {
            Edge::Start => at == 0,
            Edge::End => at == self.line.len(),
            Edge::Word => is_word_before() != is_word_after(),
            Edge::NotWord => is_word_before() == is_word_after(),
            Edge::WordStart => !is_word_before() && is_word_after(),
            Edge::WordEnd => is_word_before() && !is_word_after(),
        }
    }

    fn is_word_after(&self, at: usize) -> bool {
        let rest = self.line.get(at..).unwrap_or_default();
        match self.program.locale {
            Locale::C => rest.first().is_some_and(|byte| is_word_byte(*byte)),
            Locale::Utf8 => {
                decode(rest).or_else(|| rest.first().map(|byte| stray(*byte))).is_some_and(char_class::is_word)
            }
        }
    }

    fn is_word_before(&self, at: usize) -> bool {
        let before = self.line.get(..at).unwrap_or_default();
        let last = before.last().copied();
        if self.program.locale == Locale::C {
            return last.is_some_and(is_word_byte);
        }
        let whole = (1..=before.len().min(4)).find_map(|length| {
            let tail = before.get(before.len() - length..)?;
            decode(tail).filter(|letter| letter.len_utf8() == length)
        });
        whole.or_else(|| last.map(stray)).is_some_and(char_class::is_word)
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// What the C library takes a byte for that belongs to no character, when it looks for word edges: the character of that number.
fn stray(byte: u8) -> char {
    char::from(byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logs::pattern::parser::parse;

    fn verdict(rule: &str, line: &str) -> MatchVerdict {
        let read = parse(rule.as_bytes(), Locale::Utf8).unwrap();
        Program::new(&read.tree, read.groups, Locale::Utf8).unwrap().verdict(line.as_bytes())
    }

    #[test]
    fn a_back_reference_repeats_what_its_group_matched_last() {
        for (rule, line, expected) in [
            (r"^(a)\1$", "aa", true),
            (r"^(a|b)*\1$", "abb", true),
            (r"^(a|b)*\1$", "aba", false),
            (r"^(a*)b\1$", "aabaa", true),
            (r"^(a*)b\1$", "aaba", false),
            (r"^(a?)*\1$", "a", true),
            (r"(a){0}\1", "a", false),
            (r"^((a)|b)*\2$", "aba", true),
            (r"^((a)|b)*\2$", "ab", false),
            (r"(é)\1", "éé", true),
        ] {
            let expected = if expected { MatchVerdict::Match } else { MatchVerdict::NoMatch };
            assert_eq!(verdict(rule, line), expected, "{rule} on {line}");
        }
    }

    #[test]
    fn a_rule_that_would_take_for_ever_reaches_the_limit() {
        let line = format!("{}b", "a".repeat(200));
        assert_eq!(verdict(r"^(a*)(a*)(a*)(a*)(a*)(a*)\6\5\4\3c$", &line), MatchVerdict::LimitReached);
        assert_eq!(verdict(r"^(a*)*(a*)*(a*)*c$", &line), MatchVerdict::NoMatch, "states are not tried twice");
    }

    #[test]
    fn a_rule_that_is_too_large_is_refused() {
        let read = parse(br"(((a{200}){200}){200})\1", Locale::C).unwrap();
        assert!(Program::new(&read.tree, read.groups, Locale::C).is_none());
    }

    proptest! {
        #[test]
        fn no_more_steps_are_taken_than_allowed(rule in r"\^?(\(\(?[ab.]\*\)?\)\*?|[ab]\+){1,4}(\\1)?", line in "[ab]{0,60}") {
            if let Ok(read) = parse(rule.as_bytes(), Locale::C) {
                let program = Program::new(&read.tree, read.groups, Locale::C).unwrap();
                let within = program.verdict_within(line.as_bytes(), 300);
                let all = program.verdict(line.as_bytes());
                prop_assert!(within == all || within == MatchVerdict::LimitReached);
            }
        }
    }
}
