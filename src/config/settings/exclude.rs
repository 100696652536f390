//! Which paths are left out: literal paths and globs, each covering what lies below it.
//!
//! Paths are bytes. Matching goes by whole components, so `/etc/lvm` never covers `/etc/lvm2`. A pattern with wildcards is
//! also tried literally: a file may really be called `[`.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It has wildcards and is not UTF-8.
    #[error("has wildcards but is not UTF-8")]
    NotText,
    /// Its wildcards make no sense; holds the reason.
    #[error("is no usable glob ({0})")]
    Glob(String),
}

/// A set of paths and globs. Two sets are equal when they hold the same patterns, in whatever order.
#[derive(Debug, Clone)]
pub struct Excludes {
    patterns: BTreeSet<Vec<u8>>,
    globs: GlobSet,
    /// The patterns of the globs, in their order there.
    of_globs: Vec<Vec<u8>>,
    /// The last two components of each glob: what does not match here matches no glob, which is found without reading the whole
    /// path again for each of its parts. `None` when some glob has no such end.
    tails: Option<GlobSet>,
}

impl Default for Excludes {
    fn default() -> Self {
        Self { patterns: BTreeSet::new(), globs: GlobSet::empty(), of_globs: Vec::new(), tails: None }
    }
}

impl PartialEq for Excludes {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Excludes {}

impl Excludes {
    /// Builds the set. In a glob `*`, `?` and `[…]` never match a `/`, `**` does.
    ///
    /// # Errors
    /// With the first pattern that is no usable glob.
    pub fn new(patterns: &[PathBuf]) -> Result<Self, PatternError> {
        let mut globs = GlobSetBuilder::new();
        let mut of_globs = Vec::new();
        for pattern in patterns {
            if is_glob(pattern.as_os_str().as_bytes()) {
                globs.add(compile(pattern)?);
                of_globs.push(pattern.as_os_str().as_bytes().to_vec());
            }
        }
        let globs = globs.build().map_err(|error| PatternError::Glob(error.kind().to_string()))?;
        let tails = tails(&of_globs);
        let patterns = patterns.iter().map(|pattern| pattern.as_os_str().as_bytes().to_vec()).collect();
        Ok(Self { patterns, globs, of_globs, tails })
    }

    /// Whether this very path matches. A walker that asks this of every entry and does not enter what matches needs nothing
    /// else.
    pub fn covers(&self, path: &[u8]) -> bool {
        self.patterns.contains(path)
            || (!self.globs.is_empty()
                && self.tails.as_ref().is_none_or(|tails| tails.is_match(Path::new(OsStr::from_bytes(tail(path)))))
                && self.globs.is_match(Path::new(OsStr::from_bytes(path))))
    }

    /// The pattern by which this very path matches: the literal one before a glob, an earlier glob before a later one.
    pub fn pattern_covering(&self, path: &[u8]) -> Option<&[u8]> {
        if let Some(literal) = self.patterns.get(path) {
            return Some(literal);
        }
        let first = self.globs.matches(Path::new(OsStr::from_bytes(path))).into_iter().min()?;
        self.of_globs.get(first).map(Vec::as_slice)
    }

    /// The length in bytes of the shortest leading part of `path`, at a component's end and up to `path` itself, that matches.
    /// Costs one look-up for each component.
    pub fn covering_prefix(&self, path: &[u8]) -> Option<usize> {
        prefixes(path).find(|end| path.get(..*end).is_some_and(|prefix| self.covers(prefix)))
    }

    /// Like [`Excludes::covering_prefix`], but only parts longer than `root` count: what lies above an area does not exclude
    /// it, because the longest path wins.
    pub fn covering_prefix_below(&self, root: &[u8], path: &[u8]) -> Option<usize> {
        prefixes(path)
            .filter(|end| *end > root.len())
            .find(|end| path.get(..*end).is_some_and(|prefix| self.covers(prefix)))
    }

    /// Whether nothing is excluded.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns, sorted.
    pub fn patterns(&self) -> impl Iterator<Item = &[u8]> {
        self.patterns.iter().map(Vec::as_slice)
    }

