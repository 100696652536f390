//! `integrityd logcheck -o` prints what the installed logcheck(8) prints, byte for byte, over random rules, logs and positions.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, atomic::AtomicU64, atomic::Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use integrityd::{
    config::settings::config::{RuleDirectory, RuleLevel},
    logs::{
        logcheck::sort::{LogOrder, arrange},
        pattern::ast::Locale,
        rules::{
            classifier::Classifier,
            layers::{LineMatches, LineVerdict, Semantics, sections},
            rule_set::{Layer, RuleOptions, RuleSet},
        },
    },
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    packages::need,
    support::{PROGRAM, is_root},
};

const TREES: u64 = 100;
const LINES: usize = 200;

const WORDS: [&str; 12] =
    ["alpha", "beta", "gamma", "delta", "root", "login", "failed", "é", "naïve", "disk", "x.y", "[ok]"];

/// Sub-directory, names its files may have, and how many of them at most.
const DIRECTORIES: [(&str, &[&str], usize); 7] = [
    ("cracking.d", &["kernel", "logcheck", "logcheck-x", "rsh", "local", "local-a", "old.dpkg-old"], 4),
    (
        "cracking.ignore.d",
        &["kernel", "logcheck", "logcheck-kernel", "logcheck-rsh", "local", "local-a", "other", "logcheck-x"],
        5,
    ),
    ("violations.d", &["logcheck", "logcheck-x", "sudo", "su", "kernel", "logchec", "local", "local-a", "Zed"], 6),
    (
        "violations.ignore.d",
        &[
            "logcheck",
            "sudo",
            "logcheck-sudo",
            "su",
            "logcheck-su",
            "local",
            "local-a",
            "local-b",
            "logcheck-x",
            "kernel",
            "logcheck-kernel",
            "logcheck-logcheck",
            "other",
            "a~",
        ],
        9,
    ),
    ("ignore.d.paranoid", &["a", "b", "Zed", "logcheck", "local", "sudo"], 2),
    ("ignore.d.server", &["a", "b", "Zed", "logcheck", "local-c"], 3),
    ("ignore.d.workstation", &["a", "b", "w"], 2),
];

/// Everything both programs are given.
struct Tree {
    root: tempfile::TempDir,
    locale: Locale,
    level: RuleLevel,
    is_unique: bool,
    has_cracking_ignore: bool,
    logs: Vec<PathBuf>,
}

fn word(rng: &mut StdRng) -> &'static str {
    WORDS.choose(rng).unwrap()
}

fn rule(rng: &mut StdRng) -> String {
    let literal = |rng: &mut StdRng| word(rng).replace('.', "\\.").replace('[', "\\[");
    let (one, other) = (literal(rng), literal(rng));
    match rng.random_range(0..15) {
        0 => format!("^.{{3}} .* {one} {other}$"),
        1 => format!("{one}.*{other}"),
        2 => format!("({one}|{other}) [[:alpha:]]+$"),
        3 => format!("\\b{one}\\b.*[0-9]{{3}}"),
        4 => format!("^[A-Za-z]{{3}} [ :0-9]{{11}} [._[:alnum:]-]+ [a-z]+\\[[0-9]+\\]: {one}"),
        5 => format!("{one} "),
        6 => format!("{one}\r"),
        7 => format!("([a-z])\\1 {one}"),
        8 => format!("^\\w+ .*{one}$"),
        9 => format!("[^[:space:]]+ {one}( {other})?$"),
        10 => format!("{one}+$"),
        11 | 12 => one,
        _ => format!("{one} {other}"),
    }
}

fn rule_file(rng: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..rng.random_range(0..6) {
        text += &match rng.random_range(0..10) {
            0 => "# a comment".to_owned(),
            1 => " \t".to_owned(),
            2 => String::new(),
            3 => " # odd alpha".to_owned(),
            _ => rule(rng),
        };
        text.push('\n');
    }
    if rng.random_ratio(1, 4) {
        text.pop();
    }
    text
}

