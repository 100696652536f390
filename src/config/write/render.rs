//! Settings written as a configuration, in either form, each value with a remark.

use crate::{
    config::{
        read::value::read,
        schema::{
            keys::{SettingKey, SettingUnit},
            section::SettingTable,
        },
        write::effective::{Block, Given, Row, SettingSource},
    },
    model::escape::{escape, is_hidden},
};

/// What is said about a value, in lines of plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct SettingRemark {
    /// In lines of their own above it.
    pub(in crate::config) above: Vec<String>,
    /// Behind it; may be empty.
    pub(in crate::config) behind: String,
}

/// What to say about each value.
pub(in crate::config) type Remarks<'a> = &'a dyn Fn(&Row, &Given) -> SettingRemark;

/// The settings in the legacy form. Excludes are for all areas there and stand before them, each once.
pub(in crate::config) fn legacy(blocks: &[Block], remarks: Remarks<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut excludes: Vec<&[u8]> = Vec::new();
    let mut is_contained = false;
    for (at, block) in blocks.iter().enumerate() {
        let is_next = at == 0 || blocks.get(at - 1).is_none_or(|before| before.table != block.table);
        if is_next {
            heading(&mut out, block.table);
        } else {
            out.push(b'\n');
        }
        if is_next && block.table == SettingTable::Area {
            let all = blocks.iter().flat_map(|block| &block.rows).filter(|row| row.key.name == "exclude");
            for (row, given) in all.flat_map(|row| row.values.iter().map(move |given| (row, given))) {
                if !excludes.contains(&given.value.as_slice()) {
                    excludes.push(&given.value);
                    legacy_line(&mut out, row, given, remarks);
                }
            }
            if !excludes.is_empty() {
                out.push(b'\n');
            }
        }
        let has_container = !block.values("pidct").is_empty();
        if is_contained && !has_container && !block.values("pidfile").is_empty() {
            out.extend(b"pidct = 0\n");
            is_contained = false;
        }
        is_contained |= has_container;
        for row in block.rows.iter().filter(|row| row.key.name != "exclude") {
            if row.values.is_empty() && (!block.table.is_repeatable() || is_headless(block)) {
                out.extend(unset(row.key.name).as_bytes());
            }
            row.values.iter().for_each(|given| legacy_line(&mut out, row, given, remarks));
        }
    }
    out
}

fn heading(out: &mut Vec<u8>, table: SettingTable) {
    if !out.is_empty() {
        out.push(b'\n');
    }
    out.extend(format!("# ==== {} ====\n", table.title()).as_bytes());
}

/// Whether there is no area, no log and no process: the block only stands for its table.
fn is_headless(block: &Block) -> bool {
    ["area", "log", "logtransient", "pidfile", "unit"].iter().all(|name| block.values(name).is_empty())
}

/// A line for an item that is not set and has no default.
fn unset(name: &str) -> String {
    format!("#{name} =  # not set\n")
}

fn legacy_line(out: &mut Vec<u8>, row: &Row, given: &Given, remarks: Remarks<'_>) {
    let remark = remarks(row, given);
    remark.above.iter().for_each(|line| out.extend(comment(line).as_bytes()));
    if !is_settable(row.key, given) {
        out.push(b'#');
    }
    out.extend(row.key.name.as_bytes());
    out.extend(b" = ");
    out.extend(&given.value);
    out.extend(behind(&remark).as_bytes());
}

/// A line of a comment.
pub(in crate::config) fn comment(line: &str) -> String {
    format!("{}\n", format!("# {}", plain(line)).trim_end())
}

/// What stands behind a value, with the end of the line.
fn behind(remark: &SettingRemark) -> String {
    if remark.behind.is_empty() { "\n".to_owned() } else { format!("  # {}\n", plain(&remark.behind)) }
}

/// Whether the value may be written at all: an included file was read already, and a ceiling that is derived may be beyond what may be
/// set, and is another in a first round.
fn is_settable(key: &SettingKey, given: &Given) -> bool {
    let is_derived = key.name.starts_with("max") && matches!(given.source, SettingSource::From(_));
    key.name != "include" && !is_derived && read(key, &given.value).is_ok()
}

