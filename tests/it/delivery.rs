//! The daemon as a process against a mail server: what is mailed, when, and that nothing is ever lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::{
    Scratch, is_root, overwrite, put, put_back_mtime,
    sink::{Mode, Sink},
    wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nretrybase = 100ms\n";

/// Items of the FILES block: path and class.
fn items(text: &str) -> Vec<(String, String)> {
    let classes = ["added", "removed", "changed", "retyped"];
    text.lines()
        .filter(|line| line.starts_with("  ---") || line.starts_with("  HIGH") || line.starts_with("  low"))
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let path = words.next()?.trim_end_matches('/').to_owned();
            let class = words.find(|word| classes.contains(word))?;
            Some((path, class.to_owned()))
        })
        .collect()
}

#[test]
fn all_and_only_the_changes_are_mailed_in_few_mails_outside_the_hold_off() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch
        .configure(&format!("filerate = 400\nbyterate = 100M\nreporttime = 2\nreportholdoff = 4\n{}", sink.setting()));
    let tree = scratch.tree();
    for number in 0..300 {
        let directory = tree.join(format!("d{}", number % 7));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("f{number:03}")), format!("content {number}")).unwrap();
    }
    let file = |number: usize| tree.join(format!("d{}/f{number:03}", number % 7));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    let mut wanted = BTreeSet::new();
    let mut want = |path: &Path, class: &str| {
        assert!(wanted.insert((path.display().to_string(), class.to_owned())));
    };
    for number in 0..20 {
        overwrite(&file(number), &format!("other, longer content {number}"));
        want(&file(number), "changed");
    }
    // The second burst comes right after a report, so that it has to wait for the hold-off.
    wait_for("the first report", || sink.mails().iter().any(|mail| mail.text().contains("/f019 ")));
    for number in 20..25 {
        put(&tree.join(format!("d3/new{number}")), "new");
        want(&tree.join(format!("d3/new{number}")), "added");
    }
    for number in 30..35 {
        fs::remove_file(file(number)).unwrap();
        want(&file(number), "removed");
    }
    for number in 40..43 {
        fs::set_permissions(file(number), fs::Permissions::from_mode(0o640)).unwrap();
        want(&file(number), "changed");
    }
    for number in 50..52 {
        let group = rustix::process::getgroups().unwrap().into_iter().find(|group| *group != rustix::process::getgid());
        if is_root() {
            std::os::unix::fs::chown(file(number), Some(4711), None).unwrap();
        } else if let Some(group) = group {
            std::os::unix::fs::chown(file(number), None, Some(group.as_raw())).unwrap();
        } else {
            fs::set_permissions(file(number), fs::Permissions::from_mode(0o600)).unwrap();
        }
        want(&file(number), "changed");
    }
    symlink("/etc/hostname", scratch.path("link")).unwrap();
    fs::rename(scratch.path("link"), file(60)).unwrap();
    want(&file(60), "retyped");
    for number in 70..72 {
        let before = fs::metadata(file(number)).unwrap().modified().unwrap();
        overwrite(&file(number), &format!("CONTENT {number}"));
        put_back_mtime(&file(number), before);
        want(&file(number), "changed");
    }
    let found = || -> Vec<(String, String)> { sink.mails().iter().flat_map(|mail| items(&mail.text())).collect() };
    wait_for("every change", || found().len() >= wanted.len());
    // What comes too much would come in the next report.
    std::thread::sleep(Duration::from_secs(6));
    assert!(daemon.stop().success());
    let found = found();
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(found.len(), wanted.len(), "something was reported twice");
    let mails = sink.mails();
    assert!(mails.len() <= 4, "{} mails", mails.len());
    for pair in mails.windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap > Duration::from_millis(3900), "two mails within {gap:?}");
    }
    let text: String = mails.iter().map(super::support::sink::Mail::text).collect();
    assert!(text.contains("size 9 → 23"), "old and new values are missing:\n{text}");
    assert!(text.contains("perms 0644 → 0640") || text.contains("perms 0664 → 0640"), "{text}");
}

#[test]
fn a_mail_server_that_is_away_gets_everything_afterwards() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    fs::write(scratch.tree().join("file"), "x").unwrap();
    sink.behave(Mode::Busy);
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    for number in 0..5 {
        put(&scratch.tree().join(format!("new{number}")), "x");
        std::thread::sleep(Duration::from_millis(700));
    }
    assert!(sink.mails().is_empty());
    let status = scratch.ask(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("last answer:"));
    sink.behave(Mode::Accept);
    let text = || -> String { sink.mails().iter().map(super::support::sink::Mail::text).collect() };
    wait_for("what was found meanwhile", || (0..5).all(|number| text().contains(&format!("/new{number} "))));
    assert!(daemon.stop().success());
}

