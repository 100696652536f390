//! A line of syslog taken apart: time stamp, host, tag, pid and text.
//!
//! Pure. A legacy stamp has neither year nor zone, so two lines are compared by what a clock on the wall of this machine showed.

use jiff::{
    Timestamp as Instant,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use crate::{logs::line::timestamp::MONTHS, model::clock::Timestamp};

/// When a line was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogStamp {
    /// `Nov 21 14:02:11`: month, day, hour, minute, second.
    Legacy([i8; 5]),
    /// RFC 3339.
    Exact(Instant),
}

/// The parts of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// When it was logged.
    pub stamp: SyslogStamp,
    /// The host.
    pub host: &'a [u8],
    /// The tag, which may be empty.
    pub tag: &'a [u8],
    /// What stands in brackets behind the tag, digits only.
    pub pid: Option<&'a [u8]>,
    /// The text, without white space at its end.
    pub text: &'a [u8],
}

/// Takes a line apart; `None` when it begins with no stamp and host.
pub fn parse(line: &[u8]) -> Option<Message<'_>> {
    let (stamp, rest) = legacy(line).or_else(|| exact(line))?;
    let (host, rest) = cut(rest, b' ').filter(|(host, _)| !host.is_empty())?;
    let end = rest.windows(2).position(|pair| pair == b": ").or_else(|| rest.strip_suffix(b":").map(<[u8]>::len));
    let (head, text) = match end.and_then(|end| rest.split_at_checked(end)) {
        Some((head, text)) if !head.contains(&b' ') => (head, text.get(2..).unwrap_or_default()),
        _ => (&[][..], rest),
    };
    let bracket = head.iter().rposition(|byte| *byte == b'[');
    let (tag, pid) = match bracket.and_then(|at| head.split_at_checked(at)) {
        Some((tag, [b'[', pid @ .., b']'])) if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit) => {
            (tag, Some(pid))
        }
        _ => (head, None),
    };
    Some(Message { stamp, host, tag, pid, text: text.trim_ascii_end() })
}

impl SyslogStamp {
    /// What a clock in `zone` showed, in seconds; the year of a legacy stamp is the one that brings it nearest to `now`.
    pub fn wall_seconds(&self, zone: &TimeZone, now: Timestamp) -> Option<i64> {
        let civil = match self {
            Self::Exact(at) => at.to_zoned(zone.clone()).datetime(),
            Self::Legacy([month, day, hour, minute, second]) => {
                let now = Instant::from_nanosecond(i128::from(now.as_nanos())).ok()?.to_zoned(zone.clone()).datetime();
                let (instant, at) = (seconds(now), |year: i16| {
                    let date = Date::new(year, *month, *day).ok()?;
                    Some(DateTime::from_parts(date, jiff::civil::Time::new(*hour, *minute, *second, 0).ok()?))
                });
                let years = [now.year().checked_sub(1)?, now.year(), now.year().checked_add(1)?];
                years.into_iter().filter_map(at).min_by_key(|at| seconds(*at).abs_diff(instant))?
            }
        };
        Some(seconds(civil))
    }
}

fn seconds(at: DateTime) -> i64 {
    at.to_zoned(TimeZone::UTC).map_or(0, |at| at.timestamp().as_second())
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let (before, after) = bytes.split_at_checked(bytes.iter().position(|byte| *byte == at)?)?;
    Some((before, after.get(1..)?))
}

/// A legacy stamp and nothing else.
pub(in crate::logs) fn legacy_stamp(text: &[u8]) -> Option<SyslogStamp> {
    legacy(&[text, b" "].concat()).filter(|(_, rest)| rest.is_empty()).map(|(stamp, _)| stamp)
}

