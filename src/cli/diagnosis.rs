//! What a check of `doctor` has found, and how it is told: one line, and what to do below it.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    /// Nothing to do.
    Fine,
    /// It works, but not as it could; or it cannot be told by this user.
    Warn,
    /// It does not work.
    Fail,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// The outcome of one check; all words are printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) health: Health,
    /// What was checked.
    pub(super) what: &'static str,
    /// What was seen.
    pub(super) detail: String,
    /// What to do; empty when all is well.
    pub(super) remedy: String,
}

impl Finding {
    /// All is well.
    pub(super) fn fine(what: &'static str, detail: impl Into<String>) -> Self {
        Self { health: Health::Fine, what, detail: detail.into(), remedy: String::new() }
    }

    /// It could be better.
    pub(super) fn warn(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Warn, what, detail: detail.into(), remedy: remedy.into() }
    }

    /// It does not work.
    pub(super) fn fail(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Fail, what, detail: detail.into(), remedy: remedy.into() }
    }

    /// The lines, each ended.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{:<4}  {}: {}\n", self.health.word(), self.what, self.detail);
        if !self.remedy.is_empty() {
            text.push_str(&format!("      → {}\n", self.remedy));
        }
        text
    }

    /// The same for machines.
    pub(super) fn json(&self) -> Value {
        let remedy = (!self.remedy.is_empty()).then_some(&self.remedy);
        json!({ "result": self.health.word().to_ascii_lowercase(), "what": self.what, "detail": self.detail, "remedy": remedy })
    }
}
