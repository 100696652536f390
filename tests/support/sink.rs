//! An SMTP sink on the loopback interface that can behave badly on command.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// How it behaves, from the next connection on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Accepts everything.
    Accept,
    /// 421 at once.
    Busy,
    /// 550 for this recipient.
    Refuse(String),
    /// Takes responsibility, but says 250 only after a while.
    Hold(Duration),
    /// Takes responsibility and closes without a word.
    AcceptAndClose,
    /// Reads the mail, forgets it, closes.
    Forget,
    /// 451 to DATA.
    NotNow,
}

/// A mail for which the sink took responsibility.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub recipient: String,
    pub bytes: Vec<u8>,
    pub at: Instant,
}

impl Mail {
    fn parsed(&self) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default().parse(&self.bytes).unwrap()
    }

    pub(crate) fn subject(&self) -> String {
        self.parsed().subject().unwrap().to_owned()
    }

    pub(crate) fn message_id(&self) -> String {
        self.parsed().message_id().unwrap().to_owned()
    }

    /// What is attached, decoded.
    pub(crate) fn attached(&self) -> Option<Vec<u8>> {
        self.parsed().attachments().next().map(|part| part.contents().to_vec())
    }

    pub(crate) fn text(&self) -> String {
        self.parsed().body_text(0).unwrap().replace("\r\n", "\n")
    }
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    came: Condvar,
}

/// The sink; its thread ends with the process.
pub(crate) struct Sink {
    pub port: u16,
    shared: Arc<Shared>,
    mode: Arc<Mutex<Mode>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::default(),
            mode: Arc::new(Mutex::new(Mode::Accept)),
        };
        let (shared, mode) = (Arc::clone(&sink.shared), Arc::clone(&sink.mode));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, mode) = (Arc::clone(&shared), mode.lock().unwrap().clone());
                // A peer that was killed is no failure of the sink.
                std::thread::spawn(move || drop(serve(&stream.unwrap(), &mode, &shared)));
            }
        });
        sink
    }

    /// The `mail` line of a configuration.
    pub(crate) fn setting(&self) -> String {
        format!("mail = smtp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn behave(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    /// Waits until so many mails were accepted in all.
    pub(crate) fn wait_for(&self, count: usize, most: Duration) -> Vec<Mail> {
        let mails = self.shared.mails.lock().unwrap();
        let (mails, timeout) = self.shared.came.wait_timeout_while(mails, most, |mails| mails.len() < count).unwrap();
        assert!(!timeout.timed_out(), "only {} of {count} mails came within {most:?}", mails.len());
        mails.clone()
    }
}

fn serve(stream: &TcpStream, mode: &Mode, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let say = |text: &str| -> std::io::Result<()> {
        let mut stream = stream;
        stream.write_all(format!("{text}\r\n").as_bytes())
    };
    if *mode == Mode::Busy {
        return say("421 busy");
    }
    say("220 sink ESMTP")?;
    let mut recipient = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command = line.to_ascii_uppercase();
        if command.starts_with("EHLO") {
            say("250-sink\r\n250-8BITMIME\r\n250 PIPELINING")?;
        } else if command.starts_with("RCPT") {
            line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut recipient);
            match mode {
                Mode::Refuse(refused) if *refused == recipient => say("550 5.1.1 no such user")?,
                _ => say("250 ok")?,
            }
        } else if command.starts_with("DATA") {
            if *mode == Mode::NotNow {
                say("451 4.3.0 try later")?;
                continue;
            }
            say("354 go")?;
            let Some(bytes) = read_mail(&mut lines)? else {
                return Ok(());
            };
            if *mode == Mode::Forget {
                return Ok(());
            }
            accept(shared, &recipient, bytes);
            match mode {
                Mode::AcceptAndClose => return Ok(()),
                Mode::Hold(time) => std::thread::sleep(*time),
                _ => {}
            }
            say("250 2.0.0 queued")?;
        } else if command.starts_with("QUIT") {
            return say("221 bye");
        } else {
            say("250 ok")?;
        }
    }
}

fn read_mail(lines: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line == b".\r\n" {
            return Ok(Some(bytes));
        }
        bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

fn accept(shared: &Shared, recipient: &str, bytes: Vec<u8>) {
    shared.mails.lock().unwrap().push(Mail { recipient: recipient.to_owned(), bytes, at: Instant::now() });
    shared.came.notify_all();
}
