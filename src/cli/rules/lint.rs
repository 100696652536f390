//! `rules lint`: everything that is wrong or odd in the rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        context::CliContext,
        rules::selection::{Choice, RuleGroups, count_of, shown},
        terminal::{
            exit::Exit,
            output::{Out, talk},
        },
    },
    config::schema::fault::Fault,
    logs::rules::{
        check::{RuleFinding, RuleRemark, survey},
        rule_set::RuleSet,
    },
};

/// More rules of a file with the same oddity are counted, not listed.
const MOST_ALIKE: usize = 3;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    choice: Choice,

    /// List each odd rule, also when many of a file have the same oddity.
    #[arg(long)]
    all: bool,

    /// One JSON object a finding; all of them.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let groups = RuleGroups::of(source, &arguments.choice)?;
    let set = groups.read_all();
    let findings = survey(&set);
    let is_folded = if arguments.json {
        for finding in &findings {
            out.line(&to_json(finding))?;
        }
        false
    } else {
        list(&findings, if arguments.all { usize::MAX } else { MOST_ALIKE }, out)?
    };
    out.flush()?;
    talk(&summary(&set, &findings));
    if is_folded {
        talk("--all lists each of those that are counted");
    }
    let is_off = findings.iter().any(|finding| finding.remark == RuleRemark::Off);
    Ok(if is_off { Exit::Findings } else { Exit::Fine })
}

/// Lists them; of what a file has more often than `most` times, the first stands for all. Says whether that was so.
fn list(findings: &[RuleFinding], most: usize, out: &mut Out) -> anyhow::Result<bool> {
    let mut counts: BTreeMap<(&PathBuf, RuleRemark), usize> = BTreeMap::new();
    for finding in findings {
        *counts.entry((&finding.fault.file, finding.remark)).or_default() += 1;
    }
    let mut told = BTreeSet::new();
    for RuleFinding { remark, fault } in findings {
        let key = (&fault.file, *remark);
        let count = counts.get(&key).copied().unwrap_or_default();
        if *remark == RuleRemark::Off || count <= most {
            out.line(&fault.to_string())?;
        } else if told.insert(key) {
            let what = match remark {
                RuleRemark::Twice => "stand there or in another file already".to_owned(),
                _ => format!("\"{}\"", fault.what),
            };
            out.line(
                &Fault { what: format!("first of {} rules: {what}", count_of(count)), ..fault.clone() }.to_string(),
            )?;
        }
    }
    Ok(!told.is_empty())
}

fn summary(set: &RuleSet, findings: &[RuleFinding]) -> String {
    let count = |is_such: fn(RuleRemark) -> bool| findings.iter().filter(|finding| is_such(finding.remark)).count();
    let what = [
        (count(|remark| remark == RuleRemark::Off), "off"),
        (count(|remark| matches!(remark, RuleRemark::Odd(_))), "odd"),
        (count(|remark| remark == RuleRemark::Twice), "twice"),
        (count(|remark| remark == RuleRemark::Skipped), "passed over"),
    ];
    let what: Vec<String> = what
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", count_of(count)))
        .collect();
    let what = if what.is_empty() { "nothing to remark".to_owned() } else { what.join(", ") };
    let counted = |count: usize, word: &str| format!("{} {word}{}", count_of(count), if count == 1 { "" } else { "s" });
    format!("{} in {}: {what}", counted(set.rules.len(), "rule"), counted(set.files.len(), "file"))
}

fn to_json(RuleFinding { remark, fault }: &RuleFinding) -> String {
    let kind = match remark {
        RuleRemark::Off => "off",
        RuleRemark::Odd(_) => "odd",
        RuleRemark::Twice => "twice",
        RuleRemark::Skipped => "skipped",
    };
    json!({ "kind": kind, "file": shown(&fault.file), "line": fault.line, "what": fault.what, "hint": fault.hint })
        .to_string()
}
