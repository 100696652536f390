//! Reads a rule in the dialect of GNU `grep -E` and gives its tree.
//!
//! The dialect is what grep does, not what a manual says: its own parser (`dfa.c`) decides what a repetition repeats, the C
//! library (`regcomp.c`, which grep asks about every pattern) decides what is an error. Where the two read a pattern
//! differently, grep obeys the C library for patterns it cannot turn into its own automaton: those with a back-reference,
//! and under UTF-8 also those with a word edge or a bracket expression that is more than a few ASCII characters. There a
//! repetition after an anchor repeats nothing.
//!
//! Not copied: `^$x$` matches the line `x` in grep 3.8, which looks for the text alone where all else are anchors.

use thiserror::Error;

use crate::logs::pattern::{
    ast::{Class, Edge, Locale, Node, PatternProblem, unit},
    bracket,
    char_class::ClassName,
    interval::{self, Interval},
};

/// Deepest nesting of groups and repetitions in a rule, so that no rule exhausts the stack.
const DEEPEST: usize = 60;

/// What is wrong with a pattern, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{problem} at byte {at}")]
pub struct EreError {
    /// Offset in bytes.
    pub at: usize,
    /// What is wrong.
    pub problem: PatternProblem,
}

/// A pattern that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ere {
    /// Its tree.
    pub tree: Node,
    /// Number of its groups.
    pub groups: usize,
    /// Offsets of backslashes before letters and digits they do nothing to, as in `\d`.
    pub stray: Vec<usize>,
}

/// Reads `pattern`, one line of a rule file without its newline.
///
/// # Errors
/// With the first thing that grep refuses.
pub fn parse(pattern: &[u8], locale: Locale) -> Result<Ere, EreError> {
    let first = Parser::run(pattern, locale, false)?;
    if first.repeats_edge && first.asks_library {
        return Ok(Parser::run(pattern, locale, true)?.done);
    }
    Ok(first.done)
}

/// A pattern that was read, and whether it must be read again.
struct PatternReader {
    done: Ere,
    /// Whether an anchor is repeated.
    repeats_edge: bool,
    /// Whether grep leaves the decision to the C library.
    asks_library: bool,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    locale: Locale,
    /// Whether a repetition after an anchor is passed over.
    as_library: bool,
    repeats_edge: bool,
    asks_library: bool,
    depth: usize,
    groups: usize,
    library: Library,
    /// The groups that may be referred to, bit N for group N.
    closed: u16,
    stray: Vec<usize>,
}

/// Where the C library would be with the same pattern, as far as its errors need it.
struct Library {
    /// Whether nothing stands before that it would repeat.
    is_at_start: bool,
    /// Whether it still waits for something to repeat: it takes a `)` that follows for itself.
    waits: bool,
    /// Groups it holds for open, for that reason.
    held_open: usize,
}

impl<'a> Parser<'a> {
    fn run(text: &'a [u8], locale: Locale, as_library: bool) -> Result<PatternReader, EreError> {
        let mut parser = Self {
            text,
            at: 0,
            locale,
            as_library,
            repeats_edge: false,
            asks_library: false,
            depth: 0,
            groups: 0,
            library: Library { is_at_start: true, waits: false, held_open: 0 },
            closed: 0,
            stray: Vec::new(),
        };
        let tree = parser.alternatives(true)?;
        if parser.library.held_open > 0 {
            return Err(parser.error(text.len(), PatternProblem::Group));
        }
        let done = Ere { tree, groups: parser.groups, stray: parser.stray };
        Ok(PatternReader { done, repeats_edge: parser.repeats_edge, asks_library: parser.asks_library })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, at: usize, problem: PatternProblem) -> EreError {
        EreError { at: at.min(self.text.len()), problem }
    }

