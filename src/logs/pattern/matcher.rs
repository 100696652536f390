//! Which of many rules a line matches.
//!
//! Three ways, from cheap to sure. *Lazy automata* over all rules at once, with common beginnings taken out
//! (`prefix.rs`), answer nearly every line in one pass and in bounded memory. Where they would have to throw their states
//! away all the time they give up, and for that line every rule whose longest literal text is in it is tried *on its own*;
//! rules are compiled for that when first needed. Rules that no automaton decides go through the *step-limited matcher*, also only
//! when their literal text is there. Every way is linear in the line but for the limited one, so no line makes it slow.

use std::sync::Arc;

use regex_automata::{
    Anchored, Input,
    hybrid::dfa::{Cache, DFA},
    util::start,
};
use regex_syntax::hir::Hir;

use crate::logs::pattern::{
    alphabet::Alphabet,
    ast::Locale,
    backtrack::MatchVerdict,
    common_prefix::{AlikePatterns, group},
    dfa::{Build, build},
    hir::pattern,
    lint::is_anchored,
    parser::Ere,
    prefilter::{Prefilter, longest},
    single::Single,
};

/// Most memory for the states of one automaton, in bytes. All 1,521 rules of Debian at server level need 2 MB.
const STATES: usize = 6 << 20;

/// Most memory for rules compiled on their own, in bytes; beyond that they are forgotten and compiled anew.
const SINGLES: usize = 16 << 20;

/// Most places at which beginnings of rules may end in a line before rules are tried on their own.
const MOST_ENDS: usize = 16;

/// Fewest lines between two times that automata that gave up begin with fresh states.
const REST: u64 = 4096;

/// What reaching the step limit means for the rules of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    /// The rule matches: it raises, and nothing may slip by.
    Match,
    /// It does not: it hides, and hides only what it surely matches.
    NoMatch,
}

/// A lazy automaton, the states it has, and the rules it is over.
#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    cache: Cache,
    rules: Vec<usize>,
}

/// An automaton gave up, or a line has too many beginnings.
struct GaveUp;

impl Automaton {
    fn new(rules: Vec<usize>, patterns: &[Hir], tells_all: bool) -> Option<Self> {
        let dfa = build(patterns, Build { states: STATES, tells_all, gives_up: true })?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache, rules })
    }

    /// A rule that matches from `from` on.
    fn find(&mut self, line: &[u8], from: usize, anchored: Anchored) -> Result<Option<usize>, GaveUp> {
        let input = Input::new(line).span(from..line.len()).anchored(anchored).earliest(true);
        let found = self.dfa.try_search_fwd(&mut self.cache, &input).map_err(|_gave_up| GaveUp)?;
        Ok(found.and_then(|found| self.rules.get(found.pattern().as_usize()).copied()))
    }

    /// Every pattern that matches a beginning of the line, with the end of its match.
    fn beginnings(&mut self, line: &[u8]) -> Result<Vec<(usize, usize)>, GaveUp> {
        let (dfa, cache) = (&self.dfa, &mut self.cache);
        let config = start::Config::new().anchored(Anchored::Yes);
        let mut state = dfa.start_state(cache, &config).map_err(|_gave_up| GaveUp)?;
        let mut found = Vec::new();
        // A state tells matches one byte late.
        for at in 0..=line.len() {
            let next = match line.get(at) {
                Some(byte) => dfa.next_state(cache, state, *byte),
                None => dfa.next_eoi_state(cache, state),
            };
            state = next.map_err(|_full| GaveUp)?;
            if state.is_match() {
                found.extend(
                    (0..dfa.match_len(cache, state)).map(|n| (dfa.match_pattern(cache, state, n).as_usize(), at)),
                );
                if found.len() > MOST_ENDS {
                    return Err(GaveUp);
                }
            } else if state.is_dead() || state.is_quit() {
                break;
            }
        }
        Ok(found)
    }
}

