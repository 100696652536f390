//! Files whose content cannot be had: no permission, a failing disk, somebody's lease. Each streak is told once, nobody waits for them,
//! and every visit tries again.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use integrityd::{
    config::settings::config::Area,
    model::{
        event::{Category, Event},
        file::entry::{Entry, HashState},
    },
    store::events::append::Filter,
};
use rustix::io::Errno;
use tokio::time::sleep;

use crate::{
    journeys::{Daemonic, Journey},
    support::{Running, Scratch, copy_program, is_root, wait_for},
};

/// Ended when the test ends.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Takes a write lease (`fcntl(2)`, `F_SETLEASE`), as soon as nobody else has the file open, and keeps it though it is asked to give it
/// up; `None` without perl(1).
async fn lease(path: &Path) -> Option<Held> {
    let script = "$SIG{IO} = sub {}; open F, '+<', $ARGV[0] or die; fcntl(F, 1024, 1) or exit 1; \
                  $| = 1; print qq(held\\n); sleep 1000 while 1";
    for _ in 0..100 {
        let child = Command::new("perl").args(["-e", script]).arg(path).stdout(Stdio::piped()).spawn().ok()?;
        let mut held = Held(child);
        let mut line = String::new();
        BufReader::new(held.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line == "held\n" {
            return Some(held);
        }
        sleep(Duration::from_secs(7)).await;
    }
    unreachable!("the file is open all the time");
}

async fn of_class(daemon: &Daemonic, category: Category) -> Vec<Event> {
    let filter = Filter { limit: 10_000, ..Filter::default() };
    let events = daemon.db.call(move |store| store.history(&filter).unwrap()).await;
    events.into_iter().map(|stored| stored.event).filter(|event| event.category == category).collect()
}

async fn entry(daemon: &Daemonic, root: &Path, path: &Path) -> Entry {
    let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
    let (root, path) = (bytes(root), bytes(path));
    daemon.db.call(move |store| store.entry_at(&root, &path).unwrap().unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_write_lease_delays_nobody_and_is_told_once() {
    let journey = Journey::new();
    let mut config = journey.config();
    config.rates.files = 20.0;
    config.rates.big_file = 1 << 20;
    let tree = journey.tree();
    (0..10).for_each(|number| fs::write(tree.join(format!("f{number}")), "content").unwrap());
    let (small, big) = (tree.join("leased"), tree.join("big"));
    fs::write(&small, "content").unwrap();
    fs::write(&big, vec![1; 2 << 20]).unwrap();
    let daemon = journey.start(config);
    daemon.until_established().await;
    sleep(Duration::from_mins(3)).await;
    let before = entry(&daemon, &tree, &big).await.known;
    assert_eq!(before.hash_state, HashState::Full);
    let (Some(one), Some(other)) = (lease(&small).await, lease(&big).await) else {
        println!("skipped: there is no perl");
        return;
    };
    fs::write(tree.join("f7"), "other content").unwrap();
    sleep(Duration::from_mins(10)).await;
    let unreadable = of_class(&daemon, Category::Unreadable).await;
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert!(
        unreadable.iter().all(|event| event.note.starts_with(b"Resource temporarily unavailable")),
        "{unreadable:?}"
    );
    assert_eq!(of_class(&daemon, Category::Changed).await.len(), 1, "what changes beside it is found");
    let state = HashState::Unreadable(Errno::WOULDBLOCK.raw_os_error());
    for path in [&small, &big] {
        let known = entry(&daemon, &tree, path).await.known;
        assert_eq!(known.hash_state, state);
        assert!(known.digests.blake3.is_some(), "the last digest stays");
    }
    drop((one, other));
    sleep(Duration::from_mins(3)).await;
    assert_eq!(of_class(&daemon, Category::Readable).await.len(), 2);
    assert_eq!(entry(&daemon, &tree, &big).await.known, before);
    assert_eq!(of_class(&daemon, Category::Changed).await.len(), 1);
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_error_gives_no_digest_and_stops_nothing() {
    let journey = Journey::new();
    // Every read of the memory of a process at an address that it does not use fails with EIO, as one of a failing disk does.
    let sleeper = Held(Command::new("sleep").arg("1000").spawn().unwrap());
    let memory = Path::new("/proc").join(sleeper.0.id().to_string()).join("mem");
    let mut config = journey.config();
    config.areas.push(Area::new(memory.clone()));
    config.rates.files = 20.0;
    let file = journey.tree().join("f");
    fs::write(&file, "content").unwrap();
    let daemon = journey.start(config);
    daemon.until_established().await;
    let known = entry(&daemon, &memory, &memory).await.known;
    assert_eq!(known.hash_state, HashState::Unreadable(Errno::IO.raw_os_error()));
    assert!(known.digests.algorithms().is_empty(), "nothing was read, so there is no digest");
    fs::write(&file, "other content").unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(
        of_class(&daemon, Category::Changed).await.iter().filter(|event| event.source.ends_with(b"/f")).count(),
        1
    );
    assert!(journey.mails().join("\n").contains("1, of which 1 cannot be read"), "{:?}", journey.mails());
    assert_eq!(of_class(&daemon, Category::Unreadable).await.len(), 0, "it was never otherwise");
    daemon.stop().await;
}

#[test]
fn what_may_not_be_read_is_told_once_and_tried_again_at_every_visit() {
    if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: only root can become somebody else, by setpriv(1)");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure("filerate = 2000\nbigfiles = 64k\nsmallfiles = 1k\nmail = stdout:");
    let tree = scratch.tree();
    let allow =
        |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let contents = [("small", 10), ("medium", 10_000), ("big", 200_000)];
    for (name, size) in contents {
        fs::write(tree.join(name), vec![1; size]).unwrap();
    }
    let program = scratch.path("integrityd");
    copy_program(&program);
    allow(&program, 0o755);
    allow(&scratch.path(""), 0o755);
    fs::create_dir(scratch.path("state")).unwrap();
    for path in [scratch.path("state"), scratch.path("integrityd.conf")] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    allow(&scratch.path("state"), 0o700);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).arg("--config");
    command.arg(scratch.path("integrityd.conf")).arg("run").stdin(Stdio::null()).stdout(Stdio::null());
    let daemon = Running { child: command.stderr(Stdio::null()).spawn().unwrap() };
    scratch.wait_for_baseline();
    let count = |class: &str| scratch.history().iter().filter(|event| event["event"]["action"][0] == class).count();
    for (name, _) in contents {
        allow(&tree.join(name), 0o600);
    }
    // An entry is rechecked after a minute, but the walk goes round without end.
    wait_for("what may not be read", || count("unreadable") == 3);
    let (rounds, changed) = (scratch.rounds(), count("changed"));
    wait_for("more rounds", || scratch.rounds() > rounds + 5);
    assert_eq!((count("unreadable"), count("changed")), (3, changed), "each streak is told once");
    for (name, _) in contents {
        allow(&tree.join(name), 0o644);
    }
    wait_for("what may be read again", || count("readable") == 3);
    assert_eq!(count("unreadable"), 3);
    assert!(daemon.stop().success());
}
