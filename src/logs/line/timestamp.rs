//! The other forms of a line's time stamp, so that rules written for one form know lines in another.
//!
//! Three in four third-party rules accept the legacy stamp only (`Nov 21 14:02:11`), others the 32 characters that rsyslog writes
//! with microseconds. A line that begins with an RFC 3339 stamp of any precision and zone is therefore also tried with both.
//! The clock reading stays what the line says; nothing is converted between zones.

/// The months of the legacy stamp.
pub(in crate::logs) const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Bytes of `2026-11-21T14:02:11`.
const SECONDS: usize = 19;

/// The line with the legacy stamp and with the stamp of 32 characters, without the one it has already; nothing when the line
/// begins with no RFC 3339 stamp and a blank.
pub fn aliases(line: &[u8]) -> Vec<Vec<u8>> {
    let Some((stamp, rest)) = line.iter().position(|byte| *byte == b' ').and_then(|at| line.split_at_checked(at))
    else {
        return Vec::new();
    };
    let Some((legacy, long)) = read(stamp) else {
        return Vec::new();
    };
    let mut found = vec![[&legacy, rest].concat()];
    if long != stamp {
        found.push([&long, rest].concat());
    }
    found
}

/// The two other forms of an RFC 3339 stamp.
fn read(stamp: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const SHAPE: &[u8; SECONDS] = b"0000-00-00T00:00:00";
    let (whole, rest) = stamp.split_at_checked(SECONDS)?;
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if !whole.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix(b".") {
        Some(tail) => tail.split_at_checked(tail.iter().take_while(|byte| byte.is_ascii_digit()).count())?,
        None => ([].as_slice(), rest),
    };
    if rest.first() == Some(&b'.') && fraction.is_empty() {
        return None;
    }
    let zone = zone_of(zone)?;
    let mut long = [whole, b"."].concat();
    long.extend(fraction.iter().chain([b'0'; 6].iter()).take(6));
    long.extend(zone);
    Some((legacy(whole)?, long))
}

/// `+01:00` for `+01:00`, `+0100` and `+01`; `+00:00` for `Z`.
fn zone_of(zone: &[u8]) -> Option<[u8; 6]> {
    match zone {
        b"Z" | b"z" => Some(*b"+00:00"),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let [a, b, c, d] = match rest {
                [a, b] => [*a, *b, b'0', b'0'],
                [a, b, b':', c, d] | [a, b, c, d] => [*a, *b, *c, *d],
                _ => return None,
            };
            [a, b, c, d].iter().all(u8::is_ascii_digit).then_some([*sign, a, b, b':', c, d])
        }
        _ => None,
    }
}

fn legacy(whole: &[u8]) -> Option<Vec<u8>> {
    let month = std::str::from_utf8(whole.get(5..7)?).ok()?.parse::<usize>().ok()?;
    let day = whole.get(8..10)?;
    let mut text = MONTHS.get(month.checked_sub(1)?)?.to_vec();
    text.push(b' ');
    text.push(if day.first() == Some(&b'0') { b' ' } else { *day.first()? });
    text.push(*day.get(1)?);
    text.push(b' ');
    text.extend(whole.get(11..)?);
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &str) -> Vec<String> {
        aliases(line.as_bytes()).into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn every_precision_and_zone_has_both_other_forms() {
        assert_eq!(shown("2026-11-21T14:02:11.123456+01:00 h x"), ["Nov 21 14:02:11 h x"]);
        for (stamp, long) in [
            ("2026-11-01T14:02:11Z", "2026-11-01T14:02:11.000000+00:00"),
            ("2026-11-01T14:02:11+01:00", "2026-11-01T14:02:11.000000+01:00"),
            ("2026-11-01T14:02:11.5-0330", "2026-11-01T14:02:11.500000-03:30"),
            ("2026-11-01T14:02:11.123456789+01", "2026-11-01T14:02:11.123456+01:00"),
        ] {
            assert_eq!(shown(&format!("{stamp} h")), ["Nov  1 14:02:11 h".to_owned(), format!("{long} h")]);
        }
    }

    #[test]
    fn what_is_no_stamp_has_no_other_form() {
        for line in [
            "Nov 21 14:02:11 h x",
            "2026-11-21T14:02:11.123456+01:00",
            "2026-13-21T14:02:11Z x",
            "2026-11-21T14:02:11 x",
            "2026-11-21T14:02:11. x",
            "2026-11-21T14:02:11.Z x",
            "",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..60), stamp in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.0-9]{0,3}[Z+-]?[0-9:]{0,5} ?") {
            let _found = (aliases(&line), aliases(stamp.as_bytes()));
        }
    }
}