fn line(rng: &mut StdRng, earlier: &[Vec<u8>]) -> Vec<u8> {
    match rng.random_range(0..24) {
        0 if !earlier.is_empty() => return earlier.choose(rng).unwrap().clone(),
        1 => return word(rng).as_bytes().to_vec(),
        2 => return b" \t".iter().take(rng.random_range(0..3)).copied().collect(),
        _ => {}
    }
    let second = rng.random_range(0..60);
    let stamp = format!("Nov {:2} 14:{:02}:{second:02}", rng.random_range(1..3), rng.random_range(0..3));
    let mut text = format!("{stamp} host prog[{}]:", rng.random_range(1..2000)).into_bytes();
    for _ in 0..rng.random_range(1..6) {
        text.push(b' ');
        text.extend_from_slice(word(rng).as_bytes());
    }
    let ends: [&[u8]; 12] = [
        b" ",
        b"  \t",
        b"\r",
        b" \r",
        b"\xff",
        b"\xff ",
        "\u{2003}".as_bytes(),
        "\u{a0}".as_bytes(),
        b"\x0b\x0c",
        b" 123",
        b"\xe2\x80",
        b"\0",
    ];
    if rng.random_ratio(1, 3) {
        text.extend_from_slice(ends.choose(rng).unwrap());
    }
    text
}

fn append(path: &Path, rng: &mut StdRng, count: usize) {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for _ in 0..count {
        let next = line(rng, &lines);
        lines.push(next);
    }
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    file.write_all(&text).unwrap();
}

impl Tree {
    fn new(rng: &mut StdRng) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut tree = Self {
            locale: *[Locale::C, Locale::Utf8].choose(rng).unwrap(),
            level: *[RuleLevel::Paranoid, RuleLevel::Server, RuleLevel::Workstation].choose(rng).unwrap(),
            is_unique: rng.random_ratio(1, 3),
            has_cracking_ignore: rng.random(),
            logs: Vec::new(),
            root,
        };
        for (directory, names, most) in DIRECTORIES {
            if directory.starts_with("ignore") && rng.random_ratio(1, 4) {
                continue;
            }
            let directory = tree.path("rules").join(directory);
            fs::create_dir_all(&directory).unwrap();
            let count = rng.random_range(most / 2..=most);
            for name in names.sample(rng, count) {
                fs::write(directory.join(name), rule_file(rng)).unwrap();
            }
        }
        for name in ["header.txt", "footer.txt"] {
            if rng.random() {
                fs::write(tree.path("rules").join(name), format!("{name} of\n\nthis site\n")).unwrap();
            }
        }
        tree.write_logs(rng);
        tree.write_conf(rng);
        for name in ["real", "ours", "lock"] {
            fs::create_dir(tree.path(name)).unwrap();
            let done = Command::new("chown").arg("logcheck:").arg(tree.path(name)).status().unwrap();
            assert!(done.success());
        }
        tree
    }

    fn write_logs(&mut self, rng: &mut StdRng) {
        let names: &[&str] =
            [&["syslog"][..], &["syslog", "auth.log"], &["b/syslog", "a/syslog", "mail.log"]].choose(rng).unwrap();
        for directory in ["logs/a", "logs/b", "lists"] {
            fs::create_dir_all(self.path(directory)).unwrap();
        }
        self.logs = names.iter().map(|name| self.path("logs").join(name)).collect();
        for log in &self.logs {
            append(log, rng, LINES / names.len());
        }
        if names.len() == 2 && rng.random() {
            // Half a line, written long ago.
            let mut file = File::options().append(true).open(&self.logs[0]).unwrap();
            file.write_all(b"Nov  1 14:00:01 host prog[1]: alpha without an end").unwrap();
            file.set_modified(SystemTime::now() - Duration::from_mins(10)).unwrap();
        }
        let root = self.root.path().display();
        let mut list = format!("# logs\n\n{}\n", self.logs[0].display());
        if rng.random_ratio(1, 4) {
            list += &format!("{root}/logs/gone\n");
        }
        fs::write(self.path("list"), list).unwrap();
        let rest = if rng.random() {
            format!("{root}/logs/*.log\n{root}/logs/?/sys[lm]og\n{root}/none*\n")
        } else {
            self.logs.iter().skip(1).map(|log| format!("{}\n", log.display())).collect()
        };
        fs::write(self.path("lists/more.logfiles"), rest).unwrap();
    }

    fn write_conf(&self, rng: &mut StdRng) {
        let level = match self.level {
            RuleLevel::Paranoid => "paranoid",
            RuleLevel::Server => "server",
            RuleLevel::Workstation => "workstation",
        };
        let titles = [
            "",
            "ATTACKSUBJECT=\"Alarm für dich\"\nSECURITYSUBJECT='It is \"x\"'\n",
            "EVENTSSUBJECT=Other\\ events # so\n",
        ];
        let intro = ["", "INTRO=0\n", "INTRO=1\n", "INTRO=\"no\"\n"];
        let root = self.root.path().display();
        let conf = format!(
            "# by a test\nREPORTLEVEL=\"{level}\"\nTMP={root}/real\nSORTUNIQ={}\nSUPPORT_CRACKING_IGNORE={}\n\
             RULEDIR='{root}/rules'\nLOCKDIR={root}/lock\nLOCKFILE={root}/lock/l\n{}{}",
            u8::from(self.is_unique),
            u8::from(self.has_cracking_ignore),
            titles.choose(rng).unwrap(),
            intro.choose(rng).unwrap()
        );
        fs::write(self.path("conf"), conf).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn arguments(&self, command: &mut Command, states: &str) -> Output {
        let locale = if self.locale == Locale::C { "C" } else { "C.UTF-8" };
        command.args(["-o", "-c"]).arg(self.path("conf")).arg("-L").arg(self.path("list"));
        command.arg("-D").arg(self.path("lists")).arg("-S").arg(self.path(states));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", locale);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn real(&self, states: &str) -> Output {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "logcheck", "--regid", "logcheck", "--init-groups", "/usr/sbin/logcheck"]);
        self.arguments(&mut command, states)
    }

    fn ours(&self, states: &str) -> Output {
        self.arguments(Command::new(PROGRAM).arg("logcheck"), states)
    }

    /// Runs both and compares; gives the report. The other program's positions are taken over when `is_crossed`.
    fn compare(&self, seed: u64, is_crossed: bool) -> Vec<u8> {
        let (first, second) = if is_crossed { ("ours", "real") } else { ("real", "ours") };
        let (real, ours) = (self.real(first), self.ours(second));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if real.stdout != ours.stdout {
            let kept = Path::new("/tmp").join(format!("logcheck-tree-{seed}"));
            drop(fs::remove_dir_all(&kept));
            assert!(Command::new("cp").arg("-a").arg(self.root.path()).arg(&kept).status().unwrap().success());
            for (name, output) in [("real.out", &real.stdout), ("ours.out", &ours.stdout)] {
                fs::write(kept.join(name), output).unwrap();
            }
            let difference =
                Command::new("diff").arg("-a").arg(kept.join("real.out")).arg(kept.join("ours.out")).output();
            unreachable!(
                "seed {seed}, kept in {}: {}\n{}\n{}",
                kept.display(),
                text(&difference.unwrap().stdout),
                text(&real.stderr),
                text(&ours.stderr)
            );
        }
        assert_eq!(
            (real.status.code(), ours.status.code()),
            (Some(0), Some(0)),
            "{}{}",
            text(&real.stderr),
            text(&ours.stderr)
        );
        ours.stdout
    }
}

