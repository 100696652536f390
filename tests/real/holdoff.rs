//! The hold-off under a wall clock that jumps, by libfaketime.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    packages::need,
    support::{PROGRAM, Running, Scratch, overwrite, sink::Sink},
};

/// The preloaded library, wherever the architecture keeps it.
fn library() -> Option<PathBuf> {
    let directories = fs::read_dir("/usr/lib").ok()?;
    directories
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|library| library.exists())
}

/// The time between the second mail and the third, when the clock jumps by `offset` right after the second.
fn hold_off_over_a_jump(offset: &str) -> Option<Duration> {
    if !need("faketime", "faketime") {
        return None;
    }
    let Some(library) = library() else {
        println!("skipped: libfaketime.so.1 was not found");
        return None;
    };
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch
        .configure(&format!("filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 7\n{}", sink.setting()));
    for name in ["one", "two"] {
        fs::write(scratch.tree().join(name), "x").unwrap();
    }
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    fs::write(scratch.path("offset"), "+0\n").unwrap();
    let child = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", scratch.path("offset"))
        .env("FAKETIME_NO_CACHE", "1")
        // Only the wall clock can be set by anybody.
        .env("DONT_FAKE_MONOTONIC", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(scratch.path("log")).unwrap())
        .spawn()
        .unwrap();
    let daemon = Running { child };
    let first = sink.wait_for(1)[0].at;
    std::thread::sleep(Duration::from_secs(7).saturating_sub(first.elapsed()));
    overwrite(&scratch.tree().join("one"), "y");
    sink.wait_for(2);
    fs::write(scratch.path("offset"), format!("{offset}\n")).unwrap();
    overwrite(&scratch.tree().join("two"), "y");
    let mails = sink.wait_for(3);
    let dates: Vec<String> = mails.iter().map(|mail| String::from_utf8_lossy(&mail.bytes).into_owned()).collect();
    let year = |mail: &str| mail.lines().find(|line| line.starts_with("Date:")).unwrap().to_owned();
    println!("{offset}: {} then {}", year(&dates[1]), year(&dates[2]));
    let day = |mail: &str| year(mail).chars().take(22).collect::<String>();
    assert_ne!(day(&dates[1]), day(&dates[2]), "the clock has not jumped: the test shows nothing");
    let gap = mails[2].at.duration_since(mails[1].at);
    let jumps = scratch.history().into_iter().filter(|event| event["event"]["action"][0] == "clock-jumped");
    let told: Vec<String> = jumps.map(|event| event["event"]["reason"].to_string()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(if offset.starts_with('+') { "set ahead by" } else { "set back by" }), "{told:?}");
    assert!(daemon.stop().success());
    Some(gap)
}

#[test]
fn f1_a_clock_that_jumps_thirty_days_ahead_does_not_end_the_hold_off() {
    if let Some(gap) = hold_off_over_a_jump("+30d") {
        assert!((6.8..11.0).contains(&gap.as_secs_f64()), "the hold-off was {gap:?}");
    }
}

#[test]
fn f1_a_clock_that_jumps_ten_years_back_does_not_lengthen_the_hold_off() {
    if let Some(gap) = hold_off_over_a_jump("-10y") {
        assert!((6.8..11.0).contains(&gap.as_secs_f64()), "the hold-off was {gap:?}");
    }
}
