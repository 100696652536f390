//! File names as an attacker chooses them.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{Scratch, put, sink::Sink, wait_for};

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

#[test]
fn hostile_names_are_found_told_apart_and_harmless() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch
        .configure(&format!("filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\n{}", sink.setting()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let names = hostile_names();
    for name in &names {
        put(&scratch.tree().join(OsStr::from_bytes(name)), "x");
    }
    wait_for("every name", Duration::from_secs(20), || {
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
    wait_for("the mail", Duration::from_secs(10), || sink.mails().iter().any(|mail| mail.text().contains("%n%s")));
    // Nothing ended the daemon.
    assert!(daemon.stop().success());
    let history = String::from_utf8(scratch.ask(&["history"]).stdout).unwrap();
    assert_harmless("history", &history);
    assert_harmless("status", &String::from_utf8(scratch.ask(&["status"]).stdout).unwrap());
    assert_harmless("the log", &scratch.log());
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
