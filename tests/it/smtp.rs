//! The SMTP dialogue against servers that are odd, ill or hostile: what each answer means, and that none does harm.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use integrityd::{
    config::settings::config::{Config, MailSettings, SmtpServer, TlsMode},
    report::transport::{
        outcome::{SendError, SendVerdict},
        smtp_dialogue::{Dialogue, Smtp},
    },
};

use crate::support::{
    PROGRAM, Scratch,
    sink::{Identity, Mode, Sink},
    wait_for,
};

const MAIL: &[u8] = b"Subject: x\r\n\r\n.\r\n..two\r\n.\r\nbody\r\n";
const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> MailSettings {
    Config::embedded(Vec::new(), PathBuf::from("/nowhere")).mail
}

async fn send_for(port: u16, deadline: Duration) -> Result<String, SendError> {
    let server = SmtpServer { host: "127.0.0.1".to_owned(), port, user: None, tls: TlsMode::None };
    let smtp = Smtp::new(&server, &settings(), "web3.example").unwrap();
    match smtp.send("from@example.org", "to@example.org", MAIL, deadline).await {
        Dialogue::Answer(answer) => answer,
        Dialogue::NobodyListens(words) => Err(SendError::transient(words)),
    }
}

async fn answer_to(mode: Mode) -> SendError {
    let sink = Sink::start();
    sink.behave(mode);
    send_for(sink.port, PATIENCE).await.unwrap_err()
}

#[tokio::test]
async fn the_bytes_that_arrive_are_the_bytes_that_were_sent() {
    let sink = Sink::start();
    assert_eq!(send_for(sink.port, PATIENCE).await.unwrap(), "250 2.0.0 queued");
    assert_eq!(sink.mails()[0].bytes, MAIL);
    let commands = sink.commands();
    let wanted = ["EHLO web3.example", "MAIL FROM:<from@example.org>", "RCPT TO:<to@example.org>", "DATA"];
    assert_eq!(commands[..4], wanted);
}

#[tokio::test]
async fn the_size_is_told_where_the_server_wants_it_and_what_is_larger_is_not_sent() {
    let sink = Sink::start();
    sink.behave(Mode::Size(1000));
    send_for(sink.port, PATIENCE).await.unwrap();
    assert!(sink.commands().contains(&format!("MAIL FROM:<from@example.org> SIZE={}", MAIL.len())));
    sink.behave(Mode::Size(MAIL.len() - 1));
    let error = send_for(sink.port, PATIENCE).await.unwrap_err();
    assert_eq!(error.verdict, SendVerdict::TooLarge(Some(u64::try_from(MAIL.len()).unwrap() - 1)));
    assert_eq!(sink.commands().iter().filter(|command| command.starts_with("MAIL")).count(), 1);
    let error = answer_to(Mode::TooLarge(5)).await;
    assert_eq!((error.verdict, error.reply.as_str()), (SendVerdict::TooLarge(None), "552 too much mail data"));
}

#[tokio::test]
async fn a21_a_hostile_reply_keeps_its_class_and_is_shown_escaped() {
    let refused = answer_to(Mode::Say(b"550-5.1.1 \x1b[2J\r\n550 5.1.1 \x9b\xff\xfe nobody\r\n".to_vec())).await;
    assert_eq!(refused.verdict, SendVerdict::Refused);
    assert_eq!(refused.reply, r"550 5.1.1 \x1b[2J 5.1.1 \x9b\xff\xfe nobody");
    let later = answer_to(Mode::Say(b"450 4.2.0 \xe4\x07\r\n".to_vec())).await;
    assert_eq!((later.verdict, later.reply.as_str()), (SendVerdict::NotNow, r"450 4.2.0 \xe4\x07"));
}

