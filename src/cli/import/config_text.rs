//! A configuration in the legacy form while it is written: lines that are read back as what was meant, and comments that are plain.

use crate::{config::write::legacy_line::legacy_line, model::escape::escape_cut};

/// Of a line that is only shown, so many bytes.
const SHOWN: usize = 200;

/// Where a comment is broken.
const WIDTH: usize = 110;

/// The text so far.
#[derive(Debug, Default)]
pub(in crate::cli) struct ConfigText(Vec<u8>);

impl ConfigText {
    /// A comment in plain text, broken into lines.
    pub(in crate::cli) fn say(&mut self, words: &str) {
        let mut line = String::from("#");
        for word in words.split(' ') {
            if line.len() > 1 && line.chars().count() + word.chars().count() >= WIDTH {
                self.raw(&line);
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.raw(&line);
    }

    /// A line as it is.
    pub(in crate::cli) fn raw(&mut self, line: &str) {
        self.0.extend_from_slice(line.trim_end().as_bytes());
        self.0.push(b'\n');
    }

    /// An empty line, unless there is one.
    pub(super) fn gap(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with(b"\n\n") {
            self.0.push(b'\n');
        }
    }

    /// An item; what cannot be written becomes a comment that says why, and `false`.
    pub(in crate::cli) fn item(&mut self, name: &str, value: &[u8]) -> bool {
        match legacy_line(name, value) {
            Ok(line) => {
                self.0.extend_from_slice(&line);
                true
            }
            Err(why) => {
                self.say(&format!("not carried over: {}", escape_cut(why.as_bytes(), 500)));
                false
            }
        }
    }

    /// What stands there.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A piece of a foreign file as a comment may show it: one line, escaped and cut.
pub(in crate::cli) fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", escape_cut(bytes.trim_ascii(), SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_ends_a_comment_or_a_line() {
        let mut text = ConfigText::default();
        assert!(text.item("area", b"/srv/a"));
        assert!(!text.item("area", b"/srv/\n[x]\x1b"));
        text.say(&format!("left out: {}", quoted(b"a\nemail = x\x1b[2J")));
        text.say(&"word ".repeat(100));
        text.gap();
        text.gap();
        let text = String::from_utf8(text.into_bytes()).unwrap();
        assert!(text.ends_with("\n\n") && !text.ends_with("\n\n\n"));
        for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
            assert!(line.starts_with('#') && line.chars().all(|c| !c.is_control()), "{line:?}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH + 5), "{text}");
    }
}
