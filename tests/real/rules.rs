//! The rules Debian ships mean to integrityd what they mean to the installed grep.

use std::{path::PathBuf, thread};

use integrityd::config::settings::{RuleDirectory, RuleLevel};
use integrityd::logs::{
    engine::{Engine, OnLimit},
    rules::{Reading, RuleSet},
    tree::Locale,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    packages::need,
    support::{
        grep::{Tally, mutate, sample},
        syslog,
    },
};

/// Every rule under `/etc/logcheck`, of all levels and layers.
fn shipped(locale: Locale) -> Option<RuleSet> {
    // The database comes with it.
    need("logcheck-test", "logcheck").then(|| {
        let reading = Reading { locale, allows_broad: true, is_flat: false };
        RuleSet::read(&[RuleDirectory { level: RuleLevel::Workstation, path: PathBuf::from("/etc/logcheck") }], reading)
    })
}

#[test]
fn every_shipped_rule_is_taken() {
    for locale in [Locale::C, Locale::Utf8] {
        let Some(set) = shipped(locale) else { return };
        assert!(set.faults.is_empty(), "{:?}", set.faults);
        assert!(set.rules.len() > 1500, "{}", set.rules.len());
    }
}

#[test]
fn every_shipped_rule_agrees_with_grep_on_known_changed_and_foreign_lines() {
    let Some(set) = shipped(Locale::Utf8) else { return };
    let mut rng = StdRng::seed_from_u64(4);
    let foreign = syslog::lines(300, 4);
    let mut work = Vec::new();
    for rule in &set.rules {
        let mut lines = Vec::new();
        for _ in 0..8 {
            let line = sample(&rule.ere, &mut rng);
            lines.extend([mutate(&line, &mut rng), mutate(&line, &mut rng), line]);
        }
        lines.extend(foreign.sample(&mut rng, 4).cloned());
        let other = &set.rules[rng.random_range(0..set.rules.len())].ere;
        lines.extend([sample(other, &mut rng), b"".to_vec(), "é".as_bytes().to_vec()]);
        for line in &mut lines {
            line.retain(|byte| *byte != b'\n');
        }
        work.push((rule.text.clone(), lines));
    }
    let half = work.len() / 2;
    let compare = |part: &[(Vec<u8>, Vec<Vec<u8>>)]| {
        let mut tally = Tally::default();
        for (rule, lines) in part {
            tally.compare(rule, lines);
        }
        tally
    };
    let (mut one, two) = thread::scope(|scope| {
        let two = scope.spawn(|| compare(&work[half..]));
        (compare(&work[..half]), two.join().unwrap())
    });
    one.add(two);
    println!(
        "{} rules, {} decisions, {} matches, {} unanswered, {} differences",
        set.rules.len(),
        one.decisions,
        one.matches,
        one.unanswered,
        one.differences.len()
    );
    one.assert_equal();
    assert!(one.decisions > 100_000 && one.matches * 5 > one.decisions && one.unanswered == 0 && one.refused == 0);
}

/// The engine's short cuts change no answer: it finds what the rules find one by one.
#[test]
fn the_engine_finds_what_the_shipped_rules_find_on_their_own() {
    for locale in [Locale::C, Locale::Utf8] {
        let Some(set) = shipped(locale) else { return };
        let eres = || set.rules.iter().map(|rule| &rule.ere);
        let mut engine = Engine::new(eres(), locale, OnLimit::NoMatch);
        let mut alone: Vec<Engine> = eres().map(|ere| Engine::new([ere], locale, OnLimit::NoMatch)).collect();
        let mut rng = StdRng::seed_from_u64(5);
        let mut lines = syslog::lines(100, 5);
        for rule in &set.rules {
            let line = sample(&rule.ere, &mut rng);
            lines.extend([mutate(&line, &mut rng), line]);
        }
        let mut found = 0;
        for line in lines.sample(&mut rng, 600) {
            let expected: Vec<usize> =
                alone.iter_mut().enumerate().filter_map(|(rule, one)| one.any(line).map(|_| rule)).collect();
            let any = engine.any(line);
            assert_eq!(engine.all(line), expected, "{}", line.escape_ascii());
            assert_eq!(any.is_some(), !expected.is_empty(), "{}", line.escape_ascii());
            assert!(any.is_none_or(|rule| expected.contains(&rule)), "{}", line.escape_ascii());
            found += expected.len();
        }
        println!("{locale:?}: 600 lines, {found} matches, {} of memory", engine.memory());
    }
}
