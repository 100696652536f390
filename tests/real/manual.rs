//! The manual as the real formatters take it, and the completions as a real shell does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{packages::need, support::PROGRAM};

fn pages() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man");
    let mut pages: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert_eq!(pages.len(), 3, "{pages:?}");
    pages
}

#[test]
fn man_formats_every_page_without_a_warning_in_eighty_columns() {
    if !need("man", "man-db") || !need("groff", "groff-base") {
        return;
    }
    for page in pages() {
        let output = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l"])
            .arg(&page)
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 100, "{}: {text}", page.display());
        // What is typed comes out as it is.
        for wrong in ["\u{2010}\u{2010}", "\u{2212}", "\u{2018}", "\u{02c6}", "\u{02dc}", "\\f"] {
            assert!(!text.contains(wrong), "{}: {wrong:?} in\n{text}", page.display());
        }
    }
}

#[test]
fn mandoc_finds_no_fault_with_any_page() {
    if !need("mandoc", "mandoc") {
        return;
    }
    for page in pages() {
        let output = Command::new("mandoc").arg("-Tlint").arg(&page).output().unwrap();
        let found = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && found.is_empty(), "{}", String::from_utf8_lossy(&found));
    }
}

/// What bash offers behind these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/completions/integrityd.bash");
    let last = words.len() - 1;
    let program = format!(
        "source '{}'; complete -p integrityd > /dev/null || exit 1; COMP_WORDS=({}); COMP_CWORD={last}; \
         _integrityd integrityd '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words[last],
        words[last - 1],
    );
    let output = Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(offered(&["integrityd", "stat"]), ["status"]);
    assert_eq!(offered(&["integrityd", "rules", "su"]), ["suggest"]);
    assert_eq!(offered(&["integrityd", "status", "--pro"]), ["--prometheus"]);
    assert_eq!(offered(&["integrityd", "history", "--severity", "h"]), ["high"]);
}

#[test]
fn every_shell_gets_a_script() {
    for (shell, package) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let output = Command::new(PROGRAM).args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 1000, "{shell}");
        if !need(shell, package) {
            continue;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &output.stdout).unwrap();
        let parsed = Command::new(shell).arg("-n").arg(file.path()).output().unwrap();
        assert!(parsed.status.success(), "{shell}: {}", String::from_utf8_lossy(&parsed.stderr));
    }
}
