//! The layers of logcheck(8): which section a line belongs to, decided from the rules it matches. Pure.
//!
//! Rule files of a raising layer (`cracking.d`, `violations.d`) each look at all lines, so that one line may stand under two of
//! them. What an ignore file hides depends on its name: `sshd` and `logcheck-sshd` hide for `sshd`, `local` and `local-*` for all,
//! and for the file `logcheck` every ignore file does. A line that is raised and hidden again is nobody's system event.

use crate::logs::rules::rule_set::{Layer, RuleSet};

/// How the layers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semantics {
    /// `true` for the layers of logcheck; `false` for the daemon of 2012, where any ignore rule hides whatever its layer raises.
    pub has_layers: bool,
    /// Whether `cracking.ignore.d` hides anything.
    pub has_cracking_ignore: bool,
}

/// The rules one line matches, by their numbers in [`RuleSet::rules`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineMatches {
    /// Rules of `cracking.d` and `violations.d`, in ascending order.
    pub raised: Vec<usize>,
    /// Rules of `cracking.ignore.d` and `violations.ignore.d`, in ascending order; only of a line that is raised.
    pub hidden: Vec<usize>,
    /// A rule of `ignore.d.*`; only of a line that is not raised.
    pub ignored: Option<usize>,
}

/// What becomes of a line.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineVerdict {
    /// A security alert, raised by this rule.
    Cracking(usize),
    /// A security event, raised by this rule.
    Violation(usize),
    /// A system event: no rule knows the line.
    System,
    /// A rule of `ignore.d.*` hides it.
    Ignored(usize),
    /// One rule raised it, another one hides it again.
    Silenced {
        /// The rule that raised it.
        raised: usize,
        /// The rule that hides it.
        by: usize,
    },
}

/// Decides for the lines of one run, whose marks are given in their order.
pub fn verdicts(set: &RuleSet, semantics: Semantics, marks: &[LineMatches]) -> Vec<LineVerdict> {
    let judge = |marks: &LineMatches, layer, is_attacked| decide(set, semantics, marks, layer, is_attacked);
    let attacks: Vec<Option<Decided>> = marks.iter().map(|marks| judge(marks, Layer::Cracking, false)).collect();
    let is_attacked = attacks.iter().any(|decided| matches!(decided, Some(Decided::Raised(_))));
    marks
        .iter()
        .zip(attacks)
        .map(|(marks, attack)| match (attack, judge(marks, Layer::Violations, is_attacked)) {
            (Some(Decided::Raised(rule)), _) => LineVerdict::Cracking(rule),
            (_, Some(Decided::Raised(rule))) => LineVerdict::Violation(rule),
            (Some(Decided::Hidden { raised, by }), _) | (None, Some(Decided::Hidden { raised, by })) => {
                LineVerdict::Silenced { raised, by }
            }
            (None, None) => marks.ignored.map_or(LineVerdict::System, LineVerdict::Ignored),
        })
        .collect()
}

/// One heading of the report with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSection {
    /// `cracking.d` or `violations.d`; `None` for the system events.
    pub layer: Option<Layer>,
    /// The name of the rule file, empty for the system events.
    pub file: Vec<u8>,
    /// Its lines, by their numbers in the run, in ascending order.
    pub lines: Vec<usize>,
}

/// The sections of the report of one run in the order of logcheck, none of them empty. A line may stand in several.
pub fn sections(set: &RuleSet, semantics: Semantics, marks: &[LineMatches]) -> Vec<LayerSection> {
    let mut found = Vec::new();
    for layer in [Layer::Cracking, Layer::Violations] {
        let is_attacked = !found.is_empty();
        for file in names(set, layer) {
            let is_told = |marks: &LineMatches| {
                first_in(set, &marks.raised, layer, file).is_some()
                    && hiding(set, semantics, marks, layer, file, is_attacked).is_none()
            };
            let lines = numbers(marks, is_told);
            if !lines.is_empty() {
                found.push(LayerSection { layer: Some(layer), file: file.to_vec(), lines });
            }
        }
    }
    let lines = numbers(marks, |marks| marks.raised.is_empty() && marks.ignored.is_none());
    if !lines.is_empty() {
        found.push(LayerSection { layer: None, file: Vec::new(), lines });
    }
    found
}

