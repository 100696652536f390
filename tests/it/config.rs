//! `config show` and `config convert`, as an administrator meets them.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::support::{PROGRAM, Scratch, shown};

const WRITTEN: &str = "# Web server in the cellar.

email = root
database = /tmp/none.sqlite  # not here
mail = smtp://joe@mx.example.org
mailpasswordfile = SCRATCH/password

# left over

area = /etc
areaattributes = -inode
# changes by itself
exclude = /etc/mtab
exclude = /var/x
area = /srv/
arearecurse = no
exclude = /srv/*/cache  # large
logrules = paranoid
log = journal
log = /var/log/syslog
pidct = web
pidfile = /run/a.pid
pidct = 0
pidfile = /run/b.pid
reporttime = 60
";

fn written(scratch: &Scratch) {
    let secret = scratch.path("password");
    fs::write(&secret, "s3cret-of-joe").unwrap();
    let text = WRITTEN.replace("SCRATCH", scratch.path("").to_str().unwrap().trim_end_matches('/'));
    fs::write(scratch.path("integrityd.conf"), text).unwrap();
}

/// The settings in `text`, each without its source.
fn values(scratch: &Scratch, text: &[u8], name: &str) -> Vec<String> {
    fs::write(scratch.path(name), text).unwrap();
    let output = scratch.ask(&["config", "show", "--json", scratch.path(name).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let settings = lines.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{} {} {} {}", line["table"], line["item"], line["area"], line["value"])
    });
    settings.collect()
}

#[test]
fn every_setting_is_shown_with_its_source_and_can_be_loaded_again() {
    let scratch = Scratch::new();
    written(&scratch);
    let output = scratch.ask(&["config", "show"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("s3cret"));
    insta::assert_snapshot!("config_show_legacy", shown(&scratch, &output));
    let before = values(&scratch, &fs::read(scratch.path("integrityd.conf")).unwrap(), "a.conf");
    assert_eq!(values(&scratch, &output.stdout, "b.conf"), before);
}

#[test]
fn a_converted_configuration_means_the_same() {
    let scratch = Scratch::new();
    written(&scratch);
    let output = scratch.ask(&["config", "convert"]);
    insta::assert_snapshot!("config_convert", shown(&scratch, &output));
    fs::write(scratch.path("c.toml"), &output.stdout).unwrap();
    let toml = scratch.path("c.toml");
    let shown_toml = scratch.ask(&["config", "show", toml.to_str().unwrap()]);
    insta::assert_snapshot!("config_show_toml", shown(&scratch, &shown_toml));
    let again = scratch.ask(&["config", "convert", toml.to_str().unwrap()]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(64), 0));
    assert!(String::from_utf8_lossy(&again.stderr).contains("in the TOML form already"));
}

#[test]
fn what_is_wrong_or_cannot_be_read_is_told_as_by_check() {
    let scratch = Scratch::new();
    fs::write(scratch.path("integrityd.conf"), "aera = /etc\nreporttime = soon\n").unwrap();
    let wanted = scratch.ask(&["config", "check"]).stderr;
    for command in ["show", "convert"] {
        let output = scratch.ask(&["config", command]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{command}");
        assert_eq!(output.stderr, wanted, "{command}");
        let missing = scratch.ask(&["config", command, "/nowhere/x.conf"]);
        assert_eq!(missing.status.code(), Some(78), "{command}");
        assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/x.conf cannot be read"), "{command}");
    }
}

#[test]
fn a_reader_of_settings_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    let areas: String = (0..5000).map(|number| format!("area = /srv/{number}\n")).collect();
    fs::write(scratch.path("integrityd.conf"), areas).unwrap();
    for command in ["show", "convert"] {
        let script = format!(
            "{PROGRAM} --config {} config {command} | head -1; echo ${{PIPESTATUS[0]}}",
            scratch.path("integrityd.conf").display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"), "{command}");
    }
}

#[test]
fn a_path_that_is_no_text_is_shown_byte_by_byte_to_a_program_only() {
    let scratch = Scratch::new();
    fs::write(scratch.path("integrityd.conf"), b"area = /srv/\xff\x1b[2J\n").unwrap();
    let output = scratch.ask(&["config", "show"]);
    let wanted = b"area = /srv/\xff\x1b[2J  #";
    assert!(output.stdout.windows(wanted.len()).any(|bytes| bytes == wanted));
    let json = scratch.ask(&["config", "show", "--json"]);
    assert!(json.stdout.iter().all(|byte| *byte == b'\n' || (b' '..0x7f).contains(byte)));
    // Where there is no script(1), there is no terminal for a test.
    if !Path::new("/usr/bin/script").exists() {
        return;
    }
    let text = String::from_utf8(on_terminal(&scratch).stdout).unwrap();
    assert!(text.contains(r"area = /srv/\xff\x1b[2J"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// What `config show` prints where its standard output is a terminal.
fn on_terminal(scratch: &Scratch) -> Output {
    let command = format!("{PROGRAM} --config {} config show", scratch.path("integrityd.conf").display());
    Command::new("/usr/bin/script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap()
}
