//! Deliveries in trouble, as a daemon and its mail server live them: rows of the table of torture.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::support::{
    Running, Scratch, overwrite, put, put_program,
    sink::{Mail, Mode, Sink},
    unwrapped, wait_for,
};

const FAST: &str = "filerate = 2000\nbyterate = 100M\nreporttime = 1\nreportholdoff = 1\nretrybase = 100ms\n";

fn out(scratch: &Scratch, arguments: &[&str]) -> String {
    String::from_utf8(scratch.ask(arguments).stdout).unwrap()
}

fn text_for(sink: &Sink, recipient: &str) -> String {
    sink.mails().iter().filter(|mail| mail.recipient == recipient).map(Mail::text).collect()
}

/// A daemon whose baseline stands and whose first mail has been accepted by everybody.
fn settled(scratch: &Scratch, sink: &Sink, recipients: usize) -> Running {
    fs::write(scratch.tree().join("file"), "x").unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    sink.wait_for(recipients);
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    daemon
}

#[test]
fn a6_what_is_put_off_is_one_mail_in_the_end_and_the_attempts_are_seen() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let daemon = settled(&scratch, &sink, 1);
    sink.behave(Mode::NotNow);
    put(&scratch.tree().join("new"), "x");
    wait_for("two attempts", || out(&scratch, &["queue", "list"]).contains("queued      2"));
    assert!(out(&scratch, &["queue", "list"]).contains("last answer: 451 4.3.0 try later"));
    sink.behave(Mode::Busy);
    wait_for("another answer", || out(&scratch, &["queue", "list"]).contains("last answer: 421 busy"));
    sink.behave(Mode::Accept);
    sink.wait_for(2);
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    let mails = sink.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text().contains("/new "));
    assert!(daemon.stop().success());
}

#[test]
fn a7_who_is_refused_keeps_nobody_waiting_and_the_others_are_told() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("email = second@example.org\n{FAST}{}", sink.setting()));
    let daemon = settled(&scratch, &sink, 2);
    sink.behave(Mode::Refuse("root@example.org".to_owned()));
    let begun = Instant::now();
    put(&scratch.tree().join("one"), "x");
    wait_for("the second one's mail", || text_for(&sink, "second@example.org").contains("/one "));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    wait_for("the refusal", || out(&scratch, &["queue", "list"]).contains("no such user"));
    let status = scratch.ask(&["status"]);
    assert_eq!(status.status.code(), Some(2), "a refusal is critical");
    assert!(String::from_utf8_lossy(&status.stdout).contains("no such user"));
    put(&scratch.tree().join("two"), "x");
    let told = "DELIVERY TROUBLE: 1 report not accepted for root@example.org since ";
    wait_for("the trouble in a mail", || text_for(&sink, "second@example.org").contains(told));
    assert!(text_for(&sink, "second@example.org").contains("last answer: 550 5.1.1 no such user"));
    // One event, however many deliveries and attempts follow; it reaches who can be reached.
    wait_for("the event in a mail", || {
        text_for(&sink, "second@example.org").contains("reports to root@example.org are refused")
    });
    assert!(daemon.stop().success());
    assert!(scratch.log().contains("delivery trouble: reports are kept"), "{}", scratch.log());
    let events = scratch.history();
    assert_eq!(events.iter().filter(|event| event["event"]["action"][0] == "delivery-trouble").count(), 1);
}

