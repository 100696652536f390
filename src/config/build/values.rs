//! All values of a configuration, each in range, with the defaults behind them.
//!
//! A setting given twice with the same value is odd; given twice with different values it is a contradiction, and nobody can
//! know which one was meant.

use std::{path::PathBuf, time::Duration};

use crate::{
    config::{
        read::{
            item::{ConfigItem, ConfigPlace, Findings},
            value::{Value, read},
        },
        schema::{
            fault::show,
            keys::{SettingKey, find},
            section::SettingTable,
        },
    },
    model::file::entry::AlgorithmSet,
};

/// One value with its place.
#[derive(Debug, Clone)]
pub(in crate::config) struct ValueEntry {
    pub(in crate::config) key: &'static SettingKey,
    /// `None` when it was faulty; that it was given is known all the same.
    pub(in crate::config) value: Option<Value>,
    /// The value as it stands there.
    pub(in crate::config) raw: Vec<u8>,
    pub(in crate::config) place: ConfigPlace,
    /// The number of its TOML table; 0 in the legacy form.
    pub(in crate::config) block: u32,
}

/// All values.
#[derive(Debug, Default)]
pub(in crate::config) struct ValueSet {
    pub(in crate::config) entries: Vec<ValueEntry>,
}

impl ValueSet {
    /// Reads the values of `items`; what cannot be read becomes a fault.
    pub(in crate::config) fn of(items: &[ConfigItem], findings: &mut Findings) -> Self {
        let mut sheet = Self::default();
        for item in items {
            // A fault calls the item as its form does.
            let name = if item.block == 0 { item.key.name } else { item.key.toml };
            let value = match read(&SettingKey { name, ..*item.key }, &item.value) {
                Ok((value, notice)) => {
                    findings.notices.extend(notice.map(|problem| item.place.fault(problem)));
                    Some(value)
                }
                Err(problem) => {
                    findings.faults.push(item.place.fault(problem));
                    None
                }
            };
            let entry = ValueEntry {
                key: item.key,
                value,
                raw: item.value.clone(),
                place: item.place.clone(),
                block: item.block,
            };
            if sheet.is_new(&entry, findings) {
                sheet.entries.push(entry);
            }
        }
        sheet
    }

    /// Whether `entry` says something that was not said; areas, logs and processes know better themselves.
    fn is_new(&self, entry: &ValueEntry, findings: &mut Findings) -> bool {
        let is_local = matches!(entry.key.table, SettingTable::Area | SettingTable::Logs | SettingTable::Process);
        if (is_local && entry.key.name != "pidchecktime") || entry.value.is_none() {
            return true;
        }
        let mut others = self.of_key(entry.key.name).filter(|other| other.value.is_some());
        let first =
            if entry.key.is_repeatable { others.find(|other| other.value == entry.value) } else { others.next() };
        let Some(first) = first else { return true };
        // Two configurations that stand in one file, such as those of `import`, mostly name the same person.
        if entry.key.name == "email" {
            return false;
        }
        repeated(entry, first, &entry.raw, findings);
        false
    }

    /// All entries of the item `name`.
    pub(in crate::config) fn of_key(&self, name: &str) -> impl Iterator<Item = &ValueEntry> {
        self.entries.iter().filter(move |entry| entry.key.name == name)
    }

    /// What was given for `name`, or its default. `None` when there is neither.
    pub(in crate::config) fn value(&self, name: &str) -> Option<Value> {
        let given = self.of_key(name).find_map(|entry| entry.value.clone());
        given.or_else(|| find(name).and_then(|key| read(key, key.default.as_bytes()).ok()).map(|(value, _)| value))
    }

    /// The place where `name` was given.
    pub(in crate::config) fn place(&self, name: &str) -> Option<&ConfigPlace> {
        self.of_key(name).map(|entry| &entry.place).next()
    }

    /// A span; `None` when it is off or has no default.
    pub(in crate::config) fn span(&self, name: &str) -> Option<Duration> {
        match self.value(name) {
            Some(Value::Span(span)) => Some(span),
            _ => None,
        }
    }

    /// Bytes; `None` when it is off.
    pub(in crate::config) fn bytes(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// A rate or a factor.
    pub(in crate::config) fn number(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// A whole number.
    pub(in crate::config) fn count(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Count(count)) => Some(count),
            _ => None,
        }
    }

    /// Whether `name` is `yes`.
    pub(in crate::config) fn is_set(&self, name: &str) -> bool {
        self.value(name) == Some(Value::Flag(true))
    }

    /// A word or a text.
    pub(in crate::config) fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A path.
    pub(in crate::config) fn path(&self, name: &str) -> Option<PathBuf> {
        match self.value(name) {
            Some(Value::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// Digest algorithms; the empty set stands for none given.
    pub(in crate::config) fn hash(&self, name: &str) -> AlgorithmSet {
        match self.value(name) {
            Some(Value::Hash(set)) => set,
            _ => AlgorithmSet::NONE,
        }
    }

    /// All texts of a repeatable item, or its default.
    pub(in crate::config) fn texts(&self, name: &str) -> Vec<String> {
        let given: Vec<String> = self
            .of_key(name)
            .filter_map(|entry| match &entry.value {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            })
            .collect();
        if given.is_empty() { self.text(name).into_iter().collect() } else { given }
    }

    /// All paths of a repeatable item.
    pub(in crate::config) fn paths(&self, name: &str) -> Vec<PathBuf> {
        self.of_key(name)
            .filter_map(|entry| match &entry.value {
                Some(Value::Path(path)) => Some(path.clone()),
                _ => None,
            })
            .collect()
    }
}

/// Says that `entry` was given before: odd when it is the same, a contradiction when not.
pub(in crate::config) fn repeated(entry: &ValueEntry, first: &ValueEntry, raw: &[u8], findings: &mut Findings) {
    let before = if first.place.file == entry.place.file {
        format!("line {}", first.place.line)
    } else {
        format!("{}:{}", show(first.place.file.as_os_str().as_encoded_bytes()), first.place.line)
    };
    let name = if entry.block == 0 { entry.key.name } else { entry.key.toml };
    if first.value == entry.value {
        findings.notice(&entry.place, format!("`{name}` repeats {before}"), "one of them is enough");
    } else {
        let with = if raw.is_empty() { String::new() } else { format!(" = {}", show(raw)) };
        findings.fault(&entry.place, format!("`{name}{with}` contradicts {before}"), "take one of them away");
    }
}
