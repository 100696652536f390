//! What mail servers log about a mail and about the connection it came by, as facts: a table of the forms that Postfix, exim,
//! OpenSMTPD, sendmail, msmtp, dovecot and amavis write.
//!
//! Pure. A line that has none of these forms from its first byte to its last says nothing, and is reported like any other. Who a mail
//! belongs to is decided elsewhere (`own_mail`). The forms were taken from Postfix 3.7, exim 4.96, OpenSMTPD 6.8, sendmail 8.17 and
//! msmtp 1.8 as Debian 12 has them.

use std::net::IpAddr;

use jiff::{civil::DateTime, tz::TimeZone};

use crate::{
    logs::line::syslog::{Message, legacy_stamp, parse},
    model::clock::Timestamp,
    tail::splitter::LogRecord,
};

/// A line of a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) struct MailLine<'a> {
    /// When it was logged, in seconds as a clock on the wall showed them.
    pub(in crate::logs) at: i64,
    /// The connection it belongs to, if it says so: the process that serves it, or its number.
    pub(super) session: Option<String>,
    /// What it says.
    pub(in crate::logs) said: Said<'a>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::logs) enum Said<'a> {
    /// A connection begins.
    Connected(Peer),
    /// Something happens within a connection.
    Within,
    /// A connection ends.
    Disconnected,
    /// A connection came and went without a mail.
    Visited(Peer),
    /// Something happens to the mail with this queue id.
    Queue(ServerQueue<'a>),
    /// A mail from, to was refused before it had a queue id.
    Refused([&'a str; 2]),
    /// Something happens to the mail with this Message-ID, which has its brackets.
    Message(&'a str),
    /// What was counted at this time, of one connection from this machine, in seconds like [`MailLine::at`].
    Counted(i64),
    /// A client has handed over a mail from, to.
    Client([&'a str; 2]),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) enum Peer {
    /// This address.
    Address(IpAddr),
    /// A program on this machine, through no network.
    Local,
    /// A server that is sent to.
    Server,
}

/// Something happens to a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::logs) struct ServerQueue<'a> {
    /// Its queue id.
    pub(in crate::logs) id: &'a str,
    /// Its Message-ID without brackets, where the line names it.
    pub(super) message_id: Option<&'a str>,
    /// Who sent it, where the line is the one that names this first.
    pub(super) sender: Option<&'a str>,
    /// Where it came from, where the line is the one that names this.
    pub(in crate::logs) origin: Option<LineOrigin<'a>>,
    /// Whether the server is done with it.
    pub(in crate::logs) is_over: bool,
}

/// Where a mail came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logs) enum LineOrigin<'a> {
    /// This address.
    Address(IpAddr),
    /// A process of this user, by number or name.
    User(&'a str),
}

/// What a record says about a mail.
pub(in crate::logs) fn of<'a>(record: &'a LogRecord, zone: &TimeZone, now: Timestamp) -> Option<MailLine<'a>> {
    match record {
        LogRecord::Line { bytes, .. } => read(bytes, zone, now),
        LogRecord::Gap(_) => None,
    }
}

/// What a line says about a mail; `None` when it is none of a mail server. Legacy stamps are in `zone`.
pub(in crate::logs) fn read<'a>(line: &'a [u8], zone: &TimeZone, now: Timestamp) -> Option<MailLine<'a>> {
    if let Some(found) = exim_main(line) {
        return Some(found);
    }
    let Message { stamp, tag, pid, text, .. } = parse(line)?;
    let (tag, text) = (str::from_utf8(tag).ok()?, str::from_utf8(text).ok()?);
    let pid = str::from_utf8(pid.unwrap_or_default()).ok()?;
    let at = stamp.wall_seconds(zone, now)?;
    if tag == "postfix/anvil" {
        return Some(MailLine { at, session: None, said: Said::Counted(anvil(text, zone, now)?) });
    }
    let (session, said) = of_program(tag, pid, text)?;
    Some(MailLine { at, session, said })
}

/// Postfix's counter of connections: `statistics: max connection rate 1/60s for (smtp:127.0.0.1) at Nov 30 13:47:03`, some minutes later.
fn anvil(text: &str, zone: &TimeZone, now: Timestamp) -> Option<i64> {
    let (what, stamp) = text.strip_prefix("statistics: max ")?.rsplit_once(" at ")?;
    let (what, client) = what.split_once(" for (").unwrap_or((what, "smtp:127.0.0.1)"));
    let address: IpAddr = client.strip_suffix(')')?.split_once(':')?.1.parse().ok()?;
    let is_of_one = matches!(what.rsplit_once(' ')?.1, "1" | "1/60s");
    (is_of_one && address.is_loopback()).then(|| legacy_stamp(stamp.as_bytes())?.wall_seconds(zone, now)).flatten()
}

fn of_program<'a>(tag: &str, pid: &str, text: &'a str) -> Option<(Option<String>, Said<'a>)> {
    let process = || Some(format!("{tag}[{pid}]"));
    match tag {
        "smtpd" => opensmtpd(text),
        "exim" | "exim4" => exim(exim_stamp(text).map_or(text, |(_, rest)| rest), process()),
        "sendmail" | "sm-mta" | "sm-msp-queue" | "sendmail-mta" | "sendmail-msp" => sendmail(text, process()),
        "msmtp" => msmtp(text).map(|said| (None, said)),
        "dovecot" => between(text, "msgid=", ": ").and_then(bracketed).map(|id| (None, Said::Message(id))),
        "amavis" => between(text, "Message-ID: ", ",").and_then(bracketed).map(|id| (None, Said::Message(id))),
        "opendkim" | "opendmarc" => plain_queue(text).map(|queue| (None, Said::Queue(queue))),
        _ => {
            let (instance, service) = (tag.split('/').next()?, tag.rsplit_once('/')?.1);
            let is_postfix = instance == "postfix" || instance.starts_with("postfix-");
            is_postfix.then(|| postfix(service, text, process())).flatten()
        }
    }
}

