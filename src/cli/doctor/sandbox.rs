//! `doctor` on the sandbox: what the kernel refuses when it is tried, and whether a daemon that runs has one.

use std::{
    ops::ControlFlow,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    cli::{
        doctor::{finding::DoctorFinding, privileges},
        hidden,
    },
    daemon::task_watchdog::HELPER,
    model::escape::escape_cut,
    store::sqlite::{connection::Store, files::daemon_of},
    sys::process::{broker, capture::listen, privileges::ProcessKind},
};

const WHAT: &str = "sandbox";

/// The most the attempts may take, and what is read of them.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST: usize = 16 * 1024;

/// What is opened for writing where the sandbox does not hold: everybody may, and nothing is ever stored there (`full(4)`).
const PROBE: &str = "/dev/full";

/// Capabilities by their bits (`capabilities(7)`).
const READ_SEARCH: u32 = 2;
const OWNER: u32 = 3;
const TRACE: u32 = 19;

/// What is found about the sandbox of the daemon over `database`.
pub(in crate::cli) fn sandbox(config: &Path, database: &Path) -> Vec<DoctorFinding> {
    let mut found = vec![tried(config)];
    if database.parent().is_some_and(|state| config.starts_with(state)) {
        let detail = "the configuration lies in the state directory, where the daemon may write".to_owned();
        found.push(DoctorFinding::warn(
            WHAT,
            detail,
            "move one of them elsewhere, so that nothing can rewrite its own settings",
        ));
    }
    if let Some(pid) = daemon_of(database) {
        found.extend(of_daemon(pid, database));
    }
    found
}

/// Puts one up in another process and tries to get out of it; nothing is changed.
fn tried(config: &Path) -> DoctorFinding {
    let own = PathBuf::from("/proc/self/exe");
    let mut command = Command::new(&own);
    command.arg0(broker::SHOWN).arg("--config").arg(config).arg(hidden::TRY);
    command.arg("--write").arg(PROBE).arg("--mode").arg(PROBE).arg("--execute").arg(&own);
    command.args(["--connect", "9", "--listen", "0"]);
    let mut words = Vec::new();
    let heard = listen(&mut command, PATIENCE, &mut |piece| {
        words.extend_from_slice(piece);
        if words.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Err(error) = heard {
        return DoctorFinding::warn(
            WHAT,
            format!("cannot be tried: {error}"),
            "look at the limits of processes (ulimit -u)",
        );
    }
    judge(&String::from_utf8_lossy(&words))
}

/// What the lines of the attempts mean.
fn judge(words: &str) -> DoctorFinding {
    let mut lines = words.lines();
    let first = lines.next().unwrap_or_default();
    let Some(version) = first.strip_prefix("landlock ").and_then(|rest| rest.split(' ').next()) else {
        let why = escape_cut(first.strip_prefix("none ").unwrap_or("no answer").as_bytes(), 200);
        let remedy = "integrityd works without it; Debian 12 and later have it, else boot with lsm=landlock,… added";
        return DoctorFinding::warn(WHAT, format!("none: {why}"), remedy);
    };
    let (told, tried): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("kept "));
    let kept: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("kept ")).collect();
    // A connection that the other side refuses was none that the kernel did.
    let is_refused = |line: &&&str| line.ends_with(" refused") && !line.contains(" failed: ");
    let open: Vec<&str> =
        tried.iter().filter(|line| !is_refused(line)).filter_map(|line| line.split(' ').next()).collect();
    if open.is_empty() && kept.is_empty() {
        let detail = "writing, changing modes, executing and connecting elsewhere were tried and refused";
        return DoctorFinding::fine(WHAT, format!("Landlock {version}: {detail}"));
    }
    let listed = |words: &[&str], before: &str| {
        (!words.is_empty()).then(|| format!("{before}: {}", escape_cut(words.join(", ").as_bytes(), 200)))
    };
    let faults = [listed(&open, "this kernel does not refuse"), listed(&kept, "it keeps what it does not need")];
    let detail = format!("Landlock {version}: {}", faults.into_iter().flatten().collect::<Vec<_>>().join("; "));
    DoctorFinding::warn(WHAT, detail, "integrityd works all the same; connections are refused by Linux 6.7 and later")
}