fn numbers(marks: &[LineMatches], wanted: impl Fn(&LineMatches) -> bool) -> Vec<usize> {
    marks.iter().enumerate().filter(|(_, marks)| wanted(marks)).map(|(number, _)| number).collect()
}

/// What one raising layer makes of a line.
enum Decided {
    Raised(usize),
    Hidden { raised: usize, by: usize },
}

/// `None` when no rule of the layer matches.
fn decide(
    set: &RuleSet,
    semantics: Semantics,
    marks: &LineMatches,
    layer: Layer,
    is_attacked: bool,
) -> Option<Decided> {
    let mut hidden = None;
    for rule in marks.raised.iter().copied().filter(|rule| layer_of(set, *rule) == Some(layer)) {
        match hiding(set, semantics, marks, layer, name_of(set, rule), is_attacked) {
            None => return Some(Decided::Raised(rule)),
            Some(by) => hidden = hidden.or(Some(Decided::Hidden { raised: rule, by })),
        }
    }
    hidden
}

/// A rule that takes the line out of the section of `file`, a file of `layer` that has raised it.
fn hiding(
    set: &RuleSet,
    semantics: Semantics,
    marks: &LineMatches,
    layer: Layer,
    file: &[u8],
    is_attacked: bool,
) -> Option<usize> {
    let ignore = match layer {
        Layer::Cracking => semantics.has_cracking_ignore.then_some(Layer::CrackingIgnore),
        _ => Some(Layer::ViolationsIgnore),
    };
    let of_layer = |rule: &&usize| layer_of(set, **rule) == ignore;
    let mut ignoring = marks.hidden.iter().filter(|rule| ignore.is_some() && of_layer(rule));
    if !semantics.has_layers {
        return ignoring.next().copied();
    }
    let is_main = file == b"logcheck";
    let hides = |rule: &&usize| is_main || hides_for(name_of(set, **rule), file);
    if let Some(rule) = ignoring.find(hides) {
        return Some(*rule);
    }
    let mut raised = marks.raised.iter().copied();
    raised.find(|rule| {
        let is_elsewhere =
            is_main && layer_of(set, *rule) == Some(layer) && !name_of(set, *rule).starts_with(b"logchec");
        let is_higher = is_attacked && layer == Layer::Violations && layer_of(set, *rule) == Some(Layer::Cracking);
        is_elsewhere || is_higher
    })
}

/// Whether the ignore file `name` hides lines that `file` has raised.
fn hides_for(name: &[u8], file: &[u8]) -> bool {
    name == file
        || name.strip_prefix(b"logcheck-").is_some_and(|rest| rest == file)
        || name == b"local"
        || name.starts_with(b"local-")
}

fn first_in(set: &RuleSet, rules: &[usize], layer: Layer, file: &[u8]) -> Option<usize> {
    rules.iter().copied().find(|rule| layer_of(set, *rule) == Some(layer) && name_of(set, *rule) == file)
}

fn layer_of(set: &RuleSet, rule: usize) -> Option<Layer> {
    Some(set.files.get(set.rules.get(rule)?.file)?.layer)
}

fn name_of(set: &RuleSet, rule: usize) -> &[u8] {
    let file = set.rules.get(rule).and_then(|rule| set.files.get(rule.file));
    file.map(|file| file.name.as_encoded_bytes()).unwrap_or_default()
}

/// The names of the files of a layer, each once, in the order of their bytes.
fn names(set: &RuleSet, layer: Layer) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> =
        set.files.iter().filter(|file| file.layer == layer).map(|file| file.name.as_encoded_bytes()).collect();
    names.dedup();
    names
}
