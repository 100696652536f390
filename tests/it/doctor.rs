//! `doctor` as an administrator meets it: on nothing, on faults, without permission, on a mail server that is away.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, sink::Sink, wait_for};

fn text(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_form(&text);
    text
}

/// One line a check, and below every warn and FAIL what to do.
fn assert_form(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let has_remedy = lines.get(place + 1).is_some_and(|next| next.starts_with("      → "));
        match line.get(..6) {
            Some("ok    ") => assert!(!has_remedy, "{text}"),
            Some("warn  " | "FAIL  ") => assert!(has_remedy, "{line}\n{text}"),
            _ => assert!(line.starts_with("      → "), "{line}\n{text}"),
        }
    }
}

#[test]
fn without_a_configuration_it_is_78_and_the_rest_is_checked_all_the_same() {
    let scratch = Scratch::new();
    let output = scratch.ask(&["doctor"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    for words in ["FAIL  configuration: ", "integrityd.conf cannot be read", "ok    kernel: ", "mail: ", "limits: "] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn each_fault_has_its_line_and_its_remedy() {
    let scratch = Scratch::new();
    scratch.configure("filerat = 2\nreporttime = soon");
    let output = scratch.ask(&["doctor"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert_eq!(text.matches("FAIL  configuration: ").count(), 2, "{text}");
    assert!(text.contains("integrityd.conf:5: ") && text.contains("ok    kernel: "), "{text}");
}

#[test]
fn a_machine_that_works_is_0_and_only_reads() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    (0..9).for_each(|number| fs::write(scratch.tree().join(format!("f{number}")), "12345").unwrap());
    scratch.configure(&format!("filerate = 0.5\n{}", sink.setting()));
    let output = scratch.ask(&["doctor"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("ok    area: {}: 10 entries, 45 B; a round takes about 30 s", scratch.tree().display())),
        "{text}"
    );
    assert!(text.contains(&format!("ok    mail: 127.0.0.1:{} answers \"220 sink ESMTP\"", sink.port)), "{text}");
    assert!(text.contains("state is not there yet") && !scratch.path("state").exists(), "{text}");
    assert!(sink.mails().is_empty());
    let json = scratch.ask(&["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let checks = json["checks"].as_array().unwrap();
    assert!(
        checks.len() > 8 && checks.iter().all(|check| check["result"] != "fail" && check["what"].is_string()),
        "{json}"
    );
    let daemon = scratch.start();
    wait_for("the daemon", || scratch.ask(&["status"]).status.code() == Some(0));
    let text = self::text(&scratch.ask(&["doctor"]));
    assert!(text.contains("ok    daemon: running") && text.contains("ok    database: "), "{text}");
    assert!(daemon.stop().success());
}

#[test]
fn what_does_not_work_is_1_with_what_to_do() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    scratch.configure(&format!(
        "area = {}\nareamaxage = 1m\nmail = smtp://127.0.0.1:{port}",
        scratch.path("gone").display()
    ));
    let output = scratch.ask(&["doctor"]);
    let found = text(&output);
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains(&format!("FAIL  mail: 127.0.0.1:{port} does not answer: Connection refused")), "{found}");
    assert!(found.contains("FAIL  area: ") && found.contains("gone cannot be looked at"), "{found}");
    let outbox = scratch.path("nobody/outbox").display().to_string();
    scratch.configure(&format!("mail = file:{outbox}"));
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o622)).unwrap();
    fs::create_dir(scratch.path("state")).unwrap();
    fs::set_permissions(scratch.path("state"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(scratch.database(), "no database at all, but long enough to be looked at").unwrap();
    let found = text(&scratch.ask(&["doctor"]));
    for words in [
        "FAIL  configuration: ",
        "→ chmod go-w ",
        "FAIL  state directory: ",
        "FAIL  database: ",
        &format!("FAIL  mail: {outbox} is no directory"),
    ] {
        assert!(found.contains(words), "{words} in\n{found}");
    }
}

#[test]
fn an_ordinary_user_is_told_what_needs_root() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    if !rustix::process::geteuid().is_root() {
        println!("it needs root to become somebody else");
        return;
    }
    let program = scratch.path("integrityd");
    fs::copy(PROGRAM, &program).unwrap();
    for (path, mode) in [(scratch.path(""), 0o755), (program.clone(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let as_nobody = |config: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).arg("--config");
        command.arg(scratch.path(config)).arg("doctor").stdin(Stdio::null()).output()
    };
    let Ok(output) = as_nobody("integrityd.conf") else {
        println!("setpriv(1) is not there");
        return;
    };
    let found = text(&output);
    assert!(found.contains("warn  user: uid 65534") && found.contains("cannot be read by this user"), "{found}");
    assert!(found.contains("→ it needs root: sudo integrityd doctor"), "{found}");
    // A configuration he can read, over a tree that he cannot.
    fs::write(scratch.tree().join("secret"), "x").unwrap();
    fs::set_permissions(scratch.tree().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(scratch.path("integrityd.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    let found = text(&as_nobody("integrityd.conf").unwrap());
    assert!(found.contains("1 cannot be read by this user, such as ") && found.contains("/secret"), "{found}");
}
