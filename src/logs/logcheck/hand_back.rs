//! The way back to logcheck(8): where it has to read on so that it reports the lines that nobody has got yet, and no others.
//!
//! A position of this daemon says what was read; of what was read some lines may still wait for a mail. So the position that is given
//! back is that of the first line that waits. It is looked for backwards in the log itself, because events hold lines and no offsets.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use jiff::{Timestamp as Instant, tz::TimeZone};

use crate::{
    logs::{group::notices::JOURNAL, line::syslog::parse, logcheck::log_list::open_regular},
    model::{
        clock::Timestamp,
        log::{
            journal_cursor::JournalPlace,
            position::{LogState, Position, RotatedState},
        },
    },
    store::sqlite::{connection::Store, error::StoreError},
    tail::{
        logtail_offset::Offset,
        splitter::{LONGEST, without_trailing_space},
    },
};

/// What is read at once.
const WINDOW: u64 = 8 << 20;

/// The endings of rotated files in which logtail2(8) looks for the rest.
const ROTATED: [&str; 2] = [".1", ".0"];

/// Why a position cannot be given back.
#[derive(Debug, thiserror::Error)]
pub enum HandbackError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("{}: the log cannot be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where logcheck is to read on in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handback {
    /// There.
    pub offset: Offset,
    /// How many lines behind it were read and wait for a mail.
    pub waiting: usize,
    /// How many more wait that do not stand in the log any more.
    pub lost: usize,
}

/// Where logcheck is to read on in the log `path`; `None` when the daemon has never read it. Cost: reads what lies between that place
/// and the position.
///
/// # Errors
/// [`HandbackError`] when the store or the log cannot be read.
pub fn log(store: &Store, path: &Path) -> Result<Option<Handback>, HandbackError> {
    let name = path.as_os_str().as_bytes();
    let mut states = Vec::new();
    for known in store.log_names()?.iter().filter(|known| known.path == name) {
        states.extend(store.log_state(known)?);
    }
    let Some(base) = earliest(&states, path) else { return Ok(None) };
    let mut wanted: HashMap<Vec<u8>, usize> = HashMap::new();
    let unreported = store.unreported_lines(name)?;
    for stored in &unreported {
        *wanted.entry(stored.event.note.clone()).or_default() += 1;
    }
    let mut found = Handback { offset: base, waiting: unreported.len(), lost: 0 };
    let mut upper = Some(base.offset);
    let is_base = |file: &File| file.metadata().is_ok_and(|seen| seen.ino() == base.inode);
    let mut is_met = false;
    for (candidate, file) in candidates(path) {
        is_met |= is_base(&file);
        if wanted.is_empty() {
            break;
        }
        if !is_met {
            continue;
        }
        let wrong = |source| HandbackError::Io { path: candidate.clone(), source };
        let seen = file.metadata().map_err(wrong)?;
        let end = upper.take().map_or(seen.len(), |upper| upper.min(seen.len()));
        if let Some(offset) = scan_back(&file, end, &mut wanted).map_err(wrong)? {
            found.offset = Offset { inode: seen.ino(), offset };
        }
    }
    found.lost = wanted.values().sum();
    Ok(Some(found))
}

/// From when on logcheck is to read the journal; `None` when the daemon has never read it.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn journal(store: &Store, zone: &TimeZone, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let mut earliest: Option<Timestamp> = None;
    for group in store.journal_groups()? {
        let place = store.journal_state(&group)?.map(|state| state.place);
        let Some(JournalPlace::Since(at) | JournalPlace::After { realtime: at, .. }) = place else { continue };
        earliest = Some(earliest.map_or(at, |known| known.min(at)));
    }
    let Some(mut from) = earliest else { return Ok(None) };
    for stored in store.unreported_lines(JOURNAL)? {
        let written = parse(&stored.event.note).and_then(|line| line.stamp.wall_seconds(zone, now));
        if let Some(at) = written.and_then(|seconds| of_wall(seconds, zone)) {
            from = from.min(at);
        }
    }
    Ok(Some(from))
}

