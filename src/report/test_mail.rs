//! The mail that `mail test` sends: in the shape of a report, so that filters treat it as one, and with nothing to report.

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{
    mime::{Letter, MessageId, MimeError, compose},
    subject::HOST_LIMIT,
    words::Times,
};
use crate::model::{clock::Timestamp, escape::escape_cut, event::Severity};

/// All that becomes a test mail.
#[derive(Debug, Clone, Copy)]
pub struct TestMail<'a> {
    /// The name of the machine.
    pub host: &'a str,
    /// The sender's address.
    pub from: &'a str,
    /// The recipients' addresses, at least one.
    pub to: &'a [String],
    /// The configured way, neutralised.
    pub way: &'a str,
    /// How the command was called, neutralised.
    pub command: &'a str,
    /// When it is sent.
    pub date: Timestamp,
    /// The zone the date is written in.
    pub zone: &'a TimeZone,
}

impl TestMail<'_> {
    /// Its Message-ID, new each time, and its bytes.
    ///
    /// # Errors
    /// [`MimeError`] when an address is none, or there is no recipient.
    pub fn compose(&self) -> Result<(String, Vec<u8>), MimeError> {
        let host = escape_cut(self.host.as_bytes(), HOST_LIMIT);
        let id = MessageId { instance: Uuid::new_v4(), report: 0, part: 1 };
        let headline = Times::new(self.date, self.zone).headline();
        let text = format!(
            "{host}   {headline}   test mail\n\nNothing has happened: somebody called `{}` to see whether reports arrive.\n\n\
             WAY   {}\nTO    {}\n",
            self.command,
            self.way,
            self.to.join(", ")
        );
        let bytes = compose(&Letter {
            from: self.from,
            to: self.to,
            subject: &format!("[integrityd] {host}: test mail"),
            text: &text,
            host: self.host,
            severity: Severity::Low,
            range: (0, 0),
            date: self.date,
            zone: self.zone,
            id,
        })?;
        Ok((id.text(self.host), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{mime::plain_text, sample::NOW};

    #[test]
    fn it_looks_like_a_report_that_reports_nothing() {
        let mail = TestMail {
            host: "web3.example",
            from: "integrityd@web3.example",
            to: &["a@example.org".to_owned(), "b@example.org".to_owned()],
            way: "SMTP to localhost:25",
            command: "integrityd mail test",
            date: Timestamp::from_nanos(NOW),
            zone: &TimeZone::UTC,
        };
        let (id, bytes) = mail.compose().unwrap();
        let (headers, text) = plain_text(&bytes);
        assert!(headers.contains(&("Message-ID".to_owned(), id.clone())));
        assert_ne!(mail.compose().unwrap().0, id);
        let subject = headers.iter().find(|(name, _)| name == "Subject").map(|(_, value)| value.as_str());
        assert_eq!(subject, Some("[integrityd] web3.example: test mail"));
        insta::assert_snapshot!(text, @r"
        web3.example   Sat 21 Nov 2026 13:10:02 +0000   test mail

        Nothing has happened: somebody called `integrityd mail test` to see whether reports arrive.

        WAY   SMTP to localhost:25
        TO    a@example.org, b@example.org
        ");
    }
}
