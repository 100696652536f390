//! Reports by SMTP, one transaction a recipient: only a 2xx after the final dot is a yes.
//!
//! lettre's connection pool stays off, and the whole dialogue has one deadline, because lettre's own timeouts are per read.

use std::{error::Error, io, path::Path, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::answer::{SendError, shown};
use crate::{
    config::settings::{MailSettings, SmtpServer, TlsMode},
    store::error::with_causes,
};

/// Why a way cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS cannot be set up.
    #[error("TLS for {host} cannot be set up")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: SmtpError,
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
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Host and port, as they are told.
    place: String,
    server: AsyncSmtpTransport<Tokio1Executor>,
}

/// What a server made of a mail.
#[derive(Debug)]
pub enum Dialogue {
    /// It has said something, or nothing in time.
    Answer(Result<String, SendError>),
    /// There is nobody: the connection was refused before the first byte. The words say so.
    NobodyListens(String),
}

impl Smtp {
    /// The server of `settings`, greeted as `host`.
    ///
    /// # Errors
    /// [`TransportError`] when TLS or the password cannot be set up.
    pub fn new(server: &SmtpServer, settings: &MailSettings, host: &str) -> Result<Self, TransportError> {
        let parameters = || {
            TlsParameters::new(server.host.clone())
                .map_err(|source| TransportError::Tls { host: server.host.clone(), source })
        };
        let tls = match server.tls {
            TlsMode::None => Tls::None,
            TlsMode::Opportunistic => Tls::Opportunistic(parameters()?),
            TlsMode::Required => Tls::Required(parameters()?),
            TlsMode::Wrapped => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.as_str())
            .port(server.port)
            .tls(tls)
            .hello_name(hello_name(host))
            .timeout(Some(settings.send_timeout));
        if let Some(user) = &server.user {
            let password = match &settings.password_file {
                Some(path) => read_password(path)?,
                None => String::new(),
            };
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        let place = if server.host.contains(':') {
            format!("[{}]:{}", server.host, server.port)
        } else {
            format!("{}:{}", server.host, server.port)
        };
        Ok(Self { place, server: builder.build() })
    }

    /// Host and port.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Hands `mail` over for one recipient within `deadline`.
    pub async fn send(&self, from: &str, recipient: &str, mail: &[u8], deadline: Duration) -> Dialogue {
        let envelope = match envelope(from, recipient) {
            Ok(envelope) => envelope,
            Err(error) => return Dialogue::Answer(Err(error)),
        };
        let answer = match tokio::time::timeout(deadline, self.server.send_raw(&envelope, mail)).await {
            Err(_elapsed) => Err(SendError::transient(format!("no answer within {} s", deadline.as_secs()))),
            Ok(Ok(response)) if response.is_positive() => {
                let text: Vec<&str> = response.message().collect();
                Ok(shown(format!("{} {}", response.code(), text.join(" ")).as_bytes()))
            }
            Ok(Ok(response)) => Err(SendError::transient(shown(response.code().to_string().as_bytes()))),
            Ok(Err(error)) => {
                let reply = shown(with_causes(&error).as_bytes());
                if is_nobody(&error) {
                    return Dialogue::NobodyListens(reply);
                }
                Err(SendError { is_refusal: error.is_permanent(), reply })
            }
        };
        Dialogue::Answer(answer)
    }
}

/// Whether the connection never came to be because nobody listens, or because this machine has no such address.
///
/// These errors come from socket(2) and connect(2) only, so no server has said anything.
fn is_nobody(error: &SmtpError) -> bool {
    let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) else {
        return false;
    };
    let no_such_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    matches!(cause.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable)
        || cause.raw_os_error() == Some(no_such_family)
}

fn envelope(from: &str, recipient: &str) -> Result<Envelope, SendError> {
    let address = |text: &str| {
        text.parse::<Address>().map_err(|error| SendError::transient(format!("{text:?} is no mail address: {error}")))
    };
    let to = if recipient.contains('@') { recipient.to_owned() } else { format!("{recipient}@localhost") };
    Envelope::new(Some(address(from)?), vec![address(&to)?]).map_err(|error| SendError::transient(error.to_string()))
}

/// The name for EHLO: our own when it is a plausible domain, else lettre's default.
fn hello_name(host: &str) -> ClientId {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !host.is_empty() && host.len() <= 255 && host.bytes().all(is_plain) {
        ClientId::Domain(host.to_owned())
    } else {
        ClientId::default()
    }
}

fn read_password(path: &Path) -> Result<String, TransportError> {
    let failed = |why: String| TransportError::Password {
        path: crate::model::escape::escape_name(path.as_os_str().as_encoded_bytes()),
        why,
    };
    crate::sys::privileges::check(path).map_err(|error| failed(error.to_string()))?;
    let is_private =
        std::fs::metadata(path).is_ok_and(|found| std::os::unix::fs::MetadataExt::mode(&found) & 0o077 == 0);
    if !is_private {
        return Err(failed("others may read it (chmod 600)".to_owned()));
    }
    std::fs::read_to_string(path)
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|error| failed(error.to_string()))
}
