//! The ways a report takes, as values: SMTP, a sendmail program, whichever of them this machine has, a file for each report, a
//! terminal, and a stub for tests.
//!
//! A way answers one question: has somebody taken responsibility? Only a yes ends the queueing of a report.

pub mod auto;
pub mod outcome;
mod password;
pub mod sendmail;
pub mod smtp_connection;
pub mod smtp_dialogue;

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use crate::report::transport::{
    auto::{Local, Places},
    outcome::SendError,
    sendmail::Sendmail,
    smtp_dialogue::TransportError,
};
use crate::{
    config::settings::config::{MailSettings, MailWay},
    model::escape::escape_name,
    report::{
        mail::mime::plain_text,
        transport::{
            outcome::queue_id,
            smtp_dialogue::{Dialogue, Smtp},
        },
    },
    store::db::run_blocking,
};

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
    Smtp(Box<Smtp>),
    /// A sendmail program, run once a recipient.
    Sendmail(Sendmail),
    /// A sendmail program where that can work, else SMTP on localhost.
    Local(Box<Local>),
    /// A file for each report in this directory, named by its Message-ID.
    File(PathBuf),
    /// The text of the report on a terminal.
    Terminal(Printer),
    /// A list in memory, for tests.
    Stub(Accepted),
}

/// The way a mail took, neutralised, and what was answered.
#[derive(Debug)]
pub struct Sending {
    /// Such as `SMTP to localhost:25` or `/usr/sbin/sendmail`.
    pub way: String,
    /// What somebody said who has taken responsibility, or why nobody has.
    pub answer: Result<String, SendError>,
    /// The number under which a mail server of this machine keeps it, if it has said so.
    pub queue_id: Option<String>,
}

impl Sending {
    fn new(way: String, answer: Result<String, SendError>, is_here: bool) -> Self {
        let queue_id = answer.as_deref().ok().filter(|_| is_here).and_then(queue_id).map(str::to_owned);
        Self { way, answer, queue_id }
    }
}

impl Transport {
    /// The way that `settings` ask for; `printer` serves `stdout:`.
    ///
    /// # Errors
    /// [`TransportError`] when TLS or the password cannot be set up.
    pub fn new(settings: &MailSettings, host: &str, printer: &Printer) -> Result<Self, TransportError> {
        Ok(match &settings.way {
            MailWay::Auto => Self::Local(Box::new(Local::new(&Places::default(), settings, host)?)),
            MailWay::Smtp(server) => Self::Smtp(Box::new(Smtp::new(server, settings, host)?)),
            MailWay::Sendmail(program) => Self::Sendmail(Sendmail::new(program.clone())),
            MailWay::File(directory) => Self::File(directory.clone()),
            MailWay::Stdout => Self::Terminal(printer.clone()),
        })
    }

    /// The way in words, neutralised.
    pub fn words(&self) -> String {
        match self {
            Self::Smtp(server) => format!("SMTP to {}", server.place()),
            Self::Sendmail(sendmail) => sendmail.name(),
            Self::Local(local) => local.words(),
            Self::File(directory) => format!("files in {}", escape_name(directory.as_os_str().as_encoded_bytes())),
            Self::Terminal(_) => "the standard output".to_owned(),
            Self::Stub(_) => "memory".to_owned(),
        }
    }

    /// Whether a mail takes a way whose mail system may log it on this machine.
    pub const fn is_logged(&self) -> bool {
        matches!(self, Self::Smtp(_) | Self::Sendmail(_) | Self::Local(_))
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
        self.send_telling_way(from, recipient, message_id, mail, deadline).await.answer
    }

    /// As [`Transport::send`], and says which way the mail took.
    pub async fn send_telling_way(
        &self,
        from: &str,
        recipient: &str,
        message_id: &str,
        mail: Vec<u8>,
        deadline: Duration,
    ) -> Sending {
        match self {
            Self::Smtp(server) => {
                let answer = match server.send(from, recipient, &mail, deadline).await {
                    Dialogue::Answer(answer) => answer,
                    Dialogue::NobodyListens(reply) => Err(SendError::transient(reply)),
                };
                Sending::new(format!("SMTP to {}", server.place()), answer, is_here(server))
            }
            Self::Sendmail(sendmail) => {
                let answer = sendmail.send(from, recipient, &mail, deadline).await;
                Sending::new(sendmail.name(), answer, true)
            }
            Self::Local(local) => {
                let (way, answer) = local.send(from, recipient, &mail, deadline).await;
                Sending::new(way, answer, true)
            }
            Self::File(directory) => {
                let path = directory.join(file_name(message_id));
                let way = format!("file {}", escape_name(path.as_os_str().as_encoded_bytes()));
                let written = run_blocking(move || write_file(&path, &mail)).await;
                Sending::new(way, written.map_err(|error| SendError::transient(error.to_string())), false)
            }
            Self::Terminal(printer) => {
                let printer = printer.clone();
                let done = run_blocking(move || print_mail(&printer, &mail)).await;
                let answer = done.map_err(|error| SendError::transient(error.to_string()));
                Sending::new("the standard output".to_owned(), answer, false)
            }
            Self::Stub(accepted) => {
                let mut accepted = accepted.lock().unwrap_or_else(PoisonError::into_inner);
                accepted.push((recipient.to_owned(), mail));
                Sending::new("memory".to_owned(), Ok("accepted".to_owned()), false)
            }
        }
    }
}

/// Whether a server is this machine, by the name it is configured with.
fn is_here(server: &Smtp) -> bool {
    let is_loopback = server.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || server.host.eq_ignore_ascii_case("localhost") || server.host.eq_ignore_ascii_case(&server.hello)
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
    crate::sys::fs::ownership::make_private_directory(directory)?;
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
