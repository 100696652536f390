//! A mail system that is away for long: what is found meanwhile becomes few mails, and none of it is lost.

use std::{collections::BTreeSet, fs, time::Duration};

use integrityd::{
    model::event::{Category, Event, Severity},
    report::{mail::mime::plain_text, transport::Transport},
    store::events::outcome::Outcome,
};
use tokio::time::sleep;

use crate::journeys::Journey;

const EVENTS: u32 = 5_000;
const MINUTES: u32 = 100;

#[tokio::test(start_paused = true)]
async fn five_thousand_events_of_a_long_outage_become_few_mails_that_count_them_all() {
    let journey = Journey::new();
    let out = journey.directory.path().join("out");
    // Where there should be a directory, nothing can be put.
    fs::write(&out, "").unwrap();
    let mut config = journey.config();
    config.areas = Vec::new();
    config.report.files.report_time = Duration::from_secs(1);
    config.report.files.hold_off = Duration::from_secs(30);
    let daemon = journey.start_by(config, Transport::File(out.clone()));
    for minute in 0..MINUTES {
        let clock = journey.clock.clone();
        let store = move |store: &mut integrityd::store::sqlite::connection::Store| {
            let mut outcome = Outcome::default();
            for number in 0..EVENTS / MINUTES {
                let path = format!("/away/m{minute:03}-{number:03}").into_bytes();
                outcome = outcome.with_event(Event::new(Category::Added, Severity::Normal, clock.now(), path));
            }
            store.commit(&outcome)
        };
        daemon.db.call(store).await.unwrap();
        sleep(Duration::from_mins(1)).await;
    }
    let queue = daemon.db.call(|store| store.queue_summary()).await.unwrap();
    assert_eq!(queue.queued, 50, "{queue:?}");
    assert!(queue.unreported > 2_000, "{queue:?}");
    fs::remove_file(&out).unwrap();
    sleep(Duration::from_mins(90)).await;
    let queue = daemon.db.call(|store| store.queue_summary()).await.unwrap();
    assert_eq!((queue.queued, queue.parked, queue.unreported), (0, 0, 0), "{queue:?}");
    let mails: Vec<Vec<u8>> =
        fs::read_dir(&out).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(mails.len() <= 53, "{} mails", mails.len());
    let mut total = 0;
    let mut last = BTreeSet::new();
    for mail in &mails {
        let (headers, _) = plain_text(mail);
        let subject = &headers.iter().find(|(name, _)| name == "Subject").unwrap().1;
        if let Some((words, _)) = subject.split_once(" changes to review") {
            let count: String = words.rsplit(' ').next().unwrap().replace(',', "");
            total += count.parse::<u32>().unwrap();
            last.insert(count.parse::<u32>().unwrap());
        }
    }
    assert_eq!(total, EVENTS, "{last:?}");
    assert!(last.last().is_some_and(|most| *most > 2_000), "what had to wait is one mail: {last:?}");
    let told: i64 = rusqlite::Connection::open(journey.directory.path().join("state/integrityd.sqlite"))
        .unwrap()
        .query_row(
            "SELECT count(DISTINCT report_event.seq) FROM report_event JOIN delivery USING (report) JOIN event USING (seq)
             WHERE state = 2 AND source LIKE '/away/%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(told, i64::from(EVENTS), "an event is in no accepted report");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_recipient_of_an_area_does_not_void_the_bound_of_the_others() {
    let journey = Journey::new();
    let out = journey.directory.path().join("out");
    fs::write(&out, "").unwrap();
    let mut config = journey.config();
    config.areas[0].recipients = vec!["quiet@example.org".to_owned()];
    config.report.files.report_time = Duration::from_secs(1);
    config.report.files.hold_off = Duration::from_secs(1);
    let daemon = journey.start_by(config, Transport::File(out));
    for minute in 0..MINUTES {
        let clock = journey.clock.clone();
        let store = move |store: &mut integrityd::store::sqlite::connection::Store| {
            let path = format!("/away/m{minute:03}").into_bytes();
            let event = Event::new(Category::Added, Severity::Normal, clock.now(), path);
            store.commit(&Outcome::default().with_event(event))
        };
        daemon.db.call(store).await.unwrap();
        sleep(Duration::from_secs(8)).await;
    }
    let count = |recipient: &'static str| {
        move |store: &mut integrityd::store::sqlite::connection::Store| {
            store.shortest_queue(&[recipient.to_owned()]).unwrap()
        }
    };
    let (loud, quiet) =
        (daemon.db.call(count("root@example.org")).await, daemon.db.call(count("quiet@example.org")).await);
    assert_eq!(loud, 50);
    assert!(quiet < 5, "{quiet}");
    daemon.stop().await;
}