    /// Branches up to the end of the pattern or, within a group, up to its `)`.
    fn alternatives(&mut self, is_outermost: bool) -> Result<Node, EreError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(self.at, PatternProblem::TooDeep));
        }
        let before = self.closed;
        let mut closed = before;
        let mut branches = Vec::new();
        loop {
            // A branch knows no group of its neighbours (peculiar to the C library).
            self.closed = before;
            (self.library.is_at_start, self.library.waits) = (true, false);
            branches.push(self.branch(is_outermost)?);
            closed |= self.closed;
            if self.peek() != Some(b'|') {
                break;
            }
            self.at += 1;
        }
        self.closed = closed;
        self.depth -= 1;
        Ok(one_or(branches, Node::Alternate))
    }

    fn branch(&mut self, is_outermost: bool) -> Result<Node, EreError> {
        let mut pieces = Vec::new();
        while let Some(byte) = self.peek() {
            if byte == b'|' || (byte == b')' && !is_outermost) {
                break;
            }
            if byte == b')' {
                self.library.held_open = self.library.held_open.saturating_sub(1);
            }
            pieces.push(self.piece()?);
        }
        if pieces.is_empty() {
            return Ok(Node::Empty);
        }
        pieces.shrink_to_fit();
        Ok(one_or(pieces, Node::Concat))
    }

    /// One atom with all its repetitions.
    fn piece(&mut self) -> Result<Node, EreError> {
        let repeats_nothing = matches!(self.peek(), Some(b'*' | b'+' | b'?'))
            || (self.peek() == Some(b'{') && self.interval(false)?.is_some());
        let is_brace = self.library.is_at_start && self.peek() == Some(b'{');
        let mut node = if repeats_nothing { Node::Empty } else { self.atom()? };
        let mut is_loose = repeats_nothing || is_brace || matches!(node, Node::Edge(_));
        self.library.waits = is_brace && !repeats_nothing;
        self.library.is_at_start = is_loose;
        let mut stacked = 0;
        loop {
            let is_edge = matches!(node, Node::Edge(_));
            let is_something = !is_edge && !matches!(node, Node::Empty);
            let from = self.at;
            let Some((min, max)) = self.times(is_something)? else {
                return Ok(node);
            };
            // Of an interval it takes the brace only; the rest is text, which can be repeated.
            is_loose &= self.text.get(from) != Some(&b'{');
            self.library.waits = is_loose;
            if is_edge {
                self.repeats_edge = true;
                if self.as_library {
                    continue;
                }
            }
            stacked += 1;
            if stacked + self.depth > DEEPEST {
                return Err(self.error(from, PatternProblem::TooDeep));
            }
            node = Node::Repeat { node: Box::new(node), min, max };
        }
    }

    /// The repetition that stands here, if one does; passes over it.
    fn times(&mut self, is_something: bool) -> Result<Option<(u16, Option<u16>)>, EreError> {
        let times = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                let Some(interval) = self.interval(is_something)? else {
                    return Ok(None);
                };
                self.at += interval.length;
                return Ok(Some((interval.min, interval.max)));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(times))
    }

    fn interval(&self, is_something: bool) -> Result<Option<Interval>, EreError> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        interval::read(rest, is_something).map_err(|problem| self.error(self.at, problem))
    }

    fn atom(&mut self) -> Result<Node, EreError> {
        let from = self.at;
        let Some(byte) = self.peek() else { return Ok(Node::Empty) };
        match byte {
            b'(' => self.group(),
            b'[' => {
                let read = bracket::read(self.text, self.at, self.locale);
                let bracket = read.map_err(|problem| self.error(from, problem))?;
                self.at = bracket.end;
                self.asks_library |= self.locale == Locale::Utf8 && bracket.asks_library;
                Ok(Node::Class(Box::new(bracket.class)))
            }
            b'.' => Ok(self.passed(Node::Any)),
            b'^' => Ok(self.passed(Node::Edge(Edge::Start))),
            b'$' => Ok(self.passed(Node::Edge(Edge::End))),
            b'\\' => self.escape(),
            _ => {
                let (unit, length) = unit(self.text.get(from..).unwrap_or_default(), self.locale);
                self.at += length;
                Ok(Node::Literal(unit))
            }
        }
    }

    fn passed(&mut self, node: Node) -> Node {
        self.at += 1;
        node
    }

    fn group(&mut self) -> Result<Node, EreError> {
        let from = self.at;
        self.at += 1;
        self.groups += 1;
        let number = self.groups;
        let inner = self.alternatives(false)?;
        if self.peek() != Some(b')') {
            return Err(self.error(from, PatternProblem::Group));
        }
        self.at += 1;
        self.library.held_open += usize::from(self.library.waits);
        (self.library.is_at_start, self.library.waits) = (false, false);
        if number <= 9 {
            self.closed |= 1 << number;
        }
        Ok(Node::Group(Box::new(inner), number))
    }

    fn escape(&mut self) -> Result<Node, EreError> {
        let from = self.at;
        self.at += 1;
        let Some(byte) = self.peek() else {
            return Err(self.error(from, PatternProblem::Backslash));
        };
        let edge = match byte {
            b'`' => Some(Edge::Start),
            b'\'' => Some(Edge::End),
            b'b' => Some(Edge::Word),
            b'B' => Some(Edge::NotWord),
            b'<' => Some(Edge::WordStart),
            b'>' => Some(Edge::WordEnd),
            _ => None,
        };
        if let Some(edge) = edge {
            self.asks_library |= self.locale == Locale::Utf8 && edge.is_of_word();
            return Ok(self.passed(Node::Edge(edge)));
        }
        match byte {
            b'w' | b'W' | b's' | b'S' => {
                let mut class = Class::default();
                class.is_negated = byte.is_ascii_uppercase();
                if byte.eq_ignore_ascii_case(&b'w') {
                    class.add_name(ClassName::Alnum);
                    class.add_byte(b'_');
                } else {
                    class.add_name(ClassName::Space);
                }
                // Written out as a bracket expression by grep itself.
                self.asks_library |= self.locale == Locale::Utf8;
                Ok(self.passed(Node::Class(Box::new(class))))
            }
            b'1'..=b'9' => {
                let number = usize::from(byte - b'0');
                if self.closed & (1 << number) == 0 {
                    return Err(self.error(from, PatternProblem::Backref));
                }
                self.asks_library = true;
                Ok(self.passed(Node::Backref(number)))
            }
            _ => {
                let (unit, length) = unit(self.text.get(self.at..).unwrap_or_default(), self.locale);
                if byte.is_ascii_alphanumeric() {
                    self.stray.push(from);
                }
                self.at += length;
                Ok(Node::Literal(unit))
            }
        }
    }
}

