//! A mail that is no report: it belongs to nothing that is stored, and looks like the others so that filters treat it alike.

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::{
    model::{clock::Timestamp, escape::escape_cut, event::Severity},
    report::{
        mail::mime::{MessageId, MimeError, MimeMessage, compose},
        render::{format::Times, subject::HOST_LIMIT},
    },
};

/// From whom, to whom and when.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    /// The name of the machine.
    pub host: &'a str,
    /// The sender's address.
    pub from: &'a str,
    /// The recipients' addresses, at least one.
    pub to: &'a [String],
    /// When it is sent.
    pub date: Timestamp,
    /// The zone the date is written in.
    pub zone: &'a TimeZone,
}

impl Notice<'_> {
    /// Its Message-ID, which is that of no report and new each time, and its bytes: `verdict` behind host name in the subject,
    /// `headline` behind host name and date in the first line, then `text`.
    ///
    /// # Errors
    /// [`MimeError`] when an address is none, or there is no recipient.
    pub(in crate::report) fn compose(
        &self,
        severity: Severity,
        verdict: &str,
        headline: &str,
        text: &str,
    ) -> Result<(String, Vec<u8>), MimeError> {
        let host = escape_cut(self.host.as_bytes(), HOST_LIMIT);
        let id = MessageId { instance: Uuid::new_v4(), report: 0, part: 1 };
        let date = self.times().headline();
        let bytes = compose(&MimeMessage {
            from: self.from,
            to: self.to,
            subject: &format!("[integrityd] {host}: {verdict}"),
            text: &format!("{host}   {date}   {headline}\n\n{text}"),
            host: self.host,
            severity,
            range: (0, 0),
            date: self.date,
            zone: self.zone,
            previous: None,
            id,
        })?;
        Ok((id.text(self.host), bytes))
    }

    /// How times are written in it.
    pub(in crate::report) fn times(&self) -> Times<'_> {
        Times::new(self.date, self.zone)
    }
}