#[test]
fn a8_what_everybody_refuses_is_kept_over_a_restart_until_it_is_accepted() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}fallbackmbox = {}\n{}", scratch.path("mbox").display(), sink.setting()));
    let daemon = settled(&scratch, &sink, 1);
    sink.behave(Mode::RefuseAll);
    put(&scratch.tree().join("one"), "x");
    wait_for("a refusal", || out(&scratch, &["queue", "list"]).contains("not from you"));
    assert_eq!(scratch.ask(&["status"]).status.code(), Some(2));
    assert!(daemon.stop().success());
    let daemon = scratch.start();
    put(&scratch.tree().join("two"), "x");
    wait_for("the second report", || out(&scratch, &["queue", "list"]).matches("not from you").count() >= 2);
    let also = format!("also in {}", scratch.path("mbox").display());
    wait_for("the mailbox", || out(&scratch, &["queue", "list"]).matches(&also).count() >= 2);
    // The report of the trouble may come before that of the file.
    wait_for("the second file", || fs::read_to_string(scratch.path("mbox")).unwrap().contains("/two "));
    let mailbox = fs::read_to_string(scratch.path("mbox")).unwrap();
    assert!(mailbox.contains("/one ") && mailbox.contains("/two "), "{mailbox}");
    sink.behave(Mode::Accept);
    assert_eq!(scratch.ask(&["queue", "retry", "--all"]).status.code(), Some(0));
    wait_for("both", || {
        let text = text_for(&sink, "root@example.org");
        text.contains("/one ") && text.contains("/two ")
    });
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    assert!(daemon.stop().success());
    let mailbox = fs::read_to_string(scratch.path("mbox")).unwrap();
    assert_eq!(mailbox.matches("/one  added").count(), 1, "it is put there once, and stays: {mailbox}");
    let ids: Vec<&str> = mailbox.lines().filter(|line| line.starts_with("Message-ID: ")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// A report of about 200 KB, made by `run --once` and not accepted yet; gives the lines of its items.
fn large(scratch: &Scratch, sink: &Sink, more: &str) -> BTreeSet<String> {
    scratch.configure(&format!("retrybase = 10ms\nreportlines = 10000\n{more}\n{}", sink.setting()));
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    sink.behave(Mode::Busy);
    scratch.ask(&["run", "--once"]);
    scratch.ask(&["queue", "drop", "1", "--yes"]);
    for number in 0..700 {
        put(&scratch.tree().join(format!("{number:04}-{}", "n".repeat(100))), "x");
    }
    scratch.ask(&["run", "--once"]);
    let list = out(scratch, &["queue", "list", "--json"]);
    let report: serde_json::Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let mail = unwrapped(&out(scratch, &["queue", "show", &report["report"].to_string()]));
    let lines: BTreeSet<String> =
        mail.lines().filter(|line| line.starts_with("  ") && line.contains("-nnn")).map(str::to_owned).collect();
    assert_eq!(lines.len(), 700);
    lines
}

fn item_lines(mails: &[Mail]) -> Vec<String> {
    let texts: Vec<String> = mails.iter().map(Mail::text).collect();
    texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with("  ") && line.contains("-nnn"))
        .map(str::to_owned)
        .collect()
}

/// Whether a mail is a shorter one: with some of `wanted`, how many more there are, and the command that shows them.
fn assert_shortened(scratch: &Scratch, mail: &Mail, wanted: &BTreeSet<String>) {
    let lines = item_lines(std::slice::from_ref(mail));
    let text = mail.text();
    assert!(mail.subject().ends_with(" (too large: shortened)"), "{}", mail.subject());
    assert!(!lines.is_empty() && lines.iter().all(|line| wanted.contains(line)), "{text}");
    assert!(text.contains(&format!("\n  … and {} more\n", wanted.len() - lines.len())), "{text}");
    let command = text.split(" show report ").nth(1).unwrap();
    let number: String = command.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(out(scratch, &["show", "report", &number]).matches("-nnn").count(), wanted.len());
}

#[test]
fn a9_what_is_larger_than_the_announced_size_comes_shortened_and_says_where_the_rest_is() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let wanted = large(&scratch, &sink, "email = second@example.org");
    // One has it whole already: that one gets no other.
    sink.behave(Mode::Refuse("root@example.org".to_owned()));
    scratch.ask(&["run", "--once"]);
    let whole = sink.mails().len();
    assert!(sink.mails().iter().all(|mail| mail.recipient == "second@example.org"));
    sink.behave(Mode::Size(30_000));
    scratch.ask(&["run", "--once"]);
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(0), "{}", out(&scratch, &["queue", "list"]));
    let mine: Vec<Mail> =
        sink.mails().split_off(whole).into_iter().filter(|mail| mail.text().contains("-nnn")).collect();
    assert_eq!(mine.len(), 1);
    assert!(mine[0].recipient == "root@example.org" && mine[0].bytes.len() <= 30_000);
    assert_shortened(&scratch, &mine[0], &wanted);
}

#[test]
fn a10_a_server_that_finds_it_too_large_after_the_dot_gets_smaller_ones_in_few_attempts() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let wanted = large(&scratch, &sink, "");
    sink.behave(Mode::TooLarge(60_000));
    let before = sink.commands().iter().filter(|command| *command == "DATA").count();
    scratch.ask(&["run", "--once"]);
    let attempts = sink.commands().iter().filter(|command| *command == "DATA").count() - before;
    let mails = sink.mails();
    assert!(attempts - mails.len() <= 8, "{attempts} attempts for {} mails", mails.len());
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(0), "{}", out(&scratch, &["queue", "list"]));
    let told: Vec<&Mail> = mails.iter().filter(|mail| mail.text().contains("-nnn")).collect();
    assert_eq!(told.len(), 1);
    assert_shortened(&scratch, told[0], &wanted);
}

