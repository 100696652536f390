//! The daemon under its signals, and what it tells the service manager.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    PROGRAM, Running, Scratch, overwrite, put,
    sink::{Mode, Sink},
    wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nretrybase = 100ms\n";

fn text(sink: &Sink) -> String {
    sink.mails().iter().map(crate::support::sink::Mail::text).collect()
}

#[test]
fn usr1_sends_what_waits_and_tries_the_queue_again() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!(
        "filerate = 2000\nretrybase = 1h\nreporttime = 1h\nreportholdoff = 1d\n{}",
        sink.setting()
    ));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    sink.behave(Mode::NotNow);
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    daemon.signal("USR1");
    wait_for("the first attempt", || scratch.log().contains("not accepted"));
    sink.behave(Mode::Accept);
    // Due in an hour, but asked for now; and what came since goes with it, whatever the hold-off says.
    overwrite(&scratch.tree().join("f"), "y");
    wait_for("the change", || scratch.history().iter().any(|event| event["event"]["action"][0] == "changed"));
    daemon.signal("USR1");
    let mails = sink.wait_for(2);
    assert!(mails[0].text().contains("baseline established") && mails[1].text().contains("/f "), "{}", text(&sink));
    daemon.signal("USR1");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(sink.mails().len(), 2, "nothing to tell is no mail");
    assert!(daemon.stop().success());
}

#[test]
fn a19_term_ends_it_within_ten_seconds_also_while_a_server_keeps_it_waiting() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}reporttime = 0\nreportholdoff = 0\n{}", sink.setting()));
    fs::write(scratch.tree().join("f"), "x").unwrap();
    sink.behave(Mode::Hold(Duration::from_mins(1)));
    let daemon = scratch.start();
    // The server has the whole mail and has not said 250 yet.
    let first = sink.wait_for(1);
    let begun = Instant::now();
    assert!(daemon.stop().success());
    assert!(begun.elapsed() > Duration::from_secs(2), "no grace was given");
    // It is not known whether the server took it: the same mail again.
    sink.behave(Mode::Accept);
    let daemon = scratch.start();
    wait_for("the same mail", || {
        sink.mails().iter().filter(|mail| mail.message_id() == first[0].message_id()).count() == 2
    });
    let same: Vec<_> = sink.mails().into_iter().filter(|mail| mail.message_id() == first[0].message_id()).collect();
    assert_eq!(same[0].bytes, same[1].bytes);
    assert!(daemon.stop().success());
}

fn descriptors(daemon: &Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

#[test]
fn two_hundred_reloads_in_five_seconds_lose_and_repeat_nothing() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}reporttime = 1\nreportholdoff = 1\n{}", sink.setting()));
    let tree = scratch.tree();
    (0..200).for_each(|number| fs::write(tree.join(format!("f{number}")), "x").unwrap());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    sink.wait_for(1);
    std::thread::sleep(Duration::from_secs(1));
    let before = descriptors(&daemon);
    let begun = Instant::now();
    for number in 0..200 {
        overwrite(&tree.join(format!("f{number}")), "y");
        daemon.signal("HUP");
        std::thread::sleep(Duration::from_millis(25).saturating_sub(begun.elapsed() / 200 / (number + 1)));
    }
    println!("200 reloads in {:?}", begun.elapsed());
    put(&tree.join("last"), "x");
    wait_for("every change", || {
        let text = text(&sink);
        (0..200).all(|number| text.contains(&format!("/f{number} "))) && text.contains("/last ")
    });
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for event in scratch.history().iter().filter(|event| event["event"]["dataset"] == "integrityd.file") {
        *told.entry(event["file"]["path"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(told.len(), 201, "{told:?}");
    assert!(told.values().all(|count| *count == 1), "{told:?}");
    let text = text(&sink);
    for number in 0..200 {
        assert_eq!(text.matches(&format!("/f{number} ")).count(), 1, "f{number}");
    }
    // Directories in hand and a connection to the server come and go.
    wait_for("the descriptors", || descriptors(&daemon).abs_diff(before) <= 3);
    assert!(daemon.stop().success());
}

#[test]
fn a_reload_with_four_mistakes_is_one_mail_and_the_old_settings_stay() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let good = format!("{FAST}reporttime = 1\nreportholdoff = 1\nurgentholdoff = 1\n{}", sink.setting());
    scratch.configure(&good);
    fs::write(scratch.tree().join("f"), "x").unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let before = sink.wait_for(1).len();
    scratch.configure(&format!("{good}\nfilerat = 2\nreporttime = soon\nexclude = etc/mtab\nbyterate = 99T"));
    daemon.signal("HUP");
    let mails = sink.wait_for(before + 1);
    let text = mails[before].text();
    for fault in ["filerat", "soon", "etc/mtab", "99T", "the old settings stay"] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
    overwrite(&scratch.tree().join("f"), "y");
    let mails = sink.wait_for(before + 2);
    assert_eq!(mails.len(), before + 2, "one mail tells of all mistakes");
    assert!(mails[before + 1].text().contains("/f "), "the old settings do not stay");
    assert!(daemon.stop().success());
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_reloads_and_stops() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let socket = UnixDatagram::bind(scratch.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // How things stand is told in between.
    let told = || loop {
        let mut buffer = [0; 500];
        let length = socket.recv(&mut buffer).unwrap();
        let words = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if !words.starts_with("STATUS=") {
            return words;
        }
    };
    let child = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .env("NOTIFY_SOCKET", scratch.path("notify"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let daemon = Running { child };
    assert_eq!(told(), "READY=1\n");
    daemon.signal("HUP");
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(), "READY=1\n");
    scratch.configure("mail = stdout:\nfilerat = 2");
    daemon.signal("HUP");
    assert!(told().starts_with("RELOADING=1\n"));
    assert_eq!(told(), "READY=1\n", "also when the old settings stay");
    daemon.signal("TERM");
    assert_eq!(told(), "STOPPING=1\n");
    assert!(daemon.stop().success());
}

#[test]
fn two_bursts_are_one_mail_and_a_reload_does_not_end_the_hold_off() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}reporttime = 3\nreportholdoff = 8\n{}", sink.setting()));
    let tree = scratch.tree();
    (0..20).for_each(|number| fs::write(tree.join(format!("f{number}")), "x").unwrap());
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    let daemon = scratch.start();
    // What init has to say is mailed first and begins a hold-off; its end is waited for.
    let first = sink.wait_for(1)[0].at;
    std::thread::sleep(Duration::from_secs(8).saturating_sub(first.elapsed()));
    (0..5).for_each(|number| overwrite(&tree.join(format!("f{number}")), "y"));
    std::thread::sleep(Duration::from_secs(1));
    (5..10).for_each(|number| overwrite(&tree.join(format!("f{number}")), "y"));
    let mails = sink.wait_for(2);
    let text = mails[1].text();
    assert!((0..10).all(|number| text.contains(&format!("/f{number} "))), "two bursts, one mail: {text}");
    (10..15).for_each(|number| overwrite(&tree.join(format!("f{number}")), "y"));
    daemon.signal("HUP");
    let mails = sink.wait_for(3);
    let gap = mails[2].at.duration_since(mails[1].at);
    assert!((7.8..12.0).contains(&gap.as_secs_f64()), "the hold-off was {gap:?}");
    assert!(daemon.stop().success());
}
