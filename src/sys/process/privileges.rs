//! What each process of integrityd may do: one table of capabilities (`capabilities(7)`) and filters (`seccomp(2)`), by which rights are
//! given up at the start of each, and which `doctor` holds against `/proc/PID/status` (`proc_pid_status(5)`).

use std::{io, path::PathBuf};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use crate::sys::{
    capabilities::has_faccessat2,
    fs::ownership::may_write,
    seccomp::{self, SyscallFilter},
};

/// A kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessKind {
    /// The daemon itself.
    Daemon,
    /// What starts programs for it, and looks at other processes.
    Broker,
    /// What reads for it and neither writes nor connects: the helper of a slow mount, journalctl.
    Reader,
    /// What the broker starts and is not only ours: a sendmail program.
    Program,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Privileges {
    /// Whose they are.
    pub kind: ProcessKind,
    /// What it is called where it is shown.
    pub name: &'static str,
    /// What it keeps of the capabilities it has been given.
    pub capabilities: CapabilitySet,
    /// What it cannot ask of the kernel.
    pub filter: SyscallFilter,
    /// Whether nothing it executes gains rights by set-ID bits.
    pub gives_up_new: bool,
    /// What that is for.
    pub purpose: &'static str,
}

const READING: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::FOWNER);

/// What no program needs that puts a mail into its queue, and that would undo all the rest.
const NEVER_LENT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::AUDIT_READ)
    .union(CapabilitySet::SYS_MODULE)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_TIME)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::SETPCAP);

/// The table.
pub const ALL: [Privileges; 4] = [
    Privileges {
        kind: ProcessKind::Daemon,
        name: "daemon",
        capabilities: READING,
        filter: SyscallFilter::Own,
        gives_up_new: true,
        purpose: "reading everything, without moving access times",
    },
    Privileges {
        kind: ProcessKind::Broker,
        name: "broker",
        capabilities: CapabilitySet::DAC_READ_SEARCH
            .union(CapabilitySet::SYS_PTRACE)
            .union(CapabilitySet::SETUID)
            .union(CapabilitySet::SETGID)
            .union(CapabilitySet::CHOWN)
            .union(CapabilitySet::DAC_OVERRIDE)
            .union(CapabilitySet::KILL),
        filter: SyscallFilter::Inherited,
        gives_up_new: false,
        purpose: "starting what is configured, and the programs of other processes",
    },
    Privileges {
        kind: ProcessKind::Reader,
        name: "helper of a slow mount, journalctl",
        capabilities: READING,
        filter: SyscallFilter::Own,
        gives_up_new: true,
        purpose: "reading",
    },
    Privileges {
        kind: ProcessKind::Program,
        name: "sendmail program",
        capabilities: NEVER_LENT.complement(),
        filter: SyscallFilter::Inherited,
        gives_up_new: false,
        purpose: "putting a mail into its queue",
    },
];

