//! Time that goes wrong: clocks that are set, machines that sleep, daemons that are not there. Most of it is played in virtual time.

use std::{fs, time::Duration};

use integrityd::{
    config::settings::config::Pooling,
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp, VirtualClock},
        event::{Category, Severity, StoredEvent},
    },
    store::events::append::Filter,
};
use tokio::time::{Instant, advance, sleep};

use crate::{
    journeys::{Daemonic, Journey},
    support::{PROGRAM, Running, Scratch, overwrite, put, sink::Sink, wait_for},
};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: i64 = 1_000_000_000;
const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nurgentholdoff = 1s\n";

fn hands(journey: &Journey) -> VirtualClock {
    match &journey.clock {
        Clock::Virtual(hands) => hands.clone(),
        Clock::System(_) | Clock::Still(_) => unreachable!(),
    }
}

async fn told(daemon: &Daemonic, category: Category) -> Vec<StoredEvent> {
    let filter = Filter { limit: 10_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    events.into_iter().filter(|stored| stored.event.category == category).collect()
}

fn note(stored: &StoredEvent) -> String {
    String::from_utf8(stored.event.note.clone()).unwrap()
}

/// Waits until there are `number` mails, and says how long that took.
async fn until_mails(journey: &Journey, number: usize) -> Duration {
    let begun = Instant::now();
    while journey.mails().len() < number {
        sleep(Duration::from_secs(1)).await;
        assert!(begun.elapsed() < 3 * HOUR, "{} mails", journey.mails().len());
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn f1_a_wall_clock_that_is_set_is_one_event_and_moves_no_hold_off() {
    for days in [30, -3650] {
        let journey = Journey::new();
        journey.fill(60, b"content");
        let mut config = journey.config();
        config.report.files = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(15) };
        let daemon = journey.start(config);
        daemon.until_established().await;
        until_mails(&journey, 1).await;
        fs::write(journey.file(3), "other").unwrap();
        hands(&journey).set_ahead(days * 86_400 * SECOND);
        let waited = until_mails(&journey, 2).await;
        assert!(waited > Duration::from_mins(14) && waited < Duration::from_mins(16), "{days}: {waited:?}");
        sleep(Duration::from_mins(2)).await;
        let jumps = told(&daemon, Category::ClockJumped).await;
        assert_eq!(jumps.len(), 1);
        assert!(note(&jumps[0]).contains(if days > 0 { "set ahead by 720h" } else { "set back by 87600h" }));
        let mails = journey.mails();
        assert!(mails[1].contains("clock jumped") && mails[1].contains("f0003"), "{}", mails[1]);
        daemon.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn f1_after_a_reboot_with_the_clock_ten_years_behind_a_report_waits_no_longer_than_its_hold_off() {
    let mut journey = Journey::new();
    journey.fill(60, b"content");
    let mut config = journey.config();
    config.report.files = Pooling { report_time: Duration::from_mins(5), hold_off: Duration::from_mins(15) };
    config.report.heartbeat = Some(Duration::from_mins(20));
    let daemon = journey.start(config.clone());
    daemon.until_established().await;
    until_mails(&journey, 1).await;
    fs::write(journey.file(3), "other").unwrap();
    sleep(Duration::from_mins(4)).await;
    daemon.stop().await;
    assert_eq!(journey.mails().len(), 1);
    let now = journey.clock.now();
    journey.clock = Clock::starting_at(Moment {
        wall: now.wall.before(87_600 * HOUR),
        boottime: Boottime::from_nanos(12 * SECOND),
        boot: BootId([8; 16]),
    });
    let daemon = journey.start(config);
    let waited = until_mails(&journey, 2).await;
    assert!(waited <= Duration::from_mins(16), "{waited:?}");
    let mail = journey.mails().pop().unwrap();
    assert!(mail.contains("f0003") && mail.contains("the wall clock went back by 87600h"), "{mail}");
    let waited = waited + until_mails(&journey, 3).await;
    assert!(journey.mails()[2].contains("HEARTBEAT"), "{}", journey.mails()[2]);
    assert!(waited <= Duration::from_mins(21), "{waited:?}");
    daemon.stop().await;
}

/// Looks in the ten seconds after `pass` at one look a second.
async fn looks_after(pass: impl AsyncFnOnce(&Journey)) -> (u64, Vec<StoredEvent>) {
    let journey = Journey::new();
    journey.fill(100, b"x");
    let mut config = journey.config();
    config.rates.files = 1.0;
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_mins(5)).await;
    let before = daemon.looks().await;
    pass(&journey).await;
    sleep(Duration::from_secs(10)).await;
    let looks = daemon.looks().await - before;
    let jumps = told(&daemon, Category::ClockJumped).await;
    daemon.stop().await;
    (looks, jumps)
}

#[tokio::test(start_paused = true)]
async fn f3_a_process_that_stood_still_for_hours_catches_up_no_slots() {
    // As SIGSTOP and SIGCONT do it: all timers are late at once.
    let (looks, jumps) = looks_after(async |_| advance(3 * HOUR).await).await;
    assert!((8..=13).contains(&looks), "{looks} looks in ten seconds");
    assert!(jumps.is_empty(), "nobody has set a clock");
}

#[tokio::test(start_paused = true)]
async fn f3_a_machine_that_slept_for_hours_catches_up_no_slots() {
    let (looks, jumps) = looks_after(async |journey| hands(journey).suspend(3 * HOUR)).await;
    assert!((8..=13).contains(&looks), "{looks} looks in ten seconds");
    assert!(jumps.is_empty(), "nobody has set a clock");
}

#[tokio::test(start_paused = true)]
async fn f3_a_deadline_that_comes_in_a_sleep_is_kept_within_half_a_minute_after_it() {
    let journey = Journey::new();
    journey.fill(20, b"x");
    let mut config = journey.config();
    config.report.files = Pooling { report_time: Duration::from_secs(30), hold_off: 5 * HOUR };
    config.rates.files = 1.0;
    let daemon = journey.start(config);
    daemon.until_established().await;
    until_mails(&journey, 1).await;
    fs::write(journey.file(3), "other").unwrap();
    sleep(Duration::from_mins(2)).await;
    hands(&journey).suspend(6 * HOUR);
    let waited = until_mails(&journey, 2).await;
    assert!(waited <= Duration::from_secs(32), "{waited:?}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn f5_a_machine_that_starts_in_1970_works_and_keeps_its_order_when_the_clock_is_set() {
    let journey = Journey::starting_at(Moment {
        wall: Timestamp::from_nanos(12 * SECOND),
        boottime: Boottime::from_nanos(12 * SECOND),
        boot: BootId([9; 16]),
    });
    journey.fill(60, b"content");
    let mut config = journey.config();
    config.report.files = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(2) };
    config.rates.files = 2.0;
    let daemon = journey.start(config.clone());
    daemon.until_established().await;
    until_mails(&journey, 1).await;
    hands(&journey).set_ahead(1_795_000_000 * SECOND);
    sleep(Duration::from_secs(5)).await;
    for number in 0..60 {
        fs::write(journey.file(number), "other").unwrap();
    }
    sleep(Duration::from_mins(10)).await;
    // Each was looked at and told once: the order goes by visits, not by times.
    let changed = told(&daemon, Category::Changed).await;
    assert_eq!(changed.len(), 60);
    let numbers: Vec<u64> = changed.iter().map(|stored| stored.seq).collect();
    assert!(numbers.is_sorted());
    assert_eq!(told(&daemon, Category::ClockJumped).await.len(), 1);
    assert_eq!(told(&daemon, Category::CoverageLate).await.len(), 0);
    daemon.db.call(|store| store.verify().unwrap()).await;
    daemon.stop().await;
    let all = journey.mails().join("\n");
    assert!(all.contains("1970-01-01") && all.contains("set ahead"), "{all}");
    // And a restart with the right time has nothing to say but that.
    let daemon = journey.start(config);
    sleep(Duration::from_mins(1)).await;
    let absences = told(&daemon, Category::NotRunning).await;
    assert_eq!(absences.iter().map(|stored| stored.event.severity).collect::<Vec<_>>(), [Severity::Count]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_short_restart_makes_no_mail_and_a_long_absence_does() {
    let journey = Journey::new();
    journey.fill(20, b"x");
    let daemon = journey.start(journey.config());
    daemon.until_established().await;
    until_mails(&journey, 1).await;
    assert!(told(&daemon, Category::NotRunning).await.is_empty(), "nobody was missed before the first start");
    daemon.stop().await;
    sleep(Duration::from_mins(2)).await;
    let daemon = journey.start(journey.config());
    sleep(Duration::from_mins(20)).await;
    assert_eq!(journey.mails().len(), 1);
    let absences = told(&daemon, Category::NotRunning).await;
    assert_eq!((absences.len(), absences[0].event.severity), (1, Severity::Count));
    assert_eq!(
        absences[0]
            .event
            .found
            .since(Moment { wall: absences[0].event.not_before.unwrap(), ..Moment::default() })
            .as_secs(),
        120
    );
    daemon.stop().await;
    sleep(2 * HOUR).await;
    let daemon = journey.start(journey.config());
    until_mails(&journey, 2).await;
    let mail = journey.mails().pop().unwrap();
    assert!(mail.contains("not running for 7200 s, clean: it was told to stop"), "{mail}");
    assert!(mail.contains("1 time not running"), "the short one goes with it: {mail}");
    daemon.stop().await;
}

#[test]
fn f3_a_process_that_was_stopped_takes_nobody_for_dead_and_no_clock_for_set() {
    let scratch = Scratch::new();
    let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(scratch.path("sleeper.pid"), format!("{}\n", sleeper.id())).unwrap();
    fs::write(scratch.tree().join("f"), "x").unwrap();
    scratch.configure(&format!(
        "{FAST}mail = stdout:\npidfile = {}\npidchecktime = 1\n",
        scratch.path("sleeper.pid").display()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let before = scratch.history().len();
    daemon.signal("STOP");
    std::thread::sleep(Duration::from_secs(3));
    daemon.signal("CONT");
    put(&scratch.tree().join("g"), "x");
    wait_for("the change", || scratch.history().len() > before);
    let news: Vec<_> = scratch.history().split_off(before);
    assert_eq!(news.len(), 1, "{news:?}");
    assert_eq!(news[0]["event"]["action"][0], "added");
    assert!(daemon.stop().success());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

fn notes(scratch: &Scratch, action: &str) -> Vec<(u64, String)> {
    let events = scratch.history().into_iter().filter(|event| event["event"]["action"][0] == action);
    events
        .map(|event| {
            let reason = event["event"]["reason"].as_str().unwrap_or_default().to_owned();
            (event["event"]["severity"].as_u64().unwrap(), reason)
        })
        .collect()
}

#[test]
fn i6_a_killed_daemon_is_told_by_the_next_with_the_time_it_was_away() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    sink.wait_for(1);
    daemon.kill();
    std::thread::sleep(Duration::from_secs(2));
    let daemon = scratch.start();
    wait_for("the mail", || {
        sink.mails().iter().any(|mail| mail.text().contains("unclean: it was killed or has crashed"))
    });
    let mails = sink.mails();
    let mail = mails.last().unwrap();
    assert!(mail.subject().ends_with(": was not running"), "{}", mail.subject());
    assert!(mail.text().contains(" · from ") && mail.text().contains(" to "), "{}", mail.text());
    assert!(daemon.stop().success());
    let events = scratch.history();
    let event = events.iter().find(|event| event["event"]["action"][0] == "not-running").unwrap();
    let time = |name: &str| event["event"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let away = time("end").duration_since(time("start")).as_secs_f64();
    assert!((1.5..60.0).contains(&away), "{away} s");
}

#[test]
fn i5_other_settings_are_told_at_once_with_their_old_and_new_values() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let settings = "filerate = 2000\nbyterate = 100M\nreporttime = 1h\nreportholdoff = 1h\nurgentholdoff = 1s\n";
    scratch.configure(&format!("{settings}{}", sink.setting()));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    assert!(notes(&scratch, "configuration-changed").is_empty(), "there is nothing to compare with yet");
    daemon.signal("HUP");
    wait_for("the reload", || scratch.log().contains("was read again"));
    assert!(notes(&scratch, "configuration-changed").is_empty(), "nothing has changed");
    scratch.configure(&format!(
        "{settings}exclude = {}/secret\nreportlines = 77\n{}",
        scratch.tree().display(),
        sink.setting()
    ));
    daemon.signal("HUP");
    wait_for("the mail", || sink.mails().iter().any(|mail| mail.subject().contains("configuration changed")));
    let told = notes(&scratch, "configuration-changed");
    assert_eq!((told.len(), told[0].0), (1, 70));
    assert!(
        told[0].1.contains("reportlines: 1000 (default) → 77") && told[0].1.contains("exclude: nothing → "),
        "{}",
        told[0].1
    );
    assert!(daemon.stop().success());
    // The same while nobody looks.
    scratch.configure(&format!("{settings}{}", sink.setting()));
    let daemon = scratch.start();
    wait_for("the event", || notes(&scratch, "configuration-changed").len() == 2);
    assert!(daemon.stop().success());
    let daemon = scratch.start();
    wait_for("another start", || notes(&scratch, "not-running").len() == 2);
    assert!(daemon.stop().success());
    assert_eq!(notes(&scratch, "configuration-changed").len(), 2);
}

#[test]
fn i5_another_program_in_our_place_is_told_at_once_and_once() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let program = scratch.path("integrityd");
    fs::copy(PROGRAM, &program).unwrap();
    let start = || {
        let log = fs::File::options().create(true).append(true).open(scratch.path("log")).unwrap();
        let mut command = std::process::Command::new(&program);
        command
            .arg("--config")
            .arg(scratch.path("integrityd.conf"))
            .arg("run")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // Another test may have this file open for writing just now, in a child it is about to start.
        let child = (0..100).find_map(|_| {
            let child = command.spawn().ok();
            if child.is_none() {
                std::thread::sleep(Duration::from_millis(20));
            }
            child
        });
        Running { child: child.unwrap() }
    };
    let daemon = start();
    scratch.wait_for_baseline();
    assert!(daemon.stop().success());
    assert!(notes(&scratch, "program-changed").is_empty());
    // Bytes behind the end of a program change nothing but its digest.
    let mut bytes = fs::read(&program).unwrap();
    bytes.extend_from_slice(b"an upgrade");
    let next = scratch.path("next");
    fs::copy(&program, &next).unwrap();
    fs::write(&next, bytes).unwrap();
    fs::rename(&next, &program).unwrap();
    let daemon = start();
    wait_for("the mail", || sink.mails().iter().any(|mail| mail.subject().contains("program changed")));
    assert!(daemon.stop().success());
    let daemon = start();
    wait_for("another start", || notes(&scratch, "not-running").len() == 2);
    assert!(daemon.stop().success());
    let told = notes(&scratch, "program-changed");
    assert_eq!((told.len(), told[0].0), (1, 70), "{told:?}");
    assert!(told[0].1.contains(&program.display().to_string()) && told[0].1.contains(" → "), "{told:?}");
}

#[test]
fn f4_times_are_stored_in_utc_and_shown_with_their_offset() {
    let scratch = Scratch::new();
    scratch.configure(&format!("{FAST}mail = file:{}\n", scratch.path("out").display()));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let once = |zone: &str| {
        let output = std::process::Command::new(PROGRAM)
            .args(["--config".as_ref(), scratch.path("integrityd.conf").as_os_str(), "run".as_ref(), "--once".as_ref()])
            .env("TZ", zone)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    once("Asia/Kolkata");
    overwrite(&scratch.tree().join("f"), "y");
    // The same moment on another clock of the wall: nothing has jumped, nothing comes again.
    once("America/St_Johns");
    put(&scratch.tree().join("g"), "z");
    once("UTC");
    assert!(notes(&scratch, "clock-jumped").is_empty());
    let times: Vec<String> =
        scratch.history().iter().map(|event| event["@timestamp"].as_str().unwrap().to_owned()).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.ends_with('Z')), "{times:?}");
    let mut mails: Vec<String> = fs::read_dir(scratch.path("out"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    mails.sort_by_key(|mail| mail.find("Message-ID").map(|at| mail[at..at + 60].to_owned()));
    for offset in ["+0530", "-0330", "+0000"] {
        let date =
            |mail: &&String| mail.lines().any(|line| line.starts_with("Date: ") && line.trim_end().ends_with(offset));
        let mail = mails.iter().find(date).unwrap_or_else(|| panic!("no mail of {offset}"));
        assert!(
            integrityd::report::mail::mime::plain_text(mail.as_bytes()).1.lines().next().unwrap().contains(offset),
            "{mail}"
        );
    }
}
