//! Real journal files and the installed journalctl: our lines are those that logcheck's journal mode reads, byte for byte.
//!
//! logcheck 1.4.2 runs `journalctl --quiet --since=@T` with its output in a file (`logoutput` in /usr/sbin/logcheck). The journals
//! are made by systemd-journal-remote, which takes the export format.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use integrityd::{
    config::settings::config::{Config, LogGroup},
    logs::{
        Tailer,
        group::context::Surroundings,
        journal::{
            notices::JournalHappening,
            reader::{Journal, JournalPoll, JournalSettings},
        },
    },
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        event::Kind,
        keepalive::Keepalive,
        log::journal_cursor::{JournalPlace, JournalState},
    },
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
    tail::splitter::LogRecord,
};
use jiff::tz::TimeZone;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use tokio_util::sync::CancellationToken;

use crate::packages::need;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// 2026-11-01T00:00:02Z, in microseconds: a day of one digit, another month in the west.
const BEGIN: u64 = 1_793_491_202_000_000;

/// Later than all that is written here, and no entry is of this moment.
const NOW: Timestamp = Timestamp::from_nanos(1_900_000_000_000_000_000);

type Fields = Vec<(&'static str, Vec<u8>)>;

struct Files {
    scratch: tempfile::TempDir,
    /// Entries written so far, for their times.
    written: u64,
}

impl Files {
    /// `None`, said aloud, when the tools are not there.
    fn new() -> Option<Self> {
        let is_there = need("journalctl", "systemd") && need(REMOTE, "systemd-journal-remote");
        is_there.then(|| Self { scratch: tempfile::tempdir().unwrap(), written: 0 })
    }

    fn directory(&self) -> PathBuf {
        self.scratch.path().join("journal")
    }

    /// Appends entries to a journal file.
    fn write(&mut self, name: &str, entries: &[Fields]) {
        fs::create_dir_all(self.directory()).unwrap();
        let mut stream = Vec::new();
        for fields in entries {
            self.written += 1;
            let time = BEGIN + self.written * 1_000_000;
            stream.extend(format!("__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={}\n", self.written).bytes());
            stream.extend(b"_BOOT_ID=0123456789abcdef0123456789abcdef\n");
            for (name, value) in fields {
                stream.extend(name.as_bytes());
                stream.push(b'\n');
                stream.extend(u64::try_from(value.len()).unwrap().to_le_bytes());
                stream.extend(value);
                stream.push(b'\n');
            }
            stream.push(b'\n');
        }
        let mut remote = Command::new(REMOTE)
            .args(["-o", self.directory().join(name).to_str().unwrap(), "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        remote.stdin.take().unwrap().write_all(&stream).unwrap();
        assert!(remote.wait().unwrap().success());
    }

    fn journal(&self, zone: &str) -> Journal {
        Journal::new(JournalSettings {
            arguments: vec![format!("--directory={}", self.directory().display()).into()],
            places: vec![self.directory()],
            zone: TimeZone::get(zone).unwrap(),
            ..JournalSettings::default()
        })
    }

    /// What logcheck's journal mode reads.
    fn logcheck(&self, zone: &str) -> Vec<u8> {
        let out = self.scratch.path().join("out");
        let status = Command::new("journalctl")
            .args(["--quiet", "--since=@1"])
            .arg(format!("--directory={}", self.directory().display()))
            .env_clear()
            .envs([("LC_ALL", "C"), ("TZ", zone), ("PATH", "/usr/bin:/bin")])
            .stdout(fs::File::create(&out).unwrap())
            .status()
            .unwrap();
        assert!(status.success());
        fs::read(out).unwrap()
    }
}

fn from_the_beginning() -> JournalState {
    JournalState { place: JournalPlace::Since(Timestamp::from_nanos(1_000_000_000)), trouble: None }
}

fn message(text: &[u8]) -> Fields {
    vec![
        ("_HOSTNAME", b"host".to_vec()),
        ("_PID", b"812".to_vec()),
        ("SYSLOG_IDENTIFIER", b"app".to_vec()),
        ("MESSAGE", text.to_vec()),
    ]
}

/// All lines as text, with the count of those that were cut.
fn text(polls: &[JournalPoll]) -> (Vec<u8>, usize) {
    let (mut all, mut cut) = (Vec::new(), 0);
    for record in polls.iter().flat_map(|poll| &poll.records) {
        let LogRecord::Line { bytes, length } = record else { unreachable!() };
        all.extend(bytes);
        all.push(b'\n');
        cut += usize::from(*length > u64::try_from(bytes.len()).unwrap());
    }
    (all, cut)
}

/// Reads until there is nothing more.
fn read(journal: &mut Journal, mut state: JournalState) -> (Vec<JournalPoll>, JournalState) {
    let mut polls = Vec::new();
    loop {
        let poll = journal.poll(Some(&state), NOW);
        state.clone_from(&poll.state);
        let has_more = poll.has_more;
        polls.push(poll);
        if !has_more {
            return (polls, state);
        }
    }
}

fn assert_same(ours: &[u8], theirs: &[u8]) {
    let lines = |bytes: &[u8]| -> Vec<String> {
        bytes.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect()
    };
    let (ours, theirs) = (lines(ours), lines(theirs));
    for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(our, their, "line {number}");
    }
    assert_eq!(ours.len(), theirs.len());
}

fn hostile() -> Vec<Fields> {
    let mut all: Vec<Fields> = [
        &b"plain"[..],
        b"",
        b"\n",
        b"\n\n",
        b"two\nlines",
        b"trailing\n",
        b"a\n\n\nb",
        b"x\0y",
        b"\0",
        b"\xff\xfe",
        b"caf\xc3",
        b"\xed\xa0\x80",
        b"\x1b[31;1mred\x1b[0m",
        b"\x1b[2Jclear",
        b"\x1b]8;;http://x\x07link\x1b]8;;\x07",
        b"\x1b]0;title",
        b"\x1b[",
        b"\x1b",
        b"\x1b[\0m",
        b"\x1b[1;",
        b"\x1b]a\nb\x07",
        b"tab\tbed",
        b"cr\r",
        b"cr\r\r\nmore\r\n",
        b"c\rr",
        b"\r",
        b"\x07bell",
        b"\x7f",
        "\u{85}\u{9f}".as_bytes(),
        "\u{fdd0}".as_bytes(),
        "\u{ffff}".as_bytes(),
        "\u{1fffe}".as_bytes(),
        "é\u{202e}\u{200b}".as_bytes(),
        "\u{feff}".as_bytes(),
        b"Nov 21 14:02:11 host sshd[1]: forged\nNov 21 14:02:11 host sshd[1]: forged",
        b"__CURSOR=s=1;i=9\n\n__REALTIME_TIMESTAMP=1\nMESSAGE=forged\n\n",
        b"-- Boot 1 --",
        b"-- cursor: x",
        b"  blanks  ",
    ]
    .into_iter()
    .map(message)
    .collect();
    for size in [299, 300, 301, 1023, 1024, 10_000, 65_000] {
        all.extend([message(&vec![b'x'; size]), message(&vec![0xff; size])]);
    }
    let host = ("_HOSTNAME", b"host".to_vec());
    let text = ("MESSAGE", b"one\ntwo".to_vec());
    all.extend([
        vec![host.clone()],
        vec![text.clone()],
        vec![host.clone(), text.clone()],
        vec![host.clone(), ("_COMM", b"comm".to_vec()), ("SYSLOG_PID", b"99".to_vec()), text.clone()],
        vec![
            host.clone(),
            ("SYSLOG_IDENTIFIER", b"".to_vec()),
            ("_COMM", b"comm".to_vec()),
            ("_PID", b"".to_vec()),
            text.clone(),
        ],
        vec![
            host.clone(),
            ("SYSLOG_IDENTIFIER", b"a\nNov 01 00:00:02 host b".to_vec()),
            ("_PID", b"1\n2".to_vec()),
            text.clone(),
        ],
        vec![host.clone(), ("SYSLOG_IDENTIFIER", b"a\tb\x1bc".to_vec()), text.clone()],
        vec![
            ("_HOSTNAME", vec![b'h'; 300]),
            ("SYSLOG_IDENTIFIER", vec![b'i'; 299]),
            ("_PID", vec![b'1'; 300]),
            ("SYSLOG_PID", b"7".to_vec()),
            text.clone(),
        ],
        vec![("_HOSTNAME", "hé".as_bytes().to_vec()), ("SYSLOG_IDENTIFIER", "é".as_bytes().to_vec()), text.clone()],
        vec![
            host.clone(),
            text.clone(),
            ("MESSAGE", b"again".to_vec()),
            ("_PID", b"1".to_vec()),
            ("_PID", b"2".to_vec()),
        ],
    ]);
    for time in
        ["1795266602000000", "0", "1", "x", "", "36028797018963967", "36028797018963968", "99999999999999999999", "-5"]
    {
        let source = ("_SOURCE_REALTIME_TIMESTAMP", time.as_bytes().to_vec());
        all.push(vec![host.clone(), source, text.clone()]);
    }
    all
}

#[test]
fn our_lines_are_those_that_logcheck_reads() {
    let Some(mut files) = Files::new() else { return };
    files.write("a.journal", &hostile());
    let mut rng = StdRng::seed_from_u64(7);
    let pieces: [&[u8]; 16] = [
        b"\x1b",
        b"[",
        b"]",
        b"m",
        b"\x07",
        b";",
        b"1",
        b"\t",
        b"\r",
        b"\n",
        b" ",
        b"x",
        "é".as_bytes(),
        b"\0",
        b"\xc3",
        b"long text",
    ];
    let random: Vec<Fields> = (0..1500)
        .map(|number| {
            // Most of them without what makes them a blob.
            let most = if number % 4 == 0 { 16 } else { 13 };
            let count = rng.random_range(0..14);
            message(&(0..count).flat_map(|_| pieces[..most].choose(&mut rng).unwrap().to_vec()).collect::<Vec<u8>>())
        })
        .collect();
    files.write("b.journal", &random);
    for zone in ["UTC", "America/New_York", "Asia/Kathmandu"] {
        let (polls, _) = read(&mut files.journal(zone), from_the_beginning());
        let (ours, cut) = text(&polls);
        let theirs = files.logcheck(zone);
        assert_same(&ours, &theirs);
        println!("{zone}: {} lines are the same, {cut} cut", theirs.split(|byte| *byte == b'\n').count() - 1);
        assert_eq!(cut, 0);
    }
}

#[test]
fn what_is_larger_than_our_bounds_is_cut_and_said() {
    let Some(mut files) = Files::new() else { return };
    let mut many = b"line\n".repeat(3000);
    many.extend(b"end");
    files.write(
        "a.journal",
        &[message(&vec![b'x'; 2_000_000]), message(&vec![0xff; 3_000_000]), message(&many), message(b"after")],
    );
    let (polls, _) = read(&mut files.journal("UTC"), from_the_beginning());
    let lines: Vec<&[u8]> = polls
        .iter()
        .flat_map(|poll| &poll.records)
        .map(|record| match record {
            LogRecord::Line { bytes, .. } => bytes.as_slice(),
            LogRecord::Gap(_) => unreachable!(),
        })
        .collect();
    assert_eq!((lines.len(), text(&polls).1), (1003, 1));
    assert!(lines[1].ends_with(b"[2.8M blob data]"));
    assert!(lines[1002].ends_with(b"after"));
    assert!(polls[0].happenings.contains(&JournalHappening::Shortened(2000 * 5 + 4)), "{:?}", polls[0].happenings);
    let theirs = files.logcheck("UTC");
    assert!(theirs.windows(16).any(|bytes| bytes == b"[2.8M blob data]"));
}

#[test]
fn a_cursor_goes_on_across_files_and_a_vacuumed_one_is_said() {
    let Some(mut files) = Files::new() else { return };
    let numbered =
        |from: u32, to: u32| -> Vec<Fields> { (from..to).map(|n| message(format!("{n}").as_bytes())).collect() };
    files.write("a.journal", &numbered(0, 100));
    let mut journal = files.journal("UTC");
    let begun = journal.poll(None, NOW);
    assert_eq!(begun.records, []);
    assert!(matches!(begun.happenings[..], [JournalHappening::Began(Some(_))]), "{:?}", begun.happenings);
    // Other files have other sequence numbers.
    files.write("b.journal", &numbered(100, 6100));
    let (polls, state) = read(&mut journal, begun.state.clone());
    let (ours, _) = text(&polls);
    let numbers: Vec<u32> = String::from_utf8(ours)
        .unwrap()
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (100..6100).collect::<Vec<u32>>());
    assert_eq!(polls.iter().map(|poll| poll.records.len()).collect::<Vec<_>>(), [5000, 1000]);
    assert!(polls.iter().all(|poll| poll.happenings.is_empty()));
    // A daemon started anew goes on at the stored state.
    assert_eq!(files.journal("UTC").poll(Some(&state), NOW).records, []);
    fs::remove_file(files.directory().join("a.journal")).unwrap();
    fs::remove_file(files.directory().join("b.journal")).unwrap();
    files.write("c.journal", &numbered(6100, 6105));
    let gone = journal.poll(Some(&state), NOW);
    assert_eq!(gone.records.len(), 5);
    let [JournalHappening::Gap { last, first }] = gone.happenings[..] else { unreachable!("{:?}", gone.happenings) };
    assert_eq!(first.since(last), Duration::from_secs(1));
    // Everything there is seems older, as by a clock that was set back.
    fs::remove_file(files.directory().join("c.journal")).unwrap();
    files.written = 0;
    files.write("d.journal", &numbered(0, 5));
    let back = journal.poll(Some(&gone.state), NOW);
    assert!(matches!(back.happenings[..], [JournalHappening::Gap { .. }]), "{:?}", back.happenings);
    files.write("d.journal", &numbered(5, 6));
    assert_eq!(journal.poll(Some(&back.state), NOW).records.len(), 1);
}

fn children_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // cutime and cstime, proc(5), in ticks of 10 ms.
    Duration::from_millis(10 * (fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()))
}

