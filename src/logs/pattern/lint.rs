//! What is odd about a rule that grep would take without a word.

use std::{collections::HashMap, fmt};

use crate::logs::pattern::{
    ast::{Edge, Locale, Node},
    backtrack::{MatchVerdict, Program},
    char_class::ClassName,
    parser::Ere,
    prefilter::longest,
};

/// Lines no rule should know. Two, so that a rule for the odd words of one is not blamed.
const NONSENSE: [&[u8]; 2] = [b"qzxj 7 vkwq", b"~Hrpf zzgk: 31 w"];

/// The stamps that logs begin with today.
const MODERN: [&[u8]; 3] = [b"2026-11-21T14:02:11.123456+01:00", b"2026-11-21T14:02:11+01:00", b"2026-11-21T14:02:11Z"];

/// The stamp they began with.
const LEGACY: &[u8] = b"Nov 21 14:02:11";

/// An oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lint {
    /// It matches the empty line, so every line.
    MatchesEmpty,
    /// It matches a line of nonsense.
    MatchesNonsense,
    /// It may match anywhere in a line, so anyone who can put text into a log line can trigger it.
    Unanchored,
    /// It ends with blanks, which must then be in the line.
    TrailingBlank,
    /// It ends with a carriage return, which no line ends with.
    CarriageReturn,
    /// A backslash does nothing to this letter.
    StrayEscape(char),
    /// It begins with blanks and a `#`: a rule, no comment.
    IndentedHash,
    /// It knows the legacy time stamp only.
    LegacyStampOnly,
}

impl Lint {
    /// All of them, with the letter that is most often escaped in vain.
    pub const ALL: [Self; 8] = [
        Self::MatchesEmpty,
        Self::MatchesNonsense,
        Self::Unanchored,
        Self::TrailingBlank,
        Self::CarriageReturn,
        Self::StrayEscape('d'),
        Self::IndentedHash,
        Self::LegacyStampOnly,
    ];

    /// Whether the rule matches what it cannot be meant for: in an ignore layer it would hide everything.
    pub const fn is_broad(self) -> bool {
        matches!(self, Self::MatchesEmpty | Self::MatchesNonsense)
    }

    /// What to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::MatchesEmpty | Self::MatchesNonsense => "say what the line begins with, from ^ on",
            Self::Unanchored => "begin with ^ and the time stamp",
            Self::TrailingBlank => "remove them, or write [ ] when they are meant",
            Self::CarriageReturn => "save the file with Unix line ends",
            Self::StrayEscape(_) => "write [[:digit:]], [[:space:]] or the letter alone",
            Self::IndentedHash => "put the # into the first column",
            Self::LegacyStampOnly => r"begin with ^(\w{3} [ :[:digit:]]{11}|[0-9T:.+-]{32})",
        }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MatchesEmpty => "matches the empty line, so every line",
            Self::MatchesNonsense => "matches a line of nonsense",
            Self::Unanchored => "does not begin with ^, so it matches anywhere in a line",
            Self::TrailingBlank => "ends with blanks, which must then be in the line",
            Self::CarriageReturn => "ends with a carriage return, which no line has",
            Self::StrayEscape(letter) => return write!(f, "\\{letter} is a plain {letter} here"),
            Self::IndentedHash => "begins with blanks before #: this is a rule, no comment",
            Self::LegacyStampOnly => "knows the legacy time stamp only, not 2026-11-21T14:02:11.123456+01:00",
        })
    }
}

/// Everything odd about one rule, `text` as it stands in its file.
pub fn lints(text: &[u8], rule: &Ere, locale: Locale) -> Vec<Lint> {
    let mut found = broad(rule, locale).into_iter().collect::<Vec<_>>();
    if !is_anchored(&rule.tree) {
        found.push(Lint::Unanchored);
    }
    if text.last() == Some(&b'\r') {
        found.push(Lint::CarriageReturn);
    }
    if text.last().is_some_and(|byte| *byte == b' ' || *byte == b'\t') {
        found.push(Lint::TrailingBlank);
    }
    let letter = |at: &usize| text.get(at + 1).map(|byte| Lint::StrayEscape(char::from(*byte)));
    found.extend(rule.stray.iter().filter_map(letter));
    let unindented = text.trim_ascii_start();
    if unindented.len() < text.len() && unindented.first() == Some(&b'#') {
        found.push(Lint::IndentedHash);
    }
    if knows_legacy_only(rule, locale) {
        found.push(Lint::LegacyStampOnly);
    }
    found
}

/// Whether a rule is too broad to hide lines by.
pub fn broad(rule: &Ere, locale: Locale) -> Option<Lint> {
    // Most rules ask for a text that is in none of the lines, which spares them the trial.
    let needed = longest(&rule.tree);
    let may_match = |line: &[u8]| needed.is_empty() || line.windows(needed.len()).any(|part| part == needed);
    let matches = |line: &[u8]| may_match(line) && matches(&rule.tree, rule.groups, locale, line);
    if matches(b"") {
        Some(Lint::MatchesEmpty)
    } else {
        NONSENSE.iter().any(|line| matches(line)).then_some(Lint::MatchesNonsense)
    }
}

