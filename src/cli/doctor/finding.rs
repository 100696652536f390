//! What a check of `doctor` has found, and how it is told: one line, and what to do below it.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum FindingLevel {
    /// Nothing to do.
    Fine,
    /// It works, but not as it could; or it cannot be told by this user.
    Warn,
    /// It does not work.
    Fail,
}

impl FindingLevel {
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
pub(in crate::cli) struct DoctorFinding {
    /// How bad it is.
    pub(in crate::cli) health: FindingLevel,
    /// What was checked.
    pub(in crate::cli) what: &'static str,
    /// What was seen.
    pub(in crate::cli) detail: String,
    /// What to do; empty when all is well.
    pub(in crate::cli) remedy: String,
}

impl DoctorFinding {
    /// All is well.
    pub(in crate::cli) fn fine(what: &'static str, detail: impl Into<String>) -> Self {
        Self { health: FindingLevel::Fine, what, detail: detail.into(), remedy: String::new() }
    }

    /// It could be better.
    pub(in crate::cli) fn warn(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: FindingLevel::Warn, what, detail: detail.into(), remedy: remedy.into() }
    }

    /// It does not work.
    pub(in crate::cli) fn fail(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: FindingLevel::Fail, what, detail: detail.into(), remedy: remedy.into() }
    }

    /// The lines, each ended.
    pub(in crate::cli) fn text(&self) -> String {
        let mut text = format!("{:<4}  {}: {}\n", self.health.word(), self.what, self.detail);
        if !self.remedy.is_empty() {
            text.push_str(&format!("      → {}\n", self.remedy));
        }
        text
    }

    /// The same for machines.
    pub(in crate::cli) fn json(&self) -> Value {
        let remedy = (!self.remedy.is_empty()).then_some(&self.remedy);
        json!({ "result": self.health.word().to_ascii_lowercase(), "what": self.what, "detail": self.detail, "remedy": remedy })
    }
}
