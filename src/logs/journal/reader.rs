//! The journal: a poll gives its new entries as lines, and the state that belongs to them.
//!
//! Entries come from journalctl(1) as a child process and not from libsystemd: its export format is stable and cannot be broken by
//! what programs log, it knows every version and compression of the files, and what a damaged or hostile file does to it (it maps
//! them: SIGBUS, endless loops) happens in a process that can be killed. It needs no code that is not safe, and it is what logcheck reads.
//! It costs 5 ms of CPU to start (measured, 20 journal files), so it is started only when a journal file has changed (see `journal_files`).
//!
//! It is asked for the entry that was read last and all behind it (`--cursor`, not `--after-cursor`): that the first one to come *is*
//! that entry shows that none in between is lost. With `--after-cursor` a journal that was vacuumed in the meantime would silently
//! go on at its second entry. There is no option for "the first 5,000": what is more than one poll may have is left by
//! killing the child.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    os::unix::{ffi::OsStringExt, process::ExitStatusExt},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use jiff::tz::TimeZone;

use crate::{
    logs::journal::{
        export_format::{Export, ExportEntry, FIELDS, Garbage},
        files::{JournalSight, PLACES, look},
        notices::JournalHappening,
        own_entries::Own,
        short_format::show,
    },
    model::{
        clock::Timestamp,
        log::journal_cursor::{JournalPlace, JournalState, JournalTrouble, Obstacle},
    },
    sys::{
        fs::ownership::{self, OwnershipError},
        process::{
            broker::{AllowedCommand, ArgPattern},
            capture::{ChildEnding, listen},
            child::ChildHandle,
        },
    },
    tail::splitter::LogRecord,
};

/// Entries passed, and lines given, in one poll.
const MOST_ENTRIES: usize = 5000;

/// Bytes of lines in one poll: what one transaction may hold.
const MOST_BYTES: usize = 1024 * 1024;

/// Entries younger than this wait for the next poll. journalctl looks at one file after the other: an entry that is written to the first
/// while it looks at the second would be passed over for ever if a younger one of the second was taken.
const FRESH: Duration = Duration::from_millis(500);

/// How journalctl is always called, and its environment.
const FIXED: [&str; 3] = ["--quiet", "--no-pager", "--output=export"];
const ENVIRONMENT: [(&str, &str); 3] = [("LC_ALL", "C"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_COLORS", "0")];

/// What is configured for the journal.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// journalctl.
    pub program: PathBuf,
    /// Further arguments, as `--directory=`; usually none.
    pub arguments: Vec<OsString>,
    /// Where the files lie that it reads; when empty it is started at each poll.
    pub places: Vec<PathBuf>,
    /// The zone of the time stamps.
    pub zone: TimeZone,
    /// Whose entries never become lines.
    pub own: Option<Own>,
    /// After how long a standing trouble is told again.
    pub errornag: Duration,
    /// How long journalctl may take.
    pub deadline: Duration,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            program: PathBuf::from("/usr/bin/journalctl"),
            arguments: Vec::new(),
            places: PLACES.iter().map(PathBuf::from).collect(),
            zone: TimeZone::system(),
            own: None,
            errornag: Duration::from_hours(24),
            deadline: Duration::from_secs(30),
        }
    }
}

/// What a poll gives. The state may be stored only together with the events of the records, and nothing has moved before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a poll that is not stored will be repeated"]
pub struct JournalPoll {
    /// The new lines, old to new.
    pub records: Vec<LogRecord>,
    /// What else happened.
    pub happenings: Vec<JournalHappening>,
    /// The new state.
    pub state: JournalState,
    /// Whether more can be read at once, without waiting for the next interval.
    pub has_more: bool,
}

/// The journal being read.
#[derive(Debug)]
pub struct Journal {
    settings: JournalSettings,
    /// How the files looked, and the place that was read to, when there was nothing more.
    ended: Option<([u8; 32], JournalPlace)>,
    /// A journalctl that was killed and has not gone yet.
    undead: Option<ChildHandle>,
}

/// Why a run of journalctl has not come to its end, and what it is about.
type JournalFailure = (Obstacle, Vec<u8>);

/// How a run of journalctl ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JournalRun {
    /// All there is was read.
    Whole,
    /// It was left before its end.
    Left,
}

impl Journal {
    /// A journal that will be read.
    pub fn new(settings: JournalSettings) -> Self {
        Self { settings, ended: None, undead: None }
    }