#[tokio::test]
async fn what_is_no_reply_is_an_attempt_that_failed() {
    for (garbage, words) in [
        (&b"\xff\xfe\x1b]0;x\x07\r\n"[..], r"the server does not speak SMTP: \xff\xfe\x1b]0;x\x07"),
        (b"250-one\r\n550 two\r\n", "the server does not speak SMTP: 550 two"),
        (b"999 what\r\n", "the server does not speak SMTP: 999 what"),
        (b"354 go on\r\n", "354 go on"),
    ] {
        let error = answer_to(Mode::Say(garbage.to_vec())).await;
        assert_eq!((error.verdict, error.reply.as_str()), (SendVerdict::NotNow, words));
    }
}

#[tokio::test]
async fn an_endless_greeting_costs_neither_memory_nor_time() {
    for piece in [vec![b'2'; 4096], b"220-and so on\r\n".repeat(300)] {
        let begun = Instant::now();
        let error = answer_to(Mode::Babble(piece, 1_000_000, Duration::ZERO)).await;
        assert_eq!(error.verdict, SendVerdict::NotNow);
        assert!(error.reply.contains("more than 64 KiB in one reply"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_server_that_drips_meets_the_one_deadline() {
    let sink = Sink::start();
    sink.behave(Mode::Babble(b"2".to_vec(), 1000, Duration::from_millis(50)));
    let begun = Instant::now();
    let error = send_for(sink.port, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error.verdict, error.reply.as_str()), (SendVerdict::NotNow, "no answer within 1 s"));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

/// `mail test` with what stands in `more`, trusting the certificates in the file `trusted`.
fn mail_test(scratch: &Scratch, more: &str, trusted: &Path) -> Output {
    scratch.configure(more);
    Command::new(PROGRAM)
        .arg("--config")
        .arg(scratch.path("integrityd.conf"))
        .args(["mail", "test"])
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a22_where_tls_is_required_and_not_offered_nothing_goes_in_clear() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.path("password"), "secret\n").unwrap();
    fs::set_permissions(scratch.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    scratch.configure(&format!(
        "filerate = 2000\nreporttime = 0\nreportholdoff = 0\nretrybase = 50ms\nmailpasswordfile = {}\n\
         mail = smtp://joe@localhost:{}",
        scratch.path("password").display(),
        sink.port
    ));
    let daemon = scratch.start();
    wait_for("the trouble", || {
        String::from_utf8_lossy(&scratch.ask(&["queue", "list"]).stdout).contains("offers no STARTTLS")
    });
    wait_for("the event", || scratch.history().iter().any(|event| event["event"]["action"][0] == "delivery-trouble"));
    assert!(!scratch.ask(&["status"]).status.success());
    assert!(daemon.stop().success());
    assert!(sink.mails().is_empty());
    let commands = sink.commands();
    assert!(commands.iter().all(|command| command.starts_with("EHLO") || command == "QUIT"), "{commands:?}");
    // Opportunistic, but with a password: that one is not sent in clear either.
    let output = mail_test(
        &scratch,
        &format!(
            "mailpasswordfile = {}\nmail = smtp://joe@localhost:{}?tls=opportunistic",
            scratch.path("password").display(),
            sink.port
        ),
        Path::new("/dev/null"),
    );
    assert!(words(&output).contains("no password is sent in clear"), "{}", words(&output));
    assert!(sink.commands().iter().all(|command| !command.starts_with("AUTH")));
}

#[test]
fn a_mail_goes_under_tls_and_with_a_login_to_whom_this_machine_trusts() {
    let (scratch, identity) = (Scratch::new(), Identity::new());
    let sink = Sink::start_tls(&identity);
    fs::write(scratch.path("ca.pem"), &identity.pem).unwrap();
    fs::write(scratch.path("password"), "secret\n").unwrap();
    fs::set_permissions(scratch.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    let password = format!("mailpasswordfile = {}\n", scratch.path("password").display());
    let setting = |user: &str, mode: &str| format!("mail = smtp://{user}localhost:{}{mode}", sink.port);
    for (more, count) in [(setting("", "?tls=required"), 1), (setting("", "?tls=opportunistic"), 2)] {
        let output = mail_test(&scratch, &more, &scratch.path("ca.pem"));
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        assert_eq!(sink.mails().len(), count);
    }
    let output = mail_test(&scratch, &format!("{password}{}", setting("joe@", "")), &scratch.path("ca.pem"));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert_eq!(sink.commands().iter().filter(|command| command.starts_with("AUTH PLAIN ")).count(), 1);
    assert!(sink.mails().iter().all(|mail| mail.is_protected));
    fs::write(scratch.path("password"), "s3cr3t-and-wrong\n").unwrap();
    let output = mail_test(&scratch, &format!("{password}{}", setting("joe@", "")), &scratch.path("ca.pem"));
    assert_eq!(output.status.code(), Some(75));
    let said = format!("{}{}", words(&output), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("the login was refused (user in mail, password in mailpasswordfile): 535 5.7.8"), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
    assert_eq!(sink.mails().len(), 3);
}

#[test]
fn a_certificate_that_nobody_trusts_is_refused_in_words() {
    let (scratch, identity) = (Scratch::new(), Identity::new());
    let sink = Sink::start_tls(&identity);
    fs::write(scratch.path("ca.pem"), &identity.pem).unwrap();
    let other = Identity::new();
    fs::write(scratch.path("other.pem"), &other.pem).unwrap();
    // Trusted, but for another name.
    let wrong_name = format!("mail = smtp://127.0.0.1:{}?tls=required", sink.port);
    let unknown = format!("mail = smtp://localhost:{}?tls=opportunistic", sink.port);
    for (more, trusted) in [(unknown, "other.pem"), (wrong_name, "ca.pem")] {
        let output = mail_test(&scratch, &more, &scratch.path(trusted));
        assert_eq!(output.status.code(), Some(75));
        let words = words(&output);
        assert!(
            words.contains("is not trusted, nothing was sent") && words.contains("update-ca-certificates"),
            "{words}"
        );
    }
    assert!(sink.mails().is_empty());
    assert!(sink.commands().iter().all(|command| !command.starts_with("MAIL")));
}

#[test]
fn what_is_said_ahead_of_tls_is_not_believed() {
    let (scratch, identity) = (Scratch::new(), Identity::new());
    let sink = Sink::start_tls(&identity);
    sink.behave(Mode::TalkAhead);
    fs::write(scratch.path("ca.pem"), &identity.pem).unwrap();
    let output =
        mail_test(&scratch, &format!("mail = smtp://localhost:{}?tls=required", sink.port), &scratch.path("ca.pem"));
    assert_eq!(output.status.code(), Some(75));
    assert!(words(&output).contains("talks ahead of STARTTLS"), "{}", words(&output));
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_an_outage_and_no_fault_of_the_settings() {
    let identity = Identity::new();
    let sink = Sink::start_tls(&identity);
    sink.behave(Mode::BreakHandshake);
    let server = SmtpServer { host: "localhost".to_owned(), port: sink.port, user: None, tls: TlsMode::Required };
    let smtp = Smtp::new(&server, &settings(), "web3.example").unwrap();
    let Dialogue::Answer(answer) = smtp.send("from@example.org", "to@example.org", MAIL, PATIENCE).await else {
        panic!("somebody listens");
    };
    let error = answer.unwrap_err();
    assert_eq!(error.verdict, SendVerdict::NotNow, "{}", error.reply);
    assert!(error.reply.contains("TLS with localhost failed, nothing was sent"), "{}", error.reply);
}

#[test]
fn a_password_that_others_may_read_is_not_used_and_the_words_say_what_to_do() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    fs::write(scratch.path("password"), "secret\n").unwrap();
    fs::set_permissions(scratch.path("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let more = format!(
        "mailpasswordfile = {}\nmail = smtp://joe@localhost:{}?tls=none",
        scratch.path("password").display(),
        sink.port
    );
    let output = mail_test(&scratch, &more, Path::new("/dev/null"));
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("others may read it (mode 0644): chmod 600") && !said.contains("secret"), "{said}");
    fs::set_permissions(scratch.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(mail_test(&scratch, &more, Path::new("/dev/null")).status.success());
    assert!(sink.commands().iter().any(|command| command.starts_with("AUTH PLAIN ")), "tls=none was asked for");
}
