//! `doctor` on the machine: what of the kernel is needed, and its limits.

use std::path::Path;

use crate::{
    cli::{doctor::finding::DoctorFinding, terminal::output::number},
    sys::{
        capabilities::{self, Capability},
        fs::{handle, mounts},
        host,
        pressure::io_pressure,
        rlimit,
    },
};

/// Open files the daemon needs at most: the directories in hand, the areas' roots, the database and what is read.
const OPEN_FILES: u64 = 256;

/// What is found about kernel and limits.
pub(in crate::cli) fn host() -> Vec<DoctorFinding> {
    let mut found = kernel();
    found.extend([birth_times(), of_proc(), pressure(), open_files()]);
    found
}

/// Which system calls can be used here; those that a filter refuses cost something, but nothing goes unseen.
fn kernel() -> Vec<DoctorFinding> {
    let refused = capabilities::refused();
    let is_refused = |call: &str| refused.iter().any(|(capability, _)| capability.call == call);
    let usable: Vec<&str> =
        capabilities::ALL.iter().map(|capability| capability.call).filter(|call| !is_refused(call)).collect();
    let mut found =
        vec![DoctorFinding::fine("kernel", format!("{}: {} can be used", host::release(), usable.join(", ")))];
    found.extend(refused.into_iter().map(|(capability, errno)| {
        let error = std::io::Error::from(errno);
        let words = format!("{} is refused here (tried on {}): {error}", capability.call, capability.tried_on);
        lost(&words, capability)
    }));
    found
}

fn lost(words: &str, capability: &Capability) -> DoctorFinding {
    let detail = format!("{words}; {}", capability.loss);
    if capability.costs_time_only {
        return DoctorFinding::fine("kernel", detail);
    }
    let remedy = "a newer kernel has it, or let it through: SystemCallFilter= of the unit, seccomp of the container";
    DoctorFinding::warn("kernel", detail, remedy)
}

/// They are evidence only, so their lack is no trouble.
fn birth_times() -> DoctorFinding {
    let seen = handle::open_root(Path::new("/")).and_then(|root| root.attributes());
    match seen {
        Ok(seen) if seen.btime.is_some() => DoctorFinding::fine("statx", "/ tells when files were born"),
        Ok(_) => DoctorFinding::fine("statx", "/ does not tell when files were born; reports leave that out"),
        Err(error) => DoctorFinding::fail(
            "statx",
            format!("/ cannot be looked at: {}", std::io::Error::from(error)),
            "allow the system call fstat (seccomp)",
        ),
    }
}

fn of_proc() -> DoctorFinding {
    let root = Path::new("/");
    let is_known = host::boot_id(root) != crate::model::clock::BootId::default();
    match mounts::read(root) {
        Ok(_) if is_known => DoctorFinding::fine("/proc", "mounts and boot id can be read"),
        Ok(_) => {
            DoctorFinding::warn("/proc", "the boot id cannot be read", "mount /proc, and allow /proc/sys/kernel/random")
        }
        Err(error) => DoctorFinding::fail(
            "/proc",
            format!("the mounts cannot be read: {error}"),
            "mount /proc: mount -t proc proc /proc",
        ),
    }
}

fn pressure() -> DoctorFinding {
    match io_pressure(Path::new("/")) {
        Some(share) => DoctorFinding::fine("pressure", format!("the kernel tells how busy the disks are: {share} %")),
        None => DoctorFinding::warn(
            "pressure",
            "the kernel does not tell how busy the disks are: the rates are never lowered for others",
            "boot with psi=1, or choose modest rates; pressure = 0 says that it is meant so",
        ),
    }
}

fn open_files() -> DoctorFinding {
    match rlimit::open_files() {
        Some(most) if most < OPEN_FILES => DoctorFinding::warn(
            "limits",
            format!("{} open files, {OPEN_FILES} are needed at most", number(most)),
            format!("LimitNOFILE={OPEN_FILES} in the unit, or ulimit -n {OPEN_FILES}"),
        ),
        Some(most) => DoctorFinding::fine("limits", format!("{} open files", number(most))),
        None => DoctorFinding::fine("limits", "open files without limit"),
    }
}
