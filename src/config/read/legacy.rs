//! The legacy form: `item = value` in each line, as the daemon of 2012 read it.
//!
//! `#` starts a comment at the line's start or after white space, so `/srv/a#b` is a path. Values are bytes: a path need not be
//! text.

use std::{path::Path, rc::Rc};

use crate::config::{
    read::item::{ConfigItem, ConfigPlace, Findings},
    schema::{
        fault::show,
        keys::{KEYS, closest, find},
        section::SettingTable,
    },
};

/// Reads `text`, the content of `file`; lines that are no items become faults, the others are returned in their order.
pub(in crate::config) fn read(text: &[u8], file: &Rc<Path>, findings: &mut Findings) -> Vec<ConfigItem> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut items = Vec::new();
    let mut line = 0_u32;
    for bytes in text.split(|byte| *byte == b'\n') {
        line = line.saturating_add(1);
        let bytes = without_comment(bytes).trim_ascii();
        if bytes.is_empty() {
            continue;
        }
        let place = ConfigPlace { file: Rc::clone(file), line };
        items.extend(read_line(bytes, place, findings));
    }
    items
}

/// Reads one line that is neither empty nor a comment.
fn read_line(bytes: &[u8], place: ConfigPlace, findings: &mut Findings) -> Option<ConfigItem> {
    let Some(at) = bytes.iter().position(|byte| *byte == b'=') else {
        let hint = if bytes.starts_with(b"[") {
            "table headers belong to the TOML form, where every text is quoted; here each line is `item = value`"
        } else {
            "write `item = value`, and `#` before a comment"
        };
        findings.fault(&place, format!("`{}` is not a setting", show(bytes)), hint);
        return None;
    };
    let (name, value) = bytes.split_at_checked(at)?;
    let (name, value) = (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
    let Some(key) = std::str::from_utf8(name).ok().and_then(find) else {
        if !findings.retired(&place, name) {
            findings.fault(&place, format!("unknown item `{}`", show(name)), unknown_hint(name));
        }
        return None;
    };
    if let Some(quote @ (b'"' | b'\'')) = value.first()
        && value.len() > 1
        && value.last() == Some(quote)
    {
        findings.fault(
            &place,
            format!("the value of `{}` is quoted", key.name),
            "take the quotes away; they belong to the TOML form",
        );
        return None;
    }
    Some(ConfigItem { key, value: value.to_vec(), place, block: 0 })
}

/// What to say about an unknown name.
fn unknown_hint(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    // Somebody who knows the TOML form writes its names here.
    let toml = KEYS.iter().find(|key| key.table != SettingTable::Top && key.toml == name).map(|key| key.name);
    match toml.or_else(|| closest(&name, KEYS.iter().map(|key| key.name))) {
        Some(word) => format!("did you mean `{word}`?"),
        None => "remove it, or write `#` before it".to_owned(),
    }
}

/// `line` up to a `#` that stands at its start or after white space.
pub(in crate::config) fn without_comment(line: &[u8]) -> &[u8] {
    let start = line.iter().enumerate().find_map(|(at, byte)| {
        let is_free = at.checked_sub(1).and_then(|before| line.get(before)).is_none_or(u8::is_ascii_whitespace);
        (*byte == b'#' && is_free).then_some(at)
    });
    start.and_then(|at| line.get(..at)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, value, line.
    type Row = (&'static str, Vec<u8>, u32);

    fn read_text(text: &[u8]) -> (Vec<Row>, Vec<String>) {
        let mut findings = Findings::default();
        let items = read(text, &Rc::from(Path::new("f")), &mut findings);
        (
            items.into_iter().map(|item| (item.key.name, item.value, item.place.line)).collect(),
            findings.faults.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn comments_start_at_the_line_or_after_white_space() {
        let (items, faults) = read_text(b"# c\n\tarea=/srv/a#b\t# c\r\n  #x\narea = /c #\n\n");
        assert_eq!(items, [("area", b"/srv/a#b".to_vec(), 2), ("area", b"/c".to_vec(), 4)]);
        assert_eq!(faults, [""; 0]);
    }

    #[test]
    fn values_keep_every_byte_and_every_further_equals_sign() {
        let (items, _) = read_text(b"area = /srv/\xff = x\n");
        assert_eq!(items, [("area", b"/srv/\xff = x".to_vec(), 1)]);
    }

    #[test]
    fn what_is_no_item_is_a_fault_of_its_line() {
        let (items, faults) =
            read_text(b"aera = /etc\narea /etc\n[area]\ndatabase = \"/x\"\nmaxage = 1d\n\x1b[2J = 1\n");
        assert_eq!(items, []);
        insta::assert_snapshot!(faults.join("\n"), @r#"
        f:1: unknown item `aera`: did you mean `area`?
        f:2: `area /etc` is not a setting: write `item = value`, and `#` before a comment
        f:3: `[area]` is not a setting: table headers belong to the TOML form, where every text is quoted; here each line is `item = value`
        f:4: the value of `database` is quoted: take the quotes away; they belong to the TOML form
        f:5: unknown item `maxage`: did you mean `areamaxage`?
        f:6: unknown item `\x1b[2J`: remove it, or write `#` before it
        "#);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_control_byte_is_shown(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (_, faults) = read_text(&text);
            for fault in faults {
                prop_assert!(fault.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{fault:?}");
            }
        }
    }
}
