//! `init` and `check`: passes at full speed, now.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf, absolute},
};

use clap::Args;
use jiff::tz::TimeZone;

use crate::{
    cli::{
        context::CliContext,
        history::host,
        run::begin_to_log,
        terminal::{
            exit::{Exit, usage},
            output::{Out, number, talk},
            progress::{Progress, has_bar},
        },
    },
    config::{self, settings::config::Config},
    daemon::config_trust::check_sources,
    export::ecs::to_line,
    files::{
        area::{
            census::count,
            membership::{self, Membership},
            mount_map::MountMap,
            watched_areas::WatchedAreas,
        },
        scan::{
            batch::Passed,
            pass::{AcceptError, FullScan, Summary},
            scope::Scope,
        },
    },
    model::{
        clock::Clock,
        escape::escape_name,
        event::{Category, StoredEvent},
        file::entry::AreaId,
    },
    report::render::listing::EventListing,
    store::{baseline::areas::AreaState, db::Db, sqlite::connection::Store},
    sys::{fs::ownership::own_uid, host, rlimit::raise_open_files, users::Names},
};

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Accept what lies in this area now as its baseline, whatever it was; works beside a running daemon.
    #[arg(long, value_name = "AREA")]
    accept: Option<PathBuf>,

    /// Say nothing but what differs.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Compare only these paths and what lies beneath them [default: all areas].
    paths: Vec<PathBuf>,

    /// Compare only this area; may be given several times.
    #[arg(long, value_name = "AREA")]
    area: Vec<PathBuf>,

    /// Make what is found the baseline, and report it by mail as the daemon would.
    #[arg(long)]
    update: bool,

    /// One JSON object a line (docs/events.schema.json); the summary goes to the standard error.
    #[arg(long)]
    json: bool,

    /// Say nothing but what differs.
    #[arg(long, short)]
    quiet: bool,
}

/// What both commands begin with.
struct CheckScene {
    config: Config,
    clock: Clock,
}

impl CheckScene {
    fn set(source: &CliContext) -> anyhow::Result<Self> {
        begin_to_log("warn");
        raise_open_files();
        let mut config = config::load(&source.config)?;
        if let Some(database) = &source.database {
            config.database.clone_from(database);
        }
        if config.areas.is_empty() {
            return Err(usage(format!("{} names no area: add a line such as area = /etc", shown(&source.config))));
        }
        Ok(Self { config, clock: Clock::System(host::boot_id(Path::new("/"))) })
    }

    fn pass<'a>(&'a self, db: &'a Db) -> FullScan<'a> {
        FullScan { config: &self.config, db, clock: &self.clock }
    }

    /// The configured area at `path`.
    fn area(&self, path: &Path) -> anyhow::Result<usize> {
        let path = absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let lay = MountMap::new(self.config.helper.clone());
        let real = |path: &Path| lay.resolve(path.as_os_str().as_bytes());
        let areas = &self.config.areas;
        let found = areas.iter().position(|area| area.path == path);
        let found = found.or_else(|| areas.iter().position(|area| real(&area.path) == real(&path)));
        found.ok_or_else(|| {
            let known: Vec<String> = self.config.areas.iter().map(|area| shown(&area.path)).collect();
            usage(format!("{} is no area of the configuration, which has {}", shown(&path), known.join(", ")))
        })
    }

    /// The entries that the baseline has of `areas`.
    fn known_entries(&self, store: &Store, scope: &Scope) -> anyhow::Result<u64> {
        let mut entries = 0;
        for row in store.areas()? {
            let is_asked = self.config.areas.iter().any(|area| area.path.as_os_str().as_bytes() == row.path);
            if is_asked && scope.covers(&row.path) {
                entries += store.entries_of(row.id)?;
            }
        }
        Ok(entries)
    }
}

fn shown(path: &Path) -> String {
    escape_name(path.as_os_str().as_bytes())
}

