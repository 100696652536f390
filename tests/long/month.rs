//! A month of a quiet machine in virtual time, in a process of its own so that its memory can be measured.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use integrityd::{
    config::settings::config::{Area, Config},
    daemon::{
        Daemon,
        signals::{Orders, SignalOrder},
    },
    model::clock::{BootId, Boottime, Clock, Moment, Timestamp},
    report::transport::{Printer, Transport},
    store::{db::Db, sqlite::connection::Store},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, time::sleep};

const DAY: Duration = Duration::from_hours(24);

/// Set in the process that plays the month.
const PLAYER: &str = "INTEGRITYD_TEST_PLAYS_A_MONTH";

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Plays the month: 300 files, a look every ten seconds, one change a day. Prints the resident memory in KiB after each day.
async fn play() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    (0..300).for_each(|number| fs::write(tree.join(format!("f{number}")), "x").unwrap());
    let mut config = Config::embedded(vec![Area::new(tree.clone())], directory.path().join("state/integrityd.sqlite"));
    config.recipients = vec!["root@example.org".to_owned()];
    config.rates.files = 0.1;
    config.rates.pressure = 0;
    let clock = Clock::starting_at(Moment {
        wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
        boottime: Boottime::from_nanos(1_000_000_000_000),
        boot: BootId([9; 16]),
    });
    let db = Db::new(Store::open(&config.database, clock.now()).unwrap());
    let accepted = Arc::default();
    let mut daemon = Daemon {
        config,
        source: None,
        db,
        clock,
        host: "web3.example".to_owned(),
        chance: StdRng::seed_from_u64(7),
        printer: Printer(Arc::new(Mutex::new(Vec::new()))),
        program: "integrityd".to_owned(),
        own_lines: Arc::default(),
        unstored: Arc::default(),
        transport: Some(Transport::Stub(Arc::clone(&accepted))),
    };
    let (orders, receiver) = mpsc::channel(1);
    let task = tokio::spawn(async move { daemon.run(Orders::Channel(receiver)).await.unwrap() });
    for day in 1..=30 {
        fs::write(tree.join("f7"), format!("{day}")).unwrap();
        sleep(DAY).await;
        println!("resident {}", resident());
    }
    orders.send(SignalOrder::Stop).await.unwrap();
    task.await.unwrap();
    println!("mails {}", accepted.lock().unwrap().len());
}

#[test]
fn a_month_of_a_quiet_machine_grows_nothing() {
    if std::env::var_os(PLAYER).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play());
        return;
    }
    let played = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "month::a_month_of_a_quiet_machine_grows_nothing", "--nocapture"])
        .env(PLAYER, "yes")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&played.stdout).into_owned();
    assert!(played.status.success(), "{text}{}", String::from_utf8_lossy(&played.stderr));
    let resident: Vec<u64> = text.lines().filter_map(|line| line.split_once("resident ")?.1.parse().ok()).collect();
    let mails: usize = text.lines().find_map(|line| line.split_once("mails ")?.1.parse().ok()).unwrap();
    assert_eq!(resident.len(), 30, "{text}");
    // One of the baseline, one a day.
    assert!((30..=32).contains(&mails), "{mails} mails");
    println!("resident: {} KiB after a day, {} after a month", resident[0], resident[29]);
    assert!(resident[29] <= resident[1] + 1024, "it grows: {resident:?} KiB");
}