/// What an engine keeps of a rule.
#[derive(Debug)]
struct KnownPattern {
    ere: Arc<Ere>,
    /// Which of the common beginnings it has.
    beginning: Option<usize>,
    single: Option<Box<Single>>,
    hits: u64,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatchCounts {
    /// Lines looked at.
    pub lines: u64,
    /// Lines for which rules were tried on their own.
    pub singly: u64,
    /// Lines on which a rule reached the step limit.
    pub limits: u64,
}

/// Many rules, ready to be matched. Rules go by their number in the list it was made from.
#[derive(Debug)]
pub struct Engine {
    alphabet: Arc<Alphabet>,
    on_limit: OnLimit,
    rules: Vec<KnownPattern>,
    /// The common beginnings, and for each the automaton over what follows.
    beginnings: Option<Automaton>,
    rests: Vec<Automaton>,
    /// Over rules without a common beginning: those that match from the start of a line only, and the others.
    anchored: Option<Automaton>,
    floating: Option<Automaton>,
    /// Whether some rule is in no automaton though one could decide it.
    is_incomplete: bool,
    /// Rules no automaton decides.
    careful: Prefilter,
    all: Prefilter,
    singles: usize,
    /// The line at which the automata last began with fresh states.
    refreshed: u64,
    counts: MatchCounts,
}

impl Engine {
    /// Makes an engine of rules that were read for `locale` and are no heavier than [`crate::logs::pattern::single::HEAVIEST_RULE`]. Costs about
    /// 30 µs for each rule.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a Arc<Ere>>, locale: Locale, on_limit: OnLimit) -> Self {
        let eres: Vec<Arc<Ere>> = rules.into_iter().cloned().collect();
        let alphabet = Alphabet::new(locale, eres.iter().map(|ere| &ere.tree));
        let (served, careful): (Vec<usize>, Vec<usize>) =
            (0..eres.len()).partition(|rule| eres.get(*rule).is_some_and(|ere| alphabet.serves(&ere.tree)));
        let needles: Vec<Vec<u8>> = eres.iter().map(|ere| longest(&ere.tree)).collect();
        let known = |ere| KnownPattern { ere, beginning: None, single: None, hits: 0 };
        let mut engine = Self {
            alphabet: Arc::new(alphabet),
            on_limit,
            rules: eres.into_iter().map(known).collect(),
            beginnings: None,
            rests: Vec::new(),
            anchored: None,
            floating: None,
            is_incomplete: false,
            all: Prefilter::new(&needles, 0..needles.len()),
            careful: Prefilter::new(&needles, careful),
            singles: 0,
            refreshed: 0,
            counts: MatchCounts::default(),
        };
        engine.build(&served);
        engine
    }

    fn build(&mut self, served: &[usize]) {
        let trees: Vec<_> = served.iter().filter_map(|rule| Some((*rule, &self.rules.get(*rule)?.ere.tree))).collect();
        let groups = group(&trees);
        let mut beginnings = Vec::new();
        for AlikePatterns { rules, items } in groups {
            let parts = rules.iter().filter_map(|rule| self.rules.get(*rule)?.ere.tree.items().split_at_checked(items));
            let (heads, tails): (Vec<_>, Vec<_>) = parts.unzip();
            let Some(head) = heads.first() else { continue };
            let tails: Vec<Hir> = tails.into_iter().map(|tail| pattern(tail, &self.alphabet)).collect();
            let head = pattern(head, &self.alphabet);
            let Some(rest) = Automaton::new(rules.clone(), &tails, false) else {
                continue;
            };
            for rule in rules {
                if let Some(rule) = self.rules.get_mut(rule) {
                    rule.beginning = Some(self.rests.len());
                }
            }
            self.rests.push(rest);
            beginnings.push(head);
        }
        if !beginnings.is_empty() {
            self.beginnings = Automaton::new(Vec::new(), &beginnings, true);
            self.is_incomplete |= self.beginnings.is_none();
        }
        let rest = |rule: &&usize| self.rules.get(**rule).is_some_and(|known| known.beginning.is_none());
        let (anchored, floating): (Vec<usize>, Vec<usize>) = served
            .iter()
            .filter(rest)
            .copied()
            .partition(|rule| self.rules.get(*rule).is_some_and(|known| is_anchored(&known.ere.tree)));
        self.anchored = self.whole(anchored);
        self.floating = self.whole(floating);
    }

    /// An automaton over whole rules.
    fn whole(&mut self, rules: Vec<usize>) -> Option<Automaton> {
        if rules.is_empty() {
            return None;
        }
        let print = |rule: &usize| self.rules.get(*rule).map(|known| pattern(known.ere.tree.items(), &self.alphabet));
        let patterns: Vec<Hir> = rules.iter().filter_map(print).collect();
        let built = Automaton::new(rules, &patterns, false);
        self.is_incomplete |= built.is_none();
        built
    }

    /// A rule that matches the line, one of perhaps several; counts its hit.
    pub fn any(&mut self, line: &[u8]) -> Option<usize> {
        self.counts.lines += 1;
        let alphabet = Arc::clone(&self.alphabet);
        let rewritten = alphabet.rewrite(line);
        let found = match self.quick(&rewritten) {
            Ok(found) => {
                found.or_else(|| self.try_candidates(line, &rewritten, WhichPattern::Careful).first().copied())
            }
            Err(GaveUp) => self.try_candidates(line, &rewritten, WhichPattern::First).first().copied(),
        };
        self.hit(found);
        found
    }

