//! What we are made of is watched too: the program, the settings that hold, and what starts us.
//!
//! Who wants to blind a watcher exchanges it. The areas may or may not hold its files, so it looks at itself at each start and every few
//! minutes; and what it tells is mailed at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    config::write::effective::{Effective, SettingSource},
    content::hasher::Hasher,
    model::{
        clock::Moment,
        escape::{escape_name, hex},
        event::{Category, Event, Severity},
        file::{
            entry::{Algorithm, AlgorithmSet},
            xattr::digest,
        },
    },
    store::{
        events::outcome::{Outcome, StateChange},
        sources::own_parts::OwnPart,
        sqlite::{connection::Store, error::StoreError},
    },
};

const PROGRAM: &str = "program";
const CONFIGURATION: &str = "configuration";
const UNIT: &str = "unit";

/// Where units may lie, below the root (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 11] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// Of what starts us the unit, its drop-ins and those of all services.
const UNIT_PLACES: [&str; 3] = ["integrityd.service", "integrityd.service.d", "service.d"];

/// The first line of what is known of what starts us; without it a version has stored it that looked at these places only.
const PLACES: &str = "# all places of systemd.unit(5)\n";
const EARLIER: [&str; 10] = [
    "/etc/systemd/system/integrityd.service",
    "/etc/systemd/system/integrityd.service.d/",
    "/etc/systemd/system/service.d/",
    "/etc/systemd/system.control/integrityd.service.d/",
    "/run/systemd/system/integrityd.service.d/",
    "/lib/systemd/system/integrityd.service",
    "/usr/lib/systemd/system/integrityd.service",
    "/usr/local/lib/systemd/system/integrityd.service",
    "/etc/init.d/integrityd",
    "/etc/default/integrityd",
];

/// What starts us without systemd.
const SCRIPTS: [&str; 2] = ["etc/init.d/integrityd", "etc/default/integrityd"];

/// Most bytes of a unit that are read, and most files of one directory.
const MOST_BYTES: u64 = 1 << 20;
const MOST_FILES: usize = 100;

/// Most differences of settings that are told one by one, and most characters of each.
const MOST_TOLD: usize = 30;
const MOST_SHOWN: usize = 200;

/// What of a file shows that it was not written since.
type FileStamp = (u64, u64, u64, i64, i64);

/// What is remembered between two looks, so that an unchanged program is not read again.
#[derive(Debug, Default)]
pub(super) struct Ourselves {
    /// The file of the program and how it was when it was last read.
    stamp: Option<(PathBuf, FileStamp)>,
}

impl Ourselves {
    /// The program that runs, as a part to compare. Reads all of it.
    pub(super) fn running(&mut self, root: &Path, now: Moment) -> io::Result<OwnPart> {
        let link = root.join("proc/self/exe");
        let path = on_disk(&link)?;
        self.stamp = stamp(&path).map(|stamp| (path.clone(), stamp));
        program(File::open(&link)?, &path, concat!("version ", env!("CARGO_PKG_VERSION")), now)
    }

    /// The program as it lies on the disk, if it was written since it was last read.
    pub(super) fn written(&mut self, now: Moment) -> io::Result<Option<OwnPart>> {
        let Some((path, known)) = self.stamp.clone() else { return Ok(None) };
        let Some(found) = stamp(&path) else { return Ok(None) };
        if found == known {
            return Ok(None);
        }
        let part = program(File::open(&path)?, &path, "on the disk, not started yet", now)?;
        self.stamp = Some((path, found));
        Ok(Some(part))
    }
}

