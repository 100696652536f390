//! A machine with a mail server that logs, watched at level server with Debian's rules: what one change makes of it.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    debian::layer,
    machine::Machine,
    support::{PROGRAM, wait_for},
};

/// What every such machine has.
const WATCHED: &str = "logcheck-database rsyslog systemd bsdutils iproute2 procps";

/// How long things may take on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// The hold-off of reports.
const HOLD_OFF: Duration = Duration::from_secs(2);

/// A mail server as Debian has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    packages: &'static str,
    /// Has it take what is for web3.example, and starts it.
    start: &'static str,
    /// The logs it writes beside syslog.
    logs: &'static str,
}

pub(crate) const POSTFIX: Server = Server {
    name: "postfix",
    packages: "postfix msmtp",
    start:
        "postconf -e mydestination=web3.example,localhost myhostname=web3.example inet_interfaces=loopback-only \
            maillog_file= && newaliases && service postfix start
            printf 'account default\\nhost 127.0.0.1\\nport 25\\ntls off\\nauth off\\nsyslog LOG_MAIL\\n' >/etc/msmtprc",
    logs: "log = /var/log/mail.log\n",
};

pub(crate) const EXIM: Server = Server {
    name: "exim",
    packages: "exim4-daemon-light",
    start: "sed -i \"s/^dc_other_hostnames=.*/dc_other_hostnames='web3.example'/\" /etc/exim4/update-exim4.conf.conf
            update-exim4.conf && service exim4 start",
    logs: "log = /var/log/exim4/mainlog\n",
};

pub(crate) const OPENSMTPD: Server =
    Server { name: "opensmtpd", packages: "opensmtpd", start: "smtpd", logs: "log = /var/log/mail.log\n" };

pub(crate) const SENDMAIL: Server = Server {
    name: "sendmail",
    packages: "sendmail-bin sensible-mda procmail",
    start: "service sendmail start",
    logs: "log = /var/log/mail.log\n",
};

/// Where the log of the machine is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// In the files that rsyslog writes.
    Files,
    /// In the journal.
    Journal,
}

fn start_log(machine: &Machine, log: Log) {
    match log {
        // The log of the kernel is that of the whole machine.
        Log::Files => {
            machine.must("sed -i '/imklog/d' /etc/rsyslog.conf && rsyslogd && touch /var/log/mail.log /var/log/syslog")
        }
        Log::Journal => machine.must(
            "mkdir -p /run/systemd/journal && mount -t sysfs sysfs /sys && mount -t cgroup2 none /sys/fs/cgroup
             systemd-machine-id-setup >/dev/null 2>&1
             (/lib/systemd/systemd-journald >/dev/null 2>&1 &)
             until [ -S /run/systemd/journal/dev-log ]; do sleep 0.1; done
             ln -sf /run/systemd/journal/dev-log /dev/log",
        ),
    };
    machine.wait("the log", "[ -S /dev/log ]");
}

