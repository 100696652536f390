//! `import logcheck`: what logcheck.conf, the lists of logs and logcheck's line in cron say, as settings.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::{
        import::config_text::{ConfigText, quoted},
        logcheck::options::shown,
    },
    config::{
        schema::{fault::Fault, units::format_span},
        settings::config::RuleLevel,
        write::legacy_line::legacy_line,
    },
    logs::logcheck::{conf::Conf, journal},
};

/// The longest hold-off that a configuration can have.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// Everything that is known of an installed logcheck.
pub(in crate::cli) struct LogcheckImport<'a> {
    /// Its configuration.
    pub(in crate::cli) conf: &'a Conf,
    /// What in it is not understood.
    pub(in crate::cli) faults: &'a [Fault],
    /// Its text.
    pub(in crate::cli) text: &'a [u8],
    /// The logs, each with the list it stands in.
    pub(in crate::cli) logs: Vec<(PathBuf, Vec<u8>)>,
    /// Which lists cannot be read, and why.
    pub(super) unread: Vec<String>,
    /// Whether this machine keeps a journal.
    pub(in crate::cli) has_journal: bool,
    /// Where cron runs it, and the longest time between two runs.
    pub(in crate::cli) cron: Option<(String, Option<Duration>)>,
    /// Who gets the mail of a local user, by `/etc/aliases`.
    pub(super) aliases: &'a [u8],
    /// The first label of this host's name.
    pub(super) short_host: String,
}

