//! The room as a whole: files to settings, and all faults at once.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use crate::{
    config::{
        settings::config::{
            DEFAULT_MAX_DATABASE, FirstRound, LogGroup, MailWay, OnChange, Pooling, ProcessSource, ProcessWatch,
            RuleDirectory, RuleLevel, default_attributes,
        },
        *,
    },
    model::file::{
        attribute::{Attribute, AttributeSet},
        entry::{Algorithm, AlgorithmSet},
    },
};

fn memory(files: &[(&str, &str)]) -> Files {
    Files::Memory(
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect::<BTreeMap<_, _>>(),
    )
}

fn parse_text(text: &str) -> Result<Config, Faults> {
    parse(Path::new("/etc/integrityd.conf"), text.as_bytes(), &memory(&[]))
}

fn config(text: &str) -> Config {
    parse_text(text).unwrap()
}

fn faults(text: &str) -> String {
    parse_text(text).unwrap_err().to_string()
}

fn notices(text: &str) -> String {
    config(text).notices.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn covered(config: &Config, area: usize, path: &str) -> bool {
    config.areas[area].excludes.covering_prefix(path.as_bytes()).is_some()
}

#[test]
fn the_most_that_events_may_take_is_known_to_the_code_as_it_stands_in_the_table() {
    assert_eq!(config("area = /etc\n").report.max_database, Some(DEFAULT_MAX_DATABASE));
}

#[test]
fn the_example_of_2012_is_accepted_as_it_stands() {
    let config = config(include_str!("../../../tests/fixtures/config/legacy-2012.conf"));
    assert_eq!(config.recipients, ["someone@somewhere.tld"]);
    assert_eq!(config.database, Path::new("/path/to/the/database"));
    assert_eq!(config.areas.len(), 1);
    assert_eq!(config.areas[0].path, Path::new("/etc"));
    assert!(covered(&config, 0, "/etc/mtab"));
    assert!(covered(&config, 0, "/etc/lvm/archive/x"));
    assert!(!covered(&config, 0, "/etc/lvm/backup"));
    assert_eq!(
        config.logs,
        [LogGroup {
            rules: vec![RuleDirectory { level: RuleLevel::Paranoid, path: PathBuf::from("/etc/logcheck") }],
            files: vec![PathBuf::from("/var/log/syslog"), PathBuf::from("/var/log/auth.log")],
            transient: Vec::new(),
            journal: false,
            old_directories: Vec::new(),
        }]
    );
    let watch = |path: &str, container: Option<&str>| ProcessWatch {
        source: ProcessSource::PidFile(PathBuf::from(path)),
        container: container.map(str::to_owned),
    };
    assert_eq!(
        config.processes,
        [
            watch("/var/run/apache2.pid", None),
            watch("/var/spool/postfix/pid/master.pid", None),
            watch("/var/lib/vz/private/102/var/run/apache2.pid", Some("102")),
        ]
    );
    let times = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(15) };
    assert_eq!((config.report.files, config.report.logs), (times, times));
    assert_eq!((config.rates.bytes, config.rates.files, config.rates.small_file), (262_144.0, 1.0, 131_072));
    assert_eq!(config.logcheck.rule_update, Duration::from_mins(4));
    assert_eq!(config.notices, []);
}

#[test]
fn a_first_round_is_fast_unless_rates_are_given() {
    let first = |lines: &str| config(&format!("area = /etc\n{lines}")).rates.first_round;
    let fast = |looks, bytes| FirstRound::Fast { looks, bytes };
    let most = 150.0 * 1024.0 * 1024.0;
    for lines in ["", "speedup = 7\n", "firstround = auto\n", "firstround = fast\nfilerate = 2\nbyterate = 1M\n"] {
        assert_eq!(first(lines), fast(3000.0, most), "{lines}");
    }
    for lines in ["filerate = 1\n", "byterate = 256k\n", "firstround = paced\n", "firstround = auto\nfilerate = 1\n"] {
        assert_eq!(first(lines), FirstRound::Paced, "{lines}");
    }
    assert_eq!(first("maxfilerate = 77\nmaxbyterate = 1M\n"), fast(77.0, 1024.0 * 1024.0));
}

