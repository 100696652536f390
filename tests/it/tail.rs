//! Tailing against a model: random histories of writers, rotations, crashes and restarts; every line is read once.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    model::{clock::Timestamp, log::position::LogState},
    tail::{
        file_tail::Tail,
        glob::Start,
        poll::{Poll, TailEvent, TailSettings},
        splitter::LogRecord,
    },
};
use proptest::prelude::*;

/// A log in a directory of its own, its tail and what was stored of it.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) tail: Tail,
    pub(crate) state: Option<LogState>,
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) records: Vec<LogRecord>,
    pub(crate) happenings: Vec<TailEvent>,
    pub(crate) now: Timestamp,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("old")).unwrap();
        let path = directory.path().join("log");
        let tail = Self::tail_of(&path);
        let now = Timestamp::from_nanos(4_000_000_000_000_000_000);
        Self { directory, path, tail, state: None, lines: vec![], records: vec![], happenings: vec![], now }
    }

    fn tail_of(path: &Path) -> Tail {
        Tail::new(TailSettings {
            path: path.to_path_buf(),
            olddirs: vec![path.with_file_name("old")],
            errornag: Duration::from_hours(2),
            ..TailSettings::default()
        })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn append(&self, text: impl AsRef<[u8]>) {
        OpenOptions::new().create(true).append(true).open(&self.path).unwrap().write_all(text.as_ref()).unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.tail = Self::tail_of(&self.path);
    }

    /// A poll whose outcome could not be stored.
    pub(crate) fn poll_in_vain(&mut self) -> Poll {
        self.tail.poll(self.state.as_ref(), Start::End, self.now)
    }

    /// One poll, stored; gives whether there is more.
    pub(crate) fn poll_once(&mut self) -> bool {
        let poll = self.poll_in_vain();
        for record in &poll.records {
            if let LogRecord::Line { bytes, .. } = record {
                self.lines.push(bytes.clone());
            }
        }
        self.records.extend(poll.records);
        self.happenings.extend(poll.happenings);
        self.state = Some(poll.state);
        poll.has_more
    }

    /// Polls until there is no more at once; gives the lines.
    pub(crate) fn poll(&mut self) -> Vec<String> {
        let before = self.lines.len();
        for _ in 0..1000 {
            if !self.poll_once() {
                self.now = self.now.after(Duration::from_secs(1));
                return self.lines[before..].iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            }
        }
        unreachable!("the log has no end");
    }

    pub(crate) fn take_happenings(&mut self) -> Vec<TailEvent> {
        std::mem::take(&mut self.happenings)
    }
}

/// Packs `from` into `to` as gzip(1) does: the time of the last change is kept, the original goes last.
pub(crate) fn gzip(from: &Path, to: &Path) {
    let modified = fs::metadata(from).unwrap().modified().unwrap();
    let output = File::create(to).unwrap();
    let mut packer = flate2::write::GzEncoder::new(output, flate2::Compression::fast());
    packer.write_all(&fs::read(from).unwrap()).unwrap();
    packer.finish().unwrap().set_modified(modified).unwrap();
    fs::remove_file(from).unwrap();
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Numbered,
    Compress,
    DelayCompress,
    DateExt,
    OldDir,
}

#[derive(Debug, Clone)]
enum Op {
    Append(u8),
    Half,
    /// Rename and create; the writer goes on in the renamed file until it is told.
    Rotate(Style, bool),
    CopyTruncate(Style, bool),
    Reopen,
    CompressAll,
    Truncate,
    Unlink,
    Poll,
    PollInVain,
    Restart,
    InodeReuse,
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        Just(Style::Numbered),
        Just(Style::Compress),
        Just(Style::DelayCompress),
        Just(Style::DateExt),
        Just(Style::OldDir)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1_u8..20).prop_map(Op::Append),
        3 => Just(Op::Half),
        3 => (style(), any::<bool>()).prop_map(|(style, is_late)| Op::Rotate(style, is_late)),
        2 => (style(), any::<bool>()).prop_map(|(style, polls)| Op::CopyTruncate(style, polls)),
        1 => Just(Op::Reopen),
        1 => Just(Op::CompressAll),
        1 => Just(Op::Truncate),
        1 => Just(Op::Unlink),
        6 => Just(Op::Poll),
        1 => Just(Op::PollInVain),
        2 => Just(Op::Restart),
        1 => Just(Op::InodeReuse),
    ]
}

