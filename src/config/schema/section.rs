//! The tables of the TOML form, which group the items by what they are about.

/// Where an item stands in the TOML form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingTable {
    /// Above all tables.
    Top,
    /// `[rates]`.
    Rates,
    /// `[report]`.
    Report,
    /// `[mail]`.
    Mail,
    /// `[logcheck]`.
    Logcheck,
    /// `[[area]]`, one for each area.
    Area,
    /// `[[logs]]`, one for each group of logs.
    Logs,
    /// `[[process]]`, one for each process.
    Process,
}

impl SettingTable {
    /// All of them, in the order they are written.
    pub const ALL: [Self; 8] =
        [Self::Top, Self::Rates, Self::Report, Self::Mail, Self::Logcheck, Self::Area, Self::Logs, Self::Process];

    /// Its name in TOML; empty for the top.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Rates => "rates",
            Self::Report => "report",
            Self::Mail => "mail",
            Self::Logcheck => "logcheck",
            Self::Area => "area",
            Self::Logs => "logs",
            Self::Process => "process",
        }
    }

    /// What its items are about, as a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Top => "General",
            Self::Rates => "How fast",
            Self::Report => "Reports",
            Self::Mail => "Mail",
            Self::Logcheck => "Reading logs",
            Self::Area => "Areas: the trees to check",
            Self::Logs => "Logs and the rules they are read by",
            Self::Process => "Processes",
        }
    }

    /// Whether there may be several of it.
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::Area | Self::Logs | Self::Process)
    }

    /// Its header in TOML: `[rates]`, `[[area]]`; empty for the top.
    pub fn header(self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Area | Self::Logs | Self::Process => format!("[[{}]]", self.name()),
            _ => format!("[{}]", self.name()),
        }
    }
}
