//! What is told to people: one finding or notice, with its class, weight and evidence.

use crate::model::{
    clock::{Moment, Timestamp},
    file::{attribute::AttributeSet, change::ChangeClass, entry::Observation},
    process::ProcessNews,
};

/// What an event is about; `history --kind` and the dataset of the machine schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A file-system object.
    File,
    /// A log line.
    Log,
    /// A process.
    Process,
    /// integrityd itself.
    Own,
}

/// Which mails an event travels in; each channel has its own report time and hold-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// File findings and notices about integrityd itself.
    Files,
    /// Log lines and processes.
    Logs,
    /// Signs of life: each is an event and a mail of its own at once, so nothing of it ever waits.
    Life,
}

impl Channel {
    /// The channels whose events wait to be reported together.
    pub const ALL: [Self; 2] = [Self::Files, Self::Logs];

    /// Its name in the database and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Logs => "logs",
            Self::Life => "life",
        }
    }
}

impl Kind {
    /// Its word in `history --kind` and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Log => "log",
            Self::Process => "pid",
            Self::Own => "self",
        }
    }
}

/// How much an event matters: mail word, ECS number and exit of `status` come from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Counted, not listed: rewritten with the same content, only times changed.
    Count,
    /// Worth a line, not a worry: unreadable, moved, busy.
    Low,
    /// To be reviewed: changed, added, removed.
    Normal,
    /// To be reviewed now: set-ID gained, forged times, an area missing.
    High,
    /// Trust is broken.
    Critical,
}

impl Severity {
    /// All severities, least first.
    pub const ALL: [Self; 5] = [Self::Count, Self::Low, Self::Normal, Self::High, Self::Critical];

    /// The number in the database and in the machine schema, 0–100.
    pub const fn number(self) -> u8 {
        match self {
            Self::Count => 5,
            Self::Low => 20,
            Self::Normal => 40,
            Self::High => 70,
            Self::Critical => 90,
        }
    }

    /// The severity with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.number() == number)
    }

    /// How a mail marks it; at most eight columns.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Count | Self::Normal => "---",
            Self::Low => "low",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

macro_rules! categories {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $kind:ident, $word:literal;)+) => {
        /// The class of an event. Codes and words are stored and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Category {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Category {
            /// All categories.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The number in the database and in canonical bytes.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it is about.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)+ }
            }

            /// Its word in mails, `history` and `event.action`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

