//! What is mounted over a watched tree, bound into it or unmounted from it: findings, not thousands of changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Area, Config},
    files::{
        area::watched_areas::WatchedAreas,
        remote::lookup::{DirHandle, Lookup},
    },
    model::file::entry::AreaId,
};

use crate::fuse::{Fuse, can_mount};
use crate::mounted::Mounted;
use crate::support::{PROGRAM, Running, Scratch, is_root, wait_for};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nmail = stdout:\n";

fn told(scratch: &Scratch, action: &str) -> Vec<serde_json::Value> {
    scratch.history().into_iter().filter(|event| event["event"]["action"][0] == action).collect()
}

fn wait_for_event(scratch: &Scratch, action: &str, path: &Path) {
    wait_for(&format!("{action} {}", path.display()), || {
        told(scratch, action).iter().any(|event| event["file"]["path"] == *path.to_str().unwrap())
    });
}

/// Waits until all that happened before was looked at.
fn wait_for_round(scratch: &Scratch) {
    let rounds = scratch.rounds();
    wait_for("two rounds", || scratch.rounds() >= rounds + 2);
}

/// What a walk that has not yet heard of a mount sees of `path`, at most ten seconds long; nothing when it hangs.
fn stale_looks(tree: &Path, names: &[&str], mount: impl FnOnce()) -> Vec<Option<Lookup>> {
    let config = Config::embedded(vec![Area::new(tree.to_path_buf())], PathBuf::from("/nowhere/integrityd.sqlite"));
    let all: Vec<WatchedAreas> = names
        .iter()
        .map(|_| {
            let areas = WatchedAreas::new(&config, &[AreaId(1)]);
            areas.survey();
            areas
        })
        .collect();
    let root = || DirHandle::Near(fs::File::open(tree).unwrap().into());
    let roots: Vec<DirHandle> = names.iter().map(|_| root()).collect();
    mount();
    let looks = all.into_iter().zip(roots).zip(names).map(|((areas, root), name)| {
        let (path, name) = (tree.join(name).into_os_string().into_encoded_bytes(), name.as_bytes().to_vec());
        let (told, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let watched = &areas.all[0];
            let seen = areas.lookup(watched, &path, &root, &name);
            let listed = areas.list(watched, &path, &root, &name).map(drop);
            assert!(!matches!((&seen, listed), (Lookup::Silent, Ok(()))), "silence has no names");
            told.send(seen).unwrap();
        });
        heard.recv_timeout(Duration::from_secs(10)).ok()
    });
    looks.collect()
}

#[test]
fn what_was_mounted_a_moment_ago_is_not_stepped_on() {
    if !can_mount() {
        return;
    }
    let scratch = scratch();
    let point = scratch.tree().join("part");
    let mut fuse = None;
    let looks = stale_looks(&scratch.tree(), &["part", "part/7", "part/deep/7"], || {
        let mounted = Fuse::mount(&point);
        mounted.be_silent(true);
        fuse = Some(mounted);
    });
    let words: Vec<&str> = looks
        .iter()
        .map(|look| match look {
            Some(Lookup::Silent) => "no answer",
            Some(_) => "looked",
            None => "hangs",
        })
        .collect();
    assert_eq!(words, ["no answer"; 3]);
}

