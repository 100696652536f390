//! The mails of `logcheck`: its subjects, by the way that the configuration of integrityd names, or by the mail system of this machine.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::anyhow;
use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::{
    cli::{context::CliContext, run::runtime, terminal::exit::TryLater},
    config::{self, LoadError, settings::config::Config},
    logs::{logcheck::conf::Conf, rules::rule_set::Layer},
    model::{clock::Timestamp, escape::escape, event::Severity},
    report::{
        mail::mime::{MessageId, MimeMessage, compose},
        task::composer::{default_sender, full_address},
        transport::{Printer, Transport},
    },
    sys::host,
};

/// What all mails of a run have in common.
#[derive(Debug)]
pub(in crate::cli) struct LogcheckMail<'a> {
    pub(in crate::cli) source: &'a CliContext,
    pub(in crate::cli) conf: &'a Conf,
    /// The name given with -H.
    pub(in crate::cli) host: Option<&'a str>,
    pub(in crate::cli) now: Timestamp,
}

impl LogcheckMail<'_> {
    /// Mails a report under its heading and waits until it is accepted.
    pub(in crate::cli) fn send(
        &self,
        prefix: &str,
        heading: &[u8],
        layer: Option<Layer>,
        text: &str,
    ) -> anyhow::Result<()> {
        let severity = match layer {
            Some(Layer::Cracking) => Severity::High,
            Some(_) => Severity::Normal,
            None => Severity::Low,
        };
        let tag = if self.conf.has_tag { "[logcheck] " } else { "" };
        let subject = format!("{tag}{prefix}{} {} {}", self.host(), self.date(), escape(heading));
        self.hand_over(&subject, severity, text)
    }

    /// Mails that no log could be read.
    pub(super) fn send_failure(&self, errors: &str) -> anyhow::Result<()> {
        let subject = format!("Logcheck: {} {} exiting due to errors", self.host(), self.date());
        let text = format!("Logcheck failed: Your log entries may not have been checked.\n\nDetails:\n{errors}\n");
        self.hand_over(&subject, Severity::High, &text)
    }

    fn host(&self) -> String {
        if let Some(host) = self.host {
            return escape(host.as_bytes());
        }
        let host = host::host_name(Path::new("/"));
        match host.split_once('.') {
            Some((short, _)) if !self.conf.is_host_full => short.to_owned(),
            _ => host,
        }
    }

    fn date(&self) -> String {
        let zoned = jiff::Timestamp::from_nanosecond(i128::from(self.now.as_nanos())).unwrap_or_default();
        let zoned = zoned.to_zoned(TimeZone::system());
        let format = &self.conf.date;
        let date = jiff::fmt::strtime::format(format, &zoned);
        escape(date.unwrap_or_else(|_| format.clone()).as_bytes())
    }

    fn hand_over(&self, subject: &str, severity: Severity, text: &str) -> anyhow::Result<()> {
        let config = match config::load(&self.source.config) {
            Ok(config) => config,
            Err(LoadError::Unreadable { .. }) => Config::embedded(Vec::new(), PathBuf::new()),
            Err(error) => return Err(error.into()),
        };
        let host = host::host_name(Path::new("/"));
        let from = config.mail.from.as_deref().map_or_else(|| default_sender(&host), full_address);
        let words = self.conf.recipients.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let to: Vec<String> = words.map(full_address).collect();
        let id = MessageId { instance: Uuid::new_v4(), report: 0, part: 1 };
        let bytes = compose(&MimeMessage {
            from: &from,
            to: &to,
            subject,
            text,
            host: &host,
            severity,
            range: (0, 0),
            date: self.now,
            zone: &TimeZone::system(),
            previous: None,
            id,
        })?;
        let printer = Printer(Arc::new(Mutex::new(io::stdout())));
        let transport = Transport::new(&config.mail, &host, &printer)?;
        let (id, deadline) = (id.text(&host), config.mail.send_timeout);
        runtime()?.block_on(async {
            for recipient in &to {
                let sent = transport.send(&from, recipient, &id, bytes.clone(), deadline).await;
                sent.map_err(|error| {
                    let what = format!("the report was not accepted for {}: {error}", escape(recipient.as_bytes()));
                    anyhow!(TryLater(format!("{what}\nno position was moved; the next run reports the same lines")))
                })?;
            }
            Ok(())
        })
    }
}
