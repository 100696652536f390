//! Reports by SMTP (RFC 5321), one transaction a recipient: only a 2xx after the final dot is a yes.
//!
//! The dialogue is our own, for what it takes to lose nothing is known only here: at which stage a server said no, what it said in
//! bytes, and that the whole has one deadline. What an answer means depends on its code and on its stage: a no to the sender, to the
//! recipient or to the mail is a refusal; a no to a greeting or a login may come from a server that is ill today.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::Address;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::{
    config::settings::config::{MailSettings, SmtpServer, TlsMode},
    report::transport::{
        outcome::{SendError, SendVerdict, shown},
        password::{Secret, read_secret},
        smtp_connection::{SmtpConnection, SmtpReply, WireError, tls},
    },
};

/// How long the answer to the final dot may take (RFC 5321, 4.5.3.2.6).
const DOT_TIME: Duration = Duration::from_mins(10);

/// How long a farewell may take that nobody waits for.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a way cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS cannot be set up.
    #[error("TLS for {host} cannot be set up")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: rustls::Error,
    },
    /// The password file cannot be read or is not private.
    #[error("password file {path} cannot be used: {why}")]
    Password {
        /// The file, made printable.
        path: String,
        /// Why, and the remedy.
        why: String,
    },
}

/// A mail server.
#[derive(Clone)]
pub struct Smtp {
    pub(in crate::report) host: String,
    port: u16,
    mode: TlsMode,
    /// How we introduce ourselves.
    pub(super) hello: String,
    login: Option<(String, Secret)>,
    tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Smtp({}, {:?})", self.place(), self.mode)
    }
}

/// What a server made of a mail.
#[derive(Debug)]
pub enum Dialogue {
    /// It has said something, or nothing in time.
    Answer(Result<String, SendError>),
    /// There is nobody: the connection was refused before the first byte. The words say so.
    NobodyListens(String),
}

/// What was asked when an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Who the server is, and who we are.
    Preface,
    /// Protection and login.
    Trust,
    /// RCPT.
    Recipient,
    /// MAIL, DATA and the final dot: here a mail can be too large.
    Mail,
}

/// What a server has said that it can.
#[derive(Debug, Default, PartialEq, Eq)]
struct Abilities {
    has_starttls: bool,
    has_utf8: bool,
    logins: Vec<String>,
    /// Whether it wants to know how large a mail is (RFC 1870).
    has_size: bool,
    /// The largest mail it takes; `None` when it says nothing, or 0.
    size: Option<u64>,
}

impl Smtp {
    /// The server of `settings`, greeted as `host`.
    ///
    /// # Errors
    /// [`TransportError`] when TLS or the password cannot be set up.
    pub fn new(server: &SmtpServer, settings: &MailSettings, host: &str) -> Result<Self, TransportError> {
        let tls = match server.tls {
            TlsMode::None => None,
            _ => Some(tls().map_err(|source| TransportError::Tls { host: server.host.clone(), source })?),
        };
        let login = match (&server.user, &settings.password_file) {
            (Some(user), Some(path)) => Some((user.clone(), read_password(path)?)),
            _ => None,
        };
        let (host, hello) = (server.host.clone(), hello_name(host));
        Ok(Self { host, port: server.port, mode: server.tls, hello, login, tls })
    }