#[test]
fn the_toml_example_is_accepted_as_it_stands() {
    let config = config(
        r#"email = ["root@localhost"]
[rates]
filerate = 2
[[area]]
path = "/etc"
exclude = ["/etc/mtab", "/etc/lvm/*"]
hash = "blake3+sha256"
maxage = "1d"
attributes = { without = ["inode"] }
email = ["webteam@example.org"]
[[logs]]
rules = ["paranoid:/etc/logcheck", "/etc/integrityd/rules.d"]
files = ["/var/log/syslog", "/var/log/auth.log"]
journal = true
[[process]]
pidfile = "/run/apache2.pid"
"#,
    );
    assert_eq!((config.rates.files, config.rates.max_files), (2.0, 100.0));
    let area = &config.areas[0];
    assert_eq!(area.algorithms, AlgorithmSet::NONE.with(Algorithm::Blake3).with(Algorithm::Sha256));
    assert_eq!(area.attributes, default_attributes().without(Attribute::Inode));
    assert_eq!(area.max_age, Some(Duration::from_hours(24)));
    assert_eq!(area.recipients, ["webteam@example.org"]);
    assert!(covered(&config, 0, "/etc/lvm/archive/x") && !covered(&config, 0, "/etc/lvm"));
    assert_eq!(config.logs[0].rules.len(), 2);
    assert_eq!(config.logs[0].rules[1].level, RuleLevel::Server);
    assert!(config.logs[0].journal);
    assert_eq!(config.processes.len(), 1);
}

