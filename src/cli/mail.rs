//! `mail test`: whether mails arrive, before one is needed.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use crate::{
    cli::{
        context::CliContext,
        own_mail::Noted,
        run::runtime,
        terminal::{
            exit::{Exit, usage},
            output::{Out, talk},
        },
    },
    config::{self, settings::config::Config},
    model::{
        clock::Clock,
        escape::{escape, escape_name},
    },
    report::{
        mail::{notice::Notice, test_mail::TestMail},
        task::composer::{Audience, check_addresses, default_sender, full_address, readerships},
        transport::{Printer, Transport},
    },
    sys::host,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a test mail to every recipient by the configured way and print the answers. Exit code: 0 all have accepted it,
    /// 69 somebody refuses it, 75 not accepted for now.
    Test(TestArguments),
}

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// Send it to this address instead.
    #[arg(long, value_name = "ADDR")]
    to: Option<String>,
}

/// What all mails of a test have in common.
struct Test {
    host: String,
    from: String,
    program: String,
    transport: Transport,
    config: Config,
}

pub(super) fn run(source: &CliContext, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    let Command::Test(arguments) = command;
    let config = config::load(&source.config)?;
    let readerships = match &arguments.to {
        None => readerships(&config),
        Some(to) => {
            if let Some(fault) = config::address_fault(to) {
                return Err(usage(format!("--to: {fault}")));
            }
            vec![Audience { recipients: vec![full_address(to)], areas: None }]
        }
    };
    let host = config.hostname.clone().unwrap_or_else(|| host::host_name(Path::new("/")));
    let from = config.mail.from.as_deref().map_or_else(|| default_sender(&host), full_address);
    check_addresses(&from, &readerships)?;
    let printer = Printer(Arc::new(Mutex::new(io::stdout())));
    let transport = Transport::new(&config.mail, &host, &printer)?;
    let test = Test { host, from, program: source.program(), transport, config };
    let mut worst = Exit::Fine;
    runtime()?.block_on(async {
        for readership in &readerships {
            for recipient in &readership.recipients {
                worst = worse(worst, test.send(source, readership, recipient, out).await?);
            }
        }
        anyhow::Ok(())
    })?;
    match worst {
        Exit::Fine => {}
        Exit::Refused => talk(&format!(
            "A refused report is kept and tried again for days. Compare the recipients (email, areaemail) and the sender \
             (mailfrom, now {}) with what the mail system accepts.",
            escape(test.from.as_bytes())
        )),
        _ => talk(
            "A report that is not accepted is kept and tried again. The answer says what is missing; `mail` chooses the way.",
        ),
    }
    Ok(worst)
}

/// A refusal outweighs an attempt that may go better later.
fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Fine => 0,
        Exit::TryAgain => 1,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}

impl Test {
    async fn send(
        &self,
        source: &CliContext,
        readership: &Audience,
        recipient: &str,
        out: &mut Out,
    ) -> anyhow::Result<Exit> {
        let way = self.transport.words();
        let to = escape_name(recipient.as_bytes());
        talk(&format!("sending to {to}: {way}"));
        let notice = Notice {
            host: &self.host,
            from: &self.from,
            to: &readership.recipients,
            date: Clock::System(host::boot_id(Path::new("/"))).now().wall,
            zone: &TimeZone::system(),
        };
        let command = format!("{} mail test", self.program);
        let (message_id, bytes) = TestMail { notice, way: &way, command: &command }.compose()?;
        // The way may be the standard output, too.
        out.flush()?;
        let deadline = self.config.mail.send_timeout;
        let is_logged = self.transport.is_logged();
        let noted = is_logged.then(|| Noted::begin(source, &message_id, [&self.from, recipient])).flatten();
        let sent = self.transport.send_telling_way(&self.from, recipient, &message_id, bytes, deadline).await;
        if let Some(noted) = noted {
            noted.end(sent.queue_id.as_deref());
        }
        let (word, reply, exit) = match sent.answer {
            Ok(reply) => ("accepted", reply, Exit::Fine),
            Err(error) if error.is_refusal() => ("refused", error.reply, Exit::Refused),
            Err(error) => ("not accepted", error.reply, Exit::TryAgain),
        };
        out.line(&format!("{to}  {word}  by {}\n        {reply}", sent.way))?;
        out.flush()?;
        Ok(exit)
    }
}
