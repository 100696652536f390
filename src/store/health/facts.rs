//! How things stand: everything that is shown and judged of the daemon, as one plain value. `status`, the heartbeat and the service
//! manager read the same one; [`crate::store::health::diagnose`] says what is wrong with it.

use std::{fs, path::Path, time::Duration};

use crate::{
    config::{
        schema::units::to_float,
        settings::config::{Area as AreaSettings, Config},
    },
    model::{
        clock::{Moment, Timestamp},
        escape::escape_name,
        event::Category,
        file::entry::AreaId,
    },
    store::{
        baseline::{
            areas::{AreaState, AreaSummary},
            missing::MissingCount,
        },
        events::{append::Head, max_age_rate::Demand, path_status::Workload},
        health::{
            fact_logs::{LogFacts, logs},
            fact_processes::{ProcessFacts, processes},
            troubles::TroubleRow,
        },
        open::own_files,
        outbox::reports::QueueSummary,
        sqlite::{
            connection::Store,
            error::StoreError,
            files::{is_running, running_for},
            write_buffer::Counters,
        },
    },
    sys::fs::{
        mounts::{self, Mount},
        space::{Space, space},
    },
};

/// An area without a promised age is measured by this: what was not looked at for a week is not watched in any useful sense.
pub const WEEK: Duration = Duration::from_hours(24 * 7);

/// Everything that is shown and judged.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The database, made printable.
    pub database: String,
    /// Bytes of its files.
    pub database_size: u64,
    /// The room on its file system; `None` when that cannot be told.
    pub space: Option<Space>,
    /// Whether a daemon runs on it.
    pub daemon: DaemonFacts,
    /// The areas, in the order in which they came.
    pub areas: Vec<AreaFacts>,
    /// The logs, by their rules and paths.
    pub logs: Vec<LogFacts>,
    /// The watched processes, by what names them.
    pub processes: Vec<ProcessFacts>,
    /// Looks and bytes so far.
    pub counters: Counters,
    /// The outbox.
    pub queue: QueueSummary,
    /// The end of the chain.
    pub head: Head,
    /// What the configuration says of the pace; `None` when it could not be used.
    pub pace: Option<Pace>,
    /// Tasks of the daemon that stand still, and since when.
    pub standstills: Vec<(String, Timestamp)>,
    /// Mount points that hide a part of the baseline, made printable.
    pub covered: Vec<String>,
    /// Mount points of slow file systems that do not answer, made printable.
    pub silent: Vec<String>,
    /// Troubles that have a row of their own.
    pub troubles: Vec<TroubleRow>,
    /// Whether the wall clock is in doubt.
    pub is_clock_doubted: bool,
    /// What the reader should know about this very answer.
    pub remarks: Vec<String>,
    /// When it was asked.
    pub now: Timestamp,
}

/// The daemon as its database shows it.
#[derive(Debug, Clone)]
pub struct DaemonFacts {
    /// `None` when it cannot be told.
    pub is_running: Option<bool>,
    /// For how long it runs.
    pub running_for: Option<Duration>,
    /// Its start, or its end when that was an orderly one.
    pub last_sign: Timestamp,
    /// Whether that was an orderly end.
    pub has_stopped: bool,
    /// How long ago an orderly end may be, where single runs do the work of a daemon.
    pub run_within: Option<Duration>,
    /// The command that starts it.
    pub start: &'static str,
}

/// One area.
#[derive(Debug, Clone)]
pub struct AreaFacts {
    /// Its row.
    pub id: AreaId,
    /// Its path, as raw bytes.
    pub raw: Vec<u8>,
    /// Its path, made printable.
    pub path: String,
    /// What is done with it.
    pub state: AreaState,
    /// Complete rounds.
    pub rounds: u64,
    /// Its entries.
    pub entries: u64,
    /// How many it will have when its first round is over, by counting before it, and how long that round has taken so far.
    pub first_round: Option<(u64, Duration)>,
    /// Those of them that could not be read when they were checked last.
    pub unreadable: u64,
    /// Directories among those in which paths are longer than `PATH_MAX`.
    pub too_long: u64,
    /// Entries that a mass removal took and whose baseline is kept, and since when the first of them is missing.
    pub missing: Option<(u64, Timestamp)>,
    /// Entries that mounts hide.
    pub covered: u64,
    /// How long the entry that has waited longest has waited.
    pub oldest: Option<Duration>,
    /// The longest wait of the better half of the entries.
    pub median: Option<Duration>,
    /// And of 95 of 100.
    pub most: Option<Duration>,
    /// How many were looked at within [`AreaFacts::within`].
    pub in_time: u64,
    /// The promised age, `areamaxage`.
    pub max_age: Option<Duration>,
}

