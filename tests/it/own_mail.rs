//! What a report causes makes no report: the lines of the mail server that takes it, and the mailbox that it lands in.

use std::{fs, path::PathBuf};

use crate::support::{Scratch, put_program};

/// A machine whose mail server delivers into a mailbox, and logs as Postfix does. Whoever mails by it mails at once.
struct Machine {
    scratch: Scratch,
}

/// What it does with a mail; `$1` is the log, `$2` the mailbox.
const SERVER: &str = r#"
mail=$(cat); id=$(printf '%s\n' "$mail" | sed -n 's/^Message-ID: //p' | head -n 1)
count=$(($(cat "$0.count" 2>/dev/null || echo 0) + 1)); echo $count >"$0.count"; number=AB0DE$count
say() { echo "$(date +%Y-%m-%dT%H:%M:%S+00:00) h $*" >>"$log"; }
say "postfix/pickup[1]: $number: uid=$(id -u) from=<integrityd@web3.example>"
say "postfix/cleanup[2]: $number: message-id=$id"
say "postfix/qmgr[3]: $number: from=<integrityd@web3.example>, size=332, nrcpt=1 (queue active)"
say "postfix/local[4]: $number: to=<root@example.org>, relay=local, delay=0.03, dsn=2.0.0, status=sent (delivered to mailbox)"
say "postfix/qmgr[3]: $number: removed"
printf 'From integrityd\n%s\n\n' "$mail" >>"$box"
"#;

impl Machine {
    fn new(mailbox: &str) -> Self {
        let scratch = Scratch::new();
        let (rules, log) = (scratch.path("rules"), scratch.path("mail.log"));
        fs::create_dir_all(rules.join("violations.d")).unwrap();
        fs::write(&log, "").unwrap();
        let mailbox = scratch.path(mailbox);
        fs::create_dir_all(mailbox.parent().unwrap()).unwrap();
        fs::write(&mailbox, "From joe\nMessage-ID: <1@elsewhere>\n\nan old mail\n\n").unwrap();
        let begin = format!("export TZ=UTC\nlog={}\nbox={}\n", log.display(), mailbox.display());
        let program = put_program(&scratch.path("sendmail"), &(begin + SERVER));
        scratch.configure(&format!(
            "mail = sendmail:{}\nlogrules = {}\nlog = {}\nfilerate = 5000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1",
            program.display(),
            rules.display(),
            log.display()
        ));
        let machine = Self { scratch };
        machine.settle();
        machine
    }

    fn log(&self) -> PathBuf {
        self.scratch.path("mail.log")
    }

    /// Mails so far.
    fn mails(&self) -> u64 {
        let count = fs::read_to_string(self.scratch.path("sendmail.count")).unwrap_or_default();
        count.trim().parse().unwrap_or(0)
    }

    fn run_once(&self) {
        let output = self.scratch.ask(&["run", "--once"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Learns what is there.
    fn settle(&self) {
        assert!(self.scratch.ask(&["init", "-q"]).status.success());
        self.run_once();
        self.run_once();
    }

    /// How many mails a run makes, and the four after it.
    fn mails_of_runs(&self) -> [u64; 5] {
        [(); 5].map(|()| {
            let before = self.mails();
            self.run_once();
            self.mails() - before
        })
    }

    fn add(&self, line: &str) {
        let mut text = fs::read_to_string(self.log()).unwrap();
        text.push_str(line);
        fs::write(self.log(), text).unwrap();
    }
}

#[test]
fn a23_lines_of_a_mail_server_about_a_report_make_no_report() {
    let machine = Machine::new("elsewhere/root");
    fs::write(machine.scratch.tree().join("file"), "new").unwrap();
    assert_eq!(machine.mails_of_runs(), [1, 0, 0, 0, 0]);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S+00:00");
    machine
        .add(&format!("{now} h postfix/qmgr[3]: FFFF1: from=<joe@web3.example>, size=332, nrcpt=1 (queue active)\n"));
    assert_eq!(machine.mails_of_runs(), [1, 0, 0, 0, 0], "the mail of another was hidden, or a report made the next");
    let told = String::from_utf8(machine.scratch.ask(&["history"]).stdout).unwrap();
    assert!(told.contains("FFFF1") && !told.contains("AB0DE"), "{told}");
}

#[test]
fn a23_a_mailbox_in_an_area_makes_no_report_of_a_report() {
    let machine = Machine::new("tree/mail/root");
    let mailbox = machine.scratch.tree().join("mail/root");
    fs::write(machine.scratch.tree().join("file"), "new").unwrap();
    assert_eq!(machine.mails_of_runs(), [1, 0, 0, 0, 0]);
    let of_mailbox = || {
        let path = mailbox.display().to_string();
        let mut events = machine.scratch.history();
        events.retain(|event| event.to_string().contains(&path));
        events
    };
    let counted = of_mailbox();
    let is_counted = |event: &serde_json::Value| {
        event["event"]["reason"] == "only reports of integrityd were added" && event["event"]["severity"] == 5
    };
    assert!(!counted.is_empty() && counted.iter().all(is_counted), "{counted:?}");
    // A mail of somebody else is a change like any other.
    let text = fs::read_to_string(&mailbox).unwrap() + "From joe\nMessage-ID: <2@elsewhere>\n\nmore\n\n";
    fs::write(&mailbox, text).unwrap();
    assert_eq!(machine.mails_of_runs(), [1, 0, 0, 0, 0]);
    // And so is one that was changed beneath the new mails.
    let text = fs::read_to_string(&mailbox).unwrap().replace("an old mail", "an odd mail");
    fs::write(&mailbox, text).unwrap();
    assert_eq!(machine.mails_of_runs()[0], 1);
}
