//! A connection to a mail server, as lines: plain or under TLS, and with bounds on what a server may say.
//!
//! An endless banner is no banner: one reply may have 64 KiB, and nothing beyond that is kept. What is no reply by RFC 5321, 4.2 is
//! told as it is, neutralised; bytes that are no UTF-8 are only odd, not wrong. Time is the caller's affair.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{self, ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::report::transport::outcome::shown;

/// Bytes that one reply may have.
const MOST_OF_REPLY: usize = 64 * 1024;

/// Bytes asked for at once.
const PIECE: usize = 4096;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The kernel or TLS gave up.
    #[error("{}", shown(.0.to_string().as_bytes()))]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// More than a reply may have.
    #[error("the server does not stop talking: more than {} KiB in one reply", MOST_OF_REPLY / 1024)]
    Endless,
    /// No SMTP.
    #[error("the server does not speak SMTP: {}", shown(.0))]
    Garbage(Vec<u8>),
    /// Said before it was asked: somebody in between may have put it there (CVE-2011-0411).
    #[error("the server talks ahead of STARTTLS; nothing of that can be believed")]
    Ahead,
    /// TLS said no: to the certificate, or to what the other side speaks. The words are neutralised.
    #[error("{0}")]
    Tls(String),
}

/// A reply: its code and its text, the lines of which are joined by blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    /// 200 to 599.
    pub code: u16,
    /// As it came, without the codes.
    pub lines: Vec<Vec<u8>>,
}

impl SmtpReply {
    /// Whether it is a yes to the end of a command.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Code and text, neutralised.
    pub fn words(&self) -> String {
        let text = self.lines.join(&b' ');
        shown(&[self.code.to_string().as_bytes(), b" ", &text].concat())
    }
}

/// What bytes go through.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

enum SmtpStream {
    Clear(Box<dyn Duplex>),
    Tls(Box<dyn Duplex>),
    /// While it changes from one to the other, and for good when that failed.
    Gone,
}

/// A connection.
#[expect(missing_debug_implementations, reason = "what was read may hold anything, and is nobody's business")]
pub struct SmtpConnection {
    stream: SmtpStream,
    unread: Vec<u8>,
}

impl SmtpConnection {
    /// A connection without TLS.
    ///
    /// # Errors
    /// Those of `socket(2)` and `connect(2)`, or that the name is not known; then no server has said anything.
    pub async fn connect(host: &str, port: u16) -> io::Result<Self> {
        TcpStream::connect((host, port)).await.map(Self::over)
    }

