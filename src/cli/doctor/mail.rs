//! `doctor` on the way of the mails: whether somebody would take them. No mail is sent; a server is left with QUIT, and what it logs about
//! the visit is known to the daemon for ours.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    path::Path,
    sync::mpsc,
    time::Duration,
};

use crate::{
    cli::{context::CliContext, doctor::finding::DoctorFinding, own_mail::Noted, terminal::output::number},
    config::settings::config::{MailWay, SmtpServer, TlsMode},
    model::escape::{escape_cut, escape_name},
    report::transport::auto::Places,
    sys::fs::ownership,
};

const WHAT: &str = "mail";

/// The most the whole dialogue may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of a greeting that are read, and shown.
const GREETING: (usize, usize) = (512, 200);

/// What is found about the way of the mails.
pub(in crate::cli) fn mail(way: &MailWay, source: &CliContext) -> Vec<DoctorFinding> {
    let way = match way {
        MailWay::Auto => local(&Places::default(), Some(source)),
        MailWay::Smtp(server) => smtp(server, Some(source)),
        MailWay::Sendmail(path) => sendmail(path),
        MailWay::File(directory) => of_directory(directory),
        MailWay::Stdout => {
            DoctorFinding::fine(WHAT, "reports are printed; the service manager keeps them in its journal")
        }
    };
    let lines = source.open().ok().and_then(|store| store.own_mail_lines().ok()).filter(|lines| *lines > 0);
    let lines = lines.map(|lines| {
        DoctorFinding::fine(
            WHAT,
            format!("log lines that reports have caused, counted and not reported: {}", number(lines)),
        )
    });
    [Some(way), lines].into_iter().flatten().collect()
}

/// The mail system of this machine, looked for as a report would.
fn local(places: &Places, source: Option<&CliContext>) -> DoctorFinding {
    let program = places.programs.iter().find(|program| is_program(program));
    if let Some(program) = program.filter(|_| places.has_program_first) {
        let program = escape_name(program.as_os_str().as_encoded_bytes());
        return DoctorFinding::fine(WHAT, format!("reports go through {program}"));
    }
    let mut silent = Vec::new();
    for (host, port) in &places.servers {
        let server = SmtpServer { host: host.clone(), port: *port, user: None, tls: TlsMode::None };
        match greeting(&server, source) {
            Ok(greeting) => return answered(&server, &greeting),
            Err(why) => silent.push(format!("{} does not answer ({why})", place(&server))),
        }
    }
    let silent = silent.join(", ");
    match program {
        Some(program) => {
            let program = escape_name(program.as_os_str().as_encoded_bytes());
            // That it can be run says nothing of what becomes of a mail that it takes.
            let remedy = "integrityd mail test, then look into the mailbox whether that mail has come";
            DoctorFinding::warn(WHAT, format!("{silent}; reports go through {program}"), remedy)
        }
        None => DoctorFinding::fail(
            WHAT,
            format!("mail = auto: {silent}, and there is no sendmail program"),
            "install or start a mail server on this machine, or set mail = smtp://host",
        ),
    }
}

fn smtp(server: &SmtpServer, source: Option<&CliContext>) -> DoctorFinding {
    match greeting(server, source) {
        Ok(greeting) => answered(server, &greeting),
        Err(why) => DoctorFinding::fail(
            WHAT,
            format!("{} does not answer: {why}", place(server)),
            "look at host and port of the mail line, at the server, and at firewalls between",
        ),
    }
}

fn place(server: &SmtpServer) -> String {
    format!("{}:{}", escape_cut(server.host.as_bytes(), GREETING.1), server.port)
}

fn answered(server: &SmtpServer, greeting: &[u8]) -> DoctorFinding {
    let place = place(server);
    if server.tls == TlsMode::Wrapped {
        return DoctorFinding::fine(WHAT, format!("{place} can be connected to; TLS was not tried"));
    }
    let line = greeting.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let shown = escape_cut(line, GREETING.1);
    if line.starts_with(b"220") {
        return DoctorFinding::fine(WHAT, format!("{place} answers \"{shown}\""));
    }
    let remedy = "it should say 220: look at the server's log, and whether this is its SMTP port";
    match line {
        b"" => DoctorFinding::warn(WHAT, format!("{place} can be connected to but says nothing within 3 s"), remedy),
        _ => DoctorFinding::warn(WHAT, format!("{place} answers \"{shown}\""), remedy),
    }
}

/// Connects and reads the first line. On a thread of its own, because the resolver knows no deadline.
fn greeting(server: &SmtpServer, source: Option<&CliContext>) -> Result<Vec<u8>, String> {
    let visit = source.and_then(|source| Noted::begin(source, "", ["", ""]));
    let found = ask_greeting(server);
    if let Some(visit) = visit {
        visit.end(None);
    }
    found
}

fn ask_greeting(server: &SmtpServer) -> Result<Vec<u8>, String> {
    let (answer, waiting) = mpsc::channel();
    let server = server.clone();
    let begun = std::thread::Builder::new().spawn(move || {
        let found = connect(&server);
        // Nobody listens any more when it took too long.
        answer.send(found).is_ok()
    });
    begun.map_err(|error| error.to_string())?;
    waiting.recv_timeout(PATIENCE * 2).unwrap_or_else(|_| Err("no answer within 6 s".to_owned()))
}

