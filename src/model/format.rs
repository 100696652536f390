//! Numbers, sizes and spans as people read them.

use std::time::Duration;

use crate::model::escape::hex;

/// `1234567` as `1,234,567`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 change`, `2 changes`.
pub fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// Bytes in the largest unit that leaves two figures or more: `9,216 B`, `23 MiB`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut name = "B";
    for unit in units {
        if value < 10 * 1024 {
            break;
        }
        value /= 1024;
        name = unit;
    }
    format!("{} {name}", number(value))
}

/// A span: `41 s`, `12 min`, `3 h`, `2 d`.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// The age of a check with its tenths, so that `8.6 d of 7d` can be told: `41 s`, `12 min`, `3.5 h`, `8.6 d`.
pub fn age(age: Duration) -> String {
    let tenths = |seconds: u64, unit: u64, name: &str| {
        let tenths = seconds.saturating_mul(10) / unit;
        format!("{}.{} {name}", number(tenths / 10), tenths % 10)
    };
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => tenths(seconds, 3600, "h"),
        seconds => tenths(seconds, 86_400, "d"),
    }
}

/// A rate with two figures: `0.04`, `1.9`, `1,250`.
pub fn rate(value: f64) -> String {
    let figures = if value < 0.1 { format!("{value:.2}") } else { format!("{value:.1}") };
    let shown = if value < 10.0 { figures } else { format!("{value:.0}") };
    match shown.parse::<u64>() {
        Ok(whole) => number(whole),
        Err(_) => shown.strip_suffix(".0").map_or(shown.clone(), str::to_owned),
    }
}

/// Most bytes shown of one name, value or line.
pub(crate) const VALUE_LIMIT: usize = 500;

/// The first 16 hexadecimal digits of a digest.
pub(crate) fn digits16(digest: &[u8]) -> String {
    hex(digest.get(..8).unwrap_or(digest))
}

/// A length as [`number`] shows it.
pub(crate) fn length(value: usize) -> String {
    number(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_two_figures() {
        let shown: Vec<String> = [0.0, 0.042, 0.5, 1.0, 1.94, 9.96, 50.0, 1250.4].map(rate).into();
        assert_eq!(shown, ["0.00", "0.04", "0.5", "1", "1.9", "10", "50", "1,250"]);
    }

    #[test]
    fn sizes_and_spans_keep_their_units() {
        assert_eq!([9, 10_239, 10_240, 24_117_248].map(size), ["9 B", "10,239 B", "10 KiB", "23 MiB"]);
        assert_eq!(
            [119, 120, 7_200, 172_800].map(|seconds| span(Duration::from_secs(seconds))),
            ["119 s", "2 min", "2 h", "2 d"]
        );
        assert_eq!(
            [119, 120, 12_600, 743_040].map(|seconds| age(Duration::from_secs(seconds))),
            ["119 s", "2 min", "3.5 h", "8.6 d"]
        );
        assert_eq!([counted(1, "entry", "entries"), counted(1532, "entry", "entries")], ["1 entry", "1,532 entries"]);
    }
}
