//! The order of looks as the kernel sees it: `strace` on the daemon.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    packages::need,
    support::{Scratch, wait_for},
};

const FILES: usize = 300;

fn name(number: usize) -> String {
    format!("file{number:03}")
}

/// A tree of 300 files in seven directories.
fn fill(scratch: &Scratch) {
    for number in 0..FILES {
        let directory = scratch.tree().join(format!("d{}", number % 7));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name(number)), "x").unwrap();
    }
}

/// One look: the file, and whether it was a recheck (reached from the root of the area).
struct Look {
    file: usize,
    is_recheck: bool,
}

/// Runs the daemon under strace until `is_enough` and gives its looks at files, in order.
fn looks(scratch: &Scratch, is_enough: impl Fn(&[Look]) -> bool) -> Vec<Look> {
    let trace = scratch.path("trace");
    let _of_the_last_run = fs::remove_file(&trace);
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=openat2,statx", "-o"])
        .arg(&trace)
        .arg(crate::support::PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = || parse(&String::from_utf8_lossy(&fs::read(&trace).unwrap_or_default()));
    wait_for("the looks", || is_enough(&seen()));
    let stopped = Command::new("sh").args(["-c", &format!("kill -TERM $(pgrep -P {})", strace.id())]).status().unwrap();
    assert!(stopped.success());
    strace.wait().unwrap();
    seen()
}

fn parse(trace: &str) -> Vec<Look> {
    trace
        .lines()
        .filter(|line| line.contains("openat2("))
        .filter_map(|line| {
            let path = line.split('"').nth(1)?;
            let file = Path::new(path).file_name()?.to_str()?.strip_prefix("file")?.parse().ok()?;
            Some(Look { file, is_recheck: path.contains('/') })
        })
        .collect()
}

/// The walk's stops of whole rounds, round by round.
fn rounds(looks: &[Look]) -> Vec<Vec<usize>> {
    let walk: Vec<usize> = looks.iter().filter(|look| !look.is_recheck).map(|look| look.file).collect();
    walk.chunks_exact(FILES).map(<[usize]>::to_vec).collect()
}

/// Spearman's rank correlation of two orders of the same files.
fn correlation(one: &[usize], other: &[usize]) -> f64 {
    let rank: HashMap<usize, usize> = other.iter().enumerate().map(|(rank, file)| (*file, rank)).collect();
    let float = |number: usize| f64::from(u32::try_from(number).unwrap());
    let squares: f64 = one.iter().enumerate().map(|(place, file)| (float(place) - float(rank[file])).powi(2)).sum();
    let count = float(one.len());
    1.0 - 6.0 * squares / (count * (count * count - 1.0))
}

#[test]
fn nobody_can_foresee_the_order_of_looks() {
    if !need("strace", "strace") {
        return;
    }
    let mut orders = Vec::new();
    let scratch = Scratch::new();
    fill(&scratch);
    // Rechecks wait a minute, so these rounds are the walk alone.
    scratch.configure("filerate = 300\nbyterate = 100M\nspeedup = 1\nmail = stdout:");
    for _run in 0..3 {
        let rounds = rounds(&looks(&scratch, |looks| rounds(looks).len() >= 2));
        orders.push(rounds[0].clone());
        orders.push(rounds[1].clone());
    }
    let mut inodes: Vec<usize> = (0..FILES).collect();
    inodes.sort_by_key(|number| {
        let path = scratch.tree().join(format!("d{}/{}", number % 7, name(*number)));
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
    });
    orders.push((0..FILES).collect());
    orders.push(inodes);
    // Of 300 files in random order the correlation spreads by 0.058: one of 27 pairs beyond 0.2 may be chance, two are not.
    let mut beyond = 0;
    for (index, one) in orders.iter().enumerate().take(6) {
        for (other_index, other) in orders.iter().enumerate().skip(index + 1) {
            let correlation = correlation(one, other);
            println!("orders {index} and {other_index}: {correlation:.3}");
            assert!(correlation.abs() < 0.26, "orders {index} and {other_index}: {correlation}");
            beyond += usize::from(correlation.abs() >= 0.2);
        }
    }
    assert!(beyond <= 1, "{beyond} pairs of orders are alike");
}

#[test]
fn every_second_look_is_the_stalest_entry() {
    if !need("strace", "strace") {
        return;
    }
    let scratch = Scratch::new();
    fill(&scratch);
    // The first round takes 5 s; from 60 s on the oldest looks may be repeated.
    scratch.configure("filerate = 3\nbyterate = 100M\nspeedup = 20\nmail = stdout:");
    let looks = looks(&scratch, |looks| looks.iter().filter(|look| look.is_recheck).count() >= 45);
    let mut last: HashMap<usize, usize> = HashMap::new();
    let mut rechecks = 0;
    let mut begun = None;
    for (place, look) in looks.iter().enumerate() {
        if look.is_recheck {
            begun.get_or_insert(place);
            rechecks += 1;
            let stalest = last.iter().min_by_key(|(_, seen)| **seen).map(|(file, _)| *file);
            assert_eq!(Some(look.file), stalest, "look {place} was not at the stalest file");
        }
        last.insert(look.file, place);
    }
    let after = looks.len() - begun.expect("there was no recheck");
    println!("{rechecks} rechecks in {after} looks");
    // Directories are rechecked in their turn too; they do not count here.
    assert!(rechecks * 2 + 20 >= after && rechecks * 2 <= after + 20, "{rechecks} of {after}");
}