/// What has come to joe, into whichever mailbox the server has for him.
fn mailbox(machine: &Machine) -> String {
    let output = machine.run("cat /var/mail/joe /home/joe/Maildir/new/* 2>/dev/null");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many reports have.
fn mails(machine: &Machine) -> usize {
    mailbox(machine).matches("\nSubject: [integrityd] ").count()
}

/// Waits until so many have come.
fn await_mails(machine: &Machine, what: &str, count: usize) {
    let begun = Instant::now();
    while mails(machine) < count {
        assert!(begun.elapsed() < SOON, "{what} did not come\n{}", told(machine));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sees for a span that no more come than there are.
fn no_more(machine: &Machine, what: &str, span: Duration) {
    let (begun, count) = (Instant::now(), mails(machine));
    while begun.elapsed() < span {
        assert_eq!(mails(machine), count, "a mail followed {what}\n{}", told(machine));
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How many reports the daemon says it has made. The server may hold one back: two deliveries into a mailbox wait for each other, with
/// procmail eight seconds.
fn reports(machine: &Machine) -> usize {
    machine.read("/root/log").lines().filter(|line| line.contains("INFO report ")).count()
}

/// Waits until what the start has to say has come: every report, and no mail in three hold-offs.
fn settle(machine: &Machine) {
    let begun = Instant::now();
    let (mut count, mut since) = (0, begun);
    while since.elapsed() < HOLD_OFF * 3 {
        let now = mails(machine);
        if now != count || now < reports(machine) {
            (count, since) = (now, Instant::now());
        }
        assert!(begun.elapsed() < SOON, "mails follow mails from the start\n{}", told(machine));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_ne!(reports(machine), 0, "the daemon says nothing of its reports\n{}", told(machine));
}

/// Everything that may say why.
fn told(machine: &Machine) -> String {
    let output = machine.run(
        "tail -n 40 /var/log/mail.log; tail -n 40 /var/log/exim4/mainlog; journalctl --no-pager -n 30; cat /root/log; \
         integrityd queue list; integrityd history",
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One change makes one mail, and then nothing for ten hold-offs; a line that is none of ours is reported all the same. `false`, said
/// aloud, when the machine cannot be had.
pub(crate) fn no_mail_follows_a_mail(server: Server, way: &str, log: Log) -> bool {
    let Some(layers) = layer(server.name, &format!("{WATCHED} {}", server.packages)) else { return false };
    let machine = Machine::start(&layers);
    machine.allow_services();
    fs::copy(PROGRAM, machine.path("/usr/bin/integrityd")).unwrap();
    machine.must("useradd -m joe && mkdir -p /srv/watched && echo a >/srv/watched/file");
    start_log(&machine, log);
    machine.must(server.start);
    machine.wait("the mail server", "ss -ltn | grep -q 127.0.0.1:25");
    let logs = if log == Log::Journal && server.name == "exim" {
        format!("log = journal\n{}", server.logs)
    } else if log == Log::Journal {
        "log = journal\n".to_owned()
    } else {
        format!("log = /var/log/syslog\n{}", server.logs)
    };
    machine.write(
        "/etc/integrityd.conf",
        &format!(
            "email = joe\nhostname = web3.example\ndatabase = /var/lib/integrityd/db\narea = /srv/watched\nlogrules = /etc/logcheck\n\
             {logs}mail = {way}\nreporttime = 1s\nreportholdoff = 2s\nlogreporttime = 1s\nlogreportholdoff = 2s\nurgentholdoff = 1s\n\
             logchecktime = 1s\nfilerate = 500\nbyterate = 100M\npressure = 0\n"
        ),
    );
    machine.must("chmod 600 /etc/integrityd.conf && (integrityd run >/root/log 2>&1 &)");
    machine.wait(
        "the baseline",
        "integrityd history | grep -q 'baseline established' && ! integrityd status | grep -q 'first round'",
    );
    await_mails(&machine, "the mail about the baseline", 1);
    settle(&machine);

    let before = mails(&machine);
    machine.must("echo b >>/srv/watched/file");
    await_mails(&machine, "the change", before + 1);
    no_more(&machine, "the mail about a change", HOLD_OFF * 10);
    assert!(mailbox(&machine).contains("/srv/watched/file"));

    machine.must("logger -t postfix/smtpd -i 'disconnect from mx.example.org[192.0.2.7] and all is odd'");
    await_mails(&machine, "the odd line", before + 2);
    no_more(&machine, "the mail about an odd line", HOLD_OFF * 3);

    machine.must(
        "integrityd mail test && integrityd doctor >/root/doctor; grep -q '^mail' /root/doctor || cat /root/doctor",
    );
    await_mails(&machine, "the test mail", before + 3);
    no_more(&machine, "a test mail and a visit of doctor", HOLD_OFF * 3);
    machine.must("kill $(pgrep -x integrityd)");
    wait_for("its end", || !machine.holds("pgrep -x integrityd"));
    true
}
