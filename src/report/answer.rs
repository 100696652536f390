//! What became of one attempt to hand a mail over, in words: every way answers with these.

use crate::model::escape::escape_cut;

/// Bytes of a foreign answer that are kept.
const MOST_OF_REPLY: usize = 500;

/// Why a report was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reply}")]
pub struct SendError {
    /// The server's reply or the error, neutralised.
    pub reply: String,
    /// Whether it was refused for good: by a 5xx, or by a sendmail program that knows no such recipient.
    pub is_refusal: bool,
}

impl SendError {
    /// Not now: the same bytes are tried again soon. `reply` is neutralised.
    pub fn transient(reply: String) -> Self {
        Self { reply, is_refusal: false }
    }
}

/// A foreign answer, neutralised and bounded.
pub fn shown(reply: &[u8]) -> String {
    escape_cut(reply, MOST_OF_REPLY)
}
