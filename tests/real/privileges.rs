//! What each process of a daemon of root may do, as the kernel tells it (`proc_pid_status(5)`), and that it does its work with that.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{XattrFlags, setxattr};

use crate::support::{PROGRAM, Running, Scratch, is_root, overwrite, put_program, sink::Sink, wait_for};

const FAST: &str =
    "filerate = 2000\nreporttime = 0\nreportholdoff = 0\nurgentholdoff = 0\nlogchecktime = 1\npidchecktime = 1";

/// Capabilities by their bits (`capabilities(7)`).
const CHOWN: u32 = 0;
const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const FOWNER: u32 = 3;
const KILL: u32 = 5;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const SYS_PTRACE: u32 = 19;

/// What no program is lent: SETPCAP, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_TIME, AUDIT_READ, PERFMON, BPF,
/// CHECKPOINT_RESTORE.
const NEVER_LENT: [u32; 10] = [8, 16, 17, 19, 21, 25, 37, 38, 39, 40];

fn set(bits: &[u32]) -> u64 {
    bits.iter().map(|bit| 1 << bit).sum()
}

/// Sets of capabilities (inheritable, permitted, effective, bounding, ambient), and the modes of NoNewPrivs and Seccomp.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Status {
    sets: [u64; 5],
    new: u64,
    seccomp: u64,
}

fn parse(text: &str) -> Status {
    let field = |name: &str, radix| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), radix).unwrap()
    };
    let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].map(|name| field(name, 16));
    Status { sets, new: field("NoNewPrivs:", 10), seccomp: field("Seccomp:", 10) }
}

fn status(pid: u32) -> Status {
    parse(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap())
}

