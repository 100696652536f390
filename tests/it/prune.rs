//! What is old goes, and nothing that somebody has still to get; what is left is a chain that can be verified.

use std::{fs, time::Duration};

use integrityd::{
    model::event::{Category, Channel, Event, Severity},
    store::{
        events::{
            append::Filter,
            outcome::Outcome,
            prune::{Keeping, PruneStep},
        },
        outbox::{failures::DeliveryFailure, reports::ReportId},
        sqlite::connection::Store,
    },
};

use crate::{
    support::Scratch,
    verify::{at, batch, open, report},
};

const DAY: u64 = 86_400;

const KEEPING: Keeping = Keeping { retention: Duration::from_hours(30 * 24), most: None };

fn prune(store: &mut Store, keeping: &Keeping, seconds: u64) -> PruneStep {
    for _ in 0..1000 {
        let step = store.prune(keeping, at(seconds)).unwrap();
        if step != PruneStep::More {
            return step;
        }
    }
    PruneStep::More
}

fn first(store: &Store) -> u64 {
    store.history(&Filter { limit: u32::MAX, ..Filter::default() }).unwrap()[0].seq
}

/// A mail with another date.
fn dated(mail: &[u8], date: &str) -> String {
    let mail = str::from_utf8(mail).unwrap();
    let lines = mail
        .split("\r\n")
        .map(|line| if line.starts_with("Date: ") { format!("Date: {date}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\r\n")
}

#[test]
fn verify_finds_what_was_pruned_though_its_mail_is_younger_than_the_retention() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    scratch.configure("mail = stdout:\nretention = 30d\n");
    report(&mut store, 1500, 0, "root@example.org");
    report(&mut store, 1, 31 * DAY, "root@example.org");
    let mails = scratch.path("mails");
    fs::create_dir(&mails).unwrap();
    let (_, mail) = store.message(ReportId(1)).unwrap();
    let letter = |age: i64| {
        let date = jiff::Zoned::now().checked_sub(jiff::Span::new().hours(age)).unwrap();
        fs::write(mails.join("1.eml"), dated(&mail, &jiff::fmt::rfc2822::to_string(&date).unwrap())).unwrap();
    };
    prune(&mut store, &KEEPING, 32 * DAY);
    assert_eq!(store.checkpoint().unwrap().unwrap().seq, 1500);
    let said = || {
        let output = scratch.ask(&["verify", "--mails", mails.to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (age, code) in [(0, 1), (30 * 24 - 1, 1), (30 * 24 + 1, 0), (-48, 0)] {
        letter(age);
        let (found, text) = said();
        assert_eq!((found, text.contains("PRUNED EARLY")), (Some(code), code == 1), "{age} hours: {text}");
    }
    // `maxdatabase` never takes the last day.
    scratch.configure("mail = stdout:\nretention = 30d\nmaxdatabase = 1G\n");
    for (age, code) in [(23, 1), (25, 0)] {
        letter(age);
        let (found, text) = said();
        assert_eq!(found, Some(code), "{age} hours: {text}");
    }
    scratch.configure("no configuration");
    letter(0);
    let output = scratch.ask(&[
        "--database",
        scratch.database().to_str().unwrap(),
        "verify",
        "--mails",
        mails.to_str().unwrap(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("without a configuration nobody knows"), "{text}");
}

#[test]
fn what_was_mailed_late_stays_as_long_as_its_mail_is_young() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let event = || Event::new(Category::Added, Severity::Normal, at(0), b"/a".to_vec());
    store.commit(&(0..1500).fold(Outcome::default(), |outcome, _| outcome.with_event(event()))).unwrap();
    report(&mut store, 1, 20 * DAY, "root@example.org");
    report(&mut store, 1, 60 * DAY, "root@example.org");
    prune(&mut store, &KEEPING, 49 * DAY);
    assert_eq!(first(&store), 1);
    prune(&mut store, &KEEPING, 52 * DAY);
    assert_eq!(first(&store), 1502);
}

#[test]
fn events_of_a_clock_that_was_ahead_hold_up_no_pruning_and_take_nothing_along() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    report(&mut store, 1, 4000 * DAY, "root@example.org");
    report(&mut store, 1200, DAY, "root@example.org");
    report(&mut store, 1, 4000 * DAY, "root@example.org");
    report(&mut store, 1, 50 * DAY, "root@example.org");
    report(&mut store, 1, 51 * DAY, "root@example.org");
    prune(&mut store, &KEEPING, 60 * DAY);
    assert_eq!(first(&store), 1202, "the last of a wrong time stays, for what is behind it is young");
    store.verify().unwrap();
}

#[test]
fn what_everybody_has_got_goes_after_the_retention_and_the_rest_is_still_a_chain() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    for day in 0..60 {
        report(&mut store, 40, day * DAY, "root@example.org");
    }
    let mails = scratch.path("mails");
    fs::create_dir(&mails).unwrap();
    for id in 1..=60 {
        fs::write(
            mails.join(format!("{id}.eml")),
            dated(&store.message(ReportId(id)).unwrap().1, "Thu, 1 Jan 2015 00:00:00 +0000"),
        )
        .unwrap();
    }
    let head = store.head().unwrap();
    assert_eq!(prune(&mut store, &KEEPING, 20 * DAY), PruneStep::Nothing, "nothing is old yet");
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(prune(&mut store, &KEEPING, 60 * DAY), PruneStep::Nothing);
    // 30 days of 40 events are over, and the event that says so is one more.
    assert_eq!((first(&store), store.head().unwrap().seq), (1201, 2401));
    let checkpoint = store.checkpoint().unwrap().unwrap();
    assert_eq!(checkpoint.seq, 1200);
    let told = store.event(2401).unwrap().unwrap().event;
    assert_eq!((told.category, told.severity, told.count), (Category::Pruned, Severity::Count, 1200));
    let note = String::from_utf8(told.note).unwrap();
    assert!(note.starts_with("1200 events, from 1 on, up to event 1200 with hash "), "{note}");
    assert!(!store.has_report("x").unwrap());
    assert!(store.mail(ReportId(30)).unwrap().is_none() && store.mail(ReportId(31)).unwrap().is_some());
    assert_eq!(store.verify().unwrap().seq, 2401);
    // It makes no mail by itself, and goes with the next one.
    assert!(store.waiting(Channel::Files).unwrap().is_none());
    assert_eq!(report(&mut store, 1, 60 * DAY, "root@example.org"), ReportId(61));
    assert!(String::from_utf8(store.message(ReportId(61)).unwrap().1).unwrap().contains("X-Integrityd-Seq: 2401-2402"));
    drop(store);
    let said = |arguments: &[&str]| {
        let output = scratch.ask(arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = said(&["verify", "--mails", mails.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("the chain is whole: 1202 events, 1200 older ones pruned, head "), "{text}");
    assert!(text.contains("note: 30 mails tell of events that were pruned since"), "{text}");
    let (code, text) = said(&["history", "--limit", "5000", "--json"]);
    assert_eq!((code, text.lines().count()), (Some(0), 1202));
    assert!(said(&["history"]).1.contains("pruned · 1,200 events"));
    assert_eq!(said(&["show", "1200"]).0, Some(64));
    assert_eq!(said(&["show", "1201"]).0, Some(0));
}

#[test]
fn what_nobody_has_got_yet_stays_whatever_its_age() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    let keep_all = Keeping { retention: Duration::from_hours(24), most: Some(1 << 20) };
    report(&mut store, 1500, 0, "root@example.org");
    // A report that is refused for good and parked, after one that was accepted.
    store.commit(&Outcome::tell(Event::new(Category::Added, Severity::Normal, at(DAY), b"/a".to_vec()))).unwrap();
    batch(&mut store, DAY, "root@example.org");
    let (due, _) = store.due_deliveries(at(DAY)).unwrap();
    let failure = DeliveryFailure { reply: "550 no".to_owned(), is_refusal: true, is_trouble: true, retry: None };
    store.mark_failed(&due[0], &failure, at(DAY)).unwrap();
    report(&mut store, 1500, 2 * DAY, "root@example.org");
    prune(&mut store, &keep_all, 1000 * DAY);
    assert_eq!(first(&store), 1501, "the parked report and all behind it stay");
    assert!(store.mail(ReportId(2)).unwrap().is_some());
    store.verify().unwrap();
    // Given up by an administrator it goes, and so does what was reported; what was not, stays.
    store.drop_reports(&[ReportId(2)], 0, at(3 * DAY)).unwrap();
    // Long after the event that told of the first pruning, which is reported as little.
    prune(&mut store, &keep_all, 2000 * DAY);
    let left = first(&store);
    assert!(left > 3001, "{left}");
    let events = store.history(&Filter { limit: u32::MAX, ..Filter::default() }).unwrap();
    assert!(events.iter().any(|stored| stored.event.category == Category::Notice), "the drop was never reported");
    assert_eq!(store.verify().unwrap(), store.head().unwrap());
    assert!(store.next_report().unwrap() > ReportId(3), "a number would come again");
}

#[test]
fn a_crash_between_two_steps_leaves_a_whole_chain_and_the_next_run_goes_on() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    for _ in 0..3 {
        report(&mut store, 1000, 0, "root@example.org");
    }
    store.commit(&Outcome::tell(Event::new(Category::Added, Severity::Normal, at(100 * DAY), b"/a".to_vec()))).unwrap();
    // Announced, and one step done.
    assert_eq!(store.prune(&KEEPING, at(100 * DAY)).unwrap(), PruneStep::More);
    assert_eq!(first(&store), 1);
    store.verify().unwrap();
    assert_eq!(store.prune(&KEEPING, at(100 * DAY)).unwrap(), PruneStep::More);
    assert_eq!(first(&store), 501);
    drop(store);
    let mut store = open(&scratch);
    assert_eq!(store.verify().unwrap().seq, 3002);
    assert_eq!(prune(&mut store, &KEEPING, 100 * DAY), PruneStep::Nothing);
    assert_eq!(
        (first(&store), store.head().unwrap().seq),
        (3001, 3002),
        "it was announced twice, or what is new has gone"
    );
    store.verify().unwrap();
}

#[test]
fn a_database_that_grows_beyond_its_size_loses_its_oldest_events_first() {
    let scratch = Scratch::new();
    let mut store = open(&scratch);
    for hour in 0..100 {
        report(&mut store, 200, hour * 3600, "root@example.org");
    }
    let before = store.used_bytes().unwrap();
    let keeping = Keeping { retention: Duration::from_hours(400 * 24), most: Some(before / 2) };
    let now = 100 * 3600;
    assert_eq!(prune(&mut store, &keeping, now), PruneStep::Nothing);
    let after = store.used_bytes().unwrap();
    println!("{before} bytes used before, {after} after, at most {}", before / 2);
    assert!(after <= before / 2, "{after} of {before}");
    assert!(first(&store) > 5_000, "{}", first(&store));
    store.verify().unwrap();
    // The last day stays, however little room there is.
    let keeping = Keeping { most: Some(100_000), ..keeping };
    assert!(matches!(prune(&mut store, &keeping, now), PruneStep::TooLarge(_)));
    let left = store.history(&Filter { limit: u32::MAX, ..Filter::default() }).unwrap();
    let files = left.iter().filter(|stored| stored.event.category == Category::Changed).count();
    assert_eq!(files, 24 * 200);
    store.verify().unwrap();
}
