//! The mail that `mail test` sends: in the shape of a report, so that filters treat it as one, and with nothing to report.

use crate::{
    model::event::Severity,
    report::mail::{mime::MimeError, notice::Notice},
};

/// All that becomes a test mail.
#[derive(Debug, Clone, Copy)]
pub struct TestMail<'a> {
    /// From whom, to whom and when.
    pub notice: Notice<'a>,
    /// The configured way, neutralised.
    pub way: &'a str,
    /// How the command was called, neutralised.
    pub command: &'a str,
}

impl TestMail<'_> {
    /// Its Message-ID, new each time, and its bytes.
    ///
    /// # Errors
    /// [`MimeError`] when an address is none, or there is no recipient.
    pub fn compose(&self) -> Result<(String, Vec<u8>), MimeError> {
        let text = format!(
            "Nothing has happened: somebody called `{}` to see whether reports arrive.\n\nWAY   {}\nTO    {}\n",
            self.command,
            self.way,
            self.notice.to.join(", ")
        );
        self.notice.compose(Severity::Low, "test mail", "test mail", &text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        model::clock::Timestamp,
        report::{mail::mime::plain_text, render::test_events::NOW},
    };

    #[test]
    fn it_looks_like_a_report_that_reports_nothing() {
        let notice = Notice {
            host: "web3.example",
            from: "integrityd@web3.example",
            to: &["a@example.org".to_owned(), "b@example.org".to_owned()],
            date: Timestamp::from_nanos(NOW),
            zone: &TimeZone::UTC,
        };
        let mail = TestMail { notice, way: "SMTP to localhost:25", command: "integrityd mail test" };
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