/// Postfix: `service[pid]`, one process for one connection at a time.
fn postfix<'a>(service: &str, text: &'a str, process: Option<String>) -> Option<(Option<String>, Said<'a>)> {
    if service == "smtpd" {
        if let Some(peer) = text.strip_prefix("connect from ") {
            return Some((process, Said::Connected(Peer::Address(address_at_end(peer)?))));
        }
        if let Some(rest) = text.strip_prefix("disconnect from ") {
            let (peer, counts) = rest.split_once(' ').unwrap_or((rest, ""));
            let is_count = |word: &str| {
                word.split_once('=').is_some_and(|(name, number)| {
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/')
                })
            };
            let _address = address_at_end(peer)?;
            return counts.split_terminator(' ').all(is_count).then_some((process, Said::Disconnected));
        }
        let is_broken = text.starts_with("lost connection after ") || text.starts_with("timeout after ");
        if let Some((_, peer)) = text.rsplit_once(" from ").filter(|_| is_broken) {
            let _address = address_at_end(peer)?;
            return Some((process, Said::Within));
        }
        if let Some(rest) = text.strip_prefix("NOQUEUE: reject: ") {
            return Some((process, Said::Refused([between(rest, "; from=<", ">")?, between(rest, " to=<", ">")?])));
        }
    }
    let queue = plain_queue(text)?;
    let rest = text.get(queue.id.len() + 2..)?;
    let queue = match service {
        "smtpd" => match rest.strip_prefix("client=") {
            Some(peer) => {
                let peer = peer.split_once(", ").map_or(peer, |(peer, _)| peer);
                let queue = ServerQueue { origin: Some(LineOrigin::Address(address_at_end(peer)?)), ..queue };
                return Some((process, Said::Queue(queue)));
            }
            None => queue,
        },
        "pickup" => {
            let (user, sender) = rest.strip_prefix("uid=")?.split_once(" from=<")?;
            ServerQueue {
                origin: Some(LineOrigin::User(user)),
                sender: sender.split_once('>').map(|(it, _)| it),
                ..queue
            }
        }
        "cleanup" => ServerQueue { message_id: between(rest, "message-id=<", ">"), ..queue },
        "qmgr" => ServerQueue { is_over: rest == "removed", ..queue },
        _ => queue,
    };
    Some((None, Said::Queue(queue)))
}

/// `ID: …`, as Postfix, sendmail and filters of mail write it.
fn plain_queue(text: &str) -> Option<ServerQueue<'_>> {
    let (id, _) = text.split_once(": ")?;
    let is_id = (5..=24).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| ServerQueue { id, ..ServerQueue::default() })
}

/// A line of exim's own main log: `2026-11-30 13:47:52 1xY1jU-00004m-2J …`, perhaps with a zone and a pid before the id.
fn exim_main(line: &[u8]) -> Option<MailLine<'_>> {
    if line.get(10) != Some(&b' ') || !line.first()?.is_ascii_digit() {
        return None;
    }
    let (at, rest) = exim_stamp(str::from_utf8(line).ok()?)?;
    let pid = rest.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let pid = pid.filter(|(pid, _)| pid.bytes().all(|byte| byte.is_ascii_digit()));
    let (process, rest) = pid.map_or((String::new(), rest), |(pid, rest)| (pid.to_owned(), rest));
    let (session, said) = exim(rest.trim_ascii_end(), Some(format!("exim[{process}]")))?;
    Some(MailLine { at, session, said })
}

