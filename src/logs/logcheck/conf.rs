//! `logcheck.conf`: a shell script of which only the assignments are read, and nothing is ever run. Pure.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::{
    config::{schema::fault::Fault, settings::config::RuleLevel},
    logs::logcheck::report::Titles,
};

/// What is set, with logcheck's own defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of logcheck that is on or off")]
pub struct Conf {
    /// `REPORTLEVEL`.
    pub level: RuleLevel,
    /// `SENDMAILTO`, as it stands there.
    pub recipients: String,
    /// `DATE`, as a format of `date(1)`.
    pub date: String,
    /// `INTRO`: whether there are header and footer.
    pub has_intro: bool,
    /// `FQDN`: whether the host is named in full.
    pub is_host_full: bool,
    /// `SORTUNIQ`.
    pub is_unique: bool,
    /// `SUPPORT_CRACKING_IGNORE`.
    pub has_cracking_ignore: bool,
    /// `ADDTAG`: whether the subject begins with `[logcheck]`.
    pub has_tag: bool,
    /// `RULEDIR`.
    pub rules: PathBuf,
    /// `STATEDIR`.
    pub states: PathBuf,
    /// `LOGFILES_LIST`.
    pub list: PathBuf,
    /// `LOGFILES_LIST_D`.
    pub lists: PathBuf,
    /// `LOGFILE`: the only log to check.
    pub log: Option<PathBuf>,
    /// `LOCKFILE`, which gets the ending `.lock`.
    pub lock: PathBuf,
    /// `ATTACKSUBJECT`, `SECURITYSUBJECT` and `EVENTSSUBJECT`.
    pub titles: Titles,
    /// `MAILASATTACH`: whether the report is mailed as an attachment.
    pub is_attached: bool,
    /// What cannot be had here: names of settings.
    pub unserved: Vec<&'static str>,
}

impl Default for Conf {
    fn default() -> Self {
        let title = |text: &str| text.as_bytes().to_vec();
        Self {
            level: RuleLevel::Server,
            recipients: "root".to_owned(),
            date: "%Y-%m-%d %H:%M %z".to_owned(),
            has_intro: true,
            is_host_full: false,
            is_unique: false,
            has_cracking_ignore: false,
            has_tag: false,
            rules: PathBuf::from("/etc/logcheck"),
            states: PathBuf::from("/var/lib/logcheck"),
            list: PathBuf::from("/etc/logcheck/logcheck.logfiles"),
            lists: PathBuf::from("/etc/logcheck/logcheck.logfiles.d"),
            log: None,
            lock: PathBuf::from("/run/lock/logcheck/logcheck"),
            titles: Titles {
                attack: title("Security Alerts"),
                security: title("Security Events"),
                events: title("System Events"),
            },
            is_attached: false,
            unserved: Vec::new(),
        }
    }
}

/// Settings of logcheck that have nothing to do here.
const WITHOUT_EFFECT: [&str; 8] =
    ["TMP", "TMPDIR", "LOGTAIL", "LOCKDIR", "MIMEENCODING", "NOCLEANUP", "SYSLOG_SUMMARY", "LOGFILE_FALLBACK"];

