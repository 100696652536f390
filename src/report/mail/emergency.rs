//! The mail that tells that nothing can be stored: made of what is in memory, and of no report.

use std::path::Path;

use crate::{
    model::{
        escape::{escape_cut, escape_name},
        event::Severity,
        format::counted,
    },
    report::mail::{mime::MimeError, notice::Notice},
    store::recovery::{encountered::StoreTrouble, failure_kind::DbFailure},
    sys::fs::space::{Space, space},
};

/// All that becomes an emergency mail.
#[derive(Debug, Clone, Copy)]
pub struct Emergency<'a> {
    /// From whom, to whom and when.
    pub notice: Notice<'a>,
    /// The database.
    pub database: &'a Path,
    /// What has happened.
    pub trouble: &'a StoreTrouble,
}

impl Emergency<'_> {
    /// Its Message-ID, which is that of no report, and its bytes.
    ///
    /// # Errors
    /// [`MimeError`] when an address is none, or there is no recipient.
    pub fn compose(&self) -> Result<(String, Vec<u8>), MimeError> {
        let directory = self.database.parent().unwrap_or(Path::new("/"));
        let (headline, text) = if self.trouble.failure == DbFailure::Unreadable {
            ("a row of the database cannot be read", self.text_of_unreadable())
        } else {
            ("the database cannot be written", self.text(space(directory)))
        };
        self.notice.compose(Severity::Critical, &format!("EMERGENCY: {}", self.verdict()), headline, &text)
    }

    fn verdict(&self) -> &'static str {
        match self.trouble.failure {
            DbFailure::Unreadable => "the database holds what cannot be read, and a part of integrityd stands still",
            _ => "the database cannot be written, nothing is reported",
        }
    }

    fn text_of_unreadable(&self) -> String {
        format!(
            "DATABASE  {}\nSINCE     {}, met {}\nLAST      {}\n\n\
             integrityd has never written this: the file was edited by hand, or is damaged in a way that SQLite does not\n\
             notice. What has to read that row stands still: the walk, a channel of reports, or the delivery. This mail\n\
             comes from memory and is repeated once an hour.\n\n\
             What to do: integrityd verify; then put a copy back that is whole, or move the file away and start integrityd\n\
             anew: it says that the baseline is lost and learns it again.\n",
            escape_name(self.database.as_os_str().as_encoded_bytes()),
            self.notice.times().since(self.trouble.since.wall),
            counted(self.trouble.failures, "time", "times"),
            escape_cut(self.trouble.words.as_bytes(), 500),
        )
    }

    fn text(&self, room: Option<Space>) -> String {
        let since = self.notice.times().since(self.trouble.since.wall);
        let path = |path: &Path| escape_name(path.as_os_str().as_encoded_bytes());
        let room = match room {
            Some(Space { is_read_only: true, .. }) => "its file system is mounted read-only".to_owned(),
            Some(Space { free, .. }) => format!("{} KiB free on its file system", free / 1024),
            None => "the room on its file system cannot be told".to_owned(),
        };
        format!(
            "DATABASE  {}\n          {room}\nSINCE     {since}, {} failed\nLAST      {}\n\n\
             Nothing is lost: what is found now is not stored, so it is found again, and the logs are read on from\n\
             where they were. But until the database can be written no report can be made, and this mail comes\n\
             from memory. It is sent at most once an hour; the end of the trouble will be in an ordinary report.\n\n\
             What to do: df -h {}\n\
             Make room, raise the quota or the limit, or mount the file system writable. Nothing has to be started\n\
             again.\n",
            path(self.database),
            counted(self.trouble.failures, "attempt", "attempts"),
            escape_cut(self.trouble.words.as_bytes(), 500),
            path(self.database.parent().unwrap_or(Path::new("/"))),
        )
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::report::{mail::mime::plain_text, render::test_events::now};

    #[test]
    fn an_emergency_mail_says_what_fails_and_that_nothing_is_lost() {
        let trouble = StoreTrouble {
            since: now(),
            failure: DbFailure::Unwritable,
            words: "database: could not commit an outcome: database or disk is full\u{1b}\nFILES".to_owned(),
            failures: 12,
        };
        let notice = Notice {
            host: "web3",
            from: "integrityd@web3",
            to: &["root@example.org".to_owned()],
            date: now().wall,
            zone: &TimeZone::UTC,
        };
        let emergency =
            Emergency { notice, database: Path::new("/var/lib/integrityd/integrityd.sqlite"), trouble: &trouble };
        let (id, bytes) = emergency.compose().unwrap();
        assert!(id.contains(".0.1@web3"), "{id}");
        let subject = plain_text(&bytes).0.into_iter().find(|(name, _)| name == "Subject").unwrap().1;
        assert_eq!(subject, "[integrityd] web3: EMERGENCY: the database cannot be written, nothing is reported");
        assert!(plain_text(&bytes).1.starts_with(
            "web3   Sat 21 Nov 2026 13:10:02 +0000   the database cannot be written\n\nDATABASE  /var/lib/integrityd/"
        ));
        let text = emergency.text(Some(Space { free: 4096, is_read_only: false }));
        insta::assert_snapshot!(text, @r"
        DATABASE  /var/lib/integrityd/integrityd.sqlite
                  4 KiB free on its file system
        SINCE     2026-11-21 13:10, 12 attempts failed
        LAST      database: could not commit an outcome: database or disk is full\x1b\nFILES

        Nothing is lost: what is found now is not stored, so it is found again, and the logs are read on from
        where they were. But until the database can be written no report can be made, and this mail comes
        from memory. It is sent at most once an hour; the end of the trouble will be in an ordinary report.

        What to do: df -h /var/lib/integrityd
        Make room, raise the quota or the limit, or mount the file system writable. Nothing has to be started
        again.
        ");
    }
}
