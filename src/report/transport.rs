//! The ways a report takes, as values: SMTP, a file for each report, a terminal, and a stub for tests.
//!
//! A way answers one question: has somebody taken responsibility? Only a 2xx after the final dot is a yes. lettre's
//! connection pool stays off, and the whole dialogue has one deadline, because lettre's own timeouts are per read.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    address::Envelope,
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::mime::plain_text;
use crate::{
    config::settings::{MailSettings, MailWay, SmtpServer, TlsMode},
    model::escape::escape_cut,
    store::{door::run_blocking, error::with_causes},
};

/// Bytes of a server's reply that are kept.
const MOST_OF_REPLY: usize = 500;

/// Why a report was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reply}")]
pub struct SendError {
    /// The server's reply or the error, neutralised.
    pub reply: String,
    /// Whether the server refused for good (5xx).
    pub is_refusal: bool,
}

/// Why a way cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS cannot be set up.
    #[error("TLS for {host} cannot be set up")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: lettre::transport::smtp::Error,
    },
    /// The password file cannot be read or is not private.
    #[error("password file {path} cannot be used: {why}")]
    Password {
        /// The file, made printable.
        path: String,
        /// Why, and the remedy.
        why: String,
    },
    /// The way is not there yet.
    #[error("mail by a sendmail program is not supported yet: set mail = smtp://localhost")]
    Sendmail,
}

/// Where a terminal's mails are printed.
#[derive(Clone)]
pub struct Printer(pub Arc<Mutex<dyn Write + Send>>);

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Printer")
    }
}

/// What a stub was given: recipient and bytes.
pub type Accepted = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A way for reports.
#[derive(Debug, Clone)]
pub enum Transport {
    /// SMTP, one transaction a recipient.
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    /// A file for each report in this directory, named by its Message-ID.
    File(PathBuf),
    /// The text of the report on a terminal.
    Terminal(Printer),
    /// A list in memory, for tests.
    Stub(Accepted),
}

impl Transport {
    /// The way that `settings` ask for; `printer` serves `stdout:`.
    ///
    /// # Errors
    /// [`TransportError`] when TLS or the password cannot be set up.
    pub fn new(settings: &MailSettings, host: &str, printer: &Printer) -> Result<Self, TransportError> {
        match &settings.way {
            MailWay::Auto => {
                let local = SmtpServer { host: "localhost".to_owned(), port: 25, user: None, tls: TlsMode::None };
                smtp(&local, settings, host)
            }
            MailWay::Smtp(server) => smtp(server, settings, host),
            MailWay::File(directory) => Ok(Self::File(directory.clone())),
            MailWay::Stdout => Ok(Self::Terminal(printer.clone())),
            MailWay::Sendmail(_) => Err(TransportError::Sendmail),
        }
    }

    /// Hands `mail` over for one recipient and gives the answer, neutralised.
    ///
    /// # Errors
    /// [`SendError`] when nobody has taken responsibility: it must be sent again, with the same bytes.
    pub async fn send(
        &self,
        from: &str,
        recipient: &str,
        message_id: &str,
        mail: Vec<u8>,
        deadline: Duration,
    ) -> Result<String, SendError> {
        match self {
            Self::Smtp(server) => {
                match tokio::time::timeout(deadline, send_smtp(server, from, recipient, &mail)).await {
                    Ok(answer) => answer,
                    Err(_elapsed) => Err(transient(format!("no answer within {} s", deadline.as_secs()))),
                }
            }
            Self::File(directory) => {
                let path = directory.join(file_name(message_id));
                run_blocking(move || write_file(&path, &mail)).await.map_err(|error| transient(error.to_string()))
            }
            Self::Terminal(printer) => {
                let printer = printer.clone();
                run_blocking(move || print_mail(&printer, &mail)).await.map_err(|error| transient(error.to_string()))
            }
            Self::Stub(accepted) => {
                let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
                accepted.push((recipient.to_owned(), mail));
                Ok("accepted".to_owned())
            }
        }
    }
}

fn transient(reply: String) -> SendError {
    SendError { reply, is_refusal: false }
}

fn smtp(server: &SmtpServer, settings: &MailSettings, host: &str) -> Result<Transport, TransportError> {
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
    Ok(Transport::Smtp(Box::new(builder.build())))
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

async fn send_smtp(
    server: &AsyncSmtpTransport<Tokio1Executor>,
    from: &str,
    recipient: &str,
    mail: &[u8],
) -> Result<String, SendError> {
    let address = |text: &str| {
        text.parse::<Address>().map_err(|error| transient(format!("{text:?} is no mail address: {error}")))
    };
    let to = if recipient.contains('@') { recipient.to_owned() } else { format!("{recipient}@localhost") };
    let envelope =
        Envelope::new(Some(address(from)?), vec![address(&to)?]).map_err(|error| transient(error.to_string()))?;
    match server.send_raw(&envelope, mail).await {
        Ok(response) if response.is_positive() => {
            let text: Vec<&str> = response.message().collect();
            Ok(shown(&format!("{} {}", response.code(), text.join(" "))))
        }
        Ok(response) => Err(transient(shown(&response.code().to_string()))),
        Err(error) => Err(SendError { is_refusal: error.is_permanent(), reply: shown(&with_causes(&error)) }),
    }
}

fn shown(reply: &str) -> String {
    escape_cut(reply.as_bytes(), MOST_OF_REPLY)
}

/// The file of a report: its Message-ID without the brackets, so that sending again writes the same file again.
fn file_name(message_id: &str) -> String {
    let name: String = message_id
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "-.@_".contains(*character))
        .collect();
    format!("{name}.eml")
}

fn write_file(path: &Path, mail: &[u8]) -> io::Result<String> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    crate::sys::privileges::make_private_directory(directory)?;
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(mail)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    std::fs::File::open(directory)?.sync_all()?;
    Ok("written".to_owned())
}

fn print_mail(printer: &Printer, mail: &[u8]) -> io::Result<String> {
    let (headers, text) = plain_text(mail);
    let wanted = ["From", "To", "Date", "Subject"];
    let mut out = String::new();
    for (name, value) in headers.iter().filter(|(name, _)| wanted.contains(&name.as_str())) {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&text);
    out.push('\n');
    let mut printer = printer.0.lock().unwrap_or_else(PoisonError::into_inner);
    printer.write_all(out.as_bytes())?;
    printer.flush()?;
    Ok("printed".to_owned())
}