categories! {
    /// A path that was not in the baseline.
    Added = 1, File, "added";
    /// A path of the baseline is gone; with `count` > 1 a whole subtree.
    Removed = 2, File, "removed";
    /// A path differs from the baseline.
    Changed = 3, File, "changed";
    /// A path has become another type of object.
    Retyped = 4, File, "retyped";
    /// Same content under a new inode or new times.
    Rewritten = 5, File, "rewritten";
    /// Only times differ.
    Touched = 6, File, "touched";
    /// A path could not be looked at, or its content not be read; the baseline is kept.
    Unreadable = 7, File, "unreadable";
    /// A file changed during every attempt to read it.
    Busy = 8, File, "busy";
    /// An unreadable or busy path can be read again.
    Readable = 9, File, "readable";
    /// An entry left the baseline because the configuration excludes it now.
    Excluded = 10, File, "excluded";
    /// The root of an area is missing; its baseline is kept and suspended.
    AreaMissing = 11, File, "area missing";
    /// The root of an area is there again.
    AreaBack = 12, File, "area back";
    /// The root of an area is another object on the same device.
    AreaReplaced = 13, File, "area replaced";
    /// Part of an area is not entered, and why.
    Skipped = 14, File, "skipped";
    /// A slow file system does not answer; nothing on it is looked at, and the baseline is kept.
    Stalled = 20, File, "stalled";
    /// A slow file system answers again.
    Answering = 21, File, "answers again";
    /// Something was mounted over a part of the baseline and hides it, or was unmounted from it; the baseline is kept.
    Covered = 22, File, "covered";
    /// What had hidden a part of the baseline is gone.
    Uncovered = 23, File, "uncovered";
    /// Most entries of an area went missing at once: `count` of them, whose baseline is kept; everything else is compared.
    EntriesMissing = 24, File, "entries missing";
    /// Entries that were missing are there again.
    EntriesBack = 25, File, "entries back";
    /// What was at one path is at another; with `count` > 1 a directory with everything beneath it.
    Moved = 15, File, "moved";
    /// The first round over one or more areas has begun.
    BaselineStarted = 32, Own, "baseline started";
    /// The first round is complete; `count` entries are known.
    BaselineEstablished = 33, Own, "baseline established";
    /// A configured attribute or digest is being learned for an existing baseline.
    Learning = 34, Own, "learning";
    /// Something an administrator should know.
    Notice = 35, Own, "notice";
    /// A panic was caught while one item was handled.
    InternalError = 36, Own, "internal error";
    /// The database had to be begun anew.
    TrustLost = 37, Own, "trust lost";
    /// The pace that a promised age needs is above the ceiling.
    CoverageAtRisk = 38, Own, "coverage at risk";
    /// An entry has waited longer than was promised.
    CoverageLate = 39, Own, "coverage late";
    /// Reports do not reach a recipient: the first refusal, or failures for an hour; once an outage.
    DeliveryTrouble = 51, Own, "delivery trouble";
    /// No daemon was there for a while, and how the last one had ended.
    NotRunning = 40, Own, "not running";
    /// The wall clock was set by more than a minute.
    ClockJumped = 41, Own, "clock jumped";
    /// The program, or the unit or script that starts it, is another one.
    ProgramChanged = 42, Own, "program changed";
    /// Other settings hold than before.
    ConfigurationChanged = 43, Own, "configuration changed";
    /// Old events that everybody has got were taken out of the store.
    Pruned = 44, Own, "pruned";
    /// A mail of life; `count` is its number.
    Heartbeat = 48, Own, "heartbeat";
    /// A report of finished rounds; `count` is its number.
    RoundFinished = 49, Own, "round finished";
    /// A report of rules that matched nothing for long; `count` is its number.
    UnusedRules = 50, Own, "unused rules";
    /// The database could not be written, or was removed or replaced while it was in use.
    DatabaseTrouble = 46, Own, "database trouble";
    /// Another copy of the database was said to be wanted.
    DatabaseAdopted = 47, Own, "database adopted";
    /// What another tool knew became the baseline of areas that had none, or why it did not.
    BaselineAdopted = 52, Own, "baseline adopted";
    /// A log line that a rule of `cracking.d` knows as the sign of an attack.
    Cracking = 64, Log, "security alert";
    /// A log line that a rule of `violations.d` knows.
    Violation = 65, Log, "security event";
    /// A log line that no rule of `ignore.d` knows.
    SystemEvent = 66, Log, "system event";
    /// Something is wrong with a log: it cannot be read, has shrunk, or lines of it may be missing.
    LogTrouble = 67, Log, "log trouble";
    /// A log that was in trouble can be read again.
    LogBack = 68, Log, "log back";
    /// Where a log is read from, or that it goes on in another file.
    LogNote = 69, Log, "log";
    /// Rules were read: faulty ones, or what was added, removed or changed.
    Rules = 70, Log, "rules";
    /// A watched process is there no more.
    ProcessDied = 96, Process, "died";
    /// A watched process has ended, and its parent has not asked how.
    ProcessZombie = 97, Process, "zombie";
    /// The first thread of a watched process has ended, others live on.
    ProcessHeadless = 98, Process, "main thread ended";
    /// A watched process is another one now; `count` times within the window when it was so again and again.
    ProcessRestarted = 99, Process, "restarted";
    /// The number of a watched process belongs to another program.
    ProcessReplaced = 100, Process, "replaced";
    /// A watched process runs another program now, without having been started anew.
    ProcessExec = 101, Process, "runs another program";
    /// A PID file is missing.
    PidFileMissing = 102, Process, "pid file missing";
    /// A PID file does not hold the number of a process.
    PidFileInvalid = 103, Process, "pid file invalid";
    /// A PID file that was missing or invalid is in order again.
    PidFileBack = 104, Process, "pid file back";
    /// How processes are watched.
    ProcessNote = 105, Process, "note";
}

