//! One rule, compiled on its own: an automaton where that decides it, else the step-limited matcher.

use regex_automata::{meta::Regex, nfa::thompson::WhichCaptures, util::syntax};
use thiserror::Error;

use super::{
    alphabet::Alphabet,
    backref::{Program, Verdict},
    emit::pattern,
    ere::Ere,
    tree::{Node, Unit},
};

/// Most memory of one rule's automaton, in bytes; the largest shipped rule needs a hundredth of that.
pub(super) const LARGEST: usize = 8 << 20;

/// Most memory of the states one rule's automaton keeps, in bytes.
const STATES: usize = 1 << 20;

/// A rule that is correct, but beyond what this program is ready to spend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too large: its repetitions multiply to more than one rule may cost")]
pub struct TooLarge;

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Single {
    /// For every line, or for ASCII lines when there is a program too.
    automaton: Option<Regex>,
    program: Option<Program>,
}

impl Single {
    /// Compiles a rule that was read for the locale of `alphabet`.
    ///
    /// # Errors
    /// When it needs more than 8 MiB or 20,000 instructions.
    pub fn new(rule: &Ere, alphabet: &Alphabet) -> Result<Self, TooLarge> {
        let is_served = alphabet.serves(&rule.tree);
        let program = if is_served {
            None
        } else {
            Some(Program::new(&rule.tree, rule.groups, alphabet.locale()).ok_or(TooLarge)?)
        };
        if rule.tree.has_backref() || has_raw_byte(&rule.tree) && program.is_some() {
            return Ok(Self { automaton: None, program });
        }
        let config = Regex::config()
            .utf8_empty(false)
            .nfa_size_limit(Some(LARGEST))
            .hybrid_cache_capacity(STATES)
            .which_captures(WhichCaptures::None);
        let automaton = Regex::builder()
            .configure(config)
            .syntax(syntax())
            .build(&pattern(rule.tree.items(), alphabet))
            .map_err(|_too_large| TooLarge)?;
        Ok(Self { automaton: Some(automaton), program })
    }

    /// Whether it matches `line`, which `rewritten` is in the alphabet it was compiled for.
    pub fn verdict(&self, line: &[u8], rewritten: &[u8]) -> Verdict {
        match (&self.automaton, &self.program) {
            (Some(automaton), None) => of(automaton.is_match(rewritten)),
            (Some(automaton), Some(_)) if line.is_ascii() => of(automaton.is_match(line)),
            (_, Some(program)) => program.verdict(line),
            (None, None) => Verdict::NoMatch,
        }
    }
}

const fn of(is_match: bool) -> Verdict {
    if is_match { Verdict::Match } else { Verdict::NoMatch }
}

fn has_raw_byte(tree: &Node) -> bool {
    tree.has(|node| matches!(node, Node::Literal(Unit::Byte(_))))
}

/// How printed patterns are to be read.
pub(super) fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true).nest_limit(1000)
}
