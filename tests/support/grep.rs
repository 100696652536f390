//! The oracle for rules: the installed `grep -E`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use integrityd::logs::pattern::{
    alphabet::Alphabet,
    ast::{Locale, Node, PatternUnit},
    backtrack::MatchVerdict,
    parser::{Ere, parse},
    single::Single,
};
use rand::{RngExt as _, rngs::StdRng};

/// Both locales, and their names for `LC_ALL`.
pub(crate) const LOCALES: [(Locale, &str); 2] = [(Locale::C, "C"), (Locale::Utf8, "C.UTF-8")];

/// For each line whether grep finds `rule` in it; `Err` when it refuses the rule, `Ok(None)` when it took more than two seconds
/// over it (the C library needs exponential time for some rules).
pub(crate) fn grep(rule: &[u8], lines: &[Vec<u8>], locale: &str) -> Result<Option<Vec<bool>>, String> {
    let patterns = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(patterns.path(), [rule, b"\n"].concat()).unwrap();
    let mut child = Command::new("timeout")
        .args(["2", "grep", "--text", "--line-number", "--extended-regexp", "--file"])
        .arg(patterns.path())
        .env("LC_ALL", locale)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
    let feeder = std::thread::spawn(move || input.write_all(&text).is_ok());
    let output = child.wait_with_output().unwrap();
    let _is_fed = feeder.join().unwrap();
    match output.status.code() {
        Some(0 | 1) => {}
        Some(2) => return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        _ => return Ok(None),
    }
    let mut found = vec![false; lines.len()];
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let number = line.split(|byte| *byte == b':').next().unwrap();
        found[str::from_utf8(number).unwrap().parse::<usize>().unwrap() - 1] = true;
    }
    Ok(Some(found))
}

/// For each line what integrityd says to `rule`; `None` when it refuses the rule.
pub(crate) fn ours(rule: &[u8], lines: &[Vec<u8>], locale: Locale) -> Option<Vec<MatchVerdict>> {
    let read = parse(rule, locale).ok()?;
    let alphabet = Alphabet::new(locale, [&read.tree]);
    let mut single = Single::new(&read, &alphabet).ok()?;
    Some(lines.iter().map(|line| single.verdict(line, &alphabet.rewrite(line))).collect())
}

/// What the two were asked, and where they differed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) decisions: usize,
    pub(crate) matches: usize,
    pub(crate) refused: usize,
    /// Rules grep took too long over, and lines on which we reached the limit.
    pub(crate) unanswered: usize,
    pub(crate) differences: Vec<String>,
}

impl Tally {
    /// Asks both about one rule and these lines, in both locales.
    pub(crate) fn compare(&mut self, rule: &[u8], lines: &[Vec<u8>]) {
        for (locale, name) in LOCALES {
            let (theirs, ours) = (grep(rule, lines, name), ours(rule, lines, locale));
            let theirs = match theirs {
                Ok(Some(theirs)) => theirs,
                Ok(None) => {
                    self.unanswered += 1;
                    continue;
                }
                Err(_) if ours.is_none() => {
                    self.refused += 1;
                    continue;
                }
                Err(reason) => {
                    self.differences.push(format!("{name} {}: grep says {reason}", rule.escape_ascii()));
                    continue;
                }
            };
            let Some(ours) = ours else {
                let read = parse(rule, locale).map(|_| ());
                self.differences.push(format!("{name} {}: we say {read:?}", rule.escape_ascii()));
                continue;
            };
            for ((line, theirs), ours) in lines.iter().zip(theirs).zip(ours) {
                let is_same = match ours {
                    MatchVerdict::Match => theirs,
                    MatchVerdict::NoMatch => !theirs,
                    MatchVerdict::LimitReached => {
                        self.unanswered += 1;
                        continue;
                    }
                };
                self.decisions += 1;
                self.matches += usize::from(theirs);
                if !is_same {
                    let (rule, line) = (rule.escape_ascii(), line.escape_ascii());
                    self.differences.push(format!("{name} {rule} on {line}: grep {theirs}, we {ours:?}"));
                }
            }
        }
    }

    /// Adds what another has counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.matches += other.matches;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.differences.extend(other.differences);
    }

    /// Fails with the first differences.
    pub(crate) fn assert_equal(&self) {
        let shown: Vec<&String> = self.differences.iter().take(40).collect();
        assert!(shown.is_empty(), "{} differences: {shown:#?}", self.differences.len());
    }
}

/// A line that the tree matches, but for anchors and back-references.
pub(crate) fn sample(read: &Ere, rng: &mut StdRng) -> Vec<u8> {
    let mut line = Vec::new();
    grow(&read.tree, rng, &mut vec![Vec::new(); read.groups + 1], &mut line);
    line.retain(|byte| *byte != b'\n');
    line
}

fn grow(node: &Node, rng: &mut StdRng, groups: &mut Vec<Vec<u8>>, line: &mut Vec<u8>) {
    match node {
        Node::Empty | Node::Edge(_) => {}
        Node::Literal(PatternUnit::Byte(byte)) => line.push(*byte),
        Node::Literal(PatternUnit::Char(letter)) => line.extend(letter.to_string().bytes()),
        Node::Any => line.push(rng.random_range(b' '..0x7f)),
        Node::Class(class) => {
            let members: Vec<u8> = (0..0x80).filter(|byte| *byte != b'\n' && class.has_byte(*byte)).collect();
            if let Some(letter) = class.chars.first().filter(|_| !class.is_negated) {
                line.extend(letter.to_string().bytes());
            } else if !members.is_empty() {
                line.push(members[rng.random_range(0..members.len())]);
            }
        }
        Node::Concat(nodes) => nodes.iter().for_each(|node| grow(node, rng, groups, line)),
        Node::Alternate(nodes) => grow(&nodes[rng.random_range(0..nodes.len())], rng, groups, line),
        Node::Group(node, number) => {
            let from = line.len();
            grow(node, rng, groups, line);
            groups[*number] = line[from..].to_vec();
        }
        Node::Repeat { node, min, max } => {
            let most = max.unwrap_or(u16::MAX).min(min + 3);
            for _ in 0..rng.random_range(*min..=most) {
                grow(node, rng, groups, line);
            }
        }
        Node::Backref(number) => line.extend(groups[*number].clone()),
    }
}

/// The line with one to three bytes changed, added, doubled or taken away.
pub(crate) fn mutate(line: &[u8], rng: &mut StdRng) -> Vec<u8> {
    const NEW: [&[u8]; 12] = [
        b" ",
        b"x",
        b"0",
        b"_",
        b"-",
        b"\xff",
        b"\xc3",
        "é".as_bytes(),
        "٣".as_bytes(),
        "\u{a0}".as_bytes(),
        b"\0",
        b".",
    ];
    let mut line = line.to_vec();
    for _ in 0..rng.random_range(1..=3) {
        let at = rng.random_range(0..=line.len());
        let new = NEW[rng.random_range(0..NEW.len())];
        match rng.random_range(0..4) {
            0 if at < line.len() => drop(line.splice(at..=at, new.iter().copied())),
            1 if at < line.len() => drop(line.remove(at)),
            2 => line.truncate(at),
            _ => drop(line.splice(at..at, new.iter().copied())),
        }
    }
    line
}
