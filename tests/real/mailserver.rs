//! A real mail server (OpenSMTPD): by its sendmail program and by SMTP, what it accepts arrives unchanged.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    packages::need,
    support::{Scratch, wait_for},
};

/// The user `nobody`; the server delivers for no root.
const NOBODY: u32 = 65_534;

struct Server {
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts it on `port`, delivering everything to one Maildir.
    fn start(port: u16) -> Self {
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
        wait_for("the mail server", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, directory }
    }

    fn mails(&self) -> Vec<String> {
        let new = self.directory.path().join("Maildir/new");
        let Ok(entries) = fs::read_dir(new) else {
            return Vec::new();
        };
        entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
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
        wait_for("the mail", Duration::from_secs(10), || server.mails().len() == number);
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
