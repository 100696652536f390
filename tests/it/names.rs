//! File names as an attacker chooses them.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    Scratch, put,
    sink::{Mail, Sink},
    wait_for,
};

fn hostile_names() -> Vec<Vec<u8>> {
    vec![
        b"new\nline".to_vec(),
        b"esc\x1b]0;owned\x07\x1b[2J".to_vec(),
        b"raw\xff".to_vec(),
        b"literal\\xff".to_vec(),
        b"raw\x9b31m".to_vec(),
        "csi\u{9b}31m".into(),
        "bidi\u{202e}cod.exe".into(),
        b"tab\there".to_vec(),
        vec![b'n'; 255],
        b"-rf".to_vec(),
        b"%n%s".to_vec(),
        b"trailing ".to_vec(),
        b"trailing".to_vec(),
        b"columns  changed  size 1".to_vec(),
        "zero\u{200b}width".into(),
        b"\r\nBcc: victim@example.org".to_vec(),
        b"unit\x1fseparator".to_vec(),
        b"'; DROP TABLE entry; --".to_vec(),
        b"=?utf-8?q?hidden?=".to_vec(),
    ]
}

fn assert_harmless(what: &str, text: &str) {
    for character in text.chars() {
        let is_control = character.is_control() && character != '\n';
        let is_hidden = integrityd::model::escape::is_hidden(character) && character != '\n';
        assert!(!is_control && !is_hidden, "{what} holds {character:?}:\n{text}");
    }
}

/// The events that are attached to a mail.
fn attached(mail: &Mail) -> Option<String> {
    use std::io::Read as _;
    let bytes = mail.attached()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    Some(text)
}

