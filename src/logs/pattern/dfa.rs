//! Automata over patterns: lazy ones, whose states are made when a line first needs them and whose memory is bounded.

use regex_automata::{
    MatchKind,
    hybrid::dfa::DFA,
    nfa::thompson::{Compiler, NFA, WhichCaptures},
};
use regex_syntax::hir::Hir;

/// Most memory for what one automaton is made from, in bytes.
const LARGEST: usize = 64 << 20;

/// How an automaton is to be built.
#[derive(Debug, Clone, Copy)]
pub(in crate::logs) struct Build {
    /// Most memory for its states, in bytes.
    pub(in crate::logs) states: usize,
    /// Whether it tells every match and not only those a leftmost search would prefer.
    pub(super) tells_all: bool,
    /// Whether it gives up when its states are thrown away again and again before they are used.
    pub(super) gives_up: bool,
}

impl Default for Build {
    fn default() -> Self {
        Self { states: 1 << 20, tells_all: false, gives_up: false }
    }
}

/// An automaton for `patterns`; `None` when it would be too large.
pub(in crate::logs) fn build(patterns: &[Hir], how: Build) -> Option<DFA> {
    let config =
        NFA::config().utf8(false).shrink(false).nfa_size_limit(Some(LARGEST)).which_captures(WhichCaptures::None);
    let nfa = Compiler::new().configure(config).build_many_from_hir(patterns).ok()?;
    let mut config = DFA::config()
        .match_kind(if how.tells_all { MatchKind::All } else { MatchKind::LeftmostFirst })
        .cache_capacity(how.states)
        .skip_cache_capacity_check(true);
    if how.gives_up {
        config = config.minimum_cache_clear_count(Some(2)).minimum_bytes_per_state(Some(10));
    }
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}
