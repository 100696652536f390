//! Logs through the whole daemon: real files, a real store, and mails that are looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, LogGroup, Pooling, RuleDirectory, RuleLevel},
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        event::{Category, Event, Kind, Severity},
    },
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
};
use tokio::time::{Instant, sleep};

use crate::{
    journeys::Journey,
    support::{
        PATIENCE, PROGRAM, Scratch,
        sink::{Mode, Sink},
        wait_for,
    },
};

/// A journey with rules and one log.
struct Reading {
    journey: Journey,
}

const RULES: [(&str, &str); 5] = [
    ("rules/cracking.d/all", "break-in\n"),
    ("rules/violations.d/all", "refused\n"),
    ("rules/violations.ignore.d/all", "refused, as always$\n"),
    ("rules/ignore.d.server/all", r"^.{15} h cron\[[0-9]+\]:"),
    ("rules/ignore.d.workstation/all", r"^.{15} h desktop:"),
];

impl Reading {
    fn new() -> Self {
        let reading = Self { journey: Journey::new() };
        for (path, text) in RULES {
            reading.put(path, text);
        }
        reading.put("logs/app.log", "Nov 21 14:00:00 h app: from before\n");
        reading
    }

    fn path(&self, name: &str) -> PathBuf {
        self.journey.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn append(&self, name: &str, text: &[u8]) {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(text).unwrap();
    }

    fn group(&self, level: RuleLevel, files: &[&str]) -> LogGroup {
        LogGroup {
            rules: vec![RuleDirectory { level, path: self.path("rules") }],
            files: files.iter().map(|name| self.path(name)).collect(),
            transient: Vec::new(),
            journal: false,
            old_directories: Vec::new(),
        }
    }

    fn config(&self, files: &[&str]) -> Config {
        let pooling = Pooling { report_time: Duration::from_secs(2), hold_off: Duration::from_secs(5) };
        let mut config = Config { areas: Vec::new(), ..self.journey.config() };
        config.logs = vec![self.group(RuleLevel::Server, files)];
        (config.report.files, config.report.logs) = (pooling, pooling);
        config
    }
}

/// Every stored event about logs, with the words of its source's last component, its category and its note.
async fn told(db: &Db) -> Vec<(String, String, String)> {
    let show = |event: &Event| {
        let name = Path::new(std::str::from_utf8(&event.source).unwrap()).file_name().unwrap();
        (
            name.to_str().unwrap().to_owned(),
            event.category.word().to_owned(),
            String::from_utf8_lossy(&event.note).into_owned(),
        )
    };
    events(db).await.iter().map(show).collect()
}

async fn events(db: &Db) -> Vec<Event> {
    let filter = Filter { kind: Some(Kind::Log), limit: 10_000, ..Filter::default() };
    db.call(move |store| store.history(&filter).unwrap()).await.into_iter().map(|stored| stored.event).collect()
}

/// The lines among them.
async fn lines(db: &Db) -> Vec<(String, String)> {
    let is_line = |word: &str| ["security alert", "security event", "system event"].contains(&word);
    told(db).await.into_iter().filter(|(_, word, _)| is_line(word)).map(|(_, word, note)| (word, note)).collect()
}

fn pair(word: &str, line: &str) -> (String, String) {
    (word.to_owned(), line.to_owned())
}

#[tokio::test(start_paused = true)]
async fn new_lines_are_judged_layer_by_layer_and_mailed_by_the_times_of_logs() {
    let reading = Reading::new();
    let mut config = reading.config(&["logs/app.log"]);
    config.report.logs = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(15) };
    let daemon = reading.journey.start(config);
    sleep(Duration::from_mins(20)).await;
    let before = reading.journey.mails().len();
    reading.append("logs/app.log", b"Nov 21 14:02:11 h cron[1]: nothing\nNov 21 14:02:12 h app: strange  \n\n");
    let begun = Instant::now();
    while reading.journey.mails().len() == before {
        sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_mins(2));
    }
    assert!(begun.elapsed() > Duration::from_secs(29), "the line waits for others: {:?}", begun.elapsed());
    let mail = reading.journey.mails().pop().unwrap();
    assert!(mail.contains("app: strange") && !mail.contains("cron[1]") && !mail.contains("from before"), "{mail}");
    // A violation does not wait out the hold-off of 15 minutes, only that of urgent reports.
    reading.append(
        "logs/app.log",
        b"Nov 21 14:02:13 h app: refused\nNov 21 14:02:14 h app: refused, as always\nNov 21 14:02:15 h cron[1]: a break-in was refused\n",
    );
    let begun = Instant::now();
    while reading.journey.mails().len() == before + 1 {
        sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(100));
    }
    let expected = [
        pair("system event", "Nov 21 14:02:12 h app: strange"),
        pair("security event", "Nov 21 14:02:13 h app: refused"),
        pair("security alert", "Nov 21 14:02:15 h cron[1]: a break-in was refused"),
    ];
    assert_eq!(lines(&daemon.db).await, expected);
    let alert = events(&daemon.db).await.into_iter().find(|event| event.category == Category::Cracking).unwrap();
    let rule = format!("{}:1", reading.path("rules/cracking.d/all").display());
    assert_eq!((alert.severity, alert.line.unwrap().rule), (Severity::Critical, rule.into_bytes()));
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_and_a_rotation_meanwhile_lose_and_repeat_nothing() {
    let reading = Reading::new();
    let config = reading.config(&["logs/*.log"]);
    let daemon = reading.journey.start(config.clone());
    sleep(Duration::from_mins(1)).await;
    reading.append("logs/app.log", b"Nov 21 14:02:11 h app: one\nNov 21 14:02:12 h app: ha");
    sleep(Duration::from_mins(1)).await;
    daemon.stop().await;
    reading.append("logs/app.log", b"lf\nNov 21 14:02:13 h app: three\n");
    fs::rename(reading.path("logs/app.log"), reading.path("logs/app.log.1")).unwrap();
    reading.append("logs/app.log", b"Nov 21 14:02:14 h app: four\n");
    // Born while nobody looked.
    reading.append("logs/new.log", b"Nov 21 14:02:15 h new: five\n");
    let daemon = reading.journey.start(config);
    sleep(Duration::from_mins(1)).await;
    reading.append("logs/app.log", b"Nov 21 14:02:16 h app: six\n");
    sleep(Duration::from_mins(1)).await;
    let mut found: Vec<String> = lines(&daemon.db).await.into_iter().map(|(_, line)| line).collect();
    found.sort();
    let words: Vec<&str> = found.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(words, ["one", "half", "three", "four", "five", "six"]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_of_a_glob_that_is_gone_for_good_is_closed_and_forgotten() {
    let reading = Reading::new();
    reading.put("logs/1120.log", "Nov 20 14:00:00 h app: from before\n");
    let daemon = reading.journey.start(reading.config(&["logs/*.log"]));
    sleep(Duration::from_mins(1)).await;
    reading.append("logs/1120.log", b"Nov 20 14:02:11 h app: one\nNov 20 14:02:12 h app: two");
    sleep(Duration::from_mins(1)).await;
    fs::remove_file(reading.path("logs/1120.log")).unwrap();
    let is_open = || {
        let gone = format!("{} (deleted)", reading.path("logs/1120.log").display());
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.into_iter().any(|link| link.as_os_str() == gone.as_str())
    };
    sleep(Duration::from_mins(2)).await;
    assert!(is_open());
    sleep(Duration::from_mins(10)).await;
    assert!(!is_open());
    let names = daemon.db.call(|store| store.log_names().unwrap()).await;
    assert_eq!(names.len(), 1, "{names:?}");
    // Another one with its name.
    reading.append("logs/1120.log", b"Nov 21 14:02:13 h app: three\n");
    sleep(Duration::from_mins(1)).await;
    let found: Vec<String> = lines(&daemon.db).await.into_iter().map(|(_, line)| line).collect();
    let words: Vec<&str> = found.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(words, ["one", "two", "three"]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_in_each_layer_is_off_alone_and_told_once() {
    let reading = Reading::new();
    for layer in ["cracking.d", "violations.d", "violations.ignore.d", "ignore.d.server"] {
        reading.append(&format!("rules/{layer}/all"), b"\nbad(\n");
    }
    let config = reading.config(&["logs/app.log"]);
    for start in 0..3 {
        let daemon = reading.journey.start(config.clone());
        sleep(Duration::from_mins(1)).await;
        let stamp = format!("Nov 21 14:02:1{start} h");
        let text = ["app: break-in", "app: refused", "app: refused, as always", "cron[1]: x", "app: else"];
        let text: String = text.iter().map(|text| format!("{stamp} {text}\n")).collect();
        reading.append("logs/app.log", text.as_bytes());
        sleep(Duration::from_mins(1)).await;
        let found: Vec<String> = lines(&daemon.db).await.into_iter().skip(3 * start).map(|(word, _)| word).collect();
        assert_eq!(found, ["security alert", "security event", "system event"], "start {start}");
        daemon.stop().await;
    }
    let daemon = reading.journey.start(config);
    sleep(Duration::from_mins(1)).await;
    let rules: Vec<String> =
        told(&daemon.db).await.into_iter().filter(|told| told.1 == "rules").map(|told| told.2).collect();
    assert_eq!(rules.len(), 1, "{rules:?}");
    let off: Vec<&str> = rules[0].lines().filter(|line| line.starts_with("off: ")).collect();
    assert_eq!(off.len(), 4, "{off:?}");
    assert!(off.iter().all(|line| line.contains("/all:") && line.contains("unmatched (")), "{off:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn changed_rules_count_within_logruleupdate_and_are_told_once() {
    let reading = Reading::new();
    let config = reading.config(&["logs/app.log"]);
    let daemon = reading.journey.start(config);
    sleep(Duration::from_mins(1)).await;
    reading.put("rules/ignore.d.server/mine", "^.{15} h app:\n");
    sleep(Duration::from_mins(6)).await;
    reading.append("logs/app.log", b"Nov 21 14:02:11 h app: hidden now\nNov 21 14:02:11 h other: not hidden\n");
    sleep(Duration::from_mins(6)).await;
    assert_eq!(lines(&daemon.db).await, [pair("system event", "Nov 21 14:02:11 h other: not hidden")]);
    let rules: Vec<String> =
        told(&daemon.db).await.into_iter().filter(|told| told.1 == "rules").map(|told| told.2).collect();
    assert!(rules.len() == 1 && rules[0].contains("ignore.d.server/mine: 1 added"), "{rules:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_level_for_the_same_log_keeps_the_place() {
    let reading = Reading::new();
    let mut config = reading.config(&["logs/app.log"]);
    let daemon = reading.journey.start(config.clone());
    sleep(Duration::from_mins(1)).await;
    daemon.stop().await;
    reading.append("logs/app.log", b"Nov 21 14:02:11 h desktop: hello\nNov 21 14:02:12 h app: while down\n");
    config.logs = vec![reading.group(RuleLevel::Workstation, &["logs/app.log"])];
    let daemon = reading.journey.start(config);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(lines(&daemon.db).await, [pair("system event", "Nov 21 14:02:12 h app: while down")]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_an_installed_logcheck_is_taken_over() {
    use std::os::unix::fs::MetadataExt as _;
    let reading = Reading::new();
    let log = reading.path("logs/app.log");
    let begin = fs::metadata(&log).unwrap();
    reading.append("logs/app.log", b"Nov 21 14:02:11 h app: not seen by logcheck\n");
    let name = format!("offset{}", log.display()).replace('/', ".");
    reading.put(&format!("lib/{name}"), &format!("{}\n{}\n", begin.ino(), begin.len()));
    let mut config = reading.config(&["logs/app.log"]);
    config.adopt = vec![format!("logcheck:{}", reading.path("lib").display())];
    for _ in 0..2 {
        let daemon = reading.journey.start(config.clone());
        sleep(Duration::from_mins(1)).await;
        assert_eq!(lines(&daemon.db).await, [pair("system event", "Nov 21 14:02:11 h app: not seen by logcheck")]);
        daemon.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_log_blocks_nobody_and_is_told_once() {
    let reading = Reading::new();
    let at = |name: &str| reading.path(&format!("logs/{name}"));
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::create_dir(at("directory")).unwrap();
    reading.put("logs/closed", "secret\n");
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    symlink("/dev/zero", at("zero")).unwrap();
    let names = ["logs/fifo", "logs/directory", "logs/missing", "logs/zero", "logs/app.log", "logs/hostile"];
    reading.put("logs/hostile", "begin\n");
    let daemon = reading.journey.start(reading.config(&names));
    sleep(Duration::from_mins(1)).await;
    let line = [vec![b'x'; 5 << 20], b"\nNov 21 14:02:11 h app: \0 \xff\xfe \x1b[2J\nlast\n".to_vec()].concat();
    reading.append("logs/hostile", &line);
    sleep(Duration::from_mins(30)).await;
    let all = told(&daemon.db).await;
    for (name, words) in [
        ("fifo", "is no regular file but a fifo"),
        ("directory", "is no regular file but a directory"),
        ("missing", "is missing"),
        ("zero", "is no regular file"),
    ] {
        let of: Vec<_> = all.iter().filter(|told| told.0 == name).collect();
        assert!(of.len() == 1 && of[0].1 == "log trouble" && of[0].2.starts_with(words), "{name}: {of:?}");
    }
    let hostile = events(&daemon.db).await.into_iter().filter(|event| event.line.is_some()).collect::<Vec<_>>();
    let lengths: Vec<(usize, u64)> =
        hostile.iter().map(|event| (event.note.len(), event.line.as_ref().unwrap().length)).collect();
    assert_eq!(lengths, [(64 << 10, 5 << 20), (32, 32), (4, 4)]);
    assert!(!reading.journey.mails().concat().contains('\x1b'));
    // What was missing is there; it is read from its beginning.
    File::create(at("missing")).unwrap().write_all(b"Nov 21 14:02:11 h app: back\n").unwrap();
    sleep(Duration::from_mins(1)).await;
    let of: Vec<_> = told(&daemon.db).await.into_iter().filter(|told| told.0 == "missing").map(|told| told.1).collect();
    assert_eq!(of, ["log trouble", "log back", "system event"]);
    daemon.stop().await;
}

/// The rules that ship for our own lines, and no others.
pub(crate) fn own_rules() -> integrityd::logs::rules::classifier::Classifier {
    use integrityd::logs::{
        pattern::ast::Locale,
        rules::{
            classifier::Classifier,
            layers::Semantics,
            reload::OWN,
            rule_set::{Layer, RuleOptions, RuleSet},
        },
    };
    let reading = RuleOptions { locale: Locale::Utf8, allows_broad: false, is_flat: true };
    let mut set = RuleSet::read(&[], reading);
    set.add_text(Path::new("own"), Layer::Ignore, OWN.as_bytes());
    assert_eq!(set.faults, []);
    Classifier::new(set, Semantics { has_layers: true, has_cracking_ignore: false }, true)
}

#[test]
fn every_message_of_ours_is_known_by_the_rules_that_ship() {
    let mut rules = own_rules();
    let mut messages = 0;
    for entry in walkdir::WalkDir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let code = fs::read_to_string(entry.path()).unwrap();
        for word in ["info!(", "warn!(", "error!("] {
            for call in code.split(&format!("tracing::{word}")).skip(1) {
                let call = &call[..call.find(");").unwrap()];
                let text = call.split('"').skip(1).step_by(2).max_by_key(|text| text.len()).unwrap();
                // The words before what differs from call to call; a fault of the configuration is all of that kind.
                let fixed = text.split('{').next().unwrap();
                if fixed.is_empty() {
                    continue;
                }
                let text = match fixed {
                    "report " => "report 12: 2 security alerts (Security Alerts), 1,214 log lines (System Events)",
                    _ => fixed.trim_end_matches("\\n"),
                };
                let end = if fixed == text { " error=no (os error 2)" } else { "" };
                for stamp in ["Nov 21 14:02:11", "2026-11-21T14:02:11.123456+01:00", "2026-11-21T14:02:11Z"] {
                    let line =
                        format!("{stamp} web-3.example integrityd[812]: 2026-11-21T14:02:11.328319Z  WARN {text}{end}");
                    assert!(rules.marks(line.as_bytes()).ignored.is_some(), "{}: {line}", entry.path().display());
                    let other = line.replace("integrityd[812]", "other[812]");
                    assert!(rules.marks(other.as_bytes()).ignored.is_none(), "{other}");
                }
                messages += 1;
            }
        }
    }
    assert!(messages > 15, "{messages} messages were found");
}

/// Runs the daemon with its own standard error as syslog would write it into a log that it reads.
#[test]
fn what_the_daemon_says_itself_never_becomes_news() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    // As syslog does it that also writes daemon.log.
    let (log, copy) = (scratch.path("syslog"), scratch.path("daemon.log"));
    for log in [&log, &copy] {
        File::create(log).unwrap();
    }
    let rules = scratch.path("rules");
    for (layer, text) in [("violations.d", "report|configuration|integrityd"), ("cracking.d", "^never$")] {
        fs::create_dir_all(rules.join(layer)).unwrap();
        fs::write(rules.join(layer).join("all"), format!("{text}\n")).unwrap();
    }
    scratch.configure(&format!(
        "logrules = {}\nlog = {}\nlog = {}\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 1\nurgentholdoff = 1\nretrybase = 100ms\n{}",
        rules.display(),
        log.display(),
        copy.display(),
        sink.setting()
    ));
    // Every refusal is a line of ours that a rule of violations.d knows.
    sink.behave(Mode::Busy);
    let mut child = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let writer = std::thread::spawn({
        let (stderr, logs) = (child.stderr.take().unwrap(), [log.clone(), copy]);
        move || {
            let mut lines = 0;
            for line in BufReader::new(stderr).lines() {
                let line = format!("Nov 21 14:02:11 web3 integrityd[{pid}]: {}\n", line.unwrap());
                for log in &logs {
                    OpenOptions::new().append(true).open(log).unwrap().write_all(line.as_bytes()).unwrap();
                }
                lines += 1;
            }
            lines
        }
    });
    std::thread::sleep(Duration::from_secs(3));
    let foreign = [
        format!("Nov 21 14:02:11 web3 integrityd[{pid}]: a report that nobody has made\n"),
        "Nov 21 14:02:12 web3 other[1]: something else\n".to_owned(),
    ];
    OpenOptions::new().append(true).open(&log).unwrap().write_all(foreign.concat().as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    sink.behave(Mode::Accept);
    let is_told = || sink.mails().iter().any(|mail| mail.text().contains("something else"));
    wait_for("the foreign line is mailed", is_told);
    std::thread::sleep(Duration::from_secs(3));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    let written = writer.join().unwrap();
    assert!(written > 3, "the daemon wrote {written} lines");
    let output = scratch.ask(&["history", "--kind", "log", "--json"]);
    let told: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|event| event["event"]["original"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(told, foreign.map(|line| line.trim_end().to_owned()));
}

#[test]
fn kill_9_while_tailing_loses_no_line_and_sends_none_under_two_names() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let log = scratch.path("app.log");
    File::create(&log).unwrap();
    let rules = scratch.path("rules");
    for layer in ["violations.d", "cracking.d"] {
        fs::create_dir_all(rules.join(layer)).unwrap();
    }
    let text = "logchecktime = 1\nreporttime = 0\nreportholdoff = 0\nretrybase = 100ms\n";
    scratch.configure(&format!("logrules = {}\nlog = {}\n{text}{}", rules.display(), log.display(), sink.setting()));
    let daemon = scratch.start();
    wait_for("the log is begun", || {
        String::from_utf8(scratch.ask(&["history", "--kind", "log"]).stdout).unwrap().contains("beginning on")
    });
    daemon.kill();
    let must_stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (must_stop, log) = (Arc::clone(&must_stop), log.clone());
        move || {
            let (mut number, mut rotated) = (0, 0);
            let mut file = OpenOptions::new().append(true).open(&log).unwrap();
            while !must_stop.load(Ordering::SeqCst) {
                // Half a line first: it waits.
                write!(file, "Nov 21 14:02:11 h app: ").unwrap();
                std::thread::sleep(Duration::from_millis(1));
                writeln!(file, "token-{number:06}.").unwrap();
                number += 1;
                if number % 97 == 0 {
                    // None is ever deleted: what is gone before a busy machine has started a daemon is no loss of ours.
                    for kept in (1..=rotated).rev() {
                        let name = |number: u32| log.with_extension(format!("log.{number}"));
                        fs::rename(name(kept), name(kept + 1)).unwrap();
                    }
                    rotated += 1;
                    fs::rename(&log, log.with_extension("log.1")).unwrap();
                    file = OpenOptions::new().append(true).create_new(true).open(&log).unwrap();
                }
                std::thread::sleep(Duration::from_millis(4));
            }
            number
        }
    });
    let modes = [Mode::Accept, Mode::Hold(Duration::from_millis(150)), Mode::Forget, Mode::AcceptAndClose, Mode::Busy];
    for round in 0..20_u64 {
        sink.behave(modes[usize::try_from(round).unwrap() % modes.len()].clone());
        let daemon = scratch.start();
        // 0.3 s in the mean, and each time at another moment of its work.
        std::thread::sleep(Duration::from_millis(60 + 24 * (round * 7 % 20)));
        daemon.kill();
    }
    must_stop.store(true, Ordering::SeqCst);
    let written = writer.join().unwrap();
    sink.behave(Mode::Accept);
    let daemon = scratch.start();
    let told = || {
        let mut told: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for mail in sink.mails() {
            for piece in mail.text().split("token-").skip(1) {
                let number = piece.split('.').next().unwrap().parse().unwrap();
                told.entry(number).or_default().insert(mail.message_id());
            }
        }
        told
    };
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE && told().len() < written {
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(daemon.stop().success());
    let told = told();
    let lost: Vec<u32> = (0..u32::try_from(written).unwrap()).filter(|number| !told.contains_key(number)).collect();
    assert!(lost.is_empty(), "{} of {written} lost: {lost:?}", lost.len());
    let twice: Vec<_> = told.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "under two names: {twice:?}");
    assert!(written > 300, "only {written} lines were written");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_goes_to_other_rules_keeps_its_place_whoever_else_reads() {
    let mut reading = Reading::new();
    // Later than any file of this test is born, so that none is new to a group.
    reading.journey.clock = Clock::starting_at(Moment {
        wall: Timestamp::from_nanos(4_000_000_000_000_000_000),
        boottime: Boottime::from_nanos(1_000_000_000_000),
        boot: BootId([9; 16]),
    });
    let of = |level, files: &[&str]| reading.group(level, files);
    let (one, other) = (RuleLevel::Server, RuleLevel::Workstation);
    let (a, b, c) = ("logs/app.log", "logs/b.log", "logs/c.log");
    for name in [b, c] {
        reading.append(name, b"Nov 21 14:00:00 h x: from before\n");
    }
    let mut config = reading.config(&[]);
    // Each step is a change of the configuration while the daemon is down; a line is written to each log meanwhile.
    let steps = [
        vec![of(one, &[a, b]), of(other, &[c])],
        vec![of(one, &[a]), of(other, &[b, c])],
        vec![of(one, &[a, b]), of(other, &[a, b, c])],
    ];
    for (number, groups) in steps.into_iter().enumerate() {
        config.logs = groups;
        let daemon = reading.journey.start(config.clone());
        sleep(Duration::from_mins(2)).await;
        let found = lines(&daemon.db).await;
        assert!(found.iter().all(|(_, line)| !line.contains("from before")), "{found:?}");
        for past in 0..number {
            for name in [a, b, c] {
                let told = found.iter().filter(|(_, line)| line.ends_with(&format!("{name} {past}"))).count();
                assert!(told == 1, "{name} {past} was told {told} times before step {number}: {found:?}");
            }
        }
        daemon.stop().await;
        if number == 2 {
            // From now on two groups read a and b: each tells it.
            break;
        }
        for name in [a, b, c] {
            reading.append(name, format!("Nov 21 14:02:11 h x: {name} {number}\n").as_bytes());
        }
    }
    // Both readers of the same log get other rules at once, and both go on where they were.
    reading.append(a, b"Nov 21 14:02:11 h x: last\n");
    config.logs = vec![of(RuleLevel::Paranoid, &[a]), of(RuleLevel::Server, &[a, c])];
    let daemon = reading.journey.start(config.clone());
    sleep(Duration::from_mins(2)).await;
    let last = lines(&daemon.db).await.iter().filter(|(_, line)| line.ends_with("last")).count();
    assert_eq!(last, 2);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_file_that_a_glob_finds_is_read_from_its_beginning() {
    let reading = Reading::new();
    fs::create_dir(reading.path("empty")).unwrap();
    let daemon = reading.journey.start(reading.config(&["empty/*.log"]));
    sleep(Duration::from_mins(2)).await;
    reading.append("empty/new.log", b"Nov 21 14:02:11 h app: first\n");
    sleep(Duration::from_mins(2)).await;
    assert_eq!(lines(&daemon.db).await, [pair("system event", "Nov 21 14:02:11 h app: first")]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_cut_is_told_whatever_its_beginning_matches() {
    let reading = Reading::new();
    let daemon = reading.journey.start(reading.config(&["logs/app.log"]));
    sleep(Duration::from_mins(1)).await;
    let long = "x".repeat(70_000);
    reading.append("logs/app.log", format!("Nov 21 14:02:11 h cron[1]: {long} refused\n").as_bytes());
    reading.append("logs/app.log", b"Nov 21 14:02:11 h cron[1]: short\n");
    sleep(Duration::from_mins(1)).await;
    let found = lines(&daemon.db).await;
    assert_eq!((found.len(), found[0].0.as_str(), found[0].1.len()), (1, "system event", 64 << 10));
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hits_of_rules_are_counted_over_restarts() {
    let reading = Reading::new();
    let config = reading.config(&["logs/app.log"]);
    for _ in 0..2 {
        let daemon = reading.journey.start(config.clone());
        sleep(Duration::from_mins(1)).await;
        reading.append("logs/app.log", b"Nov 21 14:02:11 h cron[1]: x\nNov 21 14:02:11 h cron[1]: y\n");
        sleep(Duration::from_mins(1)).await;
        daemon.stop().await;
    }
    let store = Store::open_read_only(&config.database).unwrap();
    let hits: Vec<(String, u64)> = store
        .rule_hits()
        .unwrap()
        .into_iter()
        .filter(|count| count.hits > 0)
        .map(|count| (String::from_utf8(count.file).unwrap(), count.hits))
        .collect();
    assert_eq!(hits, [(reading.path("rules/ignore.d.server/all").display().to_string(), 4)]);
    assert_eq!(store.rule_hits().unwrap().len(), 4, "rules of a level that is not used are not counted");
}
