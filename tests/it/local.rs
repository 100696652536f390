//! `mail = auto`: the mail system of the machine, chosen anew at each sending and never because of an answer.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use integrityd::{
    config::settings::config::{Config, MailSettings},
    report::transport::{
        auto::{Local, Places},
        outcome::SendError,
    },
};

use crate::support::{
    Scratch, put_program,
    sink::{Mode, Sink},
};

const MAIL: &[u8] = b"Subject: x\r\n\r\nbody\r\n";

fn settings() -> MailSettings {
    Config::embedded(Vec::new(), PathBuf::from("/nowhere")).mail
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn local(ports: &[u16], programs: &[PathBuf]) -> Local {
    let places = Places {
        servers: ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect(),
        programs: programs.to_vec(),
        has_program_first: false,
    };
    Local::new(&places, &settings(), "web3.example").unwrap()
}

async fn send(local: &Local) -> (String, Result<String, SendError>) {
    local.send("from@example.org", "to@example.org", MAIL, Duration::from_secs(20)).await
}

/// A sendmail program that keeps what it is given.
fn keeper(scratch: &Scratch) -> PathBuf {
    put_program(&scratch.path("sendmail"), "cat >> $0.mail")
}

fn kept(program: &Path) -> String {
    fs::read_to_string(program.with_extension("mail")).unwrap_or_default()
}

#[tokio::test]
async fn whoever_listens_gets_the_mail() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let program = keeper(&scratch);
    let (way, answer) = send(&local(&[free_port(), sink.port], std::slice::from_ref(&program))).await;
    assert_eq!((way, answer.unwrap()), (format!("SMTP to 127.0.0.1:{}", sink.port), "250 2.0.0 queued".to_owned()));
    assert_eq!(sink.mails().len(), 1);
    assert_eq!(kept(&program), "");
}

#[tokio::test]
async fn where_nobody_listens_the_program_gets_it_and_each_sending_decides_anew() {
    let scratch = Scratch::new();
    let program = keeper(&scratch);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let local = local(&[port], &[scratch.path("none"), scratch.tree(), program.clone()]);
    let (way, answer) = send(&local).await;
    assert_eq!(way, program.display().to_string());
    answer.unwrap();
    assert_eq!(kept(&program), "Subject: x\n\nbody\n");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"554 go away\r\n"));
    let (way, answer) = send(&local).await;
    assert_eq!(way, format!("SMTP to 127.0.0.1:{port}"));
    assert!(answer.unwrap_err().reply.contains("go away"));
    assert_eq!(kept(&program), "Subject: x\n\nbody\n", "an answer was a reason to switch");
}

#[tokio::test]
async fn no_answer_of_a_server_is_a_reason_to_switch() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let program = keeper(&scratch);
    let local = local(&[sink.port], std::slice::from_ref(&program));
    for (mode, is_refusal) in [
        (Mode::Refuse("to@example.org".to_owned()), true),
        (Mode::Busy, false),
        (Mode::NotNow, false),
        (Mode::Forget, false),
    ] {
        sink.behave(mode.clone());
        let (_, answer) = send(&local).await;
        assert_eq!(answer.unwrap_err().is_refusal(), is_refusal, "{mode:?}");
        assert_eq!(kept(&program), "", "{mode:?}");
    }
}

#[tokio::test]
async fn where_neither_is_there_the_words_name_both_and_the_remedy() {
    let (_, answer) = send(&local(&[9, 10], &[PathBuf::from("/no/sendmail"), PathBuf::from("/no/other")])).await;
    let error = answer.unwrap_err();
    assert!(!error.is_refusal());
    insta::assert_snapshot!(error.reply, @r"
    nobody listens on 127.0.0.1:9 or 127.0.0.1:10, and there is no sendmail program (/no/sendmail, /no/other): start or install a mail server, or set mail = smtp://HOST
    ");
}

#[tokio::test]
async fn where_a_program_can_work_it_is_first_and_servers_are_for_want_of_one() {
    let (scratch, sink) = (Scratch::new(), Sink::start());
    let program = keeper(&scratch);
    let local = |programs: &[PathBuf]| {
        let places = Places {
            servers: vec![("127.0.0.1".to_owned(), sink.port)],
            programs: programs.to_vec(),
            has_program_first: true,
        };
        Local::new(&places, &settings(), "web3.example").unwrap()
    };
    let (way, answer) = send(&local(std::slice::from_ref(&program))).await;
    assert_eq!((way, answer.is_ok()), (program.display().to_string(), true));
    assert_eq!((kept(&program).as_str(), sink.mails().len()), ("Subject: x\n\nbody\n", 0));
    let broken = put_program(&scratch.path("broken"), "cat >/dev/null; exit 75");
    let (_, answer) = send(&local(&[broken])).await;
    assert!(!answer.unwrap_err().is_refusal());
    assert_eq!(sink.mails().len(), 0, "an answer was a reason to switch");
    let (way, answer) = send(&local(&[scratch.path("none")])).await;
    assert_eq!((way, answer.is_ok()), (format!("SMTP to 127.0.0.1:{}", sink.port), true));
}

#[test]
fn the_usual_places_are_those_of_every_distribution() {
    let places = Places::default();
    assert_eq!(places.servers, [("127.0.0.1".to_owned(), 25), ("::1".to_owned(), 25)]);
    assert_eq!(places.programs, [PathBuf::from("/usr/sbin/sendmail"), PathBuf::from("/usr/lib/sendmail")]);
}