#[test]
fn what_cannot_hang_is_entered_over_any_number_of_mounts() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let point = scratch.tree().join("part");
    let mut mounts = Vec::new();
    let names = ["part", "part/one", "part/a/b", "part/a/b/c", "part/gone", "part/a/b/c/gone"];
    let looks = stale_looks(&scratch.tree(), &names, || {
        mounts.push(Mounted::new(&["-t", "tmpfs", "outer"], &point));
        fs::write(point.join("one"), "x").unwrap();
        fs::create_dir_all(point.join("a/b")).unwrap();
        mounts.push(Mounted::new(&["-t", "tmpfs", "inner"], &point.join("a/b")));
        fs::create_dir(point.join("a/b/c")).unwrap();
        mounts.push(Mounted::new(&["--bind", scratch.tree().to_str().unwrap()], &point.join("a/b/c")));
    });
    for (name, look) in names.iter().zip(looks) {
        match look {
            Some(Lookup::There(_, seen)) => {
                let there = fs::symlink_metadata(scratch.tree().join(name)).unwrap();
                assert_eq!(seen.inode, std::os::unix::fs::MetadataExt::ino(&there), "{name}");
            }
            Some(Lookup::Gone) => assert!(name.ends_with("gone"), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    while mounts.pop().is_some() {}
}

/// A tree with forty files in `tree/part`.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.configure(FAST);
    fs::create_dir(scratch.tree().join("part")).unwrap();
    for number in 0..40 {
        fs::write(scratch.tree().join(format!("part/{number}")), "x").unwrap();
    }
    scratch
}

fn start(scratch: &Scratch) -> Running {
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    daemon
}

#[test]
fn what_is_mounted_over_a_part_of_an_area_is_one_finding_and_its_baseline_is_kept() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let part = scratch.tree().join("part");
    let daemon = start(&scratch);
    let cover = Mounted::new(&["-t", "tmpfs", "hiding"], &part);
    fs::write(part.join("7"), "another").unwrap();
    wait_for_event(&scratch, "covered", &part);
    wait_for_round(&scratch);
    let covered = told(&scratch, "covered");
    assert_eq!(covered.len(), 1);
    assert_eq!((&covered[0]["integrityd"]["count"], &covered[0]["event"]["severity"]), (&40.into(), &70.into()));
    assert!(covered[0]["event"]["reason"].to_string().contains("tmpfs hiding is mounted over it"), "{covered:?}");
    for action in ["removed", "changed", "added"] {
        assert!(told(&scratch, action).is_empty(), "{action}");
    }
    let explained = scratch.ask(&["explain", part.join("7").to_str().unwrap()]);
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains(&format!("no: tmpfs is mounted at {} and not entered", part.display())), "{explained}");
    // A command shows it as well, and after a restart it is not told again.
    let checked = scratch.ask(&["check"]);
    assert_eq!(checked.status.code(), Some(8), "{}", String::from_utf8_lossy(&checked.stdout));
    let status = scratch.ask(&["status"]);
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains(&format!("{} is hidden", part.display())) && status.status.code() == Some(1), "{text}");
    assert!(daemon.stop().success());
    // What was told once is still so: no command calls that no difference.
    for command in [&["init"][..], &["check", "--update"]] {
        let asked = scratch.ask(command);
        let text = String::from_utf8(asked.stdout).unwrap();
        assert!(!asked.status.success() && text.contains("covered"), "{command:?}: {text}");
        let said = String::from_utf8(asked.stderr).unwrap();
        assert!(!said.contains("is the new baseline"), "{said}");
    }
    let daemon = scratch.start();
    wait_for_round(&scratch);
    assert_eq!(told(&scratch, "covered").len(), 1);
    drop(cover);
    wait_for_event(&scratch, "uncovered", &part);
    fs::write(part.join("7"), "changed").unwrap();
    wait_for_event(&scratch, "changed", &part.join("7"));
    assert_eq!(told(&scratch, "changed").len(), 1);
    assert!(daemon.stop().success());
}

#[test]
fn what_was_unmounted_is_one_finding_until_it_is_back_or_accepted() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let point = scratch.tree().join("disk");
    fs::create_dir(&point).unwrap();
    let source = scratch.path("disk");
    fs::create_dir(&source).unwrap();
    for number in 0..30 {
        fs::write(source.join(format!("{number}")), "x").unwrap();
    }
    let mount = || Mounted::new(&["--bind", source.to_str().unwrap()], &point);
    let disk = mount();
    let daemon = start(&scratch);
    drop(disk);
    wait_for_event(&scratch, "covered", &point);
    let disk = mount();
    wait_for_event(&scratch, "uncovered", &point);
    fs::write(point.join("3"), "changed").unwrap();
    wait_for_event(&scratch, "changed", &point.join("3"));
    drop(disk);
    wait_for("another finding", || told(&scratch, "covered").len() == 2);
    assert!(told(&scratch, "removed").is_empty());
    let accepted = scratch.ask(&["init", "--accept", scratch.tree().to_str().unwrap()]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    wait_for_round(&scratch);
    assert_eq!(scratch.ask(&["check"]).status.code(), Some(0));
    assert!(told(&scratch, "removed").is_empty());
    assert!(daemon.stop().success());
}

