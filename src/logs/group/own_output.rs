//! What this process has written to its own log, so that reading it back is no news.
//!
//! Standard error ends in the journal or in syslog, which may be among the logs that are read: without this every mail would make
//! the next one. Nothing is passed over by its tag, which anybody can write: a line counts as ours when it carries our PID and
//! exactly a text that we have written, and each writing excuses one line of a log.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

/// Texts remembered; more than a flood of our own lines within one interval has.
const MOST: usize = 2000;

/// Bytes compared of each.
const LONGEST: usize = 8 * 1024;

/// The texts written last, oldest first.
#[derive(Debug, Default)]
pub struct OwnLines {
    keys: RandomState,
    texts: Mutex<VecDeque<OwnText>>,
}

/// A text that was written once.
#[derive(Debug)]
struct OwnText {
    bytes: Vec<u8>,
    /// Who has read it back.
    readers: BTreeSet<u64>,
}

impl OwnLines {
    /// Remembers what was written: one or more lines.
    pub fn wrote(&self, text: &[u8]) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if !line.is_empty() {
                let bytes = line.get(..LONGEST).unwrap_or(line).to_vec();
                texts.push_back(OwnText { bytes, readers: BTreeSet::new() });
            }
        }
        let excess = texts.len().saturating_sub(MOST);
        texts.drain(..excess);
    }

    /// Whether a log line is one that this process, `pid`, has written. Each reader, a log of a group, finds each writing once: syslog
    /// may copy it into several logs.
    pub fn take(&self, line: &[u8], pid: u32, reader: &[u8]) -> bool {
        let tag = format!("integrityd[{pid}]: ");
        let Some(at) = line.windows(tag.len()).position(|part| part == tag.as_bytes()) else {
            return false;
        };
        let text = line.get(at + tag.len()..).unwrap_or_default().trim_ascii();
        let text = text.get(..LONGEST).unwrap_or(text);
        let reader = self.keys.hash_one(reader);
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.iter_mut().filter(|known| known.bytes == text).any(|known| known.readers.insert(reader))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_words_under_our_own_number_are_taken_and_each_once() {
        let own = OwnLines::default();
        own.wrote(b"2026-11-21T14:02:11Z  WARN a report was put off\n  reply=x \n");
        let line = |text: &str| format!("Nov 21 14:02:12 web3 integrityd[812]: {text}").into_bytes();
        let ours = line("2026-11-21T14:02:11Z  WARN a report was put off");
        assert!(!own.take(&ours, 813, b"a"));
        assert!(!own.take(&line("somebody else says so"), 812, b"a"));
        assert!(own.take(&ours, 812, b"a") && !own.take(&ours, 812, b"a"));
        assert!(own.take(&ours, 812, b"b") && !own.take(&ours, 812, b"b"));
        assert!(own.take(&line("  reply=x"), 812, b"a"));
        assert!(!own.take(&line(""), 812, b"a"));
    }

    #[test]
    fn memory_is_bounded() {
        let own = OwnLines::default();
        for number in 0..MOST + 5 {
            own.wrote(format!("{number}").as_bytes());
        }
        assert_eq!(own.texts.lock().unwrap().len(), MOST);
        assert!(!own.take(b"integrityd[1]: 4", 1, b"") && own.take(b"integrityd[1]: 5", 1, b""));
    }
}
