//! What this process has written to its own log, so that reading it back is no news.
//!
//! Standard error ends in the journal or in syslog, which may be among the logs that are read: without this every mail would make
//! the next one. Nothing is passed over by its tag, which anybody can write: a line counts as ours when our name and PID stand where
//! the tag of a line stands, exactly a text that we have written is all behind them, and each writing excuses one line of a log.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

use crate::logs::line::syslog::{self, Message};

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
        let is_tagged = |message: &Message<'_>| {
            message.tag == b"integrityd" && message.pid.is_some_and(|known| known == pid.to_string().as_bytes())
        };
        let Some(message) = syslog::parse(line).filter(is_tagged) else { return false };
        let text = message.text.trim_ascii();
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
    fn our_words_at_the_end_of_somebody_elses_line_do_not_hide_it() {
        let own = OwnLines::default();
        own.wrote(b"report 7: 1 changed");
        for line in [
            "Nov 21 14:02:12 web3 sudo: mallory : USER=root ; COMMAND=/bin/evil integrityd[812]: report 7: 1 changed",
            "Nov 21 14:02:12 integrityd[812]: report 7: 1 changed",
            "Nov 21 14:02:12 web3 xintegrityd[812]: report 7: 1 changed",
            "integrityd[812]: report 7: 1 changed",
        ] {
            assert!(!own.take(line.as_bytes(), 812, b"a"), "{line}");
        }
        assert!(own.take(b"2026-11-21T14:02:12Z web3 integrityd[812]: report 7: 1 changed", 812, b"a"));
    }

    #[test]
    fn memory_is_bounded() {
        let own = OwnLines::default();
        for number in 0..MOST + 5 {
            own.wrote(format!("{number}").as_bytes());
        }
        assert_eq!(own.texts.lock().unwrap().len(), MOST);
        let line = |number: u8| format!("Nov 21 14:02:12 web3 integrityd[1]: {number}").into_bytes();
        assert!(!own.take(&line(4), 1, b"") && own.take(&line(5), 1, b""));
    }
}
