//! The configuration of fcheck(8), read as fcheck 2.7.59 reads it: `#` in the first column is a comment, elsewhere the first
//! `word = rest` of a line counts, words are taken whatever their case, and blanks at the end are dropped.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::config::read::include::Files;

/// Includes within includes, at most so deep; fcheck itself knows no bound and no end of a circle.
const DEEPEST: usize = 8;
/// At most so many files.
const MOST_FILES: usize = 256;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FcheckPlace {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
}

/// What a line may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `Directory`: what lies in it; with a `/` at its end everything below.
    Directory,
    /// `File`.
    File,
    /// `Exclusion`: with a `/` at its end the beginning of paths, as a regular expression; else a path.
    Exclusion,
    /// `DataBase`.
    Database,
    /// `ReadDB`.
    ReadDatabase,
    /// `WriteDB`.
    WriteDatabase,
    /// `HostName`.
    Hostname,
    /// `Signature`: the program that digests.
    Signature,
    /// `Logger`.
    Logger,
    /// `AuthLogger`.
    AuthLogger,
    /// `TimeZone`.
    TimeZone,
    /// `System`.
    System,
    /// `FileTyper`.
    FileTyper,
}

impl Word {
    const ALL: [(&'static str, Self); 13] = [
        ("Directory", Self::Directory),
        ("File", Self::File),
        ("Exclusion", Self::Exclusion),
        ("DataBase", Self::Database),
        ("ReadDB", Self::ReadDatabase),
        ("WriteDB", Self::WriteDatabase),
        ("HostName", Self::Hostname),
        ("Signature", Self::Signature),
        ("Logger", Self::Logger),
        ("AuthLogger", Self::AuthLogger),
        ("TimeZone", Self::TimeZone),
        ("System", Self::System),
        ("FileTyper", Self::FileTyper),
    ];

    /// As fcheck's own configuration spells it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, word)| *word == self).map_or("", |(name, _)| name)
    }
}

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FcheckLine {
    /// Where.
    pub place: FcheckPlace,
    /// What.
    pub word: Word,
    /// Its value, as bytes.
    pub value: Vec<u8>,
}

/// A line that says nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// Where.
    pub place: FcheckPlace,
    /// Why.
    pub why: String,
    /// The line.
    pub text: Vec<u8>,
}

/// A configuration of fcheck with all that it includes, in the order in which fcheck meets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fcheck {
    /// What it says.
    pub lines: Vec<FcheckLine>,
    /// What is not understood or not followed.
    pub odd: Vec<Odd>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Fcheck {
    /// Reads `path` and what it includes, at most 256 files of 4 MiB, 8 within each other.
    ///
    /// # Errors
    /// When `path` itself cannot be read. An included file that cannot is an [`Odd`] line.
    pub fn read(path: &Path, files: &Files) -> io::Result<Self> {
        let mut found = Self::default();
        let text = files.read(path)?;
        found.take(path, &text, files, &mut vec![path.to_owned()]);
        Ok(found)
    }

    /// The values of `word`, in their order.
    pub fn all(&self, word: Word) -> impl Iterator<Item = &FcheckLine> {
        self.lines.iter().filter(move |line| line.word == word)
    }

    /// The last value of `word`, which is the one that counts.
    pub fn last(&self, word: Word) -> Option<&FcheckLine> {
        self.all(word).last()
    }

    fn take(&mut self, file: &Path, text: &[u8], files: &Files, chain: &mut Vec<PathBuf>) {
        self.files.push(file.to_owned());
        let whole = text.strip_suffix(b"\n").unwrap_or(text);
        if whole.is_empty() {
            return;
        }
        for (number, line) in (1..).zip(whole.split(|byte| *byte == b'\n')) {
            let place = FcheckPlace { file: file.to_owned(), line: number };
            if line.first() == Some(&b'#') || line.trim_ascii().is_empty() {
                continue;
            }
            let mut odd = |why: &str| {
                self.odd.push(Odd { place: place.clone(), why: why.to_owned(), text: line.to_owned() });
            };
            let Some((word, value)) = assignment(line) else {
                odd("is no `word = value`");
                continue;
            };
            if word.eq_ignore_ascii_case(b"CFInclude") {
                if let Some(why) = self.include(value, files, chain) {
                    self.odd.push(Odd { place, why, text: line.to_owned() });
                }
                continue;
            }
            match Word::ALL.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())) {
                Some((_, word)) => self.lines.push(FcheckLine { place, word: *word, value: value.to_owned() }),
                None => odd("sets nothing that fcheck knows"),
            }
        }
    }

    /// Reads an included file; gives why not.
    fn include(&mut self, value: &[u8], files: &Files, chain: &mut Vec<PathBuf>) -> Option<String> {
        let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(value));
        if !path.is_absolute() {
            return Some("includes a file by no absolute path; it is not read".to_owned());
        }
        if chain.contains(&path) {
            return Some("includes a file that includes this one; it is not read again".to_owned());
        }
        if chain.len() >= DEEPEST || self.files.len() >= MOST_FILES {
            return Some("is one include too many; 8 within each other and 256 in all are read".to_owned());
        }
        match files.read(&path) {
            Ok(text) => {
                chain.push(path.clone());
                self.take(&path, &text, files, chain);
                chain.pop();
                None
            }
            Err(error) => Some(format!("includes a file that cannot be read: {error}")),
        }
    }
}

