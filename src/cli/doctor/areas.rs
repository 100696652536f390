//! `doctor` on the areas: whether they are there, what of them cannot be read, and how long a round takes.

use std::time::Duration;

use crate::{
    cli::{
        doctor::finding::DoctorFinding,
        terminal::output::{age, number, size},
    },
    config::{
        schema::units::{format_rate, format_span},
        settings::config::{Config, Rates},
    },
    files::area::{
        census::SeenKind,
        watched_areas::{WatchedArea, WatchedAreas},
    },
    model::{
        escape::{escape, escape_name},
        file::entry::AreaId,
        format::rate,
    },
    store::events::{max_age_rate::Demand, path_status::Workload},
    sys::fs::ownership,
};

const WHAT: &str = "area";

/// No area is counted beyond this many entries.
const MOST: u64 = 1_000_000;

/// A round should not take longer than this without anybody having wanted it so.
const DAY: Duration = Duration::from_hours(24);

/// What an area holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct AreaCensus {
    entries: u64,
    bytes: u64,
    unreadable: u64,
    example: Option<String>,
    is_cut: bool,
}

impl AreaCensus {
    const fn load(&self) -> Workload {
        Workload { entries: self.entries, bytes: self.bytes }
    }
}

/// What is found about all areas.
pub(in crate::cli) fn areas(config: &Config) -> Vec<DoctorFinding> {
    let ids: Vec<AreaId> = (1..).map(AreaId).take(config.areas.len()).collect();
    let areas = WatchedAreas::new(config, &ids);
    let barred = areas.survey();
    let mut found = Vec::new();
    let mut all = AreaCensus::default();
    for watched in &areas.all {
        let shown = escape_name(&watched.path);
        if areas.near_root(watched).is_none() {
            let detail = format!("{shown} lies on a slow file system and is looked at by a helper: not counted here");
            found.push(DoctorFinding::fine(WHAT, detail));
            continue;
        }
        if let Err(error) = std::fs::symlink_metadata(&watched.settings.path) {
            let remedy = "create it, or take its area line out of the configuration";
            found.push(DoctorFinding::fail(WHAT, format!("{shown} cannot be looked at: {error}"), remedy));
            continue;
        }
        let census = count(&areas, watched);
        found.extend(judge(&shown, &census, config, watched));
        all.entries += census.entries;
        all.bytes = all.bytes.saturating_add(census.bytes);
    }
    found.extend(barred.iter().filter(|mount| mount.is_slow()).map(|mount| {
        let kind = escape(mount.kind.as_bytes());
        let detail =
            format!("{} ({kind}) is not entered: it may hang when its server is away", escape_name(&mount.point));
        DoctorFinding::warn("mount", detail, format!("exclude it, or admit it with areafstypes = {kind}"))
    }));
    let is_promised = areas.all.iter().all(|watched| watched.settings.max_age.is_some());
    if all.entries > 0 {
        found.push(whole(&all, &config.rates, is_promised));
    }
    found
}

/// How long a round over everything takes, and which rates would do it in a day. What is promised has rates of its own.
fn whole(all: &AreaCensus, rates: &Rates, is_promised: bool) -> DoctorFinding {
    let usual = Demand { looks: rates.files, bytes: rates.bytes }.round(all.load());
    let detail = format!(
        "{}{} entries, {} in all: about {} at filerate = {} and byterate = {}",
        if all.is_cut { "more than " } else { "" },
        number(all.entries),
        size(all.bytes),
        age(usual),
        format_rate(rates.files),
        shown_bytes(rates.bytes)
    );
    if usual <= DAY || is_promised {
        return DoctorFinding::fine("round", detail);
    }
    let needed = Demand::of(all.load(), DAY);
    let files = (needed.looks > rates.files).then(|| format!("filerate = {}", format_rate(needed.looks.ceil())));
    let bytes = (needed.bytes > rates.bytes).then(|| format!("byterate = {}", shown_bytes(needed.bytes)));
    let wanted: Vec<String> = files.into_iter().chain(bytes).collect();
    let remedy = format!(
        "for a round a day: {}; or give the areas that matter an areamaxage, which raises the rates by itself",
        wanted.join(" and ")
    );
    DoctorFinding::warn("round", detail, remedy)
}

/// Bytes a second as a setting has them, in whole KiB.
fn shown_bytes(bytes: f64) -> String {
    format!("{}k", format_rate((bytes / 1024.0).ceil()))
}

/// How many entries the areas hold that are looked at without a helper, and how many bytes.
pub(in crate::cli) fn census(config: &Config) -> (u64, u64) {
    let ids: Vec<AreaId> = (1..).map(AreaId).take(config.areas.len()).collect();
    let areas = WatchedAreas::new(config, &ids);
    drop(areas.survey());
    let near = areas.all.iter().filter(|watched| areas.near_root(watched).is_some());
    near.map(|watched| count(&areas, watched))
        .fold((0, 0), |(entries, bytes), census| (entries + census.entries, bytes.saturating_add(census.bytes)))
}

