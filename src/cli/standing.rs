//! How things stand: everything that `status` shows, as one plain value that its forms and the judgement read.

use std::{path::Path, time::Duration};

use super::{
    out::number,
    standing_logs::{Log, logs},
    standing_processes::{Process, processes},
    starting,
};
use crate::{
    config::{settings::Config, units::to_float},
    files::promise::Demand,
    model::{
        clock::{Moment, Timestamp},
        escape::escape_name,
        event::Category,
    },
    store::{
        areas::{AreaState, AreaSummary},
        database::{Counters, Store},
        error::StoreError,
        events::Head,
        outbox::QueueSummary,
        place::{is_running, own_files, running_for},
        standing::Ahead,
    },
    sys::{
        mounts::{self, Mount},
        space::{Space, space},
    },
};

/// An area without a promised age is measured by this: what was not looked at for a week is not watched in any useful sense.
pub(super) const WEEK: Duration = Duration::from_hours(24 * 7);

/// Everything that `status` shows.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The database, made printable.
    pub(super) database: String,
    /// Bytes of its files.
    pub(super) database_size: u64,
    /// The room on its file system; `None` when that cannot be told.
    pub(super) space: Option<Space>,
    /// Whether a daemon runs on it.
    pub(super) daemon: Daemon,
    /// The areas, in the order in which they came.
    pub(super) areas: Vec<Area>,
    /// The logs, by their rules and paths.
    pub(super) logs: Vec<Log>,
    /// The watched processes, by what names them.
    pub(super) processes: Vec<Process>,
    /// Looks and bytes so far.
    pub(super) counters: Counters,
    /// The outbox.
    pub(super) queue: QueueSummary,
    /// The end of the chain.
    pub(super) head: Head,
    /// What the configuration says of the pace; `None` when it could not be used.
    pub(super) pace: Option<Pace>,
    /// Tasks of the daemon that stand still, and since when.
    pub(super) standstills: Vec<(String, Timestamp)>,
    /// Parts of the areas that cannot be seen now, and why.
    pub(super) unseen: Vec<String>,
    /// What the reader should know about this very answer.
    pub(super) remarks: Vec<String>,
    /// When it was asked.
    pub(super) now: Timestamp,
}

/// The daemon as seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    /// `None` when it cannot be told.
    pub(super) is_running: Option<bool>,
    /// For how long it runs.
    pub(super) running_for: Option<Duration>,
    /// Its start, or its end when that was an orderly one.
    pub(super) last_sign: Timestamp,
    /// Whether that was an orderly end.
    pub(super) has_stopped: bool,
    /// How long ago an orderly end may be, where single runs do the work of a daemon.
    pub(super) run_within: Option<Duration>,
    /// The command that starts it.
    pub(super) start: &'static str,
}

/// One area.
#[derive(Debug, Clone)]
pub(super) struct Area {
    /// Its path, made printable.
    pub(super) path: String,
    /// What is done with it.
    pub(super) state: AreaState,
    /// Complete rounds.
    pub(super) rounds: u64,
    /// Its entries.
    pub(super) entries: u64,
    /// How long the entry that has waited longest has waited.
    pub(super) oldest: Option<Duration>,
    /// The longest wait of the better half of the entries.
    pub(super) median: Option<Duration>,
    /// And of 95 of 100.
    pub(super) most: Option<Duration>,
    /// How many were looked at within [`Area::within`].
    pub(super) in_time: u64,
    /// The promised age, `areamaxage`.
    pub(super) max_age: Option<Duration>,
}

/// Looks per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// As configured.
    pub(super) usual: f64,
    /// The ceiling for promised ages.
    pub(super) allowed: f64,
    /// Whether the daemon goes faster for a promised age.
    pub(super) is_raised: bool,
}

impl Area {
    /// The span that its share is measured by.
    pub(super) fn within(&self) -> Duration {
        self.max_age.unwrap_or(WEEK)
    }

    /// The share of its entries that was looked at in time, 0 to 1; 1 when there are none.
    pub(super) fn share(&self) -> f64 {
        if self.entries == 0 { 1.0 } else { to_float(self.in_time) / to_float(self.entries) }
    }

    /// Looks per second that its promise needs.
    pub(super) fn needed(&self) -> Option<f64> {
        Some(Demand::of(Ahead { entries: self.entries, bytes: 0 }, self.max_age?).looks)
    }

    fn of(store: &Store, config: Option<&Config>, summary: AreaSummary, now: Timestamp) -> Result<Self, StoreError> {
        use std::os::unix::ffi::OsStrExt;
        let AreaSummary { area, entries, oldest, median, most } = summary;
        let settings = config.and_then(|config| {
            config.areas.iter().find(|settings| settings.path.as_os_str().as_bytes() == area.path.as_slice())
        });
        let max_age = settings.and_then(|settings| settings.max_age);
        let age = |at: Option<Timestamp>| at.map(|at| now.since(at));
        Ok(Self {
            path: escape_name(&area.path),
            state: area.state,
            rounds: area.rounds,
            entries,
            oldest: age(oldest),
            median: age(median),
            most: age(most),
            in_time: store.looked_at_since(area.id, now.before(max_age.unwrap_or(WEEK)))?,
            max_age,
        })
    }
}

