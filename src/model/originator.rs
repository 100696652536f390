//! Whose events are whose: what places in a mail and urgent mails are dealt in turns by, so that no amount of one keeps out another.

use std::collections::HashMap;

use crate::model::{
    canonical::digest,
    event::{Event, Kind},
    log::stamp,
};

/// Who can make events like this one in any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Originator<'a> {
    /// The owner of a file, and the topmost directory below its area that it lies in; the area where it lies in none. The owner of a file
    /// that is gone is who it belonged to.
    Owner {
        /// The user; `None` where it is not known.
        uid: Option<u32>,
        /// The path, as raw bytes.
        directory: &'a [u8],
    },
    /// The program that a line of a log says it comes from.
    Program {
        /// The path of the log, as raw bytes.
        log: &'a [u8],
        /// Its tag without the PID; empty when the line has none.
        program: &'a [u8],
    },
    /// Whatever the event is about.
    Source(&'a [u8]),
}

/// An originator as the database keeps it: events with equal keys and equal areas have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginatorKey {
    /// The user id, -1 for an unknown one; of anything that is no file 63 bits of a hash of the log or source.
    pub originator: i64,
    /// 63 bits of a hash of the directory or program.
    pub part: i64,
}

/// Whose urgent events are counted together, so that urgent mails back off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UrgentKey {
    /// A hash of class and area, apart for root and all others; of what is no file, of class and log or source.
    pub scope: i64,
    /// What is told apart in it: paths of root, owners, programs. Never [`CROWD`].
    pub detail: i64,
    /// How many of these count by themselves; of more the scope counts.
    pub most: usize,
}

/// In the place of details that are too many.
pub const CROWD: i64 = 0;

/// Details that count by themselves: of files of root, and of what anybody can make in any number.
const MOST_OF_ROOT: usize = 64;
const MOST_OF_OTHERS: usize = 8;

/// What of the urgent events of a channel that wait was found so far.
#[derive(Debug, Default)]
pub struct UrgentScan {
    /// Behind which event it began.
    batched: u64,
    /// The last urgent event that was looked at.
    pub seen: u64,
    /// The first event of each.
    pub first: HashMap<UrgentKey, u64>,
}

impl UrgentKey {
    /// That of an event: whether it is about a file, and its class; its area; its originator and part; its source.
    pub fn new((is_file, category): (bool, u16), area: &[u8], (originator, part): (i64, i64), source: &[u8]) -> Self {
        let (apart, detail, most) = match (is_file, originator) {
            (true, 0) => (0, hash(source), MOST_OF_ROOT),
            (true, owner) => (-1, owner, MOST_OF_OTHERS),
            (false, originator) => (originator, part, MOST_OF_OTHERS),
        };
        let scope = [&category.to_be_bytes()[..], &apart.to_be_bytes(), area].concat();
        // No owner but root is 0, and he is apart.
        Self { scope: hash(&scope), detail: if detail == CROWD { 1 } else { detail }, most }
    }
}

impl UrgentScan {
    /// Begins anew where more was reported since.
    pub fn begin_behind(&mut self, batched: u64) {
        if self.batched != batched {
            *self = Self { batched, seen: batched, first: HashMap::new() };
        }
    }
}

impl<'a> Originator<'a> {
    /// That of an event.
    pub fn of(event: &'a Event) -> Self {
        match event.category.kind() {
            Kind::File => Self::of_file(&event.area, &event.source, owner(event)),
            Kind::Log if event.category.is_line() => {
                Self::Program { log: &event.source, program: program(&event.note) }
            }
            Kind::Log | Kind::Own | Kind::Process => Self::Source(&event.source),
        }
    }

    /// That of a file of this owner at `path` in an area.
    pub fn of_file(area: &'a [u8], path: &'a [u8], uid: Option<u32>) -> Self {
        Self::Owner { uid, directory: top_directory(area, path) }
    }

    /// Its key.
    pub fn key(&self) -> OriginatorKey {
        match self {
            Self::Owner { uid, directory } => {
                OriginatorKey { originator: uid.map_or(-1, i64::from), part: hash(directory) }
            }
            Self::Program { log, program } => OriginatorKey { originator: hash(log), part: hash(program) },
            Self::Source(source) => OriginatorKey { originator: hash(source), part: 0 },
        }
    }
}

/// Who owns what an event is about, or owned it.
pub fn owner(event: &Event) -> Option<u32> {
    event.new.as_ref().or(event.old.as_ref()).map(|seen| seen.attributes.uid)
}

/// The directory just below `area` that `path` lies in, or the area.
fn top_directory<'a>(area: &'a [u8], path: &'a [u8]) -> &'a [u8] {
    let below = path.strip_prefix(area).unwrap_or_default();
    let name = below.strip_prefix(b"/").unwrap_or(below);
    match name.iter().position(|byte| *byte == b'/') {
        Some(end) => path.get(..path.len() - name.len() + end).unwrap_or(area),
        None => area,
    }
}

/// The tag of a line behind its time stamp and host, without what follows in brackets.
fn program(line: &[u8]) -> &[u8] {
    let rest = line.get(stamp::length(line)..).unwrap_or_default();
    let tag = rest.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let end = tag.iter().position(|byte| matches!(byte, b'[' | b':')).unwrap_or(0);
    tag.get(..end).unwrap_or_default()
}

fn hash(bytes: &[u8]) -> i64 {
    let first = digest(bytes).first_chunk::<8>().copied().unwrap_or_default();
    (u64::from_be_bytes(first) >> 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_owners_in_the_topmost_directory_below_its_area() {
        let directory = |area: &'static str, path: &'static str| match Originator::of_file(
            area.as_bytes(),
            path.as_bytes(),
            Some(7),
        ) {
            Originator::Owner { uid: Some(7), directory } => str::from_utf8(directory).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(directory("/home", "/home/u/.ssh/authorized_keys"), "/home/u");
        assert_eq!(directory("/home", "/home/u"), "/home");
        assert_eq!(directory("/home", "/home"), "/home");
        assert_eq!(directory("/", "/usr/bin/x"), "/usr");
        assert_eq!(directory("/", "/vmlinuz"), "/");
        assert_eq!(directory("/srv", "/elsewhere/x"), "/srv");
    }

    #[test]
    fn a_line_is_its_programs() {
        let program = |line: &'static str| str::from_utf8(program(line.as_bytes())).unwrap();
        assert_eq!(program("Nov 21 14:02:09 web3 sudo: alice : 3 incorrect"), "sudo");
        assert_eq!(program("2026-11-21T14:02:11.5+01:00 web3 postfix/smtp[12]: x"), "postfix/smtp");
        assert_eq!(program("Nov 21 14:02:09 web3 last message repeated"), "");
        assert_eq!(program("web3 x[1]: no stamp"), "x");
        assert_eq!(program(""), "");
    }

    #[test]
    fn keys_differ_where_originators_do() {
        let line = |log: &'static [u8], program: &'static [u8]| Originator::Program { log, program }.key();
        assert_eq!(line(b"a", b"x"), line(b"a", b"x"));
        assert_ne!(line(b"a", b"x"), line(b"a", b"y"));
        assert_ne!(line(b"a", b"x").originator, line(b"b", b"x").originator);
        assert_eq!(Originator::of_file(b"/a", b"/a/b", None).key().originator, -1);
    }
}
