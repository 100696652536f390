//! Rule directories as logcheck(8) has them, read to a [`RuleSet`].
//!
//! A rule that is no pattern is a fault of that rule alone: it is switched off and told with its file and line, and all others
//! stay. (logcheck passes whole files to grep: there one bad ignore rule empties the report.) Nothing read here is unbounded.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;

use crate::{
    config::{
        schema::fault::Fault,
        settings::config::{LogcheckSettings, RuleDirectory, RuleLevel},
    },
    logs::pattern::{
        ast::Locale,
        char_class::ClassName,
        lint::{Lint, broad},
        parser::{Ere, parse},
        single::HEAVIEST_RULE,
    },
    sys::{
        fs::ownership::{self, OwnershipError},
        users::Names,
    },
};

/// Largest rule file read, in bytes; the largest of Debian has 30 KB.
const LARGEST_FILE: u64 = 4 << 20;

/// Longest rule, in bytes.
pub(in crate::logs) const LONGEST_RULE: usize = 32 << 10;

/// Most rules of a set, and most files of a directory.
const MOST_RULES: usize = 100_000;
const MOST_FILES: usize = 10_000;

/// What the rules of a directory are for, in the order of the directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// `cracking.d`: signs of an attack.
    Cracking,
    /// `cracking.ignore.d`: those of them that are harmless.
    CrackingIgnore,
    /// `violations.d`: events of security.
    Violations,
    /// `violations.ignore.d`: those of them that are harmless.
    ViolationsIgnore,
    /// `ignore.d.*`: lines nobody needs to see.
    Ignore,
}

impl Layer {
    /// Whether its rules hide lines.
    pub const fn hides(self) -> bool {
        matches!(self, Self::CrackingIgnore | Self::ViolationsIgnore | Self::Ignore)
    }
}

/// The sub-directories, and the level from which each counts.
const DIRECTORIES: [(&str, Layer, RuleLevel); 7] = [
    ("cracking.d", Layer::Cracking, RuleLevel::Paranoid),
    ("cracking.ignore.d", Layer::CrackingIgnore, RuleLevel::Paranoid),
    ("violations.d", Layer::Violations, RuleLevel::Paranoid),
    ("violations.ignore.d", Layer::ViolationsIgnore, RuleLevel::Paranoid),
    ("ignore.d.paranoid", Layer::Ignore, RuleLevel::Paranoid),
    ("ignore.d.server", Layer::Ignore, RuleLevel::Server),
    ("ignore.d.workstation", Layer::Ignore, RuleLevel::Workstation),
];

/// How a set is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOptions {
    /// How bytes become characters.
    pub locale: Locale,
    /// Whether a rule may hide lines although it matches the empty line or nonsense.
    pub allows_broad: bool,
    /// Whether a directory without the sub-directories of logcheck(8) holds rules that ignore, as the daemon of 2012 had it.
    pub is_flat: bool,
}

impl RuleOptions {
    /// How the daemon reads rules with these settings.
    pub const fn of(settings: LogcheckSettings) -> Self {
        Self { locale: Locale::Utf8, allows_broad: settings.is_broad_allowed, is_flat: !settings.has_layers }
    }
}

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name, by which the layers pair it with files of the same name.
    pub name: OsString,
    /// What its rules are for.
    pub layer: Layer,
}

/// A rule that is a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its file: a number in [`RuleSet::files`].
    pub file: usize,
    /// Its line there, from 1.
    pub line: u32,
    /// Its text as it stands there.
    pub text: Vec<u8>,
    /// What it means.
    pub ere: Arc<Ere>,
}

/// Everything that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    /// How it was read.
    pub reading: RuleOptions,
    /// The files, by layer, then by the bytes of their names, then by directory.
    pub files: Vec<RuleFile>,
    /// The rules in use, in the order of files and lines.
    pub rules: Vec<Rule>,
    /// What could not be used: directories, files and rules.
    pub faults: Vec<Fault>,
    /// What is used but looks unintended.
    pub warnings: Vec<Fault>,
    /// What was passed over: names that `run-parts --list` would not give, and directories within directories.
    pub skipped: Vec<PathBuf>,
}

