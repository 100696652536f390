//! `adopt = fcheck:FILE`: what fcheck(8) knew becomes the baseline of areas that have none, so that what has changed between its last
//! run and our first look is reported.
//!
//! An area that was taken over stays in its first round until that is complete, at the pace of a first round, but counts one round:
//! by that it is known that what is new in it is no part of learning.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use crate::{
    config::settings::config::Config,
    files::{
        area::{
            census::SeenKind,
            watched_areas::{WatchedArea, WatchedAreas},
        },
        baseline::fcheck_db::{Baseline, FcheckRecord},
    },
    model::{
        clock::{Moment, Timestamp},
        escape::escape_name,
        event::{Category, Event, Severity},
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{AreaId, Attributes, Digests, Entry, EntryId, FileKind, HashState, Observation},
        },
    },
    store::{
        baseline::areas::{AreaRow, AreaState},
        events::outcome::{Outcome, StateChange},
        sqlite::{connection::Store, error::StoreError},
    },
    sys::fs::ownership,
};

/// No database is larger, in bytes.
const LARGEST: u64 = 512 << 20;

/// Rows of one transaction.
const ROWS: usize = 1000;

/// What fcheck's record tells of a regular file.
const OF_FILE: [Attribute; 7] = [
    Attribute::Type,
    Attribute::Perms,
    Attribute::Uid,
    Attribute::Gid,
    Attribute::Nlink,
    Attribute::Inode,
    Attribute::Size,
];

/// Whether fcheck's database at `path` can be taken over. Cost: reads it.
///
/// # Errors
/// Why not, in words.
pub fn assess(path: &Path) -> Result<(), String> {
    load(path).map(|_| ())
}

/// The database, and when it was made.
fn load(path: &Path) -> Result<(Baseline, Timestamp), String> {
    let shown = escape_name(path.as_os_str().as_bytes());
    let unreadable = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    ownership::check(path).map_err(|distrust| distrust.to_string())?;
    // A FIFO in that place would block.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let seen = file.metadata().map_err(unreadable)?;
    if !seen.is_file() {
        return Err(format!("{shown} is no regular file"));
    }
    if seen.len() > LARGEST {
        return Err(format!("{shown} is larger than 512 MiB"));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(unreadable)?;
    let made = Timestamp::from_nanos(seen.mtime().saturating_mul(1_000_000_000));
    Baseline::parse(&text).map(|baseline| (baseline, made)).map_err(|why| format!("{shown}: {why}"))
}

/// What the event about a baseline that was taken over begins with.
const ADOPTED: &str = "taken over from fcheck";

/// What the event about areas that were left as they are begins with.
const LATE: &str = "not taken over from fcheck";

/// Takes over what fcheck knew of those areas among `rows`, which are those of `config` in its order, that have no baseline, and says
/// once of which it cannot. Gives the rows as they are then. Cost: reads fcheck's database, goes over the names in these areas once,
/// and over all events.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn take_over(
    store: &mut Store,
    config: &Config,
    rows: Vec<AreaRow>,
    now: Moment,
) -> Result<Vec<AreaRow>, StoreError> {
    let files = config.adopt.iter().filter_map(|line| line.strip_prefix("fcheck:")).map(PathBuf::from);
    let mut rows = rows;
    for file in files {
        let is_bare = |row: &&AreaRow| row.state == AreaState::Learning && row.rounds == 0 && row.started.is_none();
        let mut bare = Vec::new();
        for row in rows.iter().filter(is_bare) {
            if store.entry_named(None, &row.path)?.is_none() {
                bare.push(row.id);
            }
        }
        let shown = escape_name(file.as_os_str().as_bytes());
        let was_told = |what: &str| store.has_noted(Category::BaselineAdopted, &[], &format!("{what}: {shown} "));
        let mut late = Vec::new();
        if !was_told(ADOPTED)? && !was_told(LATE)? {
            late.extend(rows.iter().map(|row| row.id).filter(|id| !bare.contains(id)));
        }
        if bare.is_empty() && late.is_empty() {
            continue;
        }
        let (baseline, made) = match load(&file) {
            Ok(loaded) => loaded,
            Err(_) if bare.is_empty() => continue,
            Err(why) => {
                let note = format!("the baseline of fcheck is not taken over, a new one is made: {why}");
                let event = Event::new(Category::BaselineAdopted, Severity::Normal, now, Vec::new()).with_note(note);
                store.commit(&Outcome::tell(event))?;
                continue;
            }
        };
        if !late.is_empty() {
            tell_late(store, config, &Adoption::new(config, &rows, &late, &baseline, made), (&shown, now))?;
        }
        if bare.is_empty() {
            continue;
        }
        let adoption = Adoption::new(config, &rows, &bare, &baseline, made);
        let counts = adoption.store(store)?;
        let words = counts.words(&adoption.areas, &shown, made);
        let mut outcome = Outcome::default();
        for row in rows.iter_mut().filter(|row| adoption.ids.contains(&row.id)) {
            *row = AreaRow { rounds: 1, started: Some(now.wall), ..row.clone() };
            outcome = outcome.with_change(StateChange::Area(Box::new(row.clone())));
        }
        let event = Event::new(Category::BaselineAdopted, Severity::Normal, now, Vec::new()).with_note(words);
        store.commit(&outcome.with_event(Event { count: counts.total(), ..event }))?;
    }
    Ok(rows)
}