/// Counts what the walk would enter, as the walk does: what can hang is not even opened.
fn count(areas: &WatchedAreas, watched: &WatchedArea) -> AreaCensus {
    let mut census = AreaCensus::default();
    areas.roam(watched, &mut |path, met| {
        census.entries += 1;
        let is_unread = match met {
            SeenKind::File(size) => {
                census.bytes = census.bytes.saturating_add(size);
                !ownership::may_read(&watched.really(path))
            }
            SeenKind::Closed => {
                // It was counted by its name.
                census.entries -= 1;
                true
            }
            SeenKind::Other => false,
        };
        if is_unread {
            census.unreadable += 1;
            census.example.get_or_insert_with(|| escape_name(path));
        }
        census.is_cut = census.entries > MOST;
        !census.is_cut
    });
    census.entries = census.entries.min(MOST);
    census
}

fn judge(shown: &str, census: &AreaCensus, config: &Config, watched: &WatchedArea) -> Vec<DoctorFinding> {
    let rates = &config.rates;
    let usual = Demand { looks: rates.files, bytes: rates.bytes }.round(census.load());
    let detail = format!(
        "{shown}: {}{} entries, {}; a round takes about {}",
        if census.is_cut { "more than " } else { "" },
        number(census.entries),
        size(census.bytes),
        age(usual)
    );
    let mut found = vec![DoctorFinding::fine(WHAT, detail)];
    if census.unreadable > 0 {
        let example = census.example.as_ref().map(|path| format!(", such as {path}")).unwrap_or_default();
        let detail = format!("{shown}: {} cannot be read by this user{example}", number(census.unreadable));
        let remedy = match ownership::own_uid() {
            0 => "look at the file system's permissions and security modules, or exclude them",
            _ => "as root it may look better: sudo integrityd doctor",
        };
        found.push(DoctorFinding::warn(WHAT, detail, remedy));
    }
    if let Some(max_age) = watched.settings.max_age {
        found.extend(promise(shown, census, rates, max_age));
    }
    found
}

/// Whether a promised age can be kept within the ceilings.
fn promise(shown: &str, census: &AreaCensus, rates: &Rates, max_age: Duration) -> Option<DoctorFinding> {
    let needed = Demand::of(census.load(), max_age);
    needed.is_above(rates).then(|| {
        let detail = format!(
            "{shown}: areamaxage = {} cannot be kept: it needs {} looks/s and {} KiB/s",
            format_span(max_age),
            rate(needed.looks),
            rate(needed.bytes / 1024.0)
        );
        DoctorFinding::fail(WHAT, detail, "raise maxfilerate and maxbyterate, or areamaxage")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::doctor::finding::FindingLevel, config::settings::config::Area};

    #[test]
    fn a_round_is_bound_by_looks_or_by_bytes() {
        let census = AreaCensus { entries: 86_400, bytes: 1 << 30, ..AreaCensus::default() };
        let round = |looks, bytes| Demand { looks, bytes }.round(census.load());
        assert_eq!(round(1.0, 1e9), Duration::from_hours(36));
        assert_eq!(round(1e6, 1024.0), Duration::from_secs(3 << 19));
    }

    #[test]
    fn a_long_round_is_told_with_the_rates_that_do_it_in_a_day() {
        let rates = Config::embedded(Vec::new(), "/x".into()).rates;
        let small = AreaCensus { entries: 1000, bytes: 1 << 20, ..AreaCensus::default() };
        assert_eq!(whole(&small, &rates, false).health, FindingLevel::Fine);
        let large = AreaCensus { entries: 134_750, bytes: 5_800_000_000, ..AreaCensus::default() };
        let found = whole(&large, &rates, false);
        assert!(
            found.health == FindingLevel::Warn && found.detail.contains("about 2.3 d at filerate = 1 "),
            "{found:?}"
        );
        // 1.5 x 134,750 looks in 86,400 s; its bytes fit into the usual rate.
        assert!(found.remedy.starts_with("for a round a day: filerate = 3; "), "{found:?}");
        let heavy = whole(&AreaCensus { entries: 1000, bytes: 1 << 40, ..AreaCensus::default() }, &rates, false);
        assert!(heavy.remedy.contains(": byterate = 18642k; "), "{heavy:?}");
        assert_eq!(whole(&large, &rates, true).health, FindingLevel::Fine);
    }

    #[test]
    fn a_promise_is_judged_at_the_ceiling() {
        let config = Config::embedded(Vec::new(), "/x".into());
        let census = AreaCensus { entries: 86_400, ..AreaCensus::default() };
        assert_eq!(promise("/srv", &census, &config.rates, Duration::from_hours(24)), None);
        let rates = Rates { max_files: 1.0, ..config.rates };
        let found = promise("/srv", &census, &rates, Duration::from_hours(24)).unwrap();
        assert!(found.health == FindingLevel::Fail && found.detail.contains("needs 1.5 looks/s"), "{found:?}");
    }

    #[test]
    fn what_is_excluded_is_not_counted() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("out")).unwrap();
        for name in ["a", "b", "out/c", "out/d"] {
            std::fs::write(tree.path().join(name), "12345").unwrap();
        }
        let excludes = crate::config::settings::exclude::Excludes::new(&[tree.path().join("out")]).unwrap();
        let area = Area { excludes, ..Area::new(tree.path().to_path_buf()) };
        let config = Config::embedded(vec![area], "/x".into());
        let areas = WatchedAreas::new(&config, &[AreaId(1)]);
        let census = count(&areas, areas.all.first().unwrap());
        assert_eq!(census, AreaCensus { entries: 3, bytes: 10, ..AreaCensus::default() });
    }
}
