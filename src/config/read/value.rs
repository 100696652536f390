//! One value, read by the unit of its item. Whether values agree with each other is asked later.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration};

use crate::{
    config::{
        read::{
            address::{check_address, is_host},
            mail_url,
        },
        schema::{
            fault::{ConfigProblem, show, show_path},
            keys::{SettingKey, SettingUnit, closest},
            units::{UnitError, parse_rate, parse_size, parse_span, to_float, without_per_second},
        },
        settings::{
            attribute_groups::{ATTRIBUTE_GROUPS, GROWTH, Growth, LOG_GROUP},
            config::{Attach, MailWay, RuleDirectory, RuleLevel, default_attributes},
            exclude::{compile, has_open_class, is_glob},
        },
    },
    model::file::{
        attribute::{Attribute, AttributeSet},
        entry::{Algorithm, AlgorithmSet},
    },
};

/// A value that is in range.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) enum Value {
    Text(String),
    Path(PathBuf),
    Span(Duration),
    Bytes(u64),
    Number(f64),
    Count(u64),
    Flag(bool),
    Off,
    Journal,
    Hash(AlgorithmSet),
    Attributes(AttributeSet, Growth),
    Rules(RuleDirectory),
    Attach(Attach),
    Mail(MailWay),
}

/// What was read, and what is odd about it.
type ValueReader = Result<(Value, Option<ConfigProblem>), ConfigProblem>;

/// Reads `bytes` as a value of `key`. `Ok` may come with a notice.
pub(in crate::config) fn read(key: &SettingKey, bytes: &[u8]) -> ValueReader {
    if bytes.is_empty() {
        return Err(ConfigProblem::new(format!("`{}` has no value", key.name), format!("give {}", key.unit.range())));
    }
    match key.unit {
        SettingUnit::Path => read_path(bytes, false),
        SettingUnit::LogSource if bytes == b"journal" => Ok((Value::Journal, None)),
        SettingUnit::Pattern | SettingUnit::LogSource => read_path(bytes, true),
        SettingUnit::Rules => read_rules(bytes),
        unit => {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(ConfigProblem::new(
                    format!("`{} = {}` is not UTF-8", key.name, show(bytes)),
                    format!("give {}; only paths may hold other bytes", unit.range()),
                ));
            };
            match unit {
                SettingUnit::Span { .. }
                | SettingUnit::Size { .. }
                | SettingUnit::ByteRate { .. }
                | SettingUnit::Rate { .. }
                | SettingUnit::Count { .. }
                | SettingUnit::Percent => read_number(key, text),
                _ => read_word(key, text),
            }
            .map(|value| (value, None))
        }
    }
}

/// A fault that names the range of `key`.
fn out_of_range(key: &SettingKey, text: &str) -> ConfigProblem {
    ConfigProblem::new(
        format!("`{} = {}` is out of range", key.name, show(text.as_bytes())),
        format!("{} is allowed", key.unit.range()),
    )
}

/// A fault for a value that is not even of the right kind.
fn malformed(key: &SettingKey, text: &str) -> ConfigProblem {
    ConfigProblem::new(
        format!("`{} = {}` is not understood", key.name, show(text.as_bytes())),
        format!("give {}", key.unit.range()),
    )
}

