//! How bad it is, as monitoring plugins count, by what [`crate::store::health::diagnose`] says.

use crate::model::health::{Health, Weight};

/// A level of the Monitoring Plugins Development Guidelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum StatusLevel {
    /// Nothing but notes.
    Fine,
    /// A warning stands.
    Warning,
    /// Something critical stands.
    Critical,
}

impl StatusLevel {
    /// The level of all that is wrong.
    pub(in crate::cli) fn of(health: &Health) -> Self {
        health.weight().map_or(Self::Fine, Self::from)
    }

    /// Its word in plugins' output.
    pub(in crate::cli) const fn word(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// Its number as a plugin's exit code.
    pub(in crate::cli) const fn number(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }
}

impl From<Weight> for StatusLevel {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Note => Self::Fine,
            Weight::Warning => Self::Warning,
            Weight::Critical => Self::Critical,
        }
    }
}
