//! The first round over an area, and what a new configuration means for areas that are known.

use std::{os::unix::ffi::OsStrExt, sync::Arc, time::Duration};

use crate::{
    config::{
        schema::units::format_size,
        settings::config::{Area, Config, ONE_SLOW_CORE},
    },
    files::{
        area::{
            census::{Census, count},
            watched_areas::{WatchedAreas, is_beneath},
        },
        baseline::adopt_fcheck,
    },
    model::{
        clock::{Clock, Moment},
        escape::{escape, escape_name},
        event::{Category, Event, Severity},
        file::{
            attribute::Attribute,
            entry::{Algorithm, AreaId},
        },
        health::TroubleKind,
    },
    store::{
        baseline::areas::{AreaRow, AreaState},
        db::{Db, run_blocking},
        events::outcome::{Outcome, StateChange},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::{fs::mounts::Mount, priority::at_lowest_priority},
};

/// Brings the stored areas in line with the configuration; gives the rows of the configured ones, in their order.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn settle_in(store: &mut Store, config: &Config, now: Moment) -> Result<Vec<AreaRow>, StoreError> {
    let paths: Vec<&[u8]> = config.areas.iter().map(|area| area.path.as_os_str().as_bytes()).collect();
    for row in store.areas()? {
        if !paths.contains(&row.path.as_slice()) && row.state != AreaState::Unconfigured {
            let event = Event::new(Category::Notice, Severity::Normal, now, row.path.clone())
                .with_note("this area is no longer configured; its baseline is kept and compared when it comes back");
            let row = AreaRow { state: AreaState::Unconfigured, ..row };
            store.commit(&Outcome::tell(event).with_change(StateChange::Area(Box::new(row))))?;
        }
    }
    let rows: Result<Vec<AreaRow>, StoreError> = config
        .areas
        .iter()
        .zip(paths)
        .map(|(area, path)| {
            let row = store.area_at(path)?;
            let row = take_over(store, row)?;
            take_on(store, area, row, now)
        })
        .collect();
    adopt_fcheck::take_over(store, config, rows?, now)
}

/// A new area within a known one takes its part of the baseline over, so that nothing in it is learned unseen.
fn take_over(store: &mut Store, row: AreaRow) -> Result<AreaRow, StoreError> {
    if row.rounds > 0 || store.entry_named(None, &row.path)?.is_some() {
        return Ok(row);
    }
    let outer = store
        .areas()?
        .into_iter()
        .filter(|other| other.id != row.id && other.rounds > 0 && is_beneath(&row.path, &other.path))
        .max_by_key(|other| other.path.len());
    let Some(outer) = outer else { return Ok(row) };
    let Some(top) = store.entry_at(&outer.path, &row.path)?.map(|entry| entry.id) else {
        return Ok(row);
    };
    store.make_root(top, &row.path, row.id)?;
    let row = AreaRow { state: AreaState::Watched, was_learning: false, rounds: outer.rounds, ..row };
    store.commit(&Outcome::default().with_change(StateChange::Area(Box::new(row.clone()))))?;
    Ok(row)
}

/// Notes the settings of one area; attributes and digests that an existing baseline lacks are learned, and said once.
fn take_on(store: &mut Store, area: &Area, row: AreaRow, now: Moment) -> Result<AreaRow, StoreError> {
    let is_known = row.rounds > 0;
    let is_wider =
        !area.attributes.is_within(row.attributes) || area.algorithms.union(row.algorithms) != row.algorithms;
    let state = match (row.state, row.was_learning) {
        (AreaState::Unconfigured, true) => AreaState::Learning,
        (AreaState::Unconfigured, false) => AreaState::Watched,
        (state, _) => state,
    };
    let next = AreaRow { state, attributes: area.attributes, algorithms: area.algorithms, ..row.clone() };
    if next == row {
        return Ok(row);
    }
    let mut outcome = Outcome::default().with_change(StateChange::Area(Box::new(next.clone())));
    if is_known && is_wider {
        let attributes =
            area.attributes.iter().filter(|attribute| !row.attributes.has(*attribute)).map(Attribute::name);
        let digests = area.algorithms.iter().filter(|it| !row.algorithms.has(*it)).map(Algorithm::name);
        let names: Vec<&str> = attributes.chain(digests).collect();
        let note = format!(
            "more is compared than the baseline holds: {} learned in the next round, after what it holds was compared",
            names.join(", ") + if names.len() == 1 { " is" } else { " are" }
        );
        outcome =
            outcome.with_event(Event::new(Category::Learning, Severity::Normal, now, row.path.clone()).with_note(note));
    }
    store.commit(&outcome)?;
    Ok(next)
}

/// Tells that the first round over the new ones among the areas `rows` begins; `rates` are looks and bytes a second in it.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub async fn announce(
    db: &Db,
    clock: &Clock,
    rates: (f64, f64),
    areas: Arc<WatchedAreas>,
    rows: Vec<AreaRow>,
) -> Result<(), StoreError> {
    let is_new = |row: &AreaRow| row.state == AreaState::Learning && row.started.is_none();
    let new: Vec<AreaRow> = rows.into_iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<AreaId> = new.iter().map(|row| row.id).collect();
    let (counted, clock) = (Arc::clone(&areas), clock.clone());
    let (census, ids) = run_blocking(move || (at_lowest_priority(|| count(&counted, &ids)), ids)).await;
    db.call(move |store| {
        let now = clock.now();
        let mut outcome = Outcome::tell(begun(&areas, &ids, &census, rates, now));
        for row in new {
            let expected = census.of_area(row.id);
            outcome =
                outcome.with_change(StateChange::Area(Box::new(AreaRow { started: Some(now.wall), expected, ..row })));
        }
        store.commit(&outcome)
    })
    .await
    .map(drop)
}

