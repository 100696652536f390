//! The one table of all items: names, places, defaults, ranges, and the words an administrator reads about them.
//!
//! The parsers, the check, both example files and the manual page are made from it, so a setting is described once.

use std::time::Duration;

use crate::config::schema::{
    section::SettingTable,
    units::{format_rate, format_size, format_span},
};

/// What the value of an item is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingUnit {
    /// The name of a host.
    Host,
    /// A mail address, or a local user.
    Address,
    /// A way to send mail.
    MailUrl,
    /// An absolute path.
    Path,
    /// An absolute path or glob.
    Pattern,
    /// An absolute path or glob, or the word `journal`.
    LogSource,
    /// `LEVEL:DIR`, `/DIR` or `LEVEL`.
    Rules,
    /// A container.
    Container,
    /// A systemd unit.
    UnitName,
    /// The type of a file system.
    FileSystem,
    /// `logcheck:DIR` or `fcheck:FILE`.
    Adopt,
    /// Digest algorithms joined by `+`.
    Hash,
    /// Names of attributes; with `-` in front those taken out of the default.
    Attributes,
    /// `never`, `always` or a number.
    Attach,
    /// A span of time.
    Span {
        /// The shortest allowed.
        min: Duration,
        /// The longest allowed.
        max: Duration,
        /// Whether `off` is allowed.
        has_off: bool,
    },
    /// Bytes.
    Size {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// Whether `off` is allowed.
        has_off: bool,
    },
    /// Bytes per second.
    ByteRate {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A number, per second or a factor.
    Rate {
        /// The least allowed.
        min: f64,
        /// The most allowed.
        max: f64,
    },
    /// A whole number.
    Count {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// 0 to 100 per cent.
    Percent,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `yes` or `no`.
    Flag,
}

impl SettingUnit {
    /// What is allowed, in words for an administrator: `0s to 30d`, `accept or keep`.
    pub fn range(self) -> String {
        let or_off = |has_off: bool| if has_off { ", or off" } else { "" };
        match self {
            Self::Host => "a host name".to_owned(),
            Self::Address => "a mail address or a local user".to_owned(),
            Self::MailUrl => "auto, smtp://[user@]host[:port][?tls=required|opportunistic|none], smtps://..., \
                              sendmail:[/path], file:/dir or stdout:"
                .to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Pattern => "an absolute path or glob".to_owned(),
            Self::LogSource => "an absolute path or glob, or journal".to_owned(),
            Self::Rules => "LEVEL:/DIR, /DIR or LEVEL, where LEVEL is paranoid, server or workstation".to_owned(),
            Self::Container => "a container's name, id or number, pid:N, or 0 for the host".to_owned(),
            Self::UnitName => "a systemd unit such as nginx.service".to_owned(),
            Self::FileSystem => "a file-system type such as nfs4".to_owned(),
            Self::Adopt => "logcheck:/DIR or fcheck:/FILE".to_owned(),
            Self::Hash => "blake3, sha256, sha512, or several joined by +".to_owned(),
            Self::Attributes => "names of attributes, or -name for each that does not count".to_owned(),
            Self::Attach => "never, always or a number of items".to_owned(),
            Self::Span { min, max, has_off } => {
                format!("{} to {}{}", format_span(min), format_span(max), or_off(has_off))
            }
            Self::Size { min, max, has_off } => {
                format!("{} to {} bytes{}", format_size(min), format_size(max), or_off(has_off))
            }
            Self::ByteRate { min, max } => {
                format!("{} to {} bytes per second", format_size(min), format_size(max))
            }
            Self::Rate { min, max } => format!("{} to {}", format_rate(min), format_rate(max)),
            Self::Count { min, max } => format!("{min} to {max}"),
            Self::Percent => "0 to 100 %".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::Flag => "yes or no".to_owned(),
        }
    }
}

/// One item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettingKey {
    /// Its name in the legacy form.
    pub name: &'static str,
    /// Its name in TOML, within its table; `name` is understood there too.
    pub toml: &'static str,
    /// Its table in TOML.
    pub table: SettingTable,
    /// Its default as text; empty when there is none or when it depends on others.
    pub default: &'static str,
    /// What its value is.
    pub unit: SettingUnit,
    /// Whether it may be given several times.
    pub is_repeatable: bool,
    /// What it does, for an administrator: one or more sentences in plain ASCII.
    pub doc: &'static str,
}

/// Settings of earlier versions that nothing depends on any more, and why; they are accepted with a notice, so that no upgrade ends for
/// them.
const RETIRED: &[(&str, &str)] = &[
    ("html", "mails are text"),
    ("maxpart", "a mail of more than 1M, or than the server takes, is shortened"),
    ("unusedrules", "`integrityd rules unused` prints them"),
];