/// Where the program lies, or lay before another was put in its place.
fn on_disk(link: &Path) -> io::Result<PathBuf> {
    let target = fs::read_link(link)?;
    let bytes = target.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

fn program(mut file: File, path: &Path, which: &str, now: Moment) -> io::Result<OwnPart> {
    let mut hasher = Hasher::new(AlgorithmSet::NONE.with(Algorithm::Blake3));
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finish().blake3.unwrap_or_default();
    let detail = format!("{}, {which}", escape_name(path.as_os_str().as_bytes())).into_bytes();
    Ok(OwnPart { name: PROGRAM, digest, detail, since: now.wall })
}

/// What starts us, file by file with its digest.
pub(super) fn unit(root: &Path, now: Moment) -> OwnPart {
    let listed = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = SCRIPTS.iter().map(|place| root.join(place)).collect();
    for directory in UNIT_DIRECTORIES.iter().map(|place| root.join(place)) {
        for path in UNIT_PLACES.map(|place| directory.join(place)) {
            if path.is_dir() { files.extend(listed(&path).take(MOST_FILES)) } else { files.push(path) }
        }
        // Whether it is started at all.
        let is_wanting = |path: &PathBuf| path.extension().is_some_and(|end| end == "wants" || end == "requires");
        files.extend(listed(&directory).filter(is_wanting).map(|wants| wants.join("integrityd.service")));
    }
    files.sort();
    // On most systems /lib is /usr/lib.
    let mut known = BTreeSet::new();
    let mut detail = PLACES.to_owned();
    for path in files {
        let is_wanted = path.parent().and_then(Path::extension).is_some_and(|end| end == "wants" || end == "requires");
        if let Some(link) = fs::read_link(&path).ok().filter(|_| is_wanted || stamp(&path).is_none()) {
            // A unit that is masked leads to /dev/null; one that is enabled is linked to.
            let (name, target) = (escape_name(path.as_os_str().as_bytes()), link.as_os_str().as_bytes().to_vec());
            detail.push_str(&format!("{name} = link to {}\n", escape_name(&target)));
            continue;
        }
        let Some(found) = stamp(&path).filter(|(dev, inode, ..)| known.insert((*dev, *inode))) else { continue };
        let mut content = Vec::new();
        if found.2 <= MOST_BYTES
            && File::open(&path).is_ok_and(|file| file.take(MOST_BYTES).read_to_end(&mut content).is_ok())
        {
            let name = escape_name(path.as_os_str().as_bytes());
            detail.push_str(&format!("{name} = {}\n", hex(&digest(&content))));
        }
    }
    OwnPart { name: UNIT, digest: digest(detail.as_bytes()), detail: detail.into_bytes(), since: now.wall }
}

/// The settings that hold, a line each of fields with tabs between, which no value has: whether somebody has given it (`+`) or not (`-`),
/// its name, its values.
pub(super) fn settings(effective: &Effective, now: Moment) -> OwnPart {
    let mut lines = Vec::new();
    let mut numbers: BTreeMap<_, u32> = BTreeMap::new();
    for block in &effective.blocks {
        let number = numbers.entry(block.table).or_default();
        *number += 1;
        let place = match block.values("area").first() {
            Some(area) => format!("area {}", escape_name(&area.value)),
            None if block.table.is_repeatable() => format!("{} {number}", block.table.name()),
            None => String::new(),
        };
        for row in &block.rows {
            let name = if place.is_empty() { row.key.name.to_owned() } else { format!("{place}: {}", row.key.name) };
            let is_given = row.values.iter().any(|given| matches!(given.source, SettingSource::Line { .. }));
            let mark = if is_given { GIVEN } else { NOT_GIVEN };
            let values = row.values.iter().map(|given| escape_name(&given.value));
            lines.push([mark.to_owned(), name].into_iter().chain(values).collect::<Vec<_>>().join("\t"));
        }
    }
    lines.sort();
    let detail = lines.join("\n").into_bytes();
    OwnPart { name: CONFIGURATION, digest: digest(&detail), detail, since: now.wall }
}

/// Whether somebody has given a setting: the first field of its line.
const GIVEN: &str = "+";
const NOT_GIVEN: &str = "-";

/// Behind the value of a setting that nobody has given, where that is shown; versions that wrote `name = value` stored it so.
const DEFAULT: &str = " (default)";

/// A setting as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredSetting {
    is_given: bool,
    values: Vec<String>,
}

impl StoredSetting {
    /// The name and the setting of a line.
    fn parse(line: &str) -> Option<(String, Self)> {
        let mut fields = line.split('\t');
        if let mark @ (GIVEN | NOT_GIVEN) = fields.next()? {
            let name = fields.next()?.to_owned();
            return Some((name, Self { is_given: mark == GIVEN, values: fields.map(str::to_owned).collect() }));
        }
        let (name, value) = line.split_once(" = ")?;
        let is_given = !(value.ends_with(DEFAULT) || value.trim().is_empty());
        let value = value.strip_suffix(DEFAULT).unwrap_or(value).trim();
        let values = if value.is_empty() { Vec::new() } else { vec![value.to_owned()] };
        Some((name.to_owned(), Self { is_given, values }))
    }

    fn shown(&self) -> String {
        match self.values.as_slice() {
            [] => "nothing".to_owned(),
            values => format!("{}{}", cut(&values.join(", ")), if self.is_given { "" } else { DEFAULT }),
        }
    }
}