    /// Host and port.
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Hands `mail` over for one recipient within `deadline`.
    pub async fn send(&self, from: &str, recipient: &str, mail: &[u8], deadline: Duration) -> Dialogue {
        let (from, to) = match (address(from), address(recipient)) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(error), _) | (_, Err(error)) => return Dialogue::Answer(Err(error)),
        };
        let talk = async {
            let mut wire = match SmtpConnection::connect(&self.host, self.port).await {
                Ok(wire) => wire,
                Err(error) if is_nobody(&error) => return Dialogue::NobodyListens(unreachable_words(&error)),
                Err(error) => return Dialogue::Answer(Err(SendError::transient(unreachable_words(&error)))),
            };
            Dialogue::Answer(self.converse(&mut wire, &from, &to, mail).await)
        };
        match tokio::time::timeout(deadline, talk).await {
            Ok(dialogue) => dialogue,
            Err(_elapsed) => {
                Dialogue::Answer(Err(SendError::transient(format!("no answer within {} s", deadline.as_secs()))))
            }
        }
    }

    async fn converse(
        &self,
        wire: &mut SmtpConnection,
        from: &str,
        to: &str,
        mail: &[u8],
    ) -> Result<String, SendError> {
        let abilities = self.introduce(wire).await?;
        let answer = transact(wire, &abilities, [from, to], mail).await;
        // Whatever the answer is, it stands: nobody waits for the goodbye of a server.
        drop(tokio::time::timeout(FAREWELL, wire.write(b"QUIT\r\n")).await);
        answer
    }

    /// All that comes before a mail: greeting, protection, login.
    async fn introduce(&self, wire: &mut SmtpConnection) -> Result<Abilities, SendError> {
        if self.mode == TlsMode::Wrapped {
            self.protect(wire).await?;
        }
        done(Stage::Preface, "", wire.reply().await)?;
        let mut abilities = self.hello(wire).await?;
        match self.mode {
            TlsMode::Required | TlsMode::Opportunistic if abilities.has_starttls => {
                done(Stage::Trust, "STARTTLS was refused: ", wire.command("STARTTLS").await)?;
                self.protect(wire).await?;
                // What was said before is worth nothing (RFC 3207, 4.2).
                abilities = self.hello(wire).await?;
            }
            TlsMode::Required => {
                return Err(SendError::barred(
                    "the server offers no STARTTLS, and nothing is sent in clear (tls=required)".to_owned(),
                ));
            }
            _ => {}
        }
        if let Some((user, password)) = &self.login {
            if self.mode == TlsMode::Opportunistic && !wire.is_protected() {
                return Err(SendError::barred(
                    "the server offers no STARTTLS, and no password is sent in clear".to_owned(),
                ));
            }
            log_in(wire, &abilities, user, password).await?;
        }
        Ok(abilities)
    }

    async fn protect(&self, wire: &mut SmtpConnection) -> Result<(), SendError> {
        match &self.tls {
            Some(tls) => wire.protect(&self.host, tls).await.map_err(|error| trouble(&error)),
            None => Err(SendError::transient("TLS is not set up".to_owned())),
        }
    }

    /// EHLO, or HELO where that is not known.
    async fn hello(&self, wire: &mut SmtpConnection) -> Result<Abilities, SendError> {
        let reply = wire.command(&format!("EHLO {}", self.hello)).await.map_err(|error| trouble(&error))?;
        if reply.is_done() {
            return Ok(Abilities::of(&reply));
        }
        if !(500..600).contains(&reply.code) {
            return Err(judge(Stage::Preface, "", &reply));
        }
        done(Stage::Preface, "", wire.command(&format!("HELO {}", self.hello)).await)?;
        Ok(Abilities::default())
    }
}

impl Abilities {
    fn of(reply: &SmtpReply) -> Self {
        let mut abilities = Self::default();
        // The first line is a greeting.
        for line in reply.lines.iter().skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => abilities.has_starttls = true,
                Some("SMTPUTF8") => abilities.has_utf8 = true,
                Some("AUTH") => abilities.logins = words.map(str::to_owned).collect(),
                Some("SIZE") => {
                    let limit = words.next().and_then(|number| number.parse().ok());
                    abilities.has_size = true;
                    abilities.size = limit.filter(|limit| *limit > 0);
                }
                _ => {}
            }
        }
        abilities
    }
}

/// One transaction: sender, recipient, mail.
async fn transact(
    wire: &mut SmtpConnection,
    abilities: &Abilities,
    [from, to]: [&str; 2],
    mail: &[u8],
) -> Result<String, SendError> {
    let length = u64::try_from(mail.len()).unwrap_or(u64::MAX);
    if let Some(limit) = abilities.size
        && length > limit
    {
        let reply = format!("the server takes at most {limit} bytes, and this has {length}");
        return Err(SendError { reply, verdict: SendVerdict::TooLarge(Some(limit)) });
    }
    let mut sender = format!("MAIL FROM:<{from}>");
    if abilities.has_size {
        sender += &format!(" SIZE={length}");
    }
    if !(from.is_ascii() && to.is_ascii()) {
        if !abilities.has_utf8 {
            let reply = "an address has letters that this server cannot take (it offers no SMTPUTF8)".to_owned();
            return Err(SendError::refused(reply));
        }
        sender += " SMTPUTF8";
    }
    done(Stage::Mail, "", wire.command(&sender).await)?;
    done(Stage::Recipient, "", wire.command(&format!("RCPT TO:<{to}>")).await)?;
    let go = wire.command("DATA").await.map_err(|error| trouble(&error))?;
    if go.code != 354 {
        return Err(judge(Stage::Mail, "", &go));
    }
    if let Err(error) = wire.write(&stuffed(mail)).await {
        // A server that closes in the middle of a mail may have said why.
        return match wire.reply().await {
            Ok(reply) if !reply.is_done() => Err(judge(Stage::Mail, "", &reply)),
            _ => Err(trouble(&error)),
        };
    }
    match tokio::time::timeout(DOT_TIME, wire.reply()).await {
        Ok(reply) => done(Stage::Mail, "", reply).map(|reply| reply.words()),
        Err(_elapsed) => Err(SendError::transient(format!("no answer to the mail within {} s", DOT_TIME.as_secs()))),
    }
}