/// The writer, the rotator, and the lines that must be read.
struct Model {
    bench: Bench,
    writer: File,
    is_late: bool,
    half: String,
    wanted: BTreeMap<String, i64>,
    number: u64,
    banner: String,
    rotations: u32,
    may_shrink: bool,
}

impl Model {
    fn new(banner: usize) -> Self {
        let mut bench = Bench::new();
        let writer = OpenOptions::new().create(true).append(true).open(&bench.path).unwrap();
        bench.poll_once();
        let banner = if banner == 0 { String::new() } else { format!("{}\n", "b".repeat(banner)) };
        let mut model = Self {
            bench,
            writer,
            is_late: false,
            half: String::new(),
            wanted: BTreeMap::new(),
            number: 0,
            banner,
            rotations: 0,
            may_shrink: false,
        };
        model.greet();
        model
    }

    fn want(&mut self, line: &str) {
        *self.wanted.entry(line.to_owned()).or_default() += 1;
    }

    fn greet(&mut self) {
        if !self.banner.is_empty() {
            self.writer.write_all(self.banner.as_bytes()).unwrap();
            let line = self.banner.trim_end().to_owned();
            self.want(&line);
            // A file with nothing but the banner is a copy of the beginning of every other one.
            self.append(1);
        }
    }

    fn finish_half(&mut self) {
        if !self.half.is_empty() {
            self.writer.write_all(b" and the rest\n").unwrap();
            let line = format!("{} and the rest", std::mem::take(&mut self.half));
            self.want(&line);
        }
    }

    fn append(&mut self, lines: u8) {
        self.finish_half();
        for _ in 0..lines {
            self.number += 1;
            let filling = "x".repeat(usize::try_from(self.number * 37 % 211).unwrap());
            // Two files with the same first KiB and the same last bytes at the same place are one to an anchor.
            let line = format!("line {} {filling} {}", self.number, self.number);
            self.writer.write_all(format!("{line}\n").as_bytes()).unwrap();
            self.want(&line);
        }
    }

    fn start_half(&mut self) {
        if self.half.is_empty() {
            self.number += 1;
            self.half = format!("half {:06}", self.number);
            self.writer.write_all(self.half.as_bytes()).unwrap();
        }
    }

    /// A half line that nobody will finish is a line.
    fn leave_half(&mut self) {
        if !self.half.is_empty() {
            let line = std::mem::take(&mut self.half);
            self.want(&line);
        }
    }

    fn reopen(&mut self) {
        self.leave_half();
        self.is_late = false;
        self.writer = OpenOptions::new().create(true).append(true).open(&self.bench.path).unwrap();
        self.greet();
    }

    /// Makes room for a rotated file; gives its name.
    fn shift(&mut self, style: Style) -> PathBuf {
        self.rotations += 1;
        if style == Style::DateExt {
            return self.bench.file(&format!("log-{}", 20_260_000 + self.rotations));
        }
        let folder = if style == Style::OldDir { "old/" } else { "" };
        for number in (1..=self.rotations).rev() {
            for ending in ["", ".gz"] {
                let from = self.bench.file(&format!("{folder}log.{number}{ending}"));
                if from.exists() {
                    let to = self.bench.file(&format!("{folder}log.{}{ending}", number + 1));
                    fs::rename(&from, &to).unwrap();
                    if style == Style::DelayCompress && ending.is_empty() && number == 1 {
                        gzip(&to, &self.bench.file(&format!("log.{}.gz", number + 1)));
                    }
                }
            }
        }
        self.bench.file(&format!("{folder}log.1"))
    }

    fn rotate(&mut self, style: Style, is_late: bool) {
        if self.is_late || !self.bench.path.exists() {
            self.reopen();
        }
        let rotated = self.shift(style);
        fs::rename(&self.bench.path, &rotated).unwrap();
        File::create(&self.bench.path).unwrap();
        if style == Style::Compress {
            self.reopen();
            gzip(&rotated, &rotated.with_extension("1.gz"));
        } else if is_late {
            self.is_late = true;
        } else {
            self.reopen();
        }
    }