#[test]
fn bind_loops_and_overlays_end_and_tell_nothing_twice() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let tree = scratch.tree();
    for name in ["loop", "upper", "work", "merged"] {
        fs::create_dir(tree.join(name)).unwrap();
    }
    let daemon = start(&scratch);
    // The tree within itself, and again in there.
    let _bound = Mounted::new(&["--rbind", tree.to_str().unwrap()], &tree.join("loop"));
    let _again = Mounted::new(&["--rbind", tree.to_str().unwrap()], &tree.join("loop/loop"));
    let at = |name: &str| tree.join(name).display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={}", at("part"), at("upper"), at("work"));
    let _merged = Mounted::new(&["-t", "overlay", "-o", &layers, "overlay"], &tree.join("merged"));
    wait_for_event(&scratch, "added", &tree.join("merged/7"));
    wait_for_round(&scratch);
    // A copy into the upper layer.
    fs::write(tree.join("merged/7"), "changed").unwrap();
    wait_for_event(&scratch, "changed", &tree.join("merged/7"));
    wait_for_event(&scratch, "added", &tree.join("upper/7"));
    wait_for_round(&scratch);
    let mut paths: Vec<String> =
        told(&scratch, "added").iter().map(|event| event["file"]["path"].to_string()).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), count, "told twice");
    assert!(count < 400, "{count} paths are new");
    assert!(daemon.stop().success());
}

#[test]
fn a_directory_of_many_names_costs_no_memory_and_holds_up_nothing() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure("filerate = 20000\nbyterate = 100M\nmail = stdout:\n");
    let tree = scratch.tree();
    let _memory = Mounted::new(&["-t", "tmpfs", "names"], &tree);
    let many = tree.join("many");
    fs::create_dir(&many).unwrap();
    let name = |number: u32| many.join(format!("{number:05}-{}", "n".repeat(100)));
    for number in 0..8_000 {
        fs::File::create(name(number)).unwrap();
    }
    fs::write(tree.join("near"), "x").unwrap();
    let daemon = scratch.start();
    wait_for("the baseline", || !told(&scratch, "baseline-established").is_empty());
    assert_eq!(told(&scratch, "baseline-established")[0]["integrityd"]["count"], 8_003);
    for number in 0..2_000 {
        fs::remove_file(name(number)).unwrap();
    }
    fs::write(tree.join("near"), "changed").unwrap();
    wait_for("the change beside it", || {
        let output = scratch.ask(&["history", "--json", "--path", tree.join("near").to_str().unwrap()]);
        String::from_utf8(output.stdout).unwrap().contains("\"changed\"")
    });
    let pid = daemon.pid();
    let entries = || scratch.status()["areas"][0]["entries"].clone();
    wait_for("all removals", || entries() == 6_003);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak: {peak} kB");
    assert!(peak < 64 * 1024, "{peak} kB");
    assert!(daemon.stop().success());
}

/// The daemon in a mount namespace of its own, as a unit has one.
fn start_apart(scratch: &Scratch) -> Running {
    let log = fs::File::options().create(true).append(true).open(scratch.path("log")).unwrap();
    let child = Command::new("unshare")
        .args(["-m", "--propagation", "private", PROGRAM, "--config"])
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    scratch.wait_for_baseline();
    Running { child }
}

fn in_namespace(daemon: &Running, command: &str) {
    let done = Command::new("nsenter").args(["-m", "-t", &daemon.pid().to_string(), "sh", "-ec", command]).status();
    assert!(done.unwrap().success(), "{command}");
}

#[test]
fn a_file_that_is_mounted_over_a_file_is_told_by_name_and_hides_no_change_for_good() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let tree = scratch.tree();
    let (urgent, plain, copy) = (tree.join("passwd"), tree.join("part/7"), scratch.path("copy"));
    scratch.configure(&format!("{FAST}urgent = {}\n", urgent.display()));
    fs::write(&urgent, "root:x:0:0").unwrap();
    // The same to the eye.
    assert!(Command::new("cp").arg("-p").arg(&urgent).arg(&copy).status().unwrap().success());
    let daemon = start(&scratch);
    let bind = ["--bind", copy.to_str().unwrap()];
    let (over_urgent, over_plain) = (Mounted::new(&bind, &urgent), Mounted::new(&bind, &plain));
    wait_for_event(&scratch, "covered", &urgent);
    wait_for_event(&scratch, "covered", &plain);
    wait_for_round(&scratch);
    let mut told_of: Vec<(String, u64)> = told(&scratch, "covered")
        .iter()
        .map(|event| (event["file"]["path"].to_string(), event["event"]["severity"].as_u64().unwrap()))
        .collect();
    told_of.sort();
    assert_eq!(told_of.iter().map(|(_, severity)| *severity).collect::<Vec<_>>(), [40, 70], "{told_of:?}");
    for action in ["removed", "changed", "rewritten", "touched", "moved"] {
        assert!(told(&scratch, action).is_empty(), "{action}");
    }
    for words in [&["check"][..], &["check", urgent.to_str().unwrap()]] {
        let checked = scratch.ask(words);
        let text = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(8), "{text}");
        assert!(text.contains(urgent.to_str().unwrap()) && !text.contains("no difference"), "{text}");
    }
    drop((over_urgent, over_plain));
    wait_for_event(&scratch, "uncovered", &urgent);
    fs::write(&urgent, "evil:x:0:0").unwrap();
    wait_for_event(&scratch, "changed", &urgent);
    assert!(daemon.stop().success());
    // Beside a command, with nobody who has told it before.
    let _over = Mounted::new(&bind, &urgent);
    assert_eq!(scratch.ask(&["check"]).status.code(), Some(8));
}

