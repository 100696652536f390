//! The example configurations, made from the table of all items.
//!
//! Both hold the same settings. Every item is shown with its meaning, range and default; what equals the default is commented
//! out, so that a default that is improved later reaches everybody who never changed it.

use crate::config::schema::{
    keys::{KEYS, SettingKey, SettingUnit},
    section::SettingTable,
};

/// What is set in the examples, by legacy names: places that an attacker needs and that exist everywhere, without the files
/// that change by themselves.
const ACTIVE: &[(&str, &[&str])] = &[
    ("email", &["root"]),
    ("area", &["/etc", "/boot", "/root", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/local"]),
    (
        "exclude",
        &["/etc/mtab", "/etc/adjtime", "/etc/lvm/archive", "/etc/lvm/backup", "/root/.cache", "/root/.*_history"],
    ),
];

/// What is shown, commented out, for items that have no default.
const SAMPLES: &[(&str, &str)] = &[
    ("hostname", "web3.example.org"),
    ("include", "/etc/integrityd.d/*.conf"),
    ("noinode", "/etc/resolv.conf"),
    ("notime", "/etc/cups/subscriptions.conf"),
    ("urgent", "/srv/keys/*.pem"),
    ("adopt", "logcheck:/var/lib/logcheck"),
    ("maxfilerate", "50"),
    ("maxbyterate", "12800k"),
    ("logreporttime", "30s"),
    ("logreportholdoff", "15m"),
    ("mailfrom", "integrityd@example.org"),
    ("mailpasswordfile", "/etc/integrityd.password"),
    ("fallbackmbox", "/var/mail/root"),
    ("areahash", "blake3+sha256"),
    ("areaattributes", "-inode -ctime"),
    ("areaemail", "webteam@example.org"),
    ("areafstypes", "nfs4"),
    ("logrules", "server:/etc/logcheck"),
    ("log", "/var/log/syslog"),
    ("logtransient", "/var/log/app/*.log"),
    ("olddir", "/var/log/old"),
    ("pidct", "web"),
    ("pidfile", "/run/apache2.pid"),
    ("unit", "nginx.service"),
];

/// The example in the legacy form, as `etc/integrityd.conf` holds it.
pub fn legacy() -> String {
    let mut text = String::from(
        "# integrityd: /etc/integrityd.conf, in the form `item = value`. Every item is here; `integrityd config check` finds all faults at once.\n\
         # Lines that are commented out show the default, or a sample where there is none.\n",
    );
    for table in SettingTable::ALL {
        write_heading(&mut text, table);
        for key in items_of(table) {
            write_doc(&mut text, key);
            match active(key) {
                [] => push(&mut text, &format!("#{} = {}\n", key.name, shown(key))),
                values => values.iter().for_each(|value| push(&mut text, &format!("{} = {value}\n", key.name))),
            }
        }
    }
    text
}

/// The example in the TOML form, as `etc/integrityd.toml` holds it.
pub fn toml() -> String {
    let mut text = String::from(
        "# integrityd: /etc/integrityd.conf, in the TOML form. Every item is here; `integrityd config check` finds all faults at once.\n\
         # Lines that are commented out show the default, or a sample where there is none.\n",
    );
    for table in SettingTable::ALL {
        write_heading(&mut text, table);
        if table == SettingTable::Area {
            write_areas(&mut text);
            continue;
        }
        // A table without a line is left out: an empty [[logs]] would be a group without a log.
        let is_used = items_of(table).any(|key| !active(key).is_empty()) || !table.is_repeatable();
        let mark = if is_used { "" } else { "#" };
        if table != SettingTable::Top {
            push(&mut text, &format!("{mark}{}\n", table.header()));
        }
        for key in items_of(table) {
            write_doc(&mut text, key);
            match active(key) {
                [] => push(&mut text, &format!("#{} = {}\n", key.toml, toml_value(key, &[shown(key)]))),
                values => push(&mut text, &format!("{} = {}\n", key.toml, toml_value(key, values))),
            }
        }
    }
    text
}

/// The areas of the TOML form, each with its own excludes; the first shows what else an area can have.
fn write_areas(text: &mut String) {
    let find = |name: &str| ACTIVE.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, values)| values);
    for (at, area) in find("area").iter().enumerate() {
        if at > 0 {
            push(text, "\n");
        }
        push(text, "[[area]]\n");
        for key in items_of(SettingTable::Area) {
            if at == 0 {
                write_doc(text, key);
            }
            let own: Vec<&str> = match key.name {
                "area" => vec![area],
                "exclude" => find("exclude").iter().copied().filter(|path| is_below(path, area)).collect(),
                _ => Vec::new(),
            };
            match own.as_slice() {
                [] if at == 0 => push(text, &format!("#{} = {}\n", key.toml, toml_value(key, &[shown(key)]))),
                [] => {}
                [single] if key.name == "area" => push(text, &format!("{} = \"{single}\"\n", key.toml)),
                values => push(text, &format!("{} = {}\n", key.toml, toml_value(key, values))),
            }
        }
    }
}

fn is_below(path: &str, area: &str) -> bool {
    path.strip_prefix(area).is_some_and(|rest| rest.starts_with('/'))
}

