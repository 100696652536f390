//! Debian packages that tests need.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Whether there is such a program, or a file at such an absolute path.
fn has(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes sure that `program` from `package`, or a file of it by its absolute path, is there; installs it as root. `false`, said aloud, when it cannot be had.
pub(crate) fn need(program: &str, package: &str) -> bool {
    if has(program) {
        return true;
    }
    let quiet = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let install = ["install", "-y", "--no-install-recommends", package];
    if !quiet(&install) {
        quiet(&["update"]);
        quiet(&install);
    }
    let is_there = has(program);
    if !is_there {
        println!("skipped: {program} (package {package}) is not there and cannot be installed");
    }
    is_there
}
