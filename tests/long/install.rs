//! The packages on a fresh Debian, as an administrator meets them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::Connection;

use crate::{
    debian::{bare, watched},
    machine::{Machine, difference, package, rpm_package},
    packages::need,
};

/// Everything at once and nothing held off, so that a test need not wait. The other settings are not touched.
const HASTE: &str = "reporttime = 1s\nreportholdoff = 1s\nlogreporttime = 1s\nurgentholdoff = 1s\nlogchecktime = 1s\n\
                     pidchecktime = 1s\nfilerate = 5000\nbyterate = 1G\npressure = 0\n";

/// The package, and a machine with these layers that has it at /tmp/integrityd.deb and may start services.
fn machine(layers: Option<Vec<PathBuf>>) -> Option<Machine> {
    let layers = layers?;
    let place = tempfile::tempdir().unwrap();
    let package = package(place.path())?;
    let machine = Machine::start(&layers);
    fs::copy(package, machine.path("/tmp/integrityd.deb")).unwrap();
    machine.allow_services();
    Some(machine)
}

/// Installs or upgrades by apt, which finds everything that is needed on the machine already.
fn install(machine: &Machine) -> String {
    machine.must("apt-get install -y --reinstall --no-install-recommends /tmp/integrityd.deb")
}

/// A mail server that delivers what is for root to /var/mail/root.
fn start_mail_server(machine: &Machine) {
    machine.must(
        "postconf -e mydestination=web3.example,localhost myhostname=web3.example inet_interfaces=loopback-only \
         inet_protocols=ipv4 && newaliases && service postfix start",
    );
    machine.wait("the mail server", "ss -ltn | grep -q 127.0.0.1:25");
}

/// Has every second file looked at soon.
fn hasten(machine: &Machine) {
    let text = machine.read("/etc/integrityd.conf");
    let slow = |line: &&str| !HASTE.lines().any(|fast| line.split(" =").next() == fast.split(" =").next());
    let kept: Vec<&str> = text.lines().filter(|line| slow(line) && !line.starts_with("logreportholdoff")).collect();
    machine.write("/etc/integrityd.conf", &format!("{}\n{HASTE}logreportholdoff = 1s\n", kept.join("\n")));
    machine.must("chmod 600 /etc/integrityd.conf && integrityd config check");
}

/// The mails in root's mailbox.
fn mails(machine: &Machine) -> Vec<String> {
    let text = machine.read("/var/mail/root");
    let decoded = |mail: &str| {
        let bytes = quoted_printable::decode(mail, quoted_printable::ParseMode::Robust).unwrap();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    };
    format!("\n{text}").split("\nFrom ").skip(1).map(decoded).collect()
}

fn await_mail(machine: &Machine, what: &str) -> String {
    let mut found = None;
    crate::support::wait_for(what, || {
        found = mails(machine).into_iter().find(|mail| mail.contains(what));
        found.is_some()
    });
    found.unwrap()
}

fn is_running(machine: &Machine) -> bool {
    machine.holds("grep -qx integrityd /proc/[0-9]*/comm")
}

/// fcheck and logcheck as Debian has them, a log for each, and what both know of the machine so far.
fn configure_what_is_replaced(machine: &Machine) {
    machine.must(
        "sed -i -e 's|^\\$Signature|Signature|' -e 's|^Directory *= /etc/$|Directory = /etc/profile.d/|' \
            -e '/^Directory/{/profile/!d}' /etc/fcheck/fcheck.cfg && grep -q '^Directory = /etc/profile.d/' /etc/fcheck/fcheck.cfg
         rm /etc/logcheck/logcheck.logfiles.d/journal.logfiles
         install -m 640 -g adm /dev/null /var/log/syslog && install -m 640 -g adm /dev/null /var/log/auth.log",
    );
    machine.write("/var/log/auth.log", "Nov 21 14:02:11 web3 sshd[1]: an old line that logcheck has told\n");
    machine.must(
        "setpriv --reuid logcheck --regid logcheck --init-groups logcheck -o >/dev/null; test -d /var/lib/logcheck",
    );
    machine.must("echo 'umask 022' >/etc/profile.d/umask.sh && timeout 120 fcheck -cadsxlf /etc/fcheck/fcheck.cfg");
}

