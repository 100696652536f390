//! `doctor` on what each process of a daemon may do: the table of rights, wanted and found.

use std::{fs, path::Path};

use crate::{
    cli::doctor::finding::DoctorFinding,
    sys::process::{
        broker, privileges,
        privileges::{FoundPrivileges, Privileges, ProcessKind},
        stat,
    },
};

const WHAT: &str = "privileges";

/// A process of a daemon.
#[derive(Debug)]
pub(super) struct DaemonProcess {
    /// Its number.
    pub(super) pid: u32,
    /// What kind of a process it is.
    pub(super) kind: ProcessKind,
    /// The text of its `/proc/PID/status`.
    pub(super) status: String,
}

/// The daemon, its broker, and what that has started; the daemon alone where it has no broker.
pub(super) fn processes(daemon: u32) -> Vec<DaemonProcess> {
    let mut all = vec![process(daemon, ProcessKind::Daemon)];
    let Some(broker) = children(daemon).into_iter().find(|pid| is_broker(*pid)) else { return all };
    all.push(process(broker, ProcessKind::Broker));
    all.extend(children(broker).into_iter().map(|pid| process(pid, kind_of(pid))));
    all
}

fn process(pid: u32, kind: ProcessKind) -> DaemonProcess {
    DaemonProcess { pid, kind, status: fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default() }
}

fn children(parent: u32) -> Vec<u32> {
    let root = Path::new("/");
    let is_child = |pid: &u32| stat::stat(root, *pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.parent == parent));
    stat::all(root).unwrap_or_default().into_iter().filter(is_child).collect()
}

/// Of what a broker has started, what is about to become a reader is called so, and what reads is either we or journalctl.
fn kind_of(pid: u32) -> ProcessKind {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_reader = program == broker::SHOWN.as_bytes() || program.ends_with(b"/journalctl");
    if is_reader { ProcessKind::Reader } else { ProcessKind::Program }
}

fn is_broker(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == broker::WORD.as_bytes())
}

/// What each of these has of its row.
pub(super) fn table(processes: &[DaemonProcess]) -> Vec<DoctorFinding> {
    let of_row = |row: &Privileges| -> Vec<DoctorFinding> {
        let found: Vec<_> = processes.iter().filter(|process| process.kind == row.kind).collect();
        if found.is_empty() {
            return vec![DoctorFinding::fine(WHAT, format!("{}: {row} (none runs)", row.name))];
        }
        found.into_iter().filter_map(|process| judge(row, process)).collect()
    };
    privileges::ALL.iter().flat_map(of_row).collect()
}

/// Of one that has gone meanwhile, nothing is said.
fn judge(row: &Privileges, process: &DaemonProcess) -> Option<DoctorFinding> {
    let found = FoundPrivileges::parse(&process.status)?;
    let (name, pid, beyond) = (row.name, process.pid, found.beyond(row));
    if beyond.is_empty() {
        return Some(DoctorFinding::fine(WHAT, format!("{name} ({pid}): {found}")));
    }
    let detail = format!("{name} ({pid}) has {}, which it does not need; wanted: {row}", beyond.join(", "));
    Some(DoctorFinding::warn(
        WHAT,
        detail,
        "its log says why, at its start: a filter of a container, a place of another user",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ProcessKind, capabilities: u64, seccomp: u8, new: u8) -> Vec<DoctorFinding> {
        let status = format!("CapPrm:\t{capabilities:016x}\nNoNewPrivs:\t{new}\nSeccomp:\t{seccomp}\n");
        table(&[DaemonProcess { pid: 7, kind, status }])
    }

    #[test]
    fn what_is_found_beyond_the_table_is_named() {
        let text = |findings: Vec<DoctorFinding>| findings.iter().map(DoctorFinding::text).collect::<String>();
        let whole = text(of(ProcessKind::Daemon, 0xc, 2, 1));
        assert!(
            whole.starts_with(
                "ok    privileges: daemon (7): DAC_READ_SEARCH, FOWNER; system calls filtered; no new privileges\n"
            ),
            "{whole}"
        );
        assert!(whole.lines().count() == 4 && !whole.contains("warn"), "{whole}");
        let more = text(of(ProcessKind::Daemon, 0x1ff_ffff_ffff, 0, 0));
        let words = "warn  privileges: daemon (7) has all capabilities but DAC_READ_SEARCH, FOWNER, all system calls, new privileges, \
                     which it does not need; wanted: DAC_READ_SEARCH, FOWNER; system calls filtered; no new privileges\n";
        assert!(more.starts_with(words), "{more}");
        // Of a mail program new rights are expected, and of a user of its own, less.
        assert!(!text(of(ProcessKind::Program, 0, 2, 0)).contains("warn"));
        assert!(text(of(ProcessKind::Broker, 1 << 21, 2, 0)).contains("has SYS_ADMIN, which it does not need"));
    }
}
