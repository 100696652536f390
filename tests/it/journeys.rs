//! Whole journeys in virtual time: real files, a real store, a stub for the mail, and a clock that plays a day in seconds.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use integrityd::{
    config::settings::config::{Area, Config, FirstRound, Pooling},
    daemon::{
        Daemon,
        signals::{Orders, SignalOrder},
    },
    model::clock::{BootId, Boottime, Clock, Moment, Timestamp},
    report::{
        mail::mime::plain_text,
        transport::{Accepted, Printer, Transport},
    },
    store::{
        baseline::areas::AreaSummary,
        db::Db,
        events::append::Filter,
        sqlite::{connection::Store, files::is_running},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::support::unwrapped;

const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct Journey {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) accepted: Accepted,
}

pub(crate) struct Daemonic {
    pub(crate) db: Db,
    orders: mpsc::Sender<SignalOrder>,
    task: JoinHandle<()>,
}

impl Journey {
    pub(crate) fn new() -> Self {
        Self::starting_at(Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
            boottime: Boottime::from_nanos(1_000_000_000_000),
            boot: BootId([9; 16]),
        })
    }

    pub(crate) fn starting_at(origin: Moment) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tree")).unwrap();
        Self { directory, clock: Clock::starting_at(origin), accepted: Arc::default() }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    pub(crate) fn file(&self, number: usize) -> PathBuf {
        self.tree().join(format!("d{}/f{number:04}", number % 7))
    }

    pub(crate) fn fill(&self, files: usize, content: &[u8]) {
        (0..7).for_each(|number| fs::create_dir_all(self.tree().join(format!("d{number}"))).unwrap());
        (0..files).for_each(|number| fs::write(self.file(number), content).unwrap());
    }

    pub(crate) fn config(&self) -> Config {
        let mut config =
            Config::embedded(vec![Area::new(self.tree())], self.directory.path().join("state/integrityd.sqlite"));
        config.recipients = vec!["root@example.org".to_owned()];
        // The machine that runs the test must not slow it down.
        config.rates.pressure = 0;
        // As where rates are given: most journeys look at them.
        config.rates.first_round = FirstRound::Paced;
        config
    }

    pub(crate) fn start(&self, config: Config) -> Daemonic {
        self.start_by(config, Transport::Stub(Arc::clone(&self.accepted)))
    }

    /// As `start`, but reports go this way.
    pub(crate) fn start_by(&self, config: Config, transport: Transport) -> Daemonic {
        let db = Db::new(Store::open(&config.database, self.clock.now()).unwrap());
        let mut daemon = Daemon {
            config,
            source: None,
            db: db.clone(),
            clock: self.clock.clone(),
            host: "web3.example".to_owned(),
            chance: StdRng::seed_from_u64(7),
            printer: Printer(Arc::new(Mutex::new(Vec::new()))),
            program: "integrityd".to_owned(),
            own_lines: Arc::default(),
            unstored: Arc::default(),
            transport: Some(transport),
        };
        let (orders, receiver) = mpsc::channel(1);
        let task = tokio::spawn(async move { daemon.run(Orders::Channel(receiver)).await.unwrap() });
        Daemonic { db, orders, task }
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().map(|(_, bytes)| unwrapped(&plain_text(bytes).1)).collect()
    }
}

