//! The table of docs/torture.md: every trouble, and what each place says of it. A kind without an example here does not compile, one that
//! some place is silent about is red.

use std::{path::Path, time::Duration};

use jiff::tz::TimeZone;

use crate::{
    cli::{
        doctor::health,
        status::{column::TableStyle, nagios, screen::screen},
    },
    model::{
        clock::{BootId, Boottime, Moment},
        health::{Trouble, TroubleKind as Kind, Weight},
        log::position::ReadRefusal,
        process::Liveness,
    },
    report::render::{batch::BatchTally, sections::periodic::Figures},
    store::{
        baseline::areas::AreaState,
        health::{
            diagnose::diagnose,
            fact_logs::{LogFacts, word},
            fact_processes::ProcessFacts,
            facts::{Facts, sample::facts},
            troubles::TroubleRow,
        },
        outbox::periodic::{Last, Marks},
    },
    sys::fs::space::Space,
};

/// A machine on which this is wrong, and nothing else.
fn example(kind: Kind) -> Facts {
    let mut it = facts();
    let log = LogFacts {
        path: "/var/log/syslog".to_owned(),
        rules: "server".to_owned(),
        offset: Some(7),
        lag: Some(0),
        trouble: None,
    };
    let process = ProcessFacts {
        source: "/run/nginx.pid".to_owned(),
        container: String::new(),
        name: "nginx".to_owned(),
        pid: None,
        started: None,
        liveness: Liveness::Running,
        fault: None,
        since: it.now.before(Duration::from_secs(28)),
        restarts: 0,
    };
    let row = |subject: &str, detail: &str| TroubleRow {
        kind,
        subject: subject.as_bytes().to_vec(),
        detail: detail.to_owned(),
        since: it.now,
    };
    match kind {
        Kind::NotRunning => it.daemon.is_running = Some(false),
        Kind::TaskStalled => {
            it.standstills = vec![("the file walker".to_owned(), it.now.before(Duration::from_hours(1)))];
        }
        Kind::Unwritable => it.space = Some(Space { free: 0, is_read_only: false }),
        Kind::AreaMissing => it.areas[1].state = AreaState::Missing,
        Kind::AreaSuspended => it.areas[1].state = AreaState::Suspended,
        Kind::ProcessDown => it.processes = vec![ProcessFacts { liveness: Liveness::Gone, ..process }],
        Kind::LogUnreadable => {
            it.logs = vec![LogFacts {
                trouble: Some((word(ReadRefusal::Missing), it.now.before(Duration::from_secs(3)))),
                ..log
            }];
        }
        Kind::MailStuck => (it.queue.queued, it.queue.refused) = (1, 1),
        Kind::PathsMissing => it.areas[0].missing = Some((200, it.now.before(Duration::from_hours(3)))),
        Kind::PathTooLong => (it.areas[0].unreadable, it.areas[0].too_long) = (1, 1),
        Kind::Unreadable => it.areas[0].unreadable = 3,
        Kind::Covered => it.covered = vec!["/etc/ssh".to_owned()],
        Kind::MountSilent => it.silent = vec!["/srv/nfs".to_owned()],
        Kind::CoverageLate => it.areas[0].oldest = Some(Duration::from_hours(25)),
        Kind::CoverageAtRisk => it.areas[0].entries = 3_000_000,
        Kind::LogBehind => it.logs = vec![LogFacts { lag: Some(70 << 20), ..log }],
        Kind::PidFile => {
            it.processes = vec![ProcessFacts { fault: Some(crate::model::process::FileFault::Missing), ..process }];
        }
        Kind::RuleOff => {
            it.troubles = vec![row("server:/etc/logcheck", "1 rule is off: /etc/logcheck/ignore.d.server/x:1: …")];
        }
        Kind::ClockDoubted => it.is_clock_doubted = true,
        Kind::PrunedEarly => {
            it.troubles = vec![row("", "events are kept for 12 d only, not for 30d: the database is full")];
        }
        Kind::FirstRound => it.areas[1].state = AreaState::Learning,
        Kind::MountNotEntered => it.troubles = vec![row("/srv/far", "/srv/far (nfs4)")],
        Kind::CallRefused => {
            it.troubles = vec![row("cachestat", "cachestat is refused to the daemon (Function not implemented): time")];
        }
        Kind::NoSandbox => it.troubles = vec![row("", "no sandbox is around the daemon; integrityd doctor says why")],
    }
    it
}

