//! Processes as `/proc` shows them below a root that tests can choose, and pidfds. No process is ever signalled, not even with 0.

use std::{
    ffi::OsString,
    fs, io,
    io::Read as _,
    os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
    path::Path,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{
    model::clock::Boottime,
    sys::{
        host::ticks,
        process::broker::{self, Broker},
    },
};

/// No file of `/proc` is read beyond this many bytes.
const LIMIT: u64 = 64 << 10;

/// Longer than any line of `/proc/PID/stat`: 52 numbers of at most 20 digits, and a name.
const STAT: usize = 2048;

/// Longest name of a process that is kept, in bytes; the kernel gives 15, of its own threads up to 63.
const COMM: usize = 64;

/// Longest path of a program that is kept, in bytes.
const EXE: usize = 4096;

/// What `/proc/PID/stat` says (`proc_pid_stat(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its name, as it chose it.
    pub comm: Vec<u8>,
    /// Its state as a letter: `R`, `S`, `D`, `Z`, …
    pub state: u8,
    /// The number of its parent.
    pub parent: u32,
    /// How many threads it has; of a zombie whose other threads live, these and itself.
    pub threads: u64,
    /// When it was started, to the clock tick.
    pub started: Boottime,
}

/// What `/proc/PID/stat` says; `None` when there is no such process.
///
/// # Errors
/// When `/proc` cannot be read, or hides the processes of others (`hidepid=`, proc(5)): then nothing can be told.
pub fn stat(root: &Path, pid: u32) -> io::Result<Option<Stat>> {
    let mut buffer = [0; STAT];
    match read_line(&root.join(format!("proc/{pid}/stat")), &mut buffer) {
        Ok(bytes) => parse_stat(bytes).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if is_gone(&error) => {
            // There is always a first process; where it cannot be seen, others may be there all the same.
            if root.join("proc/1").try_exists()? { Ok(None) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// One read is enough: the kernel gives such a line whole. Growing a buffer would cost as much again for each process.
fn read_line<'a>(path: &Path, buffer: &'a mut [u8; STAT]) -> io::Result<&'a [u8]> {
    let length = fs::File::open(path)?.read(buffer)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The name stands in parentheses and may hold some itself, so the end is counted from the last one.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let begin = bytes.iter().position(|byte| *byte == b'(')?;
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let comm = bytes.get(begin + 1..end)?;
    let rest = str::from_utf8(bytes.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    let number = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        comm: comm.get(..COMM).unwrap_or(comm).to_vec(),
        state: *fields.first()?.as_bytes().first()?,
        parent: u32::try_from(number(1)?).ok()?,
        threads: number(17)?,
        started: ticks(number(19)?)?,
    })
}

/// The file a process runs (`/proc/PID/exe`); `None` when that cannot be had, as of threads of the kernel.
pub fn executable(root: &Path, pid: u32) -> Option<Vec<u8>> {
    if let Some(broker) = helper(root, pid) {
        return broker.executable(pid).map(OsString::into_vec);
    }
    let target = fs::read_link(root.join(format!("proc/{pid}/exe"))).ok()?;
    let mut bytes = target.into_os_string().into_vec();
    bytes.truncate(EXE);
    Some(bytes)
}

/// The name of the PID namespace of a process, as `pid:[4026531836]` (`pid_namespaces(7)`); `None` when that cannot be had.
pub fn namespace(root: &Path, pid: u32) -> Option<Vec<u8>> {
    if let Some(broker) = helper(root, pid) {
        return broker.namespace(pid).map(OsString::into_vec);
    }
    let target = fs::read_link(root.join(format!("proc/{pid}/ns/pid"))).ok()?;
    Some(target.into_os_string().into_vec())
}

/// Who has to be asked about a process of others, when this one is restricted.
fn helper(root: &Path, pid: u32) -> Option<&'static Broker> {
    broker::installed().filter(|_| root == Path::new("/") && pid != std::process::id())
}