impl Daemonic {
    /// Stops the daemon, and waits until nobody holds the database any more: a blocking job that its task left behind may, for a moment
    /// of the machine's own time.
    pub(crate) async fn stop(self) {
        let path = self.db.lock().path().to_path_buf();
        self.orders.send(SignalOrder::Stop).await.unwrap();
        self.task.await.unwrap();
        drop(self.db);
        for _ in 0..1000 {
            if is_running(&path) != Some(true) {
                return;
            }
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(10))).await.unwrap();
        }
    }

    pub(crate) async fn looks(&self) -> u64 {
        self.db.call(|store| store.counters().unwrap().looks).await
    }

    pub(crate) async fn bytes(&self) -> u64 {
        self.db.call(|store| store.counters().unwrap().bytes).await
    }

    pub(crate) async fn until_established(&self) {
        loop {
            let areas = self.db.call(|store| store.areas().unwrap()).await;
            if !areas.is_empty() && areas.iter().all(|area| area.rounds > 0) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Looks per second over `span`.
    pub(crate) async fn rate(&self, span: Duration) -> f64 {
        let before = self.looks().await;
        sleep(span).await;
        let count = u32::try_from(self.looks().await - before).unwrap();
        f64::from(count) / span.as_secs_f64()
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_becomes_a_mail_by_the_rules_of_2012() {
    let journey = Journey::new();
    journey.fill(60, b"content");
    let mut config = journey.config();
    config.report.files = Pooling { report_time: Duration::from_secs(30), hold_off: Duration::from_mins(15) };
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(journey.mails().len(), 1, "start and end of the first round are one mail here");
    fs::write(journey.file(3), "other").unwrap();
    let changed = Instant::now();
    while journey.mails().len() < 2 {
        sleep(Duration::from_secs(1)).await;
        assert!(changed.elapsed() < 2 * HOUR);
    }
    let mails = journey.mails();
    assert!(mails[1].contains("f0003") && mails[1].contains("size 7 → 5"), "{}", mails[1]);
    // The first mail began a hold-off of 15 minutes.
    assert!(changed.elapsed() > Duration::from_mins(10), "{:?}", changed.elapsed());
    assert!(changed.elapsed() < Duration::from_mins(16), "{:?}", changed.elapsed());
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_hold_off_survives_a_restart_and_nothing_is_told_twice() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let daemon = journey.start(journey.config());
    daemon.until_established().await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(journey.mails().len(), 1);
    let mailed = Instant::now();
    fs::remove_file(journey.file(4)).unwrap();
    fs::write(journey.tree().join("new"), "x").unwrap();
    sleep(Duration::from_mins(5)).await;
    daemon.stop().await;
    let daemon = journey.start(journey.config());
    while journey.mails().len() < 2 {
        sleep(Duration::from_secs(1)).await;
        assert!(mailed.elapsed() < HOUR);
    }
    let waited = mailed.elapsed().as_secs();
    assert!((790..=905).contains(&waited), "the second mail came after {waited} s");
    let text = journey.mails()[1].clone();
    assert_eq!(text.matches("f0004").count(), 1, "{text}");
    assert_eq!(text.matches("/new ").count(), 1, "{text}");
    sleep(HOUR).await;
    assert_eq!(journey.mails().len(), 2);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a17_a_change_that_is_taken_back_before_the_mail_is_told_with_both_its_events() {
    let journey = Journey::new();
    journey.fill(30, b"content");
    let mut config = journey.config();
    config.report.files = Pooling { report_time: Duration::from_mins(10), hold_off: Duration::ZERO };
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_mins(11)).await;
    let before = journey.mails().len();
    fs::write(journey.file(4), "other").unwrap();
    sleep(Duration::from_mins(2)).await;
    fs::write(journey.file(4), "content").unwrap();
    sleep(Duration::from_mins(11)).await;
    let mails = journey.mails().split_off(before);
    assert_eq!(mails.len(), 1, "{mails:?}");
    let (there, back) = (mails[0].find("size 7 → 5").unwrap(), mails[0].find("size 5 → 7").unwrap());
    assert!(there < back, "{}", mails[0]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn looks_keep_their_rate_speed_up_after_a_change_and_fall_back() {
    let journey = Journey::new();
    journey.fill(300, b"x");
    let mut config = journey.config();
    config.rates.files = 2.0;
    let daemon = journey.start(config);
    daemon.until_established().await;
    let ordinary = daemon.rate(Duration::from_secs(50)).await;
    assert!((1.9..=2.1).contains(&ordinary), "{ordinary} looks/s");
    fs::write(journey.file(3), "other").unwrap();
    // At two looks a second the change is found within one round; then 40 a second until everything was seen once.
    let mut fastest = 0.0_f64;
    for _ in 0..200 {
        fastest = fastest.max(daemon.rate(Duration::from_secs(2)).await);
    }
    assert!((36.0..=41.0).contains(&fastest), "{fastest} looks/s after the change");
    let again = daemon.rate(Duration::from_secs(50)).await;
    assert!((1.9..=2.1).contains(&again), "{again} looks/s after the round");
    daemon.stop().await;
}

/// What is watched, and what a first round has seen, in an order of its own.
async fn states(daemon: &Daemonic) -> Vec<(&'static str, u64)> {
    daemon
        .db
        .call(|store| {
            let of = |summary: AreaSummary| (summary.area.state.word(), summary.entries);
            store.area_summaries().unwrap().into_iter().map(of).collect()
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_small_area_is_watched_while_the_first_round_over_a_large_one_goes_on() {
    let journey = Journey::new();
    let (large, small) = (journey.tree().join("large"), journey.tree().join("small"));
    for number in 0..3000 {
        fs::create_dir_all(large.join(format!("d{}", number % 30))).unwrap();
        fs::write(large.join(format!("d{}/{number}", number % 30)), "x").unwrap();
    }
    fs::create_dir_all(small.join("inner")).unwrap();
    (0..10).for_each(|number| fs::write(small.join(format!("inner/{number}")), "x").unwrap());
    let mut config = journey.config();
    config.areas = vec![Area::new(large), Area::new(small.clone())];
    config.rates.first_round = FirstRound::Fast { looks: 20.0, bytes: 1e9 };
    (config.report.files.report_time, config.report.files.hold_off) = (Duration::from_secs(1), Duration::from_secs(1));
    let daemon = journey.start(config);
    let began = Instant::now();
    while states(&daemon).await.iter().all(|(state, _)| *state != "watched") {
        sleep(Duration::from_millis(100)).await;
    }
    // Half of the looks are its own, however many names the other has.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    fs::write(small.join("inner/new"), "x").unwrap();
    fs::write(small.join("inner/7"), "other").unwrap();
    sleep(Duration::from_secs(15)).await;
    let mails = journey.mails().join("\n");
    assert!(mails.contains("inner/new") && mails.contains("inner/7"), "{mails}");
    let found = states(&daemon).await;
    assert!(found[0].0 == "learning" && found[0].1 < 1000, "{found:?}");
    // It costs the other a tenth of its pace, and its turns of the beginning.
    sleep(Duration::from_secs(200).saturating_sub(began.elapsed())).await;
    let found = states(&daemon).await;
    assert_eq!(found, [("watched", 3031), ("watched", 13)]);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_are_paid_from_one_bucket_over_small_and_big_files_and_areas() {
    let journey = Journey::new();
    let tree = journey.tree();
    let mut config = journey.config();
    config.areas = ["one", "two"].map(|name| Area::new(tree.join(name))).to_vec();
    for area in ["one", "two"] {
        fs::create_dir(tree.join(area)).unwrap();
        (0..40).for_each(|number| fs::write(tree.join(format!("{area}/s{number}")), vec![1; 100_000]).unwrap());
        (0..3).for_each(|number| {
            fs::write(tree.join(format!("{area}/b{number}")), vec![2; 2_000_000]).unwrap();
        });
    }
    config.rates.files = 1000.0;
    config.rates.bytes = 2_000_000.0;
    config.rates.speedup = 1.0;
    let begun = Instant::now();
    let daemon = journey.start(config);
    daemon.until_established().await;
    // 20 MB at 2 MB/s.
    let took = begun.elapsed().as_secs_f64();
    assert!((9.0..=11.5).contains(&took), "{took} s");
    let before = daemon.bytes().await;
    sleep(Duration::from_secs(100)).await;
    let read = daemon.bytes().await - before;
    assert!((190_000_000..=205_000_000).contains(&read), "{read} bytes in 100 s");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_hourly_does_not_keep_the_machine_at_speed() {
    let journey = Journey::new();
    journey.fill(150, b"x");
    let mut config = journey.config();
    config.rates.files = 0.2;
    let daemon = journey.start(config);
    daemon.until_established().await;
    let before = daemon.looks().await;
    for hour in 0..8 {
        fs::write(journey.file(3), format!("hour {hour}")).unwrap();
        sleep(HOUR).await;
    }
    let looks = daemon.looks().await - before;
    // 5,760 at the ordinary rate, 115,200 at twenty times.
    assert!((5_600..11_700).contains(&looks), "{looks} looks in eight hours");
    daemon.stop().await;
    let changed: usize = journey.mails().iter().map(|mail| mail.matches("f0003").count()).sum();
    assert!((6..=8).contains(&changed), "{changed} of 8 changes were told");
}

#[tokio::test(start_paused = true)]
async fn two_files_that_change_at_every_look_set_off_no_second_round_at_speed() {
    let journey = Journey::new();
    journey.fill(100, b"x");
    let mut config = journey.config();
    config.rates.files = 0.2;
    let daemon = journey.start(config);
    daemon.until_established().await;
    let before = daemon.looks().await;
    for tick in 0..2160 {
        fs::write(journey.file(3), format!("tick {tick}")).unwrap();
        fs::write(journey.file(4), format!("tick {tick}")).unwrap();
        sleep(Duration::from_secs(5)).await;
    }
    let looks = daemon.looks().await - before;
    assert!((2_100..3_500).contains(&looks), "{looks} looks in three hours");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_area_is_one_event_and_its_baseline_is_kept() {
    let journey = Journey::new();
    journey.fill(200, b"x");
    let mut config = journey.config();
    config.rates.files = 5.0;
    config.report.files.hold_off = Duration::ZERO;
    let daemon = journey.start(config);
    daemon.until_established().await;
    let (tree, away) = (journey.tree(), journey.directory.path().join("away"));
    sleep(Duration::from_secs(70)).await;
    fs::rename(&tree, &away).unwrap();
    sleep(Duration::from_mins(20)).await;
    let all = journey.mails().join("\n");
    assert_eq!(all.matches("area missing").count(), 1, "{all}");
    assert!(all.contains("its baseline of 208 entries is kept"), "{all}");
    assert!(!all.contains("removed"), "{all}");
    fs::write(away.join("d3/f0003"), "changed while away").unwrap();
    fs::rename(&away, &tree).unwrap();
    sleep(Duration::from_mins(20)).await;
    let all = journey.mails().join("\n");
    assert!(all.contains("area back") && all.contains("f0003"), "{all}");
    assert_eq!(all.matches(" added ").count(), 0, "it was relearned: {all}");
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_subtree_is_one_line_with_its_count() {
    let journey = Journey::new();
    journey.fill(210, b"x");
    let mut config = journey.config();
    config.rates.files = 5.0;
    config.report.files.hold_off = Duration::ZERO;
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_secs(70)).await;
    let away = journey.directory.path().join("away");
    fs::rename(journey.tree().join("d5"), away).unwrap();
    sleep(Duration::from_mins(20)).await;
    let all = journey.mails().join("\n");
    assert_eq!(all.matches(" removed ").count(), 1, "{all}");
    assert!(all.contains("31 entries"), "{all}");
    let filter = Filter { limit: 1000, ..Filter::default() };
    let members = daemon
        .db
        .call(move |store| {
            let events = store.history(&filter).unwrap();
            let removed = events.iter().find(|stored| stored.event.category.word() == "removed").unwrap();
            store.members(removed.seq, 1000).unwrap()
        })
        .await;
    assert_eq!(members.len(), 31);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_moved_away_while_its_names_are_in_hand_stops_nothing() {
    let journey = Journey::new();
    journey.fill(1400, b"x");
    let mut config = journey.config();
    config.rates.files = 5.0;
    config.rates.speedup = 2.0;
    config.report.files.hold_off = Duration::ZERO;
    let daemon = journey.start(config);
    daemon.until_established().await;
    // A round takes more than two minutes; from one minute on the entries are rechecked beside it.
    sleep(Duration::from_secs(100)).await;
    let away = journey.directory.path().join("away");
    fs::rename(journey.tree().join("d5"), away).unwrap();
    sleep(Duration::from_mins(20)).await;
    fs::write(journey.file(3), "changed later").unwrap();
    sleep(Duration::from_mins(20)).await;
    let all = journey.mails().join("\n");
    assert_eq!(all.matches(" removed ").count(), 1, "{all}");
    assert_eq!(all.matches(" added ").count(), 0, "{all}");
    assert!(all.contains("f0003"), "the walk has stopped: {all}");
    daemon.stop().await;
}

/// A terminal that breaks in a way nobody has thought of.
struct Bomb;

impl std::io::Write for Bomb {
    #[expect(clippy::panic, reason = "this is what it is for")]
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        panic!("the terminal broke");
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn h6_a_way_of_mails_that_panics_ends_nothing_and_what_waits_is_sent_by_the_next_one() {
    let journey = Journey::new();
    journey.fill(5, b"content");
    let config = journey.config();
    let db = Db::new(Store::open(&config.database, journey.clock.now()).unwrap());
    let mut daemon = Daemon {
        config: config.clone(),
        source: None,
        db: db.clone(),
        clock: journey.clock.clone(),
        host: "web3.example".to_owned(),
        chance: StdRng::seed_from_u64(7),
        printer: Printer(Arc::new(Mutex::new(Bomb))),
        program: "integrityd".to_owned(),
        own_lines: Arc::default(),
        unstored: Arc::default(),
        transport: Some(Transport::Terminal(Printer(Arc::new(Mutex::new(Bomb))))),
    };
    let (orders, receiver) = mpsc::channel(1);
    let running = tokio::spawn(async move { daemon.run(Orders::Channel(receiver)).await });
    sleep(Duration::from_mins(10)).await;
    assert!(!running.is_finished(), "a panic in one delivery has ended the daemon");
    orders.send(SignalOrder::Stop).await.unwrap();
    running.await.unwrap().unwrap();
    drop(db);
    // The next life mails what could not be printed, and why.
    let next = journey.start(config);
    sleep(Duration::from_mins(45)).await;
    let mails = journey.mails().join("\n");
    assert!(mails.contains("they are tried again later") && mails.contains("baseline established"), "{mails}");
    next.stop().await;
}