/// Compares a part with what it was and stores it with the event that tells of the change; the first look tells nothing.
pub(super) fn compare(store: &mut Store, part: OwnPart, now: Moment) -> Result<(), StoreError> {
    let old = store.own_part(part.name)?;
    if old.as_ref().is_some_and(|old| old.digest == part.digest) {
        return Ok(());
    }
    let event = old
        .and_then(|old| told(&old, &part))
        .map(|(category, note)| Event::new(category, Severity::High, now, Vec::new()).with_note(note));
    let mut outcome = Outcome::default().with_change(StateChange::Ourselves(Box::new(part)));
    if let Some(event) = event {
        outcome = outcome.with_event(event);
    }
    store.commit(&outcome).map(|_seq| ())
}

/// What is told of a part that is another one; `None` when only what nobody has set has come or gone.
fn told(old: &OwnPart, new: &OwnPart) -> Option<(Category, String)> {
    let digests = format!("blake3 {} → {}", hex(&old.digest), hex(&new.digest));
    if new.name == PROGRAM {
        let (was, is) = (String::from_utf8_lossy(&old.detail), String::from_utf8_lossy(&new.detail));
        let note = format!("{is}\nbefore: {was}\n{digests}\nan upgrade, or another program in its place");
        return Some((Category::ProgramChanged, note));
    }
    let mut differences = differences(&old.detail, &new.detail);
    if new.name == UNIT && !old.detail.starts_with(PLACES.as_bytes()) {
        differences.retain(|line| {
            EARLIER
                .iter()
                .any(|place| line.starts_with(&format!("{place}:")) || place.ends_with('/') && line.starts_with(place))
        });
    }
    if differences.is_empty() {
        return None;
    }
    let left = differences.len().saturating_sub(MOST_TOLD);
    let mut lines: Vec<String> = differences.into_iter().take(MOST_TOLD).collect();
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    let category = if new.name == UNIT { Category::ProgramChanged } else { Category::ConfigurationChanged };
    Some((category, format!("{}\n{digests}", lines.join("\n"))))
}

/// Which settings are other ones.
fn differences(old: &[u8], new: &[u8]) -> Vec<String> {
    let lines = |detail: &[u8]| -> BTreeMap<String, StoredSetting> {
        String::from_utf8_lossy(detail).lines().filter_map(StoredSetting::parse).collect()
    };
    // Of what an earlier version stored nobody knows where one value ends.
    let is_earlier = old.iter().all(|byte| *byte != b'\t');
    let (old, mut new) = (lines(old), lines(new));
    if is_earlier {
        let several = new.values_mut().filter(|setting| setting.values.len() > 1);
        several.for_each(|setting| setting.values = vec![setting.values.join(", ")]);
    }
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let shown = |setting: Option<&StoredSetting>| setting.map_or_else(|| "nothing".to_owned(), StoredSetting::shown);
    let mut found = Vec::new();
    for name in names {
        let (was, is) = (old.get(name), new.get(name));
        // What a new version knows and an old one did not, or the other way round, nobody has set.
        let is_news = match (was, is) {
            // What a default is may follow from another setting, which is told.
            (Some(was), Some(is)) => was != is && (was.is_given || is.is_given),
            (Some(one), None) | (None, Some(one)) => one.is_given,
            (None, None) => false,
        };
        if is_news {
            found.push(format!("{}: {} → {}", cut(name), shown(was), shown(is)));
        }
    }
    found
}