impl LogcheckImport<'_> {
    /// Writes the settings.
    pub(in crate::cli) fn write(&self, text: &mut ConfigText) {
        self.recipients(text);
        self.mails(text);
        text.gap();
        let level = match self.conf.level {
            RuleLevel::Paranoid => "paranoid",
            RuleLevel::Server => "server",
            RuleLevel::Workstation => "workstation",
        };
        let rules = [level.as_bytes(), b":", self.conf.rules.as_os_str().as_encoded_bytes()].concat();
        text.item("logrules", &rules);
        self.logs(text);
        if self.conf.has_cracking_ignore {
            text.item("crackingignore", b"yes");
        }
        text.gap();
        text.say("Each log is read on from where logcheck had come to, the journal from the second of its last run.");
        let states = [b"logcheck:", self.conf.states.as_os_str().as_encoded_bytes()].concat();
        text.item("adopt", &states);
        self.hold_off(text);
        self.others(text);
    }

    fn recipients(&self, text: &mut ConfigText) {
        text.say("SENDMAILTO:");
        let mut has_any = false;
        for name in self.conf.recipients.split([',', ' ', '\t']).filter(|name| !name.is_empty()) {
            // Two names of one mailbox would get everything twice.
            let alias = alias(self.aliases, name);
            if let Some(alias) = &alias {
                text.say(&format!("{} is {} by /etc/aliases.", quoted(name.as_bytes()), quoted(alias.as_bytes())));
            }
            has_any |= text.item("email", alias.as_deref().unwrap_or(name).as_bytes());
        }
        if !has_any {
            text.say("logcheck names nobody who could get its mails.");
            text.item("email", b"root");
        }
    }

    fn mails(&self, text: &mut ConfigText) {
        let conf = self.conf;
        if !conf.is_host_full {
            text.say("FQDN=0: mails name this host in full unless the short name is set:");
            text.raw(&match legacy_line("hostname", self.short_host.as_bytes()) {
                Ok(line) => format!("#{}", String::from_utf8_lossy(&line)),
                Err(_) => "#hostname =".to_owned(),
            });
        }
        text.say("Reports with log lines keep the subject of logcheck, so that filters go on working.");
        text.item("subject", b"logcheck");
        let defaults = Conf::default().titles;
        let titles = [
            ("ATTACKSUBJECT", &conf.titles.attack, &defaults.attack),
            ("SECURITYSUBJECT", &conf.titles.security, &defaults.security),
            ("EVENTSSUBJECT", &conf.titles.events, &defaults.events),
        ];
        for (name, title, _) in titles.iter().filter(|(_, title, default)| title != default) {
            text.say(&format!("not carried over: {name} = {}; the titles are those of logcheck's own.", quoted(title)));
        }
        if conf.has_tag {
            text.say("not carried over: ADDTAG = yes; no [logcheck] stands before the subject.");
        }
        if conf.is_attached {
            text.say("MAILASATTACH: the report is the text of the mail; what is attached is meant for programs.");
            text.item("attach", b"always");
        }
    }

    fn logs(&self, text: &mut ConfigText) {
        if let Some(log) = &self.conf.log {
            text.say("LOGFILE: no list of logs counts.");
            text.item("log", log.as_os_str().as_encoded_bytes());
            return;
        }
        for why in &self.unread {
            text.say(&format!("not carried over: {why}"));
        }
        let mut list: Option<&Path> = None;
        let mut known: Vec<&[u8]> = Vec::new();
        for (from, entry) in self.logs.iter().filter(|(_, entry)| !entry.is_empty()) {
            if known.contains(&entry.as_slice()) {
                continue;
            }
            known.push(entry);
            if list != Some(from) {
                text.say(&format!("of {}:", shown(from)));
                list = Some(from);
            }
            // A trailing blank belongs to the name for logcheck, and finds nothing.
            if entry != journal::NAME.as_bytes() {
                text.item("log", entry.trim_ascii_end());
            } else if self.has_journal {
                text.item("log", entry);
            } else {
                text.say("This machine has no journal: there is neither /run/log/journal nor /var/log/journal.");
                text.raw("#log = journal");
            }
        }
        if known.is_empty() {
            text.say(
                "The lists name no log. logcheck then checks nothing; write log = /var/log/syslog, or log = journal.",
            );
        }
    }

    fn hold_off(&self, text: &mut ConfigText) {
        text.gap();
        match &self.cron {
            Some((place, Some(interval))) => {
                text.say(&format!(
                    "One mail in {} at most, as by {}; urgent lines are told within a minute.",
                    format_span(*interval),
                    place
                ));
                text.item("logreportholdoff", format_span((*interval).min(LONGEST)).as_bytes());
            }
            Some((place, None)) => {
                text.say(&format!("How often {place} runs logcheck was not understood; see logreportholdoff."));
            }
            None => text.say("No line of cron runs logcheck; see logreportholdoff for how often a mail may come."),
        }
    }

    /// What has no place here.
    fn others(&self, text: &mut ConfigText) {
        let conf = self.conf;
        text.gap();
        if conf.is_unique {
            text.say("not carried over: SORTUNIQ; lines stand in their order, and equal ones are folded.");
        }
        if conf.unserved.contains(&"SYSLOGSUMMARY") {
            text.say("not carried over: SYSLOGSUMMARY; equal lines are folded.");
        }
        if conf.date != Conf::default().date {
            text.say("not carried over: DATE; subjects have the date as logcheck's own configuration has it.");
        }
        if !conf.has_intro {
            text.say("not needed: INTRO; header.txt and footer.txt are not used.");
        }
        let lines: Vec<&[u8]> = self.text.split(|byte| *byte == b'\n').collect();
        for fault in self.faults {
            let at = fault.line.and_then(|line| usize::try_from(line).ok()).and_then(|line| line.checked_sub(1));
            let line = at.and_then(|at| lines.get(at)).copied().unwrap_or_default();
            let number = fault.line.unwrap_or_default();
            let place = format!("{}:{number}", shown(&fault.file));
            text.say(&format!(
                "not carried over: {place}, {}: {}; {}.",
                quoted(line),
                quoted_words(&fault.what),
                fault.hint
            ));
        }
    }
}

/// Our words about a line, which may quote it.
fn quoted_words(words: &str) -> String {
    crate::model::escape::escape_cut(words.as_bytes(), 300)
}

/// Who gets the mail of the local user `name`, when aliases(5) name one user or address and nothing else.
fn alias(aliases: &[u8], name: &str) -> Option<String> {
    let line = aliases.split(|byte| *byte == b'\n').find_map(|line| {
        let (left, right) = str::from_utf8(line).ok()?.split_once(':')?;
        (left.trim() == name && !left.starts_with([' ', '\t', '#'])).then_some(right.trim())
    })?;
    // A program or a file is no mailbox that a mail can be addressed to.
    let is_name = line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-@".contains(&byte));
    legacy_line("email", line.as_bytes()).ok().filter(|_| is_name).map(|_| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_taken_only_when_it_names_one_mailbox() {
        let aliases = b"# logcheck: no\nlogcheck: root\nmany: a, b\npiped: |/bin/x\nfile: /dev/null\n indented: x\n";
        assert_eq!(alias(aliases, "logcheck").as_deref(), Some("root"));
        for name in ["many", "piped", "file", "indented", "none", "# logcheck"] {
            assert_eq!(alias(aliases, name), None, "{name}");
        }
    }
}