fn read_number(key: &SettingKey, text: &str) -> Result<Value, ConfigProblem> {
    // A number too large to be held is out of range like any other.
    let refuse = |error: UnitError| match error {
        UnitError::TooLarge => out_of_range(key, text),
        UnitError::NotANumber | UnitError::UnknownUnit => malformed(key, text),
    };
    let (value, is_within) = match key.unit {
        SettingUnit::Span { has_off: true, .. } | SettingUnit::Size { has_off: true, .. } if text == "off" => {
            (Value::Off, true)
        }
        SettingUnit::Span { min, max, .. } => {
            let span = parse_span(text).map_err(refuse)?;
            (Value::Span(span), (min..=max).contains(&span))
        }
        SettingUnit::Size { min, max, .. } => {
            let bytes = parse_size(text).map_err(refuse)?;
            (Value::Bytes(bytes), (min..=max).contains(&bytes))
        }
        SettingUnit::ByteRate { min, max } => {
            let bytes = parse_size(without_per_second(text)).map_err(refuse)?;
            (Value::Number(to_float(bytes)), (min..=max).contains(&bytes))
        }
        SettingUnit::Rate { min, max } => {
            let rate = parse_rate(text).map_err(refuse)?;
            (Value::Number(rate), (min..=max).contains(&rate))
        }
        SettingUnit::Count { min, max } => {
            let count = read_count(key, text)?;
            (Value::Count(count), (min..=max).contains(&count))
        }
        _ => {
            let count = read_count(key, text.strip_suffix('%').map_or(text, str::trim_ascii_end))?;
            (Value::Count(count), count <= 100)
        }
    };
    if is_within { Ok(value) } else { Err(out_of_range(key, text)) }
}

fn read_count(key: &SettingKey, text: &str) -> Result<u64, ConfigProblem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(count) if is_number => Ok(count),
        _ if is_number => Err(out_of_range(key, text)),
        _ => Err(malformed(key, text)),
    }
}

fn read_word(key: &SettingKey, text: &str) -> Result<Value, ConfigProblem> {
    let accept = |is_good: bool| {
        if is_good { Ok(Value::Text(text.to_owned())) } else { Err(malformed(key, text)) }
    };
    match key.unit {
        SettingUnit::Host => accept(is_host(text)),
        SettingUnit::Address => check_address(text).map(|()| Value::Text(text.to_owned())),
        SettingUnit::MailUrl => mail_url::parse(text).map(Value::Mail),
        SettingUnit::Container => accept(is_container(text)),
        SettingUnit::UnitName => accept(is_unit_name(text)),
        SettingUnit::FileSystem => {
            accept(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
        }
        SettingUnit::Adopt => {
            let path = text.strip_prefix("logcheck:").or_else(|| text.strip_prefix("fcheck:"));
            accept(path.is_some_and(|path| path.starts_with('/') && !path.contains('\0')))
        }
        SettingUnit::Hash => read_hash(key, text),
        SettingUnit::Attributes => read_attributes(key, text),
        SettingUnit::Attach => match text {
            "never" => Ok(Value::Attach(Attach::Never)),
            "always" => Ok(Value::Attach(Attach::Always)),
            number => read_count(key, number).map(|count| Value::Attach(Attach::Above(count))),
        },
        SettingUnit::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        SettingUnit::Flag => match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(Value::Flag(true)),
            "no" | "false" | "off" | "0" => Ok(Value::Flag(false)),
            _ => Err(malformed(key, text)),
        },
        _ => Err(malformed(key, text)),
    }
}

