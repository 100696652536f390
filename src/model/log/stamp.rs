//! The time stamp that a line of a log begins with.

/// The bytes of a time stamp at the beginning of a line, with the blank behind it; 0 when there is none.
///
/// Known are the legacy stamp of RFC 3164 (`Nov 21 14:02:11`) and RFC 3339 of any precision and zone.
pub fn length(line: &[u8]) -> usize {
    let fits = |shape: &[u8], line: &[u8]| {
        line.len() >= shape.len()
            && shape.iter().zip(line).all(|(shape, byte)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'_' => byte.is_ascii_digit() || *byte == b' ',
                b'A' => byte.is_ascii_uppercase(),
                b'a' => byte.is_ascii_lowercase(),
                _ => shape == byte,
            })
    };
    if fits(b"Aaa _0 00:00:00 ", line) {
        return 16;
    }
    if !fits(b"0000-00-00T00:00:00", line) {
        return 0;
    }
    let Some(length) = line.iter().take(64).position(|byte| *byte == b' ') else { return 0 };
    let rest = line.get(19..length).unwrap_or_default();
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let zone = match rest.strip_prefix(b".") {
        Some(tail) if digits(tail) > 0 => tail.get(digits(tail)..).unwrap_or_default(),
        Some(_) => return 0,
        None => rest,
    };
    let is_zone = match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', offset @ ..] => {
            [&b"00:00"[..], b"0000", b"00"].iter().any(|shape| shape.len() == offset.len() && fits(shape, offset))
        }
        _ => false,
    };
    if is_zone { length + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_known_whatever_their_precision_and_zone() {
        for stamp in [
            "Nov 21 14:02:11 ",
            "Nov  1 14:02:11 ",
            "2026-11-21T14:02:11Z ",
            "2026-11-21T14:02:11.123456+01:00 ",
            "2026-11-21T14:02:11-0330 ",
            "2026-11-21T14:02:11.5+01 ",
        ] {
            assert_eq!(length(format!("{stamp}host x").as_bytes()), stamp.len(), "{stamp}");
        }
        for line in [
            "",
            "Nov 21 14:02:11",
            "nov 21 14:02:11 x",
            "Nov 21 14:02:1 x",
            "2026-11-21T14:02:11 x",
            "2026-11-21T14:02:11.Z x",
            "2026-11-21T14:02:11+01:0 x",
            "2026-11-21T14:02:11Z",
            "2026-11-21 14:02:11 x",
        ] {
            assert_eq!(length(line.as_bytes()), 0, "{line}");
        }
    }
}
