//! Running a program behind a filter of system calls (`seccomp(2)`), as service managers and containers put one up.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
    thread,
};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What is refused: a call, or a call with one of these bits in the argument with this number.
pub(crate) type Refused = (i64, Option<(u8, u64)>);

/// The calls that the program can do without, by the names of `integrityd doctor`.
pub(crate) const CALLS: &[(&str, &[Refused])] = &[
    ("openat2", &[(libc::SYS_openat2, None)]),
    ("statx", &[(libc::SYS_statx, None)]),
    ("statx: birth", &[(libc::SYS_statx, Some((3, 0x800)))]),
    // Also the unique numbers of Linux 6.8.
    ("statx: mount", &[(libc::SYS_statx, Some((3, 0x1000))), (libc::SYS_statx, Some((3, 0x4000)))]),
    ("listxattr", &[(libc::SYS_listxattr, None), (libc::SYS_flistxattr, None)]),
    ("getxattr", &[(libc::SYS_getxattr, None), (libc::SYS_fgetxattr, None)]),
    // With any flag, and without.
    ("preadv2", &[(libc::SYS_preadv2, None)]),
    ("fadvise64", &[(libc::SYS_fadvise64, None)]),
    ("pidfd_open", &[(libc::SYS_pidfd_open, None)]),
    ("ioprio_get", &[(libc::SYS_ioprio_get, None)]),
    ("ioprio_set", &[(libc::SYS_ioprio_set, None)]),
    ("faccessat2", &[(libc::SYS_faccessat2, None)]),
    ("landlock_add_rule", &[(libc::SYS_landlock_create_ruleset, None), (libc::SYS_landlock_add_rule, None)]),
    ("landlock_restrict_self", &[(libc::SYS_landlock_restrict_self, None)]),
    ("seccomp", &[(libc::SYS_seccomp, None)]),
    ("capset", &[(libc::SYS_capset, None)]),
    ("cachestat", &[(CACHESTAT, None)]),
];

/// `cachestat(2)`, which the libc crate does not name everywhere.
const CACHESTAT: i64 = 451;

fn program(refused: &[Refused], errno: i32) -> BpfProgram {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, _) in refused.iter().filter(|(_, bits)| bits.is_none()) {
        rules.insert(*call, Vec::new());
    }
    for (call, bits) in refused {
        let Some((argument, bits)) = bits else { continue };
        let compare = SeccompCmpOp::MaskedEq(*bits);
        let condition = SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, compare, *bits).unwrap();
        // Without a condition it is refused whatever its arguments are.
        if rules.get(call).is_none_or(|rules| !rules.is_empty()) {
            rules.entry(*call).or_default().push(SeccompRule::new(vec![condition]).unwrap());
        }
    }
    let errno = SeccompAction::Errno(u32::try_from(errno).unwrap());
    let machine = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, errno, machine).unwrap().try_into().unwrap()
}

/// Runs a command to whose processes these calls are refused with `errno`. The filter is one of the thread that starts it, and ends with it.
pub(crate) fn output_behind(refused: &[Refused], errno: i32, command: &mut Command) -> Output {
    let program = program(refused, errno);
    thread::scope(|scope| {
        let started = scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            command.output().unwrap()
        });
        started.join().unwrap()
    })
}
