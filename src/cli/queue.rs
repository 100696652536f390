//! `queue`: what nobody has accepted yet, and what an administrator does about it.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use clap::{Args, Subcommand};
use jiff::Timestamp as JiffTimestamp;
use serde_json::json;

use crate::{
    cli::{
        context::CliContext,
        terminal::{
            exit::{Exit, usage},
            output::{Out, number, size, span, talk},
        },
    },
    config,
    model::{
        clock::{Clock, Moment},
        escape::{escape, escape_name},
    },
    report::mail::mime::plain_text,
    store::{
        outbox::{
            admin::{DeliveryState, Undelivered},
            reports::ReportId,
        },
        sqlite::{connection::Store, error::StoreError, files::is_running},
    },
    sys::{fs::ownership, host},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what was not accepted yet. Exit code: 0 nothing waits, 1 something does.
    List {
        /// One JSON object a delivery, each on its line.
        #[arg(long)]
        json: bool,
    },
    /// Show a report as it will be sent.
    Show(LetterArguments),
    /// Try again at once, also what was given up after days of refusals.
    Retry(RetryArguments),
    /// Give up the undelivered rest of a report; the report stays, and an event tells of it.
    Drop(DropArguments),
}

/// Which report, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct LetterArguments {
    /// The number of the report, as `queue list` gives it.
    id: i64,

    /// The very bytes that are sent, not fit for a terminal.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct RetryArguments {
    /// The numbers of the reports.
    #[arg(value_name = "ID")]
    ids: Vec<i64>,

    /// Everything that waits.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct DropArguments {
    /// The numbers of the reports.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<i64>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(source: &CliContext, command: &Command, out: &mut Out) -> anyhow::Result<Exit> {
    match command {
        Command::List { json } => list(source, *json, out),
        Command::Show(arguments) => show(&source.open()?, arguments, out),
        Command::Retry(arguments) => retry(&mut source.open_beside()?, arguments, out),
        Command::Drop(arguments) => drop_reports(source, arguments, out),
    }
}

fn now() -> Moment {
    Clock::System(host::boot_id(Path::new("/"))).now()
}

fn list(source: &CliContext, is_json: bool, out: &mut Out) -> anyhow::Result<Exit> {
    let (store, now) = (source.open()?, now());
    let waiting = store.undelivered(now)?;
    if is_json {
        for delivery in &waiting {
            out.line(&as_json(delivery).to_string())?;
        }
    } else if waiting.is_empty() {
        match store.queue_summary()?.unreported {
            0 => talk("nothing waits: every report was accepted or dropped"),
            events => talk(&format!(
                "no report waits; events that are in no report yet: {} (the daemon, or run --once, makes one of them)",
                number(events)
            )),
        }
    } else {
        out.text(&table(&waiting, now, &mailbox(source)))?;
    }
    Ok(if waiting.is_empty() { Exit::Fine } else { Exit::Findings })
}

fn as_json(delivery: &Undelivered) -> serde_json::Value {
    json!({
        "report": delivery.report.0,
        "message_id": escape(delivery.message_id.as_bytes()),
        "subject": harmless(&delivery.subject),
        "to": escape(delivery.recipient.as_bytes()),
        "state": delivery.standing.word(),
        "attempts": delivery.attempts,
        "next_seconds": (delivery.standing == DeliveryState::Queued).then_some(delivery.wait.as_secs()),
        "last_answer": (!delivery.last_reply.is_empty()).then(|| harmless(&delivery.last_reply)),
        "created": JiffTimestamp::from_nanosecond(i128::from(delivery.created.as_nanos()))
            .map(|at| at.to_string()).ok(),
        "bytes": delivery.size,
        "in_mailbox": delivery.is_spooled,
    })
}

/// The local mailbox, as it is called now.
fn mailbox(source: &CliContext) -> String {
    let path = config::load(&source.config).ok().and_then(|config| config.mail.fallback_mbox);
    path.map_or_else(
        || "the local mailbox (fallbackmbox)".to_owned(),
        |path| escape_name(path.as_os_str().as_encoded_bytes()),
    )
}

/// A line for each delivery, and below it what is told of it.
fn table(waiting: &[Undelivered], now: Moment, mailbox: &str) -> String {
    let to = |delivery: &Undelivered| escape_name(delivery.recipient.as_bytes());
    let width = waiting.iter().map(|delivery| to(delivery).chars().count()).max().unwrap_or(0).clamp(2, 40);
    let mut lines = vec![format!(
        "{:>6}  {:<width$}  {:<6}  {:>5}  {:>7}  {:>7}  {:>8}",
        "REPORT", "TO", "STATE", "TRIES", "NEXT", "AGE", "SIZE"
    )];
    for delivery in waiting {
        let next = match delivery.standing {
            DeliveryState::Parked => "-".to_owned(),
            DeliveryState::Queued if delivery.wait.is_zero() => "now".to_owned(),
            DeliveryState::Queued => span(delivery.wait),
        };
        lines.push(format!(
            "{:>6}  {:<width$}  {:<6}  {:>5}  {next:>7}  {:>7}  {:>8}",
            delivery.report.0,
            to(delivery),
            delivery.standing.word(),
            delivery.attempts,
            span(now.wall.since(delivery.created)),
            size(delivery.size)
        ));
        lines.push(format!("        {}", harmless(&delivery.subject)));
        if !delivery.last_reply.is_empty() {
            lines.push(format!("        last answer: {}", harmless(&delivery.last_reply)));
        }
        if delivery.is_spooled {
            lines.push(format!("        also in {mailbox}"));
        }
    }
    lines.join("\n") + "\n"
}

