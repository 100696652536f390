//! An attempt to hand over a mail of our own, in the seconds that stamps of log lines have, and when a line can be about it.

use jiff::tz::TimeZone;

use crate::{logs::line::syslog::SyslogStamp, model::clock::Timestamp, store::sources::own_mail::OwnMail};

/// Seconds that a line may be stamped before an attempt or after its end: stamps are cut to seconds, and servers may write late.
const BEFORE: i64 = 2;
pub(super) const AFTER: i64 = 5;

/// Seconds after an attempt in which its Message-ID may get further queue ids, as from a filter or a forwarding, and in which a server
/// may connect to the next one.
pub(super) const HANDLING: i64 = 60;

/// Seconds an attempt may take of which no end was stored.
const LONGEST: i64 = 15 * 60;

/// Seconds in which a mail may still be meant; mail servers give up after five days.
const LIFE: i64 = 6 * 86_400;

/// An attempt.
#[derive(Debug)]
pub(in crate::logs) struct OwnAttempt<'a> {
    /// What is stored of it.
    pub(in crate::logs) mail: &'a OwnMail,
    begun: i64,
    ended: i64,
    /// Its queue ids, and until when each is its own.
    pub(super) queue_ids: Vec<(String, i64)>,
}

impl<'a> OwnAttempt<'a> {
    /// The attempt as a clock on the wall in `zone` showed it.
    pub(in crate::logs) fn new(mail: &'a OwnMail, zone: &TimeZone) -> Self {
        let wall = |at: Timestamp| {
            let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
            SyslogStamp::Exact(at).wall_seconds(zone, Timestamp::from_nanos(0)).unwrap_or_default()
        };
        let begun = wall(mail.begun);
        let last = |until: Option<Timestamp>| until.map_or(begun + LIFE, |until| wall(until) + 1);
        Self {
            mail,
            begun,
            ended: mail.ended.map_or(begun + LONGEST, wall),
            queue_ids: mail.queue_ids.iter().map(|(id, until)| (id.clone(), last(*until))).collect(),
        }
    }

    /// Whether it was under way at `at`, or no more than `late` seconds before.
    pub(super) fn was_under_way(&self, at: i64, late: i64) -> bool {
        (self.begun - BEFORE..=self.ended + late).contains(&at)
    }

    /// Whether its mail may still be on its way at `at`.
    pub(super) fn is_alive(&self, at: i64) -> bool {
        (self.begun - BEFORE..=self.begun + LIFE).contains(&at)
    }

    /// Whether its mail has this Message-ID, without brackets.
    pub(super) fn is_called(&self, id: &str) -> bool {
        self.mail.message_id.strip_prefix('<').and_then(|known| known.strip_suffix('>')) == Some(id)
    }

    /// Whether this queue id was its own at `at`.
    pub(in crate::logs) fn has(&self, id: &str, at: i64) -> bool {
        let until = self.queue_ids.iter().find(|(known, _)| known == id).map(|(_, until)| *until);
        until.is_some_and(|until| (self.begun - BEFORE..=until).contains(&at))
    }

    /// Gives it a queue id, until a time or as long as it lives; gives that time as it is stored.
    pub(super) fn bind(&mut self, id: &str, until: Option<i64>) -> Option<Timestamp> {
        let last = until.map_or(self.begun + LIFE, |until| until + 1);
        match self.queue_ids.iter_mut().find(|(known, _)| known == id) {
            Some(known) => known.1 = last,
            None => self.queue_ids.push((id.to_owned(), last)),
        }
        // Back from what the clock on the wall showed: by how much it lies after the beginning.
        let nanos = until?.saturating_sub(self.begun).saturating_mul(1_000_000_000);
        Some(Timestamp::from_nanos(self.mail.begun.as_nanos().saturating_add(nanos)))
    }
}
