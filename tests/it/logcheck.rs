//! `integrityd logcheck` without logcheck: options, words, exit codes, and when positions move.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::support::{PROGRAM, Scratch, is_root, put_program, shown};

/// A place with rules, a log of two lines and a list that names it.
struct Site {
    scratch: Scratch,
}

impl Site {
    fn new() -> Self {
        let site = Self { scratch: Scratch::new() };
        for directory in ["rules/cracking.d", "rules/violations.d", "rules/ignore.d.server", "lists", "states"] {
            fs::create_dir_all(site.path(directory)).unwrap();
        }
        site.put("rules/ignore.d.server/cron", "CRON\n");
        site.put("rules/violations.d/su", "su: bad\n");
        site.put("log", "Nov 21 14:00:01 h CRON[1]: x\nNov 21 14:00:02 h disk: \x1b[31mfull\n");
        site.put("list", &format!("{}\n", site.path("log").display()));
        site.put("conf", &format!("LOCKFILE={}\n", site.path("lock").display()));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn add(&self, text: &str) {
        let mut log = OpenOptions::new().append(true).open(self.path("log")).unwrap();
        log.write_all(text.as_bytes()).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["--config", self.path("integrityd.conf").to_str().unwrap(), "logcheck"]);
        for (option, name) in [("-c", "conf"), ("-L", "list"), ("-D", "lists"), ("-r", "rules"), ("-S", "states")] {
            command.arg(option).arg(self.path(name));
        }
        command.args(more).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("SECRET", "hush");
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().unwrap()
    }

    /// What a run says, and how it ends.
    fn words(&self, more: &[&str]) -> String {
        shown(&self.scratch, &self.run(more))
    }

