//! What is wrong at present: the one list of troubles that every place draws from which says how integrityd stands: the heartbeat and its
//! subject, `status` in all its forms, `doctor`, and what the service manager is told.
//!
//! A trouble is added here, in [`TroubleKind`]; the test of the table in docs/torture.md then wants to see it in all of these places.

/// How much a trouble matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Known and accepted, or over soon; said by `status` and `doctor` only.
    Note,
    /// Something is not seen, or not as soon as was promised.
    Warning,
    /// Something that is to be watched is not, or what was found does not reach anybody.
    Critical,
}

impl Weight {
    /// Its word, as monitoring plugins write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "NOTE",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

macro_rules! troubles {
    ($($(#[doc = $doc:literal])+ $variant:ident = $weight:ident, $word:literal;)+) => {
        /// What is wrong. Words are stored and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum TroubleKind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl TroubleKind {
            /// All kinds, in the order in which those of one weight are said.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// How much it matters.
            pub const fn weight(self) -> Weight {
                match self { $(Self::$variant => Weight::$weight,)+ }
            }

            /// Its word in subjects and in the database.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

troubles! {
    /// No daemon runs, and no run from cron stands in for it.
    NotRunning = Critical, "not running";
    /// A task of the daemon makes no progress.
    TaskStalled = Critical, "task stalled";
    /// Nothing can be stored: the file system is full or read-only.
    Unwritable = Critical, "database not writable";
    /// The root of an area is missing.
    AreaMissing = Critical, "area missing";
    /// The root of an area lies on something else than its baseline belongs to.
    AreaSuspended = Critical, "area suspended";
    /// A watched process does not run as it should.
    ProcessDown = Critical, "process down";
    /// A log or the journal is missing or cannot be read.
    LogUnreadable = Critical, "log unreadable";
    /// Reports do not reach a recipient.
    MailStuck = Critical, "mail stuck";
    /// Much of an area was removed at once; its baseline is kept until that is accepted.
    PathsMissing = Warning, "paths missing";
    /// Entries could not be read when they were checked last.
    Unreadable = Warning, "partly unreadable";
    /// A mount hides a part of the baseline.
    Covered = Warning, "covered";
    /// A slow file system does not answer.
    MountSilent = Warning, "mount silent";
    /// An entry has waited longer for its check than was promised.
    CoverageLate = Warning, "coverage late";
    /// The ceilings do not allow what was promised.
    CoverageAtRisk = Warning, "coverage at risk";
    /// Much of a log waits to be read.
    LogBehind = Warning, "log behind";
    /// A PID file is missing or invalid though its process runs.
    PidFile = Warning, "pid file";
    /// A rule cannot be used.
    RuleOff = Warning, "rule off";
    /// The wall clock was set and may be wrong; nothing old is taken out for a day.
    ClockDoubted = Warning, "clock doubted";
    /// Events were taken out before `retention`, for want of room.
    PrunedEarly = Warning, "pruned early";
    /// The first round over an area is not complete.
    FirstRound = Note, "first round";
    /// A mount within an area is not entered, for its type.
    MountNotEntered = Note, "mount not entered";
    /// Paths of an area are longer than PATH_MAX, and not entered.
    PathTooLong = Note, "path too long";
    /// A filter or an old kernel refuses the daemon a system call; something else does in its place.
    CallRefused = Note, "system call refused";
    /// No sandbox could be put up around the daemon.
    NoSandbox = Note, "no sandbox";
}

impl TroubleKind {
    /// The kind with that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub kind: TroubleKind,
    /// What it is about, printable; may be empty.
    pub subject: String,
    /// A whole sentence, printable, in one line.
    pub words: String,
}

impl Trouble {
    /// `area missing: /srv`.
    pub fn short(&self) -> String {
        let word = self.kind.word();
        if self.subject.is_empty() { word.to_owned() } else { format!("{word}: {}", self.subject) }
    }
}

/// All that is wrong, gravest first.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health(Vec<Trouble>);

impl Health {
    /// Puts troubles in their order: by weight, then by kind, then as they come.
    pub fn new(mut troubles: Vec<Trouble>) -> Self {
        let place = |kind: TroubleKind| TroubleKind::ALL.iter().position(|other| *other == kind);
        troubles.sort_by_key(|trouble| (std::cmp::Reverse(trouble.kind.weight()), place(trouble.kind)));
        Self(troubles)
    }

    /// All of them.
    pub fn all(&self) -> &[Trouble] {
        &self.0
    }

    /// Those that matter: critical ones and warnings.
    pub fn grave(&self) -> impl Iterator<Item = &Trouble> {
        self.0.iter().filter(|trouble| trouble.kind.weight() > Weight::Note)
    }

    /// The sentences of one weight.
    pub fn of(&self, weight: Weight) -> Vec<&str> {
        self.0.iter().filter(|trouble| trouble.kind.weight() == weight).map(|trouble| trouble.words.as_str()).collect()
    }

    /// The weight of the gravest; `None` when nothing is wrong.
    pub fn weight(&self) -> Option<Weight> {
        self.0.first().map(|trouble| trouble.kind.weight())
    }

    /// Whether "all quiet" is true: there is nothing but notes.
    pub fn is_quiet(&self) -> bool {
        self.grave().next().is_none()
    }

    /// The gravest, and how many there are beside it: `CRITICAL area missing: /srv (+2)`; `None` when all is quiet.
    pub fn headline(&self) -> Option<String> {
        let mut grave = self.grave();
        let first = grave.next()?;
        let more = match grave.count() {
            0 => String::new(),
            more => format!(" (+{more})"),
        };
        Some(format!("{} {}{more}", first.kind.weight().word(), first.short()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_stands_first_and_notes_leave_it_quiet() {
        let trouble =
            |kind: TroubleKind, subject: &str| Trouble { kind, subject: subject.to_owned(), words: String::new() };
        let note = trouble(TroubleKind::FirstRound, "/usr");
        let health = Health::new(vec![note.clone()]);
        assert!(health.is_quiet() && health.headline().is_none() && health.weight() == Some(Weight::Note));
        let health = Health::new(vec![
            note,
            trouble(TroubleKind::ClockDoubted, ""),
            trouble(TroubleKind::MailStuck, "root"),
            trouble(TroubleKind::AreaMissing, "/srv"),
        ]);
        assert_eq!(health.headline().unwrap(), "CRITICAL area missing: /srv (+2)");
        assert_eq!(health.grave().count(), 3);
        assert!(!health.is_quiet());
    }

    #[test]
    fn words_are_unique_for_they_are_stored() {
        for kind in TroubleKind::ALL {
            assert_eq!(TroubleKind::from_word(kind.word()), Some(*kind));
        }
    }
}
