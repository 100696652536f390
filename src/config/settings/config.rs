//! The checked settings: every value in range, every default filled in, shared unchanged by a whole generation.

use std::{path::PathBuf, time::Duration};

pub use crate::config::settings::{system_directories::SystemDirectories, urgent::UrgentList};
use crate::{
    config::{
        schema::fault::Fault,
        settings::{attribute_groups::Growth, exclude::Excludes},
    },
    model::file::{
        attribute::{Attribute, AttributeSet},
        entry::{Algorithm, AlgorithmSet},
    },
};

/// Everything the daemon is told to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Recipients of everything; at least one.
    pub recipients: Vec<String>,
    /// The database file, absolute.
    pub database: PathBuf,
    /// The name reports carry; `None` means the machine's own.
    pub hostname: Option<String>,
    /// The trees to check.
    pub areas: Vec<Area>,
    /// The paths whose changes are urgent.
    pub urgent: UrgentList,
    /// Where the programs and settings of the system lie; not configured, but a value.
    pub system_directories: SystemDirectories,
    /// How fast.
    pub rates: Rates,
    /// The groups of logs with their rules.
    pub logs: Vec<LogGroup>,
    /// How logcheck's rules are read.
    pub logcheck: LogcheckSettings,
    /// The processes to watch.
    pub processes: Vec<ProcessWatch>,
    /// How often the PID files are read, 1 s to 1 d.
    pub pid_check_time: Duration,
    /// When reports are sent and what they hold.
    pub report: ReportSettings,
    /// How reports are sent.
    pub mail: MailSettings,
    /// How slow file systems are looked at; not configured, but a value.
    pub helper: Helper,
    /// What is taken over from a replaced tool: `logcheck:DIR`, `fcheck:FILE`.
    pub adopt: Vec<String>,
    /// The files it was read from; empty when it is embedded.
    pub sources: Vec<PathBuf>,
    /// What is odd but accepted: duplicate lines, trailing slashes.
    pub notices: Vec<Fault>,
}

/// The helper processes that look at slow file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// How long somebody waits for an answer before he goes on with other things.
    pub patience: Duration,
    /// A helper that has not answered for so long is ended.
    pub deadline: Duration,
    /// The first and the longest wait before a mount that did not answer is tried again.
    pub retry: (Duration, Duration),
}

impl Default for Helper {
    /// As in production: this very program, however its file was replaced since it was started.
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            patience: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            retry: (Duration::from_mins(1), Duration::from_hours(1)),
        }
    }
}

/// One tree to check.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Its root, absolute, without a trailing slash.
    pub path: PathBuf,
    /// What is left out.
    pub excludes: Excludes,
    /// The digests wanted; empty when content is not read.
    pub algorithms: AlgorithmSet,
    /// The attributes compared.
    pub attributes: AttributeSet,
    /// What it means when a regular file is longer than it was.
    pub growth: Growth,
    /// Within what time every entry is to be looked at; `None` = no promise.
    pub max_age: Option<Duration>,
    /// Recipients in addition to those of everything, who get only what concerns this area.
    pub recipients: Vec<String>,
    /// Whether its sub-directories are entered.
    pub recurse: bool,
    /// What happens to the baseline when a change was reported.
    pub on_change: OnChange,
    /// Slow file-system types that are admitted (`nfs`, `fuse.sshfs`, …).
    pub admitted_types: Vec<String>,
    /// Paths whose inode does not count.
    pub without_inode: Vec<PathBuf>,
    /// Paths whose times do not count.
    pub without_times: Vec<PathBuf>,
}

impl Area {
    /// An area with every default, not checked: `path` is to be absolute and without a trailing slash.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            excludes: Excludes::default(),
            algorithms: AlgorithmSet::NONE.with(Algorithm::Blake3),
            attributes: default_attributes(),
            growth: Growth::Change,
            max_age: None,
            recipients: Vec::new(),
            recurse: true,
            on_change: OnChange::Accept,
            admitted_types: Vec::new(),
            without_inode: Vec::new(),
            without_times: Vec::new(),
        }
    }
}

/// What is compared unless an area says otherwise: all but the time of birth and the `SELinux` label, which change without
/// anybody's doing when a file is restored or relabelled.
pub fn default_attributes() -> AttributeSet {
    Attribute::ALL
        .iter()
        .filter(|attribute| !matches!(attribute, Attribute::Btime | Attribute::Selinux))
        .fold(AttributeSet::NONE, |set, attribute| set.with(*attribute))
}

/// What happens to the baseline when a change was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// The new state becomes the baseline.
    Accept,
    /// The old state stays, until an administrator accepts the new one.
    Keep,
}

/// How fast the walker goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Looks per second, 0.01 to 100,000.
    pub files: f64,
    /// Bytes read per second, 1 KiB to 10 GiB.
    pub bytes: f64,
    /// Files up to this many bytes are read in one go, 0 to 16 MiB.
    pub small_file: u64,
    /// Files above this many bytes are read in slices beside the walk.
    pub big_file: u64,
    /// What both rates are multiplied with after a change, 1 to 1,000.
    pub speedup: f64,
    /// Looks per second that a promised age may lead to.
    pub max_files: f64,
    /// Bytes per second that a promised age may lead to.
    pub max_bytes: f64,
    /// I/O pressure in per cent at which the rates halve; 0 = never.
    pub pressure: u8,
    /// How the first round over an area goes.
    pub first_round: FirstRound,
}

/// `maxdatabase` where nobody says otherwise, in bytes.
pub const DEFAULT_MAX_DATABASE: u64 = 2 << 30;

