//! Numbers with units: spans of time, sizes, and rates, read from text and written as text.
//!
//! Spans and sizes are computed in integers, so that what is written is read back exactly; only rates are floating point,
//! because that is what the walker multiplies.

use std::time::Duration;

use thiserror::Error;

const NANOS: u128 = 1_000_000_000;

/// Names of spans with their nanoseconds.
const SPANS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS),
    ("sec", NANOS),
    ("m", 60 * NANOS),
    ("min", 60 * NANOS),
    ("h", 3_600 * NANOS),
    ("d", 86_400 * NANOS),
    ("w", 7 * 86_400 * NANOS),
];

/// Names of sizes with their bytes. `k` and `KiB` are the same here: disks are sold in thousands, but no setting cares.
const SIZES: &[(&str, u128)] = &[
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// Why a text is no number with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnitError {
    /// It does not start with a number.
    #[error("not a number")]
    NotANumber,
    /// The number is followed by something that is no unit here.
    #[error("unknown unit")]
    UnknownUnit,
    /// It does not fit.
    #[error("too large")]
    TooLarge,
}

/// Reads a span of time: `30s`, `15m`, `1.5h`, `7d`, `500ms`; a bare number is seconds.
///
/// # Errors
/// When it is not a number with a unit of time, or does not fit into a [`Duration`].
pub fn parse_span(text: &str) -> Result<Duration, UnitError> {
    let nanos = parse_scaled(text, SPANS, NANOS)?;
    let (Ok(seconds), Ok(rest)) = (u64::try_from(nanos / NANOS), u32::try_from(nanos % NANOS)) else {
        return Err(UnitError::TooLarge);
    };
    Ok(Duration::new(seconds, rest))
}

/// Reads a size in bytes: `256k`, `1MiB`, `2M`, `1.5G`, in either case; all are multiples of 1024; a bare number is bytes.
///
/// # Errors
/// When it is not a number with a unit of size, or above `u64::MAX`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let bytes = parse_scaled(&text.to_ascii_lowercase(), SIZES, 1)?;
    u64::try_from(bytes).or(Err(UnitError::TooLarge))
}

/// Reads a rate per second: `2`, `0.5`, `10/s`. Finite and never negative.
///
/// # Errors
/// When it is not a decimal number.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let number = without_per_second(text);
    if !number.bytes().any(|byte| byte.is_ascii_digit())
        || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(UnitError::NotANumber);
    }
    match number.parse::<f64>() {
        Ok(rate) if rate.is_finite() => Ok(rate),
        Ok(_) => Err(UnitError::TooLarge),
        Err(_) => Err(UnitError::NotANumber),
    }
}

/// `text` without a closing `/s`.
pub(in crate::config) fn without_per_second(text: &str) -> &str {
    let text = text.trim_ascii();
    text.strip_suffix("/s").map_or(text, str::trim_ascii_end)
}

/// A span as [`parse_span`] reads it back exactly, in the largest unit that needs no fraction: `15m`, `7d`, `500ms`.
pub fn format_span(span: Duration) -> String {
    let nanos = span.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, scale) in
        [("d", 86_400 * NANOS), ("h", 3_600 * NANOS), ("m", 60 * NANOS), ("s", NANOS), ("ms", 1_000_000), ("us", 1_000)]
    {
        if nanos.is_multiple_of(scale) {
            return format!("{}{unit}", nanos / scale);
        }
    }
    format!("{nanos}ns")
}