/// The event that begins the first round over those of `areas` with these `ids`.
pub fn begun(areas: &WatchedAreas, ids: &[AreaId], census: &Census, rates: (f64, f64), now: Moment) -> Event {
    let named: Vec<String> = areas
        .all
        .iter()
        .filter(|watched| ids.contains(&watched.id))
        .map(|watched| escape_name(&watched.path))
        .collect();
    // Every other look may be a recheck.
    let entries = u32::try_from(census.entries).unwrap_or(u32::MAX);
    let kibibytes = u32::try_from(census.bytes / 1024).unwrap_or(u32::MAX);
    let looks = rates.0.min(ONE_SLOW_CORE.0);
    let bytes = rates.1.min(ONE_SLOW_CORE.1);
    let span = (f64::from(entries) * 1.5 / looks).max(f64::from(kibibytes) * 1024.0 / bytes);
    let span = Duration::try_from_secs_f64(span.ceil()).unwrap_or(Duration::MAX);
    let mut note = format!(
        "learning\n{}\nentries: {} {}, {}; the first round should end within {}\n\
         nothing new is reported until then; changes to what was learned already are",
        named.join("\n"),
        if census.is_cut { "more than" } else { "about" },
        census.entries,
        format_size(census.bytes.next_multiple_of(if census.bytes < 1 << 20 { 1024 } else { 1 << 20 })),
        in_words(span)
    );
    let own: Vec<String> = areas.own_in_areas().into_iter().map(escape_name).collect();
    if !own.is_empty() {
        note.push_str("\nour own files are left out: ");
        note.push_str(&own.join(", "));
    }
    Event::new(Category::BaselineStarted, Severity::Normal, now, Vec::new()).with_note(note)
}

/// Tells of mounts within areas that are not entered, each once, and anew when another type, another source or somebody else's is there.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn tell_of_barred(store: &mut Store, mounts: &[Mount], now: Moment) -> Result<(), StoreError> {
    let mut outcome = Outcome::default();
    for mount in mounts {
        let kind = escape(mount.kind.as_bytes());
        let (severity, why) = if mount.is_slow() {
            (Severity::Low, "it may hang: see areafstypes")
        } else {
            (Severity::Count, "virtual")
        };
        let first = format!("{kind} is not entered: {why}");
        let by = mount.owner.map_or_else(String::new, |uid| format!(", mounted by uid {uid}"));
        let note = format!("{first}\n{}{by}", escape(&mount.source));
        let told = store.last_event(Category::Skipped, &mount.point)?.map(|stored| stored.event.note);
        // Versions before this one told the first line only.
        if told.is_none_or(|told| told != note.as_bytes() && told != first.as_bytes()) {
            outcome =
                outcome.with_event(Event::new(Category::Skipped, severity, now, mount.point.clone()).with_note(note));
        }
    }
    if outcome.events.is_empty() { Ok(()) } else { store.commit(&outcome).map(|_seq| ()) }
}

/// Keeps it for `status` which mounts within areas are not entered.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn note_not_entered(store: &mut Store, mounts: &[Mount], now: Moment) -> Result<(), StoreError> {
    let row = |mount: &Mount| {
        let detail = format!("{} ({})", escape_name(&mount.point), escape(mount.kind.as_bytes()));
        (mount.point.clone(), detail)
    };
    let mut rows: Vec<_> = mounts.iter().map(row).collect();
    // Of mounts over one another the uppermost.
    rows.reverse();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.dedup_by(|(one, _), (other, _)| one == other);
    store.set_troubles(TroubleKind::MountNotEntered, &rows, now.wall)
}

fn in_words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// Ends a round over the areas with these rows: counts it, and makes those that were learning watched. Gives whether any was.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn end_round(store: &mut Store, areas: &[AreaId], now: Moment) -> Result<bool, StoreError> {
    let mut outcome = Outcome::default();
    let mut learned = Vec::new();
    store.flush()?;
    for row in store.areas()?.into_iter().filter(|row| areas.contains(&row.id) && row.state.is_active()) {
        if row.state == AreaState::Learning {
            let (unreadable, unread) = store.unread_of(row.id)?;
            learned.push(LearnedArea {
                path: row.path.clone(),
                entries: store.entries_of(row.id)?,
                unreadable,
                unread,
            });
        }
        outcome.changes.push(StateChange::Area(Box::new(AreaRow {
            state: AreaState::Watched,
            was_learning: false,
            rounds: row.rounds.saturating_add(1),
            started: None,
            expected: None,
            ..row
        })));
    }
    if !learned.is_empty() {
        outcome = outcome.with_event(established(&learned, now));
    }
    store.commit(&outcome)?;
    Ok(!learned.is_empty())
}

/// An area whose first round is over, with numbers of entries.
struct LearnedArea {
    path: Vec<u8>,
    entries: u64,
    /// Of them, those that cannot be read.
    unreadable: u64,
    /// Of them, big files that are still being read beside the walk.
    unread: u64,
}

/// The end of the first round.
fn established(learned: &[LearnedArea], now: Moment) -> Event {
    let line = |area: &LearnedArea| {
        let parts = [(area.unreadable, "cannot be read"), (area.unread, "big and still being read")];
        let parts: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let of_which = if parts.is_empty() { String::new() } else { format!(", of which {}", parts.join(", ")) };
        format!("{}: {}{of_which}", escape_name(&area.path), area.entries)
    };
    let lines: Vec<String> = learned.iter().map(line).collect();
    Event {
        count: learned.iter().map(|area| area.entries).sum(),
        ..Event::new(Category::BaselineEstablished, Severity::Normal, now, Vec::new())
    }
    .with_note(lines.join("\n"))
}
