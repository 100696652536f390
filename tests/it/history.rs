//! `history` over a long chain: every filter, alone and together, and the paths within summaries.

use std::time::Duration;

use integrityd::{
    model::{
        clock::{BootId, Boottime, Moment, Timestamp},
        event::{Category, Event, Member, Severity},
    },
    store::{
        events::outcome::{Outcome, StoredFinding},
        sqlite::connection::Store,
    },
};

use crate::support::{Scratch, seen_file};

/// 2026-11-21T12:00:00Z.
const BEGIN: i64 = 1_795_262_400_000_000_000;

fn at(seconds: u64) -> Moment {
    Moment {
        wall: Timestamp::from_nanos(BEGIN).after(Duration::from_secs(seconds)),
        boottime: Boottime::from_nanos(0),
        boot: BootId::default(),
    }
}

/// 3,000 events, one a second: every 10th about /etc/app.conf, every 100th HIGH; number 42 a summary of /srv/old.
fn chain(scratch: &Scratch) {
    scratch.configure("mail = stdout:");
    let mut store = Store::open(&scratch.database(), at(0)).unwrap();
    let mut outcome = Outcome::default();
    for seq in 1..=3000_u64 {
        let path = if seq % 10 == 0 { "/etc/app.conf".to_owned() } else { format!("/usr/bin/f{seq}") };
        let severity = if seq % 100 == 0 { Severity::High } else { Severity::Normal };
        if seq == 42 {
            let event = Event { count: 3, ..Event::new(Category::Removed, severity, at(seq), b"/srv/old".to_vec()) };
            let sources = [&b"/srv/old"[..], b"/srv/old/secret.key", b"/srv/old/x\xff"];
            let members = sources.map(|path| Member { source: path.to_vec(), old: seen_file() }).to_vec();
            outcome.events.push(StoredFinding { event, members: members.into() });
        } else {
            outcome = outcome.with_event(Event::new(Category::Changed, severity, at(seq), path.into_bytes()));
        }
    }
    store.commit(&outcome).unwrap();
}

/// The numbers `history --json` gives.
fn numbers(scratch: &Scratch, arguments: &[&str]) -> Vec<u64> {
    let output = scratch.ask(&[&["history", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"]["sequence"].as_u64();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| number(line).unwrap()).collect()
}

#[test]
fn filters_find_the_latest_that_match_in_their_order() {
    let scratch = Scratch::new();
    chain(&scratch);
    let cases: [(&[&str], Vec<u64>); 11] = [
        (&[], (2001..=3000).collect()),
        (&["--limit", "3"], vec![2998, 2999, 3000]),
        (&["--limit", "3", "--path", "/etc/**"], vec![2980, 2990, 3000]),
        (&["--limit", "301", "--path", "/etc/*"], (1..=300).map(|number| number * 10).collect()),
        (&["--severity", "high", "--limit", "2"], vec![2900, 3000]),
        (&["--severity", "critical"], vec![]),
        (&["--since", "2026-11-21T12:49:58Z"], vec![2998, 2999, 3000]),
        (&["--until", "2026-11-21T12:00:02Z"], vec![1, 2]),
        (&["--since", "2026-11-21T12:00:05Z", "--until", "2026-11-21T12:00:06Z", "--kind", "file"], vec![5, 6]),
        (&["--kind", "self"], vec![]),
        (&["--path", "/usr/bin/f1"], vec![1]),
    ];
    for (arguments, wanted) in cases {
        assert_eq!(numbers(&scratch, arguments), wanted, "{arguments:?}");
    }
    let cut = scratch.ask(&["history", "--limit", "3"]);
    assert!(String::from_utf8_lossy(&cut.stderr).contains("--limit shows more"), "an unannounced cut");
    let whole = scratch.ask(&["history", "--limit", "3", "--severity", "high", "--until", "2026-11-21T12:05:00Z"]);
    assert!(whole.stderr.is_empty(), "{}", String::from_utf8_lossy(&whole.stderr));
    let wrong = scratch.ask(&["history", "--since", "2026-11-22", "--until", "2026-11-21"]);
    assert_eq!(wrong.status.code(), Some(64));
    let wrong = scratch.ask(&["history", "--until", "never"]);
    assert!(wrong.status.code() == Some(64) && String::from_utf8_lossy(&wrong.stderr).contains("--until \"never\""));
}

#[test]
fn a_path_within_a_summary_is_found_and_told() {
    let scratch = Scratch::new();
    chain(&scratch);
    assert_eq!(numbers(&scratch, &["--path", "**/*.key"]), [42]);
    let text = String::from_utf8(scratch.ask(&["history", "--path", "/srv/old/*"]).stdout).unwrap();
    assert!(text.contains("holds /srv/old/secret.key\n") && text.contains(r"holds /srv/old/x\xff"), "{text}");
    let output = scratch.ask(&["show", "42", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = &shown["integrityd"];
    assert_eq!((own["members"].as_array().unwrap().len(), &own["members_left_out"]), (3, &0.into()), "{shown}");
    assert_eq!(own["members"][1]["path"], "/srv/old/secret.key");
}
