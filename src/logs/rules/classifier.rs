//! Lines to verdicts: a rule set compiled, and asked in the order that decides most lines with one look.
//!
//! Nearly every line is known to some ignore rule and to no other, so the raising rules are asked first (they must be: no ignore
//! rule hides what they raise) and each question wants only *a* rule. Only for the few raised lines all their rules are found.

use crate::logs::{
    line::timestamp::aliases,
    pattern::matcher::{Engine, OnLimit},
    rules::{
        layers::{LineMatches, LineVerdict, Semantics, verdicts},
        rule_set::{Layer, RuleSet},
    },
};

/// Which rules an engine holds: numbers in [`RuleSet::rules`].
#[derive(Debug)]
struct ClassifierPart {
    engine: Engine,
    rules: Vec<usize>,
}

/// A rule set, ready to be asked.
#[derive(Debug)]
pub struct Classifier {
    set: RuleSet,
    semantics: Semantics,
    has_alias: bool,
    raising: ClassifierPart,
    hiding: ClassifierPart,
    ignoring: ClassifierPart,
}

impl Classifier {
    /// Compiles a rule set; `has_alias` has lines with an RFC 3339 stamp also tried with the legacy and the 32-character form.
    /// Costs about 30 µs for each rule.
    pub fn new(set: RuleSet, semantics: Semantics, has_alias: bool) -> Self {
        let part = |wanted: &[Layer], on_limit| ClassifierPart::new(&set, wanted, on_limit);
        Self {
            raising: part(&[Layer::Cracking, Layer::Violations], OnLimit::Match),
            hiding: part(&[Layer::CrackingIgnore, Layer::ViolationsIgnore], OnLimit::NoMatch),
            ignoring: part(&[Layer::Ignore], OnLimit::NoMatch),
            set,
            semantics,
            has_alias,
        }
    }

    /// The rules it was made from.
    pub const fn set(&self) -> &RuleSet {
        &self.set
    }

    /// The rules that matter for the verdict about one line, without its newline.
    pub fn marks(&mut self, line: &[u8]) -> LineMatches {
        let others = if self.has_alias { aliases(line) } else { Vec::new() };
        let forms = || std::iter::once(line).chain(others.iter().map(Vec::as_slice));
        if forms().any(|form| self.raising.engine.any(form).is_some()) {
            return LineMatches { raised: self.raising.all(forms()), hidden: self.hiding.all(forms()), ignored: None };
        }
        let found = forms().find_map(|form| self.ignoring.engine.any(form));
        let ignored = found.and_then(|rule| self.ignoring.rules.get(rule).copied());
        LineMatches { ignored, ..LineMatches::default() }
    }

    /// What becomes of the lines of one run.
    pub fn verdicts(&mut self, marks: &[LineMatches]) -> Vec<LineVerdict> {
        verdicts(&self.set, self.semantics, marks)
    }

    /// How often each rule was found since the beginning: its number in [`RuleSet::rules`] and the count, of those found at all. Of
    /// several ignore rules that know a line one is counted.
    pub fn hits(&self) -> impl Iterator<Item = (usize, u64)> {
        [&self.raising, &self.hiding, &self.ignoring]
            .into_iter()
            .flat_map(|part| part.rules.iter().copied().zip(part.engine.hits()))
            .filter(|(_, hits)| *hits > 0)
    }

    /// Bytes the compiled rules take at the moment.
    pub fn memory(&self) -> usize {
        [&self.raising, &self.hiding, &self.ignoring].iter().map(|part| part.engine.memory()).sum()
    }
}

impl ClassifierPart {
    fn new(set: &RuleSet, wanted: &[Layer], on_limit: OnLimit) -> Self {
        let layer = |file: usize| set.files.get(file).map(|file| file.layer);
        let numbered = set.rules.iter().enumerate();
        let (rules, eres): (Vec<usize>, Vec<_>) = numbered
            .filter(|(_, rule)| layer(rule.file).is_some_and(|layer| wanted.contains(&layer)))
            .map(|(number, rule)| (number, &rule.ere))
            .unzip();
        Self { engine: Engine::new(eres, set.reading.locale, on_limit), rules }
    }

