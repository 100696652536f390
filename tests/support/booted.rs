//! integrityd as a service of a systemd that is the first process of a machine, and what is expected of it there.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::{fs, path::Path, time::Duration};

use crate::{
    debian::bootable,
    machine::Machine,
    support::{PROGRAM, wait_for},
};

pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Everything at once and nothing held off, so that a test need not wait.
pub(crate) const HASTE: &str = "filerate = 500\nbyterate = 1G\npressure = 0\nreporttime = 1s\nreportholdoff = 1s\n\
    logreporttime = 1s\nlogreportholdoff = 1s\nurgentholdoff = 1s\nlogchecktime = 1s\npidchecktime = 1s\n";

const CONFIGURATION: &str = "email = root\nhostname = web3.example\ndatabase = /var/lib/integrityd/integrityd.sqlite\n\
    area = /srv/watched\narea = /etc/default\nlogrules = server:/etc/logcheck\nlog = journal\n";

/// Mails go into a directory.
pub(crate) const INTO_A_DIRECTORY: &str = "mail = file:/var/lib/integrityd/mails\n";

/// As whom it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    /// By the drop-in integrityd-unprivileged.conf.
    Own,
}

/// A machine that was booted, with the program and its units.
pub(crate) struct Service {
    pub(crate) machine: Machine,
}

impl Service {
    /// Boots a machine and installs the program as docs/install.md has it; starts nothing. `None`, said aloud, where there is no such machine.
    pub(crate) fn install(user: User, more: &str) -> Option<Self> {
        let machine = Machine::boot(&bootable()?);
        fs::copy(PROGRAM, machine.path("/usr/sbin/integrityd")).unwrap();
        let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("init");
        for (file, place) in [
            ("integrityd.service", "/usr/lib/systemd/system/integrityd.service"),
            ("integrityd.sysusers", "/usr/lib/sysusers.d/integrityd.conf"),
            ("integrityd-once.service", "/etc/systemd/system/integrityd-once.service"),
            ("integrityd-once.timer", "/etc/systemd/system/integrityd-once.timer"),
            ("integrityd-unprivileged.conf", "/root/unprivileged.conf"),
        ] {
            fs::copy(init.join(file), machine.path(place)).unwrap();
        }
        machine.must(
            "chmod 755 /usr/sbin/integrityd; systemd-sysusers; mkdir -p /srv/watched && echo x >/srv/watched/first",
        );
        if user == User::Own {
            machine.must(
                "install -D -m 644 /root/unprivileged.conf /etc/systemd/system/integrityd.service.d/unprivileged.conf",
            );
        }
        let service = Self { machine };
        service.configure(more);
        Some(service)
    }

    /// Writes the configuration with these lines at its end.
    pub(crate) fn configure(&self, more: &str) {
        self.machine.write("/etc/integrityd.conf", &format!("{CONFIGURATION}{HASTE}{more}"));
        self.machine.must("chmod 600 /etc/integrityd.conf && systemctl daemon-reload && integrityd config check");
    }

    /// What the journal has of the unit.
    pub(crate) fn log(&self) -> String {
        self.machine.must("journalctl --no-pager -o cat -u integrityd.service -u integrityd-once.service")
    }

    /// The number of the daemon, as systemd knows it.
    pub(crate) fn number(&self) -> String {
        self.machine.must("systemctl show -P MainPID integrityd").trim().to_owned()
    }

    /// All mails: those in the directory and those in the mailbox of root.
    pub(crate) fn mails(&self) -> String {
        let directory = fs::read_dir(self.machine.path("/var/lib/integrityd/mails")).into_iter().flatten();
        let files = directory.map(|entry| entry.unwrap().path()).chain([self.machine.path("/var/mail/root")]);
        let decoded = files.filter_map(|file| fs::read(file).ok()).map(|mail| {
            let bytes = quoted_printable::decode(mail, quoted_printable::ParseMode::Robust).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        decoded.collect()
    }

    pub(crate) fn await_mail(&self, what: &str) {
        let mut mails = String::new();
        let begun = std::time::Instant::now();
        while !mails.contains(what) {
            assert!(begun.elapsed() < SOON, "no mail says {what}:\n{mails}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
            mails = self.mails();
        }
    }

    /// Starts the daemon and waits until all areas are watched.
    pub(crate) fn start(&self) {
        let started = self.machine.run("systemctl start integrityd");
        assert!(started.status.success(), "{}", self.log());
        self.areas_are_watched();
        // A journal that is met for the first time is read from its end.
        wait_for("the end of the journal", || {
            let status = self.machine.run("integrityd status --json").stdout;
            let status: serde_json::Value = serde_json::from_slice(&status).unwrap_or_default();
            status["logs"].as_array().is_some_and(|logs| logs.iter().any(|log| log["path"] == "journal"))
        });
    }

    pub(crate) fn areas_are_watched(&self) {
        let mut seen = serde_json::Value::Null;
        let begun = std::time::Instant::now();
        loop {
            seen = serde_json::from_slice(&self.machine.run("integrityd status --json").stdout).unwrap_or(seen);
            let areas = seen["areas"].as_array();
            if areas.is_some_and(|areas| areas.len() == 2 && areas.iter().all(|area| area["state"] == "watched")) {
                return;
            }
            assert!(begun.elapsed() < SOON, "not all areas are watched: {seen}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A file that comes is mailed; `name` is used once.
    pub(crate) fn a_change_is_mailed(&self, name: &str) {
        self.machine.must(&format!("echo {name} >/srv/watched/{name}"));
        self.await_mail(&format!("/srv/watched/{name} "));
    }

    /// A line of the journal that no rule knows is mailed.
    pub(crate) fn a_line_is_mailed(&self, name: &str) {
        self.machine.must(&format!("logger -t frobnicator 'the flux {name} is inverted'"));
        self.await_mail(&format!("the flux {name} is inverted"));
    }

    pub(crate) fn a_reload_is_obeyed(&self) {
        let before = self.number();
        let read = || self.log().matches("the configuration was read again").count();
        let times = read();
        self.machine.must("systemctl reload integrityd");
        wait_for("the reload", || read() > times);
        assert_eq!(self.number(), before);
        self.a_change_is_mailed("after-a-reload");
    }

    /// Waits until systemd has started another one instead of `before`.
    pub(crate) fn await_successor(&self, before: &str) {
        wait_for("the next daemon", || {
            let now = self.number();
            now != "0" && now != before && self.machine.holds("systemctl is-active --quiet integrityd")
        });
    }

    pub(crate) fn a_killed_daemon_is_back(&self) {
        let before = self.number();
        self.machine.must("kill -9 $(systemctl show -P MainPID integrityd)");
        self.await_successor(&before);
        self.areas_are_watched();
        self.a_change_is_mailed("after-a-kill");
    }
}
