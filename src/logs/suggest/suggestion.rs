//! Rules for given lines, each proved before it is given out: our own parser and engine must find all its lines with it, in both
//! locales, and no lint may speak against it. Pure.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::logs::{
    pattern::{
        ast::Locale,
        lint::{Lint, lints},
        matcher::{Engine, OnLimit},
        parser::parse,
        single::HEAVIEST_RULE,
    },
    rules::rule_set::LONGEST_RULE,
    suggest::template::LineTemplate,
};

/// Most kinds of lines with the same fixed text that a line is compared with.
const MOST_ALIKE: usize = 100;

/// A rule and the lines it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The rule.
    pub rule: Vec<u8>,
    /// Its lines, by their numbers, in ascending order.
    pub lines: Vec<usize>,
}

/// Why a rule is not good enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It is longer or heavier than rules may be.
    TooLong,
    /// It has an oddity; so has the line it is for.
    Odd(Lint),
    /// It is no pattern, or does not match its line.
    Misses,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "is too long for a rule (a rule has at most {LONGEST_RULE} bytes)"),
            Self::Odd(lint) => write!(f, "leaves no rule but one that {lint}"),
            Self::Misses => f.write_str("is matched by no rule that was tried"),
        }
    }
}

/// What came of some lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suggested {
    /// Rules in the order of their first lines.
    pub rules: Vec<Suggestion>,
    /// Lines for which there is none, by their numbers.
    pub refused: Vec<(usize, Flaw)>,
}

/// Few rules that know all `lines`, which have no newline. Costs about 1 ms for each kind of line.
pub fn suggest(lines: &[Vec<u8>]) -> Suggested {
    let mut done = Suggested::default();
    for AlikeLines { shape, lines: numbers } in kinds(lines) {
        let texts: Vec<&[u8]> = numbers.iter().filter_map(|number| lines.get(*number)).map(Vec::as_slice).collect();
        let rule = shape.rule();
        // A line that the rule of its kind misses, by a byte that no class has, does not spoil it for the others.
        let is_known = check(&rule, &texts).unwrap_or_else(|_flaw| vec![false; texts.len()]);
        for ((number, text), is_known) in numbers.into_iter().zip(texts).zip(is_known) {
            if is_known {
                done.add(&rule, number);
                continue;
            }
            match alone(text) {
                Ok(rule) => done.add(&rule, number),
                Err(flaw) => done.refused.push((number, flaw)),
            }
        }
    }
    done.rules.iter_mut().for_each(|one| one.lines.sort_unstable());
    done.rules.sort_by(|one, other| one.lines.cmp(&other.lines));
    done.refused.sort_by_key(|(number, _)| *number);
    done
}

impl Suggested {
    fn add(&mut self, rule: &[u8], line: usize) {
        match self.rules.iter_mut().rev().find(|other| other.rule == rule) {
            Some(same) => same.lines.push(line),
            None => self.rules.push(Suggestion { rule: rule.to_vec(), lines: vec![line] }),
        }
    }
}

/// Lines of one kind.
struct AlikeLines {
    shape: LineTemplate,
    lines: Vec<usize>,
}

fn kinds(lines: &[Vec<u8>]) -> Vec<AlikeLines> {
    let mut found: Vec<AlikeLines> = Vec::new();
    let mut by_key: HashMap<Vec<Option<Vec<u8>>>, Vec<usize>> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        let shape = LineTemplate::of(line);
        let key = shape.key().into_iter().map(|text| text.map(<[u8]>::to_vec)).collect();
        let candidates = by_key.entry(key).or_default();
        let merged = candidates.iter().take(MOST_ALIKE).find_map(|at| {
            let kind = found.get(*at)?;
            let merged = kind.shape.merged(&shape)?;
            (merged == kind.shape || prove(&merged.rule(), &[line]).is_ok()).then_some((*at, merged))
        });
        if let Some((at, shape)) = merged
            && let Some(kind) = found.get_mut(at)
        {
            kind.shape = shape;
            kind.lines.push(number);
        } else {
            candidates.push(found.len());
            found.push(AlikeLines { shape, lines: vec![number] });
        }
    }
    found
}

/// A rule for one line: with classes, else with its very words.
fn alone(line: &[u8]) -> Result<Vec<u8>, Flaw> {
    let rule = LineTemplate::of(line).rule();
    if prove(&rule, &[line]).is_ok() {
        return Ok(rule);
    }
    let rule = LineTemplate::verbatim(line).rule();
    prove(&rule, &[line]).map(|()| rule)
}

/// Whether a rule matches all `lines` in the C locale and under UTF-8, is not broad, and no lint speaks against it.
///
/// # Errors
/// With what is wrong with it.
pub fn prove(rule: &[u8], lines: &[&[u8]]) -> Result<(), Flaw> {
    if check(rule, lines)?.into_iter().all(|is_known| is_known) { Ok(()) } else { Err(Flaw::Misses) }
}

