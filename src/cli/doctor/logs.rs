//! `doctor` on logs: which can be read, by how many rules, and which of those are off.

use std::path::{Path, PathBuf};

use crate::{
    cli::{doctor::finding::DoctorFinding, terminal::output::number},
    config::{
        read::include::on_disk,
        settings::{
            config::{Config, LogGroup},
            exclude::is_glob,
        },
    },
    logs::{
        group::{notices::refused, sources},
        rules::rule_set::{RuleOptions, RuleSet},
    },
    model::escape::escape_name,
    sys::fs::ownership::{may_execute, may_read},
    tail::live_file::look,
};

/// What reads the journal.
const JOURNALCTL: &str = "/usr/bin/journalctl";

/// Where its files lie.
const JOURNALS: [&str; 2] = ["/var/log/journal/*/*.journal", "/run/log/journal/*/*.journal"];

/// Most faults of rules that are listed.
const MOST: usize = 10;

/// What was found of the logs and rules of a configuration.
pub(in crate::cli) fn logs(config: &Config) -> Vec<DoctorFinding> {
    let mut found: Vec<DoctorFinding> = config.logs.iter().flat_map(|group| of_group(group, config)).collect();
    let directories = config.adopt.iter().filter_map(|line| line.strip_prefix("logcheck:")).map(PathBuf::from);
    for directory in directories.filter(|directory| !directory.is_dir()) {
        let shown = escape_name(directory.as_os_str().as_encoded_bytes());
        let remedy = "name the directory of logcheck's offset files, /var/lib/logcheck, or take the adopt line away";
        found.push(DoctorFinding::fail(
            "adopt",
            format!("{shown} is no directory that can be read: no position is taken over"),
            remedy,
        ));
    }
    found
}

fn of_group(group: &LogGroup, config: &Config) -> Vec<DoctorFinding> {
    let mut found = rules(group, config);
    for pattern in group.files.iter().chain(&group.transient) {
        if is_glob(pattern.as_os_str().as_encoded_bytes()) && on_disk(pattern, |_| true).next().is_none() {
            let shown = escape_name(pattern.as_os_str().as_encoded_bytes());
            found.push(DoctorFinding::warn(
                "log",
                format!("{shown} finds nothing"),
                "it is read when it does; is it what you mean?",
            ));
        }
    }
    for (path, may_be_missing) in sources::logs(group, &[]) {
        let shown = escape_name(path.as_os_str().as_encoded_bytes());
        match look(&path).live {
            Ok(live) => found.push(DoctorFinding::fine("log", format!("{shown}: {} bytes", number(live.seen.size)))),
            Err(refusal) if may_be_missing => {
                found.push(DoctorFinding::fine("log", format!("{shown}: {}, as it may be", refused(refusal).0)));
            }
            Err(refusal) => {
                let (why, remedy) = refused(refusal);
                found.push(DoctorFinding::fail("log", format!("{shown} {why}"), remedy));
            }
        }
    }
    found.extend(group.journal.then(journal));
    found
}

/// Whether there is a journal, something to read it with, and the right to.
fn journal() -> DoctorFinding {
    let first = JOURNALS.iter().find_map(|pattern| on_disk(Path::new(pattern), |_| true).next());
    match first {
        _ if !may_execute(Path::new(JOURNALCTL)) => {
            let remedy = "install systemd, or name the files of your syslog instead of log = journal";
            DoctorFinding::fail("journal", format!("there is no {JOURNALCTL} that can be run"), remedy)
        }
        None => {
            let remedy = "is systemd-journald running, and Storage= in journald.conf not none? This user may also lack the right to look";
            DoctorFinding::fail("journal", "there are no journal files in /var/log/journal or /run/log/journal", remedy)
        }
        Some(file) if !may_read(&file) => {
            let shown = escape_name(file.as_os_str().as_encoded_bytes());
            let remedy = "run as root, with CAP_DAC_READ_SEARCH, or in the group systemd-journal";
            DoctorFinding::fail("journal", format!("{shown} cannot be read by this user"), remedy)
        }
        Some(_) => DoctorFinding::fine("journal", format!("read through {JOURNALCTL}")),
    }
}

fn rules(group: &LogGroup, config: &Config) -> Vec<DoctorFinding> {
    let settings = config.logcheck;
    let reading = RuleOptions::of(settings);
    let set = RuleSet::read(&group.rules, reading);
    let names: Vec<String> =
        group.rules.iter().map(|rules| escape_name(rules.path.as_os_str().as_encoded_bytes())).collect();
    let (rules, files) = (count(set.rules.len()), count(set.files.len()));
    let detail = format!("{}: {rules} rules in {files} files", names.join(" and "));
    let mut found = vec![if set.rules.is_empty() {
        DoctorFinding::fail(
            "rules",
            detail,
            "every line would be reported: apt install logcheck-database, or name your rules in logrules",
        )
    } else {
        DoctorFinding::fine("rules", detail)
    }];
    found.extend(
        set.faults.iter().take(MOST).map(|fault| {
            DoctorFinding::warn("rules", fault.to_string(), "integrityd rules lint tells all that is wrong")
        }),
    );
    if let Some(more) = set.faults.len().checked_sub(MOST + 1) {
        let detail = format!("{} more faults", count(more + 1));
        found.push(DoctorFinding::warn("rules", detail, "integrityd rules lint lists them all"));
    }
    found
}

fn count(number_of: usize) -> String {
    number(u64::try_from(number_of).unwrap_or(u64::MAX))
}
