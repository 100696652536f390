//! Every command in every situation an administrator may be in: no configuration, a wrong one, no permission, an empty database, a
//! reader that goes away, a full disk, no colour, a narrow terminal.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, copy_program, is_root, shown};

/// Every command with what makes it answer, but `try`, which takes no configuration.
const COMMANDS: &[&[&str]] = &[
    &["run", "--once"],
    &["init"],
    &["init", "--accept", "/nowhere"],
    &["check"],
    &["check", "--json"],
    &["check", "--update"],
    &["status"],
    &["status", "--json"],
    &["status", "--nagios"],
    &["status", "--prometheus"],
    &["doctor"],
    &["history"],
    &["history", "--json"],
    &["show", "1"],
    &["show", "report", "1"],
    &["queue", "list"],
    &["queue", "show", "1"],
    &["queue", "retry", "--all"],
    &["queue", "drop", "1", "--yes"],
    &["mail", "test"],
    &["verify"],
    &["explain", "/etc/passwd"],
    &["rules", "test", "/dev/null"],
    &["rules", "test", "--json", "/etc/passwd"],
    &["rules", "lint", "--rules", "/usr"],
    &["rules", "unused"],
    &["rules", "suggest", "--rules", "/usr", "one line"],
    &["config", "check"],
    &["config", "show"],
    &["config", "convert"],
    &["config", "example"],
    &["man", "integrityd-rules"],
    &["completions", "bash"],
];

fn command(scratch: &Scratch, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(scratch.path("integrityd.conf")).args(arguments).stdin(Stdio::null());
    command.env("COLUMNS", "60").env("NO_COLOR", "1").env("TERM", "xterm-256color");
    command
}

/// Exit code and first line of each command, to be compared as a whole; no command panics or says nothing. What `status` and `doctor`
/// say depends on the machine and the user: of them only the form.
fn answers(scratch: &Scratch, run: impl Fn(&[&str]) -> Output) -> String {
    let mut all = String::new();
    for arguments in COMMANDS {
        let output = run(arguments);
        let text = shown(scratch, &output);
        assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{arguments:?}: {text}");
        assert!(!text.contains('\x1b'), "{arguments:?} colours: {text}");
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let first = String::from_utf8_lossy(said).lines().next().unwrap_or("(nothing)").to_owned();
        if ["status", "doctor"].contains(&arguments[0]) {
            continue;
        }
        let first = first.replace(&scratch.path("").display().to_string(), "/scratch/");
        all += &format!("{:<24} {:>3}  {first}\n", arguments.join(" "), output.status.code().unwrap());
    }
    all
}

#[test]
fn without_a_configuration() {
    let scratch = Scratch::new();
    insta::assert_snapshot!(answers(&scratch, |arguments| command(&scratch, arguments).output().unwrap()));
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1, "something was made");
}

#[test]
fn with_a_wrong_configuration() {
    let scratch = Scratch::new();
    scratch.configure("filerat = 2\nreporttime = soon");
    insta::assert_snapshot!(answers(&scratch, |arguments| command(&scratch, arguments).output().unwrap()));
    assert!(!scratch.path("state").exists(), "something was started");
}

#[test]
fn with_a_configuration_and_no_database_yet() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let before: &[&[&str]] = &[
        &["check"],
        &["check", "--update"],
        &["status"],
        &["status", "--nagios"],
        &["status", "--prometheus"],
        &["history"],
        &["show", "1"],
        &["show", "report", "1"],
        &["queue", "list"],
        &["queue", "retry", "--all"],
        &["queue", "drop", "1", "--yes"],
        &["verify"],
    ];
    let mut all = String::new();
    for arguments in before {
        let output = command(&scratch, arguments).output().unwrap();
        let text = shown(&scratch, &output);
        all += &format!("$ integrityd {}\n{text}", arguments.join(" "));
        assert!(!scratch.path("state").exists(), "{arguments:?} has made a database");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn with_an_empty_database() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    // Away, so that nothing has ever been found.
    fs::remove_dir_all(scratch.path("state")).unwrap();
    fs::create_dir(scratch.path("state")).unwrap();
    fs::set_permissions(scratch.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(scratch.database(), "").unwrap();
    for arguments in COMMANDS.iter().filter(|words| !["run", "init"].contains(&words[0])) {
        let output = command(&scratch, arguments).output().unwrap();
        let text = shown(&scratch, &output);
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
        assert_eq!(fs::metadata(scratch.database()).unwrap().len(), 0, "{arguments:?} has written to it");
    }
}

/// The program where everybody may run it, beside a configuration and a state that only root may read.
fn for_everybody(scratch: &Scratch) -> PathBuf {
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    let program = scratch.path("integrityd");
    copy_program(&program);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn without_permission() {
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: only root can become somebody else, by setpriv(1)");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    let program = for_everybody(&scratch);
    insta::assert_snapshot!(answers(&scratch, |arguments| {
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .arg("--config")
            .arg(scratch.path("integrityd.conf"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }));
}

/// A configuration, a baseline, something that differs and a report in the queue.
fn lived_in() -> Scratch {
    let scratch = Scratch::new();
    scratch.configure("mail = smtp://127.0.0.1:9");
    (0..300).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "x").unwrap());
    assert!(!scratch.ask(&["run", "--once"]).status.success());
    (0..300).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "other").unwrap());
    scratch
}

#[test]
fn when_the_reader_goes_away() {
    let scratch = lived_in();
    for arguments in COMMANDS.iter().filter(|words| words[0] != "run" && !words.contains(&"drop")) {
        let script = "\"$@\" | true; exit ${PIPESTATUS[0]}";
        let output = Command::new("bash")
            .args(["-c", script, "bash", PROGRAM, "--config"])
            .arg(scratch.path("integrityd.conf"))
            .args(*arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!talk.contains("panicked") && !talk.contains("roken pipe"), "{arguments:?}: {talk}");
        // Killed by SIGPIPE or any other signal would be 128 and more.
        assert!(output.status.code().unwrap() < 128, "{arguments:?}");
    }
}

#[test]
fn when_what_is_printed_cannot_be_written() {
    if !std::path::Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full");
        return;
    }
    let scratch = lived_in();
    for arguments in [
        &["check"][..],
        &["status"],
        &["history"],
        &["queue", "list"],
        &["config", "show"],
        &["verify"],
        &["rules", "test", "/etc/passwd"],
        &["rules", "lint", "--rules", "/usr"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(&scratch, arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {talk}");
        assert!(talk.contains("No space left"), "{arguments:?}: {talk}");
    }
}

#[test]
fn without_colour_and_at_sixty_columns() {
    let scratch = lived_in();
    for arguments in COMMANDS.iter().filter(|words| words[0] != "run" && !words.contains(&"drop")) {
        let output = command(&scratch, arguments).output().unwrap();
        let text = shown(&scratch, &output);
        assert!(!text.contains('\x1b'), "{arguments:?}: {text}");
    }
    // Our own layout keeps to the width; paths and what others say are never cut off by it.
    let status = command(&scratch, &["status"]).output().unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    let own = text.lines().filter(|line| !line.contains("/tmp") && !line.contains("last answer"));
    for line in own {
        assert!(line.chars().count() <= 60, "{line}\n{text}");
    }
    for name in
        ["run", "init", "check", "status", "doctor", "history", "queue", "mail", "explain", "config", "verify", "rules"]
    {
        let help = command(&scratch, &[name, "--help"]).output().unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{name}: {text}");
    }
}