/// Logs in by PLAIN (RFC 4616) or LOGIN. No word of a failure holds what was sent.
async fn log_in(
    wire: &mut SmtpConnection,
    abilities: &Abilities,
    user: &str,
    password: &Secret,
) -> Result<(), SendError> {
    let knows = |name: &str| abilities.logins.iter().any(|login| login == name);
    let refused = "the login was refused (user in mail, password in mailpasswordfile): ";
    if knows("PLAIN") {
        let token = STANDARD.encode(format!("\0{user}\0{}", password.reveal()));
        done(Stage::Trust, refused, wire.command(&format!("AUTH PLAIN {token}")).await)?;
        return Ok(());
    }
    if !knows("LOGIN") {
        let reply = "the server offers no login that we know (AUTH PLAIN or LOGIN)".to_owned();
        return Err(SendError::barred(reply));
    }
    let mut reply = wire.command("AUTH LOGIN").await.map_err(|error| trouble(&error))?;
    for word in [user, password.reveal()] {
        if reply.code != 334 {
            return Err(judge(Stage::Trust, refused, &reply));
        }
        reply = wire.command(&STANDARD.encode(word)).await.map_err(|error| trouble(&error))?;
    }
    done(Stage::Trust, refused, Ok(reply)).map(|_reply| ())
}

/// The reply when it is a yes.
fn done(stage: Stage, prefix: &str, reply: Result<SmtpReply, WireError>) -> Result<SmtpReply, SendError> {
    let reply = reply.map_err(|error| trouble(&error))?;
    if reply.is_done() { Ok(reply) } else { Err(judge(stage, prefix, &reply)) }
}

/// What a reply means that is no yes.
fn judge(stage: Stage, prefix: &str, reply: &SmtpReply) -> SendError {
    let is_no = (500..600).contains(&reply.code);
    let text = reply.lines.first().map(|line| line.trim_ascii()).unwrap_or_default();
    let enhanced = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    // 552 is also said of a mailbox that is full; only the enhanced code (RFC 3463, 3.3 and 3.4) tells them apart.
    let is_enhanced = enhanced.starts_with(b"5.") && enhanced.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let is_too_large = matches!(enhanced, b"5.3.4" | b"5.2.3") || (reply.code == 552 && !is_enhanced);
    let verdict = match stage {
        Stage::Mail if is_no && is_too_large => SendVerdict::TooLarge(None),
        Stage::Mail | Stage::Recipient if is_no => SendVerdict::Refused,
        Stage::Trust if is_no => SendVerdict::Barred,
        _ => SendVerdict::NotNow,
    };
    SendError { reply: format!("{prefix}{}", reply.words()), verdict }
}

/// No reply at all: whatever the stage was, the same bytes are sent again.
fn trouble(error: &WireError) -> SendError {
    match error {
        WireError::Tls(_) => SendError::barred(error.to_string()),
        _ => SendError::transient(error.to_string()),
    }
}

/// The mail as it goes through the dialogue: every line ends with CRLF, a dot at its start is doubled (RFC 5321, 4.5.2), and the
/// final dot follows. No lone CR or LF is left that some server might take for the end of a line.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 50 + 5);
    let mut bytes = mail.iter().copied().peekable();
    let mut is_start = true;
    while let Some(byte) = bytes.next() {
        if byte == b'\r' || byte == b'\n' {
            if byte == b'\r' && bytes.peek() == Some(&b'\n') {
                bytes.next();
            }
            out.extend(b"\r\n");
            is_start = true;
            continue;
        }
        if is_start && byte == b'.' {
            out.push(b'.');
        }
        out.push(byte);
        is_start = false;
    }
    if !is_start {
        out.extend(b"\r\n");
    }
    out.extend(b".\r\n");
    out
}

