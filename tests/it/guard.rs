//! The sandbox of the daemon: what it refuses, tried from inside, and what goes on working in spite of it. Nothing here needs root.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{PROGRAM, Running, Scratch, overwrite, put_program, sink::Sink, wait_for};

const FAST: &str =
    "filerate = 2000\nreporttime = 0\nreportholdoff = 0\nurgentholdoff = 0\nlogchecktime = 1\npidchecktime = 1";

/// What of these attempts came, a line each, in a process with the sandbox of this configuration; `None` without Landlock.
fn tried(scratch: &Scratch, attempts: &[&str]) -> Option<String> {
    let output = scratch.ask(&[&["try-sandbox"], attempts].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    if text.starts_with("none the kernel has no Landlock") {
        return None;
    }
    assert!(text.starts_with("landlock "), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// Which version of Landlock there is: from the fourth on it knows connections, from the sixth on signals.
fn version(text: &str) -> u32 {
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// The children of a process with what they were called with.
fn children(pid: u32) -> Vec<(u32, String)> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    all.filter(|child| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        parent == Some(pid)
    })
    .map(|child| {
        (
            child,
            String::from_utf8_lossy(&fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default()).replace('\0', " "),
        )
    })
    .collect()
}

fn helper_of(pid: u32) -> Option<u32> {
    children(pid).into_iter().find(|(_, line)| line.trim_end().ends_with(" deputy")).map(|(pid, _)| pid)
}

#[test]
fn a_write_an_execution_and_a_connection_elsewhere_are_refused() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = elsewhere.local_addr().unwrap().port().to_string();
    fs::create_dir(scratch.path("state")).unwrap();
    fs::write(scratch.path("file"), "x").unwrap();
    scratch.configure(&sink.setting());
    let (root, state, file) = (scratch.path(""), scratch.path("state"), scratch.path("file"));
    let [root, state, file] = [&root, &state, &file].map(|path| path.to_str().unwrap());
    let port = sink.port.to_string();
    let attempts = [
        "--write",
        root,
        "--write",
        file,
        "--write",
        state,
        "--mode",
        file,
        "--execute",
        "/bin/true",
        "--connect",
        &other,
        "--connect",
        &port,
        "--listen",
        "0",
        "--look",
        "1",
    ];
    let Some(text) = tried(&scratch, &attempts) else { return };
    let mut wanted = vec![
        format!("write {root} refused"),
        format!("write {file} refused"),
        format!("write {state} possible"),
        format!("mode {file} refused"),
        "execute /bin/true refused".to_owned(),
        format!("connect {port} possible"),
    ];
    if version(&text) >= 4 {
        wanted.extend([format!("connect {other} refused"), "listen 0 refused".to_owned()]);
    }
    for line in wanted {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "x");
}

#[test]
fn the_daemon_that_runs_has_it_and_its_helper_ends_with_it() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}\n{}", sink.setting()));
    if tried(&scratch, &[]).is_none() {
        return;
    }
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    assert_eq!((status(daemon.pid(), "NoNewPrivs"), status(daemon.pid(), "Seccomp")), ("1".to_owned(), "2".to_owned()));
    let helper = helper_of(daemon.pid()).unwrap();
    let lines = children(daemon.pid());
    assert!(lines.iter().all(|(_, line)| line.starts_with("integrityd: helper ")), "{lines:?}");
    assert_eq!(status(helper, "NoNewPrivs"), "0", "a mail program may have to become another user");
    assert!(scratch.log().contains("the sandbox is up"), "{}", scratch.log());
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("ok    sandbox: Landlock ") && doctor.contains("and its helper ("), "{doctor}");
    assert!(doctor.contains(&format!("ok    privileges: daemon ({}): ", daemon.pid())), "{doctor}");
    daemon.kill();
    wait_for("the end of the helper", || !Path::new(&format!("/proc/{helper}")).exists());
    // Without it there is neither.
    let free = Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .args(["run", "--no-sandbox"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let free = Running { child: free };
    wait_for("the daemon", || scratch.ask(&["status"]).status.code() != Some(2));
    assert_eq!((status(free.pid(), "NoNewPrivs").as_str(), helper_of(free.pid())), ("0", None));
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("runs without one"), "{doctor}");
    assert!(free.stop().success());
}