    /// Reads at most one transaction's worth of new entries: 5,000 of them, 1 MiB of lines. `state` is what was last stored; the journal
    /// itself moves nothing, and one that was never read begins at its end. Blocks while journalctl runs, for at most its deadline and
    /// some seconds; when no file has changed it is not run.
    ///
    /// Of a journalctl that fails midway the entries that came whole are given; the rest comes with the next poll.
    pub fn poll(&mut self, state: Option<&JournalState>, now: Timestamp) -> JournalPoll {
        let state = state.cloned().unwrap_or_default();
        let sight = look(&self.settings.places);
        if self.is_ended(&state, &sight) {
            return JournalPoll { state, ..JournalPoll::default() };
        }
        let mut reading = JournalReading::new(&self.settings, state, now);
        let run = self.read(&mut reading, &sight);
        let failure = match (&run, sight.denied) {
            (Err((Obstacle::Ended(_) | Obstacle::NoFiles, _)) | Ok(_), Some((path, errno))) => {
                Some((Obstacle::Denied(errno), path.into_os_string().into_vec()))
            }
            (Err(failure), _) => Some(failure.clone()),
            (Ok(_), None) => None,
        };
        let JournalReading { mut poll, is_held, .. } = reading;
        poll.has_more = run == Ok(JournalRun::Left) && !is_held;
        self.ended =
            sight.print.filter(|_| run == Ok(JournalRun::Whole)).map(|print| (print, poll.state.place.clone()));
        note_trouble(&mut poll, failure, self.settings.errornag, now);
        poll
    }

    /// Whether nothing can have come since everything was read.
    fn is_ended(&self, state: &JournalState, sight: &JournalSight) -> bool {
        let is_same = |(print, place): &([u8; 32], JournalPlace)| sight.print == Some(*print) && *place == state.place;
        state.trouble.is_none() && self.ended.as_ref().is_some_and(is_same)
    }

    fn read(&mut self, reading: &mut JournalReading, sight: &JournalSight) -> Result<JournalRun, JournalFailure> {
        if sight.files == 0 && !self.settings.places.is_empty() {
            if reading.poll.state.place == JournalPlace::Unbegun && sight.denied.is_none() {
                reading.begin_empty();
            }
            return Err((Obstacle::NoFiles, Vec::new()));
        }
        let begun = reading.poll.state.place.clone();
        let argument = match &begun {
            JournalPlace::Unbegun => OsString::from("--lines=1"),
            JournalPlace::Since(first) => {
                OsString::from(format!("--since=@{}", first.as_nanos().div_euclid(1_000_000_000)))
            }
            JournalPlace::After { cursor, .. } => OsString::from_vec([b"--cursor=", cursor.as_slice()].concat()),
        };
        let run = self.run(argument, reading)?;
        match begun {
            JournalPlace::Unbegun if reading.passed == 0 => reading.begin_empty(),
            // Not even the entry that was read last: all are gone, or all that are there seem older, by a clock that was set back.
            JournalPlace::After { realtime, .. } if !reading.has_first => {
                reading.sought = Sought::End(Some(realtime));
                return self.run(OsString::from("--lines=1"), reading);
            }
            _ => {}
        }
        Ok(run)
    }

    /// Runs journalctl once.
    fn run(&mut self, place: OsString, reading: &mut JournalReading) -> Result<JournalRun, JournalFailure> {
        if let Some(life) = &mut self.undead {
            if matches!(life.try_wait(), Ok(None)) {
                return Err((Obstacle::Hung, Vec::new()));
            }
            self.undead = None;
        }
        match ownership::check_but_for_groups(&self.settings.program) {
            // One that is not there is told by the attempt to run it.
            Ok(()) | Err(OwnershipError::Io { .. }) => {}
            Err(distrust) => return Err((Obstacle::Untrusted, distrust.to_string().into_bytes())),
        }
        let mut command = Command::new(&self.settings.program);
        command
            .args(FIXED)
            .arg(format!("--output-fields={FIELDS}"))
            .args(&self.settings.arguments)
            .arg(place)
            .current_dir("/")
            .env_clear()
            .envs(ENVIRONMENT);
        let (mut export, mut entries, mut garbage) = (Export::default(), Vec::new(), None);
        let heard = listen(&mut command, self.settings.deadline, &mut |piece| {
            garbage = export.feed(piece, &mut entries).err();
            let flow = entries.drain(..).try_for_each(|entry| reading.take(&entry));
            if garbage.is_some() { ControlFlow::Break(()) } else { flow }
        });
        let heard = heard.map_err(|error| match error.raw_os_error() {
            Some(2) => (Obstacle::NoProgram, self.settings.program.clone().into_os_string().into_vec()),
            errno => (Obstacle::NotRun(errno.unwrap_or_default()), Vec::new()),
        })?;
        self.undead = heard.undead;
        judge(&heard.ending, garbage, export.is_within(), first_line(&heard.said))
    }
}

