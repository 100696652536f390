//! Which logs are checked: `logcheck.logfiles` and what its patterns find.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

use globset::GlobBuilder;
use rustix::fs::OFlags;

use crate::logs::{logcheck::sort::is_blank, pattern::ast::Locale};

/// No list is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Most logs that patterns may find.
const MOST: usize = 10_000;

/// The word for the journal.
const JOURNAL: &[u8] = b"journal";

/// Something to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedLog {
    /// A file.
    File(PathBuf),
    /// The systemd journal.
    Journal,
}

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} does not exist or cannot be read", path.display())]
pub struct ListError {
    /// Which.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Opens a regular file to read it; a pipe makes nobody wait.
///
/// # Errors
/// Those of `open(2)`; `InvalidInput` when it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// The logs of `file` and of all `*.logfiles` in `directory`, each once, in their order.
///
/// # Errors
/// [`ListError`] when a list cannot be read; a missing directory has none.
pub fn logs(file: &Path, directory: &Path, locale: Locale) -> Result<Vec<ListedLog>, ListError> {
    let mut found: Vec<ListedLog> = Vec::new();
    for path in lists(file, directory) {
        for log in entries(&read(&path)?, locale).into_iter().flat_map(|entry| named(&entry)) {
            if !found.contains(&log) {
                found.push(log);
            }
        }
    }
    Ok(found)
}

/// The entries of `file` and of all `*.logfiles` in `directory` as they stand there, each with the list it stands in; and which lists
/// cannot be read. A missing directory has none.
pub fn entries_of(file: &Path, directory: &Path, locale: Locale) -> (Vec<(PathBuf, Vec<u8>)>, Vec<ListError>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for path in lists(file, directory) {
        match read(&path) {
            Ok(text) => found.extend(entries(&text, locale).into_iter().map(|entry| (path.clone(), entry))),
            Err(error) => unread.push(error),
        }
    }
    (found, unread)
}

/// `file`, and all `*.logfiles` in `directory`.
fn lists(file: &Path, directory: &Path) -> Vec<PathBuf> {
    let mut lists = vec![file.to_owned()];
    lists.extend(expand(&[directory.as_os_str().as_bytes(), b"/*.logfiles"].concat(), directory.components().count()));
    lists
}

fn read(path: &Path) -> Result<Vec<u8>, ListError> {
    let mut text = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    read.map_err(|source| ListError { path: path.to_owned(), source })?;
    Ok(text)
}

/// The entries of a list: one a line; a backspace parts them too, as it does in logcheck(8).
fn entries(text: &[u8], locale: Locale) -> Vec<Vec<u8>> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| line.first() != Some(&b'#') && !is_blank(line, locale))
        .flat_map(|line| line.split(|byte| *byte == 0x08))
        .filter(|entry| !entry.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn named(entry: &[u8]) -> Vec<ListedLog> {
    if entry == JOURNAL {
        return vec![ListedLog::Journal];
    }
    if has_glob(entry) {
        return expand(entry, 0).into_iter().map(ListedLog::File).collect();
    }
    vec![ListedLog::File(PathBuf::from(OsString::from_vec(entry.to_vec())))]
}

fn has_glob(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// What a pattern of bash(1) finds, in the order of the bytes; its first `plain` components are no patterns.
fn expand(pattern: &[u8], plain: usize) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for (number, part) in Path::new(OsStr::from_bytes(pattern)).components().enumerate() {
        let part = part.as_os_str();
        if number < plain || !has_glob(part.as_bytes()) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        found = found.iter().flat_map(|directory| matches(directory, part.as_bytes())).take(MOST).collect();
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found
}

/// The names in `directory` that `pattern` finds; none that is hidden unless the pattern says so.
fn matches(directory: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let Ok(pattern) = str::from_utf8(pattern) else { return Vec::new() };
    // Braces mean nothing here.
    let escaped = pattern.replace('{', "[{]").replace('}', "[}]");
    let Ok(glob) = GlobBuilder::new(&escaped).literal_separator(true).backslash_escape(true).build() else {
        return Vec::new();
    };
    let matcher = glob.compile_matcher();
    let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let is_shown = |name: &OsString| !name.as_bytes().starts_with(b".") || pattern.starts_with('.');
    let mut names: Vec<OsString> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| is_shown(name) && matcher.is_match(Path::new(name)))
        .collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_name_nothing_and_blanks_belong_to_names() {
        let text = b"# no\n\n \t\r\n/a b \n #odd\n/c\x08/d\njournal\n";
        let found = entries(text, Locale::C);
        let shown: Vec<&[u8]> = found.iter().map(Vec::as_slice).collect();
        assert_eq!(shown, [&b"/a b "[..], b" #odd", b"/c", b"/d", b"journal"]);
    }

    #[test]
    fn patterns_find_what_bash_finds_and_nothing_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["b.log", "a.log", ".c.log", "a.txt", "x{y}.log"] {
            fs::write(path(name), "").unwrap();
        }
        fs::create_dir(path("lists[1]")).unwrap();
        let root = scratch.path().display();
        fs::write(path("list"), format!("{root}/missing\n{root}/*.log\n{root}/a.log\n{root}/none*\njournal\n"))
            .unwrap();
        fs::write(path("lists[1]/more.logfiles"), format!("{root}/[!b].t?t\n{root}/x{{y}}.*\n")).unwrap();
        fs::write(path("lists[1]/.hidden.logfiles"), "/never\n").unwrap();
        let found = logs(&path("list"), &path("lists[1]"), Locale::C).unwrap();
        let wanted = ["missing", "a.log", "b.log", "x{y}.log"].map(|name| ListedLog::File(path(name)));
        let mut wanted = wanted.to_vec();
        wanted.extend([ListedLog::Journal, ListedLog::File(path("a.txt"))]);
        assert_eq!(found, wanted);
        assert!(logs(&path("none"), &path("lists"), Locale::C).is_err());
        assert_eq!(logs(&path("a.log"), &path("none"), Locale::C).unwrap(), []);
    }
}