/// A name, an id, a number, or `pid:` and the number of a process.
fn is_container(text: &str) -> bool {
    match text.strip_prefix("pid:") {
        Some(pid) => pid.parse::<u32>().is_ok_and(|pid| pid > 0) && !pid.starts_with('+'),
        None => {
            text.len() <= 255
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
    }
}

/// `systemd.unit(5)`: at most 255 characters of these, with a suffix; a `/` would lead out of the tree of control groups.
fn is_unit_name(text: &str) -> bool {
    text.len() <= 255
        && !text.starts_with('.')
        && text.rsplit_once('.').is_some_and(|(_, kind)| matches!(kind, "service" | "scope" | "slice" | "socket"))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

fn read_hash(key: &SettingKey, text: &str) -> Result<Value, ConfigProblem> {
    let mut set = AlgorithmSet::NONE;
    for word in text.split('+').map(str::trim_ascii) {
        let Some(algorithm) = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == word) else {
            return Err(malformed(key, text));
        };
        set = set.with(algorithm);
    }
    Ok(Value::Hash(set))
}

/// `inode ctime` is exactly these; `-inode -ctime` the default without them; `+btime` the default and this; `growth` lets files grow.
fn read_attributes(key: &SettingKey, text: &str) -> Result<Value, ConfigProblem> {
    let words: Vec<&str> = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
    let signed = words.iter().filter(|word| word.starts_with(['-', '+'])).count();
    if signed != 0 && signed != words.len() {
        return Err(ConfigProblem::new(
            format!("`{} = {}` mixes a list with exceptions", key.name, show(text.as_bytes())),
            "either name all that counts, or write - before all that does not",
        ));
    }
    let mut set = if signed == 0 { AttributeSet::NONE } else { default_attributes() };
    let mut growth = Growth::Change;
    for word in words {
        let name = word.trim_start_matches(['-', '+']);
        if name == GROWTH || name == LOG_GROUP {
            growth = if word.starts_with('-') { Growth::Change } else { Growth::Nothing };
        }
        if name == GROWTH {
            continue;
        }
        let Some(meant) = named_attributes(name) else {
            let groups = ATTRIBUTE_GROUPS.iter().map(|(group, _)| *group).chain([GROWTH]);
            let names = || Attribute::ALL.iter().map(|attribute| attribute.name()).chain(groups.clone());
            let hint = match closest(name, names()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("attributes are {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err(ConfigProblem::new(format!("unknown attribute `{}`", show(name.as_bytes())), hint));
        };
        set = if word.starts_with('-') { meant.iter().fold(set, AttributeSet::without) } else { set.union(meant) };
    }
    if set.is_empty() {
        return Err(ConfigProblem::new(
            format!("`{}` leaves nothing to compare", key.name),
            "name one attribute at least",
        ));
    }
    Ok(Value::Attributes(set, growth))
}

/// What an attribute or a group of attributes is called by.
fn named_attributes(name: &str) -> Option<AttributeSet> {
    let one = Attribute::ALL.iter().find(|attribute| attribute.name() == name);
    let group = || ATTRIBUTE_GROUPS.iter().find(|(group, _)| *group == name);
    one.map(|one| AttributeSet::of(&[*one])).or_else(|| group().map(|(_, members)| AttributeSet::of(members)))
}

/// `LEVEL:DIR`, `/DIR` or `LEVEL`.
fn read_rules(bytes: &[u8]) -> ValueReader {
    let (level, path) = match bytes.iter().position(|byte| *byte == b':' || *byte == b'/') {
        Some(at) if bytes.get(at) == Some(&b':') => {
            (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default())
        }
        Some(_) => (b"server".as_slice(), bytes),
        None => (bytes, b"/etc/logcheck".as_slice()),
    };
    let level = match level {
        b"paranoid" => RuleLevel::Paranoid,
        b"server" => RuleLevel::Server,
        b"workstation" => RuleLevel::Workstation,
        other => {
            let words = ["paranoid", "server", "workstation"];
            let hint = match std::str::from_utf8(other).ok().and_then(|word| closest(word, words.into_iter())) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "the levels are paranoid, server and workstation".to_owned(),
            };
            return Err(ConfigProblem::new(format!("`{}` is no level of logcheck", show(other)), hint));
        }
    };
    let (value, notice) = read_path(path, false)?;
    match value {
        Value::Path(path) => Ok((Value::Rules(RuleDirectory { level, path }), notice)),
        other => Ok((other, notice)),
    }
}

/// An absolute path, without `.`, doubled or trailing slashes; `is_pattern` allows wildcards.
fn read_path(bytes: &[u8], is_pattern: bool) -> ValueReader {
    let shown = show(bytes);
    if bytes.first() != Some(&b'/') {
        let hint = if is_pattern && is_glob(bytes) {
            "start it with a /; /**/ matches in every directory"
        } else {
            "start it with a /"
        };
        return Err(ConfigProblem::new(format!("`{shown}` is no absolute path"), hint));
    }
    if bytes.contains(&0) {
        return Err(ConfigProblem::new(format!("`{shown}` holds a NUL byte"), "no path on Linux does"));
    }
    let mut path = Vec::with_capacity(bytes.len());
    for part in bytes.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                return Err(ConfigProblem::new(
                    format!("`{shown}` goes up by .."),
                    "write the path as it is; a link on the way would lead elsewhere",
                ));
            }
            part => {
                path.push(b'/');
                path.extend(part);
            }
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
    let notice = (path != bytes).then(|| {
        ConfigProblem::new(format!("`{shown}` is read as `{}`", show(&path)), "slashes need not be repeated or trail")
    });
    let path = PathBuf::from(OsString::from_vec(path));
    if is_pattern && is_glob(bytes) {
        compile(&path).map_err(|error| {
            ConfigProblem::new(
                format!("`{}` {error}", show_path(&path)),
                "write \\ before a wildcard that is meant as it stands",
            )
        })?;
        // A file may be called so (`/usr/bin/[` is one); whoever forgot the ] should hear of it all the same.
        if has_open_class(&path) {
            let what = format!("the `[` of `{}` is never closed, so it stands for itself", show_path(&path));
            return Ok((
                Value::Path(path),
                Some(ConfigProblem::new(what, "add the ], or write \\[ if it is meant so")),
            ));
        }
    }
    Ok((Value::Path(path), notice))
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use proptest::prelude::*;

    use super::*;
    use crate::config::schema::keys::{KEYS, find};

    fn value(name: &str, text: &str) -> Value {
        read(find(name).unwrap(), text.as_bytes()).unwrap().0
    }

    fn fault(name: &str, text: &str) -> String {
        let problem = read(find(name).unwrap(), text.as_bytes()).unwrap_err();
        format!("{}: {}", problem.what, problem.hint)
    }

    #[test]
    fn every_default_is_a_good_value() {
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            assert!(read(key, key.default.as_bytes()).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn files_may_grow_by_the_group_log_and_by_a_word_of_its_own() {
        let read = |text: &str| match value("areaattributes", text) {
            Value::Attributes(set, growth) => (set, growth),
            other => panic!("{other:?}"),
        };
        let (log, growth) = read("log");
        assert_eq!(growth, Growth::Nothing);
        assert!(log.has(Attribute::Content) && log.has(Attribute::Inode) && !log.has(Attribute::Mtime), "{log:?}");
        assert_eq!(read("+log"), (default_attributes(), Growth::Nothing));
        assert_eq!(read("+growth -nlink"), (default_attributes().without(Attribute::Nlink), Growth::Nothing));
        assert_eq!(read("all"), (AttributeSet::of(Attribute::ALL), Growth::Change));
        assert_eq!(read("content growth"), (AttributeSet::of(&[Attribute::Content]), Growth::Nothing));
        assert!(fault("areaattributes", "growth").contains("leaves nothing to compare"));
    }

    #[test]
    fn values_are_read_by_their_units() {
        const TOLD: Growth = Growth::Change;
        assert_eq!(value("reporttime", "15m"), Value::Span(Duration::from_mins(15)));
        assert_eq!(value("reporttime", "0"), Value::Span(Duration::ZERO));
        assert_eq!(value("heartbeat", "off"), Value::Off);
        assert_eq!(value("byterate", "256k/s"), Value::Number(262_144.0));
        assert_eq!(value("pressure", "20 %"), Value::Count(20));
        assert_eq!(value("allowbroad", "True"), Value::Flag(true));
        assert_eq!(value("log", "journal"), Value::Journal);
        assert_eq!(value("attach", "50"), Value::Attach(Attach::Above(50)));
        assert_eq!(
            value("hash", "blake3+sha256"),
            Value::Hash(AlgorithmSet::NONE.with(Algorithm::Blake3).with(Algorithm::Sha256))
        );
        assert_eq!(
            value("areaattributes", "-inode, -ctime"),
            Value::Attributes(default_attributes().without(Attribute::Inode).without(Attribute::Ctime), TOLD)
        );
        assert_eq!(value("areaattributes", "size"), Value::Attributes(AttributeSet::of(&[Attribute::Size]), TOLD));
        let group = |name: &str| named_attributes(name).unwrap();
        assert_eq!(
            value("areaattributes", "permissions size"),
            Value::Attributes(group("permissions").with(Attribute::Size), TOLD)
        );
        assert_eq!(value("areaattributes", "all"), Value::Attributes(AttributeSet::of(Attribute::ALL), TOLD));
        let Value::Attributes(left, TOLD) = value("areaattributes", "-permissions") else { panic!("no set") };
        assert!(left.has(Attribute::Content) && !left.has(Attribute::Acl) && !left.has(Attribute::Perms));
        for (text, level, path) in [
            ("paranoid:/x", RuleLevel::Paranoid, "/x"),
            ("/x:y", RuleLevel::Server, "/x:y"),
            ("workstation", RuleLevel::Workstation, "/etc/logcheck"),
        ] {
            assert_eq!(value("logrules", text), Value::Rules(RuleDirectory { level, path: PathBuf::from(path) }));
        }
    }

    #[test]
    fn a_bad_value_says_what_is_allowed() {
        let faults = [
            fault("reporttime", "31d"),
            fault("reporttime", "soon"),
            fault("filerate", "0"),
            fault("byterate", "99999999999999999999999"),
            fault("pressure", "101"),
            fault("reportlines", "+5"),
            fault("subject", "mine"),
            fault("database", "db.sqlite"),
            fault("exclude", "*.bak"),
            fault("exclude", "/srv/{a"),
            fault("area", "/etc/../x"),
            fault("hash", "md5"),
            fault("areaattributes", "inod"),
            fault("areaattributes", "-inode size"),
            fault("logrules", "paranoia:/x"),
            fault("unit", "../x.service"),
            fault("pidct", "pid:x"),
            fault("adopt", "aide:/x"),
            fault("email", ""),
        ];
        insta::assert_snapshot!(faults.join("\n"), @r#"
        `reporttime = 31d` is out of range: 0s to 30d is allowed
        `reporttime = soon` is not understood: give 0s to 30d
        `filerate = 0` is out of range: 0.01 to 100000 is allowed
        `byterate = 99999999999999999999999` is out of range: 1k to 10G bytes per second is allowed
        `pressure = 101` is out of range: 0 to 100 % is allowed
        `reportlines = +5` is not understood: give 1 to 1000000
        `subject = mine` is not understood: give own or logcheck
        `db.sqlite` is no absolute path: start it with a /
        `*.bak` is no absolute path: start it with a /; /**/ matches in every directory
        `/srv/{a` is no usable glob (unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)): write \ before a wildcard that is meant as it stands
        `/etc/../x` goes up by ..: write the path as it is; a link on the way would lead elsewhere
        `hash = md5` is not understood: give blake3, sha256, sha512, or several joined by +
        unknown attribute `inod`: did you mean `inode`?
        `areaattributes = -inode size` mixes a list with exceptions: either name all that counts, or write - before all that does not
        `paranoia` is no level of logcheck: did you mean `paranoid`?
        `unit = ../x.service` is not understood: give a systemd unit such as nginx.service
        `pidct = pid:x` is not understood: give a container's name, id or number, pid:N, or 0 for the host
        `adopt = aide:/x` is not understood: give logcheck:/DIR or fcheck:/FILE
        `email` has no value: give a mail address or a local user
        "#);
    }

    #[test]
    fn odd_slashes_are_only_a_notice() {
        let (value, notice) = read(find("area").unwrap(), b"//etc/./x/").unwrap();
        assert_eq!(value, Value::Path(PathBuf::from("/etc/x")));
        assert_eq!(notice.unwrap().what, "`//etc/./x/` is read as `/etc/x`");
        assert_eq!(read(find("area").unwrap(), b"/").unwrap(), (Value::Path(PathBuf::from("/")), None));
    }

    #[test]
    fn paths_may_hold_any_bytes_and_texts_may_not() {
        let (value, _) = read(find("area").unwrap(), b"/srv/\xff").unwrap();
        assert_eq!(value, Value::Path(PathBuf::from(OsStr::from_bytes(b"/srv/\xff"))));
        let problem = read(find("hostname").unwrap(), b"\xff").unwrap_err();
        assert_eq!(problem.what, r"`hostname = \xff` is not UTF-8");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0..KEYS.len(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(read(&KEYS[at], &bytes));
        }
    }
}
