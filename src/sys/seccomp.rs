//! Filters of system calls (`seccomp(2)`): what a process of ours cannot ask of the kernel any more, whatever runs in it.
//!
//! Landlock knows nothing of modes, owners, attributes, device nodes and most of what only root may do; so these calls are refused one by
//! one. They are answered with EPERM, and nothing is ever killed: a library that tries one of them all the same goes on without it.

use std::{
    collections::BTreeMap,
    io,
    os::raw::{c_long, c_ushort},
};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallFilter {
    /// All that the daemon, its helpers and journalctl can do without.
    Own,
    /// What no mail program needs: a filter outlives `execve(2)`, and Postfix changes modes and owners.
    Inherited,
}

/// Calls that share a purpose. Those of newer kernels have the same number on all machines.
const NEVER: &[&[c_long]] = &[
    // Mounting.
    &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        OPEN_TREE_ATTR,
    ],
    // Other code in the kernel, or another kernel.
    &[libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_bpf, libc::SYS_kexec_load],
    &[KEXEC_FILE_LOAD],
    // Namespaces; `clone` by its flags.
    &[libc::SYS_unshare, libc::SYS_setns],
    // The clock.
    &[libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_clock_adjtime],
    // Other processes.
    &[libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd],
];

/// The same, for what is only ours.
const NEVER_OURS: &[&[c_long]] = &[
    // Modes, owners, times and attributes, which Landlock leaves free.
    &[libc::SYS_fchmod, libc::SYS_fchmodat, FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat],
    &[libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, SETXATTRAT, FILE_SETATTR],
    &[libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr, REMOVEXATTRAT],
    &[libc::SYS_mknodat],
    // The machine.
    &[libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_reboot, libc::SYS_swapon, libc::SYS_swapoff],
    &[libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd, libc::SYS_chroot, libc::SYS_perf_event_open],
    // What a ring is asked for goes past every filter; and a page fault that waits makes races easy to win.
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_userfaultfd],
    OLD,
];

