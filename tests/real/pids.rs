//! Watched processes where root is needed: PID namespaces, numbers that are handed out again, system calls, limits, and what a round costs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, ProcessSource, ProcessWatch},
    model::{
        clock::Clock,
        event::{Category, Event},
        keepalive::Keepalive,
    },
    pids::{
        PidWatch,
        watch_list::{Roster, WhichWatch},
    },
    store::{db::Db, events::append::Filter, sqlite::connection::Store},
    sys::host,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{PROGRAM, Scratch, is_root, put, wait_for};

const SECOND: Duration = Duration::from_secs(1);

fn clock() -> Clock {
    Clock::System(host::boot_id(Path::new("/")))
}

fn config(scratch: &Scratch, processes: Vec<ProcessWatch>) -> Config {
    let mut config = Config::embedded(Vec::new(), scratch.database());
    (config.processes, config.pid_check_time) = (processes, SECOND);
    config
}

fn inside(path: &Path, container: &str) -> ProcessWatch {
    let source = ProcessSource::PidFile(path.to_path_buf());
    ProcessWatch { source, container: Some(container.to_owned()) }
}

fn host(path: &Path) -> ProcessWatch {
    ProcessWatch { source: ProcessSource::PidFile(path.to_path_buf()), container: None }
}

/// Watches from outside until it is dropped.
struct Watching {
    db: Db,
    stop: CancellationToken,
}

impl Watching {
    fn of(scratch: &Scratch, processes: Vec<ProcessWatch>) -> Self {
        let db = Db::new(Store::open(&scratch.database(), clock().now()).unwrap());
        let stop = CancellationToken::new();
        let config = Arc::new(config(scratch, processes));
        let root = PathBuf::from("/");
        let watch = PidWatch {
            config,
            db: db.clone(),
            clock: clock(),
            root,
            away_since: None,
            pulse: Keepalive::default(),
            stop: stop.clone(),
        };
        tokio::spawn(watch.run());
        Self { db, stop }
    }

    fn events(&self) -> Vec<Event> {
        let filter = Filter { limit: 1000, ..Filter::default() };
        self.db.lock().history(&filter).unwrap().into_iter().map(|stored| stored.event).collect()
    }