/// Says which areas do not take the baseline over because they have one.
fn tell_late(
    store: &mut Store,
    config: &Config,
    late: &Adoption<'_>,
    (shown, now): (&str, Moment),
) -> Result<(), StoreError> {
    if late.ids.is_empty() {
        return Ok(());
    }
    let note = late.refusal(shown, &config.database);
    let event = Event::new(Category::BaselineAdopted, Severity::Normal, now, Vec::new()).with_note(note);
    store.commit(&Outcome::tell(event)).map(|_seq| ())
}

/// A baseline on its way into the store.
struct Adoption<'a> {
    areas: WatchedAreas,
    /// The areas that take it over.
    ids: BTreeSet<AreaId>,
    baseline: &'a Baseline,
    made: Timestamp,
}

/// What of a baseline was stored.
#[derive(Debug, Default)]
struct AdoptionCounts {
    /// Entries of each area.
    areas: BTreeMap<AreaId, u64>,
    /// Those of them with a digest.
    digests: u64,
    /// Those of which nothing but their being there is known.
    bare: u64,
    /// Lines that were no records.
    odd: usize,
}

impl<'a> Adoption<'a> {
    fn new(config: &Config, rows: &[AreaRow], bare: &[AreaId], baseline: &'a Baseline, made: Timestamp) -> Self {
        let ids: Vec<AreaId> = rows.iter().map(|row| row.id).collect();
        let areas = WatchedAreas::new(config, &ids);
        drop(areas.survey());
        let is_covered = |watched: &&WatchedArea| {
            bare.contains(&watched.id)
                && baseline.covers(&watched.path, watched.settings.recurse)
                && areas.near_root(watched).is_some()
        };
        let ids = areas.all.iter().filter(is_covered).map(|watched| watched.id).collect();
        Self { areas, ids, baseline, made }
    }

    /// Why these areas do not take it over, and what to do.
    fn refusal(&self, shown: &str, database: &Path) -> String {
        let database = escape_name(database.as_os_str().as_bytes());
        let mut note = format!(
            "{LATE}: {shown} of {}, because what integrityd has seen itself counts more in the areas below; to have it taken over there, \
             as long as nothing was reported that has to be kept: stop the daemon, rm {database}*, start it; else take the line \
             adopt = fcheck:{shown} out",
            in_utc(self.made)
        );
        for watched in self.areas.all.iter().filter(|watched| self.ids.contains(&watched.id)) {
            note.push_str(&format!("\n{}: has a baseline, or its first round has begun", escape_name(&watched.path)));
        }
        note
    }