fn connect(server: &SmtpServer) -> Result<Vec<u8>, String> {
    let addresses = (server.host.as_str(), server.port).to_socket_addrs().map_err(|error| {
        let words = error.to_string();
        format!("the name cannot be resolved ({})", escape_cut(words.as_bytes(), GREETING.1))
    })?;
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(if server.tls == TlsMode::Wrapped { Vec::new() } else { first_line(stream) }),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// What comes until the first line end, the bound or the end of patience.
fn first_line(mut stream: TcpStream) -> Vec<u8> {
    let mut line = Vec::new();
    let mut bytes = [0; GREETING.0];
    if stream.set_read_timeout(Some(PATIENCE)).is_err() {
        return line;
    }
    while line.len() < GREETING.0 && !line.contains(&b'\n') {
        match stream.read(&mut bytes) {
            Ok(count) if count > 0 => line.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            _ => break,
        }
    }
    // A server that is hung up on logs that as a fault. Its goodbye is waited for, and whatever it is it is fine.
    if stream.write_all(b"QUIT\r\n").is_ok() {
        drop(stream.read(&mut bytes));
    }
    line
}

fn sendmail(path: &Path) -> DoctorFinding {
    let shown = escape_name(path.as_os_str().as_encoded_bytes());
    if is_program(path) {
        return DoctorFinding::fine(WHAT, format!("{shown} can be executed"));
    }
    let remedy = "install it, or name another: mail = sendmail:/path";
    DoctorFinding::fail(WHAT, format!("{shown} is not there or cannot be executed"), remedy)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|seen| seen.is_file()) && ownership::may_execute(path)
}

fn of_directory(path: &Path) -> DoctorFinding {
    let shown = escape_name(path.as_os_str().as_encoded_bytes());
    let is_directory = fs::metadata(path).is_ok_and(|seen| seen.is_dir());
    match (is_directory, ownership::may_write(path)) {
        (true, true) => DoctorFinding::fine(WHAT, format!("reports go into {shown}, which can be written")),
        (true, false) => DoctorFinding::fail(
            WHAT,
            format!("{shown} cannot be written by this user"),
            "give it to the user integrityd runs as (chown), or run doctor as that user",
        ),
        (false, _) if path.symlink_metadata().is_err() && path.parent().is_some_and(ownership::may_write) => {
            DoctorFinding::fine(WHAT, format!("reports go into {shown}, which the first one makes"))
        }
        (false, _) => DoctorFinding::fail(WHAT, format!("{shown} is no directory"), format!("mkdir -m 700 {shown}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;
    use crate::cli::doctor::finding::FindingLevel;

    fn server(port: u16) -> SmtpServer {
        SmtpServer { host: "127.0.0.1".to_owned(), port, user: None, tls: TlsMode::None }
    }

    /// What doctor says of a server that greets with `words`.
    fn greeted(words: &'static [u8]) -> DoctorFinding {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(words).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            // A reset is as good as an end: nothing was said.
            drop(stream.read_to_end(&mut heard));
            assert_eq!(String::from_utf8(heard).unwrap(), "QUIT\r\n");
        });
        let found = smtp(&server(port), None);
        peer.join().unwrap();
        DoctorFinding { detail: found.detail.replace(&port.to_string(), "PORT"), ..found }
    }

    #[test]
    fn a_greeting_is_shown_harmless_and_nothing_is_sent() {
        let found = greeted(b"220 mail\x1b[2J ESMTP\r\n250 more");
        assert_eq!(
            (found.health, found.detail.as_str()),
            (FindingLevel::Fine, r#"127.0.0.1:PORT answers "220 mail\x1b[2J ESMTP""#)
        );
        assert_eq!(greeted(b"554 go away\r\n").health, FindingLevel::Warn);
        assert!(greeted(b"").detail.contains("says nothing"));
        let endless: &'static [u8] = Box::leak(vec![b'x'; 100_000].into_boxed_slice());
        assert!(greeted_length(endless) < 1000);
    }

    fn greeted_length(words: &'static [u8]) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // It hangs up before all is told.
            drop(stream.write_all(words));
        });
        let found = smtp(&server(port), None);
        peer.join().unwrap();
        found.detail.len()
    }

    #[test]
    fn without_a_server_a_sendmail_program_serves() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let servers = vec![("127.0.0.1".to_owned(), listener.local_addr().unwrap().port())];
        drop(listener);
        let places = |programs, has_program_first| Places { servers: servers.clone(), programs, has_program_first };
        let found = local(&places(vec!["/nonexistent".into(), "/bin/sh".into()], false), None);
        assert!(
            found.health == FindingLevel::Warn && found.detail.ends_with("reports go through /bin/sh"),
            "{found:?}"
        );
        let found = local(&places(vec!["/bin/sh".into()], true), None);
        assert!(found.health == FindingLevel::Fine && found.detail == "reports go through /bin/sh", "{found:?}");
        let found = local(&places(vec!["/nonexistent".into()], true), None);
        assert!(found.health == FindingLevel::Fail && found.detail.contains("no sendmail program"), "{found:?}");
    }

    #[test]
    fn a_port_where_nobody_listens_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let found = smtp(&server(port), None);
        assert!(found.health == FindingLevel::Fail && found.detail.contains("refused"), "{found:?}");
    }
}
