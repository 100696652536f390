//! Mail addresses and host names, as far as a configuration must be sure of them: nothing in them may reach a header or an
//! SMTP dialogue as anything else. Quoted local parts are left out on purpose; nobody's alarm goes to `"a b"@example.org`.

use crate::config::schema::fault::{ConfigProblem, show};

/// The longest address SMTP carries (RFC 5321, 4.5.3.1.3, without the brackets).
const LONGEST_ADDRESS: usize = 254;
/// The longest host name (RFC 1035, 2.3.4).
const LONGEST_HOST: usize = 253;
/// The longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// Checks that `text` is `user` or `user@host`.
pub(in crate::config) fn check_address(text: &str) -> Result<(), ConfigProblem> {
    let refuse = |hint: &str| Err(ConfigProblem::new(format!("`{}` is no mail address", show(text.as_bytes())), hint));
    if text.chars().any(char::is_control) {
        return refuse("take the control characters away");
    }
    if text.contains([',', ';']) || text.split_ascii_whitespace().count() > 1 {
        return refuse("give one address in each line, or a list in TOML, without a name");
    }
    if text.len() > LONGEST_ADDRESS {
        return refuse("an address has at most 254 bytes");
    }
    let (local, host) = text.rsplit_once('@').map_or((text, None), |(local, host)| (local, Some(host)));
    if !is_local(local) {
        return refuse("write user@host, or the name of a local user");
    }
    match host {
        Some(host) if !is_host(host) && !is_address_literal(host) => refuse("what follows the @ is no host name"),
        _ => Ok(()),
    }
}

/// Whether `text` is a host name or an IPv4 address: labels of letters, digits, `-` and `_`.
pub(super) fn is_host(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= LONGEST_HOST
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-' || letter == '_')
        })
}

/// Whether `text` is `[IPv4]` or `[IPv6:…]` (RFC 5321, 4.1.3).
fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    match inner.strip_prefix("IPv6:") {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

/// Whether `text` is a dot-atom (RFC 5321) that no mail program takes for an option, a file or a program.
fn is_local(text: &str) -> bool {
    let is_atom = |letter: char| letter.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(letter);
    text.len() <= LONGEST_LOCAL
        && !text.starts_with(['-', '/', '|'])
        && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_local_users_are_accepted() {
        for text in ["root", "root@localhost", "a.b+c@example.org", "x@[192.0.2.1]", "x@[IPv6:::1]", "jörg@exämple.org"]
        {
            assert_eq!(check_address(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_could_become_a_header_or_an_option_is_refused() {
        let long = format!("{}@example.org", "x".repeat(65));
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a@@b",
            "a b@c",
            "a@b, c@d",
            "Root <root@localhost>",
            "a@b\r\nBcc: x@y",
            "-oQ/tmp@x",
            "/var/mail/x",
            "|/bin/sh",
            "a..b@c",
            "a@b c",
            "a@[::1]",
            "\"a\"@b",
            "a\u{202e}@b",
            long.as_str(),
        ] {
            assert!(check_address(text).is_err(), "{text:?}");
        }
    }
}
