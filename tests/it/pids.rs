//! Watched processes, from `/proc` to the mail: made-up ones below a root of the test in virtual time, and real children.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, ProcessSource, ProcessWatch},
    model::{
        clock::{BootId, Boottime, Clock, Moment, Timestamp},
        event::{Category, Channel, Event, Severity},
        keepalive::Keepalive,
    },
    pids::{
        PidWatch,
        watch_list::{Roster, WhichWatch},
    },
    report::{
        mail::mime::plain_text,
        task::composer::{Audience, MailForm, ReportComposer},
    },
    store::{db::Db, events::append::Filter, outbox::reports::ReportId, sqlite::connection::Store},
};
use jiff::tz::TimeZone;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::{Scratch, put, wait_for};

const SECOND: Duration = Duration::from_secs(1);

/// A machine with made-up processes, and one database.
struct Machine {
    directory: tempfile::TempDir,
    db: Db,
    clock: Clock,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Moment {
            wall: Timestamp::from_nanos(1_795_000_000_000_000_000),
            boottime: Boottime::from_nanos(1_000_000_000_000),
            boot: BootId([9; 16]),
        });
        let db = Db::new(Store::open(&directory.path().join("state/db.sqlite"), clock.now()).unwrap());
        let machine = Self { directory, db, clock };
        machine.start(1, "init", 1);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn proc(&self, pid: u32) -> PathBuf {
        self.path(&format!("proc/{pid}"))
    }

    /// Makes a process that was started so many ticks after the boot.
    fn start(&self, pid: u32, comm: &str, started: u64) {
        fs::create_dir_all(self.proc(pid).join("ns")).unwrap();
        self.become_state(pid, comm, "S", 1, started);
        fs::write(self.proc(pid).join("status"), format!("Name:\t{comm}\nNSpid:\t{pid}\n")).unwrap();
        fs::write(self.proc(pid).join("cgroup"), "0::/init.scope\n").unwrap();
        symlink("pid:[4026531836]", self.proc(pid).join("ns/pid")).unwrap();
        symlink(format!("/usr/sbin/{comm}"), self.proc(pid).join("exe")).unwrap();
    }

    fn become_state(&self, pid: u32, comm: &str, state: &str, threads: u32, started: u64) {
        let rest = format!("{state} 1 {pid} {pid} 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 {started} 99 1");
        put(&self.proc(pid).join("stat"), &format!("{pid} ({comm}) {rest}\n"));
    }

    /// Makes a process of a PID namespace of its own, in which it has the number `inner`.
    fn start_inside(&self, pid: u32, inner: u32, comm: &str, cgroup: &str) {
        self.start(pid, comm, 500);
        fs::write(self.proc(pid).join("status"), format!("Name:\t{comm}\nNSpid:\t{pid}\t{inner}\n")).unwrap();
        fs::write(self.proc(pid).join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        fs::remove_file(self.proc(pid).join("ns/pid")).unwrap();
        symlink("pid:[4026532999]", self.proc(pid).join("ns/pid")).unwrap();
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.proc(pid)).unwrap();
    }

    fn config(&self, processes: Vec<ProcessWatch>) -> Config {
        let mut config = Config::embedded(Vec::new(), self.path("state/db.sqlite"));
        (config.processes, config.pid_check_time) = (processes, 30 * SECOND);
        config
    }

    fn watch(&self, config: &Config, away_since: Option<Timestamp>) -> CancellationToken {
        let stop = CancellationToken::new();
        let watch = PidWatch {
            config: Arc::new(config.clone()),
            db: self.db.clone(),
            clock: self.clock.clone(),
            root: self.directory.path().to_path_buf(),
            away_since,
            pulse: Keepalive::default(),
            stop: stop.clone(),
        };
        tokio::spawn(watch.run());
        stop
    }

    fn events(&self) -> Vec<Event> {
        events(&self.db)
    }

    fn words(&self) -> Vec<&'static str> {
        self.events().iter().map(|event| event.category.word()).collect()
    }
}

