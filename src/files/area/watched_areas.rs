//! The watched areas: what the configuration names, what is left out of them, and the descriptors of their roots.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    config::settings::{
        config::{Area, Config, MailWay, OnChange},
        system_directories::SystemDirectories,
        urgent::UrgentList,
    },
    files::{area::mount_map::MountMap, remote::lookup::DirHandle},
    model::{
        clock::Boottime,
        file::{
            attribute::{Attribute, AttributeSet},
            entry::{AreaId, LONGEST_PATH},
        },
    },
    store::open::own_files,
    sys::fs::mounts::Mount,
};

/// How often all entries of an area are counted at most.
const COUNT_TIME: Duration = Duration::from_mins(1);

/// One area as it is walked.
#[derive(Debug)]
pub struct WatchedArea {
    /// Its settings.
    pub settings: Area,
    /// Its row in the store.
    pub id: AreaId,
    /// Its configured path, as bytes.
    pub path: Vec<u8>,
    root: Mutex<Option<Arc<DirHandle>>>,
    /// Where it really is, as far as that could be told last.
    pub(in crate::files) real: Mutex<Vec<u8>>,
    was_silent: AtomicBool,
    /// When its entries were counted last.
    counted: Mutex<Option<Boottime>>,
}

impl WatchedArea {
    /// What is walked of an area.
    pub fn new(settings: Area, id: AreaId) -> Self {
        let path = settings.path.as_os_str().as_bytes().to_vec();
        Self {
            settings,
            id,
            root: Mutex::new(None),
            real: Mutex::new(path.clone()),
            was_silent: AtomicBool::new(false),
            counted: Mutex::default(),
            path,
        }
    }

    /// Where `path`, which lies in this area, really is.
    pub(in crate::files) fn real_of(&self, path: &[u8]) -> Vec<u8> {
        let real = self.real.lock().unwrap_or_else(PoisonError::into_inner);
        match self.beneath(path) {
            b"" => real.clone(),
            beneath => join(&real, beneath),
        }
    }

    /// How the walk comes to the real path `real`; `None` when it lies elsewhere.
    pub(in crate::files) fn seen_as(&self, real: &[u8]) -> Option<Vec<u8>> {
        let root = self.real.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = real.strip_prefix(root.as_slice()).filter(|_| is_beneath(real, &root))?;
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        Some(if rest.is_empty() { self.path.clone() } else { join(&self.path, rest) })
    }

    /// Whether all its entries may be counted again, which is costly; notes that they are.
    pub(in crate::files) fn may_count(&self, now: Boottime) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_rested = counted.is_none_or(|counted| now.since(counted) >= COUNT_TIME);
        if is_rested {
            *counted = Some(now);
        }
        is_rested
    }

    /// Notes that a look into it had no answer.
    pub fn note_silence(&self) {
        self.was_silent.store(true, Ordering::Relaxed);
    }

    /// Whether a look into it had no answer since [`Self::was_silent`] was asked last.
    pub(in crate::files) fn is_silent(&self) -> bool {
        self.was_silent.load(Ordering::Relaxed)
    }

    /// Whether a look into it had no answer since this was asked last.
    pub fn was_silent(&self) -> bool {
        self.was_silent.swap(false, Ordering::Relaxed)
    }

    /// Where it really was when that was found out last.
    pub fn real(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.real_of(&self.path)))
    }

    /// Where `path`, which lies in this area, was when that was found out last.
    pub fn really(&self, path: &[u8]) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.real_of(path)))
    }

    /// The open root, if it was seen and is a directory.
    pub fn root(&self) -> Option<Arc<DirHandle>> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers (or forgets) the open root.
    pub fn set_root(&self, root: Option<DirHandle>) {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = root.map(Arc::new);
    }

    /// What is compared at `path`.
    pub fn compared_at(&self, path: &[u8]) -> AttributeSet {
        let is_listed = |list: &[PathBuf]| list.iter().any(|listed| listed.as_os_str().as_bytes() == path);
        // Another type of object is never the same file, whatever else counts.
        let mut set = self.settings.attributes.with(Attribute::Type);
        if is_listed(&self.settings.without_inode) {
            set = set.without(Attribute::Inode);
        }
        if is_listed(&self.settings.without_times) {
            set = set.without(Attribute::Mtime).without(Attribute::Ctime);
        }
        set
    }

    /// What leads from the root to `path`, which lies in this area; empty for the root itself.
    pub fn beneath<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let rest = path.strip_prefix(self.path.as_slice()).unwrap_or(path);
        rest.strip_prefix(b"/").unwrap_or(rest)
    }

    /// How many components `path` lies beneath the root.
    pub fn depth_of(&self, path: &[u8]) -> usize {
        self.beneath(path).split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count()
    }

    /// Whether a reported state becomes the baseline.
    pub fn accepts_changes(&self) -> bool {
        self.settings.on_change == OnChange::Accept
    }
}