/// Why a setting of that name, the same in both forms, has gone; `None` when there was none.
pub(in crate::config) fn retired(name: &[u8]) -> Option<&'static str> {
    RETIRED.iter().find(|(gone, _)| gone.as_bytes() == name).map(|(_, why)| *why)
}

/// The item of that legacy name.
pub fn find(name: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.name == name)
}

/// The item that is called `name` within `table` of the TOML form.
pub fn find_in(table: SettingTable, name: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.table == table && (key.toml == name || key.name == name))
}

/// The one of `known` that `name` is most likely a slip of.
pub(in crate::config) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    known
        .map(|word| (strsim::damerau_levenshtein(&name, word), word))
        .filter(|(distance, word)| *distance <= word.len() / 3 || *distance == 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

const MANY: bool = true;
const ONCE: bool = false;

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = days(1);
const CENTURY: Duration = days(36_500);

const fn days(number: u64) -> Duration {
    Duration::from_secs(number * 86_400)
}

const fn span(min: Duration, max: Duration) -> SettingUnit {
    SettingUnit::Span { min, max, has_off: false }
}

const fn span_or_off(min: Duration, max: Duration) -> SettingUnit {
    SettingUnit::Span { min, max, has_off: true }
}

const fn size(min: u64, max: u64) -> SettingUnit {
    SettingUnit::Size { min, max, has_off: false }
}

const FILE_RATE: SettingUnit = SettingUnit::Rate { min: 0.01, max: 100_000.0 };
const BYTE_RATE: SettingUnit = SettingUnit::ByteRate { min: KI, max: 10 * GI };
const POOLING: SettingUnit = span(Duration::ZERO, days(30));

macro_rules! keys {
    ($($name:literal $toml:literal $table:ident $default:literal [$unit:expr] $many:ident $doc:literal;)+) => {
        /// All items, in the order of the example files.
        pub const KEYS: &[SettingKey] = &[$(SettingKey {
            name: $name,
            toml: $toml,
            table: SettingTable::$table,
            default: $default,
            unit: $unit,
            is_repeatable: $many,
            doc: $doc,
        },)+];
    };
}

// An area's, a group's or a process's first line stands before the lines that belong to it: both forms are read in this order.
keys! {
    "email" "email" Top "root@localhost" [SettingUnit::Address] MANY "Who gets everything.";
    "database" "database" Top "/var/lib/integrityd/integrityd.sqlite" [SettingUnit::Path] ONCE
        "The database; created and migrated by the daemon.";
    "hostname" "hostname" Top "" [SettingUnit::Host] ONCE
        "The name of this machine in reports; without it the fully qualified host name.";
    "include" "include" Top "" [SettingUnit::Pattern] MANY
        "Further files in the same form as this one. Each is read as if it stood alone: lines of an area belong to an area line of the same file.";
    "hash" "hash" Top "blake3" [SettingUnit::Hash] ONCE "How content is digested, unless an area says otherwise.";
    "noinode" "noinode" Top "" [SettingUnit::Path] MANY "A path whose inode number does not count.";
    "notime" "notime" Top "" [SettingUnit::Path] MANY "A path whose own times do not count.";
    "urgent" "urgent" Top "" [SettingUnit::Pattern] MANY
        "A path whose changes are reported at once and as high, in addition to the built-in list (accounts, sudo, PAM, polkit, sshd_config, authorized_keys, the dynamic linker, profiles of shells, rc.local, udev rules, units, cron, at; the whole list is in docs/mail.md).";
    "adopt" "adopt" Top "" [SettingUnit::Adopt] MANY
        "What is taken over, once, from a tool that is replaced: log positions or a baseline.";

    "byterate" "byterate" Rates "256k" [BYTE_RATE] ONCE "How many bytes are read per second.";
    "smallfiles" "smallfiles" Rates "128k" [size(0, 16 * MI)] ONCE "Files up to this size are read in one go.";
    "bigfiles" "bigfiles" Rates "16M" [size(64 * KI, 1024 * GI)] ONCE
        "Files above this size are read in slices beside the walk; their metadata are compared at every look.";
    "filerate" "filerate" Rates "1" [FILE_RATE] ONCE "How many files are looked at per second.";
    "speedup" "speedup" Rates "20" [SettingUnit::Rate { min: 1.0, max: 1000.0 }] ONCE
        "What both rates are multiplied with after a change, until everything was looked at once.";
    "firstround" "firstround" Rates "auto" [SettingUnit::Choice(&["auto", "fast", "paced"])] ONCE
        "How the first round over an area goes: fast, as far as nobody else wants the processor and the disks; paced, at speedup times the rates; auto is paced where filerate or byterate is given and else fast.";
    "maxfilerate" "maxfilerate" Rates "" [FILE_RATE] ONCE
        "The most files per second that areamaxage or a fast first round may lead to; without it 50 times filerate, and 3000 in such a round.";
    "maxbyterate" "maxbyterate" Rates "" [BYTE_RATE] ONCE
        "The most bytes per second that areamaxage or a fast first round may lead to; without it 50 times byterate, and 150M in such a round.";
    "pressure" "pressure" Rates "20" [SettingUnit::Percent] ONCE
        "The I/O pressure (/proc/pressure/io, some avg10), in per cent, at which the rates are halved, again every five seconds, down to a sixteenth; 0 = never.";

    "reporttime" "reporttime" Report "30s" [POOLING] ONCE "How long the first change waits for others before a report is sent.";
    "reportholdoff" "reportholdoff" Report "15m" [POOLING] ONCE "The least time between two reports of changed files.";
    "logreporttime" "logreporttime" Report "" [POOLING] ONCE
        "The same as reporttime for logs and processes; without it reporttime.";
    "logreportholdoff" "logreportholdoff" Report "" [POOLING] ONCE
        "The same as reportholdoff for logs and processes; without it reportholdoff.";
    "urgentholdoff" "urgentholdoff" Report "1m" [POOLING] ONCE "The least time between two urgent reports.";
    "reportlines" "reportlines" Report "1000" [SettingUnit::Count { min: 1, max: 1_000_000 }] ONCE
        "How many items a section of a report lists; the others are counted.";
    "errornag" "errornag" Report "2h" [span(MINUTE, days(30))] ONCE "After how long a standing error is repeated.";
    "heartbeat" "heartbeat" Report "off" [span_or_off(SECOND, days(400))] ONCE
        "How often a mail of life is sent, whatever else there is to report. They are numbered one after the other, so that somebody elsewhere notices a missing one.";
    "cyclereport" "cyclereport" Report "off" [span_or_off(SECOND, days(400))] ONCE
        "How often it is reported which rounds were finished, and what they found.";
    "attach" "attach" Report "never" [SettingUnit::Attach] ONCE "When events are attached for machines: from more than so many items on.";
    "subject" "subject" Report "own" [SettingUnit::Choice(&["own", "logcheck"])] ONCE
        "Whose subjects the mails carry; logcheck's for existing filters, as its version 1.4.2 writes them: web3 2026-11-21 14:02 +0100 Security Events. Only mails about lines of logs have them.";
    "retention" "retention" Report "400d" [span(DAY, CENTURY)] ONCE "How long events are kept after everybody has got them.";
    "maxdatabase" "maxdatabase" Report "2G" [SettingUnit::Size { min: MI, max: 16 * 1024 * GI, has_off: true }] ONCE
        "The most that events and reports may take in the database, the baseline aside: before it is reached the oldest that everybody has got go, but for those of the last day.";

    "mail" "url" Mail "auto" [SettingUnit::MailUrl] ONCE
        "How reports are sent. auto: a sendmail program, as root; else SMTP on localhost.";
    "mailfrom" "mailfrom" Mail "" [SettingUnit::Address] ONCE "The sender; without it integrityd@ and the host name.";
    "mailpasswordfile" "mailpasswordfile" Mail "" [SettingUnit::Path] ONCE
        "A file of root's (0600) that holds the password of the user in mail.";
    "sendtimeout" "sendtimeout" Mail "15m" [span(SECOND, DAY)] ONCE "The most that one delivery may take.";
    "retrybase" "retrybase" Mail "30s" [span(Duration::from_millis(10), DAY)] ONCE "The first wait after a failed delivery; it doubles up to an hour.";
    "fallbackmbox" "fallbackmbox" Mail "" [SettingUnit::Path] ONCE "A local mailbox for reports that cannot be delivered.";

    "semantics" "semantics" Logcheck "logcheck" [SettingUnit::Choice(&["logcheck", "flat"])] ONCE
        "How rule directories are read: like logcheck, or simpler like the daemon of 2012.";
    "crackingignore" "crackingignore" Logcheck "no" [SettingUnit::Flag] ONCE
        "Whether cracking.ignore.d is used (logcheck's SUPPORT_CRACKING_IGNORE).";
    "timestampalias" "timestampalias" Logcheck "yes" [SettingUnit::Flag] ONCE
        "Whether lines with an RFC 3339 time are also tried with the time that old rules expect.";
    "allowbroad" "allowbroad" Logcheck "no" [SettingUnit::Flag] ONCE "Whether a rule that matches everything may ignore lines.";
    "logchecktime" "logchecktime" Logcheck "30s" [span(SECOND, DAY)] ONCE "How often logs are read.";
    "logruleupdate" "logruleupdate" Logcheck "4m" [span(SECOND, DAY)] ONCE "How often rule files are looked at.";

    "area" "path" Area "" [SettingUnit::Path] MANY
        "A tree to check, or a link to one: what it leads to is checked, and told when that is another. Of nested areas the innermost wins, and an area inside an exclude is checked.";
    "exclude" "exclude" Area "" [SettingUnit::Pattern] MANY
        "What is left out, with all that is below it; * does not cross a /, ** does. In the legacy form for all areas, in TOML for its own.";
    "areahash" "hash" Area "" [SettingUnit::Hash] ONCE "How content is digested in this area; without it hash.";
    "areaattributes" "attributes" Area "" [SettingUnit::Attributes] ONCE
        "What is compared in this area: a list, or what does not count; permissions, directory, log and all name several at once. With log a file may grow while its old part stays what it was. In TOML { only = [...] } or { without = [...] }.";
    "areamaxage" "maxage" Area "off" [span_or_off(MINUTE, CENTURY)] ONCE
        "Within what time every file of this area is looked at; the rates are raised for it.";
    "areaemail" "email" Area "" [SettingUnit::Address] MANY "Who gets what concerns this area, in addition to email.";
    "arearecurse" "recurse" Area "yes" [SettingUnit::Flag] ONCE "Whether directories below this area are entered.";
    "areaonchange" "onchange" Area "accept" [SettingUnit::Choice(&["accept", "keep"])] ONCE
        "Whether a reported change becomes the baseline, or the old state is kept until the new one is accepted.";
    "areafstypes" "fstypes" Area "" [SettingUnit::FileSystem] MANY
        "A slow file-system type that is checked in this area although it may hang: a helper process looks at it, and what does not answer is left alone for a while. The type of the area's root needs no line.";

    "logrules" "rules" Logs "" [SettingUnit::Rules] MANY
        "A logcheck rule directory for the logs that follow; without one server:/etc/logcheck.";
    "log" "files" Logs "" [SettingUnit::LogSource] MANY "A log to read. In TOML, journal = true for the journal.";
    "logtransient" "transient" Logs "" [SettingUnit::Pattern] MANY "A log that may be absent.";
    "olddir" "olddir" Logs "" [SettingUnit::Path] MANY "Where rotated logs go.";

    "pidct" "pidct" Process "" [SettingUnit::Container] ONCE
        "The container that the following pidfile lines count in, until the next pidct; 0 = the host.";
    "pidfile" "pidfile" Process "" [SettingUnit::Path] MANY "A PID file whose process is watched.";
    "unit" "unit" Process "" [SettingUnit::UnitName] MANY "A systemd unit whose processes are watched.";
    "pidchecktime" "pidchecktime" Process "30s" [span(SECOND, DAY)] ONCE "How often processes are looked at.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_and_every_text_plain() {
        for (at, key) in KEYS.iter().enumerate() {
            let others = &KEYS[at + 1..];
            assert!(others.iter().all(|other| other.name != key.name), "{}", key.name);
            assert!(others.iter().all(|other| other.table != key.table || other.toml != key.toml), "{}", key.name);
            assert!(key.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", key.name);
            assert!(key.doc.is_ascii() && key.doc.ends_with('.'), "{}", key.name);
            assert!(key.unit.range().is_ascii(), "{}", key.name);
        }
    }

    #[test]
    fn a_slip_finds_its_item() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(closest("aera", names()), Some("area"));
        assert_eq!(closest("Email", names()), Some("email"));
        assert_eq!(closest("reporttimes", names()), Some("reporttime"));
        assert_eq!(closest("report_time", names()), Some("reporttime"));
        assert_eq!(closest("xyzzy", names()), None);
    }

    #[test]
    fn ranges_are_said_in_words() {
        assert_eq!(find("reporttime").unwrap().unit.range(), "0s to 30d");
        assert_eq!(find("heartbeat").unwrap().unit.range(), "1s to 400d, or off");
        assert_eq!(find("byterate").unwrap().unit.range(), "1k to 10G bytes per second");
        assert_eq!(find("filerate").unwrap().unit.range(), "0.01 to 100000");
        assert_eq!(find_in(SettingTable::Area, "hash").unwrap().name, "areahash");
        assert_eq!(find_in(SettingTable::Top, "hash").unwrap().name, "hash");
        assert_eq!(find_in(SettingTable::Rates, "hash"), None);
    }
}