/// The lines of `/proc/PID/cgroup` (`cgroups(7)`); empty when they cannot be read.
pub fn cgroups(root: &Path, pid: u32) -> Vec<u8> {
    read(&root.join(format!("proc/{pid}/cgroup"))).unwrap_or_default()
}

/// What `/proc/PID/status` says of containers (`proc_pid_status(5)`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcPlace {
    /// Its numbers, from our PID namespace to its own (`NSpid:`).
    pub numbers: Vec<u32>,
    /// The OpenVZ container it runs in, where the kernel knows that; 0 is the host.
    pub environment: Option<u32>,
    /// Its number there.
    pub inner: Option<u32>,
}

/// Where a process runs.
pub fn place(root: &Path, pid: u32) -> ProcPlace {
    let bytes = read(&root.join(format!("proc/{pid}/status"))).unwrap_or_default();
    let mut place = ProcPlace::default();
    for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
        let Some((key, values)) = line.split_once(':') else { continue };
        let mut numbers = values.split_ascii_whitespace().filter_map(|number| number.parse().ok());
        match key {
            "NSpid" => place.numbers = numbers.collect(),
            "envID" => place.environment = numbers.next(),
            "VPid" => place.inner = numbers.next(),
            _ => {}
        }
    }
    place
}

/// The numbers of all processes, in no order.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn all(root: &Path) -> io::Result<Vec<u32>> {
    let names = fs::read_dir(root.join("proc"))?.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// A descriptor that becomes readable when the last thread of the process has ended (`pidfd_open(2)`).
///
/// # Errors
/// The errno of `pidfd_open(2)`: `ESRCH` when there is no such process, `EMFILE` when no more files may be open.
pub fn death_notice(pid: u32) -> Result<OwnedFd, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
    pidfd_open(pid, PidfdFlags::NONBLOCK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root_with(pid: u32, name: &str, content: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(format!("proc/{pid}"))).unwrap();
        fs::create_dir_all(root.path().join("proc/1")).unwrap();
        fs::write(root.path().join(format!("proc/{pid}/{name}")), content).unwrap();
        root
    }

    #[test]
    fn a_name_with_parentheses_hides_no_field() {
        let line = "7 (a) Z 1) S 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 12 0 250 99 1";
        let root = root_with(7, "stat", line);
        let stat = stat(root.path(), 7).unwrap().unwrap();
        assert_eq!((stat.comm.as_slice(), stat.state, stat.parent, stat.threads), (&b"a) Z 1"[..], b'S', 3, 12));
    }

    #[test]
    fn a_process_that_is_not_there_is_told_from_one_that_is_hidden() {
        let root = root_with(7, "stat", "");
        assert_eq!(stat(root.path(), 8).unwrap(), None);
        fs::remove_dir(root.path().join("proc/1")).unwrap();
        assert!(stat(root.path(), 8).is_err());
    }

    #[test]
    fn numbers_in_containers_are_read() {
        let status = "Name:\tx\nNSpid:\t4711\t12\t1\nenvID:\t102\nVPid:\t77\n";
        let root = root_with(7, "status", status);
        let wanted = ProcPlace { numbers: vec![4711, 12, 1], environment: Some(102), inner: Some(77) };
        assert_eq!(place(root.path(), 7), wanted);
    }

    #[test]
    fn this_process_is_found() {
        let (root, pid) = (Path::new("/"), std::process::id());
        let own = stat(root, pid).unwrap().unwrap();
        assert!(own.threads >= 1 && own.parent > 0, "{own:?}");
        assert_eq!(executable(root, pid).unwrap(), std::env::current_exe().unwrap().into_os_string().into_vec());
        assert!(all(root).unwrap().contains(&pid));
        assert!(death_notice(pid).is_ok());
        assert_eq!(death_notice(0).unwrap_err(), Errno::INVAL);
    }
}