/// Why a process has kept more than the table says. It works all the same.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The kernel, or a filter, refuses to give up capabilities.
    #[error("capabilities cannot be given up")]
    Capabilities(#[source] io::Error),
    /// The kernel, or a filter, refuses a filter.
    #[error("system calls cannot be filtered")]
    Filter(#[source] io::Error),
}

impl ProcessKind {
    /// Its row.
    pub fn privileges(self) -> Privileges {
        let [daemon, broker, reader, program] = ALL;
        match self {
            Self::Daemon => daemon,
            Self::Broker => broker,
            Self::Reader => reader,
            Self::Program => program,
        }
    }
}

impl Privileges {
    /// What such a process keeps of what is `permitted` to it. In most containers root has no `CAP_DAC_READ_SEARCH`, and reads everything
    /// by `CAP_DAC_OVERRIDE`.
    fn kept(&self, permitted: CapabilitySet, writes_by_override: bool) -> CapabilitySet {
        let reads_by_override = !permitted.contains(CapabilitySet::DAC_READ_SEARCH);
        let more =
            if reads_by_override || writes_by_override { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
        permitted.intersection(self.capabilities.union(more))
    }

    /// What it passes on to what it executes.
    fn lent(&self, kept: CapabilitySet) -> CapabilitySet {
        match self.kind {
            ProcessKind::Daemon => CapabilitySet::empty(),
            ProcessKind::Reader => kept,
            ProcessKind::Broker | ProcessKind::Program => NEVER_LENT.complement(),
        }
    }
}

/// Gives up, for good, what a process of this kind does not need; before it has threads. With `writes_by_override` it keeps
/// `CAP_DAC_OVERRIDE`, see [`written_by_override`].
///
/// Gives what could not be given up; then it has it as before.
#[must_use]
pub fn restrict(kind: ProcessKind, writes_by_override: bool) -> Vec<PrivilegeError> {
    let row = kind.privileges();
    // The filter first: who has not given up new privileges needs CAP_SYS_ADMIN for it.
    let filtered = seccomp::install(row.filter).map_err(PrivilegeError::Filter);
    let dropped = drop_capabilities(&row, writes_by_override).map_err(PrivilegeError::Capabilities);
    [filtered, dropped].into_iter().filter_map(Result::err).collect()
}

/// Ambient capabilities go with the inheritable ones (`capabilities(7)`).
fn drop_capabilities(row: &Privileges, writes_by_override: bool) -> io::Result<()> {
    let sets = capabilities(None)?;
    let kept = row.kept(sets.permitted, writes_by_override);
    let lent = row.lent(kept);
    // By root's own exec(2) everything is gained that is in the bounding set, which only who has CAP_SETPCAP can make smaller.
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        for capability in known().filter(|capability| !lent.contains(*capability)) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective.intersection(kept),
            permitted: kept,
            inheritable: sets.inheritable.intersection(lent),
        },
    )?;
    Ok(())
}

/// All capabilities that this kernel knows, one by one.
fn known() -> impl Iterator<Item = CapabilitySet> {
    let all = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    all.take_while(|capability| capability_is_in_bounding_set(*capability).is_ok())
}

/// The first of these places that is there and can be written by `CAP_DAC_OVERRIDE` only, as it belongs to another user; `None` when there
/// is none. Only before there are threads: for a moment this one does without it.
///
/// # Errors
/// The error of `capset(2)`.
pub fn written_by_override(places: &[PathBuf]) -> io::Result<Option<&PathBuf>> {
    let sets = capabilities(None)?;
    if !sets.effective.contains(CapabilitySet::DAC_OVERRIDE) {
        return Ok(None);
    }
    // access(2) would judge by all that is permitted.
    if !has_faccessat2() {
        return Ok(places.first());
    }
    let without = sets.effective.difference(CapabilitySet::DAC_OVERRIDE);
    set_capabilities(None, CapabilitySets { effective: without, ..sets })?;
    let refused: Vec<&PathBuf> = places.iter().filter(|place| place.exists() && !may_write(place)).collect();
    set_capabilities(None, sets)?;
    Ok(refused.into_iter().find(|place| may_write(place)))
}

/// What a process has, by its `/proc/PID/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundPrivileges {
    /// What it may use.
    pub permitted: CapabilitySet,
    /// Whether system calls are filtered, by whomever.
    pub is_filtered: bool,
    /// Whether nothing it executes gains rights.
    pub gives_up_new: bool,
}

impl FoundPrivileges {
    /// Reads the text of `/proc/PID/status`; `None` where a line is missing.
    pub fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Self {
            permitted: CapabilitySet::from_bits_retain(u64::from_str_radix(field("CapPrm:")?, 16).ok()?),
            is_filtered: field("Seccomp:")? == "2",
            gives_up_new: field("NoNewPrivs:")? == "1",
        })
    }

    /// What it has beyond its row, in words; empty when nothing. Less is no fault: a user of its own has never had it.
    pub fn beyond(&self, wanted: &Privileges) -> Vec<String> {
        let more = self.permitted.difference(wanted.kept(self.permitted, false));
        let more = (!more.is_empty()).then(|| words(more));
        let unfiltered = (!self.is_filtered).then(|| "all system calls".to_owned());
        let new = (wanted.gives_up_new && !self.gives_up_new).then(|| "new privileges".to_owned());
        [more, unfiltered, new].into_iter().flatten().collect()
    }
}

