//! What the tests share: a scratch directory with a configuration, the daemon as a process, and an SMTP sink.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub(crate) mod filter;
pub(crate) mod grep;
pub(crate) mod sink;
pub(crate) mod syslog;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use integrityd::{
    model::{
        clock::Timestamp,
        file::entry::{Attributes, Digests, FileKind, HashState, Observation},
    },
    sys::fs::mounts::{self, MountTable},
};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_integrityd");

/// A private directory with a tree to watch, a place for state and a configuration.
pub(crate) struct Scratch {
    root: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(root.path().join("tree")).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("state/integrityd.sqlite")
    }

    /// Writes a legacy configuration: area, database and recipient, and then `more`.
    pub(crate) fn configure(&self, more: &str) -> PathBuf {
        let path = self.path("integrityd.conf");
        // The machine that runs the tests must not slow them down.
        let pressure = if more.contains("pressure") { "" } else { "pressure = 0\n" };
        let text = format!(
            "email = root@example.org\nhostname = web3.example\ndatabase = {}\narea = {}\n{more}\n{pressure}",
            self.database().display(),
            self.tree().display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// As [`Scratch::start`], with these variables in its environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Running {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("--config")
            .arg(self.path("integrityd.conf"))
            .arg("run")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child }
    }

    /// Runs another command on the same configuration.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .arg("--config")
            .arg(self.path("integrityd.conf"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What the daemon has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The history as JSON values.
    pub(crate) fn history(&self) -> Vec<serde_json::Value> {
        let database = self.database();
        let database = database.to_str().unwrap();
        let output = self.ask(&["history", "--json", "--limit", "100000", "--database", database]);
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What `status --json` says; null where it cannot say anything yet.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.ask(&["status", "--json"]).stdout).unwrap_or_default()
    }

    /// Complete rounds over the first area, by `status`.
    pub(crate) fn rounds(&self) -> u64 {
        self.status()["areas"][0]["rounds"].as_u64().unwrap()
    }

    /// Waits until the first round over every area is complete and every log that is configured and there was begun: what is written from then on is new.
    pub(crate) fn wait_for_baseline(&self) {
        wait_for("the baseline", || {
            String::from_utf8_lossy(&self.ask(&["history"]).stdout).contains("baseline established")
        });
        let is_new = |area: &serde_json::Value| area["state"] == "learning";
        wait_for("every area", || self.status()["areas"].as_array().is_some_and(|areas| !areas.iter().any(is_new)));
        let text = fs::read_to_string(self.path("integrityd.conf")).unwrap_or_default();
        let is_there = |line: &str| line.strip_prefix("log = ").is_some_and(|log| Path::new(log.trim()).is_file());
        let logs = text.lines().filter(|line| is_there(line)).count();
        wait_for("the logs", || self.status()["logs"].as_array().map_or(0, Vec::len) >= logs);
    }
}

/// A text of ours with what goes on in the next line in one line again.
pub(crate) fn unwrapped(text: &str) -> String {
    let goes_on = |line: &str| line.trim_start_matches(' ').strip_prefix("↳ ").map(str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        match (goes_on(line), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(&rest),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the file system that `path` lies on is one of those whose ctime proves something.
pub(crate) fn keeps_ctime(path: &Path) -> bool {
    let table = MountTable::new(mounts::read(Path::new("/")).unwrap());
    let real = fs::canonicalize(path).unwrap();
    table.met(real.as_os_str().as_encoded_bytes()).last().is_some_and(|mount| mount.keeps_ctime())
}

/// What a command prints and how it ends, with the scratch directory taken out.
pub(crate) fn shown(scratch: &Scratch, output: &Output) -> String {
    let text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    unwrapped(&text).replace(&scratch.path("").display().to_string(), "/scratch/")
}

/// A daemon; killed when it is dropped.
pub(crate) struct Running {
    pub child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(done.success());
    }

    /// Tells it to stop and waits for it, at most ten seconds.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// Copies the program to `to`. By another process: while this one writes it, any child that another test starts would have it open as
/// well, and it could not be run (`ETXTBSY`).
pub(crate) fn copy_program(to: &Path) {
    assert!(Command::new("cp").arg(PROGRAM).arg(to).status().unwrap().success());
}

/// How long a test waits for what must come: the end of a hang, and no promise of a time. A busy machine takes its
/// time, and a test that waits less tells of the machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// Waits until `is_so`, asking every 50 ms.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Puts back the modification time of `path`.
pub(crate) fn put_back_mtime(path: &Path, time: std::time::SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Makes a file that appears with its whole content at once.
pub(crate) fn put(path: &Path, content: &str) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let aside = std::env::temp_dir().join(format!(".integrityd-test-{}-{number}", std::process::id()));
    fs::write(&aside, content).unwrap();
    fs::rename(aside, path).unwrap();
}

/// Changes a file in one step; `content` is no shorter than what is there.
pub(crate) fn overwrite(path: &Path, content: &str) {
    use std::io::Write;
    fs::File::options().write(true).open(path).unwrap().write_all(content.as_bytes()).unwrap();
}

/// Puts a shell script that can be run at `path`.
///
/// Another process writes it: a descriptor of ours would be open in any child that another test starts just then, and a program
/// that somebody writes cannot be run (ETXTBSY).
pub(crate) fn put_program(path: &Path, script: &str) -> PathBuf {
    use std::io::Write;
    let mut shell = Command::new("sh")
        .args(["-c", "umask 077; cat > \"$0\" && chmod 700 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    path.to_path_buf()
}

/// A small file as it may stand in a baseline, without a digest.
pub(crate) fn seen_file() -> Observation {
    let time = Timestamp::from_nanos(0);
    Observation {
        attributes: Attributes {
            kind: FileKind::Regular,
            perms: 0o644,
            uid: 0,
            gid: 0,
            nlink: 1,
            dev: 1,
            inode: 1,
            rdev: 0,
            size: 1,
            mtime: time,
            ctime: time,
            btime: None,
            target: None,
            xattrs: None,
            flags: None,
        },
        hash_state: HashState::Off,
        digests: Digests::default(),
    }
}
