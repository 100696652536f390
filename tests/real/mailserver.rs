//! A real mail server (OpenSMTPD): by its sendmail program and by SMTP, what it accepts arrives unchanged.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::{
    packages::need,
    support::{PROGRAM, Running, Scratch, put, wait_for},
};

/// The user `nobody`; the server delivers for no root.
const NOBODY: u32 = 65_534;

struct Server {
    child: Child,
    directory: tempfile::TempDir,
    /// Its control socket has one place, so there is one server at a time, also of tests in other processes.
    _alone: fs::File,
}

impl Server {
    /// Starts it on `port`, delivering everything to one Maildir.
    fn start(port: u16) -> Self {
        let alone = fs::File::create(std::env::temp_dir().join("integrityd-test-mail-server")).unwrap();
        alone.lock().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let maildir = directory.path().join("Maildir");
        fs::create_dir(&maildir).unwrap();
        chown(&maildir, Some(NOBODY), None).unwrap();
        let settings = directory.path().join("smtpd.conf");
        let text = format!(
            "listen on 127.0.0.1 port {port}\ntable all {{ \"@\" = nobody }}\naction \"keep\" maildir \"{}\" virtual <all>\n\
             match from any for any action \"keep\"\n",
            maildir.display()
        );
        fs::write(&settings, text).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new("/usr/sbin/smtpd")
            .args(["-d", "-f"])
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for("the mail server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, directory, _alone: alone }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("Maildir/new")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn mails(&self) -> Vec<String> {
        self.paths().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends its children itself when it is asked to end.
        let _asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let _waited = self.child.wait();
    }
}

#[test]
fn what_the_server_accepts_arrives_unchanged() {
    if !need("/usr/sbin/smtpd", "opensmtpd") {
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(port);
    let scratch = Scratch::new();
    for (number, way) in (1..).zip(["sendmail:".to_owned(), format!("smtp://127.0.0.1:{port}")]) {
        scratch.configure(&format!("mail = {way}"));
        let output = scratch.ask(&["mail", "test"]);
        assert!(output.status.success(), "{way}: {output:?}");
        wait_for("the mail", || server.mails().len() == number);
    }
    for mail in server.mails() {
        assert!(mail.contains("\nSubject: [integrityd] web3.example: test mail\n"), "{mail}");
        assert!(mail.contains("\n\nweb3.example   ") && !mail.contains('\r'), "{mail}");
        assert!(
            mail.contains("Return-Path: integrityd@web3.example")
                || mail.contains("Return-Path: <integrityd@web3.example>"),
            "{mail}"
        );
    }
}

/// Starts the daemon on a machine whose name is `name`, in a UTS namespace of its own.
fn start_as(scratch: &Scratch, name: &str) -> Running {
    let log = fs::File::options().create(true).append(true).open(scratch.path("log")).unwrap();
    let script = "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])";
    let child = Command::new("unshare")
        .args(["--uts", "python3", "-c", script, name, PROGRAM, "--config"])
        .arg(scratch.path("integrityd.conf"))
        .arg("run")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Running { child }
}

/// Reads every mail as Python's `email` does and prints its defects, and the names of its headers.
const READER: &str = r#"
import email, email.policy, sys
for path in sys.argv[1:]:
    mail = email.message_from_bytes(open(path, "rb").read(), policy=email.policy.default)
    defects = list(mail.defects)
    for part in mail.walk():
        defects += part.defects
        for name, value in part.items():
            defects += value.defects
        part.get_content()
    print(defects, "|", " ".join(name for name in mail.keys()), "|", repr(mail["Subject"]))
"#;

/// Headers that the servers add.
const OF_SERVERS: [&str; 4] = ["Delivered-To", "Received", "Return-Path", "X-Original-To"];

#[test]
fn d1_hostile_names_and_lines_arrive_as_mails_without_a_defect_and_without_a_header_more() {
    if !crate::support::is_root() || !need("/usr/sbin/smtpd", "opensmtpd") || !need("python3", "python3-minimal") {
        println!("skipped: this needs root, OpenSMTPD and Python");
        return;
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(port);
    let hostile = "x\r\nBcc: eve@example.org\r\n\r\nhi\u{9b}2J\u{202e}";
    for (way, count) in [("sendmail:".to_owned(), 0), (format!("smtp://127.0.0.1:{port}"), 1)] {
        let scratch = Scratch::new();
        let (rules, log) = (scratch.path("rules"), scratch.path("app.log"));
        fs::create_dir_all(rules.join("violations.d")).unwrap();
        fs::write(&log, "").unwrap();
        let path = scratch.configure(&format!(
            "mailfrom = root@web3.example\nlogrules = {}\nlog = {}\nfilerate = 2000\nbyterate = 100M\nlogchecktime = 1\n\
             reporttime = 1\nreportholdoff = 1\nurgentholdoff = 1\nmail = {way}",
            rules.display(),
            log.display()
        ));
        let text = fs::read_to_string(&path).unwrap().replace("hostname = web3.example\n", "");
        fs::write(&path, text).unwrap();
        let daemon = start_as(&scratch, "evil\r\nBcc: eve@example.org\r\n\r\nhello\u{1b}[2J");
        scratch.wait_for_baseline();
        // A log is read from its end when it is met first.
        wait_for("the log", || {
            let status = scratch.status();
            status["logs"][0]["offset"].is_number()
        });
        put(&scratch.tree().join(hostile), "x");
        fs::write(&log, format!("Nov 21 14:02:11 h app: {hostile}\n.\n..\n~!touch PWN\nFrom root\n=?utf-8?q?x?=\n"))
            .unwrap();
        let before = server.paths().len();
        wait_for("both mails", || {
            let mails = server.mails();
            let fresh: String = mails.concat();
            fresh.matches("touch PWN").count() > count && fresh.matches("added").count() > count
        });
        assert!(daemon.stop().success());
        assert!(server.paths().len() > before || count == 0, "nothing came by {way}");
    }
    let output = Command::new("python3").args(["-c", READER]).args(server.paths()).output().unwrap();
    let read = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{read}");
    assert_eq!(read.lines().count(), server.paths().len());
    for line in read.lines() {
        let mut parts = line.split(" | ");
        assert_eq!(parts.next(), Some("[]"), "{line}");
        // Each but the first names the one before it.
        let is_ours = |name: &&str| !OF_SERVERS.contains(name) && *name != "X-Integrityd-Previous";
        let names: Vec<&str> = parts.next().unwrap().split(' ').filter(is_ours).collect();
        assert_eq!(names, OURS, "{line}");
        let subject = parts.next().unwrap();
        assert!(!subject.contains("\\r\\nBcc") && subject.contains("[integrityd] evil"), "{line}");
    }
}

/// The headers of our mails, in their order.
const OURS: [&str; 13] = [
    "From",
    "Message-ID",
    "Content-Type",
    "Content-Transfer-Encoding",
    "To",
    "Date",
    "Subject",
    "MIME-Version",
    "Auto-Submitted",
    "Precedence",
    "X-Integrityd-Host",
    "X-Integrityd-Severity",
    "X-Integrityd-Seq",
];
