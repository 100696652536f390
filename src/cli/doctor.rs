//! `doctor`: looks at everything the daemon depends on, changes nothing, sends nothing, and says what to do.

use clap::Args;
use serde_json::json;

use super::{
    Exit, Source,
    diagnosis::{Finding, Health},
    doctor_areas::areas,
    doctor_config::configuration,
    doctor_host::host,
    doctor_mail::mail,
    doctor_state::state,
    out::Out,
};
use crate::{
    config::{self, settings::MailWay},
    sys::privileges::own_uid,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &Source, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let mut report = Report { out, is_json: arguments.json, all: Vec::new() };
    report.tell(user())?;
    let (config, found, is_faulty) = configuration(&source.config);
    report.tell(found)?;
    let configured = config.as_ref().map(|config| config.database.clone());
    let database = source.database.clone().or(configured).unwrap_or_else(config::default_database);
    report.tell(state(&database))?;
    if let Some(config) = &config {
        report.tell(areas(config))?;
    }
    report.tell(host())?;
    let way = config.as_ref().map_or(MailWay::Auto, |config| config.mail.way.clone());
    report.tell(mail(&way))?;
    let worst = report.all.iter().map(|finding| finding.health).max();
    if arguments.json {
        let checks: Vec<_> = report.all.iter().map(Finding::json).collect();
        out.line(&json!({ "checks": checks }).to_string())?;
    }
    Ok(match worst {
        _ if is_faulty => Exit::Configuration,
        Some(Health::Fail) => Exit::Findings,
        _ => Exit::Fine,
    })
}

/// Prints findings as they come: counting a large area takes its time.
struct Report<'a> {
    out: &'a mut Out,
    is_json: bool,
    all: Vec<Finding>,
}

impl Report<'_> {
    fn tell(&mut self, findings: Vec<Finding>) -> anyhow::Result<()> {
        for finding in findings {
            if !self.is_json {
                self.out.text(&finding.text())?;
            }
            self.all.push(finding);
        }
        self.out.flush()
    }
}

fn user() -> Vec<Finding> {
    vec![match own_uid() {
        0 => Finding::fine("user", "root: all checks can be made"),
        uid => Finding::warn(
            "user",
            format!("uid {uid}: what follows is what this user may see"),
            "as root doctor sees what a daemon of root sees: sudo integrityd doctor",
        ),
    }]
}