    /// What is known of each path: by fcheck, or that it could not know of it.
    fn known(&self) -> BTreeMap<Vec<u8>, Option<&'a FcheckRecord>> {
        let mut known: BTreeMap<Vec<u8>, Option<&FcheckRecord>> = BTreeMap::new();
        for (path, record) in &self.baseline.records {
            let Some((_, watched)) = self.areas.innermost(path).filter(|(_, watched)| self.ids.contains(&watched.id))
            else {
                continue;
            };
            if self.areas.left_out_prefix(watched, path).is_some() || self.areas.is_barred(path) {
                continue;
            }
            // What lies on the way may have been excluded in its turn.
            for (end, _) in path.iter().enumerate().filter(|(end, byte)| **byte == b'/' && *end > watched.path.len()) {
                known.entry(path.get(..end).unwrap_or_default().to_vec()).or_insert(None);
            }
            known.insert(path.clone(), Some(record));
        }
        for watched in self.areas.all.iter().filter(|watched| self.ids.contains(&watched.id)) {
            known.entry(watched.path.clone()).or_insert(None);
            self.areas.roam(watched, &mut |path, met| {
                // fcheck breaks a name at a newline, and does not see a link that leads nowhere.
                if path.contains(&b'\n') || met == SeenKind::Other && is_dangling(&watched.really(path)) {
                    known.entry(path.to_vec()).or_insert(None);
                }
                true
            });
        }
        known
    }

    fn store(&self, store: &mut Store) -> Result<AdoptionCounts, StoreError> {
        let mut counts = AdoptionCounts { odd: self.baseline.odd, ..AdoptionCounts::default() };
        let mut ids: HashMap<Vec<u8>, EntryId> = HashMap::new();
        let mut outcome = Outcome::default();
        // A directory comes before what is in it.
        for (path, record) in self.known() {
            let Some((_, watched)) = self.areas.innermost(&path) else { continue };
            let (parent, name) = if path == watched.path {
                (None, path.clone())
            } else {
                let cut = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
                let above = path.get(..cut).filter(|above| !above.is_empty()).unwrap_or(b"/");
                // It lies in something that is not known, and is met as something new.
                let Some(parent) = ids.get(above) else { continue };
                (Some(*parent), path.get(cut + 1..).unwrap_or_default().to_vec())
            };
            let id = store.new_entry_id()?;
            let is_link = fs::symlink_metadata(watched.really(&path)).is_ok_and(|seen| seen.is_symlink());
            let (known, recorded) = observation(record, is_link);
            *counts.areas.entry(watched.id).or_default() += 1;
            counts.digests += u64::from(recorded.has(Attribute::Content));
            counts.bare += u64::from(recorded == AttributeSet::NONE);
            let entry = Entry {
                id,
                parent,
                name,
                area: watched.id,
                known,
                recorded,
                visit: 0,
                checked: self.made,
                reported: None,
            };
            outcome = outcome.with_change(StateChange::Put(Box::new(entry)));
            ids.insert(path, id);
            if outcome.changes.len() >= ROWS {
                store.commit(&std::mem::take(&mut outcome))?;
            }
        }
        store.commit(&outcome)?;
        Ok(counts)
    }
}

/// `2026-11-22T00:30:49Z`.
fn in_utc(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_nanos().div_euclid(1_000_000_000))
        .map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

fn is_dangling(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|seen| seen.is_symlink()) && fs::metadata(path).is_err()
}

/// What is known of an entry, and which of it is compared. fcheck tells what a link leads to and not always that it is one.
fn observation(record: Option<&FcheckRecord>, is_link: bool) -> (Observation, AttributeSet) {
    let bare = FcheckRecord {
        kind: FileKind::Directory,
        perms: 0,
        inode: 0,
        nlink: 1,
        uid: 0,
        gid: 0,
        size: 0,
        ctime: 0,
        sha256: None,
        is_link: false,
    };
    let record = record.unwrap_or(&bare);
    let time = Timestamp::from_nanos(record.ctime.saturating_mul(1_000_000_000));
    let is_plain = record != &bare && !record.is_link && !is_link;
    let digest = record.sha256.filter(|_| is_plain && record.kind == FileKind::Regular);
    let recorded = match (is_plain, record.is_link) {
        (true, _) => {
            let set = AttributeSet::of(&OF_FILE);
            if digest.is_some() { set.with(Attribute::Content) } else { set }
        }
        (false, true) => AttributeSet::of(&[Attribute::Type]),
        (false, false) => AttributeSet::NONE,
    };
    let known = Observation {
        attributes: Attributes {
            kind: if record.is_link || is_link { FileKind::Symlink } else { record.kind },
            perms: record.perms,
            uid: record.uid,
            gid: record.gid,
            nlink: record.nlink,
            dev: 0,
            inode: record.inode,
            rdev: 0,
            size: record.size,
            mtime: time,
            ctime: time,
            btime: None,
            target: None,
            xattrs: None,
            flags: None,
        },
        hash_state: if digest.is_some() { HashState::Full } else { HashState::Off },
        digests: Digests { sha256: digest, ..Digests::default() },
    };
    (known, recorded)
}

impl AdoptionCounts {
    fn total(&self) -> u64 {
        self.areas.values().sum()
    }

    fn words(&self, areas: &WatchedAreas, shown: &str, made: Timestamp) -> String {
        if self.areas.is_empty() {
            return format!("the baseline of fcheck in {shown} was made over none of the areas; a new one is made");
        }
        let mut note = format!(
            "{ADOPTED}: {shown} of {}, {} entries, of {} the content; what differs from it is told",
            in_utc(made),
            self.total(),
            self.digests
        );
        for watched in &areas.all {
            if let Some(count) = self.areas.get(&watched.id) {
                note.push_str(&format!("\n{}: {count}", escape_name(&watched.path)));
            }
        }
        if self.bare > 0 {
            note.push_str(&format!(
                "\nof {} entries fcheck knew nothing that counts here, such as links: they are learned",
                self.bare
            ));
        }
        if self.odd > 0 {
            note.push_str(&format!("\nlines that were not understood: {}", self.odd));
        }
        note
    }
}