#[test]
fn a_mount_over_an_empty_directory_is_told_and_what_it_shows_is_watched() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let point = scratch.tree().join("point");
    fs::create_dir(&point).unwrap();
    let daemon = start(&scratch);
    let _disk = Mounted::new(&["-t", "tmpfs", "disk"], &point);
    fs::write(point.join("new"), "x").unwrap();
    wait_for_event(&scratch, "added", &point.join("new"));
    wait_for_round(&scratch);
    let reasons: Vec<String> =
        told(&scratch, "notice").iter().map(|event| event["event"]["reason"].to_string()).collect();
    let here = reasons.iter().filter(|reason| reason.contains("tmpfs disk is mounted here and hides nothing"));
    assert_eq!(here.count(), 1, "{reasons:?}");
    assert!(told(&scratch, "covered").is_empty());
    assert!(daemon.stop().success());
}

#[test]
fn what_is_mounted_over_the_root_of_an_area_on_the_same_device_suspends_it() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let copy = scratch.path("copy");
    assert!(Command::new("cp").arg("-a").arg(scratch.tree()).arg(&copy).status().unwrap().success());
    assert_eq!(scratch.ask(&["init", "-q"]).status.code(), Some(0));
    let cover = Mounted::new(&["--bind", copy.to_str().unwrap()], &scratch.tree());
    for words in [&["check"][..], &["init"]] {
        let asked = scratch.ask(words);
        let text = String::from_utf8(asked.stdout).unwrap();
        assert!(!asked.status.success() && text.contains("mounted over its root"), "{words:?}: {text}");
    }
    drop(cover);
    scratch.ask(&["init"]);
    assert_eq!(told(&scratch, "area-back").len(), 1);
    assert_eq!(scratch.ask(&["check"]).status.code(), Some(0));
}

