//! No amount of one keeps out what others did: three users of four flood whatever they can, and what the fourth and root do stands on
//! lines of its own in a mail. The table is in docs/torture.md.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process,
};

use crate::support::{Scratch, is_root, overwrite, sink::Sink, wait_for};

/// The users who flood, and the one who does not; no accounts are needed.
const FLOODING: [u32; 3] = [61_001, 61_002, 61_003];
const QUIET: u32 = 61_004;

/// What each of the three makes of everything.
const NAMES: u32 = 1_200;
const KEYS: u32 = 400;
const LINES: u32 = 3_000;

fn put(path: &Path, owner: u32, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
}

fn home(scratch: &Scratch, user: u32) -> PathBuf {
    scratch.tree().join(format!("home/u{user}"))
}

fn log(scratch: &Scratch, lines: impl IntoIterator<Item = String>) {
    let mut log = OpenOptions::new().append(true).open(scratch.path("auth.log")).unwrap();
    log.write_all(
        lines.into_iter().map(|line| format!("Nov 21 14:02:11 web3 {line}\n")).collect::<String>().as_bytes(),
    )
    .unwrap();
}

fn flood(scratch: &Scratch, user: u32) {
    let home = home(scratch, user);
    for number in 0..NAMES {
        put(&home.join(format!("new/{number}")), user, "x");
    }
    for number in 0..KEYS {
        put(&home.join(format!("{number}/.ssh/authorized_keys")), user, "key");
    }
    fs::remove_dir_all(home.join("old")).unwrap();
    for number in 0..10 {
        let sparse = home.join(format!("sparse{number}"));
        put(&sparse, user, "");
        OpenOptions::new().write(true).open(&sparse).unwrap().set_len(1 << 40).unwrap();
    }
    overwrite(&home.join("daemon.pid"), "none\n");
    log(scratch, (0..LINES).map(|number| format!("u{user}[{number}]: sudo chatter {number}")));
}

#[test]
fn what_the_fourth_user_and_root_do_stands_on_lines_of_its_own_beside_three_floods() {
    if !is_root() {
        println!("skipped: only root can give files to others");
        return;
    }
    let (scratch, sink) = (Scratch::new(), Sink::start());
    for user in FLOODING.into_iter().chain([QUIET]) {
        for number in 0..300 {
            put(&home(&scratch, user).join(format!("old/{number}")), user, "x");
        }
        put(&home(&scratch, user).join("daemon.pid"), user, &format!("{}\n", process::id()));
        chown(home(&scratch, user), Some(user), Some(user)).unwrap();
    }
    for number in 0..50 {
        put(&scratch.tree().join(format!("usr/bin/b{number}")), 0, "x");
    }
    for layer in ["ignore.d.server", "violations.d", "cracking.d"] {
        fs::create_dir_all(scratch.path("rules").join(layer)).unwrap();
    }
    fs::write(scratch.path("rules/violations.d/sudo"), "sudo\n").unwrap();
    fs::write(scratch.path("auth.log"), "").unwrap();
    let pids: String = FLOODING
        .into_iter()
        .chain([QUIET])
        .map(|user| format!("pidfile = {}\n", home(&scratch, user).join("daemon.pid").display()))
        .collect();
    scratch.configure(&format!(
        "filerate = 4000\nbyterate = 200M\nreporttime = 3\nreportholdoff = 10\nurgentholdoff = 2\nlogchecktime = 1\npidchecktime = 1\n\
         logrules = server:{}\nlog = {}\n{pids}{}",
        scratch.path("rules").display(),
        scratch.path("auth.log").display(),
        sink.setting()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    for user in FLOODING {
        flood(&scratch, user);
    }
    let quiet = home(&scratch, QUIET);
    put(&quiet.join("new-of-the-fourth"), QUIET, "x");
    put(&quiet.join(".ssh/authorized_keys"), QUIET, "key");
    fs::remove_file(quiet.join("old/7")).unwrap();
    overwrite(&quiet.join("daemon.pid"), "none\n");
    overwrite(&scratch.tree().join("usr/bin/b7"), "changed by root");
    put(&scratch.tree().join("usr/bin/lends-root"), 0, "x");
    fs::set_permissions(scratch.tree().join("usr/bin/lends-root"), fs::Permissions::from_mode(0o4755)).unwrap();
    log(&scratch, ["sshd[99]: Accepted password for root".to_owned(), "sudo: root : COMMAND=/bin/x".to_owned()]);
    for user in FLOODING {
        log(&scratch, (0..LINES).map(|number| format!("u{user}[{number}]: sudo more {number}")));
    }
    let wanted = [
        "/new-of-the-fourth ",
        &format!("/u{QUIET}/.ssh/authorized_keys "),
        &format!("/u{QUIET}/old/7 "),
        &format!("/u{QUIET}/daemon.pid"),
        "/usr/bin/b7 ",
        "/usr/bin/lends-root ",
        "sshd[99]: Accepted password for root",
        "sudo: root : COMMAND=/bin/x",
    ];
    for wanted in wanted {
        let is_told = |line: &str| line.contains(wanted) || line.ends_with(wanted.trim_end());
        wait_for(wanted, || sink.mails().iter().any(|mail| mail.text().lines().any(is_told)));
    }
    let left: Vec<String> = sink
        .mails()
        .iter()
        .flat_map(|mail| {
            let text = mail.text();
            text.lines()
                .filter(|line| line.contains("…and ") || line.contains(" of 6100") || line.contains(" of u6100"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    println!("{}", left.join("\n"));
    assert!(left.iter().any(|line| line.contains(" of 6100")), "whose what is left out is: {left:?}");
    assert!(daemon.stop().success());
}
