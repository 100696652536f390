//! From the legacy form to TOML: the same settings, with the comments that stood at them.
//!
//! What belongs together moves together: excludes, which are for all areas in the legacy form, are written into each area that
//! they can reach. A comment directly above a line, or behind it, goes where its line goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::config::{
    build::values::ValueSet,
    read::{include::Gathered, item::ConfigItem, legacy::without_comment},
    schema::fault::{Fault, Faults, show_path},
    write::{
        effective::{Block, Given, Row, SettingSource, given},
        render::{SettingRemark, comment, plain, toml},
    },
};

/// A configuration in the other form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The TOML.
    pub text: String,
    /// What is not in it, or not where it was, in words for the administrator.
    pub remarks: Vec<String>,
}

/// The comments of one file.
#[derive(Debug, Default)]
struct Comments {
    /// What stands at the beginning, apart from any line.
    head: Vec<String>,
    /// By the number of the line they belong to.
    at: BTreeMap<u32, SettingRemark>,
    /// First and last line of those that belong to none.
    alone: Vec<(u32, u32)>,
}

/// Writes what `sheet` holds as TOML; `gathered` is what it was read from.
///
/// # Errors
/// With every value that is not UTF-8.
pub(in crate::config) fn to_toml(sheet: &ValueSet, gathered: &Gathered) -> Result<Converted, Faults> {
    refuse_bytes(&gathered.items)?;
    let mut blocks = given(sheet);
    for block in &mut blocks {
        block.rows.retain(|row| row.key.name != "include");
    }
    let files = gathered.files.iter().zip(&gathered.texts);
    let comments: BTreeMap<&Path, Comments> =
        files.map(|(file, text)| (file.as_path(), collect(text, gathered.files.first() == Some(file)))).collect();
    let remark = |_: &Row, given: &Given| match &given.source {
        SettingSource::Line { file, line } => {
            comments.get(file.as_path()).and_then(|known| known.at.get(line)).cloned().unwrap_or_default()
        }
        SettingSource::Default | SettingSource::From(_) => SettingRemark::default(),
    };
    let head: String = comments.values().flat_map(|known| &known.head).map(|line| comment(line)).collect();
    let head = if head.is_empty() { head } else { head + "\n" };
    Ok(Converted { text: head + &toml(&blocks, &remark), remarks: remarks(&blocks, gathered, &comments) })
}

fn refuse_bytes(items: &[ConfigItem]) -> Result<(), Faults> {
    let foreign = items.iter().filter(|item| std::str::from_utf8(&item.value).is_err());
    let faults: Vec<Fault> = foreign
        .map(|item| Fault {
            file: item.place.file.to_path_buf(),
            line: Some(item.place.line),
            what: format!("the value of `{}` is not UTF-8", item.key.name),
            hint: "TOML can only hold text: keep the legacy form".to_owned(),
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

/// What an administrator should know about the conversion.
fn remarks(blocks: &[Block], gathered: &Gathered, comments: &BTreeMap<&Path, Comments>) -> Vec<String> {
    let mut out = Vec::new();
    if let Some((main, included)) = gathered.files.split_first()
        && !included.is_empty()
    {
        let names: Vec<String> = included.iter().map(|file| show_path(file)).collect();
        out.push(format!("written into one file: {} and what it includes, {}", show_path(main), names.join(", ")));
    }
    let kept: BTreeSet<(PathBuf, u32)> = blocks
        .iter()
        .flat_map(|block| &block.rows)
        .flat_map(|row| &row.values)
        .filter_map(|given| match &given.source {
            SettingSource::Line { file, line } => Some((file.clone(), *line)),
            SettingSource::Default | SettingSource::From(_) => None,
        })
        .collect();
    for (file, known) in gathered.files.iter().filter_map(|file| Some((file, comments.get(file.as_path())?))) {
        let shown = show_path(file);
        let mut told: Vec<(u32, String)> = Vec::new();
        for item in gathered.items.iter().filter(|item| *item.place.file == **file) {
            let line = item.place.line;
            if kept.contains(&(file.clone(), line)) {
                continue;
            }
            let has_comment = known.at.contains_key(&line);
            let comment = if has_comment { " (and its comment)" } else { "" };
            match item.key.name {
                "include" if has_comment => told.push((line, "the comment of an include line is left out".to_owned())),
                "include" => {}
                // It only ends the container of the lines before.
                "pidct" if item.value == b"0" && !has_comment => {}
                name => told.push((
                    line,
                    format!("`{name} = {}`{comment} is left out: it repeats another line or has no effect", {
                        plain(&String::from_utf8_lossy(&item.value))
                    }),
                )),
            }
        }
        told.extend(known.alone.iter().map(|(first, last)| match last - first {
            0 => (*first, "a comment that belongs to no line is left out".to_owned()),
            more => (*first, format!("a comment of {} lines that belongs to no line is left out", more + 1)),
        }));
        told.sort();
        out.extend(told.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
    }
    out
}

/// Sorts the comments of `text` to its lines; those at the beginning of the main file stand for themselves.
fn collect(text: &[u8], is_main: bool) -> Comments {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut comments = Comments::default();
    let mut waiting: Vec<String> = Vec::new();
    let mut is_begun = !is_main;
    let mut number = 0_u32;
    for line in text.split(|byte| *byte == b'\n').chain([&b""[..]]) {
        number = number.saturating_add(1);
        let item = without_comment(line);
        let behind = line.get(item.len()..).unwrap_or_default().trim_ascii();
        let behind = behind.strip_prefix(b"#").map(words);
        match (item.trim_ascii().is_empty(), behind) {
            (true, Some(comment)) => waiting.push(comment),
            (true, None) if waiting.is_empty() => {}
            (true, None) if !is_begun => {
                is_begun = true;
                comments.head = std::mem::take(&mut waiting);
            }
            (true, None) => {
                let length = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
                comments.alone.push((number.saturating_sub(length), number.saturating_sub(1)));
                waiting.clear();
            }
            (false, behind) => {
                is_begun = true;
                let remark = SettingRemark { above: std::mem::take(&mut waiting), behind: behind.unwrap_or_default() };
                if remark != SettingRemark::default() {
                    comments.at.insert(number, remark);
                }
            }
        }
    }
    comments
}

/// The words of a comment behind its `#`; one blank before them is ours to set.
fn words(comment: &[u8]) -> String {
    let comment = comment.strip_prefix(b" ").unwrap_or(comment).trim_ascii_end();
    match std::str::from_utf8(comment) {
        Ok(text) => text.to_owned(),
        Err(_) => crate::model::escape::escape(comment),
    }
}