impl RuleSet {
    /// Reads the rules below `directories` (`/etc/logcheck`), each of which holds the sub-directories of logcheck(8). Costs about
    /// 20 ms for all of Debian. What cannot be read is a fault in the result, never a reason to do without the rest.
    ///
    /// Rules that hide lines count only when nobody but root, this process's own user and the user `logcheck`, to whom Debian gives
    /// the directory, can change them; others could hide themselves.
    pub fn read(directories: &[RuleDirectory], reading: RuleOptions) -> Self {
        let mut set = Self {
            reading,
            files: Vec::new(),
            rules: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
            skipped: Vec::new(),
        };
        let trusted = Names::read(Path::new("/")).uid("logcheck");
        let mut layers = BTreeSet::new();
        for RuleDirectory { path, level: asked } in directories {
            let mut has_any = false;
            for (name, layer, level) in DIRECTORIES {
                if set.list(&path.join(name), layer, level <= *asked, trusted) {
                    has_any = true;
                    layers.insert(layer);
                }
            }
            has_any |= reading.is_flat && !has_any && set.list(path, Layer::Ignore, true, trusted);
            if !has_any {
                let refused = path.metadata().err();
                let hint = match refused.as_ref().map(io::Error::kind) {
                    Some(io::ErrorKind::NotFound) => "install logcheck-database, or name your rules in logrules",
                    _ => "expected cracking.d, violations.d or ignore.d.server in it",
                };
                let why = refused.map_or_else(|| "has no rule directories".into(), |error| error.to_string());
                set.fault(path, None, why, hint);
            }
        }
        let raising = if reading.is_flat { Vec::new() } else { vec![Layer::Cracking, Layer::Violations] };
        for layer in raising {
            if !layers.contains(&layer)
                && let (Some(first), Some((name, ..))) =
                    (directories.first(), DIRECTORIES.iter().find(|(_, other, _)| *other == layer))
                && first.path.exists()
            {
                set.fault(&first.path.join(name), None, "is missing in every directory", "an empty directory will do");
            }
        }
        set.files.sort_by(|one, other| (one.layer, one.name.as_bytes()).cmp(&(other.layer, other.name.as_bytes())));
        for number in 0..set.files.len() {
            set.read_file(number, trusted);
        }
        set
    }

    /// Where a rule stands, as `path:line` in raw bytes; empty when there is no such rule.
    pub fn place(&self, rule: usize) -> Vec<u8> {
        let Some(rule) = self.rules.get(rule) else { return Vec::new() };
        let file = self.files.get(rule.file).map(|file| file.path.as_os_str().as_bytes()).unwrap_or_default();
        [file, format!(":{}", rule.line).as_bytes()].concat()
    }

    /// Adds the rules in `text` as a file of `layer`, which must not be one that raises.
    pub fn add_text(&mut self, path: &Path, layer: Layer, text: &[u8]) {
        let name = path.file_name().map(OsString::from).unwrap_or_default();
        self.files.push(RuleFile { path: path.to_owned(), name, layer });
        self.add_rules(self.files.len() - 1, path, layer, text);
    }