/// Words that were neutralised before they were stored: what could do harm nevertheless has been put there by somebody else.
fn harmless(words: &str) -> String {
    if words.chars().any(crate::model::escape::is_hidden) { escape(words.as_bytes()) } else { words.to_owned() }
}

/// Shows the mail of a report: headers and text, or its bytes.
pub(super) fn show(store: &Store, arguments: &LetterArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(mail) = store.mail(ReportId(arguments.id))? else {
        return Err(usage(format!(
            "there is no report {}: `queue list` shows what waits, a mail carries its number in its Message-ID",
            arguments.id
        )));
    };
    if arguments.raw {
        out.bytes(&mail)?;
        return Ok(Exit::Fine);
    }
    let (headers, text) = plain_text(&mail);
    for (name, value) in &headers {
        out.line(&format!("{name}: {value}"))?;
    }
    out.line("")?;
    out.line(text.trim_end_matches('\n'))?;
    Ok(Exit::Fine)
}

fn retry(store: &mut Store, arguments: &RetryArguments, out: &mut Out) -> anyhow::Result<Exit> {
    let count = match distinct(&arguments.ids).as_slice() {
        [] => store.retry_all(now())?,
        reports => store.retry(reports, now())?,
    };
    out.line(&match count {
        0 => "nothing waits".to_owned(),
        1 => "1 delivery is due now".to_owned(),
        count => format!("{count} deliveries are due now"),
    })?;
    if count > 0 && is_running(store.path()) == Some(false) {
        talk("the daemon is not running; what is due is sent when it is started");
    }
    Ok(Exit::Fine)
}

fn distinct(ids: &[i64]) -> Vec<ReportId> {
    let ids: std::collections::BTreeSet<i64> = ids.iter().copied().collect();
    ids.into_iter().map(ReportId).collect()
}

fn drop_reports(source: &CliContext, arguments: &DropArguments, out: &mut Out) -> anyhow::Result<Exit> {
    if !arguments.yes && !io::stdin().is_terminal() {
        return Err(usage(
            "queue drop asks before it gives up a report, and nobody can answer here: add --yes".to_owned(),
        ));
    }
    let mut store = source.open_beside()?;
    let reports = distinct(&arguments.ids);
    if !arguments.yes && !is_wanted(&store, &reports)? {
        talk("nothing was dropped");
        return Ok(Exit::Fine);
    }
    let uid = ownership::own_uid();
    for dropped in store.drop_reports(&reports, uid, now())? {
        let recipients: Vec<String> = dropped.recipients.iter().map(|to| escape_name(to.as_bytes())).collect();
        out.line(&format!("dropped report {}, undelivered to {}", dropped.report.0, recipients.join(", ")))?;
    }
    Ok(Exit::Fine)
}

/// Says what would be given up and reads the answer; the end of the input is a no.
fn is_wanted(store: &Store, reports: &[ReportId]) -> anyhow::Result<bool> {
    let waiting = store.undelivered(now())?;
    for report in reports {
        let of_report: Vec<&Undelivered> = waiting.iter().filter(|delivery| delivery.report == *report).collect();
        let Some(first) = of_report.first() else {
            return Err(StoreError::NotWaiting { report: report.0 }.into());
        };
        let recipients: Vec<String> =
            of_report.iter().map(|delivery| escape_name(delivery.recipient.as_bytes())).collect();
        talk(&format!("report {} to {}\n        {}", report.0, recipients.join(", "), harmless(&first.subject)));
    }
    asks("Never send this any more?")
}

/// Puts a question on the terminal; the end of the input is a no.
pub(super) fn asks(question: &str) -> anyhow::Result<bool> {
    let mut err = io::stderr().lock();
    err.write_all(format!("{question} [y/N] ").as_bytes())?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::clock::Timestamp;

    #[test]
    fn a_tampered_queue_cannot_reach_the_terminal() {
        let delivery = Undelivered {
            report: ReportId(7),
            message_id: "<a\u{1b}>".to_owned(),
            subject: "s\u{202e}\n  8  forged@example.org".to_owned(),
            size: 20_000,
            created: Timestamp::from_nanos(0),
            recipient: "r\n@x".to_owned(),
            standing: DeliveryState::Queued,
            attempts: 3,
            wait: Duration::from_mins(10),
            last_reply: "550 \u{9b}2J".to_owned(),
            is_spooled: true,
        };
        let now = Moment { wall: Timestamp::from_nanos(7_200_000_000_000), ..Moment::default() };
        insta::assert_snapshot!(table(std::slice::from_ref(&delivery), now, "/var/mail/integrityd"), @r"
        REPORT  TO     STATE   TRIES     NEXT      AGE      SIZE
             7  r\n@x  queued      3   10 min      2 h    19 KiB
                s\u{202e}\n  8  forged@example.org
                last answer: 550 \u{009b}2J
                also in /var/mail/integrityd
        ");
        insta::assert_snapshot!(as_json(&delivery), @r#"
        {"report":7,"message_id":"<a\\x1b>","subject":"s\\u{202e}\\n  8  forged@example.org","to":"r\\n@x","state":"queued","attempts":3,"next_seconds":600,"last_answer":"550 \\u{009b}2J","created":"1970-01-01T00:00:00Z","bytes":20000,"in_mailbox":true}
        "#);
    }
}
