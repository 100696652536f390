//! What a source hands over: the new state and the events that describe it, stored in one transaction or not at all.

use crate::{
    model::{
        clock::Timestamp,
        event::Event,
        file::entry::{AreaId, Entry, EntryId},
        process::WatchName,
    },
    store::{
        baseline::{
            areas::{AreaRow, RootIdentity},
            members::Members,
            mounts::MountRow,
        },
        sources::{
            journal_cursors::JournalRow,
            log_positions::{LogName, LogRow},
            own_mail::OwnMailLines,
            own_parts::OwnPart,
            processes::WatchRow,
            rule_hits::RuleHit,
        },
    },
};

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// A baseline row, new or with a new state.
    Put(Box<Entry>),
    /// A baseline row and everything beneath it go.
    RemoveTree(EntryId),
    /// A baseline row and everything beneath it belong to this area from now on.
    HandOver(EntryId, AreaId),
    /// Everything beneath a baseline row goes.
    RemoveChildren(EntryId),
    /// What lies in a directory under names of more than so many bytes goes, with everything beneath.
    RemoveLonger(EntryId, usize),
    /// A baseline row is missing since then, with so many entries, itself included; they are kept until they are back or accepted.
    Missing(EntryId, Timestamp, u64),
    /// A baseline row is not missing any more, or gone for good.
    NotMissing(EntryId),
    /// An area has a new state.
    Area(Box<AreaRow>),
    /// What lies in an area now is its baseline, whatever it was: it is watched, and this is its root.
    Accepted(AreaId, RootIdentity),
    /// What belongs at one mount point within an area.
    Mount(AreaId, MountRow),
    /// Nothing is mounted there any more, and nothing belongs there.
    RemoveMount(AreaId, Vec<u8>),
    /// All that belongs at the mount points of an area.
    Mounts(AreaId, Vec<MountRow>),
    /// A log was read up to here.
    Log(Box<LogRow>),
    /// A log is no longer configured.
    RemoveLog(LogName),
    /// The group of logs with this name was polled then.
    LogsPolled(Vec<u8>, Timestamp),
    /// The journal was read up to here.
    Journal(Box<JournalRow>),
    /// The group with this name no longer reads the journal.
    RemoveJournal(Vec<u8>),
    /// So often rules for log lines were found since they were last counted.
    RuleHits(Vec<RuleHit>),
    /// So many lines of logs were read.
    LinesRead(u64),
    /// So many lines of them were about our own mails, and this they have taught.
    OwnMail(Box<OwnMailLines>),
    /// A watched process has a new state.
    Process(Box<WatchRow>),
    /// A process is no longer watched.
    RemoveProcess(WatchName),
    /// A part of ourselves is as it is now.
    Ourselves(Box<OwnPart>),
}

/// What was found against one row of the baseline, and holds only as long as that row is what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionalOutcome {
    /// The row; `None` for a path that was not in the baseline.
    pub basis: Option<Box<Entry>>,
    /// What was found.
    pub outcome: Outcome,
}

impl ConditionalOutcome {
    /// What differs from the row `basis`, or from nothing.
    pub fn new(basis: Option<&Entry>, events: Vec<StoredFinding>, changes: Vec<StateChange>) -> Self {
        Self { basis: basis.map(|entry| Box::new(entry.clone())), outcome: Outcome { changes, events } }
    }
}

impl From<Event> for StoredFinding {
    /// An event that stands for itself.
    fn from(event: Event) -> Self {
        Self { event, members: Members::default() }
    }
}

/// An event with the single objects it stands for, if it is a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFinding {
    /// The event.
    pub event: Event,
    /// The objects, in the order their digest was taken over.
    pub members: Members,
}

/// New state and the events that describe it.
#[must_use = "an outcome that is not committed is lost"]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The new state.
    pub changes: Vec<StateChange>,
    /// The events.
    pub events: Vec<StoredFinding>,
}

impl Outcome {
    /// An outcome that tells something and changes no state.
    pub fn tell(event: Event) -> Self {
        Self::default().with_event(event)
    }

    /// The outcome with one more event.
    pub fn with_event(mut self, event: Event) -> Self {
        self.events.push(event.into());
        self
    }

    /// The outcome with one more change of state.
    pub fn with_change(mut self, change: StateChange) -> Self {
        self.changes.push(change);
        self
    }
}