/// What a broker may run: journalctl as it is run here.
pub fn permit() -> AllowedCommand {
    let JournalSettings { program, arguments, .. } = JournalSettings::default();
    let fixed = FIXED.iter().map(OsString::from).chain([OsString::from(format!("--output-fields={FIELDS}"))]);
    let place = ["--lines=1", "--since=@", "--cursor="].map(str::to_owned).to_vec();
    AllowedCommand {
        program: program.into_os_string(),
        arguments: fixed.chain(arguments).map(ArgPattern::Is).chain([ArgPattern::Begins(place)]).collect(),
        environment: ENVIRONMENT.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        is_free: false,
    }
}

fn judge(
    ending: &ChildEnding,
    garbage: Option<Garbage>,
    is_within: bool,
    said: Vec<u8>,
) -> Result<JournalRun, JournalFailure> {
    if let Some(garbage) = garbage {
        return Err((Obstacle::Garbage, garbage.to_string().into_bytes()));
    }
    match ending {
        ChildEnding::Enough => Ok(JournalRun::Left),
        ChildEnding::Overdue => Err((Obstacle::Hung, said)),
        ChildEnding::Ended(status) => match (status.code(), status.signal()) {
            (Some(0), _) if is_within => Err((Obstacle::Garbage, b"it ends within an entry".to_vec())),
            (Some(0), _) => Ok(JournalRun::Whole),
            (Some(code), _) => Err((Obstacle::Ended(code), said)),
            (None, signal) => Err((Obstacle::Killed(signal.unwrap_or_default()), said)),
        },
    }
}

fn first_line(said: &[u8]) -> Vec<u8> {
    let mut lines = said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| !line.is_empty()).unwrap_or_default().to_vec()
}

fn note_trouble(poll: &mut JournalPoll, failure: Option<JournalFailure>, errornag: Duration, now: Timestamp) {
    let before = poll.state.trouble;
    let Some((obstacle, detail)) = failure else {
        poll.state.trouble = None;
        if let Some(trouble) = before {
            poll.happenings.push(JournalHappening::Back(trouble.obstacle, trouble.since));
        }
        return;
    };
    let since = before.map_or(now, |trouble| trouble.since);
    let told = before.filter(|trouble| trouble.obstacle == obstacle).and_then(|trouble| trouble.told);
    let is_due = told.is_none_or(|told| now.since(told) >= errornag);
    if is_due {
        poll.happenings.push(JournalHappening::Trouble { obstacle, since, detail });
    }
    poll.state.trouble = Some(JournalTrouble { obstacle, since, told: if is_due { Some(now) } else { told } });
}

/// What the first entry to come means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sought {
    /// It was read already, if it is this one.
    Known { cursor: Vec<u8>, realtime: Timestamp },
    /// It is the last one, behind which reading begins; the one that was read before it is gone if there was one.
    End(Option<Timestamp>),
    /// It is new, like all others.
    New,
}

/// One poll in the making.
struct JournalReading {
    zone: TimeZone,
    own: Option<Own>,
    now: Timestamp,
    sought: Sought,
    /// The entry that was read last is gone; told with the first entry that is taken.
    gap: Option<JournalHappening>,
    passed: usize,
    bytes: usize,
    has_first: bool,
    is_held: bool,
    poll: JournalPoll,
}

fn nanos(entry: &ExportEntry) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(entry.realtime).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// What an entry keeps when it is copied to another file, as from memory to disk: boot, both times and contents, but neither
/// file nor number (`s`, `i`).
fn lasting(cursor: &[u8]) -> Vec<&[u8]> {
    let is_lasting = |part: &&[u8]| !part.starts_with(b"s=") && !part.starts_with(b"i=");
    cursor.split(|byte| *byte == b';').filter(is_lasting).collect()
}

