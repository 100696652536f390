//! What is kept when a configuration is shown or converted: its meaning.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::config::*;

fn memory(files: &[(&str, &str)]) -> Files {
    Files::Memory(
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect::<BTreeMap<_, _>>(),
    )
}

fn parse_text(text: &str) -> Result<Config, Faults> {
    parse(Path::new("c"), text.as_bytes(), &memory(&[]))
}

/// The settings alone: neither where they stood nor which of them were written down.
fn bare(config: Config) -> Config {
    Config { sources: Vec::new(), notices: Vec::new(), ..config }
}

fn shown(text: &[u8]) -> Result<(Config, Vec<u8>), Faults> {
    let whole = read_whole(Path::new("c"), text, &memory(&[]))?;
    let text = show(&effective(&whole.sheet, &whole.config, whole.gathered.form));
    Ok((whole.config, text))
}

/// Shows `text` and reads what was shown: the same settings, and shown again the same values.
fn survives_showing(text: &[u8]) -> Result<(), String> {
    let (config, once) = shown(text).map_err(|faults| faults.to_string())?;
    let readable = String::from_utf8_lossy(&once).into_owned();
    let (again, twice) = shown(&once).map_err(|faults| format!("{faults}\n{readable}"))?;
    if bare(again) != bare(config) {
        return Err(format!("other settings:\n{readable}"));
    }
    let values = |text: &[u8]| -> Vec<String> {
        let lines = String::from_utf8_lossy(text).into_owned();
        lines.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
    };
    if values(&once) == values(&twice) { Ok(()) } else { Err(format!("shown again it differs:\n{readable}")) }
}

/// Converts `text` and reads the result: the same settings, also when that is shown.
fn survives_conversion(text: &str) -> Result<(), String> {
    let config = parse_text(text).map_err(|faults| faults.to_string())?;
    let converted = convert_text(Path::new("c"), text.as_bytes(), &memory(&[]));
    let converted = converted.map_err(|faults| faults.to_string())?.ok_or("it counts as TOML")?;
    let again = parse_text(&converted.text).map_err(|faults| format!("{faults}\n{}", converted.text))?;
    if bare(again) != bare(config) {
        return Err(format!("other settings:\n{}", converted.text));
    }
    survives_showing(converted.text.as_bytes())
}

const EXAMPLE_2012: &str = include_str!("../../../tests/fixtures/config/legacy-2012.conf");

#[test]
fn shown_and_converted_settings_are_the_same() {
    for text in [write::example::legacy(), EXAMPLE_2012.to_owned()] {
        survives_showing(text.as_bytes()).unwrap();
        survives_conversion(&text).unwrap();
    }
    survives_showing(write::example::toml().as_bytes()).unwrap();
    assert_eq!(convert_text(Path::new("c"), write::example::toml().as_bytes(), &memory(&[])), Ok(None));
}

#[test]
fn a_ceiling_that_may_not_be_set_is_shown_but_not_in_force() {
    let (_, text) = shown(b"area = /etc\nfilerate = 50000\n").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\n#maxfilerate = 2500000  # from filerate"), "{text}");
    survives_showing(b"area = /etc\nfilerate = 50000\nbyterate = 10G\n").unwrap();
}

#[test]
fn bytes_that_are_no_text_are_shown_as_they_are_and_not_converted() {
    survives_showing(b"area = /srv/\xff\nexclude = /srv/\xff/\xfe\n").unwrap();
    let faults = convert_text(Path::new("c"), b"area = /srv/\xff\n", &memory(&[])).unwrap_err();
    insta::assert_snapshot!(faults.to_string(), @"c:1: the value of `area` is not UTF-8: TOML can only hold text: keep the legacy form");
}

#[test]
fn what_could_forge_a_line_stays_a_value() {
    survives_showing("[[area]]\npath = \"/etc\"\nexclude = [\"/etc/a #b\", \"/etc/\\u0007\\n[[x]]\"]\n".as_bytes())
        .unwrap();
    let (_, text) = shown("[[area]]\npath = \"/etc/\\u202e\\n[[x]]\"\n".as_bytes()).unwrap();
    assert!(!String::from_utf8(text).unwrap().contains(['\u{202e}', '\u{7}']));
}