/// For each area what is mounted at its root and within it, by the paths by which the walk meets it.
pub(in crate::files) type Concerned = Vec<BTreeMap<Vec<u8>, Mount>>;

/// Why the walk leaves a path out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// An exclude covers it.
    Excluded,
    /// We write it ourselves.
    Own,
    /// It is the root of another area.
    OtherArea,
    /// It lies in a directory that is not entered.
    NotEntered,
    /// It is longer than [`LONGEST_PATH`].
    TooLong,
}

/// All areas together.
#[derive(Debug)]
pub struct WatchedAreas {
    /// The areas, in the order of the configuration.
    pub all: Vec<WatchedArea>,
    roots: BTreeSet<Vec<u8>>,
    own: BTreeSet<Vec<u8>>,
    /// What is mounted.
    pub mount_map: MountMap,
    /// Mounts that are not entered, by the paths by which the walk would meet them.
    pub(in crate::files) barred: RwLock<Vec<Mount>>,
    /// Those of them that were given to be told.
    pub(in crate::files) told: Mutex<Vec<Mount>>,
    /// What hides a part of the baseline; not entered either.
    pub(in crate::files) covered: RwLock<Vec<Mount>>,
    /// Up to which change of what is mounted that was found out, and what concerned the areas then; nothing waits for it before that
    /// was done once.
    pub(super) reviewed: Mutex<Option<(u64, Concerned)>>,
    /// Paths that matter more than others.
    pub(in crate::files) urgent: UrgentList,
    /// Where the programs and settings of the system lie.
    pub(in crate::files) system_directories: SystemDirectories,
}

impl WatchedAreas {
    /// The areas of a configuration, to be surveyed before they are walked; `ids` are the rows of its areas, in the same order.
    pub fn new(config: &Config, ids: &[AreaId]) -> Self {
        let all: Vec<WatchedArea> =
            config.areas.iter().cloned().zip(ids).map(|(area, id)| WatchedArea::new(area, *id)).collect();
        let mount_map = MountMap::new(config.helper.clone());
        Self {
            roots: all.iter().map(|watched| watched.path.clone()).collect(),
            own: own_paths(config, &all, &mount_map),
            mount_map,
            barred: RwLock::default(),
            told: Mutex::default(),
            covered: RwLock::default(),
            reviewed: Mutex::default(),
            urgent: config.urgent.clone(),
            system_directories: config.system_directories.clone(),
            all,
        }
    }

    /// The area that `path` belongs to, with its number: the innermost that holds it.
    pub fn innermost(&self, path: &[u8]) -> Option<(usize, &WatchedArea)> {
        let holding = self.all.iter().enumerate().filter(|(_, watched)| is_beneath(path, &watched.path));
        holding.max_by_key(|(_, watched)| watched.path.len())
    }

    /// Whether `path` is or lies beneath a mount that is not entered.
    pub fn is_barred(&self, path: &[u8]) -> bool {
        self.barrier(path).is_some()
    }

    /// The mount that is not entered and that `path` is or lies beneath.
    pub fn barrier(&self, path: &[u8]) -> Option<Mount> {
        [&self.barred, &self.covered].into_iter().find_map(|list| {
            let list = list.read().unwrap_or_else(PoisonError::into_inner);
            list.iter().find(|mount| is_beneath(path, &mount.point)).cloned()
        })
    }

    /// Whether a part of the baseline in which `path` lies is hidden.
    pub fn is_covered(&self, path: &[u8]) -> bool {
        let covered = self.covered.read().unwrap_or_else(PoisonError::into_inner);
        covered.iter().any(|mount| is_beneath(path, &mount.point))
    }

    /// Whether the path `path`, met on the way in `watched`, is left out: excluded, our own, or the root of another area.
    pub fn leaves_out(&self, watched: &WatchedArea, path: &[u8]) -> bool {
        self.reason(watched, path).is_some()
    }

    /// Why the path `path`, met on the way in `watched`, is left out; `None` when it is not.
    pub fn reason(&self, watched: &WatchedArea, path: &[u8]) -> Option<Exclusion> {
        if watched.settings.excludes.covers(path) {
            Some(Exclusion::Excluded)
        } else if self.own.contains(path) {
            Some(Exclusion::Own)
        } else if self.roots.contains(path) && path != watched.path {
            Some(Exclusion::OtherArea)
        } else if !watched.settings.recurse && watched.depth_of(path) > 1 {
            Some(Exclusion::NotEntered)
        } else if path.len() > LONGEST_PATH {
            Some(Exclusion::TooLong)
        } else {
            None
        }
    }