fn events(db: &Db) -> Vec<Event> {
    let filter = Filter { limit: 1000, ..Filter::default() };
    db.lock().history(&filter).unwrap().into_iter().map(|stored| stored.event).collect()
}

fn file(path: &Path) -> ProcessWatch {
    ProcessWatch { source: ProcessSource::PidFile(path.to_path_buf()), container: None }
}

fn inside(path: &Path, container: &str) -> ProcessWatch {
    ProcessWatch { container: Some(container.to_owned()), ..file(path) }
}

#[tokio::test(start_paused = true)]
async fn a_death_and_a_restart_are_found_at_the_next_look() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let stop = machine.watch(&machine.config(vec![file(&machine.path("a.pid"))]), None);
    sleep(65 * SECOND).await;
    assert_eq!(machine.words(), [""; 0], "a process that runs is no news");
    machine.end(812);
    sleep(31 * SECOND).await;
    assert_eq!(machine.words(), ["died"]);
    machine.start(9021, "apache2", 200);
    put(&machine.path("a.pid"), "9021\n");
    sleep(31 * SECOND).await;
    sleep(600 * SECOND).await;
    let events = machine.events();
    assert_eq!(machine.words(), ["died", "restarted"]);
    assert_eq!((events[0].severity, events[1].severity), (Severity::High, Severity::Normal));
    let news = events[1].process.as_ref().unwrap();
    let pids = [&news.old, &news.new].map(|process| process.as_ref().unwrap().id.pid);
    assert_eq!(
        (pids, events[1].source.as_slice()),
        ([812, 9021], machine.path("a.pid").as_os_str().as_encoded_bytes())
    );
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_the_pid_file_missing_for_a_while_is_one_event() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let stop = machine.watch(&machine.config(vec![file(&machine.path("a.pid"))]), None);
    sleep(29 * SECOND).await;
    fs::remove_file(machine.path("a.pid")).unwrap();
    machine.end(812);
    sleep(3 * SECOND).await;
    machine.start(9021, "apache2", 200);
    put(&machine.path("a.pid"), "9021\n");
    sleep(600 * SECOND).await;
    assert_eq!(machine.words(), ["restarted"]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn the_same_number_of_another_program_is_told_with_both_names() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let stop = machine.watch(&machine.config(vec![file(&machine.path("a.pid"))]), None);
    sleep(5 * SECOND).await;
    machine.end(812);
    machine.start(812, "sshd", 900);
    sleep(31 * SECOND).await;
    let events = machine.events();
    assert_eq!(machine.words(), ["replaced"]);
    let news = events[0].process.as_ref().unwrap();
    let names = [&news.old, &news.new].map(|process| process.as_ref().unwrap().comm.clone());
    assert_eq!(names, [b"apache2".to_vec(), b"sshd".to_vec()]);
    assert_eq!(news.new.as_ref().unwrap().exe.as_deref(), Some(&b"/usr/sbin/sshd"[..]));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_zombie_is_no_death_and_neither_is_an_ended_first_thread() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    machine.start(813, "java", 100);
    put(&machine.path("a.pid"), "812\n");
    put(&machine.path("b.pid"), "813\n");
    let watches = vec![file(&machine.path("a.pid")), file(&machine.path("b.pid"))];
    let stop = machine.watch(&machine.config(watches), None);
    sleep(5 * SECOND).await;
    machine.become_state(812, "apache2", "Z", 1, 100);
    machine.become_state(813, "java", "Z", 7, 100);
    sleep(26 * SECOND).await;
    let mut words = machine.words();
    words.sort_unstable();
    assert_eq!(words, ["main thread ended", "zombie"]);
    stop.cancel();
}