/// What was met how often.
type Coverage = BTreeMap<&'static str, u64>;

fn measure(tree: &Tree, coverage: &mut Coverage) {
    let reading = RuleOptions { locale: tree.locale, allows_broad: true, is_flat: false };
    let set = RuleSet::read(&[RuleDirectory { level: tree.level, path: tree.path("rules") }], reading);
    assert_eq!(set.faults, []);
    let semantics = Semantics { has_layers: true, has_cracking_ignore: tree.has_cracking_ignore };
    let mut classifier = Classifier::new(set, semantics, false);
    let mut heap = Vec::new();
    for log in &tree.logs {
        heap.extend(fs::read(log).unwrap());
        if !heap.ends_with(b"\n") {
            heap.push(b'\n');
        }
    }
    let order = if tree.is_unique { LogOrder::Unique } else { LogOrder::Stamp };
    let marks: Vec<LineMatches> =
        arrange(&heap, order, tree.locale).iter().map(|line| classifier.marks(line)).collect();
    let mut add = |what: &'static str, count: u64| *coverage.entry(what).or_default() += count;
    let verdicts = classifier.verdicts(&marks);
    let set = classifier.set();
    let file = |rule: usize| &set.files[set.rules[rule].file];
    let told = sections(set, semantics, &marks);
    let mut headings = BTreeMap::<usize, u64>::new();
    told.iter().flat_map(|section| &section.lines).for_each(|line| *headings.entry(*line).or_default() += 1);
    let several = headings.values().filter(|count| **count > 1).count();
    add("lines under several headings", u64::try_from(several).unwrap());
    let mut told: Vec<&'static str> = told
        .into_iter()
        .map(|section| match section.layer {
            Some(Layer::Cracking) => "trees with an attack section",
            Some(_) => "trees with a security section",
            None => "trees with a system section",
        })
        .collect();
    told.dedup();
    for what in told {
        add(what, 1);
    }
    for (marks, verdict) in marks.iter().zip(verdicts) {
        add("lines", 1);
        let hits = |layer| marks.raised.iter().any(|rule| file(*rule).layer == layer);
        add("lines that hit both", u64::from(hits(Layer::Cracking) && hits(Layer::Violations)));
        add("lines ignored", u64::from(matches!(verdict, LineVerdict::Ignored(_))));
        let LineVerdict::Silenced { raised, by } = verdict else { continue };
        let (raised, by) = (file(raised), file(by));
        let (name, hider) = (raised.name.to_str().unwrap(), by.name.to_str().unwrap());
        let why = match by.layer {
            Layer::Cracking | Layer::Violations => "lines of a told attack",
            _ if hider == name => "lines silenced by the same name",
            _ if hider.strip_prefix("logcheck-") == Some(name) => "lines silenced by logcheck-NAME",
            _ if hider == "local" || hider.starts_with("local-") => "lines silenced by local",
            _ => "lines of logcheck silenced by any",
        };
        add(why, 1);
    }
}