impl Conf {
    /// Reads `text` of `file`. What is no assignment of a plain value, or sets nothing that is known, is a fault that is told; all
    /// others count.
    pub fn read(text: &[u8], file: &Path) -> (Self, Vec<Fault>) {
        let (mut conf, mut faults) = (Self::default(), Vec::new());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let mut fault = |what: String, hint: &str| {
                faults.push(Fault { file: file.to_owned(), line: Some(number), what, hint: hint.to_owned() });
            };
            let Some(assignments) = assignments(line) else {
                fault("is not understood".to_owned(), "of this file only NAME=value is read, nothing is run");
                continue;
            };
            for (name, value) in assignments {
                if let Err(what) = conf.set(&name, value) {
                    fault(what, "it is passed over");
                }
            }
        }
        (conf, faults)
    }

    fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), String> {
        let text = String::from_utf8_lossy(&value).into_owned();
        let is_on = text == "1";
        let path = |value| PathBuf::from(OsString::from_vec(value));
        match name {
            "REPORTLEVEL" => self.level = level(&text).ok_or_else(|| format!("{name}: there is no level {text:?}"))?,
            "SENDMAILTO" => self.recipients = text,
            "DATE" => self.date = text.replace(LITERAL, "%%"),
            "INTRO" => self.has_intro = is_on || text.is_empty() || text == "yes",
            "FQDN" => self.is_host_full = is_on,
            "SORTUNIQ" => self.is_unique = is_on,
            "SUPPORT_CRACKING_IGNORE" => self.has_cracking_ignore = is_on,
            "ADDTAG" => self.has_tag = text == "yes",
            "RULEDIR" => self.rules = path(value),
            "STATEDIR" => self.states = path(value),
            "LOGFILES_LIST" => self.list = path(value),
            "LOGFILES_LIST_D" => self.lists = path(value),
            "LOGFILE" => self.log = (!value.is_empty()).then(|| path(value)),
            "LOCKFILE" => self.lock = path(value),
            "ATTACKSUBJECT" => self.titles.attack = value,
            "SECURITYSUBJECT" => self.titles.security = value,
            "EVENTSSUBJECT" => self.titles.events = value,
            "MAILASATTACH" => {
                self.is_attached = text != "0";
                self.unserved.extend(self.is_attached.then_some("MAILASATTACH"));
            }
            "SYSLOGSUMMARY" if is_on => self.unserved.push("SYSLOGSUMMARY"),
            "SYSLOGSUMMARY" => {}
            name if WITHOUT_EFFECT.contains(&name) => {}
            name => return Err(format!("{name} means nothing here")),
        }
        Ok(())
    }
}

fn level(name: &str) -> Option<RuleLevel> {
    match name {
        "paranoid" => Some(RuleLevel::Paranoid),
        "server" => Some(RuleLevel::Server),
        "workstation" => Some(RuleLevel::Workstation),
        _ => None,
    }
}

/// What stands for a `%` in a `DATE` that is no format.
const LITERAL: &str = "\0";

type Assignment = (String, Vec<u8>);

/// The assignments of a line; `None` when it holds anything else.
fn assignments(line: &[u8]) -> Option<Vec<Assignment>> {
    let mut rest = line.trim_ascii();
    if let Some(format) = rest.strip_prefix(b"DATE=").and_then(date_format) {
        return Some(vec![("DATE".to_owned(), format.to_vec())]);
    }
    let mut found = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b"export ").unwrap_or(rest).trim_ascii_start();
        if rest.is_empty() || rest.first() == Some(&b'#') {
            return Some(found);
        }
        let end = rest.iter().position(|byte| *byte == b'=')?;
        let (name, after) = rest.split_at_checked(end)?;
        let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && name.first().is_some_and(|byte| !byte.is_ascii_digit());
        if !is_name {
            return None;
        }
        let (mut value, after) = value(after.get(1..)?)?;
        if name == b"DATE" {
            value = String::from_utf8_lossy(&value).replace('%', LITERAL).into_bytes();
        }
        found.push((String::from_utf8_lossy(name).into_owned(), value));
        rest = after.strip_prefix(b";").unwrap_or(after);
    }
}

/// The format of `"$(date +'…')"`, the one command that is understood, because Debian's file shows it.
fn date_format(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    let format = inner.strip_prefix(b"$(date ")?.strip_suffix(b")")?.trim_ascii();
    let unquoted = [b'\'', b'"'].into_iter().find_map(|quote| {
        let plain = format.strip_prefix(&[b'+', quote])?.strip_suffix(&[quote]);
        plain.or_else(|| format.strip_prefix(&[quote, b'+'])?.strip_suffix(&[quote]))
    });
    let plain = unquoted.or_else(|| format.strip_prefix(b"+").filter(|format| !format.contains(&b' ')))?;
    (!plain.iter().any(|byte| b"'\"$`\\".contains(byte))).then_some(plain)
}

