//! What rules begin with in common: nearly every rule begins with the same time stamp and host.
//!
//! An automaton over 1,500 whole rules carries all of them through those first 45 bytes, and for each byte a state of thousands
//! of positions is made. So rules that begin alike are put together: their beginning is matched once, and an automaton over the
//! rest starts where it ends. That makes the states few and small.

use std::collections::HashMap;

use crate::logs::pattern::ast::{Edge, Node, PatternUnit};

/// Fewest rules that are put together, and most beginnings.
const FEWEST: usize = 12;
const MOST: usize = 8;

/// Longest beginning, in items.
const LONGEST: usize = 24;

/// Rules that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) struct AlikePatterns {
    /// The rules, by number.
    pub(in crate::logs) rules: Vec<usize>,
    /// Items of the beginning.
    pub(super) items: usize,
}

/// Puts together what begins alike up to a blank; `trees` has the rules by number.
pub(in crate::logs) fn group(trees: &[(usize, &Node)]) -> Vec<AlikePatterns> {
    let mut groups = Vec::new();
    let mut left = trees.to_vec();
    while groups.len() < MOST {
        let mut found: HashMap<&[Node], usize> = HashMap::new();
        for (_, tree) in &left {
            for beginning in beginnings(tree) {
                *found.entry(beginning).or_default() += 1;
            }
        }
        // Of those that save as much the longest, of those the one that would be read first, so that runs are alike.
        let gain = |(items, count): &(&[Node], usize)| count * items.len();
        let candidates = found.into_iter().filter(|(_, count)| *count >= FEWEST);
        let Some((beginning, _)) = candidates.max_by_key(|best| (gain(best), best.0.len())) else {
            break;
        };
        let (alike, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, tree)| tree.items().get(..beginning.len()) == Some(beginning));
        left = others;
        groups.push(AlikePatterns { rules: alike.into_iter().map(|(rule, _)| rule).collect(), items: beginning.len() });
    }
    groups
}

/// The beginnings of an anchored rule that end with a blank.
fn beginnings(tree: &Node) -> impl Iterator<Item = &[Node]> {
    let items = tree.items();
    let is_anchored = items.first() == Some(&Node::Edge(Edge::Start));
    let blank = Node::Literal(PatternUnit::Char(' '));
    let most = if is_anchored { items.len().min(LONGEST) } else { 0 };
    (1..most).filter(move |at| items.get(*at) == Some(&blank)).filter_map(|at| items.get(..=at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::pattern::{ast::Locale, parser::parse};

    #[test]
    fn what_begins_alike_is_put_together_and_the_rest_is_left() {
        let rules: Vec<String> = (0..30)
            .map(|number| match number % 3 {
                0 => format!("^[a-z]+ host cron{number}$"),
                1 => format!("^[0-9]+ host x{number}$"),
                _ => format!("y{number} z"),
            })
            .chain((0..20).map(|number| format!("^[0-9]+ host w{number}$")))
            .collect();
        let trees: Vec<Node> = rules.iter().map(|rule| parse(rule.as_bytes(), Locale::Utf8).unwrap().tree).collect();
        let numbered: Vec<(usize, &Node)> = trees.iter().enumerate().collect();
        let groups = group(&numbered);
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].rules.len(), groups[0].items), (30, 8));
        assert_eq!(groups, group(&numbered));
    }
}