fn is_ready() -> bool {
    let is_ready = is_root() && need("logcheck", "logcheck") && need("setpriv", "util-linux");
    if !is_ready {
        println!("skipped: logcheck is compared as root only, who can become the user logcheck");
    }
    is_ready
}

#[test]
fn the_report_is_that_of_logcheck_byte_for_byte() {
    if !is_ready() {
        return;
    }
    let begun = Instant::now();
    let (next, coverage) = (AtomicU64::new(0), Mutex::new(Coverage::new()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= TREES {
                return;
            }
            let seed = 20_261_121 + number;
            let mut rng = StdRng::seed_from_u64(seed);
            let tree = Tree::new(&mut rng);
            let report = tree.compare(seed, false);
            let mut met = Coverage::new();
            measure(&tree, &mut met);
            met.insert("trees", 1);
            met.insert("bytes of reports", u64::try_from(report.len()).unwrap());
            if number % 8 == 0 {
                // Once more with new lines, after a rotation, each from the positions of the other.
                if number % 16 == 0 {
                    append(&tree.logs[0], &mut rng, 5);
                    fs::rename(&tree.logs[0], tree.logs[0].with_extension("1")).unwrap();
                    fs::rename(tree.logs[0].with_extension("1"), format!("{}.1", tree.logs[0].display())).unwrap();
                }
                tree.logs.iter().for_each(|log| append(log, &mut rng, 20));
                tree.compare(seed, true);
                met.insert("runs from the other's positions", 1);
            }
            let mut coverage = coverage.lock().unwrap();
            for (what, count) in met {
                *coverage.entry(what).or_default() += count;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let coverage = coverage.into_inner().unwrap();
    for (what, count) in &coverage {
        println!("{count:9} {what}");
    }
    println!("{:.0?}", begun.elapsed());
    for (what, least) in [
        ("trees", TREES),
        ("trees with an attack section", 60),
        ("trees with a security section", 80),
        ("trees with a system section", 80),
        ("lines", 18_000),
        ("lines that hit both", 1_000),
        ("lines under several headings", 300),
        ("lines ignored", 1_000),
        ("lines silenced by the same name", 100),
        ("lines silenced by logcheck-NAME", 50),
        ("lines silenced by local", 300),
        ("lines of logcheck silenced by any", 100),
        ("runs from the other's positions", 10),
    ] {
        let met = coverage.get(what).copied().unwrap_or(0);
        assert!(met >= least, "only {met} {what}");
    }
}

/// Where logcheck's report is empty, exactly the broken rule is off, and it is told.
#[test]
fn a_broken_rule_is_off_alone_and_told() {
    if !is_ready() {
        return;
    }
    let mut rng = StdRng::seed_from_u64(1);
    let tree = Tree::new(&mut rng);
    let rules = tree.path("rules");
    fs::create_dir_all(rules.join("ignore.d.paranoid")).unwrap();
    let place = rules.join("ignore.d.paranoid/broken");
    fs::write(&place, "^Nov .* alpha$\n^gone($\n^Nov .* beta$\n").unwrap();
    let ours = tree.ours("ours");
    fs::write(&place, "^Nov .* alpha$\n^Nov .* beta$\n").unwrap();
    let real = tree.real("real");
    assert_eq!(String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&real.stdout));
    assert!(!ours.stdout.is_empty());
    let said = String::from_utf8(ours.stderr).unwrap();
    assert!(said.contains("ignore.d.paranoid/broken:2: unmatched ("), "{said}");
}

/// What root leaves behind belongs to the user logcheck, whose own program goes on with it.
#[test]
fn positions_are_given_to_the_owner_of_their_directory() {
    if !is_ready() {
        return;
    }
    let mut rng = StdRng::seed_from_u64(2);
    let tree = Tree::new(&mut rng);
    tree.ours("ours");
    let owner = fs::metadata(tree.path("ours")).unwrap().uid();
    let names: Vec<_> = fs::read_dir(tree.path("ours")).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(names.iter().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"offset.")));
    assert!(
        names
            .iter()
            .all(|entry| entry.metadata().unwrap().uid() == owner && entry.file_name() != OsStr::new("integrityd.new"))
    );
    let real = tree.real("ours");
    assert!(real.stdout.is_empty(), "{}", String::from_utf8_lossy(&real.stdout));
}

