//! Courtesy in virtual time: the walker holds back while others wait for the disks, and machines do not move in step.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, FirstRound, LogGroup, RuleDirectory, RuleLevel},
    files::Walker,
    logs::{Tailer, group::context::Surroundings},
    model::{event::Category, keepalive::Keepalive},
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    journeys::Journey,
    support::{PROGRAM, Running, Scratch, wait_for},
};

struct Walking {
    db: Db,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A walker over 50 files at ten looks a second, on a system that shows itself below `root`.
fn walk(journey: &Journey, root: &Path, phase: f64, edit: impl FnOnce(&mut Config)) -> Walking {
    (0..50).for_each(|number| fs::write(journey.tree().join(format!("f{number}")), "x").unwrap());
    let mut config = journey.config();
    config.rates.files = 10.0;
    config.rates.speedup = 1.0;
    edit(&mut config);
    let db = Db::new(Store::open(&config.database, journey.clock.now()).unwrap());
    let stop = CancellationToken::new();
    let chance = StdRng::seed_from_u64(7);
    let walker = Walker::new(Arc::new(config), db.clone(), journey.clock.clone(), chance, stop.clone());
    let task = tokio::spawn(walker.beneath(root.to_path_buf()).in_phase(phase).run());
    Walking { db, stop, task }
}

impl Walking {
    async fn looks(&self) -> u64 {
        self.db.call(|store| store.counters().unwrap().looks).await
    }

