//! Every mistake of a fresh start, as somebody meets it who has never seen the program: each answer names the thing, the place and
//! what to do.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, copy_program, is_root, shown, wait_for};

/// Somebody who is not root.
const NOBODY: u32 = 65534;

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env("COLUMNS", "100").stdin(Stdio::null()).output().unwrap()
}

/// A private configuration of just these lines.
fn write(scratch: &Scratch, lines: &str) {
    let path = scratch.path("integrityd.conf");
    fs::write(&path, lines).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What is said, without what is logged: that has the time in front.
fn answer(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("20")).map(|line| format!("{line}\n")).collect()
}

/// A command and its answer.
fn told(scratch: &Scratch, about: &str, arguments: &[&str]) -> String {
    let answer = answer(&shown(scratch, &scratch.ask(arguments)));
    format!("## {about}\n$ integrityd {}\n{answer}", arguments.join(" "))
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_place_and_remedy() {
    let scratch = Scratch::new();
    let mut all = told(&scratch, "no configuration", &["run"]);
    all += &told(&scratch, "no configuration", &["status"]);
    write(&scratch, "");
    all += &told(&scratch, "an empty configuration", &["run"]);
    write(&scratch, "email = root\n");
    all += &told(&scratch, "nothing to watch", &["config", "check"]);
    scratch.configure("mail = stdout:");
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o666)).unwrap();
    all += &told(&scratch, "a configuration that others can write", &["run"]);
    all += &told(&scratch, "the same, asked about", &["config", "check"]);
    fs::remove_file(scratch.path("integrityd.conf")).unwrap();
    fs::create_dir(scratch.path("integrityd.conf")).unwrap();
    all += &told(&scratch, "a directory in its place", &["run"]);
    assert!(!scratch.path("state").exists(), "something was started");
    insta::assert_snapshot!(all);
}

#[test]
fn a_place_where_no_database_can_be_is_said_with_what_names_it() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "no directory").unwrap();
    let mut all = String::new();
    for (about, database) in [
        ("below a file", scratch.path("file/x.sqlite")),
        ("a directory", scratch.tree()),
        ("below /proc", Path::new("/proc/integrityd/x.sqlite").to_owned()),
    ] {
        let tree = scratch.tree();
        let lines =
            format!("email = root\narea = {}\ndatabase = {}\nmail = stdout:\n", tree.display(), database.display());
        write(&scratch, &lines);
        all += &told(&scratch, about, &["run"]);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_second_daemon_is_told_where_the_first_one_is() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let daemon = scratch.start();
    wait_for("the daemon", || scratch.log().contains("BASELINE"));
    let output = scratch.ask(&["run"]);
    let text = shown(&scratch, &output);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(
        text.contains("another integrityd is running on /scratch/state/integrityd.sqlite.lock: stop it first"),
        "{text}"
    );
    assert!(daemon.stop().success());
}

#[test]
fn a_slip_on_the_command_line_is_answered_with_what_there_is() {
    let mut all = String::new();
    for words in [
        &["chek"][..],
        &["confi"],
        &["run", "--onec"],
        &["try", "--duration", "20"],
        &["config", "chek"],
        &["history", "--since"],
        &["completions", "ksh"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        all += &format!("$ integrityd {}\n{}\n", words.join(" "), String::from_utf8(output.stderr).unwrap());
    }
    insta::assert_snapshot!(all);
}

#[test]
fn somebody_without_a_home_is_told_what_try_needs() {
    let scratch = Scratch::new();
    let output = Command::new(PROGRAM)
        .args(["try", "/etc", "--for", "1s"])
        .env_remove("XDG_STATE_HOME")
        .env("HOME", "/proc/nowhere")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = shown(&scratch, &output);
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(text.contains("/proc/nowhere/.local/state/integrityd/try"), "{text}");
    assert!(text.contains("set XDG_STATE_HOME to a directory that this user may write"), "{text}");
    assert!(!text.contains("root"), "{text}");
}

#[test]
fn a_mail_that_cannot_leave_is_said_with_the_way_it_took() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    scratch.configure(&format!("mail = smtp://127.0.0.1:{port}"));
    let mut all = told(&scratch, "nobody listens", &["mail", "test"]);
    let once = shown(&scratch, &scratch.ask(&["run", "--once"]));
    all += &answer(&once);
    scratch.configure("mail = sendmail:/nonexistent/sendmail");
    all += &told(&scratch, "no sendmail program", &["mail", "test"]);
    insta::assert_snapshot!(all.replace(&format!(":{port}"), ":PORT"));
}

