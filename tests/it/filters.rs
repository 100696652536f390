//! Behind filters of system calls: what is refused costs precision, never sight.

use std::{
    env, fs,
    process::{Command, Output, Stdio},
};

use rustix::fs::{XattrFlags, setxattr};

use crate::support::{
    PROGRAM, Scratch,
    filter::{CALLS, Refused, output_behind},
};

/// The journeys of files, logs and processes.
const JOURNEYS: &[&str] = &[
    "attributes::",
    "first_contact::",
    "journeys::",
    "matrix::",
    "moves::",
    "pids::",
    "situations::",
    "states::",
    "tail::",
    "tail_rows::",
];

/// Those of them that take longer than a test may: large numbers, long times. `.ci/long filters` leaves none out with all refused at once.
const LONG: &[&str] = &[
    "row_02_",
    "row_10_1_153",
    "row_12_an_emptied_area_without",
    "row_13_a_new_directory_that",
    "row_14_",
    "row_16_",
    "row_17_",
    "a17_",
    "h6_",
    "a_missing_area_is_one_event",
    "a_removed_subtree_is_one_line",
    "changes_hourly",
    "hold_off_survives",
    "hostile_most_of_an_area",
    "keep_their_rate",
    "names_in_hand",
    "names_are_in_hand",
    "no_history_loses",
    "set_off_no_second_round",
    "the_walker_tells_each_move_once",
    "a_read_error_gives_no_digest",
    "a_write_lease",
];

/// Those that are about processes telling their end by themselves.
const DEATHS: &[&str] = &["is_found_dead_without_a_look", "nobody_asks_for_its_end_is_a_zombie"];

/// Runs journeys of this very program where these calls are refused with `errno`; gives what went wrong.
fn journeys_behind(refused: &[Refused], errno: i32, but: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(JOURNEYS).args(but.iter().flat_map(|name| ["--skip", *name])).args(["--quiet"]).stdin(Stdio::null());
    let output = output_behind(refused, errno, &mut command);
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = text.rfind("\nfailures:\n").map_or(text.as_str(), |at| &text[at..]);
    Err(format!("{summary}\n{text}"))
}

fn refused(names: &[&str]) -> Vec<Refused> {
    let found = CALLS.iter().filter(|(name, _)| names.contains(name)).flat_map(|(_, refused)| refused.iter().copied());
    found.collect()
}

/// What is refused at once: all but what is compared, and `capset`, by which the tests themselves become somebody else.
const MOST: &[&str] = &[
    "openat2",
    "statx: mount",
    "preadv2",
    "fadvise64",
    "pidfd_open",
    "ioprio_get",
    "ioprio_set",
    "faccessat2",
    "landlock_add_rule",
    "landlock_restrict_self",
    "seccomp",
    "cachestat",
];

#[test]
fn with_all_of_them_refused_every_journey_ends_as_without() {
    let but = if cfg!(feature = "long") { DEATHS.to_vec() } else { [LONG, DEATHS].concat() };
    if let Err(wrong) = journeys_behind(&refused(MOST), libc::ENOSYS, &but) {
        panic!("{wrong}");
    }
}

fn ask_behind(scratch: &Scratch, refused: &[Refused], errno: i32, what: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(scratch.path("integrityd.conf")).arg(what).stdin(Stdio::null());
    output_behind(refused, errno, &mut command)
}

