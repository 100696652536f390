//! An SMTP sink on the loopback interface that can behave badly on command, and speak TLS.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use super::{PATIENCE, unwrapped};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
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
    /// 550 for every recipient.
    RefuseAll,
    /// Takes responsibility, but says 250 only after a while.
    Hold(Duration),
    /// Takes responsibility and closes without a word.
    AcceptAndClose,
    /// Reads the mail, forgets it, closes.
    Forget,
    /// 451 to DATA.
    NotNow,
    /// Announces a SIZE and says 552 to MAIL when that is larger.
    Size(usize),
    /// Announces no SIZE and says 552 after the dot to what is larger.
    TooLarge(usize),
    /// Says more than it was asked when it is asked for TLS.
    TalkAhead,
    /// Closes when it is asked for TLS, after it has agreed.
    BreakHandshake,
    /// These bytes to RCPT.
    Say(Vec<u8>),
    /// These bytes as a greeting, again and again, so many times with that pause.
    Babble(Vec<u8>, usize, Duration),
}

/// A mail for which the sink took responsibility.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub recipient: String,
    pub bytes: Vec<u8>,
    pub at: Instant,
    pub is_protected: bool,
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

    /// What it says, with what goes on in the next line in one.
    pub(crate) fn text(&self) -> String {
        unwrapped(&self.parsed().body_text(0).unwrap().replace("\r\n", "\n"))
    }

    /// The names of its headers, as they came.
    pub(crate) fn headers(&self) -> Vec<String> {
        self.parsed().headers().iter().map(|header| header.name().to_owned()).collect()
    }
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    commands: Mutex<Vec<String>>,
    came: Condvar,
}

/// The sink; its thread ends with the process.
pub(crate) struct Sink {
    pub port: u16,
    shared: Arc<Shared>,
    mode: Arc<Mutex<Mode>>,
}

/// A certificate for `localhost` that signs itself, for who trusts it: what a server needs, and PEM.
pub(crate) struct Identity {
    pub server: Arc<ServerConfig>,
    pub pem: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self { server: Arc::new(server), pem: made.cert.pem() }
    }
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// A sink that offers STARTTLS.
    pub(crate) fn start_tls(identity: &Identity) -> Self {
        Self::start_with(Some(Arc::clone(&identity.server)))
    }

    fn start_with(tls: Option<Arc<ServerConfig>>) -> Self {
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
                let tls = tls.clone();
                // A peer that was killed is no failure of the sink.
                std::thread::spawn(move || drop(serve(stream.unwrap(), tls.as_ref(), &mode, &shared)));
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

    /// Every command that came, in capitals, each with what follows it.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    /// Waits until so many mails were accepted in all.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mails = self.shared.mails.lock().unwrap();
        let (mails, timeout) =
            self.shared.came.wait_timeout_while(mails, PATIENCE, |mails| mails.len() < count).unwrap();
        assert!(!timeout.timed_out(), "only {} of {count} mails came", mails.len());
        mails.clone()
    }
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// One conversation.
struct Talk {
    lines: BufReader<Box<dyn Duplex>>,
    is_protected: bool,
}

impl Talk {
    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.say_bytes(format!("{text}\r\n").as_bytes())
    }

    fn say_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.lines.get_mut().write_all(bytes)?;
        self.lines.get_mut().flush()
    }

    fn protect(self, tls: &Arc<ServerConfig>) -> Self {
        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
        let stream: Box<dyn Duplex> = Box::new(StreamOwned::new(connection, self.lines.into_inner()));
        Self { lines: BufReader::new(stream), is_protected: true }
    }
}

fn serve(stream: TcpStream, tls: Option<&Arc<ServerConfig>>, mode: &Mode, shared: &Shared) -> std::io::Result<()> {
    let stream: Box<dyn Duplex> = Box::new(stream);
    let mut talk = Talk { lines: BufReader::new(stream), is_protected: false };
    match mode {
        Mode::Busy => return talk.say("421 busy"),
        Mode::Babble(bytes, times, pause) => {
            for _ in 0..*times {
                talk.say_bytes(bytes)?;
                std::thread::sleep(*pause);
            }
            return Ok(());
        }
        _ => talk.say("220 sink ESMTP")?,
    }
    let mut recipient = String::new();
    loop {
        let mut line = String::new();
        if talk.lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        shared.commands.lock().unwrap().push(line.trim_end().to_owned());
        let command = line.to_ascii_uppercase();
        if command.starts_with("EHLO") {
            let mut abilities = "250-sink\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n".to_owned();
            if tls.is_some() && !talk.is_protected {
                abilities += "250-STARTTLS\r\n";
            }
            if let Mode::Size(limit) = mode {
                abilities += &format!("250-SIZE {limit}\r\n");
            }
            talk.say(&(abilities + "250 PIPELINING"))?;
        } else if command.starts_with("STARTTLS") {
            match mode {
                Mode::TalkAhead => talk.say("220 go ahead\r\n250 welcome, you are protected")?,
                _ => talk.say("220 go ahead")?,
            }
            if matches!(mode, Mode::BreakHandshake) {
                return Ok(());
            }
            talk = talk.protect(tls.unwrap());
        } else if command.starts_with("AUTH") {
            // "\0joe\0secret", as RFC 4616 has it.
            let is_right = line.trim_end().ends_with(" AGpvZQBzZWNyZXQ=");
            talk.say(if is_right { "235 2.7.0 welcome" } else { "535 5.7.8 wrong password" })?;
        } else if command.starts_with("MAIL") {
            let size = command.trim_end().split(" SIZE=").nth(1).map_or(0, |size| size.parse().unwrap());
            talk.say(if matches!(mode, Mode::Size(limit) if size > *limit) { "552 5.3.4 too big" } else { "250 ok" })?;
        } else if command.starts_with("RCPT") {
            line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut recipient);
            match mode {
                Mode::Refuse(refused) if *refused == recipient => talk.say("550 5.1.1 no such user")?,
                Mode::RefuseAll => talk.say("550 5.7.1 not from you")?,
                Mode::Say(bytes) => talk.say_bytes(bytes)?,
                _ => talk.say("250 ok")?,
            }
        } else if command.starts_with("DATA") {
            if *mode == Mode::NotNow {
                talk.say("451 4.3.0 try later")?;
                continue;
            }
            talk.say("354 go")?;
            let Some(bytes) = read_mail(&mut talk.lines)? else {
                return Ok(());
            };
            let mail =
                Mail { recipient: recipient.clone(), bytes, at: Instant::now(), is_protected: talk.is_protected };
            if !judge(&mut talk, mode, shared, mail)? {
                return Ok(());
            }
        } else if command.starts_with("QUIT") {
            return talk.say("221 bye");
        } else {
            talk.say("250 ok")?;
        }
    }
}

/// What follows the final dot; `false` when the connection is closed then.
fn judge(talk: &mut Talk, mode: &Mode, shared: &Shared, mail: Mail) -> std::io::Result<bool> {
    match mode {
        Mode::Forget => return Ok(false),
        Mode::TooLarge(limit) | Mode::Size(limit) if mail.bytes.len() > *limit => {
            talk.say("552 too much mail data")?;
            return Ok(true);
        }
        _ => {}
    }
    shared.mails.lock().unwrap().push(mail);
    shared.came.notify_all();
    match mode {
        Mode::AcceptAndClose => return Ok(false),
        Mode::Hold(time) => std::thread::sleep(*time),
        _ => {}
    }
    talk.say("250 2.0.0 queued")?;
    Ok(true)
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