#[test]
fn what_is_configured_but_missing_is_mailed_and_known_to_doctor() {
    let scratch = Scratch::new();
    let (area, rules, log) = (scratch.path("gone"), scratch.path("rules"), scratch.path("app.log"));
    scratch.configure(&format!(
        "area = {}\nlogrules = server:{}\nlog = {}\nmail = stdout:",
        area.display(),
        rules.display(),
        log.display()
    ));
    let once = shown(&scratch, &scratch.ask(&["run", "--once"]));
    let doctor = shown(&scratch, &scratch.ask(&["doctor"]));
    for (text, words) in [
        (&once, "its root does not exist: make or mount it, or take its area line out"),
        (
            &once,
            "off: /scratch/rules: No such file or directory (os error 2): install logcheck-database, or name your rules in logrules",
        ),
        (&doctor, "FAIL  area: /scratch/gone cannot be looked at: No such file or directory"),
        (&doctor, "→ create it, or take its area line out of the configuration"),
        (
            &doctor,
            "FAIL  rules: /scratch/rules: 0 rules in 0 files\n      → every line would be reported: apt install logcheck-database",
        ),
        (
            &doctor,
            "FAIL  log: /scratch/app.log is missing\n      → correct its log line, or make it a logtransient line",
        ),
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(!once.contains("is missing in every directory"), "one fault is told three times:\n{once}");
}

/// What somebody who is not root is told; he owns the configuration when `is_his`.
fn as_nobody(scratch: &Scratch, is_his: bool, arguments: &[&str]) -> Option<String> {
    let program = scratch.path("integrityd");
    if !program.exists() {
        fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(&program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    if is_his {
        chown(scratch.path("integrityd.conf"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).arg("--config");
    let output = command.arg(scratch.path("integrityd.conf")).args(arguments).stdin(Stdio::null()).output().ok()?;
    Some(format!("$ integrityd {}\n{}", arguments.join(" "), answer(&shown(scratch, &output))))
}

#[test]
fn somebody_who_is_not_root_is_told_what_needs_root() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: only root can become somebody else, by setpriv(1)");
        return;
    }
    let mut all = as_nobody(&scratch, false, &["run"]).unwrap();
    all += &as_nobody(&scratch, false, &["status"]).unwrap();
    all += &as_nobody(&scratch, true, &["run"]).unwrap();
    insta::assert_snapshot!(all);
    let doctor = as_nobody(&scratch, true, &["doctor"]).unwrap();
    let words = "warn  state directory: /scratch/state is not there yet, and this user cannot make it in /";
    assert!(doctor.contains(words), "{doctor}");
    let log = scratch.path("secret.log");
    fs::write(&log, "Nov 21 14:00:00 h app: x\n").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
    scratch.configure(&format!("mail = stdout:\nlog = {}", log.display()));
    let doctor = as_nobody(&scratch, true, &["doctor"]).unwrap();
    assert!(doctor.contains("FAIL  log: /scratch/secret.log cannot be read"), "{doctor}");
}

#[test]
fn the_example_that_the_program_prints_is_a_configuration() {
    let scratch = Scratch::new();
    for words in [&["config", "example"][..], &["config", "example", "--toml"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0));
        fs::write(scratch.path("integrityd.conf"), &output.stdout).unwrap();
        let checked = scratch.ask(&["config", "check"]);
        assert_eq!(checked.status.code(), Some(0), "{}", shown(&scratch, &checked));
    }
    let text = String::from_utf8(run(&["config", "example"]).stdout).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/integrityd.conf");
    assert_eq!(text, fs::read_to_string(shipped).unwrap());
}