fn legacy(line: &[u8]) -> Option<(SyslogStamp, &[u8])> {
    let (stamp, rest) = line.split_at_checked(15)?;
    let rest = rest.strip_prefix(b" ")?;
    let [m0, m1, m2, b' ', d0, d1, b' ', h0, h1, b':', i0, i1, b':', s0, s1] = stamp else { return None };
    let month = MONTHS.iter().position(|month| *month == [*m0, *m1, *m2])?;
    let tens = if *d0 == b' ' { b'0' } else { *d0 };
    let stamp = [
        i8::try_from(month + 1).ok()?,
        pair(tens, *d1)?,
        pair(*h0, *h1)?,
        pair(*i0, *i1)?,
        // A leap second is no time of jiff.
        pair(*s0, *s1)?.min(59),
    ];
    let is_time = (1..=31).contains(&stamp[1]) && (0..24).contains(&stamp[2]) && (0..60).contains(&stamp[3]);
    is_time.then_some((SyslogStamp::Legacy(stamp), rest))
}

fn pair(tens: u8, ones: u8) -> Option<i8> {
    let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
    is_number.then(|| i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()).flatten()
}

fn exact(line: &[u8]) -> Option<(SyslogStamp, &[u8])> {
    let (stamp, rest) = cut(line, b' ')?;
    let is_stamp = stamp.len() <= 40 && stamp.get(10) == Some(&b'T') && stamp.first()?.is_ascii_digit();
    let at = str::from_utf8(stamp).ok().filter(|_| is_stamp)?.parse().ok()?;
    Some((SyslogStamp::Exact(at), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds_of(line: &str, zone: &TimeZone, now: &str) -> i64 {
        let now: Instant = now.parse().unwrap();
        let now = Timestamp::from_nanos(i64::try_from(now.as_nanosecond()).unwrap());
        parse(line.as_bytes()).unwrap().stamp.wall_seconds(zone, now).unwrap()
    }

    #[test]
    fn lines_are_taken_apart() {
        let parts = |line: &'static str| {
            let message = parse(line.as_bytes()).unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            [message.host, message.tag, message.pid.unwrap_or(b"-"), message.text].map(text).join("|")
        };
        assert_eq!(parts("Nov  1 14:02:11 h sshd[12]: Accepted: yes  "), "h|sshd|12|Accepted: yes");
        assert_eq!(parts("Nov 01 14:02:11 h kernel: x"), "h|kernel|-|x");
        assert_eq!(parts("2026-11-21T14:02:11.123456+01:00 h postfix/smtp[1]: [2]: x"), "h|postfix/smtp|1|[2]: x");
        assert_eq!(parts("2026-11-21T14:02:11Z h a[b]: x"), "h|a[b]|-|x");
        assert_eq!(parts("Nov 21 14:02:11 h last message repeated: 3"), "h||-|last message repeated: 3");
        assert_eq!(parts("Nov 21 14:02:11 h app:"), "h|app|-|");
        for line in [
            "",
            "Nov 21 14:02:11",
            "Nov 41 14:02:11 h x",
            "Nuv 21 14:02:11 h x",
            "                 indented",
            "2026-13-21T14:02:11Z h x",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn both_stamps_show_the_same_clock_on_the_wall() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let now = "2026-11-21T13:02:20Z";
        let legacy = seconds_of("Nov 21 14:02:11 h x: y", &zone, now);
        assert_eq!(seconds_of("2026-11-21T13:02:11.9Z h x: y", &zone, now), legacy);
        assert_eq!(seconds_of("2026-11-21T08:02:11-05:00 h x: y", &zone, now), legacy);
        // Around the turn of the year.
        let turn = seconds_of("Dec 31 23:59:59 h x: y", &TimeZone::UTC, "2027-01-01T00:00:05Z");
        assert_eq!(seconds_of("2027-01-01T00:00:00Z h x: y", &TimeZone::UTC, "2027-01-01T00:00:05Z"), turn + 1);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..60), stamp in "[JFN][aeo][nbv] [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ?[a-z\\[\\]0-9: ]{0,20}") {
            let _found = (parse(&line), parse(stamp.as_bytes()).map(|message| message.stamp.wall_seconds(&TimeZone::UTC, Timestamp::from_nanos(0))));
        }
    }
}
