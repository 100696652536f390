//! `doctor`: looks at everything the daemon depends on, changes nothing, sends no mail, and says what to do.

pub(super) mod areas;
mod config;
pub(super) mod finding;
pub(super) mod health;
mod host;
mod logs;
mod mail;
pub(super) mod mailboxes;
mod pids;
mod privileges;
mod sandbox;
mod state;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        context::CliContext,
        doctor::{
            areas::areas,
            config::configuration,
            finding::{DoctorFinding, FindingLevel},
            health::health,
            host::host,
            logs::logs,
            mail::mail,
            mailboxes::{Mailbox, mailboxes},
            pids::pids,
            sandbox::sandbox,
            state::state,
        },
        terminal::{exit::Exit, output::Out},
    },
    sys::fs::ownership::own_uid,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let mut report = Report { out, is_json: arguments.json, all: Vec::new() };
    report.tell(user())?;
    let (config, found, is_faulty) = configuration(&source.config);
    report.tell(found)?;
    match source.database.clone().or(config.as_ref().map(|config| config.database.clone())) {
        Some(database) => {
            report.tell(state(&database))?;
            report.tell(health(&database, config.as_ref()))?;
        }
        // What the defaults would be says nothing about this machine.
        None => report.tell(vec![unknown("database, daemon")])?,
    }
    if let Some(config) = &config {
        report.tell(areas(config))?;
        report.tell(mailboxes(config).iter().map(Mailbox::finding).collect())?;
        report.tell(logs(config))?;
        report.tell(pids(config))?;
    }
    report.tell(host())?;
    if let Some(config) = &config {
        report.tell(sandbox(&source.config, source.database.as_ref().unwrap_or(&config.database)))?;
    }
    match &config {
        Some(config) => report.tell(mail(&config.mail.way, source))?,
        None => report.tell(vec![unknown("mail")])?,
    }
    let worst = report.all.iter().map(|finding| finding.health).max();
    if arguments.json {
        let checks: Vec<_> = report.all.iter().map(DoctorFinding::json).collect();
        out.line(&json!({ "checks": checks }).to_string())?;
    }
    Ok(match worst {
        _ if is_faulty => Exit::Configuration,
        Some(FindingLevel::Fail) => Exit::Findings,
        _ => Exit::Fine,
    })
}

/// Prints findings as they come: counting a large area takes its time.
struct Report<'a> {
    out: &'a mut Out,
    is_json: bool,
    all: Vec<DoctorFinding>,
}

impl Report<'_> {
    fn tell(&mut self, findings: Vec<DoctorFinding>) -> anyhow::Result<()> {
        for finding in findings {
            if !self.is_json {
                self.out.text(&finding.text())?;
            }
            self.all.push(finding);
        }
        self.out.flush()
    }
}

/// What only a configuration that can be read tells.
fn unknown(what: &'static str) -> DoctorFinding {
    DoctorFinding::warn(
        what,
        "not looked at: the configuration says which",
        "mend the configuration first; --database names a database",
    )
}

fn user() -> Vec<DoctorFinding> {
    vec![match own_uid() {
        0 => DoctorFinding::fine("user", "root: all checks can be made"),
        uid => DoctorFinding::warn(
            "user",
            format!("uid {uid}: what follows is what this user may see"),
            "as root doctor sees what a daemon of root sees: sudo integrityd doctor",
        ),
    }]
}
