//! What is wrong with a configuration: every fault of all its files, shown at once.
//!
//! A configuration is written by root, but a mistyped file may hold anything, and what is shown of it reaches a terminal and a
//! mail. So everything outside printable ASCII is escaped here, at the last moment, whoever made the text.

use std::{
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// At most so many bytes of a bad value are shown.
const SHOWN: usize = 100;

/// One mistake, or one oddity, with its place. Displays as `file:line: what: hint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file it stands in.
    pub file: PathBuf,
    /// The line, from 1; `None` when it concerns the file as a whole.
    pub line: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.as_os_str().as_bytes().escape_ascii())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", printable(&self.what))?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, ": {}", printable(&self.hint)) }
    }
}

/// All faults of a configuration, in the order of its files and lines; displays one in a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Fault>);

/// A mistake before its place is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct ConfigProblem {
    /// What is wrong.
    pub(in crate::config) what: String,
    /// What to do about it.
    pub(in crate::config) hint: String,
}

impl ConfigProblem {
    /// A mistake and its remedy.
    pub(in crate::config) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// `text` with everything but printable ASCII escaped, so that no byte of a file steers a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == ' ' || letter.is_ascii_graphic() {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_default());
        }
    }
    shown
}

/// A value as a fault shows it: escaped, and cut after 100 bytes.
pub(in crate::config) fn show(value: &[u8]) -> String {
    match value.get(..SHOWN) {
        Some(start) if value.len() > SHOWN => format!("{}...", start.escape_ascii()),
        _ => value.escape_ascii().to_string(),
    }
}

/// A path as a fault shows it: escaped, never cut.
pub(in crate::config) fn show_path(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_file_line_what_hint() {
        let mut fault = Fault {
            file: PathBuf::from("/etc/integrityd.conf"),
            line: Some(7),
            what: "unknown item `aera`".into(),
            hint: "did you mean `area`?".into(),
        };
        assert_eq!(fault.to_string(), "/etc/integrityd.conf:7: unknown item `aera`: did you mean `area`?");
        fault.line = None;
        fault.hint.clear();
        assert_eq!(fault.to_string(), "/etc/integrityd.conf: unknown item `aera`");
    }

    #[test]
    fn terminal_escapes_in_any_part_are_disarmed() {
        let fault = Fault {
            file: PathBuf::from("/tmp/\u{1b}[2J"),
            line: None,
            what: "\u{1b}[31m\u{202e}".into(),
            hint: "a\r\nb\u{9b}".into(),
        };
        let shown = fault.to_string();
        assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown:?}");
        assert_eq!(shown, r"/tmp/\x1b[2J: \u{1b}[31m\u{202e}: a\r\nb\u{9b}");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(show(&[b'x'; 100]).len(), 100);
        assert_eq!(show(&[b'x'; 101]), format!("{}...", "x".repeat(100)));
    }
}