    /// The topmost of our own files and directories that lie in an area and are never looked at.
    pub fn own_in_areas(&self) -> Vec<&[u8]> {
        let lies_in = |own: &[u8], watched: &WatchedArea| {
            is_beneath(own, &watched.path) && watched.settings.excludes.covering_prefix(own).is_none()
        };
        let is_topmost = |own: &[u8]| !self.own.iter().any(|other| other != own && is_beneath(own, other));
        let own = self.own.iter().map(Vec::as_slice);
        own.filter(|own| is_topmost(own) && self.all.iter().any(|watched| lies_in(own, watched))).collect()
    }

    /// The shortest beginning of `path` (at a component boundary, beneath the root of `watched`) that is left out.
    pub fn left_out_prefix<'a>(&self, watched: &WatchedArea, path: &'a [u8]) -> Option<&'a [u8]> {
        let ends = path
            .iter()
            .enumerate()
            .filter(|(index, byte)| **byte == b'/' && *index > watched.path.len())
            .map(|(index, _)| index)
            .chain([path.len()]);
        ends.filter(|end| *end > watched.path.len())
            .filter_map(|end| path.get(..end))
            .find(|prefix| self.leaves_out(watched, prefix))
    }
}

/// Whether `path` is `root` or lies beneath it.
pub fn is_beneath(path: &[u8], root: &[u8]) -> bool {
    match path.strip_prefix(root) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || root == b"/",
        None => false,
    }
}

/// A name in a directory as a path.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let separator: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, separator, name].concat()
}

/// What we write ourselves: watching it would report every report.
fn own_paths(config: &Config, all: &[WatchedArea], mount_map: &MountMap) -> BTreeSet<Vec<u8>> {
    let database = resolved(&config.database);
    let files = own_files(&database);
    let mut own: BTreeSet<Vec<u8>> = files.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    if let Some(directory) = database.parent()
        && holds_nothing_else(directory, &files)
        && !config.areas.iter().any(|area| area.path == directory)
    {
        own.insert(directory.as_os_str().as_bytes().to_vec());
    }
    if let MailWay::File(directory) = &config.mail.way {
        own.insert(resolved(directory).as_os_str().as_bytes().to_vec());
    }
    if let Some(mailbox) = &config.mail.fallback_mbox {
        own.insert(resolved(mailbox).as_os_str().as_bytes().to_vec());
    }
    let seen_from_tracts: Vec<Vec<u8>> = all
        .iter()
        .flat_map(|watched| own.iter().filter_map(|path| seen_from(&mount_map.resolve(&watched.path), watched, path)))
        .collect();
    own.extend(seen_from_tracts);
    own
}

/// The path by which a walk in `watched`, which really is `real`, meets the real path `own`.
fn seen_from(real: &[u8], watched: &WatchedArea, own: &[u8]) -> Option<Vec<u8>> {
    let beneath = own.strip_prefix(real)?.strip_prefix(b"/")?;
    Some(join(&watched.path, beneath))
}

fn resolved(path: &Path) -> PathBuf {
    let directory = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path.to_path_buf(),
    }
}

fn holds_nothing_else(directory: &Path, files: &[PathBuf]) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| {
        entries
            .all(|entry| entry.is_ok_and(|entry| files.iter().any(|file| file.file_name() == Some(&entry.file_name()))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn areas(areas: Vec<Area>) -> WatchedAreas {
        let ids: Vec<AreaId> = (1..).map(AreaId).take(areas.len()).collect();
        WatchedAreas::new(&Config::embedded(areas, PathBuf::from("/nowhere/integrityd.sqlite")), &ids)
    }

    #[test]
    fn a_directory_with_one_letter_at_the_top_can_be_left_out() {
        let excludes =
            crate::config::settings::exclude::Excludes::new(&[PathBuf::from("/a"), PathBuf::from("/etc/b")]).unwrap();
        let areas = areas(vec![Area { excludes, ..Area::new(PathBuf::from("/")) }]);
        let watched = &areas.all[0];
        assert_eq!(areas.left_out_prefix(watched, b"/a/x"), Some(&b"/a"[..]));
        assert_eq!(areas.left_out_prefix(watched, b"/etc/b/c"), Some(&b"/etc/b"[..]));
        assert_eq!(areas.left_out_prefix(watched, b"/b/x"), None);
    }

    #[test]
    fn components_are_whole() {
        assert!(is_beneath(b"/etc/lvm/x", b"/etc/lvm"));
        assert!(is_beneath(b"/etc/lvm", b"/etc/lvm"));
        assert!(!is_beneath(b"/etc/lvm2", b"/etc/lvm"));
        assert!(is_beneath(b"/etc", b"/"));
        assert_eq!(join(b"/", b"etc"), b"/etc");
        assert_eq!(join(b"/etc", b"lvm"), b"/etc/lvm");
    }
}