/// The stamp of exim, as a clock on the wall shows it, and what follows it.
fn exim_stamp(text: &str) -> Option<(i64, &str)> {
    let (stamp, rest) = text.split_at_checked(19)?;
    let at: DateTime = stamp.parse().ok()?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let rest = rest.strip_prefix(' ')?;
    let zone = rest.split_once(' ').filter(|(zone, _)| zone.len() == 5 && zone.starts_with(['+', '-']));
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    Some((at, zone.map_or(rest, |(_, rest)| rest)))
}

fn exim(text: &str, process: Option<String>) -> Option<(Option<String>, Said<'_>)> {
    if let Some(rest) = text.strip_prefix("SMTP connection from ") {
        let (peer, end) = rest.split_once(']')?;
        let peer = Peer::Address(address_at_end(text.get(..text.len() - rest.len() + peer.len() + 1)?)?);
        return Some((process, if end.contains("closed by") { Said::Disconnected } else { Said::Connected(peer) }));
    }
    let (id, rest) = text.split_once(' ')?;
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    let is_id = matches!(parts.as_slice(), [6, 6, 2] | [6, 11, 4])
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_id {
        return None;
    }
    let mut queue = ServerQueue { id, is_over: rest == "Completed", ..ServerQueue::default() };
    if let Some(entry) = rest.strip_prefix("<= ") {
        let field = |name: &str| entry.split(' ').find_map(|word| word.strip_prefix(name));
        let address = between(entry, " [", "]").and_then(|address| address.parse().ok()).map(LineOrigin::Address);
        queue.sender = entry.split(' ').next();
        queue.message_id = field("id=");
        queue.origin = address.or_else(|| field("U=").map(LineOrigin::User));
    }
    Some((None, Said::Queue(queue)))
}

/// OpenSMTPD: each line begins with the number of its session; the queue id is the beginning of what it calls evpid.
fn opensmtpd(text: &str) -> Option<(Option<String>, Said<'_>)> {
    let (session, rest) = text.split_once(' ')?;
    if session.len() != 16 || !session.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (what, rest) = rest.split_once(' ')?;
    let (event, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let queue = |name: &str, whole: usize| {
        let id = rest.split(' ').find_map(|word| word.strip_prefix(name))?;
        let is_id = id.len() == whole && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let queue = ServerQueue { id: id.get(..8)?, sender: between(rest, "from=<", ">"), ..ServerQueue::default() };
        is_id.then_some(Said::Queue(queue))
    };
    let said = match (what, event) {
        ("smtp", "connected") => {
            let address = rest.strip_prefix("address=")?.split(' ').next()?;
            Said::Connected(if address == "local" { Peer::Local } else { Peer::Address(plain_address(address)?) })
        }
        ("smtp", "message") => queue("msgid=", 8)?,
        ("smtp", "envelope") | ("mda" | "mta", "delivery") => queue("evpid=", 16)?,
        ("mta", "connecting") => Said::Connected(Peer::Server),
        ("smtp" | "mta", "disconnected") => Said::Disconnected,
        ("smtp", "starttls" | "tls" | "failed-command")
        | ("mta", "connected" | "starttls" | "tls" | "cert-check" | "server-cert-check") => Said::Within,
        _ => return None,
    };
    Some(((what != "mda").then(|| session.to_owned()), said))
}

fn sendmail(text: &str, process: Option<String>) -> Option<(Option<String>, Said<'_>)> {
    let queue = plain_queue(text)?;
    let rest = text.get(queue.id.len() + 2..)?;
    if let Some((peer, _)) = rest.split_once(" did not issue ") {
        return Some((process, Said::Visited(Peer::Address(address_at_end(peer)?))));
    }
    if !rest.starts_with("from=") {
        return Some((None, Said::Queue(queue)));
    }
    let relay = rest.rsplit_once(", relay=")?.1;
    let origin = match relay.strip_suffix("@localhost") {
        Some(user) => LineOrigin::User(user),
        None => LineOrigin::Address(between(relay, "[", "]")?.parse().ok()?),
    };
    let message_id = between(rest, ", msgid=<", ">");
    Some((None, Said::Queue(ServerQueue { message_id, origin: Some(origin), ..queue })))
}

fn msmtp(text: &str) -> Option<Said<'_>> {
    let field = |name: &str| text.split(' ').find_map(|word| word.strip_prefix(name));
    text.starts_with("host=").then_some(Said::Client([field("from=")?, field("recipients=")?]))
}

/// What stands between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    text.split_once(begin)?.1.split_once(end).map(|(found, _)| found)
}

fn bracketed(id: &str) -> Option<&str> {
    (id.starts_with('<') && id.ends_with('>')).then_some(id)
}

/// The address in `name[address]` or `name [address]`.
fn address_at_end(peer: &str) -> Option<IpAddr> {
    plain_address(peer.strip_suffix(']')?.rsplit_once('[')?.1)
}

fn plain_address(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.strip_prefix("IPv6:").unwrap_or(text).parse().ok()
}