#[test]
fn what_polls_cost() {
    let Some(mut files) = Files::new() else { return };
    for number in 0..20 {
        files.write(&format!("{number}.journal"), &[message(b"x"), message(b"y")]);
    }
    let mut journal = files.journal("UTC");
    let state = journal.poll(None, NOW).state;
    let before = children_time();
    for _ in 0..20 {
        let _poll = files.journal("UTC").poll(Some(&state), NOW);
    }
    let child = children_time().saturating_sub(before) / 20;
    let _poll = journal.poll(Some(&state), NOW);
    let begun = Instant::now();
    for _ in 0..100 {
        let _poll = journal.poll(Some(&state), NOW);
    }
    let idle = begun.elapsed() / 100;
    println!("20 journal files: {child:?} of CPU to start journalctl, {idle:?} for a poll that does not");
    assert!(idle < Duration::from_millis(5), "{idle:?}");
}

/// Nothing but a directory: no files, then one that may not be read, then it is back.
#[test]
fn an_unreadable_journal_is_said_and_comes_back() {
    let Some(mut files) = Files::new() else { return };
    let empty: &Path = &files.directory();
    fs::create_dir(empty).unwrap();
    let mut journal = files.journal("UTC");
    let first = journal.poll(None, NOW);
    assert!(first.happenings.iter().any(|happening| matches!(happening, JournalHappening::Trouble { .. })));
    files.write("a.journal", &[message(b"x")]);
    let back = journal.poll(Some(&first.state), NOW);
    assert!(matches!(back.happenings[..], [JournalHappening::Back(..)]), "{:?}", back.happenings);
}

