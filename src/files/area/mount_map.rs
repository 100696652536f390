//! The mount map: what is mounted, where a path really leads, and which mounts may only be touched through a helper.
//!
//! Nothing here touches what could hang. A path is followed component by component, and each is looked up in the table of mounts before
//! it is looked at.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    config::settings::config::Helper,
    files::remote::remote_mount::{RemoteMount, Transition, UnreapedHelpers},
    sys::{
        fs::mounts::{self, Mount, MountTable, MountWatch},
        process::framed::reap,
    },
};

/// As many symbolic links as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: u8 = 40;

/// What is mounted, and who is sent there.
#[derive(Debug)]
pub struct MountMap {
    table: RwLock<Arc<MountTable>>,
    watch: Option<MountWatch>,
    has_moved: AtomicBool,
    /// Counts the changes of the table.
    changes: AtomicU64,
    /// Asked for every name that is met.
    can_hang: AtomicBool,
    helper: Helper,
    fars: Mutex<HashMap<u64, Arc<RemoteMount>>>,
    graves: UnreapedHelpers,
}

impl MountMap {
    /// The mount map as it is now; helpers are as `helper` says.
    pub fn new(helper: Helper) -> Self {
        let mount_map = Self {
            table: RwLock::default(),
            // Begun before the first reading, so that no change falls between. Without /proc each survey reads again.
            watch: MountWatch::begin().ok(),
            has_moved: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            can_hang: AtomicBool::new(false),
            helper,
            fars: Mutex::default(),
            graves: Arc::default(),
        };
        mount_map.read();
        mount_map
    }

    /// The mount map where this is mounted, for tests.
    #[cfg(test)]
    pub(in crate::files) fn of(mounts: Vec<Mount>) -> Self {
        let mount_map = Self::new(Helper::default());
        *mount_map.table.write().unwrap() = Arc::new(MountTable::new(mounts));
        mount_map
    }

    /// All mounts.
    pub fn table(&self) -> Arc<MountTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is mounted now; gives whether that could be read.
    pub fn read(&self) -> bool {
        // Without /proc nothing can be said; what is known stays.
        let Ok(all) = mounts::read(Path::new("/")) else { return false };
        let table = Arc::new(MountTable::new(all));
        let mut fars = self.fars.lock().unwrap_or_else(PoisonError::into_inner);
        fars.retain(|_, far| table.all().contains(&far.mount));
        let has_changed = self.table().all() != table.all();
        // Before and after: whoever begins between has not seen the end of it.
        self.changes.fetch_add(u64::from(has_changed), Ordering::SeqCst);
        self.can_hang.store(table.can_hang(), Ordering::Relaxed);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.changes.fetch_add(u64::from(has_changed), Ordering::SeqCst);
        true
    }

    /// How often the table has changed: a number that is another one after each change.
    pub(in crate::files) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Reads again if something was mounted or unmounted; gives whether it was. Cost: one `poll(2)`.
    pub fn keep_up(&self) -> bool {
        let has_changed = self.watch.as_ref().is_some_and(MountWatch::has_changed) && self.read();
        if has_changed {
            self.has_moved.store(true, Ordering::Relaxed);
        }
        has_changed
    }

    /// Whether something was mounted or unmounted since this was asked last.
    pub fn has_moved(&self) -> bool {
        self.keep_up();
        self.has_moved.swap(false, Ordering::Relaxed)
    }

    /// Whether anything is mounted that can hang.
    pub fn can_hang(&self) -> bool {
        self.can_hang.load(Ordering::Relaxed)
    }