#[test]
fn a_reload_that_needs_more_is_told_and_the_old_settings_stay() {
    let (scratch, sink, other) = (Scratch::new(), Sink::start(), Sink::start());
    let configure = |sink: &Sink, more: &str| scratch.configure(&format!("{FAST}\n{more}\n{}", sink.setting()));
    configure(&sink, "");
    let Some(text) = tried(&scratch, &[]) else { return };
    if version(&text) < 4 {
        return;
    }
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    configure(&other, "");
    daemon.signal("HUP");
    let needle = format!("connections to port {}", other.port);
    wait_for("the notice", || {
        let mails = sink.mails();
        mails.iter().any(|mail| mail.text().contains(&needle) && mail.text().contains("restart integrityd"))
    });
    assert!(other.mails().is_empty());
    // What needs nothing new is taken over.
    configure(&sink, "subject = logcheck");
    daemon.signal("HUP");
    wait_for("the reload", || scratch.log().contains("the configuration was read again"));
    assert!(daemon.stop().success());
    configure(&other, "");
    let daemon = scratch.start();
    fs::write(scratch.tree().join("new"), "x").unwrap();
    wait_for("a mail by the new way", || other.mails().iter().any(|mail| mail.text().contains("/new")));
    assert!(daemon.stop().success());
}

/// A sendmail program that puts each mail into a file, far from all that a daemon may write.
fn sendmail(place: &Path) -> PathBuf {
    let script =
        format!("umask 077\ncat > {0}/mail.$$ && mv {0}/mail.$$ {0}/$$.eml && id -u > /dev/null", place.display());
    put_program(&place.join("sendmail"), &script)
}