/// Calls that newer machines were never given.
#[cfg(target_arch = "x86_64")]
const OLD: &[c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[c_long] = &[];

/// Numbers that the libc crate does not name on all machines.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: c_long = 294;
const FCHMODAT2: c_long = 452;
const SETXATTRAT: c_long = 463;
const REMOVEXATTRAT: c_long = 466;
const OPEN_TREE_ATTR: c_long = 467;
const FILE_SETATTR: c_long = 469;

/// A call whose argument with this number has all of these bits, and none other of the mask.
type Refused = (c_long, u8, u64, u64);

const WHOLE: u64 = 0xffff_ffff;

/// Packet sockets (`packet(7)`), and new namespaces (`clone(2)`): mounts, cgroups, UTS, IPC, users, PIDs, network.
const NEVER_WITH: &[Refused] = &[
    (libc::SYS_socket, 0, WHOLE, 17),
    (libc::SYS_clone, 0, 0x0002_0000, 0x0002_0000),
    (libc::SYS_clone, 0, 0x0200_0000, 0x0200_0000),
    (libc::SYS_clone, 0, 0x0400_0000, 0x0400_0000),
    (libc::SYS_clone, 0, 0x0800_0000, 0x0800_0000),
    (libc::SYS_clone, 0, 0x1000_0000, 0x1000_0000),
    (libc::SYS_clone, 0, 0x2000_0000, 0x2000_0000),
    (libc::SYS_clone, 0, 0x4000_0000, 0x4000_0000),
];

/// Inode flags: `FS_IOC_SETFLAGS` and `FS_IOC_FSSETXATTR` (`ioctl_iflags(2)`).
const NEVER_OURS_WITH: &[Refused] =
    &[(libc::SYS_ioctl, 1, WHOLE, 0x4008_6602), (libc::SYS_ioctl, 1, WHOLE, 0x401c_5820)];

/// Instructions (`linux/bpf_common.h`): return a constant; go on if what was loaded is this, or is not below it.
const RETURN: u16 = 0x06;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;

/// The bit of the numbers of calls of the x32 ABI.
const X32: u32 = 0x4000_0000;

/// Puts up a filter for this thread and what it starts, for good: before there are others.
///
/// # Errors
/// `EACCES` who has neither given up new privileges nor has `CAP_SYS_ADMIN`; `EINVAL` or `ENOSYS` of a kernel without filters; a machine
/// for which there is none.
pub fn install(filter: SyscallFilter) -> io::Result<()> {
    let program = program(filter)?;
    let mut instructions: Vec<libc::sock_filter> = program
        .into_iter()
        .map(|instruction| libc::sock_filter {
            code: instruction.code,
            jt: instruction.jt,
            jf: instruction.jf,
            k: instruction.k,
        })
        .collect();
    let len = c_ushort::try_from(instructions.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    // SAFETY: the kernel copies the program, whose length and place are those of `instructions`, before the call returns (seccomp(2)).
    // Not that of the crate, which would give up new privileges: a mail program needs them.
    #[expect(unsafe_code, reason = "neither std nor rustix has seccomp(2)")]
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, std::ptr::from_ref(&program)) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn program(filter: SyscallFilter) -> io::Result<BpfProgram> {
    let machine: TargetArch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let (calls, with) = refused(filter);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    for (call, argument, mask, value) in with {
        let compare = SeccompCmpOp::MaskedEq(mask);
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value);
        let rule = SeccompRule::new(vec![condition.map_err(io::Error::other)?]).map_err(io::Error::other)?;
        rules.entry(call).or_default().push(rule);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filtered = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filtered).map_err(io::Error::other)?;
    complete(program, filter)
}

/// The calls that are refused whatever is asked, and those that are by their arguments.
fn refused(filter: SyscallFilter) -> (Vec<c_long>, Vec<Refused>) {
    let (calls, with): (&[&[c_long]], &[Refused]) = match filter {
        SyscallFilter::Own => (NEVER_OURS, NEVER_OURS_WITH),
        SyscallFilter::Inherited => (&[], &[]),
    };
    ([NEVER, calls].concat().concat(), [NEVER_WITH, with].concat())
}

/// Adds what rules by number cannot say. Of a program that begins with loading the machine, going on if it is ours, killing, and loading
/// the number of the call:
///
/// * the calls of another machine, as by `int 0x80`, kill nobody: a 32-bit mail program may make them, we do not;
/// * the flags of `clone3` lie where no filter sees them. ENOSYS has the C library make threads and processes with `clone`;
/// * the calls of x32 would go past every number.
fn complete(mut program: BpfProgram, filter: SyscallFilter) -> io::Result<BpfProgram> {
    let answer = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
    let foreign = match filter {
        SyscallFilter::Own => answer(libc::EPERM),
        SyscallFilter::Inherited => libc::SECCOMP_RET_ALLOW,
    };
    let kill = program.get_mut(2).filter(|it| it.code == RETURN && it.k == libc::SECCOMP_RET_KILL_PROCESS);
    kill.ok_or_else(|| io::Error::other("the program of the filter begins otherwise"))?.k = foreign;
    let refuse = |errno: i32| sock_filter { code: RETURN, jt: 0, jf: 0, k: answer(errno) };
    let if_is = |code: u16, k: u32| sock_filter { code, jt: 0, jf: 1, k };
    let clone3 = u32::try_from(libc::SYS_clone3).map_err(io::Error::other)?;
    let mut before = vec![if_is(IF_EQUAL, clone3), refuse(libc::ENOSYS)];
    if cfg!(target_arch = "x86_64") {
        before.extend([if_is(IF_AT_LEAST, X32), refuse(libc::EPERM)]);
    }
    drop(program.splice(4..4, before));
    Ok(program)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        process::{Command, Stdio},
        thread,
    };

    use super::*;

    /// Runs this on a thread behind the filter, which ends with it.
    fn behind<T: Send + 'static>(filter: SyscallFilter, run: impl FnOnce() -> T + Send + 'static) -> T {
        let there = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(filter).unwrap();
            run()
        };
        thread::spawn(there).join().unwrap()
    }

    /// The errno of a call that cannot do anything: nothing is at this place, no descriptor and no process has this number, and no
    /// call knows all flags.
    fn errno(call: c_long, arguments: [c_long; 3]) -> i32 {
        let [first, second, third] = arguments;
        // SAFETY: no pointer among them leads anywhere, so that no memory of ours is touched.
        #[expect(unsafe_code, reason = "a call that is refused cannot be made otherwise")]
        let answer = unsafe { libc::syscall(call, first, second, third, -1, -1, -1) };
        if answer == -1 { io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
    }

    /// What each call of the list is answered with, those by their arguments included.
    fn answers(of: SyscallFilter, behind_which: Option<SyscallFilter>) -> Vec<(String, i32)> {
        let ask = move || {
            let (calls, with) = refused(of);
            let plain = calls.into_iter().map(|call| (call.to_string(), errno(call, [-1; 3])));
            let by_argument = with.into_iter().map(|(call, argument, _, value)| {
                // CLONE_SIGHAND without CLONE_VM, a type and a descriptor that are none: refused by the kernel as well, but otherwise.
                let value = c_long::try_from(value).unwrap();
                let arguments = match argument {
                    0 if call == libc::SYS_clone => [value | 0x800, 0, 0],
                    0 => [value, -1, -1],
                    _ => [-1, value, -1],
                };
                (format!("{call} {value:#x}"), errno(call, arguments))
            });
            plain.chain(by_argument).collect()
        };
        match behind_which {
            Some(filter) => behind(filter, ask),
            None => thread::spawn(ask).join().unwrap(),
        }
    }

    fn is_supported() -> bool {
        TargetArch::try_from(std::env::consts::ARCH).is_ok()
    }

    #[test]
    fn each_call_of_the_list_is_answered_with_eperm_and_nobody_is_killed() {
        if !is_supported() {
            return;
        }
        let own = answers(SyscallFilter::Own, Some(SyscallFilter::Own));
        assert!(own.len() >= 40, "{}", own.len());
        let wrong: Vec<_> = own.iter().filter(|(_, errno)| *errno != libc::EPERM).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let inherited = answers(SyscallFilter::Inherited, Some(SyscallFilter::Inherited));
        assert!(inherited.iter().all(|(_, errno)| *errno == libc::EPERM), "{inherited:?}");
        // Without a filter the kernel gives other answers, or the test would tell nothing.
        let free = answers(SyscallFilter::Own, None);
        let refused = free.iter().filter(|(_, errno)| *errno == libc::EPERM).count();
        let is_root = rustix::process::geteuid().is_root();
        assert!(!is_root || refused < 8, "{free:?}");
    }

    #[test]
    fn modes_owners_and_attributes_are_left_to_mail_programs() {
        if !is_supported() {
            return;
        }
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("queue");
        let change = |filter| {
            let path = path.clone();
            behind(filter, move || {
                fs::write(&path, "x").unwrap();
                let changed = Command::new("chmod").arg("4711").arg(&path).stderr(Stdio::null()).status();
                changed.unwrap().success()
            })
        };
        assert!(change(SyscallFilter::Inherited));
        assert!(!change(SyscallFilter::Own));
    }

    #[test]
    fn reading_writing_connecting_threads_and_programs_work_behind_it() {
        if !is_supported() {
            return;
        }
        let worked = behind(SyscallFilter::Own, || {
            let tree = tempfile::tempdir()?;
            let path = tree.path().join("file");
            fs::write(&path, "x")?;
            fs::rename(&path, tree.path().join("other"))?;
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let mut stream = TcpStream::connect(listener.local_addr()?)?;
            stream.write_all(b"y")?;
            drop(stream);
            let mut heard = String::new();
            listener.accept()?.0.read_to_string(&mut heard)?;
            let added = thread::spawn(|| 40 + 2).join().unwrap();
            let output = Command::new("echo").arg("z").output()?;
            Ok::<_, io::Error>((heard, added, output.stdout, fs::read(tree.path().join("other"))?))
        });
        assert_eq!(worked.unwrap(), ("y".to_owned(), 42, b"z\n".to_vec(), b"x".to_vec()));
    }

    #[test]
    fn calls_of_another_machine_are_answered_too() {
        let Ok(program) = program(SyscallFilter::Own) else { return };
        assert_eq!(program[2].k, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs());
        assert!(program.iter().all(|instruction| instruction.code != RETURN || instruction.k != 0x8000_0000));
        let inherited = super::program(SyscallFilter::Inherited).unwrap();
        assert_eq!(inherited[2].k, libc::SECCOMP_RET_ALLOW);
        // A number with the bit of x32 is not that of any call.
        if cfg!(target_arch = "x86_64") {
            let answer = behind(SyscallFilter::Own, || errno(libc::SYS_chmod | 0x4000_0000, [-1; 3]));
            assert_eq!(answer, libc::EPERM);
        }
    }
}