fn of_daemon(pid: u32, database: &Path) -> Vec<DoctorFinding> {
    let processes = privileges::processes(pid);
    let helper = processes.iter().find(|process| process.kind == ProcessKind::Broker);
    let is_lost = || {
        let store = Store::open_read_only(database).ok();
        store.and_then(|store| store.standstills().ok()).unwrap_or_default().iter().any(|(task, _)| task == HELPER)
    };
    let mut found = vec![match helper {
        Some(helper) => {
            DoctorFinding::fine(WHAT, format!("the daemon ({pid}) has one, and its helper ({}) runs", helper.pid))
        }
        None if is_lost() => DoctorFinding::fail(
            WHAT,
            format!("the helper of the daemon ({pid}) has ended: no journal, no sendmail, no slow file systems"),
            "restart integrityd",
        ),
        None => DoctorFinding::warn(
            WHAT,
            format!("the daemon ({pid}) runs without one"),
            "its log says why; --no-sandbox, or a kernel without Landlock",
        ),
    }];
    if helper.is_some() {
        found.extend(privileges::table(&processes));
    }
    let own = processes.first().map_or("", |process| process.status.as_str());
    found.extend(user(own, helper.map_or(own, |process| process.status.as_str())));
    found
}

/// What a daemon of another user than root can and cannot do, by its `/proc/PID/status` (`proc_pid_status(5)`) and that of its helper,
/// which looks at the programs of others for it.
fn user(status: &str, helper: &str) -> Option<DoctorFinding> {
    const USER: &str = "daemon user";
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next().map(str::to_owned)
    };
    let uid: u32 = field(status, "Uid:")?.parse().ok()?;
    let capabilities = |status| u64::from_str_radix(&field(status, "CapEff:")?, 16).ok();
    let (own, helper) = (capabilities(status)?, capabilities(helper)?);
    let has = |bit: u32| own & (1 << bit) != 0;
    if uid == 0 {
        return None;
    }
    if !has(READ_SEARCH) {
        return Some(DoctorFinding::fail(
            USER,
            format!("it runs as uid {uid} without CAP_DAC_READ_SEARCH: it can check only what everybody may read"),
            "AmbientCapabilities=CAP_DAC_READ_SEARCH in its unit, or run it as root",
        ));
    }
    let mut detail = format!("uid {uid} with CAP_DAC_READ_SEARCH: it reads everything");
    if !has(OWNER) {
        detail.push_str("; reading may move access times (CAP_FOWNER would keep them)");
    }
    if helper & (1 << TRACE) != 0 {
        return Some(DoctorFinding::fine(USER, detail));
    }
    detail.push_str("; processes are known by number, start and name only");
    Some(DoctorFinding::warn(USER, detail, "where programs matter, give it CAP_SYS_PTRACE as well"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::FindingLevel;

    #[test]
    fn what_the_attempts_show_is_told() {
        let told = |words: &str| judge(words).text();
        let all = "landlock 7 full\nwrite /etc/x refused\nmode /etc/x refused\nexecute /bin/x refused\nconnect 9 refused\nlisten 0 refused\n";
        assert!(told(all).starts_with("ok    sandbox: Landlock 7: "), "{}", told(all));
        let old =
            told("landlock 3 partial\nwrite /x refused\nconnect 9 failed: Connection refused\nlisten 0 possible\n");
        assert!(old.starts_with("warn  sandbox: Landlock 3: this kernel does not refuse: connect, listen\n"), "{old}");
        let kept = told("landlock 7 full\nkept SYS_ADMIN\nkept all system calls\nwrite /x refused\n");
        assert!(
            kept.starts_with("warn  sandbox: Landlock 7: it keeps what it does not need: SYS_ADMIN, all system"),
            "{kept}"
        );
        assert!(told("none the kernel has no Landlock\n").starts_with("warn  sandbox: none: the kernel has no"), "");
        assert!(told("").starts_with("warn  sandbox: none: no answer"), "");
    }

    #[test]
    fn a_daemon_of_its_own_user_is_told_what_it_lacks() {
        let of = |uid: u32, bits: &[u32]| {
            let set: u64 = bits.iter().map(|bit| 1 << bit).sum();
            let status =
                |set: u64| format!("Name:\tintegrityd\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{set:016x}\n");
            user(&status(set & !(1 << TRACE)), &status(set))
        };
        assert_eq!(of(0, &[]), None);
        assert_eq!(of(998, &[]).unwrap().health, FindingLevel::Fail);
        let plain = of(998, &[READ_SEARCH]).unwrap();
        assert!(
            plain.health == FindingLevel::Warn && plain.detail.contains("number, start and name only"),
            "{plain:?}"
        );
        assert_eq!(of(998, &[READ_SEARCH, OWNER, TRACE]).unwrap().health, FindingLevel::Fine);
    }
}
