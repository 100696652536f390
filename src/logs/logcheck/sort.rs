//! The new lines of all logs as logcheck puts them in order: `sort -k 1,3 -s` or `sort -u`, then without white space at the end. Pure.
//!
//! Lines are ordered by their bytes, which is what sort(1) does in the C and the C.UTF-8 locale.

use crate::logs::pattern::{ast::Locale, char_class::ClassName};

/// How lines are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOrder {
    /// By their first three words, those with the same ones as they came.
    Stamp,
    /// By all they say; of equal ones only one is kept.
    Unique,
}

/// The lines of `heap`, each of which ends with a newline.
pub fn arrange(heap: &[u8], order: LogOrder, locale: Locale) -> Vec<&[u8]> {
    let Some(heap) = heap.strip_suffix(b"\n") else { return Vec::new() };
    let mut lines: Vec<&[u8]> = heap.split(|byte| *byte == b'\n').collect();
    match order {
        LogOrder::Stamp => lines.sort_by(|one, other| key(one).cmp(key(other))),
        LogOrder::Unique => {
            lines.sort_unstable();
            lines.dedup();
        }
    }
    for line in &mut lines {
        *line = stripped(line, locale);
    }
    lines
}

/// From the beginning to the end of the third word, blanks included.
fn key(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut rest = line;
    for _ in 0..3 {
        let word = rest.iter().position(|byte| !is_blank(byte)).unwrap_or(rest.len());
        rest = rest.get(word..).unwrap_or_default();
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        rest = rest.get(end..).unwrap_or_default();
    }
    line.get(..line.len() - rest.len()).unwrap_or(line)
}

/// Without the `[[:space:]]` at its end.
fn stripped(line: &[u8], locale: Locale) -> &[u8] {
    let mut line = line;
    loop {
        let Some(last) = line.last() else { return line };
        let length = match locale {
            _ if ClassName::Space.has_ascii(*last) => 1,
            Locale::Utf8 if *last >= 0x80 => wide_space(line),
            _ => 0,
        };
        if length == 0 {
            return line;
        }
        line = line.get(..line.len() - length).unwrap_or_default();
    }
}

/// How many bytes a white space beyond ASCII takes at the end; 0 when there is none.
fn wide_space(line: &[u8]) -> usize {
    let ends_with_one = |length: &usize| {
        let tail = line.len().checked_sub(*length).and_then(|from| line.get(from..)).unwrap_or_default();
        let mut letters = str::from_utf8(tail).unwrap_or_default().chars();
        letters.next().is_some_and(|letter| ClassName::Space.has(letter)) && letters.next().is_none()
    };
    (2..=4).find(ends_with_one).unwrap_or(0)
}

/// Whether a line is white space only, and so neither a rule nor the name of a log.
pub fn is_blank(line: &[u8], locale: Locale) -> bool {
    stripped(line, locale).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(heap: &str, order: LogOrder) -> Vec<String> {
        let lines = arrange(heap.as_bytes(), order, Locale::Utf8);
        lines.into_iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_first_three_words_decide_and_then_the_order_they_came_in() {
        let heap = "b 1 1 x\na 2 1 z\na 2 1 y\n a\na 2\na  1 1\n";
        assert_eq!(arranged(heap, LogOrder::Stamp), [" a", "a  1 1", "a 2", "a 2 1 z", "a 2 1 y", "b 1 1 x"]);
        assert_eq!(arranged("b\na\nb\n", LogOrder::Unique), ["a", "b"]);
        assert_eq!(arranged("", LogOrder::Unique), [""; 0]);
        assert_eq!(arranged("\n", LogOrder::Stamp), [""]);
    }

    #[test]
    fn white_space_at_the_end_goes_after_the_lines_were_compared() {
        assert_eq!(arranged("a \r\na\n", LogOrder::Unique), ["a", "a"]);
        assert_eq!(arranged("a\u{2003} \u{3000}\t\n", LogOrder::Stamp), ["a"]);
        assert_eq!(arranged("a\u{a0}\n", LogOrder::Stamp), ["a\u{a0}"]);
        assert_eq!(arrange("a\u{2003}\n".as_bytes(), LogOrder::Stamp, Locale::C), ["a\u{2003}".as_bytes()]);
        assert_eq!(arrange(b"a\xff \n", LogOrder::Stamp, Locale::Utf8), [b"a\xff"]);
    }
}
