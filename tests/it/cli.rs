//! The commands as an administrator meets them: words, exit codes, and what they leave alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, overwrite, put, shown, wait_for};

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env("COLUMNS", "100").stdin(Stdio::null()).output().unwrap()
}

#[test]
fn help_is_a_screen() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    insta::assert_snapshot!("help", String::from_utf8(help.stdout).unwrap());
    let commands = [
        "run",
        "try",
        "init",
        "check",
        "status",
        "doctor",
        "history",
        "show",
        "queue",
        "mail",
        "verify",
        "explain",
        "rules",
        "config",
        "logcheck",
        "man",
        "completions",
        "import",
    ];
    let mut all = String::new();
    for command in commands {
        for words in [&[command, "--help"][..], &[command, "-h"]] {
            let output = run(words);
            assert_eq!(output.status.code(), Some(0), "{words:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            if words[1] == "--help" {
                all += &format!("$ integrityd {command} --help\n{text}\n");
            }
        }
    }
    insta::assert_snapshot!("help_of_commands", all);
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [&["rnu"][..], &[], &["history", "--since"], &["show", "x"], &["status", "--wrong"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn four_mistakes_are_four_faults_and_nothing_is_started() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    fs::write(
        scratch.path("integrityd.conf"),
        format!(
            "email = root@example.org\ndatabase = {}\narea = {}\nfilerat = 2\nreporttime = soon\nexclude = etc/mtab\nbyterate = 99T\n",
            scratch.database().display(),
            tree.display()
        ),
    )
    .unwrap();
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    let started = scratch.ask(&["run"]);
    assert_eq!(started.status.code(), Some(78));
    assert!(!scratch.path("state").exists(), "something was started");
    insta::assert_snapshot!("four_faults_legacy", shown(&scratch, &scratch.ask(&["config", "check"])));
    fs::write(
        scratch.path("integrityd.conf"),
        format!(
            "email = [\"root@example.org\"]\ndatabase = \"{}\"\n[rates]\nfilerat = 2\nbyterate = \"99T\"\n[report]\nreporttime = \"soon\"\n[[area]]\npath = \"{}\"\nexclude = [\"etc/mtab\"]\n",
            scratch.database().display(),
            tree.display()
        ),
    )
    .unwrap();
    insta::assert_snapshot!("four_faults_toml", shown(&scratch, &scratch.ask(&["config", "check"])));
    assert_eq!(scratch.ask(&["run"]).status.code(), Some(78));
    assert!(!scratch.path("state").exists(), "something was started");
}

#[test]
fn questions_without_an_answer_say_what_to_do() {
    let scratch = Scratch::new();
    let mut all = String::new();
    for arguments in [&["status"][..], &["history"], &["run"]] {
        all += &format!("$ integrityd {}\n{}", arguments.join(" "), shown(&scratch, &scratch.ask(arguments)));
    }
    scratch.configure("mail = stdout:");
    for arguments in [&["status"][..], &["history"], &["show", "1"], &["verify"]] {
        all += &format!("$ integrityd {}\n{}", arguments.join(" "), shown(&scratch, &scratch.ask(arguments)));
    }
    insta::assert_snapshot!("no_answer", all);
}

#[test]
fn try_tells_of_one_change_of_each_kind_in_one_mail_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    (0..50).for_each(|number| fs::write(tree.join(format!("f{number}")), "content").unwrap());
    fs::create_dir(tree.join("target")).unwrap();
    fs::write(tree.join("target/built"), "x").unwrap();
    fs::write(scratch.path("app.log"), "Nov 21 14:00:00 h app: from before\n").unwrap();
    let out = fs::File::create(scratch.path("out")).unwrap();
    let err = fs::File::create(scratch.path("err")).unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("try")
        .arg(&tree)
        .args(["--for", "20m", "--log"])
        .arg(scratch.path("app.log"))
        .env("XDG_STATE_HOME", scratch.path("xdg"))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .unwrap();
    let read = |name: &str| fs::read_to_string(scratch.path(name)).unwrap();
    wait_for("the baseline", || read("err").contains("baseline stands"));
    assert!(read("err").contains("left out:") && read("err").contains("/target"), "{}", read("err"));
    // Past the mail about the baseline itself, so that the changes are the only news.
    wait_for("the first mail", || read("out").contains("baseline established"));
    overwrite(&tree.join("f3"), "changed");
    put(&tree.join("new"), "new");
    fs::remove_file(tree.join("f4")).unwrap();
    fs::write(tree.join("target/built"), "y").unwrap();
    overwrite(&scratch.path("app.log"), "Nov 21 14:00:00 h app: from before\nNov 21 14:02:11 h app: a strange thing\n");
    wait_for("the changes", || read("out").contains("3 changes to review"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    let text = read("out");
    let about_files = text.lines().filter(|line| {
        line.starts_with("Subject: ") && !["log", "event:", "about rules"].iter().any(|word| line.contains(word))
    });
    assert_eq!(about_files.count(), 2, "{text}");
    assert_eq!(text.matches("      Nov 21 14:02:11 h app: a strange thing").count(), 1, "{text}");
    assert!(!text.contains("from before"), "{text}");
    for path in ["/f3 ", "/new ", "/f4 "] {
        assert_eq!(text.matches(path).count(), 1, "{path} in {text}");
    }
    assert!(!text.contains("built"), "{text}");
    let left: Vec<_> = fs::read_dir(scratch.path("xdg")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["integrityd"]);
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 51);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    scratch.configure("filerate = 2000\nmail = stdout:");
    (0..500).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "x").unwrap());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    (0..500).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "other").unwrap());
    wait_for("the changes", || scratch.history().len() > 400);
    assert!(daemon.stop().success());
    let script = format!(
        "{PROGRAM} --config {} history | head -1; echo ${{PIPESTATUS[0]}}",
        scratch.path("integrityd.conf").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"));
}

#[test]
fn every_shipped_configuration_is_free_of_faults() {
    for name in ["integrityd.conf", "integrityd.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(name);
        let output = run(&["config", "check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