impl JournalReading {
    fn new(settings: &JournalSettings, state: JournalState, now: Timestamp) -> Self {
        let sought = match &state.place {
            JournalPlace::Unbegun => Sought::End(None),
            JournalPlace::Since(_) => Sought::New,
            JournalPlace::After { cursor, realtime } => Sought::Known { cursor: cursor.clone(), realtime: *realtime },
        };
        Self {
            zone: settings.zone.clone(),
            own: settings.own,
            now,
            sought,
            gap: None,
            passed: 0,
            bytes: 0,
            has_first: false,
            is_held: false,
            poll: JournalPoll { state, ..JournalPoll::default() },
        }
    }

    fn begin_empty(&mut self) {
        self.poll.state.place = JournalPlace::Since(self.now);
        self.poll.happenings.push(JournalHappening::Began(None));
    }

    fn pass(&mut self, entry: &ExportEntry) {
        self.passed += 1;
        self.poll.happenings.extend(self.gap.take());
        self.poll.state.place = JournalPlace::After { cursor: entry.cursor.clone(), realtime: nanos(entry) };
    }

    /// Takes the next entry, unless it is more than a poll may have.
    fn take(&mut self, entry: &ExportEntry) -> ControlFlow<()> {
        self.has_first = true;
        let at = nanos(entry);
        match std::mem::replace(&mut self.sought, Sought::New) {
            Sought::Known { cursor, .. } if lasting(&cursor) == lasting(&entry.cursor) => {
                return ControlFlow::Continue(());
            }
            Sought::Known { realtime, .. } => self.gap = Some(JournalHappening::Gap { last: realtime, first: at }),
            Sought::End(before) => {
                self.poll.happenings.push(match before {
                    Some(last) => JournalHappening::Gap { last, first: at },
                    None => JournalHappening::Began(Some(at)),
                });
                self.pass(entry);
                return ControlFlow::Continue(());
            }
            Sought::New => {}
        }
        if at > self.now.before(FRESH) && at < self.now.after(FRESH) {
            self.is_held = true;
            return ControlFlow::Break(());
        }
        if self.own.is_some_and(|own| own.wrote(entry)) {
            self.pass(entry);
            return self.go_on();
        }
        let shown = show(entry, &self.zone);
        let size = |record: &LogRecord| if let LogRecord::Line { bytes, .. } = record { bytes.len() } else { 0 };
        let bytes: usize = shown.records.iter().map(size).sum();
        let is_too_much =
            self.bytes + bytes > MOST_BYTES || self.poll.records.len() + shown.records.len() > MOST_ENTRIES;
        if is_too_much && !self.poll.records.is_empty() {
            return ControlFlow::Break(());
        }
        self.pass(entry);
        self.bytes += bytes;
        self.poll.records.extend(shown.records);
        if shown.left > 0 {
            self.poll.happenings.push(JournalHappening::Shortened(shown.left));
        }
        self.go_on()
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.passed >= MOST_ENTRIES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Instant};

    use super::*;
    use crate::model::clock::BootId;