/// A value without its quotes, and what follows it; `None` for what a shell would expand or run.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    if rest.first() == Some(&b'~') {
        return None;
    }
    loop {
        let Some((byte, after)) = rest.split_first() else { return Some((value, rest)) };
        match byte {
            b' ' | b'\t' | b';' => return Some((value, rest)),
            b'\'' => {
                let end = after.iter().position(|byte| *byte == b'\'')?;
                value.extend_from_slice(after.get(..end)?);
                rest = after.get(end + 1..)?;
            }
            b'"' => rest = quoted(after, &mut value)?,
            b'\\' => {
                let (byte, after) = after.split_first()?;
                value.push(*byte);
                rest = after;
            }
            byte if b"$`()<>|&".contains(byte) => return None,
            byte => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing `"`.
fn quoted<'a>(text: &'a [u8], value: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some(rest),
            b'$' | b'`' => return None,
            b'\\' if after.first().is_some_and(|next| b"$`\"\\".contains(next)) => {
                let (next, after) = after.split_first()?;
                value.push(*next);
                rest = after;
            }
            byte => value.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Conf, Vec<String>) {
        let (conf, faults) = Conf::read(text.as_bytes(), Path::new("/c"));
        (conf, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_file_of_debian_is_understood() {
        let text = "# a comment\n#DATE=\"$(date)\"\n\nREPORTLEVEL=\"workstation\"\nSENDMAILTO=\"logcheck\"\nMAILASATTACH=0\n\
                    FQDN=1\nTMP=\"/tmp\"\nDATE=\"$(date +'%d.%m. %H:%M')\"\nINTRO=no\nATTACKSUBJECT='It''s' # more\n\
                    export SORTUNIQ=1; ADDTAG=yes\n  RULEDIR=/a\\ b\n";
        let (conf, faults) = read(text);
        let wanted = Conf {
            level: RuleLevel::Workstation,
            recipients: "logcheck".to_owned(),
            is_host_full: true,
            date: "%d.%m. %H:%M".to_owned(),
            has_intro: false,
            is_unique: true,
            has_tag: true,
            rules: PathBuf::from("/a b"),
            titles: Titles { attack: b"Its".to_vec(), ..Conf::default().titles },
            ..Conf::default()
        };
        assert_eq!((conf, faults), (wanted, vec![]));
    }

    #[test]
    fn what_a_shell_would_run_is_told_and_never_run() {
        for line in [
            "REPORTLEVEL=$(touch /tmp/x)",
            "REPORTLEVEL=`id`",
            "REPORTLEVEL=\"$LEVEL\"",
            "if true; then",
            ". /etc/other",
            "REPORTLEVEL=paranoid id",
            "REPORTLEVEL='paranoid",
            "REPORTLEVEL=paranoid | id",
            "REPORTLEVEL=(paranoid)",
            "1A=2",
            "DATE=$(date +$(id))",
            "\u{fffd}",
        ] {
            let (conf, faults) = read(line);
            assert_eq!(conf, Conf::default(), "{line}");
            let wanted = "/c:1: is not understood: of this file only NAME=value is read, nothing is run";
            assert_eq!(faults, [wanted], "{line}");
        }
        assert_eq!(read("REPORTLEVEL=high").1, ["/c:1: REPORTLEVEL: there is no level \"high\": it is passed over"]);
        assert_eq!(read("\nPATH=/x").1, ["/c:2: PATH means nothing here: it is passed over"]);
    }

    #[test]
    fn values_are_those_of_a_shell() {
        for (text, wanted) in [
            ("a'b c'\"d \\\" \\x\"\\ e", "ab cd \" \\x e"),
            ("", ""),
            ("a#b", "a#b"),
            ("''", ""),
            ("a;b", "a"),
            ("*", "*"),
        ] {
            assert_eq!(value(text.as_bytes()).map(|(value, _)| value), Some(wanted.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(read("DATE='100%'").0.date, "100%%");
        assert_eq!(read("MAILASATTACH=1\nSYSLOGSUMMARY=1").0.unserved, ["MAILASATTACH", "SYSLOGSUMMARY"]);
    }
}