#[test]
fn what_lies_at_a_path_is_what_the_uppermost_mount_shows() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let point = scratch.tree().join("efi");
    fs::create_dir(&point).unwrap();
    // As x-systemd.automount has it: what is not entered beneath, a local file system above.
    let _beneath = Mounted::new(&["-t", "sysfs", "systemd-1"], &point);
    let above = Mounted::new(&["-t", "tmpfs", "esp"], &point);
    fs::write(point.join("grub.cfg"), "good").unwrap();
    assert_eq!(scratch.ask(&["init", "-q"]).status.code(), Some(0));
    fs::write(point.join("grub.cfg"), "evil").unwrap();
    let checked = scratch.ask(&["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.code() == Some(4) && text.contains("efi/grub.cfg"), "{text}");
    assert!(!text.contains("mounts that are not entered"), "{text}");
    drop(above);
    let checked = scratch.ask(&["check"]);
    assert_eq!(checked.status.code(), Some(8), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn who_mounts_in_the_namespace_of_the_daemon_alone_is_told() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let daemon = start_apart(&scratch);
    let outside = scratch.path("outside");
    fs::create_dir(&outside).unwrap();
    in_namespace(&daemon, &format!("mount -t tmpfs intruder {}", outside.display()));
    let told_of = || -> Vec<String> {
        let notices = told(&scratch, "notice").into_iter();
        notices.map(|event| event["event"]["reason"].to_string()).filter(|words| words.contains("entered it")).collect()
    };
    wait_for("the intruder", || !told_of().is_empty());
    wait_for_round(&scratch);
    assert_eq!(told_of().len(), 1);
    assert!(told_of()[0].contains("tmpfs intruder"), "{:?}", told_of());
    in_namespace(&daemon, &format!("umount {}", outside.display()));
    assert!(daemon.stop().success());
}

#[test]
fn a_changed_sysctl_is_told() {
    if !is_root() {
        println!("skipped: only root can change one");
        return;
    }
    let scratch = Scratch::new();
    let name = Path::new("/proc/sys/kernel/domainname");
    scratch.configure(&format!("{FAST}area = {}\n", name.display()));
    let before = fs::read(name).unwrap();
    let daemon = start(&scratch);
    wait_for_round(&scratch);
    fs::write(name, "integrityd.example\n").unwrap();
    wait_for_event(&scratch, "changed", name);
    fs::write(name, before).unwrap();
    assert!(told(&scratch, "busy").is_empty());
    assert!(daemon.stop().success());
}

/// While it lives, something is mounted and unmounted at `point` without a pause.
struct Restless {
    must_end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Restless {
    fn begin(point: PathBuf) -> Self {
        let must_end = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&must_end);
        let work = move || {
            while !is_over.load(Ordering::SeqCst) {
                drop(Mounted::new(&["-t", "tmpfs", "restless"], &point));
            }
        };
        Self { must_end, thread: Some(std::thread::spawn(work)) }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.must_end.store(true, Ordering::SeqCst);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A host of containers mounts something all day: what is mounted meanwhile kept a pass from entering any other mount, and nobody was told.
#[test]
fn what_others_mount_meanwhile_hides_nothing() {
    if !is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let scratch = scratch();
    let tree = scratch.tree();
    let (stands, outside, inside) = (tree.join("stands"), scratch.path("outside"), tree.join("inside"));
    for directory in [&stands, &outside, &inside] {
        fs::create_dir(directory).unwrap();
    }
    let _stands = Mounted::new(&["-t", "tmpfs", "stands"], &stands);
    (0..20).for_each(|number| fs::write(stands.join(format!("f{number}")), "good").unwrap());
    for (round, restless) in [outside, inside].into_iter().enumerate() {
        let restless = Restless::begin(restless);
        for attempt in 0..5 {
            let target = stands.join(format!("f{}", round * 5 + attempt));
            if attempt == 0 {
                scratch.ask(&["init", "-q"]);
            }
            fs::write(&target, "evil").unwrap();
            let checked = scratch.ask(&["check"]);
            let text = String::from_utf8(checked.stdout).unwrap();
            assert!(text.contains(target.to_str().unwrap()), "{round}: {text}");
        }
        drop(restless);
    }
}

/// A file system image of the directory `from`, with all times 0; `None` where no program makes one.
fn image(from: &Path, to: &Path) -> Option<()> {
    let made = Command::new("mksquashfs")
        .args([from, to])
        .args(["-all-time", "0", "-mkfs-time", "0", "-quiet", "-no-progress"])
        .stdout(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success()).then_some(())
}

#[test]
fn a_file_of_another_image_with_the_same_times_is_changed_and_not_forged() {
    let scratch = Scratch::new();
    scratch.configure("mail = stdout:");
    let point = scratch.tree().join("m");
    fs::create_dir(&point).unwrap();
    // In the second image the inode has another number, in the third the same.
    let images = [("one", "a"), ("two", "_first"), ("three", "a")].map(|(name, beside)| {
        let from = scratch.path(name);
        fs::create_dir(&from).unwrap();
        fs::write(from.join(beside), "beside").unwrap();
        fs::write(from.join("f"), name).unwrap();
        let to = scratch.path(&format!("{name}.squashfs"));
        image(&from, &to).map(|()| to)
    });
    let [Some(one), Some(two), Some(three)] = images else {
        println!("skipped: no mksquashfs");
        return;
    };
    let mount = |image: &Path| Mounted::attempt(&["-o", "loop,ro", image.to_str().unwrap()], &point);
    let Some(first) = mount(&one) else { return };
    assert!(scratch.ask(&["init", "-q"]).status.success());
    drop(first);
    for other in [two, three] {
        let _second = mount(&other).unwrap();
        let found = String::from_utf8(scratch.ask(&["check", "--json"]).stdout).unwrap();
        let path = point.join("f");
        let told = found.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let told: Vec<_> = told.filter(|event| event["file"]["path"] == *path.to_str().unwrap()).collect();
        assert!(told.iter().any(|event| event["event"]["action"][0] == "changed"), "{found}");
        assert!(!found.contains("forged") && told.iter().all(|event| event["event"]["severity"] == 40), "{found}");
    }
}
