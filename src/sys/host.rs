//! What the running system says about itself, read below a root that tests can choose.

use std::{
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::Path,
};

use crate::{
    model::{
        canonical::digest,
        clock::{BootId, Boottime},
    },
    sys::fs::handle::open_root,
};

/// The id of this boot (`random(4)`), or zeros where `/proc` does not tell.
pub fn boot_id(root: &Path) -> BootId {
    let text = fs::read_to_string(root.join("proc/sys/kernel/random/boot_id")).unwrap_or_default();
    BootId(uuid::Uuid::try_parse(text.trim()).map_or([0; 16], uuid::Uuid::into_bytes))
}

/// Whether some process holds an exclusive `flock(2)` on `path`, by `/proc/locks` (`proc_locks(5)`): asking by taking the lock
/// could keep the rightful owner from getting it. `None` when that cannot be told.
pub fn is_locked(root: &Path, path: &Path) -> Option<bool> {
    holders(root, path).map(|holders| !holders.is_empty())
}

/// The process that holds an exclusive `flock(2)` on `path`, as seen from this PID namespace.
pub fn lock_holder(root: &Path, path: &Path) -> Option<u32> {
    holders(root, path)?.into_iter().find(|pid| *pid > 0)
}

/// How often `/proc/locks` is read before a lock counts as not there. The kernel gives the list out in pages and counts its way to
/// the next one, so a lock that is freed between two pages makes another one fall out.
const READINGS: usize = 8;

/// The PIDs of all exclusive locks on `path`; 0 for a process of another PID namespace.
fn holders(root: &Path, path: &Path) -> Option<Vec<u32>> {
    let seen = fs::metadata(path).ok()?;
    let devices = devices(root, path, seen.dev());
    let mut found = Vec::new();
    for _ in 0..READINGS {
        found = listed_holders(root, seen.ino(), &devices)?;
        if !found.is_empty() {
            break;
        }
    }
    Some(found)
}

/// The numbers under which the list may have the file system of `path`, `major:minor` in hexadecimal: that of `stat(2)`, and that of its
/// mount, which is another one on btrfs and overlayfs. Another file system may have the same inode number.
fn devices(root: &Path, path: &Path, dev: u64) -> Vec<String> {
    let written = |major: u32, minor: u32| format!("{major:02x}:{minor:02x}");
    let mut found = vec![written(rustix::fs::major(dev), rustix::fs::minor(dev))];
    let Ok(Some(mount)) = open_root(path).and_then(|file| file.mount()) else { return found };
    let table = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    found.extend(table.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let is_its_mount = fields.next()?.parse() == Ok(mount);
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        is_its_mount.then_some(written(major.parse().ok()?, minor.parse().ok()?))
    }));
    found
}

/// The holders in one reading of the list.
fn listed_holders(root: &Path, inode: u64, devices: &[String]) -> Option<Vec<u32>> {
    let locks = fs::read_to_string(root.join("proc/locks")).ok()?;
    let holder = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_exclusive = fields.next() == Some("FLOCK") && fields.next().is_some() && fields.next() == Some("WRITE");
        let pid = fields.next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        let (device, number) = fields.next().and_then(|place| place.rsplit_once(':'))?;
        let is_it = number.parse() == Ok(inode) && devices.iter().any(|known| known == device);
        (is_exclusive && is_it).then_some(pid)
    };
    Some(locks.lines().filter_map(holder).collect())
}

/// When the process `pid` was started (`proc_pid_stat(5)`, field 22, counted behind the last parenthesis: a process chooses its name).
pub fn started(root: &Path, pid: u32) -> Option<Boottime> {
    let stat = fs::read(root.join(format!("proc/{pid}/stat"))).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    ticks(rest.split_ascii_whitespace().nth(19)?.parse().ok()?)
}

/// So many clock ticks (`sysconf(3)`) after the boot.
pub(super) fn ticks(count: u64) -> Option<Boottime> {
    let second = rustix::param::clock_ticks_per_second();
    let nanos = u128::from(count).saturating_mul(1_000_000_000).checked_div(u128::from(second))?;
    Some(Boottime::from_nanos(i64::try_from(nanos).ok()?))
}

/// The release of the kernel (`uname(2)`).
pub fn release() -> String {
    crate::model::escape::escape(rustix::system::uname().release().to_bytes())
}