fn child_of(pid: u32) -> u32 {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn each_process_has_what_the_table_says_and_no_more() {
    if !is_root() {
        println!("skipped: only root has capabilities to give up");
        return;
    }
    let (scratch, spool) = (Scratch::new(), Scratch::new());
    let program = put_program(
        &spool.path("sendmail"),
        &format!(
            "cat /proc/self/status > {0}.new; cat > {0}.mail; touch {0}.mode && chmod 640 {0}.mode && chown 1:1 {0}.mode && mv {0}.new {0}",
            spool.path("status").display()
        ),
    );
    fs::write(scratch.tree().join("file"), "one").unwrap();
    scratch.configure(&format!("{FAST}\nmail = sendmail:{}", program.display()));
    let start = status(std::process::id());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let reading = set(&[DAC_READ_SEARCH, FOWNER]);
    assert_eq!(status(daemon.pid()), Status { sets: [0, reading, reading, 0, 0], new: 1, seccomp: 2 });
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap() {
        let text = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert_eq!(parse(&text), status(daemon.pid()));
    }
    let lent = start.sets[3] & !set(&NEVER_LENT);
    let own = set(&[CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, KILL, SETGID, SETUID, SYS_PTRACE]);
    let broker = child_of(daemon.pid());
    assert_eq!(status(broker), Status { sets: [0, own, own, lent, 0], new: 0, seccomp: 2 });
    overwrite(&scratch.tree().join("file"), "two");
    wait_for("the mail", || spool.path("status").exists());
    let of_program = parse(&fs::read_to_string(spool.path("status")).unwrap());
    assert_eq!(of_program, Status { sets: [0, lent, lent, lent, 0], new: 0, seccomp: 2 });
    let given = fs::metadata(spool.path("status.mode")).unwrap();
    assert_eq!((given.mode() & 0o777, given.uid()), (0o640, 1), "a mail program gives files to users");
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    let wanted = [
        format!("ok    privileges: daemon ({}): DAC_READ_SEARCH, FOWNER; system calls filtered", daemon.pid()),
        format!("ok    privileges: broker ({broker}): CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, KILL, "),
        "ok    privileges: helper of a slow mount, journalctl: DAC_READ_SEARCH, FOWNER; ".to_owned(),
        "ok    privileges: sendmail program: all capabilities but ".to_owned(),
    ];
    assert!(wanted.iter().all(|line| doctor.contains(line)), "{doctor}");
    assert!(daemon.stop().success());
    // What reads for it, by hand.
    let reader = Command::new(PROGRAM).args(["confined", "--", "/bin/cat", "/proc/self/status"]).output().unwrap();
    let reader = parse(&String::from_utf8(reader.stdout).unwrap());
    assert_eq!(reader, Status { sets: [0, reading, reading, reading, 0], new: 1, seccomp: 2 });
}

/// A daemon of root with these capabilities, as a container or a unit gives them.
fn start_bounded(scratch: &Scratch, bounding: &str) -> Running {
    let child = Command::new("setpriv")
        .args(["--bounding-set", bounding, "--inh-caps", "-all", PROGRAM, "--config"])
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stderr(fs::File::create(scratch.path("log")).unwrap())
        .spawn()
        .unwrap();
    Running { child }
}

fn secret(path: &Path) {
    fs::write(path, "one").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(path, Some(12345), Some(12345)).unwrap();
}

/// Docker's default set, which has no `CAP_DAC_READ_SEARCH`, and that of the shipped unit.
const DOCKER: &str = "-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,\
                      +net_bind_service,+sys_chroot,+kill,+audit_write";
const UNIT: &str = "-all,+dac_read_search,+fowner,+sys_ptrace,+setuid,+setgid,+chown,+dac_override,+kill,+setpcap";

#[test]
fn with_the_capabilities_of_a_container_or_a_unit_everything_is_read_too() {
    if !is_root() {
        println!("skipped: only root can bound capabilities");
        return;
    }
    for (bounding, reading) in [(DOCKER, DAC_OVERRIDE), (UNIT, DAC_READ_SEARCH)] {
        let (scratch, sink) = (Scratch::new(), Sink::start());
        let file = scratch.tree().join("secret");
        secret(&file);
        scratch.configure(&format!("{FAST}\n{}", sink.setting()));
        let daemon = start_bounded(&scratch, bounding);
        scratch.wait_for_baseline();
        let kept = set(&[reading, FOWNER]);
        assert_eq!(status(daemon.pid()), Status { sets: [0, kept, kept, 0, 0], new: 1, seccomp: 2 }, "{bounding}");
        assert_eq!(status(child_of(daemon.pid())).sets[3] & set(&NEVER_LENT), 0, "{bounding}");
        overwrite(&file, "two");
        wait_for("the mail", || sink.mails().iter().any(|mail| mail.text().contains("/tree/secret")));
        assert!(!scratch.log().contains("denied"), "{}", scratch.log());
        assert!(daemon.stop().success());
    }
}

/// Only who has `CAP_SYS_ADMIN` sees them: root's commands do, the daemon does not.
#[test]
fn trusted_attributes_that_the_daemon_cannot_see_are_no_change() {
    if !is_root() {
        println!("skipped: only root sets such attributes");
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let file = scratch.tree().join("file");
    fs::write(&file, "one").unwrap();
    if setxattr(&file, "trusted.integrityd", b"v", XattrFlags::empty()).is_err() {
        println!("skipped: no trusted.* here");
        return;
    }
    // A new file says when a round has passed.
    let passed = |name: &str| {
        fs::write(scratch.tree().join(name), "x").unwrap();
        wait_for("a round", || sink.mails().iter().any(|mail| mail.text().contains(&format!("/tree/{name}"))));
    };
    scratch.configure(&format!("{FAST}\nareaattributes = all\n{}", sink.setting()));
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    passed("first");
    passed("second");
    assert!(daemon.stop().success());
    let told: Vec<_> =
        scratch.history().into_iter().filter(|event| event["file"]["path"] == file.to_str().unwrap()).collect();
    assert!(told.is_empty(), "{told:?}");
    let check = scratch.ask(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
}

/// Root writes what is another user's by `CAP_DAC_OVERRIDE`, which it would lack.
#[test]
fn a_directory_of_another_user_is_written_all_the_same_and_that_is_said() {
    if !is_root() {
        println!("skipped: only root writes what is not his");
        return;
    }
    let scratch = Scratch::new();
    let mails = scratch.path("mails");
    fs::create_dir(&mails).unwrap();
    fs::set_permissions(&mails, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&mails, Some(12345), None).unwrap();
    scratch.configure(&format!("{FAST}\nmail = file:{}", mails.display()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let kept = set(&[DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER]);
    assert_eq!(status(daemon.pid()), Status { sets: [0, kept, kept, 0, 0], new: 1, seccomp: 2 });
    wait_for("a mail", || fs::read_dir(&mails).unwrap().count() > 0);
    assert!(scratch.log().contains("it writes what belongs to another user"), "{}", scratch.log());
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains(" has DAC_OVERRIDE, which it does not need; wanted: DAC_READ_SEARCH, FOWNER"), "{doctor}");
    assert!(daemon.stop().success());
}

/// It cannot give files another mode any more; what it makes private it does before.
#[test]
fn a_database_that_others_can_read_is_made_private_before_it_is_restricted() {
    let scratch = Scratch::new();
    scratch.configure(&format!("{FAST}\nmail = stdout:"));
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    fs::set_permissions(scratch.database(), fs::Permissions::from_mode(0o644)).unwrap();
    let daemon = scratch.start();
    wait_for("the daemon", || scratch.ask(&["status"]).status.code() != Some(2));
    assert_eq!(fs::metadata(scratch.database()).unwrap().mode() & 0o777, 0o600);
    assert!(daemon.stop().success());
}