    /// Looks a second over `span`.
    async fn rate(&self, span: Duration) -> f64 {
        let before = self.looks().await;
        sleep(span).await;
        f64::from(u32::try_from(self.looks().await - before).unwrap()) / span.as_secs_f64()
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn press(root: &Path, share: &str) {
    fs::create_dir_all(root.join("proc/pressure")).unwrap();
    let text =
        format!("some avg10={share} avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    fs::write(root.join("proc/pressure/io"), text).unwrap();
}

/// A first round as fast as nobody else wants the machine.
fn fast(config: &mut Config) {
    (config.rates.first_round, config.rates.pressure) = (FirstRound::Fast { looks: 32.0, bytes: 1e9 }, 20);
}

/// That tasks wait for a processor.
fn press_processor(root: &Path, share: &str) {
    press(root, "0.00");
    fs::write(root.join("proc/pressure/cpu"), format!("some avg10={share} avg60=0.00 avg300=0.00 total=7\n")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fast_first_round_leaves_the_processor_to_others_and_the_usual_pace_does_not_ask() {
    let root = tempfile::tempdir().unwrap();
    press_processor(root.path(), "60.00");
    let journey = Journey::new();
    let walking = walk(&journey, root.path(), 0.0, fast);
    // Who waits already does not wait longer until that is found out.
    assert_near(walking.rate(Duration::from_secs(10)).await, 2.0);
    press_processor(root.path(), "1.00");
    while walking.db.call(|store| store.areas().unwrap()[0].rounds == 0).await {
        sleep(Duration::from_millis(100)).await;
    }
    press_processor(root.path(), "60.00");
    sleep(Duration::from_secs(100)).await;
    assert_near(walking.rate(Duration::from_secs(50)).await, 10.0);
    walking.end().await;
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_started_together_begin_their_fast_first_rounds_apart() {
    let root = tempfile::tempdir().unwrap();
    let journey = Journey::new();
    let walking = walk(&journey, root.path(), 0.5, fast);
    sleep(Duration::from_secs(14)).await;
    assert_eq!(walking.looks().await, 0);
    sleep(Duration::from_secs(2)).await;
    assert!(walking.looks().await > 0);
    walking.end().await;
}

fn assert_near(rate: f64, wanted: f64) {
    assert!((wanted * 0.85..=wanted * 1.15).contains(&rate), "{rate} looks/s, wanted {wanted}");
}

#[tokio::test(start_paused = true)]
async fn rates_halve_while_others_wait_for_the_disks_and_come_back_afterwards() {
    let (journey, root) = (Journey::new(), tempfile::tempdir().unwrap());
    let walking = walk(&journey, root.path(), 0.0, |config| config.rates.pressure = 20);
    assert_near(walking.rate(Duration::from_secs(20)).await, 10.0);
    press(root.path(), "20.00");
    sleep(Duration::from_mins(1)).await;
    assert_near(walking.rate(Duration::from_secs(100)).await, 10.0 / 16.0);
    press(root.path(), "19.99");
    sleep(Duration::from_secs(40)).await;
    let half_way = walking.rate(Duration::from_secs(5)).await;
    assert!((3.0..8.0).contains(&half_way), "{half_way}");
    sleep(Duration::from_mins(1)).await;
    assert_near(walking.rate(Duration::from_secs(20)).await, 10.0);
    walking.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_speed_up_and_a_promise_hold_back_too() {
    let (journey, root) = (Journey::new(), tempfile::tempdir().unwrap());
    press(root.path(), "90.00");
    (0..400).for_each(|number| fs::write(journey.tree().join(format!("more{number}")), "x").unwrap());
    let walking = walk(&journey, root.path(), 0.0, |config| {
        config.rates.pressure = 20;
        config.rates.files = 0.001;
        config.areas[0].max_age = Some(Duration::from_hours(1));
        config.rates.max_files = 100.0;
        // The first round is one at speed: 16 looks a second.
        config.rates.speedup = 16_000.0;
    });
    sleep(Duration::from_secs(22)).await;
    assert_near(walking.rate(Duration::from_secs(10)).await, 1.0);
    sleep(Duration::from_mins(15)).await;
    assert_near(walking.rate(Duration::from_hours(2)).await, 451.0 * 1.5 / 3600.0 / 16.0);
    walking.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_or_a_figure_the_rates_are_fixed() {
    let (journey, root) = (Journey::new(), tempfile::tempdir().unwrap());
    let walking = walk(&journey, root.path(), 0.0, |config| config.rates.pressure = 20);
    sleep(Duration::from_secs(30)).await;
    assert_near(walking.rate(Duration::from_secs(20)).await, 10.0);
    walking.end().await;
    press(root.path(), "100.00");
    let journey = Journey::new();
    let walking = walk(&journey, root.path(), 0.0, |config| config.rates.pressure = 0);
    sleep(Duration::from_secs(30)).await;
    assert_near(walking.rate(Duration::from_secs(20)).await, 10.0);
    walking.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_stop_is_later_by_the_phase_of_the_machine_and_by_no_more_than_a_slot() {
    let root = tempfile::tempdir().unwrap();
    for (phase, before, after) in [(0.0, 0.5, 1.0), (0.3, 2.5, 3.5), (0.9, 8.5, 9.5)] {
        let journey = Journey::new();
        let walking = walk(&journey, root.path(), phase, |config| config.rates.files = 0.1);
        sleep(Duration::from_secs_f64(before)).await;
        assert_eq!(walking.looks().await > 0, phase == 0.0, "phase {phase}");
        sleep(Duration::from_secs_f64(after - before)).await;
        assert_eq!(walking.looks().await, 1, "phase {phase}");
        walking.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_reading_of_the_logs_comes_at_the_phase_of_the_machine() {
    for (phase, is_early) in [(0.3, true), (0.0, false)] {
        let journey = Journey::new();
        let path = |name: &str| journey.directory.path().join(name);
        fs::create_dir(path("rules")).unwrap();
        fs::write(path("log"), "").unwrap();
        let mut config = journey.config();
        config.logcheck.check_time = Duration::from_secs(30);
        config.logs = vec![LogGroup {
            rules: vec![RuleDirectory { level: RuleLevel::Server, path: path("rules") }],
            files: vec![path("log")],
            transient: Vec::new(),
            journal: false,
            old_directories: Vec::new(),
        }];
        let (db, clock) = (Db::new(Store::open(&config.database, journey.clock.now()).unwrap()), journey.clock.clone());
        let stop = CancellationToken::new();
        let surroundings = Surroundings::new(db.clone(), &config, Arc::default(), clock.now());
        let tailer =
            Tailer { config: Arc::new(config), surroundings, clock, pulse: Keepalive::default(), stop: stop.clone() };
        let task = tokio::spawn(tailer.run(phase));
        let lines = || async {
            let filter = Filter { limit: 100, ..Filter::default() };
            let events = db.call(move |store| store.history(&filter).unwrap()).await;
            events.iter().filter(|stored| stored.event.category == Category::SystemEvent).count()
        };
        sleep(Duration::from_secs(1)).await;
        fs::write(path("log"), "Nov 21 14:02:11 web3 x[1]: first\n").unwrap();
        sleep(Duration::from_secs(14)).await;
        assert_eq!(lines().await == 1, is_early, "phase {phase}");
        fs::write(path("log"), "Nov 21 14:02:11 web3 x[1]: first\nNov 21 14:02:12 web3 x[1]: second\n").unwrap();
        sleep(Duration::from_secs(12)).await;
        assert_eq!(lines().await, usize::from(is_early), "the other waits are whole ones");
        sleep(Duration::from_secs(15)).await;
        assert_eq!(lines().await, 2);
        stop.cancel();
        task.await.unwrap();
    }
}

/// The priorities of the threads of a process, by `proc_pid_stat(5)`, each with its I/O class, by `ionice(1)`.
fn threads(pid: u32) -> Vec<(i32, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            let nice = stat.rsplit(')').next()?.split_ascii_whitespace().nth(16)?.parse().ok()?;
            let class = Command::new("ionice").arg("-p").arg(task.file_name()).output().ok()?;
            Some((nice, String::from_utf8_lossy(&class.stdout).trim().to_owned()))
        })
        .collect()
}

#[test]
fn the_workers_of_a_pass_let_everybody_else_go_first() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    // Zeros that take long to be hashed, and are not too many for a pass.
    let size = File::create(scratch.tree().join("sparse")).unwrap().set_len(60 << 30);
    if size.is_err() || Command::new("ionice").output().is_err() {
        println!("skipped: a file cannot be that large here, or there is no ionice(1)");
        return;
    }
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(scratch.path("integrityd.conf")).arg("check").stdin(Stdio::null());
    let check = Running { child: command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap() };
    wait_for("a worker that goes last", || threads(check.pid()).contains(&(19, "idle".to_owned())));
    let own = threads(std::process::id());
    assert!(threads(check.pid()).iter().any(|(nice, _)| *nice == own[0].0), "whoever stores is not among them");
    check.kill();
}