    /// The report alone, of a run that goes well.
    fn report(&self, more: &[&str]) -> String {
        let output = self.run(more);
        assert_eq!(output.status.code(), Some(0), "{}", shown(&self.scratch, &output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn position(&self) -> Option<String> {
        let name = format!("offset{}", self.path("log").display().to_string().replace('/', "."));
        fs::read_to_string(self.path("states").join(name)).ok()
    }
}

const REPORT: &str = "System Events\n=-=-=-=-=-=-=\nNov 21 14:00:02 h disk: \x1b[31mfull\n\n";

#[test]
fn a_run_reports_what_is_new_and_the_next_one_what_is_newer() {
    let site = Site::new();
    assert_eq!(site.report(&["-o"]), REPORT);
    let position = site.position().unwrap();
    let mut lines = position.lines();
    assert!(lines.next().unwrap().parse::<u64>().is_ok(), "{position}");
    let length = fs::metadata(site.path("log")).unwrap().len().to_string();
    assert_eq!(lines.next(), Some(length.as_str()), "{position}");
    assert_eq!(site.report(&["-o"]), "");
    site.add("Nov 21 14:00:03 h su: bad\nNov 21 14:00:04 h CRON[1]: y\n");
    assert_eq!(site.report(&["-o"]), "Security Events for su\n=-=-=-=-=-=-=-=-=-=-=-\nNov 21 14:00:03 h su: bad\n\n");
    // Nothing to tell moves on as well.
    site.add("Nov 21 14:00:05 h CRON[1]: z\n");
    assert_eq!(site.report(&["-o"]), "");
    let length = fs::metadata(site.path("log")).unwrap().len().to_string();
    assert_eq!(site.position().unwrap().lines().nth(1), Some(length.as_str()));
}

#[test]
fn a_test_run_moves_nothing_and_writes_nothing() {
    let site = Site::new();
    let count = || fs::read_dir(site.path("states")).unwrap().count();
    assert_eq!(site.report(&["-ot"]), REPORT);
    assert_eq!(site.report(&["-o", "-t"]), REPORT);
    assert_eq!((count(), site.position()), (0, None));
}

#[test]
fn a_report_that_nobody_took_is_given_again() {
    let site = Site::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = site.command(&["-o"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert_eq!(site.position(), None);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = site.command(&["-o"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(site.position(), None);
    assert_eq!(site.report(&["-o"]), REPORT);
}

#[test]
fn a_held_lock_is_a_lock() {
    let site = Site::new();
    let lock = File::create(site.path("states/integrityd.lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut all = site.words(&["-o"]);
    assert_eq!(site.report(&["-ot"]), REPORT);
    drop(lock);
    // Logcheck itself.
    site.put("lock.lock", "");
    all += &site.words(&["-o"]);
    insta::assert_snapshot!("logcheck_locked", all);
    let old = std::time::SystemTime::now() - Duration::from_secs(400);
    File::options().write(true).open(site.path("lock.lock")).unwrap().set_modified(old).unwrap();
    assert_eq!(site.report(&["-o"]), REPORT);
}

#[test]
fn a_missing_log_is_always_said() {
    let site = Site::new();
    site.put("lists/more.logfiles", &format!("{}\n", site.path("gone").display()));
    let mut all = site.words(&["-o"]).replace('\x1b', "ESC");
    // Also when there is nothing else to report, and when there is nothing new at all.
    site.add("Nov 21 14:00:05 h CRON[1]: z\n");
    all += &site.words(&["-o"]);
    all += &site.words(&["-o"]);
    insta::assert_snapshot!("logcheck_missing", all);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let site = Site::new();
    let mut all = String::new();
    for more in [
        &["-o", "-c", "/none/conf"][..],
        &["-o", "-L", "/none/list"],
        &["-o", "-l", "/none/log"],
        &["-o", "-S", "/none/states"],
        &["-o", "-r", "/none/rules"],
        &["-o", "-x"],
        &["-v"],
    ] {
        all += &format!("$ logcheck {}\n{}", more.join(" "), site.words(more));
    }
    site.put("rules/ignore.d.server/bad", "^fine\n^bad(\n");
    site.put("conf", &format!("LOCKFILE={}\nREPORTLEVEL=$(id)\nSYSLOGSUMMARY=1\n", site.path("lock").display()));
    all += &format!("$ logcheck -o\n{}", site.words(&["-o"]).replace('\x1b', "ESC"));
    insta::assert_snapshot!("logcheck_words", all);
}

#[test]
fn options_overrule_the_configuration_and_the_last_level_counts() {
    let site = Site::new();
    site.put("rules/header.txt", "Dear admin\n");
    fs::create_dir(site.path("rules/ignore.d.workstation")).unwrap();
    site.put("rules/ignore.d.workstation/disk", "disk\n");
    site.put("other", "Nov 21 14:00:09 h other: line");
    let other = site.path("other");
    let lock = site.path("lock");
    site.put("conf", &format!("LOCKFILE={}\nREPORTLEVEL=workstation\nEVENTSSUBJECT=Ereignisse\n", lock.display()));
    assert_eq!(site.report(&["-ot"]), "");
    let begun = Instant::now();
    assert_eq!(
        site.report(&["-ot", "-s", "-l", other.to_str().unwrap()]),
        "Dear admin\nEreignisse\n=-=-=-=-=-\nNov 21 14:00:09 h other: line\n\n"
    );
    assert!(begun.elapsed() >= Duration::from_millis(900), "half a line just written is waited for");
    assert!(site.report(&["-otpw"]).is_empty());
    assert!(site.report(&["-otwp"]).contains("CRON"));
    assert!(site.report(&["-otsuTd"]).contains("disk"));
}

#[test]
fn a_mail_has_the_subject_of_logcheck_and_no_environment() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let program = put_program(&site.path("sendmail"), "cat >> $0.mail; exit $(cat $0.exit)");
    site.scratch.configure(&format!("mail = sendmail:{}", program.display()));
    let left = |name: &str| fs::read_to_string(program.with_extension(name)).unwrap_or_default();
    fs::write(program.with_extension("exit"), "75").unwrap();
    let refused = site.run(&["-H", "web3", "-m", "admin@example.org"]);
    assert_eq!(refused.status.code(), Some(75), "{}", shown(&site.scratch, &refused));
    assert_eq!(site.position(), None);
    fs::write(program.with_extension("exit"), "0").unwrap();
    fs::remove_file(program.with_extension("mail")).unwrap();
    site.put("conf", &format!("LOCKFILE={}\nADDTAG=yes\nDATE=today\n", site.path("lock").display()));
    assert_eq!(site.report(&["-R", "-H", "web3", "-m", "admin@example.org"]), "");
    let mail = left("mail");
    assert!(mail.contains("Subject: [logcheck] Reboot: web3 today System Events\n"), "{mail}");
    assert!(mail.contains("To: admin@example.org\n") && mail.contains("Auto-Submitted: auto-generated\n"), "{mail}");
    assert!(mail.contains("disk: \\x1b[31mfull") && !mail.contains("hush"), "{mail}");
    assert!(site.position().is_some());
    fs::remove_file(site.path("log")).unwrap();
    let failed = site.run(&["-H", "web3"]);
    assert_eq!(failed.status.code(), Some(1));
    let mail = left("mail");
    assert!(mail.contains("Subject: Logcheck: web3 today exiting due to errors\n"), "{mail}");
    assert!(mail.contains("E: File could not be read: ") && !mail.contains("hush"), "{mail}");
}

#[test]
fn a_rule_that_matches_everything_hides_everything_here() {
    let site = Site::new();
    site.put("rules/ignore.d.server/all", ".*\n");
    assert_eq!(site.report(&["-o"]), "");
    assert!(Path::new(&site.path("states")).exists());
}

#[test]
fn the_journal_is_read_from_where_the_last_run_ended_and_only_when_the_report_was_given() {
    let site = Site::new();
    site.put("list", "journal\n");
    let programs = site.path("programs");
    fs::create_dir(&programs).unwrap();
    let script = format!("echo \"$*\" >> {}/asked; echo 'Nov 21 14:00:03 h app: from the journal'", programs.display());
    put_program(&programs.join("journalctl"), &script);
    let run = |more: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", programs.display());
        site.command(more).env("PATH", path).output().unwrap()
    };
    let asked = || -> Vec<String> {
        let text = fs::read_to_string(programs.join("asked")).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let output = run(&["-o", "-t"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("This is the first time logcheck has checked the systemd journal.\n"), "{text}");
    assert!(text.contains("System Events\n") && text.contains("\nNov 21 14:00:03 h app: from the journal\n"), "{text}");
    assert!(asked()[0].starts_with("--quiet --since=-5h --until=@"), "{:?}", asked());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    assert!(!site.command(&["-o"]).env("PATH", path).stdout(full).status().unwrap().success());
    run(&["-o"]);
    let first = asked();
    assert!(first[2].starts_with("--quiet --since=-5h "), "nothing has moved: {first:?}");
    std::thread::sleep(Duration::from_millis(20));
    let text = String::from_utf8(run(&["-o"]).stdout).unwrap();
    assert!(!text.contains("first time"), "{text}");
    let number = |words: &str, key: &str| -> f64 {
        words.split(key).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    let (until, since) = (number(&asked()[2], "--until=@"), number(&asked()[3], "--since=@"));
    assert!((since - until - 0.000_001).abs() < 0.000_000_6, "{:?}", asked());
    put_program(&programs.join("journalctl"), "echo half; echo broken >&2; exit 3");
    let output = run(&["-o"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("journalctl ended with exit status: 3: broken"),
        "{output:?}"
    );
}

#[test]
fn a_pipe_in_place_of_any_file_is_refused_and_makes_nobody_wait() {
    let site = Site::new();
    let pipe = site.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let pipe = pipe.to_str().unwrap();
    let words = |more: &[&str]| {
        let command = site.command(&[&["-o"], more].concat());
        let output = Command::new("timeout").arg("10").arg(PROGRAM).args(command.get_args()).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{more:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for option in ["-l", "-L", "-c"] {
        let words = words(&[option, pipe]);
        assert!(words.contains("pipe") && words.contains("it is no regular file"), "{option}: {words}");
    }
    site.put("conf", &format!("LOCKFILE={}\nLOGFILE={pipe}\n", site.path("lock").display()));
    assert!(words(&[]).contains("it is no regular file"));
}

#[test]
fn a_huge_log_of_nothing_is_passed_over_within_little_memory() {
    let site = Site::new();
    assert_eq!(site.report(&["-o"]), REPORT);
    File::options().write(true).open(site.path("log")).unwrap().set_len(20 << 30).unwrap();
    let command = site.command(&["-o"]);
    let output = Command::new("prlimit").arg("--as=3000000000").arg(PROGRAM).args(command.get_args()).output().unwrap();
    let words = shown(&site.scratch, &output);
    assert!(output.status.success() && words.contains("a hole in it was passed over"), "{words}");
    site.add("Nov 21 14:00:09 h disk: found\n");
    assert_eq!(site.report(&["-o"]), "System Events\n=-=-=-=-=-=-=\nNov 21 14:00:09 h disk: found\n\n");
}
