//! One rule, compiled on its own: an automaton where that decides it, else the step-limited matcher.

use regex_automata::{
    Input,
    hybrid::dfa::{Cache, DFA},
};
use thiserror::Error;

use crate::logs::pattern::{
    alphabet::Alphabet,
    ast::{Node, PatternUnit},
    backtrack::{MatchVerdict, Program},
    dfa::{Build, build},
    hir::pattern,
    parser::Ere,
};

/// Heaviest rule that is compiled, by [`Node::weight`]; `a{32767}` still is, no shipped rule has more than 2,000.
pub const HEAVIEST_RULE: usize = 40_000;

/// Most memory for the states one rule's automaton keeps, in bytes.
const STATES: usize = 256 << 10;

/// A rule that is correct, but beyond what this program is ready to spend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("its repetitions multiply to too much")]
pub struct TooLarge;

/// A compiled rule.
#[derive(Debug)]
pub struct Single {
    /// For every line, or for ASCII lines when there is a program too.
    automaton: Option<(DFA, Cache)>,
    program: Option<Program>,
}

impl Single {
    /// Compiles a rule that was read for the locale of `alphabet`.
    ///
    /// # Errors
    /// When its repetitions multiply to more than 40,000 instructions.
    pub fn new(rule: &Ere, alphabet: &Alphabet) -> Result<Self, TooLarge> {
        if rule.tree.weight() > HEAVIEST_RULE {
            return Err(TooLarge);
        }
        let program = if alphabet.serves(&rule.tree) {
            None
        } else {
            Some(Program::new(&rule.tree, rule.groups, alphabet.locale()).ok_or(TooLarge)?)
        };
        if program.is_some() && (rule.tree.has_backref() || has_raw_byte(&rule.tree)) {
            return Ok(Self { automaton: None, program });
        }
        let automaton = build(&[pattern(rule.tree.items(), alphabet)], Build { states: STATES, ..Build::default() });
        let dfa = automaton.ok_or(TooLarge)?;
        let cache = dfa.create_cache();
        Ok(Self { automaton: Some((dfa, cache)), program })
    }

    /// Whether it matches `line`, which `rewritten` is in the alphabet it was compiled for.
    pub fn verdict(&mut self, line: &[u8], rewritten: &[u8]) -> MatchVerdict {
        if let Some((dfa, cache)) = &mut self.automaton
            && (self.program.is_none() || line.is_ascii())
        {
            // It has no quit bytes and never gives up.
            return match dfa.try_search_fwd(cache, &Input::new(rewritten).earliest(true)) {
                Ok(Some(_)) => MatchVerdict::Match,
                Ok(None) => MatchVerdict::NoMatch,
                Err(_) => MatchVerdict::LimitReached,
            };
        }
        self.program.as_ref().map_or(MatchVerdict::NoMatch, |program| program.verdict(line))
    }

    /// Bytes it takes at most, states included.
    pub fn memory(&self) -> usize {
        self.automaton.as_ref().map_or(4096, |(dfa, _)| dfa.get_nfa().memory_usage() + STATES / 4)
    }
}

fn has_raw_byte(tree: &Node) -> bool {
    tree.has(|node| matches!(node, Node::Literal(PatternUnit::Byte(_))))
}