impl Standing {
    /// Asks the store; `config` only for what was promised.
    pub(super) fn read(
        store: &Store,
        config: Option<&Config>,
        remarks: Vec<String>,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let path: &Path = store.path();
        let (last_sign, has_stopped) = store.last_alive()?;
        let files = own_files(path);
        Ok(Self {
            database: escape_name(path.as_os_str().as_encoded_bytes()),
            database_size: files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|found| found.len()).sum(),
            space: path.parent().and_then(space),
            daemon: Daemon {
                is_running: is_running(path),
                running_for: running_for(path, now.boottime),
                last_sign,
                has_stopped,
                run_within: None,
                start: starting::command(Path::new("/")),
            },
            areas: store
                .area_summaries()?
                .into_iter()
                .map(|summary| Area::of(store, config, summary, now.wall))
                .collect::<Result<_, _>>()?,
            logs: logs(store)?,
            processes: processes(store, now)?,
            counters: store.counters()?,
            queue: store.queue_summary()?,
            head: store.head()?,
            pace: config.map(|config| Pace {
                usual: config.rates.files,
                allowed: config.rates.max_files,
                is_raised: !config.inactive.contains(&"areamaxage"),
            }),
            standstills: store.standstills()?,
            unseen: unseen(store)?,
            remarks,
            now: now.wall,
        })
    }

    /// The areas that are looked at.
    pub(super) fn active(&self) -> impl Iterator<Item = &Area> {
        self.areas.iter().filter(|area| area.state.is_active())
    }

    /// The entries of all areas that are looked at.
    pub(super) fn entries(&self) -> u64 {
        self.active().map(|area| area.entries).sum()
    }

    /// The longest wait in any of them.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.active().filter_map(|area| area.oldest).max()
    }

    /// Looks per second that all promises together need.
    pub(super) fn needed(&self) -> f64 {
        self.active().filter_map(Area::needed).sum()
    }

    /// How long ago that was.
    pub(super) fn age(&self, at: Timestamp) -> Duration {
        self.now.since(at)
    }
}

/// Parts of the areas that something hides, and slow mounts that do not answer.
fn unseen(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut words = Vec::new();
    for area in store.areas()?.into_iter().filter(|area| area.state.is_active()) {
        let rows = store.mounts(area.id)?.into_iter().filter(|row| row.told.is_some());
        words.extend(
            rows.map(|row| format!("{} is hidden: what was known there is not compared", escape_name(&row.path))),
        );
    }
    let mounts = mounts::read(Path::new("/")).unwrap_or_default();
    for mount in mounts.into_iter().filter(Mount::is_slow) {
        if store.told_last([Category::Stalled, Category::Answering], &mount.point)? == Some(Category::Stalled) {
            words.push(format!("{} does not answer: nothing on it is looked at", escape_name(&mount.point)));
        }
    }
    Ok(words)
}

/// A rate with two figures: `0.04`, `1.9`, `1,250`.
pub(super) fn rate(value: f64) -> String {
    let figures = if value < 0.1 { format!("{value:.2}") } else { format!("{value:.1}") };
    let shown = if value < 10.0 { figures } else { format!("{value:.0}") };
    match shown.parse::<u64>() {
        Ok(whole) => number(whole),
        Err(_) => shown.strip_suffix(".0").map_or(shown.clone(), str::to_owned),
    }
}

/// Values for the tests of the forms: three areas of a machine that is fine.
#[cfg(test)]
pub(super) mod sample {
    use super::*;

    pub(crate) fn standing() -> Standing {
        let hours = |hours: u64| Some(Duration::from_hours(hours));
        let area = |path: &str, entries, oldest: u64| Area {
            path: path.to_owned(),
            state: AreaState::Watched,
            rounds: 4,
            entries,
            oldest: hours(oldest),
            median: hours(oldest / 2),
            most: hours(oldest * 19 / 20),
            in_time: entries,
            max_age: None,
        };
        let now = Timestamp::from_nanos(1_795_266_602_000_000_000);
        Standing {
            database: "/var/lib/integrityd/integrityd.sqlite".to_owned(),
            database_size: 24_117_248,
            space: Some(Space { free: 1 << 30, is_read_only: false }),
            daemon: Daemon {
                is_running: Some(true),
                running_for: hours(75),
                last_sign: now.before(Duration::from_hours(75)),
                has_stopped: false,
                run_within: None,
                start: "service integrityd start",
            },
            areas: vec![
                Area { max_age: hours(24), ..area("/etc", 2_412, 9) },
                area("/usr", 134_750, 51),
                area("/srv/www/customers/example.org/releases/current/public", 8_120, 30),
            ],
            logs: Vec::new(),
            processes: Vec::new(),
            counters: Counters { looks: 412_118, bytes: 9_663_676_416 },
            queue: QueueSummary {
                sent: 12,
                last_sent: Some(now.before(Duration::from_hours(3))),
                ..Default::default()
            },
            head: Head { seq: 48_131, hash: [0x9f; 32] },
            pace: Some(Pace { usual: 1.0, allowed: 50.0, is_raised: true }),
            standstills: Vec::new(),
            unseen: Vec::new(),
            remarks: Vec::new(),
            now,
        }
    }

    #[test]
    fn rates_keep_two_figures() {
        let shown: Vec<String> = [0.0, 0.042, 0.5, 1.0, 1.94, 9.96, 50.0, 1250.4].map(rate).into();
        assert_eq!(shown, ["0.00", "0.04", "0.5", "1", "1.9", "10", "50", "1,250"]);
    }
}
