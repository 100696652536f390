//! Every setting with its effective value and where that comes from: what `config show` prints, and what a conversion writes.
//!
//! The values are grouped as the TOML form groups them, whatever form they were read from: an area with all that is left out of
//! it, a group of logs with its rules, a process with its container.

use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    config::{
        build::{
            areas, groups,
            values::{ValueEntry, ValueSet},
        },
        read::{
            item::{ConfigPlace, Findings},
            syntax::ConfigSyntax,
            value::{Value, read},
        },
        schema::{
            fault::show_path,
            keys::{KEYS, SettingKey, SettingUnit, find},
            section::SettingTable,
            units::{format_rate, format_span},
        },
        settings::{
            attribute_groups::{GROWTH, Growth},
            config::{Config, FirstRound, RuleLevel, default_attributes},
        },
    },
    model::file::attribute::AttributeSet,
};

/// Where a value comes from. Displays as `/etc/integrityd.conf:12`, `default` or `from reporttime`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// A line of a file.
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u32,
    },
    /// Nobody said anything.
    Default,
    /// Nobody said anything, and this item decides.
    From(&'static str),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{}:{line}", show_path(file)),
            Self::Default => f.write_str("default"),
            Self::From(name) => write!(f, "from {name}"),
        }
    }
}

impl From<&ConfigPlace> for SettingSource {
    fn from(place: &ConfigPlace) -> Self {
        Self::Line { file: place.file.to_path_buf(), line: place.line }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its bytes, as the legacy form has them.
    pub value: Vec<u8>,
    /// Where it comes from.
    pub source: SettingSource,
}

/// An item with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The item.
    pub key: &'static SettingKey,
    /// Its values: none when it is not set and has no default, several when it may be given several times.
    pub values: Vec<Given>,
}

/// The items of one table: of an area, a group of logs or a process those that belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Which table.
    pub table: SettingTable,
    /// Its items, in the order of the table of all items.
    pub rows: Vec<Row>,
}

impl Block {
    /// The values of the item `name`.
    pub fn values(&self, name: &str) -> &[Given] {
        self.rows.iter().find(|row| row.key.name == name).map_or(&[], |row| &row.values)
    }

    fn push(&mut self, key: &'static SettingKey, given: Given) {
        match self.rows.iter_mut().find(|row| row.key == key) {
            Some(row) => row.values.push(given),
            None => self.rows.push(Row { key, values: vec![given] }),
        }
    }

    fn sort(&mut self) {
        self.rows.sort_by_key(|row| KEYS.iter().position(|key| key == row.key));
    }
}

/// All settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The form of the files they were read from.
    pub(in crate::config) form: ConfigSyntax,
    /// Table by table; areas, groups of logs and processes in the order of the configuration.
    pub blocks: Vec<Block>,
}

impl Effective {
    /// The blocks of the areas, in the order of [`Config::areas`].
    pub fn areas(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.table == SettingTable::Area)
    }
}

/// What was given in a sheet without faults, and nothing else.
pub(in crate::config) fn given(sheet: &ValueSet) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for table in SettingTable::ALL.into_iter().filter(|table| !table.is_repeatable()) {
        let entries = sheet.entries.iter().filter(|entry| entry.key.table == table);
        blocks.push(block(table, entries));
    }
    // Faults and notices of these were told when the settings were made.
    let mut unheard = Findings::default();
    for draft in areas::drafts(sheet, &mut unheard) {
        let mut area = block(SettingTable::Area, draft.in_force());
        let path = draft.path.as_deref().unwrap_or(Path::new("/"));
        if let Some(key) = find("area") {
            area.push(key, Given { value: path.as_os_str().as_bytes().to_vec(), source: draft.place.into() });
        }
        if let Some(key) = find("exclude") {
            for (pattern, place) in &draft.excludes {
                if crate::config::settings::exclude::can_reach(pattern, path) {
                    let value = pattern.as_os_str().as_bytes().to_vec();
                    area.push(key, Given { value, source: (*place).into() });
                }
            }
        }
        area.sort();
        blocks.push(area);
    }
    let groups = groups::drafts(sheet, &mut unheard);
    blocks.extend(groups.iter().filter(|draft| draft.has_logs).map(|draft| {
        let entries = draft.entries.iter().copied();
        block(SettingTable::Logs, entries)
    }));
    let first = blocks.len();
    for watched in groups::watched(sheet, &mut unheard) {
        blocks.push(block(SettingTable::Process, watched.container.into_iter().chain([watched.entry])));
    }
    if let Some(entry) = sheet.of_key("pidchecktime").next() {
        for_processes(&mut blocks, first, entry.key, spelled(entry));
    }
    blocks
}

/// What concerns all processes stands with the first.
fn for_processes(blocks: &mut Vec<Block>, first: usize, key: &'static SettingKey, given: Given) {
    if blocks.get(first).is_none() {
        blocks.push(Block { table: SettingTable::Process, rows: Vec::new() });
    }
    if let Some(block) = blocks.get_mut(first) {
        block.push(key, given);
    }
}