/// A baseline that was made without a filter, looked at through one.
#[test]
fn what_cannot_be_asked_for_any_more_is_not_reported_as_changed() {
    let scratch = Scratch::new();
    let file = scratch.tree().join("deep/er/file");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "x").unwrap();
    std::os::unix::fs::symlink("deep/er", scratch.tree().join("link")).unwrap();
    // Where the file system takes none, there is less to lose.
    let _no_xattrs = setxattr(&file, "user.a", b"v", XattrFlags::empty());
    let _no_flags = Command::new("chattr").arg("+d").arg(&file).stderr(Stdio::null()).status();
    scratch.configure("areaattributes = all\nmail = stdout:");
    assert!(scratch.ask(&["init"]).status.success());
    for (name, refused) in CALLS {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let output = ask_behind(&scratch, refused, errno, "check");
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{name} {errno}\n{said}");
        }
    }
    fs::write(&file, "y").unwrap();
    let everything: Vec<Refused> = CALLS.iter().flat_map(|(_, refused)| refused.iter().copied()).collect();
    let output = ask_behind(&scratch, &everything, libc::ENOSYS, "check");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(4) && said.contains("deep/er/file"), "{said}");
    assert!(!said.contains("xattr") && !said.contains("flags"), "{said}");
}

#[test]
fn doctor_names_what_is_refused_and_nothing_fails_for_it() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let doctor = |refused: &[Refused], errno| {
        let output = ask_behind(&scratch, refused, errno, "doctor");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let plain = doctor(&[], libc::ENOSYS);
    for (name, refused) in CALLS.iter().filter(|(name, _)| *name != "cachestat") {
        for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
            let (code, text) = doctor(refused, errno);
            assert_eq!(code, plain.0, "{name} {errno}\n{text}");
            assert!(text.contains(&format!(" kernel: {name} is refused here")), "{name} {errno}\n{text}");
            assert!(!text.contains("cannot be looked at") && text.contains("ok    area: "), "{name} {errno}\n{text}");
        }
    }
}

/// The rest of the sandbox stands, and the daemon works; its log and `doctor` say what is missing.
#[test]
fn without_filters_and_capabilities_that_can_be_given_up_the_daemon_works() {
    let scratch = Scratch::new();
    scratch.configure("filerate = 2000\nreporttime = 0\nmail = stdout:");
    let run = || {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(scratch.path("integrityd.conf")).args(["run", "--once"]).stdin(Stdio::null());
        let output = output_behind(&refused(&["seccomp", "capset"]), libc::EPERM, &mut command);
        assert!(output.status.success(), "{output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    run();
    fs::write(scratch.tree().join("new"), "x").unwrap();
    let (mails, log) = run();
    assert!(mails.contains("/tree/new"), "{mails}");
    if log.contains("without a sandbox") {
        return;
    }
    let missing = ["the sandbox is not whole error=system calls cannot be filtered", "capabilities cannot be given up"];
    assert!(missing.iter().all(|words| log.contains(words)), "{log}");
    if rustix::process::geteuid().is_root() {
        let doctor = ask_behind(&scratch, &refused(&["seccomp", "capset"]), libc::EPERM, "doctor");
        let said = String::from_utf8(doctor.stdout).unwrap();
        assert!(said.contains("it keeps what it does not need: all capabilities but"), "{said}");
    }
}

/// What is refused cannot be tested; everything else can.
#[cfg(feature = "long")]
fn without(name: &str) -> &'static [&'static str] {
    match name {
        "statx" | "statx: birth" => &["attributes::", "moves::"],
        "listxattr" | "getxattr" => &["attributes::", "matrix::"],
        "pidfd_open" => DEATHS,
        _ => &[],
    }
}

/// Each alone, which takes its time: `.ci/long filters [CALL…]`, which is all or only these.
#[cfg(feature = "long")]
#[test]
fn with_each_refused_alone_every_journey_ends_as_without() {
    let mut wrong = Vec::new();
    let asked = env::var("CALLS").unwrap_or_default();
    let is_asked = |name: &str| asked.is_empty() || asked.split(',').any(|asked| asked == name);
    for (name, refused) in CALLS.iter().filter(|(name, _)| is_asked(name)) {
        for (word, errno) in [("ENOSYS", libc::ENOSYS), ("EPERM", libc::EPERM)] {
            let result = journeys_behind(refused, errno, &[LONG, without(name)].concat());
            println!("{name:<24} {word:<8} {}", if result.is_ok() { "passed" } else { "FAILED" });
            wrong.extend(result.err().map(|text| format!("{name} {word}\n{text}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