/// The settings in the TOML form.
pub(in crate::config) fn toml(blocks: &[Block], remarks: Remarks<'_>) -> String {
    let mut out = String::new();
    for block in blocks.iter().filter(|block| !block.rows.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        if block.table != SettingTable::Top {
            let mark = if block.rows.iter().all(|row| row.values.is_empty()) { "#" } else { "" };
            out.push_str(&format!("{mark}{}\n", block.table.header()));
        }
        for row in &block.rows {
            if row.values.is_empty() && (!block.table.is_repeatable() || is_headless(block)) {
                out.push_str(&unset(row.key.toml));
            }
            // The journal has a word of its own.
            let (journal, values): (Vec<&Given>, Vec<&Given>) =
                row.values.iter().partition(|given| row.key.name == "log" && given.value == b"journal");
            toml_row(&mut out, row, &values, remarks);
            for given in journal {
                let remark = remarks(row, given);
                above(&mut out, "", &remark);
                out.push_str(&format!("journal = true{}", behind(&remark)));
            }
        }
    }
    out
}

fn above(out: &mut String, indent: &str, remark: &SettingRemark) {
    remark.above.iter().for_each(|line| out.push_str(&format!("{indent}{}", comment(line))));
}

fn toml_row(out: &mut String, row: &Row, values: &[&Given], remarks: Remarks<'_>) {
    // An area and a process are the heads of their own tables.
    let is_list = row.key.is_repeatable && !matches!(row.key.name, "area" | "pidfile" | "unit");
    let name = row.key.toml;
    match values {
        [] => {}
        [given] => {
            let remark = remarks(row, given);
            above(out, "", &remark);
            let mark = if is_settable(row.key, given) { "" } else { "#" };
            let value = toml_value(row.key, &given.value);
            let value = if is_list { format!("[{value}]") } else { value };
            out.push_str(&format!("{mark}{name} = {value}{}", behind(&remark)));
        }
        values => {
            let mark = if row.key.name == "include" { "#" } else { "" };
            out.push_str(&format!("{mark}{name} = [\n"));
            for given in values {
                let remark = remarks(row, given);
                above(out, "    ", &remark);
                out.push_str(&format!("{mark}    {},{}", toml_value(row.key, &given.value), behind(&remark)));
            }
            out.push_str(&format!("{mark}]\n"));
        }
    }
}

/// A value as TOML has it: numbers and flags bare, everything else quoted.
fn toml_value(key: &SettingKey, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match key.unit {
        SettingUnit::Flag => if text == "yes" { "true" } else { "false" }.to_owned(),
        SettingUnit::Attributes => {
            let words: Vec<&str> = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
            let list = |words: Vec<String>| words.join(", ");
            if words.iter().all(|word| word.starts_with('-')) {
                let names = words.iter().map(|word| quote(word.trim_start_matches('-'))).collect();
                format!("{{ without = [{}] }}", list(names))
            } else if words.iter().any(|word| word.starts_with(['-', '+'])) {
                quote(&text)
            } else {
                format!("{{ only = [{}] }}", list(words.iter().map(|word| quote(word)).collect()))
            }
        }
        SettingUnit::Rate { .. }
        | SettingUnit::Count { .. }
        | SettingUnit::Percent
        | SettingUnit::Span { .. }
        | SettingUnit::Size { .. }
        | SettingUnit::ByteRate { .. }
            if is_bare_number(&text) =>
        {
            text.into_owned()
        }
        _ => quote(&text),
    }
}

/// Whether TOML reads the same number, and gives it back as it was: no leading zeros, no more digits than a float keeps.
fn is_bare_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 15 && is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

/// A basic string; what could not be seen is escaped.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ if is_hidden(letter) => out.push_str(&format!("\\U{:08X}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// `line` as a comment may hold it: escaped only where something in it could not be seen.
pub(in crate::config) fn plain(line: &str) -> String {
    let line = line.replace('\t', " ");
    if line.chars().any(is_hidden) { escape(line.as_bytes()) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_is_written_into_a_string() {
        assert_eq!(quote("/a\"\\\u{1b}\u{202e}\nß"), r#""/a\"\\\U0000001B\U0000202E\U0000000Aß""#);
    }

    #[test]
    fn a_number_is_bare_only_where_toml_gives_it_back() {
        for text in ["30", "0.5", "1.50", "0"] {
            assert!(is_bare_number(text), "{text}");
        }
        for text in ["030", ".5", "5.", "", "30s", "1.2.3", "1234567890123456"] {
            assert!(!is_bare_number(text), "{text}");
        }
    }
}