    /// Whether there is such a directory; notes its files when they count.
    fn list(&mut self, directory: &Path, layer: Layer, counts: bool, trusted: Option<u32>) -> bool {
        if counts && directory.exists() && !self.may_count(directory, layer, trusted) {
            return true;
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                self.fault(directory, None, format!("cannot be read: {error}"), "none of its rules is in use");
                return true;
            }
        };
        for (count, entry) in entries.enumerate().take_while(|_| counts) {
            let name = match entry {
                Ok(entry) if count < MOST_FILES => entry.file_name(),
                Ok(_) => {
                    self.fault(directory, None, format!("has more than {MOST_FILES} files"), "the rest is not read");
                    break;
                }
                Err(error) => {
                    self.fault(directory, None, format!("cannot be listed: {error}"), "");
                    break;
                }
            };
            let path = directory.join(&name);
            // A link that leads nowhere is a rule file that is missing, so it stays and is a fault when read.
            let is_other = path.metadata().is_ok_and(|found| !found.is_file());
            if is_other || !is_listed(name.as_bytes()) {
                self.skipped.push(path);
            } else {
                self.files.push(RuleFile { path, name, layer });
            }
        }
        true
    }

    /// Whether rules at `path` may be used; others who can write there could hide lines by them.
    fn may_count(&mut self, path: &Path, layer: Layer, trusted: Option<u32>) -> bool {
        let Some(distrust) = layer.hides().then(|| ownership::check_but_for_owner(path, trusted)).and_then(Result::err)
        else {
            return true;
        };
        // What cannot be looked at cannot be read either, which is told with its reason.
        let is_known = !matches!(distrust, OwnershipError::Io { .. });
        if is_known {
            self.fault(path, None, format!("is not trusted to hide lines: {distrust}"), "none of its rules is in use");
        }
        !is_known
    }

    fn read_file(&mut self, number: usize, trusted: Option<u32>) {
        let Some(RuleFile { path, layer, .. }) = self.files.get(number).cloned() else {
            return;
        };
        if !self.may_count(&path, layer, trusted) {
            return;
        }
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.fault(&path, None, format!("cannot be used: {why}"), "none of its rules is in use");
                return;
            }
        };
        self.add_rules(number, &path, layer, &bytes);
    }

    fn add_rules(&mut self, number: usize, path: &Path, layer: Layer, text: &[u8]) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if is_blank(text, self.reading.locale) || text.first() == Some(&b'#') {
                continue;
            }
            if self.rules.len() >= MOST_RULES {
                self.fault(path, Some(line), format!("more than {MOST_RULES} rules"), "this one and the rest are off");
                return;
            }
            self.add_rule(number, path, layer, line, text);
        }
    }

    fn add_rule(&mut self, file: usize, path: &Path, layer: Layer, line: u32, text: &[u8]) {
        if text.len() > LONGEST_RULE {
            self.fault(path, Some(line), format!("longer than {LONGEST_RULE} bytes"), "this rule is off");
            return;
        }
        let ere = match parse(text, self.reading.locale) {
            Ok(ere) => ere,
            Err(error) => {
                self.fault(path, Some(line), error.to_string(), "this rule is off, all others are in use");
                return;
            }
        };
        if ere.tree.weight() > HEAVIEST_RULE {
            self.fault(path, Some(line), "its repetitions multiply to too much", "this rule is off");
            return;
        }
        if layer.hides()
            && !self.reading.allows_broad
            && let Some(lint) = broad(&ere, self.reading.locale)
        {
            self.fault(path, Some(line), lint.to_string(), "this rule is off; `allowbroad` would let it hide lines");
            return;
        }
        for lint in unintended(text) {
            let (file, what) = (path.to_owned(), lint.to_string());
            self.warnings.push(Fault { file, line: Some(line), what, hint: String::new() });
        }
        self.rules.push(Rule { file, line, text: text.to_vec(), ere: Arc::new(ere) });
    }

    fn fault(&mut self, file: &Path, line: Option<u32>, what: impl Into<String>, hint: &str) {
        self.faults.push(Fault { file: file.to_owned(), line, what: what.into(), hint: hint.to_owned() });
    }
}

/// The three oddities of a rule's spelling that logs.md wants told at once.
fn unintended(text: &[u8]) -> Vec<Lint> {
    let unindented = text.trim_ascii_start();
    let is_indented = unindented.len() < text.len() && unindented.first() == Some(&b'#');
    let last = text.last().copied();
    [
        (is_indented, Lint::IndentedHash),
        (last == Some(b' ') || last == Some(b'\t'), Lint::TrailingBlank),
        (last == Some(b'\r'), Lint::CarriageReturn),
    ]
    .into_iter()
    .filter_map(|(is_so, lint)| is_so.then_some(lint))
    .collect()
}

