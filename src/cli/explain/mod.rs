//! `explain`: everything about one path. What holds for it, what is stored, when it is due, what was found.

mod answer;
mod json;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;

use crate::{
    cli::{
        context::CliContext,
        explain::answer::{DueCheck, Explained, KnownPath, Stored, area_of},
        terminal::{
            exit::Exit,
            output::{Out, talk},
        },
    },
    config::{
        self,
        schema::units::to_float,
        settings::config::{Config, Rates},
    },
    files::area::{
        membership::{Membership, absolute, asked, link_on_way, membership},
        overmounts::hidden,
        watched_areas::WatchedAreas,
    },
    model::{
        clock::{Clock, Timestamp},
        escape::escape_name,
        file::entry::{AreaId, Entry, FileKind},
    },
    report::render::listing::EventListing,
    store::{
        baseline::areas::AreaRow,
        events::path_status::Workload,
        sqlite::{connection::Store, error::StoreError, files::is_running},
    },
    sys::{host, users::Names},
};

/// So many events are shown.
const EVENTS: u32 = 5;

/// An entry looked at less than this ago is not rechecked.
const LEAST_AGE: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The path; links on the way to it are followed, a link itself is not.
    path: OsString,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(source: &CliContext, arguments: &Arguments, out: &mut Out) -> anyhow::Result<Exit> {
    let (config, effective) = config::load_with_sources(&source.config)?;
    let database = source.database.clone().unwrap_or_else(|| config.database.clone());
    let store = match Store::open_read_only(&database) {
        Ok(store) => Some(store),
        Err(StoreError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let rows = store.as_ref().map(Store::areas).transpose()?.unwrap_or_default();
    let areas = areas(&config, &rows);
    let path = wanted(&areas, &arguments.path)?;
    let now = Clock::System(host::boot_id(Path::new("/"))).now();
    if let Some(store) = &store {
        hidden(store, &areas, now)?;
    }
    let now = now.wall;
    let membership = membership(&areas, &path);
    let stored = match &store {
        None => Stored::NoDatabase(database),
        Some(store) => known(store, &membership, &path, &rows, (&config.rates, now))?,
    };
    let events = store.as_ref().map(|store| store.events_about(&path, EVENTS)).transpose()?.unwrap_or_default();
    let explained = Explained {
        is_urgent: config.urgent.matches(&path),
        outer: outer(&areas, &membership, &path),
        link: link_on_way(&path),
        path,
        config: &config,
        effective: &effective,
        membership,
        stored,
        events,
    };
    if arguments.json {
        out.line(&explained.json().to_string())?;
    } else {
        let zone = TimeZone::system();
        let names = Names::read(Path::new("/"));
        let program = source.program();
        out.text(&explained.text(&EventListing::new(now, &zone, &names, &program), &program))?;
    }
    Ok(if matches!(explained.membership, Membership::InNoArea) { Exit::Findings } else { Exit::Fine })
}

/// The path by which the walk comes to what was asked for, which is said where it is another one.
fn wanted(areas: &WatchedAreas, path: &OsString) -> anyhow::Result<Vec<u8>> {
    let path = Path::new(path);
    let here = if path.is_absolute() {
        PathBuf::from("/")
    } else {
        std::env::current_dir().context("the current directory cannot be found: give the whole path")?
    };
    let (words, asked) = (absolute(&here, path), asked(areas, &here, path));
    if asked.path != words {
        talk(&format!("{} leads to {}", escape_name(&words), escape_name(&asked.path)));
    }
    Ok(asked.path)
}

/// The areas of the walker; an area that is not in the store yet has a number that no row has.
fn areas(config: &Config, rows: &[AreaRow]) -> WatchedAreas {
    use std::os::unix::ffi::OsStrExt;
    let row = |path: &Path| rows.iter().find(|row| row.path == path.as_os_str().as_bytes()).map(|row| row.id);
    let ids: Vec<AreaId> = config.areas.iter().map(|area| row(&area.path).unwrap_or(AreaId(-1))).collect();
    let areas = WatchedAreas::new(config, &ids);
    drop(areas.survey());
    areas
}

/// The areas that hold the path too, but leave it to an inner one.
fn outer(areas: &WatchedAreas, membership: &Membership<'_>, path: &[u8]) -> Vec<Vec<u8>> {
    let inner = area_of(membership).map(|(area, _)| area);
    let holding = areas.all.iter().enumerate().filter(|(at, _)| inner.is_some() && Some(*at) != inner);
    holding
        .filter(|(_, watched)| crate::files::area::watched_areas::is_beneath(path, &watched.path))
        .map(|(_, watched)| watched.path.clone())
        .collect()
}

/// What the database knows of the path.
fn known(
    store: &Store,
    membership: &Membership<'_>,
    path: &[u8],
    rows: &[AreaRow],
    (rates, now): (&Rates, Timestamp),
) -> anyhow::Result<Stored> {
    let Some((_, watched)) = area_of(membership) else {
        return Ok(Stored::Nothing);
    };
    let Some(entry) = store.entry_at(&watched.path, path)? else {
        return Ok(Stored::Nothing);
    };
    let is_directory = entry.known.attributes.kind == FileKind::Directory;
    let below = if is_directory { Some(store.entries_below(entry.id)?) } else { None };
    let row = rows.iter().find(|row| row.id == entry.area);
    let due = match row {
        Some(row) if row.state.is_active() => {
            let active: Vec<AreaId> = rows.iter().filter(|row| row.state.is_active()).map(|row| row.id).collect();
            let ahead = store.ahead_of(entry.visit, &active)?;
            let within = within(&entry, ahead, rates, now);
            DueCheck::Queued { ahead: ahead.entries, within, is_running: is_running(store.path()) }
        }
        row => DueCheck::Never(row.map_or("not known", |row| row.state.word())),
    };
    Ok(Stored::Entry(Box::new(KnownPath { entry, below, due })))
}

/// After how long the entry has been looked at, at the latest: before each recheck of one that waits longer there is a stop of the
/// walk, which costs as much. A higher rate after a change only makes it sooner.
fn within(entry: &Entry, ahead: Workload, rates: &Rates, now: Timestamp) -> Duration {
    let looks = 2.0 * (to_float(ahead.entries) + 1.0) / rates.files;
    let bytes = 2.0 * to_float(ahead.bytes.saturating_add(entry.known.attributes.size)) / rates.bytes;
    let queue = Duration::try_from_secs_f64(looks + bytes).unwrap_or(Duration::MAX);
    queue.saturating_add(LEAST_AGE.saturating_sub(now.since(entry.checked)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::file::{
        attribute::AttributeSet,
        entry::{Attributes, Digests, EntryId, HashState, Observation},
    };

    #[test]
    fn the_bound_follows_the_queue_and_the_rates() {
        let config = Config::embedded(Vec::new(), PathBuf::from("/x"));
        let zero = Timestamp::from_nanos(0);
        let attributes = Attributes { size: 0, ..Attributes::sample(zero) };
        let known = Observation { attributes, hash_state: HashState::Full, digests: Digests::default() };
        let entry = Entry {
            id: EntryId(1),
            parent: None,
            name: Vec::new(),
            area: AreaId(1),
            known,
            recorded: AttributeSet::NONE,
            visit: 1,
            checked: zero,
            reported: None,
        };
        let later = zero.after(Duration::from_hours(1));
        let bound = |entries, bytes, now| within(&entry, Workload { entries, bytes }, &config.rates, now).as_secs();
        assert_eq!(bound(0, 0, later), 2);
        assert_eq!(bound(99, 0, later), 200);
        assert_eq!(bound(99, 262_144 * 50, later), 300);
        assert_eq!(bound(0, 0, zero.after(Duration::from_secs(10))), 52, "not within a minute of its last look");
    }
}