/// The id of this installation (`machine-id(5)`), empty where there is none.
pub fn machine_id(root: &Path) -> String {
    fs::read_to_string(root.join("etc/machine-id")).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// A digest of that id, which is not to be shown to others (`machine-id(5)`); `None` where there is none.
pub fn machine(root: &Path) -> Option<[u8; 32]> {
    let path = root.join("etc/machine-id");
    let device = |path: &Path| path.metadata().ok().map(|found| found.dev());
    // One that systemd has mounted there for this boot, where nothing can be written, is another the next time.
    let is_of_this_boot = device(&path) != device(&root.join("etc"));
    let id = machine_id(root);
    (!id.is_empty() && !is_of_this_boot).then(|| digest(format!("integrityd machine {id}").as_bytes()))
}

/// A number of 0 to 1 (exclusive) that is this machine's, by its id or else by `host`: so that many guests of one host, started at once, do
/// not move in step.
pub fn phase(root: &Path, host: &str) -> f64 {
    let id = machine_id(root);
    let mut hasher = DefaultHasher::new();
    (if id.is_empty() { host } else { &id }).hash(&mut hasher);
    f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / 4_294_967_296.0
}

/// The machine's full host name: the node name of `uname(2)`, completed from `/etc/hosts` when it has no domain.
///
/// No resolver is asked, because a name server that does not answer would hold up the start.
pub fn host_name(root: &Path) -> String {
    let node = rustix::system::uname().nodename().to_bytes().to_vec();
    let node = OsString::from_vec(node).to_string_lossy().into_owned();
    if node.contains('.') {
        return node;
    }
    let hosts = fs::read(root.join("etc/hosts")).unwrap_or_default();
    full_name(&String::from_utf8_lossy(&hosts), &node).unwrap_or(node)
}

/// The name with a domain on the line of `hosts(5)` that knows `node`.
fn full_name(hosts: &str, node: &str) -> Option<String> {
    hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(|line| line.split_ascii_whitespace().skip(1).collect::<Vec<_>>())
        .filter(|names| names.contains(&node))
        .find_map(|names| {
            names
                .iter()
                .find(|name| name.strip_prefix(node).is_some_and(|rest| rest.starts_with('.')))
                .map(|name| (*name).to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_comes_from_the_hosts_file() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 web3.wrong.example web3\n127.0.1.1\tweb3.example.org web3 # me\n";
        assert_eq!(full_name(hosts, "web3").as_deref(), Some("web3.example.org"));
        assert_eq!(full_name(hosts, "web4"), None);
        assert_eq!(full_name(hosts, "localhost"), None);
    }

    #[test]
    fn machines_are_spread_evenly_and_each_keeps_its_place() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let mut tenths = [0; 10];
        for machine in 0..300 {
            fs::write(root.path().join("etc/machine-id"), format!("{machine:032x}\n")).unwrap();
            let place = phase(root.path(), "guest");
            assert!((0.0..1.0).contains(&place) && place.to_bits() == phase(root.path(), "other").to_bits());
            tenths[usize::try_from((0..10).find(|tenth| place * 10.0 < f64::from(tenth + 1)).unwrap()).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (12..50).contains(count)), "{tenths:?}");
        fs::remove_file(root.path().join("etc/machine-id")).unwrap();
        assert_ne!(phase(root.path(), "web1").to_bits(), phase(root.path(), "web2").to_bits());
    }

    #[test]
    fn a_lock_is_seen_without_being_taken() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("lock");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(is_locked(Path::new("/"), &path), Some(false));
        file.try_lock().unwrap();
        assert_eq!(is_locked(Path::new("/"), &path), Some(true));
        assert_eq!(lock_holder(Path::new("/"), &path), Some(std::process::id()));
        assert_eq!(is_locked(Path::new("/"), &tree.path().join("none")), None);
    }

    #[test]
    fn a_lock_on_another_file_system_with_the_same_inode_number_is_none_of_ours() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("lock");
        fs::write(&path, "").unwrap();
        let seen = fs::metadata(&path).unwrap();
        let place = |device: &str| {
            fs::create_dir_all(tree.path().join("proc")).unwrap();
            let line = format!("1: FLOCK  ADVISORY  WRITE 4711 {device}:{} 0 EOF\n", seen.ino());
            fs::write(tree.path().join("proc/locks"), line).unwrap();
        };
        let own = format!("{:02x}:{:02x}", rustix::fs::major(seen.dev()), rustix::fs::minor(seen.dev()));
        place(&own);
        assert_eq!(lock_holder(tree.path(), &path), Some(4711));
        place("fff:ffff");
        assert_eq!(is_locked(tree.path(), &path), Some(false));
    }

    #[test]
    fn a_lock_is_seen_among_hundreds_that_come_and_go() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("lock");
        let others: Vec<_> =
            (0..400).map(|number| fs::File::create(tree.path().join(number.to_string())).unwrap()).collect();
        for file in &others {
            file.try_lock().unwrap();
        }
        let ours = fs::File::create(&path).unwrap();
        ours.try_lock().unwrap();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    for file in &others {
                        file.unlock().unwrap();
                    }
                    for file in &others {
                        file.try_lock().unwrap();
                    }
                }
            });
            let missed = (0..500).filter(|_| is_locked(Path::new("/"), &path) != Some(true)).count();
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
    }

    #[test]
    fn a_start_is_found_behind_a_name_with_parentheses() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/7")).unwrap();
        let rest = "S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250 99 1";
        fs::write(root.path().join("proc/7/stat"), format!("7 (a) b) c) {rest}")).unwrap();
        let second = i64::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        assert_eq!(started(root.path(), 7), Some(Boottime::from_nanos(250 * 1_000_000_000 / second)));
        assert_eq!(started(root.path(), 8), None);
        let now = crate::model::clock::Clock::System(BootId::default()).now().boottime;
        let own = now.since(started(Path::new("/"), std::process::id()).unwrap());
        assert!(own < std::time::Duration::from_hours(1), "{own:?}");
    }

    #[test]
    fn an_unreadable_boot_id_is_all_zero() {
        assert_eq!(boot_id(Path::new("/nonexistent")), BootId::default());
        assert_ne!(boot_id(Path::new("/")), BootId::default());
    }
}
