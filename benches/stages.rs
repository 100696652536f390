//! Where the time of a full-speed pass goes: each step over the same files, one after another in one thread.
//!
//! `cargo bench --bench stages -- DIRECTORY…` (default: /usr /etc). Run it twice; the first run fills the cache.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a measurement that meets the unexpected shall fail, and prints what it has measured"
)]

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use integrityd::{
    config::settings::config::{Area, Config},
    content::hasher::Hasher,
    files::scan::pass::FullScan,
    model::{
        clock::{BootId, Clock},
        file::entry::{Algorithm, AlgorithmSet, EntryId, FileKind},
    },
    store::{db::Db, sqlite::connection::Store},
    sys::fs::handle::{attributes_of, open_beneath, open_root},
};
use walkdir::WalkDir;

/// The time of each step, in the order of the steps.
#[derive(Default)]
struct Times(BTreeMap<(u8, &'static str), Duration>);

impl Times {
    fn time<T>(&mut self, step: (u8, &'static str), work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let value = work();
        *self.0.entry(step).or_default() += begun.elapsed();
        value
    }
}

fn look_at(directory: &PathBuf, times: &mut Times, buffer: &mut [u8]) -> u64 {
    let Ok(open) = open_root(directory).and_then(|handle| handle.open_directory()) else {
        return 0;
    };
    let names: Vec<_> = times.time((0, "getdents64"), || {
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    });
    let mut entries = 0;
    for name in names {
        let Ok(handle) = times.time((1, "openat2"), || open_beneath(open.as_fd(), name.as_bytes())) else { continue };
        let Ok(seen) = times.time((2, "statx"), || handle.attributes()) else { continue };
        entries += 1;
        if seen.kind != FileKind::Regular {
            continue;
        }
        let Ok(mut file): Result<File, _> = times.time((3, "open to read"), || handle.open_file()) else { continue };
        let mut hasher = Hasher::new(AlgorithmSet::NONE.with(Algorithm::Blake3));
        let mut done = 0;
        while done < seen.size {
            let Ok(length) = times.time((4, "read"), || file.read(buffer)) else { break };
            if length == 0 {
                break;
            }
            times.time((5, "hash"), || hasher.update(&buffer[..length]));
            done += u64::try_from(length).unwrap();
        }
        times.time((5, "hash"), || hasher.finish());
        times.time((2, "statx"), || attributes_of(file.as_fd())).unwrap();
        times.time((6, "close"), || drop((file, handle)));
    }
    entries
}

/// Reads the whole baseline, a directory at a time, as a pass does.
fn read_baseline(store: &Store, times: &mut Times) -> usize {
    let mut ahead = vec![EntryId(0)];
    let mut entries = 0;
    while let Some(directory) = ahead.pop() {
        let children = times.time((7, "SQLite, read"), || store.children(directory, b"", usize::MAX)).unwrap();
        entries += children.len();
        ahead.extend(
            children.iter().filter(|child| child.known.attributes.kind == FileKind::Directory).map(|child| child.id),
        );
    }
    entries
}

/// Writes the whole baseline again, in the batches of a pass.
fn write_baseline(store: &mut Store, times: &mut Times) {
    let mut ahead = vec![EntryId(0)];
    while let Some(directory) = ahead.pop() {
        let children = store.children(directory, b"", usize::MAX).unwrap();
        for mut child in children {
            if child.known.attributes.kind == FileKind::Directory {
                ahead.push(child.id);
            }
            child.visit = store.next_visit();
            store.learn(child);
            if store.collected() >= 4000 {
                times.time((8, "SQLite, write"), || store.flush()).unwrap();
            }
        }
    }
    times.time((8, "SQLite, write"), || store.flush()).unwrap();
}

fn main() {
    let named: Vec<PathBuf> = std::env::args_os().skip(1).filter(|word| word != "--bench").map(PathBuf::from).collect();
    let roots = if named.is_empty() { vec![PathBuf::from("/usr"), PathBuf::from("/etc")] } else { named };
    let state = tempfile::tempdir().unwrap();
    let clock = Clock::System(BootId([1; 16]));
    let areas = roots.iter().cloned().map(Area::new).collect();
    let config = Config::embedded(areas, state.path().join("state/integrityd.sqlite"));
    let db = Db::new(Store::open(&config.database, clock.now()).unwrap());
    FullScan { config: &config, db: &db, clock: &clock }.go_round(&mut |_harvest| ()).unwrap();

    let mut times = Times::default();
    let mut buffer = vec![0; 128 * 1024];
    let mut entries = 0;
    for root in &roots {
        for found in WalkDir::new(root).into_iter().flatten().filter(|found| found.file_type().is_dir()) {
            entries += look_at(&found.into_path(), &mut times, &mut buffer);
        }
    }
    let known = read_baseline(&db.lock(), &mut times);
    write_baseline(&mut db.lock(), &mut times);
    let total: Duration = times.0.values().sum();
    println!("{entries} entries seen, {known} in the baseline; one thread");
    for ((_, step), spent) in &times.0 {
        println!(
            "{step:<14} {:>7.0} ms  {:>5.1} us/entry  {:>4.1} %",
            spent.as_secs_f64() * 1e3,
            spent.as_secs_f64() * 1e6 / entries as f64,
            100.0 * spent.as_secs_f64() / total.as_secs_f64()
        );
    }
}