/// Which of `lines` a rule matches in both locales, unless something is wrong with the rule itself.
fn check(rule: &[u8], lines: &[&[u8]]) -> Result<Vec<bool>, Flaw> {
    if rule.len() > LONGEST_RULE {
        return Err(Flaw::TooLong);
    }
    let mut known = vec![true; lines.len()];
    for locale in [Locale::C, Locale::Utf8] {
        let ere = parse(rule, locale).or(Err(Flaw::Misses))?;
        if ere.tree.weight() > HEAVIEST_RULE {
            return Err(Flaw::TooLong);
        }
        if let Some(lint) = lints(rule, &ere, locale).into_iter().next() {
            return Err(Flaw::Odd(lint));
        }
        let mut engine = Engine::new([&Arc::new(ere)], locale, OnLimit::NoMatch);
        for (line, is_known) in lines.iter().zip(&mut known) {
            *is_known = *is_known && engine.any(line).is_some();
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&[u8]]) -> Suggested {
        suggest(&lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>())
    }

    fn texts(done: &Suggested) -> Vec<String> {
        done.rules.iter().map(|one| String::from_utf8_lossy(&one.rule).into_owned()).collect()
    }

    #[test]
    fn lines_of_one_kind_get_one_rule_and_every_line_has_one() {
        let done = of(&[
            b"Nov 21 14:02:11 h sshd[1]: Invalid user bob from 203.0.113.7 port 22",
            b"Nov 21 14:02:12 h sshd[1]: Connection closed",
            b"2026-11-21T14:02:13Z h sshd[77]: Invalid user al from 2001:db8::7 port 4022",
        ]);
        let head = r"^(\w{3} [ :[:digit:]]{11}|[0-9T:.+Z-]{20,35}) [._[:alnum:]-]+ sshd\[[[:digit:]]+\]: ";
        assert_eq!(
            texts(&done),
            [
                format!("{head}Invalid user [._[:alnum:]-]+ from [[:xdigit:].:]{{2,45}} port [[:digit:]]+$"),
                format!("{head}Connection closed$"),
            ]
        );
        assert_eq!(done.rules.iter().map(|one| one.lines.clone()).collect::<Vec<_>>(), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn what_would_become_broad_stays_as_it_stands() {
        // Together they would know any three words with a number in between.
        let done = of(&[b"qzxj 7 vkwa", b"qzxj 7 vkwb"]);
        assert_eq!(texts(&done), ["^qzxj [[:digit:]]+ vkwa$", "^qzxj [[:digit:]]+ vkwb$"]);
        let refused = of(&[b"", b"qzxj 7 vkwq"]).refused;
        assert_eq!(refused, [(0, Flaw::Odd(Lint::MatchesEmpty)), (1, Flaw::Odd(Lint::MatchesNonsense))]);
    }

    #[test]
    fn bytes_that_are_no_character_are_spelt_out() {
        assert_eq!(of(&[b"bad '\xff' 12", b"bad '\xfe' 12"]).rules.len(), 2);
        // One such line does not keep the others apart.
        let done = of(&[b"it is at b c", b"it is at \xff c", b"it is at d c", b"it is at e;f c", b"it is at e;g c"]);
        assert_eq!(
            done.rules.iter().map(|one| one.lines.clone()).collect::<Vec<_>>(),
            [vec![0, 2], vec![1], vec![3, 4]]
        );
        assert_eq!(of(&[b"x y".repeat(14_000).as_slice()]).refused, [(0, Flaw::TooLong)]);
    }

    /// Lines an attacker would write: operators of patterns, quotes, stamps, bytes of no character.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(br#"\^$.[]*+?{}()|'"`-:/@ 0a~#"#.to_vec()).prop_map(|byte| vec![byte]),
            2 => any::<u8>().prop_map(|byte| vec![byte]),
            1 => any::<char>().prop_map(|letter| letter.to_string().into_bytes()),
            2 => prop::sample::select(vec![
                "Nov 21 14:02:11 h p[1]: ", "Nov 21 14:02:11", "2026-11-21T14:02:11Z ", "'a b'", "203.0.113.7", "fe80::1", "[[:alpha:]]",
                "a@b.example", "/etc/x", "\\'", "\\1", "{32}", "0x1f", "123e4567-e89b-12d3-a456-426614174000", "[.x.]", "\\d",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..14).prop_map(|pieces| {
            let mut line = pieces.concat();
            line.retain(|byte| *byte != b'\n');
            line
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn any_line_has_a_rule_that_knows_it_and_nothing_from_it_is_an_operator(lines in prop::collection::vec(hostile(), 1..4)) {
            let done = suggest(&lines);
            for (number, flaw) in &done.refused {
                prop_assert!(lines[*number].is_empty(), "{flaw}: {:?}", lines[*number].escape_ascii().to_string());
            }
            let mut told: Vec<usize> = done.refused.iter().map(|(number, _)| *number).collect();
            for Suggestion { rule, lines: numbers } in &done.rules {
                let known: Vec<&[u8]> = numbers.iter().map(|number| lines[*number].as_slice()).collect();
                prop_assert_eq!(prove(rule, &known), Ok(()));
                prop_assert!(!rule.contains(&b'\n') && !rule.iter().any(u8::is_ascii_control));
                told.extend(numbers);
            }
            told.sort_unstable();
            prop_assert_eq!(told, (0..lines.len()).collect::<Vec<_>>());
        }

        #[test]
        fn a_line_with_another_operator_is_another_line(front in "[a-z]{3} [a-z]{3}", operator in prop::sample::select(br"\^$.[]*+?{}()|".to_vec()), back in "[a-z]?") {
            let line = [front.as_bytes(), &[operator], back.as_bytes()].concat();
            let done = suggest(std::slice::from_ref(&line));
            for other in [[front.as_bytes(), back.as_bytes()].concat(), [front.as_bytes(), b"~", back.as_bytes()].concat()] {
                prop_assert_eq!(prove(&done.rules[0].rule, &[other.as_slice()]), Err(Flaw::Misses));
            }
        }
    }
}
