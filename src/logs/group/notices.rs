//! What is said of a log, in words: each happening becomes an event or nothing.
//!
//! Rotation is a log's daily life and no news. What may have cost lines, or looks as if somebody had meant to cost some, is grave.

use jiff::tz::TimeZone;

use crate::{
    logs::journal::notices::JournalHappening,
    model::{
        clock::Moment,
        escape::escape,
        event::{Category, Event, LogLine, Severity},
        log::position::ReadRefusal,
    },
    tail::{poll::TailEvent, splitter::LogRecord},
};

/// The name of the journal among the logs.
pub const JOURNAL: &[u8] = b"journal";

/// The event of a line with this verdict; `rule` is the place of the rule that raised it.
pub fn line(category: Category, found: Moment, log: &[u8], bytes: &[u8], length: u64, rule: Vec<u8>) -> Event {
    let severity = match category {
        Category::Cracking => Severity::Critical,
        Category::Violation => Severity::High,
        _ => Severity::Normal,
    };
    let mut event = Event::new(category, severity, found, log.to_vec()).with_note(bytes);
    event.line = Some(LogLine { rule, length, digest: None });
    event
}

/// The event of something other than a line in a log; `None` for a line.
pub fn gap(record: &LogRecord, found: Moment, log: &[u8]) -> Option<Event> {
    let LogRecord::Gap(bytes) = record else { return None };
    let note = format!("{bytes} zero bytes stand where text should be: its writer goes on after it was cut");
    Some(Event::new(Category::LogNote, Severity::Low, found, log.to_vec()).with_note(note))
}

/// The event of a happening; `None` when it is nothing to tell.
pub fn happening(happening: &TailEvent, found: Moment, log: &[u8]) -> Option<Event> {
    let (category, severity, note) = words(happening, found)?;
    Some(Event::new(category, severity, found, log.to_vec()).with_note(note))
}

/// The event of a log that is written faster than it can be read.
pub fn lag(bytes: u64, found: Moment, log: &[u8]) -> Event {
    let note = format!("{} MiB of it wait to be read: it is written faster than it is read", bytes >> 20);
    Event::new(Category::LogTrouble, Severity::Normal, found, log.to_vec()).with_note(note)
}

/// The event of a happening in the journal, with times in `zone`.
pub fn journal(happening: &JournalHappening, zone: &TimeZone, found: Moment) -> Event {
    let (category, severity) = match happening {
        JournalHappening::Began(_) | JournalHappening::Shortened(_) => (Category::LogNote, Severity::Low),
        JournalHappening::Gap { .. } => (Category::LogTrouble, Severity::High),
        JournalHappening::Trouble { .. } => (Category::LogTrouble, Severity::Normal),
        JournalHappening::Back(..) => (Category::LogBack, Severity::Low),
    };
    Event::new(category, severity, found, JOURNAL.to_vec()).with_note(happening.text(zone))
}

fn words(happening: &TailEvent, found: Moment) -> Option<(Category, Severity, String)> {
    let trouble = Category::LogTrouble;
    let shown = |name: &[u8]| escape(name);
    Some(match happening {
        TailEvent::Rotated(_) => return None,
        TailEvent::Began { offset: 0, .. } => {
            (Category::LogNote, Severity::Low, "read from its beginning on".to_owned())
        }
        TailEvent::Began { offset, .. } => {
            let note = format!("read from now on; the {offset} bytes before are not reported");
            (Category::LogNote, Severity::Low, note)
        }
        TailEvent::Replaced => {
            let note = "deleted or replaced; what had been written to it was read to its end";
            (Category::LogNote, Severity::Low, note.to_owned())
        }
        TailEvent::Shrank { offset, size } => {
            let note = format!(
                "has become shorter: it had been read up to byte {offset} and now has {size}, and no rotated file holds the rest. \
                 Possible tampering; it is read from its beginning"
            );
            (trouble, Severity::High, note)
        }
        TailEvent::ContinuityLost { offset, unread } => {
            let note = format!(
                "continuity lost: the file that had been read up to byte {offset} is gone, and with it {unread} or more bytes that \
                 nobody has read"
            );
            (trouble, Severity::High, note)
        }
        TailEvent::Retargeted { old, new } => {
            let place = |target: &Option<Vec<u8>>| match target {
                Some(target) => format!("a link to {}", shown(target)),
                None => "a file of its own".to_owned(),
            };
            (Category::LogNote, Severity::Normal, format!("was {}, is {}", place(old), place(new)))
        }
        TailEvent::Trouble(refusal, since) => {
            let severity = match refusal {
                ReadRefusal::Link(_) | ReadRefusal::HardLink => Severity::High,
                _ => Severity::Normal,
            };
            let (why, remedy) = refused(*refusal);
            let note = format!("{why} (for {}): {remedy}", span(found, *since));
            (trouble, severity, note)
        }
        TailEvent::Back(refusal, since) => {
            let note = format!("can be read again; {} for {}", refused(*refusal).0, span(found, *since));
            (Category::LogBack, Severity::Low, note)
        }
        TailEvent::SiblingRefused(name) => {
            let note =
                format!("the rotated file {} is not read: it belongs to another user or was linked there", shown(name));
            (trouble, Severity::High, note)
        }
        TailEvent::SiblingUnreadable(name, why) => {
            let note = format!("the rotated file {} cannot be read to its end: {}", shown(name), shown(why.as_bytes()));
            (trouble, Severity::Normal, note)
        }
        TailEvent::SiblingTooLarge(name, most) => {
            let note =
                format!("the rotated file {} unpacks to more than {most} bytes; the rest is not read", shown(name));
            (trouble, Severity::Normal, note)
        }
        TailEvent::Unlisted(errno) => {
            let why = std::io::Error::from_raw_os_error(*errno);
            let note =
                format!("its rotated files cannot be looked for ({why}): lines may be missed at the next rotation");
            (trouble, Severity::Normal, note)
        }
        TailEvent::TooManySiblings => {
            let note = "there are more rotated files than are looked at: move old ones elsewhere".to_owned();
            (trouble, Severity::Normal, note)
        }
    })
}

/// Why a log is not read, and what to do about it.
pub fn refused(refusal: ReadRefusal) -> (String, &'static str) {
    match refusal {
        ReadRefusal::Missing => ("is missing".to_owned(), "correct its log line, or make it a logtransient line"),
        ReadRefusal::Unreadable(errno) => {
            let why = std::io::Error::from_raw_os_error(errno);
            (format!("cannot be read ({why})"), "give integrityd the right to read it")
        }
        ReadRefusal::Kind(kind) => (format!("is no regular file but a {}", kind.word()), "only regular files are read"),
        ReadRefusal::Link(owner) => (
            format!("is a link made by user {owner}, who does not own what it leads to"),
            "it is not followed, since it may show what that user must not read",
        ),
        ReadRefusal::HardLink => (
            "is another user's file, linked into a directory that others can write".to_owned(),
            "it is not read, since it may show what that user must not read",
        ),
    }
}

/// Whole seconds, minutes, hours or days.
fn span(now: Moment, since: crate::model::clock::Timestamp) -> String {
    let seconds = now.wall.since(since).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
