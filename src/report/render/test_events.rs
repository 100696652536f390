//! Events and programs for the tests of this room: realistic ones, and what an attacker would make.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use proptest::prelude::*;

use crate::{
    model::{
        clock::{BootId, Boottime, Moment, Timestamp},
        event::{Category, Event, LogLine, Severity, StoredEvent},
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{Attributes, Digests, FileKind, HashState, Observation},
        },
        originator::{Originator, OriginatorKey},
        process::{Process, ProcessId, ProcessNews},
    },
    report::render::sections::log_section::{Gathering, LeftOut, LogSection, SECTIONS},
};

/// 2026-11-21T13:10:02Z.
pub(crate) const NOW: i64 = 1_795_266_602_000_000_000;

pub(crate) fn now() -> Moment {
    Moment { wall: Timestamp::from_nanos(NOW), boottime: Boottime::from_nanos(NOW / 1000), boot: BootId([7; 16]) }
}

/// So many seconds before [`NOW`].
pub(crate) fn ago(seconds: u64) -> Timestamp {
    now().wall.before(Duration::from_secs(seconds))
}

pub(crate) fn look(kind: FileKind, perms: u16, size: u64, digest: u8) -> Observation {
    let is_file = kind == FileKind::Regular;
    Observation {
        attributes: Attributes {
            kind,
            perms,
            uid: 0,
            gid: 0,
            nlink: 1,
            dev: 8 << 32,
            inode: 9_007_199_254_740_993,
            rdev: 0,
            size,
            mtime: ago(100_000),
            ctime: ago(100_000),
            btime: None,
            target: (kind == FileKind::Symlink).then(|| b"../target".to_vec()),
            xattrs: None,
            flags: None,
        },
        hash_state: if is_file { HashState::Full } else { HashState::Off },
        digests: Digests { blake3: is_file.then_some([digest; 32]), ..Digests::default() },
    }
}

pub(crate) fn stored(seq: u64, event: Event) -> StoredEvent {
    StoredEvent { seq, event, prev_hash: [1; 32], hash: [2; 32] }
}

/// An event that was found seven minutes ago, within a window of five minutes.
pub(crate) fn event(category: Category, severity: Severity, path: &[u8]) -> Event {
    let found = Moment { wall: ago(411), ..now() };
    let mut event = Event::new(category, severity, found, path.to_vec());
    event.area = b"/etc".to_vec();
    event.not_before = Some(ago(720));
    event
}

pub(crate) fn added(seq: u64, path: &[u8]) -> StoredEvent {
    let mut event = event(Category::Added, Severity::Normal, path);
    event.new = Some(look(FileKind::Regular, 0o644, 34, 0x9c));
    stored(seq, event)
}

pub(crate) fn added_directory(seq: u64, path: &[u8]) -> StoredEvent {
    let mut event = event(Category::Added, Severity::Normal, path);
    event.new = Some(look(FileKind::Directory, 0o755, 4096, 0));
    stored(seq, event)
}

/// A change of `list`, between two looks that `edit` makes differ.
pub(crate) fn changed(seq: u64, path: &[u8], list: &[Attribute], edit: impl Fn(&mut Observation)) -> StoredEvent {
    let mut event = event(Category::Changed, Severity::Normal, path);
    let old = look(FileKind::Regular, 0o644, 1832, 0xe3);
    let mut new = old.clone();
    edit(&mut new);
    event.changed = AttributeSet::of(list);
    (event.old, event.new) = (Some(old), Some(new));
    stored(seq, event)
}

/// A line that was found in `log`, seven minutes ago.
pub(crate) fn line(seq: u64, category: Category, log: &[u8], text: &[u8]) -> StoredEvent {
    let severity = match category {
        Category::Cracking => Severity::Critical,
        Category::Violation => Severity::High,
        _ => Severity::Normal,
    };
    let rule = match category {
        Category::Cracking => &b"/etc/logcheck/cracking.d/sshd:7"[..],
        Category::Violation => b"/etc/logcheck/violations.d/sudo:3",
        _ => b"",
    };
    let mut event = event(category, severity, log);
    (event.area, event.not_before) = (Vec::new(), None);
    event.note = text.to_vec();
    event.line = Some(LogLine { rule: rule.to_vec(), length: u64::try_from(text.len()).unwrap(), digest: None });
    stored(seq, event)
}

