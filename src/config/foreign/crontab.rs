//! The lines of cron's tables (crontab(5)) that run a program that is replaced: how often they do, and as whom. Pure.

use std::time::Duration;

/// What a line that was switched off begins with; behind it the line is as it was.
pub const OFF: &[u8] = b"#off by integrityd: ";

const MINUTES_OF_WEEK: usize = 7 * 24 * 60;

/// A line that runs the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 1.
    pub line: u32,
    /// The longest time between two runs; `None` when the line tells no regular one, such as `@reboot`.
    pub interval: Option<Duration>,
    /// What is run.
    pub command: Vec<u8>,
    /// Whether it was switched off by [`switch`].
    pub is_off: bool,
}

/// The lines of `text` that run a program called `name`. In a table of the system a user stands before the command.
pub fn jobs(text: &[u8], name: &str, has_user: bool) -> Vec<Job> {
    let mut found = Vec::new();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let (is_off, bytes) = bytes.strip_prefix(OFF).map_or((false, bytes), |bytes| (true, bytes));
        if let Some((interval, command)) = job(bytes, name, has_user) {
            found.push(Job { line, interval, command: command.to_vec(), is_off });
        }
    }
    found
}

/// `text` with all lines that run `name` switched off, or on again; every other byte stays as it is.
pub fn switch(text: &[u8], name: &str, has_user: bool, is_off: bool) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| match line.strip_prefix(OFF) {
        Some(was) if !is_off && job(was, name, has_user).is_some() => was.to_vec(),
        None if is_off && job(line, name, has_user).is_some() => [OFF, line].concat(),
        _ => line.to_vec(),
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// Programs that run the program named behind their own options.
const WRAPPERS: [&[u8]; 11] =
    [b"nice", b"ionice", b"nocache", b"env", b"timeout", b"chrt", b"taskset", b"flock", b"setpriv", b"sudo", b"exec"];

/// Words of the shell before a command.
const KEYWORDS: [&[u8]; 10] = [b"if", b"then", b"elif", b"else", b"do", b"while", b"until", b"!", b"{", b"time"];

/// Whether `command` runs a program called `name` itself: in the place of a command, not as somebody's argument; `integrityd logcheck`
/// does not run logcheck.
pub fn runs(command: &[u8], name: &str) -> bool {
    let is_named = |program: &[u8]| program.rsplit(|byte| *byte == b'/').next() == Some(name.as_bytes());
    simple_commands(command).iter().any(|words| program(words).is_some_and(is_named))
}

/// The program that a simple command runs.
fn program(words: &[Vec<u8>]) -> Option<&[u8]> {
    let mut words = words.iter().map(Vec::as_slice).peekable();
    while let Some(word) = words.next() {
        let base = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if KEYWORDS.contains(&word) || is_assignment(word) {
            continue;
        }
        if !WRAPPERS.contains(&base) {
            return Some(word);
        }
        // Its options, each with what may be its value.
        while let Some(next) = words.peek().copied() {
            let takes_value = next.len() == 2 && next.starts_with(b"-");
            if !next.starts_with(b"-") && !next.first().is_some_and(u8::is_ascii_digit) {
                break;
            }
            words.next();
            if takes_value && base != b"env" {
                words.next_if(|value| !value.contains(&b'/') && !value.starts_with(b"-"));
            }
        }
    }
    None
}

fn is_assignment(word: &[u8]) -> bool {
    word.split_first().is_some_and(|(first, _)| first.is_ascii_alphabetic() || *first == b'_')
        && word.split(|byte| *byte == b'=').next().is_some_and(|name| {
            name.len() < word.len() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        })
}

/// The words of each simple command of a line of the shell, quotes taken off; what is quoted is one word.
fn simple_commands(line: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut commands: Vec<Vec<Vec<u8>>> = vec![Vec::new()];
    let mut word: Option<Vec<u8>> = None;
    let mut quote: Option<u8> = None;
    for byte in line.iter().chain(b"\n").copied() {
        match quote {
            Some(mark) if byte == mark => quote = None,
            None if matches!(byte, b'\'' | b'"') => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            None if byte.is_ascii_whitespace() || b";&|()".contains(&byte) => {
                if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
                    command.push(word);
                }
                if !byte.is_ascii_whitespace() {
                    commands.push(Vec::new());
                }
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    commands
}

/// When a line runs, and its command, when that runs `name`.
fn job<'a>(line: &'a [u8], name: &str, has_user: bool) -> Option<(Option<Duration>, &'a [u8])> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let is_nickname = line.starts_with(b"@");
    let (times, mut command) = fields(line, if is_nickname { 1 } else { 5 })?;
    if has_user {
        (_, command) = fields(command, 1)?;
    }
    let is_time = |field: &&[u8]| field.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'*');
    // `NAME = value` sets the environment.
    if !is_nickname && !times.get(..2)?.iter().all(is_time) || !runs(command, name) {
        return None;
    }
    Some((if is_nickname { nickname(times.first()?) } else { interval(&times) }, command))
}

/// The first `count` fields of a line, and the rest.
fn fields(line: &[u8], count: usize) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut rest = line;
    let mut found = Vec::new();
    for _ in 0..count {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(u8::is_ascii_whitespace)?;
        let (field, after) = rest.split_at_checked(end)?;
        found.push(field);
        rest = after;
    }
    Some((found, rest.trim_ascii_start()))
}

