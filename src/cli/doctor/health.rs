//! `doctor` on what is wrong at present: the same troubles that `status` and the heartbeat say, each with its remedy.

use std::path::Path;

use crate::{
    cli::{doctor::finding::DoctorFinding, status::service},
    config::settings::config::Config,
    model::{
        clock::Clock,
        health::{Health, Trouble, TroubleKind as Kind, Weight},
    },
    store::{
        health::{
            diagnose::diagnose,
            facts::{FactTerms, Facts},
        },
        sqlite::{connection::Store, error::StoreError},
    },
    sys::host,
};

/// What is wrong by the database at `path`; nothing where there is none, for then that was said.
pub(in crate::cli) fn health(path: &Path, config: Option<&Config>) -> Vec<DoctorFinding> {
    let terms = config.map(FactTerms::of).unwrap_or_default();
    let read = || -> Result<Facts, StoreError> {
        let now = Clock::System(host::boot_id(Path::new("/"))).now();
        let mut facts = Facts::read(&Store::open_read_only(path)?, &terms, now)?;
        facts.daemon.start = service::command(Path::new("/"));
        Ok(facts)
    };
    read().map(|facts| findings(&diagnose(&facts))).unwrap_or_default()
}

/// Each trouble as a finding; one that says so when there is none.
pub(in crate::cli) fn findings(health: &Health) -> Vec<DoctorFinding> {
    if health.all().is_empty() {
        return vec![DoctorFinding::fine("health", "nothing is wrong at present")];
    }
    health.all().iter().map(finding).collect()
}

fn finding(trouble: &Trouble) -> DoctorFinding {
    let Trouble { kind, words, .. } = trouble;
    let (what, words, remedy) = (kind.word(), words.as_str(), remedy(*kind));
    match kind.weight() {
        Weight::Note => DoctorFinding::fine(what, words),
        // It is asked before the first start as well.
        Weight::Critical if *kind != Kind::NotRunning => DoctorFinding::fail(what, words, remedy),
        Weight::Critical | Weight::Warning => DoctorFinding::warn(what, words, remedy),
    }
}

/// What to do about it.
const fn remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::NotRunning => "nothing is watched until it is started",
        Kind::TaskStalled => "restart the daemon, and report this with its log",
        Kind::Unwritable => "make room, mount it writable, or move the database",
        Kind::AreaMissing => {
            "make or mount it, or remove its area line; init --accept AREA takes the present state as the baseline"
        }
        Kind::AreaSuspended => {
            "mount what belongs there, or take the present state as the baseline: integrityd init --accept AREA"
        }
        Kind::ProcessDown => "start it, or remove its pidfile or unit line",
        Kind::LogUnreadable => "restore it or its permissions, or remove its log line",
        Kind::MailStuck => "integrityd queue shows the answers of the server; integrityd mail test tries it",
        Kind::PathsMissing => "restore them, or take the present state as the baseline: integrityd init --accept AREA",
        Kind::Unreadable => "integrityd check lists them; run it as a user that may read them, or exclude them",
        Kind::Covered => {
            "unmount what hides it, or take the present state as the baseline: integrityd init --accept AREA"
        }
        Kind::MountSilent => "bring its server back, or unmount it",
        Kind::CoverageLate | Kind::CoverageAtRisk => "raise maxfilerate and maxbyterate, or areamaxage",
        Kind::LogBehind => "it catches up by itself unless more is written than can be read",
        Kind::PidFile => "restart the service, so that it writes its PID file anew",
        Kind::RuleOff => "integrityd rules lint shows each with its place",
        Kind::ClockDoubted => "see that the clock is right; what is old is taken out again after a day",
        Kind::PrunedEarly => "raise maxdatabase, or lower retention",
        Kind::FirstRound | Kind::MountNotEntered | Kind::PathTooLong | Kind::CallRefused | Kind::NoSandbox => "",
    }
}