/// Both call journalctl; here it is a wrapper that leads to a journal of ours.
#[test]
fn the_journal_is_reported_as_logcheck_does() {
    const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
    if !is_ready() || !need("journalctl", "systemd") || !need(REMOTE, "systemd-journal-remote") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["rules/cracking.d", "rules/violations.d", "rules/ignore.d.server", "lists", "journal", "bin"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    fs::write(path("rules/violations.d/all"), "refused\n").unwrap();
    fs::write(path("rules/ignore.d.server/all"), "alive$\n").unwrap();
    fs::write(path("list"), "journal\n").unwrap();
    let wrapper = path("bin/journalctl");
    fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec /usr/bin/journalctl --directory={} \"$@\"\n", path("journal").display()),
    )
    .unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut stream = String::new();
    let texts = ["was refused", "still alive", "two\nlines", "strange \u{1b}[31mcolours", "tab\there", "and one more"];
    for (number, text) in (0..60_u128).zip(texts.iter().cycle()) {
        let at = now.as_micros() - 1_000_000 * (3600 - number * 10);
        let length = u64::try_from(text.len()).unwrap().to_le_bytes();
        let length: String = length.iter().map(|byte| char::from(*byte)).collect();
        stream += &format!(
            "__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=h\n\
             _PID=7\nSYSLOG_IDENTIFIER=app\nMESSAGE\n{length}{text}\n\n",
            number + 1
        );
    }
    let mut remote = Command::new(REMOTE)
        .args(["-o", path("journal/a.journal").to_str().unwrap(), "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    remote.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(remote.wait().unwrap().success());
    let open = Command::new("chmod").arg("-R").arg("a+rX").arg(path("journal")).status().unwrap();
    assert!(open.success());
    for name in ["real", "ours", "lock"] {
        fs::create_dir(path(name)).unwrap();
        assert!(Command::new("chown").arg("logcheck:").arg(path(name)).status().unwrap().success());
    }
    let at = root.path().display();
    fs::write(path("conf"), format!("TMP={at}/real\nRULEDIR={at}/rules\nLOCKDIR={at}/lock\nLOCKFILE={at}/lock/l\n"))
        .unwrap();
    let run = |command: &mut Command, states: &str| {
        command.args(["-o", "-c"]).arg(path("conf")).arg("-L").arg(path("list"));
        command.arg("-D").arg(path("lists")).arg("-S").arg(path(states));
        command.env_clear().env("PATH", format!("{at}/bin:/usr/sbin:/usr/bin:/sbin:/bin")).env("LC_ALL", "C.UTF-8");
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", "logcheck", "--regid", "logcheck", "--init-groups", "/usr/sbin/logcheck"]);
    let real = run(&mut setpriv, "real");
    let ours = run(Command::new(PROGRAM).arg("logcheck"), "ours");
    assert!(real.contains("System Events") && real.contains("was refused"), "{real}");
    assert_eq!(ours, real);
    assert_eq!(run(Command::new(PROGRAM).arg("logcheck"), "ours"), "", "nothing is told twice");
}
