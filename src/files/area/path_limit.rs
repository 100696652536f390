//! Paths that are longer than `PATH_MAX` are not entered. A user makes a chain of directories a hundred times as deep within a second, and
//! whatever names each level by its path costs the square of that.
//!
//! What is not entered is a fact about the directory it lies in: that is told once, stands in the row of the directory until nothing in
//! it is too long any more, and is counted with what cannot be read. Rows of the baseline that lie beyond (a directory was moved to
//! where its paths became too long, or an older version has looked there) leave it with one notice.

use crate::{
    files::{
        area::watched_areas::{Tract, join},
        compare::verdict::Verdict,
        walk::{
            entry_check::{Visited, Visitor},
            target::Target,
        },
    },
    model::file::entry::{Entry, EntryId, HashState, LONGEST_PATH},
    store::{
        events::outcome::{Found, Outcome, Piece, StateChange},
        sqlite::error::StoreError,
    },
};

/// Bytes of a name that no file system exceeds by much; directories with room for it are asked nothing.
const LONG_NAME: usize = 1024;

/// Most bytes of a name in `directory` that is looked at.
pub(in crate::files) fn room(directory: &[u8]) -> usize {
    LONGEST_PATH.saturating_sub(directory.len() + usize::from(!directory.ends_with(b"/")))
}

/// Whether a name in `directory` may be too long.
pub(in crate::files) fn is_near(directory: &[u8]) -> bool {
    room(directory) < LONG_NAME
}

/// What is stored of a directory whose verdict tells of names beyond; `beyond` entries of the baseline lie there.
pub(in crate::files) fn changes(path: &[u8], next: Entry, beyond: u64) -> Vec<StateChange> {
    let removal = (beyond > 0).then(|| StateChange::RemoveLonger(next.id, room(path)));
    removal.into_iter().chain([StateChange::Put(Box::new(next))]).collect()
}

/// The hash state of a directory that was listed, of which it is known whether names in it are too long.
pub(in crate::files) fn state_of(is_beyond: bool) -> HashState {
    if is_beyond { HashState::PATHS_TOO_LONG } else { HashState::Off }
}

impl Visitor {
    /// Notes whether names in a directory are too long, or with `None` only what the baseline has there. Gives whether that was news.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub(in crate::files) fn mind_limit(
        &self,
        area: usize,
        id: EntryId,
        is_beyond: Option<bool>,
    ) -> Result<bool, StoreError> {
        let Some(tract) = self.ground.tracts.get(area) else { return Ok(false) };
        let mut store = self.db.lock();
        let (Some(entry), Some(way)) = (store.entry(id)?, store.way_to(id)?) else { return Ok(false) };
        let path = way.iter().skip(1).fold(tract.path.clone(), |path, (_, name)| join(&path, name));
        let beyond = store.entries_longer(id, room(&path))?;
        let is_marked = entry.known.hash_state == HashState::PATHS_TOO_LONG;
        let state = match is_beyond {
            Some(is_beyond) if is_beyond != is_marked => state_of(is_beyond),
            _ => entry.known.hash_state,
        };
        let Verdict { next, events } = self.judge(tract, self.clock.now()).limited(&path, &entry, state, beyond);
        if events.is_empty() {
            return Ok(false);
        }
        let events = events.into_iter().map(Found::from).collect();
        let outcome = Outcome { changes: changes(&path, next, beyond), events };
        let piece = Piece { basis: Some(Box::new(entry)), outcome };
        Ok(store.commit_fresh(&[piece], |_fresh| Outcome::default())?.contains(&true))
    }

    /// A path of the baseline that is too long goes with all that lie beside it.
    pub(in crate::files) fn leave_beyond(&self, tract: &Tract, target: &Target) -> Result<Visited, StoreError> {
        let way = match target.parent {
            Some(parent) => self.db.lock().way_to(parent)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let mut length = tract.path.len();
        let mut above = None;
        for (step, (id, name)) in way.iter().enumerate() {
            length += if step == 0 { 0 } else { name.len() + 1 };
            if length > LONGEST_PATH {
                break;
            }
            above = Some(*id);
        }
        let is_changed = above.map_or(Ok(false), |id| self.mind_limit(target.area, id, None))?;
        Ok(self.over(&target.path, &mut self.db.lock(), is_changed))
    }
}
