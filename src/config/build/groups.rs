//! The groups of logs with their rules, and the processes with their containers.
//!
//! In the legacy form the order of lines is the grouping: rule directories that follow each other are those of one group, and
//! the logs after them belong to it. In TOML each table is a group.

use std::path::{Path, PathBuf};

use crate::config::{
    build::values::{ValueEntry, ValueSet},
    read::{
        item::{ConfigPlace, Findings},
        value::Value,
    },
    schema::{fault::show, section::SettingTable},
    settings::config::{LogGroup, ProcessSource, ProcessWatch, RuleDirectory, RuleLevel},
};

/// Where logcheck keeps its rules.
const LOGCHECK: &str = "/etc/logcheck";

/// A group while it is put together.
pub(in crate::config) struct GroupDraft<'a> {
    file: &'a Path,
    block: u32,
    place: &'a ConfigPlace,
    group: LogGroup,
    /// Its lines, but for those that repeat one.
    pub(in crate::config) entries: Vec<&'a ValueEntry>,
    /// Whether a rules line was faulty: then no default takes its place.
    has_bad_rules: bool,
    /// Whether a log line was given, faulty or not.
    pub(in crate::config) has_logs: bool,
}

/// A process to watch with its lines.
pub(in crate::config) struct WatchedDraft<'a> {
    watch: ProcessWatch,
    /// Its own line.
    pub(in crate::config) entry: &'a ValueEntry,
    /// The line of its container.
    pub(in crate::config) container: Option<&'a ValueEntry>,
}

/// All groups of logs of `sheet`.
pub(in crate::config) fn logs(sheet: &ValueSet, findings: &mut Findings) -> Vec<LogGroup> {
    drafts(sheet, findings).into_iter().filter_map(|draft| finish(draft, findings)).collect()
}

/// All groups with their lines, also those without a log.
pub(in crate::config) fn drafts<'a>(sheet: &'a ValueSet, findings: &mut Findings) -> Vec<GroupDraft<'a>> {
    let mut drafts: Vec<GroupDraft<'_>> = Vec::new();
    for entry in sheet.entries.iter().filter(|entry| entry.key.table == SettingTable::Logs) {
        let is_same = drafts.last().is_some_and(|draft| {
            draft.file == &*entry.place.file
                && draft.block == entry.block
                && !(entry.block == 0 && entry.key.name == "logrules" && draft.has_logs)
        });
        if !is_same {
            drafts.push(GroupDraft {
                file: &entry.place.file,
                block: entry.block,
                place: &entry.place,
                group: empty(),
                entries: Vec::new(),
                has_bad_rules: false,
                has_logs: false,
            });
        }
        if let Some(draft) = drafts.last_mut() {
            add(draft, entry, findings);
        }
    }
    drafts
}

fn empty() -> LogGroup {
    LogGroup {
        rules: Vec::new(),
        files: Vec::new(),
        transient: Vec::new(),
        journal: false,
        old_directories: Vec::new(),
    }
}

fn add<'a>(draft: &mut GroupDraft<'a>, entry: &'a ValueEntry, findings: &mut Findings) {
    draft.has_logs |= matches!(entry.key.name, "log" | "logtransient");
    draft.has_bad_rules |= entry.key.name == "logrules" && entry.value.is_none();
    let group = &mut draft.group;
    let is_repeated = match (entry.key.name, &entry.value) {
        ("logrules", Some(Value::Rules(rules))) => !push(&mut group.rules, rules),
        ("log", Some(Value::Journal)) => std::mem::replace(&mut group.journal, true),
        ("log", Some(Value::Path(path))) => !push(&mut group.files, path),
        ("logtransient", Some(Value::Path(path))) => !push(&mut group.transient, path),
        ("olddir", Some(Value::Path(path))) => !push(&mut group.old_directories, path),
        _ => false,
    };
    if is_repeated {
        findings.notice(&entry.place, format!("`{}` is repeated", entry.key.name), "one line is enough");
    } else {
        draft.entries.push(entry);
    }
}

/// Appends `value` unless it is there; `false` when it was.
fn push<T: PartialEq + Clone>(list: &mut Vec<T>, value: &T) -> bool {
    let is_new = !list.contains(value);
    if is_new {
        list.push(value.clone());
    }
    is_new
}

fn finish(draft: GroupDraft<'_>, findings: &mut Findings) -> Option<LogGroup> {
    if !draft.has_logs {
        findings.notice(draft.place, "a group without a log", "write a log line after the rules it is to be read by");
        return None;
    }
    let mut group = draft.group;
    if group.rules.is_empty() && !draft.has_bad_rules {
        group.rules.push(RuleDirectory { level: RuleLevel::Server, path: PathBuf::from(LOGCHECK) });
    }
    Some(group)
}

/// All processes of `sheet`.
pub(in crate::config) fn processes(sheet: &ValueSet, findings: &mut Findings) -> Vec<ProcessWatch> {
    watched(sheet, findings).into_iter().map(|watched| watched.watch).collect()
}

/// All processes with their lines.
pub(in crate::config) fn watched<'a>(sheet: &'a ValueSet, findings: &mut Findings) -> Vec<WatchedDraft<'a>> {
    let mut watches: Vec<WatchedDraft<'a>> = Vec::new();
    let mut container: Option<(String, &'a ValueEntry)> = None;
    let mut is_used = true;
    let mut scope: Option<(&Path, u32)> = None;
    for entry in sheet.entries.iter().filter(|entry| entry.key.table == SettingTable::Process) {
        if scope != Some((&*entry.place.file, entry.block)) {
            unused(&mut container, &mut is_used, findings);
            container = None;
            scope = Some((&*entry.place.file, entry.block));
        }
        let watch = match (entry.key.name, &entry.value) {
            ("pidct", Some(Value::Text(name))) => {
                unused(&mut container, &mut is_used, findings);
                container = (name != "0").then(|| (name.clone(), entry));
                is_used = container.is_none();
                continue;
            }
            ("pidfile", Some(Value::Path(path))) => {
                is_used = true;
                let container = container.as_ref().map(|(name, _)| name.clone());
                ProcessWatch { source: ProcessSource::PidFile(path.clone()), container }
            }
            ("unit", Some(Value::Text(name))) => {
                ProcessWatch { source: ProcessSource::Unit(name.clone()), container: None }
            }
            _ => {
                is_used |= entry.key.name == "pidfile";
                continue;
            }
        };
        if watches.iter().any(|known| known.watch == watch) {
            findings.notice(&entry.place, format!("`{}` is repeated", entry.key.name), "one line is enough");
        } else {
            let container = container.as_ref().filter(|_| watch.container.is_some()).map(|(_, line)| *line);
            watches.push(WatchedDraft { watch, entry, container });
        }
    }
    unused(&mut container, &mut is_used, findings);
    watches
}

/// Says that no pidfile followed a pidct.
fn unused(container: &mut Option<(String, &ValueEntry)>, is_used: &mut bool, findings: &mut Findings) {
    if let Some((name, line)) = container.take()
        && !*is_used
    {
        let what = format!("`pidct = {}` has no effect", show(name.as_bytes()));
        findings.notice(&line.place, what, "write the pidfile lines it is meant for after it");
    }
    *is_used = true;
}