    /// Every rule that matches the line, by number; counts their hits. Costs 10 µs and more.
    pub fn all(&mut self, line: &[u8]) -> Vec<usize> {
        self.counts.lines += 1;
        let alphabet = Arc::clone(&self.alphabet);
        let rewritten = alphabet.rewrite(line);
        let found = self.try_candidates(line, &rewritten, WhichPattern::All);
        self.hit(found.iter().copied());
        found
    }

    fn hit(&mut self, found: impl IntoIterator<Item = usize>) {
        for rule in found {
            if let Some(rule) = self.rules.get_mut(rule) {
                rule.hits += 1;
            }
        }
    }

    /// How often each rule was found to match, by number.
    pub fn hits(&self) -> impl Iterator<Item = u64> {
        self.rules.iter().map(|rule| rule.hits)
    }

    /// What happened so far.
    pub const fn counts(&self) -> MatchCounts {
        self.counts
    }

    /// Bytes its automata and compiled rules take at the moment.
    pub fn memory(&self) -> usize {
        let automata = self.rests.iter().chain(&self.beginnings).chain(&self.anchored).chain(&self.floating);
        automata.map(|one| one.cache.memory_usage() + one.dfa.memory_usage()).sum::<usize>() + self.singles
    }

    /// Asks the automata.
    fn quick(&mut self, line: &[u8]) -> Result<Option<usize>, GaveUp> {
        if self.is_incomplete {
            return Err(GaveUp);
        }
        let found = self.ask(line);
        if found.is_err() && self.counts.lines >= self.refreshed + REST {
            self.refreshed = self.counts.lines;
            for one in
                self.rests.iter_mut().chain(&mut self.beginnings).chain(&mut self.anchored).chain(&mut self.floating)
            {
                one.cache.reset(&one.dfa);
            }
        }
        found
    }