/// Whether `run-parts --list` gives a file of this name.
fn is_listed(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-')
}

/// Whether a line is white space only; a carriage return is (`[[:space:]]`), and in UTF-8 a wide space is.
fn is_blank(line: &[u8], locale: Locale) -> bool {
    let is_wide = || str::from_utf8(line).is_ok_and(|text| text.chars().all(|letter| ClassName::Space.has(letter)));
    line.iter().all(|byte| ClassName::Space.has_ascii(*byte)) || locale == Locale::Utf8 && is_wide()
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    // A FIFO put there since it was listed must not block.
    let opened = fs::OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err("no regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST_FILE) {
        return Err(format!("larger than {LARGEST_FILE} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const READING: RuleOptions = RuleOptions { locale: Locale::Utf8, allows_broad: false, is_flat: false };

    /// A directory with `cracking.d`, `violations.d` and these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for name in ["cracking.d", "violations.d"] {
            fs::create_dir(tree.path().join(name)).unwrap();
        }
        for (path, text) in files {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn server(path: &Path) -> RuleDirectory {
        RuleDirectory { level: RuleLevel::Server, path: path.to_owned() }
    }

    fn read(tree: &tempfile::TempDir) -> RuleSet {
        RuleSet::read(&[server(tree.path())], READING)
    }

    fn texts(set: &RuleSet) -> Vec<String> {
        set.rules.iter().map(|rule| String::from_utf8(rule.text.clone()).unwrap()).collect()
    }

    #[test]
    fn levels_stack_and_names_go_by_their_bytes() {
        let tree = tree(&[
            ("ignore.d.paranoid/b", "^p"),
            ("ignore.d.server/a", "^s"),
            ("ignore.d.server/Z", "^z"),
            ("ignore.d.workstation/a", "^w"),
            ("cracking.d/x", "c"),
        ]);
        let set = read(&tree);
        assert_eq!(texts(&set), ["c", "^z", "^s", "^p"]);
        assert_eq!(set.faults, []);
        let places: Vec<(&str, u32)> =
            set.rules.iter().map(|rule| (set.files[rule.file].name.to_str().unwrap(), rule.line)).collect();
        assert_eq!(places, [("x", 1), ("Z", 1), ("a", 1), ("b", 1)]);
    }

    #[test]
    fn comments_and_blank_lines_are_dropped_and_odd_ones_warned_about() {
        let tree = tree(&[("ignore.d.server/a", "# no\n\n \t\r\n\u{2003} \n # odd\n^blank \n^cr\r\n^plain\n")]);
        let set = read(&tree);
        assert_eq!(texts(&set), [" # odd", "^blank ", "^cr\r", "^plain"]);
        let lines: Vec<Option<u32>> = set.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(lines, [Some(5), Some(6), Some(7)]);
    }

    #[test]
    fn only_names_of_run_parts_are_read_and_the_rest_is_told() {
        let tree = tree(&[
            ("ignore.d.server/good_1-x", "^a"),
            ("ignore.d.server/a.dpkg-old", "^b"),
            ("ignore.d.server/a~", "^c"),
            ("ignore.d.server/deep/rules", "^d"),
        ]);
        symlink("good_1-x", tree.path().join("ignore.d.server/link")).unwrap();
        let set = read(&tree);
        assert_eq!(texts(&set), ["^a", "^a"]);
        assert_eq!(set.skipped.len(), 3);
    }

    #[test]
    fn one_bad_rule_is_off_alone_in_every_layer() {
        let layers = ["cracking.d", "cracking.ignore.d", "violations.d", "violations.ignore.d", "ignore.d.server"];
        let files: Vec<(String, &str)> =
            layers.iter().map(|layer| (format!("{layer}/f"), "^one\n^bad(\n^two\n")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let set = read(&tree(&files));
        assert_eq!((set.rules.len(), set.faults.len()), (10, 5));
        let shown = set.faults[0].to_string();
        assert!(shown.contains("cracking.d/f:2: unmatched ( at byte 4: this rule is off"), "{shown}");
    }

    #[test]
    fn a_broad_rule_may_raise_but_not_hide() {
        let files = [("violations.d/all", ".*"), ("ignore.d.server/all", ".*\n^fine$")];
        let tree = tree(&files);
        assert_eq!(texts(&read(&tree)), [".*", "^fine$"]);
        let open = RuleOptions { allows_broad: true, ..READING };
        assert_eq!(RuleSet::read(&[server(tree.path())], open).rules.len(), 3);
    }

    #[test]
    fn a_missing_directory_is_a_fault_unless_it_only_ignores() {
        let set = RuleSet::read(&[server(&tree(&[]).path().join("gone"))], READING);
        assert!(set.faults.len() == 1 && set.rules.is_empty(), "{:?}", set.faults);
        assert_eq!(read(&tree(&[])).faults, []);
    }

    #[test]
    fn an_enormous_file_is_a_fault_and_no_memory() {
        let tree = tree(&[("ignore.d.server/a", "^a")]);
        let large = fs::File::create(tree.path().join("ignore.d.server/large")).unwrap();
        large.set_len(100 << 20).unwrap();
        let set = read(&tree);
        assert_eq!(texts(&set), ["^a"]);
        assert!(set.faults[0].what.contains("larger than"), "{:?}", set.faults);
    }

    #[test]
    fn a_dangling_link_is_a_fault_and_a_fifo_blocks_nobody() {
        let tree = tree(&[("ignore.d.server/a", "^a")]);
        symlink("nowhere", tree.path().join("ignore.d.server/link")).unwrap();
        let pipe = tree.path().join("ignore.d.server/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let set = read(&tree);
        assert_eq!((set.faults.len(), set.skipped.len()), (1, 1));
    }

    #[test]
    fn a_base_and_a_local_directory_are_one_set() {
        let base = tree(&[("ignore.d.server/sshd", "^base")]);
        let local = tempfile::tempdir().unwrap();
        fs::create_dir(local.path().join("ignore.d.server")).unwrap();
        fs::write(local.path().join("ignore.d.server/sshd"), "^local").unwrap();
        let set = RuleSet::read(&[server(base.path()), server(local.path())], READING);
        assert_eq!(texts(&set), ["^base", "^local"]);
        assert_eq!(set.faults, []);
    }

    #[test]
    fn what_others_can_write_may_raise_but_not_hide() {
        let tree = tree(&[("ignore.d.server/a", "^a"), ("ignore.d.server/b", "^b"), ("violations.d/v", "^v")]);
        for place in ["ignore.d.server/b", "violations.d/v"] {
            fs::set_permissions(tree.path().join(place), fs::Permissions::from_mode(0o666)).unwrap();
        }
        let set = read(&tree);
        assert_eq!(texts(&set), ["^v", "^a"]);
        let shown = set.faults[0].to_string();
        assert!(set.faults.len() == 1 && shown.contains("b: is not trusted to hide lines: "), "{shown}");
        fs::set_permissions(tree.path().join("ignore.d.server"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(texts(&read(&tree)), ["^v"]);
    }

    #[test]
    fn each_directory_has_its_own_level() {
        let files = [("ignore.d.paranoid/p", "^p"), ("ignore.d.server/s", "^s")];
        let (base, local) = (tree(&files), tree(&files));
        let paranoid = RuleDirectory { level: RuleLevel::Paranoid, path: local.path().to_owned() };
        assert_eq!(texts(&RuleSet::read(&[server(base.path()), paranoid], READING)), ["^p", "^p", "^s"]);
    }

    #[test]
    fn a_directory_of_2012_is_all_ignore() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("mine"), "^a\n").unwrap();
        let set = RuleSet::read(&[server(tree.path())], RuleOptions { is_flat: true, ..READING });
        assert_eq!((texts(&set), set.faults.len(), set.files[0].layer), (vec!["^a".to_owned()], 0, Layer::Ignore));
    }
}