fn nickname(word: &[u8]) -> Option<Duration> {
    Some(match word.to_ascii_lowercase().as_slice() {
        b"@hourly" => Duration::from_hours(1),
        b"@daily" | b"@midnight" => Duration::from_hours(24),
        b"@weekly" => Duration::from_hours(24 * 7),
        _ => return None,
    })
}

/// The longest time between two runs; `None` when it depends on the day of the month.
fn interval(times: &[&[u8]]) -> Option<Duration> {
    let [minutes, hours, days, months, weekdays] = times else { return None };
    if *days != b"*" || *months != b"*" {
        return None;
    }
    let (minutes, hours) = (set(minutes, 0, 59)?, set(hours, 0, 23)?);
    // 7 is a Sunday too.
    let weekdays: Vec<usize> = set(weekdays, 0, 7)?.into_iter().map(|day| day % 7).collect();
    let mut runs = vec![false; MINUTES_OF_WEEK];
    for day in weekdays {
        for hour in &hours {
            for minute in &minutes {
                if let Some(run) = runs.get_mut((day * 24 + hour) * 60 + minute) {
                    *run = true;
                }
            }
        }
    }
    let runs: Vec<usize> = runs.iter().enumerate().filter(|(_, run)| **run).map(|(at, _)| at).collect();
    let around = runs.first()? + MINUTES_OF_WEEK - runs.last()?;
    let longest = runs
        .windows(2)
        .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
        .max()
        .map_or(around, |gap| gap.max(around));
    u64::try_from(longest).ok().map(|minutes| Duration::from_secs(minutes * 60))
}

/// The numbers of a field: `*`, `5`, `1-5`, `*/2`, `1-9/3`, joined by commas; also the names of days.
fn set(field: &[u8], least: usize, most: usize) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    for part in str::from_utf8(field).ok()?.split(',') {
        let (range, step) = part.split_once('/').map_or((part, Some(1)), |(range, step)| (range, step.parse().ok()));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from < least || to > most || from > to {
            return None;
        }
        found.extend((from..=to).step_by(step.filter(|step| *step > 0)?));
    }
    Some(found)
}

