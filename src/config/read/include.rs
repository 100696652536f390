//! Reads a configuration file and those it includes.
//!
//! Each file stands for itself: it is in the form of the file that includes it, and its area lines belong to itself. Depth and
//! number of files are bounded, and a file is read once, whoever includes it.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    rc::Rc,
};

use walkdir::WalkDir;

use crate::config::{
    read::{
        item::{ConfigItem, ConfigPlace, Findings},
        legacy,
        syntax::{ConfigSyntax, detect},
        toml,
        value::{Value, read},
    },
    schema::fault::{ConfigProblem, Fault, show_path},
    settings::exclude::{compile, is_glob},
};

/// Includes within includes, at most so deep.
const DEEPEST: usize = 8;
/// At most so many files.
const MOST_FILES: usize = 256;
/// A configuration file has at most so many bytes.
const LARGEST: u64 = 4 << 20;

/// Where included files are read from.
#[derive(Debug, Clone)]
pub enum Files {
    /// The file system.
    Disk,
    /// These, and no others.
    Memory(BTreeMap<PathBuf, Vec<u8>>),
}

impl Files {
    /// The content of the regular file `path`.
    ///
    /// # Errors
    /// What the system says; also when it is no regular file (reading a FIFO would never end) or above 4 MiB.
    pub(in crate::config) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(files) => files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
            Self::Disk => {
                let metadata = fs::metadata(path)?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                if !metadata.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
                }
                if metadata.len() > LARGEST {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
                }
                fs::read(path)
            }
        }
    }

    /// The files that `pattern` matches, sorted; hidden ones are left out, as a shell does.
    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        let Ok(glob) = compile(pattern) else {
            return Vec::new();
        };
        let glob = glob.compile_matcher();
        let mut found: Vec<PathBuf> = match self {
            Self::Memory(files) => files.keys().filter(|path| glob.is_match(path)).cloned().collect(),
            Self::Disk => on_disk(pattern, |entry| entry.path().is_file()).take(MOST_FILES + 1).collect(),
        };
        found.sort();
        found
    }

    /// What tells whether two paths are the same file.
    fn identity(&self, path: &Path) -> PathBuf {
        match self {
            Self::Memory(_) => path.to_path_buf(),
            Self::Disk => fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()),
        }
    }
}

/// What exists and matches the glob `pattern`, of that which is `wanted`, in no order; hidden names are left out, as a shell does.
pub fn on_disk(pattern: &Path, wanted: impl Fn(&walkdir::DirEntry) -> bool) -> impl Iterator<Item = PathBuf> {
    let glob = compile(pattern).ok().map(|glob| glob.compile_matcher());
    let fixed = |part: &std::path::Component<'_>| !is_glob(part.as_os_str().as_encoded_bytes());
    let root: PathBuf = pattern.components().take_while(fixed).collect();
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    // No deeper than the pattern goes: `/*/x` must not walk the whole machine.
    let below = pattern.components().count().saturating_sub(root.components().count());
    let is_endless = pattern.as_os_str().as_encoded_bytes().windows(2).any(|pair| pair == b"**");
    WalkDir::new(root)
        .max_depth(if is_endless { DEEPEST } else { below })
        .into_iter()
        .filter_entry(move |entry| entry.depth() == 0 || !is_hidden(entry.path()))
        .filter_map(Result::ok)
        .filter(move |entry| glob.as_ref().is_some_and(|glob| glob.is_match(entry.path())) && wanted(entry))
        .map(walkdir::DirEntry::into_path)
}

/// Everything that the main file and its includes hold, file after file.
#[derive(Debug)]
pub(in crate::config) struct Gathered {
    pub(in crate::config) items: Vec<ConfigItem>,
    /// The files in the order they were read.
    pub(in crate::config) files: Vec<PathBuf>,
    /// What stands in them.
    pub(in crate::config) texts: Vec<Vec<u8>>,
    /// The form of them all.
    pub(in crate::config) form: ConfigSyntax,
}