/// The only one of `nodes`, or all of them joined.
fn one_or(mut nodes: Vec<Node>, join: impl Fn(Vec<Node>) -> Node) -> Node {
    match (nodes.pop(), nodes.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            nodes.push(last);
            join(nodes)
        }
        (None, _) => Node::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::ast::PatternUnit;

    fn tree(rule: &str) -> Node {
        parse(rule.as_bytes(), Locale::Utf8).unwrap().tree
    }

    fn problem(rule: &str) -> PatternProblem {
        parse(rule.as_bytes(), Locale::Utf8).unwrap_err().problem
    }

    fn a() -> Node {
        Node::Literal(PatternUnit::Char('a'))
    }

    fn times(node: Node, min: u16, max: Option<u16>) -> Node {
        Node::Repeat { node: Box::new(node), min, max }
    }

    #[test]
    fn repetitions_stack_and_are_never_lazy() {
        assert_eq!(tree("a+?"), times(times(a(), 1, None), 0, Some(1)));
        assert_eq!(tree("a{2}{3}"), times(times(a(), 2, Some(2)), 3, Some(3)));
    }

    #[test]
    fn a_repetition_of_nothing_repeats_the_empty_string() {
        assert_eq!(tree("*a"), Node::Concat(vec![times(Node::Empty, 0, None), a()]));
        assert_eq!(tree("^*"), times(Node::Edge(Edge::Start), 0, None));
    }

    #[test]
    fn a_repeated_anchor_is_passed_over_where_grep_asks_the_library() {
        assert_eq!(tree("^*[b-c]"), tree("^[b-c]"));
        assert_ne!(tree("^*b"), tree("^b"));
    }

    #[test]
    fn what_closes_nothing_stands_for_itself() {
        for rule in ["a)", "a}", "a]", "a{", "a{x}", "{a"] {
            assert!(tree(rule).items().iter().all(|node| matches!(node, Node::Literal(_))), "{rule}");
        }
    }

    #[test]
    fn each_error_of_grep_is_one_here() {
        for (rule, expected) in [
            ("(a", PatternProblem::Group),
            ("(*)", PatternProblem::Group),
            ("[a", PatternProblem::Bracket),
            ("[]", PatternProblem::Bracket),
            ("a\\", PatternProblem::Backslash),
            ("(a)\\2", PatternProblem::Backref),
            ("(a)|\\1", PatternProblem::Backref),
            ("(a\\1)", PatternProblem::Backref),
            ("a{2,1}", PatternProblem::Interval),
            ("a{32768}", PatternProblem::TooMany),
            ("[z-a]", PatternProblem::Range),
            ("[a-c-e]", PatternProblem::Range),
            ("[[:foo:]]", PatternProblem::ClassName),
            ("[:alpha:]", PatternProblem::ClassSyntax),
            ("[[.ab.]]", PatternProblem::Collation),
            ("[ä-ö]", PatternProblem::Collation),
        ] {
            assert_eq!(problem(rule), expected, "{rule}");
        }
    }

    #[test]
    fn an_error_tells_its_place() {
        let error = parse(b"ab(c", Locale::C).unwrap_err();
        assert_eq!(error.to_string(), "unmatched ( at byte 2");
    }

    #[test]
    fn a_backslash_before_a_letter_it_does_nothing_to_is_noted() {
        let read = parse(br"\d\.\/x\t\w", Locale::C).unwrap();
        assert_eq!(read.stray, [0, 7]);
        assert_eq!(read.tree.items().first(), Some(&Node::Literal(PatternUnit::Char('d'))));
    }

    #[test]
    fn a_character_beyond_ascii_is_one_only_under_utf_8() {
        assert_eq!(parse("é".as_bytes(), Locale::C).unwrap().tree.items().len(), 2);
        assert_eq!(tree("é"), Node::Literal(PatternUnit::Char('é')));
    }
}