    /// 2026-11-21T13:10:02Z.
    const NOW: i64 = 1_795_266_602_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_nanos(micros * 1000)
    }

    /// A journalctl that writes `out` (in a file beside it, with a log of its arguments) and does `then`.
    struct Fake {
        directory: tempfile::TempDir,
        journal: Journal,
        now: Timestamp,
    }

    fn entry(number: i64, message: &str) -> String {
        field_entry(number, &format!("MESSAGE={message}\n_PID=7\nSYSLOG_IDENTIFIER=app\n_HOSTNAME=h\n"))
    }

    fn field_entry(number: i64, fields: &str) -> String {
        format!("__CURSOR={}\n__REALTIME_TIMESTAMP={}\n{fields}\n", cursor(number), NOW + number * 1_000_000)
    }

    fn cursor(number: i64) -> String {
        format!("s=1;i={number};b=2;m={number};t={number};x=3")
    }

    fn after(number: i64) -> JournalState {
        let place = JournalPlace::After { cursor: cursor(number).into_bytes(), realtime: at(NOW + number * 1_000_000) };
        JournalState { place, trouble: None }
    }

    impl Fake {
        fn new(then: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let script = format!("echo \"$@\" >> $0.args; env > $0.env; cat $0.out; {then}");
            // Another process writes it: a descriptor of ours could be open in the child of another test (ETXTBSY).
            let program = directory.path().join("journalctl");
            let put = "umask 077; printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\"";
            assert!(Command::new("sh").args(["-c", put]).arg(&program).arg(script).status().unwrap().success());
            fs::create_dir(directory.path().join("journal")).unwrap();
            let settings = JournalSettings {
                program,
                places: Vec::new(),
                zone: TimeZone::UTC,
                own: Some(Own { pid: 77, boot: BootId([0xab; 16]), since: at(NOW) }),
                errornag: Duration::from_hours(1),
                deadline: Duration::from_secs(20),
                ..JournalSettings::default()
            };
            let fake = Self { directory, journal: Journal::new(settings), now: at(NOW + 1_000_000_000) };
            fake.says("");
            fake
        }

        fn says(&self, out: impl AsRef<[u8]>) {
            fs::write(self.directory.path().join("journalctl.out"), out).unwrap();
        }

        fn poll(&mut self, state: Option<&JournalState>) -> JournalPoll {
            self.journal.poll(state, self.now)
        }

        fn left(&self, name: &str) -> String {
            fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
        }
    }

    fn texts(poll: &JournalPoll) -> Vec<String> {
        let text = |record: &LogRecord| match record {
            LogRecord::Line { bytes, .. } => String::from_utf8(bytes.clone()).unwrap(),
            LogRecord::Gap(_) => unreachable!(),
        };
        poll.records.iter().map(text).collect()
    }

    #[test]
    fn the_first_start_is_from_the_end_and_then_every_entry_comes_once() {
        let mut fake = Fake::new("");
        fake.says(entry(1, "old"));
        let first = fake.poll(None);
        assert_eq!((first.records.len(), &first.state, first.has_more), (0, &after(1), false));
        assert_eq!(first.happenings, [JournalHappening::Began(Some(at(NOW + 1_000_000)))]);
        fake.says([entry(1, "old"), entry(2, "new"), entry(3, "newer")].concat());
        let second = fake.poll(Some(&first.state));
        assert_eq!(texts(&second), ["Nov 21 13:10:04 h app[7]: new", "Nov 21 13:10:05 h app[7]: newer"]);
        assert_eq!((&second.state, second.happenings.len()), (&after(3), 0));
        // What was not stored comes again.
        assert_eq!(fake.poll(Some(&first.state)), second);
        let arguments = fake.left("journalctl.args");
        let arguments: Vec<&str> = arguments.lines().collect();
        assert!(arguments[0].ends_with(" --lines=1"), "{arguments:?}");
        assert!(arguments[1].ends_with(&format!(" --cursor={}", cursor(1))), "{arguments:?}");
        for line in fake.left("journalctl.env").lines() {
            let name = line.split('=').next().unwrap();
            assert!(
                ["LC_ALL", "SYSTEMD_PAGER", "SYSTEMD_COLORS", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name),
                "{line}"
            );
        }
    }

    #[test]
    fn an_empty_journal_is_read_from_its_first_entry() {
        let mut fake = Fake::new("");
        let first = fake.poll(None);
        assert_eq!(first.happenings, [JournalHappening::Began(None)]);
        assert_eq!(first.state.place, JournalPlace::Since(fake.now));
        fake.says(entry(1, "x"));
        assert_eq!(fake.poll(Some(&first.state)).state, after(1));
        assert!(fake.left("journalctl.args").ends_with(" --since=@1795267602\n"));
    }

    #[test]
    fn a_cursor_that_is_gone_says_how_much_may_be_missing() {
        let mut fake = Fake::new("");
        fake.says([entry(50, "x"), entry(51, "y")].concat());
        let gap = JournalHappening::Gap { last: at(NOW + 1_000_000), first: at(NOW + 50_000_000) };
        let poll = fake.poll(Some(&after(1)));
        assert_eq!((poll.records.len(), poll.happenings, poll.state), (2, vec![gap], after(51)));
        // The same entry in another file, as after a move from memory to disk.
        fake.says([entry(1, "x").replace("s=1;i=1;", "s=ff;i=7;"), entry(2, "y")].concat());
        let poll = fake.poll(Some(&after(1)));
        assert_eq!((poll.records.len(), poll.happenings.len()), (1, 0));
    }

    #[test]
    fn entries_that_all_seem_older_are_not_repeated_but_said() {
        let mut fake = Fake::new("case \"$*\" in *--lines=1) cat $0.last;; esac");
        fs::write(fake.directory.path().join("journalctl.last"), entry(3, "x")).unwrap();
        let poll = fake.poll(Some(&after(9)));
        assert_eq!(poll.happenings, [JournalHappening::Gap { last: at(NOW + 9_000_000), first: at(NOW + 3_000_000) }]);
        assert_eq!((poll.records.len(), poll.state), (0, after(3)));
    }

    #[test]
    fn a_poll_is_bounded_and_the_rest_follows() {
        let mut fake = Fake::new("");
        fake.now = at(NOW + 100_000_000_000);
        let all: String = (1..=12_000).map(|number| entry(number, "x")).collect();
        fake.says([entry(0, "x"), all].concat());
        let (mut state, mut counts) = (after(0), Vec::new());
        for _ in 0..3 {
            let poll = fake.poll(Some(&state));
            counts.push((poll.records.len(), poll.has_more));
            state = poll.state;
            let from = 12_000.min(5000 * counts.len());
            let rest: String = (from..=12_000).map(|number| entry(i64::try_from(number).unwrap(), "x")).collect();
            fake.says(rest);
            if !poll.has_more {
                break;
            }
        }
        assert_eq!(counts, [(5000, true), (5000, true), (2000, false)]);
        assert_eq!(state, after(12_000));
        let big = "y".repeat(60_000);
        fake.says((0..40).map(|number| entry(number, &big)).collect::<String>());
        let poll = fake.poll(Some(&after(0)));
        assert_eq!((poll.records.len(), poll.has_more, &poll.state), (17, true, &after(17)));
    }

    #[test]
    fn an_entry_of_this_moment_waits() {
        let mut fake = Fake::new("");
        fake.says(
            [entry(0, "x"), entry(1, "old"), entry(2, "fresh"), entry(3, "of a clock before it was set back")].concat(),
        );
        fake.now = at(NOW + 2_000_100);
        let poll = fake.poll(Some(&after(0)));
        assert_eq!((poll.records.len(), poll.has_more, &poll.state), (1, false, &after(1)));
        fake.now = at(NOW + 2_600_000);
        fake.says([entry(1, "old"), entry(2, "fresh"), entry(9, "of a clock before it was set back")].concat());
        assert_eq!(fake.poll(Some(&poll.state)).state, after(9));
    }

    #[test]
    fn what_this_daemon_wrote_makes_no_line_and_a_forged_tag_does() {
        let mut fake = Fake::new("");
        let boot = "ab".repeat(16);
        fake.says(
            [
                entry(0, "x"),
                field_entry(1, &format!("_BOOT_ID={boot}\n_PID=77\nMESSAGE=own\n")),
                field_entry(2, "_SYSTEMD_UNIT=integrityd.service\nSYSLOG_IDENTIFIER=integrityd\nMESSAGE=earlier\n"),
                field_entry(
                    3,
                    &format!(
                        "_BOOT_ID={boot}\n_PID=78\nSYSLOG_IDENTIFIER=integrityd\n_COMM=integrityd\nMESSAGE=forged\n"
                    ),
                ),
            ]
            .concat(),
        );
        let poll = fake.poll(Some(&after(0)));
        assert_eq!(texts(&poll), ["Nov 21 13:10:05 integrityd[78]: forged"]);
        assert_eq!(poll.state, after(3));
    }

    #[test]
    fn trouble_is_told_once_per_nag_and_then_back() {
        let mut fake = Fake::new("echo 'Failed to \\033[2J' >&2; exit 1");
        fake.says(
            [entry(0, "x"), entry(1, "whole"), entry(2, "torn")].concat().strip_suffix("HOSTNAME=h\n\n").unwrap(),
        );
        let poll = fake.poll(Some(&after(0)));
        assert_eq!((texts(&poll).len(), &poll.state.place, poll.has_more), (1, &after(1).place, false));
        assert_eq!(
            poll.happenings[0].text(&TimeZone::UTC),
            "the journal cannot be read since 2026-11-21 13:26:42 +00:00: journalctl ended with 1 (Failed to \\x1b[2J): journalctl --verify may say more"
        );
        fake.says(entry(1, "whole"));
        let again = fake.poll(Some(&poll.state));
        assert!(again.happenings.iter().all(|happening| !matches!(happening, JournalHappening::Trouble { .. })));
        fake.now = fake.now.after(Duration::from_hours(1));
        assert_eq!(fake.poll(Some(&poll.state)).happenings.len(), 1);
        let mut well = Fake::new("");
        well.says(entry(1, "x"));
        let back = well.poll(Some(&poll.state));
        assert_eq!(back.happenings, [JournalHappening::Back(Obstacle::Ended(1), at(NOW + 1_000_000_000))]);
        assert_eq!(back.state, after(1));
    }

    #[test]
    fn a_child_that_is_killed_midway_moves_nothing_it_did_not_give() {
        for (then, obstacle) in [("kill -9 $$", Obstacle::Killed(9)), ("exit 0", Obstacle::Garbage)] {
            let mut fake = Fake::new(then);
            let whole = [entry(0, "x"), entry(1, "one"), entry(2, "two")].concat().into_bytes();
            for cut in (entry(0, "x").len()..whole.len()).step_by(7) {
                fake.says(&whole[..cut]);
                let poll = fake.poll(Some(&after(0)));
                let passed = usize::from(cut >= whole.len() - entry(2, "two").len());
                assert_eq!(
                    (poll.records.len(), poll.state.place),
                    (passed, after(i64::try_from(passed).unwrap()).place)
                );
                let is_boundary = cut == entry(0, "x").len() || cut == whole.len() - entry(2, "two").len();
                let found = poll.state.trouble.map(|trouble| trouble.obstacle);
                assert!(found == Some(obstacle) || then == "exit 0" && is_boundary, "{found:?}");
            }
        }
    }

    #[test]
    fn a_journalctl_that_hangs_floods_or_babbles_is_ended() {
        let begun = Instant::now();
        for (then, obstacle) in [
            ("sleep 30", Obstacle::Hung),
            ("exec >&-; sleep 30", Obstacle::Hung),
            ("printf 'MESSAGE='; tr '\\0' x < /dev/zero", Obstacle::Hung),
            ("echo hello world", Obstacle::Garbage),
            ("head -c 100000 /dev/urandom", Obstacle::Garbage),
        ] {
            let mut fake = Fake::new(then);
            fake.journal.settings.deadline = Duration::from_millis(500);
            fake.says([entry(0, "x"), entry(1, "one")].concat());
            let poll = fake.poll(Some(&after(0)));
            assert_eq!(poll.state.trouble.map(|trouble| trouble.obstacle), Some(obstacle), "{then}");
            assert_eq!((poll.records.len(), poll.state.place), (1, after(1).place), "{then}");
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_missing_or_planted_journalctl_is_said() {
        let mut fake = Fake::new("");
        fake.journal.settings.program = PathBuf::from("/nonexistent/journalctl");
        let poll = fake.poll(None);
        assert_eq!(poll.state.trouble.unwrap().obstacle, Obstacle::NoProgram);
        assert!(poll.happenings[0].text(&TimeZone::UTC).contains("(/nonexistent/journalctl): install systemd"));
        let mut fake = Fake::new("");
        let writable = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&fake.journal.settings.program, writable).unwrap();
        assert_eq!(fake.poll(None).state.trouble.unwrap().obstacle, Obstacle::Untrusted);
    }

    #[test]
    fn an_idle_poll_starts_nothing_and_a_change_does() {
        fn put(directory: &Path, entries: u64) {
            let mut bytes = b"LPKSHHRH".to_vec();
            bytes.resize(4096, 0);
            bytes.splice(152..160, entries.to_le_bytes());
            fs::write(directory.join("journal/system.journal"), bytes).unwrap();
        }
        let mut fake = Fake::new("");
        fake.journal.settings.places = vec![fake.directory.path().join("journal")];
        let poll = fake.poll(None);
        assert_eq!(poll.state.trouble.unwrap().obstacle, Obstacle::NoFiles);
        assert!(matches!(poll.state.place, JournalPlace::Since(_)));
        put(fake.directory.path(), 1);
        fake.says(entry(1, "x"));
        let first = fake.poll(Some(&poll.state));
        assert_eq!((&first.state, first.records.len()), (&after(1), 1));
        for _ in 0..3 {
            let idle = fake.poll(Some(&first.state));
            assert_eq!((idle.records.len(), idle.happenings.len(), &idle.state), (0, 0, &after(1)));
        }
        assert_eq!(fake.left("journalctl.args").lines().count(), 1);
        put(fake.directory.path(), 2);
        let _more = fake.poll(Some(&first.state));
        // What was read could not be stored: it must be read again.
        let _again = fake.poll(Some(&after(0)));
        assert_eq!(fake.left("journalctl.args").lines().count(), 3);
    }
}