    fn ask(&mut self, line: &[u8]) -> Result<Option<usize>, GaveUp> {
        if let Some(beginnings) = &mut self.beginnings {
            for (group, end) in beginnings.beginnings(line)? {
                if let Some(rest) = self.rests.get_mut(group)
                    && let Some(rule) = rest.find(line, end, Anchored::Yes)?
                {
                    return Ok(Some(rule));
                }
            }
        }
        for (automaton, anchored) in [(&mut self.anchored, Anchored::Yes), (&mut self.floating, Anchored::No)] {
            if let Some(automaton) = automaton
                && let Some(rule) = automaton.find(line, 0, anchored)?
            {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    /// Tries rules on their own whose text is in the line.
    fn try_candidates(&mut self, line: &[u8], rewritten: &[u8], which: WhichPattern) -> Vec<usize> {
        let sieve = if which == WhichPattern::Careful { &self.careful } else { &self.all };
        let mut candidates = sieve.pass(rewritten);
        if which != WhichPattern::Careful {
            self.counts.singly += 1;
            self.drop_without_beginning(rewritten, &mut candidates);
        }
        let mut found = Vec::new();
        for rule in candidates {
            if self.matches(rule, line, rewritten) {
                found.push(rule);
                if which != WhichPattern::All {
                    break;
                }
            }
        }
        found
    }

    /// Drops the rules whose common beginning the line does not have.
    fn drop_without_beginning(&mut self, line: &[u8], candidates: &mut Vec<usize>) {
        if let Some(beginnings) = &mut self.beginnings
            && let Ok(ends) = beginnings.beginnings(line)
        {
            let has = |group: usize| ends.iter().any(|(other, _)| *other == group);
            candidates.retain(|rule| self.rules.get(*rule).is_some_and(|known| known.beginning.is_none_or(has)));
        }
    }

    fn matches(&mut self, rule: usize, line: &[u8], rewritten: &[u8]) -> bool {
        if self.singles > SINGLES {
            self.singles = 0;
            self.rules.iter_mut().for_each(|rule| rule.single = None);
        }
        let Some(known) = self.rules.get_mut(rule) else {
            return false;
        };
        if known.single.is_none()
            && let Ok(single) = Single::new(&known.ere, &self.alphabet)
        {
            self.singles += single.memory();
            known.single = Some(Box::new(single));
        }
        match known.single.as_mut().map_or(MatchVerdict::NoMatch, |single| single.verdict(line, rewritten)) {
            MatchVerdict::Match => true,
            MatchVerdict::NoMatch => false,
            MatchVerdict::LimitReached => {
                self.counts.limits += 1;
                self.on_limit == OnLimit::Match
            }
        }
    }
}

/// Which rules are tried, and how many may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichPattern {
    /// Those no automaton decides, up to the first that matches.
    Careful,
    /// All, up to the first that matches.
    First,
    /// All.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::parser::parse;

    fn engine(rules: &[&str], locale: Locale, on_limit: OnLimit) -> Engine {
        let read = |rule: &&str| Arc::new(parse(rule.as_bytes(), locale).unwrap());
        let rules: Vec<Arc<Ere>> = rules.iter().map(read).collect();
        Engine::new(&rules, locale, on_limit)
    }

    #[test]
    fn a_line_finds_a_rule_and_all_its_rules_and_counts_them() {
        let rules = ["^a b", "b$", r"^(.)\1", "^[^x]*$", r"\bword\b"];
        let mut engine = engine(&rules, Locale::Utf8, OnLimit::NoMatch);
        assert_eq!(engine.any(b"xyz word"), Some(4));
        assert_eq!(engine.any(b"xyz swords"), None);
        assert_eq!(engine.any(b"xxz"), Some(2));
        assert_eq!(engine.all(b"a b"), [0, 1, 3]);
        assert_eq!(engine.all("éé word".as_bytes()), [2, 3, 4]);
        assert_eq!(engine.hits().collect::<Vec<_>>(), [1, 1, 2, 2, 2]);
        assert_eq!(engine.counts().lines, 5);
    }

    #[test]
    fn what_begins_alike_is_matched_after_its_beginning() {
        let rules: Vec<String> = (0..40)
            .map(|number| {
                format!(r"^(\w{{3}} [ :0-9]{{11}}|[0-9T:.+-]{{32}}) [._[:alnum:]-]+ d{number}\[[0-9]+\]: \<x")
            })
            .collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        for locale in [Locale::C, Locale::Utf8] {
            let mut engine = engine(&rules, locale, OnLimit::NoMatch);
            assert_eq!(
                engine.rests.len(),
                usize::from(locale == Locale::C),
                "word edges are decided with care under UTF-8"
            );
            assert_eq!(engine.any(b"Nov 21 14:02:11 h-1 d7[12]: xyz"), Some(7));
            assert_eq!(engine.any(b"2026-11-21T14:02:11.123456+01:00 h d39[1]: x"), Some(39));
            assert_eq!(engine.any(b"Nov 21 14:02:11 h d7[12]: yz"), None);
            assert_eq!(engine.any(b"Nov 21 14:02:11 h d40[12]: xyz"), None);
            assert_eq!(engine.any(b" Nov 21 14:02:11 h d4[12]: xyz"), None);
        }
    }

    #[test]
    fn many_ends_of_a_beginning_lead_to_the_same_answer() {
        let rules: Vec<String> = (0..20).map(|number| format!("^.* x{number}$")).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let mut engine = engine(&rules, Locale::C, OnLimit::NoMatch);
        assert_eq!(engine.rests.len(), 1);
        let line = [b"a ".repeat(500).as_slice(), b"x13"].concat();
        assert_eq!(engine.any(&line), Some(13));
        assert_eq!(engine.any(b"a x13"), Some(13));
        assert_eq!(engine.counts().singly, 1);
    }

    #[test]
    fn at_the_limit_a_raising_rule_matches_and_a_hiding_one_does_not() {
        let rule = [r"^(a*)(a*)(a*)(a*)(a*)(a*)\6\5\4\3c$"];
        let line = format!("{}b", "a".repeat(200));
        for (on_limit, expected) in [(OnLimit::Match, Some(0)), (OnLimit::NoMatch, None)] {
            let mut engine = engine(&rule, Locale::C, on_limit);
            // The text of the rule must be there for it to be tried.
            assert_eq!(engine.any(format!("{line}c!").as_bytes()), expected);
            assert_eq!(engine.counts().limits, 1);
        }
    }

    #[test]
    fn rules_with_endless_states_cost_bounded_memory_and_keep_their_answers() {
        // Each state of the automaton is a set of places where an `a` was: 2^40 of them.
        let rules: Vec<String> = (10..40).map(|gap| format!("a[ab]{{{gap}}}c")).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let mut engine = engine(&rules, Locale::C, OnLimit::NoMatch);
        let mut chance = 1_u32;
        for number in 0..30 {
            let mut line: Vec<u8> = (0..4000)
                .map(|_| {
                    chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if chance >> 31 == 0 { b'a' } else { b'b' }
                })
                .collect();
            line.extend_from_slice(if number % 2 == 0 {
                b"abbbbbbbbbbbbbc"
            } else {
                b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbc"
            });
            assert_eq!(engine.any(&line).is_some(), number % 2 == 0, "line {number}");
            assert!(engine.memory() < STATES + SINGLES, "{}", engine.memory());
        }
        assert!(engine.counts().singly > 0, "the automaton never gave up");
    }

    #[test]
    fn an_engine_without_rules_matches_nothing() {
        let mut engine = engine(&[], Locale::Utf8, OnLimit::Match);
        assert_eq!((engine.any(b"x"), engine.all("é".as_bytes()).len()), (None, 0));
    }
}