/// A process that was started 41 days ago.
pub(crate) fn process(pid: u32, comm: &str) -> Process {
    Process {
        id: ProcessId { pid, started: Boottime::from_nanos(i64::from(pid)), boot: now().boot },
        inner: None,
        since: ago(41 * 86_400 + 3600),
        comm: comm.as_bytes().to_vec(),
        exe: Some(format!("/usr/sbin/{comm}").into_bytes()),
    }
}

/// News of the process that `/run/apache2.pid` names.
pub(crate) fn process_event(
    category: Category,
    severity: Severity,
    old: Option<Process>,
    new: Option<Process>,
) -> Event {
    let mut event = event(category, severity, b"/run/apache2.pid");
    (event.area, event.not_before) = (Vec::new(), None);
    event.process = Some(Box::new(ProcessNews { container: Vec::new(), old, new }));
    event
}

/// The log lines among `events`, as a batch has them: of each log and program the first, the last, the second and so on.
pub(crate) fn gathered(events: &[StoredEvent], limit: usize) -> Vec<LogSection> {
    let section = |category: &Category| {
        let mut by_program: BTreeMap<OriginatorKey, VecDeque<&StoredEvent>> = BTreeMap::new();
        for stored in events.iter().filter(|stored| stored.event.category == *category) {
            by_program.entry(Originator::of(&stored.event).key()).or_default().push_back(stored);
        }
        let mut gathering = Gathering::new(*category, limit);
        let mut refused: Vec<&StoredEvent> = Vec::new();
        for turn in 0.. {
            let next = |all: &mut VecDeque<_>| if turn % 2 == 0 { all.pop_front() } else { all.pop_back() };
            let mut dealt: Vec<&StoredEvent> = by_program.values_mut().filter_map(next).collect();
            if dealt.is_empty() {
                break;
            }
            dealt.sort_by_key(|stored| stored.seq);
            for stored in dealt {
                if !refused.is_empty() || gathering.take(stored).is_break() {
                    refused.push(stored);
                }
            }
        }
        let mut left: BTreeMap<OriginatorKey, LeftOut> = BTreeMap::new();
        for stored in refused {
            let Originator::Program { log, program } = Originator::of(&stored.event) else { continue };
            let fresh = LeftOut { program: program.to_vec(), log: log.to_vec(), lines: 0 };
            left.entry(Originator::of(&stored.event).key()).or_insert(fresh).lines += 1;
        }
        let mut left: Vec<LeftOut> = left.into_values().collect();
        left.sort_by(|one, other| other.lines.cmp(&one.lines).then_with(|| one.log.cmp(&other.log)));
        left.truncate(3);
        gathering.done(left)
    };
    SECTIONS.iter().map(section).filter(|section| !section.items.is_empty()).collect()
}

/// The text with what goes on in the next line in one again.
pub(crate) fn unwrapped(text: &str) -> String {
    let mut out = String::new();
    for line in text.split('\n') {
        match line.trim_start_matches(' ').strip_prefix("↳ ") {
            Some(rest) => out.push_str(rest),
            None if out.is_empty() => out.push_str(line),
            None => out += &format!("\n{line}"),
        }
    }
    out
}