#[test]
fn a9_what_fits_without_its_attachment_comes_whole_and_says_what_is_missing() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let wanted = large(&scratch, &sink, "attach = always");
    let list = out(&scratch, &["queue", "list", "--json"]);
    let report: serde_json::Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let size = usize::try_from(report["bytes"].as_u64().unwrap()).unwrap();
    sink.behave(Mode::Size(size - 1000));
    scratch.ask(&["run", "--once"]);
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(0), "{}", out(&scratch, &["queue", "list"]));
    let mails = sink.mails();
    let mail = mails.iter().find(|mail| mail.text().contains("-nnn")).unwrap();
    assert_eq!(mail.subject(), report["subject"].as_str().unwrap());
    assert!(mail.attached().is_none());
    let lines = item_lines(std::slice::from_ref(mail));
    assert_eq!(lines.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    let line = mail
        .text()
        .lines()
        .find(|line| line.starts_with("WITHOUT ITS ATTACHMENT, which was too large: "))
        .unwrap()
        .to_owned();
    assert!(line.ends_with(&format!(" show report {}", report["report"])), "{line}");
}

#[test]
fn where_hardly_anything_is_taken_counts_are_sent_and_the_command_that_shows_the_rest() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    large(&scratch, &sink, "");
    sink.behave(Mode::Size(8_000));
    scratch.ask(&["run", "--once"]);
    assert_eq!(scratch.ask(&["queue", "list"]).status.code(), Some(0));
    let mail = sink.mails().into_iter().find(|mail| mail.subject().ends_with("counts only)")).unwrap();
    let text = mail.text();
    assert!(text.contains("  FILES: 700\n"), "{text}");
    let command = text.split(" show report ").nth(1).unwrap();
    let number: String = command.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(out(&scratch, &["show", "report", &number]).matches("-nnn").count(), 700);
}

#[test]
fn what_is_larger_than_any_mail_may_be_is_shortened_on_every_way() {
    let scratch = Scratch::new();
    scratch.configure(&format!("reportlines = 10000\nmail = file:{}", scratch.path("out").display()));
    assert!(scratch.ask(&["init", "--quiet"]).status.success());
    for number in 0..6000 {
        put(&scratch.tree().join(format!("{number:04}-{}", "n".repeat(100))), "x");
    }
    scratch.ask(&["run", "--once"]);
    let mails: Vec<Vec<u8>> =
        fs::read_dir(scratch.path("out")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].len() <= 1 << 20, "{}", mails[0].len());
    let mail = Mail { recipient: String::new(), bytes: mails[0].clone(), at: Instant::now(), is_protected: false };
    let kept = item_lines(std::slice::from_ref(&mail)).len();
    assert!(kept > 0 && mail.text().contains(&format!("\n  … and {} more\n", 6000 - kept)), "{kept}");
}

/// What comes of log lines each of which is longer, as it is shown, than what is taken.
fn endless_lines(mode: Mode) {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let log = scratch.path("app.log");
    fs::write(&log, "").unwrap();
    scratch.configure(&format!(
        "{FAST}logreporttime = 1\nlogreportholdoff = 1\nlogchecktime = 1\nlogrules = server:{}\nlog = {}\n{}",
        scratch.path("rules").display(),
        log.display(),
        sink.setting()
    ));
    fs::create_dir_all(scratch.path("rules/ignore.d.server")).unwrap();
    let daemon = settled(&scratch, &sink, 1);
    sink.behave(mode);
    let line = |letter: u8| [b"Nov 21 10:00:00 web3 app[1]: ".as_slice(), &[letter; 8_000], b"\n"].concat();
    fs::write(&log, b"abcd".map(line).concat()).unwrap();
    let counts = |mail: &&Mail| mail.subject().ends_with("(too large: counts only)");
    wait_for("the counts", || sink.mails().iter().any(|mail| counts(&mail)));
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    assert!(daemon.stop().success());
    let mails = sink.mails();
    let told: Vec<&Mail> = mails.iter().filter(counts).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].text().contains(" show report "), "{}", told[0].text());
    let attempts = scratch.log().matches("a report was too large").count();
    assert!((1..8).contains(&attempts), "{attempts} replacements");
}

#[test]
fn a10_lines_longer_than_a_server_takes_are_counted_and_not_shortened_for_ever() {
    endless_lines(Mode::TooLarge(4_000));
}

#[test]
fn a11_what_is_taken_without_a_word_comes_again_under_the_same_name_until_it_is_acknowledged() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    scratch.configure(&format!("{FAST}{}", sink.setting()));
    let daemon = settled(&scratch, &sink, 1);
    sink.behave(Mode::AcceptAndClose);
    put(&scratch.tree().join("new"), "x");
    sink.wait_for(4);
    sink.behave(Mode::Accept);
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    assert!(daemon.stop().success());
    let mails = sink.mails().split_off(1);
    assert!(mails.len() >= 4);
    assert!(mails.iter().all(|mail| mail.bytes == mails[0].bytes), "the same bytes under the same name");
}