/// Whether the connection never came to be because nobody listens, or because this machine has no such address.
///
/// These errors come from socket(2) and connect(2) only, so no server has said anything.
fn is_nobody(error: &io::Error) -> bool {
    let no_such_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable)
        || error.raw_os_error() == Some(no_such_family)
}

fn unreachable_words(error: &io::Error) -> String {
    shown(format!("the mail server cannot be reached: {error}").as_bytes())
}

/// A mail address as it may stand in a command.
fn address(text: &str) -> Result<String, SendError> {
    let whole = if text.contains('@') { text.to_owned() } else { format!("{text}@localhost") };
    let refuse = |why: String| SendError::transient(format!("{} is no mail address: {why}", shown(text.as_bytes())));
    if whole.chars().any(|c| c.is_control() || matches!(c, '<' | '>' | ' ')) {
        return Err(refuse("it has letters that no command can carry".to_owned()));
    }
    match whole.parse::<Address>() {
        Ok(_) => Ok(whole),
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// The name for EHLO: our own when it is a plausible domain, else an address literal (RFC 5321, 4.1.4).
fn hello_name(host: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !host.is_empty() && host.len() <= 255 && host.bytes().all(is_plain) {
        host.to_owned()
    } else {
        "[127.0.0.1]".to_owned()
    }
}

fn read_password(path: &Path) -> Result<Secret, TransportError> {
    read_secret(path).map_err(|why| TransportError::Password {
        path: crate::model::escape::escape_name(path.as_os_str().as_encoded_bytes()),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> SmtpReply {
        SmtpReply { code, lines: text.split('\n').map(|line| line.as_bytes().to_vec()).collect() }
    }

    fn verdict(stage: Stage, code: u16, text: &str) -> SendVerdict {
        judge(stage, "", &reply(code, text)).verdict
    }

    #[test]
    fn what_a_no_means_depends_on_its_stage_and_its_code() {
        for (stage, code, text, wanted) in [
            (Stage::Preface, 554, "go away", SendVerdict::NotNow),
            (Stage::Trust, 535, "5.7.8 wrong", SendVerdict::Barred),
            (Stage::Trust, 454, "4.7.0 TLS not now", SendVerdict::NotNow),
            (Stage::Recipient, 550, "5.1.1 nobody", SendVerdict::Refused),
            (Stage::Recipient, 552, "5.2.2 full", SendVerdict::Refused),
            (Stage::Recipient, 552, "full", SendVerdict::Refused),
            (Stage::Recipient, 450, "greylisted", SendVerdict::NotNow),
            (Stage::Mail, 550, "spam", SendVerdict::Refused),
            (Stage::Mail, 552, "too much mail data", SendVerdict::TooLarge(None)),
            (Stage::Mail, 552, "5.3.4 too big", SendVerdict::TooLarge(None)),
            (Stage::Mail, 554, "5.3.4 too big", SendVerdict::TooLarge(None)),
            (Stage::Mail, 552, "5.2.2 over quota", SendVerdict::Refused),
            (Stage::Mail, 452, "4.3.4 later", SendVerdict::NotNow),
            (Stage::Mail, 354, "again?", SendVerdict::NotNow),
        ] {
            assert_eq!(verdict(stage, code, text), wanted, "{stage:?} {code} {text}");
        }
    }

    #[test]
    fn a_size_of_zero_or_none_is_no_limit() {
        let size = |line: &str| {
            let abilities = Abilities::of(&reply(250, &format!("mx\n{line}")));
            (abilities.has_size, abilities.size)
        };
        assert_eq!(size("SIZE 20000"), (true, Some(20_000)));
        assert_eq!(size("size 0"), (true, None));
        assert_eq!(size("SIZE"), (true, None));
        assert_eq!(size("8BITMIME"), (false, None));
        assert_eq!(Abilities::of(&reply(250, "SIZE 5")).size, None, "the first line is a greeting");
    }

    #[test]
    fn no_line_of_a_mail_ends_it() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\n"), b"a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed(b"a\n.\nb\r.\rc"), b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n");
        assert_eq!(stuffed(b""), b".\r\n");
    }

    #[test]
    fn no_address_carries_a_second_command() {
        assert_eq!(address("root").unwrap(), "root@localhost");
        for bad in ["a@b\r\nRCPT TO:<eve@x>", "a@b> SIZE=1", "\"a b\"@x", "a@", "<a@b>"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_shows_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "s3cret\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        let refused = read_password(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && refused.contains("password"), "{refused}");
        mode(0o600);
        let secret = read_password(&path).unwrap();
        assert_eq!(secret.reveal(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