    /// A connection over whatever is there already.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stream: SmtpStream::Clear(Box::new(stream)), unread: Vec::new() }
    }

    /// Whether what is said is protected.
    pub fn is_protected(&self) -> bool {
        matches!(self.stream, SmtpStream::Tls(_))
    }

    /// Goes on under TLS with the server that `host` names.
    ///
    /// # Errors
    /// [`WireError::Ahead`] when something was said before, [`WireError::Tls`] when its certificate is not that server's or not trusted, or when
    /// it speaks no TLS, and [`WireError::Io`] when the connection broke off.
    pub async fn protect(&mut self, host: &str, tls: &Arc<ClientConfig>) -> Result<(), WireError> {
        if !self.unread.is_empty() {
            return Err(WireError::Ahead);
        }
        let SmtpStream::Clear(stream) = std::mem::replace(&mut self.stream, SmtpStream::Gone) else {
            return Err(WireError::Closed);
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| WireError::Tls(format!("no certificate can be for this name: {error}")))?;
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(name, stream)
            .await
            .map_err(|error| handshake_error(host, &error))?;
        self.stream = SmtpStream::Tls(Box::new(stream));
        Ok(())
    }

    fn duplex(&mut self) -> Result<&mut dyn Duplex, WireError> {
        match &mut self.stream {
            SmtpStream::Clear(stream) | SmtpStream::Tls(stream) => Ok(stream.as_mut()),
            SmtpStream::Gone => Err(WireError::Closed),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// [`WireError::Io`] when they could not be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let stream = self.duplex()?;
        stream.write_all(bytes).await?;
        stream.flush().await?;
        Ok(())
    }

    /// Sends a command and gives the reply.
    ///
    /// # Errors
    /// [`WireError`] when there is no reply by RFC 5321, or more than 64 KiB of it.
    pub async fn command(&mut self, line: &str) -> Result<SmtpReply, WireError> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// The next reply, whatever its code.
    ///
    /// # Errors
    /// [`WireError`] when there is no reply by RFC 5321, or more than 64 KiB of it.
    pub async fn reply(&mut self) -> Result<SmtpReply, WireError> {
        let mut lines = Vec::new();
        let mut first = None;
        let mut room = MOST_OF_REPLY;
        loop {
            let line = self.line(&mut room).await?;
            let (code, is_last, text) = parse_line(&line).ok_or_else(|| WireError::Garbage(line.clone()))?;
            if *first.get_or_insert(code) != code {
                return Err(WireError::Garbage(line));
            }
            lines.push(text.to_vec());
            if is_last {
                return Ok(SmtpReply { code, lines });
            }
        }
    }

    /// The next line without its end; it takes its length from `room`.
    async fn line(&mut self, room: &mut usize) -> Result<Vec<u8>, WireError> {
        let mut searched = 0;
        loop {
            let fresh = self.unread.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(searched + end + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                *room = room.checked_sub(line.len()).ok_or(WireError::Endless)?;
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            searched = self.unread.len();
            if searched > *room {
                return Err(WireError::Endless);
            }
            let mut piece = [0; PIECE];
            let length = match self.duplex()?.read(&mut piece).await {
                Ok(0) if searched == 0 => return Err(WireError::Closed),
                Ok(0) => return Err(WireError::Garbage(std::mem::take(&mut self.unread))),
                // A server that forgets to say goodbye under TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(WireError::Closed),
                read => read?,
            };
            self.unread.extend(piece.iter().take(length));
        }
    }
}

/// Code, whether it is the last line, and text (RFC 5321, 4.2.1).
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code: u16 = str::from_utf8(digits).ok()?.parse().ok()?;
    let is_code = digits.iter().all(u8::is_ascii_digit) && (200..600).contains(&code);
    match rest {
        _ if !is_code => None,
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

/// Only what TLS itself says needs an administrator: a connection that breaks off meanwhile may come about the next time.
fn handshake_error(host: &str, error: &io::Error) -> WireError {
    let words = tls_words(host, error);
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(_) => WireError::Tls(words),
        None => WireError::Io(io::Error::new(error.kind(), words)),
    }
}

/// What is wrong with the protection, and what to do about it.
fn tls_words(host: &str, error: &io::Error) -> String {
    let host = shown(host.as_bytes());
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let why = shown(error.to_string().as_bytes());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the certificate of {host} is not trusted, nothing was sent: {why}; it must be for this very name and signed by an \
             authority that this machine trusts (on Debian: /usr/local/share/ca-certificates and update-ca-certificates)"
        ),
        _ => format!("TLS with {host} failed, nothing was sent: {why}"),
    }
}

/// TLS that trusts whom this machine trusts. Reads the certificates of all authorities, so it is made once for a way.
///
/// # Errors
/// The words of rustls when it has no common protocol version with itself.
pub(super) fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // What is no certificate is no authority either.
        drop(roots.add(certificate));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_code_and_a_text() {
        assert_eq!(parse_line(b"250 ok"), Some((250, true, &b"ok"[..])));
        assert_eq!(parse_line(b"250"), Some((250, true, &b""[..])));
        assert_eq!(parse_line(b"550-\xff\x1b"), Some((550, false, &b"\xff\x1b"[..])));
        for garbage in [&b""[..], b"25", b"2x0 ok", b"+50 ok", b"150 ok", b"600 no", b"250ok", b"\xff\xfe\xfd no"] {
            assert_eq!(parse_line(garbage), None);
        }
    }

    #[tokio::test]
    async fn a_handshake_that_breaks_off_is_no_word_about_trust_and_garbage_is() {
        let tls = tls().unwrap();
        for (answer, is_barred) in
            [(&b""[..], false), (&b"\x16\x03\x03"[..], false), (&b"220 no TLS here at all\r\n"[..], true)]
        {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            theirs.write_all(answer).await.unwrap();
            let hang_up = async {
                // What was said to it is read, then it is gone.
                let mut hello = [0; 16];
                theirs.read_exact(&mut hello).await.unwrap();
                drop(theirs);
            };
            let mut wire = SmtpConnection::over(ours);
            let (failed, ()) = tokio::join!(wire.protect("localhost", &tls), hang_up);
            let error = failed.unwrap_err();
            assert_eq!(matches!(error, WireError::Tls(_)), is_barred, "{error:?}");
            assert!(error.to_string().contains("TLS with localhost failed"), "{error}");
        }
    }
}