    fn copy_truncate(&mut self, style: Style, polls: bool) {
        if self.is_late {
            self.reopen();
        }
        let rotated = self.shift(style);
        fs::copy(&self.bench.path, &rotated).unwrap();
        if polls {
            self.bench.poll_once();
        }
        self.leave_half();
        OpenOptions::new().write(true).truncate(true).open(&self.bench.path).unwrap();
        if style == Style::Compress {
            gzip(&rotated, &rotated.with_extension("1.gz"));
        }
        self.greet();
    }

    fn truncate(&mut self) {
        if self.is_late {
            self.reopen();
        }
        self.finish_half();
        self.bench.poll();
        self.bench.poll();
        self.may_shrink = true;
        OpenOptions::new().write(true).truncate(true).open(&self.bench.path).unwrap();
    }

    /// The tail has the file open, so nothing written before or after is lost.
    fn unlink(&mut self) {
        if self.is_late {
            self.reopen();
        }
        self.bench.poll();
        self.append(2);
        fs::remove_file(&self.bench.path).unwrap();
        self.append(1);
        self.start_half();
        self.reopen();
        self.bench.poll_once();
    }

    fn compress_all(&mut self) {
        if self.is_late {
            self.reopen();
        }
        for entry in fs::read_dir(self.bench.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.len() > 3 && name.starts_with("log") && path.extension().is_none_or(|ending| ending != "gz") {
                gzip(&path, &path.with_file_name(format!("{name}.gz")));
            }
        }
    }

    /// Takes up inode numbers that were just freed.
    fn reuse_inodes(&self) {
        for number in 0..3 {
            let name = self.bench.file(&format!("other{number}"));
            File::create(&name).unwrap();
            fs::remove_file(&name).unwrap();
        }
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Append(lines) => self.append(*lines),
            Op::Half => self.start_half(),
            Op::Rotate(style, is_late) => self.rotate(*style, *is_late),
            Op::CopyTruncate(style, polls) => self.copy_truncate(*style, *polls),
            Op::Reopen => {
                if self.is_late {
                    self.reopen();
                }
            }
            Op::CompressAll => self.compress_all(),
            Op::Truncate => self.truncate(),
            Op::Unlink => self.unlink(),
            Op::Poll => {
                // A half line in a rotated file waits for one poll, no longer.
                if self.is_late {
                    self.finish_half();
                }
                self.bench.poll_once();
                self.bench.now = self.bench.now.after(Duration::from_secs(1));
            }
            Op::PollInVain => drop(self.bench.poll_in_vain()),
            Op::Restart => self.bench.restart(),
            Op::InodeReuse => self.reuse_inodes(),
        }
    }

    fn check(mut self) {
        self.finish_half();
        for _ in 0..12 {
            self.bench.poll();
        }
        let mut balance = self.wanted;
        for line in &self.bench.lines {
            *balance.entry(String::from_utf8(line.clone()).unwrap()).or_default() -= 1;
        }
        balance.retain(|_, count| *count != 0);
        let cut = |line: &String| line.chars().take(40).collect::<String>();
        let wrong: Vec<(String, i64)> = balance.iter().map(|(line, count)| (cut(line), *count)).collect();
        assert!(wrong.is_empty(), "lost (1) or repeated (-1): {wrong:?}\n{:?}", self.bench.happenings);
        for happening in &self.bench.happenings {
            let is_expected = match happening {
                TailEvent::Shrank { .. } | TailEvent::ContinuityLost { .. } => self.may_shrink,
                TailEvent::Began { .. } | TailEvent::Rotated(_) | TailEvent::Replaced => true,
                _ => false,
            };
            assert!(is_expected, "{happening:?}");
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(512)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_or_repeats_a_line(banner in prop_oneof![Just(0_usize), Just(30), Just(1500)],
                                          history in proptest::collection::vec(op(), 1..40)) {
        let mut model = Model::new(banner);
        for op in &history {
            model.play(op);
        }
        model.check();
    }
}
