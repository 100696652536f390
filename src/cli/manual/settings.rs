//! The settings as the manual has them, made from the one table of all items.

use crate::{
    cli::manual::roff::{ManualPage, escaped, plain},
    config::schema::{
        keys::{KEYS, SettingKey},
        section::SettingTable,
    },
};

/// Every setting with its place in both forms and its default, a line each.
pub(super) fn glance(page: &mut ManualPage) {
    let mut lines = vec![format!("{:<17} {:<26} {}", "LEGACY", "TOML", "DEFAULT")];
    for key in SettingTable::ALL.into_iter().flat_map(of) {
        let default = if key.default.is_empty() { "-" } else { key.default };
        lines.push(format!("{:<17} {:<26} {default}", key.name, place(key)).trim_end().to_owned());
    }
    page.example(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// All that is known of every setting, by subjects.
pub(in crate::cli) fn all(page: &mut ManualPage) {
    for table in SettingTable::ALL {
        page.subsection(table.title());
        let words = match table {
            SettingTable::Top => "In TOML above all tables.".to_owned(),
            _ if table.is_repeatable() => format!("In TOML in `{}`, once for each.", table.header()),
            _ => format!("In TOML in `{}`.", table.header()),
        };
        page.paragraph(&plain(&words));
        for key in of(table) {
            page.item(&format!("\\fB{}\\fR", escaped(key.name)), &plain(&words_of(key)));
        }
    }
}

fn of(table: SettingTable) -> impl Iterator<Item = &'static SettingKey> {
    KEYS.iter().filter(move |key| key.table == table)
}

/// `[rates] filerate`, `email`.
fn place(key: &SettingKey) -> String {
    match key.table {
        SettingTable::Top => key.toml.to_owned(),
        table => format!("{} {}", table.header(), key.toml),
    }
}

fn words_of(key: &SettingKey) -> String {
    let mut words = vec![key.doc.to_owned()];
    if key.toml != key.name {
        words.push(format!("In TOML `{}`.", key.toml));
    }
    words.push(format!("Allowed: {}.", key.unit.range()));
    if !key.default.is_empty() {
        words.push(format!("Default: `{}`.", key.default));
    }
    if key.is_repeatable {
        words.push("May be given several times; in TOML a list.".to_owned());
    }
    words.join(" ")
}
