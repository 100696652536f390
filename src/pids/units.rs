//! The processes of a systemd unit, by its control group.
//!
//! systemd gives each unit a control group of its name, below that of its slice. No bus is asked: it may not answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the control groups of systemd may be mounted: alone, beside others, or as version 2 beside others.
const MOUNTS: [&str; 3] = ["sys/fs/cgroup", "sys/fs/cgroup/systemd", "sys/fs/cgroup/unified"];

/// How deep slices and delegated control groups are searched.
const DEPTH: usize = 8;

/// Most processes of a unit that are looked at.
const MOST: usize = 10_000;

/// The control group of the unit `name`; `None` while it has none.
pub fn find(root: &Path, name: &str) -> Option<PathBuf> {
    MOUNTS.iter().find_map(|mount| find_below(&root.join(mount), name, DEPTH))
}

fn find_below(directory: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    let direct = directory.join(name);
    if direct.join("cgroup.procs").is_file() {
        return Some(direct);
    }
    if depth == 0 {
        return None;
    }
    let is_slice = |name: &std::ffi::OsStr| name.as_encoded_bytes().ends_with(b".slice");
    let entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    let slices = entries.filter(|entry| is_slice(&entry.file_name()) && entry.file_type().is_ok_and(|it| it.is_dir()));
    slices.map(|entry| entry.path()).find_map(|slice| find_below(&slice, name, depth - 1))
}

/// The numbers of all processes in a control group and those below it.
pub fn processes(group: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    gather(group, DEPTH, &mut found);
    found
}

fn gather(group: &Path, depth: usize, found: &mut Vec<u32>) {
    // A threaded group refuses to be read (EOPNOTSUPP); its processes stand in the one above.
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process of another PID namespace.
    let numbers = text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid > 0);
    found.extend(numbers.take(MOST.saturating_sub(found.len())));
    if depth == 0 || found.len() >= MOST {
        return;
    }
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())) {
        gather(&entry.path(), depth - 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_found_below_its_slice_with_all_its_groups() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup/system.slice/system-getty.slice/getty@tty1.service");
        fs::create_dir_all(group.join("payload")).unwrap();
        fs::write(group.join("cgroup.procs"), "12\n13\n0\n").unwrap();
        fs::write(group.join("payload/cgroup.procs"), "14\n").unwrap();
        let found = find(root.path(), "getty@tty1.service").unwrap();
        assert_eq!(found, group);
        assert_eq!(processes(&found), [12, 13, 14]);
        assert_eq!(find(root.path(), "nginx.service"), None);
    }

    #[test]
    fn version_1_is_found_too() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup/systemd/system.slice/cron.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "").unwrap();
        let found = find(root.path(), "cron.service").unwrap();
        assert_eq!((found, processes(&group)), (group, vec![]));
    }
}