#[test]
fn four_mistakes_are_four_faults_at_once() {
    insta::assert_snapshot!(
        faults("aera = /etc\nreporttime = 31d\n\ndatabase = integrityd.sqlite\nmail = smtp://host:99999\n"), @r#"
        /etc/integrityd.conf:1: unknown item `aera`: did you mean `area`?
        /etc/integrityd.conf:2: `reporttime = 31d` is out of range: 0s to 30d is allowed
        /etc/integrityd.conf:4: `integrityd.sqlite` is no absolute path: start it with a /
        /etc/integrityd.conf:5: `99999` is no port: 1 to 65535
        "#);
    insta::assert_snapshot!(
        faults("databas = \"/x\"\n[report]\nreporttime = \"31d\"\n[[area]]\npath = \"etc\"\n[mail]\nurl = \"smtp://host:99999\"\n"), @r#"
        /etc/integrityd.conf:1: unknown item `databas`: did you mean `database`?
        /etc/integrityd.conf:3: `reporttime = 31d` is out of range: 0s to 30d is allowed
        /etc/integrityd.conf:5: `etc` is no absolute path: start it with a /
        /etc/integrityd.conf:7: `99999` is no port: 1 to 65535
        "#);
}

#[test]
fn faults_of_several_values_are_told_too() {
    insta::assert_snapshot!(faults(
        "areahash = sha256\narea = /etc\nexclude = /etc\nareahash = blake3\nareahash = sha256\nfilerate = 1\nfilerate = 2\n\
         maxfilerate = 0.5\nsmallfiles = 16M\nbigfiles = 1M\nmailpasswordfile = /x\nemail = a b@c\n"), @r#"
        /etc/integrityd.conf:1: `areahash` belongs to no area: write it after the area line it is meant for
        /etc/integrityd.conf:3: `/etc` is both an area and excluded: take one of the lines away
        /etc/integrityd.conf:5: `areahash` contradicts line 4: take one of them away
        /etc/integrityd.conf:7: `filerate = 2` contradicts line 6: take one of them away
        /etc/integrityd.conf:8: `maxfilerate` is below `filerate`: filerate is 1; raise maxfilerate
        /etc/integrityd.conf:10: `bigfiles` is below `smallfiles`: smallfiles is 16M; raise bigfiles
        /etc/integrityd.conf:11: `mailpasswordfile` without a user: write the user into mail: smtp://user@host
        /etc/integrityd.conf:12: `a b@c` is no mail address: give one address in each line, or a list in TOML, without a name
        "#);
    insta::assert_snapshot!(faults("area = /etc\nmail = smtp://joe@mx\n"), @r#"/etc/integrityd.conf:2: a user of the mail server, but no password: name its file in mailpasswordfile"#);
    insta::assert_snapshot!(faults("# nothing\n"), @r#"/etc/integrityd.conf: nothing to do: name an area, a log, a pidfile or a unit, such as area = /etc"#);
    insta::assert_snapshot!(faults("[[area]]\nhash = \"md5\"\n[[process]]\npidct = \"web\"\nunit = \"x.service\"\n"), @r#"
        /etc/integrityd.conf:1: `path` has no value: give an absolute path
        /etc/integrityd.conf:2: `hash = md5` is not understood: give blake3, sha256, sha512, or several joined by +
        "#);
}

#[test]
fn what_is_odd_is_a_notice_and_changes_nothing() {
    insta::assert_snapshot!(notices(
        "area = /etc/\narea = /etc\nareahash = sha256\nexclude = /etc/mtab\nexclude = /etc/mtab\nfilerate = 2\nfilerate = 2.0\n\
         email = root\nemail = root\nlogrules = server\npidct = 7\n"), @r#"
        /etc/integrityd.conf:1: `/etc/` is read as `/etc`: slashes need not be repeated or trail
        /etc/integrityd.conf:2: this area was given already, in line 1 of /etc/integrityd.conf: one line is enough; what follows it belongs to the same area
        /etc/integrityd.conf:5: exclude `/etc/mtab` is repeated: one line is enough
        /etc/integrityd.conf:7: `filerate` repeats line 6: one of them is enough
        /etc/integrityd.conf:10: a group without a log: write a log line after the rules it is to be read by
        /etc/integrityd.conf:11: `pidct = 7` has no effect: write the pidfile lines it is meant for after it
        "#);
    assert_eq!(config("area = /etc/\narea = /etc\nareahash = sha256\n").areas.len(), 1);
    insta::assert_snapshot!(notices("[[area]]\npath = \"/etc\"\nexclude = [\"/srv/x\"]\n"), @r#"/etc/integrityd.conf:3: exclude `/srv/x` has no effect in area `/etc`: nothing of this area is called so"#);
}

#[test]
fn lines_of_an_area_belong_to_the_one_before_and_excludes_to_all() {
    let config = config(
        "hash = sha512\nnoinode = /etc/x\narea = /etc\narea = /srv\nareahash = sha256\nareaattributes = size perms\n\
         areaonchange = keep\narearecurse = no\nareaemail = web\narea = /srv/in\nexclude = /srv/cache\nexclude = /**/tmp\n",
    );
    let [etc, srv, inner] = config.areas.as_slice() else { panic!("{:?}", config.areas) };
    assert_eq!(etc.algorithms, AlgorithmSet::NONE.with(Algorithm::Sha512));
    assert_eq!(etc.without_inode, [Path::new("/etc/x")]);
    assert!(etc.recurse && etc.recipients.is_empty());
    assert_eq!(srv.attributes, AttributeSet::of(&[Attribute::Size, Attribute::Perms]));
    assert!(srv.algorithms.is_empty(), "content is not compared, so it is not read");
    assert_eq!((srv.on_change, srv.recurse), (OnChange::Keep, false));
    assert_eq!(srv.recipients, ["web"]);
    assert_eq!(inner.on_change, OnChange::Accept);
    assert_eq!(etc.excludes.patterns().count(), 1);
    assert_eq!(srv.excludes.patterns().count(), 2);
}

#[test]
fn rules_without_a_log_between_them_are_one_group() {
    let groups = config(
        "log = journal\nlogrules = paranoid\nlogrules = /r\nlog = /a\nlogtransient = /b/*.log\nlogrules = /s\nolddir = /old\nlog = /c\n",
    )
    .logs;
    let rules: Vec<usize> = groups.iter().map(|group| group.rules.len()).collect();
    assert_eq!(rules, [1, 2, 1]);
    assert_eq!(groups[0].rules[0].path, Path::new("/etc/logcheck"));
    assert!(groups[0].journal);
    assert_eq!(groups[1].transient, [Path::new("/b/*.log")]);
    assert_eq!(groups[2].old_directories, [Path::new("/old")]);
    assert_eq!(groups[2].files, [Path::new("/c")]);
}

#[test]
fn a_container_holds_for_the_pidfiles_until_the_next_one() {
    let processes = config("pidct = web\npidfile = /a\nunit = x.service\npidct = 0\npidfile = /b\n").processes;
    let containers: Vec<_> = processes.iter().map(|watch| watch.container.as_deref()).collect();
    assert_eq!(containers, [Some("web"), None, None]);
}

#[test]
fn what_cannot_be_read_comes_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let missing = load(&directory.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("none: cannot be read: make one"), "{missing}");
    let wrong = load(directory.path()).unwrap_err();
    assert!(wrong.to_string().contains("it is a directory"), "{wrong}");
}

#[test]
fn an_embedded_configuration_has_every_default() {
    let embedded = Config::embedded(vec![Area::new(PathBuf::from("/etc"))], PathBuf::from("/tmp/db"));
    let mut written = config("area = /etc\ndatabase = /tmp/db\n");
    written.notices.clear();
    written.sources.clear();
    assert_eq!(embedded, written);
    assert_eq!(embedded.mail.way, MailWay::Auto);
    assert_eq!(embedded.report.lines, 1000);
    assert_eq!(embedded.report.retention, Duration::from_hours(400 * 24));
    assert!(embedded.urgent.matches(b"/etc/shadow"));
}

#[test]
fn paths_that_are_no_text_reach_the_settings() {
    let read = parse(Path::new("c"), b"area = /srv/\xff\nexclude = /srv/\xff/\xfe\n", &memory(&[])).unwrap();
    assert_eq!(read.areas[0].excludes.covering_prefix(b"/srv/\xff/\xfe/x"), Some(8));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_every_fault_is_printable(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(faults) = parse(Path::new("/\u{1b}c"), &text, &memory(&[])) {
            prop_assert!(!faults.0.is_empty());
            for fault in faults.0 {
                let shown = fault.to_string();
                prop_assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown:?}");
            }
        }
    }

    #[test]
    fn no_sequence_of_items_panics(
        lines in proptest::collection::vec((0..schema::keys::KEYS.len(), "[/a-z0-9:\\x1b\u{202e} .*\\[{@-]{0,10}"), 0..12)
    ) {
        let text: Vec<String> = lines.iter().map(|(at, value)| format!("{} = {value}", schema::keys::KEYS[*at].name)).collect();
        let text = text.join("\n");
        if let Err(faults) = parse_text(&text) {
            let shown = faults.to_string();
            prop_assert!(shown.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{shown:?}");
        }
    }
}

#[test]
fn a_setting_that_has_gone_is_accepted_with_a_notice_in_both_forms() {
    insta::assert_snapshot!(notices("area = /etc\nmaxpart = 50k\nhtml = yes\nunusedrules = 90d\n"), @r"
    /etc/integrityd.conf:2: `maxpart` is no longer used: take it out: a mail of more than 1M, or than the server takes, is shortened
    /etc/integrityd.conf:3: `html` is no longer used: take it out: mails are text
    /etc/integrityd.conf:4: `unusedrules` is no longer used: take it out: `integrityd rules unused` prints them
    ");
    insta::assert_snapshot!(notices("[mail]\nmaxpart = \"50k\"\n[report]\nhtml = true\n[[area]]\npath = \"/etc\"\n"), @r"
    /etc/integrityd.conf:2: `maxpart` is no longer used: take it out: a mail of more than 1M, or than the server takes, is shortened
    /etc/integrityd.conf:4: `html` is no longer used: take it out: mails are text
    ");
}
