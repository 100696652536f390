//! The areas with what belongs to each: the lines that follow it in the legacy form, its own table in TOML.

use std::path::{Path, PathBuf};

use crate::{
    config::{
        build::values::{ValueEntry, ValueSet, repeated},
        read::{
            item::{ConfigPlace, Findings},
            value::Value,
        },
        schema::{fault::show_path, section::SettingTable},
        settings::{
            config::{Area, OnChange},
            exclude::{Excludes, can_reach},
        },
    },
    model::file::{attribute::Attribute, entry::AlgorithmSet},
};

/// An area while it is put together.
pub(in crate::config) struct AreaDraft<'a> {
    /// `None` when the line was faulty: what follows still belongs to it and to no other.
    pub(in crate::config) path: Option<PathBuf>,
    pub(in crate::config) place: &'a ConfigPlace,
    entries: Vec<&'a ValueEntry>,
    pub(in crate::config) excludes: Vec<(PathBuf, &'a ConfigPlace)>,
}

impl<'a> AreaDraft<'a> {
    /// What holds in it: a line that repeats another is left out.
    pub(in crate::config) fn in_force(&self) -> impl Iterator<Item = &'a ValueEntry> {
        self.entries.iter().enumerate().filter(|(at, entry)| self.first(*at, entry).is_none()).map(|(_, entry)| *entry)
    }

    /// The line that `entry`, the one at `at`, repeats or contradicts.
    fn first(&self, at: usize, entry: &ValueEntry) -> Option<&'a ValueEntry> {
        let earlier = self.entries.get(..at).unwrap_or_default();
        let same = |other: &&&ValueEntry| other.key == entry.key && other.value.is_some();
        let is_first = |other: &&&ValueEntry| same(other) && (!entry.key.is_repeatable || other.value == entry.value);
        earlier.iter().find(is_first).copied()
    }
}

/// All areas of `sheet`.
pub(in crate::config) fn areas(sheet: &ValueSet, findings: &mut Findings) -> Vec<Area> {
    drafts(sheet, findings).iter().filter_map(|draft| finish(draft, sheet, findings)).collect()
}

/// All areas with the lines that belong to them, each with all that is left out of it.
pub(in crate::config) fn drafts<'a>(sheet: &'a ValueSet, findings: &mut Findings) -> Vec<AreaDraft<'a>> {
    let (mut drafts, shared) = sort(sheet, findings);
    for draft in &mut drafts {
        let Some(area) = draft.path.as_deref() else {
            continue;
        };
        for (pattern, place) in &draft.excludes {
            if pattern == area {
                excludes_all(area, place, findings);
            } else if !can_reach(pattern, area) {
                let what = format!("exclude `{}` has no effect in area `{}`", show_path(pattern), show_path(area));
                findings.notice(place, what, "nothing of this area is called so");
            }
        }
        draft.excludes.extend(shared.iter().filter(|(pattern, _)| can_reach(pattern, area)).cloned());
    }
    for (pattern, place) in &shared {
        if drafts.iter().any(|draft| draft.path.as_ref() == Some(pattern)) {
            excludes_all(pattern, place, findings);
        }
    }
    drafts
}

fn excludes_all(area: &Path, place: &ConfigPlace, findings: &mut Findings) {
    findings.fault(place, format!("`{}` is both an area and excluded", show_path(area)), "take one of the lines away");
}

