//! The way reports are sent, written as a URL: `smtp://host`, `sendmail:`, `file:/dir`, `stdout:` or `auto`.
//!
//! A password never stands in it: the configuration is shown, quoted in faults and copied. The faults made here never show
//! what stands before an `@`.

use std::path::PathBuf;

use crate::config::{
    read::address::is_host,
    schema::fault::{ConfigProblem, show},
    settings::config::{MailWay, SmtpServer, TlsMode},
};

/// Where sendmail programs are, by the Filesystem Hierarchy Standard 3.0, 4.10.
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// Reads the value of `mail`.
pub(in crate::config) fn parse(text: &str) -> Result<MailWay, ConfigProblem> {
    if text == "auto" {
        return Ok(MailWay::Auto);
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(ConfigProblem::new(format!("`{}` is no way to send mail", show(text.as_bytes())), ways()));
    };
    match scheme {
        "smtp" => parse_server(rest, false).map(MailWay::Smtp),
        "smtps" => parse_server(rest, true).map(MailWay::Smtp),
        "sendmail" if rest.is_empty() => Ok(MailWay::Sendmail(PathBuf::from(SENDMAIL))),
        "sendmail" => absolute(rest).map(MailWay::Sendmail),
        "file" => absolute(rest.strip_prefix("//").unwrap_or(rest)).map(MailWay::File),
        "stdout" if rest.is_empty() => Ok(MailWay::Stdout),
        "stdout" => Err(ConfigProblem::new("`stdout:` is followed by something", "write `stdout:`")),
        _ => Err(ConfigProblem::new(format!("`{}:` is no way to send mail", show(scheme.as_bytes())), ways())),
    }
}

fn ways() -> &'static str {
    "auto, smtp://[user@]host[:port][?tls=...], smtps://..., sendmail:[/path], file:/dir or stdout:"
}

fn absolute(path: &str) -> Result<PathBuf, ConfigProblem> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(PathBuf::from(path));
    }
    Err(ConfigProblem::new(format!("`{}` is no absolute path", show(path.as_bytes())), "start it with a /"))
}

/// Reads what follows `smtp:` or `smtps:`.
fn parse_server(rest: &str, is_wrapped: bool) -> Result<SmtpServer, ConfigProblem> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(ConfigProblem::new("no // before the mail server", "write smtp://host"));
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let place = place.strip_suffix('/').unwrap_or(place);
    let (user, server) = match place.rsplit_once('@') {
        Some((user, server)) => (Some(parse_user(user)?), server),
        None => (None, place),
    };
    let (host, port) = split_port(server)?;
    let default_port = if is_wrapped { 465 } else { 25 };
    let tls = match (query.map(parse_tls).transpose()?, is_wrapped) {
        (None | Some(TlsMode::Required), true) => TlsMode::Wrapped,
        (Some(_), true) => {
            return Err(ConfigProblem::new("smtps is TLS from the first byte", "take ?tls= away, or write smtp://"));
        }
        (Some(tls), false) => tls,
        (None, false) if user.is_some() => TlsMode::Required,
        (None, false) if is_local(&host) => TlsMode::None,
        (None, false) => TlsMode::Opportunistic,
    };
    Ok(SmtpServer { host, port: port.unwrap_or(default_port), user, tls })
}

/// The mail server of this very machine needs no protection, and its certificate would match no name.
fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

fn parse_tls(query: &str) -> Result<TlsMode, ConfigProblem> {
    match query.strip_prefix("tls=") {
        Some("required") => Ok(TlsMode::Required),
        Some("opportunistic") => Ok(TlsMode::Opportunistic),
        Some("none") => Ok(TlsMode::None),
        _ => Err(ConfigProblem::new(
            format!("`?{}` says nothing about TLS", show(query.as_bytes())),
            "write ?tls=required, ?tls=opportunistic or ?tls=none",
        )),
    }
}