/// The lines of logs that a report holds.
fn lines_of(report: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        report.lines().map(str::trim).filter(|line| line.starts_with("Nov 21 14:")).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn cron_is_replaced_three_reports_arrive_and_nothing_is_left_in_the_end() {
    let Some(machine) = machine(watched()) else { return };
    start_mail_server(&machine);
    configure_what_is_replaced(&machine);
    let before = machine.tree();
    install(&machine);
    assert!(is_running(&machine), "it does not run after it was installed");

    // What five minutes are for.
    machine.must("service integrityd stop");
    machine.must("cp -p /etc/integrityd.conf /root/packaged.conf");
    machine.must("cd /etc && integrityd import fcheck --disable-cron >/tmp/new && integrityd import logcheck --disable-cron >>/tmp/new");
    machine.must("(cat /tmp/new; echo 'pidfile = /run/worker.pid') >/etc/integrityd.conf");
    hasten(&machine);
    machine.must("(sleep 1000 >/dev/null 2>&1 & echo $! >/run/worker.pid)");
    machine.must("service integrityd start");
    machine.wait(
        "the baseline",
        "integrityd history | grep -q 'baseline established' && ! integrityd status | grep -q 'first round'",
    );
    machine.wait("a quiet machine", "integrityd queue list");

    machine.must("echo 'umask 000' >>/etc/profile.d/umask.sh");
    await_mail(&machine, "/etc/profile.d/umask.sh ");
    machine.must(
        "{ echo 'Nov 21 14:03:00 web3 su[7]: pam_unix(su:auth): authentication failure; logname=eve uid=1 euid=0 tty=pts/1 ruser=eve rhost=  user=root'
           echo 'Nov 21 14:03:01 web3 frobnicator: the flux is inverted'
           echo 'Nov 21 14:03:02 web3 CRON[9]: pam_unix(cron:session): session closed for user root'; } >>/var/log/auth.log",
    );
    let told = await_mail(&machine, "the flux is inverted");
    machine.must("kill $(cat /run/worker.pid)");
    await_mail(&machine, "sleep (/run/worker.pid)  died");

    // Real logcheck, from where it was when it was replaced, tells the same lines.
    let theirs = machine.must("setpriv --reuid logcheck --regid logcheck --init-groups logcheck -o -t");
    assert_eq!(lines_of(&told), lines_of(&theirs), "{told}\n{theirs}");
    assert_eq!(lines_of(&told).len(), 2, "{told}");

    machine
        .must("service integrityd stop; integrityd import fcheck --hand-back; integrityd import logcheck --hand-back");
    machine.must(
        "cp -p /root/packaged.conf /etc/integrityd.conf; rm /root/packaged.conf /tmp/new; service integrityd start",
    );
    removed_and_purged(&machine, &before);
}

/// The path in a line of a difference, behind its sign.
fn path_of(line: &str) -> &str {
    line.trim_start_matches(['+', '-']).split(' ').next().unwrap()
}

/// What a removal leaves, and that a purge leaves nothing.
fn removed_and_purged(machine: &Machine, before: &[String]) {
    machine.must("apt-get remove -y integrityd");
    assert!(!is_running(machine));
    let is_ours = |line: &String| line.contains("integrityd");
    let left: Vec<String> = difference(before, &machine.tree()).into_iter().filter(is_ours).collect();
    for line in &left {
        let path = path_of(line);
        let is_kept = path.starts_with("/var/lib/integrityd")
            || path.starts_with("/etc/rc")
            || path.contains("deb-systemd-helper-enabled")
            || path.starts_with("/var/log/integrityd.log")
            || [
                "/etc/init.d/integrityd",
                "/etc/integrityd.conf",
                "/etc/integrityd.d",
                "/etc/logcheck/ignore.d.server/integrityd",
                "/etc/logrotate.d/integrityd",
            ]
            .contains(&path)
            || path.ends_with(".wants/integrityd.service");
        assert!(is_kept, "a removal leaves {line}");
    }
    assert!(left.iter().any(|line| line.contains("/etc/integrityd.conf f 600 0:0")), "{left:?}");

    machine.must("apt-get purge -y integrityd");
    let left: Vec<String> = difference(before, &machine.tree()).into_iter().filter(is_ours).collect();
    assert!(left.is_empty(), "a purge leaves {left:?}");
    assert!(!machine.holds("getent passwd integrityd || getent group integrityd"));
    // But for the copies that the commands for users make of what they change.
    let books = machine.must(
        "grep -rl --exclude='*-' integrityd /etc /var/lib/systemd /var/lib/logcheck /var/spool/cron 2>/dev/null; true",
    );
    assert_eq!(books, "", "these still speak of it");
}