/// The text and the subject of a heartbeat.
fn heartbeat(facts: &Facts) -> (String, String) {
    let now = Moment { wall: facts.now, boottime: Boottime::from_nanos(1), boot: BootId([1; 16]) };
    let (zone, marks, health) = (TimeZone::UTC, Marks::new(), diagnose(facts));
    let figures = Figures {
        host: "web3",
        now,
        zone: &zone,
        program: "integrityd",
        began: facts.now,
        turn: Last { number: 1, due: now },
        before: facts.now,
        next: facts.now,
        marks: (&marks, &marks),
        tally: &BatchTally::default(),
        facts,
        health: &health,
        areas: &[],
    };
    let rendered = figures.heartbeat(facts.head);
    (rendered.text, rendered.subject)
}

fn has(text: &str, wanted: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    words(text).contains(&words(wanted))
}

/// What the five places say of one trouble, in the order of the table.
fn cells(kind: Kind) -> (Trouble, [String; 5]) {
    let facts = example(kind);
    let health = diagnose(&facts);
    let [trouble] = health.all() else { panic!("{kind:?} alone: {health:?}") };
    assert_eq!(trouble.kind, kind);
    let words = trouble.words.as_str();
    let (text, subject) = heartbeat(&facts);
    let screen = screen(&facts, &health, TableStyle { width: 100, is_coloured: false });
    let nagios = nagios::line(&facts, &health);
    let doctor: String =
        health::findings(&health).iter().map(crate::cli::doctor::finding::DoctorFinding::text).collect();
    let is_note = kind.weight() == Weight::Note;
    for (place, said) in [("status", &screen), ("doctor", &doctor)] {
        assert!(has(said, words), "{place} is silent about {kind:?}: {said}");
    }
    for (place, said) in [("heartbeat", &text), ("nagios", &nagios)] {
        assert!(has(said, words) != is_note, "{place} about {kind:?}: {said}");
    }
    assert!(has(&subject, &trouble.short()) != is_note, "subject about {kind:?}: {subject}");
    assert_eq!(subject.contains("all quiet"), is_note, "{subject}");
    assert_eq!(nagios.contains("INTEGRITYD OK"), is_note, "{nagios}");
    let word = kind.weight().word();
    let said = |where_: &str| if is_note { "–".to_owned() } else { where_.to_owned() };
    let doctor = doctor.split_whitespace().next().unwrap_or_default().to_owned();
    let cells = [
        // Who does not run writes no mail.
        if kind == Kind::NotRunning { "no heartbeat comes".to_owned() } else { said(&format!("{word} line")) },
        format!("{word} line"),
        said(word),
        doctor,
        if kind == Kind::NotRunning { "–".to_owned() } else { said(&format!("`{word} {}`", trouble.short())) },
    ];
    (trouble.clone(), cells)
}

#[test]
fn every_trouble_is_said_in_every_place_as_the_table_has_it() {
    const BEGIN: &str = "<!-- troubles: made by the test of src/cli/trouble_places.rs -->\n";
    const END: &str = "<!-- end of troubles -->\n";
    let mut table = "| trouble, as `status` says it | heartbeat | status | nagios | doctor | subject of the heartbeat |\n|---|---|---|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let (trouble, cells) = cells(*kind);
        table += &format!("| {} | {} |\n", trouble.words.replace('|', "\\|"), cells.join(" | "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/torture.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("INTEGRITYD_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(
            committed == table,
            "docs/torture.md is outdated: run INTEGRITYD_BLESS=1 cargo test --lib every_trouble"
        );
    }
}

#[test]
fn what_is_fine_is_quiet_everywhere() {
    let facts = facts();
    let (text, subject) = heartbeat(&facts);
    assert!(subject.contains("all quiet") && !text.contains("ATTENTION"), "{subject}\n{text}");
    assert!(text.contains("/etc  watched, 100% seen in 1d, 2,412 entries"), "{text}");
}

#[test]
fn what_is_not_seen_counts_against_what_was_seen() {
    let mut facts = facts();
    facts.areas[0].unreadable = 1206;
    facts.areas[1].state = AreaState::Missing;
    let (text, subject) = heartbeat(&facts);
    assert!(text.contains("/etc  watched, 50% seen in 1d") && text.contains("/usr  missing, 0% seen in 7d"), "{text}");
    assert!(subject.contains("CRITICAL area missing: /usr (+1)"), "{subject}");
    assert!(nagios::line(&facts, &diagnose(&facts)).contains(" in_time=0%"), "a missing area was not seen");
}
