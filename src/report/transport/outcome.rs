//! What became of one attempt to hand a mail over, in words: every way answers with these.

use crate::model::escape::escape_cut;

/// Bytes of a foreign answer that are kept.
const MOST_OF_REPLY: usize = 500;

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendVerdict {
    /// The same bytes are tried again soon.
    NotNow,
    /// The same, but an administrator must look: the way cannot be gone as it was configured, for want of TLS, trust or a login.
    Barred,
    /// It was refused for good: by a 5xx, or by a sendmail program that knows no such recipient.
    Refused,
    /// It is larger than the server takes: than so many bytes, where it said how many.
    TooLarge(Option<u64>),
}

/// Why a report was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reply}")]
pub struct SendError {
    /// The server's reply or the error, neutralised.
    pub reply: String,
    /// What that means for the next attempt.
    pub verdict: SendVerdict,
}

impl SendError {
    /// Not now: the same bytes are tried again soon. `reply` is neutralised.
    pub fn transient(reply: String) -> Self {
        Self { reply, verdict: SendVerdict::NotNow }
    }

    /// A refusal for good. `reply` is neutralised.
    pub fn refused(reply: String) -> Self {
        Self { reply, verdict: SendVerdict::Refused }
    }

    /// The way cannot be gone as it was configured. `reply` is neutralised.
    pub fn barred(reply: String) -> Self {
        Self { reply, verdict: SendVerdict::Barred }
    }

    /// Whether somebody said no to the mail, and not only "later".
    pub fn is_refusal(&self) -> bool {
        matches!(self.verdict, SendVerdict::Refused | SendVerdict::TooLarge(_))
    }
}

/// A foreign answer, neutralised and bounded.
pub fn shown(reply: &[u8]) -> String {
    escape_cut(reply, MOST_OF_REPLY)
}

/// The longest queue id that is kept, in bytes; exim's has 23, Postfix's may have some more than ten.
const LONGEST_QUEUE_ID: usize = 64;

/// The queue id that a mail server names when it accepts a mail: `queued as 4Xabc` (Postfix), `id=1xY1jU-00004m-2J` (exim),
/// `950ca7ca Message accepted for delivery` (OpenSMTPD, sendmail). `None` when it names none.
pub fn queue_id(reply: &str) -> Option<&str> {
    let words: Vec<&str> = reply.split(' ').collect();
    let id = words.iter().enumerate().find_map(|(at, word)| {
        let rest = words.get(at + 1..).unwrap_or_default();
        match rest {
            ["as", id, ..] if *word == "queued" => Some(*id),
            ["Message", "accepted", "for", "delivery", ..] => Some(*word),
            _ => word.strip_prefix("id="),
        }
    })?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_plain && (5..=LONGEST_QUEUE_ID).contains(&id.len())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_names_its_queue_id_in_its_own_words() {
        for (reply, id) in [
            ("250 2.0.0 Ok: queued as 5BEF868", Some("5BEF868")),
            ("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4XabcD0", Some("4XabcD0")),
            ("250 OK id=1xY1jU-00004m-2J", Some("1xY1jU-00004m-2J")),
            ("250 2.0.0 950ca7ca Message accepted for delivery", Some("950ca7ca")),
            ("250 2.0.0 6AUDnOiE000116 Message accepted for delivery", Some("6AUDnOiE000116")),
            ("250 ok", None),
            ("250 2.0.0 Message accepted for delivery", None),
            ("250 queued as", None),
            ("250 queued as <x>", None),
            ("250 id=", None),
        ] {
            assert_eq!(queue_id(reply), id, "{reply}");
        }
    }
}