fn number(text: &str) -> Option<usize> {
    let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    days.iter().position(|day| text.eq_ignore_ascii_case(day)).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEBIAN: &[u8] = b"PATH=/usr/sbin:/usr/bin\nMAILTO=root\n\n# logcheck\n\
        @reboot         logcheck    if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck -R; fi\n\
        2 * * * *       logcheck    if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck; fi\n\
        3 * * * *       logcheck    /usr/sbin/integrityd logcheck -o\n\
        4 * * * *       logcheck    /bin/true\n";

    #[test]
    fn the_lines_of_a_program_are_found_and_no_others() {
        let found = jobs(DEBIAN, "logcheck", true);
        assert_eq!(
            found.iter().map(|job| (job.line, job.interval)).collect::<Vec<_>>(),
            [(5, None), (6, Some(Duration::from_hours(1)))]
        );
        assert!(jobs(DEBIAN, "fcheck", true).is_empty());
        assert_eq!(jobs(b"0 4 * * 1 fcheck -as", "fcheck", false).len(), 1);
    }

    #[test]
    fn only_what_runs_the_program_is_a_line_of_it() {
        for line in [
            "logcheck",
            "if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck; fi",
            "nice -n 10 logcheck -R",
            "test -x /usr/sbin/logcheck && ! nocache nice ionice -c3 /usr/sbin/logcheck -o >/tmp/x 2>&1",
            "sudo -u logcheck /usr/sbin/logcheck",
            "LC_ALL=C env A=b timeout 10m logcheck | mail root",
            "(cd /; logcheck)",
        ] {
            assert!(runs(line.as_bytes(), "logcheck"), "{line}");
        }
        for line in [
            "tar czf /root/cfg.tgz /etc/logcheck /etc/fcheck",
            "find /var/lib/logcheck -name 'x*' -delete",
            "/usr/local/bin/notify \"logcheck is fine\"",
            "chown logcheck /srv/x",
            "/usr/sbin/integrityd logcheck -o",
            "sudo -u logcheck /bin/true",
            "echo 'so; logcheck'",
            "",
        ] {
            assert!(!runs(line.as_bytes(), "logcheck"), "{line}");
        }
    }

    #[test]
    fn intervals_are_the_longest_gap_within_a_week() {
        let minutes = |line: &str| {
            jobs(format!("{line} root x").as_bytes(), "x", true)
                .first()
                .and_then(|job| job.interval)
                .map(|span| span.as_secs() / 60)
        };
        for (line, wanted) in [
            ("30 */2\t* * *", Some(120)),
            ("0,20,40 * * * *", Some(20)),
            ("*/7 * * * *", Some(7)),
            ("0 3 * * *", Some(24 * 60)),
            ("0 3 * * 1-5", Some(3 * 24 * 60)),
            ("0 3 * * Sun", Some(7 * 24 * 60)),
            ("0 3 * * 7", Some(7 * 24 * 60)),
            ("@daily", Some(24 * 60)),
            ("@reboot", None),
            ("0 3 1 * *", None),
            ("0 3 * * 8", None),
            ("0/x 3 * * *", None),
            ("*/0 3 * * *", None),
        ] {
            assert_eq!(minutes(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_switched_off_comes_back_byte_for_byte() {
        let off = switch(DEBIAN, "logcheck", true, true);
        assert_eq!(off.windows(OFF.len()).filter(|part| *part == OFF).count(), 2);
        assert_eq!(switch(&off, "logcheck", true, true), off);
        assert!(jobs(&off, "logcheck", true).iter().all(|job| job.is_off));
        assert_eq!(switch(&off, "fcheck", true, false), off);
        assert_eq!(switch(&off, "logcheck", true, false), DEBIAN);
    }

    proptest! {
        #[test]
        fn no_table_panics_and_every_one_comes_back(text in "([*/0-9@a-z#,-]{0,5}[ \t\n]){0,12}", has_user: bool) {
            let off = switch(text.as_bytes(), "x", has_user, true);
            prop_assert_eq!(switch(&off, "x", has_user, false), text.as_bytes());
        }
    }
}