pub(super) fn init(source: &CliContext, arguments: &InitArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let scene = CheckScene::set(source)?;
    check_sources(&scene.config)?;
    if let Some(area) = &arguments.accept {
        return accept(&scene, area, arguments.quiet, source, out);
    }
    let store = Store::open(&scene.config.database, scene.clock.now())?;
    let known = scene.known_entries(&store, &Scope::default())?;
    let total = if known > 0 || !has_bar(arguments.quiet) { Some(known) } else { Some(census(&scene.config)) };
    let db = Db::new(store);
    let mut progress = Progress::begin(scene.clock.clone(), total.filter(|total| *total > 0), arguments.quiet);
    let summary = scene.pass(&db).go_round(&mut |result| progress.count(result))?;
    let took = progress.end();
    let store = db.lock();
    print(&summary, source, false, out)?;
    out.flush()?;
    let areas = store.area_summaries()?;
    let missing = || areas.iter().filter(|area| matches!(area.area.state, AreaState::Missing | AreaState::Suspended));
    for area in missing() {
        talk(&format!(
            "{}: {}: mount or make it, or take it out",
            escape_name(&area.area.path),
            area.area.state.word()
        ));
    }
    if summary.unreadable > 0 {
        talk(&format!("{} cannot be read: see `{} doctor`", entries(summary.unreadable), source.program()));
    }
    if summary.passed.silent > 0 {
        talk(&format!(
            "{} on mounts that do not answer: the daemon goes on asking, and so does the next `{} init`",
            entries(summary.passed.silent),
            source.program()
        ));
    }
    if !arguments.quiet {
        for area in areas.iter().filter(|area| area.area.state.is_active()) {
            talk(&format!("{}: baseline of {}", escape_name(&area.area.path), entries(area.entries)));
        }
        talk(&format!("{} looked at {took}", entries(summary.looks)));
        if bits(&summary.findings) & (1 | 2 | 4) != 0 {
            talk(
                "what differs from the baseline that was there is the new baseline, and is reported by mail when the daemon runs",
            );
        }
    }
    // A mount that is not entered is told, but is no finding.
    let is_fine =
        bits(&summary.findings) == 0 && summary.unreadable + summary.passed.silent == 0 && missing().next().is_none();
    Ok(if is_fine { Exit::Fine } else { Exit::Findings })
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", number(count)) }
}

/// How many entries the first round will meet.
fn census(config: &Config) -> u64 {
    let ids: Vec<AreaId> = (1..).map(AreaId).take(config.areas.len()).collect();
    let areas = WatchedAreas::new(config, &ids);
    areas.survey();
    u64::try_from(count(&areas, &ids).entries).unwrap_or(u64::MAX)
}

