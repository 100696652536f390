//! What the log rules cost: reading them, making the engine, and 100,000 lines, cold and warm.
//!
//! `cargo bench --bench rules -- [DIRECTORY]` (default: /etc/logcheck), level server, CPU time of one thread. With `--lines=N` or
//! `--adversarial=N` it only prints such lines, for other programs to measure (`benches/peers/logcheck.sh`).

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that meets the unexpected shall fail, and prints what it has measured"
)]

#[path = "../tests/support/syslog.rs"]
mod syslog;

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use integrityd::{
    config::settings::config::{RuleDirectory, RuleLevel},
    logs::{
        pattern::{
            ast::Locale,
            matcher::{Engine, OnLimit},
        },
        rules::rule_set::{Layer, RuleOptions, RuleSet},
    },
    model::clock::Timestamp,
    tail::{file_tail::Tail, glob::Start, poll::TailSettings, splitter::LogRecord},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// How many polls are averaged.
const POLLS: usize = 1000;

fn time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = work();
    println!("  {what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    value
}

fn run(engine: &mut Engine, lines: &[Vec<u8>]) -> usize {
    lines.iter().filter(|line| engine.any(line).is_some()).count()
}

/// Lines of random words of the rules, half of them after a stamp and a host.
fn adversarial(set: &RuleSet, count: usize) -> Vec<Vec<u8>> {
    let words: Vec<&[u8]> = set
        .rules
        .iter()
        .flat_map(|rule| rule.text.split(|byte| !byte.is_ascii_alphanumeric()))
        .filter(|word| word.len() > 3)
        .collect();
    let mut rng = StdRng::seed_from_u64(3);
    (0..count)
        .map(|number| {
            let mut line = if number % 2 == 0 { b"Nov 21 14:02:11 host".to_vec() } else { Vec::new() };
            for _ in 0..rng.random_range(5..15) {
                line.push(b' ');
                line.extend_from_slice(words.choose(&mut rng).unwrap());
            }
            line
        })
        .collect()
}

/// What the daemon does when one line was written: it polls the log and asks the rules.
fn poll(engine: &mut Engine, lines: &[Vec<u8>]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut log = File::options().create(true).append(true).open(&path).unwrap();
    let mut tail = Tail::new(TailSettings { path, ..TailSettings::default() });
    let mut state = tail.poll(None, Start::Beginning, Timestamp::default()).state;
    let (mut spent, mut found) = (Duration::ZERO, 0);
    for line in lines.iter().take(POLLS) {
        log.write_all(&[line.as_slice(), b"\n"].concat()).unwrap();
        let begun = Instant::now();
        let poll = tail.poll(Some(&state), Start::Beginning, Timestamp::default());
        for record in &poll.records {
            if let LogRecord::Line { bytes, .. } = record {
                found += usize::from(engine.any(bytes).is_some());
            }
        }
        state = poll.state;
        spent += begun.elapsed();
    }
    let each = spent.as_secs_f64() * 1_000_000.0 / f64::from(u32::try_from(POLLS).unwrap());
    println!("  one new line, polled and asked: {each:.1} us ({found} of {POLLS} matched)");
}

fn server(directory: &str, reading: RuleOptions) -> RuleSet {
    RuleSet::read(&[RuleDirectory { level: RuleLevel::Server, path: PathBuf::from(directory) }], reading)
}

fn print_lines(lines: &[Vec<u8>]) {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    std::io::stdout().write_all(&text).unwrap();
}

fn main() {
    let directory = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or("/etc/logcheck".into());
    let asked = |option: &str| std::env::args().find_map(|word| word.strip_prefix(option)?.parse().ok());
    if let Some(count) = asked("--lines=") {
        print_lines(&syslog::lines(count, 7));
        return;
    }
    if let Some(count) = asked("--adversarial=") {
        let reading = RuleOptions { locale: Locale::C, allows_broad: true, is_flat: false };
        print_lines(&adversarial(&server(&directory, reading), count));
        return;
    }
    let lines = syslog::lines(100_000, 7);
    for locale in [Locale::C, Locale::Utf8] {
        println!("{locale:?}");
        let reading = RuleOptions { locale, allows_broad: false, is_flat: false };
        let set = time("rules read", || server(&directory, reading));
        let hiding: Vec<_> = set
            .rules
            .iter()
            .filter(|rule| set.files.get(rule.file).is_some_and(|file| file.layer == Layer::Ignore))
            .collect();
        let new = || Engine::new(hiding.iter().map(|rule| &rule.ere), locale, OnLimit::NoMatch);
        let mut engine = time(&format!("engine of {} rules", hiding.len()), new);
        let found = time("100,000 lines, cold", || run(&mut engine, &lines));
        println!("  {found} matched, {} bytes", engine.memory());
        time("100,000 lines, warm", || run(&mut engine, &lines));
        println!("  {:?}", engine.counts());
        let spoilt: Vec<Vec<u8>> = lines.iter().map(|line| [line.as_slice(), " é\u{ff}".as_bytes()].concat()).collect();
        time("100,000 lines beyond ASCII", || run(&mut engine, &spoilt));
        poll(&mut engine, &lines);
        let words = adversarial(&set, 50_000);
        time("50,000 lines of the rules' words, cold", || run(&mut engine, &words));
        time("50,000 lines of the rules' words, warm", || run(&mut engine, &words));
        println!("  {} bytes, {:?}", engine.memory(), engine.counts());
        let mut alone = new();
        time("20,000 lines, every rule that matches", || {
            lines.iter().take(20_000).map(|line| alone.all(line).len()).sum::<usize>()
        });
        println!("  {} bytes", alone.memory());
    }
}