#[test]
fn includes_are_converted_into_one_file() {
    let files = memory(&[
        ("/c/a.conf", "# of a\narea = /a  # the a\nareahash = sha256\nlogrules = paranoid\n\n# alone\n"),
        ("/c/b.conf", "exclude = /a/x\nlog = /l\npidct = web\npidfile = /p\n"),
    ]);
    let main = b"# head\n\ninclude = /c/*.conf # more\narea = /m\n";
    let converted = convert_text(Path::new("/c/main"), main, &files).unwrap().unwrap();
    let again = parse_text(&converted.text).unwrap();
    assert_eq!(bare(again), bare(parse(Path::new("/c/main"), main, &files).unwrap()));
    insta::assert_snapshot!(format!("{}---\n{}", converted.text, converted.remarks.join("\n")), @r#"
    # head

    [[area]]
    path = "/m"

    [[area]]
    # of a
    path = "/a"  # the a
    exclude = ["/a/x"]
    hash = "sha256"

    [[logs]]
    files = ["/l"]

    [[process]]
    pidct = "web"
    pidfile = "/p"
    ---
    written into one file: /c/main and what it includes, /c/a.conf, /c/b.conf
    /c/main:3: the comment of an include line is left out
    /c/a.conf:4: `logrules = paranoid` is left out: it repeats another line or has no effect
    /c/a.conf:6: a comment that belongs to no line is left out
    "#);
}

/// Lines of a legacy configuration: each item once with one value, and what may stand several times with several.
fn legacy_line() -> impl Strategy<Value = String> {
    let once = prop::sample::select(vec![
        "email = root",
        "email = web@example.org",
        "database = /srv/db",
        "hostname = web3.example",
        "hash = sha256 + blake3",
        "noinode = /etc/x",
        "notime = /srv",
        "urgent = /srv/**/k?y",
        "adopt = fcheck:/etc/fcheck.cfg",
        "byterate = 300000/s",
        "smallfiles = 0",
        "filerate = 0.30",
        "speedup = 3",
        "maxfilerate = 77",
        "pressure = 10 %",
        "reporttime = 1.5h",
        "logreporttime = 2",
        "heartbeat = 1d",
        "attach = 50",
        "mail = smtp://joe%40x@mx:587?tls=required\nmailpasswordfile = /etc/p",
        "semantics = flat",
        "crackingignore = on",
        "pidchecktime = 007",
    ]);
    let local = prop::sample::select(vec![
        "area = /etc",
        "area = /srv/",
        "area = /srv/in",
        "areahash = sha512",
        "areaattributes = -inode,-ctime",
        "areaattributes = size perms",
        "areaattributes = +btime",
        "areamaxage = 7d",
        "areaemail = a@b",
        "areaemail = c@d",
        "arearecurse = no",
        "areaonchange = keep",
        "areafstypes = nfs4",
        "exclude = /etc/mtab",
        "exclude = /srv/*/cache",
        "exclude = /**/tmp",
        "exclude = /srv/in/a\"b\\\\c",
        "exclude = /usr/bin/[",
        "logrules = paranoid",
        "logrules = /r",
        "log = journal",
        "log = /l",
        "log = /m/*.log",
        "logtransient = /t",
        "olddir = /old",
        "pidct = web",
        "pidct = 0",
        "pidfile = /p",
        "pidfile = /q",
        "unit = x.service",
    ]);
    let comment = prop::sample::select(vec!["# a comment", "", "#", "#area = /x"]);
    let behind = prop::sample::select(vec!["", "  # behind", "\t#"]);
    prop_oneof![
        2 => (once, behind.clone()).prop_map(|(line, behind)| format!("{line}{behind}")),
        4 => (local, behind).prop_map(|(line, behind)| format!("{line}{behind}")),
        1 => comment.prop_map(str::to_owned),
    ]
}

#[test]
fn a_container_ends_where_it_ended() {
    survives_showing(b"pidct = web\npidfile = /p\npidct = 0\nunit = x.service\npidfile = /q\n").unwrap();
    survives_conversion("pidct = web\npidfile = /p\npidct = 0\nunit = x.service\npidfile = /q\n").unwrap();
}

proptest! {
    #[test]
    fn any_legacy_configuration_keeps_its_meaning(lines in proptest::collection::vec(legacy_line(), 0..25)) {
        let text = lines.iter().fold("area = /etc\n".to_owned(), |text, line| {
            let longer = format!("{text}{line}\n");
            // A line that contradicts those before is not taken.
            if parse_text(&longer).is_ok() { longer } else { text }
        });
        prop_assert_eq!(survives_showing(text.as_bytes()), Ok(()));
        prop_assert_eq!(survives_conversion(&text), Ok(()));
    }
}