fn items_of(table: SettingTable) -> impl Iterator<Item = &'static SettingKey> {
    KEYS.iter().filter(move |key| key.table == table)
}

/// The values that `key` is set to in the examples.
fn active(key: &SettingKey) -> &'static [&'static str] {
    ACTIVE.iter().find(|(name, _)| *name == key.name).map_or(&[], |(_, values)| values)
}

/// What a line that is commented out shows.
fn shown(key: &SettingKey) -> &'static str {
    if key.default.is_empty() {
        SAMPLES.iter().find(|(name, _)| *name == key.name).map_or("", |(_, sample)| sample)
    } else {
        key.default
    }
}

fn write_heading(text: &mut String, table: SettingTable) {
    push(text, &format!("\n# ==== {} ====\n\n", table.title()));
}

/// The lines above an item: its meaning, then what is allowed.
fn write_doc(text: &mut String, key: &SettingKey) {
    let mut facts = vec![format!("Allowed: {}.", key.unit.range())];
    if !key.default.is_empty() {
        facts.push(format!("Default: {}.", key.default));
    }
    if key.is_repeatable {
        facts.push("May be given several times.".to_owned());
    }
    for paragraph in [key.doc, &facts.join(" ")] {
        let mut length = 0;
        for word in paragraph.split(' ') {
            if length == 0 {
                push(text, "#");
                length = 1;
            } else if length + word.len() + 1 > 100 {
                push(text, "\n#");
                length = 1;
            }
            push(text, &format!(" {word}"));
            length += word.len() + 1;
        }
        push(text, "\n");
    }
}

/// `values` as TOML has them: numbers and flags bare, everything else quoted, a list where several may stand.
fn toml_value(key: &SettingKey, values: &[&str]) -> String {
    if key.unit == SettingUnit::Attributes {
        let names: Vec<String> =
            values.iter().flat_map(|value| value.split(' ')).map(|word| quote(word.trim_start_matches('-'))).collect();
        return format!("{{ without = [{}] }}", names.join(", "));
    }
    let single = |value: &str| match (key.unit, value) {
        (SettingUnit::Flag, "yes") => "true".to_owned(),
        (SettingUnit::Flag, _) => "false".to_owned(),
        (SettingUnit::Rate { .. } | SettingUnit::Count { .. } | SettingUnit::Percent, number) => number.to_owned(),
        (_, value) => quote(value),
    };
    let list = values.iter().map(|value| single(value)).collect::<Vec<_>>().join(", ");
    if key.is_repeatable && key.name != "area" { format!("[{list}]") } else { list }
}

/// A basic string; the examples hold nothing that needs more than these escapes.
fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;
    use crate::config::{
        parse,
        read::{include::Files, value},
        settings::config::Config,
    };

    fn read(text: &str) -> Config {
        parse(Path::new("example"), text.as_bytes(), &Files::Memory(BTreeMap::new())).unwrap()
    }

    /// The same text with every line that is commented out by a bare `#` in force.
    fn uncommented(text: &str) -> String {
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.starts_with("include") => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_committed_examples_are_those_of_the_table() {
        for (name, text) in [("integrityd.conf", legacy()), ("integrityd.toml", toml())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(name);
            if std::env::var_os("INTEGRITYD_BLESS").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "etc/{name} is outdated: run INTEGRITYD_BLESS=1 cargo test --lib example");
        }
    }

    #[test]
    fn both_examples_give_the_same_settings_without_a_notice() {
        let (one, other) = (read(&legacy()), read(&toml()));
        assert_eq!(one, other);
        assert_eq!(one.notices, []);
        assert_eq!(one.recipients, ["root"]);
        assert_eq!(one.areas.len(), 7);
        assert_eq!(one.areas[0].excludes.patterns().count(), 4);
    }

    /// What packages install: it starts as it is, watches what the examples watch, and each line that is commented out is good.
    #[test]
    fn the_packaged_configuration_is_a_short_form_of_the_example() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/packaged.conf");
        let text = fs::read_to_string(path).unwrap();
        let (packaged, example) = (read(&text), read(&legacy()));
        assert_eq!(packaged.notices, []);
        assert_eq!((packaged.areas, packaged.recipients), (example.areas, example.recipients));
        let more = read(&uncommented(&text));
        assert_eq!(more.notices, []);
        assert!(!more.logs.is_empty() && more.report.heartbeat.is_some());
    }

    #[test]
    fn every_line_that_is_commented_out_is_a_good_one() {
        for key in KEYS {
            let sample = shown(key);
            assert!(!sample.is_empty() || !active(key).is_empty(), "{} has neither default nor sample", key.name);
            if !sample.is_empty() {
                assert!(value::read(key, sample.as_bytes()).is_ok(), "{} = {sample}", key.name);
            }
        }
        // A user-less password file is a contradiction, and is shown for those who add the user.
        let with_user = |text: String| {
            uncommented(&text)
                .replace("url = \"auto\"", "url = \"smtps://joe@mx\"")
                .replace("mail = auto", "mail = smtps://joe@mx")
        };
        let (one, other) = (read(&with_user(legacy())), read(&with_user(toml())));
        assert_eq!(one.rates, other.rates);
        assert_eq!(one.report, other.report);
        assert_eq!(one.mail, other.mail);
        assert_eq!(one.logs, other.logs);
    }
}
