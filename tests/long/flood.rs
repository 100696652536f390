//! A remote author of log lines: ten thousand attacks in twenty seconds make no mail each, and no figure is lost.

use std::{
    fs::{self, File},
    io::Write as _,
    time::{Duration, Instant},
};

use crate::support::{Scratch, sink::Sink, wait_for};

const ATTACKS: u64 = 10_000;

/// The most memory the daemon had, in KiB.
fn most_resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The attacks that a subject counts: "security alerts: 2 (cracking)", or one that is named.
fn counted(subject: &str) -> u64 {
    let Some(words) = subject.split("security alerts: ").nth(1) else {
        return 0;
    };
    words.split(' ').next().unwrap().replace(',', "").parse().unwrap()
}

#[test]
fn ten_thousand_attacks_at_500_a_second_are_few_mails_with_exact_totals_in_64_mib() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let (rules, log) = (scratch.path("rules"), scratch.path("auth.log"));
    fs::create_dir_all(rules.join("cracking.d")).unwrap();
    fs::write(rules.join("cracking.d/sshd"), "attack [0-9]+ from [0-9.]+$\n").unwrap();
    let mut file = File::create(&log).unwrap();
    scratch.configure(&format!(
        "logrules = {}\nlog = {}\nlogchecktime = 1\nreporttime = 1\nreportholdoff = 900\nurgentholdoff = 5\n{}",
        rules.display(),
        log.display(),
        sink.setting()
    ));
    let daemon = scratch.start();
    wait_for("the log is begun", || {
        String::from_utf8_lossy(&scratch.ask(&["history", "--kind", "log"]).stdout).contains("beginning on")
    });
    let begun = Instant::now();
    for number in 0..ATTACKS {
        writeln!(file, "Nov 21 14:02:11 web3 sshd[812]: attack {number} from 192.0.2.{}", number % 250).unwrap();
        let due = Duration::from_millis(2 * number);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    let total = || -> u64 { sink.mails().iter().map(|mail| counted(&mail.subject())).sum() };
    wait_for("every attack", || total() >= ATTACKS);
    let took = begun.elapsed();
    std::thread::sleep(Duration::from_secs(7));
    let resident = most_resident(daemon.pid());
    let mails = sink.mails().into_iter().filter(|mail| counted(&mail.subject()) > 0).collect::<Vec<_>>();
    println!("{} mails in {took:?}, at most {resident} KiB resident", mails.len());
    assert_eq!(total(), ATTACKS);
    for pair in mails.windows(2) {
        let gap = pair[1].at - pair[0].at;
        // The hold-off of 5 s counts from when mails are made; on a busy machine one arrives later than the other.
        assert!(gap > Duration::from_secs(4), "two urgent mails within {gap:?}");
    }
    assert!(resident <= 64 * 1024, "{resident} KiB");
    assert!(daemon.stop().success());
}