/// Sorts the lines to their areas; the excludes of the legacy form are returned apart, because they are for all areas.
fn sort<'a>(sheet: &'a ValueSet, findings: &mut Findings) -> (Vec<AreaDraft<'a>>, Vec<(PathBuf, &'a ConfigPlace)>) {
    let mut drafts: Vec<AreaDraft<'a>> = Vec::new();
    let mut shared: Vec<(PathBuf, &'a ConfigPlace)> = Vec::new();
    let mut current: Option<usize> = None;
    let mut file: Option<&Path> = None;
    for entry in sheet.entries.iter().filter(|entry| entry.key.table == SettingTable::Area) {
        if file != Some(&*entry.place.file) {
            current = None;
            file = Some(&*entry.place.file);
        }
        match (entry.key.name, &entry.value) {
            ("area", value) => current = Some(begin(&mut drafts, entry, value.as_ref(), findings)),
            ("exclude", Some(Value::Path(path))) => {
                let own = current.filter(|_| entry.block != 0).and_then(|at| drafts.get_mut(at));
                let list = own.map_or(&mut shared, |draft| &mut draft.excludes);
                if list.iter().any(|(known, _)| known == path) {
                    findings.notice(
                        &entry.place,
                        format!("exclude `{}` is repeated", show_path(path)),
                        "one line is enough",
                    );
                } else {
                    list.push((path.clone(), &entry.place));
                }
            }
            (name, _) => match current.and_then(|at| drafts.get_mut(at)) {
                Some(draft) => draft.entries.push(entry),
                None if name == "exclude" => {}
                None => findings.fault(
                    &entry.place,
                    format!("`{name}` belongs to no area"),
                    "write it after the area line it is meant for",
                ),
            },
        }
    }
    (drafts, shared)
}

/// Begins an area, or goes on with one that was given before.
fn begin<'a>(
    drafts: &mut Vec<AreaDraft<'a>>,
    entry: &'a ValueEntry,
    value: Option<&Value>,
    findings: &mut Findings,
) -> usize {
    let path = match value {
        Some(Value::Path(path)) => Some(path.clone()),
        _ => None,
    };
    if path.is_some()
        && let Some(at) = drafts.iter().position(|draft| draft.path == path)
    {
        if let Some(first) = drafts.get(at) {
            let what = format!(
                "this area was given already, in line {} of {}",
                first.place.line,
                show_path(&first.place.file)
            );
            findings.notice(&entry.place, what, "one line is enough; what follows it belongs to the same area");
        }
        return at;
    }
    drafts.push(AreaDraft { path, place: &entry.place, entries: Vec::new(), excludes: Vec::new() });
    drafts.len() - 1
}

/// Makes the area out of its lines.
fn finish(draft: &AreaDraft<'_>, sheet: &ValueSet, findings: &mut Findings) -> Option<Area> {
    let mut area = Area::new(draft.path.clone().unwrap_or_default());
    area.algorithms = sheet.hash("hash");
    area.without_inode = sheet.paths("noinode");
    area.without_times = sheet.paths("notime");
    for (at, entry) in draft.entries.iter().enumerate() {
        match (draft.first(at, entry), &entry.value) {
            (Some(first), Some(_)) => repeated(entry, first, b"", findings),
            (None, Some(value)) => set(&mut area, entry.key.name, value),
            (_, None) => {}
        }
    }
    if !area.attributes.has(Attribute::Content) {
        area.algorithms = AlgorithmSet::NONE;
    }
    let patterns: Vec<PathBuf> = draft.excludes.iter().map(|(pattern, _)| pattern.clone()).collect();
    match Excludes::new(&patterns) {
        Ok(excludes) => area.excludes = excludes,
        // Each of them was compiled before; what is left is that all together are too large.
        Err(error) => {
            findings.fault(draft.place, format!("the excludes of this area: {error}"), "use fewer or simpler globs");
        }
    }
    draft.path.as_ref().map(|_| area)
}

fn set(area: &mut Area, name: &str, value: &Value) {
    match (name, value) {
        ("areahash", Value::Hash(set)) => area.algorithms = *set,
        ("areaattributes", Value::Attributes(set, growth)) => (area.attributes, area.growth) = (*set, *growth),
        ("areamaxage", Value::Span(span)) => area.max_age = Some(*span),
        ("areaemail", Value::Text(text)) => area.recipients.push(text.clone()),
        ("arearecurse", Value::Flag(is_set)) => area.recurse = *is_set,
        ("areaonchange", Value::Text(word)) => {
            area.on_change = if word == "keep" { OnChange::Keep } else { OnChange::Accept };
        }
        ("areafstypes", Value::Text(word)) => area.admitted_types.push(word.clone()),
        _ => {}
    }
}
