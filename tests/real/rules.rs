//! The rules Debian ships mean to integrityd what they mean to the installed grep.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use integrityd::{
    config::settings::config::{RuleDirectory, RuleLevel},
    logs::{
        pattern::{
            ast::Locale,
            matcher::{Engine, OnLimit},
        },
        rules::rule_set::{RuleOptions, RuleSet},
    },
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::{
    packages::need,
    support::{
        grep::{Tally, mutate, sample},
        syslog,
    },
};

/// The packages of Debian 12 that ship rules of their own, by `apt-file search etc/logcheck/`.
const PACKAGES: &str = "autossh boxbackup-server cachefilesd clamav-daemon clamav-freshclam clamav-milter clamsmtp courier-imap \
    courier-pop cracklib-runtime cyrus-common debarchiver email-reminder fcheck fetchmail fwknop-server goobox \
    gophernicus gpg-agent gridengine-common heartbeat iodine isc-dhcp-server leafnode libapache2-mod-shib \
    libreswan lpr mariadb-server mdadm netfilter-persistent nullmailer oidentd pdns-recursor postfix-gld \
    postfix-policyd-spf-python postgrey radsecproxy razor request-tracker4 request-tracker5 rkhunter \
    rng-tools-debian rsyslog sendmail-base smstools spampd sslh ssmtp syslog-ng-core talkd uw-mailutils webfs \
    x2goserver";

/// The rule files of [`PACKAGES`], taken out of the packages without installing those; `None`, said aloud, when they cannot be had.
fn fetched() -> Option<&'static Path> {
    static FETCHED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let fetch = || {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shipped-rules");
        drop(fs::remove_dir_all(&place));
        fs::create_dir_all(&place).unwrap();
        let download = format!("apt-get -qq -o APT::Sandbox::User=root download {PACKAGES}");
        let unpack = "for package in *.deb; do dpkg-deb --fsys-tarfile $package | tar -x --wildcards './etc/logcheck/*' || exit 1; \
                      rm $package; done";
        let run = |script: &str| {
            let done = Command::new("sh").args(["-c", script]).current_dir(&place).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let is_there = (run(&download) || (run("apt-get -qq update") && run(&download))) && run(unpack);
        if !is_there {
            println!("skipped: the packages that ship rules of their own cannot be downloaded");
        }
        is_there.then(|| place.join("etc/logcheck"))
    };
    FETCHED.get_or_init(fetch).as_deref()
}

/// Every rule of Debian, of all levels and layers: those under `/etc/logcheck` and those of other packages.
fn shipped(locale: Locale) -> Option<RuleSet> {
    let is_there = need("logcheck-test", "logcheck") && need("/etc/logcheck/ignore.d.server/ssh", "logcheck-database");
    is_there.then(|| {
        let reading = RuleOptions { locale, allows_broad: true, is_flat: false };
        let rules = |path: &Path| RuleDirectory { level: RuleLevel::Workstation, path: path.to_owned() };
        let directories: Vec<RuleDirectory> =
            std::iter::once(Path::new("/etc/logcheck")).chain(fetched()).map(rules).collect();
        RuleSet::read(&directories, reading)
    })
}

#[test]
fn every_shipped_rule_is_taken() {
    for locale in [Locale::C, Locale::Utf8] {
        let Some(set) = shipped(locale) else { return };
        for fault in &set.faults {
            let text = fs::read(&fault.file).unwrap();
            let number = usize::try_from(fault.line.unwrap()).unwrap();
            let rule = text.split(|byte| *byte == b'\n').nth(number - 1).unwrap();
            let rule = OsStr::from_bytes(rule);
            let grep =
                Command::new("grep").args(["-E", "-e"]).arg(rule).arg("/dev/null").stderr(Stdio::null()).status();
            assert_eq!(grep.unwrap().code(), Some(2), "refused by us and not by grep: {fault}");
        }
        println!("{} rules, {} refused by grep too", set.rules.len(), set.faults.len());
        assert!(set.rules.len() > 1500 && (fetched().is_none() || set.rules.len() > 2000), "{}", set.rules.len());
    }
}

#[test]
fn every_shipped_rule_agrees_with_grep_on_known_changed_and_foreign_lines() {
    let Some(set) = shipped(Locale::Utf8) else { return };
    let mut rng = StdRng::seed_from_u64(4);
    let foreign = syslog::lines(300, 4);
    let mut work = Vec::new();
    for rule in &set.rules {
        let mut lines = Vec::new();
        for _ in 0..8 {
            let line = sample(&rule.ere, &mut rng);
            lines.extend([mutate(&line, &mut rng), mutate(&line, &mut rng), line]);
        }
        lines.extend(foreign.sample(&mut rng, 4).cloned());
        let other = &set.rules[rng.random_range(0..set.rules.len())].ere;
        lines.extend([sample(other, &mut rng), b"".to_vec(), "é".as_bytes().to_vec()]);
        for line in &mut lines {
            line.retain(|byte| *byte != b'\n');
        }
        work.push((rule.text.clone(), lines));
    }
    let half = work.len() / 2;
    let compare = |part: &[(Vec<u8>, Vec<Vec<u8>>)]| {
        let mut tally = Tally::default();
        for (rule, lines) in part {
            tally.compare(rule, lines);
        }
        tally
    };
    let (mut one, two) = thread::scope(|scope| {
        let two = scope.spawn(|| compare(&work[half..]));
        (compare(&work[..half]), two.join().unwrap())
    });
    one.add(two);
    println!(
        "{} rules, {} decisions, {} matches, {} unanswered, {} differences",
        set.rules.len(),
        one.decisions,
        one.matches,
        one.unanswered,
        one.differences.len()
    );
    one.assert_equal();
    assert!(one.decisions > 100_000 && one.matches * 5 > one.decisions && one.unanswered == 0 && one.refused == 0);
}

/// The engine's short cuts change no answer: it finds what the rules find one by one.
#[test]
fn the_engine_finds_what_the_shipped_rules_find_on_their_own() {
    for locale in [Locale::C, Locale::Utf8] {
        let Some(set) = shipped(locale) else { return };
        let eres = || set.rules.iter().map(|rule| &rule.ere);
        let mut engine = Engine::new(eres(), locale, OnLimit::NoMatch);
        let mut alone: Vec<Engine> = eres().map(|ere| Engine::new([ere], locale, OnLimit::NoMatch)).collect();
        let mut rng = StdRng::seed_from_u64(5);
        let mut lines = syslog::lines(100, 5);
        for rule in &set.rules {
            let line = sample(&rule.ere, &mut rng);
            lines.extend([mutate(&line, &mut rng), line]);
        }
        let mut found = 0;
        for line in lines.sample(&mut rng, 600) {
            let expected: Vec<usize> =
                alone.iter_mut().enumerate().filter_map(|(rule, one)| one.any(line).map(|_| rule)).collect();
            let any = engine.any(line);
            assert_eq!(engine.all(line), expected, "{}", line.escape_ascii());
            assert_eq!(any.is_some(), !expected.is_empty(), "{}", line.escape_ascii());
            assert!(any.is_none_or(|rule| expected.contains(&rule)), "{}", line.escape_ascii());
            found += expected.len();
        }
        println!("{locale:?}: 600 lines, {found} matches, {} of memory", engine.memory());
    }
}