/// Each rule of `texts` that stands there earlier too, with the number of the earlier one.
pub fn duplicates<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Vec<(usize, usize)> {
    let mut first: HashMap<&[u8], usize> = HashMap::new();
    let mut found = Vec::new();
    for (number, text) in texts.into_iter().enumerate() {
        let earlier = *first.entry(text).or_insert(number);
        if earlier != number {
            found.push((number, earlier));
        }
    }
    found
}

/// Whether every match begins at the start of the line.
pub fn is_anchored(tree: &Node) -> bool {
    match tree {
        Node::Edge(Edge::Start) => true,
        Node::Concat(nodes) => nodes.first().is_some_and(is_anchored),
        Node::Alternate(nodes) => nodes.iter().all(is_anchored),
        Node::Group(node, _) => is_anchored(node),
        Node::Repeat { node, min, .. } => *min > 0 && is_anchored(node),
        _ => false,
    }
}

/// Whether what stands before one of its first blanks is the legacy stamp and no modern one.
fn knows_legacy_only(rule: &Ere, locale: Locale) -> bool {
    let items = rule.tree.items();
    if !is_anchored(&rule.tree) || items.len() < 3 {
        return false;
    }
    let mut knows_legacy = false;
    for cut in 2..items.len().min(20) {
        let is_before_blank = items.get(cut).is_some_and(can_begin_with_blank);
        let Some(prefix) = items.get(..cut).filter(|_| is_before_blank) else {
            continue;
        };
        let mut nodes = prefix.to_vec();
        nodes.push(Node::Edge(Edge::End));
        let prefix = Node::Concat(nodes);
        let knows = |stamp: &[u8]| matches(&prefix, rule.groups, locale, stamp);
        if MODERN.iter().any(|stamp| knows(stamp)) {
            return false;
        }
        knows_legacy |= knows(LEGACY);
    }
    knows_legacy
}

fn can_begin_with_blank(node: &Node) -> bool {
    match node {
        Node::Literal(unit) => *unit == crate::logs::pattern::ast::PatternUnit::Char(' '),
        Node::Class(class) => class.has_byte(b' ') || class.names.contains(&ClassName::Space),
        Node::Any => true,
        Node::Group(node, _) | Node::Repeat { node, .. } => can_begin_with_blank(node),
        Node::Concat(nodes) => nodes.first().is_some_and(can_begin_with_blank),
        Node::Alternate(nodes) => nodes.iter().any(can_begin_with_blank),
        _ => false,
    }
}

fn matches(tree: &Node, groups: usize, locale: Locale, line: &[u8]) -> bool {
    Program::new(tree, groups, locale).is_some_and(|program| program.verdict(line) == MatchVerdict::Match)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::parser::parse;

    fn of(text: &str) -> Vec<Lint> {
        lints(text.as_bytes(), &parse(text.as_bytes(), Locale::Utf8).unwrap(), Locale::Utf8)
    }

    #[test]
    fn a_sound_rule_has_none() {
        let rule = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+-]{32}) [._[:alnum:]-]+ sshd\[[0-9]+\]: Bye$";
        assert_eq!(of(rule), []);
    }

    #[test]
    fn each_oddity_is_found() {
        for (text, expected) in [
            ("^x*", Lint::MatchesEmpty),
            ("^a|", Lint::MatchesEmpty),
            ("^.+$", Lint::MatchesNonsense),
            ("^[[:graph:] ]+$", Lint::MatchesNonsense),
            ("panic", Lint::Unanchored),
            ("^a|b", Lint::Unanchored),
            ("^panic ", Lint::TrailingBlank),
            ("^panic\r", Lint::CarriageReturn),
            (r"^port \d+", Lint::StrayEscape('d')),
            (" # a comment", Lint::IndentedHash),
            (r"^\w{3} [ :0-9]{11} [._[:alnum:]-]+ cron: x$", Lint::LegacyStampOnly),
            (r"^[[:alpha:]]{3} [ :[:digit:]]{11} host cron: x$", Lint::LegacyStampOnly),
            (r"^... .. ..:..:.. host cron: x$", Lint::LegacyStampOnly),
        ] {
            let found = of(text);
            assert!(found.contains(&expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_rule_for_any_stamp_is_not_taken_for_legacy() {
        for text in [r"^\w{3} [ :0-9]{11}|^[0-9T:.+-]{32} x", r"^[^ ]+ .*cron: x$", "^cron: x$"] {
            assert!(!of(text).contains(&Lint::LegacyStampOnly), "{text}");
        }
    }

    #[test]
    fn a_rule_that_stands_twice_is_told_with_the_first() {
        let texts: [&[u8]; 4] = [b"a", b"b", b"a", b"a"];
        assert_eq!(duplicates(texts), [(2, 0), (3, 0)]);
    }
}