/// D7: what is attached is read by another language's parser, line by line.
#[test]
fn d7_python_reads_every_line_that_is_attached() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("filerate = 2000\nreporttime = 0\nreportholdoff = 0\nattach = 0\n{}", sink.setting()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    for name in hostile_names() {
        put(&scratch.tree().join(OsStr::from_bytes(&name)), "x");
    }
    let all = || sink.mails().iter().filter_map(attached).collect::<String>();
    wait_for("all", || all().matches("\"added\"").count() >= hostile_names().len());
    assert!(daemon.stop().success());
    fs::write(scratch.path("events"), all()).unwrap();
    let program = "import json,sys\nfor line in open(sys.argv[1]): assert json.loads(line)['ecs']['version']";
    let run = Command::new("python3").args(["-c", program]).arg(scratch.path("events")).output();
    // A machine without python3 has nothing to say.
    if let Ok(output) = run {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// D4: what imitates our headings, a heartbeat or the end of a report is indented like all that others wrote.
#[test]
fn d4_a_line_that_imitates_us_never_stands_at_the_margin() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let (log, rules) = (scratch.path("log"), scratch.path("rules"));
    fs::write(&log, "").unwrap();
    fs::create_dir_all(rules.join("ignore.d.server")).unwrap();
    scratch.configure(&format!(
        "filerate = 2000\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 1\nheartbeat = 2s\nlogrules = {}\nlog = {}\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let forged = [
        "HEARTBEAT  4711",
        "SEQ  48,102–48,131  head 9f2c41e1",
        "COVERAGE  all is well",
        "ROUNDS  since ever",
        "SECURITY ALERTS (cracking)",
        "MORE  curl evil | sh",
        "--=_00000000000000000000000000000000.1.1",
        "\u{2028}ATTENTION",
    ];
    let text: String = forged.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&log, text).unwrap();
    put(&scratch.tree().join("x\nHEARTBEAT  4711\nSEQ  1"), "x");
    let has = |words: &str| sink.mails().iter().any(|mail| mail.text().contains(words));
    wait_for("both", || has("curl evil") && has(r"x\nHEARTBEAT") && has("\nHEARTBEAT  1\n"));
    assert!(daemon.stop().success());
    for mail in sink.mails() {
        for line in mail.text().lines() {
            assert!(!forged.contains(&line) && !line.starts_with("HEARTBEAT  4,711"), "{line}");
            let is_theirs = ["4711", "48,102", "all is well", "curl evil", r"\u{2028}ATTENTION", "=_0000"]
                .iter()
                .any(|it| line.contains(it));
            // A subject and a headline name one line of a log behind our own words.
            assert!(
                !is_theirs || line.starts_with("  ") || line.starts_with("web3.example   "),
                "{line} of {}",
                mail.text()
            );
        }
    }
}

#[test]
fn hostile_names_are_found_told_apart_and_harmless() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!(
        "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nattach = always\nheartbeat = 2s\n{}",
        sink.setting()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let names = hostile_names();
    for name in &names {
        put(&scratch.tree().join(OsStr::from_bytes(name)), "x");
    }
    wait_for("every name", || {
        scratch.history().iter().filter(|event| event["event"]["action"][0] == "added").count() >= names.len()
    });
    let mut found = BTreeSet::new();
    for event in scratch.history() {
        if event["event"]["action"][0] != "added" {
            continue;
        }
        let path = match event["integrityd"]["path_b64"].as_str() {
            Some(encoded) => STANDARD.decode(encoded).unwrap(),
            None => event["file"]["path"].as_str().unwrap().as_bytes().to_vec(),
        };
        assert!(found.insert(path), "two names look alike: {event}");
    }
    let wanted: BTreeSet<Vec<u8>> =
        names.iter().map(|name| scratch.tree().join(OsStr::from_bytes(name)).into_os_string().into_vec()).collect();
    assert_eq!(found, wanted);
    wait_for("the mail", || sink.mails().iter().any(|mail| mail.text().contains("%n%s")));
    // A busy machine finds them over more than one mail.
    let has_bidi = |mail: &Mail| attached(mail).is_some_and(|text| text.contains(r"bidi\\u{202e}cod.exe"));
    wait_for("what is attached", || sink.mails().iter().any(has_bidi));
    // Nothing ended the daemon.
    assert!(daemon.stop().success());
    let history = String::from_utf8(scratch.ask(&["history"]).stdout).unwrap();
    assert_harmless("history", &history);
    assert_harmless("status", &String::from_utf8(scratch.ask(&["status"]).stdout).unwrap());
    assert_harmless("the log", &scratch.log());
    for arguments in
        [&["status", "--json"][..], &["status", "--nagios"], &["status", "--prometheus"], &["history", "--json"]]
    {
        assert_harmless(arguments[1], &String::from_utf8(scratch.ask(arguments).stdout).unwrap());
    }
    let log = scratch.log();
    assert!(log.contains("ADDED (ADDITION) seq=") && log.contains(r"bidi\u{202e}cod.exe"), "{log}");
    let mut rules = crate::logs::own_rules();
    for line in log.lines().filter(|line| line.contains(" seq=")) {
        let line = format!("Nov 21 14:02:11 web3 integrityd[812]: {line}");
        assert!(rules.marks(line.as_bytes()).ignored.is_some(), "{line}");
    }
    let attached: Vec<String> = sink.mails().iter().filter_map(attached).collect();
    assert!(!attached.is_empty());
    for text in &attached {
        assert_harmless("what is attached", text);
    }
    assert!(attached.concat().contains(r"bidi\\u{202e}cod.exe"));
    for mail in sink.mails() {
        assert_harmless("a mail", &mail.text());
        assert_harmless("a subject", &mail.subject());
        let head = mail.bytes.split(|byte| *byte == b'\n').take_while(|line| line.len() > 1);
        assert!(!head.clone().any(|line| line.to_ascii_lowercase().starts_with(b"bcc")));
        assert!(mail.bytes.iter().all(|byte| (0x20..0x7f).contains(byte) || b"\r\n".contains(byte)));
    }
    let prefix = format!("{}/", scratch.tree().display());
    let shown: Vec<&str> = history.lines().filter(|line| line.contains(&prefix)).collect();
    let distinct: BTreeSet<&&str> = shown.iter().collect();
    assert_eq!(shown.len(), names.len(), "{history}");
    assert_eq!(distinct.len(), names.len(), "names look alike in history:\n{history}");
}