    async fn until<T>(&self, what: &str, mut is_so: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = is_so(self) {
                return found;
            }
            assert!(begun.elapsed() < 20 * SECOND, "{what} did not come: {:?}", self.events());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_running(&self) -> integrityd::model::process::Process {
        self.until("the process", |it| it.db.lock().watched().unwrap().pop()?.state.process).await
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A PID namespace in which a shell runs `script`.
struct Namespace(Child);

impl Namespace {
    fn new(scratch: &Scratch, script: &str) -> Self {
        let child = Command::new("unshare")
            .args(["-pf", "--mount-proc", "--kill-child", "sh", "-c", script])
            .current_dir(scratch.path(""))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The number of its first process on the host.
    fn first(&self) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        let text = || fs::read_to_string(&children).unwrap_or_default();
        wait_for("the namespace", || !text().trim().is_empty());
        text().trim().parse().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_of_a_pid_namespace_is_found_by_its_number_there() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let scratch = Scratch::new();
    let script =
        "sleep 600 & echo $! > n.pid; while [ ! -e go ]; do sleep 0.1; done; kill -9 $(cat n.pid); wait; sleep 600";
    let namespace = Namespace::new(&scratch, script);
    let first = namespace.first();
    wait_for("the PID file", || fs::metadata(scratch.path("n.pid")).is_ok_and(|it| it.len() > 1));
    let inner: u32 = fs::read_to_string(scratch.path("n.pid")).unwrap().trim().parse().unwrap();
    let watching = Watching::of(&scratch, vec![inside(&scratch.path("n.pid"), &format!("pid:{first}"))]);
    let process = watching.until_running().await;
    assert_eq!((process.inner, process.comm.as_slice()), (Some(inner), &b"sleep"[..]));
    assert_ne!(process.id.pid, inner);
    put(&scratch.path("go"), "");
    let event = watching.until("the death", |it| it.events().into_iter().next()).await;
    assert_eq!((event.category, event.process.unwrap().old), (Category::ProcessDied, Some(process)));
}

#[tokio::test]
async fn a_number_that_is_handed_to_another_program_is_told_with_both_names() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let scratch = Scratch::new();
    let script = "sleep 600 & pid=$!; echo $pid > n.pid; while [ ! -e go ]; do sleep 0.1; done; kill -9 $pid; wait $pid; \
         echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid; tail -f /dev/null & echo $! > got; sleep 600";
    let namespace = Namespace::new(&scratch, script);
    let first = namespace.first();
    wait_for("the PID file", || fs::metadata(scratch.path("n.pid")).is_ok_and(|it| it.len() > 1));
    let watching = Watching::of(&scratch, vec![inside(&scratch.path("n.pid"), &format!("pid:{first}"))]);
    let process = watching.until_running().await;
    assert_eq!(process.comm, b"sleep");
    put(&scratch.path("go"), "");
    wait_for("the other program", || fs::metadata(scratch.path("got")).is_ok_and(|it| it.len() > 1));
    let got = fs::read_to_string(scratch.path("got")).unwrap();
    assert_eq!(got, fs::read_to_string(scratch.path("n.pid")).unwrap(), "the number was not handed out again");
    let is_replaced = |event: &Event| event.category == Category::ProcessReplaced;
    let event = watching.until("the other program", |it| it.events().into_iter().find(is_replaced)).await;
    let news = event.process.unwrap();
    let names = [news.old, news.new].map(|process| process.unwrap().comm);
    assert_eq!(names, [b"sleep".to_vec(), b"tail".to_vec()]);
}

#[tokio::test]
async fn a_process_whose_first_thread_has_ended_is_not_dead() {
    let scratch = Scratch::new();
    let source = "#include <pthread.h>\n#include <unistd.h>\nstatic void *rest(void *p) { sleep(600); return p; }\n\
         int main(void) { pthread_t t; pthread_create(&t, 0, rest, 0); sleep(1); pthread_exit(0); }\n";
    fs::write(scratch.path("headless.c"), source).unwrap();
    let made =
        Command::new("cc").args(["-pthread", "-o", "headless", "headless.c"]).current_dir(scratch.path("")).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: needs a C compiler");
        return;
    }
    let mut child = Command::new(scratch.path("headless")).stdin(Stdio::null()).spawn().unwrap();
    put(&scratch.path("h.pid"), &format!("{}\n", child.id()));
    let watching = Watching::of(&scratch, vec![host(&scratch.path("h.pid"))]);
    let event = watching.until("the end of its first thread", |it| it.events().into_iter().next()).await;
    assert_eq!(event.category, Category::ProcessHeadless);
    child.kill().unwrap();
    child.wait().unwrap();
    let last = |it: &Watching| it.events().into_iter().nth(1);
    assert_eq!(watching.until("its death", last).await.category, Category::ProcessDied);
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_death_is_found_within_200_ms() {
    let mut took = Vec::new();
    for _ in 0..10 {
        let scratch = Scratch::new();
        let mut child = sleeper();
        put(&scratch.path("c.pid"), &format!("{}\n", child.id()));
        let watching = Watching::of(&scratch, vec![host(&scratch.path("c.pid"))]);
        let _process = watching.until_running().await;
        let round = clock().now();
        sleep(Duration::from_millis(200)).await;
        let killed = clock().now();
        child.kill().unwrap();
        child.wait().unwrap();
        let event = watching.until("the death", |it| it.events().into_iter().next()).await;
        // What was found at a round proves nothing.
        if killed.since(round) < SECOND / 2 {
            took.push(event.found.since(killed));
        }
    }
    println!("found after {took:?}");
    // The machine may be busy, but not each time.
    assert!(took.into_iter().min().unwrap() < Duration::from_millis(200));
}

/// A control group as systemd makes it, where the machine has a hierarchy for them that may be written.
struct Group(PathBuf);

impl Group {
    fn new(unit: &str, pid: u32) -> Option<Self> {
        let mounts = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        mounts.into_iter().find_map(|mount| {
            let group = Self(Path::new(mount).join("integrityd-test.slice").join(unit));
            fs::create_dir_all(&group.0).ok()?;
            fs::write(group.0.join("cgroup.procs"), pid.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _group = fs::remove_dir(&self.0);
        let _slice = self.0.parent().map(fs::remove_dir);
    }
}

#[tokio::test]
async fn a_unit_without_a_process_is_dead() {
    let unit = format!("integrityd-test-{}.service", std::process::id());
    let scratch = Scratch::new();
    let mut child = sleeper();
    let Some(group) = Group::new(&unit, child.id()) else {
        println!("skipped: needs control groups that can be made");
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    };
    let watch = ProcessWatch { source: ProcessSource::Unit(unit), container: None };
    let watching = Watching::of(&scratch, vec![watch]);
    assert_eq!(watching.until_running().await.id.pid, child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let event = watching.until("its death", |it| it.events().into_iter().next()).await;
    assert_eq!((event.category, event.process.unwrap().old.unwrap().id.pid), (Category::ProcessDied, child.id()));
    drop(group);
}

#[test]
fn nobody_is_signalled_when_a_death_is_found() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("skipped: needs strace");
        return;
    }
    let scratch = Scratch::new();
    let (mut child, mut zombie) = (sleeper(), sleeper());
    put(&scratch.path("c.pid"), &format!("{}\n", child.id()));
    put(&scratch.path("z.pid"), &format!("{}\n", zombie.id()));
    scratch.configure(&format!(
        "mail = stdout:\npidfile = {}\npidfile = {}\npidchecktime = 1",
        scratch.path("c.pid").display(),
        scratch.path("z.pid").display()
    ));
    let calls = "trace=kill,tkill,tgkill,rt_sigqueueinfo,rt_tgsigqueueinfo,pidfd_send_signal,pidfd_open";
    let mut traced = Command::new("strace")
        .args(["-f", "-qq", "-e", calls, "-e", "signal=none", "-o"])
        .arg(scratch.path("trace"))
        .arg(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let actions = || -> Vec<String> {
        let all = scratch.history().into_iter().filter(|it| it["event"]["dataset"] == "integrityd.process");
        all.map(|it| it["event"]["action"][0].as_str().unwrap().to_owned()).collect()
    };
    let watched = || fs::read_to_string(scratch.path("trace")).unwrap_or_default().matches("pidfd_open(").count() >= 2;
    wait_for("both watched", watched);
    child.kill().unwrap();
    child.wait().unwrap();
    zombie.kill().unwrap();
    wait_for("death and zombie", || {
        let actions = actions();
        actions.contains(&"died".to_owned()) && actions.contains(&"zombie".to_owned())
    });
    zombie.wait().unwrap();
    let daemon = fs::read_to_string(format!("/proc/{0}/task/{0}/children", traced.id())).unwrap();
    let stopped = Command::new("kill").args(["-TERM", daemon.trim()]).status().unwrap();
    assert!(stopped.success() && traced.wait().unwrap().success());
    let trace = fs::read_to_string(scratch.path("trace")).unwrap();
    let signals: Vec<&str> = trace.lines().filter(|line| !line.contains("pidfd_open(")).collect();
    assert!(trace.contains("pidfd_open("), "the trace shows nothing: {trace}");
    assert_eq!(signals, [""; 0], "somebody was signalled");
}

#[test]
fn with_few_open_files_the_rest_is_polled_and_that_is_said_once() {
    let scratch = Scratch::new();
    let mut children: Vec<Child> = (0..10).map(|_| sleeper()).collect();
    let mut lines = String::from("mail = stdout:\npidchecktime = 1\n");
    for number in 0..1000 {
        let path = scratch.path(&format!("{number}.pid"));
        fs::write(&path, format!("{}\n", children[number % 10].id())).unwrap();
        lines += &format!("pidfile = {}\n", path.display());
    }
    scratch.configure(&lines);
    let mut daemon = Command::new("sh")
        .args(["-c", "ulimit -Hn 256; ulimit -n 256; exec \"$0\" --config \"$1\" run", PROGRAM])
        .arg(scratch.path("integrityd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let processes = || -> Vec<serde_json::Value> {
        scratch.history().into_iter().filter(|it| it["event"]["dataset"] == "integrityd.process").collect()
    };
    wait_for("what is said", || !processes().is_empty());
    let said = processes().remove(0)["event"]["reason"].as_str().unwrap().to_owned();
    assert!(said.starts_with("only 64 processes tell") && said.contains("936 others"), "{said}");
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
    assert!((64..256).contains(&open), "{open} open files");
    children[3].kill().unwrap();
    children[3].wait().unwrap();
    wait_for("the deaths", || processes().len() == 101);
    println!("1,000 PID files, limit 256: {open} open files");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    for child in &mut children {
        let _killed = child.kill();
        child.wait().unwrap();
    }
}

/// Milliseconds of this thread's time that a round takes, the least of twenty.
fn cost(roster: &mut Roster, db: &Db) -> f64 {
    let time = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
    };
    let round = |_| {
        let begun = time();
        roster.look(&WhichWatch::All, db, clock().now()).unwrap();
        time().saturating_sub(begun).as_secs_f64() * 1000.0
    };
    (0..20).map(round).fold(f64::MAX, f64::min)
}

#[test]
fn what_a_round_over_a_thousand_costs() {
    let scratch = Scratch::new();
    let mut children: Vec<Child> = (0..10).map(|_| sleeper()).collect();
    let paths: Vec<PathBuf> = (0..1000).map(|number| scratch.path(&format!("{number}.pid"))).collect();
    for (number, path) in paths.iter().enumerate() {
        fs::write(path, format!("{}\n", children[number % 10].id())).unwrap();
    }
    // Until then what was written may be written again within the same tick of the file system's clock.
    std::thread::sleep(Duration::from_millis(2100));
    let db = Db::new(Store::open(&scratch.database(), clock().now()).unwrap());
    let config = config(&scratch, paths.iter().map(|path| host(path)).collect());
    let mut roster = Roster::open(&config, &mut db.lock(), PathBuf::from("/"), None, clock().now()).unwrap();
    roster.look(&WhichWatch::All, &db, clock().now()).unwrap();
    assert_eq!(roster.silent().len(), 1000);
    let polled = cost(&mut roster, &db);
    for (watch, id) in roster.silent() {
        roster.note(watch, Some(id));
    }
    let telling = cost(&mut roster, &db);
    println!(
        "a round over 1,000 PID files: {polled:.1} ms when all are polled, {telling:.1} ms when they tell by themselves"
    );
    // The figures depend on machine and build; that those who tell by themselves are not all looked at does not.
    assert!(telling < polled, "{telling} ms, {polled} ms");
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