/// The events of log lines in the store, as source and line.
fn told(db: &Db) -> Vec<(String, String)> {
    let filter = Filter { kind: Some(Kind::Log), limit: 10_000, ..Filter::default() };
    let events = db.lock().history(&filter).unwrap().into_iter().map(|stored| stored.event);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    events.filter(|event| event.line.is_some()).map(|event| (text(&event.source), text(&event.note))).collect()
}

fn clock() -> Clock {
    Clock::starting_at(Moment { wall: NOW, boottime: Boottime::from_nanos(1_000_000_000_000), boot: BootId([9; 16]) })
}

/// A configuration of one group that reads the journal and `log`, with its database in `scratch`.
fn config(scratch: &tempfile::TempDir, log: &Path) -> Config {
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut config = Config::embedded(Vec::new(), scratch.path().join("db"));
    config.logs = vec![LogGroup {
        rules: Vec::new(),
        files: vec![log.to_owned()],
        transient: Vec::new(),
        journal: true,
        old_directories: Vec::new(),
    }];
    config
}

/// One poll of the daemon's reader, over the journal of `directory`.
fn poll(config: &Arc<Config>, db: &Db, clock: &Clock, directory: &Path) {
    let mut surroundings = Surroundings::new(db.clone(), config, Arc::default(), clock.now());
    surroundings.journal.arguments = vec![format!("--directory={}", directory.display()).into()];
    surroundings.journal.places = Vec::new();
    let tailer = Tailer {
        config: Arc::clone(config),
        surroundings,
        clock: clock.clone(),
        pulse: Keepalive::default(),
        stop: CancellationToken::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tailer.run_once()).unwrap();
}