/// On the smallest Debian, nothing but the package makes a difference, so that the whole tree can be compared.
#[test]
fn a_purge_gives_the_tree_back_as_it_was() {
    let Some(machine) = machine(bare()) else { return };
    // What it depends on is part of the smallest Debian.
    let before = machine.tree();
    machine.must("dpkg -i /tmp/integrityd.deb");
    machine.wait("the database", "test -s /var/lib/integrityd/integrityd.sqlite");
    assert!(!machine.path("/etc/integrityd.d/logs.conf").exists(), "logs are read without rules");
    machine.must("service integrityd stop");
    machine.must("dpkg --purge integrityd");
    let left: Vec<String> = difference(&before, &machine.tree())
        .into_iter()
        // Copies that the commands for users make of what they change.
        .filter(|line| {
            !["/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-"]
                .iter()
                .any(|copy| path_of(line).starts_with(copy))
        })
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn settings_and_state_outlive_a_removal_and_an_upgrade_starts_the_new_program() {
    let Some(machine) = machine(watched()) else { return };
    machine.must("apt-get remove -y logcheck");
    install(&machine);
    assert!(
        machine.read("/etc/integrityd.d/logs.conf").contains("\nlogtransient = /var/log/syslog\n"),
        "no log is read"
    );
    machine.must("sed -i 's/^email = .*/email = eve/' /etc/integrityd.conf && rm /etc/integrityd.d/logs.conf");
    let number = |machine: &Machine| machine.must("cat /run/integrityd.pid");
    let mark = machine.read("/var/lib/integrityd/integrityd.sqlite.mark");
    let first = number(&machine);
    install(&machine);
    let second = number(&machine);
    assert_ne!(first, second, "the old program runs on");
    machine.must("apt-get remove -y integrityd");
    assert!(!is_running(&machine));
    install(&machine);
    assert!(is_running(&machine));
    assert!(machine.read("/etc/integrityd.conf").contains("\nemail = eve\n"), "the settings are lost");
    let identity = |mark: &str| mark.lines().find(|line| line.starts_with("uuid ")).map(str::to_owned);
    assert!(identity(&mark).is_some());
    assert_eq!(identity(&mark), identity(&machine.read("/var/lib/integrityd/integrityd.sqlite.mark")));
    let history = machine.must("integrityd history");
    assert!(!history.contains("TRUST LOST"), "{history}");
    // It was taken out by the administrator, and no upgrade puts it back.
    assert!(!machine.path("/etc/integrityd.d/logs.conf.dpkg-new").exists());
}

#[test]
fn what_an_administrator_forbids_is_not_started() {
    let Some(machine) = machine(bare()) else { return };
    machine.must("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d");
    machine.must("dpkg -i /tmp/integrityd.deb");
    assert!(!is_running(&machine));
    machine.allow_services();
    machine.must("update-rc.d integrityd disable; dpkg -i /tmp/integrityd.deb");
    assert!(machine.holds("ls /etc/rc2.d/K*integrityd"), "an upgrade enabled it again");
    // Settings with faults hold up neither dpkg nor a daemon that runs.
    machine.must("service integrityd start; echo 'reporttime = soon' >>/etc/integrityd.conf");
    let said = machine.must("dpkg -i /tmp/integrityd.deb");
    assert!(said.contains("reporttime") && said.contains("service integrityd restart"), "{said}");
    assert!(is_running(&machine), "an upgrade ended it");
}

/// The configuration of the daemon of 2012, word for word.
const LEGACY: &str = "email = someone@somewhere.tld
database = /path/to/the/database
area = /etc
exclude = /etc/mtab
exclude = /etc/lvm/archive
logrules = paranoid:/etc/logcheck
log = /var/log/syslog
log = /var/log/auth.log
pidfile = /var/run/apache2.pid
pidfile = /var/spool/postfix/pid/master.pid
pidct = 102
pidfile = /var/lib/vz/private/102/var/run/apache2.pid
reporttime = 30
reportholdoff = 900
logreporttime = 30
logreportholdoff = 900
byterate = 262144
smallfiles = 131072
filerate = 1
speedup = 20
logchecktime = 30
logruleupdate = 240
pidchecktime = 30
";

#[test]
fn the_configuration_of_2012_works_as_it_stands() {
    let Some(machine) = machine(watched()) else { return };
    machine.must("mkdir -p /path/to/the /var/lib/vz/private/102/var/run && touch /var/log/syslog /var/log/auth.log");
    let old = tempfile::tempdir().unwrap();
    let old = old.path().join("database");
    Connection::open(&old)
        .unwrap()
        .execute_batch(
            "CREATE TABLE NodeInfo (path TEXT PRIMARY KEY, data TEXT); CREATE TABLE PID (file TEXT, pid INTEGER);
             CREATE TABLE LogPosition (path TEXT PRIMARY KEY, inode INTEGER, position INTEGER);
             INSERT INTO NodeInfo VALUES ('/etc/passwd', 'x');",
        )
        .unwrap();
    fs::copy(&old, machine.path("/path/to/the/database")).unwrap();
    start_mail_server(&machine);
    machine.write("/etc/integrityd.conf", LEGACY);
    machine.must("chmod 600 /etc/integrityd.conf");
    // The configuration that is there stays, as dpkg is told for a daemon that was installed by hand before.
    machine.must("dpkg -i --force-confold /tmp/integrityd.deb");
    assert_eq!(machine.read("/etc/integrityd.conf"), LEGACY);
    assert!(machine.must("service integrityd status").contains("runs"));
    machine.wait("the new database", "integrityd status --json | grep -q '\"/etc\"'");
    assert_eq!(fs::read(&old).unwrap(), fs::read(machine.path("/path/to/the/database.2012")).unwrap());
    machine.wait("the news", "integrityd history | grep -q 'the 2012 integrityd'");
    machine.must("service integrityd stop");
}

#[test]
fn lintian_finds_no_error_in_the_package() {
    let place = tempfile::tempdir().unwrap();
    let Some(package) = package(place.path()) else { return };
    if !need("lintian", "lintian") {
        return;
    }
    let output =
        Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&package).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // The program under test is no release: it is larger, and not optimised.
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_rpm_has_what_the_debian_package_has_and_can_be_installed() {
    let place = tempfile::tempdir().unwrap();
    if !crate::machine::can_be_had() || !need("rpm", "rpm") {
        return;
    }
    let (Some(deb), Some(rpm)) = (package(place.path()), rpm_package(place.path())) else { return };
    let listed = |output: std::process::Output| -> Vec<String> {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    };
    let ours = listed(Command::new("rpm").arg("-qpl").arg(&rpm).output().unwrap());
    let in_deb = listed(Command::new("dpkg-deb").arg("--contents").arg(&deb).output().unwrap());
    for line in in_deb.iter().filter(|line| !line.starts_with('d')) {
        let path = line.rsplit(" .").next().unwrap().trim_end_matches(".gz");
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let is_debian = ["changelog", "changelog.Debian", "copyright"].contains(&name) || path.contains("lintian");
        let is_moved = path == "/etc/init.d/integrityd" || path.contains("zsh");
        assert!(is_debian || is_moved || ours.iter().any(|other| other == path), "the RPM has no {path}");
    }
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut command = Command::new("rpm");
    command.arg("--root").arg(&root).args(["--nodeps", "--noscripts", "-i"]).arg(&rpm);
    listed(command.output().unwrap());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(root.join("etc/integrityd.conf")).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    for script in ["post", "preun", "postun"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("init/rpm").join(script);
        listed(Command::new("sh").arg("-n").arg(path).output().unwrap());
    }
}