/// The time at which a clock in `zone` shows so many seconds; the earlier one of two.
fn of_wall(seconds: i64, zone: &TimeZone) -> Option<Timestamp> {
    let shown = Instant::from_second(seconds).ok()?.to_zoned(TimeZone::UTC).datetime();
    let at = zone.to_ambiguous_zoned(shown).earlier().ok()?.timestamp();
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// The earliest of the places from which groups read a log on: a rotated file that is being read, the position, or the beginning.
fn earliest(states: &[LogState], path: &Path) -> Option<Offset> {
    let of_anchor =
        |anchor: &crate::model::log::position::Anchor| Offset { inode: anchor.file.inode, offset: anchor.offset };
    let mut places = Vec::new();
    for state in states {
        let reading = state.siblings.iter().find(|sibling| sibling.standing == RotatedState::Reading);
        match (&state.position, reading) {
            (_, Some(sibling)) => places.push(of_anchor(&sibling.anchor)),
            (Position::At(anchor), None) => places.push(of_anchor(anchor)),
            // Whatever has the name next: for logtail an inode that no file has is another file, which is read from its beginning.
            (Position::Beginning, None) => {
                places.push(Offset { inode: fs::metadata(path).map_or(0, |found| found.ino()), offset: 0 });
            }
            (Position::Unbegun, None) => {}
        }
    }
    let live = fs::metadata(path).map_or(0, |found| found.ino());
    // One that is not the live file any more is older than any place in that.
    places.into_iter().min_by_key(|place| (place.inode == live, place.offset))
}

/// The log and those rotated files of it that logtail2(8) would read, newest first.
fn candidates(path: &Path) -> Vec<(PathBuf, File)> {
    let rotated = ROTATED.iter().map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    let all = std::iter::once(path.to_owned()).chain(rotated).chain(newest_dated(path));
    all.filter_map(|path| open_regular(&path).ok().map(|file| (path, file))).collect()
}

/// The newest of the rotated files that bear a date (`dateext` of logrotate(8)): `LOG-20261122`.
fn newest_dated(path: &Path) -> Option<PathBuf> {
    let prefix = [path.file_name()?.as_bytes(), b"-"].concat();
    let is_date = |name: &[u8]| {
        name.strip_prefix(prefix.as_slice()).is_some_and(|date| date.len() == 8 && date.iter().all(u8::is_ascii_digit))
    };
    let names = fs::read_dir(path.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let newest = names.filter(|name| is_date(name.as_bytes())).max()?;
    Some(path.with_file_name(newest))
}

/// Looks backwards from `end` for the `wanted` lines and takes out what it finds; gives where the first of them begins.
fn scan_back(file: &File, mut end: u64, wanted: &mut HashMap<Vec<u8>, usize>) -> io::Result<Option<u64>> {
    let mut earliest = None;
    // The end of a line whose beginning lies further ahead.
    let mut torn: Vec<u8> = Vec::new();
    while end > 0 && !wanted.is_empty() {
        let start = end.saturating_sub(WINDOW);
        let mut window = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(&mut window, start)?;
        window.append(&mut torn);
        let whole = match window.iter().position(|byte| *byte == b'\n') {
            _ if start == 0 => 0,
            Some(newline) => newline + 1,
            None => window.len(),
        };
        let rest = window.split_off(whole);
        let mut at = start + u64::try_from(whole).unwrap_or_default() + u64::try_from(rest.len()).unwrap_or_default();
        for line in rest.split_inclusive(|byte| *byte == b'\n').rev() {
            at -= u64::try_from(line.len()).unwrap_or_default();
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let key = without_trailing_space(text.get(..LONGEST).unwrap_or(text));
            let Some(count) = wanted.get_mut(key) else { continue };
            earliest = Some(at);
            *count -= 1;
            if *count == 0 {
                wanted.remove(key);
            }
        }
        torn = window;
        end = start;
    }
    Ok(earliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(lines: &[&str]) -> HashMap<Vec<u8>, usize> {
        let mut wanted = HashMap::new();
        for line in lines {
            *wanted.entry(line.as_bytes().to_vec()).or_default() += 1;
        }
        wanted
    }

    #[test]
    fn the_first_line_that_waits_is_found_from_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        fs::write(&path, "same\nold\nsame \nnew\nsame\nunread same\nsame\n").unwrap();
        let file = File::open(&path).unwrap();
        let at = |end: u64, lines: &[&str]| {
            let mut wanted = wanted(lines);
            let found = scan_back(&file, end, &mut wanted).unwrap();
            (found, wanted.values().sum::<usize>())
        };
        // Up to `unread`.
        assert_eq!(at(24, &["same"]), (Some(19), 0));
        assert_eq!(at(24, &["same", "same"]), (Some(9), 0));
        assert_eq!(at(24, &["new", "same"]), (Some(15), 0));
        assert_eq!(at(24, &["new", "gone"]), (Some(15), 1));
        assert_eq!(at(24, &[]), (None, 0));
        assert_eq!(at(0, &["same"]), (None, 1));
    }

    #[test]
    fn lines_are_whole_across_windows() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let long = "x".repeat(usize::try_from(WINDOW).unwrap() * 2 + 77);
        fs::write(&path, format!("first\n{long}\nlast\n")).unwrap();
        let file = File::open(&path).unwrap();
        let end = file.metadata().unwrap().len();
        let mut lines = wanted(&["first", "last", long.get(..LONGEST).unwrap()]);
        assert_eq!(scan_back(&file, end, &mut lines).unwrap(), Some(0));
        assert!(lines.is_empty());
    }

    #[test]
    fn rotated_files_that_bear_a_date_are_searched_the_newest_only() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for name in ["log", "log-20261120", "log-20261122", "log-2026112", "log-20261123.gz", "other-20261124"] {
            fs::write(at(name), name).unwrap();
        }
        let found: Vec<PathBuf> = candidates(&at("log")).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, [at("log"), at("log-20261122")]);
    }

    #[test]
    fn the_clock_of_the_wall_is_read_back_in_its_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = Timestamp::from_nanos(1_795_307_449_000_000_000);
        let stamp = parse(b"Nov 22 01:30:49 h app: x").unwrap().stamp;
        let at = of_wall(stamp.wall_seconds(&berlin, now).unwrap(), &berlin).unwrap();
        assert_eq!(at, now);
    }
}