/// A file that waits to be read.
struct WaitingFile {
    path: PathBuf,
    /// The include line.
    place: ConfigPlace,
    /// The files that lead to it, the main file first.
    chain: Vec<PathBuf>,
}

/// Reads `text`, the content of `path`, and all that it includes.
pub(in crate::config) fn gather(path: &Path, text: &[u8], files: &Files, findings: &mut Findings) -> Gathered {
    let form = detect(text).unwrap_or(ConfigSyntax::Legacy);
    let mut gathered = Gathered { items: Vec::new(), files: Vec::new(), texts: Vec::new(), form };
    let mut seen = vec![files.identity(path)];
    let mut waiting: VecDeque<WaitingFile> = VecDeque::new();
    let mut add =
        |path: &Path, text: &[u8], chain: &[PathBuf], waiting: &mut VecDeque<WaitingFile>, findings: &mut Findings| {
            let file: Rc<Path> = Rc::from(path);
            let items = match form {
                ConfigSyntax::Legacy => legacy::read(text, &file, findings),
                ConfigSyntax::Toml => toml::read(text, &file, findings),
            };
            for item in items.iter().filter(|item| item.key.name == "include") {
                waiting.extend(targets(item, chain, files));
            }
            gathered.files.push(path.to_path_buf());
            gathered.texts.push(text.to_vec());
            gathered.items.extend(items);
        };
    let chain = seen.clone();
    add(path, text, &chain, &mut waiting, findings);
    while let Some(next) = waiting.pop_front() {
        let identity = files.identity(&next.path);
        if let Err(problem) = admit(&next, &identity, &seen) {
            findings.faults.push(next.place.fault(problem));
            continue;
        }
        if seen.contains(&identity) {
            let what = format!("`{}` is included already", show_path(&next.path));
            findings.notice(&next.place, what, "one line is enough");
            continue;
        }
        let mut chain = next.chain;
        chain.push(identity.clone());
        seen.push(identity);
        match files.read(&next.path) {
            Ok(text) => match detect(&text) {
                Some(other) if other != form => findings.faults.push(wrong_form(&next.path, form, other)),
                _ => add(&next.path, &text, &chain, &mut waiting, findings),
            },
            Err(error) => {
                let what = format!("`{}` cannot be read ({error})", show_path(&next.path));
                findings.fault(&next.place, what, "create it, or take the line away; a glob may match nothing");
            }
        }
    }
    gathered
}

/// The files that one include line names.
fn targets(item: &ConfigItem, chain: &[PathBuf], files: &Files) -> Vec<WaitingFile> {
    // A value that is no path becomes a fault with all other values.
    let Ok((Value::Path(pattern), _)) = read(item.key, &item.value) else {
        return Vec::new();
    };
    let is_literal = !is_glob(pattern.as_os_str().as_encoded_bytes());
    let paths = if is_literal { vec![pattern] } else { files.expand(&pattern) };
    paths.into_iter().map(|path| WaitingFile { path, place: item.place.clone(), chain: chain.to_vec() }).collect()
}

/// Whether another file may be read.
fn admit(next: &WaitingFile, identity: &PathBuf, seen: &[PathBuf]) -> Result<(), ConfigProblem> {
    let shown = show_path(&next.path);
    if next.chain.contains(identity) {
        return Err(ConfigProblem::new(format!("`{shown}` includes itself"), "take one of the include lines away"));
    }
    if next.chain.len() > DEEPEST {
        return Err(ConfigProblem::new(
            format!("`{shown}` is included too deep"),
            "8 includes within each other are allowed",
        ));
    }
    if seen.len() >= MOST_FILES {
        return Err(ConfigProblem::new(format!("`{shown}` is one file too many"), "256 files are allowed"));
    }
    Ok(())
}

