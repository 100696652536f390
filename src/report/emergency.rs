//! The mail that tells that nothing can be stored: made of what is in memory, and of no report.

use std::path::Path;

use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{
    mime::{Letter, MessageId, MimeError, compose},
    subject::HOST_LIMIT,
    words::{Times, counted},
};
use crate::{
    model::{
        clock::Timestamp,
        escape::{escape_cut, escape_name},
        event::Severity,
    },
    store::{ailment::Ailment, health::Trouble},
    sys::space::{Space, space},
};

/// All that becomes an emergency mail.
#[derive(Debug, Clone, Copy)]
pub struct Emergency<'a> {
    /// The name of the machine.
    pub host: &'a str,
    /// The sender's address.
    pub from: &'a str,
    /// The recipients' addresses, at least one.
    pub to: &'a [String],
    /// The database.
    pub database: &'a Path,
    /// What has happened.
    pub trouble: &'a Trouble,
    /// When it is sent.
    pub date: Timestamp,
    /// The zone the date is written in.
    pub zone: &'a TimeZone,
}

impl Emergency<'_> {
    /// Its Message-ID, which is that of no report, and its bytes.
    ///
    /// # Errors
    /// [`MimeError`] when an address is none, or there is no recipient.
    pub fn compose(&self) -> Result<(String, Vec<u8>), MimeError> {
        let host = escape_cut(self.host.as_bytes(), HOST_LIMIT);
        let id = MessageId { instance: Uuid::new_v4(), report: 0, part: 1 };
        let directory = self.database.parent().unwrap_or(Path::new("/"));
        let bytes = compose(&Letter {
            from: self.from,
            to: self.to,
            subject: &format!("[integrityd] {host}: EMERGENCY: {}", self.verdict()),
            text: &match self.trouble.ailment {
                Ailment::Unreadable => self.text_of_unreadable(&host),
                _ => self.text(&host, space(directory)),
            },
            host: self.host,
            severity: Severity::Critical,
            range: (0, 0),
            date: self.date,
            zone: self.zone,
            id,
        })?;
        Ok((id.text(self.host), bytes))
    }

    fn verdict(&self) -> &'static str {
        match self.trouble.ailment {
            Ailment::Unreadable => "the database holds what cannot be read, and a part of integrityd stands still",
            _ => "the database cannot be written, nothing is reported",
        }
    }

    fn text_of_unreadable(&self, host: &str) -> String {
        let times = Times::new(self.date, self.zone);
        format!(
            "{host}   {}   a row of the database cannot be read\n\n\
             DATABASE  {}\nSINCE     {}, met {}\nLAST      {}\n\n\
             integrityd has never written this: the file was edited by hand, or is damaged in a way that SQLite does not\n\
             notice. What has to read that row stands still: the walk, a channel of reports, or the delivery. This mail\n\
             comes from memory and is repeated once an hour.\n\n\
             What to do: integrityd verify; then put a copy back that is whole, or move the file away and start integrityd\n\
             anew: it says that the baseline is lost and learns it again.\n",
            times.headline(),
            escape_name(self.database.as_os_str().as_encoded_bytes()),
            times.since(self.trouble.since.wall),
            counted(self.trouble.failures, "time", "times"),
            escape_cut(self.trouble.words.as_bytes(), 500),
        )
    }

    fn text(&self, host: &str, room: Option<Space>) -> String {
        let times = Times::new(self.date, self.zone);
        let (headline, since) = (times.headline(), times.since(self.trouble.since.wall));
        let path = |path: &Path| escape_name(path.as_os_str().as_encoded_bytes());
        let room = match room {
            Some(Space { is_read_only: true, .. }) => "its file system is mounted read-only".to_owned(),
            Some(Space { free, .. }) => format!("{} KiB free on its file system", free / 1024),
            None => "the room on its file system cannot be told".to_owned(),
        };
        format!(
            "{host}   {headline}   the database cannot be written\n\n\
             DATABASE  {}\n          {room}\nSINCE     {since}, {} failed\nLAST      {}\n\n\
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
    use super::*;
    use crate::report::{mime::plain_text, sample::now};

    #[test]
    fn an_emergency_mail_says_what_fails_and_that_nothing_is_lost() {
        let trouble = Trouble {
            since: now(),
            ailment: Ailment::Unwritable,
            words: "database: could not commit an outcome: database or disk is full\u{1b}\nFILES".to_owned(),
            failures: 12,
        };
        let emergency = Emergency {
            host: "web3",
            from: "integrityd@web3",
            to: &["root@example.org".to_owned()],
            database: Path::new("/var/lib/integrityd/integrityd.sqlite"),
            trouble: &trouble,
            date: now().wall,
            zone: &TimeZone::UTC,
        };
        let (id, bytes) = emergency.compose().unwrap();
        assert!(id.contains(".0.1@web3"), "{id}");
        let subject = plain_text(&bytes).0.into_iter().find(|(name, _)| name == "Subject").unwrap().1;
        assert_eq!(subject, "[integrityd] web3: EMERGENCY: the database cannot be written, nothing is reported");
        let text = emergency.text("web3", Some(Space { free: 4096, is_read_only: false }));
        insta::assert_snapshot!(text, @r"
        web3   Sat 21 Nov 2026 13:10:02 +0000   the database cannot be written

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
