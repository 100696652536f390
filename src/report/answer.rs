//! What became of one attempt to hand a mail over, in words: every way answers with these.

use crate::model::escape::escape_cut;

/// Bytes of a foreign answer that are kept.
const MOST_OF_REPLY: usize = 500;

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
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
    pub verdict: Verdict,
}

impl SendError {
    /// Not now: the same bytes are tried again soon. `reply` is neutralised.
    pub fn transient(reply: String) -> Self {
        Self { reply, verdict: Verdict::NotNow }
    }

    /// A refusal for good. `reply` is neutralised.
    pub fn refused(reply: String) -> Self {
        Self { reply, verdict: Verdict::Refused }
    }

    /// The way cannot be gone as it was configured. `reply` is neutralised.
    pub fn barred(reply: String) -> Self {
        Self { reply, verdict: Verdict::Barred }
    }

    /// Whether somebody said no to the mail, and not only "later".
    pub fn is_refusal(&self) -> bool {
        matches!(self.verdict, Verdict::Refused | Verdict::TooLarge(_))
    }
}

/// A foreign answer, neutralised and bounded.
pub fn shown(reply: &[u8]) -> String {
    escape_cut(reply, MOST_OF_REPLY)
}