/// A size as [`parse_size`] reads it back exactly, in the largest unit that needs no fraction: `256k`, `1000`, `10G`.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0".to_owned();
    }
    for (unit, scale) in [("T", 1_u64 << 40), ("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)] {
        if bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// A rate as [`parse_rate`] reads it back exactly.
pub fn format_rate(rate: f64) -> String {
    rate.to_string()
}

/// `number` as the nearest floating-point number; exact up to 2⁵³.
pub fn to_float(number: u64) -> f64 {
    let half = |part: u64| f64::from(u32::try_from(part & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    half(number >> 32) * 4_294_967_296.0 + half(number)
}

/// The number at the start of `text`, times what the unit behind it says, or times `bare` when there is none.
fn parse_scaled(text: &str, units: &[(&str, u128)], bare: u128) -> Result<u128, UnitError> {
    let text = text.trim_ascii();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or(UnitError::NotANumber)?;
    let unit = unit.trim_ascii_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(UnitError::NotANumber);
    }
    let scale = match units.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() => bare,
        None => return Err(UnitError::UnknownUnit),
    };
    let whole = if whole.is_empty() { 0 } else { digits(whole)? };
    // Digits beyond the twelfth are below a nanosecond of any span in use; they are read, not counted.
    let counted = fraction.get(..12).unwrap_or(fraction);
    let part = if counted.is_empty() { 0 } else { digits(counted)? };
    let places = u32::try_from(counted.len()).unwrap_or(0);
    let below_one = part.checked_mul(scale).ok_or(UnitError::TooLarge)? / 10_u128.pow(places);
    whole.checked_mul(scale).and_then(|value| value.checked_add(below_one)).ok_or(UnitError::TooLarge)
}

/// A run of digits; only its length can be wrong.
fn digits(text: &str) -> Result<u128, UnitError> {
    text.parse().or(Err(UnitError::TooLarge))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_take_units_and_fractions() {
        for (text, millis) in [
            ("30", 30_000),
            ("30s", 30_000),
            ("15m", 900_000),
            ("15 min", 900_000),
            ("500ms", 500),
            ("1h", 3_600_000),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
            (".5", 500),
            ("0", 0),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn all_sizes_are_binary() {
        for (text, bytes) in [
            ("131072", 131_072),
            ("256k", 262_144),
            ("256K", 262_144),
            ("1MiB", 1 << 20),
            ("1M", 1 << 20),
            ("1MB", 1 << 20),
            ("0.5G", 1 << 29),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (text, error) in [
            ("", UnitError::NotANumber),
            (".", UnitError::NotANumber),
            ("-5", UnitError::NotANumber),
            ("1.2.3", UnitError::NotANumber),
            ("ten", UnitError::NotANumber),
            ("5 fortnights", UnitError::UnknownUnit),
            ("5k", UnitError::UnknownUnit),
            ("99999999999999999999999999999999999999999", UnitError::TooLarge),
            ("99999999999999999999d", UnitError::TooLarge),
        ] {
            assert_eq!(parse_span(text), Err(error), "{text}");
        }
        assert_eq!(parse_size("5s"), Err(UnitError::UnknownUnit));
        assert_eq!(parse_size("16777216T"), Err(UnitError::TooLarge));
        for text in ["", ".", "-1", "1e3", "inf", "nan", "1,5", "1..2"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(parse_rate("0.5 /s"), Ok(0.5));
    }

    #[test]
    fn spans_and_sizes_are_written_short() {
        assert_eq!(format_span(Duration::from_mins(15)), "15m");
        assert_eq!(format_span(Duration::from_secs(90)), "90s");
        assert_eq!(format_span(Duration::ZERO), "0s");
        assert_eq!(format_span(Duration::from_hours(24 * 400)), "400d");
        assert_eq!(format_size(262_144), "256k");
        assert_eq!(format_size(1_000), "1000");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            assert!(parse_rate(&text).is_ok_and(f64::is_finite) || parse_rate(&text).is_err());
            assert!(parse_span(&text).ok().is_none_or(|span| parse_span(&format_span(span)) == Ok(span)));
            assert!(parse_size(&text).ok().is_none_or(|size| parse_size(&format_size(size)) == Ok(size)));
        }

        #[test]
        fn numberlike_text_does_not_panic(text in "[0-9.]{0,60}[a-zA-Z/]{0,4}") {
            assert!(parse_rate(&text).is_ok_and(f64::is_finite) || parse_rate(&text).is_err());
            assert!(parse_span(&text).ok().is_none_or(|span| parse_span(&format_span(span)) == Ok(span)));
            assert!(parse_size(&text).ok().is_none_or(|size| parse_size(&format_size(size)) == Ok(size)));
        }

        #[test]
        fn a_written_span_is_read_back(seconds in any::<u64>(), nanos in 0_u32..1_000_000_000) {
            let span = Duration::new(seconds, nanos);
            prop_assert_eq!(parse_span(&format_span(span)), Ok(span));
        }

        #[test]
        fn a_written_size_is_read_back(bytes in any::<u64>(), shift in 0_u32..60) {
            let bytes = bytes >> shift << shift;
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn a_written_rate_is_read_back(rate in 0.0_f64..1e12) {
            prop_assert_eq!(parse_rate(&format_rate(rate)), Ok(rate));
        }

        #[test]
        fn floats_of_small_numbers_are_exact(number in 0_u64..1 << 53) {
            prop_assert_eq!(to_float(number).to_string(), number.to_string());
        }
    }
}
