//! The units on a Debian whose first process is systemd: as root, as a user of its own, by a timer; and behind the filters of containers.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    booted::{INTO_A_DIRECTORY, Service, User},
    machine::package,
    support::wait_for,
};

/// Makes the watchdog and the restarts quick; that it was put there is told as a change of the unit.
const DROP_IN: &str = "[Service]\nWatchdogSec=5s\nRestartSec=1s\n";

/// What was checked, of which variant, and what became of it.
struct Table(Vec<(&'static str, &'static str, Result<(), String>)>);

impl Table {
    fn check(&mut self, variant: &'static str, what: &'static str, check: impl FnOnce()) {
        let result = catch_unwind(AssertUnwindSafe(check)).map_err(|cause| {
            let text = cause.downcast_ref::<String>().cloned();
            text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        });
        println!("{variant:<10} {what:<46} {}", if result.is_ok() { "passed" } else { "FAILED" });
        self.0.push((variant, what, result));
    }

    fn end(self) {
        let wrong = self.0.into_iter().filter_map(|(variant, what, result)| Some((variant, what, result.err()?)));
        let wrong: Vec<String> = wrong.map(|(variant, what, why)| format!("{variant}, {what}: {why}")).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

fn a_stopped_daemon_is_killed_and_back(service: &Service) {
    let before = service.number();
    service.machine.must("kill -STOP $(systemctl show -P MainPID integrityd)");
    service.await_successor(&before);
    assert!(service.machine.must("journalctl -u integrityd --no-pager -o cat").contains("Watchdog timeout"));
    service.a_change_is_mailed("after-a-watchdog");
}

/// What starts the daemon is part of what it watches; found at the next start at the latest.
fn a_drop_in_is_told(service: &Service) {
    service.machine.must("mkdir -p /etc/systemd/system/integrityd.service.d");
    service.machine.write("/etc/systemd/system/integrityd.service.d/quick.conf", DROP_IN);
    service.machine.must("systemctl daemon-reload && systemctl restart integrityd");
    service.areas_are_watched();
    service.await_mail("integrityd.service.d/quick.conf");
}

fn a_unit_is_watched(service: &Service) {
    service.machine.must("systemd-run --quiet --unit=worker sleep 10000");
    service.configure(&format!("{INTO_A_DIRECTORY}unit = worker.service\n"));
    service.machine.must("systemctl reload integrityd");
    let is_known = || service.machine.must("integrityd status --json").contains("worker.service");
    wait_for("the unit", is_known);
    // It has to be seen alive first.
    service.a_change_is_mailed("beside-a-unit");
    service.machine.must("systemctl kill -s KILL worker.service");
    service.await_mail("worker.service");
    let history = service.machine.must("integrityd history");
    assert!(history.contains("worker.service"), "{history}");
}

fn it_stops_in_time(service: &Service) {
    service.machine.must("systemctl stop integrityd");
    let result = service.machine.must("systemctl show -P Result integrityd");
    assert_eq!(result.trim(), "success");
    let log = service.log();
    assert!(!log.contains("State 'stop-sigterm' timed out"), "{log}");
    service.machine.must("systemctl start integrityd");
    service.areas_are_watched();
}

/// Starts the mail server for mail to the machine itself. Its unit succeeds where its server does not.
fn postfix_runs(service: &Service) {
    service.machine.must(
        "postconf -e mydestination=web3.example,localhost myhostname=web3.example inet_interfaces=loopback-only \
         inet_protocols=ipv4 && newaliases && systemctl restart postfix &&
         { postfix status || { journalctl --no-pager -n 20 -u 'postfix*'; false; }; }",
    );
}

/// The mail server of the machine gets what is mailed, and its mailbox is root's.
fn postfix_delivers(service: &Service, way: &str, mark: &str) {
    postfix_runs(service);
    service.configure(way);
    service.machine.must("systemctl restart integrityd");
    service.areas_are_watched();
    service.machine.must(&format!("echo {mark} >/srv/watched/{mark}"));
    wait_for("the mail in the mailbox", || {
        service.machine.read("/var/mail/root").contains(&format!("/srv/watched/{mark}"))
    });
    service.configure(INTO_A_DIRECTORY);
    service.machine.must("systemctl restart integrityd");
    service.areas_are_watched();
}

fn daemon(table: &mut Table, variant: &'static str, user: User) {
    let Some(service) = Service::install(user, INTO_A_DIRECTORY) else { return };
    table.check(variant, "areas are watched", || service.start());
    table.check(variant, "a change is mailed", || service.a_change_is_mailed("a-change"));
    table.check(variant, "a line of the journal is mailed", || service.a_line_is_mailed("alpha"));
    table.check(variant, "a reload is obeyed", || service.a_reload_is_obeyed());
    table.check(variant, "the sandbox is up", || {
        assert!(service.log().contains("the sandbox is up"), "{}", service.log());
    });
    table.check(variant, "kill -9: it is started again", || service.a_killed_daemon_is_back());
    table.check(variant, "a drop-in and daemon-reload are told", || a_drop_in_is_told(&service));
    table.check(variant, "SIGSTOP: the watchdog kills, it is back", || a_stopped_daemon_is_killed_and_back(&service));
    table.check(variant, "it stops within TimeoutStopSec", || it_stops_in_time(&service));
    match user {
        User::Root => table.check(variant, "postfix takes a mail by sendmail", || {
            postfix_delivers(&service, "mail = sendmail:/usr/sbin/sendmail\n", "by-sendmail");
        }),
        // A set-group-ID program gets no group there.
        User::Own => table.check(variant, "postfix takes a mail by SMTP", || {
            postfix_delivers(&service, "mail = smtp://127.0.0.1?tls=none\n", "by-smtp");
        }),
    }
    table.check(variant, "the processes of a unit are watched", || a_unit_is_watched(&service));
    table.check(variant, "nothing was called missing", || nothing_is_missing(&service));
    packaged(table, variant, &service);
}

fn nothing_is_missing(service: &Service) {
    let history = service.machine.must("integrityd history --json --limit 100000");
    assert!(!history.contains("area missing") && !history.contains("removed"), "{history}");
}

/// The package over what was installed by hand, over itself, and gone.
fn packaged(table: &mut Table, variant: &'static str, service: &Service) {
    let place = tempfile::tempdir().unwrap();
    let Some(package) = package(place.path()) else { return };
    fs::copy(package, service.machine.path("/root/integrityd.deb")).unwrap();
    let install = "dpkg -i --force-confold /root/integrityd.deb";
    table.check(variant, "the package is installed over it", || {
        service.machine.must(install);
        service.areas_are_watched();
    });
    table.check(variant, "an upgrade starts the new program", || {
        let before = service.number();
        service.machine.must(install);
        service.await_successor(&before);
        service.areas_are_watched();
        service.a_change_is_mailed("after-an-upgrade");
    });
    table.check(variant, "a purge leaves nothing that runs or starts", || {
        service.machine.must("dpkg --purge integrityd");
        assert!(!service.machine.holds("grep -qx integrityd /proc/[0-9]*/comm"));
        assert!(!service.machine.path("/usr/lib/systemd/system/integrityd.service").exists());
        assert!(!service.machine.path("/var/lib/integrityd").exists());
        assert!(!service.machine.holds("ls /etc/systemd/system/*.wants/integrityd.service"));
    });
}

fn timer(table: &mut Table, variant: &'static str) {
    let Some(service) = Service::install(User::Root, INTO_A_DIRECTORY) else { return };
    let once = || {
        let output = service.machine.run("systemctl start integrityd-once.service");
        assert!(output.status.success(), "{}", service.log());
    };
    table.check(variant, "areas are watched", || {
        once();
        service.areas_are_watched();
    });
    table.check(variant, "a change and a line of the journal are mailed", || {
        // An entry of the journal that is younger than half a second is left to the next run.
        service
            .machine
            .must("echo x >/srv/watched/between && logger -t frobnicator 'the flux between is inverted' && sleep 1");
        once();
        service.await_mail("/srv/watched/between ");
        service.await_mail("the flux between is inverted");
    });
    table.check(variant, "postfix takes a mail by sendmail", || {
        postfix_runs(&service);
        service.configure("mail = sendmail:/usr/sbin/sendmail\n");
        service.machine.must("echo x >/srv/watched/by-sendmail");
        once();
        wait_for("the mail in the mailbox", || {
            service.machine.read("/var/mail/root").contains("/srv/watched/by-sendmail")
        });
        service.configure(INTO_A_DIRECTORY);
    });
    table.check(variant, "the timer starts it", || {
        service.machine.must(
            "mkdir -p /etc/systemd/system/integrityd-once.timer.d && printf '[Timer]\\nRandomizedDelaySec=0\\nAccuracySec=1s\\nOnActiveSec=1s\\n' \
             >/etc/systemd/system/integrityd-once.timer.d/soon.conf && echo x >/srv/watched/by-timer",
        );
        service.machine.must("systemctl daemon-reload && systemctl enable --now integrityd-once.timer");
        service.await_mail("/srv/watched/by-timer ");
        let next = service.machine.must("systemctl list-timers --all --no-pager integrityd-once.timer");
        assert!(next.contains("integrityd-once.service"), "{next}");
    });
    table.check(variant, "nothing was called missing", || nothing_is_missing(&service));
}

#[test]
fn systemd_starts_watches_and_stops_it_in_each_variant() {
    let mut table = Table(Vec::new());
    daemon(&mut table, "root", User::Root);
    daemon(&mut table, "own user", User::Own);
    timer(&mut table, "timer");
    table.end();
}

/// What Docker's default profile (moby, profiles/seccomp/default.json) refuses to a container without capabilities of its own, of what
/// @system-service lets through or the program may use. What it does not know it refuses with EPERM.
const DOCKER: &str = "acct add_key bpf clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick \
    init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount \
    mount_setattr move_mount move_pages name_to_handle_at open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv \
    process_vm_writev ptrace quotactl reboot request_key set_mempolicy setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd \
    vhangup";

/// What a Docker of 2019 (19.03) does not know yet.
const SINCE_THEN: &str = "openat2 faccessat2 pidfd_open pidfd_getfd close_range landlock_create_ruleset landlock_add_rule \
    landlock_restrict_self cachestat preadv2 statx epoll_pwait2";

/// LXC's list (config/templates/common.seccomp).
const LXC: &str = "kexec_load open_by_handle_at init_module finit_module delete_module";

/// The capabilities of Docker, without those that read what others may not; /proc of others is hidden.
const BARE: &str = "-p CapabilityBoundingSet='CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_NET_BIND_SERVICE' \
    -p ProtectProc=invisible -p ProcSubset=pid -p SystemCallErrorNumber=EPERM";

/// Runs a command in a transient unit with this filter; what it prints.
fn behind(service: &Service, filter: &str, command: &str) -> String {
    let output = service
        .machine
        .run(&format!("systemd-run --quiet --wait --pipe --collect {BARE} -p SystemCallFilter='~{filter}' {command}"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn in_a_container_nothing_is_called_missing_and_doctor_says_what_is_refused() {
    let Some(service) = Service::install(User::Root, INTO_A_DIRECTORY) else { return };
    let mut table = Table(Vec::new());
    // What only its owner may read, in the baseline of a daemon that may read everything.
    service.machine.must(
        "mkdir -m 700 /srv/watched/private && echo x >/srv/watched/private/file && chown -R 1000 /srv/watched/private",
    );
    service.start();
    service.machine.must("systemctl stop integrityd");
    let old = format!("{DOCKER} {SINCE_THEN}");
    for (variant, filter) in [("docker", DOCKER), ("docker old", &old), ("lxc", LXC)] {
        let unit = variant.replace(' ', "-");
        service.machine.must(&format!(
            "systemd-run --quiet --collect --unit={unit} {BARE} -p SystemCallFilter='~{filter}' integrityd run"
        ));
        table.check(variant, "areas are watched", || service.areas_are_watched());
        table.check(variant, "a change is mailed", || service.a_change_is_mailed(&format!("in-{unit}")));
        table.check(variant, "what cannot be read is not called gone", || {
            // Rounds enough to meet everything.
            let rounds = || {
                let status = service.machine.run("integrityd status --json").stdout;
                let status: serde_json::Value = serde_json::from_slice(&status).unwrap_or_default();
                status["areas"][0]["rounds"].as_u64().unwrap_or_default()
            };
            let before = rounds();
            wait_for("two rounds", || rounds() >= before + 2);
            nothing_is_missing(&service);
        });
        table.check(variant, "doctor names what is refused", || {
            let told = behind(&service, filter, "integrityd doctor");
            let is_named = |call: &str| told.contains(&format!("{call} is refused here"));
            for call in ["openat2", "statx", "preadv2", "pidfd_open", "faccessat2", "landlock_add_rule"] {
                assert_eq!(is_named(call), filter.split_whitespace().any(|word| word == call), "{call}\n{told}");
            }
        });
        service.machine.must(&format!("systemctl stop {unit}"));
    }
    table.end();
}