#[test]
fn a15_a_sendmail_program_is_asked_again_killed_when_it_hangs_and_believed_when_it_ends_well() {
    let scratch = Scratch::new();
    fs::write(scratch.tree().join("file"), "x").unwrap();
    let script = "cat > $0.mail; echo x >> $0.runs\n\
                  case $(wc -l < $0.runs) in 1) exit 75;; 2) echo $$ > $0.hung; sleep 60;; *) cp $0.mail $0.taken;; esac";
    let program = put_program(&scratch.path("sendmail"), script);
    scratch.configure(&format!("{FAST}sendtimeout = 1s\nmail = sendmail:{}", program.display()));
    let daemon = scratch.start();
    let beside = |name: &str| program.with_extension(name);
    wait_for("the third run", || beside("taken").exists());
    wait_for("an empty queue", || scratch.ask(&["queue", "list"]).status.code() == Some(0));
    assert!(daemon.stop().success());
    assert!(fs::read_to_string(beside("taken")).unwrap().contains("Message-ID: <"));
    let hung = fs::read_to_string(beside("hung")).unwrap();
    assert!(!Path::new(&format!("/proc/{}", hung.trim())).exists(), "it still hangs");
    let log = scratch.log();
    assert!(log.contains("EX_TEMPFAIL") && log.contains("did not end within 1s"), "{log}");
}

#[test]
fn d1_no_name_no_line_and_no_host_adds_a_header() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let log = scratch.path("app.log");
    fs::write(&log, "").unwrap();
    let bcc = "\r\nBcc: eve@example.org\r\n\r\nbody";
    scratch.configure(&format!(
        "{FAST}logreporttime = 1\nlogreportholdoff = 1\nlogchecktime = 1\nlogrules = server:{}\nlog = {}\n{}",
        scratch.path("rules").display(),
        log.display(),
        sink.setting()
    ));
    fs::create_dir_all(scratch.path("rules/ignore.d.server")).unwrap();
    let daemon = settled(&scratch, &sink, 1);
    put(&scratch.tree().join(format!("n{bcc}")), "x");
    overwrite(&log, &format!("Nov 21 10:00:00 web3 app[1]: x{bcc} of a line\r\n"));
    wait_for("both", || {
        let text = text_for(&sink, "root@example.org");
        text.contains(r"/n\x0d\nBcc: eve@example.org") && text.contains("body of a line")
    });
    assert!(daemon.stop().success());
    // Each but the first names the one before it.
    let own = |mail: &Mail| {
        mail.headers().into_iter().filter(|name| name != "X-Integrityd-Previous").collect::<BTreeSet<_>>()
    };
    let wanted = own(&sink.mails()[0]);
    assert!(!wanted.contains("Bcc"));
    for mail in sink.mails() {
        assert_eq!(own(&mail), wanted);
        assert!(!mail.bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r'), "a bare line end");
        assert_eq!(mail.recipient, "root@example.org");
    }
    assert!(sink.commands().iter().all(|command| !command.contains("eve@")));
}

#[test]
fn d6_what_a_mail_program_would_obey_is_text_for_a_sendmail_program() {
    let scratch = Scratch::new();
    let program = put_program(&scratch.path("sendmail"), "cat >> $0.mail; printf '%s ' \"$@\" >> $0.args");
    let log = scratch.path("app.log");
    fs::write(&log, "").unwrap();
    scratch.configure(&format!(
        "{FAST}logreporttime = 1\nlogreportholdoff = 1\nlogchecktime = 1\nlogrules = server:{}\nlog = {}\nmail = sendmail:{}",
        scratch.path("rules").display(),
        log.display(),
        program.display()
    ));
    fs::create_dir_all(scratch.path("rules/ignore.d.server")).unwrap();
    let daemon = scratch.start();
    scratch.wait_for_baseline();
    overwrite(&log, &format!("~!touch {}/PWN\n.\n`touch {0}/PWN`\nafter it\n", scratch.path("").display()));
    let mail = || fs::read_to_string(program.with_extension("mail")).unwrap_or_default();
    wait_for("the lines", || mail().contains("after it"));
    assert!(daemon.stop().success());
    assert!(!scratch.path("PWN").exists());
    assert!(mail().contains("~!touch ") && mail().lines().any(|line| line.trim() == "."), "{}", mail());
    assert!(
        fs::read_to_string(program.with_extension("args")).unwrap().starts_with("-i -f integrityd@web3.example -- ")
    );
}
