//! Reads an interval, `{2,3}`, as grep and the C library together do.

use crate::logs::pattern::ast::PatternProblem;

/// `RE_DUP_MAX`: no interval goes further.
const MOST_TIMES: u32 = 32767;

/// How often something is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) struct Interval {
    pub(in crate::logs) min: u16,
    pub(in crate::logs) max: Option<u16>,
    /// Bytes it takes with its braces.
    pub(in crate::logs) length: usize,
}

/// Reads the interval whose `{` stands before `rest`. What is none stands for itself; what the C library calls invalid is an
/// error, but only after something that can be repeated, because elsewhere the library does not look.
pub(in crate::logs) fn read(rest: &[u8], is_something: bool) -> Result<Option<Interval>, PatternProblem> {
    let refused = |is_refused: bool| if is_refused { Err(PatternProblem::Interval) } else { Ok(None) };
    let end = rest.iter().position(|byte| *byte == b'}');
    let content = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let mut parts = content.split(|byte| *byte == b',');
    let (low, high) = (parts.next().unwrap_or_default(), parts.next());
    let are_numbers = [low, high.unwrap_or_default()].iter().all(|part| part.iter().all(u8::is_ascii_digit));
    let has_more = parts.next().is_some();
    let Some(end) = end else {
        // With a second comma the library has given up before it misses the brace.
        return refused(is_something && are_numbers && has_more);
    };
    if !are_numbers {
        return Ok(None);
    }
    let first = number(low).unwrap_or(0);
    let last = high.map_or(Some(first), number);
    if has_more || content.is_empty() || last.is_some_and(|last| last < first) {
        return refused(is_something);
    }
    let within =
        |number: u32| u16::try_from(number).ok().filter(|_| number <= MOST_TIMES).ok_or(PatternProblem::TooMany);
    Ok(Some(Interval { min: within(first)?, max: last.map(within).transpose()?, length: end + 2 }))
}

/// A number, no more than one above the limit; `None` when nothing is written.
fn number(digits: &[u8]) -> Option<u32> {
    let value = |value: u32, digit: &u8| (value * 10 + u32::from(digit.saturating_sub(b'0'))).min(MOST_TIMES + 1);
    (!digits.is_empty()).then(|| digits.iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_grep_reads_them() {
        let times = |text: &str| read(text.as_bytes(), true).map(|read| read.map(|read| (read.min, read.max)));
        assert_eq!(times("2}"), Ok(Some((2, Some(2)))));
        assert_eq!(times("2,}"), Ok(Some((2, None))));
        assert_eq!(times(",3}"), Ok(Some((0, Some(3)))));
        assert_eq!(times(",}"), Ok(Some((0, None))));
        for text in ["x", "1", "1,", " 1}", "1 }", "1,x}", "-1}", "99999"] {
            assert_eq!(times(text), Ok(None), "{text}");
        }
        for text in ["2,1}", "}", "1,2,3}", "1,,}", "1,2,"] {
            assert_eq!(times(text), Err(PatternProblem::Interval), "{text}");
            assert_eq!(read(text.as_bytes(), false), Ok(None), "{text}");
        }
        assert_eq!(times("32768}"), Err(PatternProblem::TooMany));
        assert!(times("32767}").is_ok());
    }
}
