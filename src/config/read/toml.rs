//! The TOML form, read into the same items as the legacy form, each with its line.
//!
//! Syntax errors do not hide what else is wrong: the parser recovers, and only what stands in a line with an error is left out.

use std::{ops::Range, path::Path, rc::Rc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::{
    read::item::{ConfigItem, ConfigPlace, Findings},
    schema::{
        fault::show,
        keys::{KEYS, SettingKey, closest, find, find_in},
        section::SettingTable,
    },
};

/// Reads `text`, the content of `file`; what is no item becomes a fault.
pub(in crate::config) fn read(text: &[u8], file: &Rc<Path>, findings: &mut Findings) -> Vec<ConfigItem> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let lines = Lines::of(text);
            findings.fault(
                &ConfigPlace { file: Rc::clone(file), line: lines.line(error.valid_up_to()) },
                "a byte that is no UTF-8",
                "TOML is UTF-8; paths that are not can be written in the legacy form",
            );
            return Vec::new();
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = TomlReader {
        file,
        lines: Lines::of(text.as_bytes()),
        broken: Vec::new(),
        items: Vec::new(),
        block: 0,
        findings,
    };
    for error in errors {
        reader.syntax_error(text, error.message(), error.span());
    }
    reader.document(document.get_ref());
    reader.items
}

/// The starts of the lines of a text.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &[u8]) -> Self {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    /// The line, from 1, that the byte `at` stands in.
    fn line(&self, at: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }
}

struct TomlReader<'a> {
    file: &'a Rc<Path>,
    lines: Lines,
    /// Lines with a syntax error.
    broken: Vec<u32>,
    items: Vec<ConfigItem>,
    block: u32,
    findings: &'a mut Findings,
}