/// A generation reads the journal and the file that syslog writes from it; what stands in both is told once.
#[test]
fn the_log_reader_tells_each_message_once_and_goes_on_where_it_was() {
    let Some(mut files) = Files::new() else { return };
    let said = |text: &str| {
        let mut fields = message(text.as_bytes());
        fields.push(("SYSLOG_PID", b"77".to_vec()));
        fields
    };
    files.write("a.journal", &[said("before everything")]);
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("syslog");
    fs::write(&log, "").unwrap();
    let (clock, config) = (clock(), Arc::new(config(&scratch, &log)));
    let db = Db::new(Store::open(&config.database, clock.now()).unwrap());
    poll(&config, &db, &clock, &files.directory());
    assert_eq!(told(&db), []);
    files.write("b.journal", &[said("only here"), said("in both"), said("in both")]);
    let both = journalctl_lines(&files, "in both");
    fs::write(&log, format!("{}\n", both[0])).unwrap();
    poll(&config, &db, &clock, &files.directory());
    let mut lines = told(&db);
    lines.sort();
    let of = |source: &str| lines.iter().filter(|(from, _)| from.ends_with(source)).count();
    // Two were written, one of them was copied to the file: two are told, and the one that is nowhere else.
    assert_eq!((of("journal"), of("syslog")), (2, 1), "{lines:?}");
    poll(&config, &db, &clock, &files.directory());
    assert_eq!(told(&db).len(), 3, "nothing is told twice");
}