    /// A number that stays the same as long as the patterns do, over restarts and whatever their order (64-bit FNV-1a over
    /// the sorted patterns). It tells that excludes were changed; it is no protection against forgery.
    pub fn fingerprint(&self) -> u64 {
        // A NUL ends each pattern: no path holds one.
        self.patterns
            .iter()
            .flat_map(|pattern| pattern.iter().chain([&0]))
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

/// The last two components of `path`.
fn tail(path: &[u8]) -> &[u8] {
    let mut slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let second = slashes.nth(1);
    let end = path.get(second.map_or(0, |at| at + 1)..).unwrap_or(path);
    end.strip_prefix(b"/").unwrap_or(end)
}

/// The last two components of every glob as globs; `None` when one of them is not that simple.
fn tails(globs: &[Vec<u8>]) -> Option<GlobSet> {
    let mut tails = GlobSetBuilder::new();
    for glob in globs {
        let end = tail(glob);
        let is_last_open = end.ends_with(b"**") || end.windows(2).filter(|pair| pair == b"**").count() > 1;
        // A brace or a class may hold a slash of its own; `**` serves only as a component before the last.
        let is_inner = end.windows(2).any(|pair| pair == b"**") && !end.starts_with(b"**/");
        if glob.iter().any(|byte| b"{[\\".contains(byte)) || is_last_open || is_inner {
            return None;
        }
        tails.add(compile(Path::new(OsStr::from_bytes(end))).ok()?);
    }
    tails.build().ok()
}

/// Whether `pattern` has a wildcard.
pub fn is_glob(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"*?[{".contains(byte))
}

/// Whether anything that `pattern` matches can lie below `root`: judged by what stands before its first wildcard.
pub(in crate::config) fn can_reach(pattern: &Path, root: &Path) -> bool {
    let fixed: PathBuf = pattern.components().take_while(|part| !is_glob(part.as_os_str().as_bytes())).collect();
    if fixed.as_os_str() == pattern.as_os_str() {
        return pattern.starts_with(root) && pattern != root;
    }
    fixed.starts_with(root) || root.starts_with(&fixed)
}

/// Whether a `[` in `pattern` lacks its `]`.
pub(in crate::config) fn has_open_class(pattern: &Path) -> bool {
    let strict = |text: &str| GlobBuilder::new(text).literal_separator(true).build().is_err();
    compile(pattern).is_ok() && pattern.to_str().is_some_and(strict)
}

/// Makes a glob out of `pattern`, in which `*`, `?` and `[…]` never match a `/`, `**` does.
///
/// # Errors
/// When it is no usable glob.
pub fn compile(pattern: &Path) -> Result<Glob, PatternError> {
    let text = pattern.to_str().ok_or(PatternError::NotText)?;
    GlobBuilder::new(text)
        .literal_separator(true)
        .allow_unclosed_class(true)
        .build()
        .map_err(|error| PatternError::Glob(error.kind().to_string()))
}

/// The ends of the leading parts of an absolute `path`: of `/a/b` those of `/`, `/a` and `/a/b`.
fn prefixes(path: &[u8]) -> impl Iterator<Item = usize> {
    let root = usize::from(path.first() == Some(&b'/'));
    let inner = path.iter().enumerate().filter(|(at, byte)| *at > 0 && **byte == b'/').map(|(at, _)| at);
    let whole = if path.len() > root { Some(path.len()) } else { None };
    (root == 1).then_some(1).into_iter().chain(inner).chain(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excludes(patterns: &[&[u8]]) -> Excludes {
        let patterns: Vec<PathBuf> = patterns.iter().map(|pattern| PathBuf::from(OsStr::from_bytes(pattern))).collect();
        Excludes::new(&patterns).unwrap()
    }

    #[test]
    fn a_directory_covers_its_subtree_and_no_namesake() {
        let set = excludes(&[b"/etc/lvm"]);
        assert!(set.covers(b"/etc/lvm"));
        assert!(!set.covers(b"/etc/lvm/archive"));
        assert_eq!(set.covering_prefix(b"/etc/lvm/archive/x"), Some(8));
        assert_eq!(set.covering_prefix(b"/etc/lvm2"), None);
        assert_eq!(set.covering_prefix(b"/etc/lvm2/x"), None);
        assert_eq!(set.covering_prefix(b"/etc"), None);
    }

    #[test]
    fn a_star_stays_within_a_component_and_two_do_not() {
        let one = excludes(&[b"/etc/*.bak"]);
        assert!(one.covers(b"/etc/passwd.bak"));
        assert!(one.covers(b"/etc/.bak"));
        assert!(!one.covers(b"/etc/lvm/passwd.bak"));
        let two = excludes(&[b"/srv/**/cache"]);
        assert!(two.covers(b"/srv/a/b/cache"));
        assert!(two.covers(b"/srv/cache"));
        assert_eq!(two.covering_prefix(b"/srv/a/cache/b/c"), Some(12));
        assert!(!two.covers(b"/srv/a/cached"));
    }

    #[test]
    fn the_shortest_prefix_wins_but_an_area_inside_an_exclude_is_watched() {
        let set = excludes(&[b"/a/b/c/d", b"/a"]);
        assert_eq!(set.covering_prefix(b"/a/b/c/d/e"), Some(2));
        assert_eq!(set.covering_prefix_below(b"/a/b", b"/a/b/c/d/e"), Some(8));
        assert_eq!(set.covering_prefix_below(b"/a/b", b"/a/b/x"), None);
    }

    #[test]
    fn names_that_are_no_text_are_covered() {
        let set = excludes(&[b"/srv/\xff\xfe", b"/srv/*.tmp"]);
        assert!(set.covers(b"/srv/\xff\xfe"));
        assert!(!set.covers(b"/srv/\xff"));
        assert!(set.covers(b"/srv/\x80\n\x1b.tmp"));
        assert_eq!(Excludes::new(&[PathBuf::from(OsStr::from_bytes(b"/srv/\xff*"))]), Err(PatternError::NotText));
    }

    #[test]
    fn a_file_called_bracket_can_be_excluded() {
        assert!(excludes(&[b"/usr/bin/["]).covers(b"/usr/bin/["));
        let both = excludes(&[b"/srv/file[1]"]);
        assert!(both.covers(b"/srv/file[1]"));
        assert!(both.covers(b"/srv/file1"));
    }

    #[test]
    fn the_fingerprint_follows_the_patterns_only() {
        let set = excludes(&[b"/a", b"/b"]);
        assert_eq!(set.fingerprint(), excludes(&[b"/b", b"/a", b"/b"]).fingerprint());
        assert_ne!(set.fingerprint(), excludes(&[b"/a"]).fingerprint());
        assert_ne!(excludes(&[b"/a/b"]).fingerprint(), excludes(&[b"/a", b"/b"]).fingerprint());
        assert!(Excludes::default().is_empty());
        assert!(!set.is_empty());
    }

    #[test]
    fn the_root_is_a_prefix_too() {
        assert_eq!(prefixes(b"/").collect::<Vec<_>>(), [1]);
        assert_eq!(prefixes(b"/a/bc").collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(prefixes(b"").count(), 0);
        assert_eq!(excludes(&[b"/"]).covering_prefix(b"/etc"), Some(1));
    }

    #[test]
    fn a_pattern_concerns_the_areas_it_can_reach() {
        let reach = |pattern: &str, root: &str| can_reach(Path::new(pattern), Path::new(root));
        assert!(reach("/etc/mtab", "/etc"));
        assert!(reach("/etc/mtab", "/"));
        assert!(!reach("/etc", "/etc"));
        assert!(!reach("/etc", "/etc/lvm"));
        assert!(!reach("/etc2/x", "/etc"));
        assert!(reach("/etc/*/x", "/etc/lvm"));
        assert!(reach("/**/x", "/srv"));
        assert!(!reach("/home/*/x", "/srv"));
    }

    #[test]
    fn the_built_in_globs_all_have_simple_ends() {
        assert!(excludes(&[b"/**/.ssh/authorized_keys*", b"/etc/sudoers*", b"/srv/**/cache", b"/*"]).tails.is_some());
        assert!(excludes(&[b"/srv/**"]).tails.is_none());
        assert_eq!([&b"/a"[..], b"/a/b", b"/a/b/c"].map(tail), [&b"a"[..], b"a/b", b"b/c"]);
    }

    proptest! {
        #[test]
        fn looking_at_the_end_first_changes_no_answer(
            globs in proptest::collection::vec("(/(a|b|ab|[*]|a[*]|[?]b|[*][*]|[*][*]a|\\{a,b\\})){1,4}", 1..4),
            path in "(/(a|b|ab|aab|bb)){1,5}",
        ) {
            let patterns: Vec<&[u8]> = globs.iter().map(String::as_bytes).collect();
            let set = excludes(&patterns);
            let whole = set.globs.is_match(Path::new(&path)) || set.patterns.contains(path.as_bytes());
            prop_assert_eq!(set.covers(path.as_bytes()), whole);
        }

        #[test]
        fn no_path_panics_and_a_prefix_is_a_whole_component(
            tail in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            let set = excludes(&[b"/a/*", b"/\xff", b"/x/**/y"]);
            let mut path = b"/a/".to_vec();
            path.extend(&tail);
            if let Some(end) = set.covering_prefix(&path) {
                prop_assert!(set.covers(&path[..end]));
                prop_assert!(end == path.len() || path[end] == b'/');
            }
        }
    }
}