#[test]
fn one_refused_recipient_does_not_keep_the_others_from_theirs() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("email = second@example.org\n{FAST}{}", sink.setting()));
    sink.behave(Mode::Refuse("root@example.org".to_owned()));
    let daemon = scratch.start();
    let mails = sink.wait_for(1);
    assert_eq!(mails[0].recipient, "second@example.org");
    assert!(daemon.stop().success());
    let status = String::from_utf8(scratch.ask(&["status"]).stdout).unwrap();
    assert!(status.contains("1 waiting, 1 sent") && status.contains("no such user"), "{status}");
}

#[test]
fn recipients_of_an_area_get_what_concerns_it_and_no_more() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::create_dir(scratch.path("web")).unwrap();
    scratch.configure(&format!(
        "area = {}\nareaemail = web@example.org\n{FAST}{}",
        scratch.path("web").display(),
        sink.setting()
    ));
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    put(&scratch.tree().join("private"), "x");
    put(&scratch.path("web/public"), "x");
    let text = |recipient: &str| -> String {
        sink.mails().iter().filter(|mail| mail.recipient == recipient).map(crate::support::sink::Mail::text).collect()
    };
    wait_for("both mails", || {
        text("web@example.org").contains("/public ") && text("root@example.org").contains("/private ")
    });
    assert!(text("root@example.org").contains("/public "));
    assert!(!text("web@example.org").contains("private"), "{}", text("web@example.org"));
    assert!(daemon.stop().success());
}

/// Tokens are pairs of path and class: each file is added, changed or removed once, so each pair must be told once.
struct Work {
    tree: std::path::PathBuf,
    chance: StdRng,
    next: u32,
    stable: Vec<u32>,
    tokens: BTreeSet<(String, String)>,
}

impl Work {
    fn path(&self, number: u32) -> std::path::PathBuf {
        self.tree.join(format!("d{}/t{number:05}", number % 5))
    }

    fn step(&mut self) {
        let token = |path: &Path, class: &str| (path.display().to_string(), class.to_owned());
        match self.chance.random_range(0..3) {
            0 => {
                let path = self.path(self.next);
                put(&path, "added");
                self.tokens.insert(token(&path, "added"));
                self.next += 1;
            }
            1 if !self.stable.is_empty() => {
                let number = self.stable.swap_remove(0);
                let path = self.path(number);
                overwrite(&path, "changed it is");
                self.tokens.insert(token(&path, "changed"));
            }
            _ if !self.stable.is_empty() => {
                let number = self.stable.swap_remove(0);
                let path = self.path(number);
                fs::remove_file(&path).unwrap();
                self.tokens.insert(token(&path, "removed"));
            }
            _ => {}
        }
    }
}

#[test]
fn kill_9_at_any_moment_loses_no_change_and_sends_none_under_two_names() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let tree = scratch.tree();
    (0..5).for_each(|number| fs::create_dir(tree.join(format!("d{number}"))).unwrap());
    let mut work = Work {
        tree,
        chance: StdRng::seed_from_u64(20),
        next: 1000,
        stable: (0..1000).collect(),
        tokens: BTreeSet::new(),
    };
    (0..1000).for_each(|number| fs::write(work.path(number), "as it was").unwrap());
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    daemon.kill();
    let modes = [
        Mode::Accept,
        Mode::Hold(Duration::from_millis(400)),
        Mode::Forget,
        Mode::AcceptAndClose,
        Mode::Busy,
        Mode::NotNow,
    ];
    for round in 0..30 {
        sink.behave(modes[round % modes.len()].clone());
        let daemon = scratch.start();
        let end = std::time::Instant::now() + Duration::from_millis(work.chance.random_range(100..900));
        while std::time::Instant::now() < end {
            work.step();
            std::thread::sleep(Duration::from_millis(work.chance.random_range(1..20)));
        }
        daemon.kill();
    }
    sink.behave(Mode::Accept);
    let daemon = scratch.start();
    let told = || -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut told: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for mail in sink.mails() {
            for item in items(&mail.text()) {
                told.entry(item).or_default().insert(mail.message_id());
            }
        }
        told
    };
    let is_complete = || {
        let told = told();
        work.tokens.iter().all(|token| told.contains_key(token))
    };
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_mins(1) && !is_complete() {
        std::thread::sleep(Duration::from_millis(300));
    }
    let told = told();
    let lost: Vec<_> = work.tokens.iter().filter(|token| !told.contains_key(*token)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), work.tokens.len());
    let twice: Vec<_> = told.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(twice.is_empty(), "under two names: {twice:?}");
    for token in told.keys() {
        assert!(work.tokens.contains(token), "{token:?} was never made");
    }
    assert!(daemon.stop().success());
    let verified = scratch.ask(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