/// Looks per second.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// As configured.
    pub usual: f64,
    /// The ceiling for promised ages.
    pub allowed: f64,
}

impl AreaFacts {
    /// How much longer its first round will take if it goes on as before; `None` while nobody can know.
    pub fn first_round_left(&self) -> Option<Duration> {
        let (expected, spent) = self.first_round?;
        let left = u32::try_from(expected.saturating_sub(self.entries)).ok()?;
        let done = u32::try_from(self.entries).ok().filter(|done| *done > 0)?;
        Some(spent.mul_f64(f64::from(left) / f64::from(done)))
    }

    /// The span that its share is measured by.
    pub fn within(&self) -> Duration {
        self.max_age.unwrap_or(WEEK)
    }

    /// The share of its entries that was seen in time, 0 to 1: what cannot be read was not seen, nor is anything of an area that is not
    /// watched; 1 of one without entries.
    pub fn share(&self) -> f64 {
        match (self.state.is_active(), self.entries) {
            (false, _) => 0.0,
            (true, 0) => 1.0,
            (true, entries) => to_float(self.in_time.saturating_sub(self.unseen())) / to_float(entries),
        }
    }

    /// The entries that are in the baseline and cannot be compared at present.
    pub fn unseen(&self) -> u64 {
        let missing = self.missing.map_or(0, |(entries, _)| entries);
        self.unreadable.saturating_add(missing).saturating_add(self.covered)
    }

    /// Looks per second that its promise needs.
    pub fn needed(&self) -> Option<f64> {
        Some(Demand::of(Workload { entries: self.entries, bytes: 0 }, self.max_age?).looks)
    }

    fn of(
        store: &Store,
        (terms, missing): (&FactTerms, &[MissingCount]),
        summary: AreaSummary,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let AreaSummary { area, entries, unreadable, oldest, median, most } = summary;
        let max_age = terms.ages.iter().find(|(path, _)| *path == area.path).map(|(_, age)| *age);
        let age = |at: Option<Timestamp>| at.map(|at| now.since(at));
        let mounts = store.mounts(area.id)?;
        let hidden = mounts.iter().filter(|row| row.told.is_some());
        Ok(Self {
            id: area.id,
            path: escape_name(&area.path),
            state: area.state,
            rounds: area.rounds,
            entries,
            first_round: area.expected.zip(age(area.started)).filter(|_| area.state == AreaState::Learning),
            unreadable,
            too_long: if unreadable > 0 { store.beyond_path_max(area.id)? } else { 0 },
            missing: missing.iter().find(|count| count.area == area.id).map(|count| (count.entries, count.since)),
            covered: hidden.map(|row| row.entries).sum(),
            oldest: age(oldest),
            median: age(median),
            most: age(most),
            in_time: store.looked_at_since(area.id, now.before(max_age.unwrap_or(WEEK)))?,
            max_age,
            raw: area.path,
        })
    }
}

/// What was promised, by the configuration; nothing where that cannot be used.
#[derive(Debug, Clone, Default)]
pub struct FactTerms {
    /// The promised ages, by the paths of their areas as raw bytes.
    ages: Vec<(Vec<u8>, Duration)>,
    pace: Option<Pace>,
}

impl FactTerms {
    /// What `config` promises.
    pub fn of(config: &Config) -> Self {
        let path = |area: &AreaSettings| area.path.as_os_str().as_encoded_bytes().to_vec();
        let pace = Pace { usual: config.rates.files, allowed: config.rates.max_files };
        Self {
            ages: config.areas.iter().filter_map(|area| Some((path(area), area.max_age?))).collect(),
            pace: Some(pace),
        }
    }
}