/// The user name with `%40` and its like decoded.
fn parse_user(text: &str) -> Result<String, ConfigProblem> {
    if text.contains(':') {
        return Err(ConfigProblem::new(
            "a password does not belong here",
            "put it into a file (0600, root's) and name that in mailpasswordfile",
        ));
    }
    let refuse =
        || ConfigProblem::new("the user of the mail server is malformed", "write smtp://user@host, %40 for an @");
    let mut parts = text.split('%');
    let mut user: Vec<u8> = parts.next().unwrap_or_default().bytes().collect();
    for part in parts {
        let (code, tail) = part.split_at_checked(2).ok_or_else(refuse)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        user.push(u8::from_str_radix(code, 16).or(Err(refuse()))?);
        user.extend(tail.bytes());
    }
    match String::from_utf8(user) {
        Ok(user) if !user.is_empty() && !user.chars().any(char::is_control) => Ok(user),
        _ => Err(refuse()),
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; the brackets go.
fn split_port(server: &str) -> Result<(String, Option<u16>), ConfigProblem> {
    let bad_host = || {
        ConfigProblem::new(
            format!("`{}` is no host", show(server.as_bytes())),
            "write a host name or an address, [::1] for IPv6",
        )
    };
    let (host, port) = if let Some(rest) = server.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(bad_host)?;
        address.parse::<std::net::Ipv6Addr>().or(Err(bad_host()))?;
        (address, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(bad_host)?) })
    } else {
        let (host, port) = server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port)));
        if !is_host(host) {
            return Err(bad_host());
        }
        (host, port)
    };
    let port = match port.map(|text| (text, text.parse::<u16>())) {
        None => None,
        Some((_, Ok(port))) if port > 0 => Some(port),
        Some((text, _)) => {
            return Err(ConfigProblem::new(format!("`{}` is no port", show(text.as_bytes())), "1 to 65535"));
        }
    };
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn smtp(host: &str, port: u16, user: Option<&str>, tls: TlsMode) -> MailWay {
        MailWay::Smtp(SmtpServer { host: host.to_owned(), port, user: user.map(str::to_owned), tls })
    }

    #[test]
    fn every_way_is_understood() {
        for (text, way) in [
            ("auto", MailWay::Auto),
            ("stdout:", MailWay::Stdout),
            ("sendmail:", MailWay::Sendmail(PathBuf::from("/usr/sbin/sendmail"))),
            ("sendmail:/opt/sendmail", MailWay::Sendmail(PathBuf::from("/opt/sendmail"))),
            ("file:/var/spool/x", MailWay::File(PathBuf::from("/var/spool/x"))),
            ("file:///var/spool/x", MailWay::File(PathBuf::from("/var/spool/x"))),
            ("smtp://localhost", smtp("localhost", 25, None, TlsMode::None)),
            ("smtp://[::1]:2525", smtp("::1", 2525, None, TlsMode::None)),
            ("smtp://mx.example.org/", smtp("mx.example.org", 25, None, TlsMode::Opportunistic)),
            ("smtp://joe@localhost:587", smtp("localhost", 587, Some("joe"), TlsMode::Required)),
            ("smtp://joe%40x@mx?tls=none", smtp("mx", 25, Some("joe@x"), TlsMode::None)),
            ("smtp://mx?tls=required", smtp("mx", 25, None, TlsMode::Required)),
            ("smtps://joe@mx", smtp("mx", 465, Some("joe"), TlsMode::Wrapped)),
            ("smtps://mx:4650?tls=required", smtp("mx", 4650, None, TlsMode::Wrapped)),
        ] {
            assert_eq!(parse(text), Ok(way), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "mail",
            "http://x",
            "smtp:localhost",
            "smtp://",
            "smtp://@host",
            "smtp://host:0",
            "smtp://host:65536",
            "smtp://host:",
            "smtp://[::1",
            "smtp://[::1]25",
            "smtp://[x]",
            "smtp://::1",
            "smtp://host/path",
            "smtp://host?tls=maybe",
            "smtp://host?x=1",
            "smtps://host?tls=none",
            "smtp://a%4@host",
            "smtp://a%0a@host",
            "smtp://a%+1@host",
            "sendmail:sendmail",
            "file:dir",
            "file://host/dir/../\0",
            "stdout:x",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let problem = parse("smtp://joe:s3cret@host").unwrap_err();
        assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
        assert!(problem.hint.contains("mailpasswordfile"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(smtps?|file|sendmail|stdout)?:?/{0,2}[\\PC@:%?\\[\\]]{0,20}") {
            drop(parse(&text));
        }
    }
}