fn block<'a>(table: SettingTable, entries: impl Iterator<Item = &'a ValueEntry>) -> Block {
    let mut block = Block { table, rows: Vec::new() };
    for entry in entries {
        block.push(entry.key, spelled(entry));
    }
    block.sort();
    block
}

/// The value of a line as both forms understand it; a path without its odd slashes.
fn spelled(entry: &ValueEntry) -> Given {
    let value = match &entry.value {
        Some(Value::Path(path)) => path.as_os_str().as_bytes().to_vec(),
        Some(Value::Rules(rules)) => {
            let level = match rules.level {
                RuleLevel::Paranoid => "paranoid:",
                RuleLevel::Server => "server:",
                RuleLevel::Workstation => "workstation:",
            };
            [level.as_bytes(), rules.path.as_os_str().as_bytes()].concat()
        }
        Some(Value::Flag(is_set)) => if *is_set { "yes" } else { "no" }.into(),
        _ => entry.raw.trim_ascii().to_vec(),
    };
    Given { value, source: (&entry.place).into() }
}

/// Everything: what was given in `sheet`, and the defaults of the rest as `config`, made from it, has them.
pub(in crate::config) fn effective(sheet: &ValueSet, config: &Config, form: ConfigSyntax) -> Effective {
    let mut blocks = given(sheet);
    for block in &mut blocks {
        for row in block.rows.iter_mut().filter(|row| row.key.unit == SettingUnit::Attributes) {
            row.values.iter_mut().for_each(spell_out);
        }
        // Beside rates that are shown as if they were given, `auto` would mean something else.
        for row in block.rows.iter_mut().filter(|row| row.key.name == "firstround") {
            row.values.iter_mut().for_each(|given| given.value = first_round(config).into());
        }
        let missing: Vec<&'static SettingKey> = KEYS
            .iter()
            .filter(|key| key.table == block.table && key.name != "pidchecktime")
            .filter(|key| block.values(key.name).is_empty())
            .collect();
        for key in missing {
            let values = default(key, sheet, config).into_iter().collect();
            block.rows.push(Row { key, values });
        }
        block.sort();
    }
    stand_in(&mut blocks);
    let first = blocks.iter().position(|block| block.table == SettingTable::Process).unwrap_or(blocks.len());
    if let Some(key) = find("pidchecktime")
        && sheet.of_key("pidchecktime").next().is_none()
        && let Some(given) = default(key, sheet, config)
    {
        for_processes(&mut blocks, first, key, given);
    }
    Effective { form, blocks }
}

/// For a table of which there is none a block that says so.
fn stand_in(blocks: &mut Vec<Block>) {
    for table in SettingTable::ALL.into_iter().filter(|table| table.is_repeatable()) {
        if !blocks.iter().any(|block| block.table == table) {
            let keys = KEYS.iter().filter(|key| key.table == table && key.name != "pidchecktime");
            blocks.push(Block { table, rows: keys.map(|key| Row { key, values: Vec::new() }).collect() });
        }
    }
    blocks.sort_by_key(|block| block.table);
}

/// `-inode` says little to who does not know the default: the whole list.
fn spell_out(given: &mut Given) {
    if let Some(key) = find("areaattributes")
        && let Ok((Value::Attributes(set, growth), _)) = read(key, &given.value)
    {
        given.value = names(set).into_bytes();
        if growth == Growth::Nothing {
            given.value.extend_from_slice(b" ");
            given.value.extend_from_slice(GROWTH.as_bytes());
        }
    }
}

/// What `firstround` comes to.
fn first_round(config: &Config) -> &'static str {
    if config.rates.first_round == FirstRound::Paced { "paced" } else { "fast" }
}

fn names(set: AttributeSet) -> String {
    set.iter().map(crate::model::file::attribute::Attribute::name).collect::<Vec<_>>().join(" ")
}

/// What holds for an item that was not given.
fn default(key: &'static SettingKey, sheet: &ValueSet, config: &Config) -> Option<Given> {
    let rates = &config.rates;
    let logs = &config.report.logs;
    let (value, source) = match key.name {
        "maxfilerate" => (format_rate(rates.max_files), SettingSource::From("filerate")),
        "maxbyterate" => (format_rate(rates.max_bytes), SettingSource::From("byterate")),
        "firstround" => (
            first_round(config).to_owned(),
            match ["filerate", "byterate"].into_iter().find(|name| sheet.place(name).is_some()) {
                Some(name) => SettingSource::From(name),
                None => SettingSource::Default,
            },
        ),
        "logreporttime" => (format_span(logs.report_time), SettingSource::From("reporttime")),
        "logreportholdoff" => (format_span(logs.hold_off), SettingSource::From("reportholdoff")),
        "areahash" => {
            let words: Vec<&str> = sheet.hash("hash").iter().map(crate::model::file::entry::Algorithm::name).collect();
            (words.join("+"), SettingSource::From("hash"))
        }
        "areaattributes" => (names(default_attributes()), SettingSource::Default),
        "logrules" => ("server:/etc/logcheck".to_owned(), SettingSource::Default),
        _ if key.default.is_empty() => return None,
        _ => (key.default.to_owned(), SettingSource::Default),
    };
    Some(Given { value: value.into_bytes(), source })
}