impl std::fmt::Display for FoundPrivileges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filtered = if self.is_filtered { "system calls filtered" } else { "all system calls" };
        let new = if self.gives_up_new { "no new privileges" } else { "new privileges" };
        write!(f, "{}; {filtered}; {new}", words(self.permitted))
    }
}

impl std::fmt::Display for Privileges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let new = if self.gives_up_new { "no new privileges" } else { "new privileges" };
        write!(f, "{}; system calls filtered; {new}", words(self.capabilities))
    }
}

/// The names of capabilities as `capabilities(7)` writes them, without their prefix; of most of them, those that are missing.
fn words(set: CapabilitySet) -> String {
    let names = |set: CapabilitySet| {
        let names: Vec<&str> = set.intersection(CapabilitySet::all()).iter_names().map(|(name, _)| name).collect();
        names.join(", ")
    };
    let missing = CapabilitySet::all().difference(set);
    match (set.iter_names().count(), missing.iter_names().count()) {
        (0, _) => "no capabilities".to_owned(),
        (_, 0) => "all capabilities".to_owned(),
        (there, missed) if missed < there => format!("all capabilities but {}", names(missing)),
        _ => names(set),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, thread};

    use super::*;

    fn of(kind: ProcessKind, permitted: CapabilitySet) -> String {
        words(kind.privileges().kept(permitted, false))
    }

    #[test]
    fn who_reads_everything_by_another_capability_keeps_that_one() {
        assert_eq!(of(ProcessKind::Daemon, CapabilitySet::all()), "DAC_READ_SEARCH, FOWNER");
        // As in most containers.
        let bounded = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER | CapabilitySet::MKNOD;
        assert_eq!(of(ProcessKind::Daemon, bounded), "DAC_OVERRIDE, FOWNER");
        assert_eq!(of(ProcessKind::Reader, bounded), "DAC_OVERRIDE, FOWNER");
        // A user of its own has nothing that could be kept.
        assert_eq!(of(ProcessKind::Daemon, CapabilitySet::DAC_READ_SEARCH), "DAC_READ_SEARCH");
        assert_eq!(of(ProcessKind::Daemon, CapabilitySet::empty()), "no capabilities");
        let daemon = ProcessKind::Daemon.privileges();
        let kept = daemon.kept(CapabilitySet::all(), true);
        assert_eq!(words(kept), "DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER");
    }

    #[test]
    fn the_table_is_that_of_the_documentation() {
        let text = include_str!("../../../docs/security.md");
        for row in ALL {
            let filter = if row.filter == SyscallFilter::Own { "all of the list" } else { "the first half" };
            let new = if row.gives_up_new { "none" } else { "as before" };
            let line = format!("| {} | {} | {filter} | {new} | {} |", row.name, words(row.capabilities), row.purpose);
            assert!(text.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_place_of_another_user_is_found_and_nothing_is_lost_by_asking() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root writes what is not his");
            return;
        }
        let tree = tempfile::tempdir().unwrap();
        let (own, other) = (tree.path().join("own"), tree.path().join("other"));
        for path in [&own, &other] {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::os::unix::fs::chown(&other, Some(12345), None).unwrap();
        let asked = move || {
            let before = capabilities(None).unwrap();
            let places = [own, tree.path().join("missing"), other];
            assert_eq!(written_by_override(&places[..2]).unwrap(), None);
            assert_eq!(written_by_override(&places).unwrap(), Some(&places[2]));
            assert!(capabilities(None).unwrap() == before);
        };
        thread::spawn(asked).join().unwrap();
    }
}