fn mails_in(place: &Path) -> String {
    let files = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn a_sendmail_program_is_run_by_the_helper_and_writes_what_it_likes() {
    let (scratch, spool) = (Scratch::new(), Scratch::new());
    let program = sendmail(&spool.path(""));
    fs::write(scratch.tree().join("file"), "one").unwrap();
    scratch.configure(&format!("{FAST}\nmail = sendmail:{}", program.display()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    overwrite(&scratch.tree().join("file"), "two");
    wait_for("the mail", || mails_in(&spool.path("")).contains("/tree/file"));
    assert!(daemon.stop().success());
}

#[test]
fn what_the_starter_had_open_is_not_handed_on() {
    let (scratch, spool) = (Scratch::new(), Scratch::new());
    // Only what it was given itself: `ls` opens one more.
    let script =
        format!("ls -l /proc/self/fd >{0}/new 2>&1; cat >/dev/null; mv {0}/new {0}/open", spool.path("").display());
    let program = put_program(&spool.path("sendmail"), &script);
    fs::write(scratch.path("secret"), "").unwrap();
    fs::write(scratch.tree().join("file"), "").unwrap();
    scratch.configure(&format!("{FAST}\nmail = sendmail:{}", program.display()));
    for (what, sandbox) in [("by the helper", None), ("by the daemon", Some("--no-sandbox"))] {
        let child = Command::new("sh")
            .args(["-c", "exec 9<\"$0\"; exec \"$@\""])
            .arg(scratch.path("secret"))
            .args([PROGRAM, "--config"])
            .arg(scratch.path("integrityd.conf"))
            .arg("run")
            .args(sandbox)
            .spawn()
            .unwrap();
        let daemon = Running { child };
        scratch.wait_for_baseline();
        overwrite(&scratch.tree().join("file"), what);
        wait_for("the mail", || spool.path("open").exists());
        let open = fs::read_to_string(spool.path("open")).unwrap();
        assert!(open.contains("0 -> ") && !open.contains("/secret"), "{what}: {open}");
        assert!(daemon.stop().success());
        fs::remove_file(spool.path("open")).unwrap();
    }
}

#[test]
fn a_helper_that_dies_is_told_and_what_waits_is_kept() {
    let (scratch, spool) = (Scratch::new(), Scratch::new());
    let program = sendmail(&spool.path(""));
    fs::write(scratch.tree().join("file"), "one").unwrap();
    scratch.configure(&format!("{FAST}\nretrybase = 1\nmail = sendmail:{}", program.display()));
    if tried(&scratch, &[]).is_none() {
        return;
    }
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let helper = helper_of(daemon.pid()).unwrap();
    assert!(Command::new("kill").args(["-KILL", &helper.to_string()]).status().unwrap().success());
    overwrite(&scratch.tree().join("file"), "two");
    wait_for("the trouble", || {
        let queue = String::from_utf8(scratch.ask(&["queue", "list"]).stdout).unwrap();
        queue.contains("the helper process is gone; restart integrityd")
    });
    wait_for("the notice", || {
        String::from_utf8_lossy(&scratch.ask(&["history"]).stdout)
            .contains("the helper process of the sandbox has ended")
    });
    let status = String::from_utf8(scratch.ask(&["status"]).stdout).unwrap();
    assert!(status.contains("the helper process stopped working"), "{status}");
    let doctor = String::from_utf8(scratch.ask(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("FAIL  sandbox: the helper of the daemon"), "{doctor}");
    assert!(daemon.stop().success());
    let daemon = scratch.start();
    wait_for("the mail", || mails_in(&spool.path("")).contains("/tree/file"));
    assert!(daemon.stop().success());
}

#[test]
fn a_process_is_known_by_its_program_though_the_daemon_cannot_see_it() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let sleep = Running { child: Command::new("sleep").arg("600").spawn().unwrap() };
    fs::write(scratch.path("sleep.pid"), format!("{}\n", sleep.pid())).unwrap();
    scratch.configure(&format!("{FAST}\npidfile = {}\n{}", scratch.path("sleep.pid").display(), sink.setting()));
    let Some(text) = tried(&scratch, &["--look", &sleep.pid().to_string()]) else { return };
    let own = fs::read_link(format!("/proc/{}/exe", sleep.pid())).unwrap();
    let line = format!("look {} refused, by the helper {}", sleep.pid(), own.display());
    assert!(text.contains(&line), "{line} in\n{text}");
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let name = scratch.path("sleep.pid").display().to_string();
    wait_for("a look", || String::from_utf8_lossy(&scratch.ask(&["status"]).stdout).contains(&name));
    let pid = sleep.pid();
    sleep.kill();
    wait_for("the mail", || sink.mails().iter().any(|mail| mail.text().contains(&format!("died {pid}"))));
    let died = scratch.history().into_iter().find(|event| event["event"]["action"][0] == "died").unwrap();
    assert_eq!(died["process"]["executable"], own.to_str().unwrap(), "{died}");
    assert!(daemon.stop().success());
}

#[test]
fn a_directory_of_mails_and_a_mailbox_can_be_written() {
    let scratch = Scratch::new();
    let mails = scratch.path("mails/new");
    fs::write(scratch.tree().join("file"), "one").unwrap();
    scratch.configure(&format!("{FAST}\nmail = file:{}", mails.display()));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    overwrite(&scratch.tree().join("file"), "two");
    wait_for("the mail", || mails.is_dir() && mails_in(&mails).contains("/tree/file"));
    assert!(daemon.stop().success());
}

#[test]
fn a_state_directory_that_was_exchanged_ends_the_daemon_with_a_mail() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}\n{}", sink.setting()));
    if tried(&scratch, &[]).is_none() {
        return;
    }
    let mut daemon = scratch.start();
    scratch.wait_for_baseline();
    fs::rename(scratch.path("state"), scratch.path("away")).unwrap();
    fs::create_dir(scratch.path("state")).unwrap();
    // The place is looked at every 30 s.
    wait_for("its end", || daemon.child.try_wait().unwrap().is_some());
    assert_eq!(daemon.child.wait().unwrap().code(), Some(70), "{}", scratch.log());
    assert!(scratch.log().contains("is another one than at the start"), "{}", scratch.log());
    assert!(sink.mails().iter().any(|mail| mail.subject().contains("database")), "nobody was told");
    fs::remove_dir(scratch.path("state")).unwrap();
    fs::rename(scratch.path("away"), scratch.path("state")).unwrap();
    let daemon = scratch.start();
    wait_for("the daemon", || scratch.ask(&["status"]).status.code() != Some(2));
    assert!(daemon.stop().success());
}

#[test]
fn the_unit_hides_nothing_that_is_watched_and_leaves_what_the_daemon_needs() {
    let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("init");
    let text = |name: &str| fs::read_to_string(init.join(name)).unwrap();
    let unit = text("integrityd.service") + &text("integrityd-unprivileged.conf");
    let set = |key: &str| unit.lines().any(|line| line.starts_with(key));
    for hiding in [
        "PrivateTmp=",
        "ProtectHome=",
        "PrivateDevices=",
        "ProtectProc=",
        "ProcSubset=",
        "ProtectKernelModules=",
        "ProtectKernelLogs=",
        "PrivateUsers=",
        "PrivateNetwork=",
        "InaccessiblePaths=",
        "TemporaryFileSystem=",
    ] {
        assert!(!set(hiding), "{hiding}");
    }
    for needed in
        ["ProtectSystem=strict", "WatchdogSec=", "Restart=on-failure", "SystemCallFilter=landlock_create_ruleset"]
    {
        assert!(set(needed), "{needed}");
    }
    // Another attempt would find the same: a faulty configuration must not be a loop.
    let never = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    assert!(["64", "77", "78"].iter().all(|code| never.split(' ').any(|known| known == *code)), "{never}");
    // What runs once is held as the daemon is.
    let is_hardening = |line: &&str| {
        let keys =
            ["Capability", "Protect", "ReadWrite", "Device", "Keyring", "Lock", "MemoryDeny", "Restrict", "SystemCall"];
        keys.iter().any(|key| line.starts_with(key))
    };
    let (daemon, once) = (text("integrityd.service"), text("integrityd-once.service"));
    let hardening = |unit: &str| unit.lines().filter(is_hardening).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(hardening(&daemon), hardening(&once));
    let parsed = Command::new("sh").arg("-n").arg(init.join("integrityd.sysv")).status().unwrap();
    assert!(parsed.success());
}