impl Category {
    /// The category with that code.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|category| category.code() == code)
    }

    /// Whether its events say how a promised age is kept.
    pub const fn is_coverage(self) -> bool {
        matches!(self, Self::CoverageAtRisk | Self::CoverageLate)
    }

    /// Whether its events that are only counted wait for another to be mailed with: a new or changed file is only counted when our own
    /// mails have made it so.
    pub const fn waits_for_company(self) -> bool {
        matches!(self, Self::Added | Self::Changed | Self::NotRunning | Self::Pruned)
    }

    /// The channel its events are mailed in.
    pub const fn channel(self) -> Channel {
        match (self, self.kind()) {
            (Self::Heartbeat | Self::RoundFinished | Self::UnusedRules, _) => Channel::Life,
            (_, Kind::File | Kind::Own) => Channel::Files,
            (_, Kind::Log | Kind::Process) => Channel::Logs,
        }
    }

    /// Whether its events are lines of a log, so that their notes are what others wrote.
    pub const fn is_line(self) -> bool {
        matches!(self, Self::Cracking | Self::Violation | Self::SystemEvent)
    }
}

impl From<ChangeClass> for Category {
    fn from(class: ChangeClass) -> Self {
        match class {
            ChangeClass::Added => Self::Added,
            ChangeClass::Removed => Self::Removed,
            ChangeClass::Changed => Self::Changed,
            ChangeClass::Retyped => Self::Retyped,
            ChangeClass::Rewritten => Self::Rewritten,
            ChangeClass::Touched => Self::Touched,
            ChangeClass::Moved => Self::Moved,
        }
    }
}

/// One finding or notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub category: Category,
    /// How much it matters.
    pub severity: Severity,
    /// When it was found.
    pub found: Moment,
    /// The path of the area it lies in; empty when there is none.
    pub area: Vec<u8>,
    /// The path (or other source) it is about, as raw bytes; empty when there is none.
    pub source: Vec<u8>,
    /// The path it had before, as raw bytes; empty unless it was moved.
    pub previous: Vec<u8>,
    /// Which attributes differ.
    pub changed: AttributeSet,
    /// What it was.
    pub old: Option<Observation>,
    /// What it is.
    pub new: Option<Observation>,
    /// When it was last seen as `old`.
    pub not_before: Option<Timestamp>,
    /// How many objects it stands for; 1 unless it is a summary.
    pub count: u64,
    /// BLAKE3 over the canonical list of the single objects of a summary, which are stored beside the event.
    pub members_digest: Option<[u8; 32]>,
    /// Words: ours, or raw bytes of the source that are neutralised wherever they are shown. Of a log line the line itself.
    pub note: Vec<u8>,
    /// Of a log line, what is known of it beside its bytes.
    pub line: Option<LogLine>,
    /// Of a process, which one it was and is.
    pub process: Option<Box<ProcessNews>>,
}

/// What is known of a log line beside its bytes, which are the note of its event, and the log, which is its source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogLine {
    /// The rule that raised it, as `path:line`, raw bytes; empty for a system event, which is what no rule knows.
    pub rule: Vec<u8>,
    /// Its whole length in bytes; larger than that of the note when the line was cut.
    pub length: u64,
    /// BLAKE3 of its first 64 KiB, of a line of which less is kept because there were too many.
    pub digest: Option<[u8; 32]>,
}

impl Event {
    /// An event with nothing but its class, weight, time and source.
    pub fn new(category: Category, severity: Severity, found: Moment, source: Vec<u8>) -> Self {
        Self {
            category,
            severity,
            found,
            area: Vec::new(),
            source,
            previous: Vec::new(),
            changed: AttributeSet::NONE,
            old: None,
            new: None,
            not_before: None,
            count: 1,
            members_digest: None,
            note: Vec::new(),
            line: None,
            process: None,
        }
    }

    /// The event with these words.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<Vec<u8>>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether it may not wait for the usual report time.
    pub fn is_urgent(&self) -> bool {
        self.severity >= Severity::High
    }
}

/// An event as it stands in the store: numbered and chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the chain, from 1, without gaps.
    pub seq: u64,
    /// The event.
    pub event: Event,
    /// The hash of the event before it; zero for the first.
    pub prev_hash: [u8; 32],
    /// `BLAKE3(prev_hash ‖ canonical bytes)`.
    pub hash: [u8; 32],
}

/// One of the objects a summary event stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, as raw bytes.
    pub source: Vec<u8>,
    /// What it was.
    pub old: Observation,
}