/// logcheck keeps when it has last read the journal as the time of a file.
#[test]
fn after_a_switch_from_logcheck_the_journal_is_read_on_from_its_last_run() {
    let Some(mut files) = Files::new() else { return };
    let entries: Vec<Fields> = (1..=4).map(|number| message(format!("entry {number}").as_bytes())).collect();
    files.write("a.journal", &entries);
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("syslog");
    fs::write(&log, "").unwrap();
    let mut config = config(&scratch, &log);
    let theirs = scratch.path().join("logcheck");
    fs::create_dir(&theirs).unwrap();
    let last_run = std::time::UNIX_EPOCH + Duration::from_micros(BEGIN + 3_000_000);
    fs::File::create(theirs.join("offset.journal")).unwrap().set_modified(last_run).unwrap();
    config.adopt = vec![format!("logcheck:{}", theirs.display())];
    let (clock, config) = (clock(), Arc::new(config));
    let db = Db::new(Store::open(&config.database, clock.now()).unwrap());
    for _ in 0..2 {
        poll(&config, &db, &clock, &files.directory());
        let lines: Vec<String> = told(&db).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("entry 3") && lines[1].ends_with("entry 4"), "{lines:?}");
    }
}

/// What journalctl shows of the messages that hold these words.
fn journalctl_lines(files: &Files, words: &str) -> Vec<String> {
    let output = Command::new("journalctl")
        .args(["--quiet", &format!("--directory={}", files.directory().display())])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}