    fn all<'a>(&mut self, forms: impl Iterator<Item = &'a [u8]>) -> Vec<usize> {
        let mut found: Vec<usize> = forms.flat_map(|form| self.engine.all(form)).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|rule| self.rules.get(rule).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        config::settings::config::{RuleDirectory, RuleLevel},
        logs::{
            pattern::ast::Locale,
            rules::{
                layers::{LayerSection, sections},
                rule_set::RuleOptions,
            },
        },
    };

    const LAYERS: Semantics = Semantics { has_layers: true, has_cracking_ignore: false };

    fn classifier(files: &[(&str, &str)], semantics: Semantics, has_alias: bool) -> (tempfile::TempDir, Classifier) {
        let tree = tempfile::tempdir().unwrap();
        for name in ["cracking.d", "violations.d"] {
            fs::create_dir(tree.path().join(name)).unwrap();
        }
        for (path, text) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let reading = RuleOptions { locale: Locale::C, allows_broad: false, is_flat: false };
        let set = RuleSet::read(&[RuleDirectory { level: RuleLevel::Server, path: tree.path().to_owned() }], reading);
        assert_eq!(set.faults, []);
        (tree, Classifier::new(set, semantics, has_alias))
    }

    fn judge(classifier: &mut Classifier, lines: &[&str]) -> Vec<String> {
        let marks: Vec<LineMatches> = lines.iter().map(|line| classifier.marks(line.as_bytes())).collect();
        let text = |set: &RuleSet, rule: usize| String::from_utf8(set.rules[rule].text.clone()).unwrap();
        let verdicts = classifier.verdicts(&marks);
        let set = classifier.set();
        verdicts
            .into_iter()
            .map(|verdict| match verdict {
                LineVerdict::Cracking(rule) => format!("attack {}", text(set, rule)),
                LineVerdict::Violation(rule) => format!("security {}", text(set, rule)),
                LineVerdict::System => "system".to_owned(),
                LineVerdict::Ignored(rule) => format!("ignored {}", text(set, rule)),
                LineVerdict::Silenced { raised, by } => format!("{} silenced by {}", text(set, raised), text(set, by)),
            })
            .collect()
    }

    #[test]
    fn ignore_rules_hide_no_violation_and_a_silenced_one_is_no_system_event() {
        let files = [
            ("cracking.d/x", "^crack"),
            ("violations.d/sudo", "^bad\n^crack"),
            ("violations.ignore.d/sudo", "^bad but"),
            ("violations.ignore.d/logcheck-sudo", "^bad also"),
            ("violations.ignore.d/other", "^bad other"),
            ("violations.ignore.d/local-mine", "^bad mine"),
            ("ignore.d.server/all", "^bad\n^crack\n^fine"),
        ];
        let (_tree, mut classifier) = classifier(&files, LAYERS, false);
        let lines = ["fine", "what", "bad", "bad but fine", "bad also", "bad other", "bad mine", "crack"];
        assert_eq!(
            judge(&mut classifier, &lines),
            [
                "ignored ^fine",
                "system",
                "security ^bad",
                "^bad silenced by ^bad but",
                "^bad silenced by ^bad also",
                "security ^bad",
                "^bad silenced by ^bad mine",
                "attack ^crack",
            ]
        );
    }

    #[test]
    fn the_file_logcheck_gives_way_to_every_ignore_file_and_to_other_files() {
        let files = [
            ("violations.d/logcheck", "^bad"),
            ("violations.d/sudo", "^bad sudo"),
            ("violations.ignore.d/anything", "^bad any"),
        ];
        let (_tree, mut classifier) = classifier(&files, LAYERS, false);
        let lines = ["bad", "bad any", "bad sudo"];
        assert_eq!(
            judge(&mut classifier, &lines),
            ["security ^bad", "^bad silenced by ^bad any", "security ^bad sudo"]
        );
        let marks: Vec<LineMatches> = lines.iter().map(|line| classifier.marks(line.as_bytes())).collect();
        let section =
            |file: &str, lines| LayerSection { layer: Some(Layer::Violations), file: file.as_bytes().to_vec(), lines };
        assert_eq!(
            sections(classifier.set(), LAYERS, &marks),
            [section("logcheck", vec![0]), section("sudo", vec![2])]
        );
    }

    #[test]
    fn an_attack_takes_its_line_out_of_the_violations_and_one_that_is_ignored_does_not() {
        let files = [("cracking.d/x", "^crack"), ("cracking.ignore.d/x", "harmless$"), ("violations.d/y", "^crack")];
        let (_tree, mut plain) = classifier(&files, LAYERS, false);
        assert_eq!(judge(&mut plain, &["crack harmless"]), ["attack ^crack"]);
        let (_tree, mut wise) = classifier(&files, Semantics { has_cracking_ignore: true, ..LAYERS }, false);
        assert_eq!(judge(&mut wise, &["crack harmless"]), ["security ^crack"]);
        // As soon as an attack is told, what else cracking.d knows is no violation.
        assert_eq!(judge(&mut wise, &["crack harmless", "crack"]), ["^crack silenced by harmless$", "attack ^crack"]);
    }

    #[test]
    fn in_the_flat_reading_any_ignore_rule_of_the_layer_silences() {
        let files = [("violations.d/sudo", "^bad"), ("violations.ignore.d/other", "^bad other")];
        let (_tree, mut classifier) = classifier(&files, Semantics { has_layers: false, ..LAYERS }, false);
        assert_eq!(judge(&mut classifier, &["bad other", "bad"]), ["^bad silenced by ^bad other", "security ^bad"]);
    }

    #[test]
    fn a_modern_stamp_is_also_known_by_a_rule_for_the_legacy_one() {
        let files = [("ignore.d.server/a", r"^\w{3} [ :0-9]{11} h cron: x$")];
        let line = "2026-11-21T14:02:11.123456+01:00 h cron: x";
        let (_tree, mut classifier_with) = classifier(&files, LAYERS, true);
        assert_eq!(judge(&mut classifier_with, &[line]), [format!("ignored {}", files[0].1)]);
        let (_tree, mut without) = classifier(&files, LAYERS, false);
        assert_eq!(judge(&mut without, &[line]), ["system"]);
        assert_eq!(classifier_with.hits().collect::<Vec<_>>(), [(0, 1)]);
    }
}
