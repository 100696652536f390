//! Signs of life: what is sent when nothing happens, so that silence is noticed.

use std::{fs, time::Duration};

use integrityd::{
    model::event::{Category, Channel},
    report::mail::mime::plain_text,
    store::events::append::Filter,
};
use tokio::time::sleep;

use crate::{
    journeys::Journey,
    support::{
        Scratch,
        sink::{Mail, Mode, Sink},
        wait_for,
    },
};

const HOUR: Duration = Duration::from_hours(1);

/// Subjects and texts of all mails that are signs of life.
fn signs(journey: &Journey, title: &str) -> Vec<(String, String)> {
    let accepted = journey.accepted.lock().unwrap();
    let read = accepted.iter().map(|(_, bytes)| {
        let (headers, text) = plain_text(bytes);
        (headers.into_iter().find(|(name, _)| name == "Subject").unwrap().1, text)
    });
    read.filter(|(_, text)| text.contains(&format!("\n{title}  "))).collect()
}

fn number(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("HEARTBEAT  ")).unwrap();
    line.replace(',', "").parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn i3_heartbeats_come_in_their_time_numbered_one_after_the_other() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let mut config = journey.config();
    config.report.heartbeat = Some(HOUR);
    config.rates.files = 0.05;
    let daemon = journey.start(config.clone());
    daemon.until_established().await;
    sleep(3 * HOUR).await;
    // Neither a restart nor an hour of absence shifts or doubles them.
    daemon.stop().await;
    sleep(HOUR + HOUR / 2).await;
    let daemon = journey.start(config);
    sleep(2 * HOUR).await;
    let found = signs(&journey, "HEARTBEAT");
    let numbers: Vec<u64> = found.iter().map(|(_, text)| number(text)).collect();
    assert_eq!(numbers, (1..=u64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    assert!((5..=6).contains(&numbers.len()), "{numbers:?}");
    assert!(found[0].0.starts_with("[integrityd] web3.example: alive, "), "the baseline was told: {}", found[0].0);
    assert!(found[2].0.starts_with("[integrityd] web3.example: all quiet, "), "{}", found[2].0);
    let text = &found[2].1;
    for wanted in
        ["running since ", "next one due ", "checks, ", " log lines read", "COVERAGE\n", "oldest check", "SEQ  "]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // Each is an event of its own, and waits for no report.
    let (events, waiting) = daemon
        .db
        .call(|store| {
            let events = store.history(&Filter { limit: 1000, ..Filter::default() }).unwrap();
            (events, Channel::ALL.map(|channel| store.waiting(channel).unwrap()))
        })
        .await;
    let beats: Vec<u64> = events
        .iter()
        .filter(|stored| stored.event.category == Category::Heartbeat)
        .map(|stored| stored.event.count)
        .collect();
    assert_eq!(beats, numbers);
    assert_eq!(waiting, [None, None]);
    let is_in_report = |text: &String| !text.contains("\nHEARTBEAT  ") && text.contains("heartbeat");
    assert_eq!(journey.mails().into_iter().filter(is_in_report).collect::<Vec<_>>(), [""; 0]);
    daemon.db.call(|store| store.verify().unwrap()).await;
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_by_the_next_heartbeat_and_does_not_move_it() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let mut config = journey.config();
    config.report.heartbeat = Some(HOUR);
    config.rates.files = 0.05;
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(HOUR + HOUR / 2).await;
    fs::write(journey.file(3), "other").unwrap();
    sleep(HOUR).await;
    let found = signs(&journey, "HEARTBEAT");
    assert_eq!(found.len(), 2);
    assert!(found[1].0.contains("alive, 1 event, "), "{}", found[1].0);
    assert!(found[1].1.contains("events: 1 changed"), "{}", found[1].1);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn finished_rounds_are_reported_by_area_and_only_when_there_are_any() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let mut config = journey.config();
    config.report.cycle_report = Some(3 * HOUR);
    config.rates.files = 0.05;
    let daemon = journey.start(config);
    daemon.until_established().await;
    fs::write(journey.file(3), "other").unwrap();
    sleep(4 * HOUR).await;
    let found = signs(&journey, "ROUNDS");
    assert_eq!(found.len(), 1);
    assert!(found[0].0.contains(" rounds finished, "), "{}", found[0].0);
    assert!(found[0].1.contains("38 entries, ") && found[0].1.contains(" finished, one in "), "{}", found[0].1);
    assert!(found[0].1.contains("found: 1 changed"), "{}", found[0].1);
    daemon.stop().await;
}

#[test]
fn i3_no_number_is_repeated_or_left_out_whatever_kills_the_daemon() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.tree().join("f"), "x").unwrap();
    scratch.configure(&format!("heartbeat = 1s\nfilerate = 100\nretrybase = 100ms\n{}", sink.setting()));
    for _ in 0..4 {
        let daemon = scratch.start();
        std::thread::sleep(Duration::from_millis(900));
        daemon.kill();
    }
    let daemon = scratch.start();
    wait_for("five heartbeats", || beats(&sink.mails()).len() >= 5);
    assert!(daemon.stop().success());
    let mut found = beats(&sink.mails());
    // One that was accepted and not noted as such comes again under the same Message-ID.
    found.dedup();
    let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=u64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(String::from_utf8_lossy(&scratch.ask(&["verify"]).stdout).lines().count(), 1);
}

