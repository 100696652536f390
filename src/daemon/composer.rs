//! What writes the mails of a daemon, by its configuration.

use std::path::Path;

use crate::{
    config::settings::config::Config,
    model::clock::Clock,
    report::task::composer::{MailForm, ReportComposer, default_sender, full_address, readerships},
    sys::host,
};

/// Writes the mails of this configuration; `host` is the name of the machine where that gives none.
pub(super) fn composer(config: &Config, host: &str, clock: &Clock, program: &str) -> ReportComposer {
    let host = config.hostname.as_deref().unwrap_or(host).to_owned();
    let from = config.mail.from.as_deref().map_or_else(|| default_sender(&host), full_address);
    ReportComposer {
        from,
        readerships: readerships(config),
        lines: config.report.lines,
        zone: jiff::tz::TimeZone::system(),
        clock: clock.clone(),
        program: program.to_owned(),
        form: MailForm::new(&config.report, host::machine_id(Path::new("/"))),
        host,
    }
}
