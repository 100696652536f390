//! The tables of cron: which lines run a program that is replaced, and switching them off and on again.
//!
//! Only `/etc/crontab` and the files of `/etc/cron.d` are ever written. A line that is switched off stays where it is, behind a mark,
//! so that nothing is lost and the way back needs no memory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{
    cli::{logcheck::options::shown, terminal::output::talk},
    config::foreign::crontab::{Job, jobs, runs, switch},
};

/// No table is longer, in bytes.
const LARGEST: u64 = 1 << 20;

/// A file that runs the program.
#[derive(Debug)]
pub(in crate::cli) struct CronTable {
    pub(in crate::cli) path: PathBuf,
    /// Its lines that do; of a script none is told apart.
    pub(in crate::cli) jobs: Vec<Job>,
    /// Whether it is written by this program.
    is_ours: bool,
}

impl CronTable {
    /// `/etc/cron.d/fcheck:4`.
    pub(in crate::cli) fn place(&self, job: &Job) -> String {
        format!("{}:{}", shown(&self.path), job.line)
    }

    fn has(&self, is_off: bool) -> bool {
        self.jobs.is_empty() && !is_off || self.jobs.iter().any(|job| job.is_off == is_off)
    }
}

/// The tables and scripts below `root` that run the program called `name`.
pub(in crate::cli) fn tables(root: &Path, name: &str) -> Vec<CronTable> {
    let mut found = Vec::new();
    let mut table = |path: PathBuf, has_user: bool| {
        if let Ok(text) = read(&path) {
            let jobs = jobs(&text, name, has_user);
            if !jobs.is_empty() {
                found.push(CronTable { path, jobs, is_ours: has_user });
            }
        }
    };
    table(root.join("etc/crontab"), true);
    for path in entries(&root.join("etc/cron.d")) {
        table(path, true);
    }
    for path in entries(&root.join("var/spool/cron/crontabs")) {
        table(path, false);
    }
    for directory in ["hourly", "daily", "weekly", "monthly"] {
        for path in entries(&root.join(format!("etc/cron.{directory}"))) {
            let lines = read(&path).unwrap_or_default();
            let is_script = fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
            let is_code = |line: &&[u8]| !line.trim_ascii_start().starts_with(b"#");
            if is_script && lines.split(|byte| *byte == b'\n').filter(is_code).any(|line| runs(line, name)) {
                found.push(CronTable { path, jobs: Vec::new(), is_ours: false });
            }
        }
    }
    found
}

/// The files of a directory that cron or run-parts(8) looks at: their names hold nothing but letters, digits, `_` and `-`.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_name = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_name).collect();
    found.sort();
    found
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    crate::logs::logcheck::log_list::open_regular(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Says which lines run the program still, and what to do; gives whether any does.
pub(in crate::cli) fn tell(tables: &[CronTable], name: &str) -> bool {
    let mut runs = false;
    for table in tables.iter().filter(|table| table.has(false)) {
        let lines: Vec<String> = table.jobs.iter().filter(|job| !job.is_off).map(|job| job.line.to_string()).collect();
        let lines = if lines.is_empty() { String::new() } else { format!(", line {}", lines.join(", ")) };
        talk(&format!("cron runs {name} still: {}{lines}", shown(&table.path)));
        runs = true;
    }
    if runs {
        talk(&format!("when integrityd runs, switch it off: integrityd import {name} --disable-cron > /dev/null"));
    }
    runs
}

/// Switches the lines that run the program off, or on again, and says what was done.
///
/// # Errors
/// When a table is no plain file of its own or cannot be written; those before it are written.
pub(super) fn switch_all(tables: &[CronTable], name: &str, is_off: bool) -> anyhow::Result<()> {
    let word = if is_off { "off" } else { "on" };
    let mut is_done = false;
    for table in tables.iter().filter(|table| table.has(!is_off)) {
        let path = shown(&table.path);
        if !table.is_ours {
            let is_script = table.jobs.is_empty();
            let by_hand = if is_script { format!("chmod a-x {path}") } else { "crontab -e as its user".to_owned() };
            talk(&format!("not switched {word}, because it is somebody's own: {path}; do it by hand: {by_hand}"));
            continue;
        }
        rewrite(&table.path, |text| switch(text, name, true, is_off))?;
        let lines = table.jobs.iter().filter(|job| job.is_off != is_off).map(|job| job.line.to_string());
        talk(&format!("switched {word} in {path}: line {}", lines.collect::<Vec<_>>().join(", ")));
        is_done = true;
    }
    if !is_done {
        talk(&format!("nothing to switch {word}: no line of cron runs {name} that is not {word} already"));
    } else if is_off {
        talk(&format!("to undo that: integrityd import {name} --hand-back"));
    }
    Ok(())
}

/// Writes what `change` makes of a file in its place, whole or not at all, with its owner and mode.
fn rewrite(path: &Path, change: impl Fn(&[u8]) -> Vec<u8>) -> anyhow::Result<()> {
    let found = fs::symlink_metadata(path).with_context(|| format!("{} cannot be looked at", shown(path)))?;
    if !found.is_file() || found.nlink() != 1 {
        bail!("{} is a link or no regular file; nothing in it is changed: do it by hand", shown(path));
    }
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut text = Vec::new();
    let mut file = File::options().read(true).custom_flags(nofollow).open(path)?;
    file.read_to_end(&mut text).with_context(|| format!("{} cannot be read", shown(path)))?;
    // cron takes no file whose name has a dot.
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.integrityd"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut new| {
        let seen = file.metadata()?;
        std::os::unix::fs::fchown(&new, Some(seen.uid()), Some(seen.gid()))?;
        new.write_all(&change(&text))?;
        new.set_permissions(seen.permissions())?;
        new.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written.with_context(|| format!("{} cannot be written", shown(path)))
}
