//! The mail system of this machine, whatever it is: a sendmail program where that can work, else SMTP on localhost.
//!
//! A sendmail program needs no server that runs, and a mail it was given waits in its queue. It must be able to write that queue: as root,
//! or by its set-ID bits, which no-new-privileges takes from it; where that is not sure, SMTP is first and a program is the last resort.
//! Which of them is decided anew at each sending, before the first byte, by the connection that the mail itself would take: a
//! connection only to look would stand in the log of the mail server. Whatever a program or a server says is its answer.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use crate::{
    config::settings::config::{MailSettings, SmtpServer, TlsMode},
    model::escape::escape_name,
    report::transport::{
        outcome::SendError,
        sendmail::Sendmail,
        smtp_dialogue::{Dialogue, Smtp, TransportError},
    },
    store::db::run_blocking,
    sys::fs::ownership,
};

/// Where the mail system of a machine is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Addresses and ports for SMTP, asked in this order.
    pub servers: Vec<(String, u16)>,
    /// Sendmail programs, absolute; the first that can be run is taken.
    pub programs: Vec<PathBuf>,
    /// Whether a program comes before the servers.
    pub has_program_first: bool,
}

impl Default for Places {
    /// Port 25 of both loopback addresses, and the programs of the Filesystem Hierarchy Standard 3.0, 4.10 and 4.7.2: those first where this
    /// process is root and was not started without new privileges.
    fn default() -> Self {
        Self {
            servers: vec![("127.0.0.1".to_owned(), 25), ("::1".to_owned(), 25)],
            programs: vec![PathBuf::from("/usr/sbin/sendmail"), PathBuf::from("/usr/lib/sendmail")],
            has_program_first: ownership::own_uid() == 0 && ownership::lets_programs_gain(),
        }
    }
}

/// The mail system of this machine.
#[derive(Debug, Clone)]
pub struct Local {
    servers: Vec<Smtp>,
    programs: Vec<PathBuf>,
    has_program_first: bool,
}

impl Local {
    /// The mail system at these places; servers are greeted as `host`.
    ///
    /// # Errors
    /// None in practice: without TLS and without a password there is nothing to set up.
    pub fn new(places: &Places, settings: &MailSettings, host: &str) -> Result<Self, TransportError> {
        let server = |(address, port): &(String, u16)| {
            let server = SmtpServer { host: address.clone(), port: *port, user: None, tls: TlsMode::None };
            Smtp::new(&server, settings, host)
        };
        Ok(Self {
            servers: places.servers.iter().map(server).collect::<Result<_, _>>()?,
            programs: places.programs.clone(),
            has_program_first: places.has_program_first,
        })
    }

    /// Hands `mail` over for one recipient; gives the way that was taken and the answer.
    pub async fn send(
        &self,
        from: &str,
        recipient: &str,
        mail: &[u8],
        deadline: Duration,
    ) -> (String, Result<String, SendError>) {
        if self.has_program_first
            && let Some(program) = self.program().await
        {
            return by_program(program, from, recipient, mail, deadline).await;
        }
        for server in &self.servers {
            match server.send(from, recipient, mail, deadline).await {
                Dialogue::Answer(answer) => return (format!("SMTP to {}", server.place()), answer),
                Dialogue::NobodyListens(_) => {}
            }
        }
        match self.program().await {
            Some(program) => by_program(program, from, recipient, mail, deadline).await,
            None => ("none".to_owned(), Err(SendError::transient(self.nothing_there()))),
        }
    }

    /// The first program that is a file and can be run.
    async fn program(&self) -> Option<PathBuf> {
        let programs = self.programs.clone();
        let is_there = |program: &PathBuf| {
            fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        run_blocking(move || programs.into_iter().find(is_there)).await
    }

    /// The ways it may take.
    pub fn words(&self) -> String {
        if self.has_program_first {
            return format!("a sendmail program, or SMTP to {} when there is none", self.servers());
        }
        format!("SMTP to {}, or a sendmail program when nobody listens there", self.servers())
    }

    fn servers(&self) -> String {
        self.servers.iter().map(Smtp::place).collect::<Vec<_>>().join(" or ")
    }

    fn nothing_there(&self) -> String {
        let programs: Vec<String> =
            self.programs.iter().map(|path| escape_name(path.as_os_str().as_encoded_bytes())).collect();
        format!(
            "nobody listens on {}, and there is no sendmail program ({}): start or install a mail server, or set \
             mail = smtp://HOST",
            self.servers(),
            programs.join(", ")
        )
    }
}

async fn by_program(
    program: PathBuf,
    from: &str,
    recipient: &str,
    mail: &[u8],
    deadline: Duration,
) -> (String, Result<String, SendError>) {
    let sendmail = Sendmail::new(program);
    (sendmail.name(), sendmail.send(from, recipient, mail, deadline).await)
}