/// What `m/(\w+)\s*=\s*(.*)/` of perl(1) finds in a line: the leftmost word that an `=` follows, and what follows that, without blanks
/// at its end.
fn assignment(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    // A word runs up to an `=`, with nothing but blanks between: the first `=` that has a word before it.
    for (at, _) in line.iter().enumerate().filter(|(_, byte)| **byte == b'=') {
        let before = trim_end(line.get(..at)?);
        let start = before.iter().rposition(|byte| !is_word(byte)).map_or(0, |at| at + 1);
        let word = before.get(start..)?;
        if !word.is_empty() {
            let value = line.get(at + 1..)?;
            let begin = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
            return Some((word, trim_end(value.get(begin..)?)));
        }
    }
    None
}

/// What `\s` matches in perl(1), without the newline.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn memory(files: &[(&str, &[u8])]) -> Files {
        Files::Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.to_vec())).collect::<BTreeMap<_, _>>())
    }

    fn read(files: &[(&str, &[u8])]) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
        let found = Fcheck::read(Path::new(files[0].0), &memory(files)).unwrap();
        let odd = |odd: &Odd| format!("{}:{}: {}", odd.place.file.display(), odd.place.line, odd.why);
        (
            found.lines.iter().map(|line| (line.word.name().to_owned(), line.value.clone())).collect(),
            found.odd.iter().map(odd).collect(),
        )
    }

    #[test]
    fn lines_are_read_as_fcheck_reads_them() {
        let text = b"# Directory = /no\n #Directory = /yes/ \nDIRECTORY\t=/etc/\t\r\nwhat a File = /f x\n\n$Signature = /usr/bin/sha256sum\n\
                     a = b = c\n== File == /odd\nnothing\nexclusion = /a#b /\nFile = /\xff";
        let (lines, odd) = read(&[("/c", text)]);
        let wanted: [(&str, &[u8]); 7] = [
            ("Directory", b"/yes/"),
            ("Directory", b"/etc/"),
            ("File", b"/f x"),
            ("Signature", b"/usr/bin/sha256sum"),
            ("File", b"= /odd"),
            ("Exclusion", b"/a#b /"),
            ("File", b"/\xff"),
        ];
        assert_eq!(lines, wanted.map(|(word, value)| (word.to_owned(), value.to_vec())));
        assert_eq!(odd, ["/c:7: sets nothing that fcheck knows", "/c:9: is no `word = value`"]);
    }

    #[test]
    fn includes_are_followed_in_their_place_and_a_circle_ends() {
        let (lines, odd) = read(&[
            ("/c", b"File = /1\nCFInclude = /d\nFile = /3\ncfinclude = rel\nCFInclude = /none\n"),
            ("/d", b"File = /2\nCFInclude = /c\nCFInclude = /e\nCFInclude = /e\n"),
            ("/e", b"HostName = x\n"),
        ]);
        let names: Vec<&[u8]> = lines.iter().map(|(_, value)| value.as_slice()).collect();
        assert_eq!(names, [&b"/1"[..], b"/2", b"x", b"x", b"/3"]);
        assert_eq!(odd.len(), 3);
        assert!(odd[0].starts_with("/d:2: includes a file that includes this one"), "{odd:?}");
        assert!(odd[1].starts_with("/c:4: includes a file by no absolute path"), "{odd:?}");
        assert!(odd[2].starts_with("/c:5: includes a file that cannot be read"), "{odd:?}");
        let deep: Vec<(String, String)> = (0..20)
            .map(|at| (format!("/{at}"), format!("CFInclude = /{}\nCFInclude = /{}\n", at + 1, at + 1)))
            .collect();
        let deep: Vec<(&str, &[u8])> = deep.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let found = Fcheck::read(Path::new("/0"), &memory(&deep)).unwrap();
        assert!(found.files.len() <= MOST_FILES);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_the_first_assignment_is_that_of_perl(line in "[a =#/\t]{0,12}") {
            let pattern = regex_automata::meta::Regex::new(r"(\w+)[ \t]*=[ \t]*([^\n]*)").unwrap();
            let mut captures = pattern.create_captures();
            pattern.captures(line.as_bytes(), &mut captures);
            let wanted = captures.get_group(1).zip(captures.get_group(2)).map(|(word, value)| {
                (&line.as_bytes()[word.start..word.end], line.as_bytes()[value.start..value.end].trim_ascii_end())
            });
            prop_assert_eq!(assignment(line.as_bytes()), wanted);
        }
    }
}
