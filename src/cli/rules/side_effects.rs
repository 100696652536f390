//! The lines of the logs that a suggested rule is not meant for: which of them would it hide too?

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;

use crate::{
    cli::{
        rules::selection::{count_of, is_meant, read_lines, shown},
        terminal::output::talk,
    },
    config::settings::config::LogGroup,
    logs::{
        pattern::{
            ast::Locale,
            matcher::{Engine, OnLimit},
            parser::parse,
        },
        suggest::suggestion::Suggestion,
    },
    tail::splitter::without_trailing_space,
};

/// So much of the end of each log is read, in bytes.
const TAIL: u64 = 1 << 20;

/// More logs are not read.
const MOST_FILES: usize = 100;

/// Other lines, each once.
pub(in crate::cli) struct Others {
    lines: Vec<Vec<u8>>,
    files: usize,
}

impl Others {
    /// The ends of the logs of all groups; what cannot be read is told and left out.
    pub(super) fn of_logs<'a>(groups: impl Iterator<Item = &'a LogGroup>, given: &[Vec<u8>]) -> Self {
        let mut files: Vec<PathBuf> = groups
            .flat_map(|group| group.files.iter().chain(&group.transient))
            .flat_map(|pattern| found(pattern))
            .collect();
        files.sort();
        files.dedup();
        files.truncate(MOST_FILES);
        let mut others = Self { lines: Vec::new(), files: 0 };
        let mut seen: HashSet<Vec<u8>> = given.iter().cloned().collect();
        for file in files {
            match tail(&file) {
                Ok(lines) => others.add(lines, &mut seen),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => talk(&format!("# not compared with {}: {error}", shown(&file))),
            }
        }
        others
    }

    /// The ends of these files.
    pub(super) fn of_files(files: &[PathBuf], given: &[Vec<u8>]) -> anyhow::Result<Self> {
        let mut others = Self { lines: Vec::new(), files: 0 };
        let mut seen: HashSet<Vec<u8>> = given.iter().cloned().collect();
        for file in files {
            let lines = tail(file).with_context(|| format!("{} cannot be read", shown(file)))?;
            others.add(lines, &mut seen);
        }
        Ok(others)
    }

    fn add(&mut self, lines: Vec<Vec<u8>>, seen: &mut HashSet<Vec<u8>>) {
        self.files += 1;
        for line in lines {
            let line = without_trailing_space(&line);
            if !line.is_empty() && seen.insert(line.to_vec()) {
                self.lines.push(line.to_vec());
            }
        }
    }

    /// For each rule the numbers of the lines it matches.
    pub(super) fn matched_by(&self, rules: &[Suggestion]) -> Vec<Vec<usize>> {
        let eres: Vec<_> = rules.iter().filter_map(|one| parse(&one.rule, Locale::Utf8).ok()).map(Arc::new).collect();
        let mut found = vec![Vec::new(); rules.len()];
        let mut engine = Engine::new(&eres, Locale::Utf8, OnLimit::Match);
        for (number, line) in self.lines.iter().enumerate() {
            if engine.any(line).is_some() {
                for rule in engine.all(line) {
                    found.get_mut(rule).into_iter().for_each(|found: &mut Vec<usize>| found.push(number));
                }
            }
        }
        found
    }

    /// Whether there is nothing to compare with.
    pub(in crate::cli) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many there are, in words.
    pub(in crate::cli) fn words(&self) -> String {
        let files = if self.files == 1 { "1 log".to_owned() } else { format!("{} logs", count_of(self.files)) };
        format!("{} other lines of {files}", count_of(self.lines.len()))
    }

    /// At most `most` of the lines, from all over them.
    pub(in crate::cli) fn some<'a>(&'a self, numbers: &'a [usize], most: usize) -> impl Iterator<Item = &'a [u8]> {
        let step = numbers.len().div_ceil(most).max(1);
        numbers.iter().step_by(step).filter_map(|number| self.lines.get(*number)).map(Vec::as_slice)
    }
}

/// The files a path or glob means; of a glob only the last component may be one.
fn found(pattern: &Path) -> Vec<PathBuf> {
    let is_glob = |text: &[u8]| text.iter().any(|byte| b"*?[{".contains(byte));
    let Some(directory) = pattern.parent().filter(|_| is_glob(pattern.as_os_str().as_encoded_bytes())) else {
        return vec![pattern.to_path_buf()];
    };
    if is_glob(directory.as_os_str().as_encoded_bytes()) {
        talk(&format!("# not compared with {}: --against FILE does", shown(pattern)));
        return Vec::new();
    }
    let Ok(entries) = directory.read_dir() else { return Vec::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|file| is_meant(pattern, file)).take(MOST_FILES).collect()
}

/// The last lines of a regular file.
fn tail(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    // Neither a FIFO nor a device is waited for.
    let found = path.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let mut file = File::open(path)?;
    let from = found.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut lines = read_lines(&mut file, usize::MAX)?;
    if from > 0 && !lines.is_empty() {
        lines.remove(0);
    }
    Ok(lines)
}