/// Looks and bytes a second that about one slow core does: the most of a fast first round where no ceiling is given, and of what is
/// estimated.
pub const ONE_SLOW_CORE: (f64, f64) = (3000.0, 150.0 * 1024.0 * 1024.0);

/// How the first round over an area goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FirstRound {
    /// At [`Rates::speedup`] times the rates.
    Paced,
    /// As fast as the machine is idle, up to these rates.
    Fast {
        /// Looks per second.
        looks: f64,
        /// Bytes read per second.
        bytes: f64,
    },
}

impl Rates {
    /// Looks and bytes per second of a first round, on a machine where nobody waits.
    pub fn of_first_round(&self) -> (f64, f64) {
        match self.first_round {
            FirstRound::Paced => (self.files * self.speedup, self.bytes * self.speedup),
            // What was configured is never too much.
            FirstRound::Fast { looks, bytes } => (looks.max(self.files), bytes.max(self.bytes)),
        }
    }
}

/// Logs that share their rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGroup {
    /// Rule directories with their levels.
    pub rules: Vec<RuleDirectory>,
    /// Paths or globs.
    pub files: Vec<PathBuf>,
    /// Paths or globs of logs that may be absent.
    pub transient: Vec<PathBuf>,
    /// Whether the journal is read.
    pub journal: bool,
    /// Where rotated siblings go.
    pub old_directories: Vec<PathBuf>,
}

/// A logcheck rule directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDirectory {
    /// How strict its `ignore.d` is.
    pub level: RuleLevel,
    /// Where it is, absolute.
    pub path: PathBuf,
}

/// logcheck's levels; each holds the rules of the stricter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleLevel {
    /// Only `ignore.d.paranoid`.
    Paranoid,
    /// `ignore.d.server` too.
    Server,
    /// `ignore.d.workstation` too.
    Workstation,
}

/// How logcheck's rules are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the configuration")]
pub struct LogcheckSettings {
    /// `true` for logcheck's layers, `false` for the 2012 daemon's simpler reading.
    pub has_layers: bool,
    /// Whether `cracking.ignore.d` is used.
    pub has_cracking_ignore: bool,
    /// Whether lines with an RFC 3339 stamp are also tried with the legacy stamp.
    pub has_timestamp_alias: bool,
    /// Whether rules that match everything may ignore.
    pub is_broad_allowed: bool,
    /// How often logs are read, 1 s to 1 d.
    pub check_time: Duration,
    /// How often rule files are looked at, 1 s to 1 d.
    pub rule_update: Duration,
}

/// One watched process or unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessWatch {
    /// What names it.
    pub source: ProcessSource,
    /// The container its PID counts in; `None` = the host.
    pub container: Option<String>,
}

/// What names a watched process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessSource {
    /// A PID file, absolute.
    PidFile(PathBuf),
    /// A systemd unit.
    Unit(String),
}

/// When reports are sent and what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportSettings {
    /// Times of file reports.
    pub files: Pooling,
    /// Times of log and process reports.
    pub logs: Pooling,
    /// The least time between urgent reports.
    pub urgent_hold_off: Duration,
    /// Items listed in a section, at least 1.
    pub lines: usize,
    /// After how long a standing error is repeated.
    pub error_nag: Duration,
    /// The mail of life; `None` = off.
    pub heartbeat: Option<Duration>,
    /// The report of a complete round; `None` = off.
    pub cycle_report: Option<Duration>,
    /// When events are attached.
    pub attach: Attach,
    /// Whose subjects.
    pub subject: SubjectStyle,
    /// How long events are kept.
    pub retention: Duration,
    /// Largest size of the database in bytes; `None` = no limit.
    pub max_database: Option<u64>,
}

/// When a batch of events becomes a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// How long the first event waits for others.
    pub report_time: Duration,
    /// The least time between two reports.
    pub hold_off: Duration,
}

impl Attach {
    /// Whether so many events are attached.
    pub const fn is_wanted(self, events: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Above(most) => events > most,
        }
    }
}

/// When events are attached to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Never.
    Never,
    /// Always.
    Always,
    /// When there are more than so many.
    Above(u64),
}

/// Whose subjects reports carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectStyle {
    /// integrityd's.
    Own,
    /// logcheck's, for existing filters.
    Logcheck,
}

/// How reports are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct MailSettings {
    /// By which way.
    pub way: MailWay,
    /// The sender; `None` = `integrityd@` and the host name.
    pub from: Option<String>,
    /// The file that holds the password (0600, root's).
    pub password_file: Option<PathBuf>,
    /// The most one delivery may take.
    pub send_timeout: Duration,
    /// The first wait after a failed attempt.
    pub retry_base: Duration,
    /// A local mailbox for reports that cannot be delivered.
    pub fallback_mbox: Option<PathBuf>,
}

/// The ways a report can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailWay {
    /// A sendmail program where that can work, else SMTP on localhost.
    Auto,
    /// SMTP.
    Smtp(SmtpServer),
    /// A sendmail program, absolute.
    Sendmail(PathBuf),
    /// A file for each report in this directory.
    File(PathBuf),
    /// The standard output.
    Stdout,
}

/// An SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpServer {
    /// Host name or address.
    pub host: String,
    /// Port; 25, or 465 for `smtps`.
    pub port: u16,
    /// Who logs in.
    pub user: Option<String>,
    /// How the connection is protected.
    pub tls: TlsMode,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    None,
    /// STARTTLS when it is offered.
    Opportunistic,
    /// STARTTLS, or nothing is sent.
    Required,
    /// TLS from the first byte.
    Wrapped,
}