impl TomlReader<'_> {
    fn place(&self, at: usize) -> ConfigPlace {
        ConfigPlace { file: Rc::clone(self.file), line: self.lines.line(at) }
    }

    fn is_broken(&self, at: usize) -> bool {
        self.broken.contains(&self.lines.line(at))
    }

    /// A fault, unless its line has a syntax error: one mistake is told once.
    fn fault(&mut self, at: usize, what: String, hint: impl Into<String>) {
        if !self.is_broken(at) {
            let place = self.place(at);
            self.findings.fault(&place, what, hint);
        }
    }

    fn syntax_error(&mut self, text: &str, message: &str, span: Option<Range<usize>>) {
        let at = span.map_or(0, |span| span.start);
        if self.is_broken(at) {
            return;
        }
        let place = self.place(at);
        self.broken.push(place.line);
        let line = text.lines().nth(usize::try_from(place.line).unwrap_or(0).saturating_sub(1));
        let hint = match line.and_then(|line| line.split_once('=')) {
            Some((name, value)) if is_bare(value.trim()) => {
                let value = value.split(" #").next().unwrap_or(value).trim();
                format!("in TOML a text is quoted: {} = \"{}\"", show(name.trim().as_bytes()), show(value.as_bytes()))
            }
            _ => "see the example, integrityd.toml".to_owned(),
        };
        let message = message.lines().collect::<Vec<_>>().join(", ");
        self.findings.fault(&place, format!("not TOML ({message})"), hint);
    }

    fn document(&mut self, document: &DeTable<'_>) {
        self.table(SettingTable::Top, document, 0);
        for (name, value) in document {
            let at = name.span().start;
            let known = SettingTable::ALL
                .into_iter()
                .find(|table| *table != SettingTable::Top && table.name() == name.get_ref());
            match (known, value.get_ref()) {
                (Some(table), DeValue::Table(inner)) => self.table(table, inner, at),
                (Some(table), DeValue::Array(list)) if table.is_repeatable() => {
                    for entry in list {
                        match entry.get_ref() {
                            DeValue::Table(inner) => self.table(table, inner, entry.span().start),
                            _ => self.needs_table(table, entry.span().start),
                        }
                    }
                }
                (Some(table), _) => self.needs_table(table, at),
                (None, DeValue::Table(_)) => self.unknown_table(name),
                (None, DeValue::Array(list)) if list.iter().any(|entry| entry.get_ref().is_table()) => {
                    self.unknown_table(name);
                }
                // Everything else at the top was read as an item.
                (None, _) => {}
            }
        }
    }

    fn needs_table(&mut self, table: SettingTable, at: usize) {
        let example = KEYS.iter().find(|key| key.table == table).map_or("", |key| key.toml);
        self.fault(
            at,
            format!("`{}` is a table", table.name()),
            format!("write {} and in the next line {example} = ...", table.header()),
        );
    }

    fn unknown_table(&mut self, name: &Spanned<impl AsRef<str>>) {
        let tables = SettingTable::ALL.iter().map(|table| table.name()).filter(|known| !known.is_empty());
        let hint = match closest(name.get_ref().as_ref(), tables.clone()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("the tables are {}", tables.collect::<Vec<_>>().join(", ")),
        };
        let shown = show(name.get_ref().as_ref().as_bytes());
        self.fault(name.span().start, format!("unknown table `{shown}`"), hint);
    }

    /// Reads one table whose header stands at `at`. Its items follow in the order of the table of all items, because TOML knows
    /// no order and an area's path comes first.
    fn table(&mut self, table: SettingTable, content: &DeTable<'_>, at: usize) {
        self.block = self.block.saturating_add(1);
        for (name, value) in content {
            let is_inner = table == SettingTable::Top && is_table(name.get_ref(), value.get_ref());
            let is_journal = table == SettingTable::Logs && name.get_ref() == "journal";
            if find_in(table, name.get_ref()).is_none() && !is_inner && !is_journal {
                let place = self.place(name.span().start);
                if self.findings.retired(&place, name.get_ref().as_bytes()) {
                    continue;
                }
                let hint = misplaced_hint(table, name.get_ref());
                let shown = show(name.get_ref().as_bytes());
                let inside = if table == SettingTable::Top { String::new() } else { format!(" in {}", table.header()) };
                self.fault(name.span().start, format!("unknown item `{shown}`{inside}"), hint);
            }
        }
        for key in KEYS.iter().filter(|key| key.table == table) {
            let mut is_given = false;
            for (name, value) in content {
                if *name.get_ref() == key.toml || *name.get_ref() == key.name {
                    is_given = true;
                    self.item(key, value, name.span().start);
                }
            }
            if key.name == "area" && !is_given {
                self.push(key, Vec::new(), at);
            }
            if key.name == "log"
                && let Some((name, value)) = content.iter().find(|(name, _)| name.get_ref() == "journal")
            {
                match value.get_ref() {
                    DeValue::Boolean(true) => self.push(key, b"journal".to_vec(), name.span().start),
                    DeValue::Boolean(false) => {}
                    _ => self.fault(
                        name.span().start,
                        "`journal` is neither true nor false".to_owned(),
                        "write true or false",
                    ),
                }
            }
        }
    }

    fn push(&mut self, key: &'static SettingKey, value: Vec<u8>, at: usize) {
        if !self.is_broken(at) {
            let place = self.place(at);
            self.items.push(ConfigItem { key, value, place, block: self.block });
        }
    }

    fn item(&mut self, key: &'static SettingKey, value: &Spanned<DeValue<'_>>, at: usize) {
        match value.get_ref() {
            DeValue::Array(list) if key.is_repeatable => {
                for entry in list {
                    self.single(key, entry.get_ref(), entry.span().start);
                }
            }
            DeValue::Table(inner) if key.name == "areaattributes" => self.attributes(key, inner, at),
            single => self.single(key, single, at),
        }
    }

    fn single(&mut self, key: &'static SettingKey, value: &DeValue<'_>, at: usize) {
        let bytes = match value {
            DeValue::String(text) => text.as_bytes().to_vec(),
            DeValue::Integer(number) => number.to_string().into_bytes(),
            DeValue::Float(number) => number.to_string().into_bytes(),
            DeValue::Boolean(is_set) => if *is_set { "yes" } else { "no" }.as_bytes().to_vec(),
            DeValue::Array(_) => {
                let hint =
                    if key.is_repeatable { "write one list, not lists in it" } else { "give one value, without [ ]" };
                return self.fault(at, format!("`{}` is a list", key.toml), hint);
            }
            DeValue::Datetime(_) | DeValue::Table(_) => {
                return self.fault(
                    at,
                    format!("`{}` is a {}", key.toml, value.type_str()),
                    format!("give {}", key.unit.range()),
                );
            }
        };
        self.push(key, bytes, at);
    }

    /// `{ without = [...] }` and `{ only = [...] }`, written as the legacy form has them.
    fn attributes(&mut self, key: &'static SettingKey, inner: &DeTable<'_>, at: usize) {
        let mut words = Vec::new();
        for (name, value) in inner {
            let sign = match name.get_ref().as_ref() {
                "without" => "-",
                "only" => "",
                other => {
                    let shown = show(other.as_bytes());
                    self.fault(
                        name.span().start,
                        format!("unknown item `{shown}` in attributes"),
                        "write only or without",
                    );
                    continue;
                }
            };
            let DeValue::Array(list) = value.get_ref() else {
                self.fault(
                    value.span().start,
                    format!("`{}` is no list", name.get_ref()),
                    "write [\"inode\", \"ctime\"]",
                );
                continue;
            };
            for entry in list {
                match entry.get_ref() {
                    DeValue::String(word) if !word.is_empty() && !word.starts_with(['-', '+']) => {
                        words.push(format!("{sign}{word}"));
                    }
                    _ => self.fault(entry.span().start, "no name of an attribute".to_owned(), "write \"inode\""),
                }
            }
        }
        if words.is_empty() && inner.contains_key("without") {
            return;
        }
        self.push(key, words.join(" ").into_bytes(), at);
    }
}

/// Whether `name = value` at the top is a table, known or unknown.
fn is_table(name: &str, value: &DeValue<'_>) -> bool {
    let is_known = SettingTable::ALL.iter().any(|table| !table.name().is_empty() && table.name() == name);
    let has_tables = value.as_array().is_some_and(|list| list.iter().any(|entry| entry.get_ref().is_table()));
    is_known || value.is_table() || has_tables
}

