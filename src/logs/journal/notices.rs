//! What a poll of the journal finds besides lines, and its neutral words.

use jiff::tz::TimeZone;

use crate::model::{clock::Timestamp, escape::escape_name_cut, log::journal_cursor::Obstacle};

/// Bytes of a path or of journalctl's own words that are shown.
const MOST_SHOWN: usize = 500;

/// Something other than a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalHappening {
    /// The journal is read for the first time, from its end: behind the entry of this time, `None` when it is empty.
    Began(Option<Timestamp>),
    /// The entry that was read last is no longer there: what was logged between it and the first one that is may be missing.
    Gap {
        /// When the last entry that was read was logged.
        last: Timestamp,
        /// When the first entry that is there now was logged.
        first: Timestamp,
    },
    /// So many bytes of further lines of one message are not shown.
    Shortened(u64),
    /// The journal is not read, or not all of it.
    Trouble {
        /// Why.
        obstacle: Obstacle,
        /// Since when something is in the way.
        since: Timestamp,
        /// What it is about, as bytes: a path, or the first words of journalctl; may be empty.
        detail: Vec<u8>,
    },
    /// It can be read again after this obstacle, which had been in the way since then.
    Back(Obstacle, Timestamp),
}

impl JournalHappening {
    /// One sentence in English, with times in `zone`, neutralised.
    pub fn text(&self, zone: &TimeZone) -> String {
        match self {
            Self::Began(Some(last)) => {
                format!("the journal is read from its end, behind the entry of {}", time(*last, zone))
            }
            Self::Began(None) => "the journal is read from its beginning: it is empty".to_owned(),
            Self::Gap { last, first } => format!(
                "entries of the journal may be missing: it was read up to {}, and the first entry that is there now is of {}",
                time(*last, zone),
                time(*first, zone)
            ),
            Self::Shortened(bytes) => format!("{bytes} bytes of further lines of one journal entry are not shown"),
            Self::Trouble { obstacle, since, detail } => {
                let detail = escape_name_cut(detail, MOST_SHOWN);
                let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
                let (what, remedy) = words(*obstacle);
                let how = if matches!(obstacle, Obstacle::Denied(_)) {
                    "cannot be read as a whole"
                } else {
                    "cannot be read"
                };
                format!("the journal {how} since {}: {what}{detail}{remedy}", time(*since, zone))
            }
            Self::Back(obstacle, since) => {
                format!("the journal can be read again; since {}: {}", time(*since, zone), words(*obstacle).0)
            }
        }
    }
}

fn words(obstacle: Obstacle) -> (String, &'static str) {
    match obstacle {
        Obstacle::NoProgram => (
            "there is no journalctl".to_owned(),
            ": install systemd, or remove log = journal and name the files of your syslog",
        ),
        Obstacle::NotRun(errno) => (format!("journalctl cannot be started: {}", cause(errno)), ""),
        Obstacle::Untrusted => ("journalctl is not run, as others than root could have replaced it".to_owned(), ""),
        Obstacle::NoFiles => (
            "there are no journal files".to_owned(),
            ": is systemd-journald running, and Storage= in journald.conf not none?",
        ),
        Obstacle::Denied(errno) => (
            format!("journal files may not be read: {}", cause(errno)),
            ": add the user integrityd runs as to the group systemd-journal",
        ),
        Obstacle::Hung => ("journalctl did not end in its time and was killed".to_owned(), ""),
        Obstacle::Ended(code) => (format!("journalctl ended with {code}"), ": journalctl --verify may say more"),
        Obstacle::Killed(signal) => (format!("journalctl was ended by signal {signal}"), ""),
        Obstacle::Garbage => ("what journalctl says is not the journal export format".to_owned(), ""),
    }
}

fn cause(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

fn time(at: Timestamp, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_happening_has_its_words() {
        let at = |seconds: i64| Timestamp::from_nanos((1_795_266_602 + seconds) * 1_000_000_000);
        let trouble =
            |obstacle, detail: &[u8]| JournalHappening::Trouble { obstacle, since: at(0), detail: detail.to_vec() };
        let all: Vec<String> = [
            JournalHappening::Began(Some(at(0))),
            JournalHappening::Began(None),
            JournalHappening::Gap { last: at(0), first: at(3600) },
            JournalHappening::Shortened(12),
            trouble(Obstacle::NoProgram, b""),
            trouble(Obstacle::NotRun(8), b""),
            trouble(Obstacle::Untrusted, b"/tmp is writable"),
            trouble(Obstacle::NoFiles, b""),
            trouble(Obstacle::Denied(13), b"/var/log/journal/\x1b"),
            trouble(Obstacle::Hung, b""),
            trouble(Obstacle::Ended(1), b"Failed\xff"),
            trouble(Obstacle::Garbage, b""),
            JournalHappening::Back(Obstacle::Killed(9), at(0)),
        ]
        .iter()
        .map(|happening| happening.text(&TimeZone::UTC))
        .collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        the journal is read from its end, behind the entry of 2026-11-21 13:10:02 +00:00
        the journal is read from its beginning: it is empty
        entries of the journal may be missing: it was read up to 2026-11-21 13:10:02 +00:00, and the first entry that is there now is of 2026-11-21 14:10:02 +00:00
        12 bytes of further lines of one journal entry are not shown
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: there is no journalctl: install systemd, or remove log = journal and name the files of your syslog
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: journalctl cannot be started: Exec format error (os error 8)
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: journalctl is not run, as others than root could have replaced it (/tmp is writable)
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: there are no journal files: is systemd-journald running, and Storage= in journald.conf not none?
        the journal cannot be read as a whole since 2026-11-21 13:10:02 +00:00: journal files may not be read: Permission denied (os error 13) (/var/log/journal/\x1b): add the user integrityd runs as to the group systemd-journal
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: journalctl did not end in its time and was killed
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: journalctl ended with 1 (Failed\xff): journalctl --verify may say more
        the journal cannot be read since 2026-11-21 13:10:02 +00:00: what journalctl says is not the journal export format
        the journal can be read again; since 2026-11-21 13:10:02 +00:00: journalctl was ended by signal 9
        ");
    }
}