#[test]
fn i3_what_runs_once_gives_the_signs_that_are_due() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.tree().join("f"), "x").unwrap();
    scratch.configure(&format!("heartbeat = 1s\n{}", sink.setting()));
    for beats_due in 0..3_u64 {
        assert!(scratch.ask(&["run", "--once"]).status.success());
        let numbers: Vec<u64> = beats(&sink.mails()).iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=beats_due).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(1100));
    }
}

#[test]
fn i3_a_backlog_holds_one_heartbeat_and_the_next_comes_when_it_was_accepted() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    sink.behave(Mode::Busy);
    scratch
        .configure(&format!("heartbeat = 1s\nreporttime = 1h\nfilerate = 100\nretrybase = 300ms\n{}", sink.setting()));
    let daemon = scratch.start();
    std::thread::sleep(Duration::from_secs(4));
    let queue = String::from_utf8(scratch.ask(&["queue", "list", "--json"]).stdout).unwrap();
    assert_eq!(queue.lines().count(), 1, "{queue}");
    sink.behave(Mode::Accept);
    wait_for("the next", || beats(&sink.mails()).len() >= 2);
    assert!(daemon.stop().success());
    let numbers: Vec<u64> = beats(&sink.mails()).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers[..2], [1, 2]);
}

/// The numbers and Message-IDs of the heartbeats among these mails.
fn beats(mails: &[Mail]) -> Vec<(u64, String)> {
    let is_beat = |mail: &&Mail| mail.text().contains("\nHEARTBEAT  ");
    mails.iter().filter(is_beat).map(|mail| (number(&mail.text()), mail.message_id())).collect()
}

#[test]
fn logcheck_s_subjects_name_the_gravest_layer_and_other_mails_keep_ours() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let (log, rules) = (scratch.path("log"), scratch.path("rules"));
    fs::write(&log, "").unwrap();
    fs::create_dir_all(rules.join("violations.d")).unwrap();
    fs::write(rules.join("violations.d/v"), "bad\n").unwrap();
    scratch.configure(&format!(
        "filerate = 1000\nlogchecktime = 1\nreporttime = 0\nreportholdoff = 0\nurgentholdoff = 0\nsubject = logcheck\n\
         logrules = {}\nlog = {}\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let subjects = || sink.mails().iter().map(Mail::subject).collect::<Vec<_>>();
    for (line, title) in [("good", "System Events"), ("bad", "Security Events")] {
        let before = fs::read_to_string(&log).unwrap();
        fs::write(&log, format!("{before}Nov 21 14:02:11 web3 app: {line}\n")).unwrap();
        let form = |subject: &String| {
            let words: Vec<&str> = subject.splitn(5, ' ').collect();
            words.len() == 5
                && words[0] == "web3.example"
                && words[1].len() == 10
                && words[2].len() == 5
                && words[3].len() == 5
                && words[3].starts_with(['+', '-'])
                && words[4] == title
        };
        wait_for(title, || subjects().iter().any(form));
    }
    assert!(subjects().iter().any(|subject| subject.starts_with("[integrityd] ")));
    assert!(daemon.stop().success());
}