fn accept(scene: &CheckScene, area: &Path, is_quiet: bool, source: &CliContext, out: &mut Out) -> anyhow::Result<Exit> {
    let index = scene.area(area)?;
    let db = Db::new(Store::open_beside(&scene.config.database)?);
    let mut progress = Progress::begin(scene.clock.clone(), None, is_quiet);
    let who = format!("uid {}", own_uid());
    let accepted = scene.pass(&db).accept(index, &who, &mut |result| progress.count(result));
    let took = progress.end();
    let summary = match accepted {
        Ok(summary) => summary,
        Err(AcceptError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(usage(format!("{} cannot be accepted: {error}", shown(area)))),
    };
    print(&summary, source, false, out)?;
    let is_seen = |found: &&StoredEvent| !matches!(found.event.category, Category::Stalled | Category::Covered);
    let differences = summary.findings.iter().filter(is_seen).count();
    if !is_quiet {
        let count = number(u64::try_from(differences).unwrap_or(u64::MAX));
        talk(&format!("{}: {count} differences accepted; {} {took}", shown(area), entries(summary.looks)));
    }
    // What does not answer was not accepted.
    Ok(if differences == summary.findings.len() { Exit::Fine } else { Exit::Findings })
}

pub(super) fn check(source: &CliContext, arguments: &CheckArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let scene = CheckScene::set(source)?;
    let store = if arguments.update {
        check_sources(&scene.config)?;
        Store::open_beside(&scene.config.database)?
    } else {
        Store::open_read_only(&scene.config.database)?
    };
    let scope = scope(&scene, &store, arguments)?;
    let is_named = !scope.paths.is_empty();
    let total = scene.known_entries(&store, &scope)?;
    let db = Db::new(store);
    let is_quiet = arguments.quiet || arguments.json && !has_bar(false);
    let mut progress = Progress::begin(scene.clock.clone(), Some(total).filter(|total| *total > 0), is_quiet);
    let summary = scene.pass(&db).compare(scope, arguments.update, &mut |result| progress.count(result))?;
    let took = progress.end();
    for area in &summary.without_baseline {
        talk(&format!("{}: no baseline yet: `integrityd init` or the daemon learns it", escape_name(area)));
    }
    print(&summary, source, arguments.json, out)?;
    let mut words = words(&summary, is_named, &took);
    if arguments.update && !summary.findings.is_empty() {
        words.push_str("\nthis is the baseline now; it is reported by mail by the daemon, or by run --once");
    }
    if arguments.json {
        if !arguments.quiet {
            talk(&words);
        }
    } else if !arguments.quiet {
        out.line(&words)?;
    }
    if summary.looks == 0 && !summary.without_baseline.is_empty() {
        return Ok(Exit::TryAgain);
    }
    let unseen = if is_whole(&summary, is_named) { 0 } else { bit(Category::Unreadable) };
    Ok(match bits(&summary.findings) | unseen {
        0 => Exit::Fine,
        bits => Exit::Differences(bits),
    })
}

/// What is asked for: areas and paths. Each path lies in an area or holds one, and is there or was.
fn scope(scene: &CheckScene, store: &Store, arguments: &CheckArguments) -> anyhow::Result<Scope> {
    let mut paths = Vec::new();
    for area in &arguments.area {
        let index = scene.area(area)?;
        paths.extend(scene.config.areas.get(index).map(|area| area.path.as_os_str().as_bytes().to_vec()));
    }
    let here = std::env::current_dir().unwrap_or_default();
    let ids = vec![AreaId(0); scene.config.areas.len()];
    let areas = WatchedAreas::new(&scene.config, &ids);
    areas.survey();
    for path in &arguments.paths {
        let asked = membership::asked(&areas, &here, path);
        if asked.areas.is_empty() {
            refuse_unwatched(&areas, store, &asked.path)?;
        }
        if let Some(target) = &asked.points_to {
            let (path, target) = (escape_name(&asked.path), escape_name(target));
            talk(&format!("{path} is a symbolic link to {target}: the link is compared, not what it points to"));
        }
        paths.push(asked.path);
        paths.extend(asked.areas);
    }
    Ok(Scope { paths })
}

/// Refuses a path of which nothing could be said, so that nobody takes silence for "no difference".
fn refuse_unwatched(areas: &WatchedAreas, store: &Store, path: &[u8]) -> anyhow::Result<()> {
    let shown = escape_name(path);
    match membership::membership(areas, path) {
        Membership::InNoArea => Err(usage(format!("{shown} lies in no area of the configuration"))),
        Membership::LeftOut { at, .. } => Err(usage(format!(
            "{shown} is not watched, {} is left out: `integrityd explain` says why",
            escape_name(&at)
        ))),
        Membership::Barred { mount, .. } => Err(usage(format!(
            "{shown} is not watched: it lies on {}, which is not entered",
            escape_name(&mount.point)
        ))),
        Membership::Watched { watched, .. } => {
            // What could hang is not asked for.
            let is_far = areas.far(watched, path).is_some();
            if is_far
                || Path::new(OsStr::from_bytes(path)).symlink_metadata().is_ok()
                || store.entry_at(&watched.path, path)?.is_some()
            {
                return Ok(());
            }
            Err(usage(format!("{shown} does not exist, and the baseline does not know it")))
        }
    }
}

/// Prints what differs.
fn print(summary: &Summary, source: &CliContext, is_json: bool, out: &mut Out) -> anyhow::Result<()> {
    if is_json {
        let host = host();
        for stored in &summary.findings {
            out.line(&to_line(stored, &host))?;
        }
        return Ok(());
    }
    let zone = TimeZone::system();
    let names = Names::read(Path::new("/"));
    let program = source.program();
    let now = Clock::System(host::boot_id(Path::new("/"))).now().wall;
    let listing = EventListing::new(now, &zone, &names, &program);
    for stored in &summary.findings {
        out.text(&listing.finding(stored))?;
    }
    Ok(())
}

/// What an event means for the exit code of `check`.
fn bit(category: Category) -> u8 {
    match category {
        Category::Added => 1,
        Category::Removed => 2,
        Category::Changed
        | Category::Retyped
        | Category::Rewritten
        | Category::Touched
        | Category::Moved
        | Category::AreaReplaced => 4,
        Category::Unreadable
        | Category::Busy
        | Category::AreaMissing
        | Category::EntriesMissing
        | Category::Stalled
        | Category::Covered
        | Category::InternalError => 8,
        _ => 0,
    }
}

/// What a finding means for it: what is not entered counts where it lies in a directory that was seen.
fn bit_of(stored: &StoredEvent) -> u8 {
    let is_seen_in_part = stored.event.category == Category::Skipped && stored.event.new.is_some();
    if is_seen_in_part { 8 } else { bit(stored.event.category) }
}

fn bits(findings: &[StoredEvent]) -> u8 {
    findings.iter().fold(0, |bits, stored| bits | bit_of(stored))
}

/// Whether everything that was asked for and is in the baseline was compared, or is among the findings.
fn is_whole(summary: &Summary, is_named: bool) -> bool {
    let is_nothing = summary.looks == 0 && summary.findings.is_empty();
    let is_lacking = !summary.without_baseline.is_empty() || summary.unlearned > 0 || is_nothing;
    summary.passed.known == 0 && !(is_named && is_lacking)
}

/// What was passed over: `; not compared: 2 excluded, 1 on mounts that are not entered`.
fn passed_over(passed: Passed) -> String {
    let parts = [
        (passed.excluded, "excluded"),
        (passed.barred, "on mounts that are not entered"),
        (passed.silent, "that do not answer"),
        (passed.unreadable, "not readable"),
        (passed.left, "too large to be read now"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{} {why}", number(*count))).collect();
    if parts.is_empty() { String::new() } else { format!("; not compared: {}", parts.join(", ")) }
}

/// The summary: `134,750 entries compared in 3.2 s, 5.5 GiB read: 1 added, 3 changed; not compared: 2 excluded`.
fn words(summary: &Summary, is_named: bool, took: &str) -> String {
    let count = |wanted: u8| {
        let events = summary.findings.iter().filter(|stored| bit_of(stored) == wanted);
        events.map(|stored| stored.event.count).sum::<u64>()
    };
    let parts = [(1, "added"), (2, "removed"), (4, "changed"), (8, "not readable or missing")];
    let found: Vec<String> = parts
        .into_iter()
        .map(|(bit, word)| (count(bit), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", number(count)))
        .collect();
    let found = match (found.is_empty(), is_whole(summary, is_named)) {
        (false, _) => found.join(", "),
        (true, true) => "no difference".to_owned(),
        (true, false) => "no difference in what was compared".to_owned(),
    };
    let passed = passed_over(summary.passed);
    let mut words = format!("{} compared {took}: {found}{passed}", entries(summary.looks));
    if summary.unlearned > 0 {
        words.push_str(&format!(
            "\n{} not in the baseline yet: their areas are still being learned",
            entries(summary.unlearned)
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_of_a_finding_has_its_bit() {
        let bits: Vec<(&str, u8)> = Category::ALL.iter().map(|category| (category.word(), bit(*category))).collect();
        let sum = bits.iter().fold(0, |sum, (_, bit)| sum | bit);
        assert_eq!(sum, 15);
        assert!(bits.contains(&("retyped", 4)) && bits.contains(&("busy", 8)) && bits.contains(&("notice", 0)));
    }
}
