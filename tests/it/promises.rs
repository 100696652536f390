//! Promised ages in virtual time: kept above the usual pace, never above the ceiling, and told early when they cannot be kept.

use std::{fs, time::Duration};

use integrityd::{
    config::settings::config::{Area, Config},
    model::event::{Category, StoredEvent},
    store::events::append::Filter,
};
use tokio::time::sleep;

use crate::journeys::{Daemonic, Journey};

const HOUR: Duration = Duration::from_hours(1);

/// 200 files that were promised something, and 1,000 that were not, at a pace that needs days for all of them.
fn settled(journey: &Journey, max_age: Duration) -> Config {
    let root = journey.directory.path().join("tree");
    for (area, files) in [("mine", 200), ("others", 1000)] {
        fs::create_dir(root.join(area)).unwrap();
        (0..files).for_each(|number| fs::write(root.join(format!("{area}/f{number}")), "content").unwrap());
    }
    let mut config = journey.config();
    config.areas =
        vec![Area { max_age: Some(max_age), ..Area::new(root.join("mine")) }, Area::new(root.join("others"))];
    config.rates.files = 0.01;
    config.rates.speedup = 1000.0;
    config.rates.max_files = 0.5;
    config
}

async fn told(daemon: &Daemonic, category: Category) -> Vec<StoredEvent> {
    let filter = Filter { limit: 1000, ..Filter::default() };
    let mut events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    events.retain(|stored| stored.event.category == category);
    events
}

/// The longest wait of an entry of the first area, the looks in a minute at most, and the looks in all.
async fn watch(journey: &Journey, daemon: &Daemonic, minutes: u32) -> (Duration, u64, u64) {
    let (mut longest, mut most, mut all) = (Duration::ZERO, 0, 0);
    for _ in 0..minutes {
        let before = daemon.looks().await;
        sleep(Duration::from_mins(1)).await;
        let looks = daemon.looks().await - before;
        let now = journey.clock.now().wall;
        let oldest = daemon
            .db
            .call(|store| {
                store.flush().unwrap();
                let areas = store.areas().unwrap();
                let mine = areas.iter().find(|area| area.path.ends_with(b"/mine")).unwrap();
                store.oldest_check(mine.id).unwrap().unwrap()
            })
            .await;
        (longest, most, all) = (longest.max(now.since(oldest)), most.max(looks), all + looks);
    }
    (longest, most, all)
}

#[tokio::test(start_paused = true)]
async fn every_entry_is_looked_at_within_the_promised_age_and_below_the_ceiling() {
    let journey = Journey::new();
    let daemon = journey.start(settled(&journey, HOUR));
    daemon.until_established().await;
    sleep(Duration::from_mins(2)).await;
    let (longest, most, all) = watch(&journey, &daemon, 300).await;
    assert!(longest <= HOUR, "an entry waited {longest:?}");
    assert!(most <= 31, "{most} looks in a minute, the ceiling is 30");
    // 201 entries need 0.084 looks/s, the others keep 0.0083: not more than is needed.
    assert!((1300..1900).contains(&all), "{all} looks in five hours");
    assert_eq!(told(&daemon, Category::CoverageAtRisk).await.len(), 0);
    assert_eq!(told(&daemon, Category::CoverageLate).await.len(), 0);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_told_early_and_once_in_errornag() {
    let journey = Journey::new();
    let mut config = settled(&journey, HOUR);
    config.rates.max_files = 0.05;
    config.report.error_nag = HOUR * 10;
    config.report.files.hold_off = Duration::ZERO;
    let daemon = journey.start(config.clone());
    daemon.until_established().await;
    sleep(Duration::from_mins(20)).await;
    let early = told(&daemon, Category::CoverageAtRisk).await;
    assert_eq!(early.len(), 1, "it is told before anything is late");
    assert_eq!(told(&daemon, Category::CoverageLate).await.len(), 0);
    let note = String::from_utf8(early[0].event.note.clone()).unwrap();
    assert!(note.starts_with("needs 0.08 looks/s, ceiling 0.05 (maxfilerate); oldest check "), "{note}");
    let (_, most, _) = watch(&journey, &daemon, 60).await;
    assert!(most <= 4, "{most} looks in a minute, the ceiling is 3");
    daemon.stop().await;
    let daemon = journey.start(config);
    sleep(HOUR * 3).await;
    assert_eq!(told(&daemon, Category::CoverageAtRisk).await.len(), 1, "nor is it told again after a restart");
    assert_eq!(told(&daemon, Category::CoverageLate).await.len(), 1);
    sleep(HOUR * 8).await;
    assert_eq!(told(&daemon, Category::CoverageAtRisk).await.len(), 2);
    let mails = journey.mails().join("\n");
    let path = journey.directory.path().join("tree/mine");
    let line = format!("at risk: {}  needs 0.08 looks/s, ceiling 0.05 (maxfilerate)", path.display());
    assert!(mails.contains("\nCOVERAGE  ") && mails.contains(&line), "{mails}");
    assert!(mails.contains(&format!("late: {}  ", path.display())), "{mails}");
    daemon.stop().await;
}