impl Facts {
    /// Asks the store, `/proc` and the file systems of the database and the logs. Cost: a pass over the baseline.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub fn read(store: &Store, terms: &FactTerms, now: Moment) -> Result<Self, StoreError> {
        let path: &Path = store.path();
        let (last_sign, has_stopped) = store.last_alive()?;
        let missing = store.missing_counts()?;
        let files = own_files(path);
        Ok(Self {
            database: escape_name(path.as_os_str().as_encoded_bytes()),
            database_size: files.iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum(),
            space: path.parent().and_then(space),
            daemon: DaemonFacts {
                is_running: is_running(path),
                running_for: running_for(path, now.boottime),
                last_sign,
                has_stopped,
                run_within: None,
                start: "integrityd run",
            },
            areas: store
                .area_summaries()?
                .into_iter()
                .map(|summary| AreaFacts::of(store, (terms, &missing), summary, now.wall))
                .collect::<Result<_, _>>()?,
            logs: logs(store)?,
            processes: processes(store, now)?,
            counters: store.counters()?,
            queue: store.queue_summary()?,
            head: store.head()?,
            pace: terms.pace,
            standstills: store.standstills()?,
            covered: covered(store)?,
            silent: silent(store)?,
            troubles: store.standing_troubles()?,
            is_clock_doubted: store.is_clock_in_doubt(now)?,
            remarks: Vec::new(),
            now: now.wall,
        })
    }

    /// The areas that the configuration names, whatever their state.
    pub fn configured(&self) -> impl Iterator<Item = &AreaFacts> {
        self.areas.iter().filter(|area| area.state != AreaState::Unconfigured)
    }

    /// The areas that are looked at.
    pub fn active(&self) -> impl Iterator<Item = &AreaFacts> {
        self.areas.iter().filter(|area| area.state.is_active())
    }

    /// The entries of all areas that are looked at.
    pub fn entries(&self) -> u64 {
        self.active().map(|area| area.entries).sum()
    }

    /// The longest wait in any of them.
    pub fn oldest(&self) -> Option<Duration> {
        self.active().filter_map(|area| area.oldest).max()
    }

    /// Looks per second that all promises together need.
    pub fn needed(&self) -> f64 {
        self.active().filter_map(AreaFacts::needed).sum()
    }

    /// How long ago that was.
    pub fn age(&self, at: Timestamp) -> Duration {
        self.now.since(at)
    }
}

/// Where a mount hides a part of the baseline.
fn covered(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut points = Vec::new();
    for area in store.areas()?.into_iter().filter(|area| area.state.is_active()) {
        let rows = store.mounts(area.id)?.into_iter().filter(|row| row.told.is_some());
        points.extend(rows.map(|row| escape_name(&row.path)));
    }
    Ok(points)
}

/// Slow mounts that do not answer.
fn silent(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut points = Vec::new();
    for mount in mounts::read(Path::new("/")).unwrap_or_default().into_iter().filter(Mount::is_slow) {
        if store.told_last([Category::Stalled, Category::Answering], &mount.point)? == Some(Category::Stalled) {
            points.push(escape_name(&mount.point));
        }
    }
    Ok(points)
}

/// Values for the tests of the forms: three areas of a machine that is fine.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;

    pub(crate) fn facts() -> Facts {
        let hours = |hours: u64| Some(Duration::from_hours(hours));
        let area = |path: &str, entries, oldest: u64| AreaFacts {
            id: AreaId(1),
            raw: path.as_bytes().to_vec(),
            path: path.to_owned(),
            state: AreaState::Watched,
            rounds: 4,
            entries,
            first_round: None,
            unreadable: 0,
            too_long: 0,
            missing: None,
            covered: 0,
            oldest: hours(oldest),
            median: hours(oldest / 2),
            most: hours(oldest * 19 / 20),
            in_time: entries,
            max_age: None,
        };
        let now = Timestamp::from_nanos(1_795_266_602_000_000_000);
        Facts {
            database: "/var/lib/integrityd/integrityd.sqlite".to_owned(),
            database_size: 24_117_248,
            space: Some(Space { free: 1 << 30, is_read_only: false }),
            daemon: DaemonFacts {
                is_running: Some(true),
                running_for: hours(75),
                last_sign: now.before(Duration::from_hours(75)),
                has_stopped: false,
                run_within: None,
                start: "service integrityd start",
            },
            areas: vec![
                AreaFacts { max_age: hours(24), ..area("/etc", 2_412, 9) },
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
            pace: Some(Pace { usual: 1.0, allowed: 50.0 }),
            standstills: Vec::new(),
            covered: Vec::new(),
            silent: Vec::new(),
            troubles: Vec::new(),
            is_clock_doubted: false,
            remarks: Vec::new(),
            now,
        }
    }
}