/// Bytes an attacker would choose.
pub(crate) fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        any::<String>().prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\u{202e}",
            "\u{200b}",
            "\u{85}",
            "\nFILES\n",
            "\r\nBcc: x@y\r\n\r\n",
            "\x1b[2J",
            "   added   ",
            ".\r\n",
            "/",
            "\u{e0041}",
            "=?utf-8?q?x?=",
            "\r",
            "\nCOVERAGE  all quiet",
            "Nov 21 14:02:11 web3 sshd[812]: ",
            "    ×99, last 14:05:11",
            "SECURITY ALERTS (cracking)",
            "'; reboot; '",
            "\\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        Just(vec![b'x'; 700]),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn timestamps() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), NOW - 1_000_000_000_000..NOW].prop_map(Timestamp::from_nanos)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let numbers = (0_u16..0o10000, any::<u32>(), any::<u32>(), any::<[u64; 4]>());
    let times = (timestamps(), timestamps(), prop::option::of(timestamps()));
    let blobs = (prop::option::of(hostile()), prop::option::of(hostile()));
    (prop::sample::select(FileKind::ALL.to_vec()), numbers, times, blobs).prop_map(
        |(kind, (perms, uid, gid, [dev, inode, rdev, size]), (mtime, ctime, btime), (target, xattrs))| Attributes {
            kind,
            perms,
            uid,
            gid,
            nlink: uid,
            dev,
            inode,
            rdev,
            size,
            mtime,
            ctime,
            btime,
            target,
            xattrs,
            flags: Some(inode).filter(|flags| flags % 2 == 1),
        },
    )
}

fn processes() -> impl Strategy<Value = Process> {
    let numbers = (any::<u32>(), prop::option::of(any::<u32>()), any::<i64>(), timestamps());
    (numbers, hostile(), prop::option::of(hostile())).prop_map(|((pid, inner, started, since), comm, exe)| Process {
        id: ProcessId { pid, started: Boottime::from_nanos(started), boot: now().boot },
        inner,
        since,
        comm,
        exe,
    })
}

fn process_news() -> impl Strategy<Value = Option<Box<ProcessNews>>> {
    let both = (hostile(), prop::option::of(processes()), prop::option::of(processes()));
    prop::option::of(both.prop_map(|(container, old, new)| Box::new(ProcessNews { container, old, new })))
}

fn observations() -> impl Strategy<Value = Observation> {
    let states = prop_oneof![
        Just(HashState::Off),
        Just(HashState::Full),
        any::<u64>().prop_map(HashState::Partial),
        Just(HashState::Busy),
        Just(HashState::TooBig),
        any::<i32>().prop_map(HashState::Unreadable),
    ];
    let digests = (prop::option::of(any::<[u8; 32]>()), prop::option::of(any::<[u8; 32]>()), any::<bool>());
    (attributes(), states, digests).prop_map(|(attributes, hash_state, (blake3, sha256, has_long))| Observation {
        attributes,
        hash_state,
        digests: Digests { blake3, sha256, sha512: has_long.then_some([5; 64]) },
    })
}

/// Any event whatever, consistent or not.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let class = (prop::sample::select(Category::ALL.to_vec()), prop::sample::select(Severity::ALL.to_vec()));
    let times = (timestamps(), prop::option::of(timestamps()));
    let looks = (prop::option::of(observations()), prop::option::of(observations()), any::<u32>());
    let counts = (prop_oneof![Just(1), any::<u64>()], prop::option::of(any::<[u8; 32]>()));
    let line =
        prop::option::of((hostile(), any::<u64>()).prop_map(|(rule, length)| LogLine { rule, length, digest: None }));
    (class, times, looks, counts, (hostile(), hostile(), hostile(), hostile(), line, process_news())).prop_map(
        |(
            (category, severity),
            (found, not_before),
            (old, new, changed),
            (count, members_digest),
            (area, source, previous, note, line, process),
        )| Event {
            category,
            severity,
            found: Moment { wall: found, ..now() },
            area,
            source,
            previous,
            changed: AttributeSet::from_bits(changed),
            old,
            new,
            not_before,
            count,
            members_digest,
            note,
            line,
            process,
        },
    )
}

/// Puts a shell script that can be run into `directory`.
///
/// Another process writes it: a descriptor of ours would be open in any child that another test starts just then, and a program
/// that somebody writes cannot be run (ETXTBSY).
pub(crate) fn put_program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    let mut shell = Command::new("sh")
        .args(["-c", "umask 077; cat > \"$0\" && chmod 700 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    path
}
