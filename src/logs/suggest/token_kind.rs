//! What stands in a rule for the parts of a line that vary: classes in the dialect of `grep -E`.

/// What stands for the parts that vary, narrower ones first where one holds another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The time stamp at the beginning, in the legacy form or RFC 3339 with seconds or finer and any zone.
    Stamp,
    /// Decimal digits.
    Number,
    /// Hexadecimal digits.
    Hex,
    /// A UUID.
    Uuid,
    /// An IPv4 or IPv6 address.
    Address,
    /// A hardware address.
    Mac,
    /// A host or another plain word.
    Name,
    /// A long random word.
    Id,
    /// A path.
    Path,
    /// An e-mail address.
    Mail,
    /// What stands in quotes that end so.
    Quoted(u8),
    /// Control characters.
    Control,
    /// Anything without blanks.
    Token,
}

impl TokenKind {
    /// It in the dialect of `grep -E`.
    pub const fn class(self) -> &'static str {
        match self {
            // Debian's rules begin so, but their [0-9T:.+-]{32} knows neither whole seconds nor Z: 2026-11-21T14:02:11Z has 20
            // characters, 2026-11-21T14:02:11.123456789+01:00 has 35.
            Self::Stamp => r"(\w{3} [ :[:digit:]]{11}|[0-9T:.+Z-]{20,35})",
            Self::Number => "[[:digit:]]+",
            Self::Hex => "[[:xdigit:]]+",
            Self::Uuid => "[[:xdigit:]-]{36}",
            Self::Address => "[[:xdigit:].:]{2,45}",
            Self::Mac => "[[:xdigit:]:]+",
            Self::Name => "[._[:alnum:]-]+",
            Self::Id => "[[:alnum:]+/=]+",
            Self::Path => "/[._/+@%~[:alnum:]-]+",
            Self::Mail => "[._%+[:alnum:]-]+@[._[:alnum:]-]+",
            Self::Quoted(b'"') => "[^\"]*",
            Self::Quoted(_) => "[^']*",
            Self::Control => "[[:cntrl:]]+",
            Self::Token => "[^[:space:]]+",
        }
    }

    /// The narrowest class that holds both, if they can stand for each other.
    pub fn joined(self, other: Self) -> Option<Self> {
        let is_plain = |kind| matches!(kind, Self::Number | Self::Hex | Self::Uuid | Self::Name);
        let is_alone = |kind| matches!(kind, Self::Stamp | Self::Quoted(_) | Self::Control);
        match (self, other) {
            _ if self == other => Some(self),
            _ if is_alone(self) || is_alone(other) => None,
            (Self::Number, Self::Hex) | (Self::Hex, Self::Number) => Some(Self::Hex),
            _ if is_plain(self) && is_plain(other) => Some(Self::Name),
            _ => Some(Self::Token),
        }
    }
}