/// A text that was neutralised when it was made, cut where it is long.
fn cut(text: &str) -> String {
    let end = text.char_indices().nth(MOST_SHOWN).map(|(at, _)| at);
    end.and_then(|end| text.get(..end)).map_or_else(|| text.to_owned(), |start| format!("{start}…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::clock::{BootId, Boottime, Clock, Timestamp},
        store::events::append::Filter,
    };

    fn now() -> Moment {
        Moment { wall: Timestamp::from_nanos(5), boottime: Boottime::from_nanos(5), boot: BootId([1; 16]) }
    }

    fn put(root: &Path, name: &str, content: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn told_of(store: &Store) -> Vec<(Category, Severity, String)> {
        let events = store.history(&Filter { limit: 100, ..Filter::default() }).unwrap().into_iter();
        let told = |event: Event| (event.category, event.severity, String::from_utf8(event.note).unwrap());
        events.map(|stored| told(stored.event)).collect()
    }

    const UNIT_FILE: &str = "etc/systemd/system/integrityd.service";

    #[test]
    fn i5_what_starts_us_is_told_when_it_changes_by_file_and_digest() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut store = Store::open(&root.join("state/db"), now()).unwrap();
        let look = |store: &mut Store| compare(store, unit(root, now()), now()).unwrap();
        put(root, UNIT_FILE, "[Service]\nExecStart=/usr/sbin/integrityd run\n");
        look(&mut store);
        look(&mut store);
        assert_eq!(told_of(&store), [], "the first look has nothing to compare with");
        put(root, "etc/systemd/system/integrityd.service.d/90-quiet.conf", "[Service]\nExecStart=/bin/true\n");
        look(&mut store);
        look(&mut store);
        let told = told_of(&store);
        assert_eq!((told.len(), told[0].0, told[0].1), (1, Category::ProgramChanged, Severity::High));
        let name = root.join("etc/systemd/system/integrityd.service.d/90-quiet.conf");
        assert!(told[0].2.starts_with(&format!("{}: nothing → ", name.display())), "{}", told[0].2);
        fs::remove_file(name).unwrap();
        look(&mut store);
        assert!(told_of(&store)[1].2.contains(" → nothing"));
        // Masked: the unit is there, and starts nothing.
        fs::remove_file(root.join(UNIT_FILE)).unwrap();
        std::os::unix::fs::symlink("/dev/null", root.join(UNIT_FILE)).unwrap();
        look(&mut store);
        assert!(told_of(&store)[2].2.contains("→ link to /dev/null"), "{:?}", told_of(&store));
    }

    #[test]
    fn whatever_starts_us_is_part_of_it_and_whether_it_is_started_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let look = || String::from_utf8(unit(root, now()).detail).unwrap();
        for place in [
            "usr/lib/systemd/system/integrityd.service.d/x.conf",
            "usr/lib/systemd/system/service.d/x.conf",
            "run/systemd/system/integrityd.service",
            "run/systemd/transient/integrityd.service",
            "run/systemd/system.control/integrityd.service.d/x.conf",
            "etc/default/integrityd",
        ] {
            let before = look();
            put(root, place, place);
            assert!(look() != before && look().contains(place), "{place}");
        }
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        let target = "/usr/lib/systemd/system/integrityd.service";
        std::os::unix::fs::symlink(target, wants.join("integrityd.service")).unwrap();
        assert!(look().contains(&format!("wants/integrityd.service = link to {target}")), "{}", look());
    }

    #[test]
    fn settings_that_nobody_has_set_come_and_go_in_silence() {
        let new = b"+\ta\t1\n+\tb\t3\n+\tc\t/etc\t/usr\n-\td\t8\n-\tnew\toff";
        let wanted = ["a: 1 (default) → 1", "b: 2 → 3", "c: nothing → /etc, /usr"];
        assert_eq!(differences(b"-\ta\t1\n+\tb\t2\n-\tc\n-\td\t7\n-\tgone\tx", new), wanted);
        // As earlier versions have stored it.
        let earlier = b"a = 1 (default)\nb = 2\nc =  (default)\nd = 7 (default)\ngone = x (default)";
        assert_eq!(differences(earlier, new), wanted);
        assert_eq!(differences(b"c = /etc, /usr\nd = 8 (default)", b"+\tc\t/etc\t/usr\n-\td\t8"), [""; 0]);
        assert_eq!(differences(b"-\tgone\tx", b"-\tnew\toff"), [""; 0]);
    }

    #[test]
    fn no_value_makes_a_setting_look_like_another_or_like_none() {
        let directory = tempfile::tempdir().unwrap();
        let stored = |text: &str| {
            let path = directory.path().join("conf");
            fs::write(&path, format!("area = /srv\n{text}")).unwrap();
            let (_, effective) = crate::config::load_with_sources(&path).unwrap();
            let now = Clock::System(BootId::default()).now();
            settings(&effective, now).detail
        };
        let none = stored("");
        for (was, is) in [
            (none.clone(), stored("exclude = /srv/x (default)\n")),
            (stored("exclude = /srv/a\nexclude = /srv/b\n"), stored("exclude = /srv/a, /srv/b\n")),
            (stored("exclude = /srv/a\n"), stored("exclude = /srv/a (default)\n")),
            (none, stored("urgent = /x = y (default)\n")),
        ] {
            assert_eq!(differences(&was, &is).len(), 1, "{:?}", String::from_utf8_lossy(&is));
        }
    }

    #[test]
    fn a_program_is_read_again_only_when_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("integrityd");
        fs::write(&path, "one").unwrap();
        let mut ourselves = Ourselves { stamp: stamp(&path).map(|stamp| (path.clone(), stamp)) };
        let now = Clock::System(BootId::default()).now();
        assert_eq!(ourselves.written(now).unwrap(), None);
        fs::write(directory.path().join("next"), "two").unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        let part = ourselves.written(now).unwrap().unwrap();
        assert_eq!((part.name, part.digest), (PROGRAM, digest(b"two")));
        assert_eq!(ourselves.written(now).unwrap(), None);
        // Half of an upgrade is no program.
        fs::remove_file(&path).unwrap();
        assert_eq!(ourselves.written(now).unwrap(), None);
    }
}