fn wrong_form(path: &Path, form: ConfigSyntax, other: ConfigSyntax) -> Fault {
    Fault {
        file: path.to_path_buf(),
        line: None,
        what: format!("in {} form, but included by a file in {} form", other.name(), form.name()),
        hint: "write all files in the same form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::config::{LoadError, load, parse, schema::fault::Faults};

    fn memory(files: &[(&str, &str)]) -> Files {
        Files::Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn includes_are_read_once_and_stand_for_themselves() {
        let files = memory(&[
            ("/c/a.conf", "area = /a\ninclude = /c/b.conf\n"),
            ("/c/b.conf", "areahash = sha256\n"),
            ("/c/.hidden", "nonsense\n"),
        ]);
        let main = Path::new("/c/main");
        let error = parse(main, b"area = /m\ninclude = /c/*.conf\n", &files).unwrap_err();
        insta::assert_snapshot!(error.to_string(), @r#"/c/b.conf:1: `areahash` belongs to no area: write it after the area line it is meant for"#);
        let error = parse(main, b"include = /c/none\ninclude = /none/*\ninclude = rel\n", &files).unwrap_err();
        insta::assert_snapshot!(error.to_string(), @r#"
            /c/main:1: `/c/none` cannot be read (entity not found): create it, or take the line away; a glob may match nothing
            /c/main:3: `rel` is no absolute path: start it with a /
            "#);
        let files = memory(&[("/c/a.conf", "area = /a\nreporttime = 1\n"), ("/c/t.conf", "[[area]]\npath = \"/b\"\n")]);
        let error = parse(main, b"reporttime = 2\ninclude = /c/*.conf\n", &files).unwrap_err();
        insta::assert_snapshot!(error.to_string(), @r#"
            /c/a.conf:2: `reporttime = 1` contradicts /c/main:1: take one of them away
            /c/t.conf: in TOML form, but included by a file in legacy form: write all files in the same form
            "#);
        let read = parse(main, b"include = /c/a.conf\n", &files).unwrap();
        assert_eq!((read.areas.len(), read.report.files.report_time), (1, Duration::from_secs(1)));
    }

    #[test]
    fn a_circle_of_includes_ends() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("main.conf");
        let other = directory.path().join("other.conf");
        fs::write(&main, format!("area = /etc\ninclude = {}\n", other.display())).unwrap();
        fs::write(&other, format!("include = {}/link\n", directory.path().display())).unwrap();
        symlink(&main, directory.path().join("link")).unwrap();
        let LoadError::Faults(Faults(faults)) = load(&main).unwrap_err() else { panic!("no faults") };
        assert_eq!(faults.len(), 1);
        assert!(faults[0].what.ends_with("includes itself"), "{}", faults[0]);
        let mut chain = BTreeMap::new();
        for at in 0..20 {
            chain.insert(PathBuf::from(format!("/{at}")), format!("include = /{}\n", at + 1).into_bytes());
        }
        let Faults(faults) = parse(Path::new("/0"), b"include = /1\n", &Files::Memory(chain)).unwrap_err();
        assert_eq!((faults.len(), faults[0].file.as_path()), (1, Path::new("/8")));
    }

    #[test]
    fn a_glob_on_disk_takes_what_a_shell_would() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("d/deep")).unwrap();
        for (name, area) in
            [("d/b.conf", "/b"), ("d/a.conf", "/a"), ("d/.c.conf", "/c"), ("d/deep/x.conf", "/x"), ("d/a.conf~", "/y")]
        {
            fs::write(at(name), format!("area = {area}\n")).unwrap();
        }
        let main = at("main");
        let areas = |pattern: &str| -> Vec<PathBuf> {
            fs::write(&main, format!("area = /m\ninclude = {}/{pattern}\n", directory.path().display())).unwrap();
            load(&main).unwrap().areas.into_iter().map(|area| area.path).collect()
        };
        assert_eq!(areas("d/*.conf"), ["/m", "/a", "/b"].map(PathBuf::from));
        assert_eq!(areas("d/**/*.conf"), ["/m", "/a", "/b", "/x"].map(PathBuf::from));
        assert_eq!(areas("none/*.conf"), ["/m"].map(PathBuf::from));
    }
}
