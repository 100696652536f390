//! `doctor` on processes: whether each is found, and whether it will tell by itself when it ends.

use std::path::Path;

use crate::{
    cli::doctor::finding::DoctorFinding,
    config::settings::config::Config,
    model::{
        clock::{Clock, Moment},
        escape::escape_name,
        process::{Liveness, WatchState},
    },
    pids::{
        inspect::ProcessInspector,
        liveness::ProcessSight,
        pidfd::PidfdSet,
        watch::{PidFileWatch, WatchTarget},
    },
    sys::{host, process::stat},
};

/// What was found of the processes of a configuration.
pub(super) fn pids(config: &Config) -> Vec<DoctorFinding> {
    if config.processes.is_empty() {
        return Vec::new();
    }
    let root = Path::new("/");
    let now = Clock::System(host::boot_id(root)).now();
    let eyes = ProcessInspector::new(root, now);
    let mut found = vec![kernel(root)];
    found.extend(limits(config.processes.len()));
    for settings in &config.processes {
        found.push(of(PidFileWatch::new(settings, WatchState::unknown(now.wall)), &eyes, now));
    }
    found
}

fn kernel(root: &Path) -> DoctorFinding {
    if matches!(stat::stat(root, 1), Ok(None) | Err(_)) {
        let remedy = "run it as root, or mount /proc without hidepid=, or with gid= of a group of its user";
        return DoctorFinding::fail("pids", "/proc hides the processes of others", remedy);
    }
    if let Err(errno) = stat::death_notice(std::process::id()) {
        let detail = format!("processes cannot tell when they end: {}", std::io::Error::from(errno));
        return DoctorFinding::warn(
            "pids",
            detail,
            "they are looked at every pidchecktime; allow pidfd_open (seccomp)",
        );
    }
    if stat::executable(root, 1).is_none() || stat::namespace(root, 1).is_none() {
        let detail = "the programs of others cannot be told: a process is known by number, start and name only";
        return DoctorFinding::warn("pids", detail, "give it CAP_SYS_PTRACE, or run it as root");
    }
    DoctorFinding::fine("pids", "processes tell at once when they end")
}

fn limits(watched: usize) -> Option<DoctorFinding> {
    let most = PidfdSet::default().most();
    (watched > most).then(|| {
        let detail = format!("{watched} processes are watched, {most} of them can tell at once when they end");
        DoctorFinding::warn(
            "pids",
            detail,
            "more open files are needed: LimitNOFILE= in the unit; the others are polled",
        )
    })
}

fn of(mut watch: PidFileWatch, eyes: &ProcessInspector<'_>, now: Moment) -> DoctorFinding {
    let what = if matches!(watch.target, WatchTarget::Unit(_)) { "unit" } else { "pidfile" };
    let shown = escape_name(&watch.name.source);
    match watch.look(eyes, now, true) {
        ProcessSight::Number { named: Some(seen), .. } => {
            let process = seen.process;
            let detail = format!("{shown}: {} {}", process.id.pid, escape_name(&process.comm));
            match seen.liveness {
                Liveness::Running => DoctorFinding::fine(what, detail),
                other => DoctorFinding::fail(what, format!("{detail}, {}", other.word()), "restart the service"),
            }
        }
        ProcessSight::Number { number, named: None, .. } => {
            let remedy = match watch.target {
                WatchTarget::Inside(..) => {
                    "does the container run, and does pidct name it? pid:N names it by a process of its"
                }
                _ => "start the service, or take the line away",
            };
            DoctorFinding::fail(what, format!("{shown} names {number}, and no process has that number"), remedy)
        }
        ProcessSight::Fault { fault, .. } => DoctorFinding::fail(
            what,
            format!("{shown}: {}", fault.words()),
            "start the service, or name the right file",
        ),
        ProcessSight::Empty => {
            DoctorFinding::fail(what, format!("{shown} has no process"), "systemctl status tells more")
        }
        ProcessSight::Hidden => DoctorFinding::warn(what, format!("{shown}: cannot be told"), "run doctor as root"),
    }
}
