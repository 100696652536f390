//! `config check`, `config show` and `config convert`: what is wrong with a configuration, what holds, and the same as TOML.

use std::{
    io::{IsTerminal, stdout},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    cli::{
        doctor::mailboxes::mailboxes,
        terminal::{
            exit::{Exit, usage},
            output::{Out, talk},
        },
    },
    config::{
        self,
        schema::section::SettingTable,
        write::{effective::Effective, example},
    },
    daemon::config_trust::check_sources,
    model::escape::{escape, escape_name},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all faults of the configuration at once, with file and line.
    Check(Arguments),
    /// Print every setting with its effective value and where that comes from, as a configuration.
    Show(ShowArguments),
    /// Print a configuration of the legacy form as TOML, with its comments.
    Convert(Arguments),
    /// Print an example that works as it is, with every setting, its meaning, range and default.
    Example(ExampleArguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration, instead of --config.
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The configuration, instead of --config.
    file: Option<PathBuf>,

    /// One JSON object a line: item, table, value, source.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExampleArguments {
    /// In the TOML form.
    #[arg(long)]
    toml: bool,
}

pub(super) fn run(config: &Path, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::Check(arguments) => check(arguments.file.as_deref().unwrap_or(config), out),
        Command::Show(arguments) => show(arguments.file.as_deref().unwrap_or(config), arguments.json, out),
        Command::Convert(arguments) => convert(arguments.file.as_deref().unwrap_or(config), out),
        Command::Example(arguments) => {
            out.text(&if arguments.toml { example::toml() } else { example::legacy() })?;
            Ok(Exit::Fine)
        }
    }
}

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_encoded_bytes())
}

fn check(path: &Path, out: &mut Out) -> anyhow::Result<Exit> {
    let loaded = config::load(path)?;
    for notice in &loaded.notices {
        out.line(&format!("notice: {notice}"))?;
    }
    for mailbox in mailboxes(&loaded) {
        out.line(&format!("notice: {}", mailbox.words()))?;
    }
    // The daemon would refuse it: to its administrator, that is as good as a fault.
    if let Err(distrust) = check_sources(&loaded) {
        out.flush()?;
        talk(&format!("integrityd: the daemon refuses this configuration: {distrust}"));
        return Ok(Exit::Configuration);
    }
    out.line(&format!("{}: no faults", shown(path)))?;
    Ok(Exit::Fine)
}

fn show(path: &Path, is_json: bool, out: &mut Out) -> anyhow::Result<Exit> {
    let (_, effective) = config::load_with_sources(path)?;
    if is_json {
        for line in json_lines(&effective) {
            out.line(&line.to_string())?;
        }
        return Ok(Exit::Fine);
    }
    // A program gets the very bytes of each path, a terminal never does.
    let text = config::show(&effective);
    match str::from_utf8(&text) {
        Ok(text) if !stdout().is_terminal() => out.text(text)?,
        Err(_) if !stdout().is_terminal() => out.bytes(&text)?,
        _ => {
            for line in text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n') {
                out.line(&neutral(line))?;
            }
        }
    }
    Ok(Exit::Fine)
}

/// A line as it is when nothing in it is hidden, else escaped.
pub(super) fn neutral(line: &[u8]) -> String {
    match str::from_utf8(line) {
        Ok(text) if !text.chars().any(crate::model::escape::is_hidden) => text.to_owned(),
        _ => escape(line),
    }
}

/// Every setting: its legacy name, its table, in which area or which group of logs or processes (from 1), value and source.
fn json_lines(effective: &Effective) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    let mut numbers = [0_u64; SettingTable::ALL.len()];
    for block in &effective.blocks {
        let place = SettingTable::ALL.iter().position(|table| *table == block.table);
        let number = place.and_then(|at| numbers.get_mut(at));
        let number = number.map_or(0, |number| {
            *number += 1;
            *number
        });
        let area = block.values("area").first().map(|given| escape_name(&given.value));
        for row in &block.rows {
            let mut line = |value: Option<String>, source: String| {
                let mut object = json!({ "item": row.key.name, "table": block.table.name() });
                if let Some(object) = object.as_object_mut() {
                    if let Some(area) = &area {
                        object.insert("area".to_owned(), json!(area));
                    } else if block.table.is_repeatable() {
                        object.insert("number".to_owned(), json!(number));
                    }
                    object.insert("value".to_owned(), json!(value));
                    object.insert("source".to_owned(), json!(source));
                    object.insert("acted_upon".to_owned(), json!(true));
                }
                lines.push(object);
            };
            for given in &row.values {
                line(Some(escape_name(&given.value)), given.source.to_string());
            }
            if row.values.is_empty() {
                line(None, "default".to_owned());
            }
        }
    }
    lines
}

fn convert(path: &Path, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(converted) = config::convert(path)? else {
        return Err(usage(format!("{} is in the TOML form already", shown(path))));
    };
    out.text(&converted.text)?;
    for remark in &converted.remarks {
        talk(remark);
    }
    Ok(Exit::Fine)
}