/// What to say about a name that `table` does not have.
fn misplaced_hint(table: SettingTable, name: &str) -> String {
    let elsewhere = find(name).or_else(|| SettingTable::ALL.into_iter().find_map(|other| find_in(other, name)));
    if let Some(key) = elsewhere {
        let place = if key.table == SettingTable::Top {
            "at the top, above all tables".to_owned()
        } else {
            format!("in {}", key.table.header())
        };
        return format!("write it {place}");
    }
    match closest(name, KEYS.iter().filter(|key| key.table == table).map(|key| key.toml)) {
        Some(word) => format!("did you mean `{word}`?"),
        None => match closest(name, KEYS.iter().map(|key| key.name)).and_then(find) {
            Some(key) => format!("did you mean `{}` {}?", key.toml, key.table.header()),
            None => "remove it, or write `#` before it".to_owned(),
        },
    }
}

/// Whether `value` looks like a text that was not quoted.
fn is_bare(value: &str) -> bool {
    value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/' || first == '*')
        || (value.starts_with(|first: char| first.is_ascii_digit())
            && value.contains(|letter: char| letter.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, value, line, block.
    type Row = (&'static str, String, u32, u32);

    fn read_text(text: &[u8]) -> (Vec<Row>, Vec<String>) {
        let mut findings = Findings::default();
        let items = read(text, &Rc::from(Path::new("f")), &mut findings);
        let shown = |item: ConfigItem| (item.key.name, show(&item.value), item.place.line, item.block);
        (items.into_iter().map(shown).collect(), findings.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_become_items_with_their_lines() {
        let (items, faults) = read_text(
            b"email = [\"a@b\",\n  \"c@d\"]\n[rates]\nfilerate = 2\n[[area]]\nexclude = [\"/etc/x\"]\npath = \"/etc\"\n\
              attributes = { without = [\"inode\"] }\n[[logs]]\nfiles = [\"/l\"]\njournal = true\nrules = \"/r\"\n",
        );
        assert_eq!(faults, [""; 0]);
        let expected: &[(&str, &str, u32, u32)] = &[
            ("email", "a@b", 1, 1),
            ("email", "c@d", 2, 1),
            ("area", "/etc", 7, 2),
            ("exclude", "/etc/x", 6, 2),
            ("areaattributes", "-inode", 8, 2),
            ("logrules", "/r", 12, 3),
            ("log", "/l", 10, 3),
            ("log", "journal", 11, 3),
            ("filerate", "2", 4, 4),
        ];
        let items: Vec<_> =
            items.iter().map(|(name, value, line, block)| (*name, value.as_str(), *line, *block)).collect();
        assert_eq!(items, expected);
    }

    #[test]
    fn faults_are_those_of_toml() {
        let (_, faults) = read_text(
            b"database = /x\nfilerate = 2\nmail = \"stdout:\"\nexclude = [\"/x\"]\n[rate]\nx = 1\n[[rates]]\n\
              [report]\nreportime = 3\nemail = \"x\"\nlines = [1]\nattach = { a = 1 }\n[[area]]\nmaxage = 1d\n\
              attributes = { only = 3, no = [] }\n",
        );
        insta::assert_snapshot!(faults.join("\n"), @r#"
        f:1: not TOML (string values must be quoted, expected literal string): in TOML a text is quoted: database = "/x"
        f:14: not TOML (string values must be quoted, expected literal string): in TOML a text is quoted: maxage = "1d"
        f:4: unknown item `exclude`: write it in [[area]]
        f:2: unknown item `filerate`: write it in [rates]
        f:15: unknown item `no` in attributes: write only or without
        f:15: `only` is no list: write ["inode", "ctime"]
        f:3: `mail` is a table: write [mail] and in the next line url = ...
        f:5: unknown table `rate`: did you mean `rates`?
        f:7: `rates` is a table: write [rates] and in the next line byterate = ...
        f:10: unknown item `email` in [report]: write it at the top, above all tables
        f:11: unknown item `lines` in [report]: remove it, or write `#` before it
        f:9: unknown item `reportime` in [report]: did you mean `reporttime`?
        f:12: `attach` is a table: give never, always or a number of items
        "#);
    }

    #[test]
    fn a_byte_that_is_no_text_is_a_fault_of_its_line() {
        let (_, faults) = read_text(b"a = 1\nb = \"\xff\"\n");
        insta::assert_snapshot!(faults.join("\n"), @r#"f:2: a byte that is no UTF-8: TOML is UTF-8; paths that are not can be written in the legacy form"#);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_control_byte_is_shown(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            for fault in read_text(&text).1 {
                prop_assert!(fault.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{fault:?}");
            }
        }

        #[test]
        fn tomllike_text_does_not_panic(text in "([a-z]{1,6} ?= ?[\\[\\]{}\"',a-z0-9\\x1b\u{202e}]{0,12}\n|\\[{1,2}(area|logs|rates|x)\\]{1,2}\n){0,12}") {
            for fault in read_text(text.as_bytes()).1 {
                prop_assert!(fault.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{fault:?}");
            }
        }
    }
}
