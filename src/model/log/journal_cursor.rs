//! How far the journal was read: the cursor of an entry instead of an offset in a file.

use crate::model::clock::Timestamp;

/// Where the next entry comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum JournalPlace {
    /// It was never read.
    #[default]
    Unbegun,
    /// It had no entry when it was first looked at: what was written since then.
    Since(Timestamp),
    /// Behind this entry.
    After {
        /// Its cursor, as journalctl(1) gives it.
        cursor: Vec<u8>,
        /// When journald took it.
        realtime: Timestamp,
    },
}

/// Why the journal is not read, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// There is no journalctl.
    NoProgram,
    /// It cannot be started, for this `errno(3)`.
    NotRun(i32),
    /// Others than root could have put another program in its place.
    Untrusted,
    /// There are no journal files.
    NoFiles,
    /// Journal files, or their directory, may not be read, for this `errno(3)`.
    Denied(i32),
    /// It did not end in its time and was killed.
    Hung,
    /// It ended with this exit code.
    Ended(i32),
    /// It was ended by this signal.
    Killed(i32),
    /// What it says is not the export format.
    Garbage,
}

impl Obstacle {
    /// Two numbers for the database: which one, and its detail. They never change.
    pub fn codes(self) -> (u8, i64) {
        match self {
            Self::NoProgram => (1, 0),
            Self::NotRun(errno) => (2, i64::from(errno)),
            Self::Untrusted => (3, 0),
            Self::NoFiles => (4, 0),
            Self::Denied(errno) => (5, i64::from(errno)),
            Self::Hung => (6, 0),
            Self::Ended(code) => (7, i64::from(code)),
            Self::Killed(signal) => (8, i64::from(signal)),
            Self::Garbage => (9, 0),
        }
    }

    /// The obstacle with these numbers.
    pub fn from_codes(code: u8, detail: i64) -> Option<Self> {
        let number = i32::try_from(detail).ok()?;
        Some(match code {
            1 => Self::NoProgram,
            2 => Self::NotRun(number),
            3 => Self::Untrusted,
            4 => Self::NoFiles,
            5 => Self::Denied(number),
            6 => Self::Hung,
            7 => Self::Ended(number),
            8 => Self::Killed(number),
            9 => Self::Garbage,
            _ => return None,
        })
    }
}

/// A standing obstacle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalTrouble {
    /// What it is.
    pub obstacle: Obstacle,
    /// Since when something is in the way.
    pub since: Timestamp,
    /// When it was last told.
    pub told: Option<Timestamp>,
}

/// All that is remembered of the journal. It moves only together with the events of the entries it has passed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalState {
    /// Where the next entry comes from.
    pub place: JournalPlace,
    /// What is in the way.
    pub trouble: Option<JournalTrouble>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_come_back_from_their_numbers() {
        for obstacle in [
            Obstacle::NoProgram,
            Obstacle::NotRun(13),
            Obstacle::Untrusted,
            Obstacle::NoFiles,
            Obstacle::Denied(1),
            Obstacle::Hung,
            Obstacle::Ended(-1),
            Obstacle::Killed(9),
            Obstacle::Garbage,
        ] {
            let (code, detail) = obstacle.codes();
            assert_eq!(Obstacle::from_codes(code, detail), Some(obstacle));
        }
        assert_eq!(Obstacle::from_codes(10, 0), None);
    }
}