    /// The slow mount through which the way to `path` leads last, and what leads on from its root; `None` when none does. The path must
    /// be a real one, without symbolic links.
    pub fn far(&self, path: &[u8]) -> Option<(Arc<RemoteMount>, Vec<u8>)> {
        let table = self.table();
        if !table.can_hang() {
            return None;
        }
        let mount = table.met(path).into_iter().rfind(|mount| mount.can_hang())?;
        let mut fars = self.fars.lock().unwrap_or_else(PoisonError::into_inner);
        let far = fars.entry(mount.id).or_insert_with(|| {
            Arc::new(RemoteMount::new(mount.clone(), self.helper.clone(), Arc::clone(&self.graves)))
        });
        let rest = path.strip_prefix(mount.point.as_slice()).unwrap_or_default();
        Some((Arc::clone(far), rest.strip_prefix(b"/").unwrap_or(rest).to_vec()))
    }

    /// Whether a write moves the ctime of what lies at the real path `path` for certain; not where it is unknown what is mounted.
    pub(in crate::files) fn keeps_ctime(&self, path: &[u8]) -> bool {
        self.table().met(path).last().is_some_and(|mount| mount.keeps_ctime())
    }

    /// Where the absolute `path` leads when symbolic links are followed, as far as that can be told without touching a mount that could
    /// hang.
    pub fn resolve(&self, path: &[u8]) -> Vec<u8> {
        let table = self.table();
        let mut ahead: Vec<Vec<u8>> = components(path);
        let mut reached: Vec<u8> = Vec::new();
        let mut links = MOST_LINKS;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                reached.truncate(reached.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = [reached.as_slice(), b"/", &name].concat();
            if table.can_hang() && table.met(&next).iter().any(|mount| mount.can_hang()) {
                return with_rest(next, ahead);
            }
            let here = Path::new(OsStr::from_bytes(&next));
            let is_link = fs::symlink_metadata(here).is_ok_and(|found| found.is_symlink());
            match fs::read_link(here).ok().filter(|_| is_link && links > 0) {
                Some(target) => {
                    links -= 1;
                    let target = target.into_os_string().into_vec();
                    if target.starts_with(b"/") {
                        reached.clear();
                    }
                    ahead.extend(components(&target));
                }
                None => reached = next,
            }
        }
        if reached.is_empty() { b"/".to_vec() } else { reached }
    }

    /// Looks after the helpers that are out: late answers, deadlines, retries. Never waits for one; gives what has become of the mounts.
    pub fn attend(&self) -> Vec<(Mount, Transition)> {
        reap(&mut self.graves.lock().unwrap_or_else(PoisonError::into_inner));
        let fars: Vec<Arc<RemoteMount>> =
            self.fars.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        for far in &fars {
            far.attend();
        }
        fars.iter().filter_map(|far| Some((far.mount.clone(), far.news()?))).collect()
    }

    /// The mounts that are known not to answer, and why.
    pub fn stalled(&self) -> Vec<(Mount, String)> {
        let fars = self.fars.lock().unwrap_or_else(PoisonError::into_inner);
        fars.values().filter_map(|far| Some((far.mount.clone(), far.stalled()?))).collect()
    }

    /// Whether there is anybody to look after.
    pub fn has_helpers(&self) -> bool {
        !self.fars.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// The components of a path, last first; `.` and doubled slashes left out.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).collect()
}

fn with_rest(mut reached: Vec<u8>, ahead: Vec<Vec<u8>>) -> Vec<u8> {
    for name in ahead.into_iter().rev() {
        reached.push(b'/');
        reached.extend(name);
    }
    reached
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_where_its_links_point() {
        let tree = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(tree.path()).unwrap();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink(root.join("link/deep"), root.join("far")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let mount_map = MountMap::new(Helper::default());
        for (path, wanted) in [
            ("link/deep", "real/deep"),
            ("far/../x", "real/x"),
            ("link/./absent/x", "real/absent/x"),
            ("loop/x", "loop/x"),
        ] {
            let found = mount_map.resolve(root.join(path).as_os_str().as_bytes());
            assert_eq!(found, root.join(wanted).as_os_str().as_bytes(), "{path}");
        }
        assert_eq!(mount_map.resolve(b"/"), b"/");
    }
}