/// What a PID file holds, and what must never be seen of it.
#[tokio::test(start_paused = true)]
async fn whatever_is_in_a_pid_file_is_invalid_and_never_told() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    let secret = "root:$6$SECRET:19000";
    put(&machine.path("shadow"), secret);
    let names = ["empty", "zero", "minus", "one", "large", "text", "huge", "fifo", "dir", "link"];
    for (name, content) in names.iter().zip(["", "0", "-1", "1", "2147483648", secret]) {
        put(&machine.path(name), content);
    }
    fs::File::create(machine.path("huge")).unwrap().set_len(1 << 30).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, machine.path("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    fs::create_dir(machine.path("dir")).unwrap();
    symlink("shadow", machine.path("link")).unwrap();
    let watches = names.iter().map(|name| file(&machine.path(name))).collect();
    let stop = machine.watch(&machine.config(watches), None);
    sleep(20 * SECOND).await;
    assert_eq!(machine.words(), [""; 0], "a file may be in the making");
    sleep(70 * SECOND).await;
    let events = machine.events();
    assert_eq!(events.len(), names.len(), "{:?}", machine.words());
    for event in &events {
        assert_eq!(event.category, Category::PidFileInvalid, "{event:?}");
        assert!(!format!("{event:?}").contains("SECRET"), "{event:?}");
    }
    for name in names {
        let path = machine.path(name);
        let _file = fs::remove_file(&path);
        let _directory = fs::remove_dir(&path);
        put(&path, "812\nmore\n");
    }
    sleep(31 * SECOND).await;
    let back = machine.words().into_iter().filter(|word| *word == "pid file back").count();
    assert_eq!((back, machine.words().len()), (names.len(), 2 * names.len()));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_after_a_start_and_a_death_meanwhile_is_told_as_such() {
    let machine = Machine::new();
    for (pid, name) in [(812, "a.pid"), (813, "b.pid")] {
        machine.start(pid, "apache2", 100);
        put(&machine.path(name), &format!("{pid}\n"));
    }
    let config = machine.config(vec![file(&machine.path("a.pid")), file(&machine.path("b.pid"))]);
    let stop = machine.watch(&config, None);
    sleep(5 * SECOND).await;
    machine.end(812);
    sleep(31 * SECOND).await;
    assert_eq!(machine.words(), ["died"]);
    stop.cancel();
    let away_since = machine.clock.now().wall;
    sleep(100 * SECOND).await;
    machine.end(813);
    let stop = machine.watch(&config, Some(away_since));
    sleep(600 * SECOND).await;
    stop.cancel();
    let events = machine.events();
    assert_eq!(machine.words(), ["died", "died"]);
    assert!(events[1].note.ends_with(b"while integrityd was not running"), "{:?}", events[1]);
    assert_eq!(events[1].not_before, Some(away_since));
    let stop = machine.watch(&config, Some(away_since));
    sleep(600 * SECOND).await;
    assert_eq!(machine.events().len(), 2);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_configured_is_forgotten_and_a_reload_forgets_nothing() {
    let machine = Machine::new();
    for (pid, name) in [(812, "a.pid"), (813, "b.pid")] {
        machine.start(pid, "apache2", 100);
        put(&machine.path(name), &format!("{pid}\n"));
    }
    let both = machine.config(vec![file(&machine.path("a.pid")), file(&machine.path("b.pid"))]);
    let stop = machine.watch(&both, None);
    sleep(5 * SECOND).await;
    stop.cancel();
    assert_eq!(machine.db.lock().watched().unwrap().len(), 2);
    machine.end(813);
    machine.start(9021, "apache2", 300);
    put(&machine.path("b.pid"), "9021\n");
    let one = machine.config(vec![file(&machine.path("b.pid"))]);
    let stop = machine.watch(&one, None);
    sleep(5 * SECOND).await;
    assert_eq!((machine.words(), machine.db.lock().watched().unwrap().len()), (vec!["restarted"], 1));
    assert_eq!(machine.events()[0].note, b"");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn processes_that_are_hidden_are_not_dead() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let stop = machine.watch(&machine.config(vec![file(&machine.path("a.pid"))]), None);
    sleep(5 * SECOND).await;
    machine.end(812);
    machine.end(1);
    sleep(200 * SECOND).await;
    assert_eq!(machine.words(), [""; 0]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_number_of_a_container_is_found_by_its_name_its_id_and_its_processes() {
    const ID: &str = "4f2c9e6b1a7d8035c2e4f6a8b0d1c3e5f7a9b1c3d5e7f9012345678abcdef012";
    for (cgroup, container) in [
        ("/lxc.payload.web/init.scope", "web"),
        (&*format!("/system.slice/docker-{ID}.scope"), &ID[..12]),
        (&format!("/machine.slice/libpod-{ID}.scope/container"), ID),
        ("/machine.slice/systemd-nspawn@web.service/payload", "web"),
        ("/anything", "pid:4700"),
    ] {
        let machine = Machine::new();
        // The same number on the host is another process.
        machine.start(12, "kthread", 2);
        machine.start_inside(4700, 1, "init", cgroup);
        machine.start_inside(4711, 12, "nginx", cgroup);
        put(&machine.path("n.pid"), "12\n");
        let stop = machine.watch(&machine.config(vec![inside(&machine.path("n.pid"), container)]), None);
        sleep(5 * SECOND).await;
        let state = machine.db.lock().watched().unwrap().remove(0).state.process.unwrap();
        assert_eq!((state.id.pid, state.inner, state.comm.as_slice()), (4711, Some(12), &b"nginx"[..]), "{container}");
        machine.end(4711);
        sleep(31 * SECOND).await;
        assert_eq!(machine.words(), ["died"], "{container}");
        machine.start_inside(4799, 12, "nginx", cgroup);
        sleep(31 * SECOND).await;
        assert_eq!(machine.words(), ["died", "restarted"], "{container}");
        stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn an_openvz_number_is_understood_and_a_first_process_may_be_watched_there() {
    let machine = Machine::new();
    machine.start(5000, "init", 100);
    machine.start(5007, "apache2", 100);
    fs::write(machine.proc(5000).join("status"), "Name:\tinit\nenvID:\t102\nVPid:\t1\n").unwrap();
    fs::write(machine.proc(5007).join("status"), "Name:\tapache2\nenvID:\t102\nVPid:\t77\n").unwrap();
    put(&machine.path("a.pid"), "77\n");
    put(&machine.path("i.pid"), "1\n");
    let watches = vec![inside(&machine.path("a.pid"), "102"), inside(&machine.path("i.pid"), "102")];
    let stop = machine.watch(&machine.config(watches), None);
    sleep(5 * SECOND).await;
    let rows = machine.db.lock().watched().unwrap();
    let pids: Vec<u32> = rows.iter().map(|row| row.state.process.as_ref().unwrap().id.pid).collect();
    assert_eq!(pids, [5007, 5000]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_pid_file_in_the_file_system_of_its_container_is_read_there() {
    let machine = Machine::new();
    machine.start_inside(4711, 12, "nginx", "/lxc.payload.web");
    let container = machine.path("container");
    fs::create_dir_all(container.join("run")).unwrap();
    fs::create_dir_all(container.join("var")).unwrap();
    // As a link of the host this would lead out.
    symlink("/run", container.join("var/run")).unwrap();
    symlink(&container, machine.proc(4711).join("root")).unwrap();
    put(&container.join("run/inside-only.pid"), "12\n");
    let path = Path::new("/var/run/inside-only.pid");
    let stop = machine.watch(&machine.config(vec![inside(path, "web")]), None);
    sleep(5 * SECOND).await;
    let state = machine.db.lock().watched().unwrap().remove(0).state;
    assert_eq!(state.process.unwrap().id.pid, 4711);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_watched_by_its_control_group() {
    let machine = Machine::new();
    let group = machine.path("sys/fs/cgroup/system.slice/nginx.service");
    fs::create_dir_all(&group).unwrap();
    for (pid, started) in [(800, 100), (801, 101)] {
        machine.start(pid, "nginx", started);
    }
    fs::write(group.join("cgroup.procs"), "801\n800\n").unwrap();
    let unit = ProcessWatch { source: ProcessSource::Unit("nginx.service".to_owned()), container: None };
    let stop = machine.watch(&machine.config(vec![unit]), None);
    sleep(5 * SECOND).await;
    let state = machine.db.lock().watched().unwrap().remove(0).state;
    assert_eq!(state.process.unwrap().id.pid, 800);
    // A worker comes and goes: no news.
    machine.end(801);
    fs::write(group.join("cgroup.procs"), "800\n").unwrap();
    sleep(31 * SECOND).await;
    assert_eq!(machine.words(), [""; 0]);
    machine.end(800);
    machine.start(900, "nginx", 500);
    fs::write(group.join("cgroup.procs"), "900\n").unwrap();
    sleep(31 * SECOND).await;
    assert_eq!(machine.words(), ["restarted"]);
    machine.end(900);
    fs::remove_dir_all(&group).unwrap();
    sleep(40 * SECOND).await;
    assert_eq!(machine.words(), ["restarted", "died"]);
    stop.cancel();
}

fn letter(machine: &Machine) -> (String, String) {
    let composer = ReportComposer {
        host: "web3".to_owned(),
        from: "integrityd@web3".to_owned(),
        readerships: vec![Audience { recipients: vec!["root@localhost".to_owned()], areas: None }],
        lines: 1000,
        zone: TimeZone::UTC,
        clock: machine.clock.clone(),
        program: "integrityd".to_owned(),
        form: MailForm::default(),
    };
    let mut store = machine.db.lock();
    assert!(composer.batch(&mut store, Channel::Logs).unwrap());
    let (_, bytes) = store.message(ReportId(1)).unwrap();
    let (headers, text) = plain_text(&bytes);
    (headers.into_iter().find(|(name, _)| name == "Subject").unwrap().1, text)
}

#[tokio::test(start_paused = true)]
async fn twenty_restarts_in_twenty_seconds_are_one_entry_of_the_mail() {
    let machine = Machine::new();
    machine.start(100, "flaky", 1);
    put(&machine.path("f.pid"), "100\n");
    let mut config = machine.config(vec![file(&machine.path("f.pid"))]);
    config.pid_check_time = SECOND / 4;
    let stop = machine.watch(&config, None);
    sleep(SECOND).await;
    for pid in 101..=120 {
        machine.end(pid - 1);
        sleep(SECOND / 2).await;
        machine.start(pid, "flaky", u64::from(pid));
        put(&machine.path("f.pid"), &format!("{pid}\n"));
        sleep(SECOND / 2).await;
    }
    sleep(15 * SECOND).await;
    assert_eq!(machine.words().len(), 7, "{:?}", machine.words());
    let (subject, text) = letter(&machine);
    assert!(subject.ends_with("f.pid) restarted 20 times"), "{subject}");
    let entries: Vec<&str> = text.lines().filter(|line| line.contains("f.pid)  ")).collect();
    assert_eq!(entries.len(), 1, "{text}");
    assert!(entries[0].contains("restarted 20 times in ") && entries[0].contains(" s, now 120, "), "{text}");
    let restarts = machine.db.lock().restarts_since(Timestamp::from_nanos(0)).unwrap();
    assert_eq!(restarts.values().copied().collect::<Vec<u64>>(), [20]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_loses_no_death() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let stop = machine.watch(&machine.config(vec![file(&machine.path("a.pid"))]), None);
    sleep(5 * SECOND).await;
    let beside = rusqlite::Connection::open(machine.path("state/db.sqlite")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT raise(ABORT, 'full'); END";
    beside.execute_batch(full).unwrap();
    machine.end(812);
    sleep(100 * SECOND).await;
    assert_eq!(machine.words(), [""; 0]);
    beside.execute_batch("DROP TRIGGER full").unwrap();
    sleep(100 * SECOND).await;
    assert_eq!(machine.words(), ["died"]);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_tells_by_himself_is_looked_at_only_when_his_file_was_written() {
    let machine = Machine::new();
    machine.start(812, "apache2", 100);
    put(&machine.path("a.pid"), "812\n");
    let config = machine.config(vec![file(&machine.path("a.pid")); 300]);
    // Long after the file was written, so that it is trusted to be as it was read.
    let now = machine.clock.now().after(Duration::from_hours(1_000_000));
    let root = machine.directory.path().to_path_buf();
    let mut roster = Roster::open(&config, &mut machine.db.lock(), root, None, now).unwrap();
    roster.look(&WhichWatch::All, &machine.db, now).unwrap();
    let silent = roster.silent();
    assert_eq!(silent.len(), 300);
    for (watch, id) in silent {
        roster.note(watch, Some(id));
    }
    assert_eq!(roster.silent().len(), 0);
    machine.end(812);
    roster.look(&WhichWatch::All, &machine.db, now).unwrap();
    let seen = machine.words().len();
    assert!((150..=256).contains(&seen), "half of those who tell by themselves are looked at in each round: {seen}");
    roster.look(&WhichWatch::All, &machine.db, now).unwrap();
    assert_eq!(machine.words().len(), 300);
    machine.start(9021, "apache2", 200);
    put(&machine.path("a.pid"), "9021\n");
    roster.look(&WhichWatch::All, &machine.db, now).unwrap();
    assert_eq!((machine.words().len(), roster.silent().len()), (600, 300));
    for (watch, id) in roster.silent() {
        roster.note(watch, Some(id));
    }
    roster.forget_notices();
    assert_eq!(roster.silent().len(), 300);
}

fn child() -> Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap()
}

/// Watches a real child with looks a day apart: what is found, it has told by itself.
async fn watched_child(machine: &Machine, child: &Child) -> CancellationToken {
    put(&machine.path("c.pid"), &format!("{}\n", child.id()));
    let mut config = machine.config(vec![file(&machine.path("c.pid"))]);
    config.pid_check_time = Duration::from_hours(24);
    let stop = CancellationToken::new();
    let clock = Clock::System(integrityd::sys::host::boot_id(Path::new("/")));
    let (config, db, root) = (Arc::new(config), machine.db.clone(), PathBuf::from("/"));
    tokio::spawn(
        PidWatch { config, db, clock, root, away_since: None, pulse: Keepalive::default(), stop: stop.clone() }.run(),
    );
    let begun = tokio::time::Instant::now();
    while machine.db.lock().watched().unwrap().is_empty() {
        assert!(begun.elapsed() < 10 * SECOND);
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(100)).await;
    stop
}

async fn first_event(machine: &Machine) -> Event {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(event) = machine.events().into_iter().next() {
            return event;
        }
        assert!(begun.elapsed() < 20 * SECOND, "nothing was found");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_child_that_is_killed_is_found_dead_without_a_look() {
    let machine = Machine::new();
    let mut child = child();
    let stop = watched_child(&machine, &child).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let event = first_event(&machine).await;
    assert_eq!((event.category, event.severity), (Category::ProcessDied, Severity::High));
    let old = event.process.unwrap().old.unwrap();
    assert_eq!((old.id.pid, old.comm.as_slice()), (child.id(), &b"sleep"[..]));
    assert!(old.exe.unwrap().starts_with(b"/"));
    stop.cancel();
}

#[tokio::test]
async fn a_child_that_nobody_asks_for_its_end_is_a_zombie() {
    let machine = Machine::new();
    let mut child = child();
    let stop = watched_child(&machine, &child).await;
    child.kill().unwrap();
    assert_eq!(first_event(&machine).await.category, Category::ProcessZombie);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(machine.words(), ["zombie"]);
    stop.cancel();
    child.wait().unwrap();
}

#[test]
fn a_killed_process_is_mailed_shown_and_judged() {
    let scratch = Scratch::new();
    let mut child = child();
    put(&scratch.path("c.pid"), &format!("{}\n", child.id()));
    let pidfile = scratch.path("c.pid");
    let outbox = scratch.path("outbox");
    fs::create_dir(&outbox).unwrap();
    scratch.configure(&format!(
        "mail = file:{}\npidfile = {}\npidchecktime = 1\nlogreporttime = 1\nlogreportholdoff = 1\nfilerate = 2000",
        outbox.display(),
        pidfile.display()
    ));
    let daemon = scratch.start();
    let status = || scratch.status();
    wait_for("the process in status", || status()["processes"][0]["pid"] == child.id());
    let process = &status()["processes"][0];
    assert_eq!((&process["state"], &process["restarts_24h"]), (&"running".into(), &0.into()), "{process}");
    assert_eq!(process["name"], "sleep");
    let screen = String::from_utf8(scratch.ask(&["status"]).stdout).unwrap();
    assert!(screen.contains("RESTARTS/24H") && screen.contains(&child.id().to_string()), "{screen}");
    let doctor = scratch.ask(&["doctor", "--json"]);
    let doctor: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let checks: Vec<_> = doctor["checks"].as_array().unwrap().iter().filter(|it| it["what"] == "pidfile").collect();
    assert!(checks.len() == 1 && checks[0]["result"] == "ok", "{doctor}");
    child.kill().unwrap();
    child.wait().unwrap();
    let mails = || -> String {
        let files = fs::read_dir(&outbox).unwrap().filter_map(Result::ok);
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
    };
    wait_for("the mail", || mails().contains("PROCESSES"));
    let mail = mails();
    assert!(mail.contains("HIGH sleep (") && mail.contains(&format!("died {}", child.id())), "{mail}");
    let died: Vec<_> =
        scratch.history().into_iter().filter(|it| it["event"]["dataset"] == "integrityd.process").collect();
    assert_eq!(died.len(), 1, "{died:?}");
    assert_eq!((&died[0]["process"]["pid"], &died[0]["process"]["name"]), (&child.id().into(), &"sleep".into()));
    assert_eq!(died[0]["integrityd"]["watch"]["pidfile"], pidfile.to_str().unwrap());
    let judged = scratch.ask(&["status", "--nagios"]);
    let line = String::from_utf8(judged.stdout).unwrap();
    assert!(judged.status.code() == Some(2) && line.contains("c.pid) has been down for"), "{line}");
    // Killed and started again, it says nothing twice; what died meanwhile it tells.
    daemon.kill();
    let mut second = self::child();
    put(&pidfile, &format!("{}\n", second.id()));
    let daemon = scratch.start();
    let events = || scratch.history().into_iter().filter(|it| it["event"]["dataset"] == "integrityd.process").count();
    wait_for("the restart", || events() == 2);
    daemon.kill();
    second.kill().unwrap();
    second.wait().unwrap();
    let daemon = scratch.start();
    wait_for("the death meanwhile", || events() == 3);
    let shown = String::from_utf8(scratch.ask(&["history", "--kind", "pid"]).stdout).unwrap();
    assert_eq!(shown.matches("while integrityd was not running").count(), 2, "{shown}");
    daemon.kill();
    let daemon = scratch.start();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(events(), 3);
    assert!(daemon.stop().success());
}

#[test]
fn a_single_run_looks_once_without_a_grace() {
    let scratch = Scratch::new();
    scratch.configure(&format!("mail = stdout:\npidfile = {}", scratch.path("absent.pid").display()));
    let output = scratch.ask(&["run", "--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("PROCESSES") && text.contains("pid file missing"), "{text}");
    let again = String::from_utf8(scratch.ask(&["run", "--once"]).stdout).unwrap();
    assert!(!again.contains("PROCESSES"), "{again}");
}
